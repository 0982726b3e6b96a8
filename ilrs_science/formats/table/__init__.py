"""Plain tables of text: separated values and columns of fixed width, by a declared layout or their own header."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ilrs_science.errors import FormatError, IlrsError
from ilrs_science.formats import text_cells
from ilrs_science.formats.foreign import foreign
from ilrs_science.formats.format import Format, counted, granule
from ilrs_science.formats.opening import opens
from ilrs_science.formats.pds3.place import label_beside
from ilrs_science.formats.table.header import header_layout
from ilrs_science.formats.table.layout import Layout, Time
from ilrs_science.formats.table.values import column_values, moments
from ilrs_science.geometry.labels import TAI
from ilrs_science.model.granule import Granule

_KINDS = {"float": "float64", "int": "int64", "uint": "int64"}
"""What columns are expected to be that are declared so."""
_LABELS = (".xml", ".XML", ".lblx")


@dataclass(frozen=True)
class _Table:
    """A table cut into cells."""

    layout: Layout
    cells: list[Any]
    """Arrow arrays of text, in the order of the layout; nothing for columns that are not wanted."""
    candidates: list[Time]
    """Columns that are the time, or may be."""
    rejected: dict[str, int]
    repaired: list[str]

    def place(self, name: str) -> int:
        """Return the number of a column."""
        return next(number for number, column in enumerate(self.layout.columns) if column.name == name)

    @property
    def rows(self) -> int:
        """Lines that have all their cells."""
        return max((len(one) for one in self.cells if one is not None), default=0)


@dataclass(frozen=True)
class _Moments:
    """The time of every row."""

    columns: tuple[str, ...]
    tai: NDArray[np.int64]
    known: NDArray[np.bool_]
    about: str


@opens
def read_csv(path: Path, layout: Layout | Mapping[str, Any] | None = None) -> xr.Dataset:
    """Return a table of separated values.

    Parameters
    ----------
    path
        The file.
    layout
        What its columns are, see `Layout.of`. By default the names are those of its first line, or of a line before it
        that begins with `#`; columns are whole numbers or reals where all of their values are, else text; and the time
        is that of the column of ISO 8601 times in UTC, if there is exactly one.

    Returns
    -------
    Columns by their names along `time`, or along `row` where no column tells the time; reals are float64 unless
    declared otherwise, and NaN where blank or missing. Lines with another number of values, and those with something
    else than the number or the time that belongs there, are left out and counted in the attribute `rejected`.

    Raises
    ------
    FormatError
        It is no such table.
    IlrsError
        The layout cannot be understood.
    OSError
        There is no such file, or it cannot be read.
    """
    table = _table(path, layout)
    time = _time(path, table)
    size = path.stat().st_size
    known = np.ones(table.rows, bool) if time is None else time.known
    good = known.copy()
    columns: dict[str, tuple[NDArray[Any], dict[str, Any]]] = {}
    for place, column in enumerate(table.layout.columns):
        # Cells are given up as soon as they are values, so that they do not all lie in memory twice.
        cells, table.cells[place] = table.cells[place], None
        if time is None or column.name not in time.columns:
            values, fine, about = column_values(column, cells, size)
            columns[_unique(column.name, columns)] = (values, about)
            good &= fine
    dim = "row" if time is None else "time"
    variables = {
        name: (dim, values if good.all() else values[good], about) for name, (values, about) in columns.items()
    }
    coordinates = {}
    if time is not None:
        coordinates["time"] = ("time", time.tai[good], {**TAI, **({"native_name": time.about} if time.about else {})})
    counts = {"no time": int((~known).sum()), "no number": int((known & ~good).sum())}
    attributes: dict[str, Any] = {"rejected": counted({**table.rejected, **counts})}
    attributes |= {"repaired": table.repaired} if table.repaired else {}
    if layout is None:
        attributes["columns"] = [column.about or column.name for column in table.layout.columns]
    with foreign(path, "table"):
        return xr.Dataset(variables, coordinates, attributes)


@opens
def read_fixed_width(path: Path, layout: Layout | Mapping[str, Any]) -> xr.Dataset:
    """Return a table whose columns have fixed places in its lines.

    Parameters
    ----------
    path
        The file.
    layout
        What its columns are, with `start` and `width` each, see `Layout.of`.

    Returns
    -------
    As `read_csv`. Lines that end within or before a column of numbers are left out and counted as too short.

    Raises
    ------
    FormatError
        It is no such table.
    IlrsError
        The layout cannot be understood, or declares separated values.
    OSError
        There is no such file, or it cannot be read.
    """
    declared = Layout.of(layout)
    if declared.separator:
        raise IlrsError(f"layout.separator: found {declared.separator!r}; nothing is allowed with fixed width")
    return read_csv(path, declared)


def index_csv(path: Path, layout: Layout | Mapping[str, Any] | None = None) -> list[Granule]:
    """Return how many rows a table has and their first and last time; only the columns of time are looked at.

    Raises
    ------
    FormatError
        It is no such table.
    IlrsError
        The layout cannot be understood.
    """
    table = _table(path, layout, only_time=True)
    time = _time(path, table)
    tai = time.tai[time.known] if time else np.zeros(0, np.int64)
    span = (int(tai.min()), int(tai.max())) if tai.size else None
    name = "csv" if table.layout.separator else "fixed-width"
    return [granule(path, name, count=table.rows + sum(table.rejected.values()), span=span)]


def index_fixed_width(path: Path, layout: Layout | Mapping[str, Any] | None = None) -> list[Granule]:
    """Return what `index_csv` does, of a table of fixed width.

    Raises
    ------
    FormatError
        No layout is given, and the file has none of its own; or it is no such table.
    IlrsError
        The layout cannot be understood.
    """
    if layout is None:
        raise FormatError(f"{path}: a table of fixed width does not say where its columns are; declare a layout")
    return index_csv(path, layout)


def _recognises(head: bytes, path: Path) -> bool:
    if b"\0" in head or any(path.with_suffix(end).is_file() for end in _LABELS) or label_beside(path) is not None:
        return False
    try:
        header_layout(text_cells.decoded(head)[0], path, strict=True)
    except FormatError:
        return False
    return True


def _recognises_nothing(_head: bytes, _path: Path) -> bool:
    return False


FORMAT = Format(
    "csv", "separated values with a header, or with a declared layout", "pyarrow", _recognises, read_csv, index_csv
)
FIXED_WIDTH = Format(
    "fixed-width",
    "columns of fixed width with a declared layout",
    "pyarrow",
    _recognises_nothing,
    read_fixed_width,
    index_fixed_width,
)


def _table(path: Path, layout: Layout | Mapping[str, Any] | None, *, only_time: bool = False) -> _Table:
    """Return the cells of a table."""
    data, encoding = text_cells.decoded(path.read_bytes())
    repaired = [] if encoding == "utf-8" else [f"text is taken for {encoding}"]
    if layout is None:
        plan, formats, kinds = header_layout(data, path)
        candidates = [Time((name,), told) for name, told in formats.items()]
    else:
        plan = Layout.of(layout)
        candidates = [plan.time] if plan.time else []
        kinds = [_KINDS.get(column.dtype.rstrip("123468"), "text") for column in plan.columns]
    times = {name for one in candidates for name in one.columns}
    wanted = times or {plan.columns[0].name}
    only = [not only_time or column.name in wanted for column in plan.columns]
    kinds = ["text" if column.name in times else kind for column, kind in zip(plan.columns, kinds, strict=True)]
    body = _body(data, plan)
    if plan.separator:
        separator = " " if plan.separator == "whitespace" else plan.separator
        cells, wrong = text_cells.split_cells(body, separator, kinds, path, only)
        return _Table(plan, cells, candidates, {"wrong number of fields": wrong}, repaired)
    cells, short = _fixed_cells(body, plan, only)
    return _Table(plan, cells, candidates, {"too short": short}, repaired)


def _body(data: bytes, plan: Layout) -> bytes:
    """Return the lines of the table itself."""
    if b"\n" not in data:
        data = data.replace(b"\r", b"\n")
    if plan.comment:
        data = re.sub(rb"(?m)^[ \t]*" + re.escape(plan.comment.encode()) + rb"[^\n]*\n?", b"", data)
    start = 0
    for _ in range(plan.header):
        end = data.find(b"\n", start)
        if end < 0:
            return b""
        start = end + 1
    body = data[start:]
    if plan.separator == "whitespace":
        body = re.sub(rb"[ \t]+", b" ", body)
        body = re.sub(rb"(?m)^ | $| (?=\r$)", b"", body)
    return body


def _fixed_cells(body: bytes, plan: Layout, only: list[bool]) -> tuple[list[Any], int]:
    """Return the cells of lines of fixed width, and how many lines were too short."""
    raw = np.frombuffer(body, np.uint8)
    starts, lengths = text_cells.line_places(raw)
    starts, lengths = starts[lengths > 0], lengths[lengths > 0]
    ends = {column.name: column.start - 1 + column.width for column in plan.columns}
    needed = max((ends[column.name] for column in plan.columns if column.dtype != "text"), default=0)
    whole = lengths >= needed
    lines = text_cells.fixed_lines(raw, starts[whole], lengths[whole], max(ends.values()))
    cells = [
        text_cells.column_of(lines[:, column.start - 1 : ends[column.name]]) if wanted else None
        for column, wanted in zip(plan.columns, only, strict=True)
    ]
    return cells, int((~whole).sum())


def _time(path: Path, table: _Table) -> _Moments | None:
    """Return the time of a table: as declared, or the only one of the candidates that mostly has times."""
    found = []
    for time in table.candidates:
        cells = [table.cells[table.place(name)] for name in time.columns]
        with foreign(path, f"pattern of time {time.format!r}"):
            tai, known = moments(cells, time)
        if table.layout.time is not None or 2 * known.sum() >= max(len(known), 1):
            about = table.layout.columns[table.place(time.columns[0])].about
            found.append(_Moments(time.columns, tai, known, about))
    return found[0] if len(found) == 1 else None


def _unique(name: str, taken: Container[str]) -> str:
    """Return a name for a variable; slashes divide the groups of a tree, and cannot stand in one."""
    name, number = name.replace("/", "_"), 1
    unique = f"{name}_1" if name in ("row", "time") else name
    while unique in taken:
        number += 1
        unique = f"{name}_{number}"
    return unique
