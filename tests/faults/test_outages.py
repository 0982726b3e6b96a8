"""An outage is not data: what a store does not give now is a failed part, tried again, and never an empty cell."""

import gc
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import s3fs
import xarray as xr
from ilrs_toys.campaign import Small, assert_same_bytes, values
from ilrs_toys.proxy import Proxy, proxied

import ilrs_science as ilrs
from ilrs_science.errors import CubeBusyError, LeaseLostError, OutageError
from ilrs_science.executors import window
from ilrs_science.raw import fetching
from ilrs_science.reduction.worker import reduce
from ilrs_science.running.report import Report
from ilrs_science.running.verify import verify
from ilrs_science.store import bucket as buckets
from ilrs_science.store import lease
from ilrs_science.store.lease import Waiting
from ilrs_science.store.target import target

# Clients of object stores leave sessions open when a connection breaks.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
FAULTS = ["403", "404", "500", "reset", "cut"]


@pytest.fixture
def archive(small: Small, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """Return a proxy before the raw files."""
    monkeypatch.setattr(fetching, "_PAUSE", 0.001)
    with proxied(small.folder / "raw") as proxy:
        yield proxy


def remote(small: Small, archive: Proxy) -> dict[str, Any]:
    return small.pipeline(raw=[f"{archive.url}/{name}.toy" for name in (0, 1)])


def status(cube: Path) -> str:
    return str(json.loads((cube / "zarr.json").read_text())["attributes"]["status"])


@pytest.mark.parametrize("fault", FAULTS)
def test_a_raw_file_that_does_not_come_while_planning_is_an_outage_and_nothing_is_written(
    small: Small, archive: Proxy, fault: str
) -> None:
    archive.fail("GET /1.toy", fault)
    with pytest.raises(OutageError, match=r"1 raw files cannot be read; mend this, then the same command goes on"):
        ilrs.run(remote(small, archive))
    assert not (small.folder / "cube.zarr").exists()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_raw_file_that_does_not_come_in_a_run_fails_its_parts_and_the_same_command_ends_as_undisturbed(
    small: Small, archive: Proxy, straight: Path, fault: str
) -> None:
    plan = ilrs.plan(remote(small, archive))
    archive.fail("GET /1.toy", fault)
    report = ilrs.run(plan, executor="serial")
    assert (report.exit_code, [one.part for one in report.failed]) == (75, [1, 2])
    assert all(f"{archive.url}/1.toy" in one.reason for one in report.failed)
    assert report.rejected == {}
    assert status(small.folder / "cube.zarr") == "unfinished: 2 of 3 parts failed"
    archive.mend()
    again = ilrs.run(remote(small, archive), executor="serial")
    assert (again.exit_code, again.skipped) == (0, 1)
    assert_same_bytes(straight, small.folder / "cube.zarr")


@pytest.mark.parametrize("change", ["goes away", "changes", "grows", "is cut", "may not be read"])
def test_a_raw_file_that_changes_between_plan_and_run_fails_its_parts(
    small: Small, straight: Path, change: str
) -> None:
    raw = small.folder / "raw" / "1.toy"
    before = raw.read_bytes()
    plan = ilrs.plan(small.pipeline())
    harm = {
        "goes away": raw.unlink,
        "changes": lambda: raw.write_bytes(before[:-1] + b"\0"),
        "grows": lambda: raw.write_bytes(before + before[-14:]),
        "is cut": lambda: raw.write_bytes(before[:700]),
        "may not be read": lambda: (raw.unlink(), raw.mkdir()),
    }
    harm[change]()
    report = ilrs.run(plan, executor="serial")
    assert (report.exit_code, [one.part for one in report.failed], report.rejected) == (75, [1, 2], {})
    if raw.is_dir():
        raw.rmdir()
    raw.write_bytes(before)
    assert ilrs.run(small.pipeline(), executor="serial").skipped == 1
    assert_same_bytes(straight, small.folder / "cube.zarr")


def test_a_granule_rejected_for_its_bytes_is_tried_again_when_they_change(small: Small, straight: Path) -> None:
    raw = small.folder / "raw" / "1.toy"
    whole = raw.read_bytes()
    raw.write_bytes(whole[:-3])
    report = ilrs.run(small.pipeline(), executor="serial")
    assert report.exit_code == 3
    assert list(report.rejected) == [str(raw)]
    raw.write_bytes(whole)
    assert ilrs.run(small.pipeline(), executor="serial").exit_code == 0
    assert_same_bytes(straight, small.folder / "cube.zarr")


@pytest.mark.parametrize("fault", ["503", "429"])
def test_a_server_that_asks_to_be_left_alone_is_asked_again_later_and_no_part_fails(
    small: Small, archive: Proxy, straight: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(window, "_PAUSE", 0.001)
    plan = ilrs.plan(remote(small, archive))
    refused: list[str] = []

    def at_first(verb: str, path: str) -> str | None:
        refused.append(path)
        return fault if len(refused) <= 12 else None

    archive.fails = at_first
    assert ilrs.run(plan).exit_code == 0
    assert len(refused) > 12
    assert_same_bytes(straight, small.folder / "cube.zarr")


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    from moto.server import ThreadedMotoServer  # noqa: PLC0415 - heavy

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(moto: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Proxy]:
    """Return a proxy before an object store, which s3fs finds by its environment."""
    with proxied(moto) as proxy:
        for name, value in {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_MAX_ATTEMPTS": "1",
            # Otherwise bodies come in pieces with a checksum behind them, which the proxy does not read.
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
            "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
            "AWS_ENDPOINT_URL": proxy.url,
        }.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem().makedirs("cubes", exist_ok=True)
        yield proxy
        s3fs.S3FileSystem.clear_instance_cache()
        gc.collect()


def in_bucket(small: Small, **more: Any) -> dict[str, Any]:
    return small.pipeline(output=f"s3://cubes/{small.folder.name}/x.zarr", **more)


def finish(pipeline: dict[str, Any], straight: Path) -> Report:
    report = ilrs.run(pipeline, executor="serial", waiting=Waiting(patience=0.2, interval=0.02))
    assert report.exit_code == 0
    place = pipeline["output"]
    assert verify(place).ok
    with xr.open_zarr(place, chunks=None) as cube:
        assert cube.drop_attrs().equals(values(straight).drop_attrs())
        assert cube.attrs["status"] == "complete"
    return report


def test_a_cube_in_an_object_store_is_made_resumed_verified_and_held_by_one_run(
    small: Small, bucket: Proxy, straight: Path
) -> None:
    pipeline = in_bucket(small)
    place = target(pipeline["output"])
    with lease.leased(place), pytest.raises(CubeBusyError, match=f"process {os.getpid()}"):
        ilrs.run(pipeline)
    assert place.create("records/lease-1", b"another") is False

    def stop(record: Any, done: int, of: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ilrs.run(pipeline, executor="serial", progress=stop)
    assert finish(pipeline, straight).skipped == 2
    assert ilrs.run(pipeline).did_nothing
    place.write("value/c/0/1/0", place.read("value/c/0/0/0") or b"")
    assert verify(place.url).damaged == {1: ("value/c/0/1/0",)}
    assert finish(pipeline, straight).skipped == 2
    assert [name for name in place.listing("records") if "lease" in name] == [f"records/lease-{n}" for n in range(1, 5)]


@pytest.mark.parametrize(
    ("what", "fault"),
    [
        ("PUT .*value/c/0/1/0", "500"),
        ("PUT .*x.zarr/zarr.json", "reset"),
        ("GET .*lease", "reset"),
    ],
)
def test_a_cube_store_that_fails_is_said_and_the_same_command_ends_as_undisturbed(
    small: Small, bucket: Proxy, straight: Path, what: str, fault: str
) -> None:
    pipeline = in_bucket(small)
    plan = ilrs.plan(pipeline)
    bucket.fail(what, fault)
    try:
        assert ilrs.run(plan, executor="serial").exit_code == 75
    except OSError as error:
        assert str(error)  # noqa: PT017 - a run may end either way
    bucket.mend()
    root = target(pipeline["output"]).read("zarr.json")
    assert root is None or b'"status": "complete"' not in root
    finish(pipeline, straight)


def test_what_a_run_that_was_taken_over_still_puts_is_refused_by_the_store(
    small: Small, bucket: Proxy, changed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = in_bucket(small)
    ilrs.run(pipeline, executor="serial")
    place, part = target(pipeline["output"]), ilrs.plan(pipeline).parts[1]
    sleeper = lease.acquire(place, Waiting())
    lease._HELD.discard(sleeper.nonce)  # so that this process takes it for dead

    real = lease.check_held

    def sleep_after_the_question(*asked: Any) -> None:
        monkeypatch.setattr(lease, "check_held", real)
        real(*asked)
        small.change()
        ilrs.run(pipeline, executor="serial")

    monkeypatch.setattr(lease, "check_held", sleep_after_the_question)
    with pytest.raises(LeaseLostError, match="another run has taken the cube over"):
        reduce(part, sleeper.token)
    assert any(one.endswith("value/c/0/1/0 If-Match") for one in bucket.seen)
    finish(pipeline, changed)


def test_a_part_that_two_workers_of_a_run_do_at_once_is_right(
    small: Small, bucket: Proxy, straight: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = in_bucket(small)
    real, twins = lease.check_held, []

    def while_a_twin_is_done(place: Any, token: str) -> None:
        real(place, token)
        if not twins:
            twins.append(token)
            assert reduce(ilrs.plan(pipeline).parts[0], token).status == "done"

    monkeypatch.setattr(lease, "check_held", while_a_twin_is_done)
    assert finish(pipeline, straight).parts == 3
    assert twins


def test_a_lost_answer_to_a_shard_is_no_lost_shard(
    small: Small, bucket: Proxy, straight: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 3)
    pipeline, lost = in_bucket(small), []

    def once(verb: str, asked: str) -> str | None:
        if verb != "PUT" or "value/c/" not in asked or asked in lost:
            return None
        lost.append(asked)
        return "lost"

    bucket.fails = once
    assert ilrs.run(pipeline, executor="serial").parts == 3
    small.change()
    ilrs.run(pipeline, executor="serial")
    assert {one.rpartition(" ")[2] for one in lost} == {"If-Match", "If-None-Match"}
    assert verify(pipeline["output"]).ok


def test_a_store_without_conditions_is_written_all_the_same(small: Small, bucket: Proxy, changed: Path) -> None:
    pipeline = in_bucket(small)
    ilrs.run(pipeline, executor="serial")
    small.change()
    bucket.fail("If-Match", "501")
    finish(pipeline, changed)
    assert sum(one.endswith(" If-Match") for one in bucket.seen) == 1
    buckets._WITHOUT_CONDITIONS.clear()
