"""The times of a CDF as TAI."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ilrs_science.geometry.time import DAY, J2000, SECOND, TT_LESS_TAI, utc_to_tai

EPOCHS = ("CDF_EPOCH", "CDF_EPOCH16", "CDF_TIME_TT2000")

_MILLISECOND = 10**6
_EXACT = 4e9  # ms
_YEAR_ZERO = 62_167_219_200  # seconds from 0000-01-01 to 1970-01-01, proleptic Gregorian
_1960 = -3653 * 86400  # s since 1970
_1972 = 730 * DAY
_LATEST = 9_000_000_000  # s since 1970 that int64 nanoseconds hold (year 2255)
_STEPS = tuple(
    (int(np.datetime64(day, "ns").astype(np.int64)) - size, int(np.datetime64(day, "ns").astype(np.int64)))
    for day, size in (("1961-08-01", 50_000_000), ("1968-02-01", 100_000_000))
)
"""UTC that never was, as UTC stepped forward (BIH)."""


def to_tai(values: NDArray[Any], kind: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return times of a CDF as TAI, and which of them are known.

    Parameters
    ----------
    values
        `CDF_EPOCH`: float64 ms since the year 0, UTC; `CDF_EPOCH16`: complex128, s since the year 0 and ps, UTC;
        `CDF_TIME_TT2000`: int64 ns since J2000, TT. Any shape.
    kind
        Which of these.

    Returns
    -------
    int64 TAI ns of the same shape, and false where the value is a fill value, or a UTC before 1960, when UTC began, or
    after 2255; such times mean nothing. A leap second has no UTC of its own but in TT2000.
    """
    if kind == "CDF_TIME_TT2000":
        known = _within(values, -_LATEST * SECOND, _LATEST * SECOND - J2000)
        return _where(known, values, 0) + np.int64(J2000 - TT_LESS_TAI), known
    if kind == "CDF_EPOCH":
        known = _within(values, (_1960 + _YEAR_ZERO) * 1000.0, (_LATEST + _YEAR_ZERO) * 1000.0)
        utc = _nanoseconds(_where(known, values, values[known][0] if known.any() else _YEAR_ZERO * 1000.0))
    else:
        seconds, picoseconds = values.real, values.imag
        known = _within(seconds, _1960 + _YEAR_ZERO, _LATEST + _YEAR_ZERO) & _within(picoseconds, 0, 10**12)
        utc = np.where(known, seconds, _YEAR_ZERO).astype(np.int64) - _YEAR_ZERO
        utc = utc * SECOND + np.rint(np.where(known, picoseconds, 0) / 1000.0).astype(np.int64)
    for begin, end in _STEPS if utc.size and utc.min() < _1972 else ():
        known &= (utc < begin) | (utc >= end)
        utc = _where(known, utc, 0)
    return leap_seconds(utc), known


def _nanoseconds(milliseconds: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return ns since 1970 of ms since the year 0.

    A float64 of this size is a multiple of 8 us. Less a whole number of ms it still is, exactly, and 1e6 times as much
    is exact up to 52 days; within these all can be less the same.
    """
    if milliseconds.size and milliseconds.max() - (least := np.floor(milliseconds.min())) < _EXACT:
        bases = least
    else:
        bases = np.floor(milliseconds)
    rest = milliseconds - bases
    rest *= _MILLISECOND
    utc: NDArray[np.int64] = np.rint(rest).astype(np.int64)
    utc += (np.asarray(bases).astype(np.int64) - _YEAR_ZERO * 1000) * _MILLISECOND
    return utc


def _where(known: NDArray[np.bool_], values: NDArray[Any], other: Any) -> NDArray[Any]:
    return values if known.all() else np.where(known, values, other)


def _within(values: NDArray[Any], least: float, most: float) -> NDArray[np.bool_]:
    """Return where values lie between two; without looking at each where the ends do."""
    with np.errstate(invalid="ignore"):
        if values.size and values.min() >= least and values.max() < most:
            return np.ones(values.shape, bool)
        inside: NDArray[np.bool_] = (values >= least) & (values < most)
        return inside


def leap_seconds(utc: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return TAI of UTC counts, ns; at once where the first and the last lie between the same two leap seconds."""
    if utc.size and (first := utc.min()) >= _1972:
        ends = np.array([first, utc.max()])
        offsets = utc_to_tai(ends) - ends
        if offsets[0] == offsets[1]:
            shifted: NDArray[np.int64] = utc + offsets[0]
            return shifted
    return utc_to_tai(utc)
