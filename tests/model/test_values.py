"""What calibrated values cannot be: sigmas of zero where a value is good, flags and units that nobody declared."""

import numpy as np
import pytest
import xarray as xr

from ilrs_science import Product, Variable
from ilrs_science.model.values import value_faults

B = Variable("b", ("time",), "f4", units="nT")
PLACE = Variable("x", ("time",), "f4", units="km", coordinate=True)
PRODUCT = Product(B, PLACE)


def samples(sigma: float, *, value: float = 1.0, quality: int = 0) -> xr.Dataset:
    """Three samples, of which the second is in question."""
    return xr.Dataset(
        {
            "b": ("time", np.array([1, value, 1], "f4")),
            "b_uncertainty": ("time", np.array([0.5, sigma, 0.5], "f4")),
            "x": ("time", np.zeros(3, "f4")),
            "quality": ("time", np.array([0, quality, 0], "u4")),
        }
    )


@pytest.mark.parametrize("sigma", [0.0, -1.0, np.inf])
def test_a_good_value_has_a_sigma_above_zero(sigma: float) -> None:
    (fault,) = value_faults(PRODUCT, samples(sigma), ())
    assert str(fault) == (
        "b_uncertainty: 1 good values have a 1 sigma of zero, below zero or infinity; more than 0, or NaN for unknown"
    )


@pytest.mark.parametrize("sigma", [0.0, -1.0, np.inf])
def test_of_a_value_that_is_flagged_or_no_number_nobody_asks_a_sigma(sigma: float) -> None:
    assert value_faults(PRODUCT, samples(sigma, quality=1), ()) == []
    assert value_faults(PRODUCT, samples(sigma, value=np.nan), ()) == []


@pytest.mark.parametrize("sigma", [1e-30, 1.0, np.nan])
def test_a_sigma_above_zero_or_unknown_is_right(sigma: float) -> None:
    assert value_faults(PRODUCT, samples(sigma), ()) == []
