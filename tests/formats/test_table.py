"""Tables of text: by a declared layout or their own header; what is damaged is counted, and nothing is guessed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ilrs_science import FormatError, IlrsError
from ilrs_science.formats.table import FIXED_WIDTH, FORMAT, index_csv, index_fixed_width, read_csv, read_fixed_width
from ilrs_science.formats.table.layout import Column, Layout
from ilrs_science.geometry import parse_utc
from ilrs_science.simulate.pds3_files import mapper_files, spreadsheet_file
from ilrs_science.testing.mutation import survive

PAIR = {"columns": [{"name": "a"}, {"name": "b"}]}


def written(folder: Path, text: str, name: str = "made.csv") -> Path:
    """Write a file of this text."""
    path = folder / name
    path.write_text(text, newline="")
    return path


def test_a_header_gives_names_units_and_the_time(tmp_path: Path) -> None:
    text = (
        "\n# made for a test\n\nTIME,T [K],dt (ms),note,x (raw),T [K]\n"
        '2016-12-31T23:59:60.5Z,1.5,3,"a, b",7,1\n2017-01-01T00:00:00Z,,4,c,8,2\n'
    )
    found = read_csv(written(tmp_path, text))
    assert found.tai.values.astype("i8").tolist() == [
        parse_utc("2016-12-31T23:59:60.5Z"),
        parse_utc("2017-01-01T00:00:00Z"),
    ]
    assert list(found.data_vars) == ["T", "dt", "note", "x (raw)", "T_2"]
    np.testing.assert_array_equal(found["T"], [1.5, np.nan])
    assert (found["T"].attrs["units"], found["dt"].attrs["units"], found["dt"].dtype) == ("K", "ms", np.int64)
    assert found["note"].values.tolist() == ["a, b", "c"]
    assert found.attrs["columns"] == ["TIME", "T [K]", "dt (ms)", "note", "x (raw)", "T [K]"]
    assert found.attrs["rejected"] == {}


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", " "])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_any_separator_and_line_end_is_found(tmp_path: Path, separator: str, line_end: str) -> None:
    rows = [["day", "flux"], ["1", "2.5"], ["2", "-1e3"]]
    found = read_csv(written(tmp_path, line_end.join(separator.join(row) for row in rows)))
    assert (found["day"].values.tolist(), found["flux"].values.tolist()) == ([1, 2], [2.5, -1000.0])
    assert found["day"].dims == ("row",)


def test_the_names_may_stand_in_a_comment(tmp_path: Path) -> None:
    found = read_csv(written(tmp_path, "# a note\n# day flux\n 1 2.5\n 2\t 3.5 \n"))
    assert (found["day"].values.tolist(), found["flux"].values.tolist()) == ([1, 2], [2.5, 3.5])


def test_two_columns_of_times_are_both_text_as_none_is_the_time(tmp_path: Path) -> None:
    found = read_csv(written(tmp_path, "start,stop\n2001-01-01T00:00:00Z,2001-01-02T00:00:00Z\n"))
    assert "time" not in found
    assert found["start"].values.tolist() == ["2001-01-01T00:00:00Z"]


def test_lines_that_are_damaged_are_counted(tmp_path: Path) -> None:
    rows = ["time,a", "2001-01-01T00:00:00Z,1", "2001-01-01T00:00:01Z", "2001-01-01T00:00:02Z,3,4"]
    text = "\n".join([*rows, "2001-01-01T00:00:03Z,6", "2001-01-01T00:00:61Z,5", "never,5\n"])
    found = read_csv(written(tmp_path, text))
    assert found["a"].values.tolist() == [1, 6]
    assert found.attrs["rejected"] == {"wrong number of fields": 2, "no time": 2}
    found = read_csv(written(tmp_path, "1,2\n3,x\n5,1e999\n,4\n"), PAIR)
    np.testing.assert_array_equal(found["a"], [1, np.nan])
    assert found.attrs["rejected"] == {"no number": 2}


def test_a_layout_declares_types_constants_flags_and_time(tmp_path: Path) -> None:
    layout = {
        "header": 1,
        "comment": "%",
        "columns": [
            {"name": "day", "dtype": "text"},
            {"name": "clock", "dtype": "text"},
            {"name": "t", "units": "degC", "missing": -9999, "dtype": "float32", "about": "temperature"},
            {"name": "flags", "dtype": "uint8", "flags": {"missing": 1, "outlier": 2}},
            {"name": "n", "dtype": "int16", "missing": [-1, "---"]},
        ],
        "time": {"columns": ["day", "clock"], "format": "%d/%m/%Y %H:%M:%S.%f"},
    }
    rows = ["31/12/1971,00:00:00.5,-9999.0,3.0E0,5", "01/01/1972,12:00:00.0,+2.5,0,---", "1/1/1972,1:0:0.0,1,300,1"]
    lines = "a title\n% no data\n" + "\n".join(rows)
    path = written(tmp_path, lines)
    found = read_csv(path, layout)
    assert found.tai.values.astype("i8").tolist() == [
        parse_utc("1971-12-31T00:00:00.5Z"),
        parse_utc("1972-01-01T12:00:00Z"),
    ]
    np.testing.assert_array_equal(found["t"], np.array([np.nan, 2.5], "f4"))
    assert (found["t"].dtype, found["t"].attrs["units"], found["t"].attrs["long_name"]) == (
        "f4",
        "deg_C",
        "temperature",
    )
    assert (found["flags"].dtype, found["flags"].values.tolist()) == (np.uint8, [3, 0])
    assert (found["flags"].attrs["flag_masks"], found["flags"].attrs["flag_meanings"]) == ([1, 2], "missing outlier")
    assert (found["n"].values.tolist(), found["n"].attrs["missing_value"]) == ([5, -1], [-1, "---"])
    assert found.attrs["rejected"] == {"no number": 1}, "300 is no uint8"
    (one,) = index_csv(path, layout)
    assert (one.count, one.start, one.stop - 1) == (
        3,
        found.tai.values.astype("i8")[0],
        parse_utc("1972-01-01T12:00:00Z"),
    )


@pytest.mark.parametrize(
    ("time", "cell", "expected"),
    [
        ({"format": "s", "epoch": "1971-12-31T00:00:00"}, "86400", "1972-01-01T00:00:00Z"),
        ({"format": "ms", "epoch": "2000-01-01T00:00:00", "scale": "tai"}, "32000.5", "2000-01-01T00:00:00.0005Z"),
        ({"format": "d", "epoch": "2016-12-31T00:00:00"}, "1.5", "2017-01-01T12:00:00Z"),
        ({"format": "ns"}, "1500000000000000001", "2017-07-14T02:40:00.000000001Z"),
        ({"format": "iso"}, "2016-366T23:59:60", "2016-12-31T23:59:60Z"),
        ({"format": "%Y %j"}, "2016 366", "2016-12-31T00:00:00Z"),
    ],
)
def test_time_counts_from_an_epoch_or_follows_a_pattern(
    tmp_path: Path, time: dict[str, str], cell: str, expected: str
) -> None:
    layout = {"columns": [{"name": "t", "dtype": "text"}, {"name": "a"}], "time": {"columns": ["t"], **time}}
    found = read_csv(written(tmp_path, f"{cell},1\nnothing,2\n"), layout)
    assert found.tai.values.astype("i8").tolist() == [parse_utc(expected)]
    assert found.attrs["rejected"] == {"no time": 1}


@given(st.lists(st.tuples(st.integers(-(2**62), 2**62), st.floats(allow_nan=False, allow_infinity=False)), min_size=1))
@settings(max_examples=50)
def test_numbers_that_are_written_are_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, float]]
) -> None:
    path = written(tmp_path_factory.getbasetemp(), "".join(f"{whole},{real!r}\n" for whole, real in rows))
    found = read_csv(path, {"columns": [{"name": "whole", "dtype": "int64"}, {"name": "real"}]})
    assert list(zip(found["whole"].values.tolist(), found["real"].values.tolist(), strict=True)) == rows


def test_columns_of_fixed_width_need_not_be_separated(tmp_path: Path) -> None:
    layout = {
        "columns": [
            {"name": "n", "start": 1, "width": 3, "dtype": "int32"},
            {"name": "x", "start": 4, "width": 5},
            {"name": "note", "start": 10, "width": 6, "dtype": "text"},
        ]
    }
    path = written(tmp_path, "  1-1.25 one\n 22  3.5\n\n333 4.75 longer text\n 4  1\n  x  1.0 bad\n", "made.txt")
    found = read_fixed_width(path, layout)
    assert found["n"].values.tolist() == [1, 22, 333]
    np.testing.assert_array_equal(found["x"], [-1.25, 3.5, 4.75])
    assert found["note"].values.tolist() == ["one", "", "longer"]
    assert found.attrs["rejected"] == {"too short": 1, "no number": 1}
    assert (index_fixed_width(path, layout)[0].count, index_fixed_width(path, layout)[0].format) == (5, "fixed-width")


def test_a_table_of_fixed_width_needs_a_layout_of_fixed_width(tmp_path: Path) -> None:
    path = written(tmp_path, "1 2\n")
    with pytest.raises(IlrsError, match=r"layout\.separator: found ','"):
        read_fixed_width(path, PAIR)
    with pytest.raises(FormatError, match="declare a layout"):
        index_fixed_width(path)
    assert not FIXED_WIDTH.recognises(b"1 2\n", path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"seperator": ","}, r"layout\.seperator: found ','; allowed: keys columns, separator"),
        ({"columns": []}, "at least one"),
        ({"columns": [{"name": "a"}, {"name": "a"}]}, "each name once"),
        ({"columns": [{"name": "a", "dtype": "float3"}]}, r"layout\.columns\[0\]\.dtype: found 'float3'"),
        ({"columns": [{"start": 1}]}, r"layout\.columns\[0\]\.name"),
        ({"columns": [{"name": "a", "start": 3}]}, "both, from 1 on"),
        ({"columns": [{"name": "a", "width": 3}]}, "both, from 1 on"),
        ({"columns": [{"name": "a", "flags": {"bad": 1}}]}, "bits are those of an integer"),
        ({"columns": [{"name": "a", "missing": {}}]}, r"missing: found \{\}"),
        ({"columns": ["a"]}, "a mapping"),
        ({"separator": "::"}, "one character"),
        ({"header": -1}, "a whole number"),
        ({"time": {"columns": ["c"]}}, "columns of the table: a, b"),
        ({"time": {"columns": ["a"], "format": "julian"}}, "a pattern of strptime"),
        ({"time": {"columns": ["a"], "epoch": "now"}}, "ISO 8601"),
        ({"time": {"columns": ["a"], "scale": "gps"}}, "utc, tai"),
    ],
)
def test_a_layout_that_cannot_be_understood_is_refused_with_the_place(
    tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    with pytest.raises(IlrsError, match=reason):
        read_csv(written(tmp_path, "1,2\n"), {**PAIR, **change})


def test_a_layout_may_be_a_value(tmp_path: Path) -> None:
    layout = Layout((Column("a", dtype="int8"), Column("b")))
    assert read_csv(written(tmp_path, "1,2\n"), layout)["a"].dtype == np.int8


def test_text_that_is_no_utf_8_is_latin_1_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "made.csv"
    path.write_bytes("name,n\nM\u00fcller,1\n".encode("latin-1"))
    found = read_csv(path)
    assert found["name"].values.tolist() == ["M\u00fcller"]
    assert found.attrs["repaired"] == ["text is taken for latin-1"]


@pytest.mark.parametrize("text", ["", "1,2\n3,4\n", "a,b\n1\n", "no table at all\n", "x" * 50_000, '"a,b\n1,2\n'])
def test_a_file_without_a_header_is_no_table(tmp_path: Path, text: str) -> None:
    with pytest.raises(FormatError, match="declare a layout"):
        read_csv(written(tmp_path, text))


def test_an_empty_table_has_no_rows(tmp_path: Path) -> None:
    assert read_csv(written(tmp_path, "a,b\n"))["a"].shape == (0,)
    assert read_csv(written(tmp_path, ""), PAIR)["a"].shape == (0,)
    with pytest.raises(FileNotFoundError):
        read_csv(tmp_path / "none.csv")


def test_a_file_with_a_label_beside_it_is_no_bare_table(tmp_path: Path) -> None:
    mapper_files(tmp_path)
    spreadsheet_file(tmp_path)
    text = "day,flux\n1,2\n"
    files = {
        "made.csv": True,
        "SHEET.CSV": False,
        "labelled.csv": False,
        "made.cef": False,
        "made.json": False,
    }
    written(tmp_path, text)
    written(tmp_path, text, "labelled.csv")
    written(tmp_path, "<xml/>", "labelled.xml")
    written(tmp_path, '{"a", 1,\n"b", 2}\n', "made.json")
    written(tmp_path, 'FILE_NAME = "x", 1\nFILE_FORMAT_VERSION = "CEF-2.0", 2\n', "made.cef")
    for name, expected in files.items():
        assert FORMAT.recognises((tmp_path / name).read_bytes(), tmp_path / name) is expected, name


def test_a_long_cell_costs_no_more_than_its_length(tmp_path: Path) -> None:
    rows = "".join(f"{number},x\n" for number in range(20_000))
    found = read_csv(written(tmp_path, f"n,note\n{rows}1,{'y' * 100_000}\n"))
    assert found["note"].dtype == object
    assert len(found["note"].values[-1]) == 100_000


@pytest.mark.parametrize("layout", [None, "pair", "fixed"])
def test_damaged_tables_are_refused_by_name_or_read(tmp_path: Path, layout: str | None) -> None:
    lines = "".join(f"2001-01-01T00:00:{second:02d}Z,{second / 7:.6f},word {second}\n" for second in range(40))
    path = written(tmp_path, f"time,value [nT],note\n{lines}")
    columns = [{"name": "t", "dtype": "text"}, {"name": "v"}, {"name": "n", "dtype": "text"}]
    places = [{"start": 1, "width": 20}, {"start": 22, "width": 8}, {"start": 31, "width": 7}]
    declared: dict[str, Any] = {"columns": columns, "header": 1, "time": {"columns": ["t"]}}
    if layout == "fixed":
        declared["columns"] = [{**column, **place} for column, place in zip(columns, places, strict=True)]
    chosen = declared if layout else None
    assert set(survive(lambda one: read_csv(one, chosen), path, 300, seed=1)) <= {"refused", "read"}
    assert set(survive(lambda one: index_csv(one, chosen), path, 100, seed=1)) <= {"refused", "read"}


def _facts(real_data: Path, name: str) -> dict[str, dict[str, Any]]:
    return {Path(one["file"]).name: one["facts"] for one in json.loads((real_data / "facts.json").read_text())[name]}


@pytest.mark.real
def test_the_real_catalogue_of_moonquakes_agrees_with_the_data_sheet(real_data: Path) -> None:
    path = real_data / "apollo_s12" / "apollo12_catalog_GradeA_1970_1971.csv"
    facts, found = _facts(real_data, "apollo_s12")[path.name], read_csv(path)
    assert found.attrs["columns"] == facts["columns"]
    assert found.sizes["time"] == facts["rows"]
    assert (found.tai.values.astype("i8")[0], found.tai.values.astype("i8")[-1]) == (
        parse_utc(facts["first"]),
        parse_utc(facts["last"]),
    )
    kinds, counts = np.unique(found["mq_type"], return_counts=True)
    assert dict(zip(kinds, counts, strict=True)) == facts["types"]
    assert found["time_rel"].attrs["units"] == "s"
    (one,) = index_csv(path)
    assert (one.count, one.start, one.stop - 1) == (
        facts["rows"],
        found.tai.values.astype("i8").min(),
        found.tai.values.astype("i8").max(),
    )


@pytest.mark.real
def test_the_real_tables_of_the_magnetometer_agree_with_the_data_sheet(real_data: Path) -> None:
    facts, folder = _facts(real_data, "imap_mag"), real_data / "imap_mag"
    about, found = facts["mag_l0_test_output.csv"], read_csv(folder / "mag_l0_test_output.csv")
    assert (list(found.data_vars), found.sizes["row"]) == (about["columns"], about["rows"])
    packets = zip(found["PHDLEN"].values, found["CCSDS_HEX"].values, strict=True)
    lengths = {int(size) + 7 - len(text) // 2 for size, text in packets}
    assert lengths == {1}, "every packet lacks its last byte"
    about, found = facts["mag_l1a_test_output.csv"], read_csv(folder / "mag_l1a_test_output.csv")
    assert found.sizes["row"] == about["rows"]
    assert np.unique(found["sequence"]).tolist() == about["sequences"]
    for sensor, key in (("pri", "primary"), ("sec", "secondary")):
        vectors = np.stack([found[f"{axis}_{sensor}"].values for axis in "xyz"])
        assert (vectors.min(), vectors.max()) == (about[key]["min"], about[key]["max"])
        assert vectors.mean(axis=1) == pytest.approx(about[key]["mean"], abs=5e-3)
    for row, place in (("first_row", 0), ("last_row", -1)):
        assert {name: int(found[name].values[place]) for name in found.data_vars} == about[row]


@pytest.mark.real
def test_the_real_table_of_64000_gains_is_read_by_a_layout(real_data: Path) -> None:
    path = real_data / "chandrayaan2_iirs" / "ch2_iirs_cal_e1g2_lut_coeff.csv"
    facts = _facts(real_data, "chandrayaan2_iirs")[path.name]
    found = read_csv(path, {"columns": [{"name": "Multiplicative_Factor"}, {"name": "Offset"}]})
    assert found.sizes["row"] == facts["rows"]
    for name, values in found.data_vars.items():
        about = facts[name]
        assert (values.values.min(), values.values.max(), values.values.mean()) == pytest.approx(
            (about["min"], about["max"], about["mean"]), rel=1e-9
        )
    for key, place in (("first_row", 0), ("last_row", -1)):
        assert [values.values[place] for values in found.data_vars.values()] == facts[key]
    with pytest.raises(FormatError, match="declare a layout"):
        read_csv(path)


@pytest.mark.real
def test_only_bare_tables_are_recognised_among_the_real_files(real_data: Path) -> None:
    found = set()
    for path in (one for one in real_data.rglob("*") if one.is_file()):
        with path.open("rb") as file:
            if FORMAT.recognises(file.read(32768), path):
                found.add(path)
    every = set(real_data.rglob("*.csv"))
    assert every - found == {real_data / "chandrayaan2_iirs" / "ch2_iirs_cal_e1g2_lut_coeff.csv"}
    assert found <= every


@pytest.mark.real
def test_damaged_copies_of_a_real_table_are_refused_by_name_or_read(real_data: Path, tmp_path: Path) -> None:
    path = tmp_path / "catalogue.csv"
    path.write_bytes((real_data / "apollo_s12" / "apollo12_catalog_GradeA_1970_1971.csv").read_bytes())
    assert set(survive(read_csv, path, 300, seed=1)) <= {"refused", "read"}
