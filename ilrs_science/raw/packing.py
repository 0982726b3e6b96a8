"""gzip, unpacked within measure."""

from __future__ import annotations

import zlib
from pathlib import Path

from ilrs_science.errors import FormatError

_GZIP = b"\x1f\x8b\x08"
_BLOCK = 2**20
INFLATION = 200
"""No table or image of an instrument shrinks to less than a two-hundredth."""
SMALL = 64 * 2**20
"""Up to this size anything may inflate, bytes."""


def is_gzip(head: bytes) -> bool:
    """Whether a file is packed, by its first bytes."""
    return head.startswith(_GZIP)


def plain_name(name: str) -> str:
    """Return the name of what a packed file holds."""
    return name[:-3] if name.lower().endswith(".gz") else name


def gunzip(packed: Path, plain: Path, url: str) -> None:
    """Unpack gzip in blocks, one member after the other.

    Raises
    ------
    FormatError
        It is damaged, cut short, or swells beyond measure; named by its URL.
    """
    most = max(SMALL, INFLATION * packed.stat().st_size)
    written = 0
    unpack = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    with packed.open("rb") as file, plain.open("wb") as out:
        block = file.read(_BLOCK)
        while block:
            try:
                data = unpack.decompress(block, _BLOCK)
            except zlib.error as error:
                raise FormatError(f"{url}: damaged gzip after {written} bytes ({error})") from error
            written += out.write(data)
            if written > most:
                raise FormatError(f"{url}: gzip that holds more than {most} bytes")
            if unpack.eof:
                rest = (unpack.unused_data or file.read(_BLOCK)).lstrip(b"\0")
                while not rest and (more := file.read(_BLOCK)):  # padding, as tapes leave it
                    rest = more.lstrip(b"\0")
                if not rest:
                    break
                unpack, block = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16), rest
            else:
                block = unpack.unconsumed_tail or file.read(_BLOCK)
        if not unpack.eof:
            raise FormatError(f"{url}: gzip that is cut short after {written} bytes")
