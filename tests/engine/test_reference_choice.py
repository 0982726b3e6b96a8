"""Which reference a step gets: by site, by tags of the raw file, by what was taken before and after."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from ilrs_toys import raw
from ilrs_toys.campaign import SECOND, START, Campaign, values

import ilrs_science as ilrs
from ilrs_science import Reference, references
from ilrs_science.errors import PlanError
from ilrs_science.geometry.time import isot
from ilrs_science.references import Sought
from ilrs_science.running.report import Report

pytestmark = pytest.mark.usefixtures("toys")


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    return Campaign(tmp_path)


def gains(campaign: Campaign, count: int = 8, step: Any = "by_reference", **changes: Any) -> tuple[list[float], Report]:
    """Return by how much the samples at site a were multiplied."""
    asked = campaign.pipeline(count, **({"sites": ["a"], "steps": [step, "to_units"]} | changes))
    report = ilrs.run(asked, executor="serial")
    assert not report.failed, [record.reason for record in report.failed]
    truth = raw.counts_at(START + SECOND * np.arange(count), "a")
    return (values(campaign.folder / "cube.zarr").value.sel(site="a").values[:, 0] / 2 / truth).tolist(), report


def faults(campaign: Campaign, step: Any = "by_reference", **changes: Any) -> str:
    with pytest.raises(PlanError) as caught:
        ilrs.plan(campaign.pipeline(8, **({"sites": ["a"], "steps": [step, "to_units"]} | changes)))
    return str(caught.value)


def test_a_reference_for_the_site_takes_the_place_of_one_for_all_as_long_as_it_is_valid(campaign: Campaign) -> None:
    campaign.write("0.toy", "a", range(8))
    campaign.refer("gain", -100, 100, 2)
    campaign.refer("gain", 2, 4, 3, site="a")
    campaign.refer("gain", 0, 100, 9, site="elsewhere")
    assert gains(campaign)[0] == [2, 2, 3, 3, 2, 2, 2, 2]


def since(second: float) -> dict[str, Any]:
    """Return a validity without an end."""
    return {"valid": {"start": isot(START + round(second * SECOND))}}


def test_a_reference_without_an_end_is_valid_until_the_next_one(campaign: Campaign) -> None:
    campaign.write("0.toy", "a", range(8))
    for second, value in ((-100, 2), (3, 3), (6, 4)):
        campaign.refer("gain", second, 0, value, **since(second))
    assert gains(campaign)[0] == [2, 2, 2, 3, 3, 3, 4, 4]


def test_one_for_the_site_without_an_end_goes_before_one_for_all_from_then_on(campaign: Campaign) -> None:
    campaign.write("0.toy", "a", range(8))
    campaign.refer("gain", -100, 0, 2, **since(-100))
    campaign.refer("gain", 4, 0, 3, site="a", **since(4))
    campaign.refer("gain", 6, 0, 5, **since(6))
    assert gains(campaign)[0] == [2, 2, 2, 2, 3, 3, 3, 3]


def test_one_that_is_published_after_the_context_ends_none(campaign: Campaign) -> None:
    campaign.write("0.toy", "a", range(8))
    campaign.refer("gain", -100, 0, 2, **since(-100))
    campaign.refer("gain", 3, 0, 3, **since(3), published=isot(START + 50 * SECOND))
    known = {"folders": [str(campaign.folder / "references")], "context": isot(START)}
    assert gains(campaign, references=known)[0] == [2] * 8
    assert gains(campaign, output=str(campaign.folder / "later.zarr"))[1].counts.placed == 8
    later = ilrs.plan(campaign.pipeline(8, sites=["a"], steps=["by_reference", "to_units"]))
    assert [one.stop for one in later.references()] == [START + 3 * SECOND, references.UNTIL_NEXT]


def test_one_reference_may_be_for_several_instruments(campaign: Campaign) -> None:
    campaign.write("0.toy", "a", range(8))
    campaign.refer("gain", -100, 100, 2, instrument=["toy-photons", "toy-clock"])
    assert gains(campaign)[0] == [2] * 8


def test_two_entries_that_say_the_same_are_one(campaign: Campaign) -> None:
    campaign.write("0.toy", "a", range(8))
    campaign.refer("gain", -100, 5, 2)
    campaign.refer("gain", 3, 100, 2)
    assert gains(campaign)[0] == [2] * 8


def test_a_flat_of_another_filter_is_never_taken(campaign: Campaign) -> None:
    campaign.write("0.toy", "a", range(4), tags={"filter": "red", "frame": "17"})
    campaign.write("1.toy", "a", range(4, 8), tags={"filter": "blue"})
    campaign.refer("gain", -100, 100, 2, keys={"filter": "red"})
    assert "filter blue: none is valid" in faults(campaign)
    campaign.refer("gain", -100, 100, 3, keys={"filter": "blue"})
    assert gains(campaign)[0] == [2] * 4 + [3] * 4


def test_files_of_two_filters_in_turn_have_each_their_own(campaign: Campaign) -> None:
    campaign.write("0.toy", "a", range(0, 8, 2), tags={"filter": "red"})
    campaign.write("1.toy", "a", range(1, 8, 2), tags={"filter": "blue"})
    campaign.refer("gain", -100, 4, 2, keys={"filter": "red"})
    campaign.refer("gain", 4, 100, 5, keys={"filter": "red"})
    campaign.refer("gain", -100, 100, 3, keys={"filter": "blue"})
    assert gains(campaign)[0] == [2, 3, 2, 3, 5, 3, 5, 3]


def test_a_group_has_the_reference_for_the_tags_of_its_first_sample(campaign: Campaign) -> None:
    campaign.write("0.toy", "a", range(8), tags={"filter": "red"})
    campaign.refer("gain", -100, 100, 2, keys={"filter": "red"})
    campaign.refer("gain", -100, 100, 3, keys={"filter": "blue"})
    steps = [{"turns": {"turn": "1 s"}}, {"less_first": {"limit": "1 s"}}, "to_units"]
    assert gains(campaign, steps=steps)[0] == [-1] * 8


def test_one_without_keys_is_for_all_that_no_other_is_for(campaign: Campaign) -> None:
    campaign.write("0.toy", "a", range(4), tags={"filter": "red"})
    campaign.write("1.toy", "a", range(4, 8))
    campaign.refer("gain", -100, 100, 2)
    campaign.refer("gain", -100, 2, 3, keys={"filter": "red"})
    assert gains(campaign)[0] == [3, 3, 2, 2, 2, 2, 2, 2]


def test_other_tags_make_the_part_anew(campaign: Campaign) -> None:
    campaign.write("0.toy", "a", range(8), tags={"filter": "red"})
    campaign.refer("gain", -100, 100, 2, keys={"filter": "red"})
    gains(campaign)
    campaign.refer("gain", -100, 100, 3, keys={"filter": "red"}, published=isot(START))
    plan = ilrs.plan(campaign.pipeline(8, sites=["a"], steps=["by_reference", "to_units"]))
    assert plan.diff.counts()["references"] == 2


def test_what_is_between_two_references_is_interpolated_in_any_cut(campaign: Campaign) -> None:
    campaign.write("0.toy", "a", range(8))
    for second, gain in ((0, 1), (2, 3), (7, 8)):
        campaign.refer("gain", second, second + 0.5, gain)
    expected = [1, 2, 3, 4, 5, 6, 7, 8]
    for chunk in (1, 2, 8):
        found, _ = gains(campaign, step="between", layout={"chunk": chunk, "shard": chunk})
        assert found == pytest.approx(expected, rel=1e-6)
        shutil.rmtree(campaign.folder / "cube.zarr")


def test_a_sample_before_the_first_or_after_the_last_of_them_is_a_fault_of_the_plan(campaign: Campaign) -> None:
    campaign.write("0.toy", "a", range(8))
    campaign.refer("gain", 1, 2, 1)
    campaign.refer("gain", 5, 6, 1)
    said = faults(campaign, "between", layout={"chunk": 8, "shard": 8})
    assert f"none was taken at {isot(START)} or before" in said
    assert f"none was taken at {isot(START + 7 * SECOND)} or after" in said
    campaign.refer("gain", 5, 9, 2)
    assert f"two were taken at {isot(START + 5 * SECOND)}" in faults(campaign, "between")


def test_when_one_of_two_was_taken_is_part_of_the_result(campaign: Campaign) -> None:
    campaign.write("0.toy", "a", range(8))
    campaign.refer("gain", -1, 0, 1)
    campaign.refer("gain", 9, 10, 11)
    gains(campaign, step="between")
    campaign.references.clear()
    campaign.refer("gain", -3, 0, 1)
    campaign.refer("gain", 9, 10, 11)
    plan = ilrs.plan(campaign.pipeline(8, sites=["a"], steps=["between", "to_units"]))
    assert plan.diff.counts()["references"] == 2


def refer_dial(campaign: Campaign, text: str, name: str = "dial.txt") -> None:
    folder = campaign.folder / "references"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    valid = {"start": isot(START - SECOND), "stop": isot(START + 100 * SECOND)}
    entry = {"kind": "dial", "instrument": "toy-clock", "valid": valid, "published": isot(START), "payload": name}
    (folder / "dial.yaml").write_text(json.dumps({"references": [entry]}))


def test_a_payload_in_the_instruments_own_format_is_read_by_what_it_declares(campaign: Campaign) -> None:
    campaign.write("0.toy", "a", range(8))
    refer_dial(campaign, "2.5\n")
    folders = {"folders": [str(campaign.folder / "references")]}
    assert gains(campaign, step="by_dial", references=folders)[0] == [2.5] * 8


def test_a_payload_that_nothing_reads_is_a_fault_of_the_plan(campaign: Campaign) -> None:
    campaign.write("0.toy", "a", range(8))
    refer_dial(campaign, "2.5\n", "gain.fits")
    index = campaign.folder / "references" / "dial.yaml"
    index.write_text(index.read_text().replace('"dial"', '"gain"'))
    said = faults(campaign, references={"folders": [str(campaign.folder / "references")]})
    assert "nothing reads gain.fits; JSON, netCDF-3, or what Instrument(load={'gain': ...}) reads" in said


def test_a_payload_that_is_damaged_fails_the_part_by_name(campaign: Campaign) -> None:
    campaign.write("0.toy", "a", range(8))
    refer_dial(campaign, "two and a half")
    folders = {"folders": [str(campaign.folder / "references")]}
    asked = campaign.pipeline(8, sites=["a"], steps=["by_dial", "to_units"], references=folders)
    report = ilrs.run(asked, executor="serial")
    assert {"could not convert string to float" in record.reason for record in report.failed} == {True}


def test_an_optional_reference_needs_no_default(campaign: Campaign) -> None:
    campaign.write("0.toy", "a", range(8))
    found, _ = gains(campaign, step="by_dial")
    assert found == [1] * 8
    plan = ilrs.plan(campaign.pipeline(8, sites=["a"], steps=["by_dial", "to_units"]))
    assert any("dial at a: no reference is known" in str(one) for one in plan.warnings)


def test_the_message_names_near_misses(campaign: Campaign) -> None:
    campaign.write("0.toy", "a", range(8), tags={"filter": "red"})
    campaign.refer("gain", -100, 100, 1, instrument="toy-photons")
    campaign.refer("gain", -100, 100, 2, site="elsewhere")
    campaign.refer("gain", -100, 100, 3, keys={"filter": "blue"})
    campaign.refer("gain", -100, 100, 4, published=isot(START + 10**6 * SECOND))
    said = faults(campaign, references={"folders": [str(campaign.folder / "references")], "context": isot(START)})
    for reason in ("(of the instrument toy-photons)", "(for site elsewhere)", "(for filter blue)", "(published "):
        assert reason in said


entries = st.lists(
    st.tuples(
        st.integers(0, 12), st.integers(1, 8), st.sampled_from(["*", "a"]), st.booleans(), st.sampled_from("xyz")
    ),
    max_size=6,
)


@settings(max_examples=300)
@given(entries)
def test_at_each_instant_the_most_specific_reference_is_the_one(several: list[tuple[int, int, str, bool, str]]) -> None:
    known = [
        Reference("i", "k", site, start, start + length, n, sha, f"/{n}", keys={"f": "r"} if keyed else {})
        for n, (start, length, site, keyed, sha) in enumerate(several)
    ]
    found = references.usable(known, Sought("i", "k", "a", (("f", "r"),)))
    for instant in range(22):
        here = [one for one in known if one.start <= instant < one.stop]
        # Published again for the same and the same validity, the last one counts.
        last = {(one.site, len(one.keys), one.start, one.stop): one for one in here}
        rank = max(((len(one.keys), one.site != "*") for one in last.values()), default=None)
        best = {one.sha256 for one in last.values() if (len(one.keys), one.site != "*") == rank}
        assert {one.sha256 for one in found if one.start <= instant < one.stop} == best


def test_a_loaded_reference_of_a_format_of_ones_own_is_locked(campaign: Campaign) -> None:
    def read(_: Any) -> xr.Dataset:
        return xr.Dataset({"gain": ("x", np.ones(3))})

    one = references.load(Reference("i", "k", "*", 0, 1, 0, "0" * 64, "/nowhere.fits"), read)
    with pytest.raises(ValueError, match="read-only"):
        one["gain"].values[0] = 2


def test_two_darks_of_one_instant_are_told_wherever_they_lie(campaign: Campaign) -> None:
    campaign.write("0.toy", "a", range(8))
    campaign.refer("gain", 9, 10, 1)
    campaign.refer("gain", -1, 1, 2)
    campaign.refer("gain", -1, 2, 3)
    assert "two were taken at" in faults(campaign, "between")
    campaign.references.pop()
    campaign.refer("gain", -1, 5, 2)  # the same again
    gains(campaign, step="between")


def test_two_sites_of_which_one_has_its_own_reference_are_run_together(campaign: Campaign) -> None:
    campaign.write("0.toy", "a", range(8))
    campaign.write("1.toy", "bb", range(8))
    campaign.refer("gain", -100, 100, 2)
    campaign.refer("gain", 2, 4, 3, site="a")
    assert gains(campaign, sites=["a", "bb"])[0] == [2, 2, 3, 3, 2, 2, 2, 2]


def test_readers_made_by_one_function_are_told_apart(campaign: Campaign) -> None:
    def reader(number: int) -> Any:
        def read(_: Any) -> xr.Dataset:
            return xr.Dataset({"v": ((), number)})

        return read

    dark, flat = (Reference("i", kind, "*", 0, 1, 0, "1" * 64, "/nowhere.fits") for kind in ("dark", "flat"))
    found = [int(references.load(one, reader(number))["v"]) for number, one in enumerate((dark, flat))]
    assert found == [0, 1]


def test_neighbours_of_a_step_are_those_of_the_same_tags_in_any_cut(campaign: Campaign) -> None:
    campaign.write("0.toy", "a", range(0, 12, 2), tags={"filter": "red"})
    campaign.write("1.toy", "a", range(1, 12, 2), tags={"filter": "blue"})
    for one in ("red", "blue"):
        campaign.refer("gain", -100, 100, 1, keys={"filter": one})
    made = []
    for chunk in (1, 3, 12):
        layout = {"chunk": chunk, "shard": chunk}
        made.append(gains(campaign, 12, {"five_by_reference": {"limit": "4 s"}}, layout=layout)[0])
        shutil.rmtree(campaign.folder / "cube.zarr")
    assert made[0] == made[1] == made[2]
    truth = raw.counts_at(START + SECOND * np.arange(12), "a")
    assert made[0][4] == pytest.approx(truth[[0, 2, 4, 6, 8]].sum() / truth[4])


@pytest.mark.parametrize("keys", [{}, {"filter": "red"}])
def test_a_sample_that_is_moved_to_where_no_reference_is_valid_is_left_out_by_name(
    campaign: Campaign, keys: dict[str, str]
) -> None:
    campaign.write("0.toy", "a", range(4), tags={"filter": "red"})
    campaign.refer("clock", -100, 100, -3 * SECOND)
    campaign.refer("gain", -100, 5, 2, keys=keys)
    steps = [{"set_clock": {"limit": "3 s"}}, "by_reference", "to_units"]
    if not keys:
        assert "none is valid" in faults(campaign, steps=steps)
        return
    _, report = gains(campaign, steps=steps)
    assert (report.counts.placed, report.reasons) == (2, {"no gain is valid then": 2})


def test_margins_before_the_axis_without_a_reference_are_no_neighbours_in_any_cut(campaign: Campaign) -> None:
    campaign.write("0.toy", "a", range(-8, 8))
    campaign.refer("gain", -100, -6, 2)
    campaign.refer("gain", 0, 100, 5)
    steps = ["by_reference", {"sum_near": {"window": "7 s"}}, "to_units"]
    made = []
    for chunk in (1, 3, 8):
        layout = {"chunk": chunk, "shard": chunk}
        made.append(gains(campaign, steps=steps, layout=layout)[0])
        shutil.rmtree(campaign.folder / "cube.zarr")
    assert made[0] == made[1] == made[2]
    truth = raw.counts_at(START + SECOND * np.arange(-8, 8), "a")
    assert made[0][0] == pytest.approx((2 * truth[[1]].sum() + 5 * truth[8:16].sum()) / truth[8])


def test_an_optional_reference_is_none_where_it_is_not_valid_in_any_cut(campaign: Campaign) -> None:
    campaign.write("0.toy", "a", range(8))
    campaign.refer("gain", -100, 3, 2)
    for chunk in (1, 3, 8):
        assert (
            gains(campaign, step="by_reference_if_any", layout={"chunk": chunk, "shard": chunk})[0] == [2] * 3 + [1] * 5
        )
        shutil.rmtree(campaign.folder / "cube.zarr")


def test_references_that_are_for_others_leave_a_cube_as_it_is(campaign: Campaign) -> None:
    campaign.write("0.toy", "a", range(8), tags={"filter": "red", "empty": ""})
    campaign.refer("gain", -100, 100, 2)
    gains(campaign)
    campaign.refer("gain", -100, 100, 3, keys={"filter": "blue"})
    campaign.refer("gain", -100, 100, 4, keys={"filter": "red"}, site="elsewhere")
    campaign.refer("gain", -100, 100, 2, keys={"empty": "no"})
    plan = ilrs.plan(campaign.pipeline(8, sites=["a"], steps=["by_reference", "to_units"]))
    assert plan.diff.counts() == {"done": 2}


def test_when_a_reference_begins_is_part_of_the_result_since_a_step_may_ask_it(campaign: Campaign) -> None:
    campaign.write("0.toy", "a", range(8))
    campaign.refer("gain", -100, 100, 2)
    gains(campaign)
    campaign.references.clear()
    campaign.refer("gain", -50, 100, 2)
    plan = ilrs.plan(campaign.pipeline(8, sites=["a"], steps=["by_reference", "to_units"]))
    assert plan.diff.counts() == {"references": 2}


def test_flats_need_to_be_valid_only_where_files_of_their_filter_are(campaign: Campaign) -> None:
    campaign.write("0.toy", "a", [0, 1], tags={"filter": "red"})
    campaign.write("1.toy", "a", [6, 7], tags={"filter": "red"})
    campaign.refer("gain", 0, 2, 2, keys={"filter": "red"})
    campaign.refer("gain", 6, 8, 3, keys={"filter": "red"})
    found, _ = gains(campaign, layout={"chunk": 8, "shard": 8})
    assert [found[at] for at in (0, 1, 6, 7)] == [2, 2, 3, 3]


def test_one_dark_alone_is_not_before_and_after(campaign: Campaign) -> None:
    campaign.write("0.toy", "a", [3])
    campaign.refer("gain", 3, 4, 1)
    assert "one alone was taken, at" in faults(campaign, "between")
