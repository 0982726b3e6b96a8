"""A raw file that comes after the cube was made, or goes: its parts are done again, and nobody is asked about code."""

from pathlib import Path

import pytest
from ilrs_toys.campaign import Campaign, assert_same_bytes, shard_files
from typer.testing import CliRunner

import ilrs_science as ilrs
from ilrs_science.cli.app import app

pytestmark = pytest.mark.usefixtures("toys")

STEPS = ["by_reference", {"set_clock": {"limit": "3 s"}}, "to_units"]


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    """Return 24 s at two sites, with references that change in the midst of it."""
    made = Campaign(tmp_path)
    made.write("a-late.toy", "a", range(-3, 13))
    made.write("b.toy", "bb", [n / 4 for n in range(16, 100)])
    made.write("b-late.toy", "bb", [2, 3, 4.1, 5.1])
    made.refer("gain", -100, 7, 2)
    made.refer("gain", 7, 100, 3)
    made.refer("clock", -100, 100, 10**8)
    return made


@pytest.mark.parametrize("name", ["a-late.toy", "b-late.toy"], ids=["into empty parts", "beginning before its part"])
def test_a_file_that_comes_later_redoes_its_parts_and_nobody_is_asked(campaign: Campaign, name: str) -> None:
    late = campaign.folder / "raw" / name
    late.rename(campaign.folder / name)
    pipeline = campaign.pipeline(steps=STEPS)
    assert ilrs.run(pipeline, executor="serial").exit_code == 0
    (campaign.folder / name).rename(late)

    plan = ilrs.plan(pipeline)
    reading = {part.number for part in plan.parts if any(one.url.endswith(name) for one in part.granules)}
    assert {number for number, verdict in enumerate(plan.diff.verdicts) if verdict == "inputs"} == reading
    assert 0 < len(reading) < len(plan.parts)
    again: set[int] = set()
    assert ilrs.run(pipeline, executor="serial", progress=lambda one, _, __: again.add(one.part)).exit_code == 0
    assert again == reading

    ilrs.run(campaign.pipeline(steps=STEPS, output="fresh.zarr"), executor="serial")
    assert_same_bytes(campaign.folder / "cube.zarr", campaign.folder / "fresh.zarr")


def test_the_only_file_of_a_part_may_be_forgotten_and_that_is_no_change_of_code(campaign: Campaign) -> None:
    pipeline = campaign.pipeline(steps=STEPS)
    assert ilrs.run(pipeline, executor="serial").exit_code == 0
    (campaign.folder / "raw" / "a-late.toy").unlink()

    kept = ilrs.run(pipeline, executor="serial")
    assert [Path(url).name for url in kept.gone] == ["a-late.toy"]
    assert ilrs.run(pipeline, executor="serial", forget_missing=True).gone == ()
    ilrs.run(campaign.pipeline(steps=STEPS, output="fresh.zarr"), executor="serial")
    assert_same_bytes(campaign.folder / "cube.zarr", campaign.folder / "fresh.zarr")


def test_a_damaged_part_whose_file_has_gone_is_not_repaired_into_nothing(campaign: Campaign) -> None:
    ilrs.run(campaign.pipeline(steps=STEPS), executor="serial")
    cube = campaign.folder / "cube.zarr"
    shard = cube / "quality" / "c" / "0" / "0"
    shard.write_bytes(shard.read_bytes() + b"x")
    (campaign.folder / "raw" / "a-late.toy").unlink()
    before = shard_files(cube)

    done = CliRunner().invoke(app, ["verify", str(cube), "--repair"])
    assert done.exit_code == 1
    assert "damaged parts (0) hold samples of raw files that are not there any more" in done.stderr
    assert shard_files(cube) == before
