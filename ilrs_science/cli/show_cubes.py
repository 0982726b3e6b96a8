"""How cubes and collections look in a terminal: how far they are, whether they are whole, what they hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr
from rich.markup import escape

from ilrs_science.cli.terminal import CONSOLE, add_row, new_table
from ilrs_science.running.status import Status
from ilrs_science.running.verify import Verification

_FEW = 10
"""Lines of one kind before the rest is only counted."""


def status(found: Status) -> None:
    """Print how far a cube is."""
    CONSOLE.print(
        f"{escape(found.output)}: {found.parts} parts: {found.done} done, {found.waiting} waiting, "
        f"{found.stale} stale, {len(found.failed)} failed",
        highlight=False,
    )
    counts = found.counts
    CONSOLE.print(
        f"samples: read {counts.read:,} = placed {counts.placed:,} + rejected {counts.rejected:,} "
        f"+ duplicate {counts.duplicate:,} + conflict {counts.conflict:,}; "
        f"{found.seconds:.1f} s in workers, peak {found.peak_memory / 2**20:,.0f} MiB",
        highlight=False,
    )
    if found.holder:
        CONSOLE.print(f"written now by {escape(found.holder)}", highlight=False)
    for name in found.unreadable:
        CONSOLE.print(f"[yellow]unreadable[/] {name}: what it told of is done again", highlight=False)
    for number, reason in found.failed.items():
        CONSOLE.print(f"[red]part {number} failed:[/] {escape(reason)}", highlight=False)
    for url, reason in found.rejected.items():
        CONSOLE.print(f"[yellow]rejected[/] {escape(url)}: {escape(reason)}", highlight=False)


def verification(found: Verification, *, hint: bool) -> None:
    """Print what reading all shards has shown, and, as a hint, how to mend it."""
    state = "[green]all right[/]" if found.ok else "[red]damaged[/]"
    CONSOLE.print(
        f"{escape(found.output)}: {found.shards} shards of {found.parts} parts read: {state}", highlight=False
    )
    for part, keys in sorted(found.damaged.items()):
        CONSOLE.print(f"[red]part {part}:[/] {escape(', '.join(keys))}", highlight=False)
    for key in found.strangers[:_FEW]:
        CONSOLE.print(f"[yellow]no record tells of[/] {escape(key)}", highlight=False)
    if len(found.strangers) > _FEW:
        CONSOLE.print(f"and of {len(found.strangers) - _FEW} other shards (all of them with --json)", highlight=False)
    for name in found.unreadable:
        CONSOLE.print(f"[yellow]unreadable[/] {name}", highlight=False)
    if hint and not found.ok:
        CONSOLE.print("`ilrs verify --repair` makes anew what is damaged, and removes what no record tells of")


def member_as_json(url: str, attributes: Mapping[str, Any], one: xr.Dataset) -> dict[str, Any]:
    """Return what a cube of a collection covers."""
    return {
        "cube": url,
        "status": attributes.get("status", "not finished"),
        "samples": attributes.get("samples"),
        "slots": one.sizes["time"],
        **_first_and_last(one),
    }


def collection(url: str, cubes: Sequence[Mapping[str, Any]]) -> None:
    """Print the cubes of a collection."""
    CONSOLE.print(f"{escape(url)}: a collection of {len(cubes)} cubes", highlight=False)
    table = new_table("cube", "status", "from", "to", "slots")
    for one in cubes:
        add_row(
            table, Path(one["cube"]).name, one["status"], str(one["start_utc"]), str(one["stop_utc"]), str(one["slots"])
        )
    CONSOLE.print(table)


def _first_and_last(cube: xr.Dataset) -> dict[str, str | None]:
    if not cube.sizes["time"]:
        return {"start_utc": None, "stop_utc": None}
    first, last = (str(one).rstrip("0").rstrip(".") for one in cube["time"].values[[0, -1]])
    return {"start_utc": first, "stop_utc": last}


def cube_as_json(cube: xr.Dataset, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a cube is and how it was made."""
    return {
        "title": attributes.get("title"),
        "status": attributes.get("status", "not finished"),
        "samples": attributes.get("samples"),
        "sizes": dict(cube.sizes),
        "sites": sorted({str(one) for one in cube["site"].values.ravel()}),
        **_first_and_last(cube),
        "variables": {
            str(n): {
                "dims": list(v.dims),
                "dtype": str(v.dtype),
                "units": v.attrs.get("units"),
                "about": v.attrs.get("long_name"),
            }
            for n, v in cube.data_vars.items()
        },
        "provenance": cube.ilrs.provenance,
    }


def cube(described: Mapping[str, Any]) -> None:
    """Print a cube."""
    CONSOLE.print(
        f"[bold]{escape(str(described['title']))}[/] ({described['status']}; {described['samples']})", highlight=False
    )
    CONSOLE.print(
        f"sites {', '.join(described['sites'])}; {described['start_utc']} to {described['stop_utc']} UTC",
        highlight=False,
    )
    table = new_table("variable", "dimensions", "dtype", "units", "what it is")
    for name, one in described["variables"].items():
        sizes = ", ".join(f"{d}={described['sizes'][d]}" for d in one["dims"])
        add_row(table, name, sizes, one["dtype"], str(one["units"] or ""), str(one["about"] or ""))
    CONSOLE.print(table)
    made = described["provenance"]
    plugin = made.get("plugin", {})
    CONSOLE.print(
        f"made by {plugin.get('name')} of {plugin.get('distribution')} {plugin.get('version')}", highlight=False
    )
    for step in made.get("steps", []):
        given = ", ".join(f"{k}={v}" for k, v in step["parameters"].items())
        given += "".join(
            f"; at {site} {key}={value}" for site, own in step.get("at", {}).items() for key, value in own.items()
        )
        CONSOLE.print(f"  step {step['name']}({escape(given)})", highlight=False)
    for one in made.get("references", []):
        known = f"sha256 {one['sha256'][:12]}, from {one['source']}" if "sha256" in one else "none is known (optional)"
        CONSOLE.print(f"  reference {one['kind']} of {one['site']}: {escape(known)}", highlight=False)
