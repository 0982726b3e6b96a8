"""Rates of events: counts, background and exposure are summed first, and the root is taken at the end."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import xarray as xr

from ilrs_science.errors import CubeError
from ilrs_science.model.duration import Duration

_SUMS = ("counts", "counts_variance", "ontime", "exposure")


def rate(
    cube: xr.Dataset,
    *,
    over: Sequence[str] = (),
    every: Duration | str | None = None,
    background: xr.Dataset | None = None,
    ratio: float = 1.0,
) -> xr.Dataset:
    """Return counts per second of exposure; lazy where the cube is.

    With n counts in E seconds the rate is n / E and its 1 sigma sqrt(n + 1) / E, which is right on average over the
    rates that may have given n counts, and is not zero where there is none (the standard deviation of the posterior
    of a flat prior, a gamma distribution of shape n + 1). Counts are Poisson: roots of single cells are never added.

    Parameters
    ----------
    cube
        A cube of events, or a selection of one.
    over
        Dimensions to sum over. Over a dimension that exposure has, such as modules, both are summed: the rate is that
        of one module.
    every
        Length of the new slots, a multiple of the old; by default they stay. The first begins where the cube does.
    background
        Counts with exposure of the same bins, taken off: n / E - ratio m / B, with the 1 sigma of both.
    ratio
        How much of the background there is in the cube: of areas, say.

    Returns
    -------
    `rate` and `rate_uncertainty` (count / s; NaN where there is no exposure), with the `counts`, `ontime` and
    `exposure` they are made of.

    Raises
    ------
    CubeError
        The cube has no counts of events, no such dimension, `every` is no multiple of its step, the background has
        other times or bins, or the cube was masked with `where`, which spreads exposure over bins.
    """
    over = (over,) if isinstance(over, str) else tuple(dict.fromkeys(over))
    if "time" in over and every is not None:
        raise CubeError("every and over time exclude each other: one makes longer slots, the other leaves none")
    total = _summed(cube, over, every)
    value, variance = _rate_of(total)
    if background is not None:
        other, its_variance = _rate_of(_summed(background, over, every))
        try:
            xr.align(value, other, join="exact")
        except ValueError as error:
            raise CubeError(f"the background has other times or bins than the cube; sum over them ({error})") from error
        value, variance = value - ratio * other, variance + ratio**2 * its_variance
    units = {"units": "count / s"}
    made = {
        "rate": value.assign_attrs(units, long_name="rate of events"),
        "rate_uncertainty": (variance**0.5).assign_attrs(units, long_name="1 sigma of the rate"),
    }
    return total.assign(made)


def _rate_of(total: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray]:
    """Return the rate and its variance."""
    exposure = total["exposure"].where(total["exposure"] > 0)
    # Of weighted events nothing tells how uncertain none is.
    weighted = "counts_variance" in total
    variance = total["counts_variance"].where(total["counts_variance"] > 0) if weighted else total["counts"] + 1
    return total["counts"] / exposure, variance / exposure**2


def _summed(cube: xr.Dataset, over: Sequence[str], every: Duration | str | None) -> xr.Dataset:
    """Return the sums of counts and of times, in float64, which is exact up to 2^53 counts."""
    if problem := _not_summable(cube, over):
        raise CubeError(problem)
    chosen = cube[[name for name in _SUMS if name in cube]].astype("f8")
    # A bin that has no exposure of its own has that of its cell: it is summed over only where counts have it too.
    total = xr.Dataset({name: one.sum([d for d in over if d in one.dims]) for name, one in chosen.data_vars.items()})
    total = total.assign_attrs(cube.attrs)
    return total if every is None else _rebinned(total, cube, Duration(every))


def _not_summable(cube: xr.Dataset, over: Sequence[str]) -> str:
    """Return why the counts of a cube cannot be summed, or an empty text."""
    if "counts" not in cube or "exposure" not in cube:
        return f"no counts of events with their exposure; the cube has {', '.join(map(str, cube.data_vars))}"
    if strange := [one for one in over if one not in cube["counts"].dims]:
        return f"no dimension {', '.join(strange)}; counts have {', '.join(map(str, cube['counts'].dims))}"
    if spread := _spread(cube):
        found = f"exposure has the dimension {', '.join(spread)}, as where() makes it"
        return f"{found}; select with sel or isel, or mask counts alone"
    return ""


def _spread(cube: xr.Dataset) -> list[str]:
    """Return the dimensions that exposure has and the cube was not made with; none where it does not say."""
    product = json.loads(cube.attrs.get("ilrs_schema", "{}")).get("product")
    if product is None:
        return []
    return [str(one) for one in cube["exposure"].dims if one not in ("site", "time", *product["good"])]


def _rebinned(total: xr.Dataset, cube: xr.Dataset, every: Duration) -> xr.Dataset:
    times = cube["tai"].values.astype("datetime64[ns]").astype(np.int64)
    step = int(times[1] - times[0]) if len(times) > 1 else int(every)
    if len(times) > 1 and (step < 0 or (np.diff(times) != step).any()):
        raise CubeError("the selection is not a stretch of slots one after the other; select by a slice of time")
    if every % step or every < step:
        raise CubeError(f"every is {every}; expected a multiple of the step of the cube, {Duration(step)}")
    number = every // step
    bare = total.drop_vars([name for name in total.coords if "time" in total[name].dims])
    return bare.coarsen(time=number, boundary="pad").sum().assign_coords(time=cube["time"].values[::number])
