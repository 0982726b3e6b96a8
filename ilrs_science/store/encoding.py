"""How a cube is cut into chunks and shards, and how they are compressed and described."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from zarr.codecs import BloscCodec

from ilrs_science.model.axis import Axis
from ilrs_science.model.product import Place, Product
from ilrs_science.model.quality import flag_attributes
from ilrs_science.model.variable import SMOOTH, VALUES, Encoding, Variable

# A chunk is what an analyst reads at once, a shard what a worker writes at once.
_CHUNK_BYTES = 2**20
_SHARD_BYTES = 2**24
_IMAGE_SIDE = 512
_DEFAULT_SLOTS = 2**16
"""Most slots of a shard by default: half a day at 1 Hz, so that a growing cube does its last shard again cheaply."""


@dataclass(frozen=True)
class Cut:
    """Samples along time of a chunk and a shard; the same for every variable, so a part is whole shards of all."""

    chunk: int
    shard: int


def cut(product: Product, place: Place, chunk: int | None = None, shard: int | None = None) -> Cut:
    """Return the default cut of a product, or the given one; it never depends on the length of a campaign.

    Raises
    ------
    ValueError
        The shard is no multiple of the chunk.
    """
    if chunk is None:
        largest = max(
            int(np.prod([min(s, _IMAGE_SIDE) for s in product.shape(v, 1)])) * np.dtype(v.stored_dtype).itemsize
            for v in product.stored(place)
        )
        chunk = max(1, min(_CHUNK_BYTES // largest, _DEFAULT_SLOTS, shard or _DEFAULT_SLOTS))
        if shard is not None:
            chunk = next(size for size in range(chunk, 0, -1) if shard % size == 0)
    if shard is None:
        wanted = min(_SHARD_BYTES // (chunk * product.sample_bytes(place)), _DEFAULT_SLOTS // chunk)
        shard = chunk * max(1, wanted)
    if shard % chunk:
        raise ValueError(f"a shard of {shard} samples is no multiple of a chunk of {chunk}")
    return Cut(chunk, shard)


def array_layout(product: Product, variable: Variable, cut: Cut, axis: Axis) -> dict[str, Any]:
    """Return chunks, shards and compressor of a variable, as zarr takes them."""
    chunks, shards = [], []
    for name, size in zip(variable.dims, product.shape(variable, 0), strict=True):
        inner = cut.chunk if name == "time" else max(1, min(size, _IMAGE_SIDE))
        chunks.append(inner)
        shards.append(cut.shard if name == "time" else -(-max(size, 1) // inner) * inner)
    site = (1,) * len(axis.leading)
    return {"chunks": (*site, *chunks), "shards": (*site, *shards), "compressors": compressor(variable)}


def compressor(variable: Variable) -> BloscCodec:
    """Return the Blosc codec of a variable."""
    default = VALUES if np.dtype(variable.dtype).kind == "f" else SMOOTH
    encoding: Encoding = variable.encoding or default
    return BloscCodec(cname=encoding.codec, clevel=encoding.level, shuffle=encoding.shuffle)  # type: ignore[arg-type]


def cf_attributes(variable: Variable, product: Product, place: Place) -> dict[str, Any]:
    """Return the CF attributes of a stored variable, in a cube of this place."""
    attributes: dict[str, Any] = {"units": variable.units, **dict(variable.attributes)}
    if variable.about:
        attributes["long_name"] = variable.about
    if variable.standard_name:
        attributes["standard_name"] = variable.standard_name
    if np.dtype(variable.dtype).kind in "iu" and variable.fill is None:
        attributes["_FillValue"] = variable.empty  # so that xarray shows a cell without a sample as NaN
    if variable.name == "quality":
        return attributes | flag_attributes(product.flags)
    if variable.categories:
        attributes["flag_values"] = list(range(len(variable.categories)))
        attributes["flag_meanings"] = " ".join(variable.categories)
    return attributes | _methods(variable, product, place) | _ancillary(variable, product)


def _methods(variable: Variable, product: Product, place: Place) -> dict[str, str]:
    method = product.place_of(variable, place) if variable in product.declared else ""
    return {"cell_methods": f"time: {method}"} if method in ("mean", "sum") else {}


def _ancillary(variable: Variable, product: Product) -> dict[str, str]:
    """Return the names of what belongs to a variable: its uncertainty, and flags."""
    if variable.coordinate or (variable not in product.declared and not product.counts_events):
        return {}
    uncertainty = f"{variable.name}_uncertainty " if variable.has_uncertainty else ""
    return {"ancillary_variables": f"{uncertainty}quality"}


_WHOLE_SECONDS = 63_072_010 * 10**9
"""1972-01-01T00:00:00 UTC, TAI ns: since then TAI - UTC is a whole number of seconds."""

TIME_UNITS = {10**9: "seconds", 10**6: "milliseconds", 10**3: "microseconds", 1: "nanoseconds"}
"""Units of stored times by their length, ns; the coarsest comes first."""
_INDEX_UNIT = 1000
"""The coarsest unit of the index, ns."""


def time_unit(axis: Axis, *, squeezed: bool) -> int:
    """Return the length, ns, of a unit in which every time of an axis is a whole number, however it grows.

    That is the coarsest one; but for the index, which is decoded whole by everybody who opens a cube, none coarser than
    microseconds: xarray turns those into ns in a third of the time.

    Parameters
    ----------
    squeezed
        For labels in UTC, the index: within a leap second they go half as fast.
    """
    if squeezed and axis.start < _WHOLE_SECONDS:
        return 1
    resolution = axis.resolution()
    finest = resolution // 2 if squeezed and resolution % 2 == 0 else 1 if squeezed else resolution
    coarsest = _INDEX_UNIT if squeezed else max(TIME_UNITS)
    return next(length for length in TIME_UNITS if length <= coarsest and finest % length == 0)
