"""Which files a pattern stands for; what of it cannot be listed is named."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec

from ilrs_science.catalog.files import claims, local_state, remote_state
from ilrs_science.catalog.table import Rejection
from ilrs_science.errors import FormatError
from ilrs_science.model.reader import Reader

_WILD = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Listing:
    """What a pattern stands for."""

    files: Mapping[str, str]
    """Files, sorted, each with what tells that its bytes are the same as before; empty where nothing does."""
    faults: tuple[Rejection, ...]
    """That nothing matches, or what cannot be listed."""


def expand(pattern: str, candidates: Iterable[Reader]) -> Listing:
    """Return the files of a pattern.

    A path without wildcards stays as it is, so that its absence is named; so does a folder that is named like a file.
    Any other folder stands for all files below it.

    Raises
    ------
    FormatError
        There is no such kind of storage, or its library is not installed.
    """
    wild = pattern.replace("{site}", "*")
    try:
        filesystem, path = fsspec.url_to_fs(wild)
    except (ImportError, ValueError) as error:
        raise FormatError(f"{pattern}: {error}") from error
    if "file" in filesystem.protocol:
        found, faults = _local(path, pattern, candidates)
        name = filesystem.unstrip_protocol if "://" in pattern else str
        return Listing({str(name(one)): local_state(one) for one in sorted(found)}, tuple(faults))
    return _remote(filesystem, path, pattern)


def _local(path: str, pattern: str, candidates: Iterable[Reader]) -> tuple[list[str], list[Rejection]]:
    literal = not _WILD.search(path) or ("{site}" not in pattern and _is_there(path))
    if not literal:
        return _matching(path, pattern, candidates)
    if _is_folder(path):
        return _all_below(path, pattern)
    return [path], []


def _all_below(folder: str, pattern: str) -> tuple[list[str], list[Rejection]]:
    lost: list[OSError] = []
    files = list(_below(folder, lost))
    if not files and not lost:
        return [], [Rejection(pattern, "a folder without any file")]
    return files, [_unlisted(str(error.filename), error) for error in lost]


def _matching(path: str, pattern: str, candidates: Iterable[Reader]) -> tuple[list[str], list[Rejection]]:
    # Python's own glob follows links to folders, fsspec's does not.
    every = glob.glob(path, recursive=True)  # noqa: PTH207 - of text, as fsspec's
    files = [one for one in every if not _is_folder(one) or any(claims(each, one) for each in candidates)]
    faults = [_unlisted(folder, error) for folder, error in unlistable(path)]
    if not files and not faults:
        return [], [_nothing(pattern, every)]
    return files, faults


def _is_there(path: str) -> bool:
    return os.path.exists(path)  # noqa: PTH110 - `Path` raises where it may not look


def _is_folder(path: str) -> bool:
    return os.path.isdir(path)  # noqa: PTH112 - as above


def _below(folder: str, lost: list[OSError]) -> Iterator[str]:
    """Yield the files of a folder and of those in it, links to folders followed, each folder once."""
    # By its real path: on a network disk two folders may carry one inode number.
    seen: set[str] = set()
    for root, folders, names in os.walk(folder, onerror=lost.append, followlinks=True):
        real = os.path.realpath(root)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort(key=lambda name, root=root: (Path(root, name).is_symlink(), name))  # type: ignore[misc]
        yield from (str(Path(root, name)) for name in names)


def unlistable(wild: str) -> Iterator[tuple[str, OSError]]:
    """Yield the folders that a glob looks into and cannot list, which `glob.glob` passes over in silence."""
    head, *pieces = wild.split("/")
    for number, piece in enumerate(pieces):
        if _WILD.search(piece):
            above = "/".join([head, *pieces[:number]]) or "/"
            folders = glob.glob(f"{above}/**/" if piece == "**" else f"{above}/", recursive=True)  # noqa: PTH207 - as above
            for folder in folders:
                if error := _listing_error(folder):
                    yield folder.rstrip("/"), error


def _listing_error(folder: str) -> OSError | None:
    try:
        with os.scandir(folder):
            Path(folder, ".").stat()
    except OSError as error:
        return error
    return None


def _remote(filesystem: Any, path: str, pattern: str) -> Listing:
    try:
        # What was listed before may be another campaign's day.
        filesystem.invalidate_cache()
        details = _remote_details(filesystem, path)
    except FileNotFoundError:
        details = {}
    except Exception as error:  # noqa: BLE001 - every kind of server has its own exceptions
        return Listing({}, (_unlisted(pattern, error),))
    found = {one: about for one, about in details.items() if about.get("type") != "directory"}
    _, mark, archive = pattern.partition("::")
    files = {f"{filesystem.unstrip_protocol(one)}{mark}{archive}": remote_state(found[one]) for one in sorted(found)}
    return Listing(files, () if files else (_nothing(pattern, details),))


def _remote_details(filesystem: Any, path: str) -> dict[str, Any]:
    if _WILD.search(path):
        return dict(filesystem.glob(path, detail=True))
    page = path.startswith("http") and not path.endswith("/")  # asking whether it is a folder would fetch it
    return dict(filesystem.find(path, detail=True)) if not page and filesystem.isdir(path) else {path: {}}


def _nothing(pattern: str, folders: Iterable[str]) -> Rejection:
    names = ", ".join(sorted(one.rstrip("/").rpartition("/")[2] for one in folders)[:8])
    hint = f"; only folders match it ({names}): say which files, such as {pattern.rstrip('/')}/*" if names else ""
    return Rejection(pattern, f"no file matches it{hint}")


def _unlisted(url: str, error: Exception) -> Rejection:
    said = " ".join(str(error).split())[:300]
    return Rejection(url, f"cannot be listed ({type(error).__name__}: {said})", outage=True)
