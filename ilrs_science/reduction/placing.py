"""How calibrated samples come onto the axis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ilrs_science.geometry.time import squeezed
from ilrs_science.model.axis import Axis, Times
from ilrs_science.model.product import Place, Product
from ilrs_science.model.quality import (
    CENSORED,
    CLOCK_UNCERTAIN,
    CONFLICT,
    MISSING,
    NOT_APPLICABLE,
    OUT_OF_RANGE,
    QUALITY_DTYPE,
    SATURATED,
)
from ilrs_science.model.variable import Variable
from ilrs_science.reduction.cells import Cells, Sums, averaged, summed

type Mask = NDArray[np.bool_]

_TOLD = CONFLICT
"""The flag that tells of a sample without speaking against its value: such a sample enters a mean, and flags it."""
_OF_VALUE = SATURATED | OUT_OF_RANGE | CENSORED
"""The flags by which a sample leaves a mean for what it said: a mean of the others is not one of all."""


@dataclass(frozen=True)
class Placed:
    """What became of samples, each of which has at most one of these fates; the others are not for this block."""

    placed: Mask
    """Some variable took it."""
    duplicate: Mask
    """Another granule has it."""
    rejected: Mapping[str, Mask] = field(default_factory=dict)
    """Why it came into no cell, though one was there."""


NOTHING_PLACED = Placed(np.zeros(0, bool), np.zeros(0, bool))
"""What became of no sample at all."""


class Block:
    """The cells of a part, missing until a sample reaches them."""

    rows: ClassVar[None] = None
    """It has no table."""

    def __init__(self, product: Product, place: Place, axis: Axis) -> None:
        self.product = product
        self.place: Place = place
        self.axis = axis
        self.variables = {variable.name: variable for variable in product.stored(place)}
        self.arrays: dict[str, NDArray[Any]] = {
            name: np.full(product.shape(one, axis.count), one.empty, one.stored_dtype)
            for name, one in self.variables.items()
        }

    def put(self, samples: xr.Dataset, slots: Times, times: Times, source: NDArray[np.intp]) -> Placed:  # noqa: ARG002
        """Bring samples into their cells and return what became of each.

        Parameters
        ----------
        samples
            What the steps delivered and `Product.check` found right.
        slots
            Slot of each sample, int64; -1 for samples that are not for this block.
        times
            Time of each sample after all steps, TAI ns.
        source
            The number of the granule that each comes from.
        """
        keys, strays = binned(samples, slots, self.product)
        chosen = slots >= 0
        for stray in strays.values():
            chosen = chosen & ~stray
        samples_in = _Samples(self, samples, keys, times, chosen)
        placed = np.zeros(len(slots), bool)
        if chosen.any():
            for variable in self.product.declared:
                placed |= samples_in.put(variable)
            samples_in.put_quality()
        lost = {"another sample is in its slot": chosen & ~placed} if not placed[chosen].all() else {}
        return Placed(placed, np.zeros(len(slots), bool), strays | lost)

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

    def observed(self, samples: xr.Dataset, number: int) -> int:  # noqa: ARG002 - as of events
        """Return 0: samples say when there was something to see."""
        return 0

    def fill(self, name: str, index: tuple[NDArray[np.int64], ...], values: NDArray[Any], reached: Mask) -> None:
        """Give cells their values; those that were not reached stay empty."""
        array = self.arrays[name]
        filled = np.full(values.shape, self.variables[name].empty, array.dtype)
        # Through float64 integers would lose what lies beyond 2^53.
        rounds = array.dtype.kind in "iu" and values.dtype.kind == "f"
        filled[reached] = np.rint(values[reached]) if rounds else values[reached]
        array[index] = filled

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
                quality |= _raised(OUT_OF_RANGE, infinite, variable.dims, dims, self.product)
            if variable.coordinate or variable.name.endswith("_uncertainty"):
                continue  # what is not known there is said by the number itself
            flags = _raised(MISSING, unknown, variable.dims, dims, self.product)
            # Of the primary variable what is not missing for want of a channel; of another what nobody has flagged yet.
            said = quality & NOT_APPLICABLE if number == 0 else quality
            quality |= np.where(said == 0, flags, 0).astype(QUALITY_DTYPE)


@dataclass(frozen=True)
class _Samples:
    """Samples on their way into a block."""

    block: Block
    ds: xr.Dataset
    keys: Mapping[str, NDArray[np.int64]]
    """Slot and bins of each sample, by dimension."""
    times: Times
    chosen: Mask
    """Which of them are for a cell of the block."""
    sorted: dict[tuple[str, ...], Cells] = field(default_factory=dict)

    def put(self, variable: Variable) -> Mask:
        """Give the cells of a variable their values, and return which samples it took."""
        place = self.block.product.place_of(variable, self.block.place)
        cells = self._cells(variable.dims)
        if place in ("mean", "sum"):
            self._put_sums(variable, place, cells)
        elif place == "any":
            bits = np.bitwise_or.reduceat(self._values(variable)[cells.order], cells.opens)
            self.block.fill(variable.name, cells.index, bits, np.ones(bits.shape, bool))
        else:
            leaders = self._leaders(variable, place, cells)
            for one in (variable, variable.uncertain())[: 1 + variable.has_uncertainty]:
                self.block.arrays[one.name][cells.index] = self._values(one)[cells.order[leaders]]
            if place == "slot":
                return self._put_offsets(cells)
        return self.chosen

    def put_quality(self) -> None:
        """Give the cells of `quality` their flags: those of the sample that the primary variable took, or of all."""
        variable = self.block.variables["quality"]
        primary = self.block.product.declared[0]
        place = self.block.product.place_of(primary, self.block.place)
        cells = self._cells(variable.dims)
        flags = self._flags()[cells.order]
        if place in ("slot", "first"):
            taken = self._values(variable)[cells.order[self._leaders(primary, place, cells)]]
        else:
            good = (flags & ~_TOLD) == 0
            every = np.bitwise_or.reduceat(flags, cells.opens)
            taken = np.where(np.logical_or.reduceat(good, cells.opens), every & _TOLD, every)
        if "count" in self.block.arrays:
            left = self._count(flags, cells)
            taken = taken | np.where(left, CENSORED, 0)
        self.block.arrays["quality"][cells.index] = taken

    def _count(self, flags: NDArray[Any], cells: Cells) -> Mask:
        """Count the samples that are used and left out in each cell, and tell which cells have some of both."""
        counts = {}
        for name, which in (("count", (flags & ~_TOLD) == 0), ("count_left_out", (flags & _OF_VALUE) != 0)):
            counts[name] = np.add.reduceat(which, cells.opens, dtype=np.uint32)
            self.block.arrays[name][cells.index] = counts[name]
        return np.asarray((counts["count"] > 0) & (counts["count_left_out"] > 0))

    def _put_offsets(self, cells: Cells) -> Mask:
        taken, slots = cells.order[cells.opens], cells.index[0]
        self.block.arrays["time_offset"][slots] = self.times[taken] - self.block.axis.times()[slots]
        placed = np.zeros(len(self.times), bool)
        placed[taken] = True
        return placed

    def _put_sums(self, variable: Variable, place: str, cells: Cells) -> None:
        name, given = f"{variable.name}_uncertainty", self._values(variable)[cells.order]
        values = given.astype(np.float64)
        sigma = self._values(variable.uncertain())[cells.order].astype(np.float64) if variable.has_uncertainty else None
        weights = None
        if variable.weight and place == "mean":
            column = self.ds[variable.weight].values[cells.order].astype(np.float64)
            weights = column.reshape(-1, *[1] * (values.ndim - 1))
        sums = Sums(cells, values, self._use(variable, cells) & np.isfinite(values), weights, sigma)
        made, uncertainty, reached = summed(variable, sums, given) if place == "sum" else averaged(variable, sums)
        self.block.fill(variable.name, cells.index, made, reached)
        if uncertainty is not None:
            self.block.fill(name, cells.index, uncertainty, reached)

    def _leaders(self, variable: Variable, place: str, cells: Cells) -> NDArray[np.intp]:
        if place == "slot":
            return cells.opens
        use, values = self._use(variable, cells), self._values(variable)[cells.order]
        use = use & ~np.isnan(values) if values.dtype.kind == "f" else use
        return cells.leaders(use.reshape(len(use), -1).all(axis=1))

    def _cells(self, dims: tuple[str, ...]) -> Cells:
        """Return the samples by the cells of a variable of these dimensions."""
        named = tuple(name for name in dims if name in self.keys)
        if named not in self.sorted:
            self.sorted[named] = Cells.of([self.keys[name] for name in named], self.times, self.chosen)
        return self.sorted[named]

    def _use(self, variable: Variable, cells: Cells) -> Mask:
        """Return which values of a variable no flag speaks against, in the order of its cells."""
        product = self.block.product
        good = (self._values(self.block.variables["quality"])[cells.order] & ~_TOLD) == 0
        return _like(good, product.sample_dims(product.quality_dims), product.sample_dims(variable.dims), product)

    def _flags(self) -> NDArray[Any]:
        """Return flags with `missing` or `out_of_range` raised where the primary variable is no finite number."""
        product = self.block.product
        primary, quality = product.declared[0], self._values(self.block.variables["quality"])
        values = self._values(primary)
        if values.dtype.kind != "f" or np.isfinite(values).all():
            return quality
        dims = product.sample_dims(primary.dims), product.sample_dims(product.quality_dims)
        unknown = np.isnan(values) & ~_like((quality & NOT_APPLICABLE) != 0, dims[1], dims[0], product)
        flagged: NDArray[Any] = quality | _raised(MISSING, unknown, *dims, product)
        flagged |= _raised(OUT_OF_RANGE, np.isinf(values), *dims, product)
        return flagged

    def _values(self, variable: Variable) -> NDArray[Any]:
        """Return what samples have of a variable, in the order of its dimensions; flags may have fewer dimensions."""
        product, array = self.block.product, self.ds[variable.name]
        dims = product.sample_dims(variable.dims)
        values = array.transpose(*(d for d in dims if d in array.dims)).values
        if variable.categories and values.dtype.kind in "UOT":
            values = _numbers(variable, values)
        if array.ndim == len(dims):
            return values
        shape = [array.sizes["time"] if name == "time" else product.sizes[name] for name in dims]
        aligned = values.reshape([size if d in array.dims else 1 for d, size in zip(dims, shape, strict=True)])
        return np.broadcast_to(aligned, shape)


def binned(samples: xr.Dataset, slots: Times, product: Product) -> tuple[dict[str, NDArray[np.int64]], dict[str, Mask]]:
    """Return slot and bins of each sample by dimension, and which samples lie outside the bins of which.

    A sample outside several is told of the first.
    """
    keys: dict[str, NDArray[np.int64]] = {"time": slots}
    strays: dict[str, Mask] = {}
    left = slots >= 0
    for name, column in product.bins.items():
        keys[name] = samples[column].values.astype(np.int64)
        outside = left & ((keys[name] < 0) | (keys[name] >= product.sizes[name]))
        if outside.any():
            strays[f"outside the bins of {name}"] = outside
            left = left & ~outside
    return keys, strays


def _numbers(variable: Variable, words: NDArray[Any]) -> NDArray[Any]:
    """Return the numbers of categories."""
    order = np.argsort(variable.categories)
    known = np.array(variable.categories)[order]
    return np.asarray(order[np.searchsorted(known, words.astype("U"))].astype(variable.dtype))


def _raised(flag: np.uint32, where: Mask, dims: tuple[str, ...], target: tuple[str, ...], product: Product) -> Any:
    """Return a flag, along the dimensions of `quality`, wherever a variable has one such value."""
    return np.where(_like(~where, dims, target, product), 0, flag).astype(QUALITY_DTYPE)


def _like(mask: Mask, dims: tuple[str, ...], target: tuple[str, ...], product: Product) -> Mask:
    """Return a mask over `dims` as one over `target`: reduced over what is not there, repeated over what is new."""
    gone = tuple(i for i, name in enumerate(dims) if name not in target)
    reduced = mask.all(axis=gone) if gone else mask
    kept = [name for name in dims if name in target]
    shape = [len(mask) if n == "time" else product.sizes[n] for n in target]
    aligned = reduced.reshape([s if n in kept else 1 for n, s in zip(target, shape, strict=True)])
    return np.broadcast_to(aligned, shape)
