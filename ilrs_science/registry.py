"""Plugins: instruments, steps and raw formats that any installed package contributes through entry points.

Listing imports none of them. A broken plugin is shown with its reason and fails only who needs it; two plugins of one
name are an error. The built-in instruments are found the same way as a partner's.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from logging import getLogger
from threading import Timer
from types import FunctionType
from typing import Any, Literal

from ilrs_science.code.kept import search_path
from ilrs_science.errors import PluginError, foreign
from ilrs_science.formats import FORMATS
from ilrs_science.model.instrument import CONTRACT, Instrument
from ilrs_science.model.reader import Reader
from ilrs_science.model.step import StepFunction

type Kind = Literal["instruments", "steps", "formats"]

_SLOW = 10
"""Seconds after which an import that has not ended is told of by name: it may never end."""
_log = getLogger(__name__)


@dataclass(frozen=True)
class Plugin:
    """An entry point, not yet imported."""

    name: str
    kind: Kind
    target: str
    """`module:attribute`."""
    distribution: str
    version: str
    problem: str = ""
    """Why it cannot be used, as far as known without importing it."""


def plugins(kind: Kind) -> list[Plugin]:
    """Return every contributed plugin of a kind by name, importing none."""
    return [plugin for plugin, _ in _installed(kind)]


def instrument(name: str) -> Instrument:
    """Import and return an instrument.

    Raises
    ------
    PluginError
        It is not installed, named twice, broken, or written for another contract.
    """
    found = _load("instruments", name)
    if not isinstance(found, Instrument):
        raise PluginError(
            f"instrument {name!r}: its entry point gives a {type(found).__name__}, expected an Instrument"
        )
    if found.contract != CONTRACT:
        raise PluginError(f"instrument {name!r}: written for contract {found.contract}, this is contract {CONTRACT}")
    if found.name != name:
        raise PluginError(f"instrument {name!r}: it calls itself {found.name!r}; entry point and name must agree")
    return found


def reader(name: str) -> Reader:
    """Return who reads files of some kind: an instrument, or a series of one, `instrument:series`.

    Raises
    ------
    PluginError
        As of `instrument`; or the instrument has no such series.
    """
    owner, colon, series = name.partition(":")
    found = instrument(owner)
    if not colon:
        return found
    if series not in found.series:
        raise PluginError(f"{owner} has no series {series!r}; it has {', '.join(found.series) or 'none'}")
    return found.series_of(series)


def step(name: str, owner: Instrument) -> StepFunction:
    """Return a step by name: one of the instrument's own, or one that any package contributes.

    Raises
    ------
    PluginError
        There is no such step, or it is broken.
    """
    own = {function.__name__: function for function in owner.steps}
    if name in own:
        return own[name]
    contributed = [plugin.name for plugin in plugins("steps")]
    if name not in contributed:
        near = get_close_matches(name, [*own, *contributed], n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise PluginError(
            f"no step {name!r}; {hint}{owner.name} has {', '.join(own)}; "
            f"installed packages add {', '.join(contributed)}"
        )
    found = _load("steps", name)
    if not isinstance(found, FunctionType):
        raise PluginError(f"step {name!r}: its entry point gives a {type(found).__name__}, expected a function")
    function: StepFunction = found
    return function


def load_problem(plugin: Plugin) -> str:
    """Import a plugin and return why it cannot be used, or an empty text.

    One that may crash or never end is better tried in a process of its own: `ilrs instruments --load`.
    """
    try:
        if plugin.kind == "instruments":
            instrument(plugin.name)
        elif plugin.kind == "steps":
            _load(plugin.kind, plugin.name)
    except PluginError as error:
        return str(error)
    return FORMATS.problems.get(plugin.name, "") if plugin.kind == "formats" else ""


def distribution_of(kind: Kind, name: str) -> tuple[str, str]:
    """Return the distribution and version that contribute a plugin; empty texts if none does."""
    found = [(plugin.distribution, plugin.version) for plugin in plugins(kind) if plugin.name == name]
    return found[0] if found else ("", "")


def _installed(kind: Kind) -> list[tuple[Plugin, EntryPoint]]:
    # Reading the metadata of everything installed takes milliseconds, and every part asks; what is installed changes
    # with the folders on sys.path.
    return _installed_in(kind, search_path())


@lru_cache(maxsize=4)
def _installed_in(kind: Kind, folders: tuple[tuple[str, int], ...]) -> list[tuple[Plugin, EntryPoint]]:  # noqa: ARG001
    # One distribution seen twice on sys.path (an editable install, say) is still one plugin.
    points = {(p.name, p.value, *_distribution(p)): p for p in entry_points(group=f"ilrs_science.{kind}")}
    names = Counter(point.name for point in points.values())
    found = []
    for (name, target, distribution, version), point in sorted(points.items()):
        rivals = ", ".join(key[2] for key in sorted(points) if key[0] == name)
        problem = f"{names[name]} plugins of this name: {rivals}; uninstall all but one" if names[name] > 1 else ""
        found.append((Plugin(name, kind, target, distribution, version, problem), point))
    return found


def _distribution(point: EntryPoint) -> tuple[str, str]:
    return (point.dist.name, point.dist.version) if point.dist else ("unknown", "unknown")


def _load(kind: Kind, name: str) -> Any:
    matching = [(plugin, point) for plugin, point in _installed(kind) if plugin.name == name]
    if not matching:
        names = sorted({plugin.name for plugin in plugins(kind)})
        near = get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise PluginError(f"no {kind[:-1]} {name!r} is installed; {hint}there are {', '.join(names) or 'none'}")
    plugin, point = matching[0]
    if plugin.problem:
        raise PluginError(f"{kind[:-1]} {name!r}: {plugin.problem}")
    what = f"{kind[:-1]} {name!r} of {plugin.distribution} {plugin.version}"
    slow = Timer(_SLOW, _log.warning, [f"importing the {what} takes more than {_SLOW} s"])
    slow.daemon = True
    slow.start()
    try:
        with foreign(f"importing {point.module}"):
            return point.load()
    except Exception as error:  # whatever a partner's module raises on import becomes a named reason
        raise PluginError(f"{what} cannot be imported: {type(error).__name__}: {error}") from error
    finally:
        slow.cancel()
