"""The samples of a granule, read once in a process and held to what its index promised."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ilrs_science.catalog import good_of, rejected_counts, sample_times, with_times
from ilrs_science.errors import FormatError, foreign
from ilrs_science.model.good import GOOD
from ilrs_science.model.granule import Granule
from ilrs_science.model.instrument import Instrument
from ilrs_science.model.part import Task
from ilrs_science.model.product import Product
from ilrs_science.raw.kept import Kept

decoded = Kept(256 * 2**20)
"""What this process has read: a file that many parts need is decoded once."""


def samples_of(granule: Granule, instrument: Instrument, task: Task) -> xr.Dataset:
    """Return the samples of a granule with both times.

    Raises
    ------
    FormatError
        They are not what the index of the granule promised.
    OutageError
        The file cannot be read, or is another than the indexed one.
    """
    key = (instrument.name, task.plugin, task.code[granule.format], granule.url, str(granule.identity))
    return decoded.get(key, lambda: _read(instrument, granule))


def _read(instrument: Instrument, granule: Granule) -> xr.Dataset:
    """Read a granule and hold it to what its index promised."""
    with foreign(f"read of {instrument.name}"):
        ds = with_times(instrument.read(granule))
    times = sample_times(ds)
    yielded = times.size + sum(rejected_counts(ds).values())
    if yielded != granule.count:
        raise FormatError(f"declared {granule.count} samples, read {yielded}")
    if times.size and (times.min() < granule.start or times.max() >= granule.stop):
        raise FormatError("has samples outside its declared span")
    if granule.times and not np.isin(times, granule.times).all():
        raise FormatError("has exposures at undeclared times")
    ds = with_good(ds, granule, instrument.product)
    loose = [str(name) for name, one in ds.data_vars.items() if "time" not in one.dims]
    if loose:
        raise FormatError(f"read gave variables without time: {', '.join(loose)}; repeat them along time")
    return ds


def with_good(ds: xr.Dataset, granule: Granule, product: Product) -> xr.Dataset:
    """Return samples; events with good intervals as steps get them, all in the declared span of their granule.

    Raises
    ------
    FormatError
        They are missing, cannot be what they claim, or lie outside the span.
    """
    if not product.counts_events:
        # A reader may serve another instrument, too, that counts its events.
        return ds.drop_attrs(deep=False).assign_attrs({key: one for key, one in ds.attrs.items() if key != GOOD})
    good = good_of(ds, product)
    if good.sizes["interval"] and (good["start"].min() < granule.start or good["stop"].max() > granule.stop):
        raise FormatError("has good intervals outside its declared span")
    return ds.assign_attrs({GOOD: good})
