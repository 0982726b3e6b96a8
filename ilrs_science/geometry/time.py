"""UTC and TAI in integer nanoseconds, exact over leap seconds.

A time is an int64 count of nanoseconds since 1970-01-01T00:00:00 of its own scale. For UTC that is the POSIX-like count
in which every day has 86400 s; a leap second 23:59:60 exists in TAI and in text, and shares its UTC count with the
second after it, or is squeezed with the second before it, so that no count is there twice (`squeezed_utc`: what labels
samples). TAI - UTC is that of ERFA (IERS Bulletin C and, from 1960 to 1971, the steps and rates of the BIH). Of
leap seconds yet to be announced nobody knows: UTC after the last bulletin is a forecast without any.
"""

from __future__ import annotations

import re
from functools import cache

import erfa
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ilrs_science.errors import IlrsError

type Nanoseconds = NDArray[np.int64]

SECOND = 10**9
DAY = 86400 * SECOND
TT_LESS_TAI = 32_184_000_000
"""ns, by definition."""
J2000 = 10957 * DAY + DAY // 2
"""2000-01-01T12:00:00 of any scale, ns since 1970."""
FIRST_UTC = -315_619_200 * SECOND + 943_482_000
"""TAI ns of 1960-01-01T00:00:00, where UTC begins."""
_STEPS = 2 * 365 * DAY
"""1972-01-01, since when UTC has only whole seconds inserted."""
_LAST = 9_000_000_000 * SECOND


@cache
def _table() -> tuple[Nanoseconds, Nanoseconds, Nanoseconds]:
    """Return the UTC starts of the spans of TAI - UTC, its values there (ns), and its rates (ns a day, 0 from 1972)."""
    table = erfa.leap_seconds.get()
    year, month = table["year"], table["month"]
    starts = ((year - 1970) * 12 + month - 1).astype("datetime64[M]").astype("datetime64[ns]").astype(np.int64)
    first, later = erfa.dat(year, month, 1, 0.0), erfa.dat(year, month, 1, 1.0)
    offsets = np.rint(first * SECOND).astype(np.int64)
    return starts, offsets, np.rint((later - first) * SECOND).astype(np.int64)


def _span(ns: Nanoseconds | np.int64, starts: Nanoseconds) -> NDArray[np.intp]:
    index = np.searchsorted(starts, ns, side="right") - 1
    if (index < 0).any():
        msg = "a time lies before 1960-01-01, where there is no UTC"
        raise IlrsError(msg)
    return index


def _offset(utc: Nanoseconds | np.int64, index: NDArray[np.intp]) -> Nanoseconds:
    """Return TAI - UTC, ns, at UTC counts taken for those of the given spans."""
    starts, offsets, rates = _table()
    drift = rates[index]
    if not drift.any():
        return offsets[index]
    return offsets[index] + np.rint(drift * ((utc - starts[index]) / DAY)).astype(np.int64)


def utc_to_tai(utc: ArrayLike) -> Nanoseconds:
    """Return the TAI of UTC counts, both int64 ns, same shape.

    Raises
    ------
    IlrsError
        A time before 1960, where UTC begins, or one that UTC stepped over.
    """
    ns = np.asarray(utc, np.int64)
    tai = ns + _offset(ns, _span(ns, _table()[0]))
    # Before 1972 TAI - UTC is no whole number of nanoseconds: what is rounded there and back may differ by one.
    if (ns < _STEPS).any() and (np.abs(tai_to_utc(tai) - ns) > 1).any():
        msg = "a time lies in a step forward of UTC (1961-07-31 or 1968-01-31, in the last tenth of a second)"
        raise IlrsError(msg)
    return tai


def tai_to_utc(tai: ArrayLike) -> Nanoseconds:
    """Return the UTC counts of TAI, both int64 ns, same shape; a leap second shares the count of the second after it.

    Raises
    ------
    IlrsError
        A time before 1960, where UTC begins.
    """
    ns = np.asarray(tai, np.int64)
    starts, offsets, _ = _table()
    index = _span(ns, starts + offsets)
    utc = ns - offsets[index]
    for _ in range(2):  # the rate before 1972 is 3e-8, so that the second pass is exact
        utc = ns - _offset(utc, index)
    return utc


@cache
def _insertions() -> tuple[Nanoseconds, Nanoseconds, Nanoseconds]:
    """Return the first and the end TAI, and the first UTC count, of each UTC second that ends with an insertion.

    Since 1972 a leap second is inserted; before, it was a tenth of a second now and then. Such a second lasts two, or
    1.1, SI seconds.
    """
    starts, offsets, rates = _table()
    days = np.diff(starts) // DAY
    inserted = np.flatnonzero(offsets[1:] - offsets[:-1] - rates[:-1] * days > SECOND // 1000)
    seconds = starts[inserted + 1] - SECOND
    return seconds + _offset(seconds, inserted), starts[inserted + 1] + offsets[inserted + 1], seconds


def squeezed_utc(tai: ArrayLike) -> Nanoseconds:
    """Return UTC counts of TAI that never repeat, both int64 ns, same shape.

    The two SI seconds 23:59:59 and 23:59:60 are squeezed into the one count of 23:59:59, at half speed: there a count
    is half a second at most from what a clock showed that repeats the one second or the other (before 1972: a tenth of
    a second that was inserted, with the second before it). Everywhere else this is `tai_to_utc`. Times at least 2 ns
    apart have counts apart.

    Raises
    ------
    IlrsError
        A time before 1960, where UTC begins.
    """
    ns = np.asarray(tai, np.int64)
    offset = _one_offset(ns)
    if offset is not None:
        return ns - offset
    flat = np.atleast_1d(ns)
    utc = np.atleast_1d(tai_to_utc(flat))
    begins, ends, seconds = _insertions()
    here = np.flatnonzero(squeezed(flat))
    which = np.searchsorted(begins, flat.flat[here], side="right") - 1
    since = flat.flat[here] - begins[which]
    utc.flat[here] = seconds[which] + since * SECOND // (ends - begins)[which]
    return utc.reshape(ns.shape)


def squeezed(tai: ArrayLike) -> NDArray[np.bool_]:
    """Return which TAI times, int64 ns, are squeezed by `squeezed_utc`: their UTC may be off by half a second."""
    ns = np.asarray(tai, np.int64)
    begins, ends, _ = _insertions()
    which = np.searchsorted(begins, ns, side="right") - 1
    return np.asarray((which >= 0) & (ns < ends[which]))


def refuse_left_open(utc: ArrayLike) -> None:
    """Refuse UTC counts, int64 ns in the order of a file, that go back or stand still at an inserted second.

    A count shows 23:59:60 as the second before or after it, so that some of such samples lie in the leap second, and
    nobody can tell which.

    Raises
    ------
    IlrsError
        Names the inserted second.
    """
    ns = np.asarray(utc, np.int64).ravel()
    _, _, seconds = _insertions()
    if ns.size < 2 or not ((seconds + 2 * SECOND > ns.min()) & (seconds <= ns.max())).any():  # noqa: PLR2004
        return
    at = np.flatnonzero(ns[1:] <= ns[:-1])
    earlier, later = ns[at], ns[at + 1]
    second = seconds[np.searchsorted(seconds, later, side="right") - 1]
    at = at[(later >= second) & (earlier < second + 2 * SECOND)]
    if at.size:
        one, other = (str(np.datetime64(int(count), "ns")) for count in ns[at[0] : at[0] + 2])
        raise IlrsError(
            f"samples {at[0]} and {at[0] + 1} are at {one} and {other} UTC, where a second was inserted: "
            "which of them lies in it is left open; give tai"
        )


def _one_offset(ns: Nanoseconds) -> np.int64 | None:
    """Return the TAI - UTC of all of the times where it is one since 1972 and nothing was inserted among them."""
    if not ns.size:
        return np.int64(0)
    starts, offsets, _ = _table()
    begins, ends, _ = _insertions()
    low, high = ns.min(), ns.max()
    first, last = _span(np.array([low, high]), starts + offsets)
    alone = first == last and low >= _STEPS + offsets[-1] and not ((begins <= high) & (ends > low)).any()
    return offsets[first] if alone else None


_ISO = re.compile(r"(\d{4}-\d{2}-\d{2})(?:[T ](\d{2})(?::(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?)?)?(?:Z|[+-]00:?00)?")


def parse_utc(text: str) -> int:
    """Return the TAI nanoseconds of a UTC time in ISO 8601, such as `2031-03-01T00:00:00Z`.

    `23:59:60` is allowed where it exists.

    Raises
    ------
    IlrsError
        The text is no such time.
    """
    problem = IlrsError(f"{text!r} is not a UTC time; write it as 2031-03-01T00:00:00Z")
    count, leap = parse_count(text, problem)
    utc = np.int64(count)
    if not leap:
        return int(utc_to_tai(utc))
    starts, offsets, _ = _table()
    midnight = utc // SECOND * SECOND
    before = _span(midnight - 1, starts)
    tai = utc + _offset(utc, before)
    ends = before + 1 < len(starts) and starts[before + 1] == midnight and tai < midnight + offsets[before + 1]
    if not ends:
        raise problem
    return int(tai)


def parse_count(text: str, problem: IlrsError) -> tuple[int, bool]:
    """Return the count of ISO 8601 text, ns since 1970 in days of 86400 s, and whether its seconds are 60.

    Raises
    ------
    IlrsError
        `problem`, where the text is no time; or it lies beyond what nanoseconds reach.
    """
    match = _ISO.fullmatch(text.strip())
    if match is None:
        raise problem
    date, hour, minute, second, fraction = match.groups(default="0")
    try:
        day = int(np.datetime64(date, "D").astype(np.int64)) * DAY
    except ValueError as error:
        raise problem from error
    if abs(day) > _LAST:
        raise IlrsError(f"{text!r} lies outside 1685 to 2255, the years that int64 nanoseconds reach")
    leap = (int(hour), int(minute), int(second)) == (23, 59, 60)
    if int(hour) > 23 or int(minute) > 59 or (int(second) > 59 and not leap):  # noqa: PLR2004
        raise problem
    clock = (int(hour) * 3600 + int(minute) * 60 + int(second)) * SECOND
    return day + clock + int(fraction.ljust(9, "0")), leap


def to_jd(ns: Nanoseconds) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return ns since 1970 as a two-part Julian date of the same scale."""
    days = ns // DAY
    return np.asarray(days + 2440587.5, np.float64), np.asarray((ns - days * DAY) / DAY, np.float64)


def isot(tai: int) -> str:
    """Return TAI nanoseconds as UTC text in ISO 8601, with as many decimals as needed (none, 3, 6 or 9)."""
    starts, offsets, _ = _table()
    utc = int(tai_to_utc(tai))
    after = int(_span(np.int64(tai), starts + offsets)) + 1
    in_leap = after < len(starts) and utc >= starts[after]
    text = str(np.datetime64(utc - (SECOND if in_leap else 0), "ns"))
    for _ in range(3):
        text = text.removesuffix("000") if "." in text else text
    text = text.removesuffix(".")
    return (text.replace(":59:59", ":59:60") if in_leap else text) + "Z"
