from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from skyfield import almanac
from skyfield.api import Loader
from skyfield.jpllib import SpiceKernel

from ilrs_science.errors import IlrsError
from ilrs_science.geometry import convert, default_ephemeris, lunation_at, new_moon
from ilrs_science.geometry.lunations import _FIRST, _LAST, _days_since_j2000
from ilrs_science.geometry.time import DAY, J2000, SECOND

MINUTE = 60 * SECOND
BEGIN, END = (int(np.datetime64(day, "ns").astype(int)) for day in ("1900-01-01", "2101-01-01"))


def in_tt(lunation: int) -> np.datetime64:
    tt: NDArray[np.int64] = convert(np.array(new_moon(lunation)), "tai", "tt")
    return tt.astype("datetime64[ns]")[()]


def test_the_worked_example_of_meeus_comes_out_to_the_second() -> None:
    """Astronomical Algorithms, example 49.a: k = -283, JDE 2443192.65118."""
    assert in_tt(953 - 283) == np.datetime64("1977-02-18T03:37:42")
    assert abs(_days_since_j2000(np.array([-283.0]))[0] + 2451545.0 - 2443192.65118) < 5e-6


@pytest.mark.parametrize(
    ("lunation", "minute"),
    [
        (854, "1992-01-04T23:10"),
        (879, "1994-01-11T23:10"),
        (880, "1994-02-10T14:30"),
        (881, "1994-03-12T07:05"),
        (882, "1994-04-11T00:17"),
        (883, "1994-05-10T17:07"),
        (891, "1995-01-01T10:56"),
        (904, "1996-01-20T12:50"),
    ],
)
def test_new_moons_have_the_number_and_the_minute_of_the_almanac(lunation: int, minute: str) -> None:
    """TIME Almanac (CD-ROMs of 1993 and 1995), "The Sun and Moon", phases in UT by lunation, rounded to the minute."""
    apart = new_moon(lunation) - int(convert(minute, "utc", "tai"))
    assert abs(apart) < MINUTE / 2 + 18 * SECOND


@pytest.mark.parametrize(
    ("lunation", "day"),
    [
        (989, "2002-12-04"),
        (995, "2003-05-31"),
        (1001, "2003-11-23"),
        (1018, "2005-04-08"),
        (1030, "2006-03-29"),
    ],
)
def test_solar_eclipses_have_the_lunation_that_nasa_gives_them(lunation: int, day: str) -> None:
    """NASA, eclipse.gsfc.nasa.gov, elements of each eclipse by F. Espenak: "Brown Lun. No."."""
    assert in_tt(lunation).astype("datetime64[D]") == np.datetime64(day)


def test_the_numbers_of_brown_begin_in_1923_and_those_of_meeus_in_2000() -> None:
    assert in_tt(1).astype("datetime64[D]") == np.datetime64("1923-01-17")
    assert in_tt(953).astype("datetime64[D]") == np.datetime64("2000-01-06")


@pytest.mark.filterwarnings("ignore:Setting the shape on a NumPy array:DeprecationWarning")  # in skyfield
def test_the_almanac_of_skyfield_passes_from_waning_to_new_within_18_seconds(tmp_path: Path) -> None:
    """With DE421, 1249 new moons; 17.4 s apart at most, 3.8 s on the average."""
    first, last = (int(np.datetime64(day, "ns").astype(int)) for day in ("1950-01-01", "2051-01-01"))
    numbers = range(lunation_at(first) + 1, lunation_at(last) + 1)
    since = convert(np.array([new_moon(number) for number in numbers]), "tai", "tt") - J2000
    scale = Loader(str(tmp_path), verbose=False).timescale(builtin=True)
    kernel = SpiceKernel(default_ephemeris().spk)
    phases = almanac.moon_phases(kernel)

    def phase(ns: NDArray[np.int64]) -> NDArray[np.int64]:
        found: NDArray[np.int64] = phases(scale.tt_jd(2451545.0 + ns // DAY, ns % DAY / DAY))
        return found

    assert len(numbers) == 1249
    assert (phase(since - 18 * SECOND) == 3).all()
    assert (phase(since + 18 * SECOND) == 0).all()
    kernel.close()


def test_the_shortest_and_the_longest_month_of_two_centuries_are_those_of_meeus() -> None:
    """Meeus 1988, cited by Wolfram ScienceWorld, "Lunation": 29 d 6 h 35 min and 29 d 19 h 55 min, 1900 to 2100."""
    months = np.diff([new_moon(number) for number in range(_FIRST, _LAST + 2)])
    for found, hours, minutes in ((months.min(), 6, 35), (months.max(), 19, 55)):
        assert abs(int(found) - 29 * DAY - (60 * hours + minutes) * MINUTE) < MINUTE


@given(st.integers(_FIRST + 1, _LAST))
def test_a_lunation_begins_at_its_new_moon_and_the_one_before_ends_there(lunation: int) -> None:
    begin = new_moon(lunation)
    assert lunation_at(begin) == lunation
    assert lunation_at(begin - 1) == lunation - 1


@given(st.integers(BEGIN, END - 1))
def test_an_instant_lies_between_the_new_moons_of_its_lunation(tai: int) -> None:
    lunation = lunation_at(tai)
    assert new_moon(lunation) <= tai < new_moon(lunation + 1)


@given(st.tuples(st.integers(BEGIN, END - 1), st.integers(BEGIN, END - 1)))
def test_lunations_never_go_back(instants: tuple[int, int]) -> None:
    assert lunation_at(min(instants)) <= lunation_at(max(instants))


def test_no_new_moon_is_so_near_half_a_second_that_machines_could_round_it_apart() -> None:
    """Sums and sines of float64 days leave some 1e-6 s in doubt."""
    seconds = _days_since_j2000(np.arange(_FIRST, _LAST + 2) - 953.0) * 86400
    assert np.abs(seconds % 1 - 0.5).min() > 1e-5


def test_lunations_end_with_the_years_1900_to_2100() -> None:
    assert (lunation_at(BEGIN), lunation_at(END - 1)) == (-285, 2202)
    for tai in (BEGIN - 1, END):
        with pytest.raises(IlrsError, match=rf"TAI {tai} ns since 1970; expected .* \(the years 1900 to 2100\)"):
            lunation_at(tai)
    assert new_moon(-285) < BEGIN < END <= new_moon(2203)
    for lunation in (-286, 2204):
        with pytest.raises(IlrsError, match=rf"lunation {lunation} of Brown; expected -285 to 2203"):
            new_moon(lunation)
