"""Values of PDS4 fields and arrays: constants that stand for no value, scaling."""

from __future__ import annotations

import math
import re
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from ilrs_science.errors import FormatError
from ilrs_science.formats.pds4.label import Label, text

_LIMITS = ("valid_minimum", "valid_maximum")
"""Of the Special_Constants those that bound values and stand for none."""
_PATTERN = re.compile(r"(?:0[xX]|16#)([0-9A-Fa-f]{1,16})#?")
_SHORT = 16
"""Bits of a sample that float32 resolves to a sixty-fourth when it is scaled."""


def native(values: NDArray[Any]) -> NDArray[Any]:
    """Return values in the byte order of this machine, without a copy where that is possible."""
    if values.dtype.isnative:
        return values
    if values.flags.writeable and values.flags.c_contiguous:
        return values.byteswap(inplace=True).view(values.dtype.newbyteorder("="))
    return values.astype(values.dtype.newbyteorder("="))


def physical(
    label: Label, values: NDArray[Any], element: Element, constants: Element | None
) -> tuple[NDArray[Any], dict[str, Any]]:
    """Return scaled values without those that stand for none, and their attributes.

    Parameters
    ----------
    label
        For messages.
    values
        As stored, in the byte order of this machine; may be changed.
    element
        Holds `scaling_factor` and `value_offset`.
    constants
        `Special_Constants`.

    Returns
    -------
    values
        Special constants are NaN in reals and stay in integers. Scaled integers are float32 where they have at most 16
        bits and the offset is within 65536 steps, so that a step keeps a sixty-fourth of itself; float64 otherwise.
    attributes
        The constants by their names, and the scaling that was applied.
    """
    if values.dtype.kind not in "iufc":
        return values, {}
    scale, offset = _number(label, element, "scaling_factor", 1.0), _number(label, element, "value_offset", 0.0)
    scaled = (scale, offset) != (1.0, 0.0)
    with np.errstate(all="ignore"):
        named = {one.tag: (one.text or "").strip() for one in constants if one.text} if constants is not None else {}
        found = {name: _constant(said, values.dtype) for name, said in named.items()}
        attributes: dict[str, Any] = {
            name: named[name] if value is None else value.item() for name, value in found.items()
        }
        none = [value for name, value in found.items() if value is not None and name not in _LIMITS]
        if values.dtype.kind in "iu" and not scaled:
            return values, attributes
        mask = absent(values, none)
        if values.dtype.kind in "iu":
            short = 8 * values.dtype.itemsize <= _SHORT and abs(offset) <= 2**_SHORT * abs(scale)
            values = values.astype(np.float32 if short else np.float64)
        if mask is not None:
            values[mask] = np.nan
        if scaled:
            values *= scale
            values += offset
            attributes |= {"scaling_factor_applied": scale, "value_offset_applied": offset}
    return values, attributes


def absent(values: NDArray[Any], constants: list[Any]) -> NDArray[np.bool_] | None:
    """Return where values are one of the constants; None where there are no constants."""
    mask: NDArray[np.bool_] | None = None
    for constant in constants:
        here = values == constant
        mask = here if mask is None else np.logical_or(mask, here, out=mask)
    return mask


def _number(label: Label, element: Element, tag: str, default: float) -> float:
    said = text(element, tag)
    try:
        number = float(said) if said else default
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise FormatError(f"{label.path}: {tag} of {text(element, 'name')} is {said[:60]!r}, no number")
    return number


def stand_ins(constants: Element | None, dtype: np.dtype[Any]) -> list[Any]:
    """Return the special constants that stand for no value, in the type of the values."""
    named = [one for one in constants if one.tag not in _LIMITS] if constants is not None else []
    found = [_constant((one.text or "").strip(), dtype) for one in named]
    return [one for one in found if one is not None]


def _constant(said: str, dtype: np.dtype[Any]) -> Any:
    """Return a constant in the type of the values, or None where it cannot be one of them.

    Hexadecimal text is the pattern of its bits.
    """
    pattern = _PATTERN.fullmatch(said)
    if pattern and dtype.itemsize in (1, 2, 4, 8):
        bits = int(pattern[1], 16)
        return np.array(bits, f"u{dtype.itemsize}").view(dtype)[()] if bits < 2 ** (8 * dtype.itemsize) else None
    try:
        number = float(said)
        if dtype.kind not in "iu":
            value = dtype.type(number)
            return value if math.isfinite(abs(value)) else None
        integer = int(said) if said.lstrip("+-").isdecimal() else int(number)
    except (ValueError, OverflowError):
        return None
    limits = np.iinfo(dtype)
    return dtype.type(integer) if integer == number and limits.min <= integer <= limits.max else None


def constants_of(element: Element) -> Element | None:
    """Return the Special_Constants of a field or an array."""
    return element.find("Special_Constants")
