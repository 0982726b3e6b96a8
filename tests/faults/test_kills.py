"""Runs that die at a named instant: no reader is deceived, and the next run ends where an undisturbed one does."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ilrs_toys import doomed
from ilrs_toys.campaign import Small, assert_same_bytes, shard_files

import ilrs_science as ilrs
from ilrs_science.errors import CubeError
from ilrs_science.running.report import Report
from ilrs_science.running.verify import verify
from ilrs_science.store.folder import Folder
from ilrs_science.store.lease import holder

CREATION = {
    "create records/lease-1": "nothing is there yet",
    "write records/beat-1": "the lease has no counter yet",
    "write time/zarr.json": "no array is declared",
    "write quality/zarr.json": "some arrays are declared",
    "write zarr.json": "all but the root is there",
}
RUN = {
    "write records/tables-.*.json": "the cube is there, the tables are not whole",
    "write records/plan.json": "the tables are there",
    "write value/c/0/0/0": "no part is begun",
    "write quality/c/0/0": "a part is half written",
    "write value/c/0/2/0": "two parts are written and not recorded",
    "write records/000001-000001.json": "all parts are written and not recorded",
    "write records/000001-000002.json": "all parts are recorded",
    "delete records/000001-000001.json": "each part is recorded twice",
    "2nd:write zarr.json": "the status does not count the parts yet",
    "3rd:write zarr.json": "only the status is missing",
    "2nd:write records/beat-1": "only the release is missing",
}
RERUN = {
    "create records/lease-2": "nothing has changed yet",
    "write zarr.json": "the status still says complete",
    "write records/plan.json": "the new plan is not there",
    "write value/c/0/1/0": "no part is begun",
    "write value_uncertainty/c/0/1/0": "a part is half old, half new",
    "write value/c/0/2/0": "a part is new, its record is old",
    "write records/000002-000001.json": "all parts are new, their records are old",
    "write records/000002-000002.json": "all parts are recorded",
    "delete records/000001-000002.json": "old and new records lie side by side",
    "delete records/tables-.*": "old and new tables lie side by side",
    "2nd:write zarr.json": "the status does not count the parts yet",
    "3rd:write zarr.json": "only the status is missing",
    "2nd:write records/beat-2": "only the release is missing",
}


def status(cube: Path) -> str:
    """Return what a reader is told, without a line of this package."""
    root = cube / "zarr.json"
    return json.loads(root.read_text())["attributes"]["status"] if root.exists() else "no cube"


def finish(campaign: Small, expected: Path) -> Report:
    """Run again and hold the cube against an undisturbed one."""
    cube = campaign.folder / "cube.zarr"
    report = ilrs.run(campaign.pipeline(), executor="serial")
    assert report.exit_code == 0
    assert status(cube) == "complete"
    assert_same_bytes(expected, cube)
    assert verify(str(cube)).ok
    return report


def test_the_named_instants_are_all_kinds_of_writing_of_a_run(small: Small) -> None:
    seen = {re.sub(r"/c/.*|tables-.*", "...", one) for one in doomed.operations(small.pipeline())}
    coordinates = {f"write {name}/zarr.json" for name in ("tai", "time_bounds", "site", "lon", "lat", "height", "axis")}
    others = {f"write {name}/zarr.json" for name in ("value", "value_uncertainty", "number", "time_offset", "records")}
    shards = {f"write {name}..." for name in ("value_uncertainty", "number")}
    named = {re.sub(r"/c/.*|tables-.*", "...", one.rpartition(":")[2]) for one in CREATION | RUN}
    assert seen - coordinates - others - shards == named


@pytest.mark.parametrize("instant", CREATION)
def test_a_cube_whose_creation_was_killed_is_no_cube_and_the_next_run_makes_it(
    small: Small, straight: Path, instant: str
) -> None:
    assert doomed.killed(small.pipeline(), instant) == -signal.SIGKILL
    cube = str(small.folder / "cube.zarr")
    for look in (ilrs.open_cube, verify):
        with pytest.raises(CubeError, match="no cube at"):
            look(cube)
    finish(small, straight)


@pytest.mark.parametrize("instant", RUN)
def test_a_killed_run_is_never_called_complete_before_it_is_and_resumed_equals_an_undisturbed_one(
    small: Small, straight: Path, instant: str
) -> None:
    assert doomed.killed(small.pipeline(), instant) == -signal.SIGKILL
    cube = small.folder / "cube.zarr"
    if "beat" in instant:
        assert status(cube) == "complete"
        assert verify(str(cube)).ok
    else:
        assert re.fullmatch("unfinished: [03] of 3 parts to do", status(cube))
        with pytest.warns(UserWarning, match="unfinished: [03] of 3 parts to do"):
            ilrs.open_cube(str(cube))
    recorded = instant in list(RUN)[6:]
    assert finish(small, straight).skipped == (3 if recorded else 0)


@pytest.mark.parametrize("instant", RERUN)
def test_a_reader_never_sees_complete_over_mixed_data_of_a_killed_rerun(
    finished: Small, changed: Path, instant: str
) -> None:
    cube = finished.folder / "cube.zarr"
    old = shard_files(cube)
    finished.change()
    new = shard_files(changed)
    assert doomed.killed(finished.pipeline(), instant) == -signal.SIGKILL
    seen = shard_files(cube)
    for one in (old, new, seen):
        del one["zarr.json"]
    assert re.fullmatch("complete|unfinished: [02] of 3 parts to do", status(cube))
    assert status(cube) != "complete" or seen in (old, new)
    finish(finished, changed)


@pytest.mark.parametrize("instant", ["write value_uncertainty/c/0/1/0", "write records/000002-000001.json"])
def test_a_killed_rerun_whose_changed_file_is_restored_keeps_no_shard_of_the_changed_one(
    finished: Small, straight: Path, instant: str
) -> None:
    before = (finished.folder / "raw" / "1.toy").read_bytes()
    finished.change()
    assert doomed.killed(finished.pipeline(), instant) == -signal.SIGKILL
    # Now the records are those of the file that is there again; only the shards tell what has happened.
    (finished.folder / "raw" / "1.toy").write_bytes(before)
    assert finish(finished, straight).skipped == (2 if "value" in instant else 1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("executor", ["serial", "threads"])
def test_what_is_done_when_a_run_is_told_to_stop_is_recorded_and_the_lease_released(
    small: Small, straight: Path, number: int, executor: str
) -> None:
    more: dict[str, Any] = {"executor": executor, "workers": 1, "progress": _Stop(number)}
    assert doomed.killed(small.pipeline(), "never", **more) == 130
    cube = small.folder / "cube.zarr"
    assert json.loads((cube / "records" / "beat-1").read_text())["count"] == -1
    assert (cube / "records" / "000001-000001.json").exists()
    assert finish(small, straight).skipped == 2


class _Stop:
    """A progress that sends a signal to its own process after the second part."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self, record: Any, done: int, of: int) -> None:
        if done == 2:
            signal.raise_signal(self.number)


@pytest.mark.parametrize(
    ("number", "status", "said"),
    [(signal.SIGTERM, 75, "stopped by the system (SIGTERM); what"), (signal.SIGINT, 130, "interrupted; what")],
)
def test_a_command_that_is_told_to_stop_while_a_part_hangs_ends_soon_with_one_line(
    small: Small, number: int, status: int, said: str
) -> None:
    small.write("0-hang.evil", "a", range(4))
    raw = str(small.folder / "raw" / "*.evil")
    file = small.folder / "evil.yaml"
    steps = [{"harms": {"how": "error"}}, "to_units"]
    file.write_text(json.dumps(small.pipeline(4, instrument="toy-evil", raw=raw, steps=steps)))
    command = [sys.executable, "-m", "ilrs_science.cli", "run", str(file), "--executor", "processes", "--workers", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        plan = small.folder / "cube.zarr" / "records" / "plan.json"
        while not plan.exists() and process.poll() is None:
            time.sleep(0.05)
        time.sleep(1)
        process.send_signal(number)
        _, told = process.communicate()
    assert process.returncode == status
    (line,) = [one for one in told.splitlines() if "what is done is kept" in one]
    assert line.startswith(said)
    assert "Traceback" not in told
    assert holder(Folder(small.folder / "cube.zarr")) is None
