"""Rows of PDS3 tables, cut into columns of bytes or of cells of text (Standards Reference 3.8, A.26 to A.29)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ilrs_science.errors import FormatError
from ilrs_science.formats import text_cells
from ilrs_science.formats.pds3.label import Label, count, text

_DELIMITERS = {"COMMA": ",", "SEMICOLON": ";", "TAB": "\t", "VERTICAL_BAR": "|"}
_WIDEST = 4
"""Times that columns may take the bytes of a row, by overlapping."""


@dataclass(frozen=True)
class Column:
    """Where a column lies, and what its label says."""

    name: str
    about: Label
    start: int
    """Offset in a row."""
    size: int
    """Bytes of an item."""
    shape: tuple[int, ...]
    steps: tuple[int, ...]
    """Bytes from item to item, along each dimension."""
    dims: tuple[str, ...]

    @property
    def kind(self) -> str:
        """Return its DATA_TYPE."""
        return text(self.about, "DATA_TYPE").upper().replace(" ", "_")

    @property
    def end(self) -> int:
        """Offset of the byte after its last item."""
        steps = zip(self.shape, self.steps, strict=True)
        return self.start + self.size + sum((n - 1) * step for n, step in steps)

    def of(self, rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return its bytes of rows, shape (row, ..., size); a view."""
        return np.lib.stride_tricks.as_strided(
            rows[:, self.start :],
            (len(rows), *self.shape, self.size),
            (rows.strides[0], *self.steps, 1),
            writeable=False,
        )


def row_cells(
    path: Path, offset: int, about: Label, what: str
) -> tuple[Iterator[tuple[Column, Any]], dict[str, int], list[str]]:
    """Return the columns of a table of rows of one length, how many rows were left out, and what was repaired.

    A column is bytes, shape (row, ..., bytes of an item), or, in tables of text, an Arrow array of cells.

    Raises
    ------
    FormatError
        The rows are not what the label says.
    """
    name = str(path)
    rows, width = count(about, "ROWS", what, name), count(about, "ROW_BYTES", what, name)
    before, after = (count(about, key, what, name, default=0) for key in ("ROW_PREFIX_BYTES", "ROW_SUFFIX_BYTES"))
    columns = _checked_columns(about, what, name, width)
    needed, stride = max(column.end for column in columns), before + width + after
    there = max(0, path.stat().st_size - offset)
    block = np.fromfile(path, np.uint8, min(rows * (stride + 1), there), offset=offset)
    found = min(rows, block.size // stride)
    table = block[: found * stride].reshape(found, stride)
    repaired: list[str] = []
    rejected: dict[str, int] = {}
    binary = text(about, "INTERCHANGE_FORMAT").upper() == "BINARY"
    if not binary and not _lines_end_with_rows(block, table):
        starts, lengths = (places[:rows] for places in text_cells.line_places(block))
        whole = (lengths >= before + needed) & (lengths <= stride)
        if not whole.any():
            raise FormatError(f"{name}: no line of {what} has the {needed} to {width} bytes of its rows")
        found, rejected["wrong length"] = len(starts), int((~whole).sum())
        table = text_cells.fixed_lines(block, starts[whole], lengths[whole], before + needed)
        repaired.append(f"{what} is read line by line: ROW_BYTES = {width} is not the length of its lines")
    rejected["not in the file"] = rows - found
    cells = ((column, column.of(table[:, before:])) for column in columns)
    if binary:
        return cells, rejected, repaired
    return ((column, text_cells.column_of(values)) for column, values in cells), rejected, repaired


def _checked_columns(about: Label, what: str, name: str, width: int) -> list[Column]:
    columns = list(_columns(about, what, name))
    needed = max((column.end for column in columns), default=0)
    if not columns or needed > width:
        raise FormatError(f"{name}: the {len(columns)} columns of {what} take {needed} bytes, its rows {width}")
    taken = sum(column.size * prod(column.shape) for column in columns)
    if taken > _WIDEST * width:
        raise FormatError(f"{name}: the columns of {what} overlap: {taken} bytes of rows of {width}")
    return columns


def _lines_end_with_rows(block: NDArray[np.uint8], table: NDArray[np.uint8]) -> bool:
    """Return whether rows of text end with lines, or have no lines at all."""
    return bool(len(table) and (table[:, -1] == ord("\n")).all()) or not (block == ord("\n")).any()


def _columns(about: Label, what: str, name: str) -> Iterator[Column]:
    for column in _listed(about, "COLUMN"):
        yield _column(column, _Within(what, name))
    for container in _listed(about, "CONTAINER"):
        if "CONTAINER" in container:
            raise FormatError(f"{name}: containers of {what} within containers are not read")
        inside = text(container, "NAME") or "CONTAINER"
        start, size, times = (count(container, key, inside, name) for key in ("START_BYTE", "BYTES", "REPETITIONS"))
        within = _Within(inside, name, start - 1, (times,), (size,), (f"{inside}_repetition",))
        for column in _listed(container, "COLUMN"):
            found = _column(column, within)
            if found.end - found.start > size * times:
                raise FormatError(f"{name}: the column {found.name} reaches beyond its container {inside}")
            yield found


class _Within(NamedTuple):
    """What a column stands in: a table, or a container of one, which is repeated."""

    what: str
    name: str
    """Of the file."""
    start: int = 0
    """Offset in a row."""
    shape: tuple[int, ...] = ()
    steps: tuple[int, ...] = ()
    dims: tuple[str, ...] = ()


def _column(about: Label, within: _Within) -> Column:
    name, shape, steps, dims = within.name, within.shape, within.steps, within.dims
    title = text(about, "NAME") or f"COLUMN_{about.get('COLUMN_NUMBER', '')}"
    inside = f"the column {title} of {within.what}"
    size = count(about, "BYTES", inside, name)
    if "ITEMS" in about:
        items = count(about, "ITEMS", inside, name)
        size = count(about, "ITEM_BYTES", inside, name) if "ITEM_BYTES" in about else size // items
        step = count(about, "ITEM_OFFSET", inside, name) if "ITEM_OFFSET" in about else size
        shape, steps, dims = (*shape, items), (*steps, step), (*dims, f"{title.replace('/', '_')}_item")
    start = within.start + count(about, "START_BYTE", inside, name) - 1
    return Column(title, about, start, size, shape, steps, dims)


def field_cells(
    path: Path, offset: int, about: Label, what: str
) -> tuple[Iterator[tuple[Column, Any]], dict[str, int], list[str]]:
    """Return the columns of a spreadsheet as Arrow arrays of cells, else as `row_cells`.

    Raises
    ------
    FormatError
        The fields cannot be told apart.
    """
    name = str(path)
    rows, delimiter = count(about, "ROWS", what, name), text(about, "FIELD_DELIMITER").upper() or "COMMA"
    if delimiter not in _DELIMITERS:
        raise FormatError(f"{name}: FIELD_DELIMITER of {what} is {delimiter}; known are {', '.join(_DELIMITERS)}")
    fields = [_field(field, number, name) for number, field in enumerate(_listed(about, "FIELD"))]
    if not fields:
        raise FormatError(f"{name}: {what} has no FIELD")
    with path.open("rb") as file:
        file.seek(offset)
        data, encoding = text_cells.decoded(file.read())
    repaired = [] if encoding == "utf-8" else [f"text of {what} is read as {encoding}"]
    widths = [prod(field.shape) for field in fields]
    if sum(widths) > text_cells.MOST_COLUMNS:
        raise FormatError(f"{name}: {sum(widths)} columns; at most {text_cells.MOST_COLUMNS} are read")
    cells, wrong = text_cells.split_cells(data, _DELIMITERS[delimiter], ["text"] * sum(widths), path)
    missing = rows - len(cells[0]) - wrong
    if missing < 0:
        repaired.append(f"{what} has {-missing} rows more than its label says")
    ends = np.cumsum(widths).tolist()
    found = ((field, _joined(cells[end - width : end])) for field, width, end in zip(fields, widths, ends, strict=True))
    return found, {"wrong number of fields": wrong, "not in the file": max(0, missing)}, repaired


def _field(about: Label, number: int, name: str) -> Column:
    title = text(about, "NAME") or f"FIELD_{number + 1}"
    items = count(about, "ITEMS", title, name) if "ITEMS" in about else 0
    if not items:
        return Column(title, about, 0, 0, (), (), ())
    return Column(title, about, 0, 0, (items,), (0,), (f"{title.replace('/', '_')}_item",))


def _joined(items: list[Any]) -> Any:
    """Return the cells of several columns as one, row by row."""
    import pyarrow as pa  # noqa: PLC0415 - heavy

    if len(items) == 1:
        return items[0]
    order = np.arange(len(items) * len(items[0])).reshape(len(items), -1).T.reshape(-1)
    return pa.concat_arrays(items).take(pa.array(order))


def _listed(about: Label, key: str) -> list[Label]:
    """Return the objects of a name."""
    found = about.get(key, [])
    return [one for one in (found if isinstance(found, list) else [found]) if isinstance(one, dict)]
