"""Images that are compressed in tiles (FITS Standard 4.0, section 10), by astropy, once their settings are possible.

Read are RICE_1, GZIP_1, GZIP_2 and NOCOMPRESS. The decoder of HCOMPRESS_1 that astropy has from cfitsio writes outside
of its memory when the bytes are damaged; it is refused, and so is PLIO_1, whose decoder is of the same kind.
"""

from __future__ import annotations

import zlib
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ilrs_science.errors import FormatError
from ilrs_science.formats.fits.header import Hdu
from ilrs_science.formats.fits.table import cell_places, declared
from ilrs_science.formats.fits.values import TYPES
from ilrs_science.formats.fits.wcs import Sections
from ilrs_science.formats.foreign import foreign

_INFLATION = 1100
"""Deflate, the densest of these codes, shrinks to no less than 1/1032."""
_SMALL = 2**20
_LARGE = 2**26
"""Bytes that a tile may inflate to before it is looked at beforehand."""
_WIDEST = 8
_CODES = ("RICE_1", "RICE_ONE", "GZIP_1", "GZIP_2", "NOCOMPRESS")
_RICE = {"BLOCKSIZE": (16, 32), "BYTEPIX": (1, 2, 4)}
_AUTOMATIC = 32
"""Of `wbits`: gzip or zlib, as the bytes have it."""


def tiles(path: Path, hdu: Hdu, shape: tuple[int, ...], section: Sections | None) -> NDArray[Any]:
    """Return an image that is compressed in tiles, before scaling.

    Parameters
    ----------
    path
        The file.
    hdu
        Of the kind `compressed`.
    shape
        Of the whole image.
    section
        What of it to read; all where None.

    Raises
    ------
    FormatError
        Tiles are damaged, are of another code, or declare more than they can hold.
    """
    from astropy.io import fits  # noqa: PLC0415 - heavy

    _check_code(hdu)
    _check_sizes(hdu, shape)
    _check_inflation(path, hdu, shape)
    # Not mapped: astropy's tables touch their map when they are collected, which is a bus error once the file shrank.
    with (
        foreign(hdu.where, "FITS"),
        fits.open(path, mode="readonly", memmap=False, do_not_scale_image_data=True, lazy_load_hdus=True) as file,
    ):
        found = np.asarray(file[hdu.number].section[... if section is None else section])
        return found if found.flags.writeable else found.copy()


def _check_code(hdu: Hdu) -> None:
    cards = hdu.cards
    code, bits = cards.text("ZCMPTYPE"), cards.get("ZBITPIX")
    if code not in _CODES or bits not in TYPES or isinstance(bits, bool):
        known = ", ".join(_CODES)
        raise FormatError(
            f"{hdu.where}: ZCMPTYPE {code!r}, ZBITPIX {bits!r}; read are {known}; unpack others with funpack"
        )
    for number in range(1, 1000):
        name = cards.text(f"ZNAME{number}")
        if not name:
            break
        if code.startswith("RICE") and name in _RICE and cards.get(f"ZVAL{number}") not in _RICE[name]:
            raise FormatError(f"{hdu.where}: {name} is {cards.get(f'ZVAL{number}')!r}; it must be of {_RICE[name]}")


def _check_sizes(hdu: Hdu, shape: tuple[int, ...]) -> None:
    cards = hdu.cards
    size = prod(shape) * abs(cards.get("ZBITPIX")) // 8
    if size > max(_SMALL, _INFLATION * hdu.size):
        raise FormatError(f"{hdu.where}: an image of {size} bytes in {hdu.size}; no code is as dense")
    lengths = _lengths(hdu, shape)
    if not all(lengths) or not shape:
        raise FormatError(f"{hdu.where}: tiles of {lengths} for an image of {shape}")
    count = prod(-(-length // tile) for length, tile in zip(shape, lengths, strict=True))
    if count != cards.count("NAXIS2"):
        raise FormatError(f"{hdu.where}: {cards.count('NAXIS2')} rows for {count} tiles")


def _check_inflation(path: Path, hdu: Hdu, shape: tuple[int, ...]) -> None:
    """Refuse large tiles that inflate to more than their pixels; astropy inflates without a limit."""
    most = _WIDEST * prod(min(pair) for pair in zip(shape, _lengths(hdu, shape), strict=True))
    gzip = hdu.cards.text("ZCMPTYPE").startswith("GZIP")
    for column in declared(hdu):
        if not column.element or column.name not in ("COMPRESSED_DATA" if gzip else "", "GZIP_COMPRESSED_DATA"):
            continue
        places = cell_places(path, hdu, column)
        for length, start in places[places[:, 0] * _INFLATION > _LARGE].tolist():
            with foreign(hdu.where, "FITS"), path.open("rb") as file:
                file.seek(hdu.start + hdu.cards.count("THEAP", prod(hdu.rows)) + start)
                unpack = zlib.decompressobj(wbits=zlib.MAX_WBITS | _AUTOMATIC)
                found = len(unpack.decompress(file.read(min(length, hdu.size)), most + 1))
            if found > most:
                raise FormatError(f"{hdu.where}: a tile inflates to more than {most} bytes, which its pixels have")


def _lengths(hdu: Hdu, shape: tuple[int, ...]) -> list[int]:
    """Return the lengths of a tile in the order of NumPy; a row of the image where the header has none."""
    return [hdu.cards.count(f"ZTILE{n}", shape[-1] if n == 1 else 1) for n in range(len(shape), 0, -1)]
