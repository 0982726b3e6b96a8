"""Time scales, clocks, frames and the sky; the only room that looks at ephemerides and leap seconds."""

from ilrs_science.geometry.clock import Clock
from ilrs_science.geometry.day import horizon_altitude, illumination, local_solar_time, lunar_day
from ilrs_science.geometry.ephemeris import Ephemeris, default_ephemeris
from ilrs_science.geometry.frames import rotation
from ilrs_science.geometry.lunations import lunation_at, new_moon
from ilrs_science.geometry.place import Orbit, position
from ilrs_science.geometry.scales import convert, offset, surface_clock_rate
from ilrs_science.geometry.sky import altaz, libration, subpoint
from ilrs_science.geometry.surface import to_geodetic
from ilrs_science.geometry.time import isot, parse_utc
from ilrs_science.geometry.vectors import mean_field_aligned, transform
from ilrs_science.geometry.windows import eclipses, visibility
from ilrs_science.model.site import Site

__all__ = [
    "Clock",
    "Ephemeris",
    "Orbit",
    "Site",
    "altaz",
    "convert",
    "default_ephemeris",
    "eclipses",
    "horizon_altitude",
    "illumination",
    "isot",
    "libration",
    "local_solar_time",
    "lunar_day",
    "lunation_at",
    "mean_field_aligned",
    "new_moon",
    "offset",
    "parse_utc",
    "position",
    "rotation",
    "subpoint",
    "surface_clock_rate",
    "to_geodetic",
    "transform",
    "visibility",
]
