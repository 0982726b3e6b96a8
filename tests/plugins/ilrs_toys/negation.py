"""A step that any instrument may use, contributed under another name than its own."""

import xarray as xr


def change_of_sign(ds: xr.Dataset) -> xr.Dataset:
    """Turn the sign of the signal."""
    return ds.assign(signal=-ds.signal)
