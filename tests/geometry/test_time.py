from datetime import datetime

import erfa
import numpy as np
import pytest
from astropy.time import Time
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ilrs_science.errors import IlrsError
from ilrs_science.geometry import convert
from ilrs_science.geometry.time import SECOND, isot, parse_utc

FIRST, LAST = 63_072_010 * SECOND, 7_000_000_000 * SECOND
LEAP_DAYS = [
    f"{row['year'] - 1}-12-31" if row["month"] == 1 else f"{row['year']}-06-30"
    for row in erfa.leap_seconds.get()
    if (row["year"], row["month"]) > (1972, 1)
]


def by_astropy(text: str) -> int:
    """Return the whole milliseconds of TAI since 1970 as astropy has them."""
    epoch = Time("1970-01-01T00:00:00", scale="tai", format="isot")
    return round((Time(text, scale="utc", format="isot") - epoch).to_value("s") * 1000)


@pytest.mark.filterwarnings("ignore:ERFA function.*dubious year")  # leap seconds of the future are not known yet
@settings(max_examples=300)
@given(st.datetimes(datetime(1972, 1, 1), datetime(2040, 1, 1)))  # noqa: DTZ001 - UTC by construction
def test_utc_becomes_the_tai_of_astropy(moment: datetime) -> None:
    text = moment.isoformat(timespec="milliseconds")
    assert parse_utc(text + "Z") // 10**6 == by_astropy(text)


@pytest.mark.parametrize("day", LEAP_DAYS)
@pytest.mark.parametrize("clock", ["23:59:59.000", "23:59:59.999", "23:59:60.000", "23:59:60.500", "23:59:60.999"])
def test_leap_seconds_are_those_of_astropy(day: str, clock: str) -> None:
    text = f"{day}T{clock}"
    assert parse_utc(text) // 10**6 == by_astropy(text)
    assert parse_utc(isot(parse_utc(text))) == parse_utc(text)
    assert clock.removesuffix(".000").startswith(isot(parse_utc(text))[11:-1].rstrip("0").rstrip("."))


def test_a_leap_second_lasts_one_second() -> None:
    before, within, after = map(parse_utc, ("2016-12-31T23:59:59Z", "2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"))
    assert (within - before, after - within) == (SECOND, SECOND)
    assert isot(after - 1) == "2016-12-31T23:59:60.999999999Z"
    assert isot(within - 1) == "2016-12-31T23:59:59.999999999Z"
    assert isot(after) == "2017-01-01T00:00:00Z"


@settings(max_examples=300)
@given(st.integers(FIRST, LAST))
@example(parse_utc("2016-12-31T23:59:60.000000001Z"))
def test_text_of_a_time_reads_back_to_the_nanosecond(tai: int) -> None:
    assert parse_utc(isot(tai)) == tai


@given(st.lists(st.integers(FIRST, LAST), min_size=1))
def test_conversion_there_and_back_is_the_identity_outside_leap_seconds(times: list[int]) -> None:
    tai = np.array([time for time in times if ":60" not in isot(time)], np.int64)
    assert np.array_equal(convert(convert(tai, "tai", "utc"), "utc", "tai"), tai)


@given(st.integers(FIRST, LAST), st.integers(0, 10 * SECOND))
def test_utc_counts_never_go_back_by_more_than_a_leap_second(tai: int, later: int) -> None:
    before, after = convert([tai, tai + later], "tai", "utc")
    assert after - before >= min(0, later - SECOND)


@pytest.mark.parametrize(
    "text",
    [
        *("", "now", "2031", "2031-13-01", "2031-02-30", "2031-03-01T24:00:00Z", "2031-03-01T12:60:00Z"),
        *("2031-03-01T23:59:60Z", "2016-12-31T23:58:60Z", "2031-03-01T00:00:00+01:00", "2031-03-01T00:00:61Z"),
        *("2031-03-01T00:00:00.1234567890Z", "1959-12-31T23:59:59Z"),
        *("2262-12-31T00:00:00Z", "2800-01-01T00:00:00Z", "9999-12-31T23:59:59Z"),
    ],
)
def test_what_is_no_time_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(IlrsError, match=r"not a UTC time|before 1960|outside 1685 to 2255"):
        parse_utc(text)


def test_an_unknown_time_and_an_unknown_scale_are_refused() -> None:
    with pytest.raises(IlrsError, match="NaT"):
        convert(np.array(["2031-01-01", "NaT"], "datetime64[ns]"), "utc", "tai")
    with pytest.raises(IlrsError, match="'lmst'; known are utc, tai"):
        convert(0, "lmst", "tai")


def test_datetimes_of_any_unit_become_nanoseconds() -> None:
    days = np.array(["2031-03-01"], "datetime64[D]")
    assert convert(days, "utc", "tai").astype("i8") == parse_utc("2031-03-01")
