"""CDF files of space-physics missions, by the ISTP conventions: the variables along each of their times."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ilrs_science.errors import FormatError
from ilrs_science.formats.cdf.axes import Axes, called
from ilrs_science.formats.cdf.file import CdfFile, CdfVariable
from ilrs_science.formats.cdf.plan import Plan, chosen, plan_of
from ilrs_science.formats.cdf.time import EPOCHS, to_tai
from ilrs_science.formats.foreign import foreign
from ilrs_science.formats.format import Format, counted, granule, plain, unit_attributes
from ilrs_science.formats.opening import Source, opens
from ilrs_science.geometry.labels import TAI
from ilrs_science.model.granule import Granule

_MAGIC = (b"\xcd\xf3\x00\x01", b"\xcd\xf2\x60\x02", b"\x00\x00\xff\xff")
_PLAIN, _PACKED = b"\x00\x00\xff\xff", b"\xcc\xcc\x00\x01"
_SITES = {f"Cluster-{number}": f"C{number}" for number in range(1, 5)}
"""What the Cluster archive calls a spacecraft, and the catalogue of sites."""
_UNKNOWN = np.iinfo(np.int64).min
_OF_TIME = ("CATDESC", "VAR_NOTES", "DELTA_PLUS_VAR", "DELTA_MINUS_VAR", "BIN_LOCATION")
"""Attributes of a time that say which moment of a sample it is."""


@overload
def read_cdf(path: Source, /, *, variables: Sequence[str], epoch: str | None = None) -> xr.Dataset: ...
@overload
def read_cdf(path: Source, /, *, variables: None = None, epoch: str) -> xr.Dataset: ...
@overload
def read_cdf(path: Source, /, *, variables: None = None, epoch: None = None) -> xr.Dataset | xr.DataTree: ...
@opens
def read_cdf(
    path: Path, *, variables: Sequence[str] | None = None, epoch: str | None = None
) -> xr.Dataset | xr.DataTree:
    """Return the variables of a CDF file along its time, or along each of its times.

    Parameters
    ----------
    path
        The file.
    variables
        Names to read, of variables along one time or none. By default all.
    epoch
        Name of a time variable: only what lies along it or along no time. By default all times that others depend on.

    Returns
    -------
    Variables with their own names, types and attributes along `time`, int64 TAI nanoseconds. A dimension is called as
    the variable that DEPEND_1, LABL_PTR_1 and so on name, where it fits, and has it as coordinate; else `<name>_1` and
    so on. Variables that depend on no time have only such dimensions. Where the file has several times, a tree: a child
    for each, named as the time variable, and the variables without time at the root.

    FILLVAL is NaN in variables of reals; integers keep it. Times that are data are int64 TAI ns. Records whose time is
    filled or impossible are left out and counted in the attribute `rejected`. The order is that of the file, and
    `backward_times` is how often it goes back. `epoch` names the time variable. `skipped` says which variables are left
    out and why, `repaired` which lie along a time that they do not name. Global attributes of several values are lists.

    Raises
    ------
    FormatError
        The file is no CDF, is damaged, or lacks what was asked for.
    OSError
        There is no such file, or it cannot be read.
    """
    with path.open("rb") as file, foreign(path, "CDF"):
        cdf = CdfFile(path, file)
        plan = plan_of(cdf)
        if variables is not None or epoch is not None:
            plan = chosen(cdf, path, plan, variables, epoch)
        return _arranged(cdf, plan)


def index_cdf(path: Path) -> list[Granule]:
    """Return what a CDF file holds: the ends of its times, and the records of the one that has most.

    Instrument, level and site are those of the attributes EXPERIMENT, PROCESSING_LEVEL and OBSERVATORY of the Cluster
    archive, or else of Descriptor, Data_type and Source_name of ISTP.

    Raises
    ------
    FormatError
        The file is no CDF or is damaged.
    OSError
        There is no such file, or it cannot be read.
    """
    with path.open("rb") as file, foreign(path, "CDF"):
        cdf = CdfFile(path, file)
        plan = plan_of(cdf)
        ends = []
        for name in plan.along:
            times, known = _times(cdf, name)
            ends += [int(end(times[known])) for end in (np.min, np.max) if known.any()]
    holders = [cdf.variables[name] for name in plan.along] or plan.timeless
    said = {name.lower(): str(values[0]) for name, values in cdf.attributes.items() if values}

    def first(*names: str) -> str:
        return next((code for name in names if (code := said.get(name, "").partition(">")[0].strip())), "")

    site = first("observatory", "source_name", "mission_group")
    return [
        granule(
            path,
            "cdf",
            count=max((one.records for one in holders), default=0),
            span=(min(ends), max(ends)) if ends else None,
            instrument=first("experiment", "instrument_name", "descriptor"),
            site=_SITES.get(site, site),
            level=first("level", "processing_level", "data_type") or "unknown",
        )
    ]


def _recognises(head: bytes, _path: Path) -> bool:
    return head[:4] in _MAGIC and head[4:8] in (_PLAIN, _PACKED)


FORMAT = Format("cdf", "Common Data Format, versions 2 and 3", "own", _recognises, read_cdf, index_cdf)


def _arranged(cdf: CdfFile, plan: Plan) -> xr.Dataset | xr.DataTree:
    """Return what was planned: a dataset, or a tree where there are several times."""
    axes = Axes(cdf.variables)
    moving = [one for some in plan.along.values() for one in some]
    still = {one.name: one for one in [*plan.timeless, *_beside(cdf, axes, [*moving, *plan.timeless])]}
    fixed = {one.name: _array(cdf, axes, one) for one in still.values()}
    about = _about(cdf, plan)
    if len(plan.along) == 1:
        ((name, some),) = plan.along.items()
        return _along(cdf, axes, name, some, fixed).assign_attrs(about)
    root = _dataset(axes, [*still.values(), *moving], fixed, {}, {**about, "rejected": {}})
    if not plan.along:
        return root
    children = {}
    for name, some in plan.along.items():
        near = {one.name: fixed[one.name] for one in _beside(cdf, axes, some)}
        children[called(name)] = _along(cdf, axes, name, some, near)
    return xr.DataTree.from_dict({"/": root, **children})


def _along(cdf: CdfFile, axes: Axes, epoch: str, some: list[CdfVariable], fixed: dict[str, xr.Variable]) -> xr.Dataset:
    """Return what is along a time, and what is beside it."""
    times, known = _times(cdf, epoch)
    rejected = counted({"no time": len(times) - int(np.count_nonzero(known))})
    kept = known if rejected else slice(None)
    times = times[kept]
    arrays = fixed | {one.name: _array(cdf, axes, one, kept) for one in some}
    said = {key: plain(value) for key, value in cdf.variables[epoch].attributes.items() if key in _OF_TIME}
    about: dict[str, Any] = {"epoch": epoch, "rejected": rejected}
    if backward := int(np.count_nonzero(times[1:] < times[:-1])):
        about["backward_times"] = backward
    coordinates = {"time": xr.Variable("time", times, {**said, **TAI})}
    return _dataset(axes, [*(cdf.variables[name] for name in fixed), *some], arrays, coordinates, about)


def _dataset(
    axes: Axes,
    some: Iterable[CdfVariable],
    arrays: dict[str, xr.Variable],
    coordinates: dict[str, xr.Variable],
    about: dict[str, Any],
) -> xr.Dataset:
    """Return variables, those beside others as coordinates."""
    if len({called(name) for name in arrays}) < len(arrays):
        raise ValueError(f"of {', '.join(arrays)}, some would have the same name")
    beside = {name for one in some for name in axes.beside(one)}
    coordinates = coordinates | {called(name): array for name, array in arrays.items() if name in beside}
    return xr.Dataset({called(name): array for name, array in arrays.items() if name not in beside}, coordinates, about)


def _beside(cdf: CdfFile, axes: Axes, some: Iterable[CdfVariable]) -> list[CdfVariable]:
    """Return the variables without time that are coordinates of others."""
    names = {name for one in some for name in axes.beside(one)}
    return [one for name, one in cdf.variables.items() if name in names and not one.varies]


def _about(cdf: CdfFile, plan: Plan) -> dict[str, Any]:
    ours = ("epoch", "rejected", "skipped", "repaired", "backward_times")
    about = {
        f"native_{name}" if name in ours else name: plain(values[0] if len(values) == 1 else values)
        for name, values in cdf.attributes.items()
    }
    for key, reasons in (("skipped", plan.skipped), ("repaired", plan.guessed)):
        if reasons:
            about[key] = [f"{name}: {reason}" for name, reason in reasons.items()]
    return about


def _times(cdf: CdfFile, name: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    one = cdf.variables[name]
    if one.type not in EPOCHS or not one.varies or one.sizes:
        records = "records" if one.varies else "no records"
        raise FormatError(
            f"{cdf.path}: {name} is of type {one.type}, shape {one.sizes} and has {records}; a time is one of "
            f"{', '.join(EPOCHS)} for each record"
        )
    return to_tai(cdf.values(one), one.type)


def _array(cdf: CdfFile, axes: Axes, one: CdfVariable, kept: NDArray[np.bool_] | slice | None = None) -> xr.Variable:
    """Return a variable: along time, of the records that are kept; without it where nothing is said of them."""
    values = cdf.values(one)
    dims = axes.of(one)
    if kept is not None:
        values, dims = values[kept], ("time", *dims)
    elif one.varies:
        dims = (f"{called(one.name)}_0", *dims)
    else:
        values = values[0]
    attributes = {key: plain(value) for key, value in one.attributes.items()}
    said = attributes.pop("units", "")
    units: dict[str, Any] = dict(unit_attributes(str(attributes.get("UNITS") or said)))
    if called(one.name) != one.name:
        attributes["native_name"] = one.name
    if one.type in EPOCHS:
        times, known = to_tai(values, one.type)
        values = np.where(known, times, _UNKNOWN)
        units = {"units": "ns", "time_scale": "TAI", "missing_value": _UNKNOWN}
    elif values.dtype.kind == "S":
        values = _text(values)
    elif values.dtype.kind == "f":
        values = _with_nan(values, one.attributes.get("FILLVAL"))
    return xr.Variable(dims, values, {**attributes, **units})


def _text(values: NDArray[Any]) -> NDArray[Any]:
    """Return text without the blanks at its end; what is not UTF-8 is Latin-1."""
    try:
        return np.strings.rstrip(values.astype("U"))
    except UnicodeDecodeError:
        try:
            return np.strings.rstrip(np.strings.decode(values, "utf-8"))
        except UnicodeDecodeError:
            return np.strings.rstrip(np.strings.decode(values, "latin-1"))


def _with_nan(values: NDArray[Any], fill: Any) -> NDArray[Any]:
    if isinstance(fill, int | float):
        with np.errstate(over="ignore"):
            filled = np.asarray(values == values.dtype.type(fill))
        if filled.any():
            values = np.where(filled, values.dtype.type(np.nan), values)
    return values
