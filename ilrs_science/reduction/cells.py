"""The samples of each cell, and how they make its value: in float64, over one cell alone, in order of time.

So a value does not depend on how the axis was cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ilrs_science.errors import ProductError
from ilrs_science.model.axis import Times
from ilrs_science.model.variable import Variable

type Mask = NDArray[np.bool_]
type Numbers = NDArray[np.float64]

_NOWHERE = 1e-9
"""Length of a mean direction, of 1, below which it points nowhere: opposite directions cancel but for rounding."""


@dataclass(frozen=True)
class Cells:
    """Samples in order of their cells, and of time in each."""

    order: NDArray[np.intp]
    """Positions of the samples, those of one cell after the other."""
    opens: NDArray[np.intp]
    """Where in `order` each cell begins."""
    index: tuple[NDArray[np.int64], ...]
    """Where each cell lies: its slot, and its bin along each dimension of bins."""

    @classmethod
    def of(cls, keys: Sequence[NDArray[np.int64]], times: Times, chosen: Mask) -> Cells:
        """Sort the chosen samples into cells; `keys` are the slot and the bins of each sample."""
        order = np.lexsort((times, *reversed(keys)))
        order = order[chosen[order]]
        changed = np.zeros(len(order), bool)
        changed[:1] = True
        for key in keys:
            here = key[order]
            changed[1:] |= here[1:] != here[:-1]
        opens = np.flatnonzero(changed)
        return cls(order, opens, tuple(key[order[opens]] for key in keys))

    @property
    def earliest(self) -> NDArray[np.intp]:
        """Position of the earliest sample of each cell."""
        return self.order[self.opens]

    def leaders(self, good: Mask) -> NDArray[np.intp]:
        """Return where in `order` the earliest good sample of each cell is, or else the earliest; `good` in order."""
        at = np.arange(len(self.order))
        found = np.minimum.reduceat(np.where(good, at, len(at)), self.opens)
        return np.asarray(np.where(found < len(at), found, self.opens))

    def spread(self, of_cells: NDArray[Any]) -> NDArray[Any]:
        """Return for each sample, in order, what its cell has."""
        return np.repeat(of_cells, np.diff([*self.opens, len(self.order)]), axis=0)


@dataclass(frozen=True)
class Sums:
    """The samples of one variable that enter its cells, in the order of the cells."""

    cells: Cells
    values: Numbers
    use: Mask
    """Which numbers enter, of the shape of the values."""
    weights: Numbers | None
    """Of a shape that broadcasts with the values; None where all count alike."""
    sigma: Numbers | None

    def total(self, values: Numbers) -> Numbers:
        """Return the sum over each cell of what enters."""
        return np.asarray(np.add.reduceat(np.where(self.use, values, 0.0), self.cells.opens))

    @property
    def number(self) -> Numbers:
        """How much enters each cell: samples, or their weight."""
        if self.weights is None:
            return np.asarray(np.add.reduceat(self.use, self.cells.opens, dtype=np.float64))
        return self.total(np.broadcast_to(self.weights, self.values.shape))

    def weighted(self, values: Numbers) -> Numbers:
        """Return values times their weights."""
        return values if self.weights is None else values * self.weights

    def sigma_of_sum(self) -> Numbers | None:
        """Return 1 sigma of the weighted sum over each cell; None where there is none."""
        return None if self.sigma is None else np.sqrt(self.total(self.weighted(self.sigma) ** 2))


def averaged(variable: Variable, sums: Sums) -> tuple[Numbers, Numbers | None, Mask]:
    """Return the mean of each cell, its 1 sigma, and which cells have one; by the kind of number that it is."""
    number = sums.number
    with np.errstate(invalid="ignore", divide="ignore"):
        if variable.period is not None:
            mean, length = _mean_angle(sums, variable.period, number), np.ones_like(number)
        elif variable.normalised:
            mean, length = _mean_direction(sums, quaternion=variable.normalised == "quaternion")
        else:
            mean, length = sums.total(sums.weighted(sums.values)) / number, np.ones_like(number)
        sigma = sums.sigma_of_sum()
        return mean, None if sigma is None else sigma / number / length, (number > 0) & ~np.isnan(mean)


def summed(variable: Variable, sums: Sums, integers: NDArray[Any]) -> tuple[NDArray[Any], Numbers | None, Mask]:
    """Return the sum of each cell, its 1 sigma, and which cells have one; of integers it is exact.

    Raises
    ------
    ProductError
        A sum of integers is beyond what the variable is stored as.
    """
    reached = sums.number > 0
    if np.dtype(variable.dtype).kind == "f":
        return sums.total(sums.values), sums.sigma_of_sum(), reached
    limits = np.iinfo(variable.stored_dtype)
    # In float64 as well: integers of 64 bits come out somewhere else where they do not hold a sum.
    roughly = np.abs(sums.total(sums.values))
    used = np.where(sums.use, integers, np.zeros((), integers.dtype))
    total = np.add.reduceat(used, sums.cells.opens, dtype=np.uint64 if integers.dtype.kind == "u" else np.int64)
    if (roughly > 0.99 * 2.0**63).any() or ((total < limits.min) | (total >= variable.empty)).any():
        raise ProductError(f"{variable.name}: a sum is beyond {variable.stored_dtype}; declare a wider type")
    return total, sums.sigma_of_sum(), reached


def _mean_angle(sums: Sums, period: float, number: Numbers) -> Numbers:
    """Return the direction of the sum of unit vectors, from 0 to the period, or half of it to either side of 0.

    The latter where an angle of the cell is negative. Mardia & Jupp, Directional Statistics (2000), section 2.2.
    """
    angle = sums.values * (2 * np.pi / period)
    east, north = (sums.total(sums.weighted(part(angle))) for part in (np.cos, np.sin))
    nowhere = np.hypot(east, north) < _NOWHERE * number
    low = np.where(sums.total(np.where(sums.values < 0, 1.0, 0.0)) > 0, -period / 2, 0.0)
    mean = np.mod(np.arctan2(north, east) * (period / (2 * np.pi)) - low, period) + low
    mean = np.where(mean >= low + period, low, mean)
    return np.where(nowhere, np.nan, mean)


def _mean_direction(sums: Sums, *, quaternion: bool) -> tuple[Numbers, Numbers]:
    """Return the mean of vectors of length 1, made as long again, and how long it was.

    Of quaternions all are taken with the sign that is nearer to the first of the cell, which is exact enough for
    rotations near each other. Markley et al., J. Guidance 30 (2007), 1193, equation 3.
    """
    whole = sums.use.all(axis=-1, keepdims=True)
    values = np.where(whole, sums.values, 0.0)
    if quaternion:
        leaders = sums.cells.leaders(whole.reshape(len(whole), -1).all(axis=1))
        aligned = (values * sums.cells.spread(values[leaders])).sum(axis=-1, keepdims=True) >= 0
        values = np.where(aligned, values, -values)
    total = np.asarray(np.add.reduceat(sums.weighted(values), sums.cells.opens))
    length = np.sqrt((total**2).sum(axis=-1, keepdims=True)) / sums.number
    return np.where(length < _NOWHERE, np.nan, total / sums.number / length), np.broadcast_to(length, total.shape)
