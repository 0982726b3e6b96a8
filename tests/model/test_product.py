import json
from typing import Any

import numpy as np
import pytest
import xarray as xr

from ilrs_science import Instrument, Product, Variable
from ilrs_science.model.quality import COMMON_FLAGS, QUALITY_DTYPE, flag_attributes, flag_table, flags_of, set_flag

B = Variable("b", ("time", "axis"), "f4", units="nT")
PRODUCT = Product(B, quality=("time",), coordinates={"axis": ("x", "y")})


def block(**changes: object) -> xr.Dataset:
    right = {
        "b": (("time", "axis"), np.zeros((3, 2), "f4")),
        "b_uncertainty": (("time", "axis"), np.zeros((3, 2), "f4")),
        "quality": ("time", np.zeros(3, "u4")),
    }
    return xr.Dataset({name: value for name, value in (right | changes).items() if value is not None})


def test_a_right_block_has_no_fault() -> None:
    assert PRODUCT.check(block()) == []


def test_every_fault_of_a_block_is_listed_at_once_with_found_and_expected() -> None:
    wrong = block(
        b=(("time", "axis"), np.zeros((3, 3), "f8")), b_uncertainty=None, quality=("time", np.zeros(3, "i8"))
    ).rename()
    faults = {fault.path: fault for fault in PRODUCT.check(wrong)}
    assert set(faults) == {"b.sizes", "b.dtype", "b_uncertainty", "quality.dtype"}
    assert str(faults["b.sizes"]) == "b.sizes: found {'axis': 3}; expected {'axis': 2}"
    assert "float64" in faults["b.dtype"].found
    assert "float32" in faults["b.dtype"].allowed


@pytest.mark.parametrize(
    "quality", [("time", np.zeros(3, "u2")), ((), np.uint32(0)), (("time", "axis"), np.zeros((3, 2), "u4")), None]
)
def test_flags_of_another_shape_or_width_are_a_fault(quality: object) -> None:
    assert [fault.path.partition(".")[0] for fault in PRODUCT.check(block(quality=quality))] == ["quality"]


@pytest.mark.parametrize(
    ("variables", "more", "words"),
    [
        ((), {}, "at least one variable"),
        ((Variable("b", ("axis", "time"), "f4", "nT"),), {"coordinates": {"axis": 2}}, "time first"),
        ((B,), {}, "'axis' has no size"),
        ((B, B), {"coordinates": {"axis": 2}}, "declared twice"),
        ((Variable("quality", ("time",), "f4", "1"),), {}, "cannot name a variable"),
        ((Variable("count", ("time",), "u4", "1"),), {}, "cannot name a variable"),
        ((Variable("tai", ("time",), "i8", "ns"),), {}, "cannot name a variable"),
        ((Variable("time_bounds", ("time",), "f4", "1"),), {}, "cannot name a variable"),
        ((Variable("a b", ("time",), "f4", "1"),), {}, "expected one word"),
        ((Variable("b", "time", "f4", "1"),), {}, "expected a tuple of names"),
        ((Variable("b", ("time",), "foo", "1"),), {}, "float or integer"),
        ((Variable("name", ("time",), "U3", "1"),), {}, "float or integer"),
        ((B,), {"coordinates": {"axis": 2}, "quality": ("time", "pixel")}, "'pixel' has no size"),
        ((B,), {"coordinates": {"axis": 2}, "flags": ("missing",)}, "new one-word names"),
        ((B,), {"coordinates": {"axis": 2}, "flags": ("two words",)}, "new one-word names"),
        ((B,), {"coordinates": {"axis": 2}, "flags": tuple(f"f{n}" for n in range(17))}, "at most 16"),
    ],
)
def test_a_wrong_declaration_is_refused_with_its_reason(variables: tuple, more: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Product(*variables, **more)


def test_low_bits_mean_the_same_in_every_product() -> None:
    flags = flag_table(("mine", "other"))
    assert list(flags.items())[:-2] == [(name, 1 << bit) for bit, name in enumerate(COMMON_FLAGS)]
    assert COMMON_FLAGS[8:] == ("conflict", "not_applicable", "censored")
    assert (flags["mine"], flags["other"]) == (1 << 16, 1 << 17)


def test_a_flag_is_raised_by_its_mask_wherever_it_stands_in_the_list() -> None:
    flags = flag_table(tuple(f"own_{n}" for n in range(16)))
    quality = xr.DataArray(np.array([0, 64], "u2"), dims="time", attrs=flag_attributes(flags))
    raised = set_flag(xr.Dataset({"quality": quality}), "own_15", xr.DataArray([True, False], dims="time"))
    assert raised.quality.dtype == QUALITY_DTYPE
    assert raised.quality.values.tolist() == [1 << 31, 64]
    assert flags_of(raised.quality) == flags


def test_a_dimension_may_have_values_of_numpy_and_units() -> None:
    energy = xr.DataArray(np.array([1, 2, 5], "f4"), dims="energy", attrs={"units": "keV"})
    product = Product(Variable("counts", ("time", "energy"), "u4", "1"), coordinates={"energy": energy})
    assert product.sizes == {"energy": 3}
    assert json.loads(json.dumps(product.as_json()))["coordinate_attributes"] == {"energy": {"units": "keV"}}


def one_step(ds: xr.Dataset) -> xr.Dataset:
    return ds


@pytest.mark.parametrize(
    ("steps", "words"), [(one_step, "expected a tuple"), ((one_step, one_step), "unique names"), ([one_step], "tuple")]
)
def test_an_instrument_with_impossible_steps_is_refused(steps: Any, words: str) -> None:
    product = Product(Variable("v", ("time",), "f4", "1"))
    with pytest.raises((TypeError, ValueError), match=words):
        Instrument("wrong", "*", lambda granule: xr.Dataset(), steps, product)
