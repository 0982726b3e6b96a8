"""netCDF of every kind, and plain HDF5: groups of labelled arrays, their time as TAI where they have one."""

from __future__ import annotations

from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ilrs_science.errors import FormatError
from ilrs_science.formats.foreign import foreign
from ilrs_science.formats.format import Format, counted, granule, plain, unit_attributes
from ilrs_science.formats.netcdf.cf import NotATimeError, decoded, is_time, to_tai
from ilrs_science.formats.netcdf.classic import MAGIC, read_classic
from ilrs_science.formats.netcdf.hdf5_file import SIGNATURE, open_hdf5
from ilrs_science.formats.netcdf.model import NetcdfGroup, NetcdfVariable
from ilrs_science.formats.opening import opens
from ilrs_science.geometry.labels import TAI
from ilrs_science.model.granule import Granule

_PLACES = (0, *(512 * 2**power for power in range(7)))
"""Where an HDF5 file may begin, after a block of its user."""

_FILLS = ("_FillValue", "missing_value")
_INSTRUMENT = ("instrument", "instrument_name", "sensor")
_SITE = ("site", "platform", "station", "spacecraft", "observatory", "source_name")
_LEVEL = ("processing_level", "level", "data_level")
_OF_TIME = ("units", "calendar", "standard_name", "axis", "time_scale", "timescale", "time_system", *_FILLS)
_SAID = (*_INSTRUMENT, *_SITE, *_LEVEL)
_WANTED = {"CLASS", "NAME", *_OF_TIME, *(spelled for one in _SAID for spelled in (one, one.capitalize(), one.upper()))}
"""What an index needs of the attributes."""


@opens
def read_netcdf(path: Path, *, group: str | None = None) -> xr.Dataset | xr.DataTree:
    """Return the variables of a netCDF or HDF5 file; a tree where it has groups.

    Parameters
    ----------
    path
        The file: netCDF-3 (CDF-1, 2 and 5), netCDF-4, or HDF5, with or without a user block.
    group
        Path of a group, such as `science/raw`, to read it and what is below it. By default the whole file.

    Returns
    -------
    Variables with their own names along their dimensions; where the file names none, `<name>_1` and so on. The one
    variable that gives the time of a dimension (one-dimensional, and its units count from a date: CF 4.4) is `time`
    along `time`, int64 TAI ns; others stay numbers. UTC is assumed where no scale is stated. `_FillValue` and
    `missing_value` are NaN in reals, and integers keep them. Packed numbers are unpacked. Characters are joined to
    text along their last dimension. The fields of a compound type are `<name>_<field>`; enumerations are numbers with
    `flag_values` and `flag_meanings`.

    Records without a time are left out and counted in the attribute `rejected`; `skipped` names what is left out, such
    as links and values in other files, which are never opened. Where groups have dimensions of the same name and other
    values than the groups above them, the tree is flat, and the groups are called `a__b`, the first one `root`.

    Raises
    ------
    FormatError
        The file is none of these, is damaged, or has no such group.
    OSError
        There is no such file, or it cannot be read.
    """
    with _opened(path) as found:
        for name in (group or "").strip("/").split("/") if group else ():
            if name not in found.groups:
                raise FormatError(f"{path}: no group {group}; there are {', '.join(found.groups) or 'none'}")
            found = _below(found, name)  # noqa: PLW2901 - a step down
        return _tree({"/".join(names): _dataset(one) for names, one in _walk(found, ())})


def index_netcdf(path: Path) -> list[Granule]:
    """Return what a netCDF or HDF5 file holds: the ends of its times, and the length of the longest.

    Instrument, site and level are those of the global attributes that say so (ACDD 1.3: instrument, platform,
    processing_level).

    Raises
    ------
    FormatError
        The file is none, or is damaged.
    OSError
        There is no such file, or it cannot be read.
    """
    counts, ends = [], []
    with _opened(path, _WANTED) as root:
        for _, group in _walk(root, ()):
            found = _time(group)
            if found is None:
                continue
            _, times, known = found
            counts.append(len(times))
            ends += [int(end(times[known])) for end in (np.min, np.max) if known.any()]
        if not counts:
            counts = [
                one.shape[0] if one.shape else 1 for _, group in _walk(root, ()) for one in group.variables.values()
            ]
        said = {key.lower(): str(plain(value)) for key, value in root.attributes.items()}
    return [
        granule(
            path,
            "netcdf",
            count=max(counts, default=0),
            span=(min(ends), max(ends)) if ends else None,
            instrument=_first(said, _INSTRUMENT),
            site=_first(said, _SITE),
            level=_first(said, _LEVEL) or "unknown",
        )
    ]


def _recognises(head: bytes, _path: Path) -> bool:
    return head[:4] in MAGIC or any(head[place : place + 8] == SIGNATURE for place in _PLACES)


FORMAT = Format("netcdf", "netCDF-3, netCDF-4 and HDF5", "h5py", _recognises, read_netcdf, index_netcdf)


@contextmanager
def _opened(path: Path, wanted: Container[str] | None = None) -> Iterator[NetcdfGroup]:
    with path.open("rb") as file:
        head = file.read(_PLACES[-1] + 8)
        if head[:4] in MAGIC:
            with foreign(path, "netCDF"):
                yield read_classic(path, file)
        elif _recognises(head, path):
            with foreign(path, "HDF5"), open_hdf5(path, file, wanted) as root:
                yield root
        else:
            raise FormatError(f"{path}: byte 0: neither netCDF nor HDF5")


def _first(said: dict[str, str], names: tuple[str, ...]) -> str:
    return next((said[name].strip() for name in names if said.get(name, "").strip()), "")


def _below(group: NetcdfGroup, name: str) -> NetcdfGroup:
    """Return a group with those coordinates of the groups that it is in that its variables lie along."""
    found = group.groups[name]
    dims = {dim for one in found.variables.values() for dim in one.dims}
    above = group.above | {key: one for key, one in group.variables.items() if one.dims == (key,)}
    seen = {key: one for key, one in above.items() if key in dims}
    return NetcdfGroup(found.attributes, seen | found.variables, found.groups, found.skipped, above)


def _walk(group: NetcdfGroup, names: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], NetcdfGroup]]:
    yield names, group
    for name in group.groups:
        yield from _walk(_below(group, name), (*names, name))


def _tree(nodes: dict[str, xr.Dataset]) -> xr.Dataset | xr.DataTree:
    if len(nodes) == 1:
        return nodes[""]
    try:
        return xr.DataTree.from_dict({f"/{name}": node for name, node in nodes.items()})
    except ValueError:
        return xr.DataTree.from_dict({name.replace("/", "__") or "root": node for name, node in nodes.items()})


def _time(group: NetcdfGroup) -> tuple[str, NDArray[np.int64], NDArray[np.bool_]] | None:
    """Return the name of the variable that is the time of a group, its times, and which are known."""
    candidates = [name for name, one in group.variables.items() if len(one.dims) == 1 and is_time(one.attributes)]
    own = [name for name in candidates if group.variables[name].dims == (name,)]
    told = [name for name in candidates if _tells(group.variables[name].attributes)]
    for some in ([name for name in candidates if name.lower() == "time"], own, told, candidates):
        if len(some) == 1:
            break
    else:
        return None
    one = group.variables[some[0]]
    try:
        values = one.load()
        return some[0], *to_tai(values, one.attributes)
    except NotATimeError as error:
        group.skipped[f"{some[0]} as TAI"] = str(error)
        return None


def _tells(attributes: dict[str, Any]) -> bool:
    return str(attributes.get("standard_name")) == "time" or str(attributes.get("axis")) == "T"


def _dataset(group: NetcdfGroup) -> xr.Dataset:
    found = _time(group)
    clash = found is not None and found[0] != "time" and "time" in group.variables
    name, times, known = found if found is not None and not clash else ("", np.empty(0), np.empty(0, bool))
    dim = group.variables[name].dims[0] if name else ""
    sizes = {dim: len(times)} if name else {}
    kept = slice(None) if known.all() else known
    arrays, coordinates, listed = {}, {}, set()
    for key, one in group.variables.items():
        if key == name:
            attributes = {k: plain(v) for k, v in one.attributes.items() if k not in ("units", "calendar", *_FILLS)}
            said = {f"native_{k}": plain(one.attributes[k]) for k in ("units", "calendar") if k in one.attributes}
            native = {} if key == "time" else {"native_name": key}
            coordinates["time"] = xr.Variable("time", times[kept], {**attributes, **said, **native, **TAI})
            continue
        values, dims, attributes = _array(key, one, sizes)
        listed |= set(str(attributes.pop("coordinates", "")).split())
        for axis in [number for number, own in enumerate(dims) if own == dim and name]:
            values = values[(slice(None),) * axis + (kept,)]
        arrays[key] = xr.Variable(["time" if own == dim and name else own for own in dims], values, attributes)
    about = {key: plain(value) for key, value in group.attributes.items()}
    about["rejected"] = counted({"no time": int(np.count_nonzero(~known))})
    if clash and found is not None:
        group.skipped[f"{found[0]} as TAI"] = "there is another variable called time"
    if group.skipped:
        about["skipped"] = [f"{key}: {reason}" for key, reason in group.skipped.items()]
    listed |= {key for key, array in arrays.items() if array.dims == (key,)}
    coordinates |= {key: array for key, array in arrays.items() if key in listed}
    return xr.Dataset({key: one for key, one in arrays.items() if key not in listed}, coordinates, about)


def _array(
    name: str, one: NetcdfVariable, sizes: dict[str, int]
) -> tuple[NDArray[Any], tuple[str, ...], dict[str, Any]]:
    """Return values, dimensions and attributes; a dimension of another size elsewhere is of the variable alone."""
    values, native = decoded(one.load(), one.attributes)
    dims = list(one.dims)
    if values.dtype == np.dtype("S1") and values.ndim:
        width = values.shape[-1]
        joined = np.ascontiguousarray(values).view(f"S{width}") if width else np.empty((*values.shape[:-1], 1), "S1")
        values, dims = joined[..., 0], dims[:-1]
    if values.dtype.kind == "S":
        values = np.strings.decode(values, "utf-8", "replace")
    for axis, dim in enumerate(dims):
        if sizes.setdefault(dim, values.shape[axis]) != values.shape[axis] or dim in dims[:axis]:
            dims[axis] = f"{name}_{axis + 1}"
    attributes = {key: plain(value) for key, value in native.items()}
    return values, tuple(dims), attributes | _units(attributes)


def _units(attributes: dict[str, Any]) -> dict[str, str]:
    said = str(attributes.pop("units", ""))
    return {"units": said} if is_time({"units": said}) else unit_attributes(said)
