import pickle
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ilrs_science.errors import IlrsError
from ilrs_science.geometry import Clock, parse_utc
from ilrs_science.geometry.time import SECOND
from ilrs_science.model.reference import Reference

EPOCH = parse_utc("2031-01-01")
TT_TAI = 32_184_000_000
RATE = 1 / 65536


def clock(ticks: list[int], times: list[int], rates: list[float], **more: object) -> Clock:
    unknown = np.full(len(ticks), np.nan)
    columns = {"sigmas": unknown, "sigma_rates": np.zeros(len(ticks)), **more}
    return Clock(np.array(ticks), np.array(times), np.array(rates, float), **columns)


def of_one_line(start: int = 0, rate: float = RATE, **more: object) -> Clock:
    return clock([start], [EPOCH], [rate], **more)


@st.composite
def joined_clocks(draw: st.DrawFn) -> Clock:
    """Return clocks whose segments of up to 3 years go on where those before ended, with rates some 1e-4 off."""
    per_second = draw(st.sampled_from([1, 256, 65536, 10**6]))
    lengths = draw(st.lists(st.integers(1, 10**8 * per_second), max_size=4))
    drifts = draw(st.lists(st.floats(-1e-4, 1e-4), min_size=len(lengths) + 1, max_size=len(lengths) + 1))
    rates = [(1 + drift) / per_second for drift in drifts]
    ticks, times = [draw(st.integers(0, 10**9))], [EPOCH]
    for length, rate in zip(lengths, rates, strict=False):
        times.append(times[-1] + round(length * rate * SECOND))
        ticks.append(ticks[-1] + length)
    return clock(ticks, times, rates, scale=draw(st.sampled_from(["tai", "tt"])))


@given(joined_clocks(), st.lists(st.integers(0, 10**9), min_size=1, max_size=20))
def test_ticks_of_the_time_of_ticks_are_those_ticks(continuous: Clock, after: list[int]) -> None:
    ticks = continuous.ticks[0] + np.array(after)
    assert np.array_equal(continuous.to_ticks(continuous.to_tai(ticks)), ticks)
    assert np.array_equal(continuous.to_ticks(continuous.to_tai(continuous.ticks)), continuous.ticks)


@given(joined_clocks(), st.lists(st.integers(0, 10**9), min_size=2, max_size=20))
def test_time_never_runs_back_along_a_joined_clock(continuous: Clock, after: list[int]) -> None:
    ticks = np.sort(continuous.ticks[0] + np.array(after))
    assert (np.diff(continuous.to_tai(ticks)) >= 0).all()
    # Just before a border and on it, the two lines give the same time but for the rounding of doubles at 1e8 s.
    for before, border in zip(continuous.to_tai(continuous.ticks[1:] - 1), continuous.ticks[1:], strict=True):
        row = np.searchsorted(continuous.ticks, border) - 1
        assert abs(int(continuous.to_tai(border) - before) - continuous.rates[row] * SECOND) <= 32


@given(
    st.lists(st.floats(-1e-3, 1e-3), min_size=3, max_size=3),
    st.sampled_from([1, 256, 50_000, 65536]),
    st.lists(st.integers(0, 10**6), min_size=1, max_size=10),
)
def test_to_tai_is_the_line_of_its_segment_to_the_nanosecond(drifts: list, per_second: int, after: list[int]) -> None:
    rates = [(1 + drift) / per_second for drift in drifts]
    starts, times = [5, 5 + 10**6 * per_second, 5 + 2 * 10**6 * per_second], [EPOCH, EPOCH + 7, EPOCH + 10**15]
    segments = clock(starts, times, rates)
    for row, second in enumerate(after * 3):
        i, tick = row % 3, starts[row % 3] + second * per_second - (second == 10**6)
        exact = times[i] + (tick - starts[i]) * Fraction(rates[i]) * SECOND
        assert abs(int(segments.to_tai(tick)) - exact) <= 1


def test_one_straight_line_through_steps_of_the_rate_is_visibly_wrong() -> None:
    steps = clock([0, 10**6, 2 * 10**6], [0, 10**6 * SECOND, 2 * 10**6 * SECOND + 2 * SECOND], [1, 1 + 2e-6, 1 - 2e-6])
    ticks = np.arange(0, 3 * 10**6, 1000)
    tai = steps.to_tai(ticks)
    slope, start = np.polyfit(ticks, tai, 1)
    assert np.abs(slope * ticks + start - tai).max() > 0.3 * SECOND
    assert [int(t) for t in steps.to_tai([10**6 - 1, 10**6, 2 * 10**6])] == [
        999_999 * SECOND,
        10**6 * SECOND,
        (2 * 10**6 + 2) * SECOND,
    ]


def test_times_in_tt_are_32_seconds_ahead_of_tai() -> None:
    ticks = np.arange(0, 10**9, 99_999_989)
    assert np.array_equal(of_one_line(scale="tt").to_tai(ticks), of_one_line().to_tai(ticks) - TT_TAI)


def test_beyond_the_last_segment_ticks_are_prolonged_and_times_are_not() -> None:
    short = of_one_line(rate=1.0, stop=100)
    assert short.to_ticks(EPOCH + 1000 * SECOND) == 1000
    with pytest.raises(IlrsError, match="tick 1000 is outside the correlation of the clock, 0 to 99"):
        short.to_tai(1000)


@pytest.mark.parametrize("ticks", [-1, 100, [5, 100], [[0, -7]], np.array([2**62])])
def test_ticks_outside_the_correlation_are_an_error_that_names_its_span(ticks: object) -> None:
    covered = of_one_line(stop=100)
    for method in (covered.to_tai, covered.uncertainty):
        with pytest.raises(IlrsError, match=r"tick -?\d+ is outside the correlation of the clock, 0 to 99"):
            method(ticks)
    with pytest.raises(IlrsError, match=r"tick 4 is outside the correlation of the clock, 5 to \.\.\."):
        of_one_line(5).to_tai([4, 5])
    assert covered.covers([-1, 0, 99, 100]).tolist() == [False, True, True, False]
    assert of_one_line(5).covers([4, 5, 2**40, 2**60]).tolist() == [False, True, True, False]  # the last after 2255


@pytest.mark.parametrize("ticks", [1.5, [0.0, 0.1], np.inf, [2.0, -np.inf, 2.5]])
def test_ticks_that_are_no_whole_numbers_are_refused(ticks: object) -> None:
    with pytest.raises(IlrsError, match="whole numbers"), np.errstate(invalid="ignore"):
        of_one_line().to_tai(ticks)


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (0, 4)])
@pytest.mark.parametrize("kind", ["i8", "u4", "i2", "f8"])
def test_shape_of_ticks_is_kept(shape: tuple[int, ...], kind: str) -> None:
    ticks, line = np.full(shape, 77, kind), of_one_line()
    for result in (line.to_tai(ticks), line.to_ticks(line.to_tai(ticks)), line.continuous(np.full(shape, 77), EPOCH)):
        assert (np.shape(result), np.asarray(result).dtype) == (shape, np.int64)
    assert (np.shape(line.uncertainty(ticks)), np.shape(line.covers(ticks))) == (shape, shape)


@given(st.floats(0, 1), st.floats(0, 1e-6), st.integers(0, 10**9))
def test_uncertainty_grows_along_a_segment_and_starts_anew_in_the_next(sigma: float, growth: float, after: int) -> None:
    sure = clock(
        [10, 10 + 10**9],
        [EPOCH, EPOCH + 10**18],
        [1.0, 0.5],
        sigmas=np.array([sigma, 1e-6]),
        sigma_rates=np.array([growth, 2e-9]),
    )
    assert sure.uncertainty(10) == sigma
    assert sure.uncertainty(10 + 10**9) == 1e-6
    within = min(after, 10**9 - 1)
    assert sure.uncertainty(10 + within) == pytest.approx((sigma**2 + (growth * within) ** 2) ** 0.5, rel=1e-12)
    assert sure.uncertainty(10 + 10**9 + after) == pytest.approx((1e-12 + (1e-9 * after) ** 2) ** 0.5, rel=1e-12)


def test_an_unknown_uncertainty_stays_unknown() -> None:
    assert np.isnan(of_one_line().uncertainty([0, 5])).all()
    assert np.isnan(of_one_line(sigma_rates=np.array([1e-9])).uncertainty(10**9))


@given(
    st.integers(2, 2**31),
    st.lists(st.tuples(st.integers(0, 5 * 10**9), st.floats(-0.49, 0.49)), min_size=1, max_size=20),
    st.sampled_from([1.0, RATE, 0.1]),
)
def test_a_rolled_over_counter_is_told_by_a_guess_that_is_less_than_half_a_rollover_off(
    modulus: int, packets: list[tuple[int, float]], rate: float
) -> None:
    # In the order and number that packets happen to come in: unsorted, twice, with gaps.
    line = of_one_line(rate=rate, modulus=modulus)
    ticks = np.array([tick for tick, _ in packets])
    wrong = np.array([int(share * (modulus - 2)) for _, share in packets])
    guess = line.to_tai(np.maximum(ticks + wrong, 0))
    assert np.array_equal(line.continuous(ticks % modulus, guess), ticks)


PARTITIONS = np.array([[0, 5000], [50, 5050], [100, 9000]])
RESETS = clock(
    [0, 5000, 10_000],
    [EPOCH, EPOCH + 6000 * SECOND, EPOCH + 12_000 * SECOND],
    [1, 1, 1],
    partitions=PARTITIONS,
    stop=18_900 + 1,
)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 8900), st.integers(-1500, 1500)), min_size=1).map(
        lambda packets: [p for p in packets if p[0] == 2 or p[1] < 5000]
    )
)
def test_a_reset_counter_is_told_by_a_guess_that_is_less_than_half_the_time_between_resets_off(packets: list) -> None:
    partition, after, wrong = (np.array([p[i] for p in packets], np.int64) for i in range(3))
    ticks = np.array([0, 5000, 10_000])[partition] + after
    counts = PARTITIONS[partition, 0] + after
    guess = RESETS.to_tai(ticks) + wrong * SECOND
    assert np.array_equal(RESETS.continuous(counts, guess), ticks)


def test_a_counter_that_is_reset_and_rolls_over_is_told_too() -> None:
    both = of_one_line(rate=1.0, partitions=np.array([[0, 5000], [10, 9000]]), modulus=1000)
    ticks = np.array([0, 1, 999, 1000, 4499, 4999, 5001, 5500, 5989, 5990, 13_989])
    shown = np.where(ticks < 5000, ticks, ticks - 5000 + 10) % 1000
    for wrong in (-480, -1, 0, 1, 480):
        assert np.array_equal(both.continuous(shown, both.to_tai(ticks) + wrong * SECOND), ticks)
    assert both.continuous([7, 7, 7], EPOCH + np.array([6, 1, 3]) * 1000 * SECOND).tolist() == [5997, 1007, 3007]


def test_a_count_that_no_partition_has_is_covered_by_no_correlation() -> None:
    ticks = RESETS.continuous([99, 4000, 9001, -1, 8000], RESETS.to_tai(12_000))
    assert ticks.tolist() == [5049, 13_900, -1, -1, 17_900]
    assert RESETS.covers(ticks).tolist() == [True, True, False, False, True]


def test_packets_are_looked_at_one_by_one() -> None:
    line = of_one_line(modulus=2**16)
    ticks = np.random.default_rng(5).integers(0, 2**40, 1000)
    guess = line.to_tai(ticks) + np.random.default_rng(6).integers(-SECOND // 3, SECOND // 3, 1000)
    shown = ticks % 2**16
    whole = line.continuous(shown, guess)
    assert np.array_equal(whole, ticks)
    assert [int(line.continuous(c, g)) for c, g in zip(shown[:50], guess[:50], strict=True)] == whole[:50].tolist()
    assert np.array_equal(line.continuous(shown.astype("u2"), guess), whole)
    assert np.array_equal(
        np.concatenate([line.continuous(shown[a:b], guess[a:b]) for a, b in pairwise([0, 1, 1000])]), whole
    )


def payload(**more: object) -> xr.Dataset:
    columns = {"ticks": [0, 100], "tai": [EPOCH, EPOCH + 100 * SECOND], "rate": [1.0, 1.1], "sigma": [1e-6, 2e-6]}
    return xr.Dataset({name: ("segment", values) for name, values in columns.items()} | more)


def reference(values: xr.Dataset | None) -> Reference:
    return Reference("beacon", "clock", "*", 0, 1, 0, "0" * 64, "clock.nc", payload=values)


def test_a_clock_comes_from_a_reference_or_its_payload() -> None:
    full = payload(
        sigma_rate=("segment", [1e-9, 2e-9]),
        stop=((), 201),
        modulus=((), 50),
        partitions=(("partition", "edge"), [[0, 100], [0, 100]]),
    )
    for source in (full, reference(full)):
        found = Clock.from_reference(source)
        assert found.to_tai([0, 100, 200]).tolist() == [EPOCH, EPOCH + 100 * SECOND, EPOCH + 210 * SECOND]
        assert found.uncertainty(200) == pytest.approx(np.hypot(2e-6, 2e-9 * 110), rel=1e-12)
        assert (found.stop, found.modulus, found.partitions.tolist()) == (201, 50, [[0, 100], [0, 100]])
        assert found.continuous(30, EPOCH + 135 * SECOND) == 130
    plain = Clock.from_reference(payload())
    assert (plain.scale, plain.stop, plain.modulus, plain.partitions) == ("tai", None, None, None)
    assert plain.sigma_rates.tolist() == [0, 0]
    single = Clock.from_reference(payload().isel(segment=0))
    assert single.to_tai(7) == EPOCH + 7 * SECOND


@pytest.mark.parametrize("name", ["ticks", "tai", "rate", "sigma"])
def test_a_reference_without_a_column_is_refused(name: str) -> None:
    for source in (payload().drop_vars(name), reference(payload().drop_vars(name))):
        with pytest.raises(IlrsError, match=f"a clock correlation without {name}$"):
            Clock.from_reference(source)
    with pytest.raises(IlrsError, match=r"without ticks, tai, rate, sigma"):
        Clock.from_reference(reference(None))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"ticks": np.array([5, 5])}, "ticks below 0, or that do not increase"),
        ({"ticks": np.array([5, 4])}, "ticks below 0, or that do not increase"),
        ({"ticks": np.array([5])}, r"columns of \[1, 2\] rows"),
        (
            {name: np.array([]) for name in ("ticks", "times", "rates", "sigmas", "sigma_rates")},
            r"columns of \[0\] rows",
        ),
        ({"rates": np.array([1.0, 0.0])}, "a rate that is no number above 0"),
        ({"rates": np.array([np.nan, 1.0])}, "a rate that is no number above 0"),
        ({"sigmas": np.array([-1.0, 0.0])}, "a negative uncertainty"),
        ({"sigma_rates": np.array([0.0, np.nan])}, "a negative uncertainty"),
        ({"scale": "utc"}, "scale 'utc'; expected tai, tt or et"),
        ({"modulus": 0}, "modulus 0; expected above 0"),
    ],
)
def test_what_is_no_correlation_is_refused(change: dict[str, object], problem: str) -> None:
    with pytest.raises(IlrsError, match=rf"no clock correlation: .*{problem}"):
        replace(clock([0, 10], [EPOCH, EPOCH + 10], [1, 1]), **change)


def test_a_clock_travels_to_a_worker() -> None:
    ticks: NDArray[np.int64] = np.arange(0, 18_900, 7)
    again = pickle.loads(pickle.dumps(RESETS))  # noqa: S301 - our own
    assert np.array_equal(again.to_tai(ticks), RESETS.to_tai(ticks))
    assert np.array_equal(again.partitions, RESETS.partitions)
