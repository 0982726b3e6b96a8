"""The Earth's orientation and its magnetic dipole, as far as frames of the magnetosphere need them."""

from __future__ import annotations

from functools import cache
from typing import Any

import erfa
import numpy as np

from ilrs_science.errors import IlrsError
from ilrs_science.geometry.chebyshev import Floats
from ilrs_science.geometry.rotations import apply, transposed, unit
from ilrs_science.geometry.time import DAY, Nanoseconds, tai_to_utc, to_jd

_DIPOLE = np.array(
    [
        (1900, -31543, -2298, 5922),
        (1905, -31464, -2298, 5909),
        (1910, -31354, -2297, 5898),
        (1915, -31212, -2306, 5875),
        (1920, -31060, -2317, 5845),
        (1925, -30926, -2318, 5817),
        (1930, -30805, -2316, 5808),
        (1935, -30715, -2306, 5812),
        (1940, -30654, -2292, 5821),
        (1945, -30594, -2285, 5810),
        (1950, -30554, -2250, 5815),
        (1955, -30500, -2215, 5820),
        (1960, -30421, -2169, 5791),
        (1965, -30334, -2119, 5776),
        (1970, -30220, -2068, 5737),
        (1975, -30100, -2013, 5675),
        (1980, -29992, -1956, 5604),
        (1985, -29873, -1905, 5500),
        (1990, -29775, -1848, 5406),
        (1995, -29692, -1784, 5306),
        (2000, -29619.4, -1728.2, 5186.1),
        (2005, -29554.63, -1669.05, 5077.99),
        (2010, -29496.57, -1586.42, 4944.26),
        (2015, -29441.46, -1501.77, 4795.99),
        (2020, -29403.41, -1451.37, 4653.35),
        (2025, -29350.0, -1410.3, 4545.5),
        (2030, -29287.0, -1360.3, 4438.0),
    ]
)
"""Year, g10, g11, h11 in nT: IGRF-14 (doi:10.5281/zenodo.14012302)."""

_YEAR = 365.25
_FIRST, _LAST = _DIPOLE[0, 0], 2050.0


def dipole_axis(tai: Nanoseconds, tdb: Nanoseconds) -> Floats:
    """Return the northern end of the Earth's dipole axis in ICRS, shape (..., 3).

    Coefficients are interpolated in time, and after 2030 extrapolated by the secular variation of 2025 to 2030.

    Raises
    ------
    IlrsError
        A time before 1900 or after 2050.
    """
    years = 1970.0 + tai / (DAY * _YEAR)
    if ((years < _FIRST) | (years > _LAST)).any():
        raise IlrsError(f"the dipole axis of IGRF-14 is known from {_FIRST:.0f}, and extrapolated up to {_LAST:.0f}")
    row = np.clip(np.searchsorted(_DIPOLE[:, 0], years, side="right") - 1, 0, len(_DIPOLE) - 2)
    start, stop = _DIPOLE[row], _DIPOLE[row + 1]
    g10, g11, h11 = np.moveaxis(start + (stop - start) * ((years - start[..., 0]) / 5.0)[..., None], -1, 0)[1:]
    return apply(transposed(icrs_to_itrs(tai, tdb)), -unit(np.stack([g11, h11, g10], axis=-1)))


def icrs_to_itrs(tai: Nanoseconds, tdb: Nanoseconds) -> Floats:
    """Return the rotation to the Earth's own frame (IAU 2000B, good to 1 mas), shape (..., 3, 3).

    UT1 and polar motion are those of the IERS (package `astropy-iers-data`); outside its table UT1 is taken for UTC and
    the pole for that of the frame, which turns the Earth by less than 14 arcsec, a step at the end of the table, and
    moves the dipole axis by less than 0.001 degrees.
    """
    first, second = to_jd(tai_to_utc(tai))
    ahead, outside = _earth_rotation().ut1_utc(first, second, return_status=True)
    x, y, _ = _earth_rotation().pm_xy(first, second, return_status=True)
    ut1, xp, yp = (
        np.where(outside < 0, 0.0, value)  # negative: before or beyond the table
        for value in (ahead.to_value("day"), x.to_value("rad"), y.to_value("rad"))
    )
    rotation: Floats = erfa.c2t00b(*to_jd(tdb), first, second + ut1, xp, yp)
    return rotation


def earth_notes(first: int, last: int) -> dict[str, str]:
    """Return what the Earth's rotation and dipole come from in a span of TAI ns, and where they are but forecasts."""
    _, outside = _earth_rotation().ut1_utc(*to_jd(tai_to_utc([first, last])), return_status=True)
    late = 1970.0 + last / (DAY * _YEAR) > _DIPOLE[-1, 0]
    return {
        "earth_rotation": "IERS A" + (", UT1 taken for UTC outside its table" if np.any(outside < 0) else ""),
        "dipole": "IGRF-14" + (f", extrapolated after {_DIPOLE[-1, 0]:.0f}" if late else ""),
    }


@cache
def _earth_rotation() -> Any:
    from astropy.utils.iers import IERS_A  # noqa: PLC0415 - half a second of imports
    from astropy_iers_data import IERS_A_FILE  # noqa: PLC0415

    return IERS_A.open(IERS_A_FILE)
