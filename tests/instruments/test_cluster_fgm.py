"""Four Cluster spacecraft: vectors at their own times on one axis, from synthetic files and from the true ones."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cdflib
import numpy as np
import pytest
import xarray as xr

import ilrs_science as ilrs
from ilrs_science.geometry import parse_utc
from ilrs_science.running.report import Report

START = "2001-06-11T20:00:00Z"
MILLISECONDS = cdflib.cdfepoch.compute_epoch([2001, 6, 11, 20, 0, 0, 0])
MISSING = 1

type Writer = Callable[..., Path]


def pipeline(raw: Path | str, output: Path, **more: Any) -> dict[str, Any]:
    time = {"start": START, "stop": "2001-06-11T21:00:00Z", "step": "4 s"}
    return {"name": "b", "instrument": "cluster-fgm", "raw": str(raw), "time": time, "output": str(output), **more}


def run(description: dict[str, Any]) -> tuple[Report, xr.Dataset]:
    report = ilrs.run(description, executor="serial")
    return report, ilrs.open_cube(description["output"]).load()


def test_vectors_keep_their_times_and_gaps_are_missing(tmp_path: Path, fgm_file: Writer) -> None:
    milliseconds = MILLISECONDS + np.array([1174.0, 5194.0, 25294.0])
    fgm_file(tmp_path, "C1", milliseconds, [[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    fgm_file(tmp_path, "C4", MILLISECONDS + np.array([3912.0, 7921.0]), [[0, 0, 1], [0, 0, 2]])
    report, cube = run(pipeline(tmp_path / "*.cdf", tmp_path / "b.zarr"))
    assert report.exit_code == 0
    first = cube.sel(site="C1").isel(time=slice(0, 7))
    assert first.quality.values.tolist() == [0, 0, MISSING, MISSING, MISSING, MISSING, 0]
    exact = first.tai.values.astype("i8") + first.time_offset.values
    assert exact[[0, 1, 6]].tolist() == [parse_utc(START) + ms * 10**6 for ms in (1174, 5194, 25294)]
    np.testing.assert_array_equal(first.b.values[[0, 1, 6]], np.arange(1, 10).reshape(3, 3))
    assert cube.b.dtype == np.dtype("f4")
    assert cube.position.dtype == np.dtype("f8")
    np.testing.assert_allclose(first.position.values[0], [-16918.5, -121482.7, 13111.6], atol=0.01)


def test_a_filled_vector_is_placed_and_flagged_missing(tmp_path: Path, fgm_file: Writer) -> None:
    fgm_file(tmp_path, "C2", MILLISECONDS + np.array([0.0, 4000.0]), [[1, 2, -1e30], [4, 5, 6]])
    report, cube = run(pipeline(tmp_path / "*.cdf", tmp_path / "b.zarr"))
    assert report.counts.placed == 2
    assert cube.quality.values[0, :2].tolist() == [MISSING, 0]
    assert np.isnan(cube.b.values[0, 0, 2])


def test_a_vector_without_a_time_is_counted_as_rejected(tmp_path: Path, fgm_file: Writer) -> None:
    fgm_file(tmp_path, "C2", [MILLISECONDS, 315569519999000.0], [[1, 2, 3], [4, 5, 6]])
    report, _ = run(pipeline(tmp_path / "*.cdf", tmp_path / "b.zarr"))
    assert (report.counts.read, report.counts.placed, report.reasons) == (2, 1, {"no time": 1})


def test_the_uncertainty_is_unknown_unless_the_pipeline_states_it(tmp_path: Path, fgm_file: Writer) -> None:
    fgm_file(tmp_path, "C3", [MILLISECONDS], [[1, 2, 3]])
    _, silent = run(pipeline(tmp_path / "*.cdf", tmp_path / "silent.zarr"))
    stated = pipeline(tmp_path / "*.cdf", tmp_path / "stated.zarr", steps=[{"add_uncertainty": {"noise": 0.25}}])
    assert np.isnan(silent.b_uncertainty.values).all()
    assert run(stated)[1].b_uncertainty.values[0, 0].tolist() == [0.25, 0.25, 0.25]


def test_a_field_in_another_unit_is_refused(tmp_path: Path, fgm_file: Writer) -> None:
    path = fgm_file(tmp_path, "C3", [MILLISECONDS], [[1, 2, 3]], units="T")
    (rejection,) = ilrs.inventory([str(path)], instruments=["cluster-fgm"]).rejected
    assert "unit 'T'; expected 3 components in nT" in rejection.reason


def test_a_damaged_file_spoils_only_itself(tmp_path: Path, fgm_file: Writer) -> None:
    fgm_file(tmp_path, "C1", [MILLISECONDS], [[1, 2, 3]])
    damaged = fgm_file(tmp_path, "C2", [MILLISECONDS], [[1, 2, 3]])
    damaged.write_bytes(damaged.read_bytes()[:500])
    report, cube = run(pipeline(tmp_path / "*.cdf", tmp_path / "b.zarr"))
    assert report.exit_code == 3
    assert list(report.rejected) == [str(damaged)]
    assert cube.site.values.tolist() == ["C1"]


@pytest.fixture(scope="module")
def magnetopause(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> xr.Dataset:
    """Return the cube of the true hour, 2001-06-11 20:00 to 21:00."""
    raw = real_data / "cluster_fgm_20010611" / "*.cdf"
    return run(pipeline(raw, tmp_path_factory.mktemp("cluster") / "b.zarr"))[1]


@pytest.fixture(scope="module")
def facts(real_data: Path) -> dict[str, Any]:
    """Return what the data sheet says of each spacecraft."""
    entries = json.loads((real_data / "facts.json").read_text())["cluster_fgm_20010611"]
    return {entry["file"].split("/")[1][:2]: entry["facts"] for entry in entries if entry["file"].endswith(".cdf")}


@pytest.mark.real
@pytest.mark.parametrize(("site", "count"), [("C1", 880), ("C2", 900), ("C3", 899), ("C4", 897)])
def test_real_vectors_agree_with_the_data_sheet(
    site: str, count: int, magnetopause: xr.Dataset, facts: dict[str, Any]
) -> None:
    one = magnetopause.sel(site=site)
    good = one.quality.values == 0
    times = (one.tai.values.astype("i8") + one.time_offset.values)[good]
    assert good.sum() == facts[site]["records"] == count
    np.testing.assert_allclose(one.b.values[good].mean(0, dtype="f8"), facts[site]["B_gse_mean_nT"], atol=1e-4)
    np.testing.assert_allclose(one.position.values[good][0], facts[site]["first_position_gse_km"], atol=0.1)
    assert abs(times[0] - parse_utc(facts[site]["first_time"])) < 10**6
    assert abs(times[-1] - parse_utc(facts[site]["last_time"])) < 10**6


@pytest.mark.real
def test_the_gaps_of_the_first_spacecraft_are_missing_in_every_slot(
    magnetopause: xr.Dataset, facts: dict[str, Any]
) -> None:
    one = magnetopause.sel(site="C1")
    starts = one.tai.values.astype("i8")
    gaps = facts["C1"]["gaps_longer_than_8_s"]
    assert len(gaps) == 5
    for gap in gaps:
        after = parse_utc(gap["after"]) + 10**8  # the data sheet gives tenths of a second
        stop = after + int(gap["length_s"] * 1e9) - 2 * 10**8
        inside = (starts > after) & (starts + 4 * 10**9 < stop)
        assert inside.sum() >= 2
        assert (one.quality.values[inside] == MISSING).all(), gap
        assert np.isnan(one.b.values[inside]).all()
