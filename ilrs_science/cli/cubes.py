"""The commands that look at a cube or at all cubes of a collection."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ilrs_science.analysis.quicklook import save_quicklook
from ilrs_science.cli import show, show_cubes
from ilrs_science.cli.guarding import print_json
from ilrs_science.cli.terminal import CONSOLE
from ilrs_science.running.repair import repaired
from ilrs_science.running.report import Report
from ilrs_science.running.status import status as cube_status
from ilrs_science.running.verify import Verification
from ilrs_science.running.verify import adopt as adopt_cube
from ilrs_science.running.verify import verify as verify_cube
from ilrs_science.store.collection import cubes_at
from ilrs_science.store.cube import open_attributes, open_cube


@dataclass(frozen=True)
class Examination:
    """What reading every shard has shown, and what mending did."""

    found: tuple[Verification, ...]
    mended: Report | None
    """Nothing, if nobody asked for it or nothing was damaged."""

    @classmethod
    def of(cls, url: str, *, repair: bool) -> Examination:
        """Examine a cube or the cubes of a collection, and make anew what is damaged if that is asked for."""
        found = tuple(verify_cube(one) for one in cubes_at(url))
        damaged = [one for one in found if not one.ok]
        return cls(found, repaired(damaged) if repair and damaged else None)

    @property
    def exit_code(self) -> int:
        """0 all right, 1 damaged; after mending, that of the run which did it."""
        if self.mended is not None:
            return self.mended.exit_code
        return 0 if all(one.ok for one in self.found) else 1

    def as_json(self) -> Any:
        """Return the examination as JSON-able values."""
        told = [one.as_json() for one in self.found]
        return told if self.mended is None else {"found": told, "repaired": self.mended.as_json()}

    def show(self, *, hint: bool) -> None:
        """Print the examination, with a hint how to mend."""
        for one in self.found:
            show_cubes.verification(one, hint=hint)
        if self.mended is not None:
            show.report(self.mended)


def verify(url: str, *, repair: bool, as_json: bool) -> int:
    """Read every shard and hold it against its record; return the exit status."""
    done = Examination.of(url, repair=repair)
    print_json(done.as_json()) if as_json else done.show(hint=not repair)
    return done.exit_code


def adopt(url: str, *, as_json: bool) -> None:
    """Accept shards that were copied or restored, where their bytes are right."""
    count = sum(map(adopt_cube, cubes_at(url)))
    text = f"the stored data of {count} parts were moved or restored, and their bytes are right: accepted"
    print_json({"adopted": count}) if as_json else CONSOLE.print(text)


def status(url: str, *, as_json: bool) -> int:
    """Show how far a cube is; return the exit status."""
    found = cube_status(url)
    print_json(found.as_json()) if as_json else show_cubes.status(found)
    return 1 if found.failed else 3 if found.rejected else 0


def info(url: str, *, as_json: bool) -> None:
    """Show what a cube is and how it was made; of a collection, what each of its cubes covers."""
    cubes = cubes_at(url)
    if cubes != [url]:
        listed = [show_cubes.member_as_json(one, open_attributes(one), open_cube(one)) for one in cubes]
        print_json({"collection": url, "cubes": listed}) if as_json else show_cubes.collection(url, listed)
        return
    attributes = open_attributes(url)
    described = show_cubes.cube_as_json(open_cube(url), attributes)
    print_json(described) if as_json else show_cubes.cube(described)


def quicklook(url: str, output: Path, variable: str | None, *, as_json: bool) -> None:
    """Draw a cube."""
    path = save_quicklook(open_cube(url), output, variable)
    print_json({"file": str(path)}) if as_json else CONSOLE.print(f"wrote {path}")
