"""The coordinates of a cube: two times, their bounds, sites and their places; written in pieces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

from ilrs_science.geometry.time import squeezed_utc
from ilrs_science.model.axis import Axis, pieces
from ilrs_science.model.product import Product
from ilrs_science.model.site import Site
from ilrs_science.store.encoding import TIME_UNITS, Cut, time_unit

_INDEX_CHUNK = 2**20
"""Times of a chunk of the index, which is always read whole."""
_CHUNKS = 4096
"""Most chunks of a shard along time: each costs 16 bytes of the shard's index, stored or not."""
_SITES = 64
"""Sites whose places are stored in one object."""
_TIMES = BloscCodec(cname="zstd", clevel=5, shuffle="bitshuffle")


@dataclass(frozen=True)
class Coordinate:
    """An array that is written by the one who creates or enlarges the cube."""

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    attributes: Mapping[str, Any]
    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None = None

    def layout(self) -> dict[str, Any]:
        """Return what zarr's `create_array` wants to know."""
        return {
            "shape": self.shape,
            "dtype": str if self.dtype == "str" else self.dtype,
            "chunks": self.chunks,
            "shards": self.shards,
            "dimension_names": self.dims,
            "attributes": dict(self.attributes),
            "fill_value": _fill(self.dtype),
        } | ({"compressors": _TIMES} if self.dtype == "i8" else {})


def coordinates(product: Product, axis: Axis, sites: Sequence[Site], cut: Cut) -> list[Coordinate]:
    """Return every coordinate of a cube."""
    moving = {one.name for one in product.declared}
    places = [one for one in _places(axis, sites, cut) if one.name not in moving]
    return [*_times(axis, cut), *places, *_labels(product)]


def values(product: Product, axis: Axis, sites: Sequence[Site], first: int) -> Iterator[tuple[str, int, NDArray[Any]]]:
    """Yield the values of every coordinate, those along time from slot `first` on, in pieces.

    Yields
    ------
    Name of the coordinate, index of the first value along its first dimension, and values.
    """
    # Pieces begin where chunks do, so that none is written twice but the one that a growing axis ends in.
    begin = first // _INDEX_CHUNK * _INDEX_CHUNK
    for position, piece in pieces(axis, begin, _INDEX_CHUNK):
        yield from ((name, position, numbers) for name, numbers in _times_of(axis, piece).items())
    moving = {one.name for one in product.declared}
    places = _places_of(axis.places(sites))
    yield from ((name, 0, numbers) for name, numbers in places.items() if name not in moving)
    for name, labels in product.coordinates.items():
        if not isinstance(labels, int):
            yield name, 0, np.asarray(labels, dtype=object if isinstance(labels[0], str) else None)
    for name, edges in product.edges.items():
        yield f"{name}_bounds", 0, np.stack([edges[:-1], edges[1:]], axis=-1)


def write(store: Any, of: Iterator[tuple[str, int, NDArray[Any]]]) -> None:
    """Write values of coordinates into the arrays of a store."""
    arrays: dict[str, zarr.Array[Any]] = {}
    for name, first, numbers in of:
        if name not in arrays:
            arrays[name] = zarr.open_array(store, path=name, mode="r+")
        if len(numbers):
            arrays[name][first : first + len(numbers)] = numbers


def _times(axis: Axis, cut: Cut) -> list[Coordinate]:
    utc = {
        "standard_name": "time",
        "long_name": f"UTC, {axis.meaning}",
        "units": f"{TIME_UNITS[time_unit(axis, squeezed=True)]} since 1970-01-01",
        "calendar": "standard",
        "axis": "T",
        "bounds": "time_bounds",
        "time_scale": "UTC",
        "leap_seconds": "23:59:59 and 23:59:60 share one second of the label; table: IERS Bulletin C as in ERFA",
    }
    tai = {
        "long_name": f"TAI, {axis.meaning}",
        "units": f"{TIME_UNITS[time_unit(axis, squeezed=False)]} since 1970-01-01",
        "calendar": "standard",
        "time_scale": "TAI",
    }
    inner = (max(1, min(cut.chunk, _INDEX_CHUNK)),)
    outer = (_shard(inner[0], _INDEX_CHUNK),)
    return [
        Coordinate("time", ("time",), (axis.count,), "i8", utc, (_INDEX_CHUNK,)),
        # Chunked like the data: xarray refuses to speak of the chunks of a cube whose variables disagree.
        Coordinate("tai", ("time",), (axis.count,), "i8", tai, inner, outer),
        Coordinate("time_bounds", ("time", "bounds"), (axis.count, 2), "i8", {}, (*inner, 2), (*outer, 2)),
    ]


def _times_of(axis: Axis, piece: Axis) -> dict[str, NDArray[np.int64]]:
    coarse, exact = time_unit(axis, squeezed=True), time_unit(axis, squeezed=False)
    times, bounds = piece.times(), piece.bounds()
    return {
        "time": squeezed_utc(times) // coarse,
        "tai": times // exact,
        "time_bounds": squeezed_utc(bounds) // coarse,
    }


def _places(axis: Axis, sites: Sequence[Site], cut: Cut) -> list[Coordinate]:
    dims, count = (axis.place_dimension,), len(axis.places(sites))
    # Chunked like the data along both dimensions, in one object.
    chunk, most = {"site": (1, _SITES), "time": (max(1, min(cut.chunk, _INDEX_CHUNK)), _INDEX_CHUNK)}[dims[0]]
    chunks, shards = (chunk,), (_shard(chunk, most),)
    frames = ", ".join(sorted({site.frame for site in sites}))
    made = [Coordinate("site", dims, (count,), "str", {"long_name": "place that observes"}, chunks, shards)]
    for name, attributes in (
        ("lon", {"standard_name": "longitude", "units": "degrees_east", "long_name": "longitude"}),
        ("lat", {"standard_name": "latitude", "units": "degrees_north", "long_name": "planetocentric latitude"}),
        ("height", {"units": "m", "long_name": "height above the sphere of 1737.4 km"}),
    ):
        made.append(Coordinate(name, dims, (count,), "f8", attributes | {"frame": frames}, chunks, shards))
    return made


def _places_of(sites: Sequence[Site]) -> dict[str, NDArray[Any]]:
    found: dict[str, NDArray[Any]] = {"site": np.array([site.name for site in sites], dtype=object)}
    for name in ("lon", "lat", "height"):
        known = [getattr(site, name) for site in sites]
        found[name] = np.array([np.nan if one is None else one for one in known], "f8")
    return found


def _labels(product: Product) -> list[Coordinate]:
    made = []
    for name, labels in product.coordinates.items():
        if isinstance(labels, int):
            continue
        dtype = "str" if isinstance(labels[0], str) else np.asarray(labels).dtype.str[1:]
        attributes = dict(product.coordinate_attributes[name])
        if name in product.edges:
            attributes["bounds"] = f"{name}_bounds"
            shape = (len(labels), 2)
            made.append(Coordinate(f"{name}_bounds", (name, "bounds"), shape, "f8", {}, shape))
        made.append(Coordinate(name, (name,), (len(labels),), dtype, attributes, (max(1, len(labels)),)))
    return made


def _shard(chunk: int, most: int) -> int:
    """Return a number of whole chunks, of at most so many values."""
    return chunk * max(1, min(most // chunk, _CHUNKS))


def _fill(dtype: str) -> Any:
    return "" if dtype == "str" else np.nan if dtype.startswith("f") else 0
