"""Texts of variable length in HDF5: what stands in their place, read without the library, which would look them up."""

from __future__ import annotations

import zlib
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ilrs_science.errors import FormatError
from ilrs_science.formats.netcdf.hdf5_guard import HEAP_ID, GuardedFile


def identifiers(h5py: Any, guard: GuardedFile, handle: Any) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return what stands in the place of texts, as it is in the file, and which of it was written.

    Parameters
    ----------
    h5py
        The library.
    guard
        The file.
    handle
        The dataset: contiguous, or in chunks that are as they are, deflated or shuffled.

    Raises
    ------
    FormatError
        They are not within the file.
    """
    found, written = np.zeros(handle.shape, HEAP_ID), np.zeros(handle.shape, bool)
    low = handle.id
    if low.get_create_plist().get_layout() != h5py.h5d.CHUNKED:
        offset = low.get_offset()
        raw = guard.bytes_at(offset, found.nbytes) if offset is not None else b""
        if offset is not None and len(raw) == found.nbytes:
            return np.frombuffer(raw, HEAP_ID).reshape(handle.shape), ~written
        if low.get_storage_size():
            raise FormatError(f"{guard.path}: {handle.name}: values in the header, or outside the file")
        return found, written
    size = prod(handle.chunks) * HEAP_ID.itemsize
    made = low.get_create_plist()
    filters = [made.get_filter(number)[0] for number in range(made.get_nfilters())]
    for number in range(low.get_num_chunks()):
        about = low.get_chunk_info(number)
        raw = guard.bytes_at(about.byte_offset, about.size)
        for position in reversed(range(len(filters))):
            if not about.filter_mask >> position & 1:
                raw = _undone(raw, filters[position], size)
        if len(raw) != size:
            raise FormatError(f"{guard.path}: {handle.name}: a chunk of {len(raw)} bytes; expected {size}")
        place = tuple(
            slice(begin, begin + length) for begin, length in zip(about.chunk_offset, handle.chunks, strict=True)
        )
        target = found[place]
        written[place] = True
        target[...] = np.frombuffer(raw, HEAP_ID).reshape(handle.chunks)[tuple(slice(0, one) for one in target.shape)]
    return found, written


def _undone(raw: bytes, number: int, size: int) -> bytes:
    """Return what deflate or shuffle made of a chunk."""
    if number == 1:
        return zlib.decompressobj().decompress(raw, size + 1)
    return np.frombuffer(raw, "u1").reshape(HEAP_ID.itemsize, -1).T.tobytes()
