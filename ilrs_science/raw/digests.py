"""Digests of files; a file that is as it was when this process hashed it is not hashed again."""

from __future__ import annotations

import hashlib
import os
import time
from collections import OrderedDict
from pathlib import Path
from threading import Lock

from ilrs_science.errors import OutageError

type _State = tuple[str, int, int, int, int, int]

_MOST = 2**16
"""Files that are remembered; those of the longest ago are forgotten."""
_TICK = 2 * 10**7
"""ns within which a second change may leave the same times of change."""
_COARSE_TICK = 2 * 10**9
"""The same on file systems that keep whole seconds, ns."""

_LOCK = Lock()
_KNOWN: OrderedDict[_State, str] = OrderedDict()


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a local file.

    Raises
    ------
    OSError
        It cannot be read.
    """
    with path.open("rb") as file:
        before = _state(path, os.fstat(file.fileno()))
        if known := _known(before):
            return known
        found = hashlib.file_digest(file, "sha256").hexdigest()
        _remember(before, _state(path, os.fstat(file.fileno())), found)
    return found


def bytes_and_sha256(path: Path) -> tuple[bytes, str]:
    """Return what a local file holds, and its SHA-256; it is opened once.

    Raises
    ------
    OSError
        It cannot be read.
    OutageError
        It changed meanwhile.
    """
    with path.open("rb") as file:
        before = _state(path, os.fstat(file.fileno()))
        data = file.read()
        after = _state(path, os.fstat(file.fileno()))
    if before != after or len(data) != after[3]:
        raise OutageError(f"{path}: changed while it was read: {len(data)} of {after[3]} bytes came")
    found = _known(before)
    if not found:
        found = hashlib.sha256(data).hexdigest()
        _remember(before, after, found)
    return data, found


def _state(path: Path, about: os.stat_result) -> _State:
    """Return what changes with the bytes of a file."""
    return (str(path), about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)


def _known(state: _State) -> str:
    with _LOCK:
        if state in _KNOWN:
            _KNOWN.move_to_end(state)
        return _KNOWN.get(state, "")


def _remember(before: _State, after: _State, digest: str) -> None:
    """Keep a digest, unless the file could change, or did, without another time of change."""
    changed = after[-1]
    tick = _COARSE_TICK if changed % 10**9 == 0 else _TICK
    if before != after or time.time_ns() - changed < tick:
        return
    with _LOCK:
        _KNOWN[after] = digest
        while len(_KNOWN) > _MOST:
            _KNOWN.popitem(last=False)
