"""PDS4: what the label declares comes out of the data beside it; what the label has wrong is mended and told."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from ilrs_science.errors import FormatError, IlrsError
from ilrs_science.formats.format import HEAD
from ilrs_science.formats.pds4 import FORMAT, index_pds4, read_pds4
from ilrs_science.geometry import parse_utc
from ilrs_science.geometry.time import utc_to_tai
from ilrs_science.simulate.pds4 import (
    Array,
    Field,
    Group,
    Label,
    Pair,
    Table,
    tables_product,
    write_product,
)
from ilrs_science.testing.mutation import survive

SAMPLES = {
    "SignedByte": "i1",
    "UnsignedByte": "u1",
    **{
        f"{sign}{order}{size}": f"{mark}{letter}{size}"
        for sign, letter in (("Signed", "i"), ("Unsigned", "u"))
        for order, mark in (("MSB", ">"), ("LSB", "<"))
        for size in (2, 4, 8)
    },
    **{
        f"IEEE754{order}{name}": f"{mark}f{size}"
        for order, mark in (("MSB", ">"), ("LSB", "<"))
        for name, size in (("Single", 4), ("Double", 8))
    },
    **{f"Complex{order}{size}": f"{mark}c{size}" for order, mark in (("MSB", ">"), ("LSB", "<")) for size in (8, 16)},
}


def product(folder: Path, data: bytes, structure: Table | Array, **more: Any) -> Pair:
    return write_product(folder, "made.dat", data, [structure], Label(suffix=".xml", **more))


def changed(pair: Pair, old: str, new: str) -> Path:
    text = pair.label.read_text()
    assert old in text
    pair.label.write_text(text.replace(old, new))
    return pair.label


def repaired(found: xr.Dataset | xr.DataTree) -> str:
    return " | ".join(found.attrs.get("repaired", []))


def character(
    folder: Path, rows: list[str], fields: Sequence[Field | Group], *, end: str = "\r\n", length: int = 0, **more: Any
) -> Pair:
    data = "".join(row + end for row in rows).encode("latin-1")
    return product(
        folder, data, Table("Character", fields, len(rows), length=length or len(rows[0]) + len(end)), **more
    )


def binary(folder: Path, table: np.ndarray, fields: Sequence[Field | Group], **more: Any) -> Pair:
    return product(folder, table.tobytes(), Table("Binary", fields, len(table), length=table.itemsize), **more)


@pytest.mark.parametrize(("kind", "dtype"), SAMPLES.items())
@pytest.mark.parametrize("style", ["array", "table"])
def test_each_binary_type_is_read_as_it_is_in_the_byte_order_of_this_machine(
    tmp_path: Path, kind: str, dtype: str, style: str
) -> None:
    rng = np.random.default_rng(1)
    truth = (
        (rng.normal(0, 40, 30) * (1 + 1j * ("c" in dtype)) + 60).astype(dtype)
        if "c" in dtype
        else rng.uniform(0, 120, 30).astype(dtype)
    )
    if style == "array":
        found = read_pds4(product(tmp_path, truth.tobytes(), Array("Array_1D", "x", kind, {"Time": 30})).data)
    else:
        found = read_pds4(binary(tmp_path, truth, [Field("x", kind, 1, truth.itemsize, unit="nT")]).data)
        assert found.x.attrs["units"] == "nT"
    np.testing.assert_array_equal(found.x, truth)
    assert found.x.dtype == np.dtype(dtype).newbyteorder("=")
    assert found.x.dtype.isnative
    assert "repaired" not in found.attrs
    assert found.attrs["rejected"] == {}


@given(
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    kind=st.sampled_from(["SignedMSB2", "UnsignedLSB4", "UnsignedByte", "SignedLSB8"]),
    first=st.booleans(),
    before=st.integers(0, 9),
)
def test_an_array_that_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, shape: list[int], kind: str, first: bool, before: int
) -> None:
    truth = np.random.default_rng(before).integers(0, 99, shape).astype(SAMPLES[kind])
    order = "First Index Fastest" if first else "Last Index Fastest"
    axes = {f"Axis {number}": size for number, size in enumerate(shape)}
    structure = Array("Array", "x", kind, axes, offset=before, order=order)
    data = bytes(before) + truth.tobytes(order="F" if first else "C")
    found = read_pds4(product(tmp_path_factory.mktemp("law"), data, structure).label)
    np.testing.assert_array_equal(found.x, truth)
    assert found.x.dims == tuple(axes)


def test_tables_of_all_kinds_and_an_array_of_one_file_hold_what_was_written(tmp_path: Path) -> None:
    pair = tables_product(tmp_path)
    tree = read_pds4(pair.data)
    assert list(tree.children) == ["binary", "character", "delimited", "cube"]
    for name in ("binary", "character", "delimited"):
        found = tree[name].to_dataset()
        np.testing.assert_array_equal(
            found.tai.astype("i8"), utc_to_tai(pair.truth["time"].astype("datetime64[ns]").astype(np.int64))
        )
        for field in ("real", "count", "pair"):
            np.testing.assert_array_equal(found[field], pair.truth[field])
        assert found.pair.dims == ("time", "outer_1", "inner_1")
        assert found.attrs["headers"] == ["Header: 18 bytes from byte 0"]
        assert found.attrs["md5_verified"] == "yes"
        assert "repaired" not in found.attrs
    np.testing.assert_array_equal(tree["cube/cube"], pair.truth["cube"])
    assert tree["cube/cube"].dtype == np.float32
    assert (tree["cube/cube"].attrs["missing_constant"], tree["cube/cube"].attrs["saturated_constant"]) == (
        -32768,
        -32767,
    )


def test_label_and_data_are_the_same_product_and_one_structure_can_be_asked_for(tmp_path: Path) -> None:
    pair = tables_product(tmp_path)
    assert read_pds4(pair.data).identical(read_pds4(pair.label))
    one = read_pds4(pair.label, structure="delimited")
    assert one.identical(read_pds4(pair.data, structure=2))
    assert one.attrs["title"] == "simulated"
    with pytest.raises(IlrsError, match="no structure 'images'; there are binary, character, delimited, cube"):
        read_pds4(pair.label, structure="images")


def test_an_index_names_the_data_file_and_the_span_of_its_records(tmp_path: Path) -> None:
    pair = tables_product(tmp_path)
    (one,) = index_pds4(pair.label)
    assert [one] == index_pds4(pair.data)
    times = read_pds4(pair.label)["binary"].tai.values.astype("i8")
    assert (one.url, one.count, one.format) == (str(pair.data), 12, "pds4")
    assert (one.start, one.stop) == (times[0], times[-1] + 1)


def test_special_constants_are_nan_in_reals_and_stay_in_integers(tmp_path: Path) -> None:
    none = "<missing_constant>-999.0</missing_constant><invalid_constant>0xC0000000</invalid_constant>"
    special = f"<Special_Constants>{none}{{}}</Special_Constants>"
    table = np.array([(1.5, 7), (-999, -999), (-2, 3)], [("x", ">f4"), ("n", "<i2")])
    fields = [
        Field("x", "IEEE754MSBSingle", 1, 4, more=special.format("<valid_maximum>1.5</valid_maximum>")),
        Field("n", "SignedLSB2", 5, 2, more=special.format("")),
    ]
    found = read_pds4(binary(tmp_path, table, fields).data)
    np.testing.assert_array_equal(found.x, np.array([1.5, np.nan, np.nan], "f4"))
    np.testing.assert_array_equal(found.n, [7, -999, 3])
    assert found.x.attrs["missing_constant"] == -999
    assert found.x.attrs["invalid_constant"] == -2
    assert found.n.attrs["missing_constant"] == -999


@pytest.mark.parametrize(
    ("kind", "scaling", "dtype"),
    [
        ("SignedMSB2", (0.01, 20.0), np.float32),
        ("SignedMSB2", (0.001, 1737400.0), np.float64),
        ("SignedMSB4", (0.5, 0.0), np.float64),
        ("IEEE754MSBSingle", (2.0, 1.0), np.float32),
    ],
)
def test_scaling_is_applied_in_reals_that_resolve_it(
    tmp_path: Path, kind: str, scaling: tuple[float, float], dtype: type
) -> None:
    stored = np.array([-300, 0, 5, 32000], SAMPLES[kind])
    structure = Array("Array_1D", "x", kind, {"n": 4}, scaling=scaling, constants={"missing_constant": "0"})
    found = read_pds4(product(tmp_path, stored.tobytes(), structure).data)
    expected = stored.astype(float) * scaling[0] + scaling[1]
    expected[1] = np.nan
    assert found.x.dtype == dtype
    np.testing.assert_allclose(found.x, expected, atol=scaling[0] / 64)


def test_bits_of_a_byte_and_of_a_number_are_fields_of_their_own(tmp_path: Path) -> None:
    def bits(name: str, first: int, last: int, kind: str = "UnsignedBitString") -> str:
        place = f"<start_bit_location>{first}</start_bit_location><stop_bit_location>{last}</stop_bit_location>"
        return f"<Field_Bit><name>{name}</name>{place}<data_type>{kind}</data_type></Field_Bit>"

    packed = "<Packed_Data_Fields>{}</Packed_Data_Fields>"
    fields = [
        Field(
            "word",
            "UnsignedBitString",
            1,
            2,
            more=packed.format(bits("a", 1, 3) + bits("b", 4, 12) + bits("c", 13, 16, "SignedBitString")),
        ),
        Field("number", "UnsignedLSB2", 3, 2, more=packed.format(bits("high", 1, 8) + bits("low", 9, 16))),
    ]
    data = bytes([0b101_00000, 0b0011_1111, 0x34, 0x12])
    found = read_pds4(product(tmp_path, data, Table("Binary", fields, 1, length=4)).data)
    assert [int(found[name][0]) for name in ("a", "b", "c", "high", "low")] == [5, 3, -1, 0x12, 0x34]


def test_numbers_in_other_bases_truth_values_and_text_are_what_they_say(tmp_path: Path) -> None:
    kinds = ["ASCII_Numeric_Base2", "ASCII_Numeric_Base8", "ASCII_Numeric_Base16", "ASCII_Boolean", "UTF8_String"]
    fields = [Field(kind, kind, 1 + 8 * n, 7) for n, kind in enumerate(kinds)]
    found = read_pds4(
        character(
            tmp_path,
            ["   1011     777    fF10 true    a, b|c  ", "      1       0       0 false   \xb0C      "],
            fields,
        ).data
    )
    assert [found[kind].values[0] for kind in kinds] == [11, 0o777, 0xFF10, True, "a, b|c"]
    assert found["UTF8_String"].values[1] == "\ufffdC"
    assert "no UTF-8" in repaired(found)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["2016-12-31T23:59:60.25Z", "2017-01-01T00:00:00Z"], ["2016-12-31T23:59:60.25Z", "2017-01-01T00:00:00Z"]),
        (["2020-060T12:00:00.5", "2020-366T00:00:00"], ["2020-02-29T12:00:00.5Z", "2020-12-31T00:00:00Z"]),
        (["2020-02-29", "2020-03-01T05:06Z"], ["2020-02-29T00:00:00Z", "2020-03-01T05:06:00Z"]),
    ],
)
def test_dates_with_the_day_of_the_month_or_of_the_year_are_time(
    tmp_path: Path, texts: list[str], expected: list[str]
) -> None:
    rows = [f"{text:24}1" for text in [*texts, "2020-02-30T00:00:00Z", "2021-366T00:00:00", "no time"][: 2 + 1]]
    fields = [
        Field("when", "ASCII_Date_Time_YMD", 1, 24),
        Field("n", "ASCII_Integer", 25, 1),
    ]
    found = read_pds4(character(tmp_path, rows, fields).data)
    assert found.tai.values.astype("i8").tolist() == [parse_utc(text) for text in expected]
    assert found.attrs["rejected"] == {"no time": 1}
    assert found.attrs["time_field"] == "when"


CLOCK = "<description>seconds since 2001-01-01T00:00:00Z</description>"
AGREES = ("2001-01-01T00:00:10", "2001-01-01T00:00:20.5")


def counted_table(folder: Path, more: str, span: tuple[str, str]) -> Path:
    rows = [f"{count:8}" for count in (10, 15.25, -99, 20.5)]
    special = "<Special_Constants><missing_constant>-99</missing_constant></Special_Constants>"
    fields = [Field("Time", "ASCII_Real", 1, 8, unit="s", more=more + special)]
    return character(folder, rows, fields, span=span).data


def test_a_count_since_an_epoch_is_time_where_the_label_agrees(tmp_path: Path) -> None:
    found = read_pds4(counted_table(tmp_path, CLOCK, AGREES))
    assert found.tai.values.astype("i8").tolist() == [
        parse_utc(f"2001-01-01T00:00:{s}Z") for s in ("10", "15.25", "20.5")
    ]
    assert found.attrs["rejected"] == {"no time": 1}
    assert "repaired" not in found.attrs


def test_a_count_that_the_label_contradicts_is_no_time_unless_the_caller_says_so(tmp_path: Path) -> None:
    path = counted_table(tmp_path, CLOCK, ("2002-01-01T00:00:10", "2002-01-01T00:00:20.5"))
    found = read_pds4(path)
    assert "time" not in found.coords
    assert found.sizes == {"record": 4}
    assert "the label says from 2002-01-01T00:00:10Z to 2002-01-01T00:00:20.500Z: not read as time" in repaired(found)
    assert (index_pds4(path)[0].start, index_pds4(path)[0].stop) == (0, 0)
    told = read_pds4(path, epoch="2002-01-01")
    assert told.tai.values.astype("i8")[0] == parse_utc("2002-01-01T00:00:10Z")
    with pytest.raises(IlrsError, match="write the epoch as"):
        read_pds4(path, epoch="yesterday")


@pytest.mark.parametrize(
    "text",
    [
        "s since 2001-01-01T00:00:00 TDB",
        "since power-up",
        "midnight on April 31, 2001",
        "since 2001-99-01",
        "since launch 2001",
    ],
)
def test_a_count_without_a_certain_epoch_is_no_time(tmp_path: Path, text: str) -> None:
    found = read_pds4(counted_table(tmp_path, f"<description>{text}</description>", AGREES))
    assert "time" not in found.coords


INTEGERS = np.arange(1, 13, dtype=">i2").view([("a", ">i2"), ("b", ">i2")])
TWO = [Field("a", "SignedMSB2", 1, 2), Field("b", "SignedMSB2", 3, 2)]


@pytest.mark.parametrize(
    ("old", "new", "records", "told"),
    [
        ("<record_length unit='byte'>4<", "<record_length unit='byte'>6<", 6, "record_length 6: records have 4 bytes"),
        ("<record_length unit='byte'>4<", "<record_length unit='byte'>2<", 6, "record_length 2: records have 4 bytes"),
        ("<records>6<", "<records>9<", 6, "records 9: the file has 6"),
        ("<records>6<", "<records>2<", 6, "records 2: the file has 6"),
        (">24</file_size>", ">24000</file_size>", 6, "file_size 24000: made.dat has 24 bytes"),
        ("<field_location unit='byte'>3</field_location>", "", 6, "b: no field_location"),
        ("<name>b<", "<name>a<", 6, "field 2 is called 'a'"),
        ("<offset unit='byte'>0</offset>", "", 6, "no offset"),
    ],
)
def test_a_binary_table_that_the_label_has_wrong_is_read_as_it_is(
    tmp_path: Path, old: str, new: str, records: int, told: str
) -> None:
    found = read_pds4(changed(binary(tmp_path, INTEGERS, TWO), old, new))
    columns = list(found.data_vars)
    assert found.sizes["record"] == records
    np.testing.assert_array_equal(found["a"], INTEGERS["a"])
    np.testing.assert_array_equal(found[columns[1]], INTEGERS["b"])
    assert told in repaired(found)


def test_a_binary_record_that_is_cut_short_is_counted(tmp_path: Path) -> None:
    pair = binary(tmp_path, INTEGERS, TWO)
    pair.data.write_bytes(pair.data.read_bytes()[:-3])
    found = read_pds4(pair.data)
    assert found.sizes["record"] == 5
    assert found.attrs["rejected"] == {"cut short": 1}
    assert index_pds4(pair.data)[0].count == 6
    assert "suspect" in repaired(found)
    assert found.attrs["md5_verified"] == "no, another"


@pytest.mark.parametrize(
    ("kind", "length", "dtype", "shape"),
    [
        ("UnsignedByte", 4, "u1", (3, 4)),
        ("SignedMSB2", 4, ">i4", (3,)),
        ("IEEE754LSBSingle", 12, "<f4", (3, 3)),
        ("UnsignedMSB4", 3, "u1", (3, 3)),
        ("Nonsense", 5, "u1", (3, 5)),
    ],
)
def test_a_width_that_its_type_cannot_have_is_read_as_several_or_another_of_its_kind(
    tmp_path: Path, kind: str, length: int, dtype: str, shape: tuple[int, ...]
) -> None:
    data = np.arange(1, 1 + 3 * length, dtype="u1")
    structure = Table("Binary", [Field("x", kind, 1, length)], 3, length=length)
    found = read_pds4(product(tmp_path, data.tobytes(), structure).data)
    np.testing.assert_array_equal(found.x, data.view(dtype).reshape(shape))
    assert f"x: {kind} of {length} bytes" in repaired(found) or "none of PDS4" in repaired(found)


@pytest.mark.parametrize("size", ["<group_length>12</group_length>", "<group_length>4</group_length>", ""])
def test_a_group_without_its_true_length_is_as_long_as_its_fields(tmp_path: Path, size: str) -> None:
    data = np.arange(6, dtype=">i2")
    fields = [Field("x", "SignedMSB2", 1, 2), Field("y", "SignedMSB2", 3, 2)]
    group = Group("g", 3, fields, 1, 12)
    pair = product(tmp_path, data.tobytes(), Table("Binary", [group], 1, length=12))
    found = read_pds4(changed(pair, "<group_length unit='byte'>12</group_length>", size))
    np.testing.assert_array_equal(found.x, [[0, 2, 4]])
    np.testing.assert_array_equal(found.y, [[1, 3, 5]])
    assert found.x.dims == found.y.dims == ("record", "g_1")


@pytest.mark.parametrize("style", ["array", "table"])
def test_reals_labelled_in_the_wrong_byte_order_are_swapped_and_told(tmp_path: Path, style: str) -> None:
    truth = np.random.default_rng(3).normal(0, 900, 500).astype("<f4")
    if style == "array":
        structure = Array("Array_2D", "x", "IEEE754MSBSingle", {"a": 20, "b": 25})
    else:
        structure = Table("Binary", [Field("x", "IEEE754MSBSingle", 1, 4)], 500, length=4)
    found = read_pds4(product(tmp_path, truth.tobytes(), structure).data)
    np.testing.assert_array_equal(found.x.values.ravel(), truth)
    assert f"x: labelled IEEE754MSBSingle, read in the other byte order: {truth[0]:.8g}" in repaired(found)


@pytest.mark.parametrize("truth", [np.full(9, 1e20), np.geomspace(1e15, 1e30, 60), np.full(9, np.nan), np.zeros(4)])
def test_reals_that_are_large_are_left_as_they_are(tmp_path: Path, truth: np.ndarray) -> None:
    stored = truth.astype(">f4")
    structure = Table("Binary", [Field("x", "IEEE754MSBSingle", 1, 4)], len(truth), length=4)
    found = read_pds4(product(tmp_path, stored.tobytes(), structure).data)
    np.testing.assert_array_equal(found.x, stored)


FIELDS = [Field("x", "ASCII_Real", 1, 8), Field("n", "ASCII_Integer", 10, 4)]
ROWS = [f"{x:8.3f} {n:4d}" for x, n in zip((1.5, -22.25, 3e3), (7, -8, 900), strict=True)]


@pytest.mark.parametrize(("end", "length"), [("\n", 15), ("\r\n", 14), ("\r\n", 99), ("\n", 0), ("", 13)])
def test_lines_of_other_ends_or_lengths_than_labelled_are_read(tmp_path: Path, end: str, length: int) -> None:
    found = read_pds4(character(tmp_path, ROWS, FIELDS, end=end, length=length or 14).data)
    assert found.x.values.tolist() == [1.5, -22.25, 3000]
    assert found.n.values.tolist() == [7, -8, 900]
    assert repaired(found)


def test_rows_of_text_that_are_damaged_are_counted_by_reason(tmp_path: Path) -> None:
    good = ROWS * 20
    found = read_pds4(character(tmp_path, [*good, "one      two ", "1.0\x01      001", *ROWS, "short"], FIELDS).data)
    assert found.sizes["record"] == 63
    assert found.attrs["rejected"] == {"wrong length": 1, "no number": 1, "control characters": 1}
    assert index_pds4(tmp_path / "made.dat")[0].count == 66


def test_values_that_are_not_of_their_type_make_their_column_another(tmp_path: Path) -> None:
    kinds = ("ASCII_Integer", "ASCII_Integer", "ASCII_Real", "ASCII_Real", "UnsignedByte")
    fields = [Field(f"f{n}", kind, 1 + 6 * n, 5) for n, kind in enumerate(kinds)]
    found = read_pds4(
        character(tmp_path, ["   +1   1.5   1D2 north     3", "          2  -.5  south     4"], fields).data
    )
    assert found.f0.values[0] == 1
    assert np.isnan(found.f0.values[1])
    assert found.f1.values.tolist() == [1.5, 2]
    assert found.f2.values.tolist() == [100, -0.5]
    assert found.f3.values.tolist() == ["north", "south"]
    assert found.f4.values.tolist() == [3, 4]
    for told in (
        "f0: ASCII_Integer with blanks; read as real",
        "f1: ASCII_Integer read as real",
        "f3: ASCII_Real read as text",
    ):
        assert told in repaired(found)


def test_fields_that_touch_are_not_told_apart_by_blanks(tmp_path: Path) -> None:
    fields = [Field("a", "ASCII_Integer", 1, 3), Field("b", "ASCII_Integer", 4, 3)]
    found = read_pds4(character(tmp_path, ["123456", "111222", "  1  2"], fields).data)
    assert found.a.values.tolist() == [123, 111, 1]
    assert found.b.values.tolist() == [456, 222, 2]


def test_a_delimited_table_keeps_quoted_text_and_counts_rows_of_another_width(tmp_path: Path) -> None:
    fields = [Field("a", "ASCII_String"), Field("b", "ASCII_Real")]
    data = b'"x;y";1.5\nplain;\nz;1;2\n;7\n'
    pair = product(tmp_path, data, Table("Delimited", fields, 4))
    found = read_pds4(changed(pair, ">Comma<", ">Semicolon<"))
    assert found.a.values.tolist() == ["x;y", "plain", ""]
    np.testing.assert_array_equal(found.b, [1.5, np.nan, 7])
    assert found.attrs["rejected"] == {"wrong number of fields": 1}
    assert "record_delimiter is LF" in repaired(found)


def test_a_quote_that_is_left_open_takes_no_other_row_along(tmp_path: Path) -> None:
    fields = [Field("a", "ASCII_String"), Field("b", "ASCII_Real")]
    rows = [b'"x, y","1"', b'"open,2', b'odd","3', b'5" wide,4', b"", b'"",5', b"z,6"]
    found = read_pds4(product(tmp_path, b"\r\n".join(rows), Table("Delimited", fields, 6)).data)
    assert found.a.values.tolist() == ["x, y", "", "z"]
    assert found.b.values.tolist() == [1, 5, 6]
    assert found.attrs["rejected"] == {"wrong number of fields": 3}
    assert index_pds4(tmp_path / "made.dat")[0].count == 6


def test_text_in_binary_records_is_text_and_numbers(tmp_path: Path) -> None:
    table = np.array([(b"ab\0\0", b" 1.5"), (b"\xe9t\xe9", b"  -2")], [("name", "S4"), ("x", "S4")])
    fields = [Field("name", "ASCII_String", 1, 4), Field("x", "ASCII_Real", 5, 4)]
    found = read_pds4(binary(tmp_path, table, fields).data)
    assert found.name.values.tolist() == ["ab", "\ufffdt\ufffd"]
    assert found.x.values.tolist() == [1.5, -2]


@pytest.mark.parametrize(
    ("rewrite", "told"),
    [
        (lambda text: text.replace("<title>", "<title>30 \xb0C ").encode("latin-1"), "read as latin-1"),
        (lambda text: text.replace("<title>", "<title>\u6708\u7403 ").encode("gb18030"), "read as gb18030"),
        (lambda text: text.replace("<title>", "<sp:x>1</sp:x><title>").encode(), "no namespace is given for sp"),
        (lambda text: text.replace('"UTF-8"', '"punycode"').encode(), "encoding punycode; read as utf-8"),
        (lambda text: text.encode("utf-16"), ""),
        (lambda text: b"\xef\xbb\xbf" + text.encode() + b"\0\0\n", ""),
    ],
)
def test_a_label_is_read_however_it_is_encoded(tmp_path: Path, rewrite: object, told: str) -> None:
    pair = binary(tmp_path, INTEGERS, TWO)
    pair.label.write_bytes(rewrite(pair.label.read_text()))  # type: ignore[operator]
    found = read_pds4(pair.data)
    np.testing.assert_array_equal(found.a, INTEGERS["a"])
    assert told in repaired(found)
    assert "simulated" in found.attrs["title"]


def test_a_data_file_that_was_renamed_is_found_by_the_name_of_its_label(tmp_path: Path) -> None:
    pair = binary(tmp_path, INTEGERS, TWO)
    pair.data.rename(tmp_path / "other.dat")
    pair.label.rename(tmp_path / "other.xml")
    for path in (tmp_path / "other.dat", tmp_path / "other.xml"):
        found = read_pds4(path)
        assert found.attrs["data_file"] == "other.dat"
        assert "'made.dat'" in repaired(found)
    (tmp_path / "other.txt").touch()
    with pytest.raises(FormatError, match="absent, and 2 files are named like the label"):
        read_pds4(tmp_path / "other.xml")


@pytest.mark.parametrize("name", ["../made.dat", "/etc/passwd", "a/made.dat", "..", "a\\b", "x" * 300])
def test_a_file_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "made.dat").write_bytes(INTEGERS.tobytes())
    pair = binary(tmp_path / "in", INTEGERS, TWO)
    label = changed(pair, "<file_name>made.dat<", f"<file_name>{name}<")
    for read in (read_pds4, index_pds4):
        with pytest.raises(FormatError, match="lies in the folder of its label"):
            read(label)


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(INTEGERS.tobytes())
    pair = binary(tmp_path / "in", INTEGERS, TWO)
    pair.data.unlink()
    pair.data.symlink_to(tmp_path / "secret")
    with pytest.raises(FormatError, match="a link out of the folder"):
        read_pds4(pair.label)


BOMB = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><Product_Observational'
OUTSIDE = '<!DOCTYPE x SYSTEM "file:///etc/passwd"><Product_Observational'


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("<Product_Observational", BOMB, "document type or an entity"),
        ("<Product_Observational", OUTSIDE, "document type or an entity"),
        ("<title>", "<title>" + "<a>" * 60 + "</a>" * 60, "nested more than"),
        ("<records>6<", "<records>six<", "records of Table_Binary .* is 'six'"),
        ("<offset unit='byte'>0<", "<offset unit='byte'>25<", "from byte 25 of a file of 24 bytes"),
        ("<field_length unit='byte'>2<", "<field_length unit='byte'>99999999999<", "reaches to byte"),
        ("<field_location unit='byte'>3<", "<field_location unit='byte'>0<", "at location 0"),
        ("File_Area_Observational", "File_Erea", "no file area"),
        ("Table_Binary", "Table_Other", "no table and no array"),
        ("Record_Binary", "Rekord", "without records"),
        ("<Field_Binary", "<Feld", "damaged XML"),
        ("Product_Observational", "Bundle", "no PDS4 label"),
        ("</Product_Observational>", "", "damaged XML"),
    ],
)
def test_a_label_that_cannot_be_followed_is_refused_by_name(tmp_path: Path, old: str, new: str, reason: str) -> None:
    label = changed(binary(tmp_path, INTEGERS, TWO), old, new)
    for read in (read_pds4, index_pds4):
        with pytest.raises(FormatError, match=reason) as refused:
            read(label)
        assert "made" in str(refused.value)


@pytest.mark.parametrize("repetitions", ["0", "7", "99999999999999", "-1"])
def test_a_group_that_repeats_beyond_its_record_is_refused(tmp_path: Path, repetitions: str) -> None:
    group = Group("g", 3, [Field("x", "SignedMSB2", 1, 2)], 1, 6)
    pair = product(tmp_path, bytes(6), Table("Binary", [group], 1, length=6))
    label = changed(pair, "<repetitions>3<", f"<repetitions>{repetitions}<")
    with pytest.raises(FormatError):
        read_pds4(label)


def test_groups_nested_without_end_or_overlapping_are_refused(tmp_path: Path) -> None:
    inner = Field("x", "UnsignedByte", 1, 1)
    for level in range(12):
        inner = Group(f"g{level}", 1, [inner], 1, 1)
    with pytest.raises(FormatError, match="nested more than 8 deep"):
        read_pds4(product(tmp_path, bytes(6), Table("Binary", [inner], 1, length=6)).label)
    fields = [Field(f"x{n}", "UnsignedByte", 1, 6) for n in range(50)]
    with pytest.raises(FormatError, match="overlap in a record"):
        read_pds4(product(tmp_path, bytes(6), Table("Binary", fields, 1, length=6)).label)
    wide = Group("g", 60000, [Field("a", "ASCII_Real")] * 2)
    with pytest.raises(FormatError, match="columns"):
        read_pds4(product(tmp_path, b"1,2\r\n", Table("Delimited", [wide], 1)).label)


@pytest.mark.parametrize(
    ("axes", "kind", "reason"),
    [
        ({"Line": 10**9, "Sample": 10**9}, "SignedMSB2", "where there are 24 bytes"),
        ({"Line": 0}, "SignedMSB2", r"of \(0,\) samples"),
        ({f"a{n}": 1 for n in range(20)}, "SignedMSB2", "20 axes"),
        ({"Line": 3}, "Fixed", "none of PDS4"),
    ],
)
def test_an_array_that_the_file_cannot_hold_is_refused(
    tmp_path: Path, axes: dict[str, int], kind: str, reason: str
) -> None:
    with pytest.raises(FormatError, match=reason):
        read_pds4(product(tmp_path, bytes(24), Array("Array_2D_Image", "x", kind, axes)).label)


def test_bytes_after_an_array_are_told(tmp_path: Path) -> None:
    structure = Array("Array_2D_Image", "x", "SignedMSB2", {"Line": 3, "Sample": 3})
    assert "6 bytes follow the array" in repaired(read_pds4(product(tmp_path, bytes(24), structure).label))


def test_a_file_that_is_missing_or_has_no_label_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_pds4(tmp_path / "absent.xml")
    (tmp_path / "alone.2B").write_bytes(bytes(9))
    with pytest.raises(FormatError, match=r"none lies beside it: alone\.2BL"):
        read_pds4(tmp_path / "alone.2B")


@pytest.mark.parametrize("what", ["data", "label"])
def test_no_mutation_makes_anything_but_a_dataset_or_a_format_error(tmp_path: Path, what: str) -> None:
    pair = tables_product(tmp_path)
    path = pair.data if what == "data" else pair.label
    assert set(survive(read_pds4, path, 300, seed=1)) <= {"refused", "read"}
    assert set(survive(index_pds4, path, 100, seed=2)) <= {"refused", "read"}


def test_labels_and_their_data_are_recognised_and_self_describing_files_are_not(tmp_path: Path) -> None:
    pair = tables_product(tmp_path)
    assert FORMAT.recognises(pair.label.read_bytes()[:HEAD], pair.label)
    assert FORMAT.recognises(pair.data.read_bytes()[:HEAD], pair.data)
    assert not FORMAT.recognises(b"SIMPLE  =                    T", pair.data)
    assert not FORMAT.recognises(b"<?xml version='1.0'?><xtce:SpaceSystem/>", tmp_path / "other.xml")


@pytest.mark.real
def test_the_real_temperatures_of_apollo_17_agree_with_the_data_sheet(real_data: Path) -> None:
    sheets = {
        one["file"]: one["facts"] for one in json.loads((real_data / "facts.json").read_text())["apollo_heatflow"]
    }
    facts, clean = (
        sheets["apollo_heatflow/clean/a17p1f1.tab"],
        read_pds4(real_data / "apollo_heatflow/clean/a17p1f1.tab"),
    )
    assert clean.sizes["time"] == facts["rows"]
    flags = clean.flags.values.astype(int)
    good = (flags & 0b1111) == 0
    assert {str(flag): int(count) for flag, count in zip(*np.unique(flags, return_counts=True), strict=True)} == facts[
        "flag_counts"
    ]
    assert int(np.isnan(clean["T"]).sum()) == facts["n_missing_T"]
    assert clean["T"].attrs["missing_constant"] == facts["missing_constant"]
    assert float(clean["T"].min()) == pytest.approx(facts["min_T_not_missing"], abs=1e-5)
    assert np.nan_to_num(clean["T"], nan=facts["missing_constant"]).mean() == pytest.approx(
        facts["naive_mean_T"], abs=5e-6
    )
    assert int(good.sum()) == facts["n_good"]
    assert clean["T"].values[good].mean() == pytest.approx(facts["T_good"]["mean"], abs=5e-7)
    assert (clean["T"].values[good].min(), clean["T"].values[good].max()) == (
        facts["T_good"]["min"],
        facts["T_good"]["max"],
    )
    assert clean.dT.values[good].mean() == pytest.approx(facts["dT_good_mean"], abs=5e-7)
    assert clean.Time.values[[0, -1]].tolist() == facts["time_ms_first_last"]
    assert clean.tai.values.astype("i8")[[0, -1]].tolist() == [
        parse_utc(facts[key].replace(" ", "T")) for key in ("first_time", "last_time")
    ]
    assert "file_size 1251784" in repaired(clean)
    assert "the label says from 1972-12-12T15:32:05Z to 1974-12-31T21:58:11Z: read so" in repaired(clean)
    (granule,) = index_pds4(real_data / "apollo_heatflow/clean/a17p1f1.xml")
    assert (granule.site, granule.instrument, granule.count) == ("apollo-17", "HEAT FLOW EXPERIMENT", facts["rows"])
    assert (granule.start, granule.stop) == (clean.tai.values.astype("i8")[0], clean.tai.values.astype("i8")[-1] + 1)

    facts, source = (
        sheets["apollo_heatflow/source/a17_hfe_p1_1.tab"],
        read_pds4(real_data / "apollo_heatflow/source/a17_hfe_p1_1.tab"),
    )
    assert list(source.data_vars) == facts["columns"]
    assert "not read as time" in repaired(source)
    for name in ("AVG_TEMP", "DELTA_TEMP"):
        values = np.nan_to_num(source[f"{name} (K)"], nan=-9999)
        assert values.max() == facts[name]["max"]
        assert values.mean() == pytest.approx(facts[name]["mean"], rel=5e-10)
    epoch = read_pds4(real_data / "apollo_heatflow/source/a17_hfe_p1_1.xml", epoch="1971-12-31T00:00:00")
    np.testing.assert_array_equal(epoch.tai.astype("i8"), clean.tai.astype("i8"))
    np.testing.assert_array_equal(epoch["AVG_TEMP (K)"], clean["T"])


@pytest.mark.real
def test_the_real_coefficients_of_chandrayaan_2_agree_with_the_data_sheet(real_data: Path) -> None:
    sheet, _ = json.loads((real_data / "facts.json").read_text())["chandrayaan2_iirs"]
    facts, found = sheet["facts"], read_pds4(real_data / sheet["file"])
    assert found.sizes["record"] == facts["rows"]
    for name in ("Multiplicative_Factor", "Offset"):
        values = found[name].values
        for statistic in ("min", "max", "mean"):
            assert getattr(values, statistic)() == pytest.approx(facts[name][statistic], rel=5e-10)
    for place, row in ((0, "first_row"), (-1, "last_row")):
        assert [float(found[name][place]) for name in found.data_vars] == facts[row]
    assert (found.attrs["md5_checksum"], found.attrs["md5_verified"]) == (facts["md5_label"], "yes")
    assert found.attrs["md5_checksum"] == hashlib.md5((real_data / sheet["file"]).read_bytes()).hexdigest()  # noqa: S324
    assert "file_size 1760220" in repaired(found)


@pytest.mark.real
@pytest.mark.parametrize("file", ["apollo_heatflow/clean/a17p1f1", "chandrayaan2_iirs/ch2_iirs_cal_e1g2_lut_coeff"])
def test_mutations_of_real_labels_are_read_or_refused(real_data: Path, tmp_path: Path, file: str) -> None:
    for path in (real_data / file).parent.glob(f"{Path(file).name}.*"):
        data = path.read_bytes()
        (tmp_path / path.name).write_bytes(data if path.suffix == ".xml" else data[: len(data) // 20])
    label = tmp_path / f"{Path(file).name}.xml"
    assert set(survive(read_pds4, label, 300, seed=3)) <= {"refused", "read"}
    assert set(survive(index_pds4, label, 100, seed=4)) <= {"refused", "read"}


@pytest.mark.real
def test_no_file_of_another_family_is_recognised(real_data: Path) -> None:
    own = {"ce4_lpr", "apollo_heatflow", "chandrayaan2_iirs"}
    for path in real_data.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                head = file.read(HEAD)
            assert FORMAT.recognises(head, path) == bool(own & set(path.parts)), path
