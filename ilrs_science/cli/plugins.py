"""The commands on plugins: `ilrs instruments` and `ilrs simulate`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from ilrs_science import registry
from ilrs_science.cli import show
from ilrs_science.cli.guarding import print_json
from ilrs_science.cli.terminal import CONSOLE
from ilrs_science.errors import IlrsError


def instrument(name: str, *, as_json: bool) -> None:
    """Tell all of one instrument."""
    described = show.instrument_as_json(registry.instrument(name))
    print_json(described) if as_json else show.instrument(described)


def installed(*, as_json: bool) -> None:
    """List instruments and steps, each with why it is broken, if it is."""
    found = [
        asdict(plugin) | {"problem": plugin.problem or registry.load_problem(plugin)}
        for kind in ("instruments", "steps", "formats")
        for plugin in registry.plugins(kind)
    ]
    print_json(found) if as_json else show.plugins(found)


def simulate(name: str, folder: Path, *, as_json: bool) -> None:
    """Write simulated raw files of an instrument."""
    writer = registry.instrument(name).simulate
    if writer is None:
        raise IlrsError(f"{name} has no simulator")
    files = [str(path) for path in writer(folder)]
    print_json({"files": files}) if as_json else CONSOLE.print(f"wrote {len(files)} files below {folder}")
