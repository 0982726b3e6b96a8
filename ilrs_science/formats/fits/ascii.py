"""FITS tables of text (FITS Standard 4.0, section 7.2): columns at fixed places of lines of fixed length."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ilrs_science.errors import FormatError, IlrsError
from ilrs_science.formats.fits.header import Hdu, unique
from ilrs_science.formats.format import unit_attributes

_FORM = re.compile(r"\s*([AIFED])\s*(\d{0,6})(?:\.\d+)?\s*")
_AT_ONCE = 2**14
"""Texts that are stripped at once, which bounds the memory of their masks."""
_TYPES = {"I": np.int64, "F": np.float64, "E": np.float32, "D": np.float64}


def text_columns(path: Path, hdu: Hdu, columns: Sequence[str] | None) -> dict[str, xr.Variable]:
    """Return the columns of a table of text along `row`: text, int64, float32 (E) or float64 (F, D).

    Fields that are blank or TNULL are NaN; a column of integers that has some is float64.

    Raises
    ------
    FormatError
        A column lies outside of its lines, or a field is no number.
    IlrsError
        There is no such column.
    """
    cards = hdu.cards
    width, count = hdu.rows
    if count:
        lines = np.asarray(np.memmap(path, np.uint8, "r", hdu.start, (count, width)))
    else:
        lines = np.zeros((0, width), np.uint8)
    used = {"row"}
    names = [unique(column_name(hdu, n), used) for n in range(1, cards.count("TFIELDS") + 1)]
    for name in columns or ():
        if name not in names:
            raise IlrsError(f"{hdu.where}: no column {name!r}; its columns are {', '.join(names)}")
    found = {}
    for number, name in enumerate(names, 1):
        if columns is None or name in columns:
            about = dict(unit_attributes(cards.text(f"TUNIT{number}")))
            found[name] = xr.Variable("row", _column(hdu, number, lines), about)
    return found


def column_name(hdu: Hdu, number: int) -> str:
    """Return the name of a column; without `/`, which is that of a path in a tree."""
    return hdu.cards.text(f"TTYPE{number}").replace("/", "_") or f"column_{number}"


def strings(letters: NDArray[np.uint8]) -> NDArray[Any]:
    """Return text from bytes along the last axis: up to the first zero, without blanks at its end."""
    shape, width = letters.shape[:-1], letters.shape[-1]
    if not width or not letters.size:
        return np.zeros(shape, "U1")
    flat = letters.reshape(-1, width)
    codes = np.zeros(flat.shape, np.uint32)
    for start in range(0, len(flat), _AT_ONCE):
        part = flat[start : start + _AT_ONCE]
        ended = np.logical_or.accumulate(part == 0, axis=1)
        blank = (part == ord(" ")) | ended
        ended |= np.logical_and.accumulate(blank[:, ::-1], axis=1)[:, ::-1]
        np.copyto(codes[start : start + _AT_ONCE], part, where=~ended)
    return codes.view(f"U{width}").reshape(shape)


def _column(hdu: Hdu, number: int, lines: NDArray[np.uint8]) -> NDArray[Any]:
    form = _FORM.fullmatch(str(hdu.cards.get(f"TFORM{number}", "")))
    start, width = hdu.cards.count(f"TBCOL{number}") - 1, int(form[2] or 1) if form else 0
    if form is None or not width or start < 0 or start + width > lines.shape[1]:
        raise FormatError(f"{hdu.where}: column {number}: TFORM and TBCOL do not fit in lines of {lines.shape[1]}")
    if not len(lines):
        return np.zeros(0, "U1" if form[1] == "A" else _TYPES[form[1]])
    fields = strings(lines[:, start : start + width])
    if form[1] == "A":
        return fields
    fields = np.strings.strip(fields)
    missing = (fields == "") | (fields == str(hdu.cards.get(f"TNULL{number}", "")).strip())
    kind = _TYPES[form[1]]
    try:
        if form[1] == "I" and not missing.any():
            return fields.astype(kind)
        reals = np.strings.replace(np.where(missing, "nan", fields), "D", "E").astype(np.float64)
        return reals if form[1] == "I" else reals.astype(kind)
    except (ValueError, OverflowError) as error:
        raise FormatError(f"{hdu.where}: column {number}: a field that is no number ({error})") from error
