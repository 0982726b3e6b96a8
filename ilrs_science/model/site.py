"""Places that observe."""

from __future__ import annotations

from dataclasses import dataclass

from ilrs_science.errors import IlrsError


@dataclass(frozen=True)
class Site:
    """A surface station, rover, orbiter or ground station.

    A coordinate that no source gives is None: unknown stays unknown.

    Raises
    ------
    IlrsError
        A longitude outside -180 to 360, a latitude outside -90 to 90, or a coordinate that is not a finite number.
    """

    name: str
    """Short unique name, as used in file paths and cubes."""
    lon: float | None = None
    """Longitude, degrees east, in `frame`; given from -180 to 360, kept from -180 up to 180."""
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
    orbit: str | None = None
    """Where the positions of an orbiter come from: `file.bsp#-123` (SPK, NAIF number) or a table (`geometry.Orbit`)."""
    horizon: tuple[tuple[float, float], ...] = ()
    """Horizon mask: azimuth and altitude of its points, degrees."""

    def __post_init__(self) -> None:
        for coordinate, low, high in (("lon", -180, 360), ("lat", -90, 90), ("height", float("-inf"), float("inf"))):
            value = getattr(self, coordinate)
            if value is not None and not (low <= value <= high and abs(value) != float("inf")):
                allowed = "finite" if coordinate == "height" else f"from {low} to {high} degrees"
                raise IlrsError(f"site {self.name!r}: {coordinate} is {value}; expected {allowed}")
        if self.lon is not None and self.lon >= 180:  # noqa: PLR2004
            object.__setattr__(self, "lon", self.lon - 360)
        object.__setattr__(self, "horizon", tuple((float(az), float(alt)) for az, alt in self.horizon))
