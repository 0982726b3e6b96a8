"""Directions, frames and places on 200 random epochs against SPICE, a second program, and published numbers."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import ppigrf
import pytest
import spiceypy
import xarray as xr
from skyfield.api import Loader
from skyfield.jpllib import SpiceKernel
from skyfield.planetarylib import PlanetaryConstants

from ilrs_science.geometry import Site, altaz, default_ephemeris, position, rotation, subpoint
from ilrs_science.geometry.earth import _DIPOLE

ARCSEC = 3600 * 180 / np.pi
FROM_J2000 = np.random.default_rng(20).integers(-25 * 31_557_600, 45 * 31_557_600, 200) * 10**9 + 123_456_789
"""Nanoseconds of TDB since J2000: 1975 to 2045."""
TIMES = np.datetime64("2000-01-01T12:00:00", "ns") + FROM_J2000.astype("timedelta64[ns]")
SECONDS = (FROM_J2000 / 1e9).tolist()
SITE = Site("plain", lon=33.3, lat=-41.7, height=1500, frame="MOON_ME")

TWO_VECTOR = """
\\begindata
FRAME_{name} = {number}
FRAME_{number}_NAME = '{name}'
FRAME_{number}_CLASS = 5
FRAME_{number}_CLASS_ID = {number}
FRAME_{number}_CENTER = 399
FRAME_{number}_RELATIVE = 'J2000'
FRAME_{number}_DEF_STYLE = 'PARAMETERIZED'
FRAME_{number}_FAMILY = 'TWO-VECTOR'
FRAME_{number}_PRI_AXIS = 'X'
FRAME_{number}_PRI_VECTOR_DEF = 'OBSERVER_TARGET_POSITION'
FRAME_{number}_PRI_OBSERVER = '{observer}'
FRAME_{number}_PRI_TARGET = 'SUN'
FRAME_{number}_PRI_ABCORR = 'NONE'
FRAME_{number}_SEC_AXIS = 'Z'
FRAME_{number}_SEC_VECTOR_DEF = 'CONSTANT'
FRAME_{number}_SEC_SPEC = 'RECTANGULAR'
FRAME_{number}_SEC_VECTOR = ( 0, 0, 1 )
FRAME_{number}_SEC_FRAME = 'ECLIPDATE'
"""
ECLIPTIC_OF_DATE = """KPL/FK
\\begindata
FRAME_ECLIPDATE = 1900100
FRAME_1900100_NAME = 'ECLIPDATE'
FRAME_1900100_CLASS = 5
FRAME_1900100_CLASS_ID = 1900100
FRAME_1900100_CENTER = 399
FRAME_1900100_RELATIVE = 'J2000'
FRAME_1900100_DEF_STYLE = 'PARAMETERIZED'
FRAME_1900100_FAMILY = 'MEAN_ECLIPTIC_AND_EQUINOX_OF_DATE'
FRAME_1900100_PREC_MODEL = 'EARTH_IAU_1976'
FRAME_1900100_OBLIQ_MODEL = 'EARTH_IAU_1980'
FRAME_1900100_ROTATION_STATE = 'ROTATING'
"""


def lunarsky() -> Path:
    """Return the folder of the package without importing it: it changes astropy's frames."""
    spec = find_spec("lunarsky")
    assert spec is not None
    return Path((spec.submodule_search_locations or [])[0])


@pytest.fixture(scope="module", autouse=True)
def _kernels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    frames = tmp_path_factory.mktemp("spice") / "frames.tf"
    own = [
        TWO_VECTOR.format(name=n, number=i, observer=o) for n, i, o in (("GSE", 1900101, 399), ("SSE", 1900102, 301))
    ]
    frames.write_text(ECLIPTIC_OF_DATE + "".join(own))
    fk = lunarsky() / "data" / "fk" / "satellites"
    used = default_ephemeris()
    spiceypy.kclear()
    for path in (used.spk, used.pck, fk / "moon_080317.tf", fk / "moon_assoc_me.tf", frames):
        spiceypy.furnsh(str(path))
    yield
    spiceypy.kclear()


def vectors(seen: xr.Dataset) -> np.ndarray:
    """Return the directions of altitudes and azimuths, in east, north and up."""
    alt, az = np.deg2rad(seen["alt"].values), np.deg2rad(seen["az"].values)
    return np.stack([np.cos(alt) * np.sin(az), np.cos(alt) * np.cos(az), np.sin(alt)], axis=-1)


def east_north_up(lon: float, lat: float) -> np.ndarray:
    """Return the rows of a place's own axes in the frame of its coordinates."""
    (sl, cl), (sb, cb) = ((np.sin(np.deg2rad(angle)), np.cos(np.deg2rad(angle))) for angle in (lon, lat))
    return np.array([[-sl, cl, 0], [-sb * cl, -sb * sl, cb], [cb * cl, cb * sl, sb]])


@pytest.mark.parametrize(
    ("body", "number", "correction", "km"),
    [
        ("sun", "SUN", "LT+S", 1e-5),
        ("earth", "EARTH", "LT+S", 0.005),  # one pass of light time
        ("sun", "SUN", "CN+S", 1e-5),
        ("earth", "EARTH", "CN+S", 1e-5),
        ("venus", "VENUS BARYCENTER", "CN+S", 1e-3),  # LT+S itself is 0.002 arcsec off: Venus moves as it shines
        ("jupiter", "JUPITER BARYCENTER", "LT+S", 0.2),
        ("jupiter", "JUPITER BARYCENTER", "CN+S", 1e-3),
    ],
)
def test_bodies_stand_within_a_thousandth_of_an_arcsecond_of_where_spice_sees_them(
    body: str, number: str, correction: str, km: float
) -> None:
    axes = east_north_up(33.3, -41.7)
    place = axes[2] * 1738.9
    seen = altaz(body, SITE, TIMES, scale="tdb")
    for direction, distance, et in zip(vectors(seen), seen["distance"].values, SECONDS, strict=True):
        state, _ = spiceypy.spkcpo(number, et, "MOON_ME", "OBSERVER", correction, place, "MOON", "MOON_ME")
        expected = axes @ state[:3]
        length = np.linalg.norm(expected)
        assert np.linalg.norm(direction - expected / length) * ARCSEC < 0.001
        assert abs(distance - length) < km


@pytest.mark.parametrize("body", ["sun", "earth"])
def test_points_below_bodies_are_those_of_spice_at_the_centre_of_the_moon(body: str) -> None:
    found = subpoint(body, TIMES, scale="tdb")
    for lon, lat, et in zip(found["lon"].values, found["lat"].values, SECONDS, strict=True):
        way, _ = spiceypy.spkpos(body, et, "MOON_ME", "LT+S", "MOON")
        _, there, up = spiceypy.recrad(way)
        assert abs((lon - np.rad2deg(there) + 180) % 360 - 180) * 3600 < 0.001
        assert abs(lat - np.rad2deg(up)) * 3600 < 0.001


@pytest.mark.parametrize(("frame", "name"), [("MOON_PA", "MOON_PA_DE421"), ("MOON_ME", "MOON_ME")])
def test_the_moon_is_turned_as_in_spice(frame: str, name: str) -> None:
    expected = [spiceypy.pxform("J2000", name, et) for et in SECONDS]
    assert np.abs(rotation("ICRS", frame, TIMES, scale="tdb") - expected).max() < 2e-12


@pytest.mark.parametrize("frame", ["GSE", "SSE"])
def test_frames_of_the_sun_are_those_of_two_vectors_in_spice(frame: str) -> None:
    expected = [spiceypy.pxform("J2000", frame, et) for et in SECONDS]
    assert np.linalg.norm(rotation("ICRS", frame, TIMES, scale="tdb") - expected, axis=-1).max() * ARCSEC < 0.05


@pytest.mark.parametrize("body", ["sun", "earth", "moon", "venus", "jupiter"])
@pytest.mark.parametrize(("origin", "centre"), [("moon", "MOON"), ("earth", "EARTH"), ("ssb", "SSB")])
@pytest.mark.parametrize(("frame", "name"), [("ICRS", "J2000"), ("MOON_ME", "MOON_ME"), ("MOON_PA", "MOON_PA_DE421")])
def test_geometric_positions_are_those_of_spice(body: str, origin: str, centre: str, frame: str, name: str) -> None:
    number = {"venus": "VENUS BARYCENTER", "jupiter": "JUPITER BARYCENTER"}.get(body, body)
    expected = [spiceypy.spkpos(number, et, name, "NONE", centre)[0] for et in SECONDS[:50]]
    found = position(body, TIMES[:50], frame, origin, scale="tdb")  # type: ignore[arg-type]
    assert np.linalg.norm(found - expected, axis=-1).max() < 1e-3 + 4e-12 * np.abs(expected).max()


@pytest.mark.filterwarnings("ignore:Setting the shape on a NumPy array:DeprecationWarning")  # in skyfield
def test_sun_and_earth_stand_where_skyfield_sees_them(tmp_path: Path) -> None:
    constants = PlanetaryConstants()
    used = default_ephemeris()
    with (lunarsky() / "data" / "fk" / "satellites" / "moon_080317.tf").open("rb") as frames:
        constants.read_text(frames)
    constants.variables["BODY301_RADII"] = [1737.4] * 3
    day = 86400 * 10**9
    with Path(used.pck).open("rb") as orientation:
        constants.read_binary(orientation)
        kernel = SpiceKernel(used.spk)
        me = constants.build_frame_named("MOON_ME_DE421")
        place = kernel["moon"] + constants.build_latlon_degrees(me, -41.7, 33.3, elevation_m=1500)
        scale = Loader(str(tmp_path), verbose=False).timescale(builtin=True)
        there = place.at(scale.tdb_jd(2451545.0 + FROM_J2000 // day, FROM_J2000 % day / day))
        for body in ("sun", "earth"):
            alt, az, distance = there.observe(kernel[body]).apparent().altaz()
            found = altaz(body, SITE, TIMES, scale="tdb")
            east = (found["az"].values - az.degrees + 180) % 360 - 180
            assert np.abs(found["alt"].values - alt.degrees).max() * 3600 < 1e-4
            assert np.abs(east * np.cos(alt.radians)).max() * 3600 < 1e-4
            assert np.abs(found["distance"].values - distance.km).max() < 1e-4
        kernel.close()


@pytest.mark.parametrize(
    ("time", "degrees"),
    [
        ("1996-02-03T04", 19.692487749974696),
        ("2001-06-21T16", -2.7482005197130923),
        ("2003-10-29T06", -23.685161134041188),
        ("2008-12-31T23", 15.489535731178806),
        ("2013-05-17T11", 3.0058722655033656),
        ("2017-09-07T23", -13.201317032878308),
        ("2020-01-01T00", 14.306341179129358),
        ("2022-03-20T17", 23.5074793111063),
        ("2024-05-11T02", 21.558813171034643),
        ("2024-12-01T08", -16.536367242212968),
        ("2025-06-01T20", 15.510357396224913),
        ("2026-03-03T12", 13.6005443522203),
    ],
)
def test_gsm_is_turned_from_gse_as_pyspedas_has_it(time: str, degrees: float) -> None:
    """Made with pyspedas 2.2.1, `subgse2gsm`."""
    turned = rotation("GSE", "GSM", f"{time}:00:00Z")
    assert abs(np.rad2deg(np.arctan2(turned[2, 1], turned[1, 1])) - degrees) < 0.005
    assert np.allclose(turned[0], [1, 0, 0], atol=1e-15)


def test_the_dipole_is_that_of_igrf_14() -> None:
    lines = (Path(ppigrf.__file__).parent / "IGRF14.shc").read_text().splitlines()
    rows = {tuple(line.split()[:2]): line.split()[2:] for line in lines if line.startswith(" ")}
    years = next(line.split() for line in lines if line.split()[0] == "1900.0")
    expected = [years, rows["1", "0"], rows["1", "1"], rows["1", "-1"]]
    assert np.array_equal(_DIPOLE, np.array(expected, float).T)
