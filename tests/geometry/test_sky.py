from typing import Any

import astropy.units as u
import erfa
import numpy as np
import pytest
import xarray as xr
from astropy.coordinates import SkyCoord
from astropy.time import Time
from hypothesis import given, settings
from hypothesis import strategies as st

from ilrs_science.errors import IlrsError
from ilrs_science.geometry import (
    Site,
    altaz,
    convert,
    default_ephemeris,
    libration,
    position,
    rotation,
    subpoint,
)
from ilrs_science.geometry.day import horizon_altitude
from ilrs_science.geometry.ephemeris import BODIES

TIMES = np.datetime64("2031-01-01T00:00:00", "ns") + np.arange(0, 400, 7) * np.timedelta64(1, "D")
SITE = Site("plain", lon=33.3, lat=-41.7, height=1500, frame="MOON_ME")
EPOCH = Time("J2016.0", scale="tdb")
C = 299792.458


def direction(seen: xr.Dataset) -> np.ndarray:
    """Return unit vectors in east, north and up."""
    alt, az = np.deg2rad(seen["alt"].values), np.deg2rad(seen["az"].values)
    return np.stack([np.cos(alt) * np.sin(az), np.cos(alt) * np.cos(az), np.sin(alt)], axis=-1)


def turned(angle: Any) -> Any:
    """Return an angle within -180 up to 180."""
    return (angle + 180) % 360 - 180


def pole(lon: float, lat: float = -90.0, height: float = 0.0) -> Site:
    return Site("pole", lon=lon, lat=lat, height=height, frame="MOON_ME")


def aberrated(way: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return directions (ICRS) as the site sees them: `ab` of ERFA, velocities by differences."""
    step = np.timedelta64(60, "s")
    after, before = (position(SITE, times + s, "ICRS", "ssb", scale="tdb") for s in (step, -step))
    v = (after - before) / 120 / C
    return erfa.ab(
        way / np.linalg.norm(way, axis=-1, keepdims=True), v, np.full(len(times), 1e30), np.sqrt(1 - (v**2).sum(-1))
    )


@pytest.mark.parametrize("end", [-90.0, 90.0])
def test_at_a_pole_the_sun_is_as_high_as_the_subsolar_point_is_far_from_the_equator(end: float) -> None:
    sun, below = altaz("sun", pole(0, end), TIMES, scale="tai"), subpoint("sun", TIMES, scale="tai")
    assert np.abs(sun["alt"] - np.sign(end) * below["lat"]).max() < 0.0008  # parallax: 1737 km of 1.5e8
    toward = below["lon"] if end < 0 else 180 - below["lon"]
    assert np.abs(turned(sun["az"] - toward)).max() < 0.0008


@settings(max_examples=30)
@given(st.floats(-180, 180), st.sampled_from([-90.0, 90.0]))
def test_at_a_pole_north_is_along_the_meridian_that_was_given(lon: float, end: float) -> None:
    for body in ("sun", "earth"):
        here, there = (altaz(body, pole(x, end), TIMES[:3], scale="tai") for x in (0.0, lon))
        assert np.abs(here["alt"] - there["alt"]).max() < 1e-9
        assert np.abs(turned(there["az"] - here["az"] - np.sign(end) * lon)).max() < 1e-8


def test_places_beside_a_pole_see_the_sky_of_the_pole() -> None:
    at, beside = (altaz("sun", pole(40, lat), TIMES, scale="tai") for lat in (-90.0, -89.9999))
    assert np.abs(at["alt"] - beside["alt"]).max() < 0.0002
    assert np.abs(turned(at["az"] - beside["az"])).max() < 0.0002


@settings(max_examples=30)
@given(st.floats(0, 360), st.floats(-90, 90))
def test_longitudes_up_to_360_and_up_to_180_have_the_same_sky(lon: float, lat: float) -> None:
    a, b = (Site("s", lon=x, lat=lat, height=0, frame="MOON_ME") for x in (lon, turned(lon)))
    assert np.allclose(direction(altaz("sun", a, TIMES, scale="tai")), direction(altaz("sun", b, TIMES, scale="tai")))


@pytest.mark.parametrize(("height", "dip"), [(1000, 1.9436), (0, 0), (-5935, 0), (10_000, 6.1327)])
def test_the_horizon_of_a_smooth_moon_dips_as_the_site_rises(height: float, dip: float) -> None:
    assert np.allclose(horizon_altitude(pole(0, -89.5, height), np.array([0.0, 123.4, 359.0])), -dip, atol=1e-4)


@pytest.mark.parametrize("body", list(BODIES))
def test_every_body_is_seen_where_its_light_comes_from(body: str) -> None:
    here = position(SITE, TIMES, "ICRS", "ssb", scale="tdb")
    way, left = position(body, TIMES, "ICRS", "ssb", scale="tdb") - here, TIMES
    for _ in range(6):
        left = TIMES - (np.linalg.norm(way, axis=-1) / C * 1e9).astype("m8[ns]")
        way = position(body, left, "ICRS", "ssb", scale="tdb") - here
    seen = altaz(body, SITE, TIMES, scale="tdb")
    to_enu = rotation("ICRS", "ENU", TIMES, scale="tdb", site=SITE)
    expected = np.einsum("tij,tj->ti", to_enu, aberrated(way, TIMES))
    assert np.linalg.norm(direction(seen) - expected, axis=-1).max() < 1e-10
    assert np.abs(seen["distance"] / np.linalg.norm(way, axis=-1) - 1).max() < 1e-9
    assert ((seen["az"] >= 0) & (seen["az"] < 360)).all()


STARS = {
    "direction": SkyCoord(101.287 * u.deg, -16.716 * u.deg),
    "moving": SkyCoord(
        10 * u.deg, 20 * u.deg, pm_ra_cosdec=-3.7 * u.arcsec / u.yr, pm_dec=9.9 * u.arcsec / u.yr, obstime=EPOCH
    ),
    "near": SkyCoord(269.45 * u.deg, 4.69 * u.deg, distance=1.83 * u.pc),
    "near and moving": SkyCoord(
        *(269.45 * u.deg, 4.69 * u.deg, 1.83 * u.pc),
        pm_ra_cosdec=-0.8 * u.arcsec / u.yr,
        pm_dec=10.3 * u.arcsec / u.yr,
        radial_velocity=-110 * u.km / u.s,
        obstime=EPOCH,
    ),
    "galactic": SkyCoord(120 * u.deg, 60 * u.deg, frame="galactic"),
}


@pytest.mark.filterwarnings("ignore:ERFA function.*(dubious year|distance overridden)")
@pytest.mark.parametrize("name", STARS)
def test_a_star_stands_where_astropy_moves_it_and_aberration_and_parallax_shift_it(name: str) -> None:
    star = STARS[name]
    now = Time("2031-01-01T00:00:00", scale="tdb") + np.arange(0, 400, 7) * u.day
    if star.data.differentials:
        star = star.apply_space_motion(new_obstime=now)
    ra, dec = star.icrs.ra.radian, star.icrs.dec.radian
    xyz = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], -1) * np.ones((len(TIMES), 3))
    if name.startswith("near"):
        away = np.broadcast_to(star.distance.to_value("km"), len(TIMES))
        xyz = xyz * away[:, None] - position(SITE, TIMES, "ICRS", "ssb", scale="tdb")
    seen = altaz(STARS[name], SITE, TIMES, scale="tdb")
    to_enu = rotation("ICRS", "ENU", TIMES, scale="tdb", site=SITE)
    expected = np.einsum("tij,tj->ti", to_enu, aberrated(xyz, TIMES))
    assert np.linalg.norm(direction(seen) - expected, axis=-1).max() * 206265 < 0.001
    assert np.isinf(seen["distance"]).all() != name.startswith("near")


def test_a_star_without_an_epoch_and_several_stars_are_refused() -> None:
    moving = SkyCoord(1 * u.deg, 2 * u.deg, pm_ra_cosdec=1 * u.mas / u.yr, pm_dec=1 * u.mas / u.yr)
    with pytest.raises(IlrsError, match="needs an obstime"):
        altaz(moving, SITE, TIMES, scale="tai")
    with pytest.raises(IlrsError, match=r"shape \(2,\); expected one direction"):
        altaz(SkyCoord([1, 2] * u.deg, [3, 4] * u.deg), SITE, TIMES, scale="tai")


def test_another_station_stands_on_the_horizon_side_of_the_chord() -> None:
    here, north, east = (
        Site(name, lon=lon, lat=lat, height=0, frame="MOON_ME")
        for name, lon, lat in (("a", 10, 0), ("b", 10, 2), ("c", 12, 0))
    )
    for target, azimuth in ((north, 0), (east, 90)):
        seen = altaz(target, here, TIMES, scale="tai")
        assert np.abs(seen["alt"] + 1).max() < 0.002
        assert np.abs(turned(seen["az"] - azimuth)).max() < 0.002
        assert np.abs(seen["distance"] - 2 * 1737.4 * np.sin(np.deg2rad(1))).max() < 0.01
        assert seen.attrs["target"] == target.name


def test_the_earth_hangs_over_the_near_side_and_over_the_point_below_it() -> None:
    below = subpoint("earth", TIMES, scale="tai")
    assert np.abs(below["lon"]).max() < 8.2
    assert np.abs(below["lat"]).max() < 7
    for when, lon, lat in zip(TIMES[:5], below["lon"].values, below["lat"].values, strict=False):
        assert altaz("earth", Site("s", lon, lat, 0, "MOON_ME"), when, scale="tai")["alt"] > 89.99
        assert altaz("earth", Site("s", lon + 180, -lat, 0, "MOON_ME"), when, scale="tai")["alt"] < -89.99


@pytest.mark.parametrize("body", [name for name in BODIES if name != "moon"])
def test_every_body_is_overhead_at_its_point_below(body: str) -> None:
    below = subpoint(body, TIMES[3], scale="tai")
    site = Site("s", float(below["lon"]), float(below["lat"]), 0, "MOON_ME")
    seen = altaz(body, site, TIMES[3], scale="tai")
    assert seen["alt"] > 89.999
    assert abs(below["distance"] - seen["distance"] - 1737.4) < 0.5


def test_libration_and_point_below_the_earth_differ_by_some_arcseconds_of_definition() -> None:
    seen, defined = subpoint("earth", TIMES, scale="tai"), libration(TIMES, scale="tai")
    apart = np.hypot(turned(seen["lon"] - defined["lon"]), seen["lat"] - defined["lat"]) * 3600
    assert 12 < apart.max() < 25
    assert np.abs(defined["distance"] - seen["distance"]).max() < 120
    assert "Horizons" in defined.attrs["definition"]
    assert "apparent" in seen.attrs["definition"]


def test_results_say_units_frames_and_what_they_were_made_with() -> None:
    seen = altaz("earth", SITE, TIMES, scale="tai")
    assert {name: seen[name].attrs["units"] for name in seen} == {"alt": "degree", "az": "degree", "distance": "km"}
    assert (seen.attrs["target"], seen.attrs["site"]) == ("earth", "plain")
    assert seen.attrs["frame"] == "ENU at plain (MOON_ME)"
    for found in (seen, subpoint("sun", TIMES, scale="tai"), libration(TIMES, scale="tai")):
        assert found.sizes == {"time": len(TIMES)}
        assert found.attrs["ephemeris"] == default_ephemeris().name
        assert found["tai"].attrs["time_scale"] == "TAI"
        assert np.array_equal(found["tai"], TIMES)
        assert found["time"].attrs["time_scale"] == "UTC"
        assert np.array_equal(found["time"].astype("i8"), convert(TIMES, "tai", "utc").astype("i8"))
        assert set(found) <= {"alt", "az", "lon", "lat", "distance"}
    assert subpoint("sun", TIMES, scale="tai").attrs["frame"] == "MOON_ME"
    assert subpoint("sun", TIMES, scale="tai")["lon"].attrs["standard_name"] == "longitude"


def test_times_of_any_shape_and_kind_are_answered_in_kind() -> None:
    texts = ["2031-03-01T00:00:00Z", "2031-03-02T00:00:00Z"]
    expected = altaz("sun", SITE, texts)
    utc = np.array(["2031-03-01", "2031-03-02"], "M8[ns]")
    labelled = xr.DataArray(convert(utc, "utc", "tai"), {"row": ("x", [7, 8])}, ("x",), attrs={"time_scale": "TAI"})
    with pytest.warns(erfa.ErfaWarning, match="dubious year"):
        by_astropy = Time(["2031-03-01", "2031-03-02"], scale="utc").tai
    for time, scale in ((utc, "utc"), (by_astropy, None), (labelled, None)):
        assert np.allclose(altaz("sun", SITE, time, scale=scale)["alt"].values, expected["alt"].values, atol=1e-9)
    found = altaz("sun", SITE, labelled)
    assert found["alt"].dims == ("x",)
    assert list(found["row"].values) == [7, 8]
    assert altaz("sun", SITE, texts[0])["alt"].shape == ()
    assert altaz("sun", SITE, np.array([texts] * 3))["alt"].shape == (3, 2)
    assert altaz("sun", SITE, np.array([], "M8[ns]"), scale="utc")["alt"].shape == (0,)
    assert libration(np.empty((0, 2), "M8[ns]"), scale="utc")["lat"].shape == (0, 2)


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("'Sun'; known are sun, mercury, venus, earth, .*a Site", lambda: altaz("Sun", SITE, "2031-03-01")),
        ("'ceres'; known are sun, mercury", lambda: subpoint("ceres", "2031-03-01")),
        ("frame 'unknown'; a place .* MOON_ME, MOON_PA", lambda: altaz("sun", Site("s", 1, 2, 3), "2031-03-01")),
        ("frame 'GSE'", lambda: altaz("sun", Site("s", 1, 2, 3, "GSE"), "2031-03-01")),
        ("lat, height unknown", lambda: altaz("sun", Site("s", 1, frame="MOON_ME"), "2031-03-01")),
        ("not on the ground", lambda: altaz("sun", Site("s", 1, 2, 1e6, "MOON_ME"), "2031-03-01")),
        ("no time scale", lambda: altaz("sun", SITE, TIMES)),
        ("NaT", lambda: altaz("sun", SITE, np.array(["NaT"], "M8[ns]"), scale="utc")),
        ("NaN", lambda: subpoint("sun", np.array([np.nan]), scale="utc")),
        ("not a UTC time", lambda: libration("yesterday")),
    ],
)
def test_what_cannot_be_seen_is_refused_with_what_can(message: str, call: Any) -> None:
    with pytest.raises(IlrsError, match=message):
        call()
