"""Workers that outlive their run, disks that are full or closed, and cubes that several people write in turn."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ilrs_toys import doomed
from ilrs_toys.campaign import Small, assert_same_bytes, shard_files
from ilrs_toys.install import TOYS, write_distribution

import ilrs_science as ilrs
from ilrs_science.running.verify import verify
from ilrs_science.store.lease import Waiting

DRIVER = """
import json, sys, time
import ilrs_science as ilrs
def tell(record, done, of):
    print(record.worker.rpartition(":")[2], flush=True)
    time.sleep(60)
if __name__ == "__main__":
    ilrs.run(json.loads(sys.argv[1]), executor="processes", workers=1, progress=tell)
"""


def test_the_worker_processes_of_a_killed_run_end_within_10_seconds_and_the_next_run_goes_on(
    small: Small, straight: Path
) -> None:
    script = small.folder / "driver.py"
    script.write_text(DRIVER)
    command = [sys.executable, str(script), json.dumps(small.pipeline())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        worker = int(driver.stdout.readline())
        driver.kill()
        # Neither process has been asked how it ended: the worker has to see by itself that its run is dead.
        since = time.monotonic()
        while Path(f"/proc/{worker}").exists() and time.monotonic() - since < 10:
            time.sleep(0.02)
        assert not Path(f"/proc/{worker}").exists()
    report = ilrs.run(small.pipeline(), executor="serial", waiting=Waiting(patience=60))
    assert report.exit_code == 0
    assert_same_bytes(straight, small.folder / "cube.zarr")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 400 kB, or skip loudly."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no small disk could be mounted, so a full disk was not tested: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    ballast = folder / "ballast"
    with pytest.raises(OSError, match="No space left"), ballast.open("wb", buffering=0) as file:  # noqa: PT012
        while True:
            file.write(bytes(512))
    return ballast


@pytest.mark.parametrize("done", [0, 1, 3])
def test_a_disk_that_fills_up_ends_the_run_with_the_reason_and_room_lets_it_go_on(
    small: Small, straight: Path, small_disk: Path, done: int
) -> None:
    pipeline = small.pipeline(output=str(small_disk / "cube.zarr"))
    if done == 0:
        fill(small_disk)
    with pytest.raises(OSError, match="No space left"):
        ilrs.run(pipeline, executor="serial", progress=lambda record, n, of: fill(small_disk) if n == done else None)
    (small_disk / "ballast").unlink()
    assert ilrs.run(pipeline, executor="serial", waiting=Waiting(patience=60)).exit_code == 0
    assert_same_bytes(straight, small_disk / "cube.zarr")


@pytest.fixture
def group_folder(small: Small, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a folder of a group, whose files and folders go to the group; only root can make it."""
    if os.geteuid():
        pytest.skip("only root can be several users, so a cube of a group was not tested")
    folder = Path(tempfile.mkdtemp(prefix="ilrs-group-"))
    os.chown(folder, 0, 4711)
    folder.chmod(0o2775)
    shutil.copytree(small.folder / "raw", folder / "raw")
    # The toys that all other tests have lie where only root may look.
    write_distribution(folder / "installed", "ilrs-toys-of-all", TOYS)
    monkeypatch.setattr(sys, "path", [str(folder / "installed"), *(one for one in sys.path if "pytest-of" not in one)])
    yield folder
    shutil.rmtree(folder)


def as_user(number: int, pipeline: dict[str, Any], groups: tuple[int, ...] = (4711,)) -> int:
    """Run a pipeline as another user, who lets the group write."""

    def become_and_run() -> None:
        os.setgroups(list(groups))
        os.setgid(number)
        os.setuid(number)
        os.umask(0o002)
        os.environ["HOME"] = "/nonexistent"
        assert ilrs.run(pipeline, executor="serial").exit_code == 0

    return doomed.ended(doomed.forked(become_and_run))


def test_people_of_a_group_go_on_with_each_others_cubes(small: Small, group_folder: Path, straight: Path) -> None:
    cube = group_folder / "cube.zarr"
    pipeline = small.pipeline(raw=str(group_folder / "raw" / "*.toy"), output=str(cube))
    assert as_user(50001, pipeline) == 99
    for path in (cube, *cube.rglob("*")):
        about = path.stat()
        assert about.st_gid == 4711, path
        assert about.st_mode & 0o060 == 0o060, path
    (group_folder / "raw" / "1.toy").write_bytes((group_folder / "raw" / "1.toy").read_bytes()[:-14])
    assert as_user(50002, pipeline) == 99
    assert verify(str(cube)).ok
    assert {path.stat().st_uid for path in cube.rglob("lease-*")} == {50001, 50002}


def test_a_folder_that_may_not_be_written_is_a_fault_of_the_output(small: Small, group_folder: Path) -> None:
    pipeline = small.pipeline(raw=str(group_folder / "raw" / "*.toy"), output=str(group_folder / "cube.zarr"))
    before = doomed.tree(group_folder)
    group_folder.chmod(0o2755)
    assert as_user(50003, pipeline) == 1
    assert doomed.tree(group_folder) == before


def test_a_raw_file_that_went_away_leaves_its_samples_until_somebody_says_otherwise(
    finished: Small, straight: Path
) -> None:
    gone = finished.folder / "raw" / "1.toy"
    gone.unlink()
    plan = ilrs.plan(finished.pipeline())
    assert plan.diff.gone == (str(gone),)
    assert plan.diff.counts() == {"done": 1, "missing": 2}
    report = ilrs.run(plan, executor="serial")
    assert (report.exit_code, report.gone, report.did_nothing) == (0, (str(gone),), True)
    assert_same_bytes(straight, finished.folder / "cube.zarr")
    report = ilrs.run(finished.pipeline(), executor="serial", forget_missing=True)
    assert (report.exit_code, report.skipped) == (0, 1)
    assert ilrs.plan(finished.pipeline()).diff.gone == ()
    alone = finished.pipeline(output="alone.zarr")
    assert ilrs.run(alone, executor="serial").exit_code == 0
    assert_same_bytes(finished.folder / "alone.zarr", finished.folder / "cube.zarr")


def test_a_raw_file_that_is_renamed_and_longer_is_asked_about_and_loses_no_count(finished: Small) -> None:
    raw = finished.folder / "raw"
    (raw / "1.toy").unlink()
    finished.write("1-v2.toy", "a", [*range(299, 500), *range(600, 769)])
    before = shard_files(finished.folder / "cube.zarr")
    report = ilrs.run(finished.pipeline(), executor="serial")
    assert (report.exit_code, report.gone) == (0, (str(raw / "1.toy"),))
    assert report.counts.add_up
    assert shard_files(finished.folder / "cube.zarr") == before
    report = ilrs.run(finished.pipeline(), executor="serial", forget_missing=True)
    assert (report.exit_code, report.skipped) == (0, 1)
    assert report.counts.add_up


def test_a_file_that_only_a_margin_reaches_into_is_missed_as_well(small: Small) -> None:
    pipeline = small.pipeline(steps=[{"sum_near": {"window": "2 s"}}, "to_units"])
    (small.folder / "raw" / "0.toy").unlink()
    small.write("0.toy", "a", range(256))
    small.write("1.toy", "a", range(256, 768))
    ilrs.run(pipeline, executor="serial")
    before = shard_files(small.folder / "cube.zarr")
    (small.folder / "raw" / "1.toy").unlink()
    # The sums at the end of the first part hold samples of the second, which has no file any more.
    assert ilrs.plan(pipeline).diff.counts() == {"missing": 3}
    ilrs.run(pipeline, executor="serial")
    assert shard_files(small.folder / "cube.zarr") == before


def test_changed_parameters_are_asked_about_and_the_old_cube_stays_as_it_is(finished: Small) -> None:
    cube = finished.folder / "cube.zarr"
    (finished.folder / "toys.yaml").write_text(json.dumps(finished.pipeline(steps=[{"to_units": {"factor": 5.0}}])))
    before = doomed.tree(cube)
    command = [sys.executable, "-c", "from ilrs_science.cli.app import main; main()", "run"]
    command += [str(finished.folder / "toys.yaml"), "--json"]
    out = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert out.returncode == 1
    assert "3 parts: steps, their parameters or the product have changed; --replace does them again" in out.stdout
    assert doomed.tree(cube) == before


def test_another_environment_is_told_and_redone_on_request_only(finished: Small, straight: Path) -> None:
    cube = finished.folder / "cube.zarr"
    (segment,) = cube.glob("records/000*.json")
    content = json.loads(segment.read_text())
    content[1]["environment"]["numpy"] = "1.0"
    segment.write_text(json.dumps(content))
    assert ilrs.plan(finished.pipeline()).diff.counts() == {"done": 2, "older": 1}
    report = ilrs.run(finished.pipeline(), executor="serial")
    assert (report.did_nothing, report.environments) == (True, 2)
    report = ilrs.run(finished.pipeline(), executor="serial", redo_environment=True)
    assert (report.skipped, report.environments) == (2, 1)
    assert_same_bytes(straight, cube)


def test_what_a_dead_run_left_unfinished_is_swept_before_the_cube_is_complete_and_nothing_else(small: Small) -> None:
    pipeline = small.pipeline()
    ilrs.run(pipeline, executor="serial")
    cube = Path(pipeline["output"])
    folder = cube / "value" / "c" / "0" / "0"
    left, mine, strange = (folder / f".0123456789ab-{end}.partial" for end in ("000001", "000009", "x"))
    for one in (left, mine, strange):
        one.write_bytes(b"unfinished")
    (folder / "0").unlink()
    assert ilrs.run(pipeline, executor="serial").exit_code == 0
    assert [one.exists() for one in (left, mine, strange)] == [False, True, True]


def test_a_plan_made_before_a_shard_was_damaged_is_no_reason_to_leave_it(small: Small) -> None:
    pipeline = small.pipeline()
    ilrs.run(pipeline, executor="serial")
    plan = ilrs.plan(pipeline)
    (Path(pipeline["output"]) / "value" / "c" / "0" / "0" / "0").unlink()
    assert ilrs.run(plan, executor="serial").skipped == len(plan.parts) - 1
