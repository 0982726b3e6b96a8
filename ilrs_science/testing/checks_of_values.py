"""Checks of what the steps deliver: numbers, their uncertainties, and the flags that go with them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from ilrs_science.model.product import Product
from ilrs_science.model.variable import Variable
from ilrs_science.testing.case import Case
from ilrs_science.testing.report import ConformanceError


def flags_and_uncertainty(case: Case) -> None:
    """Check that values come with a usable uncertainty, and flags are declared ones."""
    product = case.instrument.product
    outcomes = [case.whole(reading) for reading in case.readings]
    for variable in product.declared:
        if _needs_uncertainty(variable):
            name = _uncertainty_of(product, variable)
            _check_delivered(outcomes, [variable.name, name])
            _check_uncertainty(outcomes, variable, name)
    for out in outcomes:
        _check_flags(product, out)


def _needs_uncertainty(variable: Variable) -> bool:
    is_value = not variable.coordinate and not variable.name.endswith("_uncertainty")
    return is_value and np.dtype(variable.dtype).kind == "f"


def _uncertainty_of(product: Product, variable: Variable) -> str:
    """Return the name under which a product delivers the uncertainty of a variable, in the same units."""
    name = f"{variable.name}_uncertainty"
    delivered = {one.name: one for one in product.values}
    if name not in delivered:
        raise ConformanceError(f"{variable.name} has no uncertainty; deliver {name}, all NaN where nobody knows it")
    if delivered[name].units != variable.units:
        raise ConformanceError(
            f"{name} is in {delivered[name].units!r}; expected {variable.units!r}, as {variable.name}"
        )
    return name


def _check_delivered(outcomes: Sequence[xr.Dataset], names: Sequence[str]) -> None:
    absent = [one for one in names if any(one not in out for out in outcomes)]
    if absent:
        raise ConformanceError(f"the steps deliver no {' and no '.join(absent)}; the product declares it")


def _check_flags(product: Product, out: xr.Dataset) -> None:
    stray = int(np.bitwise_or.reduce(out["quality"].values, axis=None)) & ~sum(product.flags.values())
    if stray:
        known = ", ".join(f"{meaning} {mask}" for meaning, mask in product.flags.items())
        raise ConformanceError(f"quality has bits {stray:#x} that the product does not declare; it declares {known}")


def check_owned_up(case: Case, normal: xr.Dataset, out: xr.Dataset, what: str) -> None:
    """Raise if NaN came in and a good-looking number went out.

    A number that is the same as without NaN does not depend on it, and is right.

    Parameters
    ----------
    case
        The instrument under check.
    normal, out
        What the steps made of the samples as they were read, and of the same samples with NaN in them.
    what
        Name of the latter, for the message.

    Raises
    ------
    ConformanceError
        Such a number went out without a flag.
    """
    for variable in case.instrument.product.declared:
        if variable.coordinate or np.dtype(variable.dtype).kind != "f":
            continue
        value = out[variable.name]
        made_up = (abs(value) < np.inf) & _unflagged(out, variable) & (value != normal[variable.name])
        if made_up.any():
            raise ConformanceError(
                f"{what}: {variable.name} is {_first(value, made_up):g} without a flag in "
                f"{int(made_up.sum())} values; expected NaN, or a flag in quality"
            )


def _check_uncertainty(outcomes: Sequence[xr.Dataset], variable: Variable, name: str) -> None:
    if all(bool(np.isnan(out[name]).all()) for out in outcomes):
        return  # declared as unknown
    for out in outcomes:
        sigma = out[name]
        impossible = (sigma <= 0) | (sigma == np.inf)
        bad = (abs(out[variable.name]) < np.inf) & _unflagged(out, variable) & impossible
        if bad.any():
            raise ConformanceError(
                f"{name} is {_first(sigma, bad):g} in {int(bad.sum())} good values; expected more than 0, "
                "or NaN where nobody knows it"
            )


def _first(array: xr.DataArray, where: xr.DataArray) -> float:
    return float(array.values[where.transpose(*map(str, array.dims)).values][0])


def _unflagged(out: xr.Dataset, variable: Variable) -> xr.DataArray:
    good = out["quality"] == 0
    return good.all([name for name in good.dims if name not in variable.dims])
