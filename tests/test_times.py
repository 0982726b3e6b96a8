"""The two times of samples: a reader gives either, and the engine makes the other."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from ilrs_science.catalog import sample_times, with_times
from ilrs_science.errors import FormatError
from ilrs_science.geometry import parse_utc

TAI = parse_utc("2031-03-01") + 10**9 * np.arange(3)
UTC = np.datetime64("2031-03-01", "ns") + np.timedelta64(1, "s") * np.arange(3)


def samples(**coordinates: object) -> xr.Dataset:
    return xr.Dataset({"v": ("time", np.arange(3))}, coordinates)


@pytest.mark.parametrize(
    "coordinates",
    [
        {"tai": ("time", TAI)},
        {"tai": ("time", TAI.astype(">i8"))},
        {"tai": ("time", TAI.astype("M8[ns]"))},
        {"time": UTC},
        {"time": UTC.astype("M8[ms]")},
        {"time": UTC, "tai": ("time", TAI)},
    ],
)
def test_whichever_time_a_reader_gives_samples_have_both(coordinates: dict[str, object]) -> None:
    ds = with_times(samples(**coordinates))
    assert (ds.time.dtype, ds.tai.dtype) == ("M8[ns]", "M8[ns]")
    assert np.array_equal(ds.time, UTC)
    assert np.array_equal(ds.tai.astype("i8"), TAI)
    assert list(ds.indexes) == ["time"]
    assert np.array_equal(sample_times(ds), TAI)
    assert with_times(ds).identical(ds)
    assert int(ds.sel(time="2031-03-01T00:00:02").v) == 2


@pytest.mark.parametrize(
    ("coordinates", "words"),
    [
        ({"time": TAI}, "found time of int64: name it tai if it is TAI ns, or make it datetime64 in UTC"),
        ({"time": TAI, "tai": ("time", TAI)}, "found time of int64"),
        ({"time": TAI / 1e9}, "found time of float64"),
        ({}, r"read gives a coordinate along time: tai .*; found coordinates \[\]"),
        ({"tai": ("time", TAI / 1e9)}, "found tai of float64"),
        ({"tai": ("time", TAI.astype("i4"))}, "found tai of int32"),
        ({"tai": TAI[0]}, r"found tai along \(\)"),
        ({"tai": ("time", np.array([TAI[0], TAI[1], -(2**63)]).astype("M8[ns]"))}, "tai: a time is NaT"),
        ({"time": np.array([*UTC[:2], "NaT"], "M8[ns]")}, "time: a time is NaT"),
        ({"time": np.array(["1950-01-01"] * 3, "M8[D]")}, "time: .*before 1960"),
        ({"tai": ("time", TAI - 3 * 10**18)}, "tai: .*before 1960"),
        ({"time": np.array(["2016-12-31T23:59:59"] * 2 + ["2017-01-01"], "M8[ns]")}, "time: .*give tai"),
        (
            {"time": UTC + np.timedelta64(40, "s"), "tai": ("time", TAI)},
            "of 3 samples contradict each other, by .* 40 s",
        ),
    ],
)
def test_times_that_say_not_what_they_are_are_refused(coordinates: dict[str, object], words: str) -> None:
    with pytest.raises(FormatError, match=words):
        with_times(samples(**coordinates))


@given(st.integers(parse_utc("2016-12-31T23:59:55"), parse_utc("2017-01-01T00:00:05")), st.integers(1, 10**9))
def test_a_file_may_label_the_leap_second_in_its_own_way_if_it_gives_tai(start: int, step: int) -> None:
    tai = start + step * np.arange(3)
    canonical = with_times(samples(tai=("time", tai)))
    again = with_times(canonical)
    assert np.array_equal(again.tai.astype("i8"), tai)


def test_an_empty_file_has_both_times_too() -> None:
    ds = with_times(samples(tai=("time", TAI)).isel(time=[]))
    assert (ds.time.dtype, ds.tai.dtype, ds.sizes["time"]) == ("M8[ns]", "M8[ns]", 0)
