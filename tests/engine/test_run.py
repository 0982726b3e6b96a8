"""Runs: executors, resuming after kill -9, what is done again and what is not, and disks that fill up."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from ilrs_toys import doomed, raw
from ilrs_toys.campaign import SECOND, START, Campaign, assert_same_bytes, equal, moved, shard_files, values

import ilrs_science as ilrs
from ilrs_science.errors import CountError, IlrsError, ReplaceError, StoreFullError
from ilrs_science.geometry.time import isot
from ilrs_science.model.record import Counts, Record
from ilrs_science.reduction.account import Books
from ilrs_science.running.status import status
from ilrs_science.store import records
from ilrs_science.store.target import target

pytestmark = pytest.mark.usefixtures("toys")

STEPS = ["by_reference", {"set_clock": {"limit": "3 s"}}, {"sum_near": {"window": "2 s"}}, "to_units"]


def make(folder: Path) -> Campaign:
    """Write 24 s at two sites: overlaps, gaps, duplicates, bad records, samples outside, time going backwards."""
    made = Campaign(folder)
    made.write("a0.toy", "a", range(-3, 13))
    made.write("a1.toy", "a", [*range(20, 10, -1), *range(21, 30)], [raw.BAD_RECORD] + [raw.GOOD] * 18)
    made.write("b0.toy", "bb", [n / 4 for n in range(100) if n % 7])
    made.write("b1.toy", "bb", [5, 5, 6, 6])
    made.refer("gain", -100, 7, 2)
    made.refer("gain", 7, 100, 3)
    for site, offset in (("a", 10**9), ("bb", -(10**9))):
        made.refer("clock", -100, 10, offset, site=site)
        made.refer("clock", 10, 100, -offset, site=site)
    return made


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    return make(tmp_path)


@pytest.fixture(scope="module")
def done_once(toys: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    assert ilrs.run(make(folder).pipeline(output="straight.zarr", steps=STEPS), executor="serial").exit_code == 0
    return folder


@pytest.fixture
def straight(campaign: Campaign, done_once: Path) -> Path:
    """Return the cube of an undisturbed serial run, as if it had been made here."""
    return moved(done_once / "straight.zarr", campaign.folder)


def records_of(cube: Path) -> list[Record]:
    """Return the stored records of a cube, in order of their parts."""
    return sorted(records.load(target(cube)).records.values(), key=lambda record: record.part)


def done(cube: Path) -> set[int]:
    return {record.part for record in records_of(cube) if record.status == "done"}


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_every_executor_gives_the_bytes_of_the_serial_one(campaign: Campaign, straight: Path, executor: Any) -> None:
    report = ilrs.run(campaign.pipeline(output="other.zarr", steps=STEPS), executor=executor, workers=2)
    assert report.parts == 12
    assert_same_bytes(straight, campaign.folder / "other.zarr")


def test_two_runs_of_one_pipeline_give_the_same_bytes_of_everything(campaign: Campaign, straight: Path) -> None:
    first = shard_files(straight)
    straight.rename(campaign.folder / "first.zarr")
    ilrs.run(campaign.pipeline(output="straight.zarr", steps=STEPS), executor="threads", workers=3)
    assert shard_files(straight) == first


def test_the_order_of_raw_patterns_and_inventories_does_not_matter(campaign: Campaign, straight: Path) -> None:
    found = ilrs.inventory([str(campaign.folder / "raw" / "*.toy")], instruments=["toy-clock"])
    (campaign.folder / "inventory.json").write_text(json.dumps(found.as_json()))
    for name, patterns in {
        "listed": [str(campaign.folder / "inventory.json")],
        "turned": [str(campaign.folder / "raw" / f"{part}*.toy") for part in ("b", "a")],
    }.items():
        ilrs.run(campaign.pipeline(output=name, steps=STEPS, raw=patterns), executor="serial")
        assert_same_bytes(straight, campaign.folder / name)


def test_a_second_run_does_nothing_and_says_so(campaign: Campaign, straight: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in straight.rglob("*") if path.is_file()}
    seen: list[int] = []
    report = ilrs.run(
        campaign.pipeline(output="straight.zarr", steps=STEPS), progress=lambda record, n, of: seen.append(record.part)
    )
    assert (report.skipped, report.did_nothing, seen) == (12, True, [])
    after = {path: path.stat().st_mtime_ns for path in straight.rglob("*") if path.is_file()}
    assert after == before


def killed(pipeline: dict[str, Any], executor: Any = "serial", *, part: int = 0, files: int = 0) -> int:
    """Run a pipeline in another process, and kill it after a part or at a number of files; return how it ended."""

    def kill(record: Any, number: int, of: int) -> None:
        if number == part:
            os.kill(os.getpid(), signal.SIGKILL)

    def run() -> None:
        records._MOST = 2  # a segment is written often, so that a killed run leaves some
        ilrs.run(pipeline, executor=executor, workers=2, replace=True, progress=kill)

    process, cube = doomed.forked(run), Path(pipeline["output"])
    while files and sum(1 for one in cube.rglob("*") if one.is_file()) < files:
        if os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            break
        time.sleep(0.0005)
    if files:
        os.kill(process, signal.SIGKILL)
    return doomed.ended(process)


def test_a_killed_run_resumed_equals_an_undisturbed_run(campaign: Campaign, straight: Path) -> None:
    pipeline, cube = campaign.pipeline(output="killed.zarr", steps=STEPS), campaign.folder / "killed.zarr"
    # In the middle of the creation of the cube, and twice in the middle of the parts.
    assert killed(pipeline, files=9) == -signal.SIGKILL
    assert not (cube / "zarr.json").exists()
    assert killed(pipeline, "threads", part=5) == -signal.SIGKILL
    first = done(cube)
    assert len(first) == 4
    assert killed(pipeline, part=3) == -signal.SIGKILL
    kept = done(cube)
    assert first < kept
    assert len(kept) == 6
    report = ilrs.run(pipeline, executor="serial")
    assert report.skipped == len(kept)
    assert report.exit_code == 0
    assert_same_bytes(straight, cube)
    assert report.counts == ilrs.run(campaign.pipeline(output="straight.zarr", steps=STEPS)).counts


def test_a_run_killed_over_changed_parameters_never_revives_an_old_record(campaign: Campaign, straight: Path) -> None:
    # The shards of the first part are there, its record is not: the moment in which a kill hurts most.
    before = shard_files(straight)
    changed = campaign.pipeline(output="straight.zarr", steps=[*STEPS[:-1], {"to_units": {"factor": 5.0}}])
    assert killed(changed, part=1) == -signal.SIGKILL
    assert values(straight).attrs["status"] == "unfinished: 12 of 12 parts to do"
    assert rerun(campaign) == {0}
    assert shard_files(straight) == before


def test_a_killed_creation_of_another_cube_is_no_cube_and_does_not_show_in_the_next(
    campaign: Campaign, straight: Path
) -> None:
    cube = campaign.folder / "killed.zarr"
    campaign.write("0.frames", "a", range(9))
    killed(campaign.exposures(output="killed.zarr"), files=9)
    if (cube / "zarr.json").exists():
        pytest.skip("the other cube was visible before it could be killed")
    ilrs.run(campaign.pipeline(output="killed.zarr", steps=STEPS), executor="serial")
    mine, both = shard_files(straight), shard_files(cube)
    assert {name: both[name] for name in mine if name != "zarr.json"} == {n: mine[n] for n in mine if n != "zarr.json"}
    # Whose the rest is nobody can say; it is left alone and not shown.
    assert equal(values(straight), values(cube))


def test_a_run_stopped_by_its_caller_keeps_what_is_done(campaign: Campaign, straight: Path) -> None:
    def stop(record: Any, number: int, of: int) -> None:
        if number == 5:
            raise KeyboardInterrupt

    pipeline = campaign.pipeline(output="stopped.zarr", steps=STEPS)
    with pytest.raises(KeyboardInterrupt):
        ilrs.run(pipeline, executor="threads", workers=2, progress=stop)
    kept = done(campaign.folder / "stopped.zarr")
    assert len(kept) == 5
    assert values(campaign.folder / "stopped.zarr").attrs["status"] == "unfinished: 7 of 12 parts to do"
    assert ilrs.run(pipeline).skipped == len(kept)
    assert_same_bytes(straight, campaign.folder / "stopped.zarr")


def rerun(campaign: Campaign, **changes: Any) -> set[int]:
    """Run again and return the numbers of the parts that were done again; the cube must equal one made afresh."""
    seen: set[int] = set()
    pipeline = campaign.pipeline(**({"output": "straight.zarr", "steps": STEPS} | changes))
    progress = lambda record, n, of: seen.add(record.part)  # noqa: E731
    report = ilrs.run(pipeline, executor="serial", progress=progress, replace=True)
    assert not report.failed
    fresh = f"fresh-{len(list(campaign.folder.glob('fresh-*')))}.zarr"
    ilrs.run(pipeline | {"output": str(campaign.folder / fresh)}, executor="serial")
    assert_same_bytes(campaign.folder / "straight.zarr", campaign.folder / fresh)
    return seen


def test_changed_bytes_of_an_input_redo_the_parts_that_read_it_and_no_other(campaign: Campaign, straight: Path) -> None:
    campaign.write("b1.toy", "bb", [5, 6, 7])
    plan = ilrs.plan(campaign.pipeline(output="straight.zarr", steps=STEPS))
    reading = {part.number for part in plan.parts if any(g.url.endswith("b1.toy") for g in part.granules)}
    assert rerun(campaign) == reading
    assert 0 < len(reading) < 6


def test_a_changed_parameter_redoes_every_part_and_its_return_does_so_again(campaign: Campaign, straight: Path) -> None:
    before = shard_files(straight)
    changed = [*STEPS[:-1], {"to_units": {"factor": 5.0}}]
    with pytest.raises(ReplaceError, match=r"12 parts: steps, their parameters or the product have changed; --replace"):
        ilrs.run(campaign.pipeline(output="straight.zarr", steps=changed), executor="serial")
    assert shard_files(straight) == before
    assert rerun(campaign, steps=changed) == set(range(12))
    assert rerun(campaign) == set(range(12))
    assert shard_files(straight) == before


def test_a_changed_reference_redoes_the_parts_it_is_valid_in(campaign: Campaign, straight: Path) -> None:
    campaign.references[1:2] = []
    campaign.refer("gain", 7, 19, 3)
    campaign.refer("gain", 19, 100, 4)
    with pytest.raises(ReplaceError, match=r"6 parts: references have changed; --replace does them again"):
        ilrs.run(campaign.pipeline(output="straight.zarr", steps=STEPS), executor="serial")
    again = rerun(campaign)
    # Margins: a clock of 3 s and a sum of 2 s; with parts of 4 s that is from slot 14 on.
    assert again == {3, 4, 5, 9, 10, 11}


def test_moved_raw_files_redo_nothing(campaign: Campaign, straight: Path) -> None:
    (campaign.folder / "raw").rename(campaign.folder / "moved")
    pipeline = campaign.pipeline(output="straight.zarr", steps=STEPS, raw=str(campaign.folder / "moved" / "*.toy"))
    report = ilrs.run(pipeline)
    assert report.did_nothing
    assert report.counts.add_up


def test_another_cut_of_parts_over_changed_parameters_never_revives_an_old_record(
    campaign: Campaign, straight: Path
) -> None:
    before = shard_files(straight)
    wide = {"chunk": 2, "shard": 4, "part": 2}
    changed = [*STEPS[:-1], {"to_units": {"factor": 5.0}}]
    ilrs.run(campaign.pipeline(output="straight.zarr", steps=changed, layout=wide), executor="serial", replace=True)
    assert rerun(campaign) == set(range(12))
    assert shard_files(straight) == before


PLUGIN = """
import numpy as np
import xarray as xr
from ilrs_science import Instrument, Product, Variable
from ilrs_toys.raw import read
{imports}

def double(ds: xr.Dataset) -> xr.Dataset:
    return ds.assign(v=(ds.signal * {factor}).astype("f4"), v_uncertainty=xr.ones_like(ds.signal, dtype="f4"))

PRODUCT = Product(Variable("v", ("time",), "f4", "1"))
instrument = Instrument("toy-edited", files="*.toy", read=read, steps=(double,), product=PRODUCT)
"""


@pytest.mark.parametrize("package", ["edited", "space_agency/edited"], ids=["package", "in a namespace"])
def test_a_changed_plugin_source_redoes_every_part(tmp_path: Path, package: str) -> None:
    campaign = Campaign(tmp_path)
    campaign.write("a.toy", "a", range(8))
    campaign.write("b.toy", "bb", range(8))
    (tmp_path / "site" / package).mkdir(parents=True)
    from ilrs_toys.install import write_distribution  # noqa: PLC0415

    module = package.replace("/", ".")
    points = {"ilrs_science.instruments": {"toy-edited": f"{module}.plugin:instrument"}}
    write_distribution(tmp_path / "site", "toy-edited", points)
    (tmp_path / "site" / package / "__init__.py").write_text("")
    pipeline = campaign.pipeline(8, instrument="toy-edited", steps=None)
    skipped = []

    def run() -> None:
        sys.path.insert(0, str(tmp_path / "site"))
        sys.dont_write_bytecode = True  # an edit of the same size within the same second would go unseen
        (tmp_path / "skipped").write_text(str(ilrs.run(pipeline, executor="serial", replace=True).skipped))

    # A comment and what is imported by nobody change nothing.
    edits = ((2, ""), (2, "# twice"), (3, "") if package == "edited" else (2, f"import {module}.table"))
    for factor, imports in edits:
        if imports.startswith("import"):
            (tmp_path / "site" / package / "table.py").write_text("")
        text = PLUGIN.format(factor=factor, imports=imports)
        (tmp_path / "site" / package / "plugin.py").write_text(text)
        assert doomed.ended(doomed.forked(run)) == doomed.DONE
        skipped.append(int((tmp_path / "skipped").read_text()))
    assert skipped == [0, 4, 0]
    assert values(tmp_path / "cube.zarr").v.sel(site="a").to_numpy()[0] == edits[-1][0] * raw.counts_at(START, "a")


def test_counts_name_every_sample_of_a_campaign_with_every_flaw(campaign: Campaign) -> None:
    campaign.write("b2.toy", "bb", [5, 6, 7])
    campaign.write("b3.toy", "bb", [5, 6, 7])
    campaign.write("c.toy", "elsewhere", range(9))
    campaign.write("late.toy", "a", [500, 501])
    plan = ilrs.plan(campaign.pipeline(steps=["to_units"]))
    report = ilrs.run(plan, executor="serial")
    assert len(plan.duplicates) == 1
    assert {Path(granule.url).name for granule in plan.outside} == {"c.toy", "late.toy"}
    files = {"a0.toy": 16, "a1.toy": 19, "b0.toy": 85, "b1.toy": 4, "b2.toy": 3, "b3.toy": 3}
    assert report.counts.read == sum(files.values())
    # b2 or b3, whichever is read, has the one sample that the others lack, at 7 s.
    placed = {
        "a0.toy": 13,
        "a1.toy": 10,
        "b0.toy": 23,
        ({"b2.toy", "b3.toy"} - {Path(plan.duplicates[0].url).name}).pop(): 1,
    }
    by_file: dict[str, Counts] = {}
    for record in records_of(campaign.folder / "cube.zarr"):
        for outcome in record.outcomes:
            name = Path(outcome.url).name
            by_file[name] = by_file.get(name, Counts()) + outcome.counts
    read_once = {Path(plan.duplicates[0].url).name}
    # What lies outside the axis is in no record: it is what a file holds besides.
    outside = {"a0.toy": 3, "a1.toy": 6, "b0.toy": 3}
    assert {name: counts.read for name, counts in by_file.items()} == {
        name: count - outside.get(name, 0) for name, count in files.items() if name not in read_once
    }
    assert {name: counts.placed for name, counts in by_file.items() if counts.placed} == placed
    assert report.reasons["wrong word"] == 1
    assert report.reasons["outside the axis"] == sum(outside.values())
    assert report.counts.duplicate == 2 + 4 + 2 + 3
    assert report.reasons["another sample is in its slot"] == 85 - 23 - 3
    assert report.counts.add_up


@pytest.mark.parametrize("change", ["read", "placed", "outcome gone", "other file"])
def test_a_tampered_record_is_found_out(campaign: Campaign, straight: Path, change: str) -> None:
    plan = ilrs.plan(campaign.pipeline(output="straight.zarr", steps=STEPS))
    within, found = (plan.granules, plan.axis, plan.task.margin), records_of(straight)
    Books(*within).outside(found)
    # Of a file that lies in the axis with all of its samples nobody may say more or less than it holds.
    number, first = next(
        (record.part, one)
        for record in found
        for one in record.outcomes
        if one.url.endswith("b1.toy") and one.counts.read
    )
    rest = [one for one in found[number].outcomes if one is not first]
    counts = first.counts
    tampered = {
        "read": [replace(first, counts=replace(counts, read=counts.read + 1, placed=counts.placed + 1)), *rest],
        "placed": [replace(first, counts=replace(counts, placed=counts.placed + 1)), *rest],
        "outcome gone": rest,
        "other file": [replace(first, sha256="0" * 64), *rest],
    }[change]
    found[number] = replace(found[number], outcomes=tuple(tampered))
    with pytest.raises(CountError, match="please report this"):
        Books(*within).outside(found)


@pytest.mark.parametrize("text", ['[{"part": 3, "dig', "[" * 100_000, '[{"part": "3"}]', "\xff"])
def test_records_that_cannot_be_read_are_named_and_their_parts_are_done_again(
    campaign: Campaign, straight: Path, text: str
) -> None:
    (segment,) = (straight / "records").glob("00*.json")
    segment.write_text(text, encoding="latin-1")
    plan = ilrs.plan(campaign.pipeline(output="straight.zarr", steps=STEPS))
    assert plan.diff.unreadable == (f"records/{segment.name}",)
    assert rerun(campaign) == set(range(12))


def test_memory_urls_work_for_raw_files_and_cube(campaign: Campaign, straight: Path) -> None:
    import fsspec  # noqa: PLC0415

    memory = fsspec.filesystem("memory")
    for path in (campaign.folder / "raw").glob("*.toy"):
        memory.pipe_file(f"/raw-of-{campaign.folder.name}/{path.name}", path.read_bytes())
    for executor in ("serial", "threads"):
        url = f"memory://{campaign.folder.name}-{executor}.zarr"
        pipeline = campaign.pipeline(output=url, steps=STEPS, raw=f"memory://raw-of-{campaign.folder.name}/*.toy")
        assert ilrs.run(pipeline, executor=executor).exit_code == 0
        assert ilrs.run(pipeline, executor=executor).did_nothing
        with xr.open_zarr(url, chunks=None) as cube:
            assert cube.drop_attrs().equals(values(straight).drop_attrs())


def test_an_unknown_executor_is_named_and_nothing_is_written(campaign: Campaign) -> None:
    with pytest.raises(IlrsError, match="no executor 'magic'; it is serial, threads or processes"):
        ilrs.run(campaign.pipeline(steps=STEPS), executor="magic")
    assert not (campaign.folder / "cube.zarr").exists()


def test_a_worker_process_that_is_killed_is_replaced_and_nothing_is_lost(campaign: Campaign, straight: Path) -> None:
    def kill_a_worker(record: Any, number: int, of: int) -> None:
        if number == 1:
            os.kill(int(record.worker.rpartition(":")[2]), signal.SIGKILL)

    plan = ilrs.plan(campaign.pipeline(output="dying.zarr", steps=STEPS))
    assert ilrs.run(plan, executor="processes", workers=1, progress=kill_a_worker).exit_code == 0
    assert_same_bytes(straight, campaign.folder / "dying.zarr")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 1 MB, or skip loudly."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no small disk could be mounted, so a full disk was not tested: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_ends_the_run_at_once_by_name_and_room_lets_it_go_on(
    campaign: Campaign, straight: Path, small_disk: Path
) -> None:
    pipeline = campaign.pipeline(output=str(small_disk / "cube.zarr"), steps=STEPS)
    assert ilrs.run(pipeline, executor="serial").exit_code == 0
    subprocess.run(["rm", "-r", str(small_disk / "cube.zarr")], check=True)
    ballast = small_disk / "ballast"

    def fill_the_disk(record: Any, number: int, of: int) -> None:
        if number == 4:
            with pytest.raises(OSError, match="No space left"), ballast.open("wb", buffering=0) as file:  # noqa: PT012
                while True:
                    file.write(bytes(1024))

    with pytest.raises(StoreFullError, match=r"No space left on device.*; make room, then the same command goes on"):
        ilrs.run(pipeline, executor="serial", progress=fill_the_disk)
    ballast.unlink()
    again = ilrs.run(pipeline, executor="serial")
    assert again.failed == ()
    # What could not be told of on the full disk is done once more.
    assert (again.exit_code, again.skipped) == (0, 0)
    assert_same_bytes(straight, small_disk / "cube.zarr")


def test_a_span_is_given_in_utc_and_counts_leap_seconds(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path)
    leap = ilrs.geometry.time.parse_utc("2016-12-31T23:59:58Z")
    raw.write(tmp_path / "raw" / "a.toy", "a", [leap + n * 10**9 for n in range(5)])
    time_span = {"start": "2016-12-31T23:59:58Z", "stop": "2017-01-01T00:00:02Z", "step": "1 s"}
    report = ilrs.run(campaign.pipeline(time=time_span, sites=["a"]), executor="serial")
    assert report.counts.placed == 5
    assert values(tmp_path / "cube.zarr").sizes["time"] == 5
    assert isot(leap + 2 * 10**9) == "2016-12-31T23:59:60Z"


def test_a_step_has_parameters_of_its_own_at_a_site_and_a_change_there_concerns_that_site(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path)
    campaign.write("a.toy", "a", range(8))
    campaign.write("b.toy", "bb", range(8))

    def steps(factor: float) -> list:
        return [
            {"sum_near": {"window": "0 s", "at": {"a": {"window": "2 s"}}}},
            {"to_units": {"factor": 3.0, "at": {"bb": {"factor": factor}}}},
        ]

    report = ilrs.run(campaign.pipeline(8, steps=steps(5.0)), executor="serial")
    assert report.exit_code == 0
    cube = values(tmp_path / "cube.zarr")
    times = START + SECOND * np.arange(8)
    a, b = (raw.counts_at(times, site) for site in ("a", "bb"))
    summed = np.convolve(a, np.ones(5), "same")
    assert cube.value.sel(site="a", axis="up").values.tolist() == (3 * summed).astype("f4").tolist()
    assert cube.value.sel(site="bb", axis="up").values.tolist() == (5 * b).astype("f4").tolist()
    again = ilrs.run(campaign.pipeline(8, steps=steps(7.0)), executor="serial", replace=True)
    assert (again.parts, again.skipped) == (4, 2)
    # Every site of bb has its own: what others have is nothing to it.
    changed = steps(7.0)
    changed[1]["to_units"]["factor"] = 4.0
    assert ilrs.run(campaign.pipeline(8, steps=changed), executor="serial", replace=True).skipped == 2


@pytest.mark.parametrize(
    ("at", "words"),
    [
        ({"mars": {"factor": 1.0}}, "steps[0].to_units.at: 'mars' is no site of it; it has a, bb"),
        (
            {"a": {"fctor": 1.0}},
            "steps[0].to_units.at.a.fctor: to_units has no parameter 'fctor'; did you mean factor?",
        ),
        ({"a": {"factor": "much"}}, "steps[0].to_units.at.a.factor"),
        ({"a": {"factor": [1, "x"]}}, "steps[0].to_units.at.a.factor"),
        ({"a": 3.0}, "expected sites, each with parameters"),
        ([], "expected sites, each with parameters"),
    ],
)
def test_what_is_wrong_with_parameters_at_a_site_is_told_before_a_run(tmp_path: Path, at: object, words: str) -> None:
    campaign = Campaign(tmp_path)
    campaign.write("a.toy", "a", range(8))
    with pytest.raises(ilrs.PlanError) as caught:
        ilrs.plan(campaign.pipeline(8, steps=[{"to_units": {"at": at}}]))
    assert words in str(caught.value)


def test_status_counts_what_parts_have_read_and_what_lies_outside_once_all_are_done(campaign: Campaign) -> None:
    def stop(record: Any, number: int, of: int) -> None:
        if number == 5:
            raise KeyboardInterrupt

    pipeline, cube = campaign.pipeline(steps=STEPS), campaign.folder / "cube.zarr"
    with pytest.raises(KeyboardInterrupt):
        ilrs.run(pipeline, executor="serial", progress=stop)
    so_far = status(str(cube))
    assert (so_far.parts, so_far.done, so_far.stale) == (12, 5, 0)
    assert so_far.counts == sum((record.counts for record in records_of(cube)), Counts())
    report = ilrs.run(pipeline, executor="serial")
    assert report.reasons["outside the axis"] > 0
    assert status(str(cube)).counts == report.counts


def test_progress_counts_every_part_that_ends_up_to_all_of_them(campaign: Campaign) -> None:
    seen: list[tuple[int, int]] = []
    ilrs.run(campaign.pipeline(), executor="serial", progress=lambda record, n, of: seen.append((n, of)))
    assert seen == [(number, 12) for number in range(1, 13)]
