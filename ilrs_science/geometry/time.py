"""UTC and TAI in integer nanoseconds, exact over leap seconds.

A time is an int64 count of nanoseconds since 1970-01-01T00:00:00 of its own scale. For UTC that is the POSIX-like count
in which every day has 86400 s; a leap second 23:59:60 exists in TAI and in text, and shares its UTC count with the
second after it. Leap seconds are those of ERFA (IERS Bulletin C), from 1972 on.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Literal

import erfa
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ilrs_science.errors import IlrsError

type Scale = Literal["utc", "tai"]

SECOND = 10**9
_DAY = 86400 * SECOND
_LAST = 2**63 - 1 - 2 * _DAY


@cache
def _leap_seconds() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the UTC day starts at which TAI - UTC changes, and its values from then on; both int64 ns."""
    table = erfa.leap_seconds.get()
    table = table[table["year"] >= 1972]  # noqa: PLR2004 - before 1972 UTC was not a whole number of seconds off TAI
    months = (table["year"] - 1970) * 12 + table["month"] - 1
    starts = months.astype("datetime64[M]").astype("datetime64[ns]").astype(np.int64)
    return starts, (np.round(table["tai_utc"]) * SECOND).astype(np.int64)


def convert(time: ArrayLike, source: Scale, target: Scale) -> NDArray[np.int64]:
    """Convert times between UTC and TAI.

    Parameters
    ----------
    time
        int64 nanoseconds since 1970-01-01T00:00:00 of the source scale, or datetime64.
    source, target
        `utc` or `tai`.

    Returns
    -------
    int64 ns of the target scale, same shape.

    Raises
    ------
    IlrsError
        A time before 1972, a NaT, or an unknown scale.
    """
    for scale in (source, target):
        if scale not in ("utc", "tai"):
            msg = f"unknown time scale {scale!r}; it is utc or tai"
            raise IlrsError(msg)
    values = np.asarray(time)
    if values.dtype.kind == "M":
        if np.isnat(values).any():
            msg = "a time is NaT; every time must be known"
            raise IlrsError(msg)
        values = values.astype("datetime64[ns]")
    ns = values.astype(np.int64)
    if source == target:
        return ns
    starts, offsets = _leap_seconds()
    sign = 1 if source == "utc" else -1
    if source == "tai":
        starts = starts + offsets
    index = np.searchsorted(starts, ns, side="right") - 1
    if (index < 0).any():
        msg = "a time lies before 1972-01-01, where UTC is not a whole number of seconds off TAI; not supported"
        raise IlrsError(msg)
    # A view on the leap second itself (TAI) maps to the count of the second after it, as POSIX time does.
    return ns + sign * offsets[index]


_ISO = re.compile(r"(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?)?Z?")


def parse_utc(text: str) -> int:
    """Return the TAI nanoseconds of a UTC time in ISO 8601, such as `2031-03-01T00:00:00Z`.

    `23:59:60` is allowed where it exists.

    Raises
    ------
    IlrsError
        The text is no such time.
    """
    match = _ISO.fullmatch(text.strip())
    problem = f"{text!r} is not a UTC time; write it as 2031-03-01T00:00:00Z"
    if match is None:
        raise IlrsError(problem)
    date, hour, minute, second, fraction = match.groups(default="0")
    try:
        days = int(np.datetime64(date, "D").astype(np.int64))
    except ValueError as error:
        raise IlrsError(problem) from error
    day = days * _DAY
    if day > _LAST:
        raise IlrsError(f"{text!r} lies beyond 2262-04-11, the last day that int64 nanoseconds reach")
    nanoseconds = int(fraction.ljust(9, "0"))
    midnight = int(convert(day, "utc", "tai"))
    clock = (int(hour) * 3600 + int(minute) * 60 + int(second)) * SECOND
    length = int(convert(day + _DAY, "utc", "tai")) - midnight
    leap = int(second) == 60 and (int(hour), int(minute)) == (23, 59) and length > _DAY  # noqa: PLR2004
    if int(hour) > 23 or int(minute) > 59 or (int(second) > 59 and not leap):  # noqa: PLR2004
        raise IlrsError(problem)
    return midnight + clock + nanoseconds


def isot(tai: int) -> str:
    """Return TAI nanoseconds as UTC text in ISO 8601, with as many decimals as needed (none, 3, 6 or 9)."""
    utc = int(convert(tai, "tai", "utc"))
    starts, offsets = _leap_seconds()
    in_leap = bool(np.isin(tai // SECOND, (starts[1:] + offsets[1:]) // SECOND - 1))
    shown = np.datetime64(utc - (SECOND if in_leap else 0), "ns")
    text = str(shown)
    for _ in range(3):
        text = text.removesuffix("000") if "." in text else text
    text = text.removesuffix(".")
    return (text.replace(":59:59", ":59:60") if in_leap else text) + "Z"
