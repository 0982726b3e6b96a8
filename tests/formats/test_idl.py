"""IDL save files: variables and structures, plain and compressed; nothing that a file declares is believed."""

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.io import readsav

from ilrs_science import FormatError
from ilrs_science.formats.idl import FORMAT, index_idl, read_idl
from ilrs_science.testing.mutation import survive

CODES = {"u1": 1, "i2": 2, "i4": 3, "f4": 4, "f8": 5, "c8": 6, "c16": 9, "u2": 12, "u4": 13, "i8": 14, "u8": 15}


def long(*values: int) -> bytes:
    """Return integers as the file has them."""
    return struct.pack(f">{len(values)}i", *values)


def text(value: str) -> bytes:
    """Return a text after its length."""
    raw = value.encode("latin-1")
    return long(len(raw)) + raw + bytes(-len(raw) % 4)


def data_text(value: str) -> bytes:
    """Return a text as variables hold it."""
    return long(len(value)) + text(value) if value else long(0)


def shape(values: np.ndarray) -> bytes:
    """Return the descriptor of an array."""
    sizes = [*values.shape[::-1], *[1] * (8 - values.ndim)]
    return long(8, values.itemsize, values.nbytes, values.size, values.ndim, 0, 0, 8, *sizes)


def code_of(value: Any) -> int:
    """Return the type of a value."""
    array = np.asarray(value)
    return 7 if array.dtype.kind in "OU" else CODES[f"{array.dtype.kind}{array.itemsize}"]


def stored(value: Any) -> bytes:
    """Return the values themselves: 16 bits take 32, bytes follow their number, text its length twice."""
    array = np.asarray(value)
    if array.dtype.kind in "OU":
        return b"".join(data_text(str(one)) for one in array.reshape(-1))
    if array.itemsize == 2:
        return array.astype(f">{array.dtype.kind}4").tobytes()
    raw = array.astype(array.dtype.newbyteorder(">")).tobytes()
    return (long(array.size) if array.itemsize == 1 else b"") + raw + bytes(-len(raw) % 4)


def structure(name: str, members: dict[str, Any]) -> bytes:
    """Return the descriptor of a structure."""
    arrays = {key: np.asarray(value) for key, value in members.items()}
    tags = b"".join(long(0, code_of(one), 4 if one.ndim else 0) for one in arrays.values())
    names = b"".join(text(key) for key in members)
    shapes = b"".join(shape(one) for one in arrays.values() if one.ndim)
    return long(9) + text(name) + long(0, len(members), 0) + tags + names + shapes


def variable(name: str, value: Any) -> bytes:
    """Return the body of a record of a variable; a list of dictionaries is an array of structures."""
    if isinstance(value, list):
        rows = np.zeros(len(value), "i4")
        values = b"".join(stored(member) for row in value for member in row.values())
        return text(name) + long(8, 32 | 4) + shape(rows) + structure("POINT", value[0]) + long(7) + values
    array = np.asarray(value)
    described = long(code_of(value), 4 if array.ndim else 0) + (shape(array) if array.ndim else b"")
    return text(name) + described + long(7) + stored(value)


def save(folder: Path, bodies: list[tuple[int, bytes]], *, compressed: bool = False) -> Path:
    """Write a file of records."""
    data = b"SR\0\6" if compressed else b"SR\0\4"
    for kind, plain in bodies:
        body = zlib.compress(plain) if compressed else plain
        data += struct.pack(">iIIi", kind, len(data) + 16 + len(body), 0, 0) + body
    path = folder / "made.sav"
    path.write_bytes(data + struct.pack(">iIIi", 6, 0, 0, 0))
    return path


CONTENT: dict[str, Any] = {
    "BYTES": np.arange(5, dtype="u1"),
    "SHORT": np.array([[-1, 2, 3], [4, 5, 32767]], "i2"),
    "WORDS": np.array([65535, 0], "u2"),
    "LONGS": np.array([[[-7]], [[2**31 - 1]]], "i4"),
    "REAL": np.linspace(0, 1, 6, dtype="f4").reshape(3, 2),
    "WAVE": np.array([1 - 2j]),
    "ONE": np.float64(2.5),
    "FLAG": np.uint8(7),
    "NOTE": np.array("a note"),
    "NAMES": np.array(["", "one", "three"], object),
    "BIG": np.uint64(2**63),
}
POINTS = [{"X": np.int16(3), "Y": np.array([1.5, row]), "NAME": np.array(f"point {row}")} for row in range(3)]
FIXED = [{"X": np.int16(row), "Y": np.array([1.5, row]), "B": np.array([1, 2, 3], "u1")} for row in range(4)]
BODIES = [
    (10, bytes(1024) + text("Mon May  1 12:00:00 2023") + text("me") + text("here")),
    (14, long(9) + text("x86_64") + text("linux") + text("8.7")),
    *((2, variable(name, value)) for name, value in CONTENT.items()),
    (2, variable("POINTS", POINTS)),
    (2, variable("FIXED", FIXED)),
    (20, data_text("made for a test")),
]


@pytest.mark.parametrize("compressed", [False, True])
def test_variables_and_structures_are_what_they_were(tmp_path: Path, compressed: bool) -> None:
    found = read_idl(save(tmp_path, BODIES, compressed=compressed))
    for name, value in CONTENT.items():
        np.testing.assert_array_equal(found[name.lower()], value)
        assert found[name.lower()].dtype.kind == np.asarray(value).dtype.kind or name == "NAMES"
        assert found[name.lower()].dtype.isnative
    assert found["longs"].dims == ("longs_1", "longs_2", "longs_3")
    assert found["points.x"].values.tolist() == [3, 3, 3]
    assert found["points.y"].values.tolist() == [[1.5, 0], [1.5, 1], [1.5, 2]]
    assert found["points.name"].values.tolist() == ["point 0", "point 1", "point 2"]
    assert found["fixed.x"].values.tolist() == [0, 1, 2, 3]
    assert found["fixed.b"].values.tolist() == [[1, 2, 3]] * 4
    assert (found.attrs["date"], found.attrs["release"]) == ("Mon May  1 12:00:00 2023", "8.7")
    assert found.attrs["description"] == "made for a test"


def test_scipy_reads_the_same_from_the_same_file(tmp_path: Path) -> None:
    path = save(tmp_path, BODIES)
    other, found = readsav(path, python_dict=True), read_idl(path)
    for name in CONTENT:
        theirs = other[name.lower()]
        if np.asarray(theirs).dtype.kind not in "OS":
            np.testing.assert_array_equal(found[name.lower()], theirs)
    np.testing.assert_array_equal(found["fixed.y"], np.stack(other["fixed"]["Y"]))
    assert [name.decode() for name in other["points"]["NAME"]] == found["points.name"].values.tolist()


@given(hnp.arrays(st.sampled_from(list(CODES)), hnp.array_shapes(max_dims=4, max_side=4)))
@settings(max_examples=60)
def test_arrays_that_are_saved_are_read_back(tmp_path_factory: pytest.TempPathFactory, values: np.ndarray) -> None:
    found = read_idl(save(tmp_path_factory.getbasetemp(), [(2, variable("A", values))]))["a"]
    np.testing.assert_array_equal(found, values)
    assert found.dtype == values.dtype


def test_one_structure_has_no_dimension_of_its_own(tmp_path: Path) -> None:
    found = read_idl(save(tmp_path, [(2, variable("POINTS", POINTS[:1])), (2, variable("FIXED", FIXED[:1]))]))
    assert (found["points.name"].dims, found["points.y"].dims) == ((), ("points.y_1",))
    assert (found["fixed.x"].dims, found["fixed.b"].dims) == ((), ("fixed.b_1",))


def test_arrays_may_be_described_with_64_bits(tmp_path: Path) -> None:
    sizes = struct.pack(">8Q", 2, 3, *[1] * 6)
    described = long(18, 0, 0) + struct.pack(">QQ", 24, 6) + long(2, 0, 0) + sizes
    body = text("A") + long(3, 4) + described + long(7) + long(*range(6))
    assert read_idl(save(tmp_path, [(2, body)]))["a"].values.tolist() == [[0, 1], [2, 3], [4, 5]]


def test_pointers_and_undefined_variables_are_named(tmp_path: Path) -> None:
    pointer, nothing = text("P") + long(10, 0, 7, 1), text("N") + long(0, 0)
    heap = long(1, 0, 3, 0, 7, 42)
    records = [(15, long(1, 1)), (16, heap), (2, pointer), (2, nothing), (2, variable("ONE", np.float32(1)))]
    found = read_idl(save(tmp_path, records))
    assert (list(found.data_vars), found.attrs["not_read"]) == (["one"], {"p": "pointer", "n": "undefined"})
    with pytest.raises(FormatError, match="nothing in it can be read"):
        read_idl(save(tmp_path, records[:4]))


def test_an_index_counts_the_variables(tmp_path: Path) -> None:
    for compressed in (False, True):
        (one,) = index_idl(save(tmp_path, BODIES, compressed=compressed))
        assert (one.count, one.format, one.stop) == (len(CONTENT) + 2, "idl", 0)


REAL = variable("A", np.zeros(4, "f4"))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (REAL.replace(long(16, 4, 1), long(2**30, 2**28, 1)), "an array of"),
        (REAL.replace(long(16, 4, 1, 0, 0, 8, 4), long(2**30, 2**28, 1, 0, 0, 8, 2**28)), "an array of"),
        (REAL.replace(long(16, 4, 1, 0, 0, 8, 4), long(16, 4, 9, 0, 0, 8, 4)), "an array of"),
        (REAL.replace(long(16, 4, 1, 0, 0, 8, 4), long(0, 0, 1, 0, 0, 8, 0)), "an array of"),
        (REAL[:-4], "16 bytes at byte"),
        (REAL.replace(long(4, 4), long(44, 4)), "of type 44"),
        (REAL.replace(long(4, 4), long(4, 6)), "a system variable"),
        (REAL.replace(long(7), long(9)), "no values"),
        (long(2**31 - 1) + bytes(99), "2147483647 bytes at byte 4"),
        (long(-5) + bytes(99), "-5 bytes"),
        (variable("A", POINTS).replace(long(9) + text("POINT"), long(9) + text("OTHER"))[:-4], "bytes at byte"),
        (variable("A", POINTS).replace(text("POINT") + long(0, 3), text("POINT") + long(0, 2**30)), "members of the"),
        (variable("A", POINTS).replace(text("POINT") + long(0, 3), text("POINT") + long(1, 3)), "nowhere described"),
        (variable("A", CONTENT["NAMES"]).replace(long(2, 3, 1), long(2, 3, 1))[:-8], "bytes at byte"),
    ],
)
def test_a_variable_that_lies_is_refused(tmp_path: Path, body: bytes, reason: str) -> None:
    with pytest.raises(FormatError, match=reason) as error:
        read_idl(save(tmp_path, [(2, body)]))
    assert "made.sav: record at byte 4" in str(error.value)


def test_structures_that_multiply_are_refused(tmp_path: Path) -> None:
    """Each of ten structures has ten of the one before: 10^10 values in a file of some hundred bytes."""
    inner, predefined = structure("S0", {"A": np.int32(1)}), ""
    for number in range(1, 8):
        tags = b"".join(long(0, 8, 32 | 4) for _ in range(8))
        names = b"".join(text(f"M{one}") for one in range(8))
        shapes = shape(np.zeros(1, "i4")) * 8
        predefined = long(9) + text(f"S{number - 1}") + long(1, 8, 0)
        inner = long(9) + text(f"S{number}") + long(0, 8, 0) + tags + names + shapes + inner + predefined * 7
    body = text("A") + long(8, 36) + shape(np.zeros(1, "i4")) + inner + long(7) + bytes(64)
    with pytest.raises(FormatError, match="bytes of values in a record"):
        read_idl(save(tmp_path, [(2, body)]))


def test_records_that_go_back_or_beyond_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path, BODIES)
    good = path.read_bytes()
    for after, reason in ((4, "next record at byte 4"), (len(good) + 1, "next record"), (2**31, "next record")):
        path.write_bytes(good[:8] + struct.pack(">I", after) + good[12:])
        with pytest.raises(FormatError, match=reason):
            read_idl(path)
    path.write_bytes(good[:-16])
    with pytest.raises(FormatError, match="ends before its last record"):
        read_idl(path)
    path.write_bytes(b"SR\0\5" + good[4:])
    with pytest.raises(FormatError, match="no IDL save file"):
        read_idl(path)
    with pytest.raises(FileNotFoundError):
        read_idl(tmp_path / "none.sav")


def test_bytes_that_inflate_without_measure_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path, [(2, bytes(10**6))], compressed=True)
    with pytest.raises(FormatError, match="nothing in it"):
        read_idl(path)
    data = bytearray(path.read_bytes())
    data[20:24] = b"zlib"
    path.write_bytes(data)
    with pytest.raises(FormatError, match="damaged zlib"):
        read_idl(path)


def test_a_file_is_recognised_by_its_first_record(tmp_path: Path) -> None:
    path = save(tmp_path, BODIES)
    assert FORMAT.recognises(path.read_bytes(), path)
    for head in (b"SR\0\4", b"SR\0\4" + bytes(3) + b"\x7f" + bytes(50), b"SIMPLE  ="):
        assert not FORMAT.recognises(head, path)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("read", [read_idl, index_idl])
def test_damaged_files_are_refused_by_name_or_read(tmp_path: Path, compressed: bool, read: Any) -> None:
    assert set(survive(read, save(tmp_path, BODIES, compressed=compressed), 300, seed=1)) <= {"refused", "read"}


@pytest.mark.real
@pytest.mark.parametrize("name", ["dark.dat", "orbit219_dark.dat", "orbit219_limb.dat"])
def test_the_real_files_agree_with_the_data_sheet_and_with_scipy(real_data: Path, name: str) -> None:
    sheet = json.loads((real_data / "facts.json").read_text())["clementine"]
    (facts,) = [one["facts"] for one in sheet if one["file"] == f"clementine/cal/{name}"]
    path = real_data / "clementine" / "cal" / name
    found, other = read_idl(path), readsav(path)
    assert set(found.data_vars) == set(facts)
    for variable_name, about in facts.items():
        values = found[variable_name].values
        assert (list(values.shape), values.dtype.newbyteorder(">").str) == (about["shape"], about["dtype"])
        assert [values.min(), values.max()] == pytest.approx([about["min"], about["max"]], rel=1e-9)
        assert values.astype(np.float64).mean() == pytest.approx(about["mean"], rel=1e-9)
        np.testing.assert_array_equal(values, other[variable_name])
    assert index_idl(path)[0].count == len(facts)


@pytest.mark.real
def test_damaged_copies_of_a_real_file_are_refused_by_name_or_read(real_data: Path, tmp_path: Path) -> None:
    path = tmp_path / "limb.dat"
    path.write_bytes((real_data / "clementine" / "cal" / "orbit219_limb.dat").read_bytes())
    assert set(survive(read_idl, path, 300, seed=1)) <= {"refused", "read"}
