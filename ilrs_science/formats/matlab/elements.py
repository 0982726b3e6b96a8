"""The elements of MATLAB files of level 5, looked through without their numbers (MAT-File Format, chapter 1)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ilrs_science.errors import FormatError

MATRIX, COMPRESSED = 14, 15
_SIZES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8, 16: 1, 17: 2, 18: 4}
"""Bytes of a value, by the type of an element; the last three are UTF-8, 16 and 32."""
CLASSES = {
    1: "cell",
    2: "struct",
    3: "object",
    4: "char",
    5: "sparse",
    6: "double",
    7: "single",
    8: "int8",
    9: "uint8",
    10: "int16",
    11: "uint16",
    12: "int32",
    13: "uint32",
    14: "int64",
    15: "uint64",
    16: "function",
    17: "opaque",
}
_NUMBERS = range(6, 16)
_COMPLEX, _LOGICAL = 0x800, 0x200
_DEEPEST = 16
_MOST = 2**31
_WIDEST = 4
"""Bytes that a character may take."""
_FEW = 4096


_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}


@dataclass(frozen=True)
class Header:
    """What an array says of itself."""

    name: str
    kind: str
    """One of `CLASSES`, or `unknown`."""
    shape: tuple[int, ...]
    logical: bool
    start: int
    """Offset of what follows it."""
    complex: bool = False

    @property
    def is_numbers(self) -> bool:
        """Return whether it is an array of numbers."""
        return self.kind in ("double", "single") or "int" in self.kind


@dataclass(frozen=True)
class Elements:
    """Bytes that hold elements."""

    data: bytes | memoryview
    order: str
    """Of bytes, as `struct` writes it."""
    where: str
    """What to call them in an error."""


class _Element:
    """An element: its type, where its data lie, and where the next one begins."""

    def __init__(self, elements: Elements, at: int, end: int) -> None:
        where = f"{elements.where}: byte {at}"
        if at + 8 > end:
            raise FormatError(f"{where}: an element is cut short")
        kind, size = struct.unpack_from(f"{elements.order}II", elements.data, at)
        self.start = at + 8
        if kind >> 16:
            # Up to 4 bytes of data may stand in the tag itself.
            kind, size, self.start = kind & 0xFFFF, kind >> 16, at + 4
            self.after = at + 8
            if size > 4:  # noqa: PLR2004
                raise FormatError(f"{where}: a short element of {size} bytes; it has at most 4")
        else:
            self.after = self.start + size + (-size % 8)
        self.kind, self.size = kind, size
        if self.start + size > end:
            raise FormatError(f"{where}: an element of {size} bytes, of which {end - self.start} are there")


def matrix_header(elements: Elements, at: int, end: int) -> Header:
    """Return what the array says of itself whose data begin at an offset.

    Raises
    ------
    FormatError
        It is damaged.
    """
    flags = _Element(elements, at, end)
    if (flags.kind, flags.size) != (6, 8):
        raise FormatError(f"{elements.where}: byte {at}: no flags of an array")
    (bits,) = struct.unpack_from(f"{elements.order}I", elements.data, flags.start)
    kind = CLASSES.get(bits & 0xFF, "unknown")
    at = flags.after
    shape: tuple[int, ...] = ()
    if kind != "opaque":
        sizes = _Element(elements, at, end)
        if sizes.kind != 5 or sizes.size % 4 or not 8 <= sizes.size <= 4 * _DEEPEST:  # noqa: PLR2004 - two dimensions
            raise FormatError(f"{elements.where}: byte {at}: no dimensions of an array")
        shape, at = struct.unpack_from(f"{elements.order}{sizes.size // 4}i", elements.data, sizes.start), sizes.after
        if min(shape) < 0 or prod(shape) > _MOST:
            raise FormatError(f"{elements.where}: byte {sizes.start}: dimensions {shape}")
    name = _Element(elements, at, end)
    if name.kind not in (1, 16):
        raise FormatError(f"{elements.where}: byte {at}: no name of an array")
    text = bytes(elements.data[name.start : name.start + name.size]).decode("latin-1")
    return Header(text, kind, shape, bool(bits & _LOGICAL), name.after, bool(bits & _COMPLEX))


def check_matrix(elements: Elements, at: int, end: int, depth: int = 0) -> str:
    """Return the kind of objects in an array that cannot be read, if any.

    Raises
    ------
    FormatError
        It, or an array in it, does not hold what its dimensions declare.
    """
    header = matrix_header(elements, at, end)
    if depth > _DEEPEST:
        raise FormatError(f"{elements.where}: byte {at}: arrays nested deeper than {_DEEPEST}")
    number, at = prod(header.shape), header.start
    if header.is_numbers:
        for _ in range(2 if header.complex else 1):
            at = _check_values(elements, at, end, number)
    elif header.kind == "char":
        text = _Element(elements, at, end)
        # MATLAB does not write characters that are all zero, and scipy makes them up.
        least = 0 if number <= _FEW else number * _SIZES.get(text.kind, 1)
        if text.kind not in _SIZES or not least <= text.size <= _WIDEST * number:
            raise FormatError(f"{elements.where}: byte {at}: {text.size} bytes of text for {header.shape} characters")
    elif header.kind == "cell":
        return _check_each(elements, at, end, number, depth)
    elif header.kind == "struct":
        length = _Element(elements, at, end)
        names = _Element(elements, length.after, end)
        (each,) = struct.unpack_from(f"{elements.order}i", elements.data, length.start) if length.size == 4 else (0,)  # noqa: PLR2004
        if each < 1 or names.size % each:
            raise FormatError(f"{elements.where}: byte {at}: names of fields of {each} bytes in {names.size}")
        return _check_each(elements, names.after, end, number * (names.size // each), depth)
    else:
        return header.kind
    return ""


def numbers(elements: Elements, header: Header, end: int) -> NDArray[Any]:
    """Return the numbers of an array that was checked, in the byte order of this machine."""
    number, at = prod(header.shape), header.start
    parts = []
    for _ in range(2 if header.complex else 1):
        values = _Element(elements, at, end)
        stored = np.dtype(f"{elements.order}{_TYPES[values.kind]}")
        parts.append(np.frombuffer(elements.data, stored, number, values.start))
        at = values.after
    dtype = "bool" if header.logical else {"double": "f8", "single": "f4"}.get(header.kind, header.kind)
    if header.complex:
        whole = np.empty(number, "c8" if dtype == "f4" else "c16")
        whole.real, whole.imag = parts
        return whole.reshape(header.shape, order="F")
    return parts[0].astype(dtype).reshape(header.shape, order="F")


def _check_values(elements: Elements, at: int, end: int, number: int) -> int:
    values = _Element(elements, at, end)
    if values.kind not in _TYPES or values.size != number * _SIZES[values.kind]:
        raise FormatError(f"{elements.where}: byte {at}: {values.size} bytes of type {values.kind} for {number} values")
    return values.after


def _check_each(elements: Elements, at: int, end: int, number: int, depth: int) -> str:
    if number > (end - at) // 8:
        raise FormatError(f"{elements.where}: byte {at}: {number} arrays in {end - at} bytes")
    unread = ""
    for _ in range(number):
        inner = _Element(elements, at, end)
        if inner.kind != MATRIX:
            raise FormatError(f"{elements.where}: byte {at}: an element of type {inner.kind} where an array belongs")
        if inner.size:
            unread = check_matrix(elements, inner.start, inner.start + inner.size, depth + 1) or unread
        at = inner.after
    return unread
