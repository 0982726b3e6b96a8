"""Histograms of events: exact in every cut, with the time in which there could have been any."""

import tempfile
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from ilrs_toys import photons
from ilrs_toys.campaign import SECOND, START, Campaign, assert_same_bytes, values

import ilrs_science as ilrs
from ilrs_science.geometry.time import isot
from ilrs_science.model.good import good_intervals
from ilrs_science.model.quality import CLOCK_UNCERTAIN, MISSING
from ilrs_science.model.record import Counts
from ilrs_science.running.verify import verify
from ilrs_science.testing import check_instrument
from ilrs_science.testing.cube_check import check_cube

pytestmark = pytest.mark.usefixtures("toys")

MODULES, BINS = range(photons.MODULES), range(len(photons.EDGES) - 1)
TENTH = SECOND // 10


@dataclass(frozen=True)
class File:
    """Good intervals and photons, in tenths of a second after the start."""

    good: tuple[tuple[int, int, int], ...]
    """Start, stop, module."""
    photons: tuple[tuple[int, float, int], ...]
    """Time, energy, module."""

    def write(self, path: Path) -> str:
        good = [(START + a * TENTH, START + b * TENTH, m) for a, b, m in self.good]
        return photons.write(path, "a", good, [(START + t * TENTH, e, m) for t, e, m in self.photons])

    @property
    def span(self) -> tuple[int, int]:
        """When it begins and ends."""
        stamps = [t for t, _, _ in self.photons]
        low = min([a for a, b, _ in self.good if b > a] + stamps)
        return low, max([b for a, b, _ in self.good if b > a] + [t + 1 for t in stamps])

    def sees(self, time: int, module: int) -> bool:
        return any(a <= time < b and m == module for a, b, m in self.good)

    def split(self, at: int) -> list["File"]:
        early = File(
            tuple((a, min(b, at), m) for a, b, m in self.good if a < at),
            tuple(one for one in self.photons if one[0] < at),
        )
        late = File(
            tuple((max(a, at), b, m) for a, b, m in self.good if b > at),
            tuple(one for one in self.photons if one[0] >= at),
        )
        return [one for one in (early, late) if one.good]


def pipeline(folder: Path, count: int, **changes: Any) -> dict[str, Any]:
    return {
        "name": "photons",
        "instrument": "toy-photons",
        "sites": ["a"],
        "time": {"start": isot(START), "stop": isot(START + count * SECOND), "step": "1 s"},
        "raw": str(folder / "*.photons"),
        "steps": ["to_bins"],
        "layout": {"chunk": 2, "shard": 4},
        "output": str(folder / "cube.zarr"),
    } | changes


def made(folder: Path, files: list[File], count: int, **changes: Any) -> tuple[xr.Dataset, Counts, Counter[str]]:
    """Return the cube of some files, what became of the photons, and why some are not in it."""
    folder.mkdir(exist_ok=True, parents=True)
    for number, file in enumerate(files):
        file.write(folder / f"{number}.photons")
    asked = pipeline(folder, count, **changes)
    report = ilrs.run(asked, executor="serial")
    assert not report.failed, [record.reason for record in report.failed]
    assert check_cube(asked["output"]) == []
    return values(asked["output"]), report.counts, Counter(report.reasons)


@st.composite
def files(draw: st.DrawFn, *, least: int = 1) -> list[File]:
    """Files whose intervals overlap neither within a module nor each other: some of their time is in no file."""
    edges = sorted(draw(st.lists(st.integers(-15, 95), min_size=4, max_size=12, unique=True)))
    cuts = [(a, b) for a, b in pairwise(edges) if draw(st.booleans())] or [(edges[0], edges[1])]
    count = draw(st.integers(least, 3))
    length = -(-len(cuts) // count)
    found = []
    for first in range(0, len(cuts), length):
        own = cuts[first : first + length]
        good = [(a, b, m) for a, b in own for m in MODULES if draw(st.integers(0, 3))] or [(*own[0], 0)]
        stamps = st.integers(own[0][0] - 3, own[-1][1] + 3)
        hits = draw(st.lists(st.tuples(stamps, st.floats(-5, 45, width=32), st.integers(-1, 2)), max_size=15))
        # A file of whose photons none is in a good interval is refused as a whole.
        a, _, m = good[0]
        found.append(File(tuple(good), (*hits, (a, 15.0, m), (a, 15.0, m))))
    return found


def in_time(several: list[File], count: int) -> bool:
    """Tell whether a file has something within so many seconds."""
    return any(a < 10 * count and b > 0 for file in several for a, b in [file.span])


def in_bin(energy: float) -> int:
    return next((k for k in BINS if photons.EDGES[k] <= energy < photons.EDGES[k + 1]), -1)


@settings(max_examples=25, deadline=None)
@given(files(), st.integers(1, 9))
def test_counts_and_exposure_are_those_of_a_plain_loop_and_every_photon_is_accounted_for(
    given_files: list[File], count: int
) -> None:
    assume(in_time(given_files, count))
    with tempfile.TemporaryDirectory() as folder:
        cube, counts, reasons = made(Path(folder), given_files, count)
    expected = np.zeros((count, photons.MODULES, len(BINS)), int)
    ontime = np.zeros((count, photons.MODULES))
    why: Counter[str] = Counter()
    there = [file for file in given_files if in_time([file], count)]
    for file in there:
        for time, energy, module in file.photons:
            if not 0 <= time < 10 * count:
                why["outside the axis"] += 1
            elif module not in MODULES:
                why["outside the bins of module"] += 1
            elif in_bin(energy) < 0:
                why["outside the bins of energy"] += 1
            elif not file.sees(time, module):
                why["outside the good intervals"] += 1
            else:
                expected[time // 10, module, in_bin(energy)] += 1
        for tenth in range(10 * count):
            for module in MODULES:
                ontime[tenth // 10, module] += file.sees(tenth, module)
    assert cube.counts.values[0].tolist() == expected.tolist()
    assert (cube.ontime.values[0] * 10).round(9).tolist() == ontime.tolist()
    assert np.array_equal(cube.exposure, cube.ontime)
    assert ((cube.quality.values[0] == MISSING) == (ontime == 0)).all()
    assert cube.counts.dtype == "u4"
    total = sum(len(file.photons) for file in there)
    assert (counts.read, counts.placed, counts.duplicate) == (total, expected.sum(), 0)
    assert reasons == why
    assert counts.rejected == why.total()


@settings(max_examples=12, deadline=None)
@given(files(), st.integers(1, 9), st.integers(1, 5), st.integers(-10, 90), st.sampled_from(["plain", "door", "dead"]))
def test_no_cut_of_the_axis_or_of_a_file_changes_a_histogram(
    given_files: list[File], count: int, chunk: int, at: int, kind: str
) -> None:
    steps: dict[str, list[Any]] = {
        "plain": ["to_bins"],
        "door": ["to_bins", {"close_door": {"start": START + 7 * TENTH, "stop": START + 33 * TENTH + 1}}],
        "dead": [
            {"dead_time": {"live": 0.3, "start": START + 13 * TENTH + 7, "stop": START + 61 * TENTH}},
            "to_bins",
        ],
    }
    assume(in_time(given_files, count))
    with tempfile.TemporaryDirectory() as folder:
        whole, counts, reasons = made(Path(folder) / "whole", given_files, count, steps=steps[kind])
        cut, *same = made(
            Path(folder) / "cut", given_files, count, steps=steps[kind], layout={"chunk": chunk, "shard": chunk}
        )
        assert whole.drop_attrs().identical(cut.drop_attrs())
        assert same == [counts, reasons]
        halves = given_files[0].split(at)
        if in_time([*halves, *given_files[1:]], count) and all(
            any(half.sees(t, m) for t, _, m in half.photons) or not half.photons for half in halves
        ):
            parts, there, _ = made(Path(folder) / "split", [*halves, *given_files[1:]], count, steps=steps[kind])
            assert parts.drop_attrs().identical(whole.drop_attrs())
            assert there.placed == counts.placed


ONE = File(((0, 20, 0),), ((3, 15.0, 0), (12, 15.0, 0), (19, 5.0, 0)))


def test_a_time_without_an_event_is_zero_where_somebody_looked_and_missing_where_nobody_did(tmp_path: Path) -> None:
    cube, counts, _ = made(tmp_path, [File(((0, 25, 0),), ())], 4)
    assert cube.counts.sum() == 0
    assert cube.ontime.sel(module=0).values.tolist() == [[1.0, 1.0, 0.5, 0.0]]
    assert cube.quality.sel(module=0).values.tolist() == [[0, 0, 0, int(MISSING)]]
    assert (cube.quality.sel(module=1) == MISSING).all()
    assert counts == Counts()
    assert cube.energy.values.tolist() == [5.0, 15.0, 30.0]
    assert cube.energy.attrs == {"units": "keV", "bounds": "energy_bounds"}
    assert cube.energy_bounds.values.tolist() == [[0, 10], [10, 20], [20, 40]]
    assert cube.counts.attrs["distribution"] == "Poisson"


def test_time_that_a_step_excludes_is_neither_counted_nor_exposed_and_its_events_have_the_reason(
    tmp_path: Path,
) -> None:
    door = {"close_door": {"start": START + 10 * TENTH, "stop": START + 15 * TENTH + 1}}
    cube, counts, reasons = made(tmp_path, [ONE], 2, steps=["to_bins", door])
    assert reasons == {"the door was closed": 1}
    assert (counts.read, counts.placed) == (3, 2)
    assert cube.ontime.sel(module=0).values.tolist() == [[1.0, (5 * TENTH - 1) / 1e9]]


def test_dead_time_shortens_the_exposure_and_not_the_time_on(tmp_path: Path) -> None:
    dead = {"dead_time": {"live": 0.75, "start": START + 5 * TENTH, "stop": START + 15 * TENTH}}
    cube, _, _ = made(tmp_path, [ONE], 3, steps=["to_bins", dead])
    assert cube.ontime.sel(module=0).values.tolist() == [[1.0, 1.0, 0.0]]
    assert cube.exposure.sel(module=0).values.tolist() == [[0.875, 0.875, 0.0]]


def test_flags_that_speak_against_an_event_reject_it_by_name_and_rejected_ones_keep_their_first_reason(
    tmp_path: Path,
) -> None:
    file = File(((0, 20, 0),), ((1, 39.0, 0), (2, 32.0, 0), (3, 15.0, 0)))
    _, counts, reasons = made(tmp_path, [file], 2, steps=["to_bins", {"veto": {"above": 32.5}}])
    assert reasons == {"vetoed": 1, "flagged saturated": 1}
    assert counts.placed == 1


def test_events_in_a_leap_second_are_counted_and_their_cell_is_flagged(tmp_path: Path) -> None:
    start = (1_483_228_800 + 36 - 2) * SECOND  # two SI seconds before 2016-12-31T23:59:60
    photons.write(tmp_path / "0.photons", "a", [(start, start + 4 * SECOND, 0)], [(start + 2 * SECOND, 15.0, 0)])
    time = {"start": isot(start), "stop": "2017-01-01T00:00:02Z", "step": "1 s"}
    report = ilrs.run(pipeline(tmp_path, 4, time=time), executor="serial")
    cube = values(tmp_path / "cube.zarr")
    assert report.counts.placed == 1
    assert cube.counts.sum() == 1
    flagged = (cube.quality.sel(module=0).values[0] & int(CLOCK_UNCERTAIN)) != 0
    assert flagged.tolist() == [False, True, True, False, False]


def test_the_weights_of_events_are_summed_with_their_variance(tmp_path: Path) -> None:
    cube, _, _ = made(tmp_path, [ONE], 2, instrument="toy-photons-weighted")
    assert cube.counts.sel(module=0).values.tolist() == [[[0, 15, 0], [5, 15, 0]]]
    assert cube.counts_variance.sel(module=0).values.tolist() == [[[0, 225, 0], [25, 225, 0]]]
    assert "distribution" not in cube.counts.attrs


def test_good_intervals_may_be_pairs_of_times(tmp_path: Path) -> None:
    cube, _, _ = made(tmp_path, [ONE], 3, instrument="toy-photons-whole")
    assert cube.exposure.dims == ("site", "time")
    assert cube.exposure.values.tolist() == [[1.0, 1.0, 0.0]]
    assert cube.quality.values.tolist() == [[0, 0, int(MISSING)]]


@pytest.mark.parametrize(("name", "kept"), [("toy-photons-first", 0), ("toy-photons-latest", 1)])
def test_where_files_overlap_one_keeps_the_time_and_the_events_of_the_other_are_duplicates(
    tmp_path: Path, name: str, kept: int
) -> None:
    # A playback repeats what was sent before; its photons in module 1 nobody else has.
    early = File(((0, 20, 0),), ((5, 15.0, 0), (15, 15.0, 0), (15, 15.0, 0)))
    late = File(((10, 30, 0), (10, 30, 1)), ((15, 15.0, 0), (25, 15.0, 0), (15, 5.0, 1)))
    cube, counts, reasons = made(tmp_path, [early, late], 3, instrument=name)
    assert cube.ontime.values[0].tolist() == [[1, 0], [1, 1], [1, 1]]
    assert cube.counts.sel(module=0).sum("energy").values.tolist() == [[1, (2, 1)[kept], 1]]
    assert cube.counts.sel(module=1).sum("energy").values.tolist() == [[0, 1, 0]]
    assert (counts.read, counts.placed, counts.duplicate) == (6, 6 - (1, 2)[kept], (1, 2)[kept])
    assert reasons == {}


def test_overlapping_files_are_refused_by_name_where_the_product_does_not_say_what_to_do(tmp_path: Path) -> None:
    files = [File(((0, 20, 0),), ((5, 15.0, 0),)), File(((19, 30, 0),), ((25, 15.0, 0),))]
    for number, file in enumerate(files):
        file.write(tmp_path / f"{number}.photons")
    report = ilrs.run(pipeline(tmp_path, 3), executor="serial")
    (failed,) = report.failed
    assert (
        "1.photons overlap those of another granule, first from 2031-02-27T23:06:41.900Z to 2031-02-27T23:06:42Z"
        in failed.reason
    )
    assert "declare Product(overlap='first') or 'latest'" in failed.reason


@pytest.mark.parametrize(
    ("good", "hits", "words"),
    [
        ([(20, 10, 0)], [(12, 15.0, 0)], "1 good intervals run backwards"),
        ([(0, 20, 0), (19, 30, 0)], [(12, 15.0, 0)], "1 good intervals overlap others of their file"),
        ([(100, 120, 0)], [(12, 15.0, 0)], "none of its 1 events"),
        ([], [(12, 15.0, 0)], "none of its 1 events"),
        ([], [], "yields no sample"),
        ([(0, 20, 0), (0, 20, 7)], [(12, 15.0, 0)], "good intervals of module 7, which is no bin: 0 to 1"),
    ],
)
def test_good_intervals_that_cannot_be_are_refused_by_name(tmp_path: Path, good: list, hits: list, words: str) -> None:
    File(tuple(good), tuple(hits)).write(tmp_path / "0.photons")
    File(((30, 40, 1),), ()).write(tmp_path / "1.photons")
    report = ilrs.run(pipeline(tmp_path, 4), executor="serial")
    assert report.failed == ()
    (told,) = report.rejected.values()
    assert words in told


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("forgets", "step forgets dropped the good intervals"),
        ("hurts", "step hurts mutates its input"),
        ("halves", "energy_bin.dtype: found float64; a bin is an integer"),
    ],
)
def test_a_step_that_breaks_the_contract_of_events_is_named(tmp_path: Path, step: str, words: str) -> None:
    ONE.write(tmp_path / "0.photons")
    report = ilrs.run(pipeline(tmp_path, 2, steps=["to_bins", step]), executor="serial")
    assert words in report.failed[0].reason


def test_a_file_more_does_again_only_the_parts_that_it_changes_be_it_by_exposure_alone(tmp_path: Path) -> None:
    made(tmp_path, [ONE], 12)
    File(((45, 60, 0),), ()).write(tmp_path / "more.photons")
    again = ilrs.run(pipeline(tmp_path, 12), executor="serial")
    assert (again.parts, again.skipped) == (3, 2)
    # The file holds no photon, and yet the cube comes from it: gone, what it told stays.
    (tmp_path / "more.photons").unlink()
    gone = ilrs.run(pipeline(tmp_path, 12), executor="serial")
    assert [Path(one).name for one in gone.gone] == ["more.photons"]
    assert values(tmp_path / "cube.zarr").ontime.sum() == 2.0 + 1.5


def test_executors_make_the_same_histogram(tmp_path: Path) -> None:
    for name in ("serial", "threads"):
        ONE.write(tmp_path / "0.photons")
        ilrs.run(pipeline(tmp_path, 12, output=str(tmp_path / f"{name}.zarr")), executor=name)
    assert_same_bytes(tmp_path / "serial.zarr", tmp_path / "threads.zarr")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bins": {}}, "a histogram has at least one"),
        ({"coordinates": {"module": 2}}, r"bins\['energy'\]: has no edges"),
        ({"coordinates": {"module": 2, "energy": [3.0, 1.0]}}, "edges of bins rise"),
        ({"good": ("pixel",)}, "dimensions of bins, each once"),
        ({"overlap": "newest"}, "expected one of refuse, first, latest"),
        ({"exposures": True}, "regular axis"),
        ({"good": ("module", "module")}, "dimensions of bins, each once"),
        ({"coordinates": {"module": 0, "energy": [0, 1]}}, "a size is a whole number from 1"),
        ({"coordinates": {"module": 2.0, "energy": [0, 1]}}, "a size is a whole number from 1"),
        ({"coordinates": {"module": True, "energy": [0, 1]}}, "a size is a whole number from 1"),
        ({"coordinates": {"module": 2, "energy": [0, np.inf]}}, "finite edges"),
        ({"bins": {"module": "quality", "energy": "energy_bin"}}, "what the steps deliver as the bin"),
        ({"bins": {"module": 3, "energy": "energy_bin"}}, "what the steps deliver as the bin"),
        ({"place": "slot"}, "samples of bins have the place mean, sum or histogram"),
        ({"place": "medium"}, "expected one of slot, mean, sum, histogram"),
    ],
)
def test_a_wrong_histogram_is_refused_when_it_is_declared(changes: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        photons.product(**changes)


def test_the_kit_knows_events(tmp_path: Path) -> None:
    file = File(
        ((0, 60, 0), (2, 50, 1)), tuple((t, 15.0 + t % 7, t % 2) for t in range(2, 50) for _ in range(1 + t % 3))
    )
    path = file.write(tmp_path / "0.photons")
    report = check_instrument(photons.instrument, [path], steps=["to_bins"], raise_on_failure=False)
    assert report.ok, str(report)


def test_a_pipeline_cannot_average_events(tmp_path: Path) -> None:
    ONE.write(tmp_path / "0.photons")
    with pytest.raises(ilrs.PlanError, match="place: found 'mean'; toy-photons counts events: leave it out"):
        ilrs.plan(pipeline(tmp_path, 2, place="mean"))


def test_every_stored_shard_of_a_histogram_is_one_that_a_record_tells_of(tmp_path: Path) -> None:
    made(tmp_path, [ONE], 12)
    found = verify(str(tmp_path / "cube.zarr"))
    assert found.ok, found


def test_where_references_change_the_time_without_events_counts_too(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path)
    campaign.refer("gain", -100, 2, 1.0, instrument="toy-photons")
    campaign.refer("gain", 2, 3, 2.0, instrument="toy-photons")
    campaign.refer("gain", 3, 100, 4.0, instrument="toy-photons")
    file = File(((0, 40, 0),), ((5, 5.0, 0), (35, 5.0, 0)))
    references = {"folders": [str(tmp_path / "references")]}
    cube, _, _ = made(tmp_path, [file], 4, steps=["stretch", "to_bins"], references=references)
    assert cube.ontime.sel(module=0).values.tolist() == [[1, 1, 1, 1]]
    assert cube.counts.sel(module=0).values[0].tolist() == [[1, 0, 0], [0] * 3, [0] * 3, [0, 0, 1]]


@pytest.mark.parametrize("hits", [((5, 5.0, 0),), ()])
def test_a_live_fraction_by_reference_holds_with_and_without_events_in_any_cut(tmp_path: Path, hits: tuple) -> None:
    campaign = Campaign(tmp_path)
    campaign.refer("gain", -100, 2, 0.5, instrument="toy-photons")
    campaign.refer("gain", 2, 100, 1.0, instrument="toy-photons")
    references = {"folders": [str(tmp_path / "references")]}
    for chunk in (1, 4):
        folder, layout = tmp_path / str(chunk), {"chunk": chunk, "shard": chunk}
        file = [File(((0, 40, 0),), hits)]
        cube, _, _ = made(folder, file, 4, steps=["live_by_reference", "to_bins"], references=references, layout=layout)
        assert cube.exposure.sel(module=0).values.tolist() == [[0.5, 0.5, 1, 1]]


def test_an_interval_of_no_length_is_none(tmp_path: Path) -> None:
    files = [File(((0, 20, 0), (5, 5, 0)), ((3, 15.0, 0),)), File(((10, 10, 0), (20, 30, 0)), ())]
    cube, _, _ = made(tmp_path, files, 3)
    assert cube.ontime.sel(module=0).values.tolist() == [[1, 1, 1]]


@pytest.mark.parametrize(
    "more",
    [
        {"fraction": [0.5, 0.9]},
        {"fraction": 0.5, "start": [1]},
        {"fraction": 0.5, "start": [1], "stop": [3, 5]},
        {"fraction": [0.5, 0.6], "start": [1], "stop": [3]},
        {"fraction": 1.5},
        {"fraction": -0.1},
    ],
)
def test_a_live_fraction_that_says_no_time_or_too_much_is_refused(more: dict) -> None:
    good = good_intervals([[0, 10]], ())
    with pytest.raises(ValueError, match="live fraction"):
        ilrs.scale_live_time(xr.Dataset(attrs={"good": good}), **more)
    nothing = np.zeros(0, np.int64)
    kept = ilrs.scale_live_time(xr.Dataset(attrs={"good": good}), [], nothing, nothing)
    assert kept.attrs["good"].identical(good)


def test_an_overlap_outside_of_a_part_or_of_the_campaign_fails_nothing_there(tmp_path: Path) -> None:
    files = [File(((-30, 20, 0),), ()), File(((-20, -10, 0), (15, 70, 0)), ())]
    for number, file in enumerate(files):
        file.write(tmp_path / f"{number}.photons")
    report = ilrs.run(pipeline(tmp_path, 8, layout={"chunk": 1, "shard": 1}), executor="serial")
    assert [record.first for record in report.failed] == [1]
    assert values(tmp_path / "cube.zarr").ontime.sel(module=0).values.tolist() == [[1, 0, 1, 1, 1, 1, 1, 0]]


def test_flags_of_an_instrument_count_even_where_a_step_sets_them_without_their_names(tmp_path: Path) -> None:
    _, counts, reasons = made(tmp_path, [ONE], 2, instrument="toy-photons-odd", steps=["to_bins", "flag_bare"])
    assert reasons == {"flagged odd": 2}
    assert counts.placed == 1


def test_flags_may_have_the_columns_of_good_time_in_another_order(tmp_path: Path) -> None:
    cube, _, _ = made(tmp_path, [File(((0, 10, 1),), ())], 1, instrument="toy-photons-cells")
    assert cube.quality.dims == ("site", "time", "energy", "module")
    assert cube.exposure.dims == ("site", "time", "module", "energy")
    assert cube.quality.sel(module=0).values.tolist() == [[[int(MISSING)] * 3]]
    assert cube.quality.sel(module=1).values.tolist() == [[[0] * 3]]


def test_a_weight_that_is_none_is_a_fault_unless_its_event_is_rejected(tmp_path: Path) -> None:
    _, counts, reasons = made(
        tmp_path / "a", [ONE], 2, instrument="toy-photons-weighted", steps=["to_bins", "unweighed"]
    )
    assert reasons == {"no weight": 1}
    assert counts.placed == 2


def test_photons_of_one_turn_are_put_together_across_the_edges_of_parts_and_files(tmp_path: Path) -> None:
    # Split events: the charge of one photon in several pixels, read out as several.
    steps = ["turns", "recombine", "to_bins"]
    turn = -START % SECOND // TENTH  # tenths of the first whole turn
    hits = [File(((0, turn + 12, 0),), ((turn + 1, 4.0, 0), (turn + 3, 4.0, 0), (turn + 11, 25.0, 0)))]
    hits.append(File(((turn + 12, 60, 0),), ((turn + 15, 8.0, 0), (turn + 17, 5.0, 0))))
    for chunk in (1, 8):
        layout = {"chunk": chunk, "shard": chunk}
        cube, counts, reasons = made(tmp_path / str(chunk), hits, 6, steps=steps, layout=layout)
        found = cube.counts.sel(site="a", module=0).sum("time").values.tolist()
        # 4 + 4 keV are one photon of 8, and 25 + 8 + 5 one of 38.
        assert found == [1, 0, 1]
        assert (counts.read, counts.placed, reasons) == (5, 5, {})
        assert cube.exposure.sel(module=0).values.tolist() == [[1.0] * 6]


def test_a_file_without_a_photon_is_exposed_also_where_photons_are_put_together(tmp_path: Path) -> None:
    cube, _, _ = made(tmp_path, [File(((0, 20, 0),), ())], 2, steps=["turns", "recombine", "to_bins"])
    assert cube.exposure.sel(module=0).values.tolist() == [[1.0, 1.0]]
    assert int(cube.counts.sum()) == 0


def test_slots_that_are_no_whole_number_of_ns_share_the_good_time_to_the_nanosecond(tmp_path: Path) -> None:
    file = File(((0, 35, 0),), ((3, 15.0, 0), (34, 15.0, 0)))
    time = {"start": isot(START), "stop": isot(START + 4 * SECOND), "step": "3 Hz"}
    for chunk in (1, 12):
        cube, counts, _ = made(tmp_path / str(chunk), [file], 4, time=time, layout={"chunk": chunk, "shard": chunk})
        on = np.rint(cube.ontime.sel(site="a", module=0).values * 1e9).astype(int)
        assert on.tolist() == [333333333, 333333333, 333333334] * 3 + [333333333, 166666667, 0]
        assert on.sum() == 35 * TENTH
        assert cube.counts.sel(site="a", module=0).sum("energy").values.tolist() == [1, *[0] * 9, 1, 0]
        assert counts.placed == 2
