"""Time axes: where a sample belongs is arithmetic, known before any file is read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

type Times = NDArray[np.int64]


@dataclass(frozen=True)
class RegularAxis:
    """Slots of equal length for every site: slot k is [start + k step, start + (k + 1) step), TAI nanoseconds."""

    start: int
    """Start of slot 0, TAI ns."""
    step: int
    """Length of a slot, ns."""
    count: int
    """Number of slots."""

    @property
    def stop(self) -> int:
        """End of the last slot, TAI ns."""
        return self.start + self.step * self.count

    @property
    def leading(self) -> tuple[str, ...]:
        """Dimensions that a stored variable has before those of its block."""
        return ("site",)

    def times(self) -> Times:
        """Return the start of every slot, int64 TAI ns, shape (count,)."""
        return self.start + self.step * np.arange(self.count, dtype=np.int64)

    def bounds(self) -> NDArray[np.int64]:
        """Return start and end of every slot, int64 TAI ns, shape (count, 2)."""
        times = self.times()
        return np.stack([times, times + self.step], axis=-1)

    def region(self, first: int, last: int) -> RegularAxis:
        """Return slots [first, last) as an axis of their own."""
        return RegularAxis(self.start + first * self.step, self.step, last - first)

    def slots(self, times: Times, site: str) -> Times:  # noqa: ARG002 - one signature for both kinds of axis
        """Return the slot of each time, int64; -1 outside the axis."""
        slots = (times - self.start) // self.step
        return np.where((slots >= 0) & (slots < self.count), slots, -1)

    def resolution(self) -> int:
        """Return the largest number of ns that every slot's start is a multiple of."""
        return int(np.gcd(np.int64(self.start), np.int64(self.step)))

    def as_json(self) -> dict[str, Any]:
        """Return the axis as JSON-able values."""
        return {"start": self.start, "step": self.step, "count": self.count}


@dataclass(frozen=True)
class ExposureAxis:
    """A list of instants, each with its site; sorted by time, then site, without repetition."""

    instants: tuple[int, ...]
    """Time of every exposure, TAI ns."""
    sites: tuple[str, ...]
    """Site of every exposure."""

    def __post_init__(self) -> None:
        keys = list(zip(self.instants, self.sites, strict=True))
        if any(after <= before for before, after in pairwise(keys)):
            msg = "exposures must be sorted by time, then site, without repetition"
            raise ValueError(msg)

    @property
    def count(self) -> int:
        """Number of exposures."""
        return len(self.instants)

    @property
    def start(self) -> int:
        """Time of the first exposure, TAI ns (0 for an empty axis)."""
        return self.instants[0] if self.instants else 0

    @property
    def stop(self) -> int:
        """One nanosecond after the last exposure, TAI ns."""
        return self.instants[-1] + 1 if self.instants else 0

    @property
    def leading(self) -> tuple[str, ...]:
        """Dimensions that a stored variable has before those of its block."""
        return ()

    def times(self) -> Times:
        """Return the instants, int64 TAI ns, shape (count,)."""
        return np.array(self.instants, np.int64)

    def bounds(self) -> NDArray[np.int64]:
        """Return each instant twice, int64 TAI ns, shape (count, 2): how long an exposure took is not known here."""
        return np.repeat(self.times()[:, None], 2, axis=1)

    def region(self, first: int, last: int) -> ExposureAxis:
        """Return exposures [first, last) as an axis of their own."""
        return ExposureAxis(self.instants[first:last], self.sites[first:last])

    def slots(self, times: Times, site: str) -> Times:
        """Return the index of the exposure of this site at each time, int64; -1 where there is none."""
        here = np.flatnonzero(np.array([name == site for name in self.sites], bool))
        if not here.size:
            return np.full(np.shape(times), -1, np.int64)
        instants = self.times()[here]
        nearest = np.minimum(np.searchsorted(instants, times), len(here) - 1)
        return np.where(instants[nearest] == times, here[nearest], -1)

    def resolution(self) -> int:
        """Return 1: exposures come at any nanosecond, and later ones at others than today's."""
        return 1

    def as_json(self) -> dict[str, Any]:
        """Return the axis as JSON-able values."""
        return {"instants": list(self.instants), "sites": list(self.sites)}


Axis = RegularAxis | ExposureAxis


def axis_from_json(values: dict[str, Any]) -> Axis:
    """Return the axis that `as_json` wrote."""
    if "step" in values:
        return RegularAxis(values["start"], values["step"], values["count"])
    return ExposureAxis(tuple(values["instants"]), tuple(values["sites"]))


def pieces(axis: Axis, first: int, length: int) -> Iterator[tuple[int, Axis]]:
    """Yield the axis from slot `first` on, in pieces of `length` slots, each with its first slot."""
    for begin in range(first, axis.count, length):
        yield begin, axis.region(begin, min(begin + length, axis.count))
