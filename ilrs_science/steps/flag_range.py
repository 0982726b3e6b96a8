"""Flag values that cannot be."""

from __future__ import annotations

import xarray as xr

from ilrs_science.model.quality import set_flag


def flag_range(
    ds: xr.Dataset,
    *,
    variable: str,
    minimum: float | None = None,
    maximum: float | None = None,
    flag: str = "out_of_range",
) -> xr.Dataset:
    """Flag values below `minimum` or above `maximum`, in the units of the variable; values stay as they are.

    Parameters
    ----------
    ds
        Samples with the variable along `time`.
    variable
        Name of the variable.
    minimum, maximum
        Bounds that are still good; None sets no bound.
    flag
        Quality flag to raise, where any component is out of range.
    """
    values = ds[variable]
    outside = xr.zeros_like(values, dtype=bool)
    if minimum is not None:
        outside = outside | (values < minimum)
    if maximum is not None:
        outside = outside | (values > maximum)
    return set_flag(ds, flag, outside.any([name for name in outside.dims if name not in ds["quality"].dims]))
