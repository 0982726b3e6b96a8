import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from ilrs_science import Duration
from ilrs_science.errors import IlrsError
from ilrs_science.geometry import Clock, parse_utc
from ilrs_science.geometry.labels import both_times
from ilrs_science.model.quality import COMMON_FLAGS, flag_attributes, flag_table
from ilrs_science.model.reference import Reference
from ilrs_science.model.step import neighbours
from ilrs_science.steps.correlate_clock import correlate_clock

SECOND = 10**9
EPOCH = parse_utc("2031-01-01")
UNCERTAIN = 1 << COMMON_FLAGS.index("clock_uncertain")
COLUMNS = {
    # 256 ticks a second; the second segment runs 100 ppm fast, the third has an unknown sigma.
    "ticks": [1000, 257_000, 769_000],
    "tai": [EPOCH, EPOCH + 1000 * SECOND, EPOCH + 3000 * SECOND + 200_000_000],
    "rate": [1 / 256, 1.0001 / 256, 1 / 256],
    "sigma": [1e-5, 2e-5, np.nan],
    "sigma_rate": [0.0, 1e-6, 0.0],
}


def clock(**more: object) -> Reference:
    payload = xr.Dataset({name: ("segment", values) for name, values in COLUMNS.items()} | {"stop": 1_281_000} | more)
    return Reference("beacon", "clock", "*", 0, 1, 0, "0" * 64, "clock.nc", payload=payload)


def truth(tick: int) -> int:
    """Return TAI ns, in integers."""
    if tick < 257_000:
        return EPOCH + (tick - 1000) * SECOND // 256
    if tick < 769_000:
        return EPOCH + 1000 * SECOND + (tick - 257_000) * 1_000_100_000 // 256
    return EPOCH + 3_000_200_000_000 + (tick - 769_000) * SECOND // 256


def samples(ticks: list[int], wrong: list[int], modulus: int = 2**40) -> xr.Dataset:
    guess = np.array([truth(tick) + error for tick, error in zip(ticks, wrong, strict=True)], np.int64)
    return xr.Dataset(
        {
            "clock_counts": ("time", np.array(ticks, np.int64) % modulus),
            "b": (("time", "axis"), np.arange(3 * len(ticks), dtype="f4").reshape(-1, 3)),
            "quality": ("time", np.full(len(ticks), 2, "u4"), flag_attributes(flag_table(("heater_on",)))),
        },
        both_times(guess),
    )


def tai(ds: xr.Dataset) -> np.ndarray:
    return ds.tai.values.astype(np.int64)


known = st.tuples(st.integers(1000, 768_999), st.integers(-2 * SECOND, 2 * SECOND))


@given(st.lists(known, min_size=1, max_size=30), st.sampled_from([1100, 2**16, 2**40]))
def test_counts_become_the_true_times(rows: list[tuple[int, int]], modulus: int) -> None:
    ticks, wrong = zip(*rows, strict=True)
    # A guess is 2 s off at most, and the shortest rollover 4.3 s.
    after = correlate_clock(samples(ticks, wrong, modulus), clock=clock(modulus=modulus))
    assert np.abs(tai(after) - [truth(tick) for tick in ticks]).max() <= 1
    elapsed = (np.array(ticks) - 257_000) / 256
    sigma = np.where(elapsed < 0, 1e-5, np.hypot(2e-5, 1e-6 * elapsed))
    np.testing.assert_allclose(after.time_uncertainty, sigma, rtol=1e-3)
    assert np.array_equal(after.quality, np.where(sigma <= 1e-3, 2, 2 | UNCERTAIN))


@given(st.lists(known, min_size=2, max_size=20, unique_by=lambda row: row[0]), st.data())
def test_samples_are_placed_one_by_one_however_they_are_cut_and_ordered(rows: list, data: st.DataObject) -> None:
    ticks, wrong = zip(*rows, strict=True)
    ds, reference = samples(ticks, wrong, 2**16), clock(modulus=2**16)
    whole = correlate_clock(ds, clock=reference)
    cut = data.draw(st.integers(0, len(rows)))
    parts = [correlate_clock(ds.isel(time=part), clock=reference) for part in (slice(cut), slice(cut, None))]
    assert xr.concat(parts, "time").identical(whole)
    shuffled = data.draw(st.permutations(range(len(rows))))
    assert correlate_clock(ds.isel(time=shuffled), clock=reference).identical(whole.isel(time=shuffled))


def test_samples_that_are_there_twice_stay_there_twice() -> None:
    after = correlate_clock(samples([5000, 5000, 4000], [0, SECOND, 5]), clock=clock())
    assert tai(after).tolist() == [truth(5000), truth(5000), truth(4000)]


@pytest.mark.parametrize(
    ("tick", "wrong", "why"),
    [
        (999, 0, "before the first segment"),
        (1_281_000, 5, "after the last segment"),
        (5000, 2 * SECOND + 1, "moved by more than the limit"),
        (5000, -2 * SECOND - 1, "moved by more than the limit"),
        (300_000, 10**15, "a guess of another week"),
    ],
)
def test_a_count_that_is_not_believed_keeps_its_guess_and_is_flagged(tick: int, wrong: int, why: str) -> None:
    ds = samples([4000, tick, 6000], [0, wrong, 0])
    after = correlate_clock(ds, clock=clock())
    assert tai(after)[1] == tai(ds)[1], why
    assert np.isnan(after.time_uncertainty.values).tolist() == [False, True, False]
    assert after.quality.values.tolist() == [2, 2 | UNCERTAIN, 2]
    assert tai(after)[[0, 2]].tolist() == [truth(4000), truth(6000)]


def test_a_count_that_no_partition_has_keeps_its_guess() -> None:
    reference = clock(partitions=(("partition", "edge"), [[0, 5000], [100, 10**6]]))
    ds = samples([4000, 6000, 6001], [0, 0, 0]).assign(clock_counts=("time", [4000, 1100, 10**6 + 1]))
    after = correlate_clock(ds, clock=reference)
    assert tai(after).tolist() == [truth(4000), truth(6000), tai(ds)[2]]
    assert after.quality.values.tolist() == [2, 2, 2 | UNCERTAIN]


def test_up_to_the_limit_a_sample_may_move() -> None:
    ds = samples([5000, 5000, 5000], [10 * SECOND, -10 * SECOND, 10 * SECOND + 1])
    after = correlate_clock(ds, clock=clock(), limit=Duration("10 s"))
    assert tai(after).tolist() == [truth(5000), truth(5000), truth(5000) + 10 * SECOND + 1]
    assert neighbours(correlate_clock).margin == "limit"


def test_beyond_the_tolerance_or_unknown_a_time_is_put_right_and_flagged() -> None:
    ticks = [5000, 257_000 + 256 * 100, 257_000 + 256 * 1500, 800_000]
    for tolerance, flags in [(1e-3, [0, 0, 1, 1]), (1e-5, [0, 1, 1, 1]), (5e-6, [1, 1, 1, 1]), (np.inf, [0, 0, 0, 1])]:
        after = correlate_clock(samples(ticks, [7, 8, 9, 10]), clock=clock(), tolerance=tolerance)
        assert np.abs(tai(after) - [truth(tick) for tick in ticks]).max() <= 1
        assert after.quality.values.tolist() == [2 | UNCERTAIN * flag for flag in flags]
        assert np.isnan(after.time_uncertainty.values).tolist() == [False, False, False, True]


def test_everything_else_and_the_input_stay_as_they_are() -> None:
    ds, reference = samples([5000, 999, 800_000], [11, 12, 13]), clock()
    kept, correlation = ds.copy(deep=True), reference.payload.copy(deep=True)
    after = correlate_clock(ds, clock=reference)
    assert ds.identical(kept)
    assert reference.payload.identical(correlation)
    assert after.drop_vars(["time_uncertainty", "quality", "tai"]).identical(ds.drop_vars(["quality", "tai"]))
    assert after.tai.attrs == ds.tai.attrs
    assert after.quality.attrs == ds.quality.attrs
    assert (after.tai.dtype, after.quality.dtype, after.time_uncertainty.dtype) == ("M8[ns]", np.uint32, np.float32)
    assert after.time_uncertainty.attrs["units"] == "s"


def test_a_block_without_samples_gets_the_same_variables() -> None:
    ds = samples([5000], [0])
    empty, one = (correlate_clock(part, clock=clock()) for part in (ds.isel(time=slice(0)), ds))
    assert empty.identical(one.isel(time=slice(0)))


def test_counts_may_have_another_name_and_any_integer_type() -> None:
    ds = samples([5000, 6000], [1, 2]).rename(clock_counts="met")
    for kind in ("u2", "i4", "u4", "i8"):
        after = correlate_clock(ds.assign(met=ds.met.astype(kind)), clock=clock(), counts="met")
        assert tai(after).tolist() == [truth(5000), truth(6000)]
        assert after.met.dtype == kind
    with pytest.raises(KeyError, match="clock_counts"):
        correlate_clock(ds, clock=clock())


def test_a_reference_that_is_no_correlation_is_refused() -> None:
    incomplete = clock()
    with pytest.raises(IlrsError, match="without ticks, tai, rate, sigma"):
        correlate_clock(samples([5000], [0]), clock=Reference("b", "clock", "*", 0, 1, 0, "0" * 64, "clock.nc"))
    with pytest.raises(IlrsError, match="ticks below 0, or that do not increase"):
        correlate_clock(samples([5000], [0]), clock=clock(ticks=("segment", [5, 5, 6])))
    assert Clock.from_reference(incomplete).to_tai(5000) == truth(5000)
