"""A sound cube has no fault; one that breaks a rule of its format breaks that rule, by name, and no other."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ilrs_toys import cubes
from ilrs_toys.cubes import edit_attributes, edit_json, edit_record, segment
from ilrs_toys.damages import (
    Damage,
    array,
    copy,
    document,
    junk,
    of_shard,
    one_more,
    outcome,
    record,
    remove,
    rename,
    say,
    schema,
    store,
    text,
    undeclare,
    without_its_second_part,
    written,
)
from typer.testing import CliRunner

from ilrs_science.cli.app import app
from ilrs_science.errors import Fault
from ilrs_science.testing.cube_check import check_cube

KINDS = ("slots", "means", "leap", "early", "frames")

type Case = tuple[str, Damage, set[str]]


@pytest.fixture(scope="module")
def made(toys: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: getattr(cubes, kind)(tmp_path_factory.mktemp(kind)) for kind in KINDS}


@pytest.fixture
def copied(made: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    return lambda kind: Path(shutil.copytree(made[kind], tmp_path / kind))


def paths(faults: list[Fault]) -> set[str]:
    return {fault.path for fault in faults}


WRONG_ROOT: list[Case] = [
    ("slots", text("zarr.json", "{"), {"zarr.json"}),
    ("slots", say(ilrs_format=1), {"ilrs_format"}),
    ("slots", say(Conventions="CF-1.8"), {"Conventions"}),
    ("slots", say(title=None), {"title"}),
    ("slots", say(history=""), {"history"}),
    ("slots", say(status="done"), {"status"}),
    ("slots", say(provenance="by hand"), {"provenance"}),
    ("slots", say(samples=None), {"samples"}),
    ("slots", say(samples="read 13, placed 12, rejected 0, duplicate 0, conflict 0"), {"samples", "samples.read"}),
    ("slots", say(samples="read 12, placed 12, rejected 0, duplicate 0, conflict 0"), {"samples"}),
    ("slots", say(coordinates="tai lon lat height"), {"coordinates"}),
    ("frames", say(coordinates="tai lon lat height time_offset"), {"coordinates"}),
    ("slots", say(ilrs_cube="0" * 64), {"ilrs_cube"}),
    ("slots", say(ilrs_schema="{"), {"ilrs_cube", "ilrs_schema", "ilrs_schema.format"}),
    ("slots", schema(lambda one: one.pop("cut")), {"ilrs_cube", "ilrs_schema"}),
    ("slots", say(ilrs_axis="13"), {"ilrs_axis"}),
    ("frames", say(ilrs_axis="0" * 64), {"ilrs_axis"}),
]

WRONG_ARRAYS: list[Case] = [
    ("slots", undeclare, {"lon"}),
    ("slots", one_more, {"other"}),
    ("slots", array("value", "dimension_names", to=["site", "time", "z"]), {"value.dims"}),
    ("slots", array("value", "shape", to=[2, 12, 1]), {"value.shape"}),
    ("slots", array("quality", "data_type", to="uint16"), {"quality.dtype"}),
    ("slots", array("number", "data_type", to="int32"), {"number.dtype"}),
    ("slots", array("quality", "fill_value", to=0), {"quality.fill_value"}),
    ("slots", array("value", "fill_value", to=0.0), {"value.fill_value"}),
    ("slots", array("quality", "attributes", "_FillValue", to=1), {"quality._FillValue"}),
    ("slots", array("number", "attributes", "_FillValue", to=None), {"number._FillValue"}),
    ("means", array("count", "attributes", "_FillValue", to=0), {"count._FillValue"}),
    ("slots", array("value_uncertainty", "attributes", "units", to="mV"), {"value_uncertainty.units"}),
    ("slots", array("lon", "attributes", "units", to="degrees"), {"lon.units"}),
    ("slots", array("number", "chunk_grid", "configuration", "chunk_shape", to=[1, 6]), {"number.cut.time"}),
    ("slots", array("value", "codecs", 0, "configuration", "chunk_shape", to=[1, 1, 2]), {"value.cut.time"}),
    ("frames", array("frame", "chunk_grid", "configuration", "chunk_shape", to=[2, 1, 2]), {"frame.cut.y"}),
    ("slots", array("number", "codecs", to=[{"name": "bytes"}]), {"number.codecs"}),
    ("slots", array("value", "codecs", 0, "configuration", "codecs", to=[]), {"value.codecs"}),
    ("slots", array("tai", "codecs", to=[]), {"tai.codecs"}),
    ("slots", array("quality", "attributes", "flag_masks", to=[1, 2]), {"quality.flag_masks"}),
    ("slots", array("quality", "attributes", "flag_meanings", to="odd missing"), {"quality.flag_meanings"}),
    ("slots", array("time", "attributes", "calendar", to="tai"), {"time.calendar"}),
    ("slots", array("time", "attributes", "bounds", to=None), {"time.bounds"}),
    ("slots", array("tai", "attributes", "time_scale", to="TT"), {"tai.time_scale"}),
    ("slots", array("time_bounds", "attributes", "units", to="s"), {"time_bounds.attributes"}),
    ("slots", text("value/zarr.json", "{"), {"value/zarr.json"}),
    ("slots", text("value/notes.txt", "mine"), {"value/notes.txt"}),
    ("slots", copy("number/c/0/0", "number/c/0/3"), {"number/c/0/3"}),
    ("slots", copy("number/c/0/0", "number/c/0/00"), {"number/c/0/00"}),
]

WRONG_TIMES: list[Case] = [
    ("slots", array("tai", "attributes", "units", to="milliseconds since 1970-01-01"), {"tai.units"}),
    ("slots", array("time", "attributes", "units", to="seconds since 1970-01-01"), {"time.units"}),
    ("slots", array("time", "attributes", "units", to="milliseconds since 2000-01-01"), {"time.units"}),
    ("slots", written("tai", 3, 7), {"tai"}),
    ("slots", written("time", 3, 7), {"time"}),
    ("slots", written("time_bounds", (3, 0), 7), {"time_bounds[0]"}),
    ("slots", written("time_bounds", (3, 1), 7), {"time_bounds[1]"}),
    # As a clock shows it: 23:59:59 twice.
    ("leap", written("time", 5, 1_483_228_799_000), {"time"}),
    ("slots", written("site", 0, "c"), {"site"}),
    ("slots", written("lon", 1, 3.5), {"lon"}),
    ("slots", written("axis", 0, "left"), {"axis"}),
    ("frames", written("site", slice(0, 2), np.array(["bb", "a"], object)), {"ilrs_axis", "lon", "tai"}),
    ("frames", written("time_bounds", (1, 1), 7), {"time_bounds[1]"}),
]

WRONG_VALUES: list[Case] = [
    ("slots", store("quality", (0, 0), 2**31), {"quality/c/0/0"}),
    ("slots", store("quality", (0, 0), 2**12), {"quality/c/0/0"}),
    ("slots", store("value", (1, 4, 1), np.nan), {"value/c/1/1/0"}),
    ("slots", store("value", (1, 4, 1), np.inf), {"value/c/1/1/0"}),
    ("frames", store("frame", (1, 0, 1), np.inf), {"frame/c/0/0/0"}),
    ("slots", store("value_uncertainty", (1, 4, 1), 0), {"value_uncertainty/c/1/1/0"}),
    ("slots", store("value_uncertainty", (1, 4, 1), -0.5), {"value_uncertainty/c/1/1/0"}),
    ("slots", store("value_uncertainty", (1, 4, 1), np.inf), {"value_uncertainty/c/1/1/0"}),
    ("slots", store("value", (0, 6, 0), cubes.negative_nan()), {"value/c/0/1/0"}),
    ("slots", store("value", (0, slice(8, 12)), np.nan), {"value/c/0/2/0"}),
    ("slots", store("time_offset", (0, 1), 10**9), {"time_offset/c/0/0"}),
    ("slots", store("time_offset", (0, 1), -1), {"time_offset/c/0/0"}),
    ("leap", store("quality", (0, 5), 1), {"quality/c/0/1"}),
    ("leap", without_its_second_part, {"quality/c/0/1"}),
    ("slots", junk, {"value/c/0/0/0"}),
]

FIRST = "records.(0, 0)"

WRONG_RECORDS: list[Case] = [
    (
        "slots",
        rename("records/lease-1", "records/lease-2"),
        {"records/lease-N", "records/lease-2.number", "records/beat-1.nonce", "records/000001-000002.json"},
    ),
    ("slots", text("records/lease-1", "[]"), {"records/lease-1", "records/beat-1.nonce"}),
    ("slots", document("lease-1", process="7"), {"records/lease-1", "records/beat-1.nonce"}),
    ("slots", text("records/beat-1", "7"), {"records/beat-1"}),
    ("slots", document("beat-1", nonce="other"), {"records/beat-1.nonce"}),
    ("slots", document("beat-1", count=-2), {"records/beat-1.count"}),
    ("slots", copy("records/000001-000002.json", "records/000001-000003.json"), {"records"}),
    ("slots", text("records/000001-000003.json", "[{"), {"records", "records/000001-000003.json"}),
    (
        "slots",
        copy("records/000001-000002.json", "records/000007-000001.json"),
        {"records", "records/000007-000001.json"},
    ),
    ("slots", record(first=1), {"records.(0, 1)", FIRST}),
    ("slots", record(count=3), {FIRST}),
    ("slots", record(reason="no luck"), {f"{FIRST}.status"}),
    ("slots", record(failure="outage"), {f"{FIRST}.failure"}),
    ("slots", record(digest="other"), {FIRST}),
    ("slots", record(missing=5), {FIRST}),
    ("slots", record(flagged=-1), {FIRST}),
    ("slots", outcome(reasons={"late": 1}), {f"{FIRST}.outcomes.{{a}}.reasons"}),
    ("slots", of_shard(size=1), {"number/c/0/0.size"}),
    ("slots", of_shard(crc32c="00000000"), {"number/c/0/0.crc32c"}),
    ("slots", of_shard(mark=""), {"number/c/0/0.mark"}),
    ("slots", remove("value_uncertainty/c/0/0/0"), {"value_uncertainty/c/0/0/0"}),
    ("slots", copy("time_offset/c/0/0", "time_offset/c/0/1"), {"time_offset/c/0/1"}),
    (
        "slots",
        lambda cube: edit_record(cube, lambda one: one["shards"].pop("number/c/0/0")),
        {f"{FIRST}.shards", "number/c/0/0"},
    ),
    ("slots", remove("records/plan.json"), {"records/plan.json"}),
    ("slots", document("plan.json", samples="13"), {"records/plan.json"}),
    (
        "slots",
        lambda cube: edit_json(cube / "records/plan.json", lambda one: one["digests"].pop()),
        {"records/plan.json.digests"},
    ),
    (
        "slots",
        lambda cube: edit_json(cube / "records/plan.json", lambda one: (one["regions"].pop(), one["digests"].pop())),
        {"records/plan.json.regions"},
    ),
]


@pytest.mark.parametrize("kind", KINDS)
def test_a_sound_cube_has_no_fault(made: dict[str, Path], kind: str) -> None:
    assert check_cube(made[kind]) == []


@pytest.mark.parametrize(("kind", "damage", "allowed"), [*WRONG_ROOT, *WRONG_ARRAYS, *WRONG_TIMES, *WRONG_VALUES])
def test_what_breaks_a_rule_is_named(
    copied: Callable[[str], Path], kind: str, damage: Damage, allowed: set[str]
) -> None:
    cube = copied(kind)
    damage(cube)
    assert paths(check_cube(cube)) == allowed


@pytest.mark.parametrize(("kind", "damage", "allowed"), WRONG_RECORDS)
def test_what_breaks_a_rule_of_the_records_is_named(
    copied: Callable[[str], Path], kind: str, damage: Damage, allowed: set[str]
) -> None:
    cube = copied(kind)
    url = json.loads(segment(cube).read_text())[0]["outcomes"][0]["url"]
    damage(cube)
    assert paths(check_cube(cube)) == {one.replace("{a}", url) for one in allowed}


def test_every_fault_is_named_at_once(copied: Callable[[str], Path]) -> None:
    cube = copied("slots")
    for _, damage, _ in (WRONG_ROOT[2], WRONG_TIMES[4], WRONG_VALUES[0], WRONG_RECORDS[4]):
        damage(cube)
    assert paths(check_cube(cube)) == {"Conventions", "time", "quality/c/0/0", "records/beat-1.nonce"}


def test_flags_of_the_instrument_begin_at_bit_16(copied: Callable[[str], Path]) -> None:
    cube = copied("slots")
    schema(lambda one: one["product"]["flags"].update(odd=2**11))(cube)
    assert "ilrs_schema.product.flags" in paths(check_cube(cube))


def test_counts_that_do_not_add_up_are_named(copied: Callable[[str], Path]) -> None:
    cube = copied("slots")
    counts = {"read": 5, "placed": 4, "rejected": 0, "duplicate": 0, "conflict": 0}
    outcome(counts=counts)(cube)
    found = paths(check_cube(cube))
    assert any(one.startswith(FIRST) and one.endswith(".counts") for one in found)
    assert "samples" in found


def test_a_finished_cube_whose_records_are_torn_is_not_believed(copied: Callable[[str], Path]) -> None:
    cube = copied("slots")
    segment(cube).write_text("[{")
    assert {"records/000001-000002.json", FIRST, "value/c/0/0/0"} <= paths(check_cube(cube))


def test_a_finished_cube_has_no_part_that_failed(copied: Callable[[str], Path]) -> None:
    cube = copied("slots")
    record(status="failed", reason="")(cube)
    assert {FIRST, f"{FIRST}.status", "value/c/0/0/0"} <= paths(check_cube(cube))


@pytest.mark.usefixtures("toys")
def test_a_cube_in_an_object_store_is_read_where_it_lies(tmp_path: Path) -> None:
    url = f"memory://{tmp_path.name}/cube.zarr"
    cubes.slots(tmp_path, output=url)
    assert check_cube(url) == []
    assert CliRunner().invoke(app, ["check", url]).exit_code == 0


@pytest.mark.parametrize(
    "change",
    [
        text("records/notes.txt", "mine"),
        text("notes.txt", "mine"),
        text("value/.0123456789ab-000001.partial", "{"),
        lambda cube: os.utime(cube / "number/c/0/0", ns=(1, 1)),
        store("value_uncertainty", (1, 4, 1), np.nan),
        store("value", (0, 0, 0), np.inf),
    ],
    ids=["beside the records", "beside the cube", "never finished", "restored", "not known", "flagged"],
)
def test_what_the_format_allows_is_no_fault(copied: Callable[[str], Path], change: Damage) -> None:
    cube = copied("slots")
    change(cube)
    assert check_cube(cube) == []


def test_an_unfinished_cube_may_lack_records(copied: Callable[[str], Path]) -> None:
    cube = copied("slots")
    edit_attributes(cube, status="unfinished: 6 of 6 parts to do", samples=None)
    segment(cube).unlink()
    assert check_cube(cube) == []


def test_the_command_says_what_is_wrong_with_a_cube(copied: Callable[[str], Path]) -> None:
    cube = copied("slots")
    sound = CliRunner().invoke(app, ["check", str(cube)])
    assert (sound.exit_code, sound.stdout.strip().endswith("no faults")) == (0, True)
    edit_attributes(cube, Conventions="CF-1.8")
    told = CliRunner().invoke(app, ["check", str(cube), "--json"])
    assert told.exit_code == 1
    assert json.loads(told.stdout)["faults"] == [
        {"path": "Conventions", "found": "found 'CF-1.8'", "allowed": "expected 'CF-1.11'"}
    ]
    assert "1 fault" in CliRunner().invoke(app, ["check", str(cube)]).stdout
    assert CliRunner().invoke(app, ["check", f"{cube}.zarr"]).exit_code == 1
