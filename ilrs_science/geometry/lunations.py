"""Lunations: the months of the Moon, from one true new moon to the next, found without an ephemeris.

Algorithm: J. Meeus, Astronomical Algorithms, 2nd edition (Willmann-Bell 1998), chapter 49, "Phases of the Moon". A new
moon is when Moon and Sun have the same apparent geocentric ecliptic longitude. Meeus gives it in TT (dynamical time),
for 1980 to 2020 within 17.4 s. Lunations have the numbers of E. W. Brown: 1 began on 1923-01-17.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import cache

import numpy as np
from numpy.polynomial.polynomial import polyval

from ilrs_science.errors import IlrsError
from ilrs_science.geometry.chebyshev import Floats
from ilrs_science.geometry.time import DAY, J2000, SECOND, TT_LESS_TAI

_BEGIN, _END = (int(np.datetime64(day, "ns").astype(np.int64)) for day in ("1900-01-01", "2101-01-01"))
"""TAI ns of the years whose instants have a lunation: 1900 to 2100."""
_FIRST, _LAST = -285, 2202
"""The lunations that hold the first and the last of these instants."""
_BROWN_LESS_MEEUS = 953
"""Meeus counts k = 0 from the new moon of 2000-01-06."""
_K_PER_CENTURY = 1236.85

_MEAN_AFTER_J2000 = 5.09766
"""Days from J2000 to the mean new moon k = 0 (JDE 2451550.09766)."""
_MONTH = 29.530588861
"""Days from one mean new moon to the next."""
_MEAN = [0.0, 0.0, 0.00015437, -0.000000150, 0.00000000073]
"""What is added to a mean new moon, days: powers of T, the Julian centuries since J2000."""
_ECCENTRICITY = [1.0, -0.002516, -0.0000074]
"""E, which scales terms with the anomaly of the Sun: powers of T."""

_ARGUMENTS = [
    (29.10535670, [2.5534, 0.0, -0.0000014, -0.00000011]),
    (385.81693528, [201.5643, 0.0, 0.0107582, 0.00001238, -0.000000058]),
    (390.67050284, [160.7108, 0.0, -0.0016118, -0.00000227, 0.000000011]),
    (-1.56375588, [124.7746, 0.0, 0.0020672, 0.00000215]),
]
"""Degrees per k and powers of T: M and M', the mean anomalies of Sun and Moon; F, the Moon's argument of latitude;
Omega, the longitude of its ascending node."""

_PERIODIC = np.array(
    [
        # 1e-5 days, power of E; multiples of M, M', F, Omega
        (-40720, 0, 0, 1, 0, 0),
        (17241, 1, 1, 0, 0, 0),
        (1608, 0, 0, 2, 0, 0),
        (1039, 0, 0, 0, 2, 0),
        (739, 1, -1, 1, 0, 0),
        (-514, 1, 1, 1, 0, 0),
        (208, 2, 2, 0, 0, 0),
        (-111, 0, 0, 1, -2, 0),
        (-57, 0, 0, 1, 2, 0),
        (56, 1, 1, 2, 0, 0),
        (-42, 0, 0, 3, 0, 0),
        (42, 1, 1, 0, 2, 0),
        (38, 1, 1, 0, -2, 0),
        (-24, 1, -1, 2, 0, 0),
        (-17, 0, 0, 0, 0, 1),
        (-7, 0, 2, 1, 0, 0),
        (4, 0, 0, 2, -2, 0),
        (4, 0, 3, 0, 0, 0),
        (3, 0, 1, 1, -2, 0),
        (3, 0, 0, 2, 2, 0),
        (-3, 0, 1, 1, 2, 0),
        (3, 0, -1, 1, 2, 0),
        (-2, 0, -1, 1, -2, 0),
        (-2, 0, 1, 3, 0, 0),
        (2, 0, 0, 4, 0, 0),
    ]
)
"""The sines of a new moon."""

_PLANETARY = np.array(
    [
        # 1e-6 days; degrees, degrees per k, degrees per T^2
        (325, 299.77, 0.107408, -0.009173),
        (165, 251.88, 0.016321, 0.0),
        (164, 251.83, 26.651886, 0.0),
        (126, 349.42, 36.412478, 0.0),
        (110, 84.66, 18.206239, 0.0),
        (62, 141.74, 53.303771, 0.0),
        (60, 207.14, 2.453732, 0.0),
        (56, 154.84, 7.306860, 0.0),
        (47, 34.52, 27.261239, 0.0),
        (42, 207.19, 0.121824, 0.0),
        (40, 291.34, 1.844379, 0.0),
        (37, 161.72, 24.198154, 0.0),
        (35, 239.56, 25.513099, 0.0),
        (23, 331.55, 3.592518, 0.0),
    ]
)
"""The sines of the planetary arguments, A1 to A14."""


def new_moon(lunation: int) -> int:
    """Return the instant of the true new moon that begins a lunation.

    Parameters
    ----------
    lunation
        Brown's number: 1 began on 1923-01-17, 953 on 2000-01-06. From -285 to 2203: all that begin or end in the years
        1900 to 2100.

    Returns
    -------
    TAI, ns since 1970-01-01T00:00:00; at a whole second of TT. Within 18 s of DE421 from 1950 to 2050.

    Raises
    ------
    IlrsError
        The lunation lies outside these years.
    """
    if not _FIRST <= lunation <= _LAST + 1:
        raise IlrsError(f"lunation {lunation} of Brown; expected {_FIRST} to {_LAST + 1} (the years 1900 to 2100)")
    return _new_moons()[lunation - _FIRST]


def lunation_at(tai: int) -> int:
    """Return the number of the lunation that holds an instant: from its new moon up to, and without, the next.

    Parameters
    ----------
    tai
        TAI, ns since 1970-01-01T00:00:00, of the years 1900 to 2100.

    Returns
    -------
    Brown's number, -285 to 2202.

    Raises
    ------
    IlrsError
        The instant lies outside these years.
    """
    if not _BEGIN <= tai < _END:
        raise IlrsError(f"TAI {tai} ns since 1970; expected {_BEGIN} up to {_END} (the years 1900 to 2100)")
    return _FIRST - 1 + bisect_right(_new_moons(), tai)


@cache
def _new_moons() -> tuple[int, ...]:
    """Return the TAI, ns, of all new moons that can be asked for.

    They are rounded to seconds, because the sines of two machines may differ in their last bit, and the edges of
    lunations must not.
    """
    days = _days_since_j2000(np.arange(_FIRST, _LAST + 2, dtype=np.float64) - _BROWN_LESS_MEEUS)
    seconds = np.rint(days * (DAY // SECOND)).astype(np.int64)
    return tuple((seconds * SECOND + J2000 - TT_LESS_TAI).tolist())


def _days_since_j2000(k: Floats) -> Floats:
    """Return the TT of the new moons k, an array (n,), in days since J2000, (n,)."""
    centuries = k / _K_PER_CENTURY
    mean = _MEAN_AFTER_J2000 + _MONTH * k + polyval(centuries, _MEAN)
    days: Floats = mean + _periodic(k, centuries) + _planetary(k, centuries)
    return days


def _periodic(k: Floats, centuries: Floats) -> Floats:
    """Return the periodic terms at new moons k, (n,), in days."""
    size, power, multiples = _PERIODIC[:, 0] * 1e-5, _PERIODIC[:, 1], _PERIODIC[:, 2:]
    arguments = np.stack([rate * k + polyval(centuries, powers) for rate, powers in _ARGUMENTS])
    eccentricity = polyval(centuries, _ECCENTRICITY)[:, None] ** power
    days: Floats = (size * eccentricity * np.sin(np.deg2rad(multiples @ arguments)).T).sum(-1)
    return days


def _planetary(k: Floats, centuries: Floats) -> Floats:
    """Return the terms of the planets at new moons k, (n,), in days."""
    size, constant, rate, square = _PLANETARY.T
    degrees = constant + rate * k[:, None] + square * centuries[:, None] ** 2
    days: Floats = (size * 1e-6 * np.sin(np.deg2rad(degrees))).sum(-1)
    return days
