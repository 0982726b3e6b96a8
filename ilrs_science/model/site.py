"""Places that observe."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Site:
    """A surface station, rover, orbiter or ground station.

    A coordinate that no source gives is None: unknown stays unknown.
    """

    name: str
    """Short unique name, as used in file paths and cubes."""
    lon: float | None = None
    """Longitude, degrees east, in `frame`."""
    lat: float | None = None
    """Latitude, degrees north, planetocentric, in `frame`."""
    height: float | None = None
    """Height above the sphere of 1737.4 km, metres."""
    frame: str = "unknown"
    """Body-fixed frame of the coordinates: MOON_ME, MOON_PA, ITRS; or the frame of an orbiter's positions."""
    kind: str = "surface"
    """`surface`, `rover`, `orbiter`, `spacecraft` or `ground`."""
    partner: str = "unknown"
    """Who runs it."""
    source: str = "unknown"
    """Where the coordinates come from."""
