from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spiceypy
from hypothesis import given
from hypothesis import strategies as st

from ilrs_science.errors import FormatError, IlrsError
from ilrs_science.geometry import Ephemeris, Orbit, Site, altaz, convert, position, rotation, to_geodetic
from ilrs_science.geometry.surface import MOON_FRAMES

START = np.datetime64("2031-03-01T00:00:00", "ns")
TIMES = START + np.arange(0, 36_000, 97) * np.timedelta64(1, "s")
"""TDB; well inside the tables and kernels below."""
lons, lats, heights = st.floats(-180, 180, exclude_max=True), st.floats(-90, 90), st.floats(-9000, 10_000)


def circle(seconds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return km and km/s on a circle of 1838 km, once around in two hours."""
    rate = 2 * np.pi / 7200
    c, s = np.cos(rate * seconds), np.sin(rate * seconds)
    return 1838 * np.stack([c, 0.6 * s, 0.8 * s], -1), 1838 * rate * np.stack([-s, 0.6 * c, 0.8 * c], -1)


def seconds(times: np.ndarray) -> np.ndarray:
    return (times - START) / np.timedelta64(1, "s")


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., Site]:
    """Return a function that writes positions every minute and returns the orbiter that has them."""

    def written(
        *,
        speeds: bool = False,
        frame: str = "ICRS",
        origin: str = "moon",
        scale: str = "tdb",
        edit: tuple[str, str] = ("", ""),
    ) -> Site:
        times = START + np.arange(-60, 661) * np.timedelta64(60, "s")
        x, v = circle(seconds(times))
        names = ["x", "y", "z", *(["vx", "vy", "vz"] if speeds else [])]
        units = ["km"] * 3 + ["km/s"] * 3
        columns = "".join(
            f"# - {{name: {name}, unit: {unit}, datatype: float64}}\n" for name, unit in zip(names, units, strict=False)
        )
        rows = np.concatenate([x, v] if speeds else [x], axis=-1)
        lines = [f"{str(t)[:19]} {' '.join(map(repr, row))}" for t, row in zip(times, rows.tolist(), strict=True)]
        text = (
            "# %ECSV 1.0\n# ---\n# datatype:\n# - {name: time, datatype: string}\n"
            f"{columns}# meta: {{frame: {frame}, origin: {origin}, scale: {scale}}}\n# schema: astropy-2.0\n"
            f"time {' '.join(names)}\n" + "\n".join(lines) + "\n"
        )
        path = tmp_path / "orbit.ecsv"
        path.write_text(text.replace(*edit) if edit[0] else text)
        return Site("orbiter", kind="orbiter", orbit=str(path))

    return written


@given(lons, lats, heights, st.sampled_from(MOON_FRAMES))
def test_coordinates_come_back_from_positions(lon: float, lat: float, height: float, frame: str) -> None:
    time = "2031-03-01T00:00:00Z"
    there = position(Site("s", lon=lon, lat=lat, height=height, frame=frame), time, frame)
    back = to_geodetic(there)  # the numbers of another frame, read as MOON_ME, are those that went in
    assert abs(back.lat - lat) < 1e-8
    assert abs(back.height - height) < 1e-4
    assert abs((back.lon - lon + 180) % 360 - 180) * np.cos(np.deg2rad(lat)) < 1e-8
    assert -180 <= back.lon < 180
    found = to_geodetic(there, frame)
    truly = to_geodetic(position(Site("s", lon=lon, lat=lat, height=height, frame=frame), time, "MOON_ME"))
    assert np.allclose(found[1:], truly[1:], atol=1e-4)
    assert abs((found.lon - truly.lon + 180) % 360 - 180) * np.cos(np.deg2rad(found.lat)) < 1e-8


@pytest.mark.parametrize(("lon", "lat"), [(0, 0), (180, 0), (0, 90), (0, -89.9), (23.5, 0.7), (-3, 26)])
def test_the_two_frames_are_600_to_900_metres_apart_on_the_ground(lon: float, lat: float) -> None:
    site = Site("s", lon=lon, lat=lat, height=0, frame="MOON_ME")
    me, pa = (position(replace(site, frame=name), START, "MOON_ME", scale="tai") for name in ("MOON_ME", "MOON_PA"))
    assert 0.6 < np.linalg.norm(me - pa) < 0.9


def test_the_principal_axes_of_two_ephemerides_are_a_metre_apart() -> None:
    a, b = (
        position(Site("s", lon=10, lat=20, height=0, frame=name), START, "MOON_ME", scale="tai")
        for name in ("MOON_PA_DE421", "MOON_PA_DE440")
    )
    assert 0.0005 < np.linalg.norm(a - b) < 0.002
    assert np.array_equal(to_geodetic(a, "MOON_PA"), to_geodetic(a, "MOON_PA_DE421"))


def test_geodetic_coordinates_of_many_positions_at_once() -> None:
    found = to_geodetic([[[1737.4, 0, 0], [0, 1737.4, 0]], [[-1738.4, 0, 0], [0, 0, -1736.4]]])
    assert np.allclose(found.lon, [[0, 90], [-180, 0]])
    assert np.allclose(found.lat, [[0, 0], [0, -90]])
    assert np.allclose(found.height, [[0, 0], [1000, -1000]])
    assert to_geodetic(np.empty((0, 3))).lon.shape == (0,)


def test_positions_from_two_origins_differ_by_the_way_between_them() -> None:
    for body in ("sun", "mars", Site("s", lon=10, lat=20, height=0, frame="MOON_ME")):
        moon, earth, ssb = (position(body, TIMES, "GSE", origin, scale="tdb") for origin in ("moon", "earth", "ssb"))  # type: ignore[arg-type]
        between = position("moon", TIMES, "GSE", "earth", scale="tdb")
        assert np.allclose(earth - moon, between, atol=1e-4)
        assert np.allclose(ssb - earth, position("earth", TIMES, "GSE", "ssb", scale="tdb"), atol=1e-4)


def test_a_station_turns_with_the_moon_and_stays_where_it_is_in_its_own_frame() -> None:
    site = Site("s", lon=-137.3, lat=-89.4, height=1000, frame="MOON_ME")
    fixed = position(site, TIMES, "MOON_ME", scale="tdb")
    assert np.ptp(fixed, axis=0).max() < 1e-6
    assert np.allclose(np.linalg.norm(position(site, TIMES, "ICRS", scale="tdb"), axis=-1), 1738.4, atol=1e-6)
    up = position(site, TIMES, "ENU", scale="tdb", site=site)
    assert np.allclose(up, [0, 0, 1738.4], atol=1e-6)


@pytest.mark.parametrize("speeds", [True, False])
def test_an_orbit_follows_the_circle_that_its_table_samples(table: Callable[..., Site], speeds: bool) -> None:
    found = position(table(speeds=speeds), TIMES, scale="tdb")
    assert np.abs(found - circle(seconds(TIMES))[0]).max() < 5e-5  # (rate step)^4 radius / 384


@pytest.mark.parametrize("frame", ["MOON_ME", "MOON_PA", "GSE"])
@pytest.mark.parametrize("origin", ["moon", "earth", "ssb"])
def test_a_table_is_read_in_its_own_frame_origin_and_scale(table: Callable[..., Site], frame: str, origin: Any) -> None:
    x = circle(seconds(TIMES))[0]
    for scale in ("utc", "tai", "tdb"):
        site = table(frame=frame, origin=origin, scale=scale)
        assert np.abs(position(site, TIMES, frame, origin, scale=scale) - x).max() < 2e-3
        away = position(site, TIMES, "ICRS", "ssb", scale=scale)
        place = position(site, TIMES, frame, origin, scale=scale)
        turned = np.einsum("tij,tj->ti", rotation(frame, "ICRS", TIMES, scale=scale), place)
        body = 0 if origin == "ssb" else position(origin, TIMES, "ICRS", "ssb", scale=scale)
        assert np.abs(away - turned - body).max() < 2e-5


def test_an_orbit_is_not_known_outside_its_table(table: Callable[..., Site]) -> None:
    site = table()
    for hours in (-2, 12):
        with pytest.raises(IlrsError, match=r"outside 2031-02-28T22:59:27 to 2031-03-01T10:59:27 TAI"):
            position(site, START + np.timedelta64(hours, "h"), scale="tdb")


def test_a_table_that_changes_is_read_again(table: Callable[..., Site]) -> None:
    site = table()
    before = position(site, START, scale="tdb")
    Path(str(site.orbit)).write_text(Path(str(site.orbit)).read_text().replace(" 1838.0 ", " 1900.0 "))
    assert position(site, START, scale="tdb")[0] - before[0] == 62


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (("# %ECSV 1.0\n", ""), "not a table of positions"),
        (("name: x, unit: km,", "name: x, unit: s,"), "not convertible"),
        (("name: x, unit: km,", "name: x,"), "not convertible"),
        ((" x y z\n", " x y\n"), "not a table of positions"),
        (("meta: {frame: ICRS, ", "meta: {"), "KeyError.'frame'"),
        (("frame: ICRS", "frame: GEI"), "frame 'GEI'"),
        (("frame: ICRS", "frame: ENU"), "frame 'ENU'"),
        (("origin: moon", "origin: mars"), "origin 'mars', known are moon, earth, ssb"),
        (("scale: tdb", "scale: lmst"), "unknown time scale 'lmst'; known are utc, tai"),
        (("2031-03-01T00:01:00 ", "2031-03-01T00:00:00 "), "times that do not increase"),
        (("2031-03-01T00:00:00 ", "2031-03-01T00:99:00 "), "is not a time in tdb"),
        ((" 1838.0 ", " nan "), "a value that is not a number"),
        ((" 1838.0 ", " far "), "not a table of positions"),
    ],
)
def test_a_malformed_table_is_refused_with_its_path(
    table: Callable[..., Site], edit: tuple[str, str], message: str
) -> None:
    site = table(edit=edit)
    with pytest.raises(FormatError, match=message) as refusal:
        position(site, START, scale="tdb")
    assert str(site.orbit) in str(refusal.value)


def test_a_table_that_is_no_text_or_too_short_is_refused(tmp_path: Path, table: Callable[..., Site]) -> None:
    (tmp_path / "noise").write_bytes(bytes(range(128, 256)))
    for path in (tmp_path / "noise", tmp_path / "none", tmp_path):
        with pytest.raises(FormatError, match=str(path)):
            Orbit.from_table(path)
    site = table()
    lines = Path(str(site.orbit)).read_text().splitlines()
    Path(str(site.orbit)).write_text("\n".join(lines[: lines.index("time x y z") + 4]))
    with pytest.raises(FormatError, match="fewer than 4"):
        Orbit.from_table(str(site.orbit))


@pytest.fixture
def spk(tmp_path: Path) -> Callable[..., str]:
    """Return a function that writes the circle as Chebyshev series of ten minutes (type 2) of body -555."""

    def written(centre: int = 301) -> str:
        span, count, terms = 600, 66, 12
        epoch = (START - np.datetime64("2000-01-01T12:00:00")) / np.timedelta64(1, "s") - 3600
        nodes = np.polynomial.chebyshev.chebpts1(terms)
        places = [circle(-3600 + span * (number + 0.5 + nodes / 2))[0] for number in range(count)]
        records = np.concatenate([np.polynomial.chebyshev.chebfit(nodes, x, terms - 1).T.ravel() for x in places])
        path = tmp_path / f"circle-{centre}.bsp"
        handle = spiceypy.spkopn(str(path), "circle", 0)
        last = epoch + span * count
        spiceypy.spkw02(handle, -555, centre, "J2000", epoch, last, "circle", span, count, terms - 1, records, epoch)
        spiceypy.spkcls(handle)
        return f"{path}#-555"

    return written


@pytest.mark.parametrize(("centre", "origin"), [(301, "moon"), (399, "earth"), (0, "ssb")])
def test_an_orbit_from_a_kernel_follows_its_circle(spk: Callable[..., str], centre: int, origin: Any) -> None:
    site = Site("orbiter", orbit=spk(centre))
    found = position(site, TIMES, "ICRS", origin, scale="tdb")
    assert np.abs(found - circle(seconds(TIMES))[0]).max() < 1e-6
    assert position(site, TIMES[0], "ICRS", origin, scale="tdb").shape == (3,)


def test_an_orbit_is_not_known_outside_its_kernel(spk: Callable[..., str]) -> None:
    site = Site("orbiter", orbit=spk())
    for hours in (-2, 11):
        with pytest.raises(IlrsError, match=r"circle-301.bsp has -555 from JD 2462926.4.* a time lies outside"):
            position(site, START + np.timedelta64(hours, "h"), scale="tdb")


def test_a_kernel_without_the_body_or_from_a_strange_centre_is_refused(spk: Callable[..., str]) -> None:
    path = spk().removesuffix("#-555")
    with pytest.raises(IlrsError, match="has no body -556; it has -555"):
        position(Site("orbiter", orbit=f"{path}#-556"), START, scale="tdb")
    with pytest.raises(IlrsError, match="from body 499; expected one of"):
        position(Site("orbiter", orbit=spk(499)), START, scale="tdb")
    with pytest.raises(IlrsError, match=r"none\.bsp: no kernel"):
        position(Site("orbiter", orbit="none.bsp#-5"), START, scale="tdb")


def test_an_orbiter_stands_in_the_sky_where_its_light_comes_from(
    spk: Callable[..., str], table: Callable[..., Site]
) -> None:
    station = Site("s", lon=0, lat=0, height=0, frame="MOON_ME")
    orbiter = Site("orbiter", orbit=spk())
    from_kernel = altaz(orbiter, station, TIMES, scale="tdb")
    from_table = altaz(table(speeds=True), station, TIMES, scale="tdb")
    for name in ("alt", "az", "distance"):
        assert np.abs(from_kernel[name] - from_table[name]).max() < 5e-5
    way = position(orbiter, TIMES, "ENU", scale="tdb", site=station) - [0, 0, 1737.4]
    apart = np.linalg.norm(way, axis=-1)
    assert np.abs(from_kernel["distance"] - apart).max() < 0.4  # the Moon goes 30 km/s meanwhile
    assert np.abs(from_kernel["alt"] - np.rad2deg(np.arcsin(way[:, 2] / apart))).max() < 0.001
    assert from_kernel.attrs["target"] == "orbiter"


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("'ceres'; known are sun, .*, or a Site", lambda: position("ceres", START, scale="tai")),
        ("'mars'; known are moon, earth, ssb", lambda: position("sun", START, "ICRS", "mars", scale="tai")),  # type: ignore[arg-type]
        ("'GEI'; known are ICRS", lambda: position("sun", START, "GEI", scale="tai")),
        ("no time scale", lambda: position("sun", START)),
        ("'GSE' is no body-fixed frame of the Moon; those are MOON_ME", lambda: to_geodetic([1, 2, 3], "GSE")),
        (r"shape \(2,\); expected \(..., 3\)", lambda: to_geodetic([1, 2])),
        ("frame 'unknown'; .* MOON_ME, MOON_PA", lambda: position(Site("s", 0, 0, 0), START, scale="tai")),
        ("frame 'ITRS'", lambda: position(Site("s", 0, 0, 0, "ITRS"), START, scale="tai")),
        ("lon, height unknown; give", lambda: position(Site("s", lat=0, frame="MOON_ME"), START, scale="tai")),
        (
            "1000000.0 m is not on the ground; heights are -10000 to 12000",
            lambda: position(Site("s", 0, 0, 1e6, "MOON_ME"), START, scale="tai"),
        ),
        ("-20000 m is not on the ground", lambda: position(Site("s", 0, 0, -20_000, "MOON_ME"), START, scale="tai")),
    ],
)
def test_what_has_no_place_is_refused_with_what_has(message: str, call: Callable[[], Any]) -> None:
    with pytest.raises(IlrsError, match=message):
        call()


def test_positions_without_kernels_are_near_those_with() -> None:
    earth = position("earth", TIMES, "MOON_ME", scale="tdb")
    assert 0.01 < np.abs(position("earth", TIMES, "MOON_ME", scale="tdb", ephemeris=Ephemeris()) - earth).max() < 50
    assert position("sun", convert(START, "tdb", "tai"), scale="tai").shape == (3,)
