"""What a file of events says of the time in which there could have been any."""

from __future__ import annotations

import xarray as xr

from ilrs_science.catalog.times import sample_times
from ilrs_science.errors import FormatError
from ilrs_science.model.good import GOOD, covered, good_intervals, union
from ilrs_science.model.product import Product


def good_of(ds: xr.Dataset, product: Product) -> xr.Dataset:
    """Return the good intervals that `read` gave with events, as `good_intervals` does.

    Raises
    ------
    FormatError
        There are none, they cannot be what they claim, they are of a bin that is none, or no event lies in one though
        there are events.
    """
    if GOOD not in ds.attrs:
        raise FormatError(f"read gave no good intervals: attrs[{GOOD!r}], start and stop, shape (n, 2), int64 TAI ns")
    try:
        good = good_intervals(ds.attrs[GOOD], product.good)
    except ValueError as error:
        raise FormatError(str(error)) from error
    for name in product.good:
        if strange := sorted({int(one) for one in good[name].values if not 0 <= one < product.sizes[name]}):
            raise FormatError(f"good intervals of {name} {strange[0]}, which is no bin: 0 to {product.sizes[name] - 1}")
    times = sample_times(ds)
    start, stop = union(good["start"].values, good["stop"].values)
    if times.size and not covered(times, start, stop).any():
        span = f"{start[0]} to {stop[-1]}" if len(start) else "none"
        raise FormatError(
            f"none of its {times.size} events ({times.min()} to {times.max()} TAI ns) lies in a good interval ({span})"
        )
    return good
