"""Where a cube lies: one reading of its address, for Zarr, for records and for messages alike.

Zarr and fsspec each read a text in their own way: one takes `precious#2.zarr` for the folder `precious`, the other
`a::b` for a chain of file systems. So the text is read here, once, and a folder of this machine is never made a URL.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from zarr.abc.store import Store
from zarr.storage import FsspecStore, LocalStore

from ilrs_science.errors import CubeError, IlrsError, OutageError

_UNFINISHED = re.compile(r"\.[0-9a-f]{12}-([0-9]{6})\.partial")
_PROTOCOL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_S3 = ("s3://", "s3a://")
_PUT_AT_ONCE = 5 * 2**29
"""Half of the bytes up to which s3fs puts an object with one request, which alone can have a condition (S3: 5 GiB)."""
_CHANGED = {"PreconditionFailed", "412", "ConditionalRequestConflict", "409"}
"""Codes of S3 for an object that is not, or is just ceasing to be, the one that was seen."""
_WITHOUT_CONDITIONS: set[str] = set()
"""Buckets that have answered that they know no `If-Match`."""


@dataclass(frozen=True)
class Found:
    """An object in the store, as a listing shows it."""

    size: int
    mark: str
    """Its ETag in an object store, or its time of modification in a file system, ns."""


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


@dataclass(frozen=True)
class Folder:
    """A folder of this machine."""

    path: Path

    @property
    def url(self) -> str:
        """The folder, as messages show it."""
        return str(self.path)

    def store(self, *, read_only: bool = True) -> Store:
        """Return the folder as Zarr wants it."""
        return LocalStore(self.path, read_only=read_only)

    def read(self, name: str) -> bytes | None:
        """Return the bytes of a file, or None where there is none."""
        try:
            return (self.path / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, name: str, data: bytes | memoryview) -> None:
        """Write a file beside its place and rename it: readers see the old one or the new one."""
        self._replace(name, data, "")

    def create(self, name: str, data: bytes) -> bool:
        """Write a file where there is none; a link is made at once or not, on network file systems too."""
        path = self.path / name
        unfinished = self._unfinished(path, data, "")
        try:
            os.link(unfinished, path)
        except FileExistsError:
            return False
        finally:
            unfinished.unlink(missing_ok=True)
        return True

    def mark(self, name: str) -> str:
        """Return the time of modification of a file, ns."""
        try:
            return str((self.path / name).stat().st_mtime_ns)
        except (FileNotFoundError, NotADirectoryError):
            return ""

    def exchange(self, name: str, data: bytes | memoryview, mark: str, token: str) -> bool:  # noqa: ARG002 - no file system compares
        """Write a file by way of a name that carries the token."""
        self._replace(name, data, token)
        return True

    def delete(self, name: str) -> None:
        """Remove a file."""
        (self.path / name).unlink(missing_ok=True)

    def listing(self, prefix: str = "") -> dict[str, Found]:
        """Return every file below a name, without what was never finished."""
        root = self.path / prefix
        return {one.relative_to(self.path).as_posix(): found for one, found in _walk(root)}

    def names(self) -> list[str]:
        """Return what the folder holds."""
        try:
            return sorted(one.name for one in self.path.iterdir())
        except FileNotFoundError:
            return []
        except NotADirectoryError as error:
            raise CubeError(f"{self.url} is a file, not a cube; choose another output, or remove it") from error

    def sweep(self, token: str) -> None:
        """Remove the unfinished files of runs of earlier tokens; they can then no more be renamed."""
        for path in self.path.rglob(".*.partial"):
            match = _UNFINISHED.fullmatch(path.name)
            if match is not None and match[1] < token:
                path.unlink(missing_ok=True)

    def _replace(self, name: str, data: bytes | memoryview, token: str) -> None:
        path = self.path / name
        unfinished = self._unfinished(path, data, token)
        try:
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)

    def _unfinished(self, path: Path, data: bytes | memoryview, token: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The short name stays within what file systems allow, however long the name of the object.
        unfinished = path.with_name(f".{uuid4().hex[:12]}{f'-{token}' if token else ''}.partial")
        try:
            # Not mkstemp: its files are the owner's alone, and a group may go on with a cube.
            with unfinished.open("xb") as file:
                file.write(data)
        except OSError:
            unfinished.unlink(missing_ok=True)
            raise
        return unfinished


@dataclass(frozen=True)
class Bucket:
    """A place that fsspec reaches: an object store, or the memory of this process."""

    address: str

    @property
    def url(self) -> str:
        """The place, as messages show it."""
        return self.address

    @cached_property
    def _root(self) -> tuple[Any, str]:
        from fsspec import url_to_fs  # noqa: PLC0415 - slow to import, and local cubes do without

        # Listings that fsspec remembers would hide what other machines write.
        filesystem, root = url_to_fs(
            self.url, **({} if self.url.startswith("memory:") else {"use_listings_cache": False})
        )
        return filesystem, root.rstrip("/")

    def store(self, *, read_only: bool = True) -> Store:
        """Return the place as Zarr wants it."""
        return FsspecStore.from_url(self.url, read_only=read_only)

    def read(self, name: str) -> bytes | None:
        """Return the bytes of an object, or None where there is none."""
        try:
            return bytes(self._ask("cat_file", name))
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes | memoryview) -> None:
        """Put an object; object stores replace one whole."""
        self._ask("pipe_file", name, data)

    def create(self, name: str, data: bytes) -> bool:
        """Put an object where there is none (`If-None-Match: *`)."""
        try:
            self._ask("pipe_file", name, data, mode="create")
        except FileExistsError:
            return False
        return True

    def mark(self, name: str) -> str:
        """Return the ETag of an object, or what the store has instead."""
        try:
            return _mark(self._ask("info", name))
        except FileNotFoundError:
            return ""

    def exchange(self, name: str, data: bytes | memoryview, mark: str, token: str) -> bool:  # noqa: ARG002 - objects are put whole
        """Put an object where there is none, or another one in the place of that which was seen (`If-Match`)."""
        body = bytes(data)  # clients of object stores take nothing else
        if not mark:
            return self.create(name, body)
        if not self._compares:
            self.write(name, body)
            return True
        try:
            self._ask("pipe_file", name, body, chunksize=_PUT_AT_ONCE, IfMatch=mark)
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno == errno.ENOSYS:  # a store that knows no conditions says so, and is not asked again
                _WITHOUT_CONDITIONS.add(self._root[1].partition("/")[0])
                self.write(name, body)
                return True
            if _refused(error):
                return False
            raise
        return True

    @property
    def _compares(self) -> bool:
        """Whether the store puts on a condition, as far as is known."""
        return self.url.startswith(_S3) and self._root[1].partition("/")[0] not in _WITHOUT_CONDITIONS

    def delete(self, name: str) -> None:
        """Remove an object."""
        with suppress(FileNotFoundError):
            self._ask("rm_file", name)

    def listing(self, prefix: str = "") -> dict[str, Found]:
        """Return every object below a name."""
        try:
            found = self._ask("find", prefix, detail=True)
        except FileNotFoundError:
            return {}
        start = len(self._root[1]) + 1
        return {name[start:]: Found(int(about["size"]), _mark(about)) for name, about in found.items()}

    def names(self) -> list[str]:
        """Return the first component of every name."""
        try:
            return sorted(str(one).rstrip("/").rpartition("/")[2] for one in self._ask("ls", "", detail=False))
        except FileNotFoundError:
            return []

    def sweep(self, token: str) -> None:
        """Do nothing: objects are put whole."""

    def _ask(self, verb: str, name: str, *values: Any, **options: Any) -> Any:
        filesystem, root = self._root
        with answered(self.url):
            return getattr(filesystem, verb)(f"{root}/{name}".rstrip("/"), *values, **options)


@contextmanager
def answered(url: str) -> Iterator[None]:
    """Make an outage of what a client of an object store raises in its own words where the store does not answer."""
    try:
        yield
    except (OSError, ValueError, IlrsError):
        raise
    except Exception as error:
        raise OutageError(f"{url}: the store does not answer ({type(error).__name__}: {error})") from error


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


def _refused(error: OSError) -> bool:
    """Tell whether a store did not put an object because it is another one by now."""
    answer = getattr(error.__cause__, "response", None) or {}
    return str(answer.get("Error", {}).get("Code", "")) in _CHANGED


def _mark(about: dict[str, Any]) -> str:
    tags = (about.get(key) for key in ("ETag", "etag", "mtime", "LastModified", "created"))
    tag = next((tag for tag in tags if tag), "")
    # Some clients give the same instant as a number in a listing, and as a date when asked for one object.
    return str(tag.timestamp() if isinstance(tag, datetime) else tag).strip('"')


def _walk(folder: Path) -> Iterator[tuple[Path, Found]]:
    try:
        entries = [one for one in os.scandir(folder) if not one.name.endswith(".partial")]
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path))
            continue
        # A run may remove a file between the listing of its folder and this question; a link may lead nowhere.
        with suppress(FileNotFoundError):
            about = entry.stat()
            yield Path(entry.path), Found(about.st_size, str(about.st_mtime_ns))
