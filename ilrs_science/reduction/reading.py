"""The samples of a granule, read once in a process and held to what its index promised."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ilrs_science.catalog import good_of, rejected_counts, sample_times, with_times
from ilrs_science.errors import FormatError, foreign
from ilrs_science.model.good import GOOD
from ilrs_science.model.granule import Granule
from ilrs_science.model.part import Task
from ilrs_science.model.product import Product
from ilrs_science.model.reader import Reader, read_with
from ilrs_science.raw.kept import Kept
from ilrs_science.store import granules

decoded = Kept(256 * 2**20)
"""What this process has read: a file that many parts need is decoded once."""


def samples_of(granule: Granule, reader: Reader, task: Task) -> xr.Dataset:
    """Return the samples of a granule with both times.

    Raises
    ------
    FormatError
        They are not what the index of the granule promised.
    OutageError
        The file cannot be read, or is another than the indexed one.
    """
    key = (reader.name, task.plugin, task.code[granule.format], granule.url, str(granule.identity))
    return decoded.get(key, lambda: _held(reader, granule))


def as_read(reader: Reader, granule: Granule) -> xr.Dataset:
    """Return what a reader gives for a granule: a raw file, or a part of a cube."""
    if reader.reads:
        return granules.samples(granule, reader.flags)
    with foreign(f"read of {reader.name}"):
        return read_with(reader, granule)


def _held(reader: Reader, granule: Granule) -> xr.Dataset:
    """Read a granule and hold it to what its index promised."""
    ds = with_times(as_read(reader, granule))
    times = sample_times(ds)
    yielded = times.size + sum(rejected_counts(ds).values())
    if yielded != granule.count:
        raise FormatError(f"declared {granule.count} samples, read {yielded}")
    if times.size and (times.min() < granule.start or times.max() >= granule.stop):
        raise FormatError("has samples outside its declared span")
    if granule.times and not np.isin(times, granule.times).all():
        raise FormatError("has exposures at undeclared times")
    ds = with_good(ds, granule, reader.events)
    loose = [str(name) for name, one in ds.data_vars.items() if "time" not in one.dims]
    if loose:
        raise FormatError(f"read gave variables without time: {', '.join(loose)}; repeat them along time")
    return ds


def with_good(ds: xr.Dataset, granule: Granule, events: Product | None) -> xr.Dataset:
    """Return samples; events with good intervals as steps get them, all in the declared span of their granule.

    Raises
    ------
    FormatError
        They are missing, cannot be what they claim, or lie outside the span.
    """
    if events is None:
        # A reader may serve another instrument, too, that counts its events.
        return ds.drop_attrs(deep=False).assign_attrs({key: one for key, one in ds.attrs.items() if key != GOOD})
    good = good_of(ds, events)
    if good.sizes["interval"] and (good["start"].min() < granule.start or good["stop"].max() > granule.stop):
        raise FormatError("has good intervals outside its declared span")
    return ds.assign_attrs({GOOD: good})
