"""Everything that can be wrong with a pipeline is found before anything runs, all at once, and nothing is written."""

from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ilrs_toys import raw
from ilrs_toys.campaign import SECOND, START, Campaign
from ilrs_toys.clock import instrument

import ilrs_science as ilrs
from ilrs_science import IlrsError, PlanError
from ilrs_science.errors import OutageError
from ilrs_science.geometry.time import isot
from ilrs_science.planning.parts import make_axis
from ilrs_science.planning.pipeline import load_pipeline
from ilrs_science.running.consent import Consent
from ilrs_science.store.tables import _ranges

pytestmark = pytest.mark.usefixtures("toys")


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    made = Campaign(tmp_path)
    made.write("a.toy", "a", range(8))
    made.write("b.toy", "bb", range(8))
    return made


def faults(pipeline: dict[str, Any]) -> list[str]:
    """Return the faults of a pipeline, which must not have written anything; a run must refuse it as the plan does."""
    output = Path(pipeline["output"])
    before = output.exists()
    with pytest.raises(PlanError) as caught:
        ilrs.plan(pipeline)
    with pytest.raises(PlanError) as again:
        ilrs.run(pipeline, executor="serial")
    assert output.exists() == before
    assert str(again.value) == str(caught.value)
    return [str(fault) for fault in caught.value.faults]


def test_every_fault_of_steps_parameters_references_and_layout_is_listed_at_once(campaign: Campaign) -> None:
    campaign.refer("gain", -100, 3, 2)
    campaign.refer("gain", 5, 100, 3)
    campaign.refer("clock", -100, 100, 1, site="a")
    campaign.refer("clock", -200, 100, 2, site="a")
    found = faults(
        campaign.pipeline(
            8,
            steps=[
                {"to_unitz": {"factor": 2}},
                {"to_units": {"facter": 2, "noise": "loud"}},
                "by_reference",
                {"set_clock": {}},
                {"sum_near": {"window": "5 parsec"}},
                {"despike": {"window": 5}},
                {"sums_of_windows": {"window": "5 s", "overlap": "5 s"}},
                {"sums": {"limit": "0 s"}},
            ],
            layout={"chunk": 3, "shard": 4},
            sites=["a", "a", "bb"],
            references={"folders": [str(campaign.folder / "references"), str(campaign.folder / "nowhere")]},
        )
    )
    text = "\n".join(found)
    for expected in (
        "steps[0]: found 'to_unitz'; no step 'to_unitz'; did you mean to_units?",
        "steps[1].to_units.facter: to_units has no parameter 'facter'; did you mean factor? it has factor, noise",
        "steps[1].to_units.noise: found 'loud'; ",
        "steps[3].set_clock.limit: is missing; set_clock needs it",
        "steps[4].sum_near.window: found '5 parsec'; ",
        "steps[5].despike.window: found 5; Value error, 5 is not a duration; write a number and a unit, as in '5 s'",
        "steps[6].sums_of_windows: found a window of 5 s with an overlap of 5 s; a window is longer",
        "steps[7].sums: found a limit of 0 s; expected a longer one",
        "layout: found 4; a shard of 4 samples is no multiple of a chunk of 3",
        "sites[1]: 'a' is given twice; a cube has each site once",
        "references.folders[1]: found ",
        f"none is valid from {isot(START + 3 * SECOND)} to {isot(START + 5 * SECOND)}",
        "steps.set_clock.clock at a: two are valid from ",
    ):
        assert expected in text
    assert any("clock at bb: none is valid" in fault for fault in found)


def test_no_reference_lists_every_candidate_with_the_reason_why_it_was_not_taken(campaign: Campaign) -> None:
    campaign.refer("gain", -100, -50, 1)
    campaign.refer("gain", -100, 100, 2, published=isot(START + 10**6 * SECOND))
    campaign.refer("gain", -100, 100, 3, site="elsewhere")
    references = {"folders": [str(campaign.folder / "references")], "context": isot(START)}
    (at_a, at_bb) = faults(campaign.pipeline(8, steps=["by_reference", "to_units"], references=references))
    assert at_a.startswith(f"steps.by_reference.gain at a: none is valid from {isot(START)} to ")
    for reason in ("outside", f"published {isot(START + 10**6 * SECOND)}, after the context", "for site elsewhere"):
        assert reason in at_a
    assert at_bb.startswith("steps.by_reference.gain at bb: none is valid")


def test_references_memory_and_unknown_sites_are_faults_of_one_plan(campaign: Campaign) -> None:
    found = faults(campaign.pipeline(8, steps=["by_reference", "to_units"], sites=["a", "b"], memory_limit=1))
    assert any(fault.startswith("sites[1]: 'b' is unknown; did you mean bb? the files hold a, bb") for fault in found)
    assert any(fault.startswith("steps.by_reference.gain at a: none is valid") for fault in found)
    assert any(fault.startswith("memory_limit: a part may need ") for fault in found)


def test_what_is_wrong_without_any_raw_file_is_told_before_those_are_looked_at(campaign: Campaign) -> None:
    (campaign.folder / "cube.zarr").mkdir()
    (campaign.folder / "cube.zarr" / "thesis.txt").write_text("precious")
    (campaign.folder / "raw" / "dangling.toy").symlink_to(campaign.folder / "raw" / "nowhere")
    found = faults(campaign.pipeline(8, steps=["by_reference", "to_units"], sites=["a"]))
    assert any("exists and is not a cube; choose another output, or remove it" in fault for fault in found)
    assert any(fault.startswith("steps.by_reference.gain at a: none is valid") for fault in found)


def test_an_instrument_that_is_not_installed_is_named_with_a_near_one(campaign: Campaign) -> None:
    (found,) = faults(campaign.pipeline(8, instrument="toy-clok"))
    assert found.startswith(
        "instrument: found 'toy-clok'; no instrument 'toy-clok' is installed; did you mean toy-clock?"
    )


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (None, "time: is missing; toy-clock makes a regular cube: start, stop, step"),
        ({"start": isot(START), "stop": isot(START)}, "stop must come after start"),
        ({"start": isot(START), "stop": isot(START + 1)}, "time.step: is missing; toy-clock makes a regular cube"),
        (
            {"start": isot(START), "stop": isot(START + 1), "step": "0 s"},
            "time.step: found 0 s; expected more than zero",
        ),
        ({"start": isot(START), "stop": isot(START + 1), "step": 1}, "write a number and a unit, as in '5 s'"),
        ({"start": 2031, "stop": isot(START), "step": "1 s"}, "not a UTC time; write it as 2031-03-01T00:00:00Z"),
    ],
)
def test_a_wrong_time_is_a_fault(campaign: Campaign, time: Any, expected: str) -> None:
    assert any(expected in fault for fault in faults(campaign.pipeline(8, time=time)))


def test_exposures_have_no_step_and_no_mean(campaign: Campaign) -> None:
    campaign.write("0.frames", "a", [1])
    time = {"start": isot(START), "stop": isot(START + SECOND), "step": "1 s"}
    found = faults(campaign.exposures(time=time, place="mean"))
    assert [fault.partition(":")[0] for fault in found] == ["time.step", "place"]


def test_a_pipeline_without_a_file_in_its_span_says_what_the_files_hold(campaign: Campaign) -> None:
    time = {"start": isot(START + 100 * SECOND), "stop": isot(START + 108 * SECOND), "step": "1 s"}
    (found,) = faults(campaign.pipeline(time=time))
    assert found.startswith("raw: none of 2 granules lies in the pipeline's sites and time; the files hold a, bb from ")
    (found,) = faults(campaign.pipeline(8, raw=str(campaign.folder / "raw" / "*.none")))
    assert found.startswith("raw: found no granule of toy-clock; ")
    assert found.endswith("*.none: no file matches it")


def test_frames_outside_the_span_are_no_part_of_the_plan(campaign: Campaign) -> None:
    campaign.write("0.frames", "a", [0, 50])
    campaign.write("1.frames", "a", [10])
    time = {"start": isot(START + 5 * SECOND), "stop": isot(START + 20 * SECOND)}
    plan = ilrs.plan(campaign.exposures(time=time))
    assert [Path(granule.url).name for granule in plan.outside] == ["0.frames"]
    assert ilrs.run(plan, executor="serial").counts.read == 1


def test_files_that_are_no_granules_are_named_with_the_reason_and_spoil_nothing(campaign: Campaign) -> None:
    folder = campaign.folder / "raw"
    (folder / "empty.toy").write_bytes(b"")
    (folder / "truncated.toy").write_bytes(raw.encode("a", [START])[:-3])
    (folder / "foreign.toy").write_bytes(b"SIMPLE  =                    T" * 96)
    (folder / "header.toy").write_bytes(raw.encode("a", []))
    (folder / "rejected.toy").write_bytes(raw.encode("a", [START], [raw.BAD_RECORD]))
    (folder / "folder.toy").mkdir()
    report = ilrs.run(campaign.pipeline(8), executor="serial")
    reasons = {Path(url).name: reason for url, reason in report.rejected.items()}
    assert reasons == {
        "folder.toy": "a folder",
        "empty.toy": "empty file",
        "truncated.toy": "toy-clock: truncated: 11 bytes are not whole records of 14",
        "foreign.toy": "toy-clock: not a toy file: the first line names no site",
        "header.toy": "toy-clock: yields no sample",
        "rejected.toy": "toy-clock: yields no sample (1 rejected: wrong word)",
    }
    assert report.exit_code == 3
    assert report.counts.placed == 16


def test_a_file_that_cannot_be_read_now_stops_the_plan_and_is_no_bad_granule(campaign: Campaign) -> None:
    (campaign.folder / "raw" / "dangling.toy").symlink_to(campaign.folder / "raw" / "nowhere")
    with pytest.raises(OutageError, match=r"1 raw files cannot be read; mend this, .*\n.*dangling.toy: unreadable: "):
        ilrs.run(campaign.pipeline(8), executor="serial")
    assert not (campaign.folder / "cube.zarr").exists()


def test_the_same_content_twice_is_read_once(campaign: Campaign) -> None:
    campaign.write("again.toy", "a", range(8))
    plan = ilrs.plan(campaign.pipeline(8))
    assert len(plan.duplicates) == 1
    report = ilrs.run(plan, executor="serial")
    assert (report.counts.read, report.counts.placed, report.counts.duplicate) == (24, 16, 8)


def test_a_plan_says_what_it_will_do_in_json(campaign: Campaign) -> None:
    campaign.refer("gain", -100, 100, 3)
    plan = ilrs.plan(campaign.pipeline(8, steps=["by_reference", {"sum_near": {"window": "2 s"}}, "to_units"]))
    said = plan.as_json()
    assert said["parts"] == 4
    assert said["bytes_in"] == sum(path.stat().st_size for path in (campaign.folder / "raw").iterdir())
    assert said["steps"][1] == {"name": "sum_near", "parameters": {"window": "2 s"}, "at": {}, "margin_ns": 2 * SECOND}
    assert {reference["kind"] for reference in said["references"]} == {"gain"}
    assert not (campaign.folder / "cube.zarr").exists()


@pytest.mark.parametrize(
    ("what", "differs"),
    [
        ("file", ""),
        ("folder", ""),
        ("zarr group", ""),
        ("cube of a longer step", "(it differs in axis)"),
        ("cube of another start", "(it differs in axis)"),
        ("cube of means", "(it differs in place)"),
        ("cube of another cut", "(it differs in cut)"),
        ("cube of other sites", "(it differs in sites)"),
    ],
)
def test_an_output_that_is_something_else_is_never_touched(campaign: Campaign, what: str, differs: str) -> None:
    import zarr  # noqa: PLC0415

    output = campaign.folder / "cube.zarr"
    if what == "file":
        output.write_text("precious")
    elif what == "folder":
        output.mkdir()
        (output / "thesis.txt").write_text("precious")
    elif what == "zarr group":
        zarr.open_group(str(output), mode="w", attributes={"precious": True})
    else:
        span = campaign.pipeline(8)["time"]
        other: dict[str, dict[str, Any]] = {
            "cube of a longer step": {"time": span | {"step": "2 s"}},
            "cube of another start": {"time": span | {"start": isot(START - SECOND)}},
            "cube of means": {"place": "mean"},
            "cube of another cut": {"layout": {"chunk": 2, "shard": 2}},
            "cube of other sites": {"sites": ["bb", "a"]},
        }
        ilrs.run(campaign.pipeline(8, **other[what]), executor="serial")
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    (found,) = faults(campaign.pipeline(8))
    assert "choose another output, or remove it" in found
    assert differs in found
    assert {path: path.read_bytes() for path in output.rglob("*") if path.is_file()} == before


def test_a_cube_that_is_longer_than_its_pipeline_does_not_shrink(campaign: Campaign) -> None:
    ilrs.run(campaign.pipeline(8), executor="serial")
    (found,) = faults(campaign.pipeline(7))
    assert "it has 8 slots, the pipeline 7; a cube may grow at its end, not shrink" in found


def test_the_memory_of_a_part_counts_what_it_keeps_of_all_its_files(campaign: Campaign) -> None:
    plan = ilrs.plan(campaign.pipeline(8, place="mean"))
    for number in range(20):
        campaign.write(f"more-{number}.toy", "a", [n / 100 + number / 4000 for n in range(400)])
    assert ilrs.plan(campaign.pipeline(8, place="mean")).memory > plan.memory + 8 * 20 * 400 * raw.RECORD.itemsize


@pytest.mark.parametrize("time", [None, {"start": isot(START), "stop": isot(START + 8 * SECOND)}])
def test_a_regular_axis_is_not_made_of_half_a_time(campaign: Campaign, time: Any) -> None:
    pipeline = load_pipeline(campaign.pipeline(8) | {"time": time})
    with pytest.raises(IlrsError, match=r"needs time.start, time.stop and time.step"):
        make_axis(pipeline, pipeline, instrument, ["a"], [])


@given(st.lists(st.integers(0, 30), unique=True))
def test_rows_of_a_table_are_named_by_ranges_in_their_order(numbers: list[int]) -> None:
    ranges = _ranges(numbers)
    assert [one for begin, end in ranges for one in range(begin, end)] == numbers
    assert all(end != begin for (_, end), (begin, _) in pairwise(ranges))


def test_who_says_nothing_agrees_to_nothing() -> None:
    assert not any(asdict(Consent()).values())
