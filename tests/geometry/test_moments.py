from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from astropy.time import Time
from hypothesis import given
from hypothesis import strategies as st

from ilrs_science.errors import IlrsError
from ilrs_science.geometry import convert, offset, parse_utc
from ilrs_science.geometry.moments import read_moments
from ilrs_science.geometry.scales import tai
from ilrs_science.geometry.time import DAY

J2020 = 18262 * DAY
DAYS = np.array(["2020-01-01", "2020-01-02"], "datetime64[ns]")


def cube_times(**attrs: str) -> xr.DataArray:
    return xr.DataArray(DAYS, dims="time", name="time", attrs=attrs)


@pytest.mark.parametrize(
    ("time", "scale", "expected"),
    [
        ("2020-01-01", None, (parse_utc("2020-01-01"), "tai")),
        ("2020-01-01T00:00:00Z", "utc", (parse_utc("2020-01-01"), "tai")),
        ("2020-01-01 00:00:00.000000001", "TDB", (J2020 + 1, "tdb")),
        ("1969-07-20T20:17:40", "tt", (-14182940 * 10**9, "tt")),
        (J2020, "tcl", (J2020, "tcl")),
        (np.int32(5), "tai", (5, "tai")),
        (np.datetime64("2020-01-01"), "tl", (J2020, "tl")),
        (np.datetime64("2020", "Y"), "utc", (J2020, "utc")),
        (datetime(2020, 1, 1), "tt", (J2020, "tt")),  # noqa: DTZ001
        (datetime(2020, 1, 1, tzinfo=UTC), None, (parse_utc("2020-01-01"), "tai")),
        (pd.Timestamp("2020-01-01T00:00:00.000000001Z"), None, (parse_utc("2020-01-01") + 1, "tai")),
        (Time("2020-01-01", scale="tcb"), None, (J2020, "tcb")),
        (Time("2020-01-01", scale="tcb"), "tcb", (J2020, "tcb")),
        (Time(2458849.5, 1e-9 / 86400, format="jd", scale="tt"), None, (J2020 + 1, "tt")),
    ],
)
def test_a_time_is_nanoseconds_since_1970_of_its_scale(time: Any, scale: str | None, expected: tuple) -> None:
    ns, own = read_moments(time, scale)
    assert (ns.shape, ns.dtype, int(ns), own) == ((), np.int64, *expected)


@pytest.mark.parametrize(
    "times",
    [
        ["2020-01-01", "2020-01-02T00:00:00Z"],
        ("2020-01-02", "2020-01-03"),
        np.array([["2020-01-01", "2020-01-02"]]),
        np.array(["2020-01-01", "2020-01-02"], object),
        np.array(["2016-12-31T23:59:60", "2017-01-01"], np.dtypes.StringDType()),
        [],
        np.array([], str),
    ],
)
def test_text_many_times_is_text_read_one_by_one(times: Any) -> None:
    ns = tai(times, "utc")
    assert (ns.shape, ns.dtype) == (np.shape(times), np.int64)
    assert ns.ravel().tolist() == [parse_utc(str(text)) for text in np.ravel(times)]


@given(st.datetimes(datetime(1972, 1, 2), datetime(2100, 1, 1)), st.integers(-14 * 60, 14 * 60))  # noqa: DTZ001
def test_an_aware_datetime_of_any_zone_is_the_same_moment(moment: datetime, minutes: int) -> None:
    utc = moment.replace(tzinfo=UTC)
    abroad = utc.astimezone(timezone(timedelta(minutes=minutes)))
    assert convert(abroad, "utc", "tai") == parse_utc(moment.isoformat())
    assert offset("tcg", "tt", abroad) == offset("tcg", "tt", moment.isoformat())


def test_the_time_of_a_cube_says_its_scale_itself() -> None:
    times = cube_times(time_scale="TAI", long_name="time")
    assert np.array_equal(convert(times, "tai", "tt"), DAYS + np.timedelta64(32_184_000_000, "ns"))
    assert np.array_equal(tai(times), DAYS.astype(np.int64))
    assert np.array_equal(offset("tcl", "tdb", times), offset("tcl", "tdb", DAYS, scale="tai"))
    assert np.array_equal(offset("tcl", "tdb", times.astype(np.int64)), offset("tcl", "tdb", DAYS, scale="tai"))
    assert np.array_equal(tai(cube_times().chunk(), "tai"), DAYS.astype(np.int64))


def test_text_and_astropy_times_keep_their_scale_in_offsets() -> None:
    as_tt = offset("tcl", "tdb", Time("2020-01-01T00:01:09.184", scale="tt"), site="earth")
    assert as_tt == offset("tcl", "tdb", "2020-01-01", site="earth")
    assert as_tt != offset("tcl", "tdb", DAYS[0], site="earth")
    assert as_tt == offset("tcl", "tdb", datetime(2020, 1, 1, tzinfo=UTC), site="earth")


MASKED = Time(np.ma.array([2451545.0, 2451546.0], mask=[False, True]), format="jd", scale="tt")


@pytest.mark.parametrize(
    ("time", "scale", "problem"),
    [
        (np.nan, "tai", "NaN"),
        (np.array([0.0, np.nan]), "tai", "NaN"),
        (np.datetime64("NaT", "ns"), "tai", "NaT"),
        (np.array([["2020-01-01", "NaT"]], "datetime64[ns]"), "tai", "NaT"),
        (np.array(["NaT"], "datetime64[D]"), "tai", "NaT"),
        (pd.NaT, "utc", "not a UTC time"),
        (xr.DataArray(np.array(["NaT"], "datetime64[ns]"), attrs={"time_scale": "TAI"}), None, "NaT"),
        (MASKED, None, "masked"),
        (MASKED[1], None, "masked"),
        (MASKED, "tt", "masked"),
    ],
)
def test_a_time_that_is_not_known_is_refused(time: Any, scale: str | None, problem: str) -> None:
    with pytest.raises(IlrsError, match=problem):
        read_moments(time, scale)


@pytest.mark.parametrize("time", [DAYS, DAYS[0], 0, np.arange(3), cube_times(), list(DAYS), pd.DatetimeIndex(DAYS)])
def test_what_has_no_scale_needs_one(time: Any) -> None:
    with pytest.raises(IlrsError, match="one of utc, tai, tt, tdb, tcb, tcg, tcl, tl"):
        tai(time)
    assert np.shape(tai(time, "tt")) == np.shape(time)


def test_a_naive_datetime_needs_a_zone_or_a_scale() -> None:
    naive = datetime(2020, 1, 1)  # noqa: DTZ001
    with pytest.raises(IlrsError, match="no time zone"):
        tai(naive)
    with pytest.raises(IlrsError, match="no time zone"):
        offset("tcl", "tdb", naive)
    assert tai(naive, "utc") == parse_utc("2020-01-01")


@pytest.mark.parametrize(
    ("time", "scale"),
    [
        (Time("2020-01-01", scale="tt"), "tai"),
        (Time("2020-01-01", scale="utc"), "tai"),
        (cube_times(time_scale="TAI"), "utc"),
        (cube_times(time_scale="tt"), "tai"),
        (datetime(2020, 1, 1, tzinfo=UTC), "tai"),
        (pd.Timestamp("2020-01-01", tz="Asia/Shanghai"), "tcl"),
    ],
)
def test_a_scale_that_contradicts_the_times_own_is_refused(time: Any, scale: str) -> None:
    with pytest.raises(IlrsError, match=rf"were said to be in {scale}; convert them"):
        tai(time, scale)
    with pytest.raises(IlrsError, match="were said to be in"):
        convert(time, scale, "tdb")
    with pytest.raises(IlrsError, match="were said to be in"):
        offset("tcl", "tdb", time, scale=scale)


@pytest.mark.parametrize("scale", ["ut1", "", "TAI ", "gps", "local"])
def test_an_unknown_scale_is_refused_and_those_known_are_listed(scale: str) -> None:
    known = "known are utc, tai, tt, tdb, tcb, tcg, tcl, tl"
    for time in (0, "2020-01-01", DAYS, Time("2020-01-01", scale="tt")):
        with pytest.raises(IlrsError, match=known):
            tai(time, scale)
    with pytest.raises(IlrsError, match=known if scale else "no time scale"):
        tai(cube_times(time_scale=scale))


def test_an_index_of_pandas_with_a_zone_is_read_to_the_nanosecond() -> None:
    stamps = pd.DatetimeIndex(DAYS, tz="UTC") + pd.Timedelta(1, "ns")
    np.testing.assert_array_equal(tai(stamps), tai(DAYS, "utc") + 1)


@pytest.mark.parametrize("scale", ["ut1", "local"])
def test_astropy_times_of_other_scales_are_refused(scale: str) -> None:
    with pytest.raises(IlrsError, match=r"expected one of utc, tai, tt, tdb, tcb, tcg$"):
        tai(Time(2451545.0, format="jd", scale=scale))


@pytest.mark.parametrize(
    "time",
    [
        *(None, object(), [object()], 1.5, np.inf, np.array([1.0]), True, b"2020-01-01", 2**70, 1j, {"a": 1}),
        *(np.array([1], "u8"), np.array([1], "timedelta64[ns]"), date(2020, 1, 1), ["2020-01-01", None]),
        *([datetime(2020, 1, 1, tzinfo=UTC), 5], ["2020-01-01", 5, None]),
    ],
)
def test_what_is_no_time_is_refused_by_its_type(time: Any) -> None:
    for scale in ("utc", "tdb", None):
        with pytest.raises(IlrsError, match=r"expected ISO text, datetime64, int64 ns or astropy Time"):
            tai(time, scale)


@pytest.mark.parametrize("text", ["2020-01-01T00:00:00Z", "2016-12-31T23:59:60", "now", "", "2020-13-01", "JD2451545"])
@pytest.mark.parametrize("scale", ["tt", "tcl", "tai"])
def test_text_of_another_scale_than_utc_is_neither_marked_as_utc_nor_a_leap_second(text: str, scale: str) -> None:
    with pytest.raises(IlrsError, match=f"is not a time in {scale}; write it as 2031-03-01T00:00:00, without Z"):
        tai(text, scale)
    with pytest.raises(IlrsError, match="is not a time in"):
        tai(["2020-01-01", text], scale)


@pytest.mark.parametrize("text", ["1677-09-20", "2262-04-12", "2800-01-01", "9999-12-31", "0001-01-01T00:00:00"])
def test_text_and_datetimes_beyond_what_nanoseconds_reach_are_refused(text: str) -> None:
    for scale in ("utc", "tt"):
        with pytest.raises(IlrsError, match=r"outside 1685 to 2255|before 1960"):
            tai(text, scale)
    with pytest.raises(IlrsError, match=r"outside 1685 to 2255|before 1960"):
        tai(datetime.fromisoformat(text).replace(tzinfo=UTC))
