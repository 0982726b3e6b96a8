"""Stored data and records that were lost, exchanged or damaged: noticed by their checksums, named, and made anew."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import zarr
from ilrs_toys import doomed
from ilrs_toys.campaign import Small, assert_same_bytes, shard_files

import ilrs_science as ilrs
from ilrs_science.errors import CubeError, LeaseLostError
from ilrs_science.reduction.worker import reduce
from ilrs_science.running.status import status
from ilrs_science.running.verify import adopt, discard, verify
from ilrs_science.store.folder import Folder

DEEP = "[" * 100_000


def delete(cube: Path) -> set[int]:
    (cube / "value/c/0/1/0").unlink()
    return {1}


def truncate(cube: Path) -> set[int]:
    with (cube / "number/c/0/2").open("r+b") as file:
        file.truncate(20)
    return {2}


def empty(cube: Path) -> set[int]:
    (cube / "number/c/0/0").write_bytes(b"")
    return {0}


def flip(cube: Path) -> set[int]:
    path = cube / "value/c/0/1/0"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    return {1}


def exchange(cube: Path) -> set[int]:
    """Exchange two parts' shards by name, times of change and all."""
    one, other, aside = (cube / "value/c/0" / name for name in ("0/0", "1/0", "aside"))
    one.rename(aside)
    other.rename(one)
    aside.rename(other)
    return {0, 1}


def another_constant(cube: Path) -> set[int]:
    """Put a shard in place that is constant, too, and of the same size."""
    before = (cube / "value_uncertainty/c/0/0/0").stat().st_size
    zarr.open_group(cube, mode="r+")["value_uncertainty"][0, :256] = 0.25
    assert (cube / "value_uncertainty/c/0/0/0").stat().st_size == before
    return {0}


@pytest.mark.parametrize("harm", [delete, truncate, empty, flip, exchange, another_constant])
def test_damaged_shards_are_found_by_verify_and_only_their_parts_are_done_again(
    finished: Small, straight: Path, harm: Callable[[Path], set[int]]
) -> None:
    cube = finished.folder / "cube.zarr"
    parts = harm(cube)
    assert verify(str(cube)).damaged.keys() == parts
    with pytest.raises(CubeError, match="are damaged; `ilrs verify --repair` mends them"):
        adopt(str(cube))
    seen: set[int] = set()
    report = ilrs.run(finished.pipeline(), executor="serial", progress=lambda record, n, of: seen.add(record.part))
    assert (report.exit_code, seen) == (0, parts)
    assert_same_bytes(straight, cube)
    assert verify(str(cube)).ok


def test_damage_that_keeps_size_and_time_is_found_by_verify_and_mended_by_repair(
    finished: Small, straight: Path
) -> None:
    cube = finished.folder / "cube.zarr"
    path = cube / "value/c/0/1/0"
    before = path.stat()
    flip(cube)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert ilrs.plan(finished.pipeline()).diff.counts() == {"done": 3}
    found = verify(str(cube))
    assert found.damaged == {1: ("value/c/0/1/0",)}
    report = ilrs.run(discard(found), executor="serial")
    assert (report.exit_code, report.skipped) == (0, 2)
    assert_same_bytes(straight, cube)


def test_a_shard_that_no_record_knows_is_named_and_removed_by_repair(finished: Small, straight: Path) -> None:
    cube = finished.folder / "cube.zarr"
    shutil.copy(cube / "value/c/0/1/0", cube / "value/c/0/7")
    found = verify(str(cube))
    assert (found.ok, found.strangers) == (False, ("value/c/0/7",))
    ilrs.run(discard(found), executor="serial")
    assert_same_bytes(straight, cube)
    assert verify(str(cube)).ok


def test_a_shard_where_all_is_empty_is_noticed_and_removed(small: Small) -> None:
    small.write("1.toy", "a", range(600, 768))
    ilrs.run(small.pipeline(), executor="serial")
    cube = small.folder / "cube.zarr"
    before = shard_files(cube)
    small.write("gap.toy", "a", range(520, 530))
    assert doomed.killed(small.pipeline(), "write records/000002-000001.json") < 0
    (small.folder / "raw" / "gap.toy").unlink()
    assert ilrs.run(small.pipeline(), executor="serial").exit_code == 0
    assert shard_files(cube) == before


def test_a_copied_cube_is_done_and_adopted(finished: Small, straight: Path) -> None:
    copy = finished.folder / "copy.zarr"
    shutil.copytree(finished.folder / "cube.zarr", copy, copy_function=shutil.copy)
    pipeline = finished.pipeline(output="copy.zarr")
    before = shard_files(copy)
    assert ilrs.run(pipeline, executor="serial").did_nothing
    assert verify(str(copy)).ok
    assert adopt(str(copy)) == 3
    assert adopt(str(copy)) == 0
    assert shard_files(copy) == before
    assert ilrs.run(pipeline, executor="serial").did_nothing


@pytest.mark.parametrize("also", ["", "one of them damaged"])
def test_touched_shards_stand_where_their_bytes_are_right(finished: Small, also: str) -> None:
    cube = finished.folder / "cube.zarr"
    for path in cube.glob("value/c/0/*/0"):
        os.utime(path)
    if also:
        flip(cube)
    expected = {"done": 2, "shards": 1} if also else {"done": 3}
    assert ilrs.plan(finished.pipeline()).diff.counts() == expected


def segment(cube: Path) -> Path:
    (found,) = cube.glob("records/000*.json")
    return found


def wrong(path: tuple[str | int, ...], value: object) -> Callable[[str], str]:
    """Return a change of one value in a segment."""

    def change(text: str) -> str:
        content = json.loads(text)
        place = content
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        return json.dumps(content)

    return change


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda text: text[:-20], id="torn"),
        pytest.param(lambda text: "", id="empty"),
        pytest.param(lambda text: DEEP, id="nested"),
        pytest.param(lambda text: "{}", id="foreign"),
        pytest.param(lambda text: "\0" * len(text), id="zeros, as after a power cut"),
        pytest.param(lambda text: text.replace("done", "d\udce9ne"), id="no UTF-8"),
        pytest.param(wrong((0, "row"), "0"), id="mistyped"),
        pytest.param(wrong((0, "first"), 0.5), id="a fraction"),
        pytest.param(wrong((0, "status"), "fine"), id="unknown word"),
        pytest.param(wrong((0, "more"), 1), id="unknown field"),
        pytest.param(wrong((0, "outcomes", 0, "counts", "read"), True), id="a truth for a number"),
        pytest.param(wrong((0, "outcomes"), DEEP), id="text for a list"),
        pytest.param(wrong((0, "shards", "value/c/0/0/0"), {"size": 1}), id="shard without checksum"),
    ],
)
def test_records_that_are_none_are_named_and_what_they_told_of_is_done_again(
    finished: Small, straight: Path, change: Callable[[str], str]
) -> None:
    cube = finished.folder / "cube.zarr"
    path = segment(cube)
    path.write_bytes(change(path.read_text()).encode(errors="surrogateescape"))
    name = f"records/{path.name}"
    assert ilrs.plan(finished.pipeline()).as_json()["unreadable_records"] == [name]
    assert status(str(cube)).unreadable == (name,)
    assert verify(str(cube)).unreadable == (name,)
    report = ilrs.run(finished.pipeline(), executor="serial")
    assert (report.exit_code, report.skipped) == (0, 0)
    assert_same_bytes(straight, cube)
    ilrs.run(discard(verify(str(cube))), executor="serial")
    assert verify(str(cube)).ok


def test_a_deleted_folder_of_records_is_rebuilt_by_doing_all_again(finished: Small, straight: Path) -> None:
    cube = finished.folder / "cube.zarr"
    shutil.rmtree(cube / "records")
    assert status(str(cube)).parts == 0
    assert not verify(str(cube)).ok
    assert ilrs.run(finished.pipeline(), executor="serial").skipped == 0
    assert_same_bytes(straight, cube)
    assert verify(str(cube)).ok


@pytest.mark.parametrize("content", ["", "{", "[]", DEEP, '{"digests": 1}', '{"pipeline": {}}', "null"])
def test_a_plan_that_is_none_hinders_no_run_and_repair_says_what_to_do(finished: Small, content: str) -> None:
    cube = finished.folder / "cube.zarr"
    (cube / "records" / "plan.json").write_text(content)
    assert status(str(cube)).parts == 0
    flip(cube)
    with pytest.raises(CubeError, match="its plan cannot be read; run its pipeline again"):
        discard(verify(str(cube)))
    assert ilrs.run(finished.pipeline(), executor="serial").skipped == 2


@pytest.mark.parametrize("content", [b"", b"PAR1", None], ids=["empty", "torn", "deleted"])
def test_damaged_tables_are_written_anew(finished: Small, straight: Path, content: bytes | None) -> None:
    cube = finished.folder / "cube.zarr"
    flip(cube)
    plan = ilrs.plan(finished.pipeline())
    digest = plan.tables().save(Folder(cube))
    for path in cube.glob(f"records/tables-{digest}.*"):
        path.unlink() if content is None else path.write_bytes(content)
    assert ilrs.run(plan, executor="serial").exit_code == 0
    assert_same_bytes(straight, cube)


def test_a_shard_exchanged_behind_the_back_of_a_run_is_noticed_before_complete(small: Small, straight: Path) -> None:
    cube = small.folder / "cube.zarr"

    def exchange_late(record: object, done: int, of: int) -> None:
        if done == of:
            exchange(cube)

    with pytest.raises(CubeError, match=r"the stored data of 2 parts \(0, 1\) are not what their records say"):
        ilrs.run(small.pipeline(), executor="serial", progress=exchange_late)
    assert json.loads((cube / "zarr.json").read_text())["attributes"]["status"].startswith("unfinished")
    assert ilrs.run(small.pipeline(), executor="serial").skipped == 1
    assert_same_bytes(straight, cube)


@pytest.mark.parametrize("how", ["its run has ended", "another run has taken over"])
def test_what_an_orphan_would_write_late_is_refused(finished: Small, how: str) -> None:
    cube = finished.folder / "cube.zarr"
    finished.write("1.toy", "a", range(299, 310))
    part = ilrs.plan(finished.pipeline()).parts[1]
    if how != "its run has ended":
        ilrs.run(finished.pipeline(), executor="serial")
        (cube / "records" / "beat-1").unlink()
    before = doomed.tree(cube)
    with pytest.raises(LeaseLostError, match=how.rsplit(maxsplit=1)[-1]):
        reduce(part, "000001")
    assert doomed.tree(cube) == before
