"""Rows instead of cells: every sample that the steps deliver in a part is a row of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ilrs_science.geometry.time import squeezed
from ilrs_science.model.axis import RegularAxis, Times
from ilrs_science.model.granule import Granule
from ilrs_science.model.product import Product
from ilrs_science.model.quality import CLOCK_UNCERTAIN, MISSING, OUT_OF_RANGE
from ilrs_science.model.rows import Rows
from ilrs_science.model.variable import Variable
from ilrs_science.reduction.placing import Placed
from ilrs_science.reduction.samples import first_sample_number

type Mask = NDArray[np.bool_]


class Table:
    """The rows of a part, and how many of them each slot has."""

    def __init__(self, product: Product, axis: RegularAxis, site: str, granules: Sequence[Granule]) -> None:
        self.product = product
        self.axis = axis
        self.site = site
        self.granules = granules
        self.arrays: dict[str, NDArray[Any]] = {
            one.name: np.full(product.shape(one, axis.count), one.empty, one.stored_dtype)
            for one in product.stored(product.place)
        }
        self.rows: Rows | None = Rows(np.zeros(0, np.int64), {})

    def put(self, samples: xr.Dataset, slots: Times, times: Times, source: NDArray[np.intp]) -> Placed:
        """Take samples as rows and return what became of each.

        Parameters
        ----------
        samples
            What the steps delivered and `Product.check` found right.
        slots
            Slot of each sample, int64; -1 for samples that are not for this part.
        times
            Time of each sample after all steps, TAI ns.
        source
            The number of the granule that each comes from.
        """
        chosen = slots >= 0
        here = np.flatnonzero(chosen)
        digests, ranks = np.unique([one.sha256 for one in self.granules], return_inverse=True)
        begins = np.array([first_sample_number(one) for one in self.granules], np.uint64)
        of = source[here]
        position = (samples["sample"].values[here] - begins[of]).astype(np.int64)
        order = np.lexsort((position, ranks[of], times[here]))
        here, of, position = here[order], of[order], position[order]
        rows = samples.isel(time=here)
        values = {one.name: self._values(rows, one) for one in self.product.values}
        quality = rows["quality"].values | _odd(self.product, values)
        columns = {
            "site": np.zeros(len(here), np.int32),
            "time": rows["time"].values,
            "tai": times[here],
            "granule": ranks[of].astype(np.int32),
            "position": position,
            "index": _index(times[here], of, position),
            "quality": quality,
        }
        self.rows = Rows(slots[here], columns | values, self._words | {"granule": digests.tolist()})
        self.arrays["rows"] += np.bincount(slots[here], minlength=self.axis.count).astype(np.uint32)
        self._flag(slots[here], quality)
        return Placed(chosen, np.zeros(len(slots), bool))

    def _flag(self, slots: Times, quality: NDArray[np.uint32]) -> None:
        """Give slots the flags of their rows where each of those has some: as with a mean, one good row is enough."""
        flags = np.zeros(self.axis.count, np.uint32)
        np.bitwise_or.at(flags, slots, quality)
        flags[slots[quality == 0]] = 0
        reached = self.arrays["rows"] > 0
        self.arrays["quality"][reached] = flags[reached]

    def finish(self) -> None:
        """Flag the slots whose label in UTC is not exact."""
        times = self.axis.times()
        if len(times):
            self.arrays["quality"][squeezed(times)] |= CLOCK_UNCERTAIN

    def reached(self) -> tuple[int, int]:
        """Return the number of slots with flagged rows, and of slots without any row."""
        quality = self.arrays["quality"]
        missing = (quality & MISSING).astype(bool) & (self.arrays["rows"] == 0)
        return int(((quality != 0) & ~missing).sum()), int(missing.sum())

    def observed(self, samples: xr.Dataset, number: int) -> int:  # noqa: ARG002 - as of events
        """Return 0: samples say when there was something to see."""
        return 0

    @property
    def _words(self) -> dict[str, list[str]]:
        """The words of columns that have their numbers."""
        categories = {one.name: list(one.categories) for one in self.product.declared if one.categories}
        return {"site": [self.site]} | categories

    def _values(self, rows: xr.Dataset, variable: Variable) -> NDArray[Any]:
        values = rows[variable.name].transpose("time", ...).values
        if variable.categories and values.dtype.kind not in "iu":
            found, at = np.unique(values.astype("U"), return_inverse=True)
            return np.array([variable.categories.index(str(one)) for one in found], np.int32)[at]
        if values.dtype.kind != "f":
            return values
        # The sign of 0/0 differs with the length of an array and with the CPU; equal tables have equal bytes.
        return np.where(np.isnan(values), np.asarray(np.nan, values.dtype), values)


def _odd(product: Product, values: dict[str, NDArray[Any]]) -> NDArray[np.uint32]:
    """Return the flags of rows for values that are none, whatever the steps said."""
    flags = np.zeros(len(next(iter(values.values()))), np.uint32)
    for variable in product.declared:
        numbers = values[variable.name]
        if numbers.dtype.kind != "f":
            continue
        beside = tuple(range(1, numbers.ndim))
        flags |= np.where(np.isinf(numbers).any(axis=beside), OUT_OF_RANGE, np.uint32(0))
        if not variable.coordinate:
            flags |= np.where(np.isnan(numbers).all(axis=beside), MISSING, np.uint32(0))
    return flags


def _index(times: Times, source: NDArray[np.intp], position: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return numbers from 0 of the rows that were made of one sample and have one time."""
    opens = np.ones(len(times), bool)
    opens[1:] = (np.diff(times) != 0) | (np.diff(source) != 0) | (np.diff(position) != 0)
    first = np.flatnonzero(opens)
    return (np.arange(len(times)) - np.repeat(first, np.diff([*first, len(times)]))).astype(np.int32)
