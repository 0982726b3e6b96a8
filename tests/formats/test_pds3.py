"""PDS3 labels and images: what is read, and that damaged bytes end in a FormatError and nothing else."""

import numpy as np
import pytest

from ilrs_science import FormatError
from ilrs_science.formats.pds3 import Quantity, read_image, read_label
from ilrs_science.simulate.frame_transfer import pds3_file

LABEL = b"""PDS_VERSION_ID = PDS3\r
/* a comment = 1 */\r
RECORD_TYPE = FIXED_LENGTH   /* another */\r
RECORD_BYTES = 8\r
^IMAGE = ("PICTURE.IMG", 3)\r
START_TIME = 1994-04-06T20:49:56.247Z\r
STOP_TIME = "N/A"\r
NOTE = "first line\r
        second line"\r
EXPOSURE_DURATION = 99.9696 <ms>\r
TERMS = (1, -2.5, 1.0E3, 'SYMBOL', "a, b", (3, 4)) <km>\r
NAMES = {A, B}\r
EMPTY = ()\r
MASK = 16#FF#\r
LRO:CLOCK = 1/281199081:26214\r
Object = FILE\r
  Object = IMAGE\r
    Lines = 2\r
  End_Object\r
END_OBJECT = FILE\r
OBJECT = TABLE\r
  ROWS = 1\r
END_OBJECT\r
OBJECT = TABLE\r
  ROWS = 2\r
END_OBJECT\r
END\r
 NOT = A LABEL (("""


def image_file(array: np.ndarray, sample_type: str, *, extra: str = "", pointer: str | None = None) -> bytes:
    """Return a file with an attached label padded to 512 bytes, and an image."""
    where = pointer if pointer is not None else "513 <BYTES>"
    text = (
        f"PDS_VERSION_ID = PDS3\nRECORD_BYTES = 256\n^IMAGE = {where}\nOBJECT = IMAGE\nLINES = {array.shape[0]}\n"
        f"LINE_SAMPLES = {array.shape[1]}\nSAMPLE_TYPE = {sample_type}\nSAMPLE_BITS = {array.dtype.itemsize * 8}\n"
        f"{extra}\nEND_OBJECT\nEND\n"
    )
    return text.encode().ljust(512) + array.tobytes()


def test_every_kind_of_value_is_read() -> None:
    label = read_label(LABEL)
    assert label["RECORD_BYTES"] == 8
    assert label["START_TIME"] == "1994-04-06T20:49:56.247Z"
    assert label["STOP_TIME"] == "N/A"
    assert label["NOTE"] == "first line second line"
    assert label["EXPOSURE_DURATION"] == Quantity(99.9696, "ms")
    assert label["TERMS"] == Quantity((1, -2.5, 1000.0, "SYMBOL", "a, b", (3, 4)), "km")
    assert (label["NAMES"], label["EMPTY"], label["MASK"]) == (("A", "B"), (), 255)
    assert label["LRO:CLOCK"] == "1/281199081:26214"
    assert label["FILE"] == {"IMAGE": {"LINES": 2}}
    assert label["TABLE"] == [{"ROWS": 1}, {"ROWS": 2}]
    assert "NOT" not in label, "what comes after END is no label"


@pytest.mark.parametrize(
    ("sample_type", "dtype"),
    [
        ("UNSIGNED_INTEGER", "u1"),
        ("MSB_UNSIGNED_INTEGER", ">u2"),
        ("LSB_UNSIGNED_INTEGER", "<u4"),
        ("MSB_INTEGER", ">i2"),
        ("LSB_INTEGER", "<i4"),
        ("INTEGER", "i1"),
        ("IEEE_REAL", ">f4"),
        ("PC_REAL", "<f8"),
    ],
)
def test_samples_of_every_type_come_back_as_they_were_written(sample_type: str, dtype: str) -> None:
    array = np.arange(-3, 9).astype(dtype).reshape(3, 4)
    image, label = read_image(image_file(array, sample_type))
    np.testing.assert_array_equal(image, array)
    assert image.dtype == array.dtype
    assert label["IMAGE"]["LINES"] == 3


def test_a_pointer_counts_bytes_or_records_from_one() -> None:
    array = np.arange(6, dtype="u1").reshape(2, 3)
    by_record, _ = read_image(image_file(array, "UNSIGNED_INTEGER", pointer="3"))
    np.testing.assert_array_equal(by_record, array)


def test_bytes_before_and_after_each_line_are_left_out() -> None:
    lines = np.arange(20, dtype="u1").reshape(2, 10)
    extra = "LINE_PREFIX_BYTES = 3\nLINE_SUFFIX_BYTES = 1"
    data = image_file(lines, "UNSIGNED_INTEGER", extra=extra).replace(b"LINE_SAMPLES = 10", b"LINE_SAMPLES = 6 ")
    np.testing.assert_array_equal(read_image(data)[0], lines[:, 3:9])


def test_an_image_of_a_detached_label_is_read_from_its_own_file() -> None:
    data = image_file(np.zeros((2, 3), "u1"), "UNSIGNED_INTEGER", pointer='("OTHER.IMG", 5 <BYTES>)')
    with pytest.raises(FormatError, match=r"lies in the file 'OTHER\.IMG'"):
        read_image(data)
    image, _ = read_image(bytes(4) + bytes(range(6)), label=read_label(data))
    np.testing.assert_array_equal(image, np.arange(6).reshape(2, 3))


def test_a_pointer_into_the_label_is_refused_rather_than_read_as_pixels() -> None:
    data = image_file(np.zeros((2, 3), "u1"), "UNSIGNED_INTEGER", pointer="20 <BYTES>")
    with pytest.raises(FormatError, match="points to byte 20, but the label reaches to byte"):
        read_image(data)


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ("BANDS = 3", "one uncompressed band"),
        ('ENCODING_TYPE = "CLEM-JPEG-0"', "one uncompressed band"),
        ("LINE_PREFIX_BYTES = -1", "LINE_PREFIX_BYTES"),
        ("LINE_SUFFIX_BYTES = 900", "the file at byte"),
    ],
)
def test_an_image_that_cannot_be_read_is_refused_with_the_reason(extra: str, reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        read_image(image_file(np.zeros((2, 3), "u1"), "UNSIGNED_INTEGER", extra=extra))


@pytest.mark.parametrize(
    "text",
    [
        "A = ",
        "A = (1, 2",
        "A = " + "(" * 50,
        "A 1",
        '= "x"',
        'A = "never closed',
        "OBJECT = IMAGE",
        "END_OBJECT = IMAGE",
        "OBJECT = IMAGE\nEND_OBJECT = TABLE",
        "A = <ms>",
        "/* never closed",
        "\0\0\0",
    ],
)
def test_a_damaged_label_is_refused_with_file_and_offset(text: str) -> None:
    with pytest.raises(FormatError, match=r"^x\.img: byte \d+: "):
        read_label(
            f"PDS_VERSION_ID = PDS3\n{text}\nEND\n".encode()
            if '"never' not in text
            else b"PDS_VERSION_ID = PDS3\n" + text.encode(),
            name="x.img",
        )


def test_any_truncation_is_an_image_or_a_format_error() -> None:
    data = pds3_file(np.arange(48, dtype="u1").reshape(6, 8), {"INSTRUMENT_ID": "B-STAR", "NOTE": "a note"})
    for size in range(len(data)):
        with pytest.raises(FormatError):
            read_image(data[:size])


def test_damaged_bytes_end_in_nothing_worse_than_a_format_error() -> None:
    rng = np.random.default_rng(3)
    data = pds3_file(np.arange(48, dtype="u1").reshape(6, 8), {"INSTRUMENT_ID": "B-STAR", "TIMES": "(1, 2)"})
    label_size = data.index(b"END\r\n")
    refused = 0
    for _ in range(500):
        damaged = bytearray(data)
        for at in rng.integers(0, label_size, 3):
            damaged[at] = rng.integers(0, 256)
        try:
            read_image(bytes(damaged))
        except FormatError:
            refused += 1
    assert refused > 100


def test_a_written_file_is_read_back() -> None:
    image = np.arange(48, dtype="u1").reshape(6, 8)
    keywords = {"INSTRUMENT_ID": "B-STAR", "START_TIME": "1994-04-06T20:00:00Z", "EXPOSURE": Quantity(1.5, "ms")}
    back, label = read_image(pds3_file(image, keywords))
    np.testing.assert_array_equal(back, image)
    assert {key: label[key] for key in keywords} == keywords
    assert label["IMAGE"]["CHECKSUM"] == image.sum()
