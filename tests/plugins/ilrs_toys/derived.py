"""Toys whose raw data are the cubes of other toys."""

import numpy as np
import xarray as xr

from ilrs_science import Instrument, Product, Variable
from ilrs_toys.clock import NUMBER, VALUE


def again(ds: xr.Dataset) -> xr.Dataset:
    """Give back what the clock showed, with its numbers as they were declared."""
    return ds.assign(number=ds.number.astype("i4"))


def upward(ds: xr.Dataset) -> xr.Dataset:
    """Take one of two axes, by its name."""
    value = ds.value.sel(axis="up", drop=True)
    return ds.assign(upward=value, upward_uncertainty=ds.value_uncertainty.sel(axis="up", drop=True))


def to_rate(ds: xr.Dataset) -> xr.Dataset:
    """Divide what was counted in all bins by the live time of all modules."""
    counts, exposure = ds.counts.sum(("module", "energy")), ds.exposure.sum("module")
    quality = xr.zeros_like(counts, "u4")
    return ds.assign(rate=counts / exposure, quality=quality.where(exposure > 0, 1 << 7).astype("u4"))


def brightest(ds: xr.Dataset) -> xr.Dataset:
    """Take the largest number of a frame."""
    return ds.assign(most=ds.frame.max(("y", "x")).astype("f4"), quality=("time", np.zeros(ds.sizes["time"], "u4")))


UPWARD = Variable("upward", ("time",), "f4", units="V")
clock = Instrument(
    "toy-again",
    reads="toy-clock",
    steps=(again, upward),
    product=Product(VALUE, NUMBER, quality=("time",), flags=("other", "odd"), coordinates={"axis": ("up", "down")}),
)
up = Instrument("toy-up", reads="toy-clock", steps=(upward,), product=Product(UPWARD, place="mean", flags=("odd",)))
unflagged = Instrument("toy-unflagged", reads="toy-clock", steps=(upward,), product=Product(UPWARD))
rates = Instrument(
    "toy-rates",
    reads="toy-photons",
    steps=(to_rate,),
    product=Product(Variable("rate", ("time",), "f8", units="count / s", uncertainty=False)),
)
frames = Instrument(
    "toy-brightest",
    reads="toy-frames",
    steps=(brightest,),
    product=Product(Variable("most", ("time",), "f4", units="1", uncertainty=False), exposures=True),
)


def to_gain(ds: xr.Dataset) -> xr.Dataset:
    """Take a hundredth of what the clock shows for a gain; odd ones are none."""
    return ds.assign(gain=ds.number / 100)


gains = Instrument(
    "toy-gains",
    reads="toy-clock",
    steps=(to_gain,),
    product=Product(
        Variable("gain", ("time",), "f8", units="1", uncertainty=False),
        flags=("odd",),
        reference="gain",
        of=("toy-clock",),
    ),
)
hen = Instrument("toy-hen", reads="toy-egg", steps=(upward,), product=Product(UPWARD))
egg = Instrument("toy-egg", reads="toy-hen", steps=(upward,), product=Product(UPWARD))
