"""The lunar day at a site: local solar time, the number of the day, sunlight, and the eclipses by the Earth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ilrs_science.errors import IlrsError
from ilrs_science.geometry.blocks import by_blocks
from ilrs_science.geometry.chebyshev import Floats
from ilrs_science.geometry.constants import EARTH_RADIUS, MEAN_SUBSOLAR, MOON_RADIUS, SUN_RADIUS, SYNODIC_MONTH
from ilrs_science.geometry.ephemeris import Ephemeris, chosen
from ilrs_science.geometry.labels import array, dataset
from ilrs_science.geometry.moments import Moments
from ilrs_science.geometry.rotations import apply
from ilrs_science.geometry.scales import instant, tai, tai_to_tdb
from ilrs_science.geometry.sky import apparent, horizontal, subpoint
from ilrs_science.geometry.surface import observer, on_the_moon, site_me, to_geodetic
from ilrs_science.geometry.time import DAY, J2000, Nanoseconds
from ilrs_science.model.site import Site

type Horizon = float | Sequence[tuple[float, float]] | NDArray[Any] | xr.DataArray


def local_solar_time(
    site: Site, time: Moments, *, scale: str | None = None, ephemeris: Ephemeris | None = None
) -> xr.DataArray:
    """Return the hours of true local solar time: 12 + (longitude - subsolar longitude)/15.

    24 of these hours are one lunar day, 29.53 days.

    Parameters
    ----------
    site
        A place on the Moon.
    time, scale, ephemeris
        As in `altaz`.

    Returns
    -------
    Hours from 0 up to 24, shape of `time`.

    Raises
    ------
    IlrsError
        As in `altaz`.
    """
    used, moments = chosen(ephemeris), tai(time, scale)
    hours = (12.0 + _from_noon(site, moments, used) / 15.0) % 24.0
    about = {"units": "h", "long_name": "true local solar time"}
    return array(dataset({"local_solar_time": (hours, about)}, time, moments, {"site": site.name}, used))


def lunar_day(
    site: Site,
    time: Moments,
    *,
    since: Moments | None = None,
    scale: str | None = None,
    ephemeris: Ephemeris | None = None,
) -> xr.DataArray:
    """Return the number of the lunar day at a site; days begin at local midnight.

    Parameters
    ----------
    site
        A place on the Moon.
    time, scale, ephemeris
        As in `altaz`.
    since
        A moment of day 1: a landing, say; text is UTC. By default day 1 is the one in which 2000-01-01T12:00 TAI fell.

    Returns
    -------
    int64, shape of `time`.

    Raises
    ------
    IlrsError
        As in `altaz`.
    """
    used, moments = chosen(ephemeris), tai(time, scale)
    start = J2000 if since is None else instant(since, None if isinstance(since, str) else scale)
    days = _midnights(site, moments, used) - _midnights(site, np.array(start), used) + 1
    about = {"units": "1", "long_name": "number of the lunar day"}
    return array(dataset({"lunar_day": (days, about)}, time, moments, {"site": site.name}, used))


def illumination(
    site: Site,
    time: Moments,
    horizon: Horizon | None = None,
    *,
    scale: str | None = None,
    ephemeris: Ephemeris | None = None,
) -> xr.DataArray:
    """Return the fraction of the Sun's disc that a site sees, above its horizon and beside the Earth.

    The horizon is taken for level over the half degree of the disc. Where horizon and Earth both cover a part, the
    fractions multiply.

    Parameters
    ----------
    site
        A place on the Moon.
    time, scale, ephemeris
        As in `altaz`.
    horizon
        Altitude of the horizon in degrees: one number; pairs (azimuth, altitude); altitudes at equal steps of azimuth
        from north through east; or a `DataArray` of altitudes along azimuths. Linear in between. By default the
        site's own, else the dip of a smooth Moon.

    Returns
    -------
    0 to 1, float64, shape of `time`.

    Raises
    ------
    IlrsError
        As in `altaz`; a horizon that is none.
    """
    used, moments = chosen(ephemeris), tai(time, scale)

    def look(part: Nanoseconds) -> tuple[Floats]:
        discs = Discs.seen(part, site, used)
        alt, az = horizontal(apply(used.moon_me(tai_to_tdb(part)), discs.sun), site, used)
        above = _above(alt - horizon_altitude(site, az, horizon), np.rad2deg(discs.sun_radius))
        return (above * (1.0 - discs.covered()),)

    (seen,) = by_blocks(look, moments)
    about = {"units": "1", "long_name": "visible fraction of the Sun's disc"}
    return array(dataset({"illumination": (seen, about)}, time, moments, {"site": site.name}, used))


def horizon_altitude(site: Site, az: Floats, horizon: Horizon | None = None) -> Floats:
    """Return the altitude of a site's horizon at azimuths, both degrees.

    Parameters
    ----------
    site
        A place on the Moon; without a horizon of its own, the dip of a smooth Moon: -acos(R/(R + h)), 0 below R.
    az
        Azimuths, degrees.
    horizon
        As in `illumination`.

    Raises
    ------
    IlrsError
        A horizon that is none: not pairs, not finite, or altitudes beyond 90 degrees.
    """
    given: Any = horizon if horizon is not None else (site.horizon or None)
    if given is None:
        above = max(float(on_the_moon(site).height or 0.0), 0.0) / 1000.0
        return np.full(np.shape(az), -np.rad2deg(np.arccos(MOON_RADIUS / (MOON_RADIUS + above))))
    points = _horizon_points(given)
    if (np.abs(points[:, 1]) > 90.0).any():  # noqa: PLR2004
        raise IlrsError(f"a horizon of up to {np.abs(points[:, 1]).max():g} degrees; expected altitudes up to 90")
    return np.interp(az, points[:, 0], points[:, 1], period=360.0)


def _horizon_points(given: Any) -> Floats:
    """Return a horizon as pairs of azimuth and altitude, degrees, shape (n, 2)."""
    if isinstance(given, xr.DataArray) and given.ndim == 1 and given.dims[0] in given.coords:
        given = np.stack([given[given.dims[0]].values, given.values], axis=-1)
    try:
        points = np.asarray(given, np.float64)
    except (TypeError, ValueError) as error:
        raise IlrsError(f"a horizon that is no numbers ({error}); expected one altitude, or pairs (az, alt)") from error
    if points.ndim == 0:
        points = np.array([[0.0, float(points)]])
    elif points.ndim == 1 and points.size > 2:  # noqa: PLR2004 - two numbers may be meant for a pair
        points = np.stack([np.arange(points.size) * (360.0 / points.size), points], axis=-1)
    if points.ndim != 2 or points.shape[1] != 2 or not points.size or not np.isfinite(points).all():  # noqa: PLR2004
        raise IlrsError(f"a horizon of shape {points.shape}; expected one altitude, or finite pairs (az, alt), degrees")
    return points


class Discs(NamedTuple):
    """Sun and Earth as discs in the sky; the Earth is a sphere of its mean radius, its air left out."""

    sun: Floats
    """Apparent directions in ICRS, shape (..., 3)."""
    sun_radius: Floats
    """Radians."""
    earth_radius: Floats
    """Radians."""
    apart: Floats
    """Angle between the centres, radians."""

    @classmethod
    def seen(cls, moments: Nanoseconds, site: Site | None, ephemeris: Ephemeris) -> Discs:
        """Return the discs as a site, or the Moon's centre, sees them at int64 ns of TAI."""
        tdb = tai_to_tdb(moments)
        x, v = observer(site, tdb, ephemeris)[:2] if site else ephemeris.state("moon", tdb)
        sun, to_sun = apparent("sun", x, v, tdb, ephemeris)
        earth, to_earth = apparent("earth", x, v, tdb, ephemeris)
        apart = np.arctan2(np.linalg.norm(np.cross(sun, earth), axis=-1), (sun * earth).sum(-1))
        return cls(sun, np.arcsin(SUN_RADIUS / to_sun), np.arcsin(EARTH_RADIUS / to_earth), apart)

    def covered(self) -> Floats:
        """Return the fraction of the Sun's disc behind the Earth's."""
        return _overlap(self.apart, self.sun_radius, self.earth_radius)


def _above(altitude: Floats, radius: Floats) -> Floats:
    """Return the fraction of a disc above a level line, `altitude` from its centre to the line."""
    height = np.clip(altitude / radius, -1.0, 1.0)
    fraction: Floats = (np.arccos(-height) + height * np.sqrt(1.0 - height**2)) / np.pi
    return fraction


def _overlap(apart: Floats, radius: Floats, other: Floats) -> Floats:
    """Return the fraction of a disc that another one covers, whose centres are `apart`."""
    touching = np.clip(apart, np.abs(other - radius), other + radius)
    with np.errstate(invalid="ignore", divide="ignore"):
        first = (touching**2 + radius**2 - other**2) / (2.0 * touching * radius)
        second = (touching**2 + other**2 - radius**2) / (2.0 * touching * other)
        a, b = np.arccos(np.clip(first, -1.0, 1.0)), np.arccos(np.clip(second, -1.0, 1.0))
    area = radius**2 * (a - np.sin(2.0 * a) / 2.0) + other**2 * (b - np.sin(2.0 * b) / 2.0)
    covered: Floats = np.clip(area / (np.pi * radius**2), 0.0, 1.0)
    return np.where(apart >= other + radius, 0.0, np.where(apart <= other - radius, 1.0, covered))


def _from_noon(site: Site, moments: Nanoseconds, ephemeris: Ephemeris) -> Floats:
    """Return the longitude of a site from the subsolar one, degrees, -180 up to 180."""
    lon = to_geodetic(site_me(site, ephemeris)).lon
    sun = subpoint("sun", moments, scale="tai", ephemeris=ephemeris)["lon"].values
    difference: Floats = (lon - sun + 180.0) % 360.0 - 180.0
    return difference


def _midnights(site: Site, moments: Nanoseconds, ephemeris: Ephemeris) -> NDArray[np.int64]:
    """Return how many local midnights have passed, from some fixed one.

    Turns are told apart by mean solar time, which stays within 10 minutes (of 24 such hours a lunar day) of the true.
    """
    true = _from_noon(site, moments, ephemeris)
    days = (moments - J2000) / DAY
    mean = float(to_geodetic(site_me(site, ephemeris)).lon) - MEAN_SUBSOLAR + 360.0 / SYNODIC_MONTH * days
    turns = np.rint((mean - true) / 360.0) * 360.0 + true
    return np.floor((turns + 180.0) / 360.0).astype(np.int64)
