from itertools import permutations, product

import numpy as np
import pytest
from astropy.time import Time
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ilrs_science.errors import IlrsError
from ilrs_science.geometry import Ephemeris, Site, convert, isot, offset
from ilrs_science.geometry.moments import SCALES
from ilrs_science.geometry.scales import tai
from ilrs_science.geometry.time import DAY, SECOND, tai_to_utc, utc_to_tai

FIRST, LAST = convert(["1972-01-02", "2050-12-31"], "utc", "tai")
ASTROPY = ("utc", "tai", "tt", "tdb", "tcb", "tcg")
SHACKLETON = Site("Shackleton", 129.8, -89.7, 1400.0, "MOON_ME")
PLACES = ["moon", "earth", SHACKLETON, Site("far side", 177.6, -45.4, -5935.0, "MOON_PA")]
SCALINGS = st.sampled_from(["tcl", "selenoid", "tt"]) | st.floats(-1e-9, 1e-9)

dubious_years = pytest.mark.filterwarnings("ignore:ERFA function.*dubious year")  # leap seconds to come are not known
moments = st.integers(int(FIRST), int(LAST)).filter(lambda time: ":60" not in isot(time))


def random_times(first: str, last: str, count: int) -> NDArray[np.int64]:
    """Return nanoseconds since 1970, of any scale."""
    start, stop = np.array([first, last], "datetime64[ns]").astype(np.int64)
    return np.random.default_rng(20260401).integers(start, stop, count)


def as_astropy(ns: NDArray[np.int64], scale: str) -> Time:
    if scale == "utc":  # as text, because a fraction of a day of UTC is no count of nanoseconds
        return Time(np.datetime_as_string(ns.astype("datetime64[ns]")), scale=scale, format="isot")
    return Time(2440587.5 + ns // DAY, ns % DAY / DAY, format="jd", scale=scale)


def nanoseconds(time: Time) -> NDArray[np.int64]:
    if time.scale == "utc":
        return np.array(Time(time, precision=9).isot, "datetime64[ns]").astype(np.int64)
    days = np.floor(time.jd1 - 2440587.5)
    return days.astype(np.int64) * DAY + np.rint((time.jd1 - 2440587.5 - days + time.jd2) * DAY).astype(np.int64)


@dubious_years
@pytest.mark.parametrize(("source", "target"), list(permutations(ASTROPY, 2)))
def test_scales_of_the_earth_are_those_of_astropy(source: str, target: str) -> None:
    times = random_times("1960-01-02", "2040-01-01", 400)
    assert np.abs(convert(times, source, target) - nanoseconds(getattr(as_astropy(times, source), target))).max() <= 1


@dubious_years
@pytest.mark.parametrize("scale", ASTROPY)
def test_astropy_times_are_read_to_the_nanosecond(scale: str) -> None:
    times = random_times("1960-01-02", "2040-01-01", 400)
    expected = tai(times, scale)
    assert np.abs(convert(as_astropy(times, scale), scale, "tai") - expected).max() <= 1
    assert np.abs(offset("tt", "tai", as_astropy(times, scale)) - 32.184).max() == 0


@pytest.mark.parametrize(
    "text",
    [
        *("2016-12-31T23:59:59.5", "2016-12-31T23:59:60", "2016-12-31T23:59:60.75", "2017-01-01T00:00:00"),
        *("1972-06-30T23:59:60.999", "1969-07-20T20:17:40", "1961-08-01T00:00:00", "1968-02-01T00:00:00"),
        *("1965-02-28T23:59:60.05", "1960-01-01T00:00:00.5", "1971-12-31T23:59:60.1"),
    ],
)
def test_a_leap_second_and_the_seconds_of_apollo_are_the_same_in_text_and_in_astropy(text: str) -> None:
    time = Time(text, scale="utc", format="isot")
    assert abs(convert(text, "utc", "tai") - nanoseconds(time.tai)) <= 1
    # Before 1972 ERFA's days that end in a step are 1.5 ns from the difference of its own offsets.
    assert abs(convert(time, "utc", "tai") - nanoseconds(time.tai)) <= (1 if text > "1972" else 3)
    assert abs(convert(text, "utc", "tdb") - nanoseconds(time.tdb)) <= 1


def test_the_eagle_landed_8_seconds_later_in_tai() -> None:
    landing = np.datetime64("1969-07-20T20:17:40", "ns")
    # BIH from 1968-02-01: 4.2131700 s + (MJD - 39126) 0.002592 s
    expected = 4.2131700 + (40422 + 73060 / 86400 - 39126) * 0.002592
    assert float(offset("tai", "utc", landing)) == pytest.approx(expected, abs=1e-9)
    assert convert(landing, "utc", "tai") == landing + np.timedelta64(round(expected * 1e9), "ns")


def test_a_time_before_1972_whose_offset_is_half_a_nanosecond_is_a_time() -> None:
    utc = np.datetime64("1971-12-31T00:00:00.25", "ns").astype(np.int64)
    assert abs(tai_to_utc(utc_to_tai(utc)) - utc) <= 1


@pytest.mark.parametrize("text", ["1961-07-31T23:59:59.96", "1968-01-31T23:59:59.95", "1968-01-31T23:59:60"])
def test_a_time_that_utc_stepped_over_is_refused(text: str) -> None:
    with pytest.raises(IlrsError, match=r"a step forward of UTC|not a UTC time"):
        convert(text, "utc", "tai")


@pytest.mark.parametrize("source", ["utc", "tai"])
def test_there_is_no_utc_before_1960(source: str) -> None:
    early = np.array(["1960-01-02", "1959-12-31"], "datetime64[ns]")
    with pytest.raises(IlrsError, match="before 1960"):
        convert(early, source, "tai" if source == "utc" else "utc")
    with pytest.raises(IlrsError, match="before 1960"):
        convert(Time("1959-12-31", scale="utc"), "utc", "tai")
    assert convert(early, "tai", "tt").dtype == "datetime64[ns]"


@pytest.mark.parametrize("place", [None, *PLACES], ids=lambda place: getattr(place, "name", str(place)))
def test_there_and_back_is_the_same_over_every_pair_of_scales(place: Site | str | None) -> None:
    how = {"site": place, "scaling": "selenoid"}
    times = random_times("1972-01-02", "2050-12-31", 300)
    for source, target in permutations(SCALES, 2):
        back = convert(convert(times, source, target, **how), target, source, **how)
        assert np.abs(back - times).max() <= 1, f"{source} to {target}"


@given(moments, st.permutations(SCALES), st.sampled_from(PLACES), SCALINGS)
def test_a_chain_of_conversions_at_one_place_is_one_conversion(
    time: int, order: list[str], place: Site | str, scaling: float
) -> None:
    how = {"site": place, "scaling": scaling}
    first, *rest = order[:4]
    start = convert(time, "tai", first, **how)
    chained, at = start, first
    for scale in rest:
        chained, at = convert(chained, at, scale, **how), scale
        assert abs(chained - convert(start, first, scale, **how)) <= 2
    assert abs(convert(chained, at, first, **how) - start) <= 2


@given(moments, st.permutations(SCALES), st.sampled_from([None, *PLACES]), SCALINGS)
def test_offsets_are_antisymmetric_and_are_what_convert_adds(
    time: int, order: list[str], place: Site | str, scaling: float
) -> None:
    how = {"site": place, "scaling": scaling}
    a, b = order[:2]
    forth, back = offset(a, b, time, scale="tai", **how), offset(b, a, time, scale="tai", **how)
    assert abs(forth + back) < 5e-12
    assert offset(a, a, time, scale="tai", **how) == 0
    if place is not None:  # by default, TAI would be taken at another place
        reading = convert(time, "tai", b, **how)
        assert abs(convert(reading, b, a, **how) - reading - forth * SECOND) <= 1
        assert abs(offset(a, b, reading, **how) - forth) < 5e-12


@given(moments, moments, st.sampled_from(SCALES[1:]), st.sampled_from(SCALES[1:]), st.sampled_from(PLACES))
def test_no_clock_runs_back(one: int, other: int, source: str, target: str, place: Site | str) -> None:
    earlier, later = convert(np.sort([one, other]), source, target, site=place)
    # Rates of coordinate times differ by less than 2e-8; the place moves the difference by some 1e-10.
    assert abs((later - earlier) - abs(other - one)) <= 2e-8 * abs(other - one) + 1


@given(moments, st.floats(-1e-9, 1e-9))
def test_tl_is_tcl_slowed_by_the_scaling_from_1977_on(time: int, scaling: float) -> None:
    origin = np.datetime64("1977-01-01T00:00:32.184", "ns").astype(np.int64)
    behind = offset("tcl", "tl", time, scale="tcl", scaling=scaling)
    assert float(behind) == pytest.approx(scaling * (time - int(origin)) / SECOND, abs=1e-12)
    assert convert(time, "tcl", "tl") == time
    assert convert(int(origin), "tcl", "tl", scaling=scaling) == origin


def test_tt_at_the_moon_differs_from_tt_at_the_earth_by_the_moons_place_in_the_earths_orbit() -> None:
    times = random_times("1970-01-01", "2050-01-01", 5000)
    difference = offset("tt", "tdb", times, site="moon") - offset("tt", "tdb", times, site="earth")
    assert 1.2e-4 < np.abs(difference).max() < 1.5e-4  # 30.3 km/s times 406 000 km, over c^2
    assert np.abs(difference.mean()) < 3e-6


def test_without_kernels_the_series_give_the_same_times_within_nanoseconds() -> None:
    times = random_times("1970-01-01", "2050-01-01", 2000)
    for target in ("tcl", "tcg", "tt"):
        with_kernels = offset(target, "tdb", times, site=SHACKLETON)
        without = offset(target, "tdb", times, site=SHACKLETON, ephemeris=Ephemeris())
        assert np.abs(with_kernels - without).max() < 12e-9  # 18 arcsec of the Moon are 35 km, times v over c^2
    assert np.ptp(offset("tt", "tdb", times, site=SHACKLETON, ephemeris=Ephemeris())) > 3e-3


@pytest.mark.parametrize(("source", "target"), [("tai", "tcl"), ("tcl", "utc"), ("utc", "tcg"), ("tcb", "tl")])
def test_results_do_not_depend_on_how_an_array_is_cut(source: str, target: str) -> None:
    times = random_times("1970-01-01", "2050-01-01", 8200)  # more than a block of the kernels' evaluation
    for place in (None, "earth", SHACKLETON):
        whole = offset(target, source, times, site=place)
        parts = [offset(target, source, part, site=place) for part in np.split(times, [1, 2, 700, 8191])]
        assert np.array_equal(whole, np.concatenate(parts))
        assert [float(offset(target, source, int(time), site=place)) for time in times[:20]] == whole[:20].tolist()
        assert np.array_equal(offset(target, source, times[::-1], site=place), whole[::-1])
        assert np.array_equal(offset(target, source, times.reshape(2, 4100), site=place), whole.reshape(2, 4100))


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (0, 2)])
@pytest.mark.parametrize("place", [None, "earth", SHACKLETON])
def test_shape_and_type_of_times_are_kept(shape: tuple[int, ...], place: Site | str | None) -> None:
    times = np.full(shape, 10**18)
    for source, target in product(SCALES, SCALES):
        integers, dates = (convert(t, source, target, site=place) for t in (times, times.astype("datetime64[ns]")))
        assert (integers.shape, integers.dtype) == (shape, np.int64)
        assert (dates.shape, dates.dtype) == (shape, np.dtype("datetime64[ns]"))
        assert np.array_equal(dates.astype(np.int64), integers)
        seconds = offset(target, source, times, site=place)
        assert (np.shape(seconds), np.asarray(seconds).dtype) == (shape, np.float64)


def test_times_that_came_in_are_not_touched() -> None:
    times = random_times("1970-01-01", "2050-01-01", 50)
    kept = times.copy()
    for source, target in product(SCALES, SCALES):
        result = convert(times, source, target, site=SHACKLETON)
        offset(target, source, times, site=SHACKLETON)
        assert np.array_equal(times, kept)
        assert source == target or not np.shares_memory(result, times)


@pytest.mark.parametrize("time", [0, "2020-01-01", Time("2020-01-01", scale="utc"), np.zeros(0, np.int64)])
def test_an_unknown_scale_or_place_is_refused_and_those_known_are_listed(time: object) -> None:
    for wrong in ("ut1", "", "gps", "tcl2"):
        with pytest.raises(IlrsError, match="known are utc, tai, tt, tdb, tcb, tcg, tcl, tl"):
            convert(time, "utc", wrong)
        with pytest.raises(IlrsError, match="known are utc, tai, tt, tdb, tcb, tcg, tcl, tl"):
            offset(wrong, "utc", time)
    with pytest.raises(IlrsError, match="give a Site, 'earth' or 'moon'"):
        convert(time, "utc", "tcl", site="mars")
    with pytest.raises(IlrsError, match="MOON_ME, MOON_PA"):
        offset("tcl", "utc", time, site=Site("frameless", 1.0, 2.0, 3.0))


def test_utc_counts_are_exact_where_seconds_as_floats_are_not() -> None:
    times = random_times("1972-01-02", "2100-01-01", 1000)
    assert set(utc_to_tai(times) - times) <= {seconds * SECOND for seconds in range(10, 38)}
    assert np.array_equal(tai_to_utc(utc_to_tai(times)), times)
    assert np.array_equal(convert(times, "tai", "tt") - times, np.full(1000, 32_184_000_000))
