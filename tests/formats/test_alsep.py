"""ALSEP tapes: every word at the time of its own frame, and every lost frame counted."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import obspy
import pytest
import xarray as xr
from obspy.io.alsep.pse.record import PseRecord
from obspy.io.alsep.util import check_date
from obspy.io.alsep.wt.frame import WthFrame, WtnFrame

from ilrs_science import FormatError
from ilrs_science.formats.alsep import FORMAT, index_alsep, read_alsep, read_tape
from ilrs_science.formats.alsep.frames import NEW, NORMAL, OLD, Layout, checked, runs
from ilrs_science.formats.format import HEAD
from ilrs_science.geometry import parse_utc
from ilrs_science.testing.mutation import survive

JANUARY_15 = 14 * 86400 * 1000
"""ms of the year."""
SYNC_WORD = 0b1110001001  # and one bit that is spare, 0
PACKAGES = {12: 1, 15: 2, 16: 3, 14: 4, 17: 5}
FRAME = 640 * 10**9 / 1060

type Frame = tuple[int, int, Mapping[int, int]]
"""Time of the year, ms; frame count; words."""


def header(kind: int, *fields: int) -> bytes:
    return np.array([kind, *fields, *[0] * (7 - len(fields))], ">u2").tobytes()


def frame(layout: Layout, package: int, content: Frame) -> bytes:
    msec, count, words = content
    given = {1: SYNC_WORD, 3: (count & 127) << 1} | dict(words)
    values = [given.get(number, 0) for number in layout.order]
    values += [0] * (-len(values) % 3)
    groups = [values[k] << 22 | values[k + 1] << 11 | values[k + 2] for k in range(0, len(values), 3)]
    fifth = words.get(5, 0) if layout is not NORMAL else 0
    head = (msec << 4).to_bytes(5, "big") + bytes([package << 5, fifth >> 8, fifth & 255])
    return (head + np.array(groups, ">u4").tobytes()).ljust(layout.size, b"\0")[: layout.size]


def pse_tape(folder: Path, station: int, layout: Layout, frames: Sequence[Frame], year: int = 1976) -> Path:
    path = folder / "pse.a.1.1"
    head = header(1, station, 1, 1, year, int(layout is NEW), 1)
    path.write_bytes((head + b"".join(frame(layout, 0, one) for one in frames)).ljust(19456, b"\0"))
    return path


def work_tape(folder: Path, frames: Sequence[tuple[int, Frame]], year: int = 1976, repeat: int = 2) -> Path:
    path = folder / "wtn.1.1"
    body = b"".join(frame(NORMAL, PACKAGES.get(station, 0), one) for station, one in frames)
    path.write_bytes(header(3, 0, 1, 1, year) * repeat + body)
    return path


def geophone_tape(folder: Path, samples: np.ndarray, year: int = 1976) -> Path:
    """Write frames of 20 samples of four geophones of 7 bits, shape (frame, 20, 4); the first ones have 5 bits."""
    path = folder / "wth.1.1"
    lines = [header(4, 0x14E5, 1, 1, year) * 2]
    for number, values in enumerate(samples.astype(np.int64)):
        msec = 230 * 86400 * 1000 + 170 * number
        words = [sum(int(v) >> 2 << shift for v, shift in zip(values[0], (17, 12, 7, 2), strict=True))]
        words += [sum(int(v) << shift for v, shift in zip(row, (25, 18, 11, 4), strict=True)) for row in values[1:]]
        words[-1] |= (3, 1, 2)[number % 3] << 2
        lines.append(
            (msec << 4).to_bytes(5, "big") + bytes([5 << 5, 0, 0]) + np.array(words, ">u4").tobytes() + bytes(8)
        )
    path.write_bytes(b"".join(lines))
    return path


def counting(first: int, *numbers: int) -> dict[int, int]:
    return {number: first + place for place, number in enumerate(numbers)}


LONG = (9, 11, 13, 25, 27, 29, 41, 43, 45, 57, 59, 61)


@pytest.mark.parametrize("layout", [OLD, NEW])
def test_channels_of_a_pse_tape_have_the_times_of_their_frames(tmp_path: Path, layout: Layout) -> None:
    size = 270 if layout is OLD else 540
    frames = [(JANUARY_15 + 610 * k, k, counting(10 + k % 100, *LONG, 33, 35, 37, 46)) for k in range(size)]
    found = read_alsep(pse_tape(tmp_path, 14, layout, frames))
    station = found["apollo-14"]
    times = parse_utc("1976-01-15T00:00:00Z") + 610_000_000 * np.arange(size)
    long = station["long_period"]
    values = 10 + np.arange(size)[:, None] % 100 + np.arange(12)
    for place, name in enumerate(("LPX", "LPY", "LPZ")):
        assert (long[name].dtype, long[name].values.tolist()) == (np.int16, values[:, place::3].ravel().tolist())
    assert long["tai"].values.astype("i8")[:5].tolist() == [
        *(times[0] + np.rint(np.arange(4) * FRAME / 4).astype(int)).tolist(),
        times[1],
    ]
    for branch, parity, names in (("tidal_xy", 0, ("TDX", "TDY")), ("tidal_z", 1, ("TDZ", "TMP"))):
        assert station[branch]["tai"].values.astype("i8").tolist() == times[parity::2].tolist()
        for place, name in enumerate(names):
            assert station[branch][name].values.tolist() == (values[parity::2, 0] + 13 + place).tolist()
    assert station["housekeeping"]["HK_"].values.tolist() == (values[:, 0] + 12).tolist()
    assert station["housekeeping"]["CV_"].values.tolist() == [0] * size  # word 5 at Apollo 14, 46 elsewhere
    assert ("short_period" in station.children) == (layout is OLD)
    assert found.attrs == {"format": "ALSEP", "tape": "PSE", "rejected": {}}


def test_words_that_other_outputs_displace_are_absent_and_not_interpolated(tmp_path: Path) -> None:
    frames = [(JANUARY_15 + 604 * k, k, {number: number for number in range(4, 65)}) for k in range(270)]
    rows = {}
    for station in (12, 14, 15):
        found = read_alsep(pse_tape(tmp_path, station, OLD, frames))
        rows[station] = found[f"apollo-{station}/short_period"]["SPZ"].values.reshape(-1, 32)[0]
        assert found[f"apollo-{station}/housekeeping"]["CV_"].values[0] == (5 if station == 14 else 46) >> 1
    absent = {12: [2, 46, 56], 14: [2, 56], 15: [2, 24, 46, 56]}
    for station, row in rows.items():
        assert (2 * (np.flatnonzero(row == -1) + 1)).tolist() == absent[station]
        assert row[row >= 0].tolist() == [n for n in range(2, 65, 2) if n not in absent[station]]


def test_stations_of_a_work_tape_have_their_own_branches_and_times(tmp_path: Path) -> None:
    words = counting(100, *LONG, 17, 19, 21, 49, 51, 53, 5)
    frames = [
        (12, (JANUARY_15, 0, words)),
        (17, (80 * 86400 * 1000, 1, {25: 7, 64: 9})),
        (14, (JANUARY_15 + 95, 2, {})),
    ]
    found = read_alsep(work_tape(tmp_path, frames))
    assert set(found.children) == {"apollo-12", "apollo-14", "apollo-17"}
    magnetometer = found["apollo-12/magnetometer"]
    assert magnetometer["LSM"].values.tolist() == list(range(112, 118))
    assert magnetometer["tai"].values.astype("i8")[5] - magnetometer["tai"].values.astype("i8")[0] == round(
        5 * FRAME / 6
    )
    assert found["apollo-12/housekeeping"]["LSS"].values.tolist() == [118]
    assert set(found["apollo-14"].children) == {"long_period", "tidal_xy", "housekeeping"}
    assert set(found["apollo-17"].children) == {"gravimeter", "gravimeter_slow", "housekeeping"}
    assert found["apollo-17/gravimeter"]["LSG"].values[[0, 31]].tolist() == [-1, 9]
    assert found["apollo-17/gravimeter_slow"]["LGT"].values.tolist() == [7]
    granules = {(g.site, g.instrument): g for g in index_alsep(tmp_path / "wtn.1.1")}
    assert {key: g.count for key, g in granules.items()} == {
        ("apollo-12", "PSE"): 4,
        ("apollo-12", "LSM"): 6,
        ("apollo-14", "PSE"): 4,
        ("apollo-17", "LSG"): 32,
    }
    times = found["apollo-14/long_period"]["tai"].values.astype("i8")
    assert (granules["apollo-14", "PSE"].start, granules["apollo-14", "PSE"].stop) == (times[0], times[-1] + 1)


def test_geophones_fill_the_time_between_their_frames(tmp_path: Path) -> None:
    samples = np.random.default_rng(1).integers(0, 128, (30, 20, 4))
    found = read_alsep(geophone_tape(tmp_path, samples))["apollo-17/geophones"]
    samples[:, 0] = samples[:, 0] >> 2 << 2
    for number in range(4):
        np.testing.assert_array_equal(found[f"GP{number + 1}"], 2 * samples[..., number].ravel())
    steps = np.diff(found["tai"].values.astype("i8"))
    assert (steps.min(), steps.max()) == (pytest.approx(8.49e6, abs=2e4), pytest.approx(8.68e6, abs=2e4))
    assert found["subframe"].values[::20].tolist() == [1, 2, 3] * 10
    assert found.attrs["sampling_rate"] == pytest.approx(20 / 0.17, rel=2e-3)


def test_leap_seconds_and_the_utc_of_before_1972_are_minded(tmp_path: Path) -> None:
    found = read_alsep(pse_tape(tmp_path, 12, OLD, [(86400 * 1000 - 1, 0, {}), (1, 1, {})] * 135, year=1971))
    times = found["apollo-12/housekeeping"]["tai"].values.astype("i8")[:2].tolist()
    assert times == [parse_utc("1971-01-01T23:59:59.999Z"), parse_utc("1971-01-01T00:00:00.001Z")]


def test_a_wrong_year_on_the_tape_can_be_set_right(tmp_path: Path) -> None:
    path = work_tape(tmp_path, [(12, (JANUARY_15, 0, {}))], year=1900)
    with pytest.raises(FormatError, match=r"wtn.1.1: no good frame in 128 bytes of a WTN tape \(1 frames: year 1900\)"):
        read_alsep(path)
    found = read_alsep(path, year=1976)
    assert found["apollo-12/housekeeping"]["tai"].values.astype("i8").tolist() == [parse_utc("1976-01-15T00:00:00Z")]


def test_lost_frames_are_counted_for_their_stations_and_in_all(tmp_path: Path) -> None:
    frames = [(12, (JANUARY_15, 0, {})), (16, (JANUARY_15, 0, {})), (12, (370 * 86400 * 1000, 0, {})), (11, (0, 0, {}))]
    path = work_tape(tmp_path, frames)
    data = bytearray(path.read_bytes())
    data[32 + 96 + 8] ^= 0xFF
    path.write_bytes(bytes(data) + b"cut")
    found = read_alsep(path)
    assert set(found.children) == {"apollo-12"}
    assert found["apollo-12"].attrs["rejected"] == {"time beyond the end of the year": 1}
    assert found.attrs["rejected"] == {
        "frame of no station": 1,
        "truncated frame": 1,
        "time beyond the end of the year": 1,
        "bad sync code": 1,
    }


def test_a_bad_record_in_the_middle_of_a_pse_tape_is_left_out(tmp_path: Path) -> None:
    path = pse_tape(tmp_path, 12, NEW, [(JANUARY_15 + 604 * k, k, {}) for k in range(540)])
    record = path.read_bytes()
    other = pse_tape(tmp_path, 12, OLD, [(JANUARY_15 + 604 * k, k, {}) for k in range(270)]).read_bytes()
    path.write_bytes(record + b"\xff" * 19456 + other + record[: 16 + 36 * 7 + 3])
    found = read_alsep(path)
    assert found.attrs["rejected"] == {"bad record header": 270, "truncated record": 7}
    assert found["apollo-12/long_period"].sizes["time"] == 4 * (540 + 270)
    assert found["apollo-12/short_period"].sizes["time"] == 32 * 270
    (one,) = index_alsep(path)
    assert one.count == 4 * (540 + 270 + 277)


@pytest.mark.parametrize("station", [11, 12, 14, 15, 16, 17])
def test_stations_work_when_obspy_has_them_work(station: int) -> None:
    days = np.arange("1969-01-01", "1978-01-01", dtype="datetime64[D]")
    msec = (days - days.astype("datetime64[Y]")).astype(int) * 86400 * 1000 + 1
    for year in range(1969, 1978):
        own = days.astype("datetime64[Y]").astype(int) + 1970 == year
        data = header(1, station, 1, 1, year, 0) + b"".join(frame(OLD, 0, (int(m), 0, {})) for m in msec[own][:270])
        rest = header(1, station, 1, 1, year, 0) + b"".join(frame(OLD, 0, (int(m), 0, {})) for m in msec[own][270:])
        found, _ = runs(data.ljust(19456, b"\0") + rest.ljust(19456, b"\0"), "t")
        times = np.concatenate([checked(run)[1] for run in found])
        expected = [str(day) for day in days[own] if check_date(station, obspy.UTCDateTime(str(day)) + 0.001)]
        assert times.astype("datetime64[ns]").astype("datetime64[D]").astype(str).tolist() == expected


@pytest.mark.parametrize("layout", [OLD, NEW, NORMAL])
def test_words_are_those_that_obspy_takes_apart(tmp_path: Path, layout: Layout) -> None:
    rng = np.random.default_rng(3)
    words = [{n: int(v) for n, v in enumerate(rng.integers(0, 1024, 65)) if n > 3} for _ in range(270)]
    content = [(JANUARY_15 + k, k, one) for k, one in enumerate(words)]
    if layout is NORMAL:
        data = work_tape(tmp_path, [(12, one) for one in content]).read_bytes()
        theirs = [WtnFrame(np.frombuffer(data[at : at + 96], np.uint8)) for at in range(32, len(data), 96)]
    else:
        data = pse_tape(tmp_path, 12, layout, content).read_bytes()
        theirs = list(PseRecord(np.frombuffer(data, np.uint8)))[:270]
    (ours,) = read_tape(data)
    expected = [[-1 if word is None else int(word) for word in one.alsep_words] for one in theirs]
    assert ours.words[:270].tolist() == expected
    assert ours.number[:270].tolist() == [int(one.frame_count) for one in theirs]


def test_geophones_are_those_that_obspy_takes_apart(tmp_path: Path) -> None:
    path = geophone_tape(tmp_path, np.random.default_rng(2).integers(0, 128, (9, 20, 4)))
    data = path.read_bytes()
    found = read_alsep(path)["apollo-17/geophones"]
    for number, at in enumerate(range(32, len(data), 96)):
        theirs = WthFrame(np.frombuffer(data[at : at + 96], np.uint8)).geophone
        own = slice(20 * number, 20 * number + 20)
        assert [found[f"GP{k}"].values[own].tolist() for k in range(1, 5)] == [list(theirs[k]) for k in range(1, 5)]
        assert found["subframe"].values[own][0] == theirs["sub_frame"]


@pytest.mark.parametrize("data", [b"", b"\0", header(0), header(9, 12), b"PDS_VERSION_ID = PDS3"])
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(FormatError, match=r"^t: byte 0: .* expected 1, 2 \(PSE\) or 3 \(WTN\)"):
        read_tape(data, name="t")
    (tmp_path / "t").write_bytes(data)
    for read in (read_alsep, index_alsep):
        with pytest.raises(FormatError, match=r"t: byte 0: .* expected 1, 2 \(PSE\), 3 \(WTN\) or 4 \(WTH\)"):
            read(tmp_path / "t")


def test_a_file_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_alsep(tmp_path / "absent")


def test_a_tape_of_high_bit_rate_has_no_frames_of_words() -> None:
    with pytest.raises(FormatError, match="high bit rate"):
        read_tape(header(4, 0x14E5) * 2 + bytes(96))


def test_a_tape_without_a_whole_frame_is_refused_with_what_was_lost() -> None:
    with pytest.raises(FormatError, match="459 frames: truncated record"):
        read_tape(header(1, 12, 1, 1, 1976, 1) + bytes(36 * 459 + 20))
    with pytest.raises(FormatError, match="1 frames: truncated frame"):
        read_tape(header(3, 0) * 2 + bytes(50))


@pytest.mark.parametrize("kind", [1, 2, 3])
def test_random_bytes_end_in_nothing_worse_than_a_format_error(kind: int) -> None:
    rng = np.random.default_rng(kind)
    for layout, year in ((0, 1976), (1, 1976), (1, 65535)):
        body = rng.integers(0, 256, 2 * 19456 + 40, dtype=np.uint8).tobytes()
        try:
            frames = read_tape(header(kind, 12, 1, 1, year, layout) + body)
        except FormatError:
            continue
        # One random frame in 2048 has the right sync code.
        assert sum(len(one.time) for one in frames) < 5


def test_tapes_are_recognised_by_good_frames(tmp_path: Path) -> None:
    frames = [(JANUARY_15 + 604 * k, k, {}) for k in range(9)]
    paths = {
        "old": pse_tape(tmp_path, 12, OLD, frames).rename(tmp_path / "old"),
        "new": pse_tape(tmp_path, 12, NEW, frames).rename(tmp_path / "new"),
        "work": work_tape(tmp_path, [(15, one) for one in frames], repeat=1).rename(tmp_path / "work"),
        "geophones": geophone_tape(tmp_path, np.zeros((4, 20, 4))).rename(tmp_path / "geophones"),
        "empty": pse_tape(tmp_path, 12, OLD, []).rename(tmp_path / "empty"),
    }
    found = {name: FORMAT.recognises(path.read_bytes()[:HEAD], path) for name, path in paths.items()}
    assert found == {"old": True, "new": True, "work": True, "geophones": True, "empty": False}


@pytest.mark.parametrize("read", [read_alsep, index_alsep])
def test_no_mutation_makes_anything_but_channels_or_a_format_error(tmp_path: Path, read: Any) -> None:
    frames = [(JANUARY_15 + 604 * k, k, counting(k, *LONG)) for k in range(12)]
    tapes = [
        pse_tape(tmp_path, 14, OLD, frames),
        work_tape(tmp_path, [(12 if k % 2 else 16, one) for k, one in enumerate(frames)]),
        geophone_tape(tmp_path, np.zeros((6, 20, 4))),
    ]
    for path in tapes:
        assert set(survive(read, path, 100, seed=1)) <= {"refused", "read"}


BRANCHES = {
    **dict.fromkeys(("LPX", "LPY", "LPZ"), "long_period"),
    **dict.fromkeys(("TDX", "TDY"), "tidal_xy"),
    **dict.fromkeys(("TDZ", "TMP"), "tidal_z"),
    **dict.fromkeys(("HK_", "CV_", "LSS"), "housekeeping"),
    "LSM": "magnetometer",
    **dict.fromkeys(("GP1", "GP2", "GP3", "GP4"), "geophones"),
}


@pytest.mark.real
@pytest.mark.parametrize("number", range(3))
def test_the_real_tapes_agree_with_the_data_sheet(real_data: Path, number: int) -> None:
    sheet = json.loads((real_data / "facts.json").read_text())["apollo_alsep"][number]
    found = read_alsep(real_data / sheet["file"])
    seen = set()
    for fact in sheet["facts"]["traces"]:
        _, station, _, name = fact["id"].split(".")
        branch = found[f"apollo-{station[1:]}/{BRANCHES[name]}"].to_dataset()
        rate = fact["rate_hz"]
        if name.startswith("GP"):  # a trace a frame; three times the rate, or 20 samples would last as long as three
            begin = parse_utc(fact["start"])
            times = branch.tai.values.astype("i8")
            branch = branch.isel(time=(times >= begin) & (times <= begin + 169 * 10**6))
            rate *= 3
        values = branch[name].values
        assert (len(values), values.min(), values.max()) == (fact["npts"], fact["min"], fact["max"])
        assert values.mean(dtype="f8") == pytest.approx(fact["mean"], rel=1e-7)
        assert branch.tai.values.astype("i8")[0] == parse_utc(fact["start"])
        assert branch.attrs["sampling_rate"] == pytest.approx(rate, rel=5e-5)
        seen.add((station, name))
    assert len(sheet["facts"]["traces"]) == sheet["facts"]["n_traces"]
    leaves = [one for one in found.leaves if one.data_vars]
    channels = {(f"S{leaf.path.split('/')[1][7:]}", name) for leaf in leaves for name in leaf.data_vars}
    assert {one for one in channels if one[1] != "subframe"} == seen
    assert found.attrs["rejected"] == ({"truncated record": 459} if number == 0 else {})
    for station in sheet["facts"].get("stations", []):
        first = found[f"apollo-{station[1:]}/long_period"]["tai"].values.astype("i8")[0]
        assert first == parse_utc(sheet["facts"]["first_sample_by_station"][station])


@pytest.mark.real
def test_the_index_of_the_real_tapes_names_experiments_and_stations(real_data: Path) -> None:
    sheets = json.loads((real_data / "facts.json").read_text())["apollo_alsep"]
    found = [[(g.site, g.instrument, g.count) for g in index_alsep(real_data / sheet["file"])] for sheet in sheets]
    assert found == [
        [("apollo-12", "PSE", 4 * (540 + 459))],
        [(f"apollo-{n}", what, count) for n in (12, 15, 16) for what, count in (("PSE", 4), ("LSM", 6))],
        [("apollo-17", "LSPE", 60)],
    ]


@pytest.mark.real
def test_a_mutated_real_tape_ends_in_channels_or_a_format_error(tmp_path: Path, real_data: Path) -> None:
    path = tmp_path / "mutated"
    path.write_bytes((real_data / "apollo_alsep" / "pse.a12.10.91.mini").read_bytes())
    outcomes = survive(read_alsep, path, 300, seed=1, check=_alike)
    assert set(outcomes) <= {"refused", "read"}


def _alike(found: Any) -> None:
    assert isinstance(found, xr.DataTree)
    for leaf in found.leaves:
        assert all(values.sizes == leaf.sizes for values in leaf.data_vars.values())


@pytest.mark.real
def test_of_the_real_files_only_these_are_recognised(real_data: Path) -> None:
    files = [path for path in real_data.rglob("*") if path.is_file()]
    found = [path.parent.name for path in files if FORMAT.recognises(path.read_bytes()[:HEAD], path)]
    assert found == ["apollo_alsep"] * 3
