"""What stands where in the sky of the Moon, and above which point of the Moon.

Directions are apparent: where the light comes from that arrives at the moment (light time), as the moving observer sees
it (relativistic aberration). There is no air, hence no refraction; the bending of light by the Sun (1.75 arcsec at its
limb, 0.004 at right angles) is left out, as in SPICE. SPICE's aberration (+S) is Newtonian, and for inner planets
differs by up to 0.004 arcsec.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from ilrs_science.errors import IlrsError
from ilrs_science.geometry.blocks import by_blocks
from ilrs_science.geometry.chebyshev import Floats
from ilrs_science.geometry.constants import SPEED_OF_LIGHT
from ilrs_science.geometry.ephemeris import BODIES, Ephemeris, chosen
from ilrs_science.geometry.labels import dataset, degrees
from ilrs_science.geometry.moments import Moments
from ilrs_science.geometry.place import barycentric
from ilrs_science.geometry.rotations import apply, unit
from ilrs_science.geometry.scales import convert, tai, tai_to_tdb
from ilrs_science.geometry.surface import lonlat, me_to_enu, observer
from ilrs_science.geometry.time import SECOND, Nanoseconds
from ilrs_science.model.site import Site

if TYPE_CHECKING:  # importing astropy.coordinates takes half a second, that of everyone who imports the package
    from astropy.coordinates import SkyCoord

type Target = str | Site | SkyCoord

_PASSES = 3
"""Of the light time: each leaves a ten-thousandth of the error before it."""


def altaz(
    target: Target,
    site: Site,
    time: Moments,
    *,
    scale: str | None = None,
    ephemeris: Ephemeris | None = None,
) -> xr.Dataset:
    """Return where a target stands above a site on the Moon.

    Parameters
    ----------
    target
        "sun", "earth", a planet, another `Site` (a station or an orbiter), or a `SkyCoord` of one direction. Its proper
        motion is applied where it has one (it then needs an `obstime`), its parallax where it has a distance.
    site
        A place on the Moon with known coordinates and frame.
    time
        ISO text (UTC), datetime64 with a `scale`, astropy `Time`, or the time of a cube.
    scale
        Scale of datetime64.
    ephemeris
        By default what is installed.

    Returns
    -------
    alt and az (degrees; az from north through east, 0 up to 360; at a pole, north is along the meridian of the site's
    own longitude) and distance (km that the light has come, infinite for a direction), shape of `time`.

    Raises
    ------
    IlrsError
        An unknown target, a site without frame or coordinates, or a time outside the kernels.
    """
    used, moments = chosen(ephemeris), tai(time, scale)

    def look(part: Nanoseconds) -> tuple[Floats, ...]:
        tdb = tai_to_tdb(part)
        x, v, to_me = observer(site, tdb, used)
        direction, distance = apparent(target, x, v, tdb, used)
        return *horizontal(apply(to_me, direction), site, used), distance

    alt, az, distance = by_blocks(look, moments)
    about = {"target": target_name(target), "site": site.name, "frame": f"ENU at {site.name} ({site.frame})"}
    return dataset(
        {
            "alt": (alt, degrees("apparent altitude")),
            "az": (az, degrees("apparent azimuth, north through east")),
            "distance": (distance, {"units": "km", "long_name": "distance that the light has come"}),
        },
        time,
        moments,
        about,
        used,
    )


def subpoint(
    target: Literal["sun", "earth"] | str,  # noqa: PYI051 - the two that most want
    time: Moments,
    *,
    scale: str | None = None,
    ephemeris: Ephemeris | None = None,
) -> xr.Dataset:
    """Return the point of the Moon above which a body stands, as seen (apparent) from the Moon's centre.

    Parameters
    ----------
    target
        "sun", "earth" or a planet.
    time, scale, ephemeris
        As in `altaz`.

    Returns
    -------
    lon (-180 up to 180) and lat, degrees in MOON_ME, and distance (km) that the light has come, shape of `time`.

    Raises
    ------
    IlrsError
        As in `altaz`.
    """
    used, moments = chosen(ephemeris), tai(time, scale)

    def look(part: Nanoseconds) -> tuple[Floats, ...]:
        tdb = tai_to_tdb(part)
        direction, distance = apparent(target, *used.state("moon", tdb), tdb, used)
        return *lonlat(apply(used.moon_me(tdb), direction)), distance

    lon, lat, distance = by_blocks(look, moments)
    about = {"target": target_name(target), "frame": "MOON_ME", "definition": "apparent, from the Moon's centre"}
    return dataset(
        {
            "lon": (lon, degrees("longitude, east positive", "longitude")),
            "lat": (lat, degrees("planetocentric latitude", "latitude")),
            "distance": (distance, {"units": "km", "long_name": "distance that the light has come"}),
        },
        time,
        moments,
        about,
        used,
    )


def libration(time: Moments, *, scale: str | None = None, ephemeris: Ephemeris | None = None) -> xr.Dataset:
    """Return the sub-observer point of the geocentre as JPL Horizons defines it.

    It is the point of the Moon's disc that the centre of the Earth sees: Moon and orientation one light time earlier,
    no aberration. It differs by up to some 20 arcsec from `subpoint("earth")`, which the Moon sees.

    Parameters
    ----------
    time, scale, ephemeris
        As in `altaz`.

    Returns
    -------
    lon (-180 up to 180) and lat, degrees in MOON_ME, and distance (km) of the Moon from the geocentre, shape of `time`.

    Raises
    ------
    IlrsError
        A time outside the kernels.
    """
    used, moments = chosen(ephemeris), tai(time, scale)

    def look(part: Nanoseconds) -> tuple[Floats, ...]:
        tdb = tai_to_tdb(part)
        earlier, to_moon = _light_time("moon", used.position("earth", tdb), tdb, used)
        return *lonlat(apply(used.moon_me(earlier), -to_moon)), np.linalg.norm(to_moon, axis=-1)

    lon, lat, distance = by_blocks(look, moments)
    return dataset(
        {
            "lon": (lon, degrees("libration in longitude", "longitude")),
            "lat": (lat, degrees("libration in latitude", "latitude")),
            "distance": (distance, {"units": "km", "long_name": "distance from the geocentre"}),
        },
        time,
        moments,
        {"frame": "MOON_ME", "definition": "sub-observer point of the geocentre, JPL Horizons"},
        used,
    )


def apparent(target: Any, x: Floats, v: Floats, tdb: Nanoseconds, ephemeris: Ephemeris) -> tuple[Floats, Floats]:
    """Return the apparent direction in ICRS and the distance (km) of a target.

    Parameters
    ----------
    target
        As in `altaz`.
    x, v
        Barycentric position (km) and velocity (km/s) of the observer, shape (..., 3).
    tdb
        int64 ns of TDB, shape (...).
    ephemeris
        Of the bodies.
    """
    to_target = _to_star(target, x, tdb) if _is_sky(target) else _light_time(target, x, tdb, ephemeris)[1]
    distance = np.linalg.norm(to_target, axis=-1)
    if not distance.all():
        raise IlrsError(f"{target_name(target)} is where it is looked at from; it has no direction")
    direction = to_target / distance[..., None]
    beta = v / SPEED_OF_LIGHT
    dot = (direction * beta).sum(-1, keepdims=True)
    slowed = np.sqrt(1.0 - (beta**2).sum(-1, keepdims=True))
    # Klioner 2003, AJ 125, 1580, eq. 12, with 1/gamma for `slowed`.
    seen = (direction * slowed + (1.0 + dot / (1.0 + slowed)) * beta) / (1.0 + dot)
    endless = _is_sky(target) and target.distance.unit.is_equivalent("")
    return seen, np.full(distance.shape, np.inf) if endless else distance


def horizontal(direction: Floats, site: Site, ephemeris: Ephemeris) -> tuple[Floats, Floats]:
    """Return altitude and azimuth, degrees, of directions in MOON_ME, shape (..., 3)."""
    east, north, up = np.moveaxis(apply(me_to_enu(site, ephemeris), direction), -1, 0)
    return np.rad2deg(np.arctan2(up, np.hypot(east, north))), np.rad2deg(np.arctan2(east, north)) % 360.0


def _light_time(target: str | Site, x: Floats, tdb: Nanoseconds, ephemeris: Ephemeris) -> tuple[Nanoseconds, Floats]:
    """Return when the light left, int64 ns of TDB, and the way it came, km, shape (..., 3)."""
    left = tdb
    for _ in range(_PASSES):
        way = barycentric(target, left, ephemeris) - x
        left = tdb - np.rint(np.linalg.norm(way, axis=-1) * (SECOND / SPEED_OF_LIGHT)).astype(np.int64)
    return left, way


def _to_star(target: SkyCoord, x: Floats, tdb: Nanoseconds) -> Floats:
    """Return vectors to a direction on the sky: unit vectors, or km where it has a distance, shape (..., 3)."""
    if not target.isscalar:
        raise IlrsError(f"a SkyCoord of shape {target.shape}; expected one direction, call once for each")
    star = target.icrs
    near = not star.distance.unit.is_equivalent("")
    place: Any = star.data.without_differentials().to_cartesian().xyz.to_value("km" if near else "")
    if star.data.differentials:
        if target.obstime is None:
            raise IlrsError("a SkyCoord that moves needs an obstime, the epoch of its position")
        since = tdb - convert(target.obstime.tdb, "tdb", "tdb")
        place = place + _drift(star, near=near) * (since / SECOND)[..., None]
    return place - x if near else np.broadcast_to(unit(place), x.shape)


def _drift(star: Any, *, near: bool) -> Floats:
    """Return how a star moves, in the unit of its place a second; without a distance, only across the sky."""
    if near:
        velocity: Floats = star.velocity.d_xyz.to_value("km/s")
        return velocity
    lon, lat = star.ra.radian, star.dec.radian
    east = np.array([-np.sin(lon), np.cos(lon), 0.0])
    north = np.array([-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)])
    motion: Any = star.data.differentials["s"]  # a radial velocity alone, which moves nothing, has no angles
    eastward = getattr(motion, "d_lon_coslat", getattr(motion, "d_lon", 0.0) * np.cos(lat))
    given: list[Any] = [eastward, getattr(motion, "d_lat", 0.0)]
    rates = [rate.to_value("rad/s") if hasattr(rate, "unit") else rate for rate in given]
    drift: Floats = east * rates[0] + north * rates[1]
    return drift


def _is_sky(target: Any) -> bool:
    return hasattr(target, "icrs")


def target_name(target: Any) -> str:
    """Return what a target is called.

    Raises
    ------
    IlrsError
        There is no such target.
    """
    if _is_sky(target):
        return str(target.to_string("hmsdms"))
    if isinstance(target, str) and target not in BODIES:
        raise IlrsError(f"unknown target {target!r}; known are {', '.join(BODIES)}, a Site or a SkyCoord")
    return str(getattr(target, "name", target))
