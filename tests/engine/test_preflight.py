"""A real Dask cluster of two worker processes: the same cube, and plugins compared before the first task."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import dask
import pytest
from distributed import Client, LocalCluster, Nanny, Scheduler, SpecCluster
from ilrs_toys.campaign import Campaign, assert_same_bytes

import ilrs_science as ilrs
from ilrs_science import PlanError
from ilrs_science.errors import ClusterError
from ilrs_science.running.cluster import connect

pytestmark = [pytest.mark.usefixtures("toys"), pytest.mark.xdist_group("dask")]

STEPS = ["by_reference", {"set_clock": {"limit": "3 s"}}, {"sum_near": {"window": "2 s"}}, "to_units"]


@pytest.fixture(scope="module")
def client(toys: Path) -> Iterator[Client]:
    """Return a client of two worker processes of one thread each."""
    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address=":0",
            scheduler_kwargs={"dashboard": False},
        ) as cluster,
        Client(cluster, set_as_default=False) as made,
    ):
        yield made


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    made = Campaign(tmp_path)
    made.write("a.toy", "a", [n / 2 for n in range(48)])
    made.write("b.toy", "bb", range(-2, 28))
    made.refer("gain", -100, 7, 2)
    made.refer("gain", 7, 100, 3)
    made.refer("clock", -100, 100, 10**9)
    return made


def test_a_cluster_of_two_processes_gives_the_bytes_of_a_serial_run(campaign: Campaign, client: Client) -> None:
    ilrs.run(campaign.pipeline(steps=STEPS), executor="serial")
    seen: list[str] = []
    pipeline = campaign.pipeline(output="dask.zarr", steps=STEPS)
    report = ilrs.run(pipeline, cluster=client, progress=lambda record, n, of: seen.append(record.worker))
    assert report.exit_code == 0
    assert len(seen) == 12
    assert str(os.getpid()) not in {worker.rpartition(":")[2] for worker in seen}
    assert_same_bytes(campaign.folder / "cube.zarr", campaign.folder / "dask.zarr")
    assert ilrs.run(pipeline, cluster=client).did_nothing


def test_a_failing_step_comes_back_from_a_cluster_as_a_reason(campaign: Campaign, client: Client) -> None:
    report = ilrs.run(campaign.pipeline(steps=["raises", "to_units"]), cluster=client)
    assert {record.reason.partition(" (")[0] for record in report.failed} == {"RuntimeError: this step always fails"}
    assert len(report.failed) == 12


def test_a_run_stopped_by_its_caller_leaves_the_cluster_usable(campaign: Campaign, client: Client) -> None:
    def stop(record: Any, number: int, of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ilrs.run(campaign.pipeline(steps=STEPS), cluster=client, progress=stop)
    assert ilrs.run(campaign.pipeline(steps=STEPS), cluster=client).exit_code == 0


def test_a_plugin_that_workers_lack_is_a_fault_of_each_worker_before_the_first_task(
    campaign: Campaign, client: Client, install: Callable[..., Path]
) -> None:
    module = "from ilrs_toys.clock import *\nfrom ilrs_toys import clock\nimport dataclasses\n"
    module += "instrument = dataclasses.replace(clock.instrument, name='toy-new')\n"
    points = {"ilrs_science.instruments": {"toy-new": "toy_new:instrument"}}
    install("toy-new", {"toy_new.py": module}, points)
    with pytest.raises(PlanError) as caught:
        ilrs.run(campaign.pipeline(instrument="toy-new"), cluster=client)
    assert len(caught.value.faults) == 2
    for fault in caught.value.faults:
        assert fault.path.startswith("worker tcp://")
        assert "no instrument 'toy-new' is installed" in fault.found
        assert fault.allowed == "install toy-new 1.0 there"
    assert not (campaign.folder / "cube.zarr").exists()


def test_a_plugin_with_other_code_on_a_worker_is_a_fault_before_the_first_task(
    campaign: Campaign, install: Callable[..., Path]
) -> None:
    module = (
        "import xarray as xr\n\ndef twice(ds: xr.Dataset) -> xr.Dataset:\n    return ds.assign(signal={}ds.signal)\n"
    )
    points = {"ilrs_science.steps": {"twice": "twice_step:twice"}}
    there = install("twice-step", {"twice_step.py": module.format("3 * ")}, points)
    path = os.pathsep.join([str(there), os.environ["PYTHONPATH"]])
    with dask.config.set({"distributed.nanny.pre-spawn-environ.PYTHONPATH": path}):
        cluster = LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            processes=True,
            dashboard_address=":0",
            scheduler_kwargs={"dashboard": False},
        )
    with cluster, Client(cluster, set_as_default=False) as client:
        install("twice-step", {"twice_step.py": module.format("2 * ")}, points, version="1.1")
        sys.path.remove(str(there))
        with pytest.raises(PlanError, match=r"has toy|has ilrs-toys") as caught:
            ilrs.run(campaign.pipeline(steps=["twice", "to_units"]), cluster=client)
        (fault,) = caught.value.faults
        assert "digest" in fault.found
        assert "expected the code of ilrs-toys 1.0 with digest" in fault.allowed
    assert not (campaign.folder / "cube.zarr").exists()


@pytest.mark.parametrize(
    ("cluster", "words"),
    [("slrm", r"unknown cluster 'slrm'; give .*local"), ("tcp://127.0.0.1:9", r"no scheduler at tcp://127.0.0.1:9")],
)
def test_a_cluster_that_is_not_there_is_named(campaign: Campaign, cluster: str, words: str) -> None:
    with dask.config.set({"distributed.comm.timeouts.connect": "1s"}), pytest.raises(ClusterError, match=words):
        ilrs.run(campaign.pipeline(), cluster=cluster)
    assert not (campaign.folder / "cube.zarr").exists()


def test_a_local_cluster_serves_no_dashboard_and_nobody_beyond_this_machine_and_keeps_the_allocator(
    toys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Another cluster of this process leaves it in the environment, which wins over every configuration.
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)
    with connect("local", workers=1) as client:
        # Dask's nanny would otherwise slow the allocator of its workers down.
        assert list(client.run(os.environ.get, "MALLOC_TRIM_THRESHOLD_").values()) == [None]
        server = client.cluster.scheduler.http_server
        assert [socket.getsockname()[0] for socket in server._sockets.values()] == ["127.0.0.1"]
        with pytest.raises(HTTPError, match="404"):
            urlopen(f"http://127.0.0.1:{server.port}/status")


def test_a_step_goes_to_the_workers_that_have_what_it_needs(campaign: Campaign) -> None:
    options = {"nthreads": 1, "dashboard": False}
    spec = {
        "plain": {"cls": Nanny, "options": options},
        "equipped": {"cls": Nanny, "options": options | {"resources": {"telescope": 2}}},
    }
    scheduler = {"cls": Scheduler, "options": {"dashboard": False, "port": 0}}
    steps = ["on_a_telescope", "to_units"]
    with SpecCluster(spec, scheduler, asynchronous=False) as cluster, Client(cluster, set_as_default=False) as both:
        both.wait_for_workers(2)
        equipped = {one["id"]: one["nanny"] for one in both.scheduler_info()["workers"].values()}["equipped"]
        processes = both.run(os.getpid, nanny=False)
        workers = {one["nanny"]: address for address, one in both.scheduler_info()["workers"].items()}
        seen: set[str] = set()
        pipeline = campaign.pipeline(steps=steps)
        report = ilrs.run(pipeline, cluster=both, progress=lambda record, n, of: seen.add(record.worker))
        assert report.exit_code == 0
        assert {one.rpartition(":")[2] for one in seen} == {str(processes[workers[equipped]])}


def test_a_cluster_without_what_a_step_needs_is_a_fault_before_the_first_part(
    campaign: Campaign, client: Client
) -> None:
    with pytest.raises(
        PlanError, match=r"resources\.telescope: no worker has 2 of it; the most that one has is 0; start"
    ):
        ilrs.run(campaign.pipeline(steps=["on_a_telescope", "to_units"]), cluster=client)
    assert not (campaign.folder / "cube.zarr").exists()
    plan = ilrs.plan(campaign.pipeline(steps=["on_a_telescope", "to_units"]))
    assert plan.as_json()["resources"] == {"telescope": 2}
    assert ilrs.run(plan, executor="serial").exit_code == 0
