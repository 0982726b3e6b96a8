"""CRD: sessions of laser ranging, with every epoch on its day to the nanosecond, and what is damaged counted."""

import json
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ilrs_science.errors import FormatError
from ilrs_science.formats.crd import FORMAT, index_crd, read_crd
from ilrs_science.formats.crd.text import nanoseconds
from ilrs_science.formats.format import HEAD
from ilrs_science.geometry import parse_utc
from ilrs_science.simulate.laser_ranging import write_cpf, write_crd
from ilrs_science.testing.mutation import survive

H1, H2, H3 = "H1 CRD 2 2031 3 5 1", "H2 GRSM 7845 78 1 4 EUROLAS", "H3 apollo15 103 103 0 0 1 3"
H4 = "H4 1 2031 3 1 21 0 0 2031 3 1 22 0 0 0 0 0 0 1 0 2 0"
POINT = "11 76000.5 2.5 std 2 120 9 94.0 na na na 4.9 0 1.5"


def made(folder: Path, *lines: str, end: str = "\n") -> Path:
    path = folder / "made.npt"
    path.write_text("\n".join(lines) + end)
    return path


def session(folder: Path, *lines: str, head: str = H4) -> Path:
    return made(folder, H1, H2, H3, head, *lines, "H8", "H9")


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("mixed", [False, True])
def test_every_kind_of_record_says_what_was_written(tmp_path: Path, version: int, upper: bool, mixed: bool) -> None:
    truth = write_crd(tmp_path / "made.frd", version=version, upper=upper, mixed=mixed)
    found = read_crd(tmp_path / "made.frd")
    assert found.attrs["rejected"] == {}
    assert "repaired" not in found.attrs
    for kind, columns in truth.items():
        table = found[kind].to_dataset()
        table = table.assign(time=table.tai.astype("i8")) if "time" in columns else table
        order = np.lexsort((table["time"], table["session"]))
        true_order = np.lexsort((columns["time"], columns["session"]))
        for name, values in columns.items():
            np.testing.assert_array_equal(table[name].values[order], values[true_order], err_msg=f"{kind} {name}")
    assert np.isnan(found["normal_points"]["bin_skew"]).all() == (version == 2)
    assert found["normal_points"]["epoch_event"].values.tolist() == [2.0] * 36


def test_midnight_may_pass_in_a_session(tmp_path: Path) -> None:
    write_crd(tmp_path / "made.frd", size=(1, 200))
    found = read_crd(tmp_path / "made.frd")
    points = found["full_rate"]
    start, stop = (int(found["sessions"][name].values[0]) for name in ("start", "stop"))
    assert (points["seconds_of_day"].values.min() < 120, points["seconds_of_day"].values.max() > 86280) == (True, True)
    assert start <= points["tai"].values.astype("i8").min() < points["tai"].values.astype("i8").max() <= stop
    assert (start, stop) == (parse_utc("2031-03-01T23:58:00Z"), parse_utc("2031-03-02T00:02:00Z"))


@pytest.mark.parametrize("end", ["-1 -1 -1 -1 -1 -1", "na na na na na na", "2031 3 1 20 0 0"])
def test_a_session_without_an_end_may_pass_midnight_too(tmp_path: Path, end: str) -> None:
    head = f"H4 0 2031 3 1 20 30 0 {end} 0 0 0 0 1 0 2 0"
    lines = ["20 43200.5 870 280 50 0", "10 80000 2.5 std 2 2 0 0 na na", "10 14400.25 2.5 std 2 2 0 0 na na"]
    found = read_crd(session(tmp_path, *lines, head=head))
    expected = [parse_utc(f"2031-03-0{day}Z") for day in ("1T22:13:20", "2T04:00:00.25")]
    assert found["full_rate"]["tai"].values.astype("i8").tolist() == expected
    assert found["meteorology"]["tai"].values.astype("i8").tolist() == [parse_utc("2031-03-01T12:00:00.5Z")]


def test_what_goes_before_a_session_after_midnight_is_of_the_day_before(tmp_path: Path) -> None:
    head = "H4 1 2031 3 2 0 10 0 2031 3 2 0 40 0 0 0 0 0 1 0 2 0"
    found = read_crd(session(tmp_path, "40 86000 0 std 9 9 na 1000.5 0 80", head=head))
    assert found["calibration"]["tai"].values.astype("i8").tolist() == [parse_utc("2031-03-01T23:53:20Z")]


def test_a_leap_second_is_a_second_of_its_own(tmp_path: Path) -> None:
    head = "H4 1 2016 12 31 23 59 50 2017 1 1 0 0 10 0 0 0 0 1 0 2 0"
    points = [POINT.replace("76000.5", clock) for clock in ("86399.5", "86400.25", "0.5")]
    found = read_crd(session(tmp_path, *points, head=head))
    expected = [f"2016-12-31T23:59:{second}Z" for second in ("59.5", "60.25")] + ["2017-01-01T00:00:00.5Z"]
    assert found["normal_points"]["tai"].values.astype("i8").tolist() == [parse_utc(text) for text in expected]


@given(st.lists(st.decimals(0, 86400, places=13, allow_nan=False), min_size=1, max_size=4), st.integers(0, 13))
def test_seconds_in_text_are_the_nearest_nanosecond(values: list[Decimal], places: int) -> None:
    exact = [value.quantize(Decimal(1).scaleb(-places)) for value in values]
    expected = [int((one * 10**9).quantize(Decimal(1), ROUND_HALF_UP)) for one in exact]
    assert nanoseconds([f"{one:f}" for one in exact]).tolist() == expected
    uneven = [*(f"{one:f}" for one in exact), "7", ".25", "+1.5", "-1", "1e3", "1_0", "x", ""]
    assert nanoseconds(uneven).tolist() == [*expected, 7 * 10**9, 250_000_000, 1_500_000_000, -1, -1, -1, -1, -1]


def test_a_wavelength_comes_by_the_configuration_wherever_it_stands(tmp_path: Path) -> None:
    two = ["C0 0 532.0 std laser", POINT, POINT.replace("std", "red"), "C0 0 1064.0 red laser det timer", "H8"]
    again = [H4, POINT, "H8"]
    shared = [H1, H2, "C0 0 355.0 std", H3, H4, POINT, "H8", H4, POINT, "H8", "H9"]
    found = read_crd(made(tmp_path, H1, H2, H3, H4, *two, *again, *shared))
    points = found["normal_points"]
    # One stated in a session is of that session; one stated before it holds until the next station.
    np.testing.assert_array_equal(points["wavelength"], [532.0, 1064.0, np.nan, 355.0, 355.0])
    assert points["session"].values.tolist() == [0, 0, 1, 2, 3]
    assert found["system"]["components"].values.tolist() == ["laser", "laser det timer", ""]
    assert found["sessions"]["station"].values.tolist() == ["GRSM"] * 4


def test_a_calibration_may_precede_its_session(tmp_path: Path) -> None:
    path = made(tmp_path, H1, H2, "40 75000 0 std 9 9 na 1000.5 0 80", H3, H4, POINT, "H8", "H9")
    found = read_crd(path)
    assert found["calibration"]["tai"].values.astype("i8").tolist() == [parse_utc("2031-03-01T20:50:00Z")]
    assert found["calibration"]["session"].values.tolist() == [0]


def test_headers_of_version_1_are_told_apart_by_their_columns(tmp_path: Path) -> None:
    station, target = "h2 Mt Stromlo 7825 90  1  4", "h3 apollo15        103  103          0 2"
    found = read_crd(made(tmp_path, "h1 CRD  1 2015  4 29 22", station, target, H4.lower(), POINT, "h8", "h9"))
    row = {name: values.item() for name, values in found["sessions"].data_vars.items()}
    assert (row["station"], row["station_id"], row["time_scale"]) == ("Mt Stromlo", "7825", 4)
    assert (row["target"], row["target_id"], row["sic"], row["norad"]) == ("apollo15", "103", "103", "")
    assert (row["spacecraft_time_scale"], row["target_class"], row["version"]) == (0, 2, 1)


def test_every_other_record_is_a_table(tmp_path: Path) -> None:
    lines = [
        "H5 1 31 030100 OPA 6001",
        "C1 0 las Nd-Yag 1064.0 10 300 150 5 1",
        "C4 0 tra 0.5 0.25 1234567890123456.789 0 0 0 0 1",
        "C6 0 met Vaisala PTU 1 Vaisala PTU 2 Rotronic HC2 3",
        "12 76000.5 std 8000.5 0.25 1.5 0.0 na",
        "21 76000.5 3.1 45 fog 20 na 3 10 300.12",
        "41 76000.5 0 std 9 9 na 1000.5 0 80",
        "42 76000.5 0.000000000780 std spi 18.5 3 3 2 0 0 4 na na",
        "50 std 72.7 1.494 -0.536 ****** 0",
        "60 std 1 2",
        "93 anything of the station's own",
        "00 a comment",
    ]
    found = read_crd(session(tmp_path, *lines))
    assert found["laser"]["fire_rate"].item() == 10
    assert found["transponder"]["transponder_utc_offset"].item() == 1234567890123456.789
    assert found["meteorological_sensors"]["humidity_serial_number"].item() == "3"
    assert found["range_supplement"]["refraction_correction"].attrs["units"] == "ps"
    assert found["meteorology_supplement"]["weather"].item() == "fog"
    assert found["calibration_details"]["system_delay"].item() == 1000.5
    assert found["calibration_shots"]["other_delays"].item() == 18.5
    assert np.isnan(found["statistics"]["peak_minus_mean"].item())
    assert found["compatibility"]["system_change"].item() == 1
    assert found["sessions"]["prediction_provider"].item() == "OPA"
    assert found.attrs["comments"] == ["a comment"]
    assert (found.attrs["records"]["93"], found.attrs["rejected"]) == (1, {})


def test_records_that_are_damaged_are_counted_by_reason(tmp_path: Path) -> None:
    bad = [
        POINT.replace("2.5", "2,5"),
        POINT.replace("2.5", "na"),
        POINT.replace("2.5", "1e999"),
        POINT.replace("2.5", "2_5"),
        POINT.replace("76000.5", "86402"),
        POINT.replace("76000.5", "-5.0"),
        "11 76000.5 2.5",
        "77 what is this",
        "11x76000.5 2.5 std 2",
        "00 " + "long" * 300,
    ]
    found = read_crd(made(tmp_path, H1, H2, H3, POINT, H4, POINT, *bad, "H8", POINT, "H9"))
    assert found["normal_points"].sizes["time"] == 1
    assert found.attrs["rejected"] == {
        "record 11 outside a session": 2,
        "record 11 with what is no number": 4,
        "record 11 without a time": 2,
        "record 11 with too few fields": 1,
        "unknown record": 2,
        "line too long": 1,
    }


def test_what_is_against_the_format_is_said(tmp_path: Path) -> None:
    station = H2.replace(" 4 ", " 12 ").replace(" 78 ", " x ")
    path = made(tmp_path, H1, station, H3, H4, f"{POINT} 1 2", H1, H2, H3, H4, POINT)
    found = read_crd(path)
    assert found["normal_points"].sizes["time"] == 2
    assert found.attrs["repaired"] == [
        "sessions without an end (H8): 2",
        "no end of the file (H9): 1",
        "records 11 with fields that the format does not have, left out: 1",
        "header fields that are no numbers are NaN: 1",
        "sessions of a time scale other than UTC of USNO, GPS or BIPM, taken for UTC: 1",
    ]


def test_a_session_without_a_date_has_no_times(tmp_path: Path) -> None:
    found = read_crd(session(tmp_path, POINT, head="H4 1 2031 13 1 21 0 0 2031 3 1 22 0 0 0 0 0 0 1 0 2 0"))
    assert found.attrs["rejected"] == {"record 11 without a time": 1}
    start = found["sessions"]["start"]
    assert start.item() == start.attrs["missing_value"]


def test_a_file_cut_in_a_record_is_said_to_be(tmp_path: Path) -> None:
    found = read_crd(made(tmp_path, H1, H2, H3, H4, POINT, POINT[:-6], end=""))
    assert found["normal_points"].sizes["time"] == 1
    assert found.attrs["rejected"] == {"record cut short by the end of the file": 1}


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([], "no header H1"),
        (["\0" * 5000], "no header H1"),
        ([H1.replace("CRD", "CPF"), H2], "H1 of something else"),
        ([H1, H2, H3, "H8", "H9"], "no session"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path: Path, lines: list[str], reason: str) -> None:
    with pytest.raises(FormatError, match=f"made.npt: .*{reason}"):
        read_crd(made(tmp_path, *lines))
    with pytest.raises(FormatError, match=f"made.npt: .*{reason}"):
        index_crd(made(tmp_path, *lines))


def test_a_file_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_crd(tmp_path / "absent.npt")


def test_a_reflector_on_the_moon_is_a_site_and_a_satellite_is_not(tmp_path: Path) -> None:
    truth = write_crd(tmp_path / "made.frd", size=(3, 5))
    (one,) = index_crd(tmp_path / "made.frd")
    times = np.concatenate([truth[kind]["time"] for kind in ("full_rate", "normal_points")])
    assert (one.instrument, one.site, one.count, one.format) == ("GRSM", "apollo-15", 30, "crd")
    assert (one.start, one.stop) == (times.min(), times.max() + 1)
    other = [H2, H3.replace("apollo15", "lageos1"), H4, POINT, POINT.replace("2.5", "bad"), "H8"]
    found = index_crd(made(tmp_path, H1, H2, H3, H4, POINT, "H8", *other, H3, H4, "H8", "H9"))
    assert [(one.site, one.count) for one in found] == [("apollo-15", 1), ("GRSM", 2)]


def test_only_such_files_are_recognised(tmp_path: Path) -> None:
    write_cpf(tmp_path / "made.cpf")
    write_crd(tmp_path / "made.frd", upper=False)
    (tmp_path / "noted").write_text("00 a note\n\n" + H1 + "\n")
    found = {path.name: FORMAT.recognises(path.read_bytes()[:HEAD], path) for path in sorted(tmp_path.iterdir())}
    assert found == {"made.cpf": False, "made.frd": True, "noted": True}


@pytest.mark.parametrize("read", [read_crd, index_crd])
def test_no_mutation_makes_anything_but_tables_or_a_format_error(tmp_path: Path, read: Any) -> None:
    write_crd(tmp_path / "mutated.frd", size=(2, 4))
    assert set(survive(read, tmp_path / "mutated.frd", 300, seed=1)) <= {"refused", "read"}


@pytest.mark.real
@pytest.mark.parametrize("number", range(4))
def test_the_real_files_agree_with_the_data_sheet(real_data: Path, number: int) -> None:
    sheet = json.loads((real_data / "facts.json").read_text())["llr_crd"][number]
    facts, found = sheet["facts"], read_crd(real_data / sheet["file"])
    sessions = found["sessions"]
    ranges = found["normal_points"] if "normal_points" in found.children else found["full_rate"]
    assert found.attrs["rejected"] == {}
    for name, expected in {
        "record_counts": found.attrs["records"],
        "sessions": sessions.sizes["session"],
        "normal_points": ranges.sizes["time"],
        "full_rate_points": ranges.sizes["time"],
        "station_id": int(sessions["station_id"].values[0]),
        "time_scale_code": sessions["time_scale"].values[0],
        "target": sessions["target"].values[0],
        "epoch_s_of_day": ranges["seconds_of_day"].values[0],
        "time_of_flight_two_way_s": ranges["time_of_flight"].values[0],
        "epoch_event": ranges["epoch_event"].values[0],
        "wavelength_nm": ranges["wavelength"].values[0],
        "first_epoch_s_of_day": ranges["seconds_of_day"].values[0],
        "first_tof_s": ranges["time_of_flight"].values[0],
        "last_epoch_s_of_day": ranges["seconds_of_day"].values[-1],
        "last_tof_s": ranges["time_of_flight"].values[-1],
        "first": [ranges["seconds_of_day"].values[0], ranges["time_of_flight"].values[0]],
        "last": [ranges["seconds_of_day"].values[-1], ranges["time_of_flight"].values[-1]],
    }.items():
        assert facts.get(name, expected) == expected, name
    versions = np.unique(sessions["version"].values, return_counts=True)
    if "versions" in facts:
        assert dict(zip(*versions, strict=True)) == {2: facts["versions"]["2"], 1: 3}
        targets = np.unique(np.char.lower(sessions["target"].values), return_counts=True)
        assert dict(zip(*targets, strict=True)) == facts["targets"]
    else:
        assert versions[0].tolist() == [facts["version"]]
    if "tof_s" in facts:
        flights = ranges["time_of_flight"].values
        for name in ("min", "max", "mean"):
            assert getattr(flights, name)() == pytest.approx(facts["tof_s"][name], abs=1e-10)
    for name in facts.get("stations", [facts["station"]] if "station" in facts else []):
        assert name.split() == [sessions["station"].values[0], sessions["station_id"].values[0]][: len(name.split())]


@pytest.mark.real
def test_the_lunar_point_agrees_with_the_data_sheet(real_data: Path) -> None:
    sheet = json.loads((real_data / "facts.json").read_text())["llr_crd"][0]
    facts, found = sheet["facts"], read_crd(real_data / sheet["file"])
    point, weather = found["normal_points"], found["meteorology"]
    assert [point["raw_ranges"].item(), point["bin_rms"].item()] == [facts["n_raw"], facts["bin_rms_ps"]]
    half = point["time_of_flight"].item() * 299792.458 / 2
    assert half == pytest.approx(facts["half_path_km"], abs=5e-4)
    for name, fact in (("pressure", "hPa"), ("temperature", "K"), ("relative_humidity", "percent")):
        key = f"{name.removeprefix('relative_')}_{fact}"
        assert weather[name].item() == facts[key]
    times = [int(found["sessions"][name].values[0]) for name in ("start", "stop")]
    assert times == [parse_utc(text + "Z") for text in facts["session_utc"]]
    (one,) = index_crd(real_data / sheet["file"])
    assert (one.instrument, one.site, one.count) == ("GRSM", "apollo-15", 1)


@pytest.mark.real
def test_a_mutated_real_file_ends_in_tables_or_a_format_error(tmp_path: Path, real_data: Path) -> None:
    path = tmp_path / "crd201_all_samples"
    path.write_bytes((real_data / "llr_crd" / path.name).read_bytes())
    assert set(survive(read_crd, path, 300, seed=1)) <= {"refused", "read"}


@pytest.mark.real
def test_of_the_real_files_only_these_are_recognised(real_data: Path) -> None:
    files = [path for path in real_data.rglob("*") if path.is_file()]
    found = [path.parent.name for path in files if FORMAT.recognises(path.read_bytes()[:HEAD], path)]
    assert found == ["llr_crd"] * 4
