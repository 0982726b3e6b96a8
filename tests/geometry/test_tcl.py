from collections.abc import Iterator
from importlib.resources import files

import erfa
import numpy as np
import pytest
import spiceypy
from astropy.time import Time
from hypothesis import given
from hypothesis import strategies as st
from jplephem.spk import SPK
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from ilrs_science.errors import IlrsError
from ilrs_science.geometry import Ephemeris, Site, constants, convert, default_ephemeris, offset, surface_clock_rate
from ilrs_science.geometry.scale_tables import ORIGIN
from ilrs_science.geometry.scales import TL_RATES
from ilrs_science.geometry.tcl_integration import integrate, rate, table
from ilrs_science.geometry.time import DAY, SECOND

type Floats = NDArray[np.float64]

C = 299792.458
TCL_TCB, TCG_TCB, TCL_TDB = -1.48253621667e-8, -1.48082686741e-8, 6.798355238e-10  # LTE440; IAU 2006


def every(days: float, first: str, last: str) -> NDArray[np.int64]:
    """Return nanoseconds since 1970 TDB."""
    start, stop = np.array([first, last], "datetime64[ns]").astype(np.int64)
    return np.arange(start, stop, round(days * DAY))


def mean_rate(ns: NDArray[np.int64], seconds: Floats) -> float:
    """Return the mean drift under a Blackman window, which hides what is periodic."""
    window = np.blackman(len(ns))
    return float(window @ np.gradient(seconds, (ns - ns[0]) / SECOND) / window.sum())


@pytest.fixture(scope="module")
def integral() -> CubicSpline:
    return integrate(default_ephemeris().spk, -8 * 365.25, 76 * 365.25)


@pytest.fixture
def spice() -> Iterator[None]:
    data = files("lunarsky") / "data"
    spiceypy.kclear()
    for path in (
        default_ephemeris().spk,
        default_ephemeris().pck,
        data / "fk/satellites/moon_080317.tf",
    ):
        spiceypy.furnsh(str(path))
    yield
    spiceypy.kclear()


def of_jplephem(target: int, ns: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Return barycentric km and km/s of the Earth (399) or the Moon (301), each of shape (3, n)."""
    with SPK.open(default_ephemeris().spk) as kernel:
        states = [
            kernel[pair].compute_and_differentiate(2440587.5 + ns // DAY, ns % DAY / DAY)
            for pair in ((0, 3), (3, target))
        ]
    return sum(x for x, _ in states), sum(v for _, v in states) / 86400.0


def test_constants_are_those_published() -> None:
    assert (constants.L_B, constants.L_G, constants.TDB0) == (1.550519768e-8, 6.969290134e-10, -6.55e-5)
    assert (constants.TREND, constants.L_M) == (TCL_TDB, 3.13881e-11)
    # A chain of scales multiplies: TT/TCB = TT/TCG TCG/TCB, and TCL/TDB = TCL/TCB TCB/TDB.
    assert abs(constants.L_G - TCG_TCB + constants.L_G * TCG_TCB - constants.L_B) < 1e-16
    assert abs((constants.L_B + TCL_TCB) / (1 - constants.L_B) - constants.TREND) < 1e-16


def test_rates_of_the_fixed_scales_are_the_constants() -> None:
    ns = every(1000, "1977-01-01T00:00:32.184", "2060-01-01")
    since = (ns - ORIGIN) / SECOND
    assert np.abs(offset("tcg", "tt", ns) - since * constants.L_G / (1 - constants.L_G)).max() < 1e-14
    assert np.abs(offset("tt", "tcg", ns) + since * constants.L_G).max() < 1e-14
    assert np.abs(offset("tdb", "tcb", ns) - constants.TDB0 + since * constants.L_B).max() < 1e-13
    # TCB - TDB of one JD in a double is worth 20 us; this is the definition, to the last digit.
    assert offset("tdb", "tcb", ORIGIN, scale="tcb") == constants.TDB0
    for scale in ("tt", "tcg", "tl"):
        assert offset("tcl" if scale == "tl" else "tt", scale, ORIGIN, scaling="selenoid") == 0


def test_tcl_is_within_5_ns_of_lte440_at_j2000() -> None:
    epoch = Time(2451545.0, 0.0, format="jd", scale="tdb")
    assert abs(float(offset("tcl", "tdb", epoch)) - 0.49330749643254945) <= 5e-9
    assert abs(convert(epoch, "tdb", "tcl") - 946_728_000 * SECOND - 493_307_496) <= 5


def test_tcl_and_tcb_agree_at_the_origin() -> None:
    assert abs(float(offset("tcl", "tcb", ORIGIN, scale="tcb"))) < 1e-9


def test_the_table_is_the_integral_of_de421_within_half_a_nanosecond(integral: CubicSpline) -> None:
    ns = every(0.377, "1969-01-01", "2052-12-30")
    expected = integral((ns - ORIGIN) / DAY)
    assert np.abs(offset("tcl", "tdb", ns) - expected).max() < 0.5e-9
    assert np.ptp(expected - constants.TREND * (ns - ORIGIN) / SECOND) > 3e-3  # what the table is for


def test_the_table_has_no_steps_where_its_spans_meet() -> None:
    border = np.arange(0, 2070) * 16 * DAY
    late, early = (offset("tcl", "tdb", border + ns) for ns in (0, -1))
    assert np.abs(late - early).max() < 1e-10


def test_the_tool_makes_the_table_that_is_shipped() -> None:
    first, last = 684, 730  # spans of 16 days from the end of 1999, by another ephemeris than the shipped table's
    with np.load(files("ilrs_science.geometry") / "tcl_de440.npz") as shipped:
        coefficients = shipped["picoseconds"] * 1e-12
        rows = slice(first - int(shipped["first"]), last - int(shipped["first"]))
        assert str(shipped["ephemeris"]) == "de440"
    made = table(default_ephemeris().spk, first, last)
    assert made.shape == coefficients[rows].shape
    assert np.abs(made - coefficients[rows]).max() < 2e-10


def test_a_finer_step_integrates_to_the_same(integral: CubicSpline) -> None:
    fine = integrate(default_ephemeris().spk, 0, 3650, step=0.05)
    days = np.linspace(0, 3650, 5000)
    assert np.abs(fine(days) - integral(days)).max() < 2e-11


def test_mean_rates_are_those_published() -> None:
    # 150 years of DE421 leave 3e-16 of the Moon's and planets' long terms, and 1550 to 2650 of DE440 2e-17 (LTE440).
    days = np.arange(-76 * 365.25, 76 * 365.25, 0.5)
    window = np.blackman(len(days))
    assert abs(window @ rate(default_ephemeris().spk, days) / window.sum() - TCL_TCB) < 5e-16
    shipped = every(1, "1969-01-01", "2061-01-01")
    assert abs(mean_rate(shipped, offset("tcl", "tdb", shipped)) - TCL_TDB) < 1e-15
    assert abs(mean_rate(shipped, offset("tcl", "tcb", shipped)) - TCL_TCB) < 1e-15
    assert abs(mean_rate(shipped, offset("tcg", "tcb", shipped)) - TCG_TCB) < 1e-15


@pytest.mark.parametrize(
    ("scaling", "microseconds_a_day"),
    [("tcl", 58.738), ("selenoid", 56.0256), ("tt", 0.0), (3.13881e-11, 56.0256), (0.0, 58.738)],
)
def test_lunar_time_gains_on_tt_as_published(scaling: str | float, microseconds_a_day: float) -> None:
    ns = every(1, "1970-01-01", "2053-01-01")
    gain = mean_rate(ns, offset("tl", "tt", ns, scaling=scaling)) * 86400e6
    assert gain == pytest.approx(microseconds_a_day, abs=0.001)
    assert abs(gain - 56.02) < (0.01 if microseconds_a_day == 56.0256 else np.inf)  # Ashby and Patla


def test_every_scaling_by_name_is_one_by_number() -> None:
    ns = every(1000, "1970-01-01", "2060-01-01")
    for name, number in TL_RATES.items():
        assert np.array_equal(offset("tl", "tdb", ns, scaling=name), offset("tl", "tdb", ns, scaling=number))


@pytest.mark.parametrize("target", ["tcl", "tl"])
def test_tcl_covers_2000_to_2060_and_nothing_beyond_the_table(target: str) -> None:
    inside = np.array(["1969-01-01", "2000-01-01", "2060-12-31T23:59:59"], "datetime64[ns]")
    assert np.isfinite(offset(target, "tdb", inside)).all()
    for outside in ("1968-12-28T23:58", "2061-01-12", "2100-01-01", "1700-01-01"):
        time = np.datetime64(outside, "ns")
        for source, to in (("tdb", target), (target, "tdb"), ("tcb", target)):
            with pytest.raises(IlrsError, match=r"outside 1968-12-29 to 2061-01-11 TDB, the table of TCL"):
                convert(time, source, to)
        with pytest.raises(IlrsError, match="the table of TCL"):
            offset(target, "tdb", np.array(["2030-01-01", outside], "datetime64[ns]"))


def test_what_the_kernels_do_not_cover_is_an_error() -> None:
    late = np.datetime64("2055-01-01", "ns")
    with pytest.raises(IlrsError, match=r"de421\.bsp"):
        offset("tcl", "tt", late, site="moon")
    with pytest.raises(IlrsError, match="moon_pa_de421"):
        offset("tcl", "tdb", np.datetime64("2052-01-01", "ns"), site=Site("equator", 0.0, 0.0, 0.0, "MOON_ME"))
    assert np.isfinite(offset("tcl", "tt", late, site="moon", ephemeris=Ephemeris()))


@pytest.mark.usefixtures("spice")
@pytest.mark.parametrize(
    "site",
    [
        Site("rim", 129.8, -89.7, 1400.0, "MOON_ME"),
        Site("limb", 90.0, 0.0, 0.0, "MOON_ME"),
        Site("farside", 182.4, -45.4, -5935.0, "MOON_ME"),
        Site("of DE421", 23.5, 0.7, -1900.0, "MOON_PA"),
    ],
    ids=lambda site: site.name,
)
def test_at_a_site_tcl_differs_by_the_moons_velocity_times_the_sites_place(site: Site) -> None:
    ns = every(97.31, "1970-01-01", "2050-12-01")
    difference = offset("tcl", "tdb", ns, site=site) - offset("tcl", "tdb", ns, site="moon")
    lon, lat = np.deg2rad([site.lon, site.lat])
    here = (1737.4 + site.height / 1000) * np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    expected = []
    for moment in ns:
        et = (int(moment) - 946_728_000 * SECOND) / SECOND
        state, _ = spiceypy.spkezr("MOON", et, "J2000", "NONE", "SOLAR SYSTEM BARYCENTER")
        r = spiceypy.pxform(f"{site.frame}_DE421", "J2000", et) @ here
        expected.append(-state[3:] @ r / C**2)
    assert np.abs(difference - expected).max() < 2e-12
    assert 1e-8 < np.abs(difference).max() <= 0.61e-6


@given(st.floats(-180, 360), st.floats(-90, 90), st.integers(0, 80 * 365 * 86400))
def test_opposite_points_of_the_moon_differ_from_its_centre_by_opposite_times(lon: float, lat: float, at: int) -> None:
    ns, here = at * SECOND, Site("here", lon, lat, 0.0, "MOON_ME")
    there = Site("there", here.lon + 180, -lat, 0.0, "MOON_ME")
    centre, one, other = (offset("tcl", "tdb", ns, site=place) for place in ("moon", here, there))
    assert one - centre == pytest.approx(centre - other, abs=1e-14)
    assert abs(one - centre) <= 0.61e-6


def test_tcl_and_tcg_differ_monthly_by_the_earths_velocity_times_the_moons_place(integral: CubicSpline) -> None:
    ns = every(0.517, "2000-01-01", "2050-01-01")
    earth, velocity = of_jplephem(399, ns)
    moon, _ = of_jplephem(301, ns)
    monthly = (velocity * (moon - earth)).sum(0) / C**2
    tdb_tt = erfa.dtdb(2440587.5 + ns // DAY, ns % DAY / DAY, 0, 0, 0, 0)
    days = (ns - ORIGIN) / DAY
    tcg_tt = constants.L_G / (1 - constants.L_G) * (days * 86400 - tdb_tt - monthly)
    expected = integral(days) + tdb_tt + monthly - tcg_tt
    assert np.abs(offset("tcl", "tcg", ns, scale="tdb") - expected).max() < 0.5e-9
    assert 1.2e-4 < np.abs(monthly).max() < 1.4e-4
    turns = np.diff(np.sign(monthly)) != 0
    assert 2 * 50 * 365.25 / turns.sum() == pytest.approx(29.53, abs=0.03)
    # It cancels what the Moon's own motion along with the Earth and against it adds to the integral of the rates.
    periodic = offset("tcl", "tcg", ns, scale="tdb") - (TCL_TCB - TCG_TCB) * days * 86400
    assert np.ptp(periodic) < 5e-6
    assert np.ptp(periodic - monthly) > 2e-4


def test_the_secular_rate_of_tcl_against_tcg_is_the_difference_of_the_constants() -> None:
    ns = every(1, "1970-01-01", "2053-01-01")
    assert abs(mean_rate(ns, offset("tcl", "tcg", ns)) - (TCL_TCB - TCG_TCB)) < 1e-16


def test_a_clock_on_the_equator_loses_2712_ns_a_day_on_tcl() -> None:
    equator = Site("equator", 0.0, 0.0, 0.0, "MOON_ME")
    assert surface_clock_rate(equator) == pytest.approx(-3.13982e-11, abs=5e-17)
    assert surface_clock_rate(equator) * 86400e9 == pytest.approx(-2712.8, abs=0.1)
    # GM/(r c)^2 a kilometre: a clock higher up runs 1.8e-14 faster. The Moon's rotation takes 1.2e-16 at the equator.
    up, pole = Site("up", 0.0, 0.0, 1000.0, "MOON_ME"), Site("pole", 77.0, -90.0, 0.0, "MOON_PA")
    assert surface_clock_rate(up) - surface_clock_rate(equator) == pytest.approx(1.807e-14, rel=1e-3)
    assert surface_clock_rate(pole) - surface_clock_rate(equator) == pytest.approx(1.190e-16, rel=1e-3)
    with pytest.raises(IlrsError, match="MOON_ME"):
        surface_clock_rate(Site("frameless", 0.0, 0.0, 0.0))
