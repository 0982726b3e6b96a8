"""How calibrated samples come onto the axis."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ilrs_science.geometry.time import squeezed
from ilrs_science.model.axis import Axis, Times
from ilrs_science.model.product import Place, Product, Variable
from ilrs_science.model.quality import (
    CLOCK_UNCERTAIN,
    CONFLICT,
    MISSING,
    NOT_APPLICABLE,
    OUT_OF_RANGE,
    QUALITY_DTYPE,
)

type Mask = NDArray[np.bool_]

_TOLD = CONFLICT
"""The flag that tells of a sample without speaking against its value: such a sample enters a mean, and flags it."""


class Block:
    """The cells of a part, missing until a sample reaches them."""

    def __init__(self, product: Product, place: Place, axis: Axis) -> None:
        self.product = product
        self.place: Place = "slot" if product.exposures else place
        self.axis = axis
        self.variables = {variable.name: variable for variable in product.stored(self.place)}
        self.arrays: dict[str, NDArray[Any]] = {
            name: np.full(product.shape(one, axis.count), one.empty, one.stored_dtype)
            for name, one in self.variables.items()
        }

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
        return placed

    def finish(self) -> None:
        """Flag every value that is none, whatever the steps said, and the slots whose label in UTC is not exact."""
        self._flag_odd_values()
        times = self.axis.times()
        if len(times):
            self.arrays["quality"][squeezed(times)] |= CLOCK_UNCERTAIN

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
        good = (quality & ~_TOLD) == 0
        any_good = np.logical_or.reduceat(good, opens)
        every = np.bitwise_or.reduceat(quality, opens)
        self.arrays["quality"][slots] = np.where(any_good, every & _TOLD, every)
        self.arrays["count"][slots] = np.add.reduceat(good.reshape(len(good), -1).all(axis=1), opens, dtype=np.uint32)
        for variable in self.product.declared:
            use = _like(good, self.variables["quality"].dims, variable.dims, self.product)
            if variable.is_label:
                self._put_label(variable, self._values(samples, variable.name)[order], use, opens, slots)
            else:
                self._put_mean(variable, samples, order, use, opens, slots)

    def _put_mean(  # noqa: PLR0913, PLR0917 - samples with their slots
        self, variable: Variable, samples: xr.Dataset, order: Times, use: Mask, opens: Times, slots: Times
    ) -> None:
        values = self._values(samples, variable.name)[order].astype(np.float64)
        use = use & np.isfinite(values)
        number = np.add.reduceat(use, opens, dtype=np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.add.reduceat(np.where(use, values, 0.0), opens) / number
            self._fill(variable, slots, mean, number > 0)
            name = f"{variable.name}_uncertainty"
            if name in self.arrays:
                sigma = self._values(samples, name)[order].astype(np.float64)
                total = np.sqrt(np.add.reduceat(np.where(use, sigma**2, 0.0), opens))
                self._fill(self.variables[name], slots, total / number, number > 0)

    def _put_label(self, variable: Variable, labels: NDArray[Any], use: Mask, opens: Times, slots: Times) -> None:
        """Keep the label that all samples of a slot share; a slot of several has none, and says so."""
        lowest = np.minimum.reduceat(np.where(use, labels, _limits(labels.dtype)[1]), opens)
        highest = np.maximum.reduceat(np.where(use, labels, _limits(labels.dtype)[0]), opens)
        self._fill(variable, slots, lowest, lowest == highest)
        mixed = _like(~(lowest < highest), variable.dims, self.variables["quality"].dims, self.product)
        self.arrays["quality"][slots] |= np.where(mixed, 0, NOT_APPLICABLE).astype(QUALITY_DTYPE)

    def _fill(self, variable: Variable, slots: Times, values: NDArray[Any], reached: Mask) -> None:
        array = self.arrays[variable.name]
        if array.dtype.kind == "f":
            array[slots] = np.where(reached, values, np.nan).astype(array.dtype)
            return
        filled = np.full(values.shape, variable.empty, array.dtype)
        filled[reached] = np.rint(values[reached])
        array[slots] = filled

    def _flag_odd_values(self) -> None:
        quality, dims = self.arrays["quality"], self.variables["quality"].dims
        for number, variable in enumerate(self.product.values):
            array = self.arrays[variable.name]
            if array.dtype.kind != "f" or (finite := np.isfinite(array)).all():
                continue
            unknown = np.isnan(array)
            # The sign of 0/0 differs with the length of an array and with the CPU; equal cubes have equal bytes.
            array[unknown] = np.nan
            if (infinite := ~finite & ~unknown).any():
                quality |= _raised(OUT_OF_RANGE, infinite, variable, dims, self.product)
            if variable.coordinate or variable.name.endswith("_uncertainty"):
                continue  # what is not known there is said by the number itself
            flags = _raised(MISSING, unknown, variable, dims, self.product)
            # Of another variable than the primary one, only what nobody has flagged yet.
            quality |= flags if number == 0 else np.where(quality == 0, flags, 0).astype(QUALITY_DTYPE)

    def _with_missing(self, quality: NDArray[Any], values: NDArray[Any]) -> NDArray[Any]:
        """Return flags with `missing` or `out_of_range` raised where the primary variable is no finite number."""
        primary, dims = self.product.declared[0], self.variables["quality"].dims
        if values.dtype.kind != "f" or np.isfinite(values).all():
            return quality
        unknown = _raised(MISSING, np.isnan(values), primary, dims, self.product)
        flagged: NDArray[Any] = quality | unknown | _raised(OUT_OF_RANGE, np.isinf(values), primary, dims, self.product)
        return flagged

    def _names(self) -> list[str]:
        return [*(variable.name for variable in self.product.values), "quality"]

    def _values(self, samples: xr.Dataset, name: str) -> NDArray[Any]:
        """Return the values of a variable in the order of its declared dimensions; flags may have fewer dimensions."""
        array, variable = samples[name], self.variables[name]
        values = array.transpose(*(d for d in variable.dims if d in array.dims)).values
        if array.ndim == len(variable.dims):
            return values
        shape = self.product.shape(variable, array.sizes["time"])
        sizes = zip(variable.dims, shape, strict=True)
        aligned = values.reshape([size if d in array.dims else 1 for d, size in sizes])
        return np.broadcast_to(aligned, shape)


def _limits(dtype: np.dtype[Any]) -> tuple[Any, Any]:
    """Return the smallest and the largest number of a type."""
    about: Any = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    return about.min, about.max


def _raised(flag: np.uint32, where: Mask, variable: Variable, dims: tuple[str, ...], product: Product) -> NDArray[Any]:
    """Return a flag, along the dimensions of `quality`, wherever a variable has one such value."""
    return np.where(_like(~where, variable.dims, dims, product), 0, flag).astype(QUALITY_DTYPE)


def _like(mask: Mask, dims: tuple[str, ...], target: tuple[str, ...], product: Product) -> Mask:
    """Return a mask over `dims` as one over `target`: reduced over what is not there, repeated over what is new."""
    gone = tuple(i for i, name in enumerate(dims) if name not in target)
    reduced = mask.all(axis=gone) if gone else mask
    kept = [name for name in dims if name in target]
    shape = [len(mask) if n == "time" else product.sizes[n] for n in target]
    aligned = reduced.reshape([s if n in kept else 1 for n, s in zip(target, shape, strict=True)])
    return np.broadcast_to(aligned, shape)
