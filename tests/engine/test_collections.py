"""Collections: one cube for each span of UTC, equal in all bits to one cube of the whole time."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from ilrs_toys import raw
from ilrs_toys.campaign import Campaign

import ilrs_science as ilrs
from ilrs_science.errors import CubeError, PlanError
from ilrs_science.geometry.lunations import new_moon
from ilrs_science.geometry.time import isot, parse_utc
from ilrs_science.planning.partition import chosen_partition, spans
from ilrs_science.planning.pipeline import MOST_SLOTS, Pipeline, TimeSpan
from ilrs_science.running.status import status

pytestmark = pytest.mark.usefixtures("toys")

START, STOP, STEP = "2016-12-30T20:00:00Z", "2017-01-01T12:00:00Z", 600 * 10**9


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory, toys: Path) -> Campaign:
    """Return forty hours over the inserted second of 2016, at two sites, in files that cross midnight."""
    made = Campaign(tmp_path_factory.mktemp("collections"))
    first = parse_utc(START)
    for site in ("a", "bb"):
        times = [first + number * STEP for number in range(240)]
        for number in range(4):
            raw.write(made.folder / "raw" / f"{site}{number}.toy", site, times[number * 60 : (number + 1) * 60])
    return made


def pipeline(campaign: Campaign, output: str, **changes: Any) -> dict[str, Any]:
    time = {"start": START, "stop": STOP, "step": "10 min"}
    # A sum over neighbours, so that margins reach across the edges of cubes.
    steps = [{"sum_near": {"window": "31 min"}}, "to_units"]
    layout = {"chunk": 12, "shard": 24}
    return campaign.pipeline(time=time, steps=steps, layout=layout, output=output) | changes


@pytest.fixture(scope="module")
def one(campaign: Campaign) -> xr.Dataset:
    """Return the same campaign in one cube."""
    ilrs.run(pipeline(campaign, "one.zarr"), executor="serial")
    return ilrs.open_cube(str(campaign.folder / "one.zarr")).load()


@pytest.mark.parametrize(
    ("partition", "cubes"),
    [
        ("year", ["2016.zarr", "2017.zarr"]),
        ("month", ["2016-12.zarr", "2017-01.zarr"]),
        ("day", ["2016-12-30.zarr", "2016-12-31.zarr", "2017-01-01.zarr"]),
        ("lunation", ["lunation-1163.zarr"]),
    ],
)
def test_the_cubes_of_a_collection_are_one_cube_cut_in_time(
    campaign: Campaign, one: xr.Dataset, partition: str, cubes: list[str]
) -> None:
    asked = pipeline(campaign, f"by-{partition}", partition=partition)
    report = ilrs.run(asked, executor="serial")
    folder = campaign.folder / f"by-{partition}"
    assert sorted(path.name for path in folder.iterdir()) == [*cubes, "zarr.json"]
    assert ilrs.open_cubes(str(folder)).load().drop_attrs().identical(one.drop_attrs())
    assert (report.counts.read, report.counts.placed, report.reasons) == (480, 480, {})
    assert ilrs.run(asked).did_nothing
    assert status(str(folder)).counts == report.counts


def test_a_selection_opens_what_it_overlaps_and_names_what_is_not_there(campaign: Campaign) -> None:
    ilrs.run(pipeline(campaign, "selected", partition="day"), executor="serial")
    url = str(campaign.folder / "selected")
    late = ilrs.open_cubes(url, start="2016-12-31T23:00:00Z", stop="2017-01-01T02:00:00Z", site="bb")
    # Slots of ten minutes begin at :59 after the inserted second, so the first of the day is still of the year before.
    assert (late.sizes["time"], list(late.site.values)) == (19, ["bb"])
    assert late.time.to_index().is_monotonic_increasing
    with pytest.raises(CubeError, match="no cube holds a time in this span; there are 2016-12-30, 2016"):
        ilrs.open_cubes(url, start="2018-01-01T00:00:00Z")
    with pytest.raises(CubeError, match="no site 'c'; the cubes have a, bb"):
        ilrs.open_cubes(url, site="c")
    with pytest.raises(CubeError, match="no collection of cubes at"):
        ilrs.open_cubes(str(campaign.folder / "nowhere"))


def test_plain_xarray_opens_a_collection_as_a_tree(campaign: Campaign, one: xr.Dataset) -> None:
    ilrs.run(pipeline(campaign, "tree", partition="year"), executor="serial")
    tree = xr.open_datatree(campaign.folder / "tree", engine="zarr")
    assert list(tree.children) == ["2016.zarr", "2017.zarr"]
    joined = np.concatenate([tree[name]["value"].values for name in tree.children], axis=1)
    assert joined.tobytes() == one.value.values.tobytes()


def test_a_day_more_makes_one_cube_more_and_leaves_the_others(campaign: Campaign) -> None:
    short = {"start": START, "stop": "2017-01-01T00:00:00Z", "step": "10 min"}
    ilrs.run(pipeline(campaign, "growing", partition="day", time=short), executor="serial")
    plan = ilrs.plan(pipeline(campaign, "growing", partition="day"))
    verdicts = [member.diff.counts() for member in plan.plans]
    # The second day ends with an inserted second, in which one more slot begins: a part more at each of two sites.
    assert verdicts == [{"done": 2}, {"done": 12, "new": 2}, {"new": 6}]
    assert ilrs.run(plan, executor="serial").exit_code == 0


def test_a_collection_and_a_cube_never_take_each_others_place(campaign: Campaign) -> None:
    ilrs.run(pipeline(campaign, "place", partition="year"), executor="serial")
    with pytest.raises(PlanError, match=r"partition: .* is cut by year; the pipeline says day"):
        ilrs.plan(pipeline(campaign, "place", partition="day"))
    with pytest.raises(PlanError, match="is a collection of cubes, not a cube"):
        ilrs.plan(pipeline(campaign, "place"))
    ilrs.run(pipeline(campaign, "cube-first"), executor="serial")
    with pytest.raises(PlanError, match="exists and is not a collection of cubes"):
        ilrs.plan(pipeline(campaign, "cube-first", partition="year"))


moments = st.integers(parse_utc("1973-01-01T00:00:00Z"), parse_utc("2098-01-01T00:00:00Z"))


@given(moments, st.integers(1, 400 * 24), st.integers(1, 10**6), st.sampled_from(["year", "month", "lunation", "day"]))
def test_every_slot_lies_in_the_cube_in_which_it_begins(start: int, hours: int, seconds: int, kind: str) -> None:
    step = seconds * 10**9
    time = TimeSpan.model_construct(start=start, stop=start + hours * 3600 * 10**9, step=step)
    cut = spans(kind, time)
    assert (cut[0].start, cut[-1].stop) == (time.start, time.stop)
    for span, after in zip(cut, [*cut[1:], None], strict=True):
        assert span.start < span.stop
        assert (span.start - start) % step == 0
        assert after is None or after.start == span.stop
        if kind != "lunation":
            assert isot(span.start).startswith(span.label)
            assert after is None or isot(after.start - step).startswith(span.label)
        else:
            number = int(span.label.removeprefix("lunation-"))
            assert new_moon(number) <= span.start < new_moon(number + 1) or span is cut[0]


@pytest.mark.parametrize(
    ("years", "step", "expected"),
    [(1, 1, "none"), (3, 1, "year"), (1, 0.1, "month"), (1, 0.01, "day")],
)
def test_the_default_is_the_coarsest_whose_cubes_hold_few_enough_slots(years: int, step: float, expected: str) -> None:
    start = parse_utc("2031-01-01T00:00:00Z")
    stop = parse_utc(f"{2031 + years}-01-01T00:00:00Z")
    time = TimeSpan.model_construct(start=start, stop=stop, step=round(step * 10**9))
    asked = Pipeline.model_construct(time=time, partition=None)
    assert chosen_partition(asked) == (expected, [])
    assert all((one.stop - one.start) // time.step <= MOST_SLOTS for one in spans(expected, time))


def test_a_day_of_too_many_slots_is_a_fault_that_says_how_many() -> None:
    start = parse_utc("2031-01-01T00:00:00Z")
    time = TimeSpan.model_construct(start=start, stop=start + 2 * 86400 * 10**9, step=1_000_000)
    kind, (fault,) = chosen_partition(Pipeline.model_construct(time=time, partition=None))
    assert (kind, fault.path, fault.found) == ("day", "time.step", "the cube of a day would hold 86400000 slots")


def test_a_span_without_a_file_is_no_cube_of_a_collection(tmp_path: Path) -> None:
    made = Campaign(tmp_path)
    for day in (0, 2):
        made.write(f"{day}.toy", "a", [86400 * day + second for second in (100, 200)])
    time = {"start": "2031-02-27T00:00:00Z", "stop": "2031-03-03T00:00:00Z", "step": "10 min"}
    layout = {"chunk": 12, "shard": 24}
    plan = ilrs.plan(made.pipeline(time=time, sites=["a"], partition="day", layout=layout))
    assert [Path(one.pipeline.output).name for one in plan.plans] == ["2031-02-27.zarr", "2031-03-01.zarr"]
