"""Places that observe."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from numbers import Real

from ilrs_science.errors import IlrsError


@dataclass(frozen=True)
class Site:
    """A surface station, rover, orbiter or ground station.

    A coordinate that no source gives is None: unknown stays unknown.

    Raises
    ------
    IlrsError
        A longitude outside -180 to 360, a latitude outside -90 to 90, a coordinate that is not a finite number, or a
        horizon that is none.
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
    """Body-fixed frame of the coordinates: MOON_ME, MOON_PA, MOON_PA_DE421, MOON_PA_DE440; others are only kept."""
    kind: str = "surface"
    """`surface`, `rover`, `orbiter`, `spacecraft` or `ground`."""
    partner: str = "unknown"
    """Who runs it."""
    source: str = "unknown"
    """Where the coordinates come from."""
    orbit: str | None = None
    """Where the positions of an orbiter come from: `file.bsp#-123` (SPK, NAIF number) or a table (`geometry.Orbit`)."""
    horizon: tuple[tuple[float, float], ...] = ()
    """Horizon mask: azimuth and altitude of its points, degrees; kept by azimuth from 0 up to 360."""

    def __post_init__(self) -> None:
        for coordinate, low, high in (("lon", -180, 360), ("lat", -90, 90), ("height", float("-inf"), float("inf"))):
            value = getattr(self, coordinate)
            if value is None:
                continue
            if not isinstance(value, Real) or not low <= float(value) <= high or not isfinite(float(value)):
                allowed = "a finite number" if coordinate == "height" else f"degrees from {low} to {high}"
                raise IlrsError(f"site {self.name!r}: {coordinate} is {value!r}; expected {allowed}")
        if self.lon is not None and self.lon >= 180:  # noqa: PLR2004
            object.__setattr__(self, "lon", self.lon - 360)
        object.__setattr__(self, "horizon", self._checked_horizon())

    def _checked_horizon(self) -> tuple[tuple[float, float], ...]:
        problem = f"site {self.name!r}: a horizon is pairs of azimuth (-180 to 360) and altitude (-90 to 90), degrees"
        try:
            points = [(float(az), float(alt)) for az, alt in self.horizon]
        except (TypeError, ValueError) as error:
            raise IlrsError(f"{problem}; found {self.horizon!r}") from error
        around = {az % 360: alt for az, alt in points}
        inside = all(-180 <= az <= 360 and abs(alt) <= 90 for az, alt in points)  # noqa: PLR2004
        if not inside or any(around[az % 360] != alt for az, alt in points):
            raise IlrsError(f"{problem}, one at each azimuth; found {points}")
        return tuple(sorted(around.items()))
