"""How calibrated samples come onto the axis."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ilrs_science.model.axis import Axis, Times
from ilrs_science.model.product import Place, Product
from ilrs_science.model.quality import MISSING, QUALITY_DTYPE

type Mask = NDArray[np.bool_]


class Block:
    """The cells of a part, missing until a sample reaches them."""

    def __init__(self, product: Product, place: Place, axis: Axis) -> None:
        self.product = product
        self.place: Place = "slot" if product.exposures else place
        self.axis = axis
        self.arrays: dict[str, NDArray[Any]] = {}
        for variable in product.stored(self.place):
            self.arrays[variable.name] = np.full(product.shape(variable, axis.count), variable.empty, variable.dtype)

    def put(self, samples: xr.Dataset, slots: Times, times: Times) -> Mask:
        """Bring samples into their slots and return which of them were placed.

        Parameters
        ----------
        samples
            What the steps delivered and `Product.check` found right.
        slots
            Slot of each sample, int64; -1 for samples that are not for this block.
        times
            Time of each sample after all steps, TAI ns.

        Notes
        -----
        With `slot` the earliest sample of a slot is kept. With `mean` all are.
        """
        order = np.lexsort((times, slots))
        order = order[slots[order] >= 0]
        sorted_slots = slots[order]
        opens = np.ones(len(order), bool)
        opens[1:] = sorted_slots[1:] != sorted_slots[:-1]
        placed = np.zeros(len(slots), bool)
        if self.place == "slot":
            order, sorted_slots = order[opens], sorted_slots[opens]
            self._put_slots(samples, order, sorted_slots)
            self.arrays["time_offset"][sorted_slots] = times[order] - self.axis.times()[sorted_slots]
        elif len(order):
            self._put_means(samples, order, np.flatnonzero(opens), sorted_slots[opens])
        placed[order] = True
        self._flag_not_a_number(np.unique(sorted_slots))
        return placed

    def reached(self) -> tuple[int, int]:
        """Return the number of slots that hold flagged samples, and that no sample reached."""
        quality = self.arrays["quality"]
        flags = quality.reshape(len(quality), -1)
        missing = (flags & MISSING).astype(bool).all(axis=1)
        flagged = (flags != 0).any(axis=1) & ~missing
        return int(flagged.sum()), int(missing.sum())

    def _put_slots(self, samples: xr.Dataset, order: Times, slots: Times) -> None:
        for name in self._names():
            self.arrays[name][slots] = self._values(samples, name)[order]

    def _put_means(self, samples: xr.Dataset, order: Times, opens: Times, slots: Times) -> None:
        """Average the unflagged samples of each slot.

        The sums run in float64 over the samples of one slot alone, in order of time, so a result does not depend on how
        the axis was cut. A slot without an unflagged sample is NaN and carries every flag of its samples.
        """
        primary = self._values(samples, self.product.declared[0].name)
        quality = self._with_missing(self._values(samples, "quality"), primary)[order]
        good = quality == 0
        any_good = np.logical_or.reduceat(good, opens)
        self.arrays["quality"][slots] = np.where(any_good, 0, np.bitwise_or.reduceat(quality, opens))
        self.arrays["count"][slots] = np.add.reduceat(good.reshape(len(good), -1).all(axis=1), opens, dtype=np.uint32)
        for variable in self.product.declared:
            use = _like(good, self._dims("quality"), variable.dims, self.product)
            number = np.add.reduceat(use, opens, dtype=np.float64)
            with np.errstate(invalid="ignore", divide="ignore"):
                for name, power in ((variable.name, 1), (f"{variable.name}_uncertainty", 2)):
                    if name not in self.arrays:
                        continue
                    terms = np.where(use, self._values(samples, name)[order].astype(np.float64) ** power, 0.0)
                    total = np.add.reduceat(terms, opens)
                    mean = (total if power == 1 else np.sqrt(total)) / number
                    array = self.arrays[name]
                    if array.dtype.kind == "f":
                        array[slots] = mean.astype(array.dtype)
                        continue
                    reached = number > 0
                    filled = np.full(mean.shape, variable.empty, array.dtype)
                    filled[reached] = np.rint(mean[reached])
                    array[slots] = filled

    def _flag_not_a_number(self, slots: Times) -> None:
        """Flag as missing every value that is not a number, whatever the steps said."""
        quality = self.arrays["quality"]
        quality[slots] = self._with_missing(quality[slots], self.arrays[self.product.declared[0].name][slots])

    def _with_missing(self, quality: NDArray[Any], values: NDArray[Any]) -> NDArray[Any]:
        """Return flags with `missing` raised where the primary variable is not a number."""
        dims = self.product.declared[0].dims
        if values.dtype.kind != "f":
            return quality
        # A number that is missing in any component is missing as a whole, where the flags do not tell components apart.
        whole = _like(~np.isnan(values), dims, self._dims("quality"), self.product)
        flagged: NDArray[Any] = quality | np.where(whole, 0, MISSING).astype(QUALITY_DTYPE)
        return flagged

    def _names(self) -> list[str]:
        return [*(variable.name for variable in self.product.values), "quality"]

    def _dims(self, name: str) -> tuple[str, ...]:
        return next(v.dims for v in self.product.stored(self.place) if v.name == name)

    def _values(self, samples: xr.Dataset, name: str) -> NDArray[Any]:
        """Return the values of a variable in the order of its declared dimensions; flags may have fewer dimensions."""
        array, dims = samples[name], self._dims(name)
        values = array.transpose(*(d for d in dims if d in array.dims)).values
        if array.ndim == len(dims):
            return values
        shape = self.product.shape(
            next(v for v in self.product.stored(self.place) if v.name == name), array.sizes["time"]
        )
        aligned = values.reshape([size if d in array.dims else 1 for d, size in zip(dims, shape, strict=True)])
        return np.broadcast_to(aligned, shape)


def _like(mask: Mask, dims: tuple[str, ...], target: tuple[str, ...], product: Product) -> Mask:
    """Return a mask over `dims` as one over `target`: reduced over what is not there, repeated over what is new."""
    gone = tuple(i for i, name in enumerate(dims) if name not in target)
    reduced = mask.all(axis=gone) if gone else mask
    kept = [name for name in dims if name in target]
    shape = [len(mask) if n == "time" else product.sizes[n] for n in target]
    aligned = reduced.reshape([s if n in kept else 1 for n, s in zip(target, shape, strict=True)])
    return np.broadcast_to(aligned, shape)
