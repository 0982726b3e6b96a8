"""What readers tell as TAI, given as two times: `time` in UTC, by which people select, and `tai`, exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ilrs_science.geometry.labels import TAI, both_times
from ilrs_science.geometry.time import FIRST_UTC


def with_both_times(data: Any) -> Any:
    """Return what a reader made with both times, datetime64[ns], in every group that tells time.

    Samples before 1960, where there is no UTC (as those of a clock that was not yet set), are rejected and counted.

    Parameters
    ----------
    data
        A dataset or a tree with coordinates `time` of int64 TAI ns, which say that they are; all else stays as it is.
    """
    if isinstance(data, xr.DataTree):
        groups = {group.path: _both(group.to_dataset(inherit=False)) for group in data.subtree}
        return xr.DataTree.from_dict(groups, name=data.name)
    return _both(data) if isinstance(data, xr.Dataset) else data


def _both(ds: xr.Dataset) -> xr.Dataset:
    time = ds.coords.get("time")
    if time is None or time.dtype != np.int64 or time.attrs.get("time_scale") != TAI["time_scale"]:
        return ds
    early = time.values < FIRST_UTC
    if early.any():
        ds = _without(ds, early)
        return _both(ds) if "time" in ds.coords else ds
    # What says `units` cannot be stored as a datetime64; and a file may call something of its own `tai`.
    about = {name: value for name, value in time.attrs.items() if name not in ("units", "calendar")}
    free = ds.rename(tai="native_tai") if "tai" in ds.variables else ds
    return free.assign_coords(both_times(time.values, time.dims, about))


def _without(ds: xr.Dataset, early: NDArray[np.bool_]) -> xr.Dataset:
    """Return a dataset without the samples of before there was UTC, or without the time of a whole image."""
    if not early.ndim:
        return ds.drop_vars("time")
    rejected = {**ds.attrs.get("rejected", {}), "a time before 1960": int(early.sum())}
    return ds.isel({ds["time"].dims[0]: ~early}).assign_attrs(rejected=rejected)
