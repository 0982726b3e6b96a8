"""Whose a file is, by its name and path, and what tells that it is as it was."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import fsspec

from ilrs_science.model.reader import Reader
from ilrs_science.raw import is_remote, name_in

_LABEL = re.compile(r"\.(lbl|xml|fmt|ceh|\d[A-Z]L)$", re.IGNORECASE)
_LABELLED = re.compile(r"\.(img|tab|dat|csv|qub|raw|bin|\d[A-Z])$", re.IGNORECASE)


_ABSENT = "absent"


def claims(instrument: Reader, url: str) -> bool:
    """Whether an instrument takes files of this name."""
    return fnmatch(name_in(url), instrument.files)


@dataclass(frozen=True)
class _Folder:
    """What may tell, of all files of a folder, that the index of one of them would be the same as before."""

    names: str
    """That the same files lie in it."""
    labels: str
    """That its labels are the same, with the same bytes."""


@dataclass(frozen=True)
class _Namesakes:
    """Files of one folder and one name but for the suffix."""

    state: str
    """What tells that they are the same, with the same bytes."""
    have_label: bool
    have_data: bool
    """Whether there is one among them that a label may describe."""


def states(files: Mapping[str, str]) -> dict[str, str]:
    """Return for each file what tells that its index would be the same as before, from what tells so of its bytes.

    A file may depend on those of the same name but for the suffix: its label, or what it is the label of. Where there
    is no label of the name, a file depends on the labels of its folder, and where there are no data of the name, a
    label depends on the names in its folder.
    """
    folders = {folder: _folder(urls, files) for folder, urls in _grouped(files, _folder_of).items()}
    namesakes = {stem: _namesakes(urls, files) for stem, urls in _grouped(files, _stem).items()}
    told = {}
    for url, state in files.items():
        alike = namesakes[_stem(url)]
        told[url] = f"{state} {alike.state}{_beyond_namesakes(url, alike, folders[_folder_of(url)])}"
    return told


def _beyond_namesakes(url: str, alike: _Namesakes, folder: _Folder) -> str:
    """Return what else of its folder a file depends on; an empty text where its namesakes tell all."""
    if _LABEL.search(url):
        return "" if alike.have_data else folder.names
    return "" if alike.have_label else folder.labels


def _grouped(urls: Iterable[str], key: Callable[[str], str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for url in urls:
        groups.setdefault(key(url), []).append(url)
    return groups


def _folder(urls: Iterable[str], files: Mapping[str, str]) -> _Folder:
    return _Folder(_digest(urls), _digest(f"{one} {files[one]}" for one in urls if _LABEL.search(one)))


def _namesakes(urls: Iterable[str], files: Mapping[str, str]) -> _Namesakes:
    return _Namesakes(
        state=_digest(f"{one} {files[one]}" for one in urls),
        have_label=any(_LABEL.search(one) for one in urls),
        have_data=any(_LABELLED.search(one) for one in urls),
    )


def state_of(url: str) -> str:
    """Return what tells that the bytes of a file are the same as before, or that it is absent; empty if nothing does.

    That is its size and its times of change, or the tag that a server gives.
    """
    try:
        if not is_remote(url):
            return local_state(url, absent=_ABSENT)
        filesystem, path = fsspec.url_to_fs(url)
        filesystem.invalidate_cache()
        return remote_state(filesystem.info(path))
    except FileNotFoundError:
        return _ABSENT
    except Exception:  # noqa: BLE001 - every kind of server has its own exceptions; then nothing is told
        return ""


def local_state(path: str, *, absent: str = "") -> str:
    """Return the state of a local file."""
    try:
        found = Path(path).stat()
    except FileNotFoundError:
        return absent
    except OSError:
        return ""
    return f"{found.st_size}-{found.st_mtime_ns}-{found.st_ctime_ns}-{found.st_ino}"


def remote_state(details: Mapping[str, Any]) -> str:
    """Return the state of a file of which a server says this."""
    tag = next((details[key] for key in ("ETag", "etag", "mtime", "LastModified", "created") if details.get(key)), "")
    return f"{details.get('size', '')}-{tag}" if tag else ""


def state_beside(urls: Iterable[str]) -> str:
    """Return what tells that several files are as they were, absent ones still absent; empty if nothing does."""
    told = {one: state_of(one) for one in sorted(set(urls))}
    return _digest(f"{one} {state}" for one, state in told.items()) if all(told.values()) else ""


def _folder_of(url: str) -> str:
    return url.rpartition("/")[0]


def _stem(url: str) -> str:
    plain = url.removesuffix(".gz")
    folder, _, name = plain.rpartition("/")
    return f"{folder}/{name.rpartition('.')[0] or name}"


def _digest(texts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def site_in_path(url: str, pattern: str) -> str:
    """Return the site that the path of a file names, where its pattern says so; else an empty text."""
    if "{site}" not in pattern:
        return ""
    pieces = re.split(r"(\{site\}|\*\*/?|\*|\?|\[[^\]]+\])", pattern)
    named = False
    expression = ""
    for piece in pieces:
        if piece == "{site}":
            expression += r"(?P=site)" if named else r"(?P<site>[^/]+?)"
            named = True
        elif piece.startswith("**"):
            expression += ".*"
        elif piece.startswith("["):
            inside = piece[1:-1].replace("\\", r"\\").replace("[", r"\[")
            expression += f"[^{inside[1:]}]" if inside.startswith("!") else f"[{inside}]"
        else:
            expression += {"*": "[^/]*", "?": "[^/]"}.get(piece, re.escape(piece))
    match = re.search(expression + "$", url)
    return match["site"] if match else ""


def folder_site(folder: str, pattern: str) -> str:
    """Return the site that the path of a local folder above the files of a pattern names; else an empty text."""
    pieces = str(Path(pattern.removeprefix("file://")).absolute()).split("/")
    depth = len(folder.split("/"))
    return site_in_path(folder, "/".join(pieces[:depth])) if folder != pattern else ""
