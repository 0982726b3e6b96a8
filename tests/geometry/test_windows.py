from typing import Any

import numpy as np
import pytest

from ilrs_science.errors import IlrsError
from ilrs_science.geometry import Ephemeris, Site, altaz, default_ephemeris, eclipses, parse_utc, visibility
from ilrs_science.geometry.day import Discs, horizon_altitude

SECOND = np.timedelta64(1, "s")
START, STOP = "2031-01-01T00:00:00Z", "2031-07-01T00:00:00Z"
MASK = [(0, 0.5), (90, 3.0), (180, 2.0), (270, -1.0)]


def at(lon: float, lat: float, height: float = 0.0, **more: Any) -> Site:
    return Site("s", lon=lon, lat=lat, height=height, frame="MOON_ME", **more)


def tai(text: str) -> np.datetime64:
    return np.datetime64(parse_utc(text), "ns")


@pytest.mark.parametrize(
    ("site", "horizon"),
    [(at(0, -89.9), None), (at(-137, -89.4, 1000), None), (at(85, 10), 1.5), (at(30, 88), MASK), (at(92, -3), None)],
)
def test_windows_begin_and_end_where_the_earth_passes_the_horizon(site: Site, horizon: Any) -> None:
    found = visibility("earth", site, START, STOP, horizon=horizon)
    assert found.sizes["window"] > 5
    edges = np.concatenate([found["start"], found["stop"]])
    inside = edges[(edges > tai(START)) & (edges < tai(STOP))]
    assert len(inside) >= 2 * found.sizes["window"] - 2
    seen = altaz("earth", site, inside, scale="tai")
    assert np.abs(seen["alt"] - horizon_altitude(site, seen["az"].values, horizon)).max() < 1e-7
    moments = np.arange(tai(START), tai(STOP), 3600 * SECOND)
    seen = altaz("earth", site, moments, scale="tai")
    up = seen["alt"].values > horizon_altitude(site, seen["az"].values, horizon)
    spans = zip(found["start"].values, found["stop"].values, strict=True)
    assert np.array_equal(up, np.any([(moments >= a) & (moments < b) for a, b in spans], axis=0))


def test_the_pole_sees_the_earth_for_a_fortnight_of_every_month() -> None:
    found = visibility("earth", at(0, -90), START, STOP)
    whole = found.isel(window=slice(1, -1))
    assert (np.abs(whole["duration"] / 24 - 13.6) < 1).all()
    months = np.diff(found["start"].values[1:]) / SECOND / 86400
    assert (np.abs(months - 27.3) < 0.7).all()
    assert ((whole["max_alt"] > 5) & (whole["max_alt"] < 7)).all()
    assert np.allclose(found["duration"], (found["stop"] - found["start"]) / np.timedelta64(1, "h"))


def test_the_near_side_always_sees_the_earth_and_the_far_side_never() -> None:
    always = visibility("earth", at(0, 0), START, STOP)
    assert always.sizes["window"] == 1
    assert (always["start"].item(), always["stop"].item()) == (parse_utc(START), parse_utc(STOP))
    never = visibility("earth", at(180, 0), START, STOP)
    assert never.sizes["window"] == 0
    assert set(never) == set(always) == {"start", "stop", "duration", "max_alt"}


def test_a_horizon_of_the_site_itself_shortens_its_windows() -> None:
    without, masked = (visibility("earth", at(0, -89.9, horizon=h), START, STOP) for h in ((), ((0, 3.0),)))
    assert 0 < float(masked["duration"].sum()) < 0.8 * float(without["duration"].sum())


def test_the_sun_over_the_equator_is_up_for_half_a_lunar_day() -> None:
    found = visibility("sun", at(50, 0), START, STOP, step="1 h")
    assert (np.abs(found["duration"].values[1:-1] / 24 - 29.53 / 2) < 0.3).all()


def test_windows_do_not_depend_on_the_step_that_finds_them() -> None:
    coarse, fine = (visibility("earth", at(0, -89.9), START, "2031-03-01", step=step) for step in ("6 h", "7 min"))
    for name in ("start", "stop"):
        assert np.abs(coarse[name] - fine[name]).max() <= np.timedelta64(2, "ms")


def test_windows_say_what_they_are_of() -> None:
    found = visibility("earth", at(0, -90), START, "2031-02-01")
    assert found["start"].attrs["time_scale"] == "TAI"
    assert found["stop"].attrs["time_scale"] == "TAI"
    assert (found["duration"].attrs["units"], found["max_alt"].attrs["units"]) == ("h", "degree")
    used = default_ephemeris()
    assert found.attrs == {"site": "s", "ephemeris": used.name, "accuracy": used.accuracy}
    again = visibility("earth", at(0, -90), START, "2031-02-01", step="2 h", ephemeris=Ephemeris())
    assert again.attrs["ephemeris"] == Ephemeris().name
    assert np.abs(again["stop"] - found["stop"]).max() < np.timedelta64(5, "m")


@pytest.mark.parametrize(
    ("month", "greatest", "minutes"),
    [
        ("2025-03", "2025-03-14T06:58:43Z", 65),
        ("2025-09", "2025-09-07T18:11:43Z", 82),
        ("2026-03", "2026-03-03T11:33:37Z", 58),
    ],
)
def test_total_eclipses_are_greatest_when_nasa_has_them(month: str, greatest: str, minutes: int) -> None:
    """NASA, Five Millennium Catalog of Lunar Eclipses (Espenak and Meeus), UT of greatest eclipse and totality."""
    first = np.datetime64(month, "M").astype("datetime64[ns]")
    found = eclipses(first, first + 30 * np.timedelta64(1, "D"), scale="utc")
    assert found.sizes == {"window": 1}
    assert abs(found["greatest"].values[0] - tai(greatest)) < 20 * SECOND
    assert found["obscuration"].values[0] == 1
    assert found["start"].values[0] < found["greatest"].values[0] < found["stop"].values[0]
    # The Moon's centre is in the full shadow for longer than all of the Moon is.
    around = found["greatest"].values[0] + np.array([-minutes // 2, 0, minutes // 2]) * 60 * SECOND
    assert np.allclose(Discs.seen(around.astype("M8[ns]").astype("i8"), None, default_ephemeris()).covered(), 1)


def test_eclipses_begin_and_end_where_the_discs_touch() -> None:
    found = eclipses("2020-01-01", "2031-01-01", step="30 min")
    for edge, sign in (("start", 1), ("stop", -1)):
        at_edge = found[edge].values.astype("i8")
        outside, inside = (
            Discs.seen(at_edge + s * sign * 10**10, None, default_ephemeris()).covered() for s in (-1, 1)
        )
        assert (outside == 0).all()
        assert ((inside > 0) & (inside < 0.01)).all()
    assert found.sizes["window"] == 24  # of NASA's 26, those of 2020-07-05 and 2027-07-18 miss the Moon's centre
    assert found["start"].attrs["time_scale"] == found["greatest"].attrs["time_scale"] == "TAI"


def test_there_is_no_eclipse_in_a_month_without_one() -> None:
    none = eclipses("2025-04-01", "2025-05-01")
    assert none.sizes == {"window": 0}
    assert set(none) == {"start", "stop", "duration", "greatest", "obscuration"}


def test_an_eclipse_reaches_places_of_the_moon_one_after_another() -> None:
    west, east, centre = (eclipses("2025-03-13", "2025-03-16", site) for site in (at(-80, 0), at(80, 0), None))
    assert west["start"].values[0] != east["start"].values[0]
    first, last = sorted([west["start"].values[0], east["start"].values[0]])
    assert first < centre["start"].values[0] < last
    assert centre.attrs["site"] == "centre of the Moon"
    assert west.attrs["site"] == "s"


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("expected a stop after the start", lambda: visibility("earth", at(0, 0), STOP, START)),
        ("expected a stop after the start", lambda: eclipses(START, START)),
        ("a step above 0", lambda: visibility("earth", at(0, 0), START, STOP, step="0 s")),
        ("'ceres'; known are sun", lambda: visibility("ceres", at(0, 0), START, STOP, step="10 d")),
        ("no time scale", lambda: eclipses(np.datetime64("2031-01-01"), np.datetime64("2031-02-01"))),
        ("frame 'unknown'", lambda: visibility("earth", Site("s", 0, 0, 0), START, STOP, step="10 d")),
        ("a horizon of", lambda: visibility("earth", at(0, 0), START, STOP, horizon=120, step="10 d")),
        ("moon_pa_de421", lambda: visibility("earth", at(0, 0), "2050-01-01", "2052-01-01", step="1 d")),
        ("de421.bsp", lambda: eclipses("2053-01-01", "2054-01-01", step="1 d")),
    ],
)
def test_spans_that_are_none_are_refused(message: str, call: Any) -> None:
    with pytest.raises(IlrsError, match=message):
        call()
