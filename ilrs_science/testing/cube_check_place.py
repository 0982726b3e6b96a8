"""A cube as the checker meets it: bytes by name, and what its own root document declares."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.store import Store
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import FsspecStore, LocalStore

from ilrs_science.errors import Fault

UNREADABLE = (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError)
"""What strange JSON raises where another one was expected."""


class Place:
    """A folder or a prefix of an object store."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        text = os.fspath(path)
        self.store: Store = (
            FsspecStore.from_url(text, read_only=True) if "://" in text else LocalStore(Path(text), read_only=True)
        )

    def read(self, name: str) -> bytes | None:
        """Return the bytes of an object, None where there is none."""
        found = sync(self.store.get(name, default_buffer_prototype()))
        return None if found is None else found.to_bytes()

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Every object, without files that were never finished."""

        async def listed() -> list[str]:
            return [name async for name in self.store.list()]

        found = (name.replace(os.sep, "/") for name in sync(listed()))
        return tuple(sorted(name for name in found if not name.endswith(".partial")))

    def below(self, name: str) -> tuple[str, ...]:
        """Return every object below a name."""
        return tuple(one for one in self.names if one.startswith(f"{name}/"))


@dataclass(frozen=True)
class Cube:
    """What the root document of a cube says."""

    place: Place
    attributes: Mapping[str, Any]
    documents: Mapping[str, Any]
    """Metadata of every array and group by name, as consolidated in the root."""
    schema: Mapping[str, Any]
    count: int
    """Slots or exposures."""

    @property
    def regular(self) -> bool:
        """Whether the axis has slots of equal length."""
        return bool(self.schema["axis"] != "exposures")

    @property
    def leading(self) -> tuple[str, ...]:
        """Dimensions that data variables have before time."""
        return ("site",) if self.regular else ()

    @property
    def rows(self) -> range:
        """Rows of the cube: one a site, or -1 alone for exposures."""
        return range(len(self.schema["sites"])) if self.regular else range(-1, 0)

    @property
    def complete(self) -> bool:
        """Whether it says that every part is there."""
        return bool(self.attributes.get("status") == "complete")

    @cached_property
    def group(self) -> zarr.Group:
        """The cube as zarr opens it."""
        return zarr.open_group(self.place.store, mode="r", use_consolidated=True)

    def values(self, name: str, selection: Any) -> NDArray[Any]:
        """Read part of an array."""
        array = self.group[name]
        if not isinstance(array, zarr.Array):
            raise TypeError(f"{name} is no array")
        return np.asarray(array[selection])


def parsed(data: bytes | str | None) -> Any:
    """Return what JSON says; None where it is none."""
    try:
        return json.loads(data or b"")
    except UNREADABLE:
        return None


def differs(path: str, found: object, allowed: object) -> Iterator[Fault]:
    """Yield a fault where something is not what it has to be."""
    if found != allowed:
        yield Fault(path, f"found {found!r}", f"expected {allowed!r}")
