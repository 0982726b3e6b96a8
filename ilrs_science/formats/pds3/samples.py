"""Numbers as PDS3 stores them: their types, special constants, and scales (Standards Reference 3.8, appendix C)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ilrs_science.errors import FormatError
from ilrs_science.formats.pds3.label import Based, Label, Quantity

# Sample types and what numpy calls them; the size comes from SAMPLE_BITS (Standards Reference, table 3.2).
_SAMPLES = {
    **dict.fromkeys(("INTEGER", "MSB_INTEGER", "SUN_INTEGER", "MAC_INTEGER"), ">i"),
    **dict.fromkeys(("LSB_INTEGER", "PC_INTEGER", "VAX_INTEGER"), "<i"),
    **dict.fromkeys(("UNSIGNED_INTEGER", "MSB_UNSIGNED_INTEGER", "SUN_UNSIGNED_INTEGER", "MAC_UNSIGNED_INTEGER"), ">u"),
    **dict.fromkeys(("LSB_UNSIGNED_INTEGER", "PC_UNSIGNED_INTEGER", "VAX_UNSIGNED_INTEGER"), "<u"),
    **dict.fromkeys(("REAL", "FLOAT", "IEEE_REAL", "SUN_REAL", "MAC_REAL"), ">f"),
    "PC_REAL": "<f",
    **dict.fromkeys(("VAX_REAL", "VAX_DOUBLE"), "vax"),
    "VAXG_REAL": "vaxg",
}
_BITS = {"i": (8, 16, 32, 64), "u": (8, 16, 32, 64), "f": (32, 64), "vax": (32, 64), "vaxg": (64,)}
_BLOCK = 2**20


def sample_type(kind: str, bits: object, what: str, name: str) -> str:
    """Return numpy's name of a type of the label, or `vax4`, `vax8` (D) and `vaxg8`.

    Raises
    ------
    FormatError
        It is none that is read.
    """
    code = _SAMPLES.get(kind.upper(), "")
    if not code or not isinstance(bits, int) or bits not in _BITS[code[1:] if code[0] in "<>" else code]:
        raise FormatError(
            f"{name}: samples of {what} are {kind} of {bits} bits; integers of 8 to 64 and reals are read"
        )
    return f"{code}{bits // 8}"


def native(raw: NDArray[np.uint8], sample: str) -> NDArray[Any]:
    """Return bytes, which are overwritten, as numbers of a type of `sample_type` in the byte order of this machine."""
    if sample.startswith("vax"):
        return _vax(raw, sample)
    values = raw.view(np.dtype(sample))
    if not values.dtype.isnative:
        values = values.byteswap(inplace=True).view(values.dtype.newbyteorder("="))
    return values


def special_constants(about: Label) -> dict[str, int | float]:
    """Return the values of an object that are no measurements, by the keyword that names them."""
    found = {}
    for key, given in about.items():
        value = given.value if isinstance(given, Quantity) else given
        named = key.endswith(("_CONSTANT", "_SATURATION")) or key in ("CORE_NULL", "NULL")
        if named and isinstance(value, int | float):
            found[key] = value
    return found


def without_constants(values: NDArray[Any], constants: dict[str, int | float], sample: str) -> NDArray[Any]:
    """Return reals, of a type of `sample_type`, with NaN where there is a special constant, in place; integers as are.

    A constant with a base is the pattern of bits of a real.
    """
    if values.dtype.kind != "f":
        return values
    size = values.dtype.itemsize
    for constant in constants.values():
        if not isinstance(constant, Based):
            with np.errstate(over="ignore"):
                values[values == values.dtype.type(constant)] = np.nan
        elif constant < 2 ** (8 * size):
            vax = sample.startswith("vax")
            pattern = np.frombuffer(constant.to_bytes(size), ">u2" if vax else ">u1").astype("<u2" if vax else "u1")
            value = native(pattern.view(np.uint8), sample if vax else f">f{size}")
            values[values.view(f"u{size}") == value.view(f"u{size}")] = np.nan
    return values


def scale(values: NDArray[Any], about: Label, constants: dict[str, int | float]) -> NDArray[Any]:
    """Return SCALING_FACTOR times values plus OFFSET, as reals; those of small integers and float32 are float32."""
    factor, offset = (_real(about, *keys) for keys in (("SCALING_FACTOR", "CORE_MULTIPLIER"), ("OFFSET", "CORE_BASE")))
    if factor is None and offset is None:
        return values
    dtype = np.result_type(values.dtype, np.float32)
    scaled = values.astype(dtype)
    if values.dtype.kind in "iu":
        for constant in constants.values():
            scaled[values == constant] = np.nan
    scaled *= dtype.type(1 if factor is None else factor)
    scaled += dtype.type(offset or 0)
    return scaled


def _real(about: Label, *keys: str) -> float | None:
    values = [about[key] for key in keys if isinstance(about.get(key), int | float)]
    return float(values[0]) if values else None


def _vax(raw: NDArray[np.uint8], sample: str) -> NDArray[Any]:
    """Return VAX F (4 bytes) as float32, and D and G (8 bytes) as float64, which rounds the last 3 bits of D.

    Words of 16 bits lie most significant first, each with its low byte first. A value is 0.1m 2^(e - bias), so that
    its bits are those of an IEEE number with another exponent (VAX Architecture Reference Manual, 1987, chapter 2).
    """
    size = int(sample[-1])
    words = raw.view("<u2").reshape(-1, size // 2)
    mantissa, bias = {"vax4": (23, 128), "vax8": (55, 128), "vaxg8": (52, 1024)}[sample]
    values = np.empty(len(words), f"f{size}")
    for start in range(0, len(words), _BLOCK):
        bits = np.zeros(len(words[start : start + _BLOCK]), np.uint64)
        for word in words[start : start + _BLOCK].T:
            bits = (bits << np.uint64(16)) | word
        sign, exponent = (
            bits >> np.uint64(8 * size - 1),
            (bits >> np.uint64(mantissa)).astype(np.int64) & (2 * bias - 1),
        )
        fraction = (bits & np.uint64(2**mantissa - 1)) | np.uint64(2**mantissa)
        found = np.ldexp(fraction.astype(np.float64), (exponent - bias - mantissa - 1).astype(np.int32))
        found = np.where(exponent == 0, np.where(sign, np.nan, 0.0), np.where(sign, -found, found))
        values[start : start + _BLOCK] = found
    return values
