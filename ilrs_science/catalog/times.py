"""The two times of samples: `time`, UTC, by which people select; and `tai`, exact, by which everything is computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from ilrs_science.errors import FormatError, IlrsError
from ilrs_science.geometry.labels import both_times
from ilrs_science.geometry.moments import read_moments
from ilrs_science.geometry.time import Nanoseconds, refuse_left_open, squeezed, utc_to_tai

_EITHER = "read gives a coordinate along time: tai (int64 or datetime64, TAI ns), or time (datetime64, UTC)"


def with_times(ds: xr.Dataset) -> xr.Dataset:
    """Return samples with both times as coordinates along `time`, datetime64[ns]: `time`, the index, and `tai`.

    Raises
    ------
    FormatError
        As in `sample_times`; or there are both, and they contradict each other.
    """
    tai = sample_times(ds)
    try:
        made = both_times(tai)
    except IlrsError as error:
        raise FormatError(f"tai: {error}") from error
    if "time" in ds.coords and "tai" in ds.coords:
        _refuse_contradiction(_nanoseconds("time", ds["time"].values), made["time"].values.astype(np.int64), tai)
    return ds.assign_coords(made)


def sample_times(ds: xr.Dataset) -> Nanoseconds:
    """Return the times of samples as native int64 TAI ns: `tai` where there is one, or else made of `time`.

    Raises
    ------
    FormatError
        There is neither `tai`, int64 or datetime64, nor `time`, datetime64 in UTC, as a coordinate along `time`; a time
        is not known; or UTC leaves open which samples lie in a leap second.
    """
    for name in ("time", "tai"):
        if name in ds.coords and ds[name].dims != ("time",):
            raise FormatError(f"{_EITHER}; found {name} along {ds[name].dims}")
    if "time" in ds.coords and ds["time"].dtype.kind != "M":
        raise FormatError(
            f"{_EITHER}; found time of {ds['time'].dtype}: name it tai if it is TAI ns, or make it datetime64 in UTC"
        )
    if "tai" not in ds.coords:
        return _from_utc(ds)
    tai = ds["tai"].values
    if tai.dtype.kind != "M" and tai.dtype.newbyteorder("=") != np.int64:
        raise FormatError(f"{_EITHER}; found tai of {tai.dtype}")
    if tai.dtype.kind == "M":
        tai = _nanoseconds("tai", tai)
    return np.asarray(tai, np.int64)


def _refuse_contradiction(given: Nanoseconds, made: Nanoseconds, tai: Nanoseconds) -> None:
    """Refuse a `time` that is not that of `tai`, all int64 ns."""
    # Before 1972 a nanosecond may go to rounding; at a leap second a file labels samples in its own way.
    off = np.abs(given - made)
    if (off > 1).any() and (far := (off > 1) & ~squeezed(tai)).any():
        raise FormatError(
            f"time and tai of {int(far.sum())} samples contradict each other, by up to {off[far].max() / 1e9:g} s; "
            "read gives one of them"
        )


def _from_utc(ds: xr.Dataset) -> Nanoseconds:
    if "time" not in ds.coords:
        raise FormatError(f"{_EITHER}; found coordinates {list(ds.coords)}")
    utc = _nanoseconds("time", ds["time"].values)
    try:
        refuse_left_open(utc)
        return utc_to_tai(utc)
    except IlrsError as error:
        raise FormatError(f"time: {error}") from error


def _nanoseconds(name: str, values: np.ndarray[Any, Any]) -> Nanoseconds:
    try:
        return read_moments(values, "utc")[0]
    except IlrsError as error:
        raise FormatError(f"{name}: {error}") from error
