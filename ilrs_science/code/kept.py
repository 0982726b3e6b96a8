"""What was made of a file is kept while the file stays as it is."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

type Stamp = tuple[int, int, int, int]

_SETTLED = 100_000_000
"""A file that changed less than this ago, in ns, may change again within one tick of its clock: it is read again."""

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


def search_path() -> tuple[tuple[str, int], ...]:
    """Return the folders of `sys.path`, each with a number that changes when something is installed there."""
    return tuple((folder, _installed_in(folder, _changed(folder))) for folder in sys.path)


@lru_cache(maxsize=256)
def _installed_in(folder: str, changed: int) -> int:
    # Other files come and go there, too: a folder of notebooks, or of a worker, is on the path.
    try:
        names = [name for name in sorted(os.listdir(folder or ".")) if name.endswith(("-info", ".egg", ".egg-link"))]
    except OSError:
        return changed
    return hash(tuple((name, _changed(os.path.join(folder, name))) for name in names))


def _changed(folder: str) -> int:
    try:
        return os.stat(folder or ".").st_mtime_ns
    except OSError:
        return 0
