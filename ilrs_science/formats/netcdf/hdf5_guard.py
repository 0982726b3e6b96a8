"""HDF5 as its library reads it: every byte goes through our hands, and what would make it hang is not shown it.

The library believes the lengths in data of variable length (it asks for the memory at once) and the sizes within the
heaps that hold them (an object of no size is read for ever). Both are looked at here before it may read such data.
Layouts: HDF5 File Format Specification 3.0, III.E (global heap), IV.A (object headers and their messages).
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ilrs_science.errors import FormatError

HEAP_ID = np.dtype([("length", "<u4"), ("heap", "<u8"), ("object", "<u4")])
"""What stands in the place of a value of variable length."""
_VARIABLE_LENGTH = 9
_MARGIN = 300
_FILL = (4, 5)
_CONTINUATION = 16
_SHARED = 2
_BLOCKS = 1000
_OF_DATA = 2**22
"""A longer read is one of data."""


class GuardedFile(io.RawIOBase):
    """A file that remembers what was read of it, and can be read only so often.

    Parameters
    ----------
    path
        Its name in messages.
    file
        Open, unbuffered or not; its position does not matter.
    """

    def __init__(self, path: Path, file: BinaryIO) -> None:
        super().__init__()
        self.path = path
        self.size = os.fstat(file.fileno()).st_size
        self.ranges: list[tuple[int, int]] = []
        self.remembers = True
        self._file = file
        self._at = 0
        self._reads = 0
        self._total = 0

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def seekable(self) -> bool:
        """Return that it has positions."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a position."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        return self._at

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def readinto(self, place: Any) -> int:
        """Fill memory from the position on, and remember it."""
        count = os.preadv(self._file.fileno(), [place], self._at)
        self._reads += 1
        self._total += count
        if self._reads > self.size + 10_000 or self._total > 16 * self.size + 2**26:
            raise FormatError(f"{self.path}: damaged HDF5 (its structures are read again and again)")
        if count < _OF_DATA:
            if bytes(memoryview(place)[:4]) == b"GCOL":
                heap_objects(self, self._at)
            if self.remembers:
                self.ranges.append((self._at, self._at + count))
        self._at += count
        return count

    def bytes_at(self, offset: int, size: int) -> bytes:
        """Return bytes that lie in the file; fewer at its end."""
        if size <= 0 or not 0 <= offset < self.size:
            return b""
        return os.pread(self._file.fileno(), min(size, self.size - offset), offset)


class Heaps:
    """The values of variable length of a file.

    Parameters
    ----------
    file
        The file.
    base
        Where its addresses begin, after a user block.
    """

    def __init__(self, file: GuardedFile, base: int) -> None:
        self._file, self._base = file, base
        self._heaps: dict[int, dict[int, tuple[int, int]] | None] = {}
        self._scanned: dict[str, tuple[int, int]] = {}

    def vet(self, attribute: str) -> bool:
        """Return whether attributes of this name were found among what was read, and may be read by the library.

        Those that were once written and are no longer in use are looked at too.

        Raises
        ------
        FormatError
            The library would ask for too much memory, or hang.
        """
        begin, found = self._scanned.get(attribute, (0, 0))
        name = attribute.encode() + b"\0"
        for first, last in self._file.ranges[begin:]:
            start = max(first - _MARGIN, 0)
            data = self._file.bytes_at(start, last - start + _MARGIN)
            at = data.find(name)
            while at >= 0:
                found += self._is_harmless(start + at, attribute, len(name))
                at = data.find(name, at + 1)
        self._scanned[attribute] = (len(self._file.ranges), found)
        return found > 0

    def vet_fill(self, address: int) -> bool:
        """Return whether the fill value of a dataset of texts may be read by the library, as it does by and by.

        Parameters
        ----------
        address
            Of its header.

        Raises
        ------
        FormatError
            The library would ask for too much memory, or hang.
        """
        found = False
        for kind, flags, message in header_messages(self._file, self._base, address):
            found = True
            if kind not in _FILL:
                continue
            if flags & _SHARED or not message:
                return False
            begin = 4 if kind == _FILL[0] else (6 if message[0] > 2 else 8)  # noqa: PLR2004 - as the layout has it
            raw = message[begin : begin + 16]
            self._check(np.frombuffer(raw, HEAP_ID, len(raw) // 16), 1, "_FillValue")
        return found

    def texts(self, identifiers: NDArray[Any], name: str) -> NDArray[Any]:
        """Return the texts that stand for heap identifiers, an array of the same shape.

        Raises
        ------
        FormatError
            One is not there, or all are far longer than the file.
        """
        ids = identifiers.ravel()
        if int(ids["length"].sum(dtype=np.int64)) > 16 * self._file.size:
            raise FormatError(f"{self._file.path}: {name}: texts that are longer than the file")
        out = []
        for length, address, number in ids.tolist():
            objects = self._objects(address) if length else {}
            where = (objects or {}).get(number, (0, 0))
            if where[1] < length:
                raise FormatError(f"{self._file.path}: {name}: a text of {length} bytes at {address} is not there")
            out.append(self._file.bytes_at(where[0], length).rstrip(b"\0").decode("utf-8", "replace"))
        return np.array(out or [""], "U")[: len(out)].reshape(identifiers.shape)

    def _is_harmless(self, at: int, name: str, width: int) -> bool:
        """Return whether an attribute message of variable length has its name here; refuse what would do harm."""
        head = self._file.bytes_at(at - 9, 9)
        for version, back in ((1, 8), (2, 8), (3, 9)):
            first = head[len(head) - back :] if len(head) >= back else b"\0" * 9
            sizes = struct.unpack_from("<HHH", first, 2)
            if first[0] == version and sizes[0] == width:
                step = 8 if version == 1 else 1
                name_size, type_size, space_size = (-(-size // step) * step for size in sizes)
                after = self._file.bytes_at(at + name_size, type_size + space_size)
                kind, space = after[:type_size], after[type_size:]
                if len(kind) < 16 or kind[0] & 15 != _VARIABLE_LENGTH or len(space) < 4:  # noqa: PLR2004
                    continue
                count = _count(space)
                raw = self._file.bytes_at(at + len(after) + name_size, 16 * min(count, self._file.size))
                self._check(np.frombuffer(raw, HEAP_ID, len(raw) // 16), int.from_bytes(kind[12:16], "little"), name)
                return True
        return False

    def _check(self, ids: NDArray[Any], size: int, name: str) -> None:
        longest = int(ids["length"].max(initial=0)) * size
        if longest > self._file.size:
            raise FormatError(f"{self._file.path}: attribute {name}: a value of {longest} bytes")
        for address in np.unique(ids["heap"][ids["length"] > 0]).tolist():
            self._objects(address)

    def _objects(self, address: int) -> dict[int, tuple[int, int]] | None:
        """Return where the objects of a heap lie, or nothing where there is no heap."""
        if address not in self._heaps:
            self._heaps[address] = heap_objects(self._file, self._base + address)
        return self._heaps[address]


def heap_objects(file: GuardedFile, start: int) -> dict[int, tuple[int, int]] | None:
    """Return offset and length of the objects of a heap by number, or nothing where there is no heap.

    Raises
    ------
    FormatError
        The library would read the heap for ever.
    """
    head = file.bytes_at(start, 16)
    if head[:4] != b"GCOL" or len(head) < 16:  # noqa: PLR2004 - the length of the head
        return None
    size = int.from_bytes(head[8:], "little")
    data = file.bytes_at(start, size) if size <= file.size - start else b""
    objects, at = {}, 16
    while at + 16 <= len(data):
        number, _, _, length = struct.unpack_from("<HHIQ", data, at)
        step = length if number == 0 else 16 + -(-length // 8) * 8
        if step < 16 or at + step > len(data):  # noqa: PLR2004 - the length of the head of an object
            raise FormatError(f"{file.path}: byte {start + at}: heap object of {length} bytes")
        objects[number] = (start + at + 16, length)
        at += step
    return objects


def header_messages(file: GuardedFile, base: int, address: int) -> Iterator[tuple[int, int, bytes]]:
    """Yield type, flags and bytes of the messages in the header of an object (IV.A.1); nothing where there is none."""
    head = file.bytes_at(base + address, 28)
    modern = head[:4] == b"OHDR"
    if modern and len(head) > 13:  # noqa: PLR2004 - those that are read here
        flags = head[5]
        start = 6 + (16 if flags & 32 else 0) + (4 if flags & 16 else 0)
        width = 1 << (flags & 3)
        size = int.from_bytes(head[start : start + width], "little")
        layout, blocks = struct.Struct("<BHB2x" if flags & 4 else "<BHB"), [(base + address + start + width, size)]
    elif head[:1] == b"\1" and len(head) > 16:  # noqa: PLR2004
        layout, blocks = struct.Struct("<HHB3x"), [(base + address + 16, int.from_bytes(head[8:12], "little"))]
    else:
        return
    for begin, size in blocks:  # grows as continuations are met
        data, at = file.bytes_at(begin, min(size, file.size)), 0
        while at + layout.size <= len(data):
            kind, length, flags = layout.unpack_from(data, at)
            message = data[at + layout.size : at + layout.size + length]
            at += layout.size + length
            if kind == _CONTINUATION and len(message) >= 16 and len(blocks) < _BLOCKS:  # noqa: PLR2004 - two numbers
                place, more = struct.unpack_from("<QQ", message)
                blocks.append((base + place + 4, more - 8) if modern else (base + place, more))
            yield kind, flags, message


def _count(space: bytes) -> int:
    """Return the number of elements of a dataspace message."""
    version, rank, _, kind = space[:4]
    if version > 1 and kind > 1:
        return 0
    begin = 8 if version == 1 else 4
    sizes = space[begin : begin + 8 * rank]
    return prod(np.frombuffer(sizes[: len(sizes) // 8 * 8], "<u8").tolist())
