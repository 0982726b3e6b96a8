"""Numbers of FITS images and tables from what is stored: unsigned ones, scaled ones, and those that are missing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

TYPES = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
"""FITS Standard 4.0, table 8."""
_FLOAT32_BITS = 16
"""Integers of more bits need float64 when they are scaled."""


def scaled(
    raw: NDArray[Any], scale: float | None, zero: float | None, blank: Any
) -> tuple[NDArray[Any], dict[str, Any]]:
    """Return the values of stored numbers in the byte order of this machine, and attributes on what is missing.

    Parameters
    ----------
    raw
        As stored; may be changed in place where it is writeable.
    scale, zero
        BSCALE or TSCAL, BZERO or TZERO. Integers stay integers where these only make them unsigned, or signed bytes;
        others become float32, or float64 from 32 bits on.
    blank
        BLANK or TNULL: NaN where integers become reals, else kept and named in the attribute `missing_value`.
    """
    scale, zero = 1.0 if scale is None else scale, 0.0 if zero is None else zero
    whole = raw.dtype.kind in "iu"
    given = whole and isinstance(blank, int) and not isinstance(blank, bool)
    bits = raw.dtype.itemsize * 8
    if scale == 1 and not zero:
        return native(raw), {"missing_value": blank} if given else {}
    offset = 2 ** (bits - 1)
    if whole and scale == 1 and zero == (-offset if bits == 8 else offset):  # noqa: PLR2004 - FITS 4.0, table 11
        values = native(raw)
        bare = values.view(f"u{raw.dtype.itemsize}")
        np.bitwise_xor(bare, bare.dtype.type(offset), out=bare)
        signed = values.view(f"i{raw.dtype.itemsize}") if bits == 8 else bare  # noqa: PLR2004
        return signed, {"missing_value": blank + int(zero)} if given else {}
    kind = raw.dtype.newbyteorder("=") if not whole else np.dtype("f4" if bits <= _FLOAT32_BITS else "f8")
    with np.errstate(over="ignore", invalid="ignore"):
        reals = raw.astype(kind)
        reals *= kind.type(scale)
        reals += kind.type(zero)
    if given:
        reals[raw == blank] = np.nan
    return reals, {"missing_value": blank} if given else {}


def native(raw: NDArray[Any]) -> NDArray[Any]:
    """Return an array of its own in the byte order of this machine, copied once from a mapped file."""
    if raw.dtype.isnative and raw.flags.writeable and raw.flags.c_contiguous:
        return raw
    return raw.astype(raw.dtype.newbyteorder("="), order="C")
