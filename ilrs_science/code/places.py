"""Where the source of a module lies, found as Python would find it, importing nothing."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES, PathFinder
from os import path


@dataclass(frozen=True)
class Place:
    """A module and where it lies."""

    name: str
    file: str = ""
    """Its source, or its compiled file; nothing for a namespace, and for what is built in."""
    folders: tuple[str, ...] = ()
    """Where its submodules are, if it is a package."""

    @property
    def outermost_folder(self) -> str:
        """The folder in which the outermost name lies."""
        depth = self.name.count(".") + (path.basename(self.file) == "__init__.py")
        folder = path.dirname(self.file)
        for _ in range(depth):
            folder = path.dirname(folder)
        return folder


class Survey:
    """Where modules lie at one moment: what has been looked at is not looked at again."""

    def __init__(self) -> None:
        self._listed = cache(_listed)
        self.place_of = cache(self._place_of)
        self.place_below = cache(self._place_below)

    def _place_of(self, name: str) -> Place | None:
        """Return where a module lies; None if there is no such module."""
        outer, _, last = name.rpartition(".")
        if not outer:
            return _outermost(name)
        parent = self.place_of(outer)
        return self.place_below(parent, last) if parent else None

    def _place_below(self, package: Place, last: str) -> Place | None:
        """Return where a submodule lies; None if the package has no such module."""
        name = f"{package.name}.{last}"
        namespace = []
        for folder in package.folders:
            names = self._listed(folder)
            stem = path.join(folder, last)
            if last in names and "__init__.py" in self._listed(stem):
                return Place(name, path.join(stem, "__init__.py"), (stem,))
            # The order of Python: what is compiled goes before its source.
            for suffix in (*EXTENSION_SUFFIXES, ".py", ".pyc"):
                if last + suffix in names:
                    return Place(name, stem + suffix)
            if last in names and path.isdir(stem):
                namespace.append(stem)
        return Place(name, "", tuple(namespace)) if namespace else None

    def submodules(self, package: Place) -> list[str]:
        """Return the last names of all that may be a module directly below a package."""
        names = {name.partition(".")[0] for folder in package.folders for name in self._listed(folder)}
        return sorted(name for name in names if name.isidentifier() and name != "__init__")


def place_of(name: str) -> Place | None:
    """Return where a module lies now; None if there is no such module."""
    return Survey().place_of(name)


def _listed(folder: str) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))
    except OSError:
        return frozenset()


def _outermost(name: str) -> Place | None:
    # What is loaded tells where it came from; a package's own list of folders may have grown since.
    loaded = sys.modules.get(name)
    if loaded is not None:
        return Place(name, getattr(loaded, "__file__", None) or "", tuple(getattr(loaded, "__path__", ())))
    spec = PathFinder.find_spec(name)
    if spec is None:
        return None
    return Place(name, spec.origin or "" if spec.has_location else "", tuple(spec.submodule_search_locations or ()))
