"""Finished cubes as the raw data of other instruments."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ilrs_toys.campaign import SECOND, START, Campaign, assert_same_bytes, values
from ilrs_toys.photons import write

import ilrs_science as ilrs
from ilrs_science import registry
from ilrs_science.errors import OutageError, PlanError
from ilrs_science.geometry.time import isot
from ilrs_science.store import granules
from ilrs_science.testing import check_instrument
from ilrs_science.testing.cube_check import check_cube

pytestmark = pytest.mark.usefixtures("toys")


def source(folder: Path, **changes: Any) -> Campaign:
    """Make a cube of a clock at two sites, with gaps, odd times and flags."""
    campaign = Campaign(folder)
    campaign.write("a.toy", "a", [0, 1.25, 2, 5, 6, 7.5, 8, 9, 10, 11, 20])
    campaign.write("b.toy", "bb", [3, 4, 13])
    ilrs.run(campaign.pipeline(**({"steps": ["flag_odd", "to_units"]} | changes)), executor="serial")
    return campaign


def derived(campaign: Campaign, instrument: str = "toy-again", **changes: Any) -> dict[str, Any]:
    """Return a pipeline over the cube of a campaign."""
    wanted = {"instrument": instrument, "raw": str(campaign.folder / "cube.zarr"), "steps": None}
    return campaign.pipeline(**({"output": "derived.zarr"} | wanted | changes))


def again(campaign: Campaign, **changes: Any) -> xr.Dataset:
    changes = {"steps": ["again"], **changes}
    report = ilrs.run(derived(campaign, **changes), executor="serial")
    assert report.exit_code == 0, report.rejected
    return values(campaign.folder / "derived.zarr")


def test_what_a_cube_holds_comes_out_of_it_again_sample_by_sample(tmp_path: Path) -> None:
    campaign = source(tmp_path)
    made, before = again(campaign), values(tmp_path / "cube.zarr")
    for name in ("value", "value_uncertainty", "number", "time_offset", "tai"):
        xr.testing.assert_identical(made[name].drop_attrs(), before[name].drop_attrs())
    assert check_cube(tmp_path / "derived.zarr") == []


def test_flags_of_an_instrument_are_carried_on_by_their_names(tmp_path: Path) -> None:
    made, before = again(source(tmp_path)), values(tmp_path / "cube.zarr")
    odd = (before.number % 2 == 1).values
    assert odd.any()
    assert not odd.all()
    assert np.array_equal(before.quality.values & 1 << 16 != 0, odd)
    assert np.array_equal(made.quality.values & 1 << 17 != 0, odd)
    assert not (made.quality.values & 1 << 16).any()
    assert np.array_equal(made.quality.values & 1, before.quality.values & 1)


def test_a_cube_with_flags_that_the_instrument_does_not_declare_is_rejected_by_name(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"has the flags odd, and toy-unflagged has not"):
        ilrs.plan(derived(source(tmp_path), "toy-unflagged"))


def test_each_cell_with_a_sample_is_one_that_is_read_and_the_others_are_none(tmp_path: Path) -> None:
    report = ilrs.run(derived(source(tmp_path), steps=["again"]), executor="serial")
    assert (report.counts.read, report.counts.placed, report.counts.rejected) == (14, 14, 0)


def test_a_mean_lies_in_the_middle_of_its_slot(tmp_path: Path) -> None:
    time = {"start": isot(START), "stop": isot(START + 24 * SECOND), "step": "3 s"}
    campaign = source(tmp_path, time=time, place="mean")
    made = again(campaign, time=time)
    reached = made.quality.values & 1 == 0
    assert (made.time_offset.values[reached] == 3 * SECOND // 2).all()


def test_means_of_means_are_those_of_the_cells_that_lie_in_a_slot(tmp_path: Path) -> None:
    campaign = source(tmp_path, steps=["to_units"])
    time = {"start": isot(START), "stop": isot(START + 24 * SECOND), "step": "6 s"}
    ilrs.run(derived(campaign, "toy-up", time=time), executor="serial")
    made, before = (values(tmp_path / name) for name in ("derived.zarr", "cube.zarr"))
    cells = before.value.sel(axis="up").values.reshape(2, 4, 6)
    there = ~np.isnan(cells)
    mean = np.where(there, cells, 0).sum(axis=2, dtype="f8") / np.maximum(there.sum(axis=2), 1)
    assert np.array_equal(made.upward.values, np.where(there.any(axis=2), mean, np.nan).astype("f4"), equal_nan=True)
    assert np.array_equal(made["count"].values, there.sum(axis=2))


@given(st.sampled_from([2, 4, 6, 12, 24]), st.sampled_from([2, 4, 8, 24]))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_cut_of_either_cube_does_not_matter(tmp_path_factory: pytest.TempPathFactory, one: int, other: int) -> None:
    known, cut = (source(tmp_path_factory.mktemp("cut"), layout=made) for made in ({}, {"chunk": 2, "shard": one}))
    layout = {"chunk": 2, "shard": other}
    xr.testing.assert_identical(again(known, layout=layout).drop_attrs(), again(cut, layout=layout).drop_attrs())


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_executors_read_cubes_bit_for_bit_alike(tmp_path: Path, executor: Any) -> None:
    campaign = source(tmp_path)
    ilrs.run(derived(campaign, steps=["again"], output="serial.zarr"), executor="serial")
    ilrs.run(derived(campaign, steps=["again"]), executor=executor, workers=2)
    assert_same_bytes(tmp_path / "serial.zarr", tmp_path / "derived.zarr")


def test_a_cube_that_grows_makes_anew_only_what_depends_on_its_last_part(tmp_path: Path) -> None:
    campaign = source(tmp_path)
    again(campaign)
    campaign.write("c.toy", "a", [21, 30])
    ilrs.run(campaign.pipeline(32, steps=["flag_odd", "to_units"]), executor="serial")
    made = ilrs.plan(derived(campaign, steps=["again"]))
    assert made.diff.counts() == {"done": 11, "inputs": 1}
    ilrs.run(derived(campaign, steps=["again"]), executor="serial")
    assert values(tmp_path / "derived.zarr").number.values[0, 21] == values(tmp_path / "cube.zarr").number.values[0, 21]


def test_the_last_part_of_a_cube_that_grows_within_a_shard_is_made_anew_and_has_not_gone(tmp_path: Path) -> None:
    campaign = source(tmp_path, layout={"chunk": 2, "shard": 16})
    again(campaign)
    campaign.write("c.toy", "a", [25, 26])
    ilrs.run(campaign.pipeline(28, steps=["flag_odd", "to_units"], layout={"chunk": 2, "shard": 16}), executor="serial")
    report = ilrs.run(derived(campaign, count=28, steps=["again"]), executor="serial")
    assert report.gone == ()
    assert report.counts.placed == 16
    assert report.counts.read == 16


def test_parts_of_equal_bytes_are_different_granules(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path)
    campaign.write("a.toy", "a", range(24))
    steps: list[Any] = [{"by_nothing": {}}, {"to_units": {"factor": 0.0}}]
    ilrs.run(campaign.pipeline(sites=["a"], steps=steps), executor="serial")
    report = ilrs.run(derived(campaign, sites=["a"], steps=["again"]), executor="serial")
    assert (report.counts.read, report.counts.placed, report.counts.duplicate) == (24, 24, 0)


def test_a_part_that_is_made_anew_with_equal_bytes_changes_nothing(tmp_path: Path) -> None:
    campaign = source(tmp_path)
    again(campaign)
    pipeline = campaign.pipeline(
        steps=[{"flag_odd": {}}, {"to_units": {"factor": 2.0}}, {"sum_near": {"window": "0 s"}}]
    )
    assert ilrs.run(pipeline, executor="serial", replace=True).skipped == 0
    assert ilrs.plan(derived(campaign, steps=["again"])).diff.counts() == {"done": 12}


def test_a_cube_that_changes_after_the_plan_is_an_outage_not_a_rejected_granule(tmp_path: Path) -> None:
    campaign = source(tmp_path)
    made = ilrs.plan(derived(campaign, steps=["again"]))
    campaign.write("a.toy", "a", [0, 1])
    ilrs.run(campaign.pipeline(steps=["flag_odd", "to_units"]), executor="serial")
    report = ilrs.run(made, executor="serial")
    assert report.exit_code == 75
    assert "its stored bytes are not those that were planned with" in report.failed[0].reason


def test_an_unfinished_cube_is_waited_for(tmp_path: Path) -> None:
    campaign = source(tmp_path)
    ilrs.store.cube.update_attributes(
        ilrs.store.target.target(tmp_path / "cube.zarr"), {"status": "unfinished: 3 of 12 parts to do"}
    )
    with pytest.raises(OutageError, match="unfinished: 3 of 12 parts to do; run its pipeline to the end first"):
        ilrs.plan(derived(campaign))


def test_a_cube_of_another_instrument_is_rejected_by_name(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="a cube of toy-clock; toy-rates reads cubes of toy-photons"):
        ilrs.plan(derived(source(tmp_path), "toy-rates"))


def test_instruments_that_read_each_other_are_a_fault(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="each reads the cubes of the next: toy-hen, toy-egg, toy-hen"):
        ilrs.plan(derived(source(tmp_path), "toy-hen"))


def test_no_cube_and_no_match_are_named(tmp_path: Path) -> None:
    campaign = source(tmp_path)
    with pytest.raises(PlanError, match="there is no cube"):
        ilrs.plan(derived(campaign, raw=str(tmp_path / "nothing.zarr")))
    with pytest.raises(PlanError, match="no cube matches it"):
        ilrs.plan(derived(campaign, raw=str(tmp_path / "no*.zarr")))


def test_a_cube_is_not_its_own_raw_data(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="raw files and cubes are kept apart"):
        ilrs.plan(derived(source(tmp_path), output="cube.zarr"))


def test_several_cubes_and_the_cubes_of_a_collection_are_read_as_one(tmp_path: Path) -> None:
    campaign = source(tmp_path)
    ilrs.run(campaign.pipeline(steps=["flag_odd", "to_units"], partition="day", output="days"), executor="serial")
    whole = again(campaign)
    ilrs.run(derived(campaign, steps=["again"], raw=str(tmp_path / "days"), output="of-days.zarr"), executor="serial")
    xr.testing.assert_identical(whole.drop_attrs(), values(tmp_path / "of-days.zarr").drop_attrs())
    both = [str(tmp_path / "cube.zarr"), str(tmp_path / "days")]
    report = ilrs.run(derived(campaign, steps=["again"], raw=both, output="both.zarr"), executor="serial")
    assert report.counts.duplicate == report.counts.placed == 14
    xr.testing.assert_identical(whole.drop_attrs(), values(tmp_path / "both.zarr").drop_attrs())


def test_rates_are_made_of_a_cube_of_counts_where_it_was_observed(tmp_path: Path) -> None:
    good = [[START, START + 4 * SECOND, module] for module in (0, 1)]
    write(tmp_path / "a.photons", "a", good, [[START + SECOND * n // 3, 5.0, n % 2] for n in range(9)])
    campaign = Campaign(tmp_path)
    ilrs.run(
        campaign.pipeline(8, instrument="toy-photons", raw=str(tmp_path / "*.photons"), steps=["to_bins"], sites=["a"]),
        executor="serial",
    )
    ilrs.run(derived(campaign, "toy-rates", count=8, sites=["a"]), executor="serial")
    cube = values(tmp_path / "derived.zarr")
    assert cube.rate.values[0].tolist()[:4] == [1.5, 1.5, 1.5, 0.0]
    assert np.isnan(cube.rate.values[0, 4:]).all()
    assert check_cube(tmp_path / "derived.zarr") == []


def test_samples_have_the_labels_and_units_of_the_cube(tmp_path: Path) -> None:
    write(tmp_path / "a.photons", "a", [[START, START + SECOND, 0]], [])
    campaign = Campaign(tmp_path)
    asked = campaign.pipeline(
        4, instrument="toy-photons", raw=str(tmp_path / "*.photons"), steps=["to_bins"], sites=["a"]
    )
    ilrs.run(asked, executor="serial")
    (granule,) = granules.index(str(tmp_path / "cube.zarr"), registry.reader("toy-rates"))
    ds = granules.samples(granule)
    assert ds.energy.values.tolist() == [5.0, 15.0, 30.0]
    assert ds.energy.attrs == {"units": "keV"}
    assert ds.counts.attrs["units"] == "count"
    assert ds.counts.dims == ("time", "module", "energy")


def test_a_cube_whose_name_has_brackets_is_itself(tmp_path: Path) -> None:
    campaign = source(tmp_path)
    (tmp_path / "cube.zarr").rename(tmp_path / "cube [1]#2+3.zarr")
    made = again(campaign, raw=str(tmp_path / "cube [1]#2+3.zarr"))
    assert np.isfinite(made.value.values[:, :, 0]).sum() == 14


def test_exposures_are_made_of_exposures(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path)
    campaign.write("a.frames", "a", [5, 1, 7])
    campaign.write("b.frames", "bb", [5, 6])
    ilrs.run(campaign.exposures(), executor="serial")
    report = ilrs.run(
        campaign.exposures(instrument="toy-brightest", raw=str(tmp_path / "frames.zarr"), output="most.zarr"),
        executor="serial",
    )
    assert report.counts.placed == 5
    made, before = values(tmp_path / "most.zarr"), values(tmp_path / "frames.zarr")
    assert made.tai.values.tolist() == before.tai.values.tolist()
    assert made.site.values.tolist() == before.site.values.tolist()
    assert np.array_equal(made.most.values, before.frame.max(("y", "x")).values)


def test_the_kit_takes_cubes(tmp_path: Path) -> None:
    from ilrs_toys.derived import up  # noqa: PLC0415 - after the toys are installed

    source(tmp_path)
    assert check_instrument(up, [str(tmp_path / "cube.zarr")]).ok
