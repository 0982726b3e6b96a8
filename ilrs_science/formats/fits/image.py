"""Images of FITS files, plain and compressed in tiles, in their own types: no detour through reals of 64 bits."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ilrs_science.errors import FormatError, IlrsError
from ilrs_science.formats.fits.header import Hdu
from ilrs_science.formats.fits.tiles import tiles
from ilrs_science.formats.fits.values import TYPES, scaled
from ilrs_science.formats.fits.wcs import Sections, axes, axis_names
from ilrs_science.formats.format import unit_attributes


def image(path: Path, hdu: Hdu, section: Sections | None) -> tuple[xr.Variable, dict[str, xr.Variable]]:
    """Return an image and the coordinates of its axes.

    Parameters
    ----------
    path
        The file.
    hdu
        Of the kind `image` or `compressed`.
    section
        A slice for each axis in the order of NumPy; all of the image where None.

    Raises
    ------
    FormatError
        Its tiles are damaged, or declare more than they can hold.
    """
    shape, cards = hdu.shape, hdu.cards
    raw = (tiles if hdu.kind == "compressed" else _pixels)(path, hdu, shape, section)
    values, about = scaled(raw, cards.number("BSCALE"), cards.number("BZERO"), cards.get("BLANK"))
    about |= unit_attributes(cards.text("BUNIT", "UNIT"))
    return xr.Variable(axis_names(len(shape)), values, about), axes(cards, shape, section)


def within(hdu: Hdu, section: Sections) -> Sections:
    """Return a section with all its limits set.

    Raises
    ------
    IlrsError
        It is not a slice for each axis, or goes backwards.
    """
    shape = hdu.shape
    if len(section) != len(shape) or any((one.step or 1) < 1 for one in section):
        raise IlrsError(f"{hdu.where}: section {section}; it must be a forward slice for each axis of {shape}")
    return tuple(slice(*one.indices(length)) for one, length in zip(section, shape, strict=True))


def _pixels(path: Path, hdu: Hdu, shape: tuple[int, ...], section: Sections | None) -> NDArray[Any]:
    stored = np.dtype(TYPES[hdu.cards.get("BITPIX")])
    if prod(shape) * stored.itemsize != hdu.size:
        raise FormatError(f"{hdu.where}: {hdu.size} bytes of data for an image of {shape}; PCOUNT or GCOUNT is wrong")
    stored_values = np.asarray(np.memmap(path, stored, "r", hdu.start, shape))
    return stored_values if section is None else stored_values[section]
