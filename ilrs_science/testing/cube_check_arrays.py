"""The arrays of a cube: those its schema declares, each with its dimensions, type, cut, fill and compression."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ilrs_science.errors import Fault
from ilrs_science.testing.cube_check_place import Cube, differs, parsed

COMMON_FLAGS = (
    *("missing", "saturated", "bad_detector", "cosmic_ray", "interpolated", "clock_uncertain"),
    *("out_of_range", "no_reference", "conflict", "not_applicable", "censored"),
)
_OWN_BIT = 16
_BITS = 32
_LARGEST_CHUNK = 512
_WIDEST = 8
_LARGEST = {"int64": 2**63 - 2**10, "uint64": 2**64 - 2**11}
"""The largest numbers of the longest types that float64 holds too."""

_PLACES = {"lon": "degrees_east", "lat": "degrees_north", "height": "m"}


@dataclass(frozen=True)
class Wanted:
    """An array as the schema of the cube declares it."""

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    """Name of the type in Zarr."""
    empty: float | None = None
    """Value of an empty cell of a data variable; None for a coordinate, which has no empty cells."""
    masked: bool = False
    """Whether `_FillValue` says which value is empty."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """Attributes that must be there, with these values."""
    blosc: tuple[str, int, str] | None = None
    """Codec, level and shuffle."""

    @property
    def is_data(self) -> bool:
        """Whether it is a data variable: sharded, and written by parts."""
        return self.empty is not None


def wanted(cube: Cube) -> list[Wanted]:
    """Return every array that a cube must have."""
    return [*_times(cube), *_sites(cube), *_labels(cube), *_data(cube)]


def array_faults(cube: Cube) -> Iterator[Fault]:
    """Yield what is wrong with the arrays, as far as metadata tell."""
    there = {name: one for name, one in cube.documents.items() if name != "records"}
    declared = {one.name: one for one in wanted(cube)}
    for name in sorted(declared.keys() - there.keys()):
        yield Fault(name, "is missing", "the schema of the cube declares it")
    for name in sorted(there.keys() - declared.keys()):
        yield Fault(name, "is no array of the schema", f"it declares {', '.join(sorted(declared))}")
    for name in sorted(declared.keys() & there.keys()):
        yield from _document_faults(cube, there[name], declared[name])
        yield from _own_document_faults(cube, name)
        yield from _stranger_faults(cube, declared[name])
    records = cube.documents.get("records")
    yield from differs("records", records and records.get("node_type"), "group")


def _document_faults(cube: Cube, document: Mapping[str, Any], want: Wanted) -> Iterator[Fault]:
    name, attributes = want.name, document["attributes"]
    yield from differs(f"{name}.dims", tuple(document["dimension_names"]), want.dims)
    yield from differs(f"{name}.shape", tuple(document["shape"]), want.shape)
    yield from differs(f"{name}.dtype", document["data_type"], want.dtype)
    for key, value in want.attributes.items():
        yield from differs(f"{name}.{key}", attributes.get(key), value)
    if want.blosc is not None:
        yield from differs(f"{name}.codecs", _blosc(document["codecs"]), want.blosc)
    if want.is_data:
        fill = "NaN" if math.isnan(want.empty or 0) else want.empty
        yield from differs(f"{name}.fill_value", document["fill_value"], fill)
        yield from differs(f"{name}._FillValue", attributes.get("_FillValue"), fill if want.masked else None)
        yield from _cut_faults(cube, document, want)
    if name == "time_bounds":
        yield from differs(f"{name}.attributes", attributes, {})
    if name == "quality":
        yield from _flag_faults(cube, attributes)


def _cut_faults(cube: Cube, document: Mapping[str, Any], want: Wanted) -> Iterator[Fault]:
    sharding = next((one for one in document["codecs"] if one["name"] == "sharding_indexed"), None)
    if sharding is None:
        yield Fault(f"{want.name}.codecs", "it is not sharded", "every data variable is")
        return
    shards, chunks = document["chunk_grid"]["configuration"]["chunk_shape"], sharding["configuration"]["chunk_shape"]
    fixed = {"site": (1, 1), "time": tuple(cube.schema["cut"])}
    for dim, size, chunk, shard in zip(want.dims, want.shape, chunks, shards, strict=True):
        path = f"{want.name}.cut.{dim}"
        if dim in fixed:
            yield from differs(path, (chunk, shard), fixed[dim])
        elif chunk > _LARGEST_CHUNK or shard < size:
            allowed = f"at most {_LARGEST_CHUNK} a chunk, and one shard for all {size}"
            yield Fault(path, f"found chunks of {chunk}, shards of {shard}", allowed)


def _flag_faults(cube: Cube, attributes: Mapping[str, Any]) -> Iterator[Fault]:
    flags = cube.schema["product"]["flags"]
    own = [name for name in flags if name not in COMMON_FLAGS]
    bits = (*range(len(COMMON_FLAGS)), *range(_OWN_BIT, min(_OWN_BIT + len(own), _BITS)))
    names = (*COMMON_FLAGS, *own)
    yield from differs("ilrs_schema.product.flags", flags, {n: 1 << bit for n, bit in zip(names, bits, strict=False)})
    yield from differs("quality.flag_meanings", attributes.get("flag_meanings"), " ".join(names))
    yield from differs("quality.flag_masks", attributes.get("flag_masks"), [1 << bit for bit in bits])


def _own_document_faults(cube: Cube, name: str) -> Iterator[Fault]:
    """Yield how an array's own document differs from the one in the root; while a cube grows its shape may."""
    own, root = parsed(cube.place.read(f"{name}/zarr.json")), cube.documents[name]
    if not isinstance(own, dict):
        yield Fault(f"{name}/zarr.json", "is missing or torn", "the same metadata as in the root document")
        return
    for key in sorted({*own, *root} - (set() if cube.complete else {"shape"})):
        yield from differs(f"{name}/zarr.json.{key}", own.get(key), root.get(key))


def _stranger_faults(cube: Cube, want: Wanted) -> Iterator[Fault]:
    """Yield objects below an array that are no part of it, such as shards beyond its end."""
    sizes = cube.documents[want.name]["chunk_grid"]["configuration"]["chunk_shape"]
    most = [-(-length // size) for length, size in zip(want.shape, sizes, strict=False)]
    for key in cube.place.below(want.name):
        rest = key.removeprefix(f"{want.name}/")
        numbers = rest.removeprefix("c/").split("/")
        known = rest == "zarr.json" or (rest.startswith("c/") and _inside(numbers, most))
        if not known:
            yield Fault(key, "is a stranger there", f"zarr.json, and chunks within {' x '.join(map(str, most))}")


def _inside(numbers: list[str], most: list[int]) -> bool:
    if len(numbers) != len(most):
        return False
    return all(n.isdecimal() and str(int(n)) == n and int(n) < end for n, end in zip(numbers, most, strict=True))


def _blosc(codecs: Any) -> tuple[str, int, str] | None:
    for codec in codecs:
        about = codec.get("configuration", {})
        if codec["name"] == "blosc":
            return about["cname"], about["clevel"], about["shuffle"]
        if "codecs" in about:
            return _blosc(about["codecs"])
    return None


def _times(cube: Cube) -> Iterator[Wanted]:
    blosc = ("zstd", 5, "bitshuffle")
    common = {"calendar": "standard"}
    utc = common | {"time_scale": "UTC", "bounds": "time_bounds"}
    yield Wanted("time", ("time",), (cube.count,), "int64", attributes=utc, blosc=blosc)
    yield Wanted("tai", ("time",), (cube.count,), "int64", attributes=common | {"time_scale": "TAI"}, blosc=blosc)
    yield Wanted("time_bounds", ("time", "bounds"), (cube.count, 2), "int64", blosc=blosc)


def _sites(cube: Cube) -> Iterator[Wanted]:
    dim, size = ("site", len(cube.schema["sites"])) if cube.regular else ("time", cube.count)
    yield Wanted("site", (dim,), (size,), "string")
    for name, units in places_of_sites(cube).items():
        yield Wanted(name, (dim,), (size,), "float64", attributes={"units": units})


def places_of_sites(cube: Cube) -> dict[str, str]:
    """Return the coordinates of sites with their units, but those that are along time since the platform moves."""
    moving = {one["name"] for one in cube.schema["product"]["variables"]}
    return {name: units for name, units in _PLACES.items() if name not in moving}


def _labels(cube: Cube) -> Iterator[Wanted]:
    for name, labels in cube.schema["product"]["coordinates"].items():
        if isinstance(labels, list):
            dtype = "string" if isinstance(labels[0], str) else np.asarray(labels).dtype.name
            yield Wanted(name, (name,), (len(labels),), dtype)
    for name, edges in cube.schema["product"]["edges"].items():
        yield Wanted(f"{name}_bounds", (name, "bounds"), (len(edges) - 1, 2), "float64")


def places(cube: Cube) -> set[str]:
    """Return how the declared variables of a cube are made of samples, each as its own place says, or that of all."""
    if cube.schema["place"] == "table":
        return {"table"}
    return {_place(cube, one) for one in cube.schema["product"]["variables"]}


def _place(cube: Cube, declared: Mapping[str, Any]) -> str:
    if not cube.regular:
        return "slot"
    if declared["place"] is not None:
        return str(declared["place"])
    if cube.schema["place"] == "slot":
        return "slot"
    if declared["categories"] or {"flag_values", "flag_masks", "flag_meanings"} & declared["attributes"].keys():
        return "first"
    return "mean" if declared["coordinate"] else str(cube.schema["place"])


def _data(cube: Cube) -> Iterator[Wanted]:
    if cube.schema["place"] == "table":
        yield _variable(cube, "rows", ["time"], np.dtype("u4"), 0, attributes={"units": "1"})
        yield _variable(cube, "quality", ["time"], np.dtype("u4"), 1)
        return
    for one in cube.schema["product"]["variables"]:
        yield _values(cube, one)
        if one["uncertainty"] and not one["coordinate"]:
            yield _uncertainty(cube, one)
    flags = cube.schema["product"]["quality"]
    yield _variable(cube, "quality", flags, np.dtype("u4"), 1)
    if cube.schema["place"] == "histogram":
        yield from _counted(cube)
    if places(cube) & {"mean", "sum"}:
        yield _variable(cube, "count", flags, np.dtype("u4"), 0)
        yield _variable(cube, "count_left_out", flags, np.dtype("u4"), 0)
    if "slot" in places(cube):
        yield _variable(cube, "time_offset", ["time"], np.dtype("i8"), 0, attributes={"units": "ns"})


def _counted(cube: Cube) -> Iterator[Wanted]:
    """Yield what is counted of events, and the time in which there could have been any."""
    product = cube.schema["product"]
    cells, live, real = ["time", *product["bins"]], ["time", *product["good"]], ("lz4", 5, "bitshuffle")
    if product["weight"]:
        yield _variable(cube, "counts", cells, np.dtype("f8"), 0, attributes={"units": "count"}, blosc=real)
        yield _variable(cube, "counts_variance", cells, np.dtype("f8"), 0, blosc=real)
    else:
        poisson = {"units": "count", "distribution": "Poisson"}
        yield _variable(cube, "counts", cells, np.dtype("u4"), 0, attributes=poisson)
    for name in ("ontime", "exposure"):
        yield _variable(cube, name, live, np.dtype("f8"), 0, attributes={"units": "s"}, blosc=real)


def _values(cube: Cube, declared: Mapping[str, Any]) -> Wanted:
    """Return the array of a variable of the product; integers without a fill value are stored in twice the bytes."""
    dtype, fill = np.dtype(declared["dtype"]), declared["fill"]
    masked = dtype.kind in "iu" and fill is None
    stored = np.dtype(f"{dtype.kind}{min(2 * dtype.itemsize, _WIDEST)}") if masked else dtype
    empty = _unused(stored) if fill is None else fill
    blosc = {"codec": "lz4", "level": 5, "shuffle": "bitshuffle" if dtype.kind == "f" else "shuffle"}
    blosc |= declared["encoding"] or {}
    return _variable(
        cube,
        declared["name"],
        declared["dims"],
        stored,
        empty,
        masked=masked,
        attributes={"units": declared["units"]},
        blosc=(blosc["codec"], blosc["level"], blosc["shuffle"]),
    )


def _uncertainty(cube: Cube, declared: Mapping[str, Any]) -> Wanted:
    """Return the array of the 1 sigma of a variable: as precise as that where it is floating, else float32."""
    dtype = np.dtype(declared["dtype"])
    sigma = dtype if dtype.kind == "f" else np.dtype("f4")
    units = {"units": declared["units"]}
    return _variable(cube, f"{declared['name']}_uncertainty", declared["dims"], sigma, math.nan, attributes=units)


def _unused(dtype: np.dtype[Any]) -> float:
    """Return the value of an empty cell of a type where none was declared: float64 holds it too."""
    return math.nan if dtype.kind == "f" else _LARGEST.get(dtype.name, int(np.iinfo(dtype).max))


def _variable(  # noqa: PLR0913 - all that makes an array
    cube: Cube,
    name: str,
    dims: list[str],
    dtype: np.dtype[Any],
    empty: float,
    *,
    masked: bool = False,
    attributes: Mapping[str, Any] | None = None,
    blosc: Any = ("lz4", 5, "shuffle"),
) -> Wanted:
    lengths = {"site": len(cube.schema["sites"]), "time": cube.count} | {
        dim: len(labels) if isinstance(labels, list) else labels
        for dim, labels in cube.schema["product"]["coordinates"].items()
    }
    every = (*cube.leading, *dims)
    shape = tuple(lengths[dim] for dim in every)
    return Wanted(name, every, shape, dtype.name, empty, masked, attributes or {}, blosc)
