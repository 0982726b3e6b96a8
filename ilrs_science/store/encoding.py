"""How a cube is cut into chunks and shards, and how they are compressed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from zarr.codecs import BloscCodec

from ilrs_science.model.product import SMOOTH, VALUES, Encoding, Place, Product, Variable
from ilrs_science.model.quality import flag_attributes

# A chunk is what an analyst reads at once, a shard what a worker writes at once.
_CHUNK_BYTES = 2**20
_SHARD_BYTES = 2**24
_IMAGE_SIDE = 512


@dataclass(frozen=True)
class Cut:
    """Samples along time of a chunk and a shard; the same for every variable, so a part is whole shards of all."""

    chunk: int
    shard: int


def cut(product: Product, place: Place, count: int, chunk: int | None = None, shard: int | None = None) -> Cut:
    """Return the default cut of an axis of `count` samples, or the given one.

    Raises
    ------
    ValueError
        The shard is no multiple of the chunk.
    """
    if chunk is None:
        largest = max(
            int(np.prod([min(s, _IMAGE_SIDE) for s in product.shape(v, 1)])) * np.dtype(v.dtype).itemsize
            for v in product.stored(place)
        )
        chunk = max(1, min(_CHUNK_BYTES // largest, count, shard or count))
        if shard is not None:
            chunk = next(size for size in range(chunk, 0, -1) if shard % size == 0)
    if shard is None:
        wanted = max(1, _SHARD_BYTES // (chunk * product.sample_bytes(place)))
        shard = chunk * min(wanted, max(1, -(-count // chunk)))
    if shard % chunk:
        raise ValueError(f"a shard of {shard} samples is no multiple of a chunk of {chunk}")
    return Cut(chunk, shard)


def array_layout(product: Product, variable: Variable, cut: Cut, *, regular: bool) -> dict[str, Any]:
    """Return chunks, shards and compressor of a variable, as zarr takes them."""
    chunks, shards = [], []
    for name, size in zip(variable.dims, product.shape(variable, 0), strict=True):
        inner = cut.chunk if name == "time" else max(1, min(size, _IMAGE_SIDE))
        chunks.append(inner)
        shards.append(cut.shard if name == "time" else -(-max(size, 1) // inner) * inner)
    site = (1,) if regular else ()
    return {"chunks": (*site, *chunks), "shards": (*site, *shards), "compressors": compressor(variable)}


def compressor(variable: Variable) -> BloscCodec:
    """Return the Blosc codec of a variable."""
    default = VALUES if np.dtype(variable.dtype).kind == "f" else SMOOTH
    encoding: Encoding = variable.encoding or default
    return BloscCodec(cname=encoding.codec, clevel=encoding.level, shuffle=encoding.shuffle)  # type: ignore[arg-type]


def cf_attributes(variable: Variable, product: Product) -> dict[str, Any]:
    """Return the CF attributes of a stored variable."""
    attributes: dict[str, Any] = {"units": variable.units, **dict(variable.attributes)}
    if variable.about:
        attributes["long_name"] = variable.about
    if variable.standard_name:
        attributes["standard_name"] = variable.standard_name
    if np.dtype(variable.dtype).kind in "iu" and variable.fill is None:
        attributes["_FillValue"] = variable.empty  # so that xarray shows a cell without a sample as NaN
    if variable.name == "quality":
        attributes |= flag_attributes(product.flags)
    elif not variable.coordinate and variable.uncertainty:
        attributes["ancillary_variables"] = f"{variable.name}_uncertainty quality"
    return attributes
