"""Samples of one kind put one after the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from ilrs_science.errors import StepError
from ilrs_science.model.good import GOOD, joined_good
from ilrs_science.model.quality import REJECTED


def joined(pieces: Sequence[xr.Dataset]) -> xr.Dataset:
    """Return pieces of one kind one after the other along time; what is not along time is that of the first.

    Raises
    ------
    StepError
        A variable is there in some pieces and not in others, or has other dimensions.
    """
    if len(pieces) == 1:
        return pieces[0]
    reasons = {code: why for one in pieces if REJECTED in one.coords for code, why in one[REJECTED].reasons.items()}
    if reasons:
        pieces = [one if REJECTED in one.coords else _none_rejected(one) for one in pieces]
    made = _stacked(pieces)
    if reasons:
        made[REJECTED].attrs["reasons"] = reasons
    if GOOD in made.attrs:
        made.attrs[GOOD] = joined_good([one.attrs[GOOD] for one in pieces])
    return made


def _stacked(pieces: Sequence[xr.Dataset]) -> xr.Dataset:
    # There may be one piece for each spin of a month, and xarray.concat looks at each many times.
    there = {frozenset(map(str, one.variables)) for one in pieces}
    if len(there) > 1:
        odd = sorted(frozenset[str]().union(*there) - frozenset.intersection(*there))
        raise StepError(f"{', '.join(odd)}: there for some samples and not for others")
    first = pieces[0]
    columns = {
        name: _end_to_end(str(name), [one.variables[name] for one in pieces]) if "time" in variable.dims else variable
        for name, variable in first.variables.items()
    }
    data = {name: one for name, one in columns.items() if name in first.data_vars}
    return xr.Dataset(data, {name: columns[name] for name in first.coords}, first.attrs)


def _end_to_end(name: str, parts: Sequence[xr.Variable]) -> xr.Variable:
    first = parts[0]
    if odd := sorted({str(one.dims) for one in parts if set(one.dims) != set(first.dims)}):
        raise StepError(f"{name}: along {first.dims} for some samples and along {', '.join(odd)} for others")
    values = [one.values if one.dims == first.dims else one.transpose(*first.dims).values for one in parts]
    return xr.Variable(first.dims, np.concatenate(values, axis=first.dims.index("time")), first.attrs)


def _none_rejected(ds: xr.Dataset) -> xr.Dataset:
    return ds.assign_coords({REJECTED: ("time", np.zeros(ds.sizes["time"], np.uint32))})
