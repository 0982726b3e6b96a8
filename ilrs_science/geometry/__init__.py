"""Time scales, frames and the sky; the only room that looks at ephemerides and leap seconds."""

from ilrs_science.geometry.time import convert, isot, parse_utc

__all__ = ["convert", "isot", "parse_utc"]
