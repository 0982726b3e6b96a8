"""Classic netCDF (NetCDF Classic Format Specification; CDF-1, CDF-2 with wide offsets, CDF-5 with wide numbers)."""

from __future__ import annotations

import os
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from ilrs_science.errors import FormatError
from ilrs_science.formats.netcdf.model import NetcdfGroup, NetcdfVariable

MAGIC = (b"CDF\x01", b"CDF\x02", b"CDF\x05")
_TYPES = {1: "i1", 2: "S1", 3: ">i2", 4: ">i4", 5: ">f4", 6: ">f8", 7: "u1", 8: ">u2", 9: ">u4", 10: ">i8", 11: ">u8"}
_CHARACTER = 2
_DIMENSIONS, _VARIABLES, _ATTRIBUTES = 10, 11, 12
_FIRST = 2**16
_RANK = 1024
_LONG = 2**16
"""Bytes of all records of a time, above which each variable is read by itself."""


class _Header:
    """The header of a file, read from its start; more of the file when it is longer than what there is."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path, self.file = path, file
        self.size = os.fstat(file.fileno()).st_size
        self.data = os.pread(file.fileno(), _FIRST, 0)
        self.at = 4
        self.version = self.data[3] if len(self.data) > 3 else 0  # noqa: PLR2004 - the number of the format
        self.wide = self.version == 5  # noqa: PLR2004
        self.wide_offsets = self.version > 1

    def fail(self, reason: str) -> NoReturn:
        raise FormatError(f"{self.path}: byte {self.at}: {reason}")

    def take(self, size: int) -> bytes:
        """Return the next bytes, which are filled up to a multiple of four."""
        end = self.at + -(-size // 4) * 4
        if size < 0 or self.at + size > self.size:
            self.fail(f"{size} bytes of header, and the file ends at {self.size}")
        if end > len(self.data):
            self.data = os.pread(self.file.fileno(), max(end, 2 * len(self.data)), 0)
        found = self.data[self.at : self.at + size]
        self.at = end
        return found

    def integer(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big", signed=True)

    def count(self) -> int:
        """Return a number of things, each of which takes four bytes at least."""
        count = self.integer(8 if self.wide else 4)
        if not 0 <= count <= self.size:
            self.fail(f"{count} items in a file of {self.size} bytes")
        return count

    def items(self, tag: int) -> int:
        """Return the length of a list that should have this tag."""
        found, count = self.integer(4), self.count()
        if found not in (0, tag) or (found == 0 and count) or 8 * count > self.size:
            self.fail(f"a list of {count} items with the tag {found}; expected {tag}")
        return count

    def name(self) -> str:
        return self.take(self.count()).decode("utf-8", "replace")

    def type(self) -> str:
        number = self.integer(4)
        if number not in _TYPES or (number > 6 and not self.wide):  # noqa: PLR2004 - those of CDF-5 only
            self.fail(f"type {number}")
        return _TYPES[number]

    def attributes(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for _ in range(self.items(_ATTRIBUTES)):
            name, code, count = self.name(), self.type(), self.count()
            raw = self.take(count * np.dtype(code).itemsize)
            if code == _TYPES[_CHARACTER]:
                found[name] = raw.rstrip(b"\0").decode("utf-8", "replace")
            else:
                values = np.frombuffer(raw, code).astype(np.dtype(code).newbyteorder("="))
                found[name] = values[0] if count == 1 else values
        return found


class _Entry(NamedTuple):
    """A variable of the header."""

    name: str
    dims: tuple[str, ...]
    sizes: tuple[int, ...]
    """Of a record, where it has records."""
    recorded: bool
    dtype: np.dtype[Any]
    attributes: dict[str, Any]
    begin: int

    @property
    def length(self) -> int:
        """Return the bytes of a record, or of the whole."""
        return self.dtype.itemsize * prod(self.sizes)


def read_classic(path: Path, file: BinaryIO) -> NetcdfGroup:
    """Return the one group of a classic netCDF file; values are read while the file is open.

    Raises
    ------
    FormatError
        The file is no such, is damaged, or declares more than it holds.
    """
    header = _Header(path, file)
    if header.data[:4] not in MAGIC:
        header.fail("no classic netCDF")
    width = 8 if header.wide else 4
    records = header.integer(width)
    dimensions = [(header.name(), header.integer(width)) for _ in range(header.items(_DIMENSIONS))]
    group = NetcdfGroup(header.attributes())
    entries = [_entry(header, dimensions) for _ in range(header.items(_VARIABLES))]
    recorded = [entry for entry in entries if entry.recorded]
    # The only variable with records is not filled up to a multiple of four.
    stride = recorded[0].length if len(recorded) == 1 else sum(-(-entry.length // 4) * 4 for entry in recorded)
    first = min((entry.begin for entry in recorded), default=0)
    if records < 0:  # written as a stream, whose end is that of the file
        records = (header.size - first) // stride if stride else 0
    if sum(entry.length * (records if entry.recorded else 1) for entry in entries) > header.size:
        raise FormatError(f"{path}: values of more bytes than the {header.size} of the file")
    area = _Area(header, first, records, stride)
    for entry in entries:
        if entry.name in group.variables:
            header.fail(f"two variables are called {entry.name}")
        end = entry.begin + entry.length + (stride * (records - 1) if entry.recorded else 0)
        if entry.begin < 0 or (end > header.size and (records or not entry.recorded)):
            raise FormatError(
                f"{path}: {entry.name}: values from {entry.begin} to {end}; the file ends at {header.size}"
            )
        shape = (records, *entry.sizes) if entry.recorded else entry.sizes
        group.variables[entry.name] = NetcdfVariable(
            entry.dims, shape, entry.dtype.newbyteorder("="), entry.attributes, partial(area.values, entry)
        )
    return group


def _entry(header: _Header, dimensions: list[tuple[str, int]]) -> _Entry:
    name, rank = header.name(), header.count()
    if rank > _RANK:
        header.fail(f"{name} has {rank} dimensions")
    numbers = [header.integer(8 if header.wide else 4) for _ in range(rank)]
    if any(not 0 <= number < len(dimensions) for number in numbers):
        header.fail(f"{name} has the dimensions {numbers} of {len(dimensions)}")
    attributes = header.attributes()
    dtype = np.dtype(header.type())
    header.integer(8 if header.wide else 4)  # its size, which does not hold what is larger than 4 GB
    begin = header.integer(8 if header.wide_offsets else 4)
    along = [dimensions[number] for number in numbers]
    recorded = bool(along) and along[0][1] == 0
    sizes = tuple(size for _, size in along[recorded:])
    if any(size < 1 for size in sizes):
        header.fail(f"{name} has the sizes {sizes}")
    return _Entry(name, tuple(one for one, _ in along), sizes, recorded, dtype, attributes, begin)


class _Area:
    """The values of a file, and its records, in which those of all variables lie by turns."""

    def __init__(self, header: _Header, first: int, records: int, stride: int) -> None:
        self._header, self._first, self._records, self._stride = header, first, records, stride
        self._bytes: bytearray | None = None

    def values(self, entry: _Entry) -> NDArray[Any]:
        """Return the values of a variable in the byte order of this machine."""
        native, count = entry.dtype.newbyteorder("="), self._records
        if not entry.recorded:
            found = np.frombuffer(self._read(entry.begin, entry.length), entry.dtype).reshape(entry.sizes)
        elif not count:
            found = np.empty((0, *entry.sizes), native)
        elif self._stride > _LONG:
            rows = b"".join(self._read(entry.begin + row * self._stride, entry.length) for row in range(count))
            found = np.frombuffer(rows, entry.dtype).reshape(count, *entry.sizes)
        else:
            if self._bytes is None:
                size = count * self._stride
                self._bytes = self._read(self._first, min(size, self._header.size - self._first))
                self._bytes += bytes(size - len(self._bytes))
            # Of the last record the file may lack the bytes that fill it up.
            layout = {"names": ["v"], "formats": [(entry.dtype, entry.sizes)], "offsets": [entry.begin - self._first]}
            found = np.frombuffer(self._bytes, np.dtype({**layout, "itemsize": self._stride}))["v"]  # type: ignore[call-overload]
        return found.astype(native)

    def _read(self, offset: int, size: int) -> bytearray:
        found = bytearray(size)
        place = memoryview(found)
        while place:
            got = os.preadv(self._header.file.fileno(), [place], offset)
            if not got:
                self._header.fail("the file ends amid values")
            place, offset = place[got:], offset + got
        return found
