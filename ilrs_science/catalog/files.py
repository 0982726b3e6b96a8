"""Which files a pattern stands for, and which site its path names."""

from __future__ import annotations

import glob
import hashlib
import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import fsspec

from ilrs_science.model.instrument import Instrument

_LABEL = re.compile(r"\.(lbl|xml|fmt|ceh|\d[A-Z]L)$", re.IGNORECASE)
_LABELLED = re.compile(r"\.(img|tab|dat|csv|qub|raw|bin|\d[A-Z])$", re.IGNORECASE)


def claims(instrument: Instrument, url: str) -> bool:
    """Whether an instrument takes files of this name."""
    return fnmatch(url.rsplit("/", 1)[-1], instrument.files)


def expand(pattern: str, candidates: Iterable[Instrument]) -> dict[str, str]:
    """Return the files of a pattern, sorted, each with what tells that its bytes are the same as before.

    That is its size and its time of modification, or the tag that a server gives. A path without wildcards stays as it
    is, so that its absence is named; so does a folder that is named like a file.
    """
    wild = re.sub(r"\{site\}", "*", pattern)
    filesystem, path = fsspec.url_to_fs(wild)
    details: dict[str, dict[str, Any]] = {}
    local = "file" in filesystem.protocol
    if not re.search(r"[*?\[]", wild) or (local and wild == pattern and Path(path).exists()):
        details = filesystem.find(path, detail=True) if filesystem.isdir(path) else {path: {}}
    elif local:
        # Python's own glob follows links to folders, fsspec's does not.
        details = {one: {} for one in glob.glob(path, recursive=True) if _is_file(one, candidates)}  # noqa: PTH207 - of text, as fsspec's
    else:
        found = filesystem.glob(path, detail=True)
        details = {one: about for one, about in found.items() if about.get("type") != "directory"}
    name = filesystem.unstrip_protocol if "://" in pattern else str
    return {str(name(one)): _state(one, details[one], filesystem) for one in sorted(details)}


def states(files: Mapping[str, str]) -> dict[str, str]:
    """Return for each file what tells that its index would be the same as before, from what tells so of its bytes.

    A file may depend on those of the same name but for the suffix: its label, or what it is the label of. Where there
    is no label of the name, a file depends on the labels of its folder, and where there are no data of the name, a
    label depends on the names in its folder.
    """
    groups: dict[str, list[str]] = {}
    folders: dict[str, list[str]] = {}
    for url in files:
        groups.setdefault(_stem(url), []).append(url)
        folders.setdefault(url.rpartition("/")[0], []).append(url)
    labels, names = {}, {}
    for folder, urls in folders.items():
        names[folder] = _digest(urls)
        labels[folder] = _digest(f"{one} {files[one]}" for one in urls if _LABEL.search(one))
    alike = {stem: _digest(f"{one} {files[one]}" for one in urls) for stem, urls in groups.items()}
    labelled = {stem: any(_LABEL.search(one) for one in urls) for stem, urls in groups.items()}
    described = {stem: any(_LABELLED.search(one) for one in urls) for stem, urls in groups.items()}
    wide = {}
    for url in files:
        folder, stem = url.rpartition("/")[0], _stem(url)
        if _LABEL.search(url):
            wide[url] = "" if described[stem] else names[folder]
        else:
            wide[url] = "" if labelled[stem] else labels[folder]
    return {url: f"{files[url]} {alike[_stem(url)]}{wide[url]}" for url in files}


def _is_file(path: str, candidates: Iterable[Instrument]) -> bool:
    return not Path(path).is_dir() or any(claims(candidate, path) for candidate in candidates)


def _state(path: str, details: Mapping[str, Any], filesystem: Any) -> str:
    if "file" in filesystem.protocol:
        try:
            found = Path(path).stat()
        except OSError:
            return ""
        return f"{found.st_size}-{found.st_mtime_ns}-{found.st_ctime_ns}-{found.st_ino}"
    tag = next((details[key] for key in ("ETag", "etag", "mtime", "LastModified", "created") if details.get(key)), "")
    return f"{details.get('size', '')}-{tag}" if tag else ""


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
