"""Shards: written whole by one owner, each with a checksum taken on the way, and held against the store later."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any, Literal

import google_crc32c
import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.store import Store
from zarr.core.buffer import Buffer
from zarr.storage import WrapperStore

from ilrs_science.errors import CubeError, OutageError
from ilrs_science.model.record import Record, Shard
from ilrs_science.model.rows import Rows
from ilrs_science.store import lease, parquet
from ilrs_science.store.cube import Existing, existing
from ilrs_science.store.folder import Folder
from ilrs_science.store.found import Found
from ilrs_science.store.target import Target

type State = Literal["same", "moved", "other"]
"""Of a shard: as its record says; of the right size with another mark, so that its bytes must tell; or another one."""


_TRIES = 3
"""Of a worker to replace an object that somebody else changes meanwhile, although the worker's run holds the cube."""


class _Watched(WrapperStore[Store]):
    """A store that writes what was seen or not at all, and notes what it has written."""

    def __init__(self, store: Store, place: Target, token: str) -> None:
        super().__init__(store)
        self.place = place
        self.token = token
        self.seen: dict[str, str] = {}
        """Marks of the objects that may be replaced."""
        self.written: dict[str, tuple[int, str]] = {}

    async def set(self, key: str, value: Buffer) -> None:
        if isinstance(self.place, Folder):
            self.set_sync(key, value)
        else:
            await asyncio.to_thread(self.set_sync, key, value)  # so that objects travel at the same time

    def set_sync(self, key: str, value: Buffer) -> None:
        self.put(key, memoryview(value.as_buffer_like()))

    def put(self, key: str, data: memoryview) -> None:
        """Write an object in the place of the one that was seen."""
        self.written[key] = (data.nbytes, checksum(data))
        for _ in range(_TRIES):
            if self.place.exchange(key, data, self.seen[key], self.token):
                return
            # A lost answer is tried again, and so is a part whose worker is believed dead: the bytes are the same.
            if self.place.read(key) == bytes(data):
                return
            self.look([key])
        raise OutageError(f"{self.place.url}: somebody else goes on changing {key}")

    def put_or_remove(self, key: str, data: bytes) -> None:
        """Write an object in the place of the one that was seen, or leave none there where it has no byte."""
        if data:
            self.put(key, memoryview(data))
        elif self.seen[key]:
            self.place.delete(key)

    def shard(self, key: str) -> Shard | None:
        """Return what tells an object that was written from another; None where none was."""
        return Shard(*self.written[key], self.place.mark(key)) if key in self.written else None

    def look(self, keys: Iterable[str]) -> None:
        """Note what may be replaced.

        The question for the lease comes after the look: who takes the cube over later writes later still, and then the
        store sees that an object is not the one that was seen.
        """
        self.seen |= {key: self.place.mark(key) for key in keys}
        lease.check_held(self.place, self.token)


@dataclass(frozen=True)
class Region:
    """What a part writes: whole shards of every variable."""

    row: int
    """Index of the site; -1 in an exposure cube."""
    first: int
    """Index of the first sample along time; a multiple of the shard."""
    arrays: Mapping[str, NDArray[Any]]
    """By name, time first, of the stored types."""
    rows: Rows | None = None
    """Of a table."""


def write_region(place: Target, region: Region, token: str) -> dict[str, Shard | None]:
    """Write whole shards of every variable, and the rows of a table shard by shard.

    Parameters
    ----------
    token
        Of the run.

    Returns
    -------
    Every shard of the region by its key, None where every cell is empty: then nothing is stored.

    Raises
    ------
    LeaseLostError
        The run of the token has ended, or another one has taken the cube over.
    OutageError
        Somebody else changes the same shards.
    """
    with thrifty():
        store = _Watched(place.store(read_only=False), place, token)
        group = zarr.open_group(store, mode="r+", use_consolidated=False)
        row, first = region.row, region.first
        found = {name: array(group, name, place) for name in region.arrays}
        every = [key for name, one in found.items() for key in keys(one, name, row, first, len(region.arrays[name]))]
        tables = {} if region.rows is None else _tables(region, place, (found["rows"].shards or (1, 1))[1])
        store.look([*every, *tables])
        for name, values in region.arrays.items():
            along_time = slice(first, first + values.shape[0])
            found[name][(row, along_time) if row >= 0 else (along_time,)] = values
        for key, data in tables.items():
            store.put_or_remove(key, data)
    return {key: store.shard(key) for key in (*every, *tables)}


def _tables(region: Region, place: Target, length: int) -> dict[str, bytes]:
    """Return the rows of a table by the keys of their shards; nothing for a shard without any."""
    product = (existing(place) or _missing(place)).schema["product"]
    rows, count = region.rows or Rows(np.zeros(0, np.int64), {}), len(region.arrays["rows"])
    made = {}
    for begin in range(0, count, length):
        own = rows.between(begin, begin + length)
        key = parquet.key(region.row, (region.first + begin) // length)
        made[key] = parquet.encoded(own, product) if len(own.slots) else b""
    return made


def _missing(place: Target) -> Existing:
    raise CubeError(f"no cube at {place.url}")


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


def array(group: zarr.Group, name: str, place: Target) -> zarr.Array[Any]:
    """Return an array of a cube."""
    found = group[name]
    if not isinstance(found, zarr.Array):
        raise CubeError(f"{place.url}: {name} is not an array")
    return found


def keys(array: zarr.Array[Any], name: str, row: int, first: int, count: int) -> Iterator[str]:
    """Yield the key of every shard of an array that a region covers."""
    length = (array.shards or array.chunks)[1 if row >= 0 else 0]
    rest = "/0" * (array.ndim - (2 if row >= 0 else 1))
    lead = f"{row}/" if row >= 0 else ""
    for number in range(first // length, -(-(first + count) // length)):
        yield f"{name}/c/{lead}{number}{rest}"


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
