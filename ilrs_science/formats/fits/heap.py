"""Cells of FITS tables that are arrays of any length: from the heap to one array and a length for each row."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ilrs_science.errors import FormatError
from ilrs_science.formats.fits.header import Hdu

_SHARED = 2
"""Times that the whole heap may be pointed at; writers let equal rows share their cells."""
_AT_ONCE = 2**18
"""Elements gathered at once, which bounds the memory of their indices."""


def cells(
    path: Path, hdu: Hdu, name: str, places: NDArray[np.int64], kind: str
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the elements of all cells of a column, one after the other, and how many each row has.

    Parameters
    ----------
    path, hdu, name
        The table and its column.
    places
        Descriptors, shape (rows, 2): number of elements, and first byte in the heap.
    kind
        NumPy type of an element; `S1` gives bytes.

    Raises
    ------
    FormatError
        A cell lies outside of the heap, or together they are many times as large.
    """
    stored = np.dtype("u1" if kind == "S1" else kind)
    rows = prod(hdu.rows)
    gap = hdu.cards.count("THEAP", rows) - rows
    heap = hdu.cards.count("PCOUNT", 0) - gap
    lengths, starts = places[:, 0], places[:, 1]
    size = stored.itemsize
    outside = (
        (lengths < 0) | (lengths > heap // size) | ((starts < 0) | (starts > heap - lengths * size)) & (lengths > 0)
    )
    if gap < 0 or heap < 0 or outside.any():
        row = int(np.argmax(outside)) if outside.any() else 0
        raise FormatError(f"{hdu.where}: column {name}, row {row}: a cell outside of the heap of {heap} bytes")
    total = int(lengths.sum())
    if total * size > _SHARED * heap:
        raise FormatError(f"{hdu.where}: column {name}: cells of {total * size} bytes in a heap of {heap}")
    values = np.empty(total, stored.newbyteorder("="))
    if total:
        # Of any alignment: an element may begin at any byte.
        bare = np.memmap(path, np.uint8, "r", hdu.start + rows + gap, (heap,))
        _gather(values, np.ndarray((heap - size + 1,), stored, bare, strides=(1,)), lengths, starts, size)
    return values, lengths


def _gather(
    values: NDArray[Any], source: NDArray[Any], lengths: NDArray[np.int64], starts: NDArray[np.int64], size: int
) -> None:
    """Fill the values; a source has an element at every byte."""
    ends = np.cumsum(lengths)
    row = 0
    while row < len(lengths):
        done = int(ends[row] - lengths[row])
        last = max(row + 1, int(np.searchsorted(ends, done + _AT_ONCE, side="right")))
        part = slice(row, last)
        first = ends[part] - lengths[part]
        index = np.repeat(starts[part] - (first - done) * size, lengths[part])
        index += np.arange(len(index)) * size
        values[done : done + len(index)] = source[index]
        row = last
