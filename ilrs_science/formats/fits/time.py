"""Times in FITS headers and tables: what is written is read by the standard or by a known habit, or left alone.

FITS Standard 4.0, section 9; Rots et al. 2015, A&A 574, A36. Dates of IDL (`01-May-23 13:07:58.713`) are those of the
SolarSoft library, which takes years of two digits for 1950 to 2049.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ilrs_science.errors import IlrsError
from ilrs_science.formats.fits.cards import Cards
from ilrs_science.geometry.time import DAY, SECOND, TT_LESS_TAI, parse_count, parse_utc, utc_to_tai

_STARTS = ("DATE-OBS", "DATE_OBS", "DATE-BEG", "DATE_BEG")
_ENDS = ("DATE-END", "DATE_END")
_DAY_NUMBERS = ("MJD-OBS", "MJD_OBS", "MJD-BEG")
_EXPOSURES = ("EXPTIME", "EXPOSURE", "XPOSURE")
_MJD_OF_1970 = 40587
_MJD_OF_JD = -2400000.5
_REACH = 9.0e9
"""Seconds that int64 nanoseconds hold."""
_AT_ONCE = 2**16
"""Times that are converted at once, which bounds the memory of the steps between."""
_LESS_TAI = {"TAI": 0, "IAT": 0, "TT": TT_LESS_TAI, "TDT": TT_LESS_TAI, "ET": TT_LESS_TAI, "GPS": -19 * SECOND}
"""Scales less TAI, ns; FITS Standard 4.0, table 30."""
_UNITS = {"s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "min": 60.0, "h": 3600.0, "d": 86400.0}
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_CLOCK = r"(?P<clock>\d{1,2}:\d{2}(?::\d{2}(?:\.\d*)?)?)Z?"
_SEPARATED = r"(?:(?:[T ] *)" + _CLOCK + ")?"
_ISO = re.compile(r"(?P<year>\d{4})[-/](?P<month>\d{2})[-/](?P<day>\d{2})" + _SEPARATED)
_IDL = re.compile(r"(?P<day>\d{1,2})-(?P<month>[A-Za-z]{3})-(?P<year>\d{4}|\d{2})" + _SEPARATED)
_OLD = re.compile(r"(?P<day>\d{2})/(?P<month>\d{2})/(?P<year>\d{2})" + _SEPARATED)
_BARE_CLOCK = re.compile(_CLOCK)


@dataclass(frozen=True)
class Times:
    """What a header says of when its data were taken, TAI ns."""

    start: int | None
    stop: int | None
    exposure: float | None
    """s."""
    notes: list[str]
    """What had to be interpreted, and what was not understood."""


def observed(cards: Cards) -> Times:
    """Return when the data of a header were taken.

    The start is the first of DATE-OBS, DATE_OBS, DATE-BEG that tells a day and, with TIME-OBS where it holds no clock
    of its own, a time; else MJD-OBS. Without TIMESYS times are UTC. A day without a clock is no time, and nothing is
    made of it.
    """
    scale, notes = _scale(cards)
    start, said = _first(cards, _STARTS, scale)
    notes += said
    if start is None:
        start = _from_day_number(cards, scale)
    stop, said = _first(cards, _ENDS, scale)
    notes += said
    number = cards.number(*_EXPOSURES)
    exposure = float(number) if number is not None and 0 <= number < _REACH else None
    return Times(start, stop, exposure, notes)


def span(cards: Cards) -> tuple[int, int] | None:
    """Return the first and last moment of the data of a header, TAI ns: TSTART and TSTOP, or dates and exposure."""
    limits = [cards.number(keyword) for keyword in ("TSTART", "TSTOP")]
    if None not in limits and reference(cards) is not None:
        moments, known = elapsed(cards, np.array(limits, np.float64))
        if known.all() and moments[0] <= moments[1]:
            return int(moments[0]), int(moments[1])
    found = observed(cards)
    if found.start is None:
        return None
    stop = found.stop
    if stop is None or stop < found.start:
        stop = found.start + round((found.exposure or 0.0) * SECOND)
    return found.start, stop


def moment(date: str, clock: str = "", scale: str = "UTC") -> tuple[int | None, str]:
    """Return TAI ns of a date and, where it holds no clock, a clock; and what was interpreted in it, or is wrong."""
    text = date.strip()
    match = _ISO.fullmatch(text) or _IDL.fullmatch(text) or _OLD.fullmatch(text)
    if match is None:
        return None, "not understood, left as text"
    time = match["clock"] or _bare(clock)
    if not time:
        return None, "a day without a time, left as text"
    year, note = match["year"], ""
    if match.re is _OLD:
        year, note = f"19{year}", "year of two digits read as 19yy, as the standard has it"
    elif len(year) == 2:  # noqa: PLR2004 - yy
        year, note = f"{'19' if int(year) >= 50 else '20'}{year}", "year of two digits read as 1950 to 2049"  # noqa: PLR2004
    month = match["month"].lower()
    if match.re is _IDL:
        month = f"{_MONTHS.index(month) + 1:02d}" if month in _MONTHS else "00"
    iso = f"{year}-{month}-{int(match['day']):02d}T{_clock(time)}"
    try:
        return _tai(iso, scale), note
    except IlrsError:
        return None, "not understood, left as text"


def reference(cards: Cards) -> int | None:
    """Return the zero of TIME, TSTART and the like (MJDREF, JDREF, DATEREF), TAI ns; None where the header has none."""
    scale = _scale(cards)[0]
    whole, fraction = cards.number("MJDREFI"), cards.number("MJDREFF")
    if whole is not None or fraction is not None:
        return _of_mjd([whole or 0, fraction or 0], scale)
    days, julian, date = cards.number("MJDREF"), cards.number("JDREF"), cards.text("DATEREF")
    if days is not None:
        return _of_mjd([days], scale)
    if julian is not None:
        return _of_mjd([julian, _MJD_OF_JD], scale)
    return moment(date if ":" in date else f"{date}T00:00:00", "", scale)[0] if date and scale else None


def seconds_of(cards: Cards, unit: str = "") -> float | None:
    """Return the seconds in a unit of time; in TIMEUNIT where empty, in 1 s where that is missing; None if unknown."""
    text = unit or cards.text("TIMEUNIT")
    return _UNITS.get(text.lower()) if text else 1.0


def elapsed(cards: Cards, values: NDArray[Any], unit: str = "") -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return TAI ns of values of TIME, and which of them are times; `reference` must know the zero.

    Elapsed time counts SI seconds, in UTC too. TIMEZERO, where given, is added.

    Parameters
    ----------
    cards
        The header.
    values
        Times since the zero, numbers, shape (n,).
    unit
        Of the values, as `seconds_of` has it.
    """
    zero, factor = reference(cards) or 0, seconds_of(cards, unit) or 0.0
    shift, reach = cards.number("TIMEZERO") or 0.0, _REACH - abs(zero) / SECOND
    times, known = np.zeros(len(values), np.int64), np.zeros(len(values), bool)
    for start in range(0, len(values) if factor else 0, _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        with np.errstate(over="ignore", invalid="ignore"):
            seconds = (values[part].astype(np.float64) + shift) * factor
            known[part] = np.abs(seconds) < reach
        seconds = np.where(known[part], seconds, 0.0)
        whole = np.floor(seconds)
        times[part] = whole.astype(np.int64) * SECOND + np.rint((seconds - whole) * SECOND).astype(np.int64)
    if _scale(cards)[0] == "TDB":
        from ilrs_science.geometry.scales import tai_to_tdb, tdb_to_tai  # noqa: PLC0415 - heavy

        return tdb_to_tai(tai_to_tdb(np.asarray(zero, np.int64)) + times), known
    times += zero
    return times, known


def _scale(cards: Cards) -> tuple[str, list[str]]:
    """Return the time scale of a header and a note where its text is more than that."""
    said = cards.text("TIMESYS")
    words = said.upper().split() or ["UTC"]
    scale = "UTC" if words[0] in ("UTC", "UT", "GMT") else words[0]
    if scale != "UTC" and scale not in _LESS_TAI and scale != "TDB":
        return "", [f"TIMESYS {said!r} is not understood: no times"]
    return scale, [f"TIMESYS {said!r} read as {scale}"] if len(words) > 1 else []


def _first(cards: Cards, keywords: tuple[str, ...], scale: str) -> tuple[int | None, list[str]]:
    """Return the first of these dates that is a time, and notes on those looked at."""
    notes = []
    for keyword in keywords:
        text = cards.text(keyword)
        if not text or not scale:
            continue
        clock = keyword.replace("DATE", "TIME")
        found, note = moment(text, cards.text(clock, clock.replace("-", "_")), scale)
        if note:
            notes.append(f"{keyword} {text!r}: {note}")
        if found is not None:
            return found, notes
    return None, notes


def _from_day_number(cards: Cards, scale: str) -> int | None:
    days = cards.number(*_DAY_NUMBERS)
    return None if days is None or not scale else _of_mjd([days], scale)


def _of_mjd(parts: list[float], scale: str) -> int | None:
    """Return TAI ns of a modified Julian date given in parts, without rounding before the last step."""
    try:
        days = sum((Decimal(repr(part)) for part in parts), Decimal(-_MJD_OF_1970))
        if abs(days) * 86400 > _REACH or not scale:
            return None
        return _count_to_tai(round(days * DAY), scale)
    except (IlrsError, InvalidOperation):
        return None


def _tai(iso: str, scale: str) -> int:
    problem = IlrsError(f"{iso!r} is no time")
    if scale == "UTC":
        return parse_utc(iso)
    count, leap = parse_count(iso, problem)
    if leap:
        raise problem
    return _count_to_tai(count, scale)


def _count_to_tai(count: int, scale: str) -> int:
    if scale == "UTC":
        return int(utc_to_tai(np.int64(count)))
    if scale == "TDB":
        from ilrs_science.geometry.scales import tdb_to_tai  # noqa: PLC0415 - heavy

        return int(tdb_to_tai(np.asarray(count, np.int64)))
    return count - _LESS_TAI[scale]


def _bare(clock: str) -> str:
    match = _BARE_CLOCK.fullmatch(clock.strip())
    return match["clock"] if match else ""


def _clock(text: str) -> str:
    """Return hh:mm:ss[.f] with at most nine decimals."""
    hour, minute, second = [*text.split(":"), "00"][:3]
    whole, _, fraction = second.partition(".")
    return f"{int(hour):02d}:{minute}:{whole}" + (f".{fraction[:9]}" if fraction else "")
