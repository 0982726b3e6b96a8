"""The frame of a FITS file: its headers, and where its data units lie, checked against the size of the file.

FITS Standard 4.0 (IAU FITS Working Group, 2018), sections 3 and 7.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import BinaryIO

from ilrs_science.errors import FormatError
from ilrs_science.formats.fits.cards import CARD, Cards

BLOCK = 2880
_LONGEST = 20_000
"""Blocks of a header; beyond that, its end is missing."""
_AXES = 32
_COLUMNS = 999
_KINDS = {
    "IMAGE": "image",
    "IUEIMAGE": "image",
    "BINTABLE": "bintable",
    "A3DTABLE": "bintable",
    "TABLE": "table",
}


@dataclass(frozen=True)
class Hdu:
    """A header and the place of its data."""

    number: int
    kind: str
    """`image`, `compressed` (an image in tiles), `bintable`, `table` (ASCII), `empty`, or else what XTENSION says."""
    cards: Cards
    start: int
    """First byte of the data in the file."""
    size: int
    """Bytes of the data without padding."""

    @property
    def where(self) -> str:
        """File and HDU, for messages."""
        return self.cards.where

    @property
    def name(self) -> str:
        """EXTNAME, or nothing."""
        return self.cards.text("EXTNAME")

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes in the order of NumPy; of the image in a compressed one."""
        prefix = "ZNAXIS" if self.kind == "compressed" else "NAXIS"
        count = self.cards.count(prefix)
        if count > _AXES:
            raise FormatError(f"{self.where}: {prefix} is {count}; at most {_AXES} axes are read")
        return tuple(self.cards.count(f"{prefix}{axis}") for axis in range(count, 0, -1))

    @property
    def rows(self) -> tuple[int, int]:
        """Bytes of a row of a table, and the number of rows.

        Raises
        ------
        FormatError
            The header is not that of a table.
        """
        cards = self.cards
        fine = cards.get("BITPIX") == 8 and cards.count("NAXIS") == 2 and cards.count("TFIELDS") <= _COLUMNS  # noqa: PLR2004
        width, count = (cards.count("NAXIS1"), cards.count("NAXIS2")) if fine else (0, 1)
        if not fine or (count and not width) or width * count > self.size:
            raise FormatError(
                f"{self.where}: no table: it needs BITPIX 8, NAXIS 2, at most {_COLUMNS} columns and rows in its data"
            )
        return width, count


READ = ("image", "compressed", "bintable", "table")
"""Kinds of HDU that hold something to read."""


@dataclass(frozen=True)
class Frame:
    """The HDUs of a file."""

    path: Path
    hdus: list[Hdu]
    rest: int
    """Bytes after the last HDU."""

    @property
    def held(self) -> list[Hdu]:
        """Return those that hold something to read."""
        return [hdu for hdu in self.hdus if hdu.kind in READ]

    @property
    def rejected(self) -> dict[str, int]:
        """Return what is in the file and is not read."""
        unread = [hdu.kind for hdu in self.hdus if hdu.kind not in (*READ, "empty")]
        reasons = {f"extension {kind}, which is of no known kind": unread.count(kind) for kind in unread}
        return {**reasons, **({"bytes after the last HDU": self.rest} if self.rest else {})}


def frame(path: Path) -> Frame:
    """Return the HDUs of a file, without touching their data.

    Raises
    ------
    FormatError
        It is no FITS file, a header is damaged, or the file is shorter than its headers declare.
    OSError
        There is no such file.
    """
    hdus: list[Hdu] = []
    with path.open("rb") as file:
        length = os.fstat(file.fileno()).st_size
        start = 0
        while start < length:
            file.seek(start)
            first = file.read(BLOCK)
            if hdus and not first.startswith(b"XTENSION"):
                break
            hdu = _hdu(path, len(hdus), file, first, start)
            if hdu.start + hdu.size > length:
                raise FormatError(
                    f"{hdu.where}: declares {hdu.size} bytes of data from byte {hdu.start}; the file ends at {length}"
                )
            hdus.append(hdu)
            start = hdu.start + -(-hdu.size // BLOCK) * BLOCK
    if not hdus:
        raise FormatError(f"{path}: an empty file, no FITS")
    return Frame(path, hdus, max(length - start, 0))


def unique(name: str, names: set[str]) -> str:
    """Return a name that is none of these, and add it to them: `name`, `name_2`, `name_3`."""
    number, found = 1, name
    while found in names:
        number += 1
        found = f"{name}_{number}"
    names.add(found)
    return found


def _hdu(path: Path, number: int, file: BinaryIO, first: bytes, start: int) -> Hdu:
    where = f"{path}, HDU {number}"
    if not number and not first.startswith(b"SIMPLE  ="):
        raise FormatError(f"{path}: starts with {first[:9]!r}; a FITS file starts with b'SIMPLE  ='")
    raw = _header(where, file, first, start)
    cards = Cards(where, raw[: _end(raw)].decode("latin-1"))
    data = start + len(raw)
    size, kind = _size(cards), _kind(cards, number)
    if not size and kind not in ("bintable", "table"):
        kind = "empty"
    return Hdu(number, kind, cards, data, size)


def _header(where: str, file: BinaryIO, first: bytes, start: int) -> bytes:
    """Return the blocks of a header, END included."""
    blocks = [first]
    while _end(blocks[-1]) < 0:
        block = file.read(BLOCK)
        if len(block) < BLOCK or len(blocks) >= _LONGEST:
            raise FormatError(f"{where}: the header from byte {start} has no END")
        blocks.append(block)
    if len(blocks[-1]) < BLOCK:
        raise FormatError(f"{where}: the file ends within the header from byte {start}")
    return b"".join(blocks)


def _end(raw: bytes) -> int:
    """Return the place of the card END, or -1."""
    place = raw.find(b"END     ")
    while place >= 0 and (place % CARD or raw[place + 8 : place + CARD].strip()):
        place = raw.find(b"END     ", place + 1)
    return place


def _size(cards: Cards) -> int:
    axes = cards.count("NAXIS")
    bits = cards.get("BITPIX")
    if isinstance(bits, bool) or bits not in (8, 16, 32, 64, -32, -64):
        raise FormatError(f"{cards.where}: BITPIX is {bits!r}; it must be 8, 16, 32, 64, -32 or -64")
    if axes > 999:  # noqa: PLR2004 - FITS 4.0, table 7
        raise FormatError(f"{cards.where}: NAXIS is {axes}; it must be at most 999")
    lengths = [cards.count(f"NAXIS{axis + 1}") for axis in range(axes)]
    if cards.get("GROUPS") is True and lengths and not lengths[0]:
        raise FormatError(f"{cards.where}: random groups, which are not read")
    values = cards.count("PCOUNT", 0) + (prod(lengths) if lengths else 0)
    return abs(int(bits)) // 8 * cards.count("GCOUNT", 1) * values


def _kind(cards: Cards, number: int) -> str:
    name = "IMAGE" if not number else cards.text("XTENSION")
    kind = _KINDS.get(name, name or "without a name")
    if kind == "bintable" and cards.get("ZIMAGE") is True:
        return "compressed"
    return kind
