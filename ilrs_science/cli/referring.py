"""`ilrs references`: what there is, and what runs add to it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.markup import escape

from ilrs_science import references
from ilrs_science.catalog import data_folder
from ilrs_science.cli.guarding import print_json
from ilrs_science.cli.terminal import CONSOLE, add_row, new_table
from ilrs_science.geometry.time import SECOND, isot, parse_utc, utc_to_tai
from ilrs_science.model.reference import Reference
from ilrs_science.running.registering import register
from ilrs_science.store.collection import cubes_at


def add(url: str, folder: Path, published: str | None, *, everywhere: bool, as_json: bool) -> int:
    """Register the cells of a cube, or of the cubes of a collection; return the exit status."""
    today = np.array(time.time_ns() // SECOND * SECOND)
    since = int(utc_to_tai(today)) if published is None else parse_utc(published)
    done = [register(one, folder, published=since, everywhere=everywhere) for one in cubes_at(url)]
    if as_json:
        print_json([one.as_json() for one in done])
    else:
        for one in done:
            what = "were there before" if one.known else "are new"
            CONSOLE.print(
                f"{len(one.references)} references {what} in {escape(one.index or str(folder))}; "
                f"{one.flagged} flagged cells are none",
                highlight=False,
            )
    return 0 if any(one.references for one in done) else 1


def listed(folders: list[str], *, as_json: bool) -> None:
    """Print the references of the catalogue and of folders."""
    every = [Path(data_folder("catalogs")) / "references", *map(Path, folders)]
    found = [one for folder in every for one in references.read_folder(folder)]
    if as_json:
        print_json([_as_json(one) for one in found])
        return
    table = new_table("kind", "instrument", "site", "valid from", "until", "published", "payload")
    for one in sorted(found, key=lambda one: (one.instrument, one.kind, one.site, one.start)):
        span = (isot(one.start), references.until(one), isot(one.published))
        add_row(table, one.kind, one.instrument, one.site, *span, Path(one.url).name)
    CONSOLE.print(table)


def _as_json(one: Reference) -> dict[str, Any]:
    told = {"instrument": one.instrument, "published": isot(one.published), "url": one.url}
    return references.describe(one) | told
