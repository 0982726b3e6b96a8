"""Tables of PDS3, in text and binary (Standards Reference 3.8, appendices A.26 to A.29)."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ilrs_science.formats import text_cells, text_times
from ilrs_science.formats.foreign import foreign
from ilrs_science.formats.format import counted, unit_attributes
from ilrs_science.formats.pds3.label import plain_label, text
from ilrs_science.formats.pds3.place import Described, Place
from ilrs_science.formats.pds3.rows import Column, field_cells, row_cells
from ilrs_science.formats.pds3.samples import native, sample_type, scale, special_constants, without_constants
from ilrs_science.geometry.labels import TAI

_TEXTS = ("CHARACTER", "BOOLEAN", "N/A", "")
_TIMES = ("TIME", "DATE")
_WHOLE = ("ASCII_INTEGER", "INTEGER")
_REALS = ("ASCII_REAL", "REAL", "FLOAT")
_WRITTEN = (*_TEXTS, *_TIMES, "ASCII_INTEGER", "ASCII_REAL")
"""Types that are text in binary tables, too."""


def table_dataset(
    table: Described, where: Place, *, scaled: bool = False, only_time: bool = False
) -> tuple[xr.Dataset, list[str]]:
    """Return a table along `time`, or along `row` where no column tells the time, and what was repaired.

    Parameters
    ----------
    table
        The object of the label.
    where
        Where it lies.
    scaled
        Whether to apply SCALING_FACTOR and OFFSET of columns.
    only_time
        Whether to leave all other columns out.

    Returns
    -------
    Columns by their names; those with ITEMS, and in a CONTAINER, have further dimensions. The time is that of the
    first column of the type TIME or DATE, or else of one of text that has UTC in its name, that has times. Rows with
    something else than the number or time that belongs there are left out and counted in the attribute `rejected`.

    Raises
    ------
    FormatError
        The bytes are not what the label says.
    """
    cells_of = field_cells if table.name.endswith("SPREADSHEET") else row_cells
    cells, rejected, repaired = cells_of(where.path, where.offset, table.about, table.name)
    made = _Table(str(where.path), where.path.stat().st_size, scaled=scaled, repaired=repaired)
    for column, values in cells:
        if not only_time or _may_be_time(column):
            made.add(column, values)
    return made.dataset(rejected), repaired


class _Table:
    """Columns as they are made, and which rows are good in all of them."""

    def __init__(self, name: str, limit: int, *, scaled: bool, repaired: list[str]) -> None:
        self.name, self.limit, self.scaled, self.repaired = name, limit, scaled, repaired
        self.good: NDArray[np.bool_] | None = None
        self.time: tuple[NDArray[np.int64], NDArray[np.bool_], dict[str, Any]] | None = None
        self.variables: dict[str, tuple[tuple[str, ...], NDArray[Any], dict[str, Any]]] = {}

    def add(self, column: Column, values: Any) -> None:
        """Make a column of bytes or of cells of text."""
        attributes = {key: plain_label(one) for key, one in column.about.items() if not isinstance(one, dict | list)}
        attributes |= unit_attributes(text(column.about, "UNIT"))
        rows = len(values) // (1 if isinstance(values, np.ndarray) else prod(column.shape))
        if self.good is None:
            self.good = np.ones(rows, bool)
        if isinstance(values, np.ndarray) and column.kind not in _WRITTEN:
            sample = sample_type(column.kind, 8 * column.size, column.name, self.name)
            found = native(np.array(values, order="C").reshape(-1), sample).reshape(rows, *column.shape)
            constants = special_constants(column.about)
            found = without_constants(found, constants, sample)
        else:
            cells = values if not isinstance(values, np.ndarray) else text_cells.column_of(values)
            if _may_be_time(column) and not column.shape and self._times(column, cells, attributes):
                return
            found, sample = self._cells(column, cells).reshape(rows, *column.shape), "f8"
        if self.scaled and found.dtype.kind in "iuf":
            found = scale(found, column.about, special_constants(column.about))
        self.variables[self._unique(column.name)] = (column.dims, found, attributes)

    def _times(self, column: Column, cells: Any, attributes: dict[str, Any]) -> bool:
        """Take a column for the time where most of it are times, or for a time beside it where all of it are."""
        found, known = text_times.times(cells)
        if not known.any() or 2 * known.sum() < len(known) or (self.time is not None and not known.all()):
            return False
        if self.time is None:
            self.time = found, known, attributes | {"native_name": column.name}
        else:
            self.variables[self._unique(column.name)] = (column.dims, found, attributes | {"time_scale": "TAI"})
        return True

    def _cells(self, column: Column, cells: Any) -> NDArray[Any]:
        """Return cells of text as numbers, or as text."""
        whole, kind = column.kind in _WHOLE, column.kind
        if kind in _TIMES:
            values, good = text_cells.numbers(cells)
            if not good.all():
                return text_cells.text_values(cells, self.limit)
            self.repaired.append(f"{column.name} is given as numbers: its label says {kind}, and it has no times")
            return values
        if not whole and kind not in _REALS:
            return text_cells.text_values(cells, self.limit)
        values, good = text_cells.numbers(cells, whole=whole)
        if not good.all():
            empty = text_cells.blank(cells) & ~good
            if whole and empty.any():
                values = values.astype(np.float64)
                values[empty] = np.nan
                self.repaired.append(
                    f"{column.name} is given as reals: {int(empty.sum())} of its whole numbers are blank"
                )
            self._refuse((good | empty).reshape(-1, prod(column.shape)).all(axis=1))
        return without_constants(values, special_constants(column.about), "<f8")

    def _refuse(self, good: NDArray[np.bool_]) -> None:
        self.good = good if self.good is None else self.good & good

    def _unique(self, name: str) -> str:
        """Return a name that is not taken; slashes divide the groups of a tree, and cannot stand in one."""
        name, number = name.replace("/", "_"), 1
        taken = {*self.variables, "row", "time"}
        unique = name
        while unique in taken:
            number += 1
            unique = f"{name}_{number}"
        return unique

    def dataset(self, rejected: dict[str, int]) -> xr.Dataset:
        """Return the rows that are good."""
        good = np.zeros(0, bool) if self.good is None else self.good
        coordinates, dim = {}, "row"
        if self.time is not None:
            found, known, attributes = self.time
            rejected |= {"no time": int((~known).sum()), "no number": int((known & ~good).sum())}
            good, dim = good & known, "time"
            coordinates["time"] = ("time", found if good.all() else found[good], attributes | TAI)
        else:
            rejected |= {"no number": int((~good).sum())}
        variables = {
            name: ((dim, *dims), values if good.all() else values[good], attributes)
            for name, (dims, values, attributes) in self.variables.items()
        }
        with foreign(self.name, "PDS3 table"):
            return xr.Dataset(variables, coordinates, {"rejected": counted(rejected)})


def _may_be_time(column: Column) -> bool:
    return column.kind in _TIMES or (column.kind == "CHARACTER" and "UTC" in column.name.upper())
