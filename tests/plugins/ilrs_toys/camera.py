"""A camera of four pixels: the toy with an exposure axis."""

import numpy as np
import xarray as xr

from ilrs_science import Instrument, Product, Variable
from ilrs_toys.raw import read


def expose(ds: xr.Dataset, *, factor: float = 1.0) -> xr.Dataset:
    """Spread each number over four pixels; fails on the samples that say so."""
    if bool(ds.breaks.any()):
        raise ValueError("a frame breaks this step")
    pixels = xr.DataArray(np.arange(4, dtype="f4").reshape(2, 2), dims=("y", "x"))
    frame = ((ds.signal * factor).astype("f4") + pixels).transpose("time", "y", "x")
    return ds.assign(frame=frame, frame_uncertainty=xr.ones_like(frame))


FRAME = Variable("frame", ("time", "y", "x"), "f4", units="1", about="a frame")

instrument = Instrument(
    name="toy-frames",
    files="*.frames",
    read=read,
    steps=(expose,),
    product=Product(FRAME, exposures=True, about="a toy camera", coordinates={"y": 2, "x": 2}),
)
