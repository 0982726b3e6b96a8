"""The commands that look at a cube or at all cubes of a collection."""

from __future__ import annotations

from typing import Annotated

import typer

from ilrs_science.cli import show, show_cubes
from ilrs_science.cli.options import AsJson, CubeUrl
from ilrs_science.cli.terminal import CONSOLE, guarded, print_json
from ilrs_science.engine.repair import repaired
from ilrs_science.engine.status import status as cube_status
from ilrs_science.engine.verify import adopt as adopt_cube
from ilrs_science.engine.verify import verify as verify_cube
from ilrs_science.store.collection import cubes_at
from ilrs_science.store.cube import open_attributes, open_cube


@guarded
def verify(
    cube: CubeUrl,
    *,
    repair: Annotated[bool, typer.Option("--repair", help="Make anew what is damaged.")] = False,
    adopt: Annotated[
        bool, typer.Option("--adopt", help="Accept shards that were copied or restored, where their bytes are right.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read every shard and hold it against its record. Exit 0 all right, 1 damaged."""
    if adopt:
        count = sum(map(adopt_cube, cubes_at(cube)))
        text = f"the stored data of {count} parts were moved or restored, and their bytes are right: accepted"
        print_json({"adopted": count}) if as_json else CONSOLE.print(text)
        return
    found = [verify_cube(one) for one in cubes_at(cube)]
    damaged = [one for one in found if not one.ok]
    report = repaired(damaged) if repair and damaged else None
    if as_json:
        told = [one.as_json() for one in found]
        print_json(told if report is None else {"found": told, "repaired": report.as_json()})
    else:
        for one in found:
            show_cubes.verification(one, hint=not repair)
        if report is not None:
            show.report(report)
    raise typer.Exit(report.exit_code if report is not None else 1 if damaged else 0)


@guarded
def status(cube: CubeUrl, *, as_json: AsJson = False) -> None:
    """Show parts done, waiting, stale and failed."""
    found = cube_status(cube)
    print_json(found.as_json()) if as_json else show_cubes.status(found)
    raise typer.Exit(1 if found.failed else 3 if found.rejected else 0)


@guarded
def info(cube: CubeUrl, *, as_json: AsJson = False) -> None:
    """Show what a cube is and how it was made; of a collection, what each of its cubes covers."""
    cubes = cubes_at(cube)
    if cubes != [cube]:
        listed = [show_cubes.member_as_json(one, open_attributes(one), open_cube(one)) for one in cubes]
        print_json({"collection": cube, "cubes": listed}) if as_json else show_cubes.collection(cube, listed)
        return
    attributes = open_attributes(cube)
    described = show_cubes.cube_as_json(open_cube(cube), attributes)
    print_json(described) if as_json else show_cubes.cube(described)
