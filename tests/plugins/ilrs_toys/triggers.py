"""A detector of jumps: the toy whose samples, or what it makes of them, are rows of a table."""

import numpy as np
import xarray as xr

from ilrs_science import Duration, Instrument, Product, Variable, set_flag, step
from ilrs_toys.clock import turns
from ilrs_toys.raw import read


def as_rows(ds: xr.Dataset) -> xr.Dataset:
    """Take each sample for a row; fails on the samples that say so."""
    if bool(ds.breaks.any()):
        raise ValueError("a sample breaks this step")
    pair = xr.concat([ds.signal, -ds.signal], "axis").transpose("time", "axis").astype("f4")
    words = np.array(["even", "odd"])[ds.counts.values % 2]
    made = ds.assign(pair=pair, pair_uncertainty=pair * 0 + 0.5, number=ds.counts, parity=("time", words))
    return set_flag(made, "odd", made.number % 2 == 1)


def in_numbers(ds: xr.Dataset) -> xr.Dataset:
    """Say the numbers of the words, not the words."""
    return ds.assign(parity=("time", (ds.counts.values % 2).astype("u1")))


@step(group="turn", limit="limit")
def pieces(ds: xr.Dataset, *, limit: Duration) -> xr.Dataset:
    """Make as many rows of a turn as the last digit of its first number says, all at the time of its first sample."""
    return ds.isel(time=np.zeros(int(ds.counts.values[0]) % 4, int))


instrument = Instrument(
    "toy-table",
    files="*.jumps",
    read=read,
    steps=(as_rows, turns, pieces, in_numbers),
    product=Product(
        Variable("pair", ("time", "axis"), "f4", units="V", about="a signal, and its opposite"),
        Variable("number", ("time",), "i4", units="1", uncertainty=False),
        Variable("parity", ("time",), "u1", units="1", categories=("even", "odd")),
        place="table",
        flags=("odd",),
        coordinates={"axis": ("up", "down")},
    ),
)
