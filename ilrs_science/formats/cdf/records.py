"""The internal records of a CDF file, versions 2 and 3: each is looked at once, and no size in them is believed.

Layout: CDF Internal Format Description (NASA GSFC Space Physics Data Facility), version 3.8. The records of a file are
linked lists of offsets, so that damaged ones can go round in a circle or lie over each other. As each byte belongs to
one record at most, the records that were met may not hold more than the file.
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from ilrs_science.errors import FormatError

CDR, GDR, RVDR, ADR, AGREDR, VXR, VVR, ZVDR, AZEDR, CCR, CPR, CVVR = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13
_LAYOUTS = {
    CDR: "oiiii",
    GDR: "oooo5i",
    RVDR: "oiiooii3i",
    ADR: "ooiiiiioiii",
    AGREDR: "oiiiii4i",
    VXR: "oii",
    VVR: "",
    CCR: "ooi",
    CPR: "iiii",
    CVVR: "io",
}
"""The fields after size and type; `o` is an offset or a size, 8 bytes in version 3 and 4 in version 2."""
_NAMES = {GDR: "file", RVDR: "variable", ADR: "attribute", AGREDR: "attribute entry", VXR: "index", VVR: "value"}
INFLATION = 1032
"""No byte of a deflate stream stands for more, nor does one of coded run lengths."""
_NONE, _RUNS, _GZIP = 0, 1, 5
_WHOLE = 2**20
"""Bytes of a file that is read at once, as its headers are many small pieces."""
_RUN = re.compile(rb"\0(.)", re.DOTALL)


@cache
def layout(kind: int, wide: bool) -> struct.Struct:
    """Return size, type and fields of a kind of record; `wide` from version 3 on."""
    return struct.Struct(">" + ("oi" + _LAYOUTS[kind]).replace("o", "q" if wide else "i"))


class CdfRecords:
    """The bytes of a CDF file, or what they inflate to, as records.

    Parameters
    ----------
    path
        Its name in messages.
    file
        Open at its start; stays open while records are read.

    Attributes
    ----------
    wide
        Whether offsets have 8 bytes, as from version 3 on.
    size
        Bytes that the records share.
    """

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path, self._file = path, file
        self.size = os.fstat(file.fileno()).st_size
        self._data = file.read() if self.size <= _WHOLE else None
        self._shift = 0
        self._met: set[int] = set()
        self._spent = 0
        magic = self.read(0, 8, "a CDF file")
        if magic[:4] not in (b"\xcd\xf3\x00\x01", b"\xcd\xf2\x60\x02", b"\x00\x00\xff\xff"):
            self.fail(0, "no CDF file")
        self.wide = magic[:2] == b"\xcd\xf3"
        if magic[4:] == b"\xcc\xcc\x00\x01":
            self._inflate()
        elif magic[4:] != b"\x00\x00\xff\xff":
            self.fail(4, "no CDF file")

    def fail(self, offset: int, reason: str) -> NoReturn:
        """Raise a FormatError that names the file and the place."""
        raise FormatError(f"{self.path}: byte {offset}: {reason}")

    def read(self, offset: int, size: int, what: str) -> bytes:
        """Return bytes of the file, all of them or none."""
        begin = offset - self._shift
        if size < 0 or begin < 0 or begin + size > self.size:
            self.fail(offset, f"{what} of {size} bytes is not within the {self.size} of the file")
        if self._data is not None:
            return self._data[begin : begin + size]
        return os.pread(self._file.fileno(), size, begin)

    def read_into(self, place: memoryview, offset: int) -> None:
        """Fill memory with bytes of the file."""
        if self._data is not None:
            place[:] = self.read(offset, len(place), "values")
            return
        while place:
            got = os.preadv(self._file.fileno(), [place], offset)
            if not got:
                self.fail(offset, "the file ends amid values")
            place, offset = place[got:], offset + got

    def fields(self, offset: int, kind: int) -> tuple[int, ...]:
        """Return size, type and fields at an offset, whatever is there."""
        shape = layout(kind, self.wide)
        return shape.unpack(self.read(offset, shape.size, f"{_NAMES.get(kind, 'header')} record"))

    def record(self, offset: int, *kinds: int) -> tuple[bytes, tuple[int, ...]]:
        """Return the bytes and the fields of a record of one of these kinds, which are alike; no bytes of values.

        Raises
        ------
        FormatError
            It is none, was met before, or lies over others.
        """
        what = _NAMES.get(kinds[0], "header")
        if offset in self._met:
            self.fail(offset, f"{what} record that is linked twice")
        self._met.add(offset)
        fields = self.fields(offset, kinds[0])
        size, kind = fields[:2]
        if kind not in kinds or size < layout(kinds[0], self.wide).size:
            self.fail(offset, f"{what} record of type {kind} and {size} bytes")
        self._spent += size
        if self._spent > self.size:
            self.fail(offset, f"{what} record of {size} bytes is more than the file has left")
        return b"" if kind in (VVR, CVVR, CCR) else self.read(offset, size, f"{what} record"), fields

    def chain(self, offset: int, count: int, *kinds: int) -> Iterator[tuple[int, bytes, tuple[int, ...]]]:
        """Yield offset, bytes and fields of records each of which names the next."""
        for number in range(count):
            if offset <= 0:
                self.fail(0, f"{number} {_NAMES[kinds[0]]} records; expected {count}")
            head, fields = self.record(offset, *kinds)
            yield offset, head, fields
            offset = fields[2]

    def compression(self, offset: int) -> int:
        """Return the number of a compression, whose parameters lie at an offset."""
        return self.fields(offset, CPR)[2]

    def unpack(self, offset: int, stored: int, size: int, compression: int) -> bytes:
        """Return the bytes that so many compressed ones hold.

        Raises
        ------
        FormatError
            They are fewer, or are damaged, or the compression is none of run lengths and gzip.
        """
        packed = self.read(offset, stored, "compressed values")
        if compression == _NONE:
            data = packed
        elif compression == _RUNS:
            data = _RUN.sub(lambda run: bytes(run[1][0] + 1), packed)
        elif compression == _GZIP:
            try:
                data = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32).decompress(packed, max(size, 1))
            except zlib.error as error:
                self.fail(offset, f"damaged gzip ({error})")
        else:
            self.fail(offset, f"compression {compression} is not read here; only run lengths (1) and gzip (5)")
        if len(data) < size:
            self.fail(offset, f"{stored} compressed bytes hold {len(data)}; expected {size}")
        return data[:size]

    def _inflate(self) -> None:
        """Put what a file that is compressed as a whole holds in its place."""
        _, (size, _, parameters, whole, _) = self.record(8, CCR)
        begin = layout(CCR, self.wide).size
        if not 0 <= whole <= INFLATION * size:
            self.fail(8, f"{size} compressed bytes are said to hold {whole}")
        self._data = self.unpack(8 + begin, size - begin, whole, self.compression(parameters))
        self.size, self._shift, self._met, self._spent = whole, 8, set(), 0


def until_zero(raw: Any) -> str:
    """Return text of a fixed width, which ends at its first zero byte."""
    return text(bytes(raw).partition(b"\0")[0])


def text(raw: bytes) -> str:
    """Return text without the blanks and zeros that fill it up; what is not UTF-8 is Latin-1."""
    raw = raw.rstrip(b"\0 ")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
