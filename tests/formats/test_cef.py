"""CEF-2: a table of text with a header of its own, read whole or refused; what is damaged is counted."""

import gzip
import json
import random
from pathlib import Path

import numpy as np
import pytest

from ilrs_science.errors import FormatError
from ilrs_science.formats.cef import index_cef, read_cef
from ilrs_science.geometry import parse_utc
from ilrs_science.simulate.cef import write_cef

HEADER = """! a comment with "quotes" and = signs
FILE_NAME = "made.cef"
FILE_FORMAT_VERSION = "CEF-2.0"
{marker}
START_META = MISSION
  ENTRY = "Cluster"
  ENTRY = "second line"
END_META = MISSION
START_VARIABLE = time_tags
  VALUE_TYPE = ISO_TIME
END_VARIABLE = time_tags
START_VARIABLE = field
  VALUE_TYPE = FLOAT
  SIZES = 2,3
  UNITS = "nT"
  FILLVAL = -1.0E+31
  LABEL_1 = "x", \\
            "y", "z, tilted"
END_VARIABLE = field
start_variable = status
  value_type = int
  FILLVAL = 0
END_VARIABLE = status
START_VARIABLE = energies
  VALUE_TYPE = FLOAT
  SIZES = 2
  DATA = 10.5, 20
END_VARIABLE = energies
START_VARIABLE = mode
  VALUE_TYPE = CHAR
END_VARIABLE = mode
DATA_UNTIL = "{until}"
"""
RECORDS = [
    '2001-02-01T12:00:02.000000Z, 1,2,3, 4,5,6, 7, "burst"',
    "2001-02-01T12:00:06.5Z, -1.0E+31,2,3, 4,5,6.25, 0, slow",
    "2016-12-31T23:59:60.25Z, 1e3,-2.,+3, 4,5,6, -12, slow",
]


def made(
    folder: Path, records: list[str], *, marker: str = "$", until: str = "END_OF_DATA", end: str | None = None
) -> Path:
    """Write a file of these records."""
    text = HEADER.format(marker=f'END_OF_RECORD_MARKER = "{marker}"' if marker != "\n" else "! plain", until=until)
    text += "".join(f"{one}{marker}" + ("" if marker == "\n" else "\n") for one in records)
    path = folder / "made.cef"
    path.write_text(text + (until if end is None else end) + "\n" * (until != "EOF"))
    return path


@pytest.mark.parametrize("marker", ["$", "\n", ";"])
@pytest.mark.parametrize("packed", [False, True])
def test_values_times_and_attributes_are_those_of_the_text(tmp_path: Path, marker: str, packed: bool) -> None:
    path = made(tmp_path, RECORDS, marker=marker)
    if packed:
        path = path.with_suffix(".cef.gz")
        path.write_bytes(gzip.compress((tmp_path / "made.cef").read_bytes()))
    found = read_cef(path)
    assert found.tai.values.astype("i8").tolist() == [parse_utc(one.split(",")[0]) for one in RECORDS]
    expected = [[[1, 2, 3], [4, 5, 6]], [[np.nan, 2, 3], [4, 5, 6.25]], [[1000, -2, 3], [4, 5, 6]]]
    np.testing.assert_array_equal(found.field, expected)
    assert found.field.dims == ("time", "field_1", "field_2")
    assert found.field.attrs["units"] == "nT"
    assert found.field.attrs["LABEL_1"] == ["x", "y", "z, tilted"]
    assert (found.status.dtype, found.status.values.tolist()) == (np.int64, [7, 0, -12])
    assert (found.energies.dims, found.energies.values.tolist()) == (("energies_1",), [10.5, 20.0])
    assert found["mode"].values.tolist() == ["burst", "slow", "slow"]
    assert found.attrs["MISSION"] == ["Cluster", "second line"]
    assert found.attrs["rejected"] == {}


def test_records_that_are_damaged_are_counted_by_reason(tmp_path: Path) -> None:
    bad = [
        RECORDS[0].replace("12:00:02", "12:61:02"),
        RECORDS[0].replace(", 7,", ", seven,"),
        RECORDS[0].replace(", 7,", ", 7.5,"),
        RECORDS[0].replace("1,2,3", "1,2"),
        RECORDS[0].replace("2001-02-01T12:00:02.000000Z", "today"),
    ]
    found = read_cef(made(tmp_path, [*RECORDS, *bad]))
    assert found.sizes["time"] == 3
    assert found.attrs["rejected"] == {"wrong length": 1, "no time": 2, "no number": 2}


def test_data_may_end_with_the_file(tmp_path: Path) -> None:
    assert read_cef(made(tmp_path, RECORDS, until="EOF", end="")).sizes["time"] == 3


def test_no_records_are_an_empty_table(tmp_path: Path) -> None:
    found = read_cef(made(tmp_path, []))
    assert found.field.shape == (0, 2, 3)


def test_a_header_may_lie_beside_the_file_and_nowhere_else(tmp_path: Path) -> None:
    path = made(tmp_path, RECORDS)
    text = path.read_text()
    (tmp_path / "mission.ceh").write_text('START_META = AGENCY\n ENTRY = "ESA"\nEND_META = AGENCY\n')
    path.write_text('INCLUDE = "mission.ceh"\n' + text)
    assert read_cef(path).attrs["AGENCY"] == ["ESA"]
    for name, reason in (
        ("../mission.ceh", "same folder"),
        ("/etc/passwd", "same folder"),
        ("other.ceh", "not beside"),
    ):
        path.write_text(f'INCLUDE = "{name}"\n' + text)
        with pytest.raises(FormatError, match=reason):
            read_cef(path)
    (tmp_path / "mission.ceh").write_text('INCLUDE = "mission.ceh"\n')
    path.write_text('INCLUDE = "mission.ceh"\n' + text)
    with pytest.raises(FormatError, match="more than 8 deep"):
        read_cef(path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("CEF-2.0", "CEF-1.0"), "not CEF-2.0"),
        (("DATA_UNTIL", "DATA_WHEN"), "the header has no end"),
        (("END_OF_DATA\n", ""), "the header has no end|cut short"),
        (("SIZES = 2,3", "SIZES = 2,99999999"), "199999998 values"),
        (("SIZES = 2,3", "SIZES = two"), "SIZES"),
        (("= FLOAT\n  SIZES = 2,3", "= COMPLEX\n  SIZES = 2,3"), "type COMPLEX"),
        (("= ISO_TIME", "= CHAR"), "no variable of type ISO_TIME"),
        (("DATA = 10.5, 20", "DATA = 10.5"), "1 values of DATA"),
        (("DATA = 10.5, 20", "DATA = 10.5, many"), "no numbers"),
    ],
)
def test_a_header_that_lies_is_refused_by_name(tmp_path: Path, change: tuple[str, str], reason: str) -> None:
    path = made(tmp_path, RECORDS)
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(FormatError, match=reason):
        read_cef(path)


def test_a_simulated_file_gives_its_truth_and_its_index(tmp_path: Path) -> None:
    path = tmp_path / "field.cef"
    truth = write_cef(path, number=3)
    ds = read_cef(path)
    np.testing.assert_array_equal(ds["tai"].astype("i8"), truth["time"])
    np.testing.assert_allclose(ds["B_vec_xyz_gse"], truth["field"], atol=1e-12)
    np.testing.assert_array_equal(ds["range"], truth["range"])
    assert ds["B_vec_xyz_gse"].attrs["units"] == "nT"
    (granule,) = index_cef(path)
    assert (granule.instrument, granule.site, granule.count) == ("FGM", "C3", 30)
    assert (granule.start, granule.stop) == (truth["time"][0], truth["time"][-1] + 1)


def test_a_variable_that_is_declared_twice_is_refused(tmp_path: Path) -> None:
    path = made(tmp_path, RECORDS)
    path.write_text(path.read_text().replace("START_VARIABLE = field", "START_VARIABLE = energies"))
    with pytest.raises(FormatError, match="declared twice: energies"):
        read_cef(path)


def test_data_that_are_cut_short_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="cut short"):
        read_cef(made(tmp_path, RECORDS, end=""))


def test_a_gzip_bomb_and_a_damaged_gzip_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.cef.gz"
    path.write_bytes(gzip.compress(b"0" * 10**8))
    with pytest.raises(FormatError, match="holds more than"):
        read_cef(path)
    path.write_bytes(gzip.compress(made(tmp_path, RECORDS).read_bytes())[:-20])
    with pytest.raises(FormatError, match=r"cut short|damaged gzip"):
        read_cef(path)


def test_no_mutation_makes_anything_but_a_table_or_a_format_error(tmp_path: Path) -> None:
    rng = random.Random(5)
    whole = made(tmp_path, RECORDS * 3).read_bytes()
    path, refused = tmp_path / "mutated.cef", []
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 6)):
            at, size = rng.randrange(len(data)), rng.randint(1, 30)
            change = rng.randrange(4)
            if change == 0:
                data[at] ^= 1 << rng.randrange(8)
            elif change == 1:
                del data[at : at + size]
            elif change == 2:
                data[at:at] = data[rng.randrange(len(data)) :][:size]
            else:
                data[at : at + 1] = rng.choice(
                    [b"99999999999999999999", b"-1", b"1e999", b'"', b"$", b"\n", b"nan", b"\\\n"]
                )
        path.write_bytes(data)
        try:
            found = read_cef(path)
        except FormatError as error:
            refused.append(str(error))
        else:
            assert sum(found.attrs["rejected"].values()) + found.sizes["time"] <= 60
    assert refused
    assert all("mutated.cef" in reason for reason in refused)


@pytest.mark.real
def test_the_real_file_of_cluster_1_agrees_with_the_data_sheet(real_data: Path) -> None:
    (sheet,) = json.loads((real_data / "facts.json").read_text())["cluster_cef"]
    facts, found = sheet["facts"], read_cef(real_data / sheet["file"])
    potential = found["Spacecraft_potential__C1_CP_EFW_L3_P"]
    assert [found.attrs["epoch"], *found.data_vars] == facts["variables"]
    assert found.sizes["time"] == facts["records"]
    assert potential.values.mean() == pytest.approx(facts["mean_value"], abs=5e-5)
    assert (potential.values.min(), potential.values.max()) == (facts["min"], facts["max"])
    assert potential.attrs["units"] == facts["unit"]
    for record, place in ((facts["first_record"], 0), (facts["last_record"], -1)):
        assert found.tai.values.astype("i8")[place] == parse_utc(record[0])
        assert [float(v.values[place]) for v in found.data_vars.values()] == [float(text) for text in record[1:]]
    assert np.median(np.diff(found.tai.astype("i8"))) == facts["step_s_median"] * 1e9
