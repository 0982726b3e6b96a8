"""`cube.ilrs`: the sky above the sites and vectors in other frames, lazily; and the sites of the catalogue."""

import json
from dataclasses import asdict

import cloudpickle
import dask
import numpy as np
import pytest
import xarray as xr

import ilrs_science as ilrs
from ilrs_science import Site, geometry
from ilrs_science.errors import CubeError, IlrsError
from ilrs_science.geometry.labels import both_times

START = geometry.parse_utc("2031-03-01T00:00:00Z")
SITES = (
    Site("pole", lon=10.0, lat=-89.5, height=500.0, frame="MOON_ME"),
    Site("mare", lon=23.5, lat=0.7, height=-1900.0, frame="MOON_ME"),
)
TIMES = START + np.arange(600) * 10**9


def cube(*, lazy: bool = False, frame: str = "ENU", sites: tuple[Site, ...] = SITES) -> xr.Dataset:
    """Return a cube of vectors at sites, in chunks of 100 samples if lazy."""
    rng = np.random.default_rng(3)
    shape = (len(sites), len(TIMES), 3)
    made = xr.Dataset(
        {
            "b": (("site", "time", "axis"), rng.normal(0, 5, shape).astype("f4"), {"units": "nT", "frame": frame}),
            "b_uncertainty": (("site", "time", "axis"), np.full(shape, 0.05, "f4"), {"units": "nT"}),
        },
        {
            "site": [site.name for site in sites],
            **both_times(TIMES),
            "axis": ["x", "y", "z"],
        },
        {"ilrs_schema": json.dumps({"sites": [asdict(site) for site in sites]})},
    )
    return made.chunk(site=1, time=100) if lazy else made


@pytest.mark.parametrize("body", ["sun", "earth"])
def test_the_sky_of_a_lazy_cube_is_lazy_in_its_chunks_and_that_of_each_site(body: str) -> None:
    sky = getattr(cube(lazy=True).ilrs, body)
    assert dask.is_dask_collection(sky.alt)
    assert sky.alt.sizes == {"site": 2, "time": 600}
    assert sky.alt.chunksizes["time"] == (100,) * 6
    xr.testing.assert_identical(sky.compute(), getattr(cube().ilrs, body))
    for site in SITES:
        direct = geometry.altaz(body, site, TIMES, scale="tai")
        for name in ("alt", "az", "distance"):
            np.testing.assert_array_equal(sky[name].sel(site=site.name), direct[name])
            assert sky[name].attrs["units"] == direct[name].attrs["units"]


def test_frames_of_exposures_have_the_sky_of_the_site_of_each() -> None:
    names = np.where(np.arange(len(TIMES)) % 3 == 0, "pole", "mare")
    exposures = cube().isel(site=0, drop=True).assign_coords(site=("time", names))
    sun = exposures.ilrs.sun
    assert sun.alt.dims == ("time",)
    for site in SITES:
        here = names == site.name
        np.testing.assert_array_equal(sun.alt[here], geometry.altaz("sun", site, TIMES[here], scale="tai").alt)


def test_a_cube_of_one_selected_site_has_a_sky_along_time_alone() -> None:
    assert cube().sel(site="mare").ilrs.sun.alt.dims == ("time",)


@pytest.mark.parametrize("target", ["GSE", "GSM", "SSE", "ICRS", "MOON_ME"])
def test_vectors_turn_site_by_site_and_lazily_as_the_matrices_say(target: str) -> None:
    turned = cube(lazy=True).ilrs.to_frame(target)
    assert dask.is_dask_collection(turned.b)
    assert turned.b.dtype == np.float32
    assert turned.b.attrs["frame"] == target
    xr.testing.assert_identical(turned.compute(), cube().ilrs.to_frame(target))
    for site in SITES:
        matrices = geometry.rotation("ENU", target, TIMES, scale="tai", site=site)
        expected = np.einsum("tij,tj->ti", matrices, cube().b.sel(site=site.name).values.astype("f8"))
        np.testing.assert_allclose(turned.b.sel(site=site.name), expected, atol=2e-6)


def test_equal_uncertainties_stay_and_unequal_ones_turn_with_the_axes() -> None:
    equal = cube().ilrs.to_frame("GSE")
    np.testing.assert_allclose(equal.b_uncertainty, 0.05, rtol=1e-6)
    unequal = cube()
    unequal["b_uncertainty"] = unequal.b_uncertainty * xr.DataArray([1.0, 2.0, 4.0], dims="axis").astype("f4")
    turned = unequal.ilrs.to_frame("ICRS").b_uncertainty.sel(site="mare").values
    matrices = geometry.rotation("ENU", "ICRS", TIMES, scale="tai", site=SITES[1])
    covariance = np.einsum("tij,j,tkj->tik", matrices, (0.05 * np.array([1, 2, 4])) ** 2, matrices)
    np.testing.assert_allclose(turned, np.sqrt(np.einsum("tii->ti", covariance)), rtol=1e-5)


def test_there_and_back_is_where_it_was() -> None:
    back = cube().ilrs.to_frame("GSM").ilrs.to_frame("ENU")
    np.testing.assert_allclose(back.b, cube().b, atol=3e-6)
    assert back.b.attrs["frame"] == "ENU"


def test_in_the_frame_of_the_mean_field_the_mean_lies_along_z() -> None:
    steady = cube(lazy=True)
    steady["b"] = steady.b * np.float32(0.01) + xr.DataArray(np.float32([3, -4, 12]), dims="axis")
    steady.b.attrs["frame"] = "ENU"
    turned = steady.ilrs.to_frame("MFA", window="2 min").b
    assert turned.attrs["mean_field"] == "running mean over 2 min, centred"
    mean = turned.mean("time").compute()
    np.testing.assert_allclose(mean.sel(axis="z"), 13.0, atol=0.02)
    np.testing.assert_allclose(mean.sel(axis=["x", "y"]), 0.0, atol=0.02)


def test_frames_that_are_of_no_site_need_none() -> None:
    orbiter = cube(frame="GSE", sites=(Site("c1"), Site("c2")))
    expected = geometry.transform(orbiter.b, "GSE", "GSM")
    np.testing.assert_array_equal(orbiter.ilrs.to_frame("GSM").b, expected)


def test_times_come_in_any_scale_with_its_name() -> None:
    tcl = cube().ilrs.time("tcl")
    assert tcl.attrs["time_scale"] == "TCL"
    np.testing.assert_array_equal(tcl.values.astype("i8"), geometry.convert(TIMES, "tai", "tcl"))
    assert np.array_equal(tcl.tai, cube().tai)
    assert np.array_equal(cube().b.ilrs.time("utc"), cube().time)
    assert str(cube().time.values[0]) == "2031-03-01T00:00:00.000000000"


def test_what_cannot_be_done_is_said() -> None:
    with pytest.raises(CubeError, match="says its frame"):
        cube(frame="").ilrs.to_frame("GSE")
    with pytest.raises(CubeError, match="b does not say its frame; give source="):
        cube(frame="").ilrs.to_frame("GSE", variables=["b"])
    with pytest.raises(IlrsError, match=r"unknown frame 'GSX'; known are ICRS, MOON_ME"):
        cube().ilrs.to_frame("GSX")
    with pytest.raises(IlrsError, match="'nowhere' has the frame 'unknown'"):
        _ = cube(sites=(Site("nowhere"),)).ilrs.sun
    with pytest.raises(CubeError, match="does not describe mare, pole"):
        _ = cube().drop_attrs().ilrs.sun
    with pytest.raises(CubeError, match="no coordinate site"):
        _ = cube().drop_vars("site").ilrs.sites
    exposures = cube().isel(site=0, drop=True).assign_coords(site=("time", ["pole", "mare"] * 300))
    with pytest.raises(CubeError, match="mixes samples of pole, mare"):
        exposures.ilrs.to_frame("GSE")


@pytest.mark.parametrize("site", ilrs.sites().values(), ids=lambda site: site.name)
def test_every_site_of_the_catalogue_says_where_its_coordinates_come_from(site: Site) -> None:
    if site.lon is None:
        return
    assert site.source != "unknown"
    assert site.lat is not None
    if site.frame != "unknown" and site.height is not None:
        assert -10_000 < site.height < 11_000
        assert geometry.position(site, "2026-01-01T00:00:00Z", "MOON_ME").shape == (3,)


REFLECTORS = {  # principal axes of DE440, m: Park et al. 2021 with the angles of the same paper
    "apollo-11-reflector": (1591967.049, 690698.573, 21004.461),
    "apollo-14-reflector": (1652689.369, -520998.431, -109729.869),
    "apollo-15": (1554678.104, 98094.498, 765005.863),
}


@pytest.mark.parametrize("name", REFLECTORS)
def test_the_reflectors_stand_where_laser_ranging_puts_them(name: str) -> None:
    site = ilrs.sites()[name]
    place = geometry.to_geodetic(np.array(REFLECTORS[name]) / 1e3, "MOON_PA_DE440")
    assert (site.lon, site.lat) == (pytest.approx(place.lon, abs=1e-5), pytest.approx(place.lat, abs=1e-5))
    assert site.height == pytest.approx(place.height, abs=0.1)


def test_samples_are_selected_by_utc_with_what_xarray_has() -> None:
    for what in (cube(), cube().b):
        assert what.sel(time=slice("2031-03-01T00:01", "2031-03-01T00:02:59")).sizes["time"] == 120
        assert what.sel(time="2031-03-01T00:09").sizes["time"] == 60
        minutes = what.resample(time="1min").mean()
        assert minutes.time.values[0] == np.datetime64("2031-03-01T00:00:00")
        assert minutes.sizes["time"] == 10


def test_what_was_resampled_has_no_tai_and_takes_its_sky_from_utc() -> None:
    minutes = cube().resample(time="1min").mean().assign_attrs(cube().attrs)
    assert "tai" not in minutes.coords
    np.testing.assert_array_equal(minutes.ilrs.sun.alt, cube().ilrs.sun.alt.isel(time=slice(None, None, 60)))


def test_over_a_leap_second_sky_and_frames_go_by_the_exact_times() -> None:
    exact = geometry.parse_utc("2016-12-31T23:59:50") + np.arange(len(TIMES)) * 10**9
    over = cube().assign_coords(both_times(exact))
    assert over.indexes["time"].is_monotonic_increasing
    assert over.indexes["time"].is_unique
    alone = geometry.altaz("sun", SITES[0], exact, scale="tai")
    np.testing.assert_array_equal(over.ilrs.sun.alt.sel(site=SITES[0].name), alone.alt)
    assert np.isfinite(over.ilrs.to_frame("MFA").b.isel(time=slice(10, -10))).all()
    matrices = geometry.rotation("ENU", "GSE", exact, scale="tai", site=SITES[0])
    turned = np.einsum("tij,tj->ti", matrices, over.b.sel(site=SITES[0].name))
    np.testing.assert_allclose(over.ilrs.to_frame("GSE").b.sel(site=SITES[0].name), turned, atol=1e-5)


def test_a_cube_without_times_is_not_taken_to_1970() -> None:
    timeless = cube().drop_vars(["time", "tai"])
    with pytest.raises(CubeError, match="no coordinate tai, and no time"):
        _ = timeless.ilrs.sun
    with pytest.raises(CubeError, match="no coordinate tai, and no time"):
        timeless.ilrs.time("tdb")


def test_a_frame_of_one_site_can_be_left_again() -> None:
    one = cube().sel(site="mare")
    back = one.ilrs.to_frame("GSE").ilrs.to_frame("ENU").ilrs.to_frame("GSE").ilrs.to_frame("ENU")
    np.testing.assert_allclose(back.b, one.b, atol=5e-6)
    assert back.b.attrs["site"] == "mare"
    assert back["time"].attrs["time_scale"] == "UTC"
    assert back["tai"].identical(one["tai"])


def test_a_running_mean_wants_equal_steps_and_some_samples() -> None:
    with pytest.raises(CubeError, match="3 samples or more at equal steps"):
        cube().isel(time=[0, 1, 2, 300, 301]).ilrs.to_frame("MFA")
    with pytest.raises(CubeError, match="3 samples or more"):
        cube().isel(time=[0]).ilrs.to_frame("MFA")
    with pytest.raises(IlrsError, match="a window of 'soon'"):
        cube().ilrs.to_frame("MFA", window="soon")


def test_lazy_results_carry_no_path_of_this_machine_and_say_what_made_them() -> None:
    lazy = cube(lazy=True)
    for made in (lazy.ilrs.to_frame("GSE").b, lazy.ilrs.sun.alt):
        sent = cloudpickle.dumps(made.data.dask)
        assert b"de421.bsp" in sent
        assert b"skyfield_data" not in sent
    assert lazy.ilrs.sun.attrs["ephemeris"] == geometry.default_ephemeris().name
    assert lazy.ilrs.sun.attrs["accuracy"] == geometry.default_ephemeris().accuracy


def test_a_worker_with_other_kernels_refuses_instead_of_mixing_them_in(monkeypatch: pytest.MonkeyPatch) -> None:
    sun, turned = cube(lazy=True).ilrs.sun, cube(lazy=True).ilrs.to_frame("GSE")
    monkeypatch.setenv("ILRS_SPK", geometry.default_ephemeris().pck)
    for lazy in (sun.alt, turned.b):
        with pytest.raises(IlrsError, match="install the same kernels everywhere"):
            lazy.compute()


def test_an_unknown_target_is_refused_before_anything_is_computed() -> None:
    with pytest.raises(IlrsError, match="unknown target 'vulcan'"):
        cube(lazy=True).ilrs.altaz("vulcan")
