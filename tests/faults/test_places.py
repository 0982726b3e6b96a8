"""Whatever the output is called and whatever lies there: nothing that this package did not make is changed."""

import json
from pathlib import Path
from typing import Any

import fsspec
import pytest
import xarray as xr
import zarr
from ilrs_toys import doomed
from ilrs_toys.campaign import Small, assert_same_bytes, values

import ilrs_science as ilrs
from ilrs_science.errors import CubeError, PlanError
from ilrs_science.running.verify import discard, verify

ODD = [
    "precious#2.zarr",
    "precious?.zarr",
    "precious?versionId=2.zarr",
    "precious;a.zarr",
    "precious%20.zarr",
    "precious%2F..",
    "pre cious.zarr",
    " precious ",
    "précieux-月.zarr",
    "precious[1].zarr",
    "precio*s",
    "pre\ncious.zarr",
    "a::b",
    "file::precious",
    "precious::",
    "-precious",
    "~precious",
    "{site}.zarr",
    "$HOME",
    "precious\\2.zarr",
    "'precious\".zarr",
    "..precious..",
]


@pytest.fixture
def precious(small: Small) -> Path:
    """Return a folder with what must not be touched, below every name that an odd one may be mistaken for."""
    folder = small.folder / "out"
    for name in ("precious", "pre", "pre cious", "a", "b", "precious 2.zarr", "precious1.zarr", "precious "):
        (folder / name).mkdir(parents=True)
        (folder / name / "zarr.json").write_text("the only copy")
        (folder / name / "2.zarr").mkdir()
        (folder / name / "2.zarr" / "thesis").write_text("the only copy")
    return folder


@pytest.mark.parametrize(
    ("name", "where"), [*((name, "name") for name in ODD), *((name, "parent") for name in ODD[:8])]
)
def test_an_odd_name_is_a_name_or_a_fault_of_the_output_and_never_another_place(
    small: Small, precious: Path, straight: Path, name: str, where: str
) -> None:
    place = precious / name if where == "name" else precious / name / "cube.zarr"
    outside = small.folder
    before = doomed.tree(outside)
    pipeline = small.pipeline(output=str(place))
    try:
        report = ilrs.run(pipeline, executor="serial")
    except PlanError as error:
        assert {fault.path for fault in error.faults} == {"output"}  # noqa: PT017 - either is right
        assert doomed.tree(outside) == before
        return
    assert report.exit_code == 0
    made = (precious / name).relative_to(outside).as_posix()
    after = doomed.tree(outside)
    changed = {one for one in after if after[one] != before.get(one)} | (before.keys() - after.keys())
    assert {one for one in changed if one != made and not one.startswith(f"{made}/")} <= {"out"}
    assert_same_bytes(straight, place)
    if where == "name":
        assert ilrs.run(pipeline, executor="serial").did_nothing
        assert verify(str(place)).ok
        ilrs.open_cube(str(place)).load()


@pytest.mark.parametrize("name", [name for name in ODD if not name.isalnum()][:10])
def test_an_odd_key_of_an_object_store_is_a_key_or_a_fault_of_the_output(
    small: Small, straight: Path, name: str
) -> None:
    memory = fsspec.filesystem("memory")
    root = f"/{small.folder.name}"
    for other in ("precious", "pre", "a", "b", "precious "):
        memory.pipe_file(f"{root}/{other}", b"the only copy")
    before = {path: memory.cat_file(path) for path in memory.find("")}
    pipeline = small.pipeline(output=f"memory:/{root}/{name}")
    try:
        assert ilrs.run(pipeline, executor="serial").exit_code == 0
    except PlanError as error:
        assert {fault.path for fault in error.faults} == {"output"}  # noqa: PT017 - either is right
        assert {path: memory.cat_file(path) for path in memory.find("")} == before
        return
    assert ilrs.run(pipeline, executor="serial").did_nothing
    assert {path: memory.cat_file(path) for path in before} == before
    strangers = {path for path in memory.find("") if not path.startswith(f"{root}/{name.rstrip('/')}/")}
    assert strangers == before.keys()


def a_file(place: Path) -> None:
    place.write_text("the only copy")


def a_folder(place: Path) -> None:
    (place / "records").mkdir(parents=True)
    (place / "thesis.tex").write_text("the only copy")


def a_group(place: Path) -> None:
    zarr.create_group(place).create_array("value", shape=(3,), dtype="f4")


def an_array(place: Path) -> None:
    zarr.create_array(place, shape=(3,), dtype="f4")


def a_dataset(place: Path) -> None:
    xr.Dataset({"value": ("time", [1.0, 2.0])}).to_zarr(place, zarr_format=3, consolidated=False)


def an_older_format(place: Path) -> None:
    zarr.create_group(place, attributes={"ilrs_schema": json.dumps({"format": 1}), "status": "complete"})


def a_torn_root(place: Path) -> None:
    place.mkdir()
    (place / "zarr.json").write_text('{"zarr_format": 3, "node_')


def a_nested_root(place: Path) -> None:
    place.mkdir()
    (place / "zarr.json").write_text("[" * 100_000)


def a_nested_schema(place: Path) -> None:
    zarr.create_group(place, attributes={"ilrs_schema": "[" * 100_000})


def a_schema_without_sites(place: Path) -> None:
    root = {"zarr_format": 3, "node_type": "group", "attributes": {"ilrs_schema": json.dumps({"format": 2})}}
    place.mkdir()
    root["consolidated_metadata"] = {"metadata": {"time": {"shape": [768]}}}
    (place / "zarr.json").write_text(json.dumps(root))


def a_lost_count(place: Path) -> None:
    root = {"zarr_format": 3, "node_type": "group", "attributes": {"ilrs_schema": json.dumps({"format": 2})}}
    place.mkdir()
    (place / "zarr.json").write_text(json.dumps(root))


def a_broken_link(place: Path) -> None:
    place.symlink_to(place.parent / "nowhere")


FOREIGN = [
    *(a_file, a_folder, a_group, an_array, a_dataset, an_older_format, a_torn_root, a_nested_root),
    *(a_nested_schema, a_schema_without_sites, a_lost_count, a_broken_link),
]


@pytest.mark.parametrize("lay", FOREIGN)
def test_what_somebody_else_made_is_refused_and_left_as_it_is(small: Small, lay: Any) -> None:
    lay(small.folder / "cube.zarr")
    before = doomed.tree(small.folder)
    with pytest.raises(PlanError) as refused:
        ilrs.run(small.pipeline(), executor="serial")
    assert {fault.path for fault in refused.value.faults} == {"output"}
    assert doomed.tree(small.folder) == before


@pytest.mark.parametrize("lay", FOREIGN)
def test_what_came_to_the_place_after_the_plan_is_refused_and_left_as_it_is(small: Small, lay: Any) -> None:
    plan = ilrs.plan(small.pipeline())
    lay(small.folder / "cube.zarr")
    before = doomed.tree(small.folder)
    with pytest.raises((CubeError, OSError)):
        ilrs.run(plan, executor="serial")
    assert doomed.tree(small.folder) == before


@pytest.mark.parametrize("late", [False, True], ids=["before the plan", "after the plan"])
def test_a_cube_of_another_product_is_refused_and_left_as_it_is(
    finished: Small, tmp_path_factory: pytest.TempPathFactory, late: bool
) -> None:
    cube = finished.folder / "cube.zarr"
    finished.write("0.frames", "a", range(3))
    aside = tmp_path_factory.mktemp("aside") / "cube.zarr"
    if late:
        cube.rename(aside)
        plan: Any = ilrs.plan(finished.exposures(output="cube.zarr"))
        aside.rename(cube)
    else:
        plan = finished.exposures(output="cube.zarr")
    before = doomed.tree(cube)
    with pytest.raises((CubeError, PlanError), match="it exists and is another cube"):
        ilrs.run(plan, executor="serial")
    assert doomed.tree(cube) == before


def test_a_creation_that_was_killed_can_be_another_cube_next(small: Small, straight: Path) -> None:
    small.write("0.frames", "a", range(3))
    assert doomed.killed(small.exposures(output="cube.zarr"), "write zarr.json") < 0
    assert ilrs.run(small.pipeline(), executor="serial").exit_code == 0
    assert values(small.folder / "cube.zarr").drop_attrs().equals(values(straight).drop_attrs())


def test_what_lies_in_a_cube_and_is_not_ours_outlives_runs_and_repairs(finished: Small, changed: Path) -> None:
    cube = finished.folder / "cube.zarr"
    mine = ["README", "notes/c/0/0", "value/c/notes.txt", "value/mine", "records/log.txt", "records/lease-x", "tai/c/x"]
    for name in mine:
        (cube / name).parent.mkdir(parents=True, exist_ok=True)
        (cube / name).write_text("the only copy")
    finished.change()
    assert ilrs.run(finished.pipeline(), executor="serial").exit_code == 0
    (cube / "value" / "c" / "0" / "0" / "0").unlink()
    found = verify(str(cube))
    assert found.strangers == ()
    discard(found)
    assert ilrs.run(finished.pipeline(), executor="serial").exit_code == 0
    assert {name: (cube / name).read_text() for name in mine} == dict.fromkeys(mine, "the only copy")
    assert values(cube).drop_attrs().equals(values(changed).drop_attrs())


def test_a_finished_cube_without_its_root_is_made_whole_by_its_pipeline_and_kept_from_others(
    finished: Small, straight: Path
) -> None:
    cube = finished.folder / "cube.zarr"
    (cube / "zarr.json").unlink()
    before = doomed.tree(cube / "value")
    with pytest.raises(CubeError, match=r"has records of another cube and no zarr.json"):
        ilrs.run(finished.pipeline(700), executor="serial")
    assert doomed.tree(cube / "value") == before
    assert ilrs.run(finished.pipeline(), executor="serial").skipped == 3
    assert_same_bytes(straight, cube)
