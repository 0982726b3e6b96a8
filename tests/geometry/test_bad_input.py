"""What is no place, time, target, horizon or kernel is refused by name; nothing is guessed and nothing escapes raw."""

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.table import QTable, Table
from astropy.time import Time

from ilrs_science import Site, geometry
from ilrs_science.errors import FormatError, IlrsError

SITE = Site("station", lon=10.0, lat=-80.0, height=0.0, frame="MOON_ME")
WHEN = "2031-03-01T00:00:00Z"
TIMES = np.datetime64("2031-03-01", "ns") + np.arange(4) * np.timedelta64(60, "s")


def vectors(**coordinates: Any) -> xr.DataArray:
    values = np.arange(12, dtype="f4").reshape(4, 3)
    return xr.DataArray(values, dims=("time", "axis"), coords=coordinates, name="b", attrs={"units": "nT"})


def labelled() -> xr.DataArray:
    return vectors(time=("time", TIMES, {"time_scale": "TAI", "standard_name": "time"}))


def test_labelled_vectors_keep_their_name_units_and_times_and_go_there_and_back() -> None:
    turned = geometry.transform(labelled(), "ICRS", "GSE")
    assert turned.name == "b"
    assert turned.attrs["units"] == "nT"
    assert turned["time"].identical(labelled()["time"])
    back = geometry.transform(turned, "GSE", "ICRS")
    np.testing.assert_allclose(back, labelled(), atol=2e-6)


def test_vectors_without_times_are_not_taken_to_1970() -> None:
    with pytest.raises(IlrsError, match="no coordinate time"):
        geometry.transform(vectors(), "ICRS", "GSE", scale="tai")


@pytest.mark.parametrize(
    ("given", "more", "reason"),
    [
        (vectors(), {"time": TIMES[:3], "scale": "tai"}, "times along {'time': 3} do not fit vectors"),
        (labelled().rename(time="sample"), {"time": TIMES, "scale": "tai"}, "do not fit vectors along {'sample': 4"),
        (labelled(), {"axis": "component"}, "no dimension 'component' of three components"),
        (np.full((4, 3), "x"), {"time": TIMES, "scale": "tai"}, "expected numbers"),
        (np.zeros((4, 2)), {"time": TIMES, "scale": "tai"}, r"shape \(4, 2\)"),
    ],
)
def test_vectors_that_do_not_fit_are_refused(given: Any, more: dict[str, Any], reason: str) -> None:
    with pytest.raises(IlrsError, match=reason):
        geometry.transform(given, "ICRS", "GSE", **more)


def test_a_mean_field_that_does_not_fit_is_refused() -> None:
    with pytest.raises(IlrsError, match=r"a mean field along {'axis': 2}; expected \(3,\)"):
        geometry.transform(labelled(), "GSE", "MFA", mean_field=np.zeros(2))


def test_components_in_several_chunks_are_turned_together() -> None:
    expected = geometry.transform(labelled(), "ICRS", "GSE")
    np.testing.assert_array_equal(geometry.transform(labelled().chunk(axis=1), "ICRS", "GSE"), expected)


@pytest.mark.parametrize("body", [5, None, "vulcan", object()])
def test_what_is_no_body_is_refused_with_those_that_are(body: Any) -> None:
    for look in (geometry.altaz, lambda target, site, time: geometry.position(target, time)):
        with pytest.raises(IlrsError, match="known are sun, mercury"):
            look(body, SITE, WHEN)


def test_a_place_has_no_direction_from_itself() -> None:
    with pytest.raises(IlrsError, match="station is where it is looked at from"):
        geometry.altaz(SITE, SITE, WHEN)
    with pytest.raises(IlrsError, match="moon is where it is looked at from"):
        geometry.subpoint("moon", WHEN)


def test_times_that_carry_coordinates_of_the_same_names_are_fine() -> None:
    time = labelled()["time"].assign_coords(lon=5.0, alt=7.0)
    assert set(geometry.subpoint("sun", time).data_vars) == {"lon", "lat", "distance"}
    assert set(geometry.altaz("sun", SITE, time).data_vars) == {"alt", "az", "distance"}


@pytest.mark.parametrize(
    "motion",
    [
        {"radial_velocity": 20 * units.km / units.s},
        {
            "pm_ra_cosdec": 0 * units.mas / units.yr,
            "pm_dec": 0 * units.mas / units.yr,
            "radial_velocity": 20 * units.km / units.s,
        },
    ],
)
def test_a_radial_velocity_without_a_distance_moves_nothing(motion: dict[str, Any]) -> None:
    still = SkyCoord(100 * units.deg, -60 * units.deg)
    moving = SkyCoord(100 * units.deg, -60 * units.deg, obstime=Time("J2000"), **motion)
    expected = geometry.altaz(still, SITE, WHEN)
    assert float(geometry.altaz(moving, SITE, WHEN).alt) == pytest.approx(float(expected.alt), abs=1e-12)


@pytest.mark.parametrize("horizon", ["high", [(0, 1), (2,)], [(0, 95)], [(0, float("nan"))], [], np.zeros((2, 3))])
def test_what_is_no_horizon_is_refused(horizon: Any) -> None:
    with pytest.raises(IlrsError, match="a horizon"):
        geometry.illumination(SITE, WHEN, horizon)


@pytest.mark.parametrize(
    "horizon", [[(0,)], 3.0, [(0, 95)], [(5, 0), (365, 0)], [(0, 0), (360, 1)], [(-181, 0)], [(0, float("nan"))]]
)
def test_a_site_with_what_is_no_horizon_is_refused(horizon: Any) -> None:
    with pytest.raises(IlrsError, match=r"'a': a horizon is pairs of azimuth"):
        Site("a", horizon=horizon)


def test_a_horizon_may_begin_anywhere_and_close_on_itself() -> None:
    assert Site("a", horizon=[(-90, 2), (0, 1), (90, 3), (270, 2)]).horizon == ((0, 1), (90, 3), (270, 2))
    assert Site("a", horizon=[(0, 1), (180, 3), (360, 1)]).horizon == ((0, 1), (180, 3))


def test_a_coordinate_that_is_no_number_is_refused() -> None:
    with pytest.raises(IlrsError, match="lon is '10'; expected degrees from -180 to 360"):
        Site("a", "10", 5, 5)  # type: ignore[arg-type]


def test_spans_and_steps_that_are_none_are_refused() -> None:
    with pytest.raises(IlrsError, match="expected one moment"):
        geometry.visibility("sun", SITE, [WHEN, WHEN], WHEN)
    with pytest.raises(IlrsError, match="a step of 'foo'"):
        geometry.visibility("sun", SITE, WHEN, "2031-03-02", step="foo")
    with pytest.raises(IlrsError, match="a step of 600"):
        geometry.visibility("sun", SITE, WHEN, "2031-03-02", step=600)  # type: ignore[arg-type]
    with pytest.raises(IlrsError, match="a step of 1 us makes 86400000000 samples"):
        geometry.visibility("sun", SITE, WHEN, "2031-03-02", step="1 us")
    with pytest.raises(IlrsError, match="expected one moment"):
        geometry.lunar_day(SITE, WHEN, since=[WHEN, WHEN])


@pytest.mark.parametrize("year", ["1700-01-01", "2250-01-01"])
def test_the_series_end_as_tables_do(year: str) -> None:
    with pytest.raises(IlrsError, match="the series cover 1900 to 2100"):
        geometry.rotation("ICRS", "MOON_ME", np.datetime64(year), scale="tai", ephemeris=geometry.Ephemeris())


@pytest.mark.parametrize("size", [100, 5_000, 100_000, 1_000_000])
@pytest.mark.parametrize("kind", ["spk", "pck"])
def test_a_kernel_cut_short_is_refused_by_name(tmp_path: Path, kind: str, size: int) -> None:
    whole = Path(getattr(geometry.default_ephemeris(), kind))
    cut = tmp_path / f"cut-{size}.kernel"
    cut.write_bytes(whole.read_bytes()[:size])
    ephemeris = geometry.Ephemeris(**{kind: str(cut)})
    with pytest.raises(IlrsError, match=f"cut-{size}.kernel"):
        geometry.altaz("sun", SITE, WHEN, ephemeris=ephemeris)


def table() -> Table:
    made = Table(
        {"time": [f"2031-03-01T0{h}:00:00" for h in range(5)]}, meta={"frame": "ICRS", "origin": "moon", "scale": "tai"}
    )
    for axis in "xyz":
        made[axis] = np.linspace(1800, 1900, 5) * units.km
    return made


def test_an_empty_cell_of_an_orbit_is_not_zero_kilometres(tmp_path: Path) -> None:
    made = Table(table(), masked=True)
    made["y"].mask = [False, False, True, False, False]
    made.write(tmp_path / "orbit.ecsv")
    with pytest.raises(FormatError, match="empty cells in y"):
        geometry.Orbit.from_table(tmp_path / "orbit.ecsv")


def test_velocities_come_in_threes_and_are_numbers(tmp_path: Path) -> None:
    made = table()
    made["vx"] = np.zeros(5) * units.km / units.s
    made.write(tmp_path / "one.ecsv")
    with pytest.raises(FormatError, match="1 components of the velocity"):
        geometry.Orbit.from_table(tmp_path / "one.ecsv")
    made["vy"], made["vz"] = made["vx"], np.full(5, np.nan) * units.km / units.s
    made.write(tmp_path / "nan.ecsv")
    with pytest.raises(FormatError, match="a value that is not a number"):
        geometry.Orbit.from_table(tmp_path / "nan.ecsv")


def test_a_table_may_have_astropy_times(tmp_path: Path) -> None:
    made = QTable(table())
    expected = made["time"].tolist()
    made["time"] = Time(expected, scale="tt")
    made.write(tmp_path / "orbit.ecsv")
    orbit = geometry.Orbit.from_table(tmp_path / "orbit.ecsv")
    np.testing.assert_array_equal(
        orbit.times, geometry.convert(np.array(expected, "datetime64[ns]"), "tt", "tai").astype("i8")
    )


@pytest.mark.parametrize("orbit", ["x.bsp#abc", "x.bsp#"])
def test_an_orbit_that_names_no_body_is_refused(orbit: str) -> None:
    with pytest.raises(IlrsError, match=r"expected file\.bsp#NAIF number"):
        geometry.position(Site("relay", kind="orbiter", orbit=orbit), WHEN)


def test_what_is_no_site_is_refused_with_where_sites_are() -> None:
    with pytest.raises(IlrsError, match=r"'apollo-15' is no site; give a Site, such as one of ilrs_science.sites\(\)"):
        geometry.altaz("sun", "apollo-15", WHEN)  # type: ignore[arg-type]


def test_what_is_no_ephemeris_is_refused() -> None:
    with pytest.raises(IlrsError, match="'de421' is no ephemeris"):
        geometry.altaz("sun", SITE, WHEN, ephemeris="de421")  # type: ignore[arg-type]


def test_lists_of_times_are_read_like_each_of_them_and_may_be_empty() -> None:
    text = ["2031-03-01T00:00:00Z", "2031-03-01T06:00:00Z"]
    expected = geometry.convert(text, "utc", "tai")
    moments = [datetime.fromisoformat(one) for one in text]
    np.testing.assert_array_equal(geometry.convert(moments, "utc", "tai"), expected)
    times = [Time(one.removesuffix("Z"), scale="tt") for one in text]
    alone = [float(geometry.altaz("sun", SITE, one).alt) for one in times]
    np.testing.assert_array_equal(geometry.altaz("sun", SITE, times).alt, alone)
    assert geometry.altaz("sun", SITE, []).sizes == {"time": 0}
    with pytest.raises(IlrsError, match="times in several scales: tai, tt"):
        geometry.altaz("sun", SITE, [times[0], Time("2031-03-01", scale="tai")])


def test_a_horizon_may_be_written_in_many_ways() -> None:
    altitudes = np.array([1.0, 2.0, -1.0, 0.0])
    pairs = [(0, 1.0), (90, 2.0), (180, -1.0), (270, 0.0)]
    by_azimuth = xr.DataArray(altitudes, coords={"azimuth": [0.0, 90.0, 180.0, 270.0]})
    for horizon in (pairs, altitudes, by_azimuth, np.array(pairs)):
        found = geometry.horizon_altitude(SITE, np.array([0.0, 45.0, 135.0, 315.0, 360.0]), horizon)
        np.testing.assert_allclose(found, [1.0, 1.5, 0.5, 0.5, 1.0])
