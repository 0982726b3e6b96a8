"""`ilrs inventory`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ilrs_science import catalog
from ilrs_science.catalog import Inventory
from ilrs_science.cli import show
from ilrs_science.cli.guarding import UsageError, print_json
from ilrs_science.cli.terminal import Progress
from ilrs_science.geometry.time import parse_utc


@dataclass(frozen=True)
class Selection:
    """Which granules are shown: all, or those of a site, of a raw format, or that touch a span of time."""

    site: str | None
    format: str | None
    start: int | None
    """TAI, nanoseconds, as `stop`."""
    stop: int | None

    @classmethod
    def of(cls, site: str | None, raw_format: str | None, start: str | None, stop: str | None) -> Selection:
        """Return the selection that options ask for, with times in UTC."""
        first, last = (None if moment is None else parse_utc(moment) for moment in (start, stop))
        return cls(site, raw_format, first, last)

    def shown(self, found: Inventory) -> Inventory:
        """Return what is shown of an inventory."""
        if self == Selection(None, None, None, None):
            return found
        return found.select(site=self.site, format=self.format, start=self.start, stop=self.stop)


@dataclass(frozen=True)
class Destination:
    """Where an inventory is written to, if anywhere, and what was written there before."""

    file: Path | None
    known: Inventory | None
    """Of a file that remembers which raw files are unchanged."""

    @classmethod
    def at(cls, file: Path | None) -> Destination:
        """Look at a file that may be there already; its folder has to be."""
        if file is None:
            return cls(None, None)
        if not file.absolute().parent.is_dir():
            raise UsageError(f"no folder {file.absolute().parent} to write the inventory to")
        remembers = file.suffix == ".parquet" and file.exists()
        return cls(file, Inventory.from_file(str(file)) if remembers else None)

    def save(self, found: Inventory) -> None:
        """Write an inventory, if there is where to."""
        if self.file is not None:
            found.save(self.file)


def inventory(
    paths: Sequence[str],
    instruments: Sequence[str] | None,
    destination: Destination,
    selection: Selection,
    *,
    as_json: bool,
) -> int:
    """Index raw files, write and show what was found, and return the exit status: 3 if a file is no granule."""
    with Progress("indexing", "files", quiet=as_json) as progress:
        found = catalog.inventory(paths, instruments=instruments, known=destination.known, progress=progress.files)
    destination.save(found)
    shown = selection.shown(found)
    print_json(shown.as_json()) if as_json else show.inventory(shown, destination.file)
    return 0 if all(one.is_expected for one in found.rejected) else 3
