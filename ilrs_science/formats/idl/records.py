"""The records of IDL save files (C. Markwardt, Unofficial Format Specification for the IDL SAVE File, 2010)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ilrs_science.errors import FormatError

VARIABLE, END, TIMESTAMP, VERSION, IDENTIFICATION, DESCRIPTION = 2, 6, 10, 14, 13, 20
KINDS = (0, 1, VARIABLE, 3, END, TIMESTAMP, 12, IDENTIFICATION, VERSION, 15, 16, 19, DESCRIPTION)
"""Types of records that are read or passed over: also common blocks, system variables, code, heaps and notices."""
PLAIN, DEFLATED = b"SR\0\4", b"SR\0\6"
TEXT, STRUCTURE, POINTERS = 7, 8, (10, 11)

# Types of values, and the bytes before and after a single one; all else fills its 4, 8 or 16 bytes.
_FORMATS = {
    1: (4, "u1", 3),
    2: (2, ">i2", 0),
    3: (0, ">i4", 0),
    4: (0, ">f4", 0),
    5: (0, ">f8", 0),
    6: (0, ">c8", 0),
    9: (0, ">c16", 0),
    10: (0, ">i4", 0),
    11: (0, ">i4", 0),
    12: (2, ">u2", 0),
    13: (0, ">u4", 0),
    14: (0, ">i8", 0),
    15: (0, ">u8", 0),
}
_SYSTEM, _ARRAY, _STRUCTURE = 2, 4, 32
_PREDEFINED, _INHERITS, _IS_SUPER = 1, 2, 4
_VALUES, _NARROW_ARRAY, _MEMBERS, _WIDE_ARRAY = 7, 8, 9, 18
"""What values and descriptors begin with."""
_MOST_DIMENSIONS = 8
_HEADER = 16
_INFLATION = 1032
"""Times that zlib can make bytes more, by its own account."""
_LARGEST = 2**31
_DEEPEST = 8


@dataclass(frozen=True)
class Kind:
    """The type of a variable, or of a member of a structure."""

    name: str
    code: int
    shape: tuple[int, ...]
    """In C order; IDL has it the other way round. Nothing for a single value."""
    members: tuple[Kind, ...]
    stored: np.dtype[Any] | None
    """How it lies in the file: a structure with the field `v`; nothing where text makes its length vary."""


@dataclass
class Cursor:
    """A place in the body of a record."""

    data: memoryview
    where: str
    at: int = 0
    structures: dict[str, tuple[Kind, ...]] = field(default_factory=dict)
    """Members of the structures that the file has described so far."""

    def raw(self, size: int) -> memoryview:
        """Return the next bytes."""
        if not 0 <= size <= len(self.data) - self.at:
            raise FormatError(f"{self.where}: {size} bytes at byte {self.at} of {len(self.data)}")
        self.at += size
        return self.data[self.at - size : self.at]

    def long(self) -> int:
        """Return the next 4 bytes as a signed integer."""
        return int.from_bytes(self.raw(4), "big", signed=True)

    def align(self) -> None:
        """Go on to a multiple of 4 bytes; at the end there need not be any."""
        self.at = min(self.at + -self.at % 4, len(self.data))

    def text(self) -> str:
        """Return a text that follows its length."""
        found = bytes(self.raw(self.long())).decode("latin-1")
        self.align()
        return found

    def data_text(self) -> str:
        """Return a text as variables hold it: its length is there twice, unless it is nothing."""
        return self.text() if self.long() else ""


def records(data: bytes, name: str, *, bodies: bool = True) -> Iterator[tuple[int, memoryview, str]]:
    """Yield type, body and place of every record before the last.

    Parameters
    ----------
    data
        The file.
    name
        What to call it in an error.
    bodies
        Whether to inflate the bodies of a deflated file.

    Raises
    ------
    FormatError
        It is no such file, or damaged.
    """
    if data[:4] not in (PLAIN, DEFLATED):
        raise FormatError(f"{name}: byte 0: no IDL save file; found {data[:4]!r}")
    at = 4
    while True:
        where = f"{name}: record at byte {at}"
        if at + _HEADER > len(data):
            raise FormatError(f"{where}: the file ends before its last record")
        kind, low, high = struct.unpack_from(">iII", data, at)
        if kind == END:
            return
        after = low + (high << 32)
        if kind not in KINDS or not at + _HEADER <= after <= len(data):
            raise FormatError(f"{where}: type {kind}, next record at byte {after}")
        body = memoryview(data)[at + _HEADER : after]
        yield kind, _inflated(body, where) if bodies and data[:4] == DEFLATED else body, where
        at = after


def variable_kind(cursor: Cursor) -> Kind:
    """Return the name and the type of the variable in a record, up to where its values begin.

    Raises
    ------
    FormatError
        It is damaged, or a system variable.
    """
    name, code, flags = cursor.text(), cursor.long(), cursor.long()
    if flags & _SYSTEM:
        raise FormatError(f"{cursor.where}: {name} is a system variable, which is not read")
    shape = _shape(cursor) if flags & (_ARRAY | _STRUCTURE) else ()
    members = _members(cursor, 0) if flags & _STRUCTURE else ()
    if code and cursor.long() != _VALUES:
        raise FormatError(f"{cursor.where}: no values of {name} at byte {cursor.at}")
    return _kind(cursor, name, code, shape, members) if code else Kind(name, 0, (), (), None)


def leaves(cursor: Cursor, kind: Kind) -> dict[tuple[str, ...], tuple[Kind, tuple[int, ...], list[NDArray[Any]]]]:
    """Return the values of a variable by the names that lead to them: their type, the shape around it, and each value.

    A value is an array of one element of `Kind.stored`, or of text as objects.

    Raises
    ------
    FormatError
        They are not what the type says.
    """
    found: dict[tuple[str, ...], tuple[Kind, tuple[int, ...], list[NDArray[Any]]]] = {}
    _collect(cursor, kind, (kind.name,), (), found)
    return found


def _collect(
    cursor: Cursor,
    kind: Kind,
    path: tuple[str, ...],
    around: tuple[int, ...],
    found: dict[tuple[str, ...], tuple[Kind, tuple[int, ...], list[NDArray[Any]]]],
) -> None:
    number = prod(kind.shape)
    if kind.stored is not None:
        value = np.frombuffer(cursor.raw(kind.stored.itemsize), kind.stored, 1)
    elif number > (len(cursor.data) - cursor.at) // 4:
        raise FormatError(f"{cursor.where}: {number} values of {kind.name} in {len(cursor.data) - cursor.at} bytes")
    elif kind.members:
        for _ in range(number):
            for place, member in enumerate(kind.members):
                _collect(cursor, member, (*path, f"{place}.{member.name}"), (*around, *kind.shape), found)
        return
    else:
        value = np.array([cursor.data_text() for _ in range(number)], object).reshape(1, *kind.shape)
    found.setdefault(path, (kind, around, []))[2].append(value)


def _kind(cursor: Cursor, name: str, code: int, shape: tuple[int, ...], members: tuple[Kind, ...]) -> Kind:
    if code not in (TEXT, STRUCTURE, *_FORMATS) or (code == STRUCTURE) != bool(members):
        raise FormatError(f"{cursor.where}: {name[:80]!r} is of type {code}, which is not known")
    varying = code == TEXT or any(member.stored is None for member in members)
    stored = None if varying else _stored(code, shape, members, len(cursor.data), f"{cursor.where}: {name[:80]}")
    return Kind(name, code, shape, members, stored)


def _stored(code: int, shape: tuple[int, ...], members: tuple[Kind, ...], limit: int, where: str) -> np.dtype[Any]:
    number = prod(shape)
    if code == STRUCTURE:
        before, size, after = 0, sum(member.stored.itemsize for member in members if member.stored is not None), 0
    else:
        before, size, after = _FORMATS[code][0], int(_FORMATS[code][1][2:] if code > 1 else 1), _FORMATS[code][2]
    if code == 1 and shape:
        after = -number % 4
    # Arrays of 16 bits are of 32, of which the last 16 count.
    wide = 2 if code in (2, 12) and shape else 1
    before = 0 if wide > 1 else before
    total = before + number * wide * size + after
    if total > limit:
        raise FormatError(f"{where}: {total} bytes of values in a record of {limit}")
    each: Any = (
        _FORMATS[code][1] if code != STRUCTURE else np.dtype([(str(n), one.stored) for n, one in enumerate(members)])
    )
    extent = (*shape, 2) if wide > 1 else shape
    return np.dtype({"names": ["v"], "formats": [(each, extent)], "offsets": [before], "itemsize": total})


def _shape(cursor: Cursor) -> tuple[int, ...]:
    """Return the shape that a descriptor of an array holds."""
    begin = cursor.long()
    if begin == _WIDE_ARRAY:
        cursor.raw(8)
        _, number = struct.unpack(">QQ", cursor.raw(16))
        dimensions = cursor.long()
        cursor.raw(8)
        sizes = struct.unpack(">8Q", cursor.raw(64))
    elif begin == _NARROW_ARRAY:
        _, _, number, dimensions = struct.unpack(">4i", cursor.raw(16))
        cursor.raw(8)
        sizes = struct.unpack(
            f">{_MOST_DIMENSIONS}i",
            cursor.raw(4 * min(max(cursor.long(), 0), _MOST_DIMENSIONS)).tobytes().ljust(32, b"\0"),
        )
    else:
        raise FormatError(f"{cursor.where}: no array is described at byte {cursor.at}")
    shape = sizes[: max(dimensions, 0)][::-1]
    if len(shape) != dimensions or not shape or min(shape) < 1 or prod(shape) != number or number > len(cursor.data):
        raise FormatError(f"{cursor.where}: an array of {number} values with {dimensions} dimensions, {sizes}")
    return tuple(shape)


def _members(cursor: Cursor, depth: int) -> tuple[Kind, ...]:
    """Return the members that a descriptor of a structure holds."""
    if depth > _DEEPEST:
        raise FormatError(f"{cursor.where}: structures nested deeper than {_DEEPEST}")
    if cursor.long() != _MEMBERS:
        raise FormatError(f"{cursor.where}: no structure is described at byte {cursor.at}")
    name, flags, number, _ = cursor.text(), cursor.long(), cursor.long(), cursor.long()
    if flags & _PREDEFINED:
        if name not in cursor.structures:
            raise FormatError(f"{cursor.where}: the structure {name[:80]!r} is nowhere described")
        return cursor.structures[name]
    if not 0 < number <= (len(cursor.data) - cursor.at) // 12:
        raise FormatError(f"{cursor.where}: {number} members of the structure {name[:80]!r}")
    tags = [_tag(cursor) for _ in range(number)]
    names = [cursor.text().lower() for _ in tags]
    shapes = [_shape(cursor) if flags & _ARRAY else () for _, flags in tags]
    inner = [_members(cursor, depth + 1) if flags & _STRUCTURE else () for _, flags in tags]
    members = tuple(
        _kind(cursor, member, code, shape, inside)
        for member, (code, _), shape, inside in zip(names, tags, shapes, inner, strict=True)
    )
    if flags & (_INHERITS | _IS_SUPER):
        cursor.text()
        classes = cursor.long()
        for _ in range(classes):
            cursor.text()
        for _ in range(classes):
            _members(cursor, depth + 1)
    cursor.structures[name] = members
    return members


def _tag(cursor: Cursor) -> tuple[int, int]:
    """Return type and flags of a member."""
    if cursor.long() == -1:
        cursor.raw(8)
    return cursor.long(), cursor.long()


def _inflated(deflated: memoryview, where: str) -> memoryview:
    unpack = zlib.decompressobj()
    limit = min(_INFLATION * len(deflated), _LARGEST)
    try:
        body = unpack.decompress(deflated, limit)
    except zlib.error as error:
        raise FormatError(f"{where}: damaged zlib ({error})") from error
    if not unpack.eof:
        raise FormatError(f"{where}: zlib that is cut short, or of more than {limit} bytes")
    return memoryview(body)
