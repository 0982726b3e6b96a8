"""The public reference numbers of the lunar sky and of lunar places, each with its source and tolerance."""

import erfa
import numpy as np

from ilrs_science.geometry import Site, altaz, libration, position, rotation, subpoint, to_geodetic

J2000 = np.datetime64("2000-01-01T12:00:00", "ns")


def test_p01_the_earth_stands_where_the_worked_example_of_naif_has_it() -> None:
    """NAIF, moon_080317.tf: ET 259056665.1855896 s, DE421, geometric, published to 0.5 m."""
    time = J2000 + np.timedelta64(259_056_665_185_589_600, "ns")
    me, pa = (position("earth", time, frame, scale="tdb") for frame in ("MOON_ME", "MOON_PA"))
    assert np.abs(me - [379892.825, 33510.118, -12661.5278]).max() < 0.001
    assert np.abs(pa - [379908.634, 33385.003, -12516.8859]).max() < 0.001
    around = position("earth", time + np.array([-10, 10]) * np.timedelta64(1, "s"), "MOON_ME", scale="tdb")
    assert np.abs((around[1] - around[0]) / 20 - [0.0400357582, 0.0117963334, 0.115130508]).max() < 5e-8


def test_p02_the_principal_axes_of_de421_at_j2000_are_those_of_spice() -> None:
    """skyfield, tests/test_planetarylib.py, made with SPICE; JD(TDB) 2451545.0."""
    rows = [
        [0.7840447406961362, 0.5582359944893811, 0.2713787372716964],
        [-0.6203032939745002, 0.7203957219351799, 0.31024800934393754],
        [-0.02230847532023746, -0.41158544468183367, 0.9110981032001678],
    ]
    for name in ("MOON_PA", "MOON_PA_DE421"):
        assert np.abs(rotation("ICRS", name, J2000, scale="tdb") - rows).max() < 2e-13


def test_p03_sun_earth_and_distance_are_those_of_nasa_at_the_start_of_2024() -> None:
    """NASA SVS, Moon phase and libration 2024, first record; 0.0006 degrees and 1 km."""
    sun, earth = (subpoint(body, "2024-01-01T00:00:00Z") for body in ("sun", "earth"))
    assert np.abs([sun["lon"] + 55.867, sun["lat"] + 1.554]).max() < 0.0006
    assert np.abs([earth["lon"] - 0.041, earth["lat"] + 4.685]).max() < 0.0006
    assert abs(libration("2024-01-01T00:00:00Z")["distance"] - 404634) < 1


def test_p04_the_libration_is_that_of_jpl_horizons() -> None:
    """JPL Horizons (DE440) for 2025-03-01 UTC, quoted in rhannequin/astronoby; 0.1 arcsec with DE421."""
    found = libration("2025-03-01T00:00:00Z")
    assert abs(found["lon"] * 3600 + (2 * 3600 + 4 * 60 + 44.4396)) < 0.1
    assert abs(found["lat"] * 3600 - (27 * 60 + 27.7236)) < 0.1


def test_p05_the_libration_is_that_of_meeus_and_of_horizons() -> None:
    """Meeus, Astronomical Algorithms, example 53.a; his latitude refers to the mean lunar equator."""
    time = "1992-04-12T00:00:00"
    found = libration(time, scale="tt")
    assert abs(found["lon"] + 1.23) < 0.005
    assert abs(found["lat"] - 4.175) < 0.005
    assert abs(found["lat"] - 4.20) < 0.03
    of_date = erfa.pnm06a(2448724.5, 0.0)
    pole = of_date @ rotation("MOON_ME", "ICRS", time, scale="tt")[:, 2]
    x, y, z = of_date @ position("moon", time, "ICRS", "earth", scale="tt")
    along = np.array([-y, x, 0]) / np.hypot(x, y)
    up = np.cross([x, y, z], along) / np.linalg.norm([x, y, z])
    assert abs(np.rad2deg(np.arctan2(pole @ along, pole @ up)) - 15.08) < 0.01


def test_p06_the_reflector_of_apollo_15_stands_at_its_published_place() -> None:
    """LLR list in the principal axes of DE440 and its mean-Earth coordinates; Park et al. 2021, AJ 161, 105."""
    place = to_geodetic([1554.678104, 98.094498, 765.005863], "MOON_PA_DE440")
    assert abs(place.lat - 26.1334) < 0.0001
    assert abs(place.lon - 3.6285) < 0.0001
    assert abs(place.height + 1_737_400 - 1_735_477.026) < 0.001


def test_p10_the_sun_over_change_4_at_its_landing() -> None:
    """Site: Liu et al. 2019, Nat. Commun. 10:4229; angles: SPICE LT+S and another program; 0.0005 degrees."""
    site = Site("ce4", lon=177.5991, lat=-45.4446, height=-5935, frame="MOON_ME")
    sun = altaz("sun", site, "2019-01-03T02:26:00Z")
    assert abs(sun["alt"] - 31.50949) < 0.0005
    assert abs(sun["az"] - 50.70213) < 0.0005
