"""Positions and the Moon's orientation from published series, where no kernel is installed.

Against DE421, from 1970 to 2030, as seen from the Moon: the Sun within 0.06 arcsec, the Earth within 18 arcsec and
13 km, planets within 90 arcsec; a place on the Moon within 160 m.
"""

from __future__ import annotations

from typing import Any

import erfa
import numpy as np

from ilrs_science.errors import IlrsError
from ilrs_science.geometry.chebyshev import Floats
from ilrs_science.geometry.rotations import about_axis
from ilrs_science.geometry.time import DAY, Nanoseconds

KM = 149597870.7
"""One astronomical unit (IAU 2012 B2)."""
_PLANETS = {"mercury": 1, "venus": 2, "mars": 4, "jupiter": 5, "saturn": 6, "uranus": 7, "neptune": 8}
_FIRST, _LAST = 2415020.5, 2488070.5
"""1900 to 2100 (JD), where `epv00` is good."""


def state(body: str, jd: Any, day: Any) -> tuple[Any, Any]:
    """Return barycentric position (km) and velocity (km/s) in ICRS, each of shape (3, n), at TDB jd + day.

    Sun and Earth: ERFA `epv00`. Moon: `moon98` (Meeus 1998). Planets: `plan94` (Simon et al. 1994), some ten arcsec.

    Raises
    ------
    ValueError
        A time outside 1900 to 2100.
    IlrsError
        A body without a series.
    """
    _check_span(jd)
    heliocentric, earth = erfa.epv00(jd, day)
    x, v = earth["p"], earth["v"]
    if body == "moon":
        moon = erfa.moon98(jd, day)
        x, v = x + moon["p"], v + moon["v"]
    elif body != "earth":
        x, v = x - heliocentric["p"], v - heliocentric["v"]
    if body in _PLANETS:
        planet = erfa.plan94(jd, day, _PLANETS[body])
        x, v = x + planet["p"], v + planet["v"]
    elif body not in ("sun", "earth", "moon"):
        raise IlrsError(f"no series for {body}; install ilrs-science[ephemeris]")
    return x.T * KM, v.T * (KM / 86400.0)


_ARGUMENTS = np.array(
    [
        *[(125.045, -0.0529921), (250.089, -0.1059842), (260.008, 13.0120009), (176.625, 13.3407154)],
        *[(357.529, 0.9856003), (311.589, 26.4057084), (134.963, 13.0649930), (276.617, 0.3287146)],
        *[(34.226, 1.7484877), (15.134, -0.1589763), (119.743, 0.0036096), (239.961, 0.1643573), (25.053, 12.9590088)],
    ]
)
"""E1 to E13: degrees, and degrees a day."""
_RIGHT_ASCENSION = np.array([-3.8787, -0.1204, 0.0700, -0.0172, 0, 0.0072, 0, 0, 0, -0.0052, 0, 0, 0.0043])
_DECLINATION = np.array([1.5419, 0.0239, -0.0278, 0.0068, 0, -0.0029, 0.0009, 0, 0, 0.0008, 0, 0, -0.0009])
_MERIDIAN = np.array(
    [3.5610, 0.1208, -0.0642, 0.0158, 0.0252, -0.0066, -0.0047, -0.0046, 0.0028, 0.0052, 0.0040, 0.0019, -0.0044]
)


def moon_me(tdb: Nanoseconds) -> Floats:
    """Return the rotation from ICRS to (nearly) MOON_ME, shape (..., 3, 3).

    Archinal et al. 2011, Report of the IAU Working Group on Cartographic Coordinates 2009, table 2.

    Raises
    ------
    IlrsError
        A time outside 1900 to 2100.
    """
    days = tdb / DAY - 10957.5
    try:
        _check_span(days + 2451545.0)
    except ValueError as error:
        raise IlrsError(f"a time lies outside the orientation of the Moon: {error}") from error
    angles = np.deg2rad(_ARGUMENTS[:, 0] + _ARGUMENTS[:, 1] * days[..., None])
    centuries = days / 36525.0
    alpha = 269.9949 + 0.0031 * centuries + np.sin(angles) @ _RIGHT_ASCENSION
    delta = 66.5392 + 0.0130 * centuries + np.cos(angles) @ _DECLINATION
    meridian = 38.3213 + 13.17635815 * days - 1.4e-12 * days**2 + np.sin(angles) @ _MERIDIAN
    w, tilt, node = np.deg2rad(meridian), np.deg2rad(90.0 - delta), np.deg2rad(90.0 + alpha)
    return about_axis(2, w) @ about_axis(0, tilt) @ about_axis(2, node)


def _check_span(jd: Any) -> None:
    if np.any((jd < _FIRST) | (jd > _LAST)):
        msg = "the series cover 1900 to 2100"
        raise ValueError(msg)
