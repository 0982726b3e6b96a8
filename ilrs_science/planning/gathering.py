"""The raw data of a pipeline as granules: files, as the catalogue indexes them, or the parts of finished cubes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from ilrs_science import catalog, registry
from ilrs_science.catalog.table import names_inventory
from ilrs_science.errors import FormatError, IlrsError, PluginError, is_outage
from ilrs_science.model.granule import Granule
from ilrs_science.model.reader import Reader
from ilrs_science.model.series import attribute_problem
from ilrs_science.store import granules


@dataclass(frozen=True)
class Search:
    """How raw data are looked for."""

    sites: Collection[str] | None = None
    """Names of the sites to consider; None for all."""
    progress: Callable[[int, int], None] | None = None
    executor: Literal["threads", "processes"] | None = None

    def gathered(self, reader: Reader, patterns: Sequence[str]) -> catalog.Inventory:
        """Return what a reader finds where patterns say.

        Raises
        ------
        FormatError
            A pattern names no kind of storage, or no inventory.
        OSError
            Something cannot be listed.
        """
        of_files = [one for one in patterns if not reader.reads or names_inventory(one)]
        found = catalog.Inventory((), ())
        if of_files:
            found = catalog.inventory(
                of_files,
                instruments=[reader.name],
                sites=self.sites,
                progress=self.progress,
                executor=self.executor,
            )
        if len(of_files) == len(patterns):
            return found
        several = [self._of_cubes(reader, one) for one in patterns if one not in of_files]
        return catalog.Inventory(
            tuple(granule for one in (found, *several) for granule in one.granules),
            tuple(rejection for one in (found, *several) for rejection in one.rejected),
        )

    def _of_cubes(self, reader: Reader, pattern: str) -> catalog.Inventory:
        """Return the parts of the cubes that a pattern names; what of it is none is rejected by name."""
        taken: list[Granule] = []
        rejected = []
        for url in granules.cubes(pattern):
            try:
                taken += _index(url, reader)
            except (IlrsError, OSError) as error:
                said = str(error).removeprefix(f"{url}: ")
                rejected.append(catalog.Rejection(url, said, outage=is_outage(error)))
        here = tuple(one for one in taken if self.sites is None or one.site in self.sites)
        return catalog.Inventory(here, tuple(rejected))


def _index(url: str, reader: Reader) -> list[Granule]:
    found = granules.index(url, reader)
    if problem := attribute_problem(reader.attributes, granules.attributes_of(url)):
        raise FormatError(f"{url}: {problem}")
    if reader.flags is not None and (strange := sorted(granules.flags_of(url).keys() - reader.flags.keys())):
        names = ", ".join(strange)
        raise FormatError(
            f"{url}: has the flags {names}, and {reader.name} has not; Product(flags=[...]) declares them"
        )
    return found


def circle(instrument: str) -> list[str]:
    """Return instruments of which each reads the cubes of the next, and the last one those of the first; or none."""
    names = [instrument]
    while True:
        try:
            following = registry.instrument(names[-1]).reads
        except PluginError:
            return []  # it is not installed here, and so reads nothing
        if not following:
            return []
        if following in names:
            return [*names[names.index(following) :], following]
        names.append(following)
