"""Which installed distribution a module belongs to, what else that holds, and what it requires."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser
from functools import cache, lru_cache
from importlib import metadata
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from packaging.requirements import Requirement

from ilrs_science.code.kept import bytes_digest, kept
from ilrs_science.code.meaning import OURS, module_of
from ilrs_science.code.places import Place, place_of

type Folders = tuple[tuple[str, int], ...]

SITE = f"{os.sep}site-packages{os.sep}"
"""In the path of what is installed, however little its metadata tell."""

_NO_DATA = {"tests", "test", "docs", "doc", "__pycache__", "node_modules"}
_PYTHON = (".py", ".pyc", ".pyi", ".pth")


@dataclass(frozen=True)
class Installed:
    """A distribution, as its metadata describe it."""

    name: str
    version: str
    root: str
    """Folder that its own list of files counts from."""
    record: str
    """Its list of files as it is stored; empty if it has none."""
    project: str
    """Folder of its sources, if it is installed editable."""
    requires: tuple[str, ...]
    modules: tuple[str, ...]
    """Modules that it names itself: those of its entry points, and its outermost ones."""

    def lists(self, file: str) -> bool:
        """Tell whether a file is in its own list."""
        return bool(self.record) and f"\n{os.path.relpath(file, self.root)}," in self.record

    def holds(self, place: Place) -> bool:
        """Tell whether a module is, by its name, among those that the distribution names itself."""
        return any(f"{place.name}.".startswith(f"{_outermost_package(one)}.") for one in self.modules)

    def is_around(self, place: Place) -> bool:
        """Tell whether a module lies in the folder that the distribution is installed from."""
        if not self.project or SITE in place.file or normal(self.name) == normal(OURS):
            return False  # our own folder holds the plugins of the tests, too
        return Path(place.file).is_relative_to(self.project)


@cache
def distribution_of(place: Place, folders: Folders) -> Installed | None:
    """Return the distribution that a module belongs to, in the folders of a `search_path`; None if to none."""
    installed = _all_installed(folders)
    listing = [one for one in installed if one.root == place.outermost_folder and one.lists(place.file)]
    named = [one for one in installed if one.holds(place)]
    around = sorted((one for one in installed if one.is_around(place)), key=lambda one: len(one.project), reverse=True)
    return next(iter([*listing, *named, *around]), None)


@cache
def requirements(distribution: Installed, folders: Folders) -> dict[str, Installed | None]:
    """Return what a distribution requires beyond our own stack, also indirectly, by name; None where it is absent."""
    by_name = {normal(one.name): one for one in _all_installed(folders)}
    own = stack(folders)
    found: dict[str, Installed | None] = {}
    waiting = [(distribution, "")]
    done = set()
    while waiting:
        for name, extras in _direct(*waiting.pop()):
            one = by_name.get(name)
            if name not in own:
                found[name] = one
            for extra in (*extras, *(() if name in own else ("",))):
                if one and (name, extra) not in done:
                    done.add((name, extra))
                    waiting.append((one, extra))
    return found


@cache
def stack(folders: Folders) -> frozenset[str]:
    """Return the names of this distribution and of what it requires itself, as `normal` writes them."""
    ours = next(one for one in _all_installed(folders) if normal(one.name) == normal(OURS))
    return frozenset({normal(OURS), *(name for name, _ in _direct(ours, ""))})


def normal(name: str) -> str:
    """Return the name of a distribution as all its spellings are compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def other_files(distribution: Installed, modules: list[Place]) -> dict[str, str]:
    """Return the digests of the files that are no Python by their names: data, compiled code, tables.

    Parameters
    ----------
    distribution
        The distribution.
    modules
        Those of its modules that are in use; without a list of files, those beside them in their packages count.
    """
    if distribution.record and not distribution.project:
        return _digests(distribution.root, _listed(distribution.record))
    folders = {folder for place in modules if (folder := _package_folder(place))}
    return {
        f"{Path(folder).name}/{name}": digest
        for folder in sorted(folders)
        for name, digest in _digests(folder, _files_below(folder)).items()
    }


def _listed(record: str) -> list[str]:
    """Return the files of an installer's list that lie where modules do."""
    names = [row[0] for row in csv.reader(record.splitlines()) if row]
    return [name for name in names if not name.startswith(("..", "/"))]


def _digests(folder: str, names: Iterable[str]) -> dict[str, str]:
    return {name: bytes_digest(os.path.join(folder, name)) for name in names if _is_data(PurePosixPath(name))}


def sources(distribution: Installed) -> dict[str, str]:
    """Return the digests of all sources of a distribution that is installed editable, Python by its meaning."""
    project = Path(distribution.project)
    folder = str(project / "src" if (project / "src").is_dir() else project)
    names = list(_files_below(folder))
    packages = {name.partition("/")[0] for name in names if "/" in name and name.endswith(".py")}
    found = {}
    for name in names:
        path = os.path.join(folder, name)
        if name.endswith(".py"):
            found[name] = kept(path, name, lambda source: module_of(source, "", package=False)).meaning
        elif name.partition("/")[0] in packages and _is_data(PurePosixPath(name)):
            found[name] = bytes_digest(path)
    return found


def _is_data(name: PurePosixPath) -> bool:
    folders = name.parts[:-1]
    if any(one in _NO_DATA or one.startswith(".") or one.endswith((".dist-info", ".egg-info")) for one in folders):
        return False
    return not name.name.startswith(".") and name.suffix not in _PYTHON


def _files_below(folder: str) -> Iterator[str]:
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(
            one for one in folders if one not in _NO_DATA and not one.startswith(".") and not one.endswith("-info")
        )
        if "pyvenv.cfg" in names:
            folders.clear()
            continue
        yield from (Path(here, name).relative_to(folder).as_posix() for name in sorted(names))


def _package_folder(place: Place) -> str:
    """Return the folder of the outermost package that a module is in, or the namespace folder that it lies in."""
    outermost = place_of(_outermost_package(place.name))
    if outermost and outermost.folders and outermost.file:
        return outermost.folders[0]
    return os.path.dirname(place.file) if "." in place.name else ""


def _outermost_package(module: str) -> str:
    """Return the outermost package of a module that has a source: below a namespace that several partners may share."""
    names = module.split(".")
    outward = [".".join(names[:depth]) for depth in range(1, len(names) + 1)]
    return next((name for name in outward if (place := place_of(name)) and place.file), module)


@lru_cache(maxsize=4)
def _all_installed(folders: Folders) -> tuple[Installed, ...]:
    found: dict[str, Installed] = {}
    for one in metadata.distributions(path=[folder for folder, _ in folders]):
        # The first on the path is the one that is imported.
        described = _described(one)
        found.setdefault(normal(described.name), described)
    return tuple(found.values())


def _described(one: metadata.Distribution) -> Installed:
    about, requires = _head(one)
    name = str(about["Name"])
    record = one.read_text("RECORD") or ""
    points = [point.module for point in one.entry_points if point.group.startswith(f"{OURS}.")]
    tops = (one.read_text("top_level.txt") or "").split() if not record else []
    beside = [] if record or points or tops else [normal(name).replace("-", "_")]
    return Installed(
        name,
        str(about["Version"]),
        str(one.locate_file("")).rstrip("/"),
        f"\n{record}" if record else "",
        _project(one.read_text("direct_url.json")),
        requires,
        (*points, *tops, *beside),
    )


def _head(one: metadata.Distribution) -> tuple[Message, tuple[str, ...]]:
    """Return the head of its metadata, and what it requires; below lies a whole README, which takes long to parse."""
    if wheel := one.read_text("METADATA"):
        about = HeaderParser().parsestr(wheel)
        return about, tuple(about.get_all("Requires-Dist", ()))
    return HeaderParser().parsestr(one.read_text("PKG-INFO") or one.read_text("") or ""), tuple(one.requires or ())


def _project(direct_url: str | None) -> str:
    """Return the folder that an editable distribution is installed from."""
    described = json.loads(direct_url) if direct_url else {}
    editable = described.get("dir_info", {}).get("editable", False)
    return unquote(urlsplit(described["url"]).path) if editable else ""


def _direct(one: Installed, extra: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    for text in one.requires:
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or marker.evaluate({"extra": extra}):
            yield normal(requirement.name), tuple(sorted(requirement.extras))
