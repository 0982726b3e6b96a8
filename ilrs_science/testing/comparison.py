"""Whether two results are the same, bit for bit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray


def difference(expected: xr.Dataset, found: xr.Dataset, names: Iterable[str] | None = None) -> str:
    """Return how the second differs from the first in the bits of its variables, or an empty text.

    Parameters
    ----------
    expected, found
        Results to compare.
    names
        Variables and coordinates to look at; by default all.
    """
    chosen = list(names) if names is not None else sorted({*map(str, expected.variables), *map(str, found.variables)})
    for name in chosen:
        if (name in expected.variables) != (name in found.variables):
            return f"{name} is there only once"
        if name in expected.variables and (words := _array_difference(name, expected[name], found[name])):
            return words
    return ""


def _array_difference(name: str, expected: xr.DataArray, found: xr.DataArray) -> str:
    if expected.dtype != found.dtype:
        return f"{name} is {expected.dtype} and {found.dtype}"
    if dict(expected.sizes) != dict(found.sizes):
        return f"{name} has sizes {dict(expected.sizes)} and {dict(found.sizes)}"
    one, other = expected.values, found.transpose(*expected.dims).values
    unequal = _unequal(one, other)
    if not unequal.any():
        return ""
    first = tuple(int(index) for index in np.argwhere(unequal)[0])
    where = ", ".join(f"{dim} {index}" for dim, index in zip(expected.dims, first, strict=True)) or "its only value"
    count = f"{int(unequal.sum())} of {unequal.size} values"
    return f"{name} differs in {count}, first at {where}: {one[first]} and {other[first]}"


def _unequal(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where the bits differ, so that NaN equals NaN and -0 is not 0."""
    if one.dtype.kind not in "biufcmM" or not one.size:
        return np.asarray(one != other)
    bits = [np.ascontiguousarray(array).reshape(-1).view(np.uint8).reshape(array.size, -1) for array in (one, other)]
    unequal = (bits[0] != bits[1]).any(axis=1).reshape(one.shape)
    # The sign of 0/0 differs with the length of an array and with the CPU; the engine stores one NaN.
    return np.asarray(unequal & ~(np.isnan(one) & np.isnan(other)) if one.dtype.kind in "fc" else unequal)
