"""Coadding: many frames of one field become one."""

from __future__ import annotations

import xarray as xr

from ilrs_science.errors import CubeError


def coadd(cube: xr.Dataset, variable: str = "rate", weight: str = "exposure") -> xr.Dataset:
    """Return the weighted mean over time of the samples without any flag; lazy where the cube is.

    mean = sum(w v) / sum(w); its uncertainty, sqrt(sum(w^2 u^2)) / sum(w), is the random part of independent samples.

    Parameters
    ----------
    cube
        A cube, or a selection of one, with `quality`.
    variable
        What to average.
    weight
        Variable of the weights along `time`.

    Returns
    -------
    `<variable>`, `<variable>_uncertainty` where the cube has one, `<weight>`, the sum of the weights used, and `count`,
    the number of samples used. Where there is none, the values are NaN. Sums run in float64, the mean has the dtype of
    the variable.

    Raises
    ------
    KeyError
        The cube has no such variable, or no `quality`.
    CubeError
        The variable is counts of events.
    """
    values = cube[variable]
    if values.attrs.get("distribution") == "Poisson":
        raise CubeError(
            f"{variable} are counts, which are summed and not averaged: cube.ilrs.rate(every=..., over=...)"
        )
    good = (cube["quality"] == 0) & values.notnull()
    weights = cube[weight].astype("f8").where(good, 0.0)
    total = weights.sum("time")
    reached = total > 0
    mean = (weights * values.where(good, 0.0)).sum("time") / total.where(reached)
    out = xr.Dataset({variable: mean.astype(values.dtype).assign_attrs(values.attrs)})
    name = f"{variable}_uncertainty"
    if name in cube:
        variance = (weights**2 * cube[name].where(good, 0.0).astype("f8") ** 2).sum("time", skipna=False)
        uncertainty = variance**0.5 / total.where(reached)
        out[name] = uncertainty.astype(cube[name].dtype).assign_attrs(cube[name].attrs)
    about = {"long_name": f"total {weight} of the samples used"}
    out[weight] = total.assign_attrs({**cube[weight].attrs, **about})
    out["count"] = good.sum("time").assign_attrs(units="1", long_name="samples used")
    return out.drop_vars([one for one in out.coords if "time" in out[one].dims])
