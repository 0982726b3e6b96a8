"""Apollo seismometers: words of tapes onto a regular axis, from synthetic tapes and from the true ones."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import ilrs_science as ilrs
from ilrs_science import FormatError
from ilrs_science.formats.alsep import read_tape
from ilrs_science.geometry import isot, parse_utc
from ilrs_science.running.report import Report

STEP = 150_943_396  # ns, 4 samples in 640 bits at 1060 bits a second
FRAME = 603_773_585
JANUARY_15 = 14 * 86400 * 1000  # ms of the year
DAY = "1976-01-15T00:00:00Z"

type Writer = Callable[..., bytes]


def pipeline(raw: Path, output: Path, *, start: int, step: int = STEP, slots: int = 12, **more: Any) -> dict[str, Any]:
    """Return a pipeline whose axis begins half a step before `start`, so that samples lie in the middle of slots."""
    begin = start - step // 2
    time = {"start": isot(begin), "stop": isot(begin + slots * step), "step": f"{step} ns"}
    return {"name": "m", "instrument": "apollo-pse", "raw": str(raw), "time": time, "output": str(output), **more}


def run(description: dict[str, Any]) -> tuple[Report, xr.Dataset]:
    report = ilrs.run(description, executor="serial")
    return report, ilrs.open_cube(description["output"]).load()


def long_period(first: int) -> dict[int, int]:
    """Return the 12 long-period words of a frame: x, y, z of four samples, counting up."""
    return {word: first + number for number, word in enumerate((9, 11, 13, 25, 27, 29, 41, 43, 45, 57, 59, 61))}


def test_each_station_of_a_work_tape_becomes_a_row_with_its_own_times(tmp_path: Path, work_tape: Writer) -> None:
    frames = [(12, JANUARY_15 + 10, 1, long_period(100)), (15, JANUARY_15 + 95, 9, long_period(300))]
    (tmp_path / "wtn.9.9").write_bytes(work_tape(frames))
    report, cube = run(pipeline(tmp_path / "wtn.*", tmp_path / "m.zarr", start=parse_utc(DAY), slots=6))
    assert (report.counts.read, report.counts.placed, report.exit_code) == (8, 8, 0)
    for site, offset, first in (("apollo-12", 10, 100), ("apollo-15", 95, 300)):
        row = cube.sel(site=site)
        good = (row.quality.values == 0).all(1)
        times = (row.tai.values.astype("i8") + row.time_offset.values)[good]
        expected = parse_utc(DAY) + offset * 10**6 + np.array([0, 150943396, 301886792, 452830189])
        np.testing.assert_array_equal(times, expected)
        np.testing.assert_array_equal(row.counts.values[good], np.arange(first, first + 12).reshape(4, 3))
    assert cube.channel.values.tolist() == ["x", "y", "z"]


def test_words_at_either_end_of_the_converter_are_saturated(tmp_path: Path, work_tape: Writer) -> None:
    words = {**long_period(500), 9: 1023, 29: 0}
    (tmp_path / "wtn.9.9").write_bytes(work_tape([(12, JANUARY_15, 1, words)]))
    _, cube = run(pipeline(tmp_path / "wtn.*", tmp_path / "m.zarr", start=parse_utc(DAY), slots=4))
    assert cube.quality.values[0].tolist() == [[2, 0, 0], [0, 0, 2], [0, 0, 0], [0, 0, 0]]
    np.testing.assert_allclose(cube.counts_uncertainty, 1 / np.sqrt(12), rtol=1e-6)


def test_a_lost_frame_leaves_a_gap_and_its_samples_are_counted(tmp_path: Path, pse_record: Writer) -> None:
    frames = [(JANUARY_15 + round(k * 603.7736), k, long_period(100 + k)) for k in range(540)]
    record = bytearray(pse_record(12, frames))
    record[16 + 36 * 1 + 8] ^= 0xFF  # the sync code of the second frame
    (tmp_path / "pse.a12.9.9").write_bytes(bytes(record))
    report, cube = run(pipeline(tmp_path / "pse.*", tmp_path / "m.zarr", start=parse_utc(DAY)))
    assert report.reasons == {"bad sync code": 4, "outside the axis": 540 * 4 - 12}
    assert cube.quality.values[0].tolist() == [[0] * 3] * 4 + [[1] * 3] * 4 + [[0] * 3] * 4


def test_a_truncated_record_is_counted(tmp_path: Path, pse_record: Writer) -> None:
    whole = pse_record(14, [(JANUARY_15 + round(k * 603.7736), k, long_period(1)) for k in range(540)])
    (tmp_path / "pse.a14.9.9").write_bytes(whole + whole[: 16 + 36 * 7 + 3])
    (granule,) = ilrs.inventory([str(tmp_path / "pse.*")], instruments=["apollo-pse"]).granules
    assert granule.site == "apollo-14"
    assert granule.count == 4 * (540 + 7)


def test_a_tape_cut_in_two_gives_the_same_samples(tmp_path: Path, work_tape: Writer) -> None:
    frames = [(16, JANUARY_15 + msec, k, long_period(10 * k + 1)) for k, msec in enumerate((0, 604, 1207, 1811))]
    for name, some in (("whole", [frames]), ("cut", [frames[:2], frames[2:]])):
        (tmp_path / name).mkdir()
        for number, piece in enumerate(some):
            (tmp_path / name / f"wtn.1.{number}").write_bytes(work_tape(piece))
    _, whole = run(pipeline(tmp_path / "whole" / "*", tmp_path / "a.zarr", start=parse_utc(DAY), slots=16))
    _, cut = run(pipeline(tmp_path / "cut" / "*", tmp_path / "b.zarr", start=parse_utc(DAY), slots=16))
    xr.testing.assert_equal(whole, cut)
    assert (whole.quality == 0).all()


def test_tidal_channels_alternate_from_frame_to_frame(tmp_path: Path, work_tape: Writer) -> None:
    frames = [(12, JANUARY_15 + round(k * 603.7736), k, {35: 200 + k, 37: 300 + k}) for k in range(4)]
    (tmp_path / "wtn.9.9").write_bytes(work_tape(frames))
    description = pipeline(tmp_path / "wtn.*", tmp_path / "t.zarr", start=parse_utc(DAY), step=FRAME, slots=4)
    _, cube = run({**description, "instrument": "apollo-pse-tidal"})
    absent = np.nan
    expected = [[200, 300, absent, absent], [absent, absent, 201, 301]] * 2
    expected = np.array(expected) + np.array([0, 0, 2, 2])[:, None]
    np.testing.assert_array_equal(cube.counts.values[0], expected)
    np.testing.assert_array_equal(cube.quality.values[0], np.isnan(expected))
    assert cube.channel.values.tolist() == ["x", "y", "z", "temperature"]


def test_both_instruments_take_the_same_tape(tmp_path: Path, work_tape: Writer) -> None:
    (tmp_path / "wtn.9.9").write_bytes(work_tape([(12, JANUARY_15, 1, {}), (14, JANUARY_15, 1, {})]))
    found = ilrs.inventory([str(tmp_path / "wtn.*")])
    assert {(g.instrument, g.site, g.count) for g in found.granules} == {
        ("apollo-pse", "apollo-12", 4),
        ("apollo-pse", "apollo-14", 4),
        ("apollo-pse-tidal", "apollo-12", 1),
        ("apollo-pse-tidal", "apollo-14", 1),
    }


@pytest.mark.parametrize(
    ("frames", "year", "reason"),
    [
        ([(17, 80 * 86400 * 1000, 1, {})], 1976, "holds apollo-17, which has no seismometer"),
        ([(12, 0, 1, {})], 2000, "1 frames: year 2000"),
        ([(12, 367 * 86400 * 1000, 1, {})], 1976, "1 frames: time beyond the end of the year"),
        ([(16, 0, 1, {})], 1972, "1 frames: at a time when the station did not operate"),
        ([(11, 0, 1, {})], 1976, "1 frames: frame of no station"),
        ([], 1976, "no whole frame"),
    ],
)
def test_a_tape_without_usable_frames_is_refused_with_the_reason(
    tmp_path: Path, work_tape: Writer, frames: list[Any], year: int, reason: str
) -> None:
    (tmp_path / "wtn.9.9").write_bytes(work_tape(frames, year=year))
    (rejection,) = ilrs.inventory([str(tmp_path / "wtn.*")], instruments=["apollo-pse"]).rejected
    assert reason in rejection.reason


@pytest.mark.real
def test_the_real_tape_of_apollo_12_agrees_with_the_data_sheet(real_data: Path, tmp_path: Path) -> None:
    tape = real_data / "apollo_alsep" / "pse.a12.10.91.mini"
    start = parse_utc("1976-01-15T00:00:00.56Z")
    report, cube = run(pipeline(tape, tmp_path / "m.zarr", start=start, slots=2160))
    good = (cube.quality.values[0] == 0).all(1)
    assert (report.counts.placed, int(good.sum())) == (2160, 2160)
    assert report.reasons == {"truncated record": 4 * 459}
    assert cube.tai.values.astype("i8")[0] + int(cube.time_offset[0, 0]) == start
    for channel, name in zip("xyz", ("LPX", "LPY", "LPZ"), strict=True):
        fact = trace(real_data, "pse.a12.10.91.mini", f"XA.S12..{name}")
        values = cube.counts.sel(channel=channel).values[0]
        assert (values.min(), values.max(), len(values)) == (fact["min"], fact["max"], fact["npts"])
        assert values.mean(dtype="f8") == pytest.approx(fact["mean"], abs=1e-5)


@pytest.mark.real
def test_the_real_tidal_channels_agree_with_the_data_sheet(real_data: Path, tmp_path: Path) -> None:
    tape = real_data / "apollo_alsep" / "pse.a12.10.91.mini"
    start = parse_utc("1976-01-15T00:00:00.56Z")
    description = pipeline(tape, tmp_path / "t.zarr", start=start, step=FRAME, slots=540)
    report, cube = run({**description, "instrument": "apollo-pse-tidal"})
    assert report.counts.placed == 540
    for channel, name in {"x": "TDX", "y": "TDY", "z": "TDZ", "temperature": "TMP"}.items():
        fact = trace(real_data, "pse.a12.10.91.mini", f"XA.S12..{name}")
        one = cube.sel(channel=channel).isel(site=0)
        good = one.quality.values == 0
        times = (one.tai.values.astype("i8") + one.time_offset.values)[good]
        assert int(good.sum()) == fact["npts"] == 270
        assert one.counts.values[good].mean(dtype="f8") == pytest.approx(fact["mean"], abs=1e-5)
        assert times[0] == parse_utc(fact["start"])
        assert one.quality.values[~good].tolist() == [1] * 270


@pytest.mark.real
def test_the_real_work_tape_keeps_the_start_of_each_station(real_data: Path, tmp_path: Path) -> None:
    tape = real_data / "apollo_alsep" / "wtn.1.2.mini"
    start = parse_utc("1976-03-02T08:59:59.755Z")
    _, cube = run(pipeline(tape, tmp_path / "m.zarr", start=start, slots=6))
    starts = {}
    for site in cube.site.values:
        one = cube.sel(site=site)
        good = (one.quality.values == 0).all(1)
        assert good.sum() == 4
        starts[site] = isot(int((one.tai.values.astype("i8") + one.time_offset.values)[good][0]))
    assert starts == {
        "apollo-12": "1976-03-02T08:59:59.792Z",
        "apollo-15": "1976-03-02T08:59:59.922Z",
        "apollo-16": "1976-03-02T08:59:59.755Z",
    }


@pytest.mark.real
def test_the_real_tape_of_high_bit_rate_is_no_tape_of_seismometers(real_data: Path) -> None:
    path = real_data / "apollo_alsep" / "wth.1.5.mini"
    found = ilrs.inventory([str(path)], instruments=["apollo-pse"])
    assert "no instrument takes files of this name" in found.rejected[0].reason
    with pytest.raises(FormatError, match=r"work tape of high bit rate \(WTH\)"):
        read_tape(path.read_bytes())
    (granule,) = ilrs.inventory([str(path)]).granules
    assert (granule.format, granule.site, granule.count) == ("alsep", "apollo-17", 60)


def trace(real_data: Path, file: str, name: str) -> dict[str, Any]:
    """Return what the data sheet says of one channel."""
    entries = json.loads((real_data / "facts.json").read_text())["apollo_alsep"]
    traces = next(entry for entry in entries if entry["file"].endswith(file))["facts"]["traces"]
    return next(one for one in traces if one["id"] == name)
