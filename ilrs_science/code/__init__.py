"""The identity of the code behind a result: what a change must redo, compared by meaning (ADR 0011)."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from os import path

from ilrs_science.code.closure import Closure, is_ours
from ilrs_science.code.distributions import (
    SITE,
    Folders,
    Installed,
    distribution_of,
    normal,
    other_files,
    requirements,
    sources,
    stack,
)
from ilrs_science.code.functions import Origins, origins_of
from ilrs_science.code.kept import bytes_digest, search_path
from ilrs_science.code.places import Place, place_of
from ilrs_science.errors import PluginError
from ilrs_science.formats import FORMATS
from ilrs_science.model.instrument import Instrument
from ilrs_science.model.step import StepFunction

ROOTS = ("ilrs_science.reduction.worker",)
"""Where our own making of data begins; all else follows from what these import."""

STACK = (
    *("numpy", "xarray", "zarr", "numcodecs", "dask", "scipy", "astropy", "astropy-iers-data", "pandas", "pyarrow"),
    *("pyerfa", "h5py", "obspy", "space_packet_parser", "jplephem", "lunarsky", "skyfield-data"),
)
"""Distributions whose version may show in data."""


@dataclass(frozen=True)
class Code:
    """Identity of the code behind a result."""

    ours: str
    """SHA-256 of the modules of this package that make the data."""
    plugin: str
    """SHA-256 of the partners' code, their other files and what they require; empty where there are no partners."""


def code_of(instrument: Instrument, steps: Iterable[StepFunction], formats: Iterable[str] = ()) -> Code:
    """Return the identity of the code that makes the data of an instrument, as it is on disk now.

    Parameters
    ----------
    instrument
        The instrument; what reads its files, its references and its series counts, its simulator and its product do
        not.
    steps
        The steps that its samples go through, of whichever package.
    formats
        Names of the raw formats that recognised its granules; an empty name stands for none. Without any, an instrument
        that reads files by whichever format recognises them depends on all.

    Raises
    ------
    PluginError
        There is no such format, or a module that makes data is missing.
    """
    of_series = (one.read for one in instrument.series.values())
    readers = filter(None, (instrument.read, instrument.index, *of_series))
    origins = origins_of([*readers, *instrument.load.values(), *steps])
    folders = search_path()
    closure = _closure(origins, _known_formats(formats), folders)
    ours = [place for place in closure.modules.values() if is_ours(place)]
    theirs = [place for place in closure.modules.values() if place.file and not is_ours(place)]
    return Code(
        _digest([*_modules(ours, closure), *_files_beside(ours, closure), *_held(origins, ours=True)]),
        _digest([*_modules(theirs, closure), *_held(origins, ours=False), *_distributions(theirs, closure, folders)]),
    )


def environment() -> dict[str, str]:
    """Return Python and the distributions whose version may show in data, each as major.minor; part of no identity."""
    return dict(_environment(search_path()))


def _known_formats(names: Iterable[str]) -> list[str]:
    """Return the names of formats, each known."""
    wanted = sorted({name for name in names if name})
    unknown = [name for name in wanted if name not in FORMATS]
    if unknown:
        raise PluginError(f"no format {', '.join(map(repr, unknown))}; there are {', '.join(FORMATS)}")
    return wanted


def _closure(origins: Origins, formats: Iterable[str], folders: Folders) -> Closure:
    """Return all modules that the functions, the formats and the engine use."""
    own = {one.name for place in origins.places.values() if (one := distribution_of(place, folders))}
    closure = Closure(lambda place: _is_followed(place, own, folders), _modules_of_formats(FORMATS))
    for place in origins.places.values():
        closure.add_place(place)
    for need in sorted(origins.needs | {place.name for place in origins.places.values() if place.name}):
        closure.add(need)
    for module in _modules_of_formats(formats or (FORMATS if closure.asks_table else ())):
        closure.add(module)
    for root in _roots():
        closure.add(root)
    return closure


def _roots() -> tuple[str, ...]:
    missing = [root for root in ROOTS if place_of(root) is None]
    if missing:
        raise PluginError(f"there is no module {', '.join(missing)}, which makes data; reinstall ilrs-science")
    return ROOTS


def _modules_of_formats(names: Iterable[str]) -> list[str]:
    functions: list[Callable[..., object]] = []
    for name in names:
        functions += [FORMATS[name].read, FORMATS[name].index, FORMATS[name].recognises]
    return sorted({function.__module__ for function in functions})


def _is_followed(place: Place, own: set[str], folders: Folders) -> bool:
    """Tell whether a module counts by its source: ours, a partner's that has a function, or of no distribution."""
    top = place.name.partition(".")[0]
    if is_ours(place) or top in sys.stdlib_module_names:
        return is_ours(place)
    if not place.file:
        return bool(place.folders)
    found = distribution_of(place, folders)
    if found is None:
        return SITE not in place.file
    return found.name in own and normal(found.name) not in stack(folders)


def _modules(places: Iterable[Place], closure: Closure) -> Iterator[str]:
    return (f"module {place.name} {closure.module_at(place).meaning}" for place in places)


def _files_beside(places: Iterable[Place], closure: Closure) -> Iterator[str]:
    """Give the digests of our own data files: those that a module names and has beside it."""
    for place in places:
        for name in closure.module_at(place).files:
            if path.isfile(file := path.join(path.dirname(place.file), name)):
                yield f"file {place.name} {name} {bytes_digest(file)}"


def _held(origins: Origins, *, ours: bool) -> Iterator[str]:
    return (f"held {module} {text}" for module, text in origins.held if is_ours(Place(module)) == ours)


def _distributions(places: Iterable[Place], closure: Closure, folders: Folders) -> Iterator[str]:
    """Give what partners' distributions hold beside their Python, and what they require beyond our stack."""
    own: dict[Installed, list[Place]] = {}
    for place in places:
        if found := distribution_of(place, folders):
            own.setdefault(found, []).append(place)
    needed: dict[str, Installed | None] = {}
    for one, modules in own.items():
        needed |= requirements(one, folders)
        yield from (f"file {one.name} {name} {digest}" for name, digest in other_files(one, modules).items())
    # What is imported counts even where nobody declared it.
    for place in closure.left.values():
        if (found := distribution_of(place, folders)) and normal(found.name) not in stack(folders):
            needed[normal(found.name)] = found
    mine = {normal(one.name) for one in own}
    for name, other in needed.items():
        if name not in mine:
            yield from _required(name, other)


def _required(name: str, found: Installed | None) -> Iterator[str]:
    if found is None or not found.project:
        yield f"requires {name} {found.version if found else 'absent'}"
    else:
        yield from (f"requires {name} {file} {digest}" for file, digest in sources(found).items())


def _digest(lines: Iterable[str]) -> str:
    """Return the SHA-256 of lines in whatever order; an empty text for none."""
    text = "\n".join(sorted(set(lines)))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() if text else ""


@cache
def _environment(folders: Folders) -> tuple[tuple[str, str], ...]:  # noqa: ARG001 - what is installed changes with them
    found = [("python", f"{sys.version_info.major}.{sys.version_info.minor}")]
    for name in STACK:
        try:
            numbers = re.findall(r"\d+", version(name))
        except PackageNotFoundError:
            continue
        found.append((name, ".".join(numbers[:2])))
    return tuple(found)
