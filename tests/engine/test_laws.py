"""The laws of the design over all axes, cuts, margins, orders and splits that Hypothesis finds."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from ilrs_toys import raw
from ilrs_toys.campaign import SECOND, START, Campaign, assert_same_bytes, values
from ilrs_toys.clock import NUMBER

import ilrs_science as ilrs
from ilrs_science.geometry.time import isot
from ilrs_science.model.quality import CONFLICT
from ilrs_science.model.record import Counts, Record
from ilrs_science.planning.plan import Plan
from ilrs_science.reduction.account import Books
from ilrs_science.reduction.worker import _fill, reduce
from ilrs_science.store.lease import leased
from ilrs_science.store.target import target

pytestmark = pytest.mark.usefixtures("toys")

CHAINS: dict[str, list[Any]] = {
    "pointwise": ["flag_odd", "to_units"],
    "windowed": [{"sum_near": {"window": "2500 ms"}}, "to_units"],
    "clock": [{"set_clock": {"limit": "3 s"}}, "to_units"],
    "references": ["by_reference", "to_units"],
    "windowed references": [{"sum_near_by_reference": {"window": "1 s"}}, "to_units"],
    "everything": [
        "by_reference",
        {"set_clock": {"limit": "3 s"}},
        {"sum_near": {"window": "1750 ms"}},
        "flag_odd",
        {"at_site": {"offset": 0.5}},
        "negate",
        "to_units",
    ],
    "dithered": ["dithers", "to_units"],
    "groups": [{"turns": {"turn": "1750 ms"}}, {"less_first": {"limit": "1500 ms"}}, "to_units"],
    "a row for each group": [{"turns": {"turn": "1750 ms"}}, {"sums": {"limit": "2 s"}}, "to_units"],
    "groups too long": [{"turns": {"turn": "4 s"}}, {"sums": {"limit": "1 s"}}, "to_units"],
    "windows": [{"less_mean": {"window": "3 s", "overlap": "1 s"}}, "to_units"],
    "a row for each window": [{"sums_of_windows": {"window": "2 s", "overlap": "750 ms"}}, "flag_odd", "to_units"],
    "so many samples": [{"sum_of_five": {"limit": "2 s"}}, "to_units"],
    "all neighbours": [
        {"sum_of_five": {"limit": "1 s"}},
        {"set_clock": {"limit": "3 s"}},
        {"turns": {"turn": "1250 ms"}},
        {"sums": {"limit": "1 s"}},
        {"less_mean": {"window": "3 s", "overlap": "1 s"}},
        "by_reference",
        {"sums_of_windows": {"window": "1 s", "overlap": "0 s"}},
        "to_units",
    ],
}
NO_SPLIT = ("dithered",)
ROWS = ("a row for each group", "groups too long", "a row for each window", "all neighbours")
"""Chains after which a row stands for several samples."""


@dataclass(frozen=True)
class Scene:
    """Files of one site, in quarter seconds after the start, and what happens to them."""

    count: int
    files: tuple[tuple[int, ...], ...]
    words: dict[int, int]
    chain: str
    place: str
    clocks: tuple[int, int, int]
    gains: tuple[int, int, int]
    disputed: tuple[int, ...] = ()
    """Quarters at which the second file says that it has no number, whatever the others say."""

    def campaign(self, folder: Path, files: tuple[tuple[int, ...], ...] | None = None) -> Campaign:
        campaign = Campaign(folder)
        for number, quarters in enumerate(files or self.files):
            other = dict.fromkeys(self.disputed, raw.NOT_A_NUMBER) if number == 1 else {}
            words = [(self.words | other).get(quarter, raw.GOOD) for quarter in quarters]
            campaign.write(f"{number}.toy", "a", [quarter / 4 for quarter in quarters], words)
        change, first, second = self.clocks
        campaign.refer("clock", -100, change / 4, first * SECOND // 4)
        campaign.refer("clock", change / 4, 200, second * SECOND // 4)
        change, first, second = self.gains
        campaign.refer("gain", -100, change / 4, first)
        campaign.refer("gain", change / 4, 200, second)
        return campaign

    def pipeline(self, campaign: Campaign, output: str, chunk: int, shards: int, part: int) -> dict[str, Any]:
        layout = {"chunk": chunk, "shard": chunk * shards, "part": part}
        changes = {"sites": ["a"], "steps": CHAINS[self.chain], "place": self.place, "layout": layout}
        return campaign.pipeline(self.count, output=output, **changes)


@st.composite
def scenes(
    draw: st.DrawFn, chains: tuple[str, ...] = tuple(CHAINS), *, repeats: bool = True, disputes: bool = True
) -> Scene:
    count = draw(st.integers(1, 14))
    quarters = st.integers(-20, 4 * count + 20)
    one_inside = draw(st.integers(0, 4 * count - 1))
    file = st.lists(quarters, min_size=1, max_size=20, unique=not repeats).map(tuple)
    files = draw(st.lists(file, max_size=4, unique_by=tuple))
    words = draw(st.dictionaries(quarters, st.sampled_from([raw.BAD_RECORD, raw.NOT_A_NUMBER]), max_size=4))
    words.pop(one_inside, None)
    change = st.integers(-8, 4 * count + 8)
    offset = st.integers(-12, 12)
    return Scene(
        count,
        ((one_inside,), *files),
        words,
        draw(st.sampled_from(chains)),
        draw(st.sampled_from(["slot", "mean", "sum"])),
        (draw(change), draw(offset), draw(offset)),
        (draw(change), draw(st.integers(-3, 3)), draw(st.integers(-3, 3))),
        tuple(draw(st.lists(quarters, max_size=3))) if disputes else (),
    )


cuts = st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(1, 2))


@contextmanager
def folder_of(scene: Scene) -> Iterator[tuple[Path, Campaign]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yield folder, scene.campaign(folder)


def filled(plan: Plan) -> tuple[dict[str, np.ndarray], dict[int, Record]]:
    """Return what the parts of a plan make, joined along time, and their records; the storage is left out."""
    blocks, records = [], {}
    for part in plan.parts:
        block, tallies = _fill(part)
        blocks.append(block.arrays)
        outcomes = tuple(tally.outcome() for tally in tallies)
        region = (part.number, part.row, part.first, part.axis.count)
        records[part.number] = Record(*region, part.digest, part.causes, "done", outcomes=outcomes)
    return {name: np.concatenate([arrays[name] for arrays in blocks]) for name in blocks[0]}, records


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return all(one[name].tobytes() == other[name].tobytes() for name in {*one, *other})


@settings(max_examples=60)
@given(scenes(), cuts, cuts)
def test_the_same_axis_cut_into_other_parts_gives_an_equal_cube(
    scene: Scene, one: tuple[int, int, int], other: tuple[int, int, int]
) -> None:
    with folder_of(scene) as (_, campaign):
        first, records = filled(ilrs.plan(scene.pipeline(campaign, "one.zarr", *one)))
        second, others = filled(ilrs.plan(scene.pipeline(campaign, "other.zarr", *other)))
    assert same(first, second)
    assert sum_of(records) == sum_of(others)


def sum_of(records: dict[int, Record]) -> Counts:
    return sum((record.counts for record in records.values()), Counts())


@settings(max_examples=50)
@given(
    # What a file has twice at one time are two samples; a split between them makes two files that say the same of it.
    scenes(tuple(name for name in CHAINS if name not in NO_SPLIT), repeats=False, disputes=False),
    cuts,
    st.data(),
)
def test_a_granule_split_in_two_gives_an_equal_cube(
    scene: Scene, cut: tuple[int, int, int], data: st.DataObject
) -> None:
    number = data.draw(st.integers(0, len(scene.files) - 1), "file to split")
    whole = scene.files[number]
    at = data.draw(st.integers(0, len(whole)), "where to split it")
    halves = tuple(half for half in (whole[:at], whole[at:]) if half)
    with folder_of(scene) as (folder, campaign):
        first, _ = filled(ilrs.plan(scene.pipeline(campaign, "cube.zarr", *cut)))
        split = scene.campaign(folder / "split", (*scene.files[:number], *halves, *scene.files[number + 1 :]))
        second, _ = filled(ilrs.plan(scene.pipeline(split, "cube.zarr", *cut)))
    assert same(first, second)


@settings(max_examples=60)
@given(scenes(), cuts)
def test_every_sample_of_every_file_is_accounted_for(scene: Scene, cut: tuple[int, int, int]) -> None:
    with folder_of(scene) as (_, campaign):
        plan = ilrs.plan(scene.pipeline(campaign, "cube.zarr", *cut))
        arrays, records = filled(plan)
    outside = Books(plan.granules, plan.axis, plan.task.margin).outside(records.values())
    beyond = sum(outside.values())
    counts = sum_of(records) + Counts(read=beyond, rejected=beyond)
    assert counts.add_up
    named = sum(sum(o.reasons.values()) for record in records.values() for o in record.outcomes)
    assert counts.rejected == named + beyond
    never_read = sum(granule.count for granule in (*plan.outside, *plan.duplicates))
    assert {one.reason.partition(" (")[0] for one in plan.rejected} <= {"toy-clock: yields no sample"}
    without_sample = sum(len(scene.files[int(Path(one.url).stem)]) for one in plan.rejected)
    assert counts.read + never_read + without_sample == sum(map(len, scene.files))
    reached = int((arrays["number"] != NUMBER.empty).sum())
    exact = scene.place == "slot" and scene.chain not in ROWS
    assert counts.placed == reached if exact else counts.placed >= reached


@settings(max_examples=60)
@given(scenes(("pointwise",), disputes=False), cuts)
def test_slots_hold_the_truth_of_their_earliest_sample(scene: Scene, cut: tuple[int, int, int]) -> None:
    with folder_of(scene) as (_, campaign):
        arrays, _ = filled(ilrs.plan(scene.pipeline(campaign, "cube.zarr", *cut) | {"place": "slot"}))
    words = {quarter: scene.words.get(quarter, raw.GOOD) for file in scene.files for quarter in file}
    for slot in range(scene.count):
        here = sorted(q for q, word in words.items() if q // 4 == slot and word != raw.BAD_RECORD)
        if not here:
            assert arrays["quality"][slot] == 1
            assert np.isnan(arrays["value"][slot]).all()
            continue
        truth = int(raw.counts_at(np.array(START + here[0] * SECOND // 4), "a"))
        lost = words[here[0]] == raw.NOT_A_NUMBER
        assert arrays["number"][slot] == truth
        assert arrays["time_offset"][slot] == (here[0] % 4) * SECOND // 4
        assert np.array_equal(arrays["value"][slot], [np.nan] * 2 if lost else [2 * truth, -2 * truth], equal_nan=True)
        assert arrays["quality"][slot] == (1 if lost else 0) | (1 << 16 if truth % 2 else 0)


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.integers(0, 7), st.sampled_from([raw.GOOD, raw.NOT_A_NUMBER])), min_size=1, max_size=8),
    st.lists(st.tuples(st.integers(0, 7), st.sampled_from([raw.GOOD, raw.NOT_A_NUMBER])), min_size=1, max_size=8),
    st.sampled_from(["first", "last", "best"]),
    cuts,
)
def test_two_files_that_disagree_are_told_apart_from_copies_sample_by_sample(
    one: list[tuple[int, int]], other: list[tuple[int, int]], rule: str, cut: tuple[int, int, int]
) -> None:
    assume(one != other)
    with tempfile.TemporaryDirectory() as name:
        campaign = Campaign(Path(name))
        for file, rows in (("0.toy", one), ("1.toy", other)):
            campaign.write(file, "a", [second for second, _ in rows], [word for _, word in rows])
        layout = {"chunk": cut[0], "shard": cut[0] * cut[1], "part": cut[2]}
        plan = ilrs.plan(campaign.pipeline(8, sites=["a"], layout=layout, conflicts=rule))
        arrays, records = filled(plan)
    # Granules come in order of their start and their digest.
    order = sorted(plan.granules, key=lambda granule: (granule.start, granule.sha256))
    said = [one if granule.url.endswith("0.toy") else other for granule in order]
    expected = Counts()
    for second in range(8):
        here = [[word for at, word in rows if at == second] for rows in said]
        if not any(here):
            continue
        winner = 0 if here[0] and not (here[1] and rule == "last") else 1
        lost = here[1 - winner] if all(here) else []
        copies = sum(word in here[winner] for word in lost)
        expected += Counts(len(here[0]) + len(here[1]), 1, len(here[winner]) - 1, copies, len(lost) - copies)
        assert bool(arrays["quality"][second] & CONFLICT) == (copies < len(lost))
        assert bool(np.isnan(arrays["value"][second]).all()) == (here[winner][0] == raw.NOT_A_NUMBER)
    assert sum_of(records) == expected


@settings(max_examples=10)
@given(scenes(), cuts, st.data())
def test_parts_in_any_order_and_repeated_give_the_same_bytes(
    scene: Scene, cut: tuple[int, int, int], data: st.DataObject
) -> None:
    with folder_of(scene) as (folder, campaign):
        ilrs.run(scene.pipeline(campaign, "straight.zarr", *cut), executor="serial")
        plan = ilrs.plan(scene.pipeline(campaign, "shuffled.zarr", *cut))
        ilrs.run(plan, executor="serial")
        order = data.draw(st.permutations(plan.parts), "order")
        again = data.draw(st.lists(st.sampled_from(plan.parts), max_size=3), "repeated")
        with leased(target(plan.pipeline.output)) as lease:
            for part in [*order, *again]:
                record = reduce(part, lease.token)
                assert record.status == "done", record.reason
        assert_same_bytes(folder / "straight.zarr", folder / "shuffled.zarr")


frames = st.lists(
    st.tuples(st.sampled_from(["a", "bb", "c"]), st.lists(st.integers(0, 6), min_size=1, max_size=5)),
    min_size=1,
    max_size=5,
)


@settings(max_examples=25)
@given(frames, cuts, st.none() | st.tuples(st.integers(0, 3), st.integers(4, 7)))
def test_exposures_at_several_sites_do_not_depend_on_the_cut(
    files: list[tuple[str, list[int]]], cut: tuple[int, int, int], span: tuple[int, int] | None
) -> None:
    inside = {(s, site) for site, several in files for s in several if span is None or span[0] <= s < span[1]}
    if not inside:
        return
    with tempfile.TemporaryDirectory() as name:
        campaign = Campaign(Path(name))
        for number, (site, seconds) in enumerate(files):
            campaign.write(f"{number}.frames", site, seconds)
        changes: dict[str, Any] = {}
        if span is not None:
            start, stop = (isot(START + one * SECOND) for one in span)
            changes["time"] = {"start": start, "stop": stop}
        chunk, shards, part = cut
        layout = {"chunk": chunk, "shard": chunk * shards, "part": part}
        report = ilrs.run(campaign.exposures(output="cut.zarr", layout=layout, **changes), executor="serial")
        whole = campaign.exposures(output="whole.zarr", layout={"chunk": 1, "shard": 64}, **changes)
        cube = values(Path(name) / "cut.zarr")
        arrays, _ = filled(ilrs.plan(whole))
        assert same(arrays, {name: cube[name].values for name in arrays})
        times = cube.tai.values.astype("datetime64[ns]").astype(np.int64)
        assert list(zip((times - START) // SECOND, cube.site.values, strict=True)) == sorted(inside)
        for index, site in enumerate(cube.site.values):
            expected = np.float32(raw.counts_at(times[index], site)) + np.arange(4).reshape(2, 2)
            assert (cube.frame.values[index] == expected).all()
        assert not cube.quality.values.any()
        assert report.counts.placed == len(inside)


def test_the_same_instant_at_two_sites_may_lie_on_a_part_border(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path)
    for site in ("a", "bb", "c"):
        campaign.write(f"{site}.frames", site, [1, 2])
    report = ilrs.run(campaign.exposures(layout={"chunk": 1, "shard": 1}), executor="serial")
    cube = values(tmp_path / "frames.zarr")
    assert report.parts == 6
    assert list(cube.site.values) == ["a", "bb", "c", "a", "bb", "c"]
    assert report.counts.placed == 6
    assert not cube.quality.values.any()
