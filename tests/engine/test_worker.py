"""One part alone: bad granules, bad steps, references that change, and the memory of it all."""

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ilrs_toys import raw
from ilrs_toys.campaign import SECOND, START, Campaign, equal, values
from ilrs_toys.clock import instrument

import ilrs_science as ilrs
from ilrs_science.errors import LeaseLostError
from ilrs_science.model.part import Part
from ilrs_science.model.record import Record
from ilrs_science.planning.parts import part_memory
from ilrs_science.planning.plan import Plan
from ilrs_science.reduction.reading import decoded
from ilrs_science.reduction.worker import reduce, reduce_ticket
from ilrs_science.running.report import Report
from ilrs_science.store.lease import leased
from ilrs_science.store.tables import part_of
from ilrs_science.store.target import target

pytestmark = pytest.mark.usefixtures("toys")


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    return Campaign(tmp_path)


def run(campaign: Campaign, **changes: Any) -> Report:
    return ilrs.run(campaign.pipeline(**({"sites": ["a"], "output": "cube.zarr"} | changes)), executor="serial")


def truth(second: float, site: str = "a") -> int:
    return int(raw.counts_at(np.array(START + round(second * SECOND)), site))


def test_a_granule_that_breaks_a_step_spoils_only_its_own_samples(campaign: Campaign) -> None:
    campaign.write("good.toy", "a", [0, 2, 4, 6])
    bad = campaign.write("bad.toy", "a", [1, 3, 5, 7], [raw.GOOD, raw.BREAKS_STEPS, raw.GOOD, raw.GOOD])
    report = run(campaign, count=8, layout={"chunk": 8, "shard": 8})
    cube = values(campaign.folder / "cube.zarr").sel(site="a")
    assert cube.quality.to_numpy().tolist() == [0, 1] * 4
    assert cube.number.to_numpy()[::2].tolist() == [truth(s) for s in (0, 2, 4, 6)]
    assert report.rejected == {bad: "ValueError: a sample breaks this step"}
    assert (report.counts.read, report.counts.placed, report.counts.rejected) == (8, 4, 4)
    assert report.exit_code == 3


def test_a_bad_granule_takes_no_duplicates_of_a_good_one_with_it(campaign: Campaign) -> None:
    campaign.write("bad.toy", "a", [-1, 0, 1, 3], [raw.GOOD, raw.GOOD, raw.GOOD, raw.BREAKS_STEPS])
    campaign.write("good.toy", "a", [0, 1, 2])
    report = run(campaign, count=4)
    assert values(campaign.folder / "cube.zarr").quality.to_numpy().tolist() == [[0, 0, 0, 1]]
    assert (report.counts.placed, report.counts.rejected, report.counts.duplicate) == (3, 4, 0)


def test_a_bad_frame_at_one_site_leaves_the_frames_of_other_sites_in_its_part(campaign: Campaign) -> None:
    campaign.write("0.frames", "a", [0], [raw.BREAKS_STEPS])
    campaign.write("1.frames", "bb", [0, 1])
    report = ilrs.run(campaign.exposures(layout={"chunk": 1, "shard": 8}), executor="serial")
    assert report.failed == ()
    assert values(campaign.folder / "frames.zarr").quality.to_numpy().any(axis=(1, 2)).tolist() == [True, False, False]
    assert list(report.rejected.values()) == ["ValueError: a frame breaks this step"]


def test_a_step_that_fails_on_every_granule_fails_the_part(campaign: Campaign) -> None:
    campaign.write("0.toy", "a", range(4))
    campaign.write("1.toy", "a", range(4, 8))
    report = run(campaign, count=8, steps=["raises", "to_units"], layout={"chunk": 8, "shard": 8})
    assert [record.reason for record in report.failed] == ["RuntimeError: this step always fails (in a step at a)"]
    assert report.exit_code == 1
    assert values(campaign.folder / "cube.zarr").quality.to_numpy().all()


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        (["to_units", "shortens"], "step shortens returned 3 samples along time; expected 4"),
        (["to_units", "drops_quality"], "step drops_quality dropped quality"),
        (["mutates", "to_units"], "step mutates mutates its input; work on a copy"),
        (["returns_nothing", "to_units"], "step returns_nothing returned NoneType; expected an xarray.Dataset"),
        (["moves_time", "to_units"], "step moves_time moved samples by 10 ns, its declared margin is 0 s"),
        (
            ["moves_utc_alone", "to_units"],
            "step moves_utc_alone changed time without tai; a step that moves samples assig",
        ),
        (["drops_tai", "to_units"], "step drops_tai dropped tai"),
        (["forgets_a_time", "to_units"], "step forgets_a_time: tai: a time is NaT"),
        (["moves_time_too_far", "to_units"], "moved samples by 5 s, its declared margin is 3 s"),
        (
            ["moves_time_too_far", {"sum_near": {"window": "9 s"}}, "to_units"],
            "moved samples by 5 s, its declared margin is 3 s",
        ),
        (["to_units", "widens_quality"], "quality.dtype: found uint64; expected uint32"),
    ],
)
def test_a_step_that_breaks_its_contract_fails_the_part_by_name(
    campaign: Campaign, steps: list[Any], reason: str
) -> None:
    campaign.write("0.toy", "a", range(4))
    report = run(campaign, count=4, steps=steps)
    assert len(report.failed) == 1
    assert reason in report.failed[0].reason
    assert not any(path.name == "0" for path in (campaign.folder / "cube.zarr" / "value").rglob("c/0/0/0/0"))


def test_a_file_that_changed_since_it_was_planned_fails_its_parts_and_loses_no_sample(campaign: Campaign) -> None:
    path = campaign.write("0.toy", "a", range(4))
    campaign.write("1.toy", "a", range(4, 8))
    plan = ilrs.plan(campaign.pipeline(8, sites=["a"]))
    campaign.write("0.toy", "a", range(3))
    decoded.clear()  # as in another process, which does not have the samples of the rehearsal
    report = ilrs.run(plan, executor="serial")
    assert report.rejected == {}
    assert [record.part for record in report.failed] == [0]
    assert path in report.failed[0].reason
    assert "changed since it was indexed" in report.failed[0].reason


def test_a_file_that_vanished_since_it_was_planned_fails_its_parts(campaign: Campaign) -> None:
    path = campaign.write("0.toy", "a", range(4))
    campaign.write("1.toy", "a", range(4, 8))
    plan = ilrs.plan(campaign.pipeline(8, sites=["a"]))
    Path(path).unlink()
    decoded.clear()
    report = ilrs.run(plan, executor="serial")
    assert [record.part for record in report.failed] == [0]
    assert "FileNotFoundError" in report.failed[0].reason
    assert path in report.failed[0].reason


@pytest.mark.parametrize(
    ("promise", "reason"),
    [
        ({"count": 5}, "declared 5 samples, read 4"),
        ({"stop": START + 3 * SECOND}, "has samples outside its declared span"),
        ({"start": START + 1}, "has samples outside its declared span"),
    ],
)
def test_a_granule_that_breaks_its_promise_is_rejected_with_the_reason(
    campaign: Campaign, promise: dict[str, int], reason: str
) -> None:
    path = campaign.write("0.toy", "a", range(4))
    campaign.write("1.toy", "a", range(4, 8))
    plan = ilrs.plan(campaign.pipeline(8, sites=["a"], layout={"chunk": 8, "shard": 8}))
    (part,) = plan.parts
    granules = tuple(replace(g, **promise) if g.url == path else g for g in part.granules)
    kept = tuple(replace(g, **promise) if g.url == path else g for g in plan.granules)
    report = ilrs.run(replace(plan, parts=(replace(part, granules=granules),), granules=kept), executor="serial")
    assert report.rejected == {path: reason}
    assert report.counts.placed == 4


def again(plan: Plan, **changes: Any) -> Record:
    """Do the first part of a plan once more, under a lease of its own."""
    part = replace(plan.parts[0], **changes)
    with leased(target(part.cube)) as lease:
        return reduce(part, lease.token)


def ticket(plan: Plan, token: str) -> dict[str, Any]:
    """Return the first part of a plan as it travels, its tables stored beside the cube."""
    tables = plan.tables()
    return tables.ticket(plan.parts[0], tables.save(target(plan.pipeline.output)), token)


def assert_same_part(one: Part, other: Part) -> None:
    """Assert that two parts do the same to the same."""
    for name in ("cube", "number", "row", "first", "axis", "sites", "granules", "steps", "margin", "causes", "digest"):
        assert getattr(one, name) == getattr(other, name), name


def test_a_part_travels_as_json_of_a_few_hundred_bytes_however_many_files_it_reads(campaign: Campaign) -> None:
    campaign.refer("gain", -100, 100, 2)
    for number in range(40):
        campaign.write(f"{number}.toy", "a", [number / 10])
    plan = ilrs.plan(campaign.pipeline(4, sites=["a"], steps=["by_reference", "to_units"]))
    text = json.dumps(ticket(plan, "000001"))
    assert_same_part(part_of(json.loads(text)), plan.parts[0])
    assert len(plan.parts[0].granules) == 40
    assert len(text) < 1000


def test_a_part_of_exposures_travels_too(campaign: Campaign) -> None:
    campaign.write("0.frames", "a", [0, 3])
    campaign.write("1.frames", "bb", [0, 1])
    plan = ilrs.plan(campaign.exposures())
    assert_same_part(part_of(json.loads(json.dumps(ticket(plan, "000001")))), plan.parts[0])


def test_a_part_replayed_from_its_json_gives_the_same_record(campaign: Campaign) -> None:
    campaign.write("0.toy", "a", range(4))
    plan = ilrs.plan(campaign.pipeline(4, sites=["a"]))
    ilrs.run(plan, executor="serial")
    first = again(plan)
    with leased(target(plan.pipeline.output)) as lease:
        replayed = Record.from_json(reduce_ticket(ticket(plan, lease.token)))

    def content(record: Record) -> dict[str, Any]:
        return {key: shard and (shard.size, shard.crc32c) for key, shard in record.shards.items()}

    assert (content(replayed), replayed.digest, replayed.status) == (content(first), first.digest, "done")
    assert replayed.outcomes == first.outcomes


def test_a_worker_with_other_code_than_the_plan_refuses_the_part(campaign: Campaign) -> None:
    campaign.write("0.toy", "a", range(4))
    plan = ilrs.plan(campaign.pipeline(4, sites=["a"]))
    ilrs.run(plan, executor="serial")
    for other in ({"code": {"": "0" * 64}}, {"plugin": "0" * 64}):
        record = again(plan, task=replace(plan.task, **other))
        assert record.status == "failed"
        assert record.reason.startswith("toy-clock: planned with code ")
        assert "000000000000" in record.reason.partition(", this process has ")[0]


def test_a_worker_writes_nothing_for_a_run_that_has_ended_or_was_taken_over(campaign: Campaign) -> None:
    campaign.write("0.toy", "a", range(4))
    plan = ilrs.plan(campaign.pipeline(4, sites=["a"]))
    ilrs.run(plan, executor="serial")
    place = target(plan.pipeline.output)
    before = place.listing("value")
    with pytest.raises(LeaseLostError, match="has ended; it writes no more"):
        reduce(plan.parts[0], "000001")
    with leased(place), pytest.raises(LeaseLostError, match="another run has taken the cube over"):
        reduce(plan.parts[0], "000001")
    assert place.listing("value") == before


def test_a_clock_that_is_set_back_in_mid_part_leaves_samples_in_order(campaign: Campaign) -> None:
    campaign.write("0.toy", "a", [n / 2 for n in range(24)])
    campaign.refer("clock", -100, 5, 0)
    campaign.refer("clock", 5, 100, 2 * SECOND)
    steps = [{"set_clock": {"limit": "2 s"}}, {"sum_near": {"window": "100 ms"}}, "to_units"]
    report = run(campaign, count=12, steps=steps, layout={"chunk": 12, "shard": 12})
    cube = values(campaign.folder / "cube.zarr").sel(site="a")
    # Times 3 s to 4.5 s are there twice: as read before the step, and two seconds later as read after it.
    expected = (
        [truth(s) for s in (0, 1, 2)] + [truth(s) + truth(s + 2) for s in (3, 4)] + [truth(s + 2) for s in range(5, 10)]
    )
    assert (cube.value.to_numpy()[:10, 0] / 2).tolist() == expected
    assert report.reasons == {"another sample is in its slot": 24 - 10}


def test_a_window_reaches_over_a_change_of_the_reference(campaign: Campaign) -> None:
    campaign.write("0.toy", "a", range(8))
    campaign.refer("gain", -100, 4, 3)
    campaign.refer("gain", 4, 100, 7)
    run(campaign, count=8, steps=[{"sum_near_by_reference": {"window": "1 s"}}, "to_units"])
    sums = [sum(truth(near) for near in (s - 1, s, s + 1) if 0 <= near < 8) for s in range(8)]
    expected = [2 * (3 if s < 4 else 7) * sums[s] for s in range(8)]
    assert values(campaign.folder / "cube.zarr").value.to_numpy()[0, :, 0].tolist() == expected


def test_steps_are_told_the_site_and_other_packages_steps_are_found_by_entry_point(campaign: Campaign) -> None:
    campaign.write("0.toy", "a", [0])
    campaign.write("1.toy", "bb", [0])
    run(campaign, sites=["a", "bb"], count=1, steps=[{"at_site": {"offset": 0.5}}, "negate", "to_units"])
    cube = values(campaign.folder / "cube.zarr")
    assert cube.value.to_numpy()[:, 0, 0].tolist() == [-2 * (truth(0) + 1.5), -2 * (truth(0, "bb") + 2.5)]


def test_a_mean_and_a_slot_of_single_samples_agree(campaign: Campaign) -> None:
    campaign.write("0.toy", "a", range(8))
    run(campaign, count=8)
    run(campaign, count=8, place="mean", output="mean.zarr")
    slot, mean = values(campaign.folder / "cube.zarr"), values(campaign.folder / "mean.zarr")
    assert equal(
        slot[["value", "number", "quality"]].reset_coords(drop=True),
        mean[["value", "number", "quality"]].reset_coords(drop=True),
    )
    assert mean["count"].to_numpy().tolist() == [[1] * 8]


@pytest.mark.parametrize("place", ["slot", "mean"])
def test_a_part_needs_less_memory_than_the_plan_says_however_long_the_run(
    campaign: Campaign, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a process keeps of files for later parts has a budget of its own.
    monkeypatch.setattr(decoded, "budget", 0)
    rate = 4 if place == "mean" else 1
    peaks, planned = [], []
    for number, hours in enumerate((2, 8)):
        folder = Campaign(campaign.folder / str(number))
        for hour in range(hours):
            folder.write(f"{hour:02d}.toy", "a", np.arange(3600 * hour * rate, 3600 * (hour + 1) * rate) / rate)
        steps = [{"sum_near": {"window": "60 s"}}, "flag_odd", "to_units"]
        layout = {"chunk": 1800, "shard": 3600}
        plan = ilrs.plan(folder.pipeline(3600 * hours, sites=["a"], place=place, steps=steps, layout=layout))
        ilrs.run(plan, executor="serial")
        planned.append(plan.memory)
        peaks.append(0)
        with leased(target(plan.pipeline.output)) as lease:
            for part in plan.parts:
                tracemalloc.start()
                assert reduce(part, lease.token).status == "done"
                peaks[-1] = max(peaks[-1], tracemalloc.get_traced_memory()[1])
                tracemalloc.stop()
    assert max(peaks) < min(planned)
    assert peaks[1] < 1.3 * peaks[0]
    assert planned[1] < 1.5 * planned[0]


def test_a_file_of_many_parts_is_decoded_once_in_a_process(campaign: Campaign, monkeypatch: pytest.MonkeyPatch) -> None:
    campaign.write("0.toy", "a", range(64))
    read: list[str] = []
    monkeypatch.setattr(raw, "READ", read)
    plan = ilrs.plan(campaign.pipeline(64, sites=["a"], layout={"chunk": 1, "shard": 1}))
    ilrs.run(plan, executor="threads", workers=4)
    # Once to index it, and once for the rehearsal of the plan and all parts.
    assert len(read) == 2


PERHAPS = """
import xarray as xr
from ilrs_science import Reference


def perhaps(ds: xr.Dataset, *, gain: Reference | None = None) -> xr.Dataset:
    return ds if gain is None else ds.assign(signal=ds.signal * float(gain["gain"]))
"""


@pytest.mark.parametrize("there", [True, False])
def test_an_optional_reference_is_used_where_there_is_one(campaign: Campaign, install: Any, there: bool) -> None:
    install("perhaps", {"perhaps_steps.py": PERHAPS}, {"ilrs_science.steps": {"perhaps": "perhaps_steps:perhaps"}})
    campaign.write("a.toy", "a", range(4))
    if there:
        campaign.refer("gain", -100, 100, 3)
    run(campaign, count=4, steps=["perhaps", "to_units"])
    cube = values(campaign.folder / "cube.zarr").sel(site="a")
    assert cube.value.to_numpy()[:, 0].tolist() == [2 * (3 if there else 1) * truth(s) for s in range(4)]


def test_the_memory_of_a_part_is_its_largest_file_what_it_keeps_of_all_and_its_block_with_margins(
    campaign: Campaign,
) -> None:
    campaign.write("long.toy", "a", range(20))
    campaign.write("short.toy", "a", range(20, 24))
    made = ilrs.plan(campaign.pipeline(24, sites=["a"], steps=[{"sum_near": {"window": "2 s"}}, "to_units"]))
    long, short = sorted(made.granules, key=lambda granule: granule.start)
    # The part of slots 16 to 19 reads from 14 to 22: 6 of the 20 seconds of one file, 2 of the other's 4.
    kept = int(long.size * (long.stop - START - 14 * SECOND) / (long.stop - long.start))
    kept += int(short.size * 2 * SECOND / (short.stop - short.start))
    sample = instrument.product.sample_bytes("slot")
    assert made.parts[4].axis.start == START + 16 * SECOND
    assert part_memory(instrument, made.parts[4]) == int(instrument.memory * (long.size + kept + (4 + 4) * sample))
