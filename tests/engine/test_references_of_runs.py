"""Cells of a cube that become references of other instruments."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ilrs_toys import raw
from ilrs_toys.campaign import SECOND, START, Campaign, values
from typer.testing import CliRunner

import ilrs_science as ilrs
from ilrs_science.cli.app import app
from ilrs_science.errors import CubeError
from ilrs_science.geometry.time import isot
from ilrs_science.running.registering import register

pytestmark = pytest.mark.usefixtures("toys")
TIMES = (0, 8, 16)


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    """Make a cube of gains at three times, of which the first is odd."""
    made = Campaign(tmp_path)
    lamp = made.folder / "lamp"
    raw.write(lamp / "lamp.toy", "a", [START + second * SECOND for second in TIMES])
    asked = made.pipeline(raw=str(lamp / "*.toy"), sites=["a"], output="lamp.zarr", steps=["flag_odd", "to_units"])
    ilrs.run(asked, executor="serial")
    ilrs.run(gains(made), executor="serial")
    return made


def gains(campaign: Campaign, **changes: Any) -> dict[str, Any]:
    wanted = {"instrument": "toy-gains", "raw": str(campaign.folder / "lamp.zarr"), "sites": ["a"], "steps": None}
    return campaign.pipeline(**(wanted | {"output": "gains.zarr"} | changes))


def add(campaign: Campaign, *more: str) -> Any:
    arguments = ["references", "add", str(campaign.folder / "gains.zarr"), "--to", str(campaign.folder / "known")]
    done = CliRunner().invoke(app, [*arguments, "--json", *more])
    assert done.exit_code in (0, 1), done.output
    return json.loads(done.stdout)[0] if done.exit_code == 0 else done.output


def test_a_run_makes_references_that_another_run_takes(campaign: Campaign) -> None:
    numbers = raw.counts_at(START + np.array(TIMES) * SECOND, "a")
    odd = numbers % 2 == 1
    found = add(campaign)
    assert (len(found["references"]), found["flagged"]) == (int((~odd).sum()), int(odd.sum()))
    first = int(np.flatnonzero(~odd)[0])
    campaign.write("science.toy", "a", range(TIMES[first], 24))
    start = START + TIMES[first] * SECOND
    time = {"start": isot(start), "stop": isot(START + 24 * SECOND), "step": "1 s"}
    known = {"folders": [str(campaign.folder / "known")]}
    asked = campaign.pipeline(steps=["by_reference", "to_units"], sites=["a"], time=time, references=known)
    assert ilrs.run(asked, executor="serial").exit_code == 0
    cube = values(campaign.folder / "cube.zarr")
    slots = np.arange(TIMES[first], 24)
    valid = [numbers[max(k for k, t in enumerate(TIMES) if t <= slot and not odd[k])] / 100 for slot in slots]
    truth = raw.counts_at(START + slots * SECOND, "a") * np.array(valid) * 2
    assert np.array_equal(cube.value.values[0, :, 0], truth.astype("f4"))


def test_what_is_there_stays_and_is_not_added_twice(campaign: Campaign) -> None:
    first = add(campaign)
    folder = campaign.folder / "known"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    again = add(campaign)
    assert not first["known"]
    assert again["known"]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_references_are_listed_with_when_they_are_valid(campaign: Campaign) -> None:
    add(campaign, "--published", "2031-01-01T00:00:00Z", "--everywhere")
    done = CliRunner().invoke(app, ["references", "list", str(campaign.folder / "known"), "--json"])
    told = [one for one in json.loads(done.stdout) if one["instrument"] == "toy-clock"]
    assert {one["site"] for one in told} == {"*"}
    assert {one["published"] for one in told} == {"2031-01-01T00:00:00Z"}
    assert {one["valid"][1] for one in told} == {"the next one"}
    assert all(one["source"].startswith("cube toys of toy-gains") for one in told)
    shown = CliRunner().invoke(app, ["references", "list", str(campaign.folder / "known")])
    assert "the next one" in shown.stdout


def test_a_cube_that_is_no_reference_or_unfinished_is_refused(campaign: Campaign, tmp_path: Path) -> None:
    with pytest.raises(CubeError, match="its product is no reference"):
        register(str(tmp_path / "lamp.zarr"), tmp_path / "known", published=START)
    place = ilrs.store.target.target(tmp_path / "gains.zarr")
    ilrs.store.cube.update_attributes(place, {"status": "unfinished: 1 of 6 parts to do"})
    with pytest.raises(CubeError, match="unfinished: 1 of 6 parts to do; run its pipeline to the end first"):
        register(str(tmp_path / "gains.zarr"), tmp_path / "known", published=START)
    assert not (tmp_path / "known").exists()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"reference": "two words", "of": ["x"]}, "the name of the step parameter that takes it"),
        ({"reference": "gain"}, "for no instrument"),
        ({"of": ["x"]}, "it belongs to reference="),
        ({"reference": "gain", "of": ["x"], "valid": "long"}, "a duration, such as '1 d', or 'until next'"),
        ({"reference": "gain", "of": ["x"], "place": "table"}, "a table"),
    ],
)
def test_a_product_says_of_which_kind_for_whom_and_how_long(wrong: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ilrs.Product(ilrs.Variable("gain", ("time",), "f4", "1"), **wrong)
