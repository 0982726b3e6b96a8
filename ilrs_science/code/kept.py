"""What was made of a file is kept while the file stays as it is."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Callable
from typing import Any

type Stamp = tuple[int, int, int, int]

_SETTLED = 100_000_000
"""A file that changed less than this ago, in ns, may change again within one tick of its clock: it is read again."""

_INFO = (".dist-info", ".egg-info", ".pth")

_kept: dict[tuple[str, str], tuple[Stamp, Any]] = {}


def kept[T](path: str, purpose: str, make: Callable[[bytes], T]) -> T:
    """Return what `make` makes of the bytes of a file, made again only when the file has changed.

    Parameters
    ----------
    path
        The file.
    purpose
        What it is made for; one file may be kept for several.
    make
        A function of the bytes alone.

    Raises
    ------
    OSError
        It cannot be read.
    """
    now = time.time_ns()
    status = os.stat(path)
    stamp = (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)
    known = _kept.get((path, purpose))
    if known and known[0] == stamp:
        return known[1]  # type: ignore[no-any-return]
    with open(path, "rb") as file:
        made = make(file.read())
    if now - status.st_ctime_ns > _SETTLED:
        _kept[path, purpose] = (stamp, made)
    return made


def bytes_digest(path: str) -> str:
    """Return the SHA-256 of the bytes of a file, or `absent`."""
    try:
        return kept(path, "bytes", lambda content: hashlib.sha256(content).hexdigest())
    except OSError:
        return "absent"


def search_path() -> tuple[tuple[str, str], ...]:
    """Return the folders of `sys.path` with a digest of what is installed in them.

    A folder may be a busy one, with a script and the cubes that it writes: its own time of change tells little.
    """
    return tuple((folder, _installed_in(folder)) for folder in sys.path)


_folders: dict[str, tuple[int, str]] = {}


def _installed_in(folder: str) -> str:
    """Return a digest of the names and times of the distributions of a folder, made anew when the folder has changed."""
    try:
        changed = os.stat(folder or ".").st_mtime_ns
        known = _folders.get(folder)
        if known and known[0] == changed:
            return known[1]
        with os.scandir(folder or ".") as entries:
            infos = sorted((one.name, one.stat().st_mtime_ns) for one in entries if one.name.endswith(_INFO))
    except OSError:
        return ""
    digest = hashlib.sha256(repr(infos).encode()).hexdigest() if infos else ""
    _folders[folder] = (changed, digest)
    return digest
