"""Where bodies, stations and orbiters are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ilrs_science.errors import FormatError, IlrsError
from ilrs_science.geometry.chebyshev import Floats
from ilrs_science.geometry.ephemeris import BODIES, Ephemeris, chosen, spk_segments
from ilrs_science.geometry.frames import FRAMES, rotation
from ilrs_science.geometry.moments import Moments
from ilrs_science.geometry.rotations import apply
from ilrs_science.geometry.scales import tai, tai_to_tdb, tdb_to_tai
from ilrs_science.geometry.surface import observer
from ilrs_science.geometry.time import SECOND, Nanoseconds, to_jd
from ilrs_science.model.site import Site

type Origin = Literal["moon", "earth", "ssb"]

_ORIGINS: tuple[Origin, ...] = ("moon", "earth", "ssb")
_CENTRES = {0: "ssb", 10: "sun", 301: "moon", 399: "earth"}
_KINDS = (2, 3)
"""Chebyshev series: of the other kinds jplephem reads one, and that only to the day."""
_SLACK = 1000
"""ns by which a time may pass the ends of a table: rounding on the way from one scale to another."""
_FRAMES_OF_ORBITS = tuple(frame for frame in FRAMES if frame != "ENU")
"""ENU is the frame of a site."""
_POINTS = 4
"""A cubic through fewer positions is none."""


@dataclass(frozen=True, eq=False)
class Orbit:
    """Positions of an orbiter at times, joined by a cubic: of Hermite where there are velocities, else a spline."""

    times: Nanoseconds
    """TAI ns, increasing, shape (n,)."""
    positions: Floats
    """km, shape (n, 3)."""
    velocities: Floats | None
    """km/s, shape (n, 3)."""
    frame: str
    """Frame of the positions."""
    origin: str
    """`moon`, `earth` or `ssb`."""

    @classmethod
    def from_table(cls, path: str | Path) -> Orbit:
        """Read a table in ECSV: columns time, x, y, z and, if known, vx, vy, vz, with units; meta frame, origin, scale.

        Raises
        ------
        FormatError
            The file is no such table.
        """
        from astropy.table import Table  # noqa: PLC0415 - half a second of imports

        try:
            table: Any = Table.read(path, format="ascii.ecsv")
            frame, origin = (str(table.meta[key]) for key in ("frame", "origin"))
            positions = _vectors(table, ("x", "y", "z"), "km")
            speeds = [name for name in ("vx", "vy", "vz") if name in table.colnames]
            velocities = _vectors(table, speeds, "km/s") if speeds else None
            orbit = cls(_times(table), positions, velocities, frame, origin)
            empty = [name for name in table.colnames if np.ma.is_masked(table[name])]
        except (OSError, ValueError, KeyError, TypeError, AttributeError, IlrsError) as error:
            raise FormatError(f"{path}: not a table of positions ({error!r}); see the reference of geometry") from error
        if faults := list(orbit._faults(empty)):
            raise FormatError(f"{path}: {'; '.join(faults)}")
        return orbit

    def _faults(self, empty: Sequence[str]) -> Iterator[str]:
        """Yield what is wrong with the positions of a table, of which these columns have empty cells."""
        if self.frame not in _FRAMES_OF_ORBITS:
            yield f"frame {self.frame!r}"
        if self.origin not in _ORIGINS:
            yield f"origin {self.origin!r}, known are {', '.join(_ORIGINS)}"
        if len(self.times) < _POINTS or (np.diff(self.times) <= 0).any():
            yield "times that do not increase, or fewer than 4"
        if empty:
            yield f"empty cells in {', '.join(empty)}"
        # A table without velocities has none that could be wrong.
        velocities = np.zeros((len(self.times), 3)) if self.velocities is None else self.velocities
        if (count := velocities.shape[-1]) != 3:  # noqa: PLR2004 - as positions
            yield f"{count} components of the velocity, expected none or three"
        if not (np.isfinite(self.positions).all() and np.isfinite(velocities).all()):
            yield "a value that is not a number"

    def at(self, moments: Nanoseconds) -> Floats:
        """Return positions, km, shape (..., 3), in the orbit's own frame and from its own origin.

        Raises
        ------
        IlrsError
            A time outside the table.
        """
        if moments.size and (moments.min() < self.times[0] - _SLACK or moments.max() > self.times[-1] + _SLACK):
            first, last = (np.datetime64(int(t), "s") for t in (self.times[0] // SECOND, self.times[-1] // SECOND))
            raise IlrsError(f"a time lies outside {first} to {last} TAI, the table of positions")
        result: Floats = self._curve((moments - self.times[0]) / SECOND)
        return result

    @cached_property
    def _curve(self) -> Any:
        from scipy.interpolate import CubicHermiteSpline, CubicSpline  # noqa: PLC0415 - a second of imports

        seconds = (self.times - self.times[0]) / SECOND
        if self.velocities is None:
            return CubicSpline(seconds, self.positions)
        return CubicHermiteSpline(seconds, self.positions, self.velocities)


def _vectors(table: Any, names: Sequence[str], unit: str) -> Floats:
    """Return columns of a table side by side, in a unit."""
    return np.stack([table[name].quantity.to_value(unit) for name in names], axis=-1)


def _times(table: Any) -> Nanoseconds:
    """Return the column `time` as TAI; as text it is in the scale that the table names, else it says its own."""
    column = table["time"]
    if hasattr(column, "jd1"):  # an astropy Time
        return tai(column)
    return tai(np.asarray(column).astype(str), str(table.meta["scale"]))


def position(  # noqa: PLR0913 - what, when, and as seen from where
    body: str | Site,
    time: Moments,
    frame: str = "ICRS",
    origin: Origin = "moon",
    *,
    scale: str | None = None,
    site: Site | None = None,
    ephemeris: Ephemeris | None = None,
) -> Floats:
    """Return where a body or site is: geometric, without light time.

    Parameters
    ----------
    body
        sun, earth, moon, a planet, a site on the Moon, or an orbiter whose site names its `orbit`.
    time, scale
        As in `rotation`.
    frame
        As in `rotation`.
    origin
        From where: "moon" or "earth" (their centres), or "ssb", the solar system's barycentre.
    site
        The site of the frame ENU.
    ephemeris
        By default what is installed.

    Returns
    -------
    km, float64, shape (..., 3).

    Raises
    ------
    IlrsError
        An unknown body, frame or origin; a site without coordinates; a time outside the kernels or the orbit.
    """
    if origin not in _ORIGINS:
        raise IlrsError(f"unknown origin {origin!r}; known are {', '.join(_ORIGINS)}")
    used = chosen(ephemeris)
    moments = tai(time, scale)
    turn = rotation("ICRS", frame, moments, scale="tai", site=site, ephemeris=used)
    tdb = tai_to_tdb(moments)
    place = barycentric(body, tdb, used)
    return apply(turn, place if origin == "ssb" else place - used.position(origin, tdb))


def barycentric(body: str | Site, tdb: Nanoseconds, ephemeris: Ephemeris) -> Floats:
    """Return barycentric positions in ICRS, km, shape (..., 3), at int64 ns of TDB.

    Raises
    ------
    IlrsError
        As in `position`.
    """
    if isinstance(body, str) and body in BODIES:
        return ephemeris.position(body, tdb)
    if not isinstance(body, Site):
        raise IlrsError(f"unknown body {body!r}; known are {', '.join(BODIES)}, or a Site")
    if body.orbit is None:
        return observer(body, tdb, ephemeris)[0]
    path, mark, number = body.orbit.partition("#")
    if mark:
        if not number.removeprefix("-").isdecimal():
            raise IlrsError(f"site {body.name!r}: orbit {body.orbit!r}; expected file.bsp#NAIF number, or a table")
        return _along_spk(path, int(number), tdb, ephemeris)
    orbit = _table(path, Path(path).stat().st_mtime_ns if Path(path).is_file() else 0)
    moments = tdb_to_tai(tdb)
    turned = apply(rotation(orbit.frame, "ICRS", moments, scale="tai", ephemeris=ephemeris), orbit.at(moments))
    return turned if orbit.origin == "ssb" else turned + ephemeris.position(orbit.origin, tdb)


@cache
def _table(path: str, _changed: int) -> Orbit:
    return Orbit.from_table(path)


def _along_spk(path: str, number: int, tdb: Nanoseconds, ephemeris: Ephemeris) -> Floats:
    segments = {target: (centre, segment) for (centre, target), segment in spk_segments(path).items()}
    if number not in segments:
        raise IlrsError(f"{path} has no body {number}; it has {', '.join(map(str, segments))}")
    centre, segment = segments[number]
    if centre not in _CENTRES:
        raise IlrsError(f"{path}: positions of {number} from body {centre}; expected one of {_CENTRES}")
    if segment.data_type not in _KINDS:
        raise IlrsError(
            f"{path}: the segment of {number} is of type {segment.data_type}; types 2 and 3 can be read, others have to"
            " be sampled into a table of positions"
        )
    days, fraction = to_jd(tdb.reshape(-1))
    if ((days + fraction < segment.start_jd) | (days + fraction > segment.end_jd)).any():
        raise IlrsError(f"{path} has {number} from JD {segment.start_jd} to {segment.end_jd} TDB; a time lies outside")
    values = np.moveaxis(np.asarray(segment.compute(days, fraction)[:3]), 0, -1).reshape(*tdb.shape, 3)
    return values if centre == 0 else values + ephemeris.position(_CENTRES[centre], tdb)
