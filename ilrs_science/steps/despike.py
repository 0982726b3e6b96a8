"""Find samples that stand out from their neighbours."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import xarray as xr

from ilrs_science.model.duration import Duration
from ilrs_science.model.quality import set_flag
from ilrs_science.model.step import step

_MAD_TO_SIGMA = 1.4826  # standard deviation of a normal distribution over its median absolute deviation


@step(margin="window")
def despike(
    ds: xr.Dataset,
    *,
    variable: str = "b",
    window: Duration = Duration("20 s"),  # noqa: B008 - immutable
    threshold: float = 8.0,
    flag: str = "out_of_range",
) -> xr.Dataset:
    """Flag samples that differ from the running median by more than `threshold` robust sigmas; values stay as they are.

    A robust sigma is 1.4826 times the running median absolute deviation, or the stated uncertainty where that is larger
    (Hampel identifier; Davies and Gather 1993, J. Am. Stat. Assoc. 88, 782).

    Parameters
    ----------
    ds
        Samples with the variable along `time`.
    variable
        Name of the variable.
    window
        Full width of the running median, and twice as much for its deviation.
    threshold
        In sigmas.
    flag
        Quality flag to raise, where any component stands out.
    """
    values = ds[variable].transpose("time", ...)
    flat = values.to_numpy().reshape(values.sizes["time"], math.prod(values.shape[1:])).astype(np.float64)
    times = pd.DatetimeIndex(ds["tai"].to_numpy())
    frame = pd.DataFrame(flat, index=times)
    width = pd.Timedelta(int(window), "ns")
    deviation = (frame - frame.rolling(width, center=True, min_periods=1).median()).abs()
    sigma = _MAD_TO_SIGMA * deviation.rolling(width, center=True, min_periods=1).median().to_numpy()
    if f"{variable}_uncertainty" in ds:
        sigma = np.fmax(sigma, ds[f"{variable}_uncertainty"].transpose(*values.dims).to_numpy().reshape(flat.shape))
    stands_out = (deviation.to_numpy() > threshold * sigma).reshape(values.shape)
    mask = xr.DataArray(stands_out, dims=values.dims)
    return set_flag(ds, flag, mask.any([name for name in mask.dims if name not in ds["quality"].dims]))
