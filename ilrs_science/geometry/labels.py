"""Results as labelled arrays: dimensions and time of what was asked for, units, frame and ephemeris in attributes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ilrs_science.geometry.ephemeris import Ephemeris
from ilrs_science.geometry.moments import Moments
from ilrs_science.geometry.time import FIRST_UTC, Nanoseconds, squeezed_utc

UTC = {"standard_name": "time", "long_name": "time (time_scale: UTC)", "time_scale": "UTC"}
"""Of a coordinate `time`: what people select, resample and join by; seconds at an inserted one are squeezed."""
TAI = {"standard_name": "time", "long_name": "time (time_scale: TAI)", "time_scale": "TAI"}
"""Of a coordinate `tai`: the exact time."""


def both_times(
    tai: Nanoseconds, dims: str | Sequence[Hashable] = "time", attributes: Mapping[str, Any] | None = None
) -> dict[Hashable, xr.Variable]:
    """Return the coordinates `time` (UTC) and `tai` of samples, datetime64[ns].

    Parameters
    ----------
    tai
        TAI ns since 1970, int64, any shape.
    dims
        Its dimensions.
    attributes
        What else both of them say.

    Raises
    ------
    IlrsError
        A time before 1960, where UTC begins.
    """
    ns, about = np.asarray(tai, np.int64), dict(attributes or {})
    return {
        "time": xr.Variable(dims, squeezed_utc(ns).astype("M8[ns]", copy=False), about | UTC),
        "tai": xr.Variable(dims, ns.astype("M8[ns]"), about | TAI),
    }


def dataset(
    variables: Mapping[str, tuple[NDArray[Any], Mapping[str, str]]],
    time: Moments,
    moments: Nanoseconds,
    attributes: Mapping[str, str],
    ephemeris: Ephemeris,
) -> xr.Dataset:
    """Return values with their attributes, by name.

    Parameters
    ----------
    variables
        Values of the shape of `moments`, each with its attributes.
    time
        What the user asked for; a `DataArray` hands on its dimensions and coordinates.
    moments
        The same, int64 ns of TAI.
    attributes
        Of the dataset.
    ephemeris
        What was used.
    """
    if isinstance(time, xr.DataArray):
        dims = time.dims
        coordinates = {name: values.variable for name, values in time.coords.items() if name not in variables}
    else:
        dims = ("time",) if moments.ndim == 1 else tuple(f"time_{i}" for i in range(moments.ndim))
        # Before 1960 there is no UTC, and a result has the exact time alone.
        early = bool(moments.size) and int(moments.min()) < FIRST_UTC
        exact: dict[Hashable, xr.Variable] = {"tai": xr.Variable(dims, moments.astype("M8[ns]"), TAI)}
        coordinates = exact if early else both_times(moments, dims)
    arrays = {name: (dims, values, dict(attrs)) for name, (values, attrs) in variables.items()}
    about = {**attributes, "ephemeris": ephemeris.name, "accuracy": ephemeris.accuracy}
    return xr.Dataset(arrays, coordinates, about)


def array(found: xr.Dataset) -> xr.DataArray:
    """Return the one variable of a dataset, with its attributes and those of the dataset."""
    (name,) = found.data_vars
    return found[name].assign_attrs(found.attrs)


def degrees(about: str, standard_name: str = "") -> dict[str, str]:
    """Return the attributes of an angle."""
    return {"units": "degree", "long_name": about, **({"standard_name": standard_name} if standard_name else {})}
