"""PDS4 products, and those of Chang'e that are labelled likewise (GRAS): a label in XML and the data beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ilrs_science.errors import FormatError, IlrsError
from ilrs_science.formats.format import HEAD, Format, counted, granule, numbered
from ilrs_science.formats.opening import opens
from ilrs_science.formats.pds4.array import read_array
from ilrs_science.formats.pds4.field import Field, Names, attributes
from ilrs_science.formats.pds4.file import FileArea, Structure, digest, file_areas
from ilrs_science.formats.pds4.label import LARGEST, Label, is_label, labels_beside, pair, read_label
from ilrs_science.formats.pds4.product import attributes_of, product
from ilrs_science.formats.pds4.table import Table, count_records, fields_of, read_table
from ilrs_science.formats.pds4.time import Times, clocks, label_span, times
from ilrs_science.formats.pds4.values import constants_of, physical
from ilrs_science.geometry.labels import TAI
from ilrs_science.model.granule import Granule

_OTHERS = (b"SIMPLE  =", b"\x89HDF", b"CDF\x01", b"CDF\x02", b"\xcd\xf3\x00\x01")
"""Starts of files that describe themselves, whatever label lies beside them: FITS, HDF5, netCDF, CDF."""


@opens
def read_pds4(path: Path, *, structure: str | int | None = None, epoch: str | None = None) -> xr.Dataset | xr.DataTree:
    """Return the tables and arrays of a PDS4 product.

    Parameters
    ----------
    path
        The label (`.xml`; `.2BL` and so on of GRAS) or the data; of data the label is `<data>L`, else the file of the
        same stem with the suffix `.xml`. Data lie in the folder of their label.
    structure
        Name or number, from 0, of one structure of several.
    epoch
        UTC at which a field counts seconds or milliseconds from zero, in days of 86400 s, such as
        `1971-12-31T00:00:00`; by itself the reader takes one from the description of a field called time, where the
        start and stop of the label agree with it.

    Returns
    -------
    A dataset of a table or array; a tree of datasets, named like the structures, where there are several. Variables are
    fields under their own names along `record`, or `time` (int64 TAI ns) where the records tell it, repetitions of a
    group along `<group>_1`; an array is one variable along its own axes. Types are those of the label in the byte
    order of this machine. Special constants are NaN in reals and stay in integers, and are among the attributes of
    their variable; scaling is applied and gives reals. Where label and file contradict each other, the file is read as
    it is and the attribute `repaired` tells how; records that cannot be read are counted in `rejected`.

    Raises
    ------
    FormatError
        There is no label, or label and data cannot be brought together.
    IlrsError
        There is no such structure, or the epoch is no time.
    OSError
        There is no such file, or it cannot be read.
    """
    label, areas = _open(path)
    shared = attributes_of(label)
    known = [(one, area) for area in areas for one in area.structures]
    chosen = known if structure is None else [_chosen(known, structure, label)]
    verified = {area.data: digest(label, area) for area in areas if any(area is other for _, other in chosen)}
    found: dict[str, xr.Dataset] = {}
    unlike = Names()
    for one, area in chosen:
        own = Label(label.path, label.root)
        ds = _dataset(own, one, epoch)
        mended = [*(label.repaired if len(chosen) == 1 else []), *own.repaired]
        placed = {"headers": area.headers, "not_read": area.others, "repaired": mended}
        ds.attrs |= {**verified[area.data], **{name: said for name, said in placed.items() if said}}
        found[unlike(one.name.replace("/", "_").strip(".") or "_")] = ds
    if len(found) == 1:
        ds = next(iter(found.values()))
        ds.attrs = {**shared, **ds.attrs}
        return ds
    root = {**shared, "rejected": {}, **({"repaired": label.repaired} if label.repaired else {})}
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=root), **{name: _slashless(ds) for name, ds in found.items()}})


def index_pds4(path: Path) -> list[Granule]:
    """Return what a PDS4 product holds: of each data file its records, or its arrays where it has no table.

    The first and last time are those of the records; where they have none, the start and stop of the label; none where
    both contradict each other.

    Raises
    ------
    FormatError
        As `read_pds4`.
    """
    label, areas = _open(path)
    about = product(label)
    found = []
    for area in (area for area in areas if area.structures):
        tables = [one for one in area.structures if not one.kind.startswith("Array")]
        fields = [fields_of(label, one) for one in tables]
        counts = [count_records(label, one, inside) for one, inside in zip(tables, fields, strict=True)]
        count, span = max(counts, default=len(area.structures)), label_span(label)
        for number, one in enumerate(tables):
            own, contradicted = _span(label, one, fields[number])
            if own or contradicted:
                count, span = counts[number], own
                break
        named = {"instrument": about.instrument, "site": about.site, "level": about.level}
        found.append(granule(area.data, "pds4", count=count, span=span, **named))
    return found


def _recognises(head: bytes, path: Path) -> bool:
    if is_label(head):
        return True
    if head.startswith(_OTHERS):
        return False
    for beside in labels_beside(path):
        if beside != path and beside.is_file():
            with beside.open("rb") as file:
                start = file.read(LARGEST)
            return is_label(start[:HEAD]) and (beside.stem != path.stem or path.name.encode() in start)
    return False


def _companions(path: Path) -> dict[str, Path]:
    label, data = pair(path)
    if label != path:
        return {"label": label}
    return numbered("data", dict.fromkeys(area.data for area in file_areas(read_label(label), data)))


FORMAT = Format(
    "pds4",
    "PDS4 products and those of Chang'e (GRAS)",
    "own",
    _recognises,
    read_pds4,
    index_pds4,
    companions=_companions,
)


class _Variable(NamedTuple):
    """A field as it is returned."""

    groups: tuple[tuple[str, int], ...]
    values: NDArray[Any]
    about: dict[str, Any]


def _open(path: Path) -> tuple[Label, list[FileArea]]:
    """Return the label of a file and the data files in question."""
    beside, data = pair(path)
    label = read_label(beside)
    areas = file_areas(label, data)
    if not any(area.structures for area in areas):
        others = ", ".join(other for area in areas for other in area.others)
        raise FormatError(f"{label.path}: no table and no array; {others or 'nothing'} is in it")
    return label, areas


def _chosen(known: list[tuple[Structure, FileArea]], structure: str | int, label: Label) -> tuple[Structure, FileArea]:
    for number, (one, area) in enumerate(known):
        if structure in (one.name, number):
            return one, area
    raise IlrsError(f"{label.path}: no structure {structure!r}; there are {', '.join(one.name for one, _ in known)}")


def _dataset(label: Label, structure: Structure, epoch: str | None) -> xr.Dataset:
    own = {"structure": structure.kind, "data_file": structure.data.name}
    if structure.kind.startswith("Array"):
        dims, values, about = read_array(label, structure)
        return xr.Dataset({structure.name: (dims, values, about)}, attrs={**own, "rejected": {}})
    fields = fields_of(label, structure)
    table = read_table(label, structure, fields)
    found: dict[str, _Variable] = {}
    unlike = Names()
    for column in table.columns:
        values, constants = physical(label, column.values, column.element, constants_of(column.element))
        found[unlike(column.name)] = _Variable(column.groups, values, {**attributes(column.element), **constants})
    told = (times(label, one, found[one.field].values) for one in clocks(label, fields, epoch) if one.field in found)
    clock = next((one for one in told if one is not None), None)
    if clock is not None:
        table.rejected["no time"] += int(np.count_nonzero(table.good & ~clock.good))
        own["time_field"] = clock.clock.field
    return _variables(table, found, clock).assign_attrs({**own, "rejected": counted(table.rejected)})


def _variables(table: Table, found: dict[str, _Variable], clock: Times | None) -> xr.Dataset:
    """Return the columns along their good records; a field of text that is the time is the coordinate only."""
    along = Names(found)("record") if clock is None else "time"
    good = table.good if clock is None else table.good & clock.good
    kept: Any = slice(None) if good.all() else good
    dimension = _Dimensions({*found, along})
    coordinates = {} if clock is None else {"time": ("time", clock.tai[kept], TAI)}
    variables = {}
    for name, one in found.items():
        if clock is None or clock.clock.kind != "text" or name != clock.clock.field:
            dims = (along, *(dimension(*group) for group in one.groups))
            variables[Names(found)("time_native") if name == along else name] = (dims, one.values[kept], one.about)
    return xr.Dataset(variables, coordinates)


class _Dimensions:
    """Names dimensions of groups: the same for groups of a name and a size, and none that a variable has."""

    def __init__(self, taken: Iterable[str]) -> None:
        self.taken = set(taken)
        self.found: dict[tuple[str, int], str] = {}
        self.numbers: Counter[str] = Counter()

    def __call__(self, name: str, size: int) -> str:
        while (name, size) not in self.found:
            self.numbers[name] += 1
            dim = f"{name}_{self.numbers[name]}"
            if dim not in self.taken:
                self.taken.add(dim)
                self.found[name, size] = dim
        return self.found[name, size]


def _slashless(ds: xr.Dataset) -> xr.Dataset:
    """Return a dataset with names that can be in a tree, where a slash separates groups."""
    names = [str(name) for name in dict.fromkeys([*ds.variables, *ds.dims])]
    unlike = Names(name for name in names if "/" not in name)
    return ds.rename({name: unlike(name.replace("/", "_")) for name in names if "/" in name})


def _span(label: Label, structure: Structure, fields: list[Field]) -> tuple[tuple[int, int] | None, bool]:
    """Return the first and last time of a table, and whether its clock and the label contradict each other."""
    label = Label(label.path, label.root)
    for clock in clocks(label, fields, None):
        table = read_table(label, structure, fields, {clock.field})
        values = {
            one.name: physical(label, one.values, one.element, constants_of(one.element))[0] for one in table.columns
        }
        before = len(label.repaired)
        found = times(label, clock, values[clock.field]) if clock.field in values else None
        if found is not None:
            tai = found.tai[found.good & table.good]
            return ((int(tai.min()), int(tai.max())) if tai.size else None), False
        if clock.kind != "text" and len(label.repaired) > before:
            return None, True
    return None, False
