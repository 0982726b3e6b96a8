"""A cube in an object store: objects are put whole, and on a condition where the store knows any."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from zarr.abc.store import Store
from zarr.storage import FsspecStore

from ilrs_science.errors import IlrsError, OutageError
from ilrs_science.store.found import Found

_S3 = ("s3://", "s3a://")
_PUT_AT_ONCE = 5 * 2**29
"""Half of the bytes up to which s3fs puts an object with one request, which alone can have a condition (S3: 5 GiB)."""
_CHANGED = {"PreconditionFailed", "412", "ConditionalRequestConflict", "409"}
"""Codes of S3 for an object that is not, or is just ceasing to be, the one that was seen."""
_WITHOUT_CONDITIONS: set[str] = set()
"""Buckets that have answered that they know no `If-Match`."""


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


def _refused(error: OSError) -> bool:
    """Tell whether a store did not put an object because it is another one by now."""
    answer = getattr(error.__cause__, "response", None) or {}
    return str(answer.get("Error", {}).get("Code", "")) in _CHANGED


def _mark(about: dict[str, Any]) -> str:
    tags = (about.get(key) for key in ("ETag", "etag", "mtime", "LastModified", "created"))
    tag = next((tag for tag in tags if tag), "")
    # Some clients give the same instant as a number in a listing, and as a date when asked for one object.
    return str(tag.timestamp() if isinstance(tag, datetime) else tag).strip('"')
