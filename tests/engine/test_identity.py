"""Law 9: a part is done again for what its result depends on, and for nothing else."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ilrs_toys.campaign import SECOND, START, Campaign, assert_same_bytes, values

import ilrs_science as ilrs
from ilrs_science.geometry.time import isot
from ilrs_science.model.part import Part

pytestmark = pytest.mark.usefixtures("toys")

WINDOW = 2
"""Seconds that the steps look to either side."""
STEPS = ["by_reference", {"sum_near": {"window": f"{WINDOW} s"}}, "to_units"]
SHARD = 4

seconds = st.lists(st.integers(-3, 40), min_size=1, max_size=12)


@contextmanager
def campaign_of(files: list[list[int]], change: int = 12) -> Iterator[Campaign]:
    """Yield files of site a and one of site bb, with a gain that changes at a second."""
    with tempfile.TemporaryDirectory() as name:
        made = Campaign(Path(name))
        made.write("always.toy", "a", [0])
        made.write("b.toy", "bb", range(30))
        for number, several in enumerate(files):
            made.write(f"{number}.toy", "a", several)
        made.refer("gain", -100, change, 2)
        made.refer("gain", change, 200, 3)
        yield made


def parts_of(campaign: Campaign, count: int = 24, **changes: Any) -> dict[tuple[int, int], Part]:
    """Return the parts of a plan by row and first slot."""
    planned = ilrs.plan(campaign.pipeline(count, **({"steps": STEPS} | changes)))
    return {(part.row, part.first): part for part in planned.parts}


def changed(before: dict[Any, Part], after: dict[Any, Part]) -> dict[Any, set[str]]:
    """Return the causes by which parts of both plans differ."""
    return {
        region: {cause for cause, digest in part.causes.items() if after[region].causes[cause] != digest}
        for region, part in before.items()
        if region in after and after[region].digest != part.digest
    }


@settings(max_examples=25)
@given(st.lists(seconds, max_size=3), st.integers(1, 20), st.integers(0, 20), st.integers(1, 24))
def test_an_axis_that_grows_at_its_end_changes_no_part_but_the_one_that_was_cut_short(
    files: list[list[int]], count: int, more: int, change: int
) -> None:
    with campaign_of(files, change) as campaign:
        before, after = parts_of(campaign, count), parts_of(campaign, count + more)
    assert before.keys() <= after.keys()
    short = {region for region in before if before[region].axis.count != after[region].axis.count}
    assert set(changed(before, after)) == short
    assert all(first + SHARD > count for _, first in short)


@settings(max_examples=25)
@given(st.lists(seconds, max_size=2), seconds)
def test_one_file_more_changes_the_parts_that_it_reaches_with_their_margin(
    files: list[list[int]], new: list[int]
) -> None:
    with campaign_of(files) as campaign:
        before = parts_of(campaign)
        known = {granule.sha256 for part in before.values() for granule in part.granules}
        campaign.write("new.toy", "a", new)
        after = parts_of(campaign)
    reads = {region: {granule.sha256 for granule in part.granules} - known for region, part in after.items()}
    found = changed(before, after)
    assert set(found) == {region for region, several in reads.items() if several}
    assert all("inputs" in causes and causes <= {"inputs", "references"} for causes in found.values())
    near = {
        (0, first) for first in range(0, 24, SHARD) if min(new) < first + SHARD + WINDOW and max(new) >= first - WINDOW
    }
    assert set(found) <= near


@pytest.mark.parametrize(
    ("what", "again"),
    [
        ("another place of the raw files", set()),
        ("another cube", set()),
        ("a file of another instrument", set()),
        ("a file of a site that is not asked for", set()),
        ("a file that is no granule", set()),
        ("a copy of a file", set()),
        ("a site more", set()),
        ("a reference for another site", set()),
        ("a reference that was not known at the time", set()),
        ("a reference that is not valid before the end", set()),
        ("a limit of memory", set()),
        ("a parameter", {"parameters"}),
        ("a rule for conflicts", {"parameters"}),
        ("means", {"parameters"}),
    ],
)
def test_a_part_depends_on_what_makes_its_result_and_on_nothing_else(what: str, again: set[str]) -> None:
    with campaign_of([[3, 9, 17]]) as campaign:
        raw, context = campaign.folder / "raw", {"context": isot(START)}
        folders = {"references": {"folders": [str(campaign.folder / "references")], **context}}
        before = parts_of(campaign, **folders)
        if what == "another place of the raw files":
            shutil.move(raw, campaign.folder / "moved")
            folders["raw"] = str(campaign.folder / "moved" / "*.toy")
        elif what == "a file of another instrument":
            campaign.write("a.frames", "a", [5])
        elif what == "a file of a site that is not asked for":
            campaign.write("c.toy", "c", range(24))
        elif what == "a file that is no granule":
            (raw / "none.toy").write_bytes(b"nothing of ours")
        elif what == "a copy of a file":
            shutil.copy(raw / "0.toy", raw / "copy.toy")
        elif what == "a reference for another site":
            campaign.refer("gain", -100, 200, 5, site="elsewhere")
        elif what == "a reference that was not known at the time":
            campaign.refer("gain", -100, 200, 5, published=isot(START + SECOND))
        elif what == "a reference that is not valid before the end":
            campaign.refer("gain", 200, 300, 5)
        pipeline = campaign.pipeline(24)
        changes: dict[str, dict[str, Any]] = {
            "another cube": {"output": "other.zarr"},
            "a site more": {"sites": [*pipeline["sites"], "c"]},
            "a limit of memory": {"memory_limit": 10**9},
            "a parameter": {"steps": [*STEPS[:-1], {"to_units": {"noise": 0.25}}]},
            "a rule for conflicts": {"conflicts": "last"},
            "means": {"place": "mean"},
        }
        if what == "a site more":
            campaign.write("c.toy", "c", range(24))
        after = parts_of(campaign, **folders, **changes.get(what, {}))
    found = changed(before, after)
    assert all(causes == again for causes in found.values()), found
    assert set(found) == (set(before) if again else set())


def done_again(campaign: Campaign, pipeline: dict[str, Any], cube: str, fresh: str) -> set[tuple[int, int]]:
    """Run, return the regions that were done, and hold the cube against one that is made afresh."""
    seen: set[tuple[int, int]] = set()
    report = ilrs.run(pipeline, executor="serial", progress=lambda record, n, of: seen.add(record.region))
    assert report.exit_code == 0
    ilrs.run(pipeline | {"output": str(campaign.folder / fresh)}, executor="serial")
    assert_same_bytes(campaign.folder / cube, campaign.folder / fresh)
    return seen


def test_a_campaign_that_grows_keeps_what_stands_and_ends_as_if_made_at_once(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path)
    campaign.write("0.toy", "a", range(42))
    campaign.write("1.toy", "bb", range(42))
    campaign.refer("gain", -100, 200, 2)
    first = done_again(campaign, campaign.pipeline(42, steps=STEPS), "cube.zarr", "0.zarr")
    assert len(first) == 2 * 11
    # No sample of the old files comes near the parts of the new ones but in the part that was cut short.
    campaign.write("2.toy", "a", range(46, 60))
    grown = done_again(campaign, campaign.pipeline(60, steps=STEPS), "cube.zarr", "1.zarr")
    assert grown == {(row, slot) for row in (0, 1) for slot in range(40, 60, SHARD)}
    with_new_site = campaign.pipeline(60, steps=STEPS)
    campaign.write("3.toy", "c", range(10))
    with_new_site["sites"] = [*with_new_site["sites"], "c"]
    assert done_again(campaign, with_new_site, "cube.zarr", "2.zarr") == {(2, slot) for slot in range(0, 60, SHARD)}
    assert done_again(campaign, with_new_site, "cube.zarr", "3.zarr") == set()


def test_exposures_that_come_later_are_added_and_those_before_stand(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path)
    campaign.write("0.frames", "a", range(20))
    pipeline = campaign.exposures()
    assert len(done_again(campaign, pipeline, "frames.zarr", "0.zarr")) == 10
    campaign.write("1.frames", "bb", [19, 20, 21])
    assert done_again(campaign, pipeline, "frames.zarr", "1.zarr") == {(-1, 20), (-1, 22)}
    assert values(tmp_path / "frames.zarr").sizes["time"] == 23
