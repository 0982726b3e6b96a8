"""The layout of a table of separated values from its own header, a line of names."""

from __future__ import annotations

import csv
import re
from collections.abc import Container, Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ilrs_science.errors import FormatError
from ilrs_science.formats.format import HEAD, unit_attributes
from ilrs_science.formats.table.layout import Column, Layout

_SEPARATORS = (",", ";", "\t", "|")
_LINES = 40
_LONGEST = 200
"""Characters of a name."""
_BRACKETS = re.compile(r"([^\[\](){}]*[^\[\](){}\s])\s*(?:\[([^\[\]]{1,60})\]|\(([^()]{1,60})\))")
_ISO = re.compile(r"\d{4}-(\d\d-\d\d|\d{3})([T ]\d\d.*)?")
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")


class Header(NamedTuple):
    """What a header tells, and the first lines after it."""

    layout: Layout
    times: dict[str, str]
    """Columns that may be the time, with their formats."""
    kinds: list[str]
    """What the first values of every column are: `int64`, `float64` or `text`."""


def header_layout(data: bytes, path: Path, *, strict: bool = False) -> Header:
    """Return the layout of a table by its own header.

    The header is the first line, or the last of the lines that begin with `#` before it. A name may end with a unit or
    with a pattern of strptime in brackets: `T [K]`, `TIME (ms)`.

    Parameters
    ----------
    data
        The file, or its start.
    path
        What to call it in an error.
    strict
        Whether blanks may not separate values, and all of the first lines have to have equally many.

    Raises
    ------
    FormatError
        It has no such header, or its lines do not have equally many values.
    """
    comments, blank, lines = _first_lines(data)
    separator, rows = _separated(lines, strict=strict)
    if not separator:
        raise FormatError(f"{path}: its first {len(lines)} lines do not have equally many values; declare a layout")
    header = blank + 1
    if not _are_names(rows[0]) and comments:
        names = comments[-1].lstrip("# ")
        cells = names.split() if separator == "whitespace" else _separated([names], separator=separator)[1][0]
        rows, header = [cells, *rows], blank
    alone = len(rows) == 1 and (separator == "whitespace" or path.suffix.lower() not in (".csv", ".tsv"))
    if not _are_names(rows[0]) or alone or len(rows[0]) != len(rows[-1]):
        raise FormatError(f"{path}: its first line is no header of names for the values after it; declare a layout")
    columns: dict[str, Column] = {}
    formats: dict[str, str] = {}
    kinds = []
    for number, cell in enumerate(rows[0]):
        column, pattern = _column(cell.strip() or f"column_{number + 1}", columns)
        columns[column.name] = column
        kinds.append(_kind([row[number].strip() for row in rows[1:]]))
        if 2 * sum(_ISO.fullmatch(row[number].strip()) is not None for row in rows[1:]) > len(rows) - 1:
            formats[column.name] = "iso"
        elif pattern:
            formats[column.name] = pattern
    layout = Layout(tuple(columns.values()), separator, header, "#" if comments else "")
    return Header(layout, formats, kinds)


def _first_lines(data: bytes) -> tuple[list[str], int, list[str]]:
    """Return comments before the table, how many blank lines there are, and the first lines of the table."""
    head = data[:HEAD].decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    found = head.split("\n")[: -1 if len(data) >= HEAD else None]
    begin = next((at for at, line in enumerate(found) if line.strip() and not line.startswith("#")), len(found))
    before, lines = found[:begin], [line for line in found[begin:] if line.strip() and not line.startswith("#")]
    comments = [line for line in before if line.startswith("#")]
    return comments, len(before) - len(comments), lines[:_LINES]


def _separated(lines: list[str], *, strict: bool = True, separator: str = "") -> tuple[str, list[list[str]]]:
    """Return the separator by which lines, or at least most of them, have as many values as the first, and those."""
    best: tuple[str, list[list[str]]] = ("", [[""]])
    for one in [separator] if separator else _SEPARATORS:
        with suppress(csv.Error):
            rows = list(csv.reader(lines, delimiter=one))
            alike = [row for row in rows if len(row) == len(rows[0])]
            if rows and len(alike) > (len(rows) - 1 if strict else len(rows) / 2) and len(rows[0]) > len(best[1][0]):
                best = one, alike
    if best[0] or strict:
        return best
    rows = [line.split() for line in lines]
    alike = [row for row in rows if len(row) == len(rows[0]) > 1]
    return ("whitespace", alike) if 2 * len(alike) > len(rows) else best


def _are_names(cells: Iterable[str]) -> bool:
    """Return whether the cells of a line can be the names of columns."""
    names = [cell.strip() for cell in cells]
    filled = [name for name in names if name]
    return 2 * len(filled) > len(names) and all(
        len(name) <= _LONGEST
        and name.isprintable()
        and any(letter.isalpha() for letter in name)
        and not _NUMBER.fullmatch(name)
        and name[0] not in "<{["
        and "=" not in name
        for name in filled
    )


def _kind(cells: list[str]) -> str:
    filled = [cell for cell in cells if cell]
    if not filled or not all(_NUMBER.fullmatch(cell) for cell in filled):
        return "text"
    return "int64" if all(_WHOLE.fullmatch(cell) for cell in cells) else "float64"


def _column(cell: str, taken: Container[str]) -> tuple[Column, str]:
    """Return a column by its name, and the pattern of strptime that the name carries."""
    name, units, pattern = cell, "", ""
    match = _BRACKETS.fullmatch(cell)
    if match:
        inside = match[2] or match[3]
        if "%" in inside and re.search("%[YyjmdHMSf]", inside):
            name, pattern = match[1], inside
        elif "units" in unit_attributes(inside):
            name, units = match[1], inside
    unique, number = name, 1
    while unique in taken:
        number += 1
        unique = f"{name}_{number}"
    return Column(unique, dtype="auto", units=units, about=cell if cell != unique else ""), pattern
