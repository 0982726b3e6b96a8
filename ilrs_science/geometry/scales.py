"""Time scales from UTC to the Moon's surface: differences in float64 seconds, conversions in int64 nanoseconds.

The scales form a tree (`_PARENT`), and each knows how far it is from its parent. TT, TCG and TCL are coordinate times
of moving centres, so that their difference to TDB depends on where an event is, by v.r/c^2: 0.1 ms between Earth and
Moon, 0.6 us across the Moon. Without a site, an event is at the Moon's centre if TCL or TL is involved, and at the
Earth's if not (as in astropy).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isfinite
from numbers import Real
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ilrs_science.errors import IlrsError
from ilrs_science.geometry.blocks import by_blocks
from ilrs_science.geometry.chebyshev import Floats
from ilrs_science.geometry.constants import (
    GM_MOON,
    L_B,
    L_G,
    L_M,
    MOON_RADIUS,
    MOON_SPIN,
    SPEED_OF_LIGHT,
    TDB0,
    TREND,
)
from ilrs_science.geometry.ephemeris import Ephemeris, chosen
from ilrs_science.geometry.moments import Moments, Scale, known_scale, read_moments
from ilrs_science.geometry.scale_tables import ORIGIN, tcl_minus_tdb, tdb_minus_tt
from ilrs_science.geometry.surface import observer, on_the_moon
from ilrs_science.geometry.time import SECOND, TT_LESS_TAI, Nanoseconds, tai_to_utc, utc_to_tai
from ilrs_science.model.site import Site

type Place = Site | Literal["earth", "moon"]
type Scaling = float | Literal["tcl", "selenoid", "tt"]

TL_RATES = {
    "tcl": 0.0,
    "selenoid": L_M,
    "tt": TREND / (1.0 + TREND),
}
"""1 - dTL/dTCL of each proposal: TL is TCL itself, is the time of a clock on the selenoid, or keeps pace with TT."""

_CENTRES: dict[Scale, str] = {"tt": "earth", "tcl": "moon"}
"""Scales whose difference to TDB is theirs at a centre only."""
_PARENT: dict[Scale, Scale] = {
    "utc": "tai",
    "tai": "tt",
    "tcg": "tt",
    "tt": "tdb",
    "tcb": "tdb",
    "tcl": "tdb",
    "tl": "tcl",
}


@dataclass(frozen=True)
class _Event:
    """Where something happens, what TL is, and whose velocities count."""

    place: Place | None = None
    scaling: Scaling = "tcl"
    ephemeris: Ephemeris | None = None

    def settled(self, *scales: Scale) -> _Event:
        """Return the event, checked, at its default place if it has none."""
        known = isinstance(self.scaling, str) and self.scaling in TL_RATES
        scaling: Any = self.scaling
        if not known and not (isinstance(scaling, Real) and isfinite(scaling)):
            raise IlrsError(f"unknown scaling {self.scaling!r} of TL; give a number, or one of {', '.join(TL_RATES)}")
        if self.place is None:
            return replace(self, place="moon" if {"tcl", "tl"} & set(scales) else "earth")
        if not isinstance(self.place, Site) and self.place not in ("earth", "moon"):
            raise IlrsError(f"unknown place {self.place!r}; give a Site, 'earth' or 'moon'")
        return self


def convert(  # noqa: PLR0913 - the time, the scales, and what they depend on
    time: Moments,
    source: str,
    target: str,
    *,
    site: Place | None = None,
    scaling: Scaling = "tcl",
    ephemeris: Ephemeris | None = None,
) -> NDArray[Any]:
    """Convert times of an event from one scale to another.

    Parameters
    ----------
    time
        int64 ns since 1970-01-01T00:00:00 of the source scale, datetime64, ISO 8601 text, or astropy `Time`.
    source, target
        utc, tai, tt, tdb, tcb, tcg, tcl or tl.
    site
        Where the event is: a `Site` on the Moon, "moon" or "earth" (their centres); by default the Moon's centre if
        TCL or TL is involved, else the Earth's. A chain of conversions is one conversion if all are at one place.
    scaling
        What TL is, because none is adopted: "tcl" (TL = TCL), "selenoid" (a clock on the selenoid), "tt" (no mean drift
        against TT), or a number: 1 - dTL/dTCL.
    ephemeris
        For places other than those that the scales are centred on, so for UTC, TAI or TT to TCL or TL, too; by default
        what is installed.

    Returns
    -------
    int64 ns since 1970-01-01T00:00:00 of the target scale, same shape; datetime64[ns], if that came in. A leap second
    shares its UTC count with the second after it.

    Raises
    ------
    IlrsError
        An unknown scale, a time that is none, that says another scale than `source`, or lies outside a table:
        UTC begins in 1960, the table of TCL spans 1969 to 2060.
    """
    event = _Event(site, scaling, ephemeris)
    event.settled(known_scale(target))
    ns, own = read_moments(time, source)
    result = _convert(ns, own, known_scale(target), event)
    as_datetime = not isinstance(time, str) and getattr(time, "dtype", np.dtype(int)).kind == "M"
    return result.astype("datetime64[ns]") if as_datetime else result


def offset(  # noqa: PLR0913 - as `convert`
    target: str,
    source: str,
    time: Moments,
    *,
    scale: str | None = None,
    site: Place | None = None,
    scaling: Scaling = "tcl",
    ephemeris: Ephemeris | None = None,
) -> Floats:
    """Return by how much the target scale is ahead of the source scale at a moment, in seconds.

    Parameters
    ----------
    target, source
        utc, tai, tt, tdb, tcb, tcg, tcl or tl; the result is target - source.
    time
        The moment, as in `convert`.
    scale
        Scale of datetime64 or int64 times; by default the source scale. Text is UTC.
    site, scaling, ephemeris
        As in `convert`.

    Differences add up for one `site`; by default those that involve TCL or TL are at the Moon's centre and others at
    the Earth's, and so fail to add up by 0.1 ms.

    Returns
    -------
    float64 seconds, shape of `time`. TCL - TDB is good to 0.5 ns of its own integration, and that to 5 ns of LTE440.

    Raises
    ------
    IlrsError
        As in `convert`.
    """
    start, end = known_scale(source), known_scale(target)
    ns, own = read_moments(time, scale, default=start)
    event = _Event(site, scaling, ephemeris).settled(start, end)
    if start == "utc":  # read as TAI, because a leap second has no UTC count of its own
        moments = _convert(ns, own, "tai", event)
        return _difference(moments, "tai", end, event) - _excess("utc", moments, event)
    return _difference(_reading(ns, own, start, scaling), start, end, event)


def tai(time: Moments, scale: str | None = None) -> Nanoseconds:
    """Return times as int64 ns of TAI.

    Raises
    ------
    IlrsError
        As in `convert`.
    """
    ns, own = read_moments(time, scale)
    return _convert(ns, own, "tai", _Event())


def instant(time: Moments, scale: str | None = None) -> int:
    """Return one moment as ns of TAI.

    Raises
    ------
    IlrsError
        As in `convert`; or these are several.
    """
    ns = tai(time, scale)
    if ns.ndim:
        raise IlrsError(f"times of shape {ns.shape}; expected one moment")
    return int(ns)


def tai_to_tdb(ns: Nanoseconds) -> Nanoseconds:
    """Return TDB of TAI at the geocentre, both int64 ns."""
    return _convert(ns, "tai", "tdb", _Event("earth"))


def tdb_to_tai(ns: Nanoseconds) -> Nanoseconds:
    """Return TAI of TDB at the geocentre, both int64 ns."""
    return _convert(ns, "tdb", "tai", _Event("earth"))


def surface_clock_rate(site: Site) -> float:
    """Return d(tau)/dTCL - 1 of a clock at rest on the Moon: -(GM/r + (omega r cos(lat))^2/2)/c^2.

    The Moon is a sphere here; its gravity field and the tides change the rate by some 1e-14.

    Raises
    ------
    IlrsError
        The site is no place on the Moon.
    """
    place = on_the_moon(site)
    r = MOON_RADIUS + float(place.height or 0.0) / 1000.0
    speed = MOON_SPIN * r * np.cos(np.deg2rad(float(place.lat or 0.0)))
    return float(-(GM_MOON / r + speed**2 / 2.0) / SPEED_OF_LIGHT**2)


def _convert(ns: Nanoseconds, source: Scale, target: Scale, event: _Event) -> Nanoseconds:
    if source == "utc":
        ns, source = utc_to_tai(ns), "tai"
    if target == "utc":
        return tai_to_utc(_convert(ns, source, "tai", event.settled(source)))
    if source == target:
        return ns
    seconds = _difference(ns, source, target, event.settled(source, target))
    return ns + np.rint(seconds * SECOND).astype(np.int64)


def _reading(ns: Nanoseconds, own: Scale, scale: Scale, scaling: Scaling) -> Nanoseconds:
    """Return moments in a scale to a fraction of a millisecond, each step at its own centre, so without an ephemeris.

    That is enough to say when a difference is wanted: it changes by less than 3e-12 s meanwhile.
    """
    if own == scale:
        return ns
    tdb = _convert(ns, own, "tdb", _Event("moon" if own in ("tcl", "tl") else "earth", scaling))
    return _convert(tdb, "tdb", scale, _Event("moon" if scale in ("tcl", "tl") else "earth", scaling))


def _difference(ns: Nanoseconds, source: Scale, target: Scale, event: _Event) -> Floats:
    """Return target - source, s, at readings of the source scale."""
    (seconds,) = by_blocks(lambda part: (_chain(part, source, target, event),), ns)
    return seconds


def _chain(ns: Nanoseconds, source: Scale, target: Scale, event: _Event) -> Floats:
    up, down = _ancestry(source), _ancestry(target)
    common = next(scale for scale in up if scale in down)
    total = np.zeros(ns.shape)
    for scale in up[: up.index(common)]:
        parent = ns - np.rint(_excess(scale, ns, event) * SECOND).astype(np.int64)
        term = _position_term(scale, parent, event)
        for _ in range(2):  # every excess changes by less than 2e-8 of the time, so that the third pass is exact
            excess = _excess(scale, parent, event) + term
            parent = ns - np.rint(excess * SECOND).astype(np.int64)
        ns, total = parent, total - excess
    for scale in reversed(down[: down.index(common)]):
        excess = _excess(scale, ns, event) + _position_term(scale, ns, event)
        ns, total = ns + np.rint(excess * SECOND).astype(np.int64), total + excess
    return total


def _ancestry(scale: Scale) -> list[Scale]:
    line = [scale]
    while line[-1] in _PARENT:
        line.append(_PARENT[line[-1]])
    return line


def _excess(scale: Scale, parent: Nanoseconds, event: _Event) -> Floats:
    """Return by how much a scale is ahead of its parent at its own centre, s, at readings of the parent."""
    since = (parent - ORIGIN) / SECOND
    rate = TL_RATES[event.scaling] if isinstance(event.scaling, str) else float(event.scaling)
    excess: dict[Scale, Callable[[], Floats]] = {
        "utc": lambda: (tai_to_utc(parent) - parent) / SECOND,
        "tai": lambda: np.full(parent.shape, -TT_LESS_TAI / SECOND),
        "tt": lambda: -tdb_minus_tt(parent),
        "tcg": lambda: L_G / (1.0 - L_G) * since,
        "tcb": lambda: L_B / (1.0 - L_B) * (since - TDB0) - TDB0,
        "tcl": lambda: tcl_minus_tdb(parent),
        "tl": lambda: -rate * since,
    }
    return excess[scale]()


def _position_term(scale: Scale, tdb: Nanoseconds, event: _Event) -> Floats:
    """Return -v.r/c^2, s: v the barycentric velocity of a scale's centre, r the place of the event as seen from it."""
    centre, place = _CENTRES.get(scale), event.place
    if centre is None or place is None or place == centre:
        return np.zeros(tdb.shape)
    source = chosen(event.ephemeris)
    x, v = source.state(centre, tdb)
    there = observer(place, tdb, source)[0] if isinstance(place, Site) else source.position(place, tdb)
    term: Floats = ((x - there) * v).sum(-1) / SPEED_OF_LIGHT**2
    return term
