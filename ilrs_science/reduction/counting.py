"""Events into bins, with the time in which there could have been any: exact, and where nobody looked it says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ilrs_science.errors import ProductError
from ilrs_science.geometry.time import isot, squeezed
from ilrs_science.model.axis import RegularAxis, Times
from ilrs_science.model.good import GOOD, covered, disorder, union, within, without
from ilrs_science.model.product import Product
from ilrs_science.model.quality import CLOCK_UNCERTAIN, CONFLICT, MISSING
from ilrs_science.reduction.placing import Mask, Placed, binned

_TOLD = CLOCK_UNCERTAIN | CONFLICT
"""The flags that say something of an event without speaking against it: it is counted, and the cell is flagged."""
_MERGE = ("start", "stop", "live")


class Histogram:
    """The cells of a part, unobserved until a good interval reaches them."""

    rows: ClassVar[None] = None
    """It has no table."""

    def __init__(self, product: Product, axis: RegularAxis, names: Sequence[str]) -> None:
        self.product = product
        self.axis = axis
        self.names = names
        """Of the granules, by number, for messages."""
        self.arrays: dict[str, NDArray[Any]] = {
            one.name: np.full(product.shape(one, axis.count), one.empty, one.stored_dtype)
            for one in product.stored(product.place)
        }

    def put(self, events: xr.Dataset, slots: Times, times: Times, source: NDArray[np.intp]) -> Placed:
        """Count events and good time, and return what became of each event.

        Parameters
        ----------
        events
            What the steps delivered and `Product.check` found right, with their good intervals.
        slots
            Slot of each event, int64; -1 for those that are not for this block.
        times
            Time of each event after all steps, TAI ns.
        source
            The number of the granule that each comes from.

        Raises
        ------
        ProductError
            Good intervals are out of order, or of several granules overlap and the product refuses that.
        """
        keys, lost = binned(events, slots, self.product)
        open_to = slots >= 0
        for mask in lost.values():
            open_to = open_to & ~mask
        for reason, mask in _flagged(events, self.product):
            lost[reason] = mask & open_to
            open_to = open_to & ~mask
        good, taken = self._settled(events.attrs[GOOD])
        stamps = _Stamps(times, {"granule": source.astype(np.int64)} | {name: keys[name] for name in self.product.good})
        duplicate = open_to & stamps.inside(taken)
        open_to = open_to & ~duplicate
        inside = stamps.inside(good)
        lost["outside the good intervals"] = open_to & ~inside
        placed = open_to & inside
        self._count(events, keys, placed)
        self._expose(good)
        self._flag(events, keys, placed)
        return Placed(placed, duplicate, {reason: mask for reason, mask in lost.items() if mask.any()})

    def finish(self) -> None:
        """Flag the cells that nobody observed, and the slots whose label in UTC is not exact."""
        quality, ontime = self.arrays["quality"], self.arrays["ontime"]
        seen = xr.DataArray(ontime > 0, dims=("time", *self.product.good))
        seen = seen.any([name for name in self.product.good if name not in self.product.quality_dims])
        there = [name for name in self.product.quality_dims if name in seen.dims]
        sizes = [seen.sizes.get(name, 1) for name in self.product.quality_dims]
        quality[np.broadcast_to(seen.transpose(*there).values.reshape(sizes), quality.shape)] &= ~MISSING
        times = self.axis.times()
        if len(times):
            quality[squeezed(times)] |= CLOCK_UNCERTAIN

    def reached(self) -> tuple[int, int]:
        """Return the number of observed slots with flags, and of slots that nobody observed."""
        quality = self.arrays["quality"].reshape(self.axis.count, -1)
        missing = (quality & MISSING).astype(bool).all(axis=1)
        return int(((quality & ~MISSING) != 0).any(axis=1)[~missing].sum()), int(missing.sum())

    def observed(self, events: xr.Dataset, number: int) -> int:
        """Return how many ns of the good intervals of a granule lie in this block."""
        good = events.attrs[GOOD]
        own = within(good.isel(interval=good["granule"].values == number), self.axis.start, self.axis.stop)
        return int((own["stop"] - own["start"]).sum())

    def _settled(self, good: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset]:
        """Return good intervals of which no two of a cell overlap, and what granules lose of theirs to others."""
        columns = self.product.good
        order = np.lexsort((good["start"].values, *(good[n].values for n in reversed(("granule", *columns)))))
        good = good.isel(interval=order)
        if problem := disorder(good, columns):
            raise ProductError(f"after the steps {problem}")
        # What lies outside is settled by the parts there, in the same way.
        good = within(good, self.axis.start, self.axis.stop)
        if not _overlaps(good, columns):
            return good, good.isel(interval=slice(0, 0))
        numbers = np.unique(good["granule"].values)[:: -1 if self.product.overlap == "latest" else 1]
        kept: list[xr.Dataset] = []
        lost: list[xr.Dataset] = []
        for cell in _cells(good, columns):
            start = stop = np.zeros(0, np.int64)
            for number in numbers:
                own = cell.isel(interval=cell["granule"].values == number)
                rest = without(own, start, stop)
                kept.append(rest)
                free = union(rest["start"].values, rest["stop"].values)
                gone = without(own, *free)
                if gone.sizes["interval"] and self.product.overlap == "refuse":
                    raise ProductError(_refusal(gone, self.names[number]))
                lost.append(gone)
                start, stop = union(np.append(start, own["start"].values), np.append(stop, own["stop"].values))
        return xr.concat(kept, "interval"), xr.concat(lost, "interval")

    def _count(self, events: xr.Dataset, keys: dict[str, NDArray[np.int64]], placed: Mask) -> None:
        """Add events to the cells of `counts`; weights are summed in order of time."""
        counts = self.arrays["counts"]
        index = np.ravel_multi_index(tuple(key[placed] for key in keys.values()), counts.shape)
        if not self.product.weight:
            cells, number = np.unique(index, return_counts=True)
            counts.reshape(-1)[cells] += number.astype(counts.dtype)
            return
        weights = events[self.product.weight].values[placed].astype(np.float64)
        np.add.at(counts.reshape(-1), index, weights)
        np.add.at(self.arrays["counts_variance"].reshape(-1), index, weights**2)

    def _expose(self, good: xr.Dataset) -> None:
        """Add good time to `ontime` and `exposure`, slot by slot."""
        for cell in _cells(good, self.product.good):
            at = tuple(int(cell[name].values[0]) for name in self.product.good)
            start, stop, live = _merged(within(cell, self.axis.start, self.axis.stop))
            first = self.axis.numbers(start)
            length = self.axis.numbers(stop - 1) - first + 1
            number = np.repeat(np.arange(len(start)), length)
            slot = first[number] + np.arange(len(number)) - np.repeat(np.cumsum(length) - length, length)
            low, high = self.axis.edges(slot), self.axis.edges(slot + 1)
            here = np.minimum(stop[number], high) - np.maximum(start[number], low)
            ontime, exposure = np.zeros(self.axis.count, np.int64), np.zeros(self.axis.count)
            cells: tuple[Any, ...] = (slice(None), *at)
            np.add.at(ontime, slot, here)
            np.add.at(exposure, slot, here * live[number])
            self.arrays["ontime"][cells] += ontime / 1e9
            self.arrays["exposure"][cells] += exposure / 1e9

    def _flag(self, events: xr.Dataset, keys: dict[str, NDArray[np.int64]], placed: Mask) -> None:
        """Raise in the cells of `quality` what is told of events that are counted."""
        told = events["quality"].values & _TOLD
        chosen = placed & (told != 0)
        index = tuple(keys[name][chosen] for name in self.product.quality_dims)
        np.bitwise_or.at(self.arrays["quality"], index, told[chosen])


@dataclass(frozen=True)
class _Stamps:
    """When each event was, in which granule, and in which cell of good intervals."""

    times: Times
    keys: Mapping[str, NDArray[np.int64]]
    """The number of the granule, and the bin of each column of good intervals."""

    @cached_property
    def order(self) -> NDArray[np.intp]:
        """The events cell by cell."""
        return np.lexsort(tuple(reversed(list(self.keys.values()))))

    def inside(self, good: xr.Dataset) -> Mask:
        """Tell which events lie in good intervals of their own granule and cell."""
        found = np.zeros(len(self.times), bool)
        for cell in _cells(good, tuple(self.keys)):
            low, high = 0, len(self.order)
            for name, key in self.keys.items():
                here = key[self.order[low:high]]
                number = int(cell[name].values[0])
                low, high = (low + int(np.searchsorted(here, number, side=side)) for side in ("left", "right"))
            events = self.order[low:high]
            found[events] = covered(self.times[events], *union(cell["start"].values, cell["stop"].values))
        return found


def _flagged(events: xr.Dataset, product: Product) -> Iterator[tuple[str, Mask]]:
    """Yield the flags that speak against events, each with those that have it: they are not counted."""
    quality = events["quality"].values
    for name, mask in product.flags.items():
        raised = (quality & np.uint32(mask) & ~_TOLD) != 0
        if raised.any():
            yield f"flagged {name}", raised


def _cells(good: xr.Dataset, columns: Sequence[str]) -> list[xr.Dataset]:
    """Return good intervals by their columns, each in order of start."""
    if not good.sizes["interval"]:
        return []
    order = np.lexsort((good["start"].values, *(good[name].values for name in reversed(columns))))
    whole = good.isel(interval=order)
    changed = np.zeros(len(order), bool)
    for name in columns:
        changed[1:] |= np.diff(whole[name].values) != 0
    edges = [0, *np.flatnonzero(changed), len(order)]
    return [whole.isel(interval=slice(*pair)) for pair in pairwise(edges)]


def _overlaps(good: xr.Dataset, columns: Sequence[str]) -> bool:
    return any((cell["start"].values[1:] < cell["stop"].values[:-1]).any() for cell in _cells(good, columns))


def _merged(good: xr.Dataset) -> tuple[Times, Times, NDArray[np.float64]]:
    """Return start, stop and live fraction of intervals in order, those that touch and are as live as one.

    So the sum over them does not depend on how files divide the time.
    """
    start, stop, live = (good[name].values for name in _MERGE)
    opens = np.ones(len(start), bool)
    opens[1:] = (start[1:] != stop[:-1]) | (live[1:] != live[:-1])
    return start[opens], stop[np.append(opens[1:], values=True)[: len(stop)]], live[opens]


def _refusal(gone: xr.Dataset, name: str) -> str:
    low, high = int(gone["start"].values[0]), int(gone["stop"].values[0])
    return (
        f"good intervals of {name} overlap those of another granule, first from {isot(low)} to {isot(high)}; "
        "if both tell of the same events, declare Product(overlap='first') or 'latest'"
    )
