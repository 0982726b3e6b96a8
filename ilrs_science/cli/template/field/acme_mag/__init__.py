"""acme-mag: raw counts to nanotesla."""

import numpy as np
import xarray as xr

from acme_mag.simulate import RECORD, simulate
from ilrs_science import Granule, Instrument, Product, Reference, Variable


def read(granule: Granule) -> xr.Dataset:
    """Decode one raw file of big-endian records."""
    raw = np.frombuffer(granule.read_bytes(), RECORD)
    return xr.Dataset({"counts": (("time", "axis"), raw["counts"].astype("f4"), {"units": "count"})}, {"tai": ("time", raw["tai_ns"])})


def to_nanotesla(ds: xr.Dataset, *, matrix: Reference, noise: float = 0.05) -> xr.Dataset:
    """Apply the 3x3 calibration matrix and offsets. noise: 1 sigma of one sample, nT."""
    b = xr.dot(matrix["gain"], ds.counts - matrix["offset"], dim="axis").rename(axis_out="axis")
    return ds.assign(b=b.astype("f4"), b_uncertainty=xr.full_like(b, noise, dtype="f4"))


B = Variable("b", ("time", "axis"), "f4", units="nT", about="magnetic field in the sensor frame")
product = Product(B, coordinates={"axis": ("x", "y", "z")})
instrument = Instrument("acme-mag", files="*.mag", read=read, steps=(to_nanotesla,), product=product, simulate=simulate)
