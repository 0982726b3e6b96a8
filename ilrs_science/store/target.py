"""Where a cube lies: one reading of its address, for Zarr, for records and for messages alike.

Zarr and fsspec each read a text in their own way: one takes `precious#2.zarr` for the folder `precious`, the other
`a::b` for a chain of file systems. So the text is read here, once, and a folder of this machine is never made a URL.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Protocol

from zarr.abc.store import Store

from ilrs_science.errors import CubeError
from ilrs_science.store.bucket import Bucket
from ilrs_science.store.folder import Folder
from ilrs_science.store.found import Found

__all__ = ["Found", "Target", "address_problem", "target"]

_PROTOCOL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


class Target(Protocol):
    """Objects below one place, by names with slashes."""

    @property
    def url(self) -> str:
        """The place, as messages show it."""

    def store(self, *, read_only: bool = True) -> Store:
        """Return the place as Zarr wants it."""

    def read(self, name: str) -> bytes | None:
        """Return the bytes of an object, or None where there is none."""

    def write(self, name: str, data: bytes | memoryview) -> None:
        """Write an object whole or not at all."""

    def create(self, name: str, data: bytes) -> bool:
        """Write an object where there is none, and return whether this call did it."""

    def mark(self, name: str) -> str:
        """Return the mark of an object, as a listing shows it; empty where there is none."""

    def exchange(self, name: str, data: bytes | memoryview, mark: str, token: str) -> bool:
        """Write an object that still has a mark, and return whether this call did it.

        Where a place cannot compare, it writes: into a folder under a name that carries the token first, so that
        `sweep` can stop it.
        """

    def delete(self, name: str) -> None:
        """Remove an object; one that is not there is no error."""

    def listing(self, prefix: str = "") -> dict[str, Found]:
        """Return every object below a name, by its name."""

    def names(self) -> list[str]:
        """Return the first component of every name, without walking through all of them."""

    def sweep(self, token: str) -> None:
        """Remove what runs of earlier tokens have left unfinished."""


def target(url: str | os.PathLike[str]) -> Target:
    """Return the place that a text means: a path of this machine, or `protocol://...`.

    Raises
    ------
    CubeError
        The text names no place: an unknown protocol, a chain of file systems, or nothing at all.
    """
    text = os.fspath(url)
    problem = address_problem(text)
    if problem:
        raise CubeError(f"{text!r}: {problem}")
    match = _PROTOCOL.match(text)
    if match is None:
        return Folder(Path(text).absolute())
    if match[1] in ("file", "local"):
        return Folder(Path(text[match.end() :]).absolute())
    return Bucket(text.rstrip("/"))


def address_problem(text: str) -> str:
    """Return why a text names no place for a cube, or an empty text."""
    if not text or "\0" in text:
        return "names no place; give a path, or a URL such as s3://bucket/name.zarr"
    match = _PROTOCOL.match(text)
    if match is None or match[1] in ("file", "local"):
        return ""
    if "::" in text:
        return "is a chain of file systems; a cube lies in one"
    from fsspec.registry import known_implementations, registry  # noqa: PLC0415 - slow to import

    if match[1] not in {*known_implementations, *registry}:
        return f"unknown protocol {match[1]!r}; give a path, or a URL such as s3://bucket/name.zarr"
    return ""
