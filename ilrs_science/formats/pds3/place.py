"""Where the objects of a PDS3 label lie: in which file, from which byte on (Standards Reference 3.8, chapter 14)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from pathlib import Path
from typing import Any

from ilrs_science.errors import FormatError
from ilrs_science.formats.pds3.label import (
    Attached,
    Label,
    Quantity,
    attached_label,
    count,
    is_label,
    label_fragment,
)
from ilrs_science.formats.pds3.tokens import LARGEST

_KINDS = ("IMAGE", "QUBE", "HISTOGRAM", "TABLE", "SERIES", "SPECTRUM", "SPREADSHEET")
"""How the names of objects end that are read."""
_LABELS = 64
"""Labels of a folder that are looked at for a data file that has none of its name."""
_SETTLED = 2 * 10**9
"""ns after which a folder that changes has another time of change."""
_INCLUDED = 4
_PADDING = b" \0\r\n\t"


@dataclass(frozen=True)
class Source:
    """A label, and the file that was asked for."""

    path: Path
    """The label's, or that of the file that it is attached to."""
    found: Attached
    data: Path | None
    """The only file whose objects are wanted; all where there is none."""


@dataclass(frozen=True)
class Described:
    """An object that a label describes."""

    name: str
    about: Label
    scope: Label
    """What the object and the pointer to it stand in."""
    pointer: Any


@dataclass(frozen=True)
class Place:
    """Where an object lies."""

    path: Path
    offset: int
    """Of its first byte, as the label says."""
    after: int
    """Offset of the first byte that is not the label."""


def source_of(path: Path) -> Source:
    """Return the label of a file: its own, or one beside it that names it.

    Raises
    ------
    FormatError
        There is none, or it is damaged.
    """
    head = _head(path)
    if is_label(head):
        return Source(path, attached_label(head, str(path)), None)
    beside = _beside(path)
    if beside is None:
        raise FormatError(f"{path}: no PDS3 label, neither in the file nor beside it (*.LBL)")
    label, attached = beside
    return Source(label, attached or attached_label(_head(label), str(label)), path)


def label_beside(path: Path) -> Path | None:
    """Return the detached label of a data file: one of its name, or else one of its folder with a pointer to it."""
    found = _beside(path)
    return found[0] if found else None


def described(label: Label) -> tuple[list[Described], list[Described]]:
    """Return the objects of a label that can be read, and others that it has a pointer to."""
    found: list[Described] = []
    others: list[Described] = []
    for scope, above in _scopes(label, {}):
        for name, objects in scope.items():
            if not isinstance(objects, dict) and not (isinstance(objects, list) and isinstance(objects[0], dict)):
                continue
            pointer = scope.get(f"^{name}", above.get(f"^{name}"))
            each = objects if isinstance(objects, list) else [objects]
            pointers = pointer if isinstance(pointer, list) else [pointer]
            if len(pointers) != len(each):
                pointers = [None] * len(each)
            things = [Described(name, one, {**above, **scope}, to) for one, to in zip(each, pointers, strict=True)]
            found += things if name.endswith(_KINDS) else []
            others += [thing for thing in things if thing.pointer is not None and not name.endswith(_KINDS)]
    return found, others


def place(source: Source, thing: Described) -> Place | None:
    """Return where an object lies; nothing where its file is not there.

    Raises
    ------
    FormatError
        The pointer is none, or names a file of another folder.
    """
    named, offset = position(thing.pointer, thing.scope, thing.name, str(source.path))
    file: Path | None = file_beside(source.path, named) if named else source.path
    if not named and source.data is not None:
        file = source.data
    elif not named and source.path.suffix.lower() == ".lbl" and offset >= source.path.stat().st_size:
        file = _data_of(source.path)
    return None if file is None else Place(file, offset, source.found.end if file == source.path else 0)


def position(pointer: Any, scope: Label, what: str, name: str) -> tuple[str, int]:
    """Return the file that a pointer names, if any, and an offset in bytes.

    It is `12 <BYTES>`, `3` (records), `"FILE"`, `("FILE", 3)` or `("FILE", 12 <BYTES>)`, all counted from 1.

    Raises
    ------
    FormatError
        It is something else.
    """
    parts = pointer if isinstance(pointer, tuple) else (pointer,)
    file = ""
    if parts and isinstance(parts[0], str):
        file, parts = parts[0], parts[1:] or (1,)
    where = parts[0] if len(parts) == 1 else None
    unit = 1
    if isinstance(where, Quantity) and where.unit.upper() in ("BYTES", "BYTE"):
        where = where.value
    elif isinstance(where, int) and where > 1:
        unit = count(scope, "RECORD_BYTES", what, name)
    if not isinstance(where, int) or where < 1:
        raise FormatError(f"{name}: ^{what} is {pointer!r}; expected a position from 1 on")
    return file, (where - 1) * unit


def file_beside(path: Path, name: str) -> Path | None:
    """Return a file that a label names, which lies in the label's folder, whatever the case of its letters.

    Raises
    ------
    FormatError
        The name leads out of the folder.
    """
    if Path(name).name != name or name in ("", ".", "..") or "\\" in name or "\0" in name:
        raise FormatError(f"{path}: names the file {name[:80]!r}; expected one of the same folder")
    for spelled in (name, name.upper(), name.lower()):
        beside = path.with_name(spelled)
        try:
            there = beside.is_file()
        except OSError:
            there = False
        if there:
            if not _in_folder(beside):
                raise FormatError(f"{path}: names the file {name!r}, which leads out of the folder")
            return beside
    return None


def included(path: Path, about: Label, depth: int = 0) -> Label:
    """Return an object with what the files hold that it refers to by `^STRUCTURE`.

    Raises
    ------
    FormatError
        There is no such file, or it is damaged.
    """
    given = about.get("^STRUCTURE")
    if not isinstance(given, str):
        return about
    file = file_beside(path, given)
    if file is None:
        raise FormatError(f"{path}: its ^STRUCTURE {given} is not beside it")
    if depth == _INCLUDED:
        raise FormatError(f"{path}: structures that refer to each other more than {_INCLUDED} deep")
    inner = included(path, label_fragment(_head(file), str(file)), depth + 1)
    return {**inner, **{key: value for key, value in about.items() if key != "^STRUCTURE"}}


def is_padding(path: Path, start: int, stop: int) -> bool:
    """Return whether bytes of a file are blanks, zeros and line ends, none included."""
    with path.open("rb") as file:
        file.seek(start)
        return 0 <= stop - start <= LARGEST and not file.read(stop - start).strip(_PADDING)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(LARGEST + 1)


def _in_folder(path: Path) -> bool:
    return path.is_file() and (not path.is_symlink() or path.resolve().parent == path.parent.resolve())


def _beside(path: Path) -> tuple[Path, Attached | None] | None:
    """Return the label of `label_beside`, and what it says where that was read."""
    same = [path.with_suffix(end) for end in (".LBL", ".lbl")]
    same += [path.with_name(path.name + end) for end in (".LBL", ".lbl")]
    for label in same:
        if label != path and _in_folder(label) and is_label(_head(label)):
            return label, None
    for name in sorted(_labels_of(path.parent), key=lambda name: -_alike(name, path.name))[:_LABELS]:
        label = path.with_name(name)
        head = _head(label) if name != path.name and _in_folder(label) else b""
        if path.name.lower().encode() in head.lower() and is_label(head):
            with suppress(FormatError):
                attached = attached_label(head, str(label))
                if path.name.lower() in _named(attached.label):
                    return label, attached
    return None


def _alike(one: str, other: str) -> int:
    """Return how many letters two names have alike at their start."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _named(label: Label) -> set[str]:
    """Return the files that a label has pointers to, in lower case."""
    pointers = [thing.pointer for thing in described(label)[0]]
    first = [pointer[0] if isinstance(pointer, tuple) and pointer else pointer for pointer in pointers]
    return {one.lower() for one in first if isinstance(one, str)}


def _scopes(label: Label, above: Label) -> Iterator[tuple[Label, Label]]:
    """Yield what objects may stand in, the label and those that are not read themselves, with what is above each."""
    yield label, above
    for name, value in label.items():
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, dict) and not name.endswith(_KINDS):
                yield from _scopes(inner, {**above, **_inherited(label)})


def _inherited(label: Label) -> Label:
    return {key: one for key, one in label.items() if key == "RECORD_BYTES" or key.startswith("^")}


def _data_of(label: Path) -> Path | None:
    """Return the data file of a detached label that names none: the one of its name."""
    whole = label.with_suffix("")
    if _in_folder(whole):
        return whole
    same = [one for one in _listed(label.parent) if one.startswith(f"{label.stem}.") and one != label.name]
    return label.with_name(same[0]) if len(same) == 1 and _in_folder(label.with_name(same[0])) else None


def _listed(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))  # noqa: PTH208 - names only, of folders with many files


def _labels_of(folder: Path) -> tuple[str, ...]:
    """Return the names of the labels of a folder, which is listed once as long as it does not change."""
    try:
        changed = folder.stat().st_mtime_ns
        if time.time_ns() - changed < _SETTLED:
            return _listed_labels.__wrapped__(folder, changed)
        return _listed_labels(folder, changed)
    except OSError:
        return ()


@lru_cache(maxsize=16)
def _listed_labels(folder: Path, _changed: int) -> tuple[str, ...]:
    return tuple(name for name in _listed(folder) if name.lower().endswith(".lbl"))
