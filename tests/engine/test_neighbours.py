"""Steps that see windows, groups or so many neighbours; that the cut changes nothing is a law of test_laws.py."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from ilrs_toys import camera, clock, raw
from ilrs_toys.campaign import SECOND, START, Campaign, values

import ilrs_science as ilrs
from ilrs_science import reject, set_flag, step
from ilrs_science.catalog import with_times
from ilrs_science.errors import PlanError, PluginError, StepError
from ilrs_science.model.axis import RegularAxis
from ilrs_science.model.step import Reach, reach
from ilrs_science.planning.calls import bind_steps
from ilrs_science.planning.pipeline import load_pipeline
from ilrs_science.reduction.calling import BoundStep
from ilrs_science.reduction.lineage import Made
from ilrs_science.reduction.pieces import windows
from ilrs_science.reduction.rows import Region, rows_of
from ilrs_science.running.report import Report
from ilrs_science.testing.case import prepare
from ilrs_science.testing.checks import CHECKS

pytestmark = pytest.mark.usefixtures("toys")


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    return Campaign(tmp_path)


def run(campaign: Campaign, steps: list[Any], count: int = 8, **changes: Any) -> tuple[xr.Dataset, Report]:
    report = ilrs.run(campaign.pipeline(count, sites=["a"], steps=[*steps, "to_units"], **changes), executor="serial")
    assert not report.failed, [record.reason for record in report.failed]
    return values(campaign.folder / "cube.zarr").sel(site="a"), report


def truth(second: float) -> int:
    return int(raw.counts_at(np.array(START + round(second * SECOND)), "a"))


def turn_of(second: float, turn: int) -> int:
    return (START + round(second * SECOND)) // (turn * SECOND)


def samples(turns: list[int], **columns: Any) -> xr.Dataset:
    """Return samples a second apart with the turn of each."""
    count = len(turns)
    given = {"turn": ("time", turns), "b": ("time", np.arange(count) + 0.5), "quality": ("time", np.zeros(count, "u4"))}
    times = {"tai": ("time", START + SECOND * np.arange(count)), "sample": ("time", np.arange(count, dtype="u8"))}
    return with_times(xr.Dataset(given | columns, times))


def rows(function: Any, ds: xr.Dataset) -> Made:
    """Return what a step makes of samples, none of which is cut off."""
    bound = BoundStep(function, {}, {}, reach(function, {}).around, reach(function, {}))
    axis = RegularAxis(START, SECOND, 1000)
    return rows_of(bound, ds, Region(axis, "a", START - 1000 * SECOND, axis.stop + 1000 * SECOND))


def first_of(ds: xr.Dataset) -> xr.Dataset:
    return xr.Dataset({"b": ("time", [ds.b.values.sum()])}, {"tai": ("time", ds.tai.values[:1])})


def test_a_group_takes_the_reference_of_its_first_sample(campaign: Campaign) -> None:
    campaign.write("0.toy", "a", range(12))
    first = next(s for s in range(4) if turn_of(s, 4) != turn_of(s - 1, 4))  # a turn begins here
    campaign.refer("gain", -100, first + 2, 3)
    campaign.refer("gain", first + 2, 100, 7)
    cube, _ = run(campaign, [{"turns": {"turn": "4 s"}}, {"less_first": {"limit": "4 s"}}], count=12)
    expected = [truth(first + k) - 3 * truth(first) for k in range(4)]
    expected += [truth(first + 4 + k) - 7 * truth(first + 4) for k in range(4)]
    assert (cube.value.values[first : first + 8, 0] / 2).tolist() == expected


def test_every_sample_of_a_group_is_counted_with_its_row(campaign: Campaign) -> None:
    campaign.write("0.toy", "a", range(12))
    cube, report = run(campaign, [{"turns": {"turn": "3 s"}}, {"sums": {"limit": "3 s"}}], count=12)
    turns: dict[int, list[int]] = {}
    for second in range(12):
        turns.setdefault(turn_of(second, 3), []).append(second)
    kept = [seconds for seconds in turns.values() if truth(seconds[0]) % 2 == 0]
    assert cube.number.values[np.isfinite(cube.number.values)].tolist() == [truth(one[0]) for one in kept]
    assert np.nansum(cube.value.values[:, 0]) == 2 * sum(truth(s) for one in kept for s in one)
    placed = sum(map(len, kept))
    assert (report.counts.read, report.counts.placed) == (12, placed)
    assert report.reasons == ({"step sums made nothing of it": 12 - placed} if placed < 12 else {})


def test_a_label_that_stays_the_same_too_long_costs_its_samples_and_says_why(campaign: Campaign) -> None:
    campaign.write("0.toy", "a", range(30))
    cube, report = run(campaign, [{"turns": {"turn": "1000 s"}}, {"sums": {"limit": "20 s"}}], count=30)
    assert report.reasons == {"turn is the same for longer than 20 s": 30}
    assert np.isnan(cube.value.values).all()


def test_a_gap_longer_than_the_limit_ends_a_group_with_the_same_label() -> None:
    taken = step(group="turn", limit="5 s")(first_of)
    made = rows(taken, samples([1] * 12).isel(time=[0, 1, 2, 9, 10]))
    assert made.ds.b.values.tolist() == [0.5 + 1.5 + 2.5, 9.5 + 10.5]
    assert made.row.tolist() == [0, 0, 0, 1, 1]


def test_rows_without_quality_have_all_flags_of_their_samples_and_others_their_own() -> None:
    ds = samples([1, 1, 2, 2])
    ds = set_flag(ds, "saturated", xr.DataArray([True, False, False, False], dims="time"))
    ds = set_flag(ds, "cosmic_ray", xr.DataArray([False, True, False, True], dims="time"))
    assert rows(step(group="turn", limit="5 s")(first_of), ds).ds.quality.values.tolist() == [0b1010, 0b1000]

    @step(group="turn", limit="5 s")
    def bold(ds: xr.Dataset) -> xr.Dataset:
        return first_of(ds).assign(quality=("time", np.zeros(1, "u4")))

    assert rows(bold, ds).ds.quality.values.tolist() == [0, 0]


def test_flags_by_channel_stay_by_channel() -> None:
    flags = np.array([[1, 0], [2, 0], [0, 4], [0, 0]], "u4")
    ds = samples([1, 1, 2, 2], quality=(("time", "axis"), flags))

    @step(group="turn", limit="5 s")
    def both(ds: xr.Dataset) -> xr.Dataset:
        return first_of(ds).assign(v=(("time", "axis"), np.zeros((1, 2))))

    assert rows(both, ds).ds.quality.values.tolist() == [[3, 0], [0, 4]]
    assert rows(step(group="turn", limit="5 s")(first_of), ds).ds.quality.values.tolist() == [3, 4]


def test_rejected_samples_are_not_handed_on_and_keep_their_reason() -> None:
    ds = reject(samples([1, 1, 2, 2]), "in shadow", xr.DataArray([False, True, True, True], dims="time"))
    made = rows(step(group="turn", limit="5 s")(first_of), ds)
    assert made.ds.b.values.tolist() == [0.5]
    assert made.row.tolist() == [0, -1, -1, -1]
    assert {reason: mask.tolist() for reason, mask in made.lost.items()} == {"in shadow": [False, True, True, True]}


def test_a_row_that_carries_its_sample_on_stands_for_that_one() -> None:
    @step(group="turn", limit="5 s")
    def last_two(ds: xr.Dataset) -> xr.Dataset:
        return ds.isel(time=slice(1, None))

    made = rows(last_two, samples([1, 1, 1]))
    assert made.row.tolist() == [0, 0, 1]
    assert made.ds.sample.values.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("gives", "said"),
    [
        (lambda ds: first_of(ds).drop_vars("tai"), "gave rows without tai along time"),
        (lambda ds: ds.isel(time=0), "gave variables without time: turn, b, quality; repeat them along time"),
        (lambda ds: ds.assign_coords(tai=ds.tai + np.timedelta64(9, "s")), "gave a row at .*, outside of its samples"),
        (lambda ds: first_of(ds).assign({f"v{ds.turn.values[0]}": ("time", [1])}), "v1, v2: there for some samples"),
        (lambda ds: ds["b"], "returned DataArray; expected an xarray.Dataset"),
    ],
)
def test_rows_that_cannot_be_placed_are_faults_of_the_step(gives: Any, said: str) -> None:
    def wrong(ds: xr.Dataset) -> xr.Dataset:
        found: xr.Dataset = gives(ds)
        return found

    with pytest.raises(StepError, match=said):
        rows(step(group="turn", limit="5 s")(wrong), samples([1, 1, 2]))


def test_a_label_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(StepError, match=r"for each spin, which is no variable along time; there are .*turn"):
        rows(step(group="spin", limit="5 s")(first_of), samples([1]))


def test_a_step_may_not_write_to_a_window() -> None:
    @step(window="2 s")
    def hurts(ds: xr.Dataset) -> xr.Dataset:
        ds.b.values[:] = 0
        return ds

    with pytest.raises(StepError, match="step hurts mutates its input"):
        rows(hurts, samples([1, 1]))


def test_windows_lie_on_one_grid_and_what_they_keep_has_no_gap() -> None:
    times = START + SECOND * np.arange(100)
    found = windows(times, Reach(window=20 * SECOND, overlap=5 * SECOND + 1), (START, START + 100 * SECOND))
    hop = 15 * SECOND - 1
    assert {one.bounds[0] % hop for one in found} == {0}
    assert {one.bounds[1] - one.bounds[0] for one in found} == {20 * SECOND}
    assert [one.kept[1] for one in found[:-1]] == [one.kept[0] for one in found[1:]]
    assert found[0].kept[0] <= START
    assert found[-1].kept[1] >= START + 100 * SECOND
    for one in found:
        assert times[one.samples].tolist() == [t for t in times if one.bounds[0] <= t < one.bounds[1]]
        assert one.bounds[0] <= one.kept[0] < one.kept[1] <= one.bounds[1]


def test_no_window_is_called_for_that_has_no_sample() -> None:
    ds = samples([0] * 1000).isel(time=[0, 999])
    called = []

    @step(window="10 s", overlap="4 s")
    def noted(ds: xr.Dataset) -> xr.Dataset:
        called.append(ds.sizes["time"])
        return ds

    assert rows(noted, ds).ds.b.values.tolist() == [0.5, 999.5]
    assert set(called) == {1}


def test_so_many_neighbours_are_seen_within_the_limit_and_a_longer_gap_is_an_edge(campaign: Campaign) -> None:
    seconds = [0, 1, 2, 3, 5, 6]
    campaign.write("0.toy", "a", seconds)
    cube, _ = run(campaign, [{"sum_of_five": {"limit": "3 s"}}], count=7)
    # A gap of 2 s is longer than 3 s / 2.
    near = {0: (0, 1, 2), 1: (0, 1, 2, 3), 2: (0, 1, 2, 3), 3: (1, 2, 3), 5: (5, 6), 6: (5, 6)}
    found = cube.value.values[seconds, 0].tolist()
    assert found == [2 * sum(map(truth, near[second])) for second in seconds]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"margin": "5 s", "window": "5 s"}, "found margin and window; a step declares one"),
        ({"window": "5 s", "group": "turn", "limit": "1 s"}, "found window and group"),
        ({"overlap": "5 s"}, "found overlap without window"),
        ({"group": "turn"}, "limit goes with a group or a margin in samples"),
        ({"margin": 3}, "limit goes with a group or a margin in samples"),
        ({"margin": "5 s", "limit": "1 s"}, "limit goes with a group or a margin in samples"),
        ({"margin": 0, "limit": "1 s"}, "found margin=0"),
        ({"margin": True, "limit": "1 s"}, "found margin=True"),
        ({"resources": {"GPU": 0}}, "found resources .'GPU': 0."),
    ],
)
def test_words_that_do_not_go_together_are_told_when_the_plugin_is_imported(words: dict[str, Any], said: str) -> None:
    with pytest.raises(PluginError, match=said):
        step(**words)


def test_exposures_have_the_instants_of_their_files_and_nothing_else(campaign: Campaign) -> None:
    pipeline = load_pipeline(campaign.exposures(steps=[{"sums": {"limit": "3 s"}}]))
    _, faults = bind_steps(pipeline, replace(camera.instrument, steps=(clock.sums,)))
    assert [str(one).partition(";")[0] for one in faults] == ["steps[0].sums: makes rows of its own"]


def test_a_window_longer_than_the_axis_is_warned_of(campaign: Campaign) -> None:
    campaign.write("0.toy", "a", range(8))
    steps = [{"less_mean": {"window": "1 min", "overlap": "2 s"}}, "to_units"]
    plan = ilrs.plan(campaign.pipeline(8, sites=["a"], steps=steps))
    assert [str(one) for one in plan.warnings] == [
        "steps[0].less_mean: looks 59 s to either side of an axis of 8 s; every result is near an edge of the data"
    ]
    with pytest.raises(PlanError, match="looks 59 s"):
        ilrs.plan(campaign.pipeline(8, sites=["a"], steps=steps), strict=True)


def test_a_number_without_time_is_a_fault_since_it_would_be_that_of_one_window_among_several() -> None:
    @step(window="2 s")
    def mean(ds: xr.Dataset) -> xr.Dataset:
        return ds.assign(mean=ds.b.mean())

    with pytest.raises(StepError, match="step mean gave variables without time: mean; repeat them along time"):
        rows(mean, samples([0, 0, 0]))


def test_each_sample_is_counted_once_whatever_numbers_rows_carry_on() -> None:
    @step(window="4 s", overlap="3 s")
    def first_in_the_middle(ds: xr.Dataset) -> xr.Dataset:
        middle = ds.tai.values[ds.sizes["time"] // 2]
        return ds.isel(time=[0]).assign_coords(tai=("time", [middle]))

    @step(window="4 s")
    def coarse(ds: xr.Dataset) -> xr.Dataset:
        if ds.sizes["time"] < 4:
            return first_of(ds)
        return ds[["b"]].coarsen(time=2).mean()  # the number of a sample becomes a float

    for made in (rows(first_in_the_middle, samples([0] * 12)), rows(coarse, samples([0] * 12))):
        counted = (made.row >= 0).astype(int) + sum(mask.astype(int) for mask in made.lost.values())
        assert (counted == 1).all()
        assert made.ds.sample.dtype == np.uint64
        assert set(made.ds.sample.values) <= set(range(12))


def test_a_row_without_a_sample_is_known_by_one_of_its_own_window() -> None:
    @step(window="6 s")
    def on_a_grid(ds: xr.Dataset) -> xr.Dataset:
        begin = ds.tai.values.astype(np.int64)[0] // (6 * SECOND) * 6 * SECOND
        times = begin + SECOND * np.arange(6)
        return xr.Dataset({"b": ("time", np.zeros(6))}, {"tai": ("time", times)})

    made = rows(on_a_grid, samples([0] * 20).isel(time=[2, 15]))
    windows_of_rows = made.ds.tai.values.astype(np.int64) // (6 * SECOND)
    windows_of_samples = {2: (START + 2 * SECOND) // (6 * SECOND), 15: (START + 15 * SECOND) // (6 * SECOND)}
    assert [windows_of_samples[int(one)] for one in made.ds.sample.values] == windows_of_rows.tolist()


def test_a_window_that_reaches_over_two_files_costs_the_one_without_which_all_others_pass(campaign: Campaign) -> None:
    begin = next(s for s in range(6) if (START // SECOND + s) % 6 == 0)
    campaign.write("0.toy", "a", range(begin, begin + 3))
    campaign.write("1.toy", "a", range(begin + 3, begin + 9), [raw.GOOD] * 5 + [raw.BREAKS_STEPS])
    campaign.write("2.toy", "a", range(begin + 9, begin + 12))
    steps = [{"sums_of_windows": {"window": "6 s", "overlap": "0 s"}}]
    _, report = run(campaign, steps, count=24, layout={"chunk": 24, "shard": 24})
    assert [Path(url).name for url in report.rejected] == ["1.toy"]
    assert report.counts.placed == 6


def test_the_kit_passes_steps_that_see_windows_and_groups(campaign: Campaign) -> None:
    path = campaign.write("0.toy", "a", range(40))
    windows_and_groups: list[Any] = [
        {"less_mean": {"window": "6 s", "overlap": "2 s"}},
        {"turns": {"turn": "4 s"}},
        {"sums": {"limit": "4 s"}},
        "to_units",
    ]
    with prepare(clock.instrument, [path], steps=windows_and_groups) as case:
        for name in ("block_boundaries", "edge_blocks", "schema", "repeatable", "every_sample_counted"):
            CHECKS[name](case)


def test_a_hop_that_is_tiny_beside_its_window_is_refused_before_it_eats_the_memory() -> None:
    @step(window="1 h", overlap="3599999999999 ns")
    def absurd(ds: xr.Dataset) -> xr.Dataset:
        return ds

    with pytest.raises(PluginError, match=r"a window of 1 h every 1 ns; a sample is in at most 1000 windows"):
        reach(absurd, {})


def test_samples_of_a_file_that_failed_in_one_part_are_not_said_to_be_outside_the_axis(campaign: Campaign) -> None:
    campaign.write("0.toy", "a", range(6))
    campaign.write("1.toy", "a", range(6, 12), [raw.GOOD] * 3 + [raw.BREAKS_STEPS] + [raw.GOOD] * 2)
    campaign.write("2.toy", "a", range(12, 18))
    steps = [{"sums_of_windows": {"window": "4 s", "overlap": "1 s"}}]
    for shard in (2, 3, 4, 18):
        output = {"layout": {"chunk": shard, "shard": shard}, "output": str(campaign.folder / f"{shard}.zarr")}
        asked = campaign.pipeline(18, sites=["a"], steps=[*steps, "to_units"], **output)
        report = ilrs.run(asked, executor="serial")
        assert report.counts.read == 18
        said = {"ValueError: a sample breaks this step", "beside a file on which a step failed"}
        assert set(report.reasons) <= said | {"another sample is in its slot"}
