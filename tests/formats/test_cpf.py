"""CPF: predicted positions with what belongs to them, in both directions of the light."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from ilrs_science.errors import FormatError
from ilrs_science.formats.cpf import FORMAT, index_cpf, read_cpf
from ilrs_science.formats.format import HEAD
from ilrs_science.geometry import parse_utc
from ilrs_science.simulate.laser_ranging import write_cpf, write_crd
from ilrs_science.testing.mutation import survive

H1, H2 = (
    "H1 CPF 2 HTS 2018 6 13 12 164 1 lageos1 NONE",
    "H2 7603901 1155 8820 2018 6 13 0 0 0 2018 6 15 0 0 0 300 1 1 0 0 0 1",
)
POSITION = "10 0 58281 84600.00000 0 2966379.904 4195129.466 -11136763.061"


def made(folder: Path, *lines: str, end: str = "\n") -> Path:
    path = folder / "made.hts"
    path.write_text("\n".join(lines) + end)
    return path


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("lunar", [False, True])
def test_positions_and_what_belongs_to_them_are_those_of_the_prediction(
    tmp_path: Path, version: int, lunar: bool
) -> None:
    truth = write_cpf(tmp_path / "made.cpf", version=version, lunar=lunar)
    found = read_cpf(tmp_path / "made.cpf")
    for name, values in truth.items():
        np.testing.assert_array_equal(found.tai.astype("i8") if name == "time" else found[name], values)
    assert found.position.dims == ("time", "axis")
    assert [found[name].attrs["units"] for name in ("position", "velocity", "aberration")] == ["m", "m/s", "m"]
    assert found.relativistic_correction.attrs["units"] == "ns"
    assert (found.attrs["version"], found.attrs["source"], found.attrs["sequence_number"]) == (
        version,
        "OPA",
        601 if version == 2 else 6011,
    )
    assert found.attrs["target"] == ("luna17" if lunar else "lageos1")
    assert found.attrs["notes"] == "DE-440"
    assert found.attrs["reference_frame"] == "geocentric, true body-fixed"
    assert ("target_location" in found.attrs) == (version == 2)
    assert found.attrs["rejected"] == {}
    assert "repaired" not in found.attrs
    (one,) = index_cpf(tmp_path / "made.cpf")
    assert (one.instrument, one.site, one.count) == ("", "lunokhod-1" if lunar else "lageos1", len(truth["time"]))
    assert (one.start, one.stop) == (truth["time"][0], truth["time"][-1] + 1)


def test_headers_and_records_of_every_kind_are_kept(tmp_path: Path) -> None:
    lines = [
        "H3 1 2 3 4 5 6 7 8 9",
        "H4 1000.5 0.25 1.5 2e-9 0",
        "H5 0.2510",
        "00 a comment",
        "H9",
        POSITION,
        "40 1.25",
        "50 0 58281 84600.0 moon 1.0 2.0 3.0",
        "50 0 58281 84900.0 4.0 5.0 6.0",
        "60 58281 84600.0 10.0 20.0 30.0 4.5",
        "70 58281 84600 0.125 0.25 -0.5",
        POSITION.replace("84600", "84900"),
        "99",
    ]
    found = read_cpf(made(tmp_path, H1.lower(), H2, *lines))
    assert isinstance(found, xr.DataTree)
    np.testing.assert_array_equal(found["ephemeris"]["oscillator_relativity"], [1.25, np.nan])
    assert found["offset"]["y"].values.tolist() == [2.0, 5.0]
    assert found["offset"]["tai"].values.astype("i8").tolist() == found["ephemeris"]["tai"].values.astype("i8").tolist()
    assert [found["rotation"][name].item() for name in ("angle_3", "sidereal_time")] == [30.0, 4.5]
    assert found["earth_orientation"]["ut1_less_utc"].item() == -0.5
    attributes = ("centre_of_mass_to_reflector", "radial_runoff_6h", "pulse_repetition_frequency", "offset_target")
    assert [found.attrs[name] for name in attributes] == [0.251, 6, 1000.5, "moon"]
    assert (found.attrs["comments"], found.attrs["rejected"]) == (["a comment"], {})


def test_times_are_utc_and_a_leap_second_is_one_of_them(tmp_path: Path) -> None:
    clocks = [("57753", "86399.5"), ("57753", "86400.25"), ("57754", "0.5")]
    lines = [f"10 0 {day} {clock} 1 1.0 2.0 3.0" for day, clock in clocks]
    found = read_cpf(made(tmp_path, H1, H2, "H9", *lines, "99"))
    expected = ["2016-12-31T23:59:59.5Z", "2016-12-31T23:59:60.25Z", "2017-01-01T00:00:00.5Z"]
    assert found.tai.values.astype("i8").tolist() == [parse_utc(text) for text in expected]
    assert found.attrs["repaired"] == ["positions with the leap second flag, taken for UTC as written: 3"]


def test_a_header_of_version_1_may_have_blank_numbers(tmp_path: Path) -> None:
    header = f"H2 {100:8d} {'':4s} {'':8s} 2006  3  1  0  0  0 2006  3  6  0  0  0   900 1 2  0 1 0"
    found = read_cpf(made(tmp_path, "H1 CPF  1  UTX 2006  3  1  1  5601 apollo11", header, "H9", POSITION, "99"))
    names = ("cospar_id", "sic", "norad_id", "start_year", "stop_day", "step", "target_class", "rotation_angle_type")
    assert [found.attrs[name] for name in names] == ["100", "", "", 2006, 6, 900, 2, 1]


def test_records_that_are_damaged_are_counted_by_reason(tmp_path: Path) -> None:
    bad = [
        "20 2 1.0 2.0 3.0",
        "20 0 1.0 2.0 3.0",
        "20 0 1.5 2.0 3.0",
        POSITION.replace("4195129.466", "4l95129"),
        "30 0 1.0 2.0 3.0 4.0",
        POSITION.replace("58281", "58281.5"),
        POSITION.replace("84600", "96400"),
        "10 0 58281 84600.0 0 1.0",
        "11 what is this",
        POSITION + " 1",
        "99",
        POSITION,
        POSITION[:-4],
    ]
    found = read_cpf(made(tmp_path, H1, H2, "H9", POSITION, *bad, end=""))
    assert found.sizes["time"] == 2
    assert found.attrs["rejected"] == {
        "record 20 without a position": 1,
        "record 20 repeated": 1,
        "record 10 with what is no number": 1,
        "record 30 of a rejected position": 1,
        "record 10 without a time": 2,
        "record 10 with too few fields": 1,
        "unknown record": 1,
        "record after the end (99)": 2,
    }
    assert found.attrs["repaired"] == ["records 10 with fields that the format does not have, left out: 1"]
    cut = read_cpf(made(tmp_path, H1, H2, "H9", POSITION, POSITION[:-4], end=""))
    assert cut.attrs["rejected"] == {"record cut short by the end of the file": 1}
    assert cut.attrs["repaired"] == ["no end (record 99): 1"]


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([], "no header H1"),
        ([H1.replace("CPF", "CRD"), POSITION], "H1 of something else"),
        ([H1, H2, "H9", POSITION.replace("84600", "x")], "no good position .1 record 10 with what is no number"),
        ([H1, H2, "H9", "99"], "no good position .none at all"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path: Path, lines: list[str], reason: str) -> None:
    with pytest.raises(FormatError, match=f"made.hts: .*{reason}"):
        read_cpf(made(tmp_path, *lines))


def test_a_file_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_cpf(tmp_path / "absent.hts")


def test_only_such_files_are_recognised(tmp_path: Path) -> None:
    write_cpf(tmp_path / "made.cpf")
    write_crd(tmp_path / "made.frd", upper=False)
    found = {path.name: FORMAT.recognises(path.read_bytes()[:HEAD], path) for path in sorted(tmp_path.iterdir())}
    assert found == {"made.cpf": True, "made.frd": False}


@pytest.mark.parametrize("read", [read_cpf, index_cpf])
def test_no_mutation_makes_anything_but_positions_or_a_format_error(tmp_path: Path, read: Any) -> None:
    write_cpf(tmp_path / "mutated.cpf", steps=5)
    assert set(survive(read, tmp_path / "mutated.cpf", 300, seed=1)) <= {"refused", "read"}


@pytest.mark.real
def test_no_real_file_of_another_format_is_recognised(real_data: Path) -> None:
    files = [path for path in real_data.rglob("*") if path.is_file()]
    assert [path for path in files if FORMAT.recognises(path.read_bytes()[:HEAD], path)] == []
