"""The commands on plugins: `ilrs instruments` and `ilrs simulate`."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from ilrs_science import registry
from ilrs_science.cli import show
from ilrs_science.cli.guarding import print_json
from ilrs_science.cli.terminal import CONSOLE
from ilrs_science.errors import IlrsError
from ilrs_science.executors.child import Quarantine
from ilrs_science.executors.items import Limits

_KINDS: tuple[registry.Kind, ...] = ("instruments", "steps", "formats")
_LONGEST = Limits(seconds=30)
"""Of importing one plugin."""


def instrument(name: str, *, as_json: bool) -> None:
    """Tell all of one instrument."""
    described = show.instrument_as_json(registry.instrument(name))
    print_json(described) if as_json else show.instrument(described)


def installed(*, load: bool, as_json: bool) -> None:
    """List instruments, steps and formats; on request each with why it cannot be loaded, if so."""
    known = [plugin for kind in _KINDS for plugin in registry.plugins(kind)]
    with closing(Quarantine()) as quarantine:
        found = [
            asdict(one) | {"loaded": load, "problem": one.problem or (_problem(quarantine, one) if load else "")}
            for one in known
        ]
    print_json(found) if as_json else show.plugins(found)


def _problem(quarantine: Quarantine, plugin: registry.Plugin) -> str:
    """Return why a plugin cannot be loaded, tried in a process of its own: importing it may crash, or never end."""
    ended = quarantine.call(registry.load_problem, plugin, _LONGEST)
    if ended.cause == "limit":
        return f"it is not imported within {_LONGEST.seconds:g} s"
    return f"importing it ended the process: {ended.reason}" if ended.cause else str(ended.value)


def simulate(name: str, folder: Path, *, as_json: bool) -> None:
    """Write simulated raw files of an instrument."""
    writer = registry.instrument(name).simulate
    if writer is None:
        raise IlrsError(f"{name} has no simulator")
    files = [str(path) for path in writer(folder)]
    print_json({"files": files}) if as_json else CONSOLE.print(f"wrote {len(files)} files below {folder}")
