from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from ilrs_science.errors import IlrsError
from ilrs_science.geometry import Site, altaz, default_ephemeris, illumination, local_solar_time, lunar_day, subpoint
from ilrs_science.geometry.day import _above, _overlap, horizon_altitude

DAY = np.timedelta64(1, "D")
HOUR = np.timedelta64(1, "h")
TIMES = np.datetime64("2031-01-01T00:00:00", "ns") + np.arange(0, 60 * 24, 5) * HOUR
CHANGE_4 = Site("ce4", lon=177.5991, lat=-45.4446, height=-5935, frame="MOON_ME")
RIM = Site("rim", lon=-137.3, lat=-89.4, height=1000, frame="MOON_ME")


def at(lon: float, lat: float = 0.0, **more: Any) -> Site:
    return Site("s", lon=lon, lat=lat, **{"height": 0, "frame": "MOON_ME", **more})


def turned(angle: Any) -> Any:
    return (angle + 180) % 360 - 180


@given(st.integers(0, len(TIMES) - 1), st.floats(-23.99, 23.99))
def test_it_is_noon_below_the_sun_and_an_hour_later_every_15_degrees_east(index: int, hours: float) -> None:
    time = TIMES[index]
    noon = float(subpoint("sun", time, scale="tai")["lon"])
    found = float(local_solar_time(at(turned(noon + 15 * hours), 30), time, scale="tai"))
    assert 0 <= found < 24
    assert abs((found - 12 - hours + 12) % 24 - 12) < 1e-9


def test_local_time_runs_once_around_in_a_lunar_day() -> None:
    hours = local_solar_time(CHANGE_4, TIMES, scale="tai").values
    steps = np.diff(hours) % 24
    assert np.abs(steps * 29.53 / 24 / (5 / 24) - 1).max() < 0.15
    assert abs(steps.sum() - 24 * (TIMES[-1] - TIMES[0]) / DAY / 29.53) < 0.5


def test_the_first_days_of_change_4_are_counted_from_its_landing() -> None:
    landing = "2019-01-03T02:26:00Z"
    days = lunar_day(CHANGE_4, [landing, "2019-01-12T00:00:00Z", "2019-01-31T00:00:00Z"], since=landing)
    assert days.values.tolist() == [1, 1, 2]
    assert lunar_day(CHANGE_4, "2018-12-20", since=landing) == 0
    assert lunar_day(CHANGE_4, "2000-01-01T12:00:00", scale="tdb") == 1
    assert days.dtype == np.int64


@pytest.mark.parametrize("lon", [-180, -120.5, -0.001, 0, 62, 179.999])
def test_lunar_days_begin_at_midnight_and_never_go_back(lon: float) -> None:
    times = np.datetime64("1975-01-01", "ns") + np.arange(0, 70 * 365 * 24, 11) * HOUR
    days = lunar_day(at(lon), times, scale="tai").values
    hours = local_solar_time(at(lon), times, scale="tai").values
    assert np.array_equal(np.diff(days), (np.diff(hours) < 0).astype(int))
    assert abs(days[-1] - days[0] - 70 * 365 / 29.530589) < 1.1


@settings(max_examples=30)
@given(st.floats(-180, 179.99))
def test_days_and_hours_of_two_longitudes_tell_the_same_turn(lon: float) -> None:
    times = np.append(np.datetime64("2000-01-01T11:58:56", "ns"), TIMES[::10])  # the first is of day 1 everywhere
    east, prime = (
        lunar_day(at(x), times, scale="tai").values + local_solar_time(at(x), times, scale="tai").values / 24
        for x in (lon, 0.0)
    )
    ahead = east - prime - lon / 360
    assert np.abs(ahead - np.rint(ahead[0])).max() < 1e-9
    assert np.floor(east[0]) == np.floor(prime[0]) == 1


@settings(max_examples=50)
@given(st.floats(-1, 1), st.floats(-1, 1))
def test_more_of_the_disc_is_seen_the_higher_it_stands(height: float, more: float) -> None:
    low, high = sorted((height, more))
    seen = _above(np.array([low, high, -low]), np.array([0.267] * 3))
    assert seen[0] <= seen[1]
    assert abs(seen[0] + seen[2] - 1) < 1e-12


def test_the_disc_is_cut_by_a_level_line_as_a_fine_grid_has_it() -> None:
    x, y = np.meshgrid(*[np.linspace(-1, 1, 2001)] * 2)
    inside = np.hypot(x, y) <= 1
    for height in (-0.9, -0.3, 0, 0.5, 0.99):
        assert abs((inside & (y > -height)).sum() / inside.sum() - _above(np.array(height), np.array(1.0))) < 1e-3


def sun_with_horizon(below: float) -> tuple[Site, np.datetime64, float]:
    """Return a site, a time and the horizon that stands `below` degrees below the Sun's centre."""
    alt = altaz("sun", RIM, TIMES[40], scale="tai")["alt"].item()
    return RIM, TIMES[40], alt - below


@pytest.mark.parametrize(("below", "fraction"), [(90, 1), (0.28, 1), (0, 0.5), (-0.28, 0), (-40, 0)])
def test_the_sun_is_up_down_or_half_as_its_centre_passes_the_horizon(below: float, fraction: float) -> None:
    site, time, horizon = sun_with_horizon(below)
    assert abs(illumination(site, time, max(horizon, -90), scale="tai") - fraction) < 1e-9


@settings(max_examples=20)
@given(st.lists(st.floats(-0.5, 0.5), min_size=2, max_size=6))
def test_a_higher_horizon_never_lets_more_light_in(belows: list[float]) -> None:
    found = [float(illumination(*sun_with_horizon(below), scale="tai")) for below in sorted(belows)]
    assert found == sorted(found)
    assert all(0 <= fraction <= 1 for fraction in found)


def test_a_horizon_may_be_a_number_pairs_or_labelled_and_belongs_to_the_site_else() -> None:
    pairs = [(0, 1.0), (90, 2.0), (200, -1.0)]
    labelled = xr.DataArray([1.0, 2.0, -1.0], {"az": [0, 90, 200]}, ("az",))
    az = np.array([0.0, 45, 90, 145, 200, 280, 360, -80])
    expected = [1, 1.5, 2, 0.5, -1, 0, 1, 0]
    own = at(0, horizon=tuple(pairs))
    for site, horizon in ((RIM, pairs), (RIM, labelled), (RIM, np.array(pairs)), (own, None), (RIM, pairs[::-1])):
        assert np.allclose(horizon_altitude(site, az, horizon), expected)
    assert np.allclose(horizon_altitude(own, az, 3.0), 3)
    assert np.allclose(horizon_altitude(own, az, xr.DataArray(3.0)), 3)
    assert np.allclose(horizon_altitude(RIM, az), -1.9436, atol=1e-4)


def test_a_mask_is_joined_across_north() -> None:
    assert np.allclose(
        horizon_altitude(RIM, np.array([350.0, 355, 0, 5, 10, 180]), [(350, 4), (10, 2)]), [4, 3.5, 3, 2.5, 2, 3]
    )


@pytest.mark.parametrize(
    "horizon",
    [
        [],
        [1.0, 2.0],
        [[1, 2, 3]],
        np.nan,
        [(0, np.nan)],
        [(np.inf, 1)],
        91,
        [(0, -90.5)],
        xr.DataArray([1.0, 2.0], dims="az"),
    ],
)
def test_a_horizon_that_is_none_is_refused(horizon: Any) -> None:
    with pytest.raises(IlrsError, match=r"a horizon of .*; expected"):
        illumination(RIM, TIMES, horizon, scale="tai")


def test_the_polar_rim_sees_more_of_the_sun_than_the_plain_below_it() -> None:
    rim, plain = (illumination(at(0, -89.4, height=h), TIMES, scale="tai") for h in (1000, 0))
    assert (rim >= plain).all()
    assert float(rim.mean()) > float(plain.mean()) + 0.2


def test_half_of_the_time_is_day_at_the_equator() -> None:
    times = np.datetime64("2031-01-01", "ns") + np.arange(0, 2953, 3) * np.timedelta64(36, "m") * 12
    assert abs(float(illumination(at(50), times, scale="tai").mean()) - 0.5) < 0.01


def test_there_is_no_sunlight_in_the_midst_of_a_total_eclipse() -> None:
    high = at(*(float(subpoint("sun", "2025-03-14T06:58:43Z")[name]) for name in ("lon", "lat")))
    assert altaz("sun", high, "2025-03-14T06:58:43Z")["alt"] > 89
    times = ["2025-03-14T03:00:00Z", "2025-03-14T06:58:43Z", "2025-03-14T11:00:00Z"]
    assert illumination(high, times).values.tolist() == [1, 0, 1]
    partial = illumination(high, "2025-03-14T05:20:00Z")
    assert 0 < partial < 1


@settings(max_examples=60)
@given(st.floats(0.05, 3), st.floats(0.05, 3), st.floats(0, 6.5))
def test_discs_overlap_as_strips_of_them_do(radius: float, other: float, apart: float) -> None:
    y = (np.arange(20_000) + 0.5) / 10_000 * radius - radius
    half = np.sqrt(radius**2 - y**2)
    far = np.sqrt(np.maximum(other**2 - y**2, 0))
    width = np.minimum(half, apart + far) - np.maximum(-half, apart - far)
    covered = np.where(np.abs(y) < other, np.maximum(width, 0), 0).sum() / (2 * half).sum()
    assert abs(_overlap(np.array(apart), np.array(radius), np.array(other)) - covered) < 2e-4


def test_discs_that_touch_or_hide_one_another_are_exact() -> None:
    apart = np.array([0, 0, 2, 0, 1, 1.0])
    radius, other = np.array([1, 1, 1, 1, 1, 2.0]), np.array([1, 3, 1, 0.5, 2, 1.0])
    assert np.allclose(_overlap(apart, radius, other), [1, 1, 0, 0.25, 1, 0.25], atol=1e-15)


@pytest.mark.parametrize("frame", ["MOON_ME", "MOON_PA"])
def test_results_are_labelled(frame: str) -> None:
    site = Site("named", lon=10, lat=20, height=30, frame=frame)
    made = (local_solar_time, "h"), (lunar_day, "1"), (illumination, "1")
    for function, units in made:
        found = function(site, TIMES, scale="tai")
        assert found.name == function.__name__
        assert found.dims == ("time",)
        assert (found["time"].attrs["time_scale"], found["tai"].attrs["time_scale"]) == ("UTC", "TAI")
        assert found.attrs["units"] == units
        assert found.attrs["site"] == "named"
        assert found.attrs["ephemeris"] == default_ephemeris().name
        labelled = xr.DataArray(TIMES, dims="x", attrs={"time_scale": "TAI"})
        assert np.array_equal(function(site, labelled).values, found.values)
        assert function(site, TIMES[:0], scale="tai").shape == (0,)
        assert function(site, TIMES[:4].reshape(2, 2), scale="tai").shape == (2, 2)
        assert function(site, "2031-03-01T00:00:00Z").shape == ()


@pytest.mark.parametrize("function", [local_solar_time, lunar_day, illumination])
def test_a_place_that_is_not_on_the_moon_has_no_day(function: Any) -> None:
    for site, message in (
        (Site("s", 0, 0, 0), "frame 'unknown'"),
        (Site("s", 0, frame="MOON_ME"), "lat, height unknown"),
        (at(0, height=1e6), "not on the ground"),
    ):
        with pytest.raises(IlrsError, match=message):
            function(site, TIMES, scale="tai")
