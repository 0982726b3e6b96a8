"""The files that a PDS3 product is made of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ilrs_science.formats.format import numbered
from ilrs_science.formats.pds3.label import label_fragment
from ilrs_science.formats.pds3.place import described, file_beside, place, source_of
from ilrs_science.formats.pds3.tokens import LARGEST

_INCLUDED = 4


def companions(path: Path) -> dict[str, Path]:
    """Return the label of a data file, or the data of a label, and the definitions that the label refers to.

    Raises
    ------
    FormatError
        There is no label, or it is damaged.
    """
    source = source_of(path)
    things = [(thing, where) for thing in described(source.found.label)[0] if (where := place(source, thing))]
    label = {"label": source.path} if source.path != path else {}
    data = [] if source.data is not None else [where.path for _, where in things if where.path != path]
    structures = [one for thing, _ in things for one in _structures(source.path, thing.about, 0)]
    return {**label, **numbered("data", dict.fromkeys(data)), **numbered("structure", dict.fromkeys(structures))}


def _structures(label: Path, about: Any, depth: int) -> Iterator[Path]:
    """Yield the files that an object, or one inside of it, refers to by `^STRUCTURE`, and those that these refer to."""
    if isinstance(about, list):
        for one in about:
            yield from _structures(label, one, depth)
    elif isinstance(about, dict):
        yield from _included(label, about.get("^STRUCTURE"), depth)
        for inner in about.values():
            yield from _structures(label, inner, depth)


def _included(label: Path, name: Any, depth: int) -> Iterator[Path]:
    file = file_beside(label, name) if isinstance(name, str) and depth < _INCLUDED else None
    if file is not None:
        with file.open("rb") as opened:
            inner = label_fragment(opened.read(LARGEST + 1), str(file))
        yield file
        yield from _structures(label, inner, depth + 1)
