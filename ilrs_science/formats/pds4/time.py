"""Time of the records of PDS4 tables, where label and data make it certain."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ilrs_science.errors import IlrsError
from ilrs_science.formats.pds4.field import Field
from ilrs_science.formats.pds4.label import Label, text
from ilrs_science.geometry.time import SECOND, isot, parse_count, parse_utc, utc_to_tai

_CLOCKS = {("LPR", "TIME"): "2009-12-31T16:00:00"}
"""GRAS instruments and fields of 6 bytes that hold time: seconds (>u4) and milliseconds (>u2) since this UTC.

Midnight of 2010-01-01 in Beijing; the description of the field in Chang'e-4 radar labels, level 2B, says so, and the
start and stop times of such labels agree to the millisecond, in days of 86400 s.
"""
_CLOCK_BYTES = 6
_UNITS = {"ms": 10**6, "msec": 10**6, "milliseconds": 10**6, "s": SECOND, "sec": SECOND, "seconds": SECOND}
_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_MIDNIGHT = re.compile(r"midnight on ([A-Za-z]{3,9}) (\d{1,2}), (\d{4})")
_SINCE = re.compile(
    r"\b(?:since|from|after)\s+(\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)?Z?)\s{0,3}([A-Z]{0,5})\b"
)
_CERTAIN = SECOND
_ROUNDED = 10 * SECOND
"""By how much a label's start and stop may differ from a clock that is read off a description."""
_FIRST, _LAST = -315_619_200 * SECOND, 8_900_000_000 * SECOND
"""UTC counts of 1960, where UTC begins, and of 2252."""
_PLAIN = r"^\d{4}-(\d\d-\d\d|\d{3})(T\d\d(:\d\d(:\d\d(\.\d{1,9})?)?)?)?Z?$"


@dataclass(frozen=True)
class Clock:
    """A field that tells time, and how."""

    field: str
    kind: str
    """`gras`, `text` or `count`."""
    epoch: int = 0
    """UTC count of zero, ns since 1970."""
    unit: int = 0
    """ns."""
    chosen: bool = False
    """Whether the caller gave the epoch."""


@dataclass(frozen=True)
class Times:
    """Time of the records of a table."""

    clock: Clock
    tai: NDArray[np.int64]
    good: NDArray[np.bool_]
    """Records that have a time."""


def label_span(label: Label) -> tuple[int, int] | None:
    """Return the start and stop that the label tells, TAI ns; None where it tells none."""
    place = "Observation_Area/Time_Coordinates"
    given = [label.root.findtext(f"{place}/{tag}", "") for tag in ("start_date_time", "stop_date_time")]
    try:
        first, last = (parse_utc(one.strip()) for one in given)
    except IlrsError:
        return None
    return (first, last) if first <= last else None


def clocks(label: Label, fields: list[Field], epoch: str | None) -> list[Clock]:
    """Return the fields that may tell the time of a record, best first.

    They are those of the table of GRAS clocks, dates with time of day, and counts of seconds or milliseconds in fields
    called time: since `epoch`, or the epoch in their descriptions.

    Raises
    ------
    IlrsError
        `epoch` is no time.
    """
    instrument = text(label.root, "Observation_Area/Mission_Area/instrument_id")
    found = [
        Clock(one.name, "gras", epoch=_count(_CLOCKS[instrument, one.name]))
        for one in fields
        if (instrument, one.name) in _CLOCKS and one.length == _CLOCK_BYTES and not one.groups
    ]
    single = [one for one in fields if not one.groups]
    found += [Clock(one.name, "text") for one in single if one.kind.startswith("ASCII_Date_Time")]
    named = [one for one in single if re.search("time|utc", one.name, re.IGNORECASE)]
    found += [Clock(one.name, "text") for one in named if one.kind.endswith("String")]
    for one in named:
        zero = epoch or _described(text(one.element, "description"))
        unit = _UNITS.get(text(one.element, "unit").lower())
        if zero and unit:
            found.append(Clock(one.name, "count", _count(zero), unit, chosen=epoch is not None))
    return found


def times(label: Label, clock: Clock, values: NDArray[Any]) -> Times | None:
    """Return the times of records, or None where they are none or contradict the label, which is told.

    Parameters
    ----------
    label
        Tells start and stop.
    clock
        How the field tells time.
    values
        Of that field, as stored.
    """
    if clock.kind == "gras":
        tai, good = _since(clock, values)
    elif clock.kind == "text":
        tai, good = _written(values)
    else:
        tai, good = _counted(clock, values)
    if 2 * np.count_nonzero(good) < len(good) or not good.any():
        if clock.kind != "text" or len(good):
            label.repaired.append(f"{clock.field}: most records have no time there; not read as time")
        return None
    return Times(clock, tai, good) if clock.kind == "text" or _agrees(label, clock, tai[good]) else None


def _agrees(label: Label, clock: Clock, tai: NDArray[np.int64]) -> bool:
    """Return whether a clock with an epoch agrees with the start and stop of the label, and tell where it does not."""
    span = label_span(label)
    if span is None:
        return True
    own = int(tai.min()), int(tai.max())
    off = max(abs(own[0] - span[0]), abs(own[1] - span[1]))
    if off <= SECOND // 1000:
        return True
    taken = clock.chosen or off <= (_CERTAIN if clock.kind == "gras" else _ROUNDED)
    label.repaired.append(
        f"{clock.field}: counted from {np.datetime64(clock.epoch, 'ns').astype('datetime64[s]')} in days of 86400 s"
        f" it runs from {isot(own[0])} to {isot(own[1])}, the label says from {isot(span[0])} to {isot(span[1])}:"
        f" {'read so' if taken else 'not read as time'}"
    )
    return taken


def _count(utc: str) -> int:
    return parse_count(utc, IlrsError(f"{utc!r} is not a UTC time; write the epoch as 1971-12-31T00:00:00"))[0]


def _described(description: str) -> str:
    """Return the epoch in a description, UTC; nothing where there is none, or one in another time scale."""
    midnight, since = _MIDNIGHT.search(description), _SINCE.search(description)
    if midnight and midnight[1].lower() in _MONTHS:
        found = f"{midnight[3]}-{_MONTHS.index(midnight[1].lower()) + 1:02}-{int(midnight[2]):02}T00:00:00"
    elif since and since[2] in ("", "UTC", "UT"):
        found = since[1]
    else:
        return ""
    try:
        _count(found)
    except IlrsError:
        return ""
    return found


def _since(clock: Clock, values: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return TAI of bytes, shape (records, 6): seconds and milliseconds since the epoch."""
    if values.dtype != np.uint8 or values.shape[1:] != (_CLOCK_BYTES,):
        return np.zeros(len(values), np.int64), np.zeros(len(values), bool)
    stored = np.ascontiguousarray(values)
    seconds = stored[:, :4].copy().view(">u4")[:, 0].astype(np.int64)
    milliseconds = stored[:, 4:].copy().view(">u2")[:, 0].astype(np.int64)
    good = (milliseconds < 1000) & (seconds > 0)  # noqa: PLR2004 - in a second
    return utc_to_tai(clock.epoch + seconds * SECOND + milliseconds * 10**6), good


def _counted(clock: Clock, values: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    if values.dtype.kind not in "iuf":
        return np.zeros(len(values), np.int64), np.zeros(len(values), bool)
    # Whole units and the rest apart: in ns, float64 would round to some of them.
    lowest, highest = ((limit - clock.epoch) / clock.unit for limit in (_FIRST, _LAST))
    usable = (values > lowest) & (values < highest)
    counts = np.where(usable, values, 0)
    units = np.floor(counts)
    rest = np.rint((counts - units).astype(np.float64) * clock.unit).astype(np.int64)
    return _tai(clock.epoch + units.astype(np.int64) * clock.unit + rest, usable)


def _tai(utc: NDArray[np.int64], good: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    good = good & (utc > _FIRST) & (utc < _LAST)
    return utc_to_tai(np.where(good, utc, 0)), good


def _written(values: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return TAI of ISO 8601 times in UTC with the day of the month or of the year, and which of them are times."""
    import pyarrow as pa  # noqa: PLC0415 - heavy
    from pyarrow import compute  # noqa: PLC0415 - heavy

    if values.dtype.kind != "U":
        return np.zeros(len(values), np.int64), np.zeros(len(values), bool)
    texts = compute.utf8_rtrim(pa.array(values.tolist(), pa.string()), "Z")
    plain = compute.match_substring_regex(texts, _PLAIN)
    leap = compute.match_substring(texts, ":60").to_numpy(zero_copy_only=False)
    good = plain.to_numpy(zero_copy_only=False) & ~leap
    ordinal = compute.match_substring_regex(texts, r"^\d{4}-\d{3}(T|$)").to_numpy(zero_copy_only=False)
    tai, known = np.zeros(len(values), np.int64), np.zeros(len(values), bool)
    found = np.array(texts.to_pylist(), str)
    for part, convert in ((good & ~ordinal, _calendar), (good & ordinal, _ordinal)):
        if part.any():
            tai[part], known[part] = convert(found[part])
    for number in np.flatnonzero(leap):
        tai[number], known[number] = _one(str(found[number]))
    return tai, known


def _calendar(texts: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    years = texts.astype("U4").astype(np.int64)
    inside = (years > 1960) & (years < 2250)  # noqa: PLR2004 - where UTC and int64 reach
    try:
        utc = np.where(inside, texts, "1970-01-01").astype("datetime64[ns]").astype(np.int64)
    except ValueError:  # a day that no month has, an hour that no day has
        pairs = [_one(str(one)) for one in texts]
        return np.array([tai for tai, _ in pairs], np.int64), np.array([known for _, known in pairs])
    return _tai(utc, inside)


def _ordinal(texts: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return TAI of times with the day of the year."""
    days = np.array([one[5:8] for one in texts.tolist()], np.int64)
    first = texts.astype("U4").astype("datetime64[Y]")
    dates = first.astype("datetime64[D]") + (days - 1)
    fine = (days > 0) & (dates.astype("datetime64[Y]") == first)
    tai, known = _calendar(np.array([f"{day}{one[8:]}" for day, one in zip(dates, texts.tolist(), strict=True)]))
    return tai, known & fine


def _one(said: str) -> tuple[int, bool]:
    match = re.fullmatch(r"(\d{4})-(\d{3})(T.*)?", said)
    try:
        if match:
            said = f"{np.datetime64(match[1], 'D') + (int(match[2]) - 1)}{match[3] or ''}"
        return parse_utc(said), True
    except (IlrsError, ValueError):
        return 0, False
