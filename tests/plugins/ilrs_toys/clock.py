"""A clock that shows a number: the toy with a regular axis, and steps of every kind."""

import numpy as np
import xarray as xr

from ilrs_science import Duration, Granule, Instrument, Product, Reference, Site, Variable, set_flag, step
from ilrs_toys.raw import read


def to_units(ds: xr.Dataset, *, factor: float = 2.0, noise: float = 0.5) -> xr.Dataset:
    """Multiply; fails on the samples that say so."""
    if bool(ds.breaks.any()):
        raise ValueError("a sample breaks this step")
    value = (ds.signal * factor).astype("f4")
    return ds.assign(
        value=xr.concat([value, -value], "axis").transpose("time", "axis"),
        value_uncertainty=(("time", "axis"), np.full((ds.sizes["time"], 2), noise, "f4")),
        number=ds.counts.astype("i4"),
    )


def by_reference(ds: xr.Dataset, *, gain: Reference) -> xr.Dataset:
    """Multiply by the gain that is valid at each time."""
    return ds.assign(signal=ds.signal * float(gain["gain"]))


def set_clock(ds: xr.Dataset, *, clock: Reference, limit: Duration) -> xr.Dataset:
    """Take the offset of the clock off."""
    return ds.assign_coords(tai=ds.tai - np.timedelta64(int(clock["offset"]), "ns"))


set_clock = step(margin="limit")(set_clock)


@step(margin="window")
def sum_near(ds: xr.Dataset, *, window: Duration) -> xr.Dataset:
    """Replace every signal by the exact sum of those within `window` to either side."""
    times = ds.tai.values.astype(np.int64)
    total = np.concatenate([[0.0], np.cumsum(np.nan_to_num(ds.signal.values))])
    low, high = np.searchsorted(times, times - int(window)), np.searchsorted(times, times + int(window), side="right")
    return ds.assign(signal=("time", total[high] - total[low]))


@step(margin="window")
def sum_near_by_reference(ds: xr.Dataset, *, gain: Reference, window: Duration) -> xr.Dataset:
    """Do the same, and multiply by the gain that is valid at each time."""
    summed = sum_near(ds, window=window)
    return summed.assign(signal=summed.signal * float(gain["gain"]))


def turns(ds: xr.Dataset, *, turn: Duration) -> xr.Dataset:
    """Number the turns of so long, from 0 to 2 and again."""
    return ds.assign(turn=("time", ds.tai.values.astype(np.int64) // int(turn) % 3))


@step(group="turn", limit="limit")
def less_first(ds: xr.Dataset, *, gain: Reference, limit: Duration) -> xr.Dataset:
    """Subtract the first signal of a turn, multiplied by the gain valid there."""
    return ds.assign(signal=ds.signal - ds.signal.values[0] * float(gain["gain"]))


@step(group="turn", limit="limit")
def sums(ds: xr.Dataset, *, limit: Duration) -> xr.Dataset:
    """Make one row of a turn: the sum of its signals; none of one that begins with an odd number."""
    return _summed(ds).isel(time=slice(1 - ds.counts.values[0] % 2))


@step(window="window", overlap="overlap")
def sums_of_windows(ds: xr.Dataset, *, window: Duration, overlap: Duration) -> xr.Dataset:
    """Make one row of a window."""
    return _summed(ds)


@step(window="window", overlap="overlap")
def less_mean(ds: xr.Dataset, *, window: Duration, overlap: Duration) -> xr.Dataset:
    """Take the mean of a window off all of its signals."""
    return ds.assign(signal=ds.signal - np.nan_to_num(ds.signal.values).mean())


@step(margin=2, limit="limit")
def sum_of_five(ds: xr.Dataset, *, limit: Duration) -> xr.Dataset:
    """Replace each signal by the sum of it and of two samples to either side."""
    padded = np.pad(np.nan_to_num(ds.signal.values), 2)
    return ds.assign(signal=("time", sum(padded[k : k + ds.sizes["time"]] for k in range(5))))


@step(margin=2, limit="limit")
def five_by_reference(ds: xr.Dataset, *, gain: Reference, limit: Duration) -> xr.Dataset:
    """Do the same, and multiply by the gain."""
    summed = sum_of_five(ds, limit=limit)
    return summed.assign(signal=summed.signal * float(gain["gain"]))


def _summed(ds: xr.Dataset) -> xr.Dataset:
    """Return one row in the middle of samples, which carries no quality."""
    times = ds.tai.values.astype(np.int64)
    middle = int(times[0] + (times - times[0]).sum() // len(times))
    columns = {"signal": ("time", [ds.signal.values.sum()]), "counts": ("time", ds.counts.values[:1])}
    columns["breaks"] = ("time", [ds.breaks.values.any()])
    return xr.Dataset(columns, {"tai": ("time", [middle])})


def by_dial(ds: xr.Dataset, *, dial: Reference | None) -> xr.Dataset:
    """Multiply by what a file of text says, if there is one."""
    return ds if dial is None else ds.assign(signal=ds.signal * float(dial["gain"]))


def by_reference_if_any(ds: xr.Dataset, *, gain: Reference | None) -> xr.Dataset:
    """Multiply by the gain, where there is one."""
    return ds if gain is None else ds.assign(signal=ds.signal * float(gain["gain"]))


def between(ds: xr.Dataset, *, gain: tuple[Reference, Reference]) -> xr.Dataset:
    """Multiply by the gain between those that were taken before and after."""
    before, after = gain
    share = (ds.tai.values.astype(np.int64) - before.start) / (after.start - before.start)
    return ds.assign(signal=ds.signal * (float(before["gain"]) * (1 - share) + float(after["gain"]) * share))


def by_nothing(ds: xr.Dataset) -> xr.Dataset:
    """Forget all that was counted."""
    return ds.assign(signal=ds.signal * 0, counts=ds.counts * 0)


def flag_odd(ds: xr.Dataset) -> xr.Dataset:
    """Flag odd counts."""
    return set_flag(ds, "odd", ds.counts % 2 == 1)


@step(resources={"telescope": 2})
def on_a_telescope(ds: xr.Dataset) -> xr.Dataset:
    """Do nothing, where a worker has two telescopes."""
    return ds


def at_site(ds: xr.Dataset, *, site: Site, offset: float) -> xr.Dataset:
    """Add the length of the name of the site."""
    return ds.assign(signal=ds.signal + len(site.name) + offset)


def dithers(ds: xr.Dataset) -> xr.Dataset:
    """Add a number below one that looks random and is the same for a sample whenever it is read."""
    mixed = ds.sample.values * np.uint64(0x9E3779B97F4A7C15)
    return ds.assign(signal=ds.signal + (mixed >> np.uint64(40)) / 2.0**24)


def raises(ds: xr.Dataset) -> xr.Dataset:
    raise RuntimeError("this step always fails")


def shortens(ds: xr.Dataset) -> xr.Dataset:
    return ds.isel(time=slice(1, None))


def drops_quality(ds: xr.Dataset) -> xr.Dataset:
    return ds.drop_vars("quality")


def drops_value(ds: xr.Dataset) -> xr.Dataset:
    return ds.drop_vars("value")


def mutates(ds: xr.Dataset) -> xr.Dataset:
    ds["signal"].values[:] = 0
    return ds


def returns_nothing(ds: xr.Dataset) -> xr.Dataset:
    return None


def moves_time(ds: xr.Dataset) -> xr.Dataset:
    return ds.assign_coords(tai=("time", ds.tai.values.astype(np.int64) + 10))


def moves_utc_alone(ds: xr.Dataset) -> xr.Dataset:
    return ds.assign_coords(time=ds.time + np.timedelta64(10, "ns"))


def drops_tai(ds: xr.Dataset) -> xr.Dataset:
    return ds.drop_vars("tai")


def forgets_a_time(ds: xr.Dataset) -> xr.Dataset:
    return ds.assign_coords(tai=("time", np.full(ds.sizes["time"], np.datetime64("NaT", "ns"))))


@step(margin="3 s")
def moves_time_too_far(ds: xr.Dataset) -> xr.Dataset:
    return ds.assign_coords(tai=ds.tai + np.timedelta64(5, "s"))


def widens_quality(ds: xr.Dataset) -> xr.Dataset:
    return ds.assign(quality=ds.quality.astype("u8") | 2**40)


VALUE = Variable("value", ("time", "axis"), "f4", units="V", about="what the clock shows, and its opposite")
NUMBER = Variable("number", ("time",), "i4", units="1", about="counts", uncertainty=False)


def read_gain(granule: Granule) -> xr.Dataset:
    """Decode a gain from a line of text."""
    return xr.Dataset({"gain": ((), float(granule.read_bytes()))})


instrument = Instrument(
    name="toy-clock",
    files="*.toy",
    read=read,
    load={"dial": read_gain},
    steps=(
        *(by_nothing, to_units, by_reference, set_clock, sum_near, sum_near_by_reference, flag_odd, at_site),
        *(
            between,
            by_reference_if_any,
            by_dial,
            on_a_telescope,
            dithers,
            turns,
            less_first,
            sums,
            sums_of_windows,
            less_mean,
            sum_of_five,
            five_by_reference,
        ),
        *(raises, shortens, drops_quality, drops_value, mutates, returns_nothing, moves_time, moves_time_too_far),
        *(widens_quality, moves_utc_alone, drops_tai, forgets_a_time),
    ),
    product=Product(
        VALUE, NUMBER, quality=("time",), flags=("odd",), about="a toy clock", coordinates={"axis": ("up", "down")}
    ),
)
