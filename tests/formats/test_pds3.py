"""PDS3 labels, images and tables: what is read, and that damaged bytes end in a FormatError and nothing else."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from ilrs_science import FormatError
from ilrs_science.formats.pds3 import FORMAT, Quantity, expand, index_pds3, read_image, read_label, read_pds3
from ilrs_science.formats.pds3.label import attached_label
from ilrs_science.formats.pds3.samples import native
from ilrs_science.geometry import parse_utc
from ilrs_science.geometry.time import utc_to_tai
from ilrs_science.simulate.frame_transfer import pds3_file
from ilrs_science.simulate.pds3_files import (
    SPECIAL,
    binary_table_file,
    chinese_file,
    companded_file,
    cube_file,
    mapper_files,
    spreadsheet_file,
    vax_bytes,
)
from ilrs_science.testing.mutation import survive

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
        ("BANDS = 3", "one band is read here"),
        ('ENCODING_TYPE = "CLEM-JPEG-0"', "compressed"),
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


def test_comments_line_ends_and_numbers_with_a_base_are_read_as_odl_has_them() -> None:
    text = (
        "PDS_VERSION_ID = PDS3/* at once */\r/* see dir/*.img */\rA = 1 /* outer /* inner */ still */\r"
        "B = 16#FF7FFFFB#\rC = {1#2}\rD = 2001-01-01T23:59:60.5Z\rE = 2#101#\rF = N/A\rEnd\r"
    )
    label = read_label(text.encode())
    assert (label["A"], label["B"], label["E"]) == (1, 0xFF7FFFFB, 5)
    assert (label["D"], label["F"]) == ("2001-01-01T23:59:60.5Z", "N/A")


def test_a_label_without_an_end_is_not_looked_for_any_further_than_a_mebibyte() -> None:
    with pytest.raises(FormatError, match="1048576 bytes are over"):
        read_label(b"PDS_VERSION_ID = PDS3\n" + b"A = 1\n" * 10**6)


@pytest.mark.parametrize("encoding", ["gb18030", "utf-8"])
def test_chinese_text_is_read_and_does_not_move_the_image(tmp_path: Path, encoding: str) -> None:
    path, truth = chinese_file(tmp_path, encoding=encoding)
    found = read_pds3(path)
    np.testing.assert_array_equal(found.IMAGE, truth["image"])
    assert found.attrs["label"]["MISSION_NAME"] == "嫦娥二号{}"
    assert found.attrs["label"]["NOTE"] == "月球 探测"
    assert encoding in found.attrs["repaired"][0]
    assert index_pds3(path)[0].site == "change-3"


def test_text_that_is_neither_utf_8_nor_gb18030_is_latin_1() -> None:
    label, _, encoding = attached_label(b'PDS_VERSION_ID = PDS3\nA = "\xe9\xff"\nEND\n', "x")
    assert (label["A"], encoding) == ("éÿ", "latin-1")


@pytest.mark.parametrize("padding", [b"", b"  \r\n", bytes(13)])
def test_a_pointer_into_the_label_is_not_followed_where_the_image_fills_the_rest(
    tmp_path: Path, padding: bytes
) -> None:
    path, truth = companded_file(tmp_path, stale=13 + len(padding), padding=padding)
    found = read_pds3(path)
    np.testing.assert_array_equal(found.IMAGE, truth["packed"])
    assert found.IMAGE.dtype == np.uint8, "companding gives 0 to 255, whatever the label says"
    assert "the image is read from byte" in found.attrs["repaired"][0]
    assert "FILE_RECORDS = 52225" in found.attrs["suspect"][0]
    assert "MD5_CHECKSUM" in found.attrs["suspect"][1]


def test_a_pointer_that_is_right_is_followed(tmp_path: Path) -> None:
    path, truth = companded_file(tmp_path, padding=b"some other object")
    found = read_pds3(path)
    np.testing.assert_array_equal(found.IMAGE, truth["packed"])
    assert "suspect" not in found.attrs
    path.write_bytes(path.read_bytes() + b"more")
    np.testing.assert_array_equal(read_pds3(path).IMAGE, truth["packed"])


def test_a_stale_pointer_is_refused_where_it_is_not_clear_what_the_image_is(tmp_path: Path) -> None:
    path, _ = companded_file(tmp_path, stale=30, padding=b"some other object")
    with pytest.raises(FormatError, match="into the label"):
        read_pds3(path)
    path, _ = companded_file(tmp_path, stale=13)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FormatError, match="into the label"):
        read_pds3(path)


def test_expanding_gives_the_middle_of_the_counts_that_were_packed(tmp_path: Path) -> None:
    path, truth = companded_file(tmp_path, shape=(64, 64))
    packed = read_pds3(path)
    found = expand(packed).IMAGE
    every = np.arange(4096)
    segment = np.searchsorted([0, 32, 136, 543, 2207], every, side="right") - 1
    byte = np.floor(np.array([0, 8, 25, 59, 128])[segment] + 0.5 ** (segment + 1) * every)
    for value in range(256):
        middle = every[byte == value][[0, -1]].mean()
        assert (found.values[packed.IMAGE.values == value] == middle).all()
    assert abs(found - truth["counts"]).max() <= 15.5
    assert found.dtype == np.float32
    assert "BTERM" not in found.attrs
    xr.testing.assert_identical(expand(expand(packed)), expand(packed))


@pytest.mark.parametrize(
    "terms", [{"MTERM": [1.0] * 5}, {"BTERM": [0, 8]}, {"XTERM": [0, 9, 3, 4, 5]}, {"MTERM": ["a"] * 5}]
)
def test_terms_that_do_not_compand_are_refused(tmp_path: Path, terms: dict[str, list[object]]) -> None:
    ds = read_pds3(companded_file(tmp_path)[0])
    ds.IMAGE.attrs |= terms
    with pytest.raises(FormatError, match="terms of companding"):
        expand(ds)


def test_a_set_with_one_label_is_a_tree_and_lost_files_are_named(tmp_path: Path) -> None:
    label, truth = mapper_files(tmp_path, absent=["LOC"])
    tree = read_pds3(label)
    assert isinstance(tree, xr.DataTree)
    assert set(tree.children) == {"RDN_IMAGE", "UTC_TIME_TABLE"}
    assert tree.attrs["absent"] == ["LOC_IMAGE", "ENVI_HEADER"]
    image = tree["RDN_IMAGE/RDN_IMAGE"]
    assert image.dims == ("line", "band", "sample")
    assert image.dtype == np.float32
    np.testing.assert_array_equal(image, truth["RDN"])
    assert image.attrs["units"] == "W/(m^2 um sr)"


def test_of_a_data_file_only_its_own_object_is_read(tmp_path: Path) -> None:
    _, truth = mapper_files(tmp_path)
    found = read_pds3(tmp_path / "M3_V03_LOC.IMG")
    np.testing.assert_array_equal(found.LOC_IMAGE, truth["LOC"])
    assert found.band.values.tolist() == ["Longitude", "Latitude", "Radius"]
    found = read_pds3(tmp_path / "M3_V03_L1B.LBL", what="rdn_image")
    assert list(found.data_vars) == ["RDN_IMAGE"]
    with pytest.raises(FormatError, match="no object NOTHING; there are RDN_IMAGE"):
        read_pds3(tmp_path / "M3_V03_L1B.LBL", what="NOTHING")


@pytest.mark.parametrize("line_end", ["\r\n", "\n"])
def test_a_table_keeps_its_order_though_its_times_descend(tmp_path: Path, line_end: str) -> None:
    mapper_files(tmp_path, line_end=line_end)
    truth = mapper_files(tmp_path, line_end=line_end)[1]
    found = read_pds3(tmp_path / "M3_V03_TIM.TAB")
    np.testing.assert_array_equal(found.tai.astype("i8"), utc_to_tai(truth["time"]))
    assert found.tai.attrs["time_scale"] == "TAI"
    assert found["LINE NUMBER"].values.tolist() == [1, 2, 3, 4, 5]
    assert found["YEAR"].values.tolist() == ["2009"] * 5
    assert ("repaired" in found.attrs) == (line_end == "\n")


def test_lines_of_a_table_that_are_damaged_are_counted(tmp_path: Path) -> None:
    mapper_files(tmp_path)
    path = tmp_path / "M3_V03_TIM.TAB"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b" 2 ", b" x ")
    lines[2] = lines[2].replace(b"T08", b"T28")
    lines[3] = lines[3][:20] + b"\r\n"
    path.write_bytes(b"".join(lines))
    found = read_pds3(path)
    assert found.sizes["time"] == 2
    assert found.attrs["rejected"] == {"wrong length": 1, "no time": 1, "no number": 1}
    path.write_bytes(b"".join(lines[:2]))
    assert read_pds3(path).attrs["rejected"] == {"no number": 1, "not in the file": 3}


def test_an_index_gives_the_data_files_whether_asked_for_the_label_or_for_one_of_them(tmp_path: Path) -> None:
    label, truth = mapper_files(tmp_path, absent=["LOC"])
    radiance, table = index_pds3(label)
    assert (radiance.url, table.url) == (str(tmp_path / "M3_V03_RDN.IMG"), str(tmp_path / "M3_V03_TIM.TAB"))
    assert index_pds3(tmp_path / "M3_V03_TIM.TAB") == [table]
    assert (radiance.instrument, radiance.site, radiance.level, radiance.count) == (
        "M3",
        "CHANDRAYAAN-1 ORBITER",
        "L1B",
        1,
    )
    assert (radiance.start, radiance.stop) == (parse_utc("2009-06-30T08:34:07Z"), parse_utc("2009-06-30T08:34:36Z") + 1)
    tai = utc_to_tai(truth["time"])
    assert (table.start, table.stop, table.count) == (tai[-1], tai[0] + 1, 5)
    (nac,) = index_pds3(companded_file(tmp_path)[0])
    assert (nac.instrument, nac.level) == ("LROC", "EDR")
    assert nac.stop == parse_utc("2009-11-29T14:51:39.599Z") + 1


@pytest.mark.parametrize("storage", ["BAND_SEQUENTIAL", "LINE_INTERLEAVED", "SAMPLE_INTERLEAVED"])
@pytest.mark.parametrize(("sample_type", "dtype"), [("MSB_INTEGER", ">i8"), ("PC_REAL", "<f4"), ("IEEE_REAL", ">f8")])
def test_cubes_come_as_they_are_stored_in_the_byte_order_of_this_machine(
    tmp_path: Path, storage: str, sample_type: str, dtype: str
) -> None:
    values = np.random.default_rng(2).integers(-99, 99, (2, 3, 4)).astype(dtype)
    found = read_pds3(cube_file(tmp_path, storage, sample_type, values)).IMAGE
    np.testing.assert_array_equal(found.transpose("band", "line", "sample"), values)
    assert found.dtype.isnative
    order = {"B": ("band", "line", "sample"), "L": ("line", "band", "sample"), "S": ("line", "sample", "band")}
    assert found.dims == order[storage[0]]


def test_special_constants_are_nan_in_reals_and_named_in_integers(tmp_path: Path) -> None:
    values = np.arange(6, dtype=">f4").reshape(1, 2, 3)
    values[0, 0, 1], values[0, 1, 2] = np.array(0xFF7FFFFB, ">u4").view(">f4"), -999.25
    found = read_pds3(cube_file(tmp_path, "BAND_SEQUENTIAL", "IEEE_REAL", values, more=SPECIAL)).IMAGE
    np.testing.assert_array_equal(found, [[0, np.nan, 2], [3, 4, np.nan]])
    assert found.attrs["CORE_LOW_INSTR_SATURATION"] == -999.25
    more = {"MISSING_CONSTANT": 3, "SCALING_FACTOR": 0.5, "OFFSET": 10}
    path = cube_file(
        tmp_path, "BAND_SEQUENTIAL", "UNSIGNED_INTEGER", np.arange(6, dtype="u1").reshape(1, 2, 3), more=more
    )
    plain, scaled = read_pds3(path).IMAGE, read_pds3(path, scaled=True).IMAGE
    assert (plain.dtype, plain.attrs["MISSING_CONSTANT"], plain.attrs["OFFSET"]) == (np.uint8, 3, 10)
    np.testing.assert_array_equal(scaled, [[10, 10.5, 11], [np.nan, 12, 12.5]])
    assert scaled.dtype == np.float32


@pytest.mark.parametrize("kind", ["f", "d", "g"])
@given(st.lists(st.floats(-1e30, 1e30).filter(lambda one: one == 0 or abs(one) > 1e-30), min_size=1, max_size=9))
@settings(max_examples=60)
def test_reals_of_a_vax_are_what_they_were(kind: str, values: list[float]) -> None:
    given_ = np.array(values, np.float32 if kind == "f" else np.float64)
    raw = np.frombuffer(vax_bytes(given_.astype(np.float64), kind), np.uint8).copy()
    found = native(raw, {"f": "vax4", "d": "vax8", "g": "vaxg8"}[kind])
    assert found.dtype == given_.dtype
    np.testing.assert_array_equal(found, given_)


def test_reals_of_a_vax_agree_with_the_manual() -> None:
    """VAX Architecture Reference Manual: 1.0 is 4080 (hexadecimal) in its first word; a reserved operand is none."""
    assert native(np.array([0x80, 0x40, 0, 0, 0x80, 0xC1, 0, 0], np.uint8), "vax4").tolist() == [1.0, -4.0]
    assert np.isnan(native(np.array([0, 0x80, 0, 0], np.uint8), "vax4")).all()


def test_a_binary_table_has_items_containers_scales_and_leap_seconds(tmp_path: Path) -> None:
    label, truth = binary_table_file(tmp_path)
    found = read_pds3(label)
    assert found.tai.values.astype("i8")[-1] == parse_utc("2016-12-31T23:59:60.25Z")
    assert np.diff(found.tai.astype("i8")).tolist() == [10**9] * 5
    np.testing.assert_array_equal(found.COUNT, truth["COUNT"])
    field = np.where(truth["FIELD"] == -1e31, np.nan, truth["FIELD"])
    np.testing.assert_array_equal(found.FIELD, field)
    assert (found.FIELD.dims, found.FIELD.attrs["units"]) == (("time", "FIELD_item"), "nT")
    np.testing.assert_array_equal(found.GAIN, truth["BLOCK"]["GAIN"])
    assert found.STATE.dims == ("time", "BLOCK_repetition")
    assert found.NOTE.values.tolist() == ["a", "b c", "", "d", "e", "f"]
    assert (found.TEMP.dtype, found.TEMP.values.tolist()) == (np.int16, [-5, 7, -9999, 11, 300, 0])
    scaled = read_pds3(tmp_path / "TABLE.DAT", scaled=True)
    np.testing.assert_array_equal(scaled.TEMP, [97.5, 103.5, np.nan, 105.5, 250, 100])


def test_a_spreadsheet_has_quoted_and_empty_values(tmp_path: Path) -> None:
    label, truth = spreadsheet_file(tmp_path)
    found = read_pds3(label)
    np.testing.assert_array_equal(found.NUMBER, truth["NUMBER"])
    np.testing.assert_array_equal(found.PAIR, truth["PAIR"])
    assert found.NOTE.values.tolist() == ["a, b", "c", "d"]
    assert found.tai.values.astype("i8")[0] == parse_utc("2009-06-30T00:00:00Z")
    assert found.attrs["rejected"] == {"wrong number of fields": 1}


def test_columns_may_stand_in_a_file_beside_the_label_and_nowhere_else(tmp_path: Path) -> None:
    label, truth = binary_table_file(tmp_path)
    text = label.read_text()
    start, end = text.index("  OBJECT = COLUMN"), text.index("END_OBJECT = SERIES")
    (tmp_path / "series.fmt").write_text(text[start:end])
    label.write_text(text[:start] + '  ^STRUCTURE = "SERIES.FMT"\r\n' + text[end:])
    np.testing.assert_array_equal(read_pds3(label).COUNT, truth["COUNT"])
    (tmp_path / "series.fmt").write_text('^STRUCTURE = "SERIES.FMT"')
    with pytest.raises(FormatError, match="more than 4 deep"):
        read_pds3(label)
    label.write_text(label.read_text().replace("SERIES.FMT", "../SERIES.FMT"))
    with pytest.raises(FormatError, match="same folder"):
        read_pds3(label)


def test_names_of_files_stay_in_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    label, _ = mapper_files(folder)
    text = label.read_text()
    for name in ("../secret.img", "/etc/passwd", "..", "a\\b"):
        label.write_text(text.replace("M3_V03_RDN.IMG", f'"{name}"'))
        with pytest.raises(FormatError, match="same folder"):
            read_pds3(label)
    label.write_text(text)
    shutil.move(folder / "M3_V03_RDN.IMG", tmp_path / "secret.img")
    (folder / "M3_V03_RDN.IMG").symlink_to(tmp_path / "secret.img")
    with pytest.raises(FormatError, match="leads out of the folder"):
        read_pds3(label)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("LINES = 5", "LINES = 999999999"), "ends at byte"),
        (("LINES = 5", "LINES = N/A"), "LINES of RDN_IMAGE"),
        (("LINE_INTERLEAVED", "SIDEWAYS"), "BAND_STORAGE_TYPE"),
        (("PC_REAL", "BIT_STRING"), "BIT_STRING of 32 bits"),
        (("SAMPLE_BITS = 32", "SAMPLE_BITS = 12"), "12 bits"),
        (("BAND_STORAGE_TYPE", "LINE_PREFIX_BYTES = 4\r\nBAND_STORAGE_TYPE"), "unclear where"),
        (("M3_V03_RDN.IMG", "(1, 2, 3)"), "expected a position"),
        (("ROW_BYTES = 40", "ROW_BYTES = 4"), "columns of UTC_TIME_TABLE take"),
        (("ROWS = 5", "ROWS = -3"), "ROWS"),
        (("BYTES = 26", "BYTES = 9999999999"), "columns of UTC_TIME_TABLE take"),
    ],
)
def test_a_label_that_lies_is_refused_by_name(tmp_path: Path, change: tuple[str, str], reason: str) -> None:
    label, _ = mapper_files(tmp_path)
    text = label.read_text()
    assert change[0] in text
    label.write_text(text.replace(*change))
    with pytest.raises(FormatError, match=reason) as error:
        read_pds3(label)
    assert "M3_V03" in str(error.value)


def test_columns_that_overlap_do_not_make_a_file_larger_than_it_is(tmp_path: Path) -> None:
    label, _ = mapper_files(tmp_path)
    column = "OBJECT = COLUMN\r\nNAME = A\r\nDATA_TYPE = CHARACTER\r\nSTART_BYTE = 1\r\nBYTES = 38\r\nEND_OBJECT\r\n"
    label.write_text(label.read_text().replace("ROW_BYTES = 40", "ROW_BYTES = 40\r\n" + column * 50))
    with pytest.raises(FormatError, match="overlap"):
        read_pds3(label)


def test_without_a_label_or_without_its_files_there_is_nothing_to_read(tmp_path: Path) -> None:
    label, _ = mapper_files(tmp_path, absent=["RDN", "LOC", "TIM"])
    with pytest.raises(FormatError, match="RDN_IMAGE, LOC_IMAGE, UTC_TIME_TABLE are not beside it"):
        read_pds3(label)
    (tmp_path / "other.dat").write_bytes(b"data")
    with pytest.raises(FormatError, match="no PDS3 label"):
        read_pds3(tmp_path / "other.dat")
    with pytest.raises(FileNotFoundError):
        read_pds3(tmp_path / "none.img")


def test_a_detached_label_may_leave_out_the_name_of_its_file(tmp_path: Path) -> None:
    whole = pds3_file(np.arange(48, dtype="u1").reshape(6, 8), {"INSTRUMENT_ID": "B-STAR"})
    (tmp_path / "frame.219").write_bytes(whole)
    (tmp_path / "frame.219.lbl").write_bytes(whole[: whole.index(b"END\r\n") + 5])
    for name in ("frame.219", "frame.219.lbl"):
        tree = read_pds3(tmp_path / name)
        np.testing.assert_array_equal(tree["IMAGE/IMAGE"], np.arange(48).reshape(6, 8))
        assert tree["IMAGE_HISTOGRAM/IMAGE_HISTOGRAM"].values.sum() == 48
        assert index_pds3(tmp_path / name)[0].url == str(tmp_path / "frame.219")


def test_a_file_is_recognised_by_its_label_or_by_one_that_points_to_it(tmp_path: Path) -> None:
    label, _ = mapper_files(tmp_path)
    (tmp_path / "M3_V03_OTHER.IMG").write_bytes(bytes(100))
    for name, expected in ((label.name, True), ("M3_V03_RDN.IMG", True), ("M3_V03_OTHER.IMG", False)):
        path = tmp_path / name
        assert FORMAT.recognises(path.read_bytes()[:32768], path) is expected


@pytest.mark.parametrize(
    "file", ["M3_V03_L1B.LBL", "M3_V03_TIM.TAB", "nac.img", "TABLE.LBL", "TABLE.DAT", "SHEET.CSV", "cube.img"]
)
@pytest.mark.parametrize("read", [read_pds3, index_pds3])
def test_damaged_files_are_refused_by_name_or_read(tmp_path: Path, file: str, read: object) -> None:
    mapper_files(tmp_path)
    companded_file(tmp_path, stale=13)
    binary_table_file(tmp_path)
    spreadsheet_file(tmp_path)
    cube_file(tmp_path, "SAMPLE_INTERLEAVED", "VAX_REAL", np.ones((2, 3, 4), "f4"), more=SPECIAL)
    assert set(survive(read, tmp_path / file, 60, seed=1)) <= {"refused", "read"}


def _facts(real_data: Path, name: str) -> dict[str, dict[str, object]]:
    return {Path(one["file"]).name: one["facts"] for one in json.loads((real_data / "facts.json").read_text())[name]}


@pytest.mark.real
@pytest.mark.parametrize("camera", ["nacl.img", "nacr.img"])
def test_the_real_narrow_angle_images_begin_after_their_labels(real_data: Path, camera: str) -> None:
    facts, found = _facts(real_data, "pds3")[camera], read_pds3(real_data / "pds3" / "lroc_nac" / camera)
    image = found.IMAGE
    assert f"byte {facts['image_offset'] + 1}," in found.attrs["repaired"][0]
    assert list(image.shape) == facts["shape"]
    assert image.dtype == facts["dtype"]
    assert (image.values.min(), image.values.max()) == (facts["min"], facts["max"])
    assert image.values.mean() == pytest.approx(facts["mean"], abs=5e-9)
    assert image.values[0, :4].tolist() == facts["first_pixels"]
    assert np.corrcoef(image.values[0], image.values[1])[0, 1] == pytest.approx(
        facts["row0_row1_correlation"], abs=5e-5
    )
    assert {key: image.attrs[key] for key in facts["companding"]} == facts["companding"]
    assert len(found.attrs["suspect"]) == 2
    (one,) = index_pds3(real_data / "pds3" / "lroc_nac" / camera)
    assert (one.instrument, one.level, one.start) == ("LROC", "EDR", parse_utc(facts["first_time"]))
    assert found.attrs["label"]["LINE_EXPOSURE_DURATION"] == {"value": facts["line_exposure_ms"], "unit": "ms"}


@pytest.mark.real
def test_the_real_spectrometer_set_agrees_with_the_data_sheet(real_data: Path) -> None:
    folder = real_data / "pds3" / "m3"
    (label,) = folder.glob("*.LBL")
    facts, tree = _facts(real_data, "pds3"), read_pds3(label)
    stem = label.name.replace("_L1B_cropped.LBL", "")
    radiance, about = tree["RDN_IMAGE/RDN_IMAGE"], facts[f"{stem}_RDN_cropped.IMG"]
    assert list(radiance.shape) == about["shape_lines_bands_samples"]
    assert radiance.dtype == about["dtype"]
    values = radiance.values.astype(np.float64)
    assert [values.min(), values.max(), values.mean()] == pytest.approx(
        [about["min"], about["max"], about["mean"]], rel=1e-9
    )
    assert values.mean(axis=(0, 2)) == pytest.approx(about["band_means"], rel=1e-6)
    assert radiance.attrs["units"] == about["unit"]
    location, about = tree["LOC_IMAGE/LOC_IMAGE"], facts[f"{stem}_LOC_cropped.IMG"]
    for band, key in (("Longitude", "lon_deg"), ("Latitude", "lat_deg"), ("Radius", "radius_m")):
        plane, expected = location.sel(band=band).values, about[key]
        assert plane.dtype == expected["dtype"]
        assert [plane.min(), plane.max(), plane.mean()] == pytest.approx(
            [expected[one] for one in ("min", "max", "mean")], rel=1e-9
        )
    geometry, about = tree["OBS_IMAGE/OBS_IMAGE"], facts[f"{stem}_OBS_cropped.IMG"]
    assert list(geometry.shape) == about["shape_lines_bands_samples"]
    assert geometry.values.astype(np.float64).mean(axis=(0, 2)) == pytest.approx(about["band_mean"], rel=1e-6)
    times, about = tree["UTC_TIME_TABLE"].tai.values.astype("i8"), facts[f"{stem}_TIM_cropped.TAB"]
    assert (len(times), times[0], times[-1]) == (about["rows"], parse_utc(about["first"]), parse_utc(about["last"]))
    assert np.diff(times).tolist() == [round(about["step_s"] * 1e9)] * 4
    about = facts[label.name]
    assert tree.attrs["label"]["SOLAR_DISTANCE"]["value"] == about["solar_distance_au"]
    assert tree.attrs["label"]["PRODUCT_ID"] == about["product_id"]
    assert tree.attrs["absent"] == ["RDN_ENVI_HEADER", "LOC_ENVI_HEADER", "OBS_ENVI_HEADER"]
    one = index_pds3(folder / f"{stem}_RDN_cropped.IMG")[0]
    assert (one.start, one.stop - 1) == (parse_utc(about["start"]), parse_utc(about["stop"]))


@pytest.mark.real
def test_the_real_star_tracker_frames_have_the_means_and_histograms_of_their_labels(
    real_data: Path, tmp_path: Path
) -> None:
    facts = _facts(real_data, "clementine")["lba*z.219"]
    frames = sorted((real_data / "clementine" / "raw").iterdir())
    assert len(frames) == facts["n_frames"]
    for frame in frames:
        tree, about = read_pds3(frame), facts["per_frame"][frame.name]
        image, label = tree["IMAGE/IMAGE"].values, tree.attrs["label"]
        assert list(image.shape) == facts["shape"]
        assert (image.dtype, image.min(), image.max()) == (np.uint8, about["min"], about["max"])
        assert image.mean() == pytest.approx(about["mean"], rel=1e-6)
        assert label["IMAGE"]["CHECKSUM"] == image.sum(dtype=np.int64)
        np.testing.assert_array_equal(
            tree["IMAGE_HISTOGRAM/IMAGE_HISTOGRAM"], np.bincount(image.ravel(), minlength=256)
        )
        assert (label["START_TIME"], label["EXPOSURE_DURATION"]["value"]) == (about["time"], about["exposure_ms"])
        (one,) = index_pds3(frame)
        assert (one.site, one.instrument, one.start) == ("clementine", "B-STAR", parse_utc(about["time"]))
    detached = real_data / "clementine" / "labels" / f"{frame.name}.lbl"
    with pytest.raises(FormatError, match="are not beside it"):
        read_pds3(detached)
    shutil.copy(detached, tmp_path)
    shutil.copy(frame, tmp_path)
    np.testing.assert_array_equal(read_pds3(tmp_path / detached.name)["IMAGE/IMAGE"], image)


@pytest.mark.real
@pytest.mark.parametrize("file", ["lroc_nac/nacl.img", "m3/M3T20090630T083407_V03_L1B_cropped.LBL"])
def test_damaged_copies_of_real_files_are_refused_by_name_or_read(real_data: Path, tmp_path: Path, file: str) -> None:
    for one in (real_data / "pds3" / file).parent.iterdir():
        shutil.copyfile(one, tmp_path / one.name)
    for read, count in ((read_pds3, 200), (index_pds3, 100)):
        assert set(survive(read, tmp_path / Path(file).name, count, seed=1)) <= {"refused", "read"}
