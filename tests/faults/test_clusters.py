"""A cluster whose workers or scheduler die, or whose workers do not come: one sentence, and the same command works."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
import pytest
from distributed import Client, LocalCluster
from ilrs_toys.campaign import Small, assert_same_bytes

import ilrs_science as ilrs
from ilrs_science.errors import ClusterLostError
from ilrs_science.executors import dask as on_dask
from ilrs_science.executors.items import Limits

pytestmark = [
    pytest.mark.xdist_group("dask"),
    # A client whose scheduler was killed says so on several ways of its own.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]
LAYOUT = {"chunk": 64, "shard": 64}
"""Twelve parts, so that some are under way at every instant."""


@contextmanager
def program(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-m", *arguments], stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def scheduler() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start a scheduler of its own, without workers."""
    with program("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard") as process:
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(r"Scheduler at:\s+(tcp://\S+)", line):
                yield process, found[1]
                return


def test_workers_that_are_killed_while_a_run_is_under_way_cost_nothing(small: Small, straight: Path) -> None:
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", scheduler_kwargs={"dashboard": False}
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):

        def kill_both(record: Any, done: int, of: int) -> None:
            if done == 2:
                for process in client.run(os.getpid).values():
                    os.kill(process, signal.SIGKILL)

        pipeline = small.pipeline(layout=LAYOUT)
        assert ilrs.run(pipeline, cluster=client, progress=kill_both).exit_code == 0
    ilrs.run(small.pipeline(layout=LAYOUT, output="other.zarr"), executor="serial")
    assert_same_bytes(small.folder / "other.zarr", small.folder / "cube.zarr")


def test_a_scheduler_without_workers_is_waited_for_and_then_named(small: Small) -> None:
    with (
        scheduler() as (_, address),
        pytest.raises(ClusterLostError, match=r"no worker has come to tcp://\S+ within 1 s; run again to go on"),
    ):
        ilrs.run(small.pipeline(), cluster=address, limits=Limits(patience=1))
    assert not (small.folder / "cube.zarr").exists()


def test_a_scheduler_that_is_killed_ends_the_run_in_one_sentence_and_the_same_command_goes_on(
    small: Small, straight: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_dask, "_SILENCE", 2.0)
    with scheduler() as (process, address), program("distributed.cli.dask_worker", address, "--nthreads", "1"):

        def kill_it(record: Any, done: int, of: int) -> None:
            if done == 2:
                process.kill()

        with pytest.raises(ClusterLostError, match=r"^(the scheduler|the cluster) tcp://\S+ .*; run again to go on$"):
            ilrs.run(small.pipeline(layout=LAYOUT), cluster=address, progress=kill_it)
    again = ilrs.run(small.pipeline(layout=LAYOUT), executor="serial")
    assert (again.exit_code, again.skipped >= 2) == (0, True)


def test_a_scheduler_that_is_not_there_is_named(small: Small) -> None:
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(ClusterLostError, match=r"no scheduler at tcp://127\.0\.0\.1:9"),
    ):
        ilrs.run(small.pipeline(), cluster="tcp://127.0.0.1:9")
