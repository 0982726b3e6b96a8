"""Coadding: weights, flags and uncertainties by hand."""

import dask.array
import numpy as np
import xarray as xr

from ilrs_science.analysis.coadd import coadd


def small_cube() -> xr.Dataset:
    """Return three frames of two pixels; the second pixel is never good."""
    rate = np.array([[1, 9], [4, 9], [100, np.nan]], "f4")
    return xr.Dataset(
        {
            "rate": (("time", "x"), rate, {"units": "count / s"}),
            "rate_uncertainty": (("time", "x"), np.full((3, 2), [2, 2], "f4"), {"units": "count / s"}),
            "quality": (("time", "x"), np.array([[0, 1], [0, 2], [4, 0]], "u4")),
        },
        {"exposure": ("time", [1.0, 3.0, 50.0], {"units": "s"}), "time": [0, 1, 2]},
    )


def test_the_mean_is_weighted_and_only_of_unflagged_samples() -> None:
    out = coadd(small_cube())
    np.testing.assert_array_equal(out.rate, np.array([(1 * 1 + 3 * 4) / 4, np.nan], "f4"))
    np.testing.assert_allclose(out.rate_uncertainty, [2 * np.sqrt(1 + 9) / 4, np.nan], rtol=1e-6)
    np.testing.assert_array_equal(out.exposure, [4.0, 0.0])
    np.testing.assert_array_equal(out["count"], [2, 0])


def test_units_and_types_are_kept_and_no_time_is_left() -> None:
    out = coadd(small_cube())
    assert (out.rate.attrs["units"], out.exposure.attrs["units"]) == ("count / s", "s")
    assert out.rate.dtype == out.rate_uncertainty.dtype == np.dtype("f4")
    assert set(out.dims) == {"x"}
    assert not out.coords


def test_an_unknown_uncertainty_makes_that_of_the_mean_unknown() -> None:
    cube = small_cube()
    cube["rate_uncertainty"] = cube.rate_uncertainty.where(cube.time != 1)
    out = coadd(cube)
    assert np.isnan(out.rate_uncertainty.values[0])
    assert out.rate.values[0] == np.float32(3.25)


def test_a_lazy_cube_gives_a_lazy_coadd_of_the_same_values() -> None:
    out = coadd(small_cube().chunk({"time": 1}))
    assert all(isinstance(one.data, dask.array.Array) for one in out.data_vars.values())
    xr.testing.assert_equal(out.compute(), coadd(small_cube()))


def test_samples_may_be_averaged_without_an_uncertainty_and_by_another_weight() -> None:
    cube = small_cube().drop_vars("rate_uncertainty").assign(weight=("time", [1.0, 1.0, 0.0]))
    out = coadd(cube, weight="weight")
    np.testing.assert_array_equal(out.rate, np.array([2.5, np.nan], "f4"))
    assert "rate_uncertainty" not in out
