"""A CDF file: its global attributes, its variables with theirs, and the values of each."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ilrs_science.formats.cdf.records import (
    ADR,
    AGREDR,
    AZEDR,
    CDR,
    CVVR,
    GDR,
    INFLATION,
    RVDR,
    VVR,
    VXR,
    ZVDR,
    CdfRecords,
    layout,
    text,
    until_zero,
)

_TYPES = {
    1: ("CDF_INT1", "i1", -127),
    2: ("CDF_INT2", "i2", -32767),
    4: ("CDF_INT4", "i4", -(2**31) + 1),
    8: ("CDF_INT8", "i8", -(2**63) + 1),
    11: ("CDF_UINT1", "u1", 254),
    12: ("CDF_UINT2", "u2", 65534),
    14: ("CDF_UINT4", "u4", 2**32 - 2),
    21: ("CDF_REAL4", "f4", np.nan),
    22: ("CDF_REAL8", "f8", np.nan),
    31: ("CDF_EPOCH", "f8", 0.0),
    32: ("CDF_EPOCH16", "c16", 0.0),
    33: ("CDF_TIME_TT2000", "i8", -(2**63) + 1),
    41: ("CDF_BYTE", "i1", -127),
    44: ("CDF_FLOAT", "f4", np.nan),
    45: ("CDF_DOUBLE", "f8", np.nan),
    51: ("CDF_CHAR", "S", b""),
    52: ("CDF_UCHAR", "S", b""),
}
"""Name, NumPy type, and what is given for values that were never written, where the file does not say."""
_BIG, _LITTLE = (1, 2, 5, 7, 9, 11, 12, 18), (4, 6, 13, 16, 17, 19)
"""Encodings whose reals are IEEE 754."""
_ROW_MAJOR, _SINGLE_FILE = 1, 2
_VARIES, _HAS_PAD, _COMPRESSED = 1, 2, 4
_GLOBAL = (1, 3)
_PREVIOUS = 2
_DIMENSIONS = 10


@dataclass
class CdfVariable:
    """A variable, without its values."""

    name: str
    type: str
    """`CDF_REAL4`, `CDF_TIME_TT2000` and so on."""
    dtype: np.dtype[Any]
    """Of a value, in the byte order of the file."""
    records: int
    varies: bool
    """Whether it has records, or one value for all."""
    sizes: tuple[int, ...]
    """Of the dimensions of a record."""
    sparse: int
    """What records that were never written are: 0, there are none; 1, the pad value; 2, the record before."""
    pad: Any
    index: int
    """Offset of the first record that says where its values are."""
    compression: int
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def length(self) -> int:
        """Return the bytes of a record."""
        return self.dtype.itemsize * prod(self.sizes)


class _Block(NamedTuple):
    """Where some records of a variable lie."""

    first: int
    records: int
    offset: int
    stored: int
    compression: int


class CdfFile:
    """A CDF file.

    Parameters
    ----------
    path
        Its name in messages.
    file
        Open at its start; stays open while values are read.

    Attributes
    ----------
    path
        As given.
    attributes
        Global ones; a list of values each.
    variables
        By name, zVariables after rVariables.

    Raises
    ------
    FormatError
        The file is no CDF, is damaged, or is written in a way that is not read here, which the message names.
    """

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self._records = CdfRecords(path, file)
        self._decoded = 0
        self.attributes: dict[str, list[Any]] = {}
        self.variables: dict[str, CdfVariable] = {}
        _, (_, _, descriptor, version, release, encoding, flags) = self._records.record(8, CDR)
        if version not in (2, 3) or encoding not in _BIG + _LITTLE:
            self._records.fail(8, f"version {version}, encoding {encoding}: not read here, nor are reals of a VAX")
        if not flags & _SINGLE_FILE:
            self._records.fail(8, "a CDF of several files, whose values lie in .v0, .v1 and so on, is not read here")
        self._row_major = bool(flags & _ROW_MAJOR)
        self._order = ">" if encoding in _BIG else "<"
        self._reserved = 128 if (version, release) < (2, 5) else 0
        self._read_headers(descriptor)

    def values(self, variable: CdfVariable) -> NDArray[Any]:
        """Return the values of a variable, (records, *sizes), in the byte order of this machine; text is bytes.

        Raises
        ------
        FormatError
            They are damaged.
        """
        blocks = self._blocks(variable)
        length = variable.length
        self._decoded += variable.records * length
        if self._decoded > (INFLATION + 64) * (self._records.size + 64):
            self._records.fail(
                variable.index, f"{variable.name}: {variable.records} records, more than a file can hold"
            )
        place = np.empty(variable.records * length, "u1")
        for first, count, offset, stored, compression in blocks:
            part = memoryview(place[first * length : (first + count) * length])
            if compression:
                part[:] = self._records.unpack(offset, stored, len(part), compression)
            else:
                self._records.read_into(part, offset)
        shape = variable.sizes if self._row_major else variable.sizes[::-1]
        values: NDArray[Any] = place.view(variable.dtype).reshape(variable.records, *shape)
        if variable.dtype.byteorder not in "|=":
            values = values.byteswap(inplace=True).view(variable.dtype.newbyteorder())
        if variable.sparse:
            values = _padded(values, blocks, variable)
        return values if self._row_major else values.transpose(0, *range(values.ndim - 1, 0, -1))

    def _read_headers(self, descriptor: int) -> None:
        head, fields = self._records.record(descriptor, GDR)
        _, _, r_first, z_first, a_first, _, r_count, a_count, _, r_dimensions, z_count = fields
        r_sizes = self._integers(descriptor, head, 84 if self._records.wide else 60, r_dimensions)
        numbers: dict[tuple[bool, int], CdfVariable] = {}
        for z, first, count in ((False, r_first, r_count), (True, z_first, z_count)):
            for offset, head, fields in self._records.chain(first, count, RVDR, ZVDR):
                number, variable = self._variable(offset, head, fields, r_sizes)
                if variable.name in self.variables or (z, number) in numbers:
                    self._records.fail(offset, f"two variables are called {variable.name!r} or have number {number}")
                self.variables[variable.name] = numbers[z, number] = variable
        for _, head, fields in self._records.chain(a_first, a_count, ADR):
            self._read_attribute(head, fields, numbers)

    def _variable(
        self, offset: int, head: bytes, fields: tuple[int, ...], r_sizes: tuple[int, ...]
    ) -> tuple[int, CdfVariable]:
        """Return the number of a variable, and the variable."""
        _, kind, _, type_number, last, index, _, flags, sparse, *_ = fields
        wide = self._records.wide
        more, at = struct.Struct(">iiqi" if wide else ">iiii"), layout(RVDR, wide).size + self._reserved
        elements, number, parameters, _ = more.unpack_from(head, at)
        at, width = at + more.size, 256 if wide else 64
        name, at = until_zero(head[at : at + width]), at + width
        sizes = r_sizes
        if kind == ZVDR:
            (count,) = self._integers(offset, head, at, 1)
            sizes, at = self._integers(offset, head, at + 4, count), at + 4 + 4 * count
        vary, at = self._integers(offset, head, at, len(sizes)), at + 4 * len(sizes)
        sizes = tuple(size for size, varies in zip(sizes, vary, strict=True) if varies)
        if type_number not in _TYPES or elements < 1 or any(size < 1 for size in sizes):
            self._records.fail(offset, f"{name}: type {type_number}, {elements} elements, dimensions {sizes}")
        type_, code, pad = _TYPES[type_number]
        dtype = np.dtype(self._order + code if code != "S" else f"S{elements}")
        if flags & _HAS_PAD and len(head) >= at + dtype.itemsize:
            pad = np.frombuffer(head, dtype, 1, at)[0]
        varies = bool(flags & _VARIES)
        records = max(last + 1, 0) if varies else int(last >= 0)
        compression = self._records.compression(parameters) if flags & _COMPRESSED else 0
        return number, CdfVariable(name, type_, dtype, records, varies, sizes, sparse, pad, index, compression)

    def _integers(self, offset: int, head: bytes, at: int, count: int) -> tuple[int, ...]:
        if not 0 <= count <= _DIMENSIONS or at + 4 * count > len(head):
            self._records.fail(offset, f"{count} dimensions; expected {_DIMENSIONS} or fewer, within the record")
        return struct.unpack_from(f">{count}i", head, at)

    def _read_attribute(
        self, head: bytes, fields: tuple[int, ...], numbers: dict[tuple[bool, int], CdfVariable]
    ) -> None:
        _, _, _, r_first, scope, _, r_count, _, _, z_first, z_count, *_ = fields
        name = until_zero(head[layout(ADR, self._records.wide).size :])
        for z, first, count in ((False, r_first, r_count), (True, z_first, z_count)):
            for offset, entry, (_, _, _, _, kind, number, elements, *_) in self._records.chain(
                first, count, AGREDR, AZEDR
            ):
                value = self._entry(offset, entry, kind, elements)
                if scope in _GLOBAL:
                    self.attributes.setdefault(name, []).append(value)
                elif (z, number) in numbers:
                    numbers[z, number].attributes[name] = value

    def _entry(self, offset: int, entry: bytes, kind: int, elements: int) -> Any:
        """Return the value of an attribute: text, a number, or a list of them."""
        raw = entry[layout(AGREDR, self._records.wide).size :]
        code = _TYPES.get(kind, ("", "V", None))[1]
        size = elements * (1 if code == "S" else np.dtype(code).itemsize)
        if code == "V" or not 0 <= size <= len(raw):
            self._records.fail(offset, f"attribute entry: {elements} elements of type {kind} in {len(raw)} bytes")
        if code == "S":
            said = text(raw[:elements])
            return said.split("\\N ") if "\\N " in said else said
        values = np.frombuffer(raw, self._order + code, elements).tolist()
        return values[0] if elements == 1 else values

    def _blocks(self, variable: CdfVariable) -> list[_Block]:
        """Return where the values are, in order, each block as long as its records need."""
        records, blocks, expected = self._records, [], 0
        for first, last, offset in sorted(self._index(variable) if variable.records else []):
            if first >= variable.records:
                continue
            _, (size, kind) = records.record(offset, VVR, CVVR)
            packed = kind == CVVR
            begin = layout(kind, records.wide).size
            stored = records.fields(offset, CVVR)[3] if packed else size - begin
            count = min(last + 1, variable.records) - first
            most = INFLATION * stored + 64 if packed else stored
            gap = first != expected if not variable.sparse else first < expected
            if not 0 <= stored <= size - begin or count < 1 or gap or count * variable.length > most:
                records.fail(offset, f"{variable.name}: records {first} to {last} in {stored} bytes")
            if packed and not variable.compression:
                records.fail(offset, f"{variable.name}: compressed, and its record says that it is not")
            blocks.append(_Block(first, count, offset + begin, stored, variable.compression if packed else 0))
            expected = first + count
        if expected < variable.records and not variable.sparse:
            records.fail(variable.index, f"{variable.name}: {expected} records; expected {variable.records}")
        return blocks

    def _index(self, variable: CdfVariable) -> list[tuple[int, int, int]]:
        """Return first record, last record and offset of all values of a variable; its index is a list of trees."""
        records, waiting, found = self._records, [variable.index], []
        width = 8 if records.wide else 4
        while waiting:
            offset = waiting.pop()
            if offset <= 0:
                continue
            head, (_, _, following, room, used) = records.record(offset, VXR)
            begin = layout(VXR, records.wide).size
            if not 0 <= used <= room or begin + room * (8 + width) > len(head):
                records.fail(offset, f"index record: {used} of {room} entries in {len(head)} bytes")
            firsts, lasts = np.frombuffer(head, ">i4", 2 * room, begin).reshape(2, room)[:, :used].tolist()
            offsets = np.frombuffer(head, f">i{width}", used, begin + 8 * room).tolist()
            waiting.append(following)
            for first, last, place in zip(firsts, lasts, offsets, strict=True):
                if records.fields(place, VVR)[1] == VXR:
                    waiting.append(place)
                else:
                    found.append((first, last, place))
        return found


def _padded(values: NDArray[Any], blocks: list[_Block], variable: CdfVariable) -> NDArray[Any]:
    """Return values with the records that were never written as the file wants them."""
    source = np.full(len(values), -1)
    for first, count, *_ in blocks:
        source[first : first + count] = np.arange(first, first + count)
    if variable.sparse == _PREVIOUS:
        source = np.maximum.accumulate(source)
        values = values[source]
    values[source < 0] = variable.pad
    return values
