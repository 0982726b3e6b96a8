"""A cube in a folder of this machine: files appear whole, by a rename or a link."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from zarr.abc.store import Store
from zarr.storage import LocalStore

from ilrs_science.errors import CubeError
from ilrs_science.store.found import Found

_UNFINISHED = re.compile(r"\.[0-9a-f]{12}-([0-9]{6})\.partial")


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
