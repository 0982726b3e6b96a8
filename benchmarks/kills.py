"""Kill processes of runs at random instants, go on, and compare with an undisturbed run; prints a table.

    uv run python benchmarks/kills.py [kills of each kind] [seed]

Of each kind of process: the run itself, worker processes, the process of the quarantine, workers and scheduler of a
Dask cluster. *Lost* are cubes that the same command does not bring to an end, *wrong* those that say `complete` and
have other bytes, *orphans* processes that live 10 s after the run that they belong to, *misleading* endings other than
success or the one sentence with "run again".
"""

import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "plugins"))

from ilrs_toys.campaign import Campaign, shard_files  # noqa: E402 - needs the path above
from ilrs_toys.install import TOYS, write_distribution  # noqa: E402

import ilrs_science as ilrs  # noqa: E402
from ilrs_science.errors import ClusterLostError  # noqa: E402
from ilrs_science.store.lease import Waiting  # noqa: E402

PARTS = 24
SLOTS = 4 * PARTS
SOON = Waiting(patience=1, interval=0.1)


@dataclass
class Tally:
    """What came of killing one kind of process."""

    kills: int = 0
    lost: int = 0
    wrong: int = 0
    orphans: int = 0
    misleading: int = 0
    said: list[str] = field(default_factory=list)


class Slow(Campaign):
    """Many short parts, of a toy that crashes on no file, so that a kill finds most of them to do."""

    def fill(self, crashing: str = "") -> None:
        """Write a file for every part; every fourth may be one that harms its reader."""
        for number in range(PARTS):
            bad = crashing if number % 4 == 3 else ""
            self.write(f"{number:02d}{bad}.evil", "a", range(4 * number, 4 * number + 4))

    def pipeline(self, **more: Any) -> dict[str, Any]:
        """Return the pipeline over all of them."""
        raw = str(self.folder / "raw" / "*.evil")
        return super().pipeline(SLOTS, **({"instrument": "toy-evil", "sites": ["a"], "raw": raw} | more))


def same(one: Path, other: Path) -> bool:
    left, right = shard_files(one), shard_files(other)
    left.pop("zarr.json", None), right.pop("zarr.json", None)
    return left == right


def orphans(before: set[int]) -> int:
    """Return the workers that live 10 s on, without a run."""
    until = time.monotonic() + 10
    while time.monotonic() < until and (left := workers() - before):
        time.sleep(0.2)
    return len(left) if (left := workers() - before) else 0


def workers() -> set[int]:
    found = set()
    for process in psutil.process_iter(["cmdline"]):
        if "executors.child" in " ".join(process.info["cmdline"] or []):
            found.add(process.pid)
    return found


def kill(process: int) -> bool:
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def finish(campaign: Slow, straight: Path, tally: Tally) -> None:
    """Give the same command again, and look at what it made."""
    try:
        report = ilrs.run(campaign.pipeline(), executor="serial", waiting=SOON)
    except Exception as error:  # noqa: BLE001 - what is counted
        tally.lost += 1
        tally.said.append(repr(error)[:200])
        return
    tally.lost += report.exit_code != 0
    tally.wrong += not same(straight, campaign.folder / "cube.zarr")


@contextmanager
def killer(choose: Callable[[], int | None], tally: Tally, kills: int, chance: random.Random) -> Iterator[None]:
    """Kill, at random instants, processes that a function chooses."""
    over = threading.Event()

    def go() -> None:
        while not over.wait(chance.uniform(0.3, 1.5)) and tally.kills < kills:
            process = choose()
            if process is not None and kill(process):
                tally.kills += 1

    thread = threading.Thread(target=go, daemon=True)
    thread.start()
    yield
    over.set()
    thread.join()


def campaigns(name: Path, tally: Tally, kills: int, crashing: str = "") -> Iterator[Slow]:
    """Yield one campaign after another until enough processes were killed, a hundred at most."""
    for number in range(100):
        if tally.kills >= kills:
            return
        campaign = Slow(name.with_name(f"{name.name}-{number}"))
        campaign.fill(crashing)
        yield campaign


def the_run_itself(folder: Path, straight: Path, kills: int, chance: random.Random) -> Tally:
    tally = Tally()
    for number in range(kills):
        campaign = Slow(folder / f"run-{number}")
        campaign.fill()
        pipeline = json.dumps(campaign.pipeline())
        code = f"import json, ilrs_science as i; i.run(json.loads({pipeline!r}), executor='processes', workers=2)"
        before = workers()
        process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(1.5, 6))
        tally.kills += kill(process.pid) if process.poll() is None else 0
        process.wait()
        tally.orphans += orphans(before)
        finish(campaign, straight, tally)
    return tally


def worker_processes(folder: Path, straight: Path, kills: int, chance: random.Random) -> Tally:
    tally = Tally()
    for campaign in campaigns(folder / "workers", tally, kills):
        before = workers()
        with killer(lambda before=before: min(workers() - before, default=None), tally, kills, chance):
            report = ilrs.run(campaign.pipeline(), executor="processes", workers=2)
        # A part whose worker was killed three times more in quarantine is left to the next run, and says so.
        tally.misleading += report.exit_code not in (0, 75)
        tally.orphans += orphans(before)
        finish(campaign, straight, tally)
    return tally


def the_quarantine(folder: Path, straight: Path, kills: int, chance: random.Random) -> Tally:
    del straight
    tally = Tally()
    plain = Slow(folder / "plain")
    plain.fill("-error")
    ilrs.run(plain.pipeline(), executor="serial")
    for campaign in campaigns(folder / "quarantine", tally, kills, "-os-exit"):
        before = workers()

        def newest(before: set[int] = before) -> int | None:
            return max(workers() - before, default=None)

        with killer(newest, tally, kills, chance):
            report = ilrs.run(campaign.pipeline(), executor="processes", workers=1)
        tally.misleading += report.exit_code not in (3, 75)
        tally.orphans += orphans(before)
        again = ilrs.run(campaign.pipeline(), executor="processes", workers=1)
        tally.lost += again.exit_code != 3
        tally.wrong += not same(plain.folder / "cube.zarr", campaign.folder / "cube.zarr")
    return tally


def workers_of_a_cluster(folder: Path, straight: Path, kills: int, chance: random.Random) -> Tally:
    from distributed import Client, LocalCluster

    tally = Tally()
    for campaign in campaigns(folder / "dask", tally, kills):
        with (
            LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
            Client(cluster, set_as_default=False) as client,
        ):

            def one(client: Client = client) -> int | None:
                found = [info["pid"] for info in client.run(lambda: {"pid": os.getpid()}, on_error="ignore").values()]
                return chance.choice(found) if found else None

            with killer(one, tally, kills, chance):
                report = ilrs.run(campaign.pipeline(), cluster=client)
        tally.misleading += report.exit_code not in (0, 75)
        finish(campaign, straight, tally)
    return tally


def the_scheduler(folder: Path, straight: Path, kills: int, chance: random.Random) -> Tally:
    tally = Tally()
    start = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    for number in range(kills):
        campaign = Slow(folder / f"scheduler-{number}")
        campaign.fill()
        scheduler = subprocess.Popen([*start, "--no-dashboard"], stderr=subprocess.PIPE, text=True)
        assert scheduler.stderr is not None
        address = next(found[1] for line in scheduler.stderr if (found := re.search(r"at:\s+(tcp://\S+)", line)))
        threading.Thread(target=scheduler.stderr.read, daemon=True).start()
        command = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1"]
        worker = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        timer = threading.Timer(chance.uniform(2, 7), scheduler.kill)
        timer.start()
        try:
            ilrs.run(campaign.pipeline(), cluster=address)
        except ClusterLostError as error:
            plain = str(error).endswith("run again to go on") and "\n" not in str(error)
            tally.misleading += not plain
            tally.said += [] if plain else [str(error)]
            tally.kills += 1
        timer.cancel()
        scheduler.kill()
        worker.kill()
        scheduler.wait(), worker.wait()
        finish(campaign, straight, tally)
    return tally


KINDS = (the_run_itself, worker_processes, the_quarantine, workers_of_a_cluster, the_scheduler)


def main() -> None:
    kills, seed = (int(one) for one in (*sys.argv[1:], "20", "1")[:2]) if len(sys.argv) < 3 else map(int, sys.argv[1:3])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_distribution(folder / "installed", "ilrs-toys", TOYS)
        os.environ["PYTHONPATH"] = os.pathsep.join([str(folder / "installed"), str(ROOT / "tests" / "plugins")])
        sys.path.insert(0, str(folder / "installed"))
        undisturbed = Slow(folder / "undisturbed")
        undisturbed.fill()
        ilrs.run(undisturbed.pipeline(), executor="serial")
        print("| process | kills | lost | wrong | orphans | misleading |\n|---|---|---|---|---|---|", flush=True)
        for kind in KINDS:
            found = kind(folder, undisturbed.folder / "cube.zarr", kills, random.Random(seed))
            numbers = [found.kills, found.lost, found.wrong, found.orphans, found.misleading]
            print(f"| {kind.__name__.replace('_', ' ')} | {' | '.join(map(str, numbers))} |", flush=True)
            for text in found.said:
                print("  ", text)


if __name__ == "__main__":
    main()
