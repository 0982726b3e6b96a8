"""What the CF conventions say of variables: times, packed numbers, missing values (CF 1.12: 2.5.1, 4.4, 8.1)."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ilrs_science.errors import IlrsError
from ilrs_science.formats.cdf.time import leap_seconds
from ilrs_science.geometry.time import DAY, SECOND, TT_LESS_TAI, parse_count, utc_to_tai

_UNITS = {
    "day": DAY,
    "d": DAY,
    "hour": 3600 * SECOND,
    "hr": 3600 * SECOND,
    "h": 3600 * SECOND,
    "minute": 60 * SECOND,
    "min": 60 * SECOND,
    "second": SECOND,
    "sec": SECOND,
    "s": SECOND,
    "millisecond": 10**6,
    "msec": 10**6,
    "ms": 10**6,
    "microsecond": 1000,
    "us": 1000,
    "nanosecond": 1,
    "ns": 1,
}
_SINCE = re.compile(
    r"\s*([a-z]+?)s?\s+since\s+(\d{1,4})-(\d{1,2})-(\d{1,2})"
    r"(?:[t ]\s*(\d{1,2})(?::(\d{1,2})(?::(\d{1,2})(?:\.(\d{1,9})\d*)?)?)?)?\s*(.*?)\s*",
    re.IGNORECASE,
)
_ZONE = re.compile(r"([+-])(\d{1,2}):?(\d{2})?")
_LONGEST = 100
_SCALES = {"UTC": "UTC", "Z": "UTC", "GMT": "UTC", "": "UTC", "TAI": "TAI", "GPS": "GPS", "GPST": "GPS", "TT": "TT"}
_CALENDARS = ("", "standard", "gregorian", "proleptic_gregorian")
_GPS = 19 * SECOND
"""TAI less GPS time."""
_REACH = 9.2e18
_EXACT = 2.0**50
"""ns that a float64 holds with eighths."""


class NotATimeError(Exception):
    """A variable is no time that can be told as TAI; says why."""


def is_time(attributes: dict[str, Any]) -> bool:
    """Return whether a variable counts from a date."""
    return _SINCE.fullmatch(str(attributes.get("units", ""))[:_LONGEST]) is not None


def to_tai(values: NDArray[Any], attributes: dict[str, Any]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return times that count from a date as TAI, int64 ns, and which of them are known.

    A date is UTC, and what is counted from it days of 86400 s of UTC, as CF has it for the standard calendar; where the
    units, or an attribute `time_scale`, `timescale`, `time_system` or `calendar` name TAI, GPS or TT, both are of that.
    In the calendar `utc` leap seconds are counted too.

    Raises
    ------
    NotATimeError
        The calendar, the scale or the unit is another.
    """
    match = _SINCE.fullmatch(str(attributes.get("units", ""))[:_LONGEST])
    unit = _UNITS.get(match[1].lower()) if match else None
    if match is None or unit is None or values.dtype.kind not in "iuf":
        raise NotATimeError(f"units {attributes.get('units')!r}")
    calendar = str(attributes.get("calendar", "")).lower()
    said = next((str(attributes[key]) for key in ("time_scale", "timescale", "time_system") if key in attributes), "")
    origin, suffix = _origin(match)
    scale = _SCALES.get((suffix or said or (calendar if calendar == "tai" else "")).strip().upper())
    if calendar not in (*_CALENDARS, "utc", "tai") or scale is None:
        raise NotATimeError(f"calendar {calendar or 'standard'}, scale {suffix or said or 'UTC'}")
    whole, known = _nanoseconds(values, unit, origin, attributes)
    if scale != "UTC":
        return whole - {"TAI": 0, "GPS": -_GPS, "TT": TT_LESS_TAI}[scale], known
    try:
        if calendar == "utc":
            return whole + (utc_to_tai(np.int64(origin)) - origin), known
        return leap_seconds(whole), known
    except IlrsError as error:
        raise NotATimeError(str(error)) from error


def _origin(match: re.Match[str]) -> tuple[int, str]:
    """Return the date, ns since 1970 in days of 86400 s, and what follows it that is no zone."""
    year, month, day, hour, minute, second, fraction = (match[number] or "0" for number in range(2, 9))
    text = f"{int(year):04}-{int(month):02}-{int(day):02}T{int(hour):02}:{int(minute):02}:{int(second):02}.{fraction}"
    try:
        count, leap = parse_count(text, IlrsError(f"{text} is no date"))
    except IlrsError as error:
        raise NotATimeError(str(error)) from error
    if leap:
        raise NotATimeError(f"counts from a leap second, {text}")
    rest = str(match[9])
    zone = _ZONE.fullmatch(rest)
    if zone is None:
        return count, rest
    minutes = int(zone[2]) * 60 + int(zone[3] or 0)
    return count - (1 if zone[1] == "+" else -1) * minutes * 60 * SECOND, ""


def _nanoseconds(
    values: NDArray[Any], unit: int, origin: int, attributes: dict[str, Any]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return values from an origin in units of so many ns, exactly for whole numbers; 1970 where not known."""
    with np.errstate(invalid="ignore"):
        reach = (_REACH - abs(origin)) / unit
        known = np.ones(values.shape, bool)
        if not (values.size and values.min() > -reach and values.max() < reach):
            known = (values > -reach) & (values < reach)
    if {"_FillValue", "missing_value"} & attributes.keys():
        known &= ~missing(values, attributes)
    kept = values if known.all() else np.where(known, values, values[known][:1].sum())
    if kept.dtype.kind != "f":
        return kept.astype(np.int64) * unit + origin, known
    wide = kept.astype(np.float64, copy=False)
    # Less the first whole number, the times of a day or two are exact to a fraction of a nanosecond when multiplied.
    least = np.floor(wide.min()) if wide.size else np.float64(0)
    base = least if wide.size and (wide.max() - least) * unit < _EXACT else np.floor(wide)
    rest = wide - base
    rest *= unit
    found = np.rint(rest).astype(np.int64)
    found += np.asarray(base).astype(np.int64) * unit + origin
    return found, known


def missing(values: NDArray[Any], attributes: dict[str, Any]) -> NDArray[np.bool_]:
    """Return where values are `_FillValue` or `missing_value`, or no numbers."""
    found = np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, bool)
    for one in _constants(attributes):
        found |= _equal(values, one)
    return found


def _constants(attributes: dict[str, Any]) -> list[Any]:
    """Return the numbers that stand for missing values."""
    said = [one for key in ("_FillValue", "missing_value") for one in np.ravel(attributes.get(key, []))]
    return [one for one in said if isinstance(one, np.number | int | float) and np.isreal(one) and not np.isnan(one)]


def _equal(values: NDArray[Any], one: Any) -> NDArray[np.bool_]:
    with np.errstate(over="ignore"):
        return np.asarray(values == (values.dtype.type(one) if values.dtype.kind == "f" else one))


def decoded(values: NDArray[Any], attributes: dict[str, Any]) -> tuple[NDArray[Any], dict[str, Any]]:
    """Return values as they are meant, and their attributes: unsigned, NaN where reals are missing, unpacked.

    Reals are changed in place.

    Packed numbers of one or two bytes become float32 where their scale is float32 or they have no offset, others
    float64; those with a scale of another type than a real stay as they are. What undid the packing is kept as
    `native_scale_factor`, `native_add_offset` and `native_FillValue`.
    """
    if str(attributes.get("_Unsigned", "")).lower() == "true" and values.dtype.kind == "i":
        values = values.view(values.dtype.str.replace("i", "u"))
    scale, offset = (_real(attributes.get(key)) for key in ("scale_factor", "add_offset"))
    if values.dtype.kind not in "iuf" or (scale is None and offset is None):
        for one in _constants(attributes) if values.dtype.kind == "f" else ():
            values[_equal(values, one)] = np.nan
        return values, attributes
    gone = missing(values, attributes)
    narrow = values.dtype.itemsize <= 2 and (  # noqa: PLR2004 - bytes that fit in the digits of a float32
        offset is None or all(np.asarray(one).dtype == np.float32 for one in (scale, offset) if one is not None)
    )
    kind = values.dtype if values.dtype.kind == "f" else np.dtype("f4" if narrow else "f8")
    out = values.astype(kind)
    out *= 1 if scale is None else scale
    out += 0 if offset is None else offset
    out[gone] = np.nan
    native = {
        "scale_factor": "native_scale_factor",
        "add_offset": "native_add_offset",
        "_FillValue": "native_FillValue",
    }
    return out, {native.get(key, key): value for key, value in attributes.items()}


def _real(value: Any) -> Any:
    found = np.ravel(value)
    return found[0] if value is not None and len(found) == 1 and found.dtype.kind in "fiu" else None
