"""World coordinates of FITS images: axes that are linear and stand alone as coordinates, the rest through astropy.

FITS Standard 4.0, section 8; Greisen and Calabretta 2002, A&A 395, 1061.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from ilrs_science.errors import IlrsError
from ilrs_science.formats.fits.cards import Cards
from ilrs_science.formats.foreign import foreign
from ilrs_science.formats.format import unit_attributes

_LETTERS = ("x", "y", "z")
_ALGORITHM = re.compile(r".{4}-(?:[A-Z0-9]{3}|-[A-Z]{2})")
"""CTYPE with the code of an algorithm, as in RA---TAN and WAVE-LOG: not linear."""
_CELESTIAL = 2
_MATRIX = re.compile(r"(PC|CD)0*(\d+)_0*(\d+)")
_KEYWORD = re.compile(
    r"WCSAXES|(?:CTYPE|CUNIT|CRPIX|CRVAL|CDELT|CROTA)\d+|(?:PC|CD)\d+_\d+|P[VS]\d+_\d+"
    r"|LONPOLE|LATPOLE|RADESYS|RADECSYS|EQUINOX|EPOCH|RESTFRQ|RESTWAV|SPECSYS|VELREF"
)

Sections = tuple[slice, ...]


def axis_names(count: int) -> tuple[str, ...]:
    """Return the dimensions of an image in the order of NumPy: `x` for the fastest axis, then `y`, `z`, `axis4`..."""
    names = [*_LETTERS, *(f"axis{number}" for number in range(4, count + 1))]
    return tuple(reversed(names[:count]))


def axes(cards: Cards, shape: tuple[int, ...], section: Sections | None) -> dict[str, xr.Variable]:
    """Return coordinates of the axes whose world coordinate is linear and depends on that axis alone.

    Parameters
    ----------
    cards
        The header.
    shape
        Lengths of the whole image in the order of NumPy.
    section
        What of it was read.
    """
    found = {}
    mixed, diagonal = _matrix(cards, len(shape))
    for place, (name, length) in enumerate(zip(axis_names(len(shape)), shape, strict=True)):
        axis = len(shape) - place
        kind, step = cards.text(f"CTYPE{axis}"), cards.number(f"CDELT{axis}")
        if axis in diagonal:
            step = diagonal[axis] * (1.0 if step is None else step)
        value, pixel = cards.number(f"CRVAL{axis}"), cards.number(f"CRPIX{axis}")
        if axis in mixed or _ALGORITHM.fullmatch(kind) or not step or value is None:
            continue
        numbers = np.arange(1, length + 1, dtype=np.float64)[section[place] if section else slice(None)]
        unit = unit_attributes(cards.text(f"CUNIT{axis}"))
        about = {**({"long_name": kind} if kind else {}), **unit}
        found[name] = xr.Variable(name, value + (numbers - (pixel or 0.0)) * step, about)
    return found


def wcs(image: xr.Dataset) -> Any:
    """Return the `astropy.wcs.WCS` of an image that `read_fits` gave, built from the attributes it kept.

    Pixels are those of the array as it was read, a section too. Units are respelled where astropy would not know them.

    Parameters
    ----------
    image
        A dataset with the variable `image`, as read; what was selected from it later is not known here.

    Raises
    ------
    IlrsError
        There is no variable `image`.
    FormatError
        The keywords do not make a WCS.
    """
    if "image" not in image:
        raise IlrsError("no variable `image`; world coordinates are those of an image that read_fits gave")
    from astropy.io import fits  # noqa: PLC0415 - heavy
    from astropy.wcs import WCS  # noqa: PLC0415 - heavy

    with foreign("world coordinates", "FITS"):
        header = fits.Header()
        for keyword, value in _keywords(image.attrs).items():
            header[keyword] = value
        found = WCS(header, naxis=image["image"].ndim)
        taken = image.attrs.get("section")
        return WCS(_within(header, found, taken), naxis=image["image"].ndim) if taken else found


def _within(header: Any, whole: Any, section: list[list[int]]) -> Any:
    """Return the header of a part of an image: pixels shifted, and the columns of the matrix stretched by the steps."""
    starts, steps = (np.array([one[place] for one in reversed(section)], np.float64) for place in (0, 2))
    pixels = (whole.wcs.crpix - 1 - starts) / steps + 1
    found = header.copy()
    name = "CD" if whole.wcs.has_cd() else "PC"
    # wcslib makes CD and CDELT those of SI units, the header has its own; PC has no unit.
    given = [[header.get(f"CD{i + 1}_{j + 1}", 0.0) for j in range(len(steps))] for i in range(len(steps))]
    matrix = np.asarray(given if name == "CD" else whole.wcs.get_pc(), np.float64) * steps
    for keyword in [keyword for keyword in header if keyword.startswith("CROTA")]:
        del found[keyword]
    for i in range(len(steps)):
        found[f"CRPIX{i + 1}"] = pixels[i]
        for j in range(len(steps)):
            found[f"{name}{i + 1}_{j + 1}"] = matrix[i, j]
    return found


def _keywords(attributes: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for keyword, value in attributes.items():
        if not _KEYWORD.fullmatch(keyword) or isinstance(value, list):
            continue
        if keyword.startswith("CUNIT"):
            value = unit_attributes(str(value)).get("units", "")  # noqa: PLW2901 - as the header should have it
        found[keyword] = value
    return found


def _matrix(cards: Cards, count: int) -> tuple[set[int], dict[int, float]]:
    """Return the axes that a matrix or a rotation mixes with others, and the diagonal of the matrix, by axis."""
    mixed: set[int] = set()
    diagonal: dict[int, float] = {}
    for keyword in cards.places:
        match = _MATRIX.fullmatch(keyword)
        value = cards.number(keyword)
        if match and value is not None:
            row, column = int(match[2]), int(match[3])
            if row == column:
                diagonal[row] = float(value)
            elif value:
                mixed |= {row, column}
    for axis in range(1, count + 1):
        if cards.number(f"CROTA{axis}"):
            mixed |= {axis, *range(1, _CELESTIAL + 1)}
    return mixed, diagonal
