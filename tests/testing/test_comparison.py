import numpy as np
import pytest
import xarray as xr

from ilrs_science.testing.comparison import difference


def samples(values, dtype="f4"):
    return xr.Dataset({"b": ("time", np.array(values, dtype))}, {"time": np.arange(len(values))})


def test_not_a_number_equals_itself():
    assert difference(samples([1, np.nan]), samples([1, np.nan])) == ""


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (samples([0.0, 2.0]), "b differs in 1 of 2 values, first at time 1: 1.0 and 2.0"),
        (samples([-0.0, 1.0]), "b differs in 1 of 2 values, first at time 0: 0.0 and -0.0"),
        (samples([0.0, 1.0], "f8"), "b is float32 and float64"),
        (samples([0.0]), "b has sizes {'time': 2} and {'time': 1}"),
        (samples([0.0, 1.0]).rename(b="c"), "b is there only once"),
    ],
)
def test_a_difference_is_named(other, words):
    assert difference(samples([0.0, 1.0]), other) == words


def test_the_order_of_dimensions_does_not_matter():
    ds = xr.Dataset({"b": (("time", "axis"), np.arange(6.0).reshape(3, 2))})
    assert difference(ds, ds.transpose("axis", "time")) == ""


def test_labels_and_empty_arrays_are_compared():
    site = xr.Dataset(coords={"site": ["a", "b"]})
    assert difference(site, site.copy()) == ""
    assert "site differs in 1 of 2" in difference(site, xr.Dataset(coords={"site": ["a", "c"]}))
    assert difference(samples([]), samples([])) == ""
