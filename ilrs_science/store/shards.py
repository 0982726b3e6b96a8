"""Shards: written whole by one owner, each with a checksum taken on the way, and held against the store later."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from typing import Any, Literal

import google_crc32c
import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.store import Store
from zarr.core.buffer import Buffer
from zarr.storage import WrapperStore

from ilrs_science.errors import CubeError
from ilrs_science.model.record import Record, Shard
from ilrs_science.store.target import Folder, Found, Target

type State = Literal["same", "moved", "other"]
"""Of a shard: as its record says; of the right size with another mark, so that its bytes must tell; or another one."""


class _Watched(WrapperStore[Store]):
    """A store that notes what is written through it; into a folder, by names that carry the token of the run."""

    def __init__(self, store: Store, place: Target, token: str) -> None:
        super().__init__(store)
        self.place = place
        self.token = token
        self.written: dict[str, tuple[int, str]] = {}

    async def set(self, key: str, value: Buffer) -> None:
        if isinstance(self.place, Folder):
            self.set_sync(key, value)
            return
        self._note(key, value)
        await super().set(key, value)

    def set_sync(self, key: str, value: Buffer) -> None:
        self._note(key, value)
        if isinstance(self.place, Folder):
            self.place.write(key, memoryview(value.as_buffer_like()), token=self.token)
        else:
            super().set_sync(key, value)

    def _note(self, key: str, value: Buffer) -> None:
        data = memoryview(value.as_buffer_like())
        self.written[key] = (data.nbytes, checksum(data))


def write_region(
    place: Target, row: int, first: int, arrays: Mapping[str, NDArray[Any]], token: str
) -> dict[str, Shard | None]:
    """Write whole shards of every variable.

    Parameters
    ----------
    row
        Index of the site; -1 in an exposure cube.
    first
        Index of the first sample along time; a multiple of the shard.
    arrays
        By name, time first, of the stored types.
    token
        Of the run.

    Returns
    -------
    Every shard of the region by its key, None where every cell is empty: then nothing is stored.
    """
    keys: list[str] = []
    with thrifty():
        store = _Watched(place.store(read_only=False), place, token)
        group = zarr.open_group(store, mode="r+", use_consolidated=False)
        for name, values in arrays.items():
            array = group[name]
            if not isinstance(array, zarr.Array):
                raise CubeError(f"{place.url}: {name} is not an array")
            along_time = slice(first, first + values.shape[0])
            array[(row, along_time) if row >= 0 else (along_time,)] = values
            keys += _keys(array, name, row, first, values.shape[0])
    marks = _marks(place, store.written)
    return {key: Shard(*store.written[key], marks[key]) if key in store.written else None for key in keys}


def checksum(data: Any) -> str:
    """Return the CRC-32C of bytes, or of whatever holds bytes, 8 hexadecimal digits; copies nothing."""
    view = np.frombuffer(data, np.uint8)
    view.flags.writeable = False  # the library takes only what nobody can write to
    return f"{google_crc32c.value(view):08x}"


def state(record: Record, listing: Mapping[str, Found]) -> State:
    """Return whether the shards of a record are there, as far as a listing tells."""
    found: State = "same"
    for key, shard in record.shards.items():
        there = listing.get(key)
        if (shard is None) != (there is None):
            return "other"
        if shard is None or there is None:
            continue
        if shard.size != there.size:
            return "other"
        if shard.mark != there.mark:
            found = "moved"
    return found


def damaged(place: Target, record: Record) -> list[str]:
    """Read every shard of a record and return the keys of those whose bytes are not what it says."""
    wrong = []
    for key, shard in record.shards.items():
        data = place.read(key)
        if (data is None) != (shard is None) or (
            data is not None and shard is not None and (len(data), checksum(data)) != (shard.size, shard.crc32c)
        ):
            wrong.append(key)
    return wrong


def remarked(record: Record, listing: Mapping[str, Found]) -> dict[str, Shard | None]:
    """Return the shards of a record with the marks that a listing shows."""
    return {
        key: None if shard is None else Shard(shard.size, shard.crc32c, listing[key].mark)
        for key, shard in record.shards.items()
    }


def _keys(array: zarr.Array[Any], name: str, row: int, first: int, count: int) -> Iterator[str]:
    """Yield the key of every shard that a region covers."""
    length = (array.shards or array.chunks)[1 if row >= 0 else 0]
    rest = "/0" * (array.ndim - (2 if row >= 0 else 1))
    lead = f"{row}/" if row >= 0 else ""
    for number in range(first // length, -(-(first + count) // length)):
        yield f"{name}/c/{lead}{number}{rest}"


def _marks(place: Target, keys: Mapping[str, Any]) -> dict[str, str]:
    if isinstance(place, Folder):
        return {key: str((place.path / key).stat().st_mtime_ns) for key in keys}
    folders = {key.rpartition("/")[0] for key in keys}
    listed = {name: found for folder in folders for name, found in place.listing(folder).items()}
    return {key: listed[key].mark for key in keys}


class _Thrifty:
    """The fused codec pipeline, one thread for each writer: measured 1.2 times less CPU than the default.

    Zarr's settings are those of the whole process, so the first of several writers sets them and the last puts back
    what was there before.
    """

    def __init__(self) -> None:
        self.lock = Lock()
        self.writers = 0
        self.settings: Any = None

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self.lock:
            self.writers += 1
            if self.writers == 1:
                path = "zarr.core.codec_pipeline.FusedCodecPipeline"
                self.settings = zarr.config.set({"codec_pipeline.path": path, "codec_pipeline.max_workers": 1})
        try:
            yield
        finally:
            with self.lock:
                self.writers -= 1
                if self.writers == 0:
                    self.settings.__exit__(None, None, None)


thrifty = _Thrifty()
"""A context in which zarr writes with as little work as it can."""
