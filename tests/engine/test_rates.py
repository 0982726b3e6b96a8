"""Axes whose slots are no whole number of nanoseconds."""

from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ilrs_toys import raw
from ilrs_toys.campaign import SECOND, START, Campaign, values

import ilrs_science as ilrs
from ilrs_science.errors import PlanError
from ilrs_science.geometry.time import isot
from ilrs_science.testing.cube_check import check_cube

pytestmark = pytest.mark.usefixtures("toys")

EACH = Fraction(10**10, 667)
"""ns between the samples of the Apollo seismometers' long-period channels, about: 66.7 Hz."""


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    return Campaign(tmp_path)


def sampled(campaign: Campaign, count: int, files: int, first: int = 0) -> list[int]:
    """Write samples at their exact times, rounded down; return the times."""
    times = [START + floor(EACH * number) for number in range(first, first + count)]
    for number in range(files):
        part = times[number * count // files : (number + 1) * count // files]
        raw.write(campaign.folder / "raw" / f"{first}-{number}.toy", "a", part)
    return times


def pipeline(campaign: Campaign, seconds: float, **changes: Any) -> dict[str, Any]:
    stop = isot(START + round(seconds * SECOND))
    time = {"start": isot(START), "stop": stop, "step": "66.7 Hz"}
    return campaign.pipeline(**({"sites": ["a"], "time": time, "layout": {"chunk": 100, "shard": 100}} | changes))


@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_every_sample_has_its_own_slot_and_none_is_lost(campaign: Campaign, executor: Any) -> None:
    times = sampled(campaign, 1334, 3)
    report = ilrs.run(pipeline(campaign, 20), executor=executor)
    assert (report.exit_code, report.counts.placed, report.counts.rejected) == (0, 1334, 0)
    cube = values(campaign.folder / "cube.zarr")
    assert cube.tai.values.astype(np.int64).tolist() == times
    assert (cube.time_offset.values == 0).all()
    assert cube.number.values[0].tolist() == raw.counts_at(np.array(times), "a").tolist()
    assert check_cube(campaign.folder / "cube.zarr") == []


def test_a_cube_grows_on_the_same_slots(campaign: Campaign) -> None:
    sampled(campaign, 667, 1)
    ilrs.run(pipeline(campaign, 10), executor="serial")
    sampled(campaign, 667, 1, first=667)
    report = ilrs.run(pipeline(campaign, 20), executor="serial")
    assert (report.exit_code, report.counts.placed) == (0, 1334)
    whole = ilrs.run(pipeline(campaign, 20, output="whole.zarr"), executor="serial")
    grown, straight = values(campaign.folder / "cube.zarr"), values(Path(whole.output))
    assert all(grown[name].values.tobytes() == straight[name].values.tobytes() for name in ("tai", "value", "number"))
    assert check_cube(campaign.folder / "cube.zarr") == []


def test_the_cubes_of_a_collection_count_slots_from_one_start(campaign: Campaign) -> None:
    # START is 53 minutes before a midnight: so that the axis goes over it, it begins a little before.
    midnight = 1_930_003_237 * SECOND
    begin = midnight - 10 * SECOND
    times = [begin + floor(EACH * number) for number in range(1334)]
    raw.write(campaign.folder / "raw" / "0.toy", "a", times)
    time = {"start": isot(begin), "stop": isot(begin + 20 * SECOND), "step": "1/66.7 s"}
    report = ilrs.run(pipeline(campaign, 0, time=time, partition="day", output="days"), executor="serial")
    assert report.counts.placed == 1334
    cubes = ilrs.open_cubes(str(campaign.folder / "days"))
    assert cubes.tai.values.astype(np.int64).tolist() == times
    assert (cubes.time_offset.values == 0).all()


def test_means_over_slots_that_are_no_whole_number_are_the_same_in_any_cut(campaign: Campaign) -> None:
    sampled(campaign, 1334, 2)
    made = []
    for chunk in (7, 100):
        time = {"start": isot(START), "stop": isot(START + 20 * SECOND), "step": "3.3 Hz"}
        layout = {"chunk": chunk, "shard": chunk}
        ilrs.run(
            pipeline(campaign, 20, time=time, layout=layout, place="mean", output=f"{chunk}.zarr"), executor="serial"
        )
        made.append(values(campaign.folder / f"{chunk}.zarr"))
        assert check_cube(campaign.folder / f"{chunk}.zarr") == []
    assert made[0].value.values.tobytes() == made[1].value.values.tobytes()
    assert set(np.unique(made[0]["count"].values)) == {20, 21}


def test_a_step_in_words_that_are_none_is_a_fault_of_the_plan(campaign: Campaign) -> None:
    sampled(campaign, 10, 1)
    with pytest.raises(PlanError, match=r"time.step: found '66.666666667 Hz'; .*too many digits"):
        ilrs.plan(
            pipeline(campaign, 20, time={"start": isot(START), "stop": isot(START + SECOND), "step": "66.666666667 Hz"})
        )
    with pytest.raises(PlanError, match=r"time\.step: found 0\.3 Hz; expected more than zero, at most stop - start"):
        ilrs.plan(pipeline(campaign, 20, time={"start": isot(START), "stop": isot(START + SECOND), "step": "0.3 Hz"}))
