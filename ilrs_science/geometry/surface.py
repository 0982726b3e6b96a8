"""Places on the Moon: selenographic coordinates on the sphere of 1737.4 km, and the local east, north and up."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ilrs_science.errors import IlrsError
from ilrs_science.geometry.chebyshev import Floats
from ilrs_science.geometry.constants import MOON_RADIUS, MOON_SPIN
from ilrs_science.geometry.ephemeris import Ephemeris, chosen, pa_to_me
from ilrs_science.geometry.rotations import apply, transposed
from ilrs_science.geometry.time import Nanoseconds
from ilrs_science.model.site import Site

MOON_FRAMES = ("MOON_ME", "MOON_PA", "MOON_PA_DE421", "MOON_PA_DE440")
"""Body-fixed frames of the Moon; plain MOON_PA is that of the ephemeris in use."""
LOWEST, HIGHEST = -10_000.0, 12_000.0
"""Heights that a place on the ground can have, m (LOLA: -9.1 to +10.8 km)."""


class Geodetic(NamedTuple):
    """Coordinates on the Moon."""

    lon: Floats
    """Degrees east, from -180 up to 180."""
    lat: Floats
    """Planetocentric degrees north."""
    height: Floats
    """Metres above the sphere of 1737.4 km."""


def frame_to_me(frame: str, ephemeris: Ephemeris) -> Floats:
    """Return the constant rotation from a body-fixed frame of the Moon to MOON_ME, shape (3, 3).

    Raises
    ------
    IlrsError
        No body-fixed frame of the Moon.
    """
    if frame == "MOON_ME":
        return np.eye(3)
    if frame not in MOON_FRAMES:
        raise IlrsError(f"{frame!r} is no body-fixed frame of the Moon; those are {', '.join(MOON_FRAMES)}")
    return pa_to_me(ephemeris.solution if frame == "MOON_PA" else frame.removeprefix("MOON_PA_"))


def lonlat(vectors: Floats) -> tuple[Floats, Floats]:
    """Return longitude (-180 up to 180) and latitude of directions (..., 3), degrees."""
    lon = np.rad2deg(np.arctan2(vectors[..., 1], vectors[..., 0]))
    lat = np.rad2deg(np.arctan2(vectors[..., 2], np.hypot(vectors[..., 0], vectors[..., 1])))
    return np.where(lon >= 180.0, lon - 360.0, lon), lat  # noqa: PLR2004


def to_geodetic(xyz: ArrayLike, frame: str = "MOON_ME", *, ephemeris: Ephemeris | None = None) -> Geodetic:
    """Return longitude, latitude and height, in MOON_ME, of positions given in a body-fixed frame of the Moon.

    Parameters
    ----------
    xyz
        Positions from the Moon's centre, km, shape (..., 3).
    frame
        MOON_ME, MOON_PA, MOON_PA_DE421 or MOON_PA_DE440.
    ephemeris
        Whose principal axes plain MOON_PA means; by default what is installed.

    Returns
    -------
    lon (degrees east, -180 up to 180), lat (planetocentric degrees north), height (m above 1737.4 km).

    Raises
    ------
    IlrsError
        Another frame, or no vectors of three components.
    """
    try:
        vectors = np.asarray(xyz, np.float64)
    except (TypeError, ValueError) as error:
        raise IlrsError(f"positions that are no numbers: {error}") from error
    if not vectors.ndim or vectors.shape[-1] != 3:  # noqa: PLR2004
        raise IlrsError(f"positions of shape {vectors.shape}; expected (..., 3), km")
    me = apply(frame_to_me(frame, chosen(ephemeris)), vectors)
    lon, lat = lonlat(me)
    return Geodetic(lon, lat, (np.linalg.norm(me, axis=-1) - MOON_RADIUS) * 1000.0)


def on_the_moon(site: Site) -> Site:
    """Return the site, if it is a place on the Moon whose coordinates are known.

    Raises
    ------
    IlrsError
        It is another kind of place, its frame or a coordinate is unknown, or its height is none that the Moon has.
    """
    if not isinstance(site, Site):
        raise IlrsError(f"{site!r} is no site; give a Site, such as one of ilrs_science.sites()")
    if site.frame not in MOON_FRAMES:
        raise IlrsError(
            f"site {site.name!r} has the frame {site.frame!r}; a place on the Moon has one of {', '.join(MOON_FRAMES)}"
        )
    unknown = [name for name in ("lon", "lat", "height") if getattr(site, name) is None]
    if unknown:
        raise IlrsError(f"site {site.name!r}: {', '.join(unknown)} unknown; give lon, lat (degrees) and height (m)")
    if not LOWEST <= float(site.height or 0.0) <= HIGHEST and site.kind in ("surface", "rover"):
        raise IlrsError(
            f"site {site.name!r}: {site.height} m is not on the ground; heights are {LOWEST:g} to {HIGHEST:g} m"
            " above the sphere of 1737.4 km"
        )
    return site


def site_me(site: Site, ephemeris: Ephemeris) -> Floats:
    """Return the position of a place on the Moon in MOON_ME, km, shape (3,).

    Raises
    ------
    IlrsError
        The site is no place on the Moon.
    """
    place = on_the_moon(site)
    lon, lat = (np.deg2rad(float(angle or 0.0)) for angle in (place.lon, place.lat))
    direction = np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    return apply(frame_to_me(place.frame, ephemeris), direction * (MOON_RADIUS + float(place.height or 0.0) / 1000.0))


def me_to_enu(site: Site, ephemeris: Ephemeris) -> Floats:
    """Return the rotation from MOON_ME to the east, north and up of a site, shape (3, 3).

    At a pole, east and north are those of the meridian of the site's own longitude. For coordinates in MOON_PA the
    axes are east and north of that frame.
    """
    place = on_the_moon(site)
    lon, lat = (np.deg2rad(float(angle or 0.0)) for angle in (place.lon, place.lat))
    rows = np.array(
        [
            [-np.sin(lon), np.cos(lon), 0.0],
            [-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)],
            [np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)],
        ]
    )
    return rows @ transposed(frame_to_me(place.frame, ephemeris))


def observer(site: Site, tdb: Nanoseconds, ephemeris: Ephemeris) -> tuple[Floats, Floats, Floats]:
    """Return barycentric position (km) and velocity (km/s) of a site in ICRS, and the rotation from ICRS to MOON_ME."""
    x, v = ephemeris.state("moon", tdb)
    to_me = ephemeris.moon_me(tdb)
    place = site_me(site, ephemeris)
    # The physical librations change the spin by 1e-4 of itself: half a millimetre a second.
    spin = np.array([-MOON_SPIN * place[1], MOON_SPIN * place[0], 0.0])
    back = transposed(to_me)
    return x + apply(back, place), v + apply(back, spin), to_me
