"""Other quantities in time that steps ask for."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ilrs_toys import raw
from ilrs_toys.campaign import SECOND, START, Campaign, assert_same_bytes, values
from ilrs_toys.warm import write

import ilrs_science as ilrs
from ilrs_science.errors import PlanError
from ilrs_science.testing import check_instrument
from ilrs_science.testing.cube_check import check_cube

pytestmark = pytest.mark.usefixtures("toys")
NO_REFERENCE = 1 << 7


def warm(campaign: Campaign, name: str, seconds: Any, plate: Any, **more: Any) -> str:
    """Write housekeeping at these seconds after the start."""
    return write(campaign.folder / "raw" / name, [START + round(s * SECOND) for s in seconds], plate, **more)


def pipeline(campaign: Campaign, step: Any = "by_temperature", **changes: Any) -> dict[str, Any]:
    files = str(campaign.folder / "raw" / "*.tick")
    wanted = {"instrument": "toy-warm", "steps": [step, "to_units"], "sites": ["a"], "raw": files}
    return campaign.pipeline(**(wanted | changes))


def signals(campaign: Campaign, step: Any = "by_temperature", **changes: Any) -> tuple[Any, Any]:
    """Return the signal and the flags of a site in each slot."""
    report = ilrs.run(pipeline(campaign, step, **changes), executor="serial")
    assert not report.failed, report.failed[0].reason
    cube = values(changes.get("output", campaign.folder / "cube.zarr"))
    return cube.value.values[0, :, 0] / 2, cube.quality.values[0]


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    made = Campaign(tmp_path)
    made.write("a.tick", "a", range(24))
    return made


COUNTS = raw.counts_at(np.array([START + k * SECOND for k in range(24)]), "a")


def test_a_step_gets_the_value_of_a_series_at_the_time_of_each_sample(campaign: Campaign) -> None:
    warm(campaign, "x.warm", range(0, 25, 4), [0.0, 4.0, 8.0, 12.0, 16.0, 20.0, 24.0])
    signal, quality = signals(campaign)
    assert np.array_equal(signal, (COUNTS * np.arange(24.0)).astype("f4"))
    assert not quality.any()
    assert check_cube(campaign.folder / "cube.zarr") == []


def test_samples_across_a_longer_gap_and_beyond_the_ends_have_no_value_and_are_flagged(campaign: Campaign) -> None:
    warm(campaign, "x.warm", [2, 4, 9, 12, 14], [2.0, 4.0, 9.0, 12.0, 14.0])
    signal, quality = signals(campaign)
    known = np.isin(np.arange(24), [2, 3, 4, 9, 10, 11, 12, 13, 14])
    assert np.array_equal(quality & NO_REFERENCE != 0, ~known)
    assert np.array_equal(signal[known], (COUNTS * np.arange(24.0)).astype("f4")[known])
    assert np.isnan(signal[~known]).all()


def test_flagged_samples_of_a_series_are_left_out(campaign: Campaign) -> None:
    warm(campaign, "x.warm", range(24), [1.0] * 10 + [9.0] + [1.0] * 13, quality=[0] * 10 + [2] + [0] * 13)
    signal, quality = signals(campaign)
    assert np.array_equal(signal, COUNTS.astype("f4"))
    assert not quality.any()


def test_a_word_or_a_number_of_a_mode_is_that_of_the_sample_before(campaign: Campaign) -> None:
    warm(campaign, "x.warm", [0, 3.5, 6], [0.0] * 3, mode=[1, 2, 3])
    signal, quality = signals(campaign, "by_mode")
    assert (signal / COUNTS)[:11].tolist() == [1, 1, 1, 1, 2, 2, 3, 3, 3, 3, 3]
    assert (quality[11:] & NO_REFERENCE).all()


def test_an_angle_goes_along_the_shorter_arc(campaign: Campaign) -> None:
    warm(campaign, "x.warm", range(0, 25, 2), [0.0] * 13, angle=[(350 + 20 * k) % 360 for k in range(13)])
    signal, _ = signals(campaign, "by_angle")
    assert signal.tolist() == [(350 + 10 * k) % 360 for k in range(24)]


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_an_angle_on_a_line_is_a_fault_of_the_plan(campaign: Campaign, executor: Any) -> None:
    warm(campaign, "x.warm", range(24), range(24), angle=list(range(24)))
    with pytest.raises(PlanError, match=r"steps.by_angle_on_a_line: .*angle lies on a circle"):
        ilrs.plan(pipeline(campaign, "by_angle_on_a_line"), executor=executor)


@given(
    st.lists(st.integers(0, 230), min_size=1, max_size=20, unique=True),
    st.integers(1, 4),
    st.sampled_from(["by_temperature", {"mean_by_temperature": {"window": "3 s"}}]),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_neither_the_cut_of_the_axis_nor_of_the_files_matters(
    tmp_path_factory: pytest.TempPathFactory, tenths: list[int], files: int, step: Any
) -> None:
    one, other = (Campaign(tmp_path_factory.mktemp("cut")) for _ in range(2))
    for campaign in (one, other):
        campaign.write("a.tick", "a", range(24))
    times = sorted(tenths)
    warm(one, "x.warm", [t / 10 for t in times], times)
    for number, piece in enumerate(np.array_split(times, files)):
        if len(piece):
            warm(other, f"{number}.warm", [t / 10 for t in piece], piece.tolist())
    whole = signals(one, step, layout={"chunk": 2, "shard": 24})
    for found, wanted in zip(signals(other, step, layout={"chunk": 2, "shard": 2}), whole, strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_executors_make_the_same_cube_of_series(campaign: Campaign, executor: Any) -> None:
    warm(campaign, "x.warm", range(0, 24, 3), range(8))
    ilrs.run(pipeline(campaign, output="serial.zarr"), executor="serial")
    ilrs.run(pipeline(campaign), executor=executor, workers=2)
    assert_same_bytes(campaign.folder / "serial.zarr", campaign.folder / "cube.zarr")


def test_a_row_of_a_window_is_flagged_where_nothing_is_known_of_some_of_its_samples(campaign: Campaign) -> None:
    warm(campaign, "x.warm", range(10), [1.0] * 10)
    signal, quality = signals(campaign, {"mean_by_temperature": {"window": "4 s"}})
    reached = np.flatnonzero(quality != 1)
    flagged = quality[reached] & NO_REFERENCE != 0
    last = np.array([min(23, next((k for k in range(at + 1, 24) if k in reached), 24) - 1) for at in reached])
    assert np.array_equal(flagged, last > 9)
    assert np.isnan(signal[reached][flagged]).all()


def test_a_file_of_a_series_that_changes_or_comes_makes_anew_only_what_is_near_it(campaign: Campaign) -> None:
    warm(campaign, "x.warm", range(12), range(12))
    signals(campaign)
    warm(campaign, "y.warm", range(20, 24), range(4))
    assert ilrs.plan(pipeline(campaign)).diff.counts() == {"done": 4, "inputs": 2}


def test_a_file_of_a_series_that_went_away_leaves_the_cube_as_it_is(campaign: Campaign) -> None:
    warm(campaign, "x.warm", range(12), range(12))
    gone = warm(campaign, "y.warm", range(12, 24), range(12, 24))
    before, _ = signals(campaign)
    Path(gone).unlink()
    report = ilrs.run(pipeline(campaign), executor="serial")
    assert report.gone == (gone,)
    assert np.array_equal(values(campaign.folder / "cube.zarr").value.values[0, :, 0] / 2, before)


def test_a_file_of_a_series_that_cannot_be_read_is_rejected_by_name(campaign: Campaign) -> None:
    warm(campaign, "x.warm", range(24), range(24))
    (campaign.folder / "raw" / "bad.warm").write_text("{")
    report = ilrs.run(pipeline(campaign), executor="serial")
    assert report.exit_code == 3
    ((url, reason),) = report.rejected.items()
    assert url.endswith("bad.warm")
    assert "no housekeeping" in reason


def test_a_series_in_another_unit_is_rejected_by_name(campaign: Campaign) -> None:
    warm(campaign, "x.warm", range(24), range(24), units="K")
    with pytest.raises(PlanError, match="found nothing of it") as caught:
        ilrs.plan(pipeline(campaign))
    assert "plate says units 'K'; expected 'degC'" in str(caught.value)


def test_a_site_without_any_series_is_a_fault_and_of_an_optional_one_it_is_none(campaign: Campaign) -> None:
    with pytest.raises(
        PlanError, match=r"by_temperature.temperature at a: found nothing of it called \*.warm beside the raw"
    ):
        ilrs.plan(pipeline(campaign))
    signal, quality = signals(campaign, "by_any_temperature")
    assert np.array_equal(signal, COUNTS.astype("f4"))
    assert not quality.any()


def test_a_plan_warns_of_raw_files_of_whose_time_a_series_tells_nothing(campaign: Campaign) -> None:
    campaign.write("late.tick", "a", [30, 31])
    warm(campaign, "x.warm", range(24), range(24))
    made = ilrs.plan(pipeline(campaign, count=40))
    (warning,) = made.warnings
    assert str(warning) == (
        "steps[0].by_temperature.temperature at a: nothing of it within 4 s of 1 of 2 raw files; "
        "their samples are flagged no_reference"
    )
    assert made.as_json()["series"][0]["series"] == "toy-warm:temperature"


def test_a_file_without_a_site_is_for_the_site_of_its_folder(campaign: Campaign) -> None:
    raw.write(campaign.folder / "raw" / "b" / "b.tick", "bb", [START + k * SECOND for k in range(24)])
    warm(campaign, "x.warm", range(24), [2.0] * 24)
    warm(campaign, "b/x.warm", range(24), [3.0] * 24)
    wanted = {"raw": str(campaign.folder / "raw" / "**" / "*.tick"), "sites": ["a", "bb"]}
    ilrs.run(pipeline(campaign, **wanted), executor="serial")
    cube = values(campaign.folder / "cube.zarr")
    ratio = cube.value.values[:, :, 0] / 2 / np.stack([COUNTS, raw.counts_at(cube.tai.values.astype("i8"), "bb")])
    assert ratio[0].tolist() == [2.0] * 24
    assert ratio[1].tolist() == [3.0] * 24


def test_a_pipeline_says_where_the_files_of_a_series_are(campaign: Campaign) -> None:
    write(campaign.folder / "hk" / "a" / "x.warm", [START + k * SECOND for k in range(24)], range(24))
    inputs = {"temperature": str(campaign.folder / "hk" / "{site}" / "*.warm")}
    signal, _ = signals(campaign, inputs=inputs)
    assert np.array_equal(signal, (COUNTS * np.arange(24.0)).astype("f4"))
    with pytest.raises(PlanError, match=r"inputs.temprature: no step asks for it; did you mean temperature"):
        ilrs.plan(pipeline(campaign, inputs={"temprature": "x"}))


def test_the_cube_of_another_instrument_is_a_series(campaign: Campaign) -> None:
    campaign.write("a.toy", "a", range(24))
    ilrs.run(campaign.pipeline(output="clock.zarr", sites=["a"]), executor="serial")
    with pytest.raises(PlanError, match=r"inputs.clock: is missing; say which cube of toy-clock it is"):
        ilrs.plan(pipeline(campaign, "by_clock"))
    signal, quality = signals(campaign, "by_clock", inputs={"clock": str(campaign.folder / "clock.zarr")})
    assert np.array_equal(signal, COUNTS * np.float32(3))
    assert not quality.any()


def test_a_step_for_an_instrument_that_declares_no_such_series(campaign: Campaign) -> None:
    campaign.write("a.toy", "a", range(24))
    clock: dict[str, Any] = {"instrument": "toy-clock", "raw": str(campaign.folder / "raw" / "*.toy")}
    with pytest.raises(PlanError, match=r"toy-clock has no series 'temperature'; Instrument\(series=...\) has none"):
        ilrs.plan(pipeline(campaign, **clock))
    signal, quality = signals(campaign, "by_any_temperature", **clock)
    assert np.array_equal(signal, COUNTS.astype("f4"))
    assert not quality.any()


def test_the_kit_takes_an_instrument_with_series(campaign: Campaign) -> None:
    from ilrs_toys.warm import instrument  # noqa: PLC0415 - after the toys are installed

    warm(campaign, "x.warm", range(24), range(24))
    campaign.write("a.toy", "a", range(24))
    ilrs.run(campaign.pipeline(output="clock.zarr", sites=["a"]), executor="serial")
    steps = ["by_temperature", "by_clock", "to_units"]
    inputs = {"clock": str(campaign.folder / "clock.zarr")}
    files = [str(campaign.folder / "raw" / "a.tick")]
    report = check_instrument(instrument, files, steps=steps, inputs=inputs, raise_on_failure=False)
    assert [one.check for one in report.results if not one.ok] == ["units"]  # a toy's counts have none


def test_a_declaration_of_a_series_has_to_make_sense() -> None:
    def read(granule: ilrs.Granule) -> xr.Dataset:
        return xr.Dataset()

    with pytest.raises(ValueError, match="limit: '' is not a duration"):
        ilrs.Series(read, files="*.hk")
    with pytest.raises(ValueError, match="found read None and files"):
        ilrs.Series(files="*.hk", limit="1 s")
    with pytest.raises(ValueError, match="it is a cube of x; read and files belong to files"):
        ilrs.Series(read, files="*.hk", limit="1 s", reads="x")
