"""One run at a time: who is refused, who takes over, and what the runs of another machine are believed."""

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ilrs_toys import doomed
from ilrs_toys.campaign import Small, assert_same_bytes

import ilrs_science as ilrs
from ilrs_science.errors import CubeBusyError, CubeError, LeaseLostError
from ilrs_science.running.status import status
from ilrs_science.running.verify import adopt
from ilrs_science.store import lease
from ilrs_science.store.folder import Folder
from ilrs_science.store.lease import Lease, Waiting

SOON = Waiting(patience=0.3, interval=0.02)
ILRS = "from ilrs_science.cli.app import main; main()"
BEGUN = "write quality/c/0/0"


def put(cube: Path, name: str, value: Any) -> None:
    path = cube / "records" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value))


def foreign(cube: Path, count: int | None, number: int = 1, **more: Any) -> dict[str, Any]:
    """Write the lease and the counter of a run on another machine."""
    held = {
        "number": number,
        "nonce": "of another",
        "user": "ada",
        "host": "far.example.org",
        "process": 7,
        "born": "another boot 12",
        "job": "4711",
        "since": "2031-03-01T00:00:00+00:00",
    } | more
    put(cube, f"lease-{number}", held)
    if count is not None:
        put(cube, f"beat-{number}", {"nonce": held["nonce"], "count": count})
    return held


def leases(cube: Path) -> list[str]:
    return sorted(path.name for path in (cube / "records").glob("lease-*"))


def test_a_second_run_is_refused_by_name_and_writes_nothing(small: Small, straight: Path) -> None:
    pipeline, cube = small.pipeline(), small.folder / "cube.zarr"
    (small.folder / "toys.yaml").write_text(json.dumps(pipeline))
    with doomed.waiting_at(pipeline, BEGUN) as process:
        before = doomed.tree(cube)
        command = [sys.executable, "-c", ILRS, "run", str(small.folder / "toys.yaml"), "--json"]
        second = subprocess.run(command, capture_output=True, text=True, check=False)
        assert second.returncode == 75
        said = json.loads(second.stdout)["error"]
        assert f"{cube} is being written by " in said
        assert f"(process {process}) since 20" in said
        assert status(str(cube)).holder in said
        for other in (lambda: ilrs.run(pipeline), lambda: adopt(str(cube))):
            with pytest.raises(CubeBusyError, match=f"process {process}"):
                other()
        assert doomed.tree(cube) == before
    assert_same_bytes(straight, cube)
    assert status(str(cube)).holder == ""
    assert leases(cube) == ["lease-1"]


def test_two_runs_of_one_process_are_two_runs(small: Small) -> None:
    with lease.leased(Folder(small.folder / "cube.zarr")), pytest.raises(CubeBusyError, match=f"process {os.getpid()}"):
        ilrs.run(small.pipeline())
    assert ilrs.run(small.pipeline(), executor="serial").exit_code == 0


def test_the_lease_of_a_killed_run_of_this_machine_is_taken_over_at_once_though_nobody_asked_how_it_ended(
    small: Small, straight: Path
) -> None:
    with doomed.waiting_at(small.pipeline(), BEGUN) as process:
        os.kill(process, signal.SIGKILL)
        # Not waited for: it stays in the table of processes, as in a container whose first process never asks.
        os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
        ilrs.run(small.pipeline(), executor="serial", waiting=Waiting(patience=60))
    assert_same_bytes(straight, small.folder / "cube.zarr")
    assert leases(small.folder / "cube.zarr") == ["lease-1", "lease-2"]


def test_the_lease_of_a_run_elsewhere_is_kept_while_its_counter_moves(finished: Small) -> None:
    cube = finished.folder / "cube.zarr"
    finished.change()
    held = foreign(cube, 3, number=2)
    told: list[str] = []

    def hear(text: str) -> None:
        told.append(text)
        put(cube, "beat-2", {"nonce": held["nonce"], "count": 4})

    with pytest.raises(CubeBusyError, match=r"ada on far.example.org \(process 7, job 4711\) since 2031-03-01T00:00"):
        ilrs.run(finished.pipeline(), waiting=replace(SOON, patience=60, tell=hear))
    assert len(told) == 1
    assert "watching whether the run of ada on far.example.org" in told[0]
    assert leases(cube) == ["lease-1", "lease-2"]


@pytest.mark.parametrize(
    "beat",
    [
        pytest.param({"nonce": "of another", "count": 3}, id="it stands still"),
        pytest.param(None, id="the run died before its first beat"),
        pytest.param("[" * 100_000, id="it is nonsense"),
        pytest.param('{"nonce": "of another", "count": Infinity}', id="it is no number"),
        pytest.param({"nonce": "of a third", "count": 3}, id="it is of somebody else"),
    ],
)
def test_the_lease_of_a_run_elsewhere_is_taken_over_where_its_counter_does_not_move(finished: Small, beat: Any) -> None:
    cube = finished.folder / "cube.zarr"
    finished.change()
    foreign(cube, None, number=2)
    if beat is not None:
        put(cube, "beat-2", beat)
    assert ilrs.run(finished.pipeline(), executor="serial", waiting=SOON).skipped == 1
    assert leases(cube) == ["lease-1", "lease-2", "lease-3"]


@pytest.mark.parametrize("when", ["before", "while it is watched"])
def test_a_run_elsewhere_that_has_ended_leaves_the_cube_free(finished: Small, when: str) -> None:
    cube = finished.folder / "cube.zarr"
    finished.change()
    foreign(cube, -1 if when == "before" else 5, number=2)
    released = {"nonce": "of another", "count": -1}
    assert status(str(cube)).holder.partition(" (")[0] == ("" if when == "before" else "ada on far.example.org")
    waiting = Waiting(patience=60, interval=0.02, tell=lambda text: put(cube, "beat-2", released))
    assert ilrs.run(finished.pipeline(), executor="serial", waiting=waiting).skipped == 1


@pytest.mark.parametrize(
    "content",
    ["", "{", "[1]", "null", '{"number": 2}', "[" * 100_000, "\xff", '{"number": "2"}', "of another number"],
    ids=["empty", "torn", "list", "null", "too little", "nested", "no JSON", "mistyped", "of another number"],
)
def test_a_lease_that_is_none_is_named_and_nothing_is_written(finished: Small, content: str) -> None:
    cube = finished.folder / "cube.zarr"
    finished.change()
    if content == "of another number":
        foreign(cube, None, number=2)
        (cube / "records" / "lease-2").rename(cube / "records" / "lease-9")
    else:
        put(cube, "lease-9", content)
    before = doomed.tree(cube)
    for call in (ilrs.run, lambda pipeline: status(pipeline["output"])):
        with pytest.raises(CubeError, match=r"records/lease-9 is not a lease; remove it if no run is writing the cube"):
            call(finished.pipeline())
    assert doomed.tree(cube) == before
    (cube / "records" / "lease-9").unlink()
    assert ilrs.run(finished.pipeline(), executor="serial").skipped == 1


def test_of_two_challengers_one_wins(small: Small) -> None:
    cube = small.folder / "cube.zarr"
    foreign(cube, 3)
    go = threading.Barrier(4)
    won: list[Lease] = []
    refused: list[CubeBusyError] = []

    def challenge() -> None:
        go.wait()
        try:
            won.append(lease.acquire(Folder(cube), SOON))
        except CubeBusyError as error:
            refused.append(error)

    threads = [threading.Thread(target=challenge) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert [one.number for one in won] == [2]
    assert len(refused) == 3
    assert all(won[0].who in str(error) for error in refused)


class _Losing(Folder):
    """A folder whose answers get lost: it makes what it is asked to, and says that it was there."""

    def create(self, name: str, data: bytes) -> bool:
        super().create(name, data)
        return False


def test_a_lost_answer_of_the_store_is_no_lost_lease(tmp_path: Path) -> None:
    with lease.leased(_Losing(tmp_path / "cube.zarr"), SOON) as held:
        assert held.number == 1
    with lease.leased(_Losing(tmp_path / "cube.zarr"), SOON) as held:
        assert held.number == 2


def test_a_run_that_could_not_release_its_lease_does_not_lock_its_own_process_out(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Folder, name: str, *data: Any, **more: Any) -> None:
        raise OSError(28, "No space left on device")

    with lease.leased(Folder(small.folder / "cube.zarr")):
        monkeypatch.setattr(Folder, "write", full)
    monkeypatch.undo()
    assert ilrs.run(small.pipeline(), executor="serial", waiting=Waiting(patience=60)).exit_code == 0


def test_a_run_that_slept_while_another_took_its_cube_over_says_nothing_more_of_it(
    small: Small, straight: Path
) -> None:
    cube = small.folder / "cube.zarr"

    def sleep_through_a_takeover(record: Any, done: int, of: int) -> None:
        if done == of:
            foreign(cube, 0, number=2)

    with pytest.raises(LeaseLostError, match="another run has taken the cube over; this one stops"):
        ilrs.run(small.pipeline(), executor="serial", progress=sleep_through_a_takeover)
    assert json.loads((cube / "zarr.json").read_text())["attributes"]["status"].startswith("unfinished")
    assert ilrs.run(small.pipeline(), executor="serial", waiting=SOON).skipped == 3
    assert_same_bytes(straight, cube)


def test_the_beat_goes_on_while_a_run_holds_its_lease_and_the_store_hiccups(tmp_path: Path) -> None:
    place = _Hiccup(tmp_path / "cube.zarr")
    with lease.leased(place, Waiting(beat=0.01)) as held:
        place.beaten.wait(10)
        assert lease.holder(place) == held
    assert json.loads(place.read("records/beat-1") or b"")["count"] == -1


class _Hiccup(Folder):
    """A folder that fails at the second beat, as a network does."""

    beaten = threading.Event()
    beats = 0

    def write(self, name: str, data: Any) -> None:
        type(self).beats += 1
        if self.beats == 2:
            raise OSError(5, "Input/output error")
        if self.beats > 4:
            self.beaten.set()
        super().write(name, data)
