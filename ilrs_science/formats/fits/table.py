"""Tables of FITS files as variables along their rows: binary ones with cells of any shape, and those of text.

FITS Standard 4.0, sections 7.2 and 7.3.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ilrs_science.errors import FormatError, IlrsError
from ilrs_science.formats.fits.ascii import column_name, strings, text_columns
from ilrs_science.formats.fits.header import Hdu, unique
from ilrs_science.formats.fits.heap import cells
from ilrs_science.formats.fits.time import elapsed, reference, seconds_of
from ilrs_science.formats.fits.values import scaled
from ilrs_science.formats.format import counted, plain, unit_attributes
from ilrs_science.geometry.labels import TAI

_TYPES = {
    "L": "u1", "X": "u1", "B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "A": "S1",
    "E": ">f4", "D": ">f8", "C": ">c8", "M": ">c16", "P": ">i4", "Q": ">i8",
}  # fmt: skip
"""Codes of TFORM; FITS Standard 4.0, table 18."""
_FORM = re.compile(r"\s*(\d{0,18})\s*([LXBIJKAEDCMPQ])\s*(.*)", re.DOTALL)
_ARRAY = re.compile(r"\s*([LXBIJKAEDCM])\s*(?:\(\s*\d*\s*\))?.*", re.DOTALL)
_PADDED = 2**20
"""Bytes of text of different lengths that may become one array whatever the size of the file."""
_ROW = "row"


@dataclass(frozen=True)
class Column:
    """A column as its header declares it."""

    number: int
    name: str
    code: str
    """Of TFORM: the type of an element, or P and Q where cells are arrays of any length."""
    repeat: int
    element: str
    """Type of the elements of such arrays, else nothing."""
    shape: tuple[int, ...]
    """Of a cell, in the order of NumPy, the letters of text last; empty for one value."""
    start: int
    """First byte in a row."""

    @property
    def width(self) -> int:
        """Bytes in a row."""
        if self.code == "X":
            return -(-self.repeat // 8)
        return self.repeat * np.dtype(_TYPES[self.code]).itemsize * (2 if self.element else 1)


def table(path: Path, hdu: Hdu, columns: Sequence[str] | None = None) -> xr.Dataset:
    """Return a table as variables along `row`, or along `time` where a column TIME has a known zero.

    Parameters
    ----------
    path
        The file.
    hdu
        Of the kind `bintable` or `table`.
    columns
        Names of those to read; all where None.

    Raises
    ------
    FormatError
        Columns do not fit in rows, cells point out of the heap, or text is no number.
    IlrsError
        There is no such column.
    """
    if hdu.kind == "table":
        found = text_columns(path, hdu, columns)
    else:
        known = declared(hdu)
        rows = _rows(path, hdu)
        chosen = _chosen(hdu, known, columns)
        turned = on_its_side(hdu, known)
        found = {}
        for column in chosen:
            found |= _variables(path, hdu, column, rows, turned)
        found = _distinct(found)
    return _timed(hdu, found)


def declared(hdu: Hdu) -> list[Column]:
    """Return the columns of a binary table, each with a name of its own.

    Raises
    ------
    FormatError
        TFORM or TDIM is damaged, or they need more bytes than a row has.
    """
    cards, width = hdu.cards, hdu.rows[0]
    found: list[Column] = []
    names: set[str] = set()
    start = 0
    for number in range(1, cards.count("TFIELDS") + 1):
        form = _FORM.fullmatch(str(cards.get(f"TFORM{number}", "")))
        if form is None:
            raise FormatError(f"{hdu.where}: TFORM{number} is {cards.get(f'TFORM{number}')!r}")
        array = _ARRAY.fullmatch(form[3]) if form[2] in "PQ" else None
        if form[2] in "PQ" and array is None:
            raise FormatError(f"{hdu.where}: TFORM{number} is {form[0]!r}, an array of nothing")
        repeat = int(form[1] or 1)
        name = unique(column_name(hdu, number), names)
        shape = () if array else _shape(hdu, number, form, repeat)
        column = Column(number, name, form[2], repeat, array[1] if array else "", shape, start)
        if start + column.width > width:
            raise FormatError(f"{hdu.where}: column {name} ends at byte {start + column.width} of rows of {width}")
        start += column.width
        found.append(column)
    return found


def on_its_side(hdu: Hdu, known: Iterable[Column]) -> int:
    """Return the length of a table that lies in the cells of one row, all vectors of that length; else 0."""
    shapes = {() if column.element or column.code in "AX" else column.shape for column in known}
    only = next(iter(shapes)) if len(shapes) == 1 else ()
    return only[0] if hdu.rows[1] == 1 and len(only) == 1 and only[0] > 1 else 0


def length(hdu: Hdu) -> int:
    """Return the rows that a table has when it is read."""
    return (on_its_side(hdu, declared(hdu)) if hdu.kind == "bintable" else 0) or hdu.rows[1]


def _shape(hdu: Hdu, number: int, form: re.Match[str], repeat: int) -> tuple[int, ...]:
    """Return the shape of a cell, the letters of text last."""
    said = hdu.cards.text(f"TDIM{number}")
    sizes = [int(size) for size in re.findall(r"\d{1,9}", said)]
    if said and (prod(sizes) > repeat or not sizes):
        raise FormatError(f"{hdu.where}: TDIM{number} is {said!r} for {repeat} elements")
    if sizes:
        return tuple(reversed(sizes))
    letters = int(form[3]) if form[2] == "A" and form[3].strip().isdecimal() else 0
    if 0 < letters < repeat:
        return (repeat // letters, letters)
    return () if repeat == 1 and form[2] not in "AX" else (repeat,)


def _rows(path: Path, hdu: Hdu) -> NDArray[np.uint8]:
    """Return the bytes of the rows, shape (rows, bytes of a row), mapped."""
    width, count = hdu.rows
    if not count:
        return np.zeros((0, width), np.uint8)
    return np.asarray(np.memmap(path, np.uint8, "r", hdu.start, (count, width)))


def _chosen(hdu: Hdu, known: list[Column], columns: Sequence[str] | None) -> list[Column]:
    if columns is None:
        return known
    names = {column.name for column in known}
    for name in columns:
        if name not in names:
            raise IlrsError(f"{hdu.where}: no column {name!r}; its columns are {', '.join(sorted(names))}")
    clock = _clock(names) if reference(hdu.cards) is not None else None
    return [column for column in known if column.name in columns or column.name == clock]


def _variables(path: Path, hdu: Hdu, column: Column, rows: NDArray[np.uint8], turned: int) -> dict[str, xr.Variable]:
    """Return the variable of a column, and a second one with lengths where its cells are arrays of any length."""
    if column.element:
        return _ragged(path, hdu, column)
    about = describe(hdu, column.number)
    values, more = decode(hdu, column.number, column.code, _typed(column, rows))
    if turned:
        return {column.name: xr.Variable(_ROW, values.reshape(turned), about | more)}
    dims = (_ROW, *(f"{column.name}_{place + 1}" for place in range(values.ndim - 1)))
    return {column.name: xr.Variable(dims, values, about | more)}


def cell_places(path: Path, hdu: Hdu, column: Column) -> NDArray[np.int64]:
    """Return the lengths of cells that are arrays of any length, and their first bytes in the heap, shape (rows, 2)."""
    rows = _rows(path, hdu)
    places = np.zeros((len(rows), 2), np.int64)
    if column.repeat:
        places[:] = _typed(replace(column, shape=(2,)), rows)
    return places


def _ragged(path: Path, hdu: Hdu, column: Column) -> dict[str, xr.Variable]:
    if column.element == "X":
        raise FormatError(f"{hdu.where}: column {column.name} holds arrays of bits of any length; not read")
    places = cell_places(path, hdu, column)
    values, lengths = cells(path, hdu, column.name, places, _TYPES[column.element])
    about = describe(hdu, column.number)
    if column.element == "A":
        return {column.name: xr.Variable(_ROW, _texts(hdu, column, values, lengths), about)}
    values, more = decode(hdu, column.number, column.element, values)
    along, counts = f"{column.name}_element", f"{column.name}_length"
    told = {"long_name": f"elements of {column.name} in each row, one row after the other along {along}"}
    return {
        column.name: xr.Variable(along, values, about | more | {"lengths": counts}),
        counts: xr.Variable(_ROW, lengths, told),
    }


def _texts(hdu: Hdu, column: Column, letters: NDArray[np.uint8], lengths: NDArray[np.int64]) -> NDArray[Any]:
    """Return text of any length as text of the greatest length."""
    longest = int(lengths.max(initial=0))
    if longest * len(lengths) > _PADDED + hdu.size:
        raise FormatError(f"{hdu.where}: column {column.name}: {len(lengths)} rows of text of up to {longest} letters")
    block = np.zeros((len(lengths), longest), np.uint8)
    block[np.arange(longest) < lengths[:, None]] = letters
    return strings(block)


def _typed(column: Column, rows: NDArray[np.uint8]) -> NDArray[Any]:
    """Return the cells of a column with the type and shape that they have in the file; text and bits as bytes."""
    shape = (len(rows), *column.shape)
    if column.code == "X":
        bits = np.unpackbits(rows[:, column.start : column.start + column.width], axis=1)
        return bits[:, : prod(column.shape)].reshape(shape)
    kind = np.dtype("u1" if column.code == "A" else _TYPES[column.code])
    if not prod(shape):
        return np.zeros(shape, kind)
    steps = [kind.itemsize * prod(column.shape[place + 1 :]) for place in range(len(column.shape))]
    return np.ndarray(shape, kind, rows, column.start, (rows.shape[1], *steps))


def decode(hdu: Hdu, number: int, code: str, values: NDArray[Any]) -> tuple[NDArray[Any], dict[str, Any]]:
    """Return the values of a column from what is stored, and attributes on what is missing."""
    if code == "A":
        return strings(values), {}
    if code == "X":
        return values.astype(bool), {}
    if code == "L":
        if not (values == 0).any():
            return values == ord("T"), {}
        truth = np.where(values == 0, -1, values == ord("T")).astype(np.int8)
        return truth, {"missing_value": -1}
    cards = hdu.cards
    scale, zero = cards.number(f"TSCAL{number}"), cards.number(f"TZERO{number}")
    return scaled(values, scale, zero, cards.get(f"TNULL{number}"))


def describe(hdu: Hdu, number: int) -> dict[str, Any]:
    """Return the attributes of a column: its unit, and keywords such as TDISP and TLMIN without their number."""
    found: dict[str, Any] = dict(unit_attributes(hdu.cards.text(f"TUNIT{number}")))
    if column_name(hdu, number) != hdu.cards.text(f"TTYPE{number}"):
        found["TTYPE"] = hdu.cards.text(f"TTYPE{number}")
    for keyword in ("TDISP", "TLMIN", "TLMAX", "TDMIN", "TDMAX", "TUCD", "TCOMM"):
        value = hdu.cards.get(f"{keyword}{number}")
        if value is not None:
            found[keyword] = plain(value)
    return found


def _distinct(found: dict[str, xr.Variable]) -> dict[str, xr.Variable]:
    """Rename what would be taken for a dimension: `row`, or the axis of another column's cells."""
    axes = {str(dim) for variable in found.values() for dim in variable.dims}
    names = axes | set(found)
    return {(unique(name, names) if name in axes else name): variable for name, variable in found.items()}


def _clock(names: Iterable[str]) -> str | None:
    return next((name for name in names if name.upper() == "TIME"), None)


def _timed(hdu: Hdu, found: dict[str, xr.Variable]) -> xr.Dataset:
    """Return the dataset, along `time` where its column TIME has a known zero; rows without a time are left out."""
    name = _clock(found)
    if (
        name is None
        or found[name].dims != (_ROW,)
        or found[name].dtype.kind not in "iuf"
        or reference(hdu.cards) is None
    ):
        return xr.Dataset(found, attrs={"rejected": {}})
    unit = str(found[name].attrs.get("units", found[name].attrs.get("native_units", "")))
    if seconds_of(hdu.cards, unit) is None:
        return xr.Dataset(found, attrs={"rejected": {}, "repaired": [f"{name} in units that are no time: no times"]})
    moments, known = elapsed(hdu.cards, found[name].to_numpy(), unit)
    if "time" in found:
        found[unique("TIME", set(found))] = found.pop("time")
    ds = xr.Dataset(found).rename_dims({_ROW: "time"}).assign_coords(time=("time", moments, TAI))
    rejected = counted({"no time": int((~known).sum())})
    return (ds if known.all() else ds.isel(time=known)).assign_attrs(rejected=rejected)
