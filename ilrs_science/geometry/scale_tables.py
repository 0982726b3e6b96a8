"""TDB - TT and TCL - TDB as Chebyshev series in spans of 16 days of TDB: from ERFA, and from the package's table."""

from __future__ import annotations

from functools import cache, lru_cache
from importlib.resources import files

import erfa
import numpy as np

from ilrs_science.errors import IlrsError
from ilrs_science.geometry import chebyshev
from ilrs_science.geometry.chebyshev import Floats
from ilrs_science.geometry.constants import TREND
from ilrs_science.geometry.time import DAY, SECOND, TT_LESS_TAI, Nanoseconds

ORIGIN = 7 * 365 * DAY + 2 * DAY + TT_LESS_TAI
"""1977-01-01T00:00:32.184, where TT, TCG, TCB and TCL agree; ns since 1970."""
_SPAN, _TERMS = 16, 16


def tdb_minus_tt(tdb: Nanoseconds) -> Floats:
    """Return TDB - TT at the geocentre, s: ERFA's `dtdb` (Fairhead and Bretagnon 1990).

    Its 787 terms are evaluated at the nodes of Chebyshev series for spans of 16 days, which follow it within 1e-14 s.
    """
    number, x = chebyshev.locate(tdb, _SPAN * DAY)
    spans, row = np.unique(number, return_inverse=True)
    if not spans.size:
        return np.zeros(tdb.shape)
    coefficients: Floats = np.stack([_dtdb_series(int(span)) for span in spans])
    return chebyshev.evaluate(coefficients, np.reshape(row, tdb.shape), x)


@lru_cache(maxsize=4096)
def _dtdb_series(span: int) -> Floats:
    days = (chebyshev.nodes(_TERMS) + 1.0) / 2.0 * _SPAN
    values: Floats = erfa.dtdb(2440587.5 + span * _SPAN, days, 0.0, 0.0, 0.0, 0.0)
    series: Floats = chebyshev.fit(values[None])[0]
    return series


@cache
def _tcl_table() -> tuple[int, int, Floats]:
    """Return the number of the first span, the length of a span (ns) and the coefficients (s)."""
    with (files("ilrs_science.geometry") / "tcl_de440.npz").open("rb") as file, np.load(file) as table:
        coefficients: Floats = table["picoseconds"] * 1e-12
        return int(table["first"]), int(table["days"]) * DAY, coefficients


def tcl_minus_tdb(tdb: Nanoseconds) -> Floats:
    """Return TCL - TDB at the selenocentre, s.

    Raises
    ------
    IlrsError
        A time outside the table.
    """
    first, length, coefficients = _tcl_table()
    number, x = chebyshev.locate(tdb, length)
    row = number - first
    if ((row < 0) | (row >= len(coefficients))).any():
        start, stop = (np.datetime64(n * length, "ns") for n in (first, first + len(coefficients)))
        raise IlrsError(f"a time lies outside {start:.10} to {stop:.10} TDB, the table of TCL")
    return chebyshev.evaluate(coefficients, row, x) + TREND * ((tdb - ORIGIN) / SECOND)
