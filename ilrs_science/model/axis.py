"""Time axes: where a sample belongs is arithmetic, known before any file is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from math import floor, gcd
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ilrs_science.model.granule import Granule
from ilrs_science.model.site import Site

type Times = NDArray[np.int64]


@dataclass(frozen=True)
class RegularAxis:
    """Slots of equal length for every site: slot k is [start + k step, start + (k + 1) step), TAI nanoseconds.

    A step that is no whole number of nanoseconds drifts by nothing: every slot begins at its exact time, rounded down
    to nanoseconds.
    """

    start: int
    """Start of slot 0, TAI ns."""
    step: int | Fraction
    """Length of a slot, ns."""
    count: int
    """Number of slots."""
    phase: Fraction = Fraction(0)
    """How much later than `start` slot 0 begins exactly, ns: 0 or a fraction of one."""

    leading: ClassVar[tuple[str, ...]] = ("site",)
    """Dimensions that a stored variable has before those of its block."""
    place_dimension: ClassVar[str] = "site"
    """The dimension along which the coordinates of places lie."""
    may_shrink: ClassVar[bool] = False
    """Whether what a cube has along the axis may go away again."""
    meaning: ClassVar[str] = "start of the slot"
    """What a time of the axis is."""

    @property
    def stop(self) -> int:
        """End of the last slot, TAI ns."""
        return int(self.edges(np.int64(self.count)))

    @property
    def kind(self) -> Any:
        """What of the axis a cube keeps however it grows, JSON-able."""
        kind: dict[str, Any] = {"start": self.start, "step": _plain(self.step)}
        return kind | ({"phase": str(self.phase)} if self.phase else {})

    @property
    def identity(self) -> Any:
        """What a result that lies on the axis depends on, JSON-able."""
        return [self.start, _plain(self.step), self.count, *([str(self.phase)] if self.phase else [])]

    def rows(self, sites: Sequence[Site]) -> list[tuple[int, tuple[Site, ...]]]:
        """Return the rows of a cube, each with its sites: one a site."""
        return [(row, (site,)) for row, site in enumerate(sites)]

    def places(self, sites: Sequence[Site]) -> Sequence[Site]:
        """Return the sites along the dimension of places."""
        return sites

    def exposures(self) -> ExposureAxis | None:
        """Return nothing: arithmetic tells every slot, and no table has to be stored."""
        return None

    def slots_within(self, margin: int) -> int:
        """Return how many slots lie in margins (ns) on both sides."""
        return int(2 * margin // self.step)

    def overlaps(self, granule: Granule, margin: int) -> bool:
        """Tell whether a granule may have a sample on the axis or within the margin (ns) around it."""
        return granule.start < self.stop + margin and granule.stop > self.start - margin

    def is_home(self, granule: Granule, origin: int) -> bool:
        """Tell whether a granule, or what of it comes after the origin of the campaign (TAI ns), begins here."""
        return granule.stop > origin and self.start <= max(granule.start, origin) < self.stop

    def found_by(self, times: Times, raw: Times) -> Times:  # noqa: ARG002 - one signature for both kinds of axis
        """Return by which times slots are found: by those that the steps have made."""
        return times

    def times(self) -> Times:
        """Return the start of every slot, int64 TAI ns, shape (count,)."""
        return self.edges(np.arange(self.count, dtype=np.int64))

    def bounds(self) -> NDArray[np.int64]:
        """Return start and end of every slot, int64 TAI ns, shape (count, 2)."""
        edges = self.edges(np.arange(self.count + 1, dtype=np.int64))
        return np.stack([edges[:-1], edges[1:]], axis=-1)

    def region(self, first: int, last: int) -> RegularAxis:
        """Return slots [first, last) as an axis of their own."""
        begin = self.phase + first * self.step
        return RegularAxis(self.start + floor(begin), self.step, last - first, Fraction(begin - floor(begin)))

    def edges(self, numbers: NDArray[np.int64] | np.int64) -> Times:
        """Return where slots of these numbers begin, int64 TAI ns; also of slots before and after the axis."""
        length, slots, late = self._ratio
        whole, rest = np.divmod(numbers, slots)
        return np.asarray(self.start + whole * length + (late + rest * length) // slots)

    def numbers(self, times: Times | int) -> NDArray[np.int64]:
        """Return the number of the slot that each time lies in, int64; also of slots before and after the axis."""
        length, slots, late = self._ratio
        whole, rest = np.divmod(np.asarray(times) - self.start, length)
        return np.asarray(whole * slots + ((rest + 1) * slots - late - 1) // length)

    def slots(self, times: Times, site: str) -> Times:  # noqa: ARG002 - one signature for both kinds of axis
        """Return the slot of each time, int64; -1 outside the axis."""
        slots = self.numbers(times)
        return np.where((slots >= 0) & (slots < self.count), slots, -1)

    def resolution(self) -> int:
        """Return the largest number of ns that every slot's start is a multiple of."""
        return gcd(self.start, self.step) if isinstance(self.step, int) else 1

    def as_json(self) -> dict[str, Any]:
        """Return the axis as JSON-able values."""
        return {**self.kind, "count": self.count}

    @cached_property
    def _ratio(self) -> tuple[int, int, int]:
        """So many ns are so many slots, and slot 0 begins so many of those parts of 1 ns late.

        A number of slots is never multiplied by the length of all of these slots, which 64 bits would not hold.
        """
        step = Fraction(self.step)
        return step.numerator, step.denominator, int(self.phase * step.denominator)


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

    leading: ClassVar[tuple[str, ...]] = ()
    """Dimensions that a stored variable has before those of its block."""
    place_dimension: ClassVar[str] = "time"
    """The dimension along which the coordinates of places lie."""
    may_shrink: ClassVar[bool] = True
    """Whether what a cube has along the axis may go away again."""
    meaning: ClassVar[str] = "centre of the exposure"
    """What a time of the axis is."""
    step: ClassVar[int] = 0
    """Exposures are no fixed time apart."""
    kind: ClassVar[str] = "exposures"
    """What of the axis a cube keeps however it grows, JSON-able."""

    @property
    def identity(self) -> Any:
        """What a result that lies on the axis depends on, JSON-able."""
        return self.as_json()

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

    def rows(self, sites: Sequence[Site]) -> list[tuple[int, tuple[Site, ...]]]:
        """Return the rows of a cube, each with its sites: there is one, for all."""
        return [(-1, tuple(sites))]

    def places(self, sites: Sequence[Site]) -> Sequence[Site]:
        """Return the site of every exposure."""
        by_name = {site.name: site for site in sites}
        return [by_name[name] for name in self.sites]

    def exposures(self) -> ExposureAxis | None:
        """Return the table of exposures that has to be stored."""
        return self

    def slots_within(self, margin: int) -> int:  # noqa: ARG002 - one signature for both kinds of axis
        """Return 0: neighbours of an exposure lie on the axis or nowhere."""
        return 0

    def overlaps(self, granule: Granule, margin: int) -> bool:  # noqa: ARG002 - one signature for both kinds of axis
        """Tell whether a granule has an exposure between the first and the last of the axis."""
        return any(self.start <= time < self.stop for time in granule.times)

    def is_home(self, granule: Granule, origin: int) -> bool:
        """Tell whether the first exposure of a granule after the origin of the campaign (TAI ns) is here."""
        inside = [time for time in granule.times if time >= origin]
        return bool(inside) and bool(self.slots(np.array(inside[:1], np.int64), granule.site)[0] >= 0)

    def found_by(self, times: Times, raw: Times) -> Times:  # noqa: ARG002 - one signature for both kinds of axis
        """Return by which times exposures are found: by those of their files, which the axis was made of."""
        return raw

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


def regular_axis(kind: Mapping[str, Any], count: int) -> RegularAxis:
    """Return the regular axis of a kind, as `kind` gave it, with so many slots."""
    step = Fraction(kind["step"])
    length = step.numerator if step.denominator == 1 else step
    return RegularAxis(kind["start"], length, count, Fraction(kind.get("phase", 0)))


def _plain(step: int | Fraction) -> int | str:
    return int(step) if step == int(step) else str(step)


def axis_from_json(values: dict[str, Any]) -> Axis:
    """Return the axis that `as_json` wrote."""
    if "step" in values:
        return regular_axis(values, values["count"])
    return ExposureAxis(tuple(values["instants"]), tuple(values["sites"]))


def pieces(axis: Axis, first: int, length: int) -> Iterator[tuple[int, Axis]]:
    """Yield the axis from slot `first` on, in pieces of `length` slots, each with its first slot."""
    for begin in range(first, axis.count, length):
        yield begin, axis.region(begin, min(begin + length, axis.count))
