"""Whether calibrated values can be what they claim: sigmas, flags, units and numbers that mean something else."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import astropy.units
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ilrs_science.errors import Fault
from ilrs_science.model.product import Product
from ilrs_science.model.variable import Variable


def value_faults(product: Product, samples: xr.Dataset, carried: Collection[str]) -> list[Fault]:
    """Return every way in which the values of calibrated samples contradict their product.

    Parameters
    ----------
    samples
        What the steps delivered and `Product.check` found right.
    carried
        Units of what `read` and references gave: xarray carries them through arithmetic, right or wrong, so that they
        say nothing.
    """
    faults = _flag_faults(product, samples["quality"].values)
    for variable in product.declared:
        faults += _unit_faults(variable, samples[variable.name], carried)
        faults += _number_faults(variable, samples[variable.name].values)
        name = f"{variable.name}_uncertainty"
        if variable.has_uncertainty:
            faults += _sigma_faults(name, samples[variable.name], samples[name], samples["quality"])
    return faults


def _flag_faults(product: Product, quality: NDArray[Any]) -> list[Fault]:
    declared = np.bitwise_or.reduce(np.array(list(product.flags.values()), quality.dtype))
    stray = np.bitwise_or.reduce(quality, axis=None) & ~declared
    if not stray:
        return []
    bits = ", ".join(str(bit) for bit in range(32) if int(stray) >> bit & 1)
    return [Fault("quality", f"bits {bits} are set", f"the product declares {', '.join(product.flags)}")]


def _unit_faults(variable: Variable, array: xr.DataArray, carried: Collection[str]) -> list[Fault]:
    found = str(array.attrs.get("units", ""))
    if found in ("", variable.units) or found in carried or _same_unit(found, variable.units):
        return []
    return [Fault(f"{variable.name}.units", f"a step says {found!r}", f"the product declares {variable.units!r}")]


def _same_unit(one: str, other: str) -> bool:
    try:
        return bool(astropy.units.Unit(one) == astropy.units.Unit(other))
    except (ValueError, TypeError):
        return False


def _number_faults(variable: Variable, values: NDArray[Any]) -> list[Fault]:
    """Return whether an integer that no wider type could hold equals the number that stands for nothing."""
    if variable.categories and values.dtype.kind in "iu":
        strange = np.unique(values[(values < 0) | (values >= len(variable.categories))])
        allowed = f"the numbers of {len(variable.categories)} categories, from 0"
        return [Fault(variable.name, f"found {strange[:5].tolist()}", allowed)] if strange.size else []
    if values.dtype.kind not in "iu" or variable.fill is not None or variable.stored_dtype != variable.dtype:
        return []
    count = int((values == variable.empty).sum())
    allowed = "declare Variable(fill=...), a number that is never measured"
    return [Fault(variable.name, f"{count} values equal the fill value {variable.empty}", allowed)] if count else []


def _sigma_faults(name: str, values: xr.DataArray, sigma: xr.DataArray, quality: xr.DataArray) -> list[Fault]:
    numbers = sigma.values
    if not numbers.size or (numbers.min() > 0 and numbers.max() < np.inf):
        return []  # NaN, which says that nothing is known of it, fails both comparisons and is looked at below
    impossible = (sigma <= 0) | np.isinf(sigma)
    good = (quality == 0) & np.isfinite(values)
    count = int((impossible & good).sum())
    if not count:
        return []
    return [
        Fault(
            name,
            f"{count} good values have a 1 sigma of zero, below zero or infinity",
            "more than 0, or NaN for unknown",
        )
    ]
