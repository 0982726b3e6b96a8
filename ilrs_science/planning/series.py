"""Which files or cubes tell of the other quantities that steps ask for, and which of them each part reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

from ilrs_science import catalog, registry
from ilrs_science.errors import Fault, FormatError, OutageError, PlanError
from ilrs_science.model.granule import Granule
from ilrs_science.model.instrument import Instrument
from ilrs_science.model.part import Part, StepCall
from ilrs_science.model.series import EVERYWHERE, Series
from ilrs_science.model.site import Site
from ilrs_science.model.step import step_parameters
from ilrs_science.planning.gathering import Search
from ilrs_science.planning.parts import Shelf
from ilrs_science.planning.pipeline import Pipeline


@dataclass(frozen=True)
class Asked:
    """A series that a step asks for."""

    reader: Series
    path: str
    """Where faults say that it is."""
    required: bool
    given: tuple[str, ...] = ()
    """Where the pipeline says that it is; nothing where its files lie beside the raw files."""


def asked_series(
    calls: Sequence[StepCall], instrument: Instrument, pipeline: Pipeline
) -> tuple[dict[str, Asked], list[Fault]]:
    """Return the series that a chain asks for by name, and what is wrong with them as far as declarations tell."""
    asked: dict[str, Asked] = {}
    faults: list[Fault] = []
    for number, call in enumerate(calls):
        for name, parameter in step_parameters(registry.step(call.name, instrument)).items():
            if parameter.role != "series":
                continue
            path = f"steps[{number}].{call.name}.{name}"
            if name not in instrument.series and not parameter.required:
                continue
            if name not in instrument.series:
                have = ", ".join(instrument.series) or "none"
                faults.append(
                    Fault(path, f"{instrument.name} has no series {name!r}", f"Instrument(series=...) has {have}")
                )
                continue
            required = parameter.required or (name in asked and asked[name].required)
            asked[name] = Asked(instrument.series_of(name), path, required, pipeline.inputs.get(name, ()))
    return asked, [*faults, *_input_faults(asked, pipeline)]


def _input_faults(asked: Mapping[str, Asked], pipeline: Pipeline) -> list[Fault]:
    faults = []
    for name in pipeline.inputs.keys() - asked.keys():
        near = get_close_matches(name, asked, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        allowed = f"{hint}they ask for {', '.join(asked) or 'no series'}"
        faults.append(Fault(f"inputs.{name}", "no step asks for it", allowed))
    for name, one in asked.items():
        if one.reader.reads and not one.given and one.required:
            allowed = f"say which cube of {one.reader.reads} it is: inputs: {{{name}: ...}}"
            faults.append(Fault(f"inputs.{name}", "is missing", allowed))
    return faults


@dataclass(frozen=True)
class Found:
    """What tells of the series of a campaign."""

    asked: Mapping[str, Asked] = field(default_factory=dict)
    granules: Mapping[str, tuple[Granule, ...]] = field(default_factory=dict)
    """By the name of the series, in order of start and digest."""
    rejected: Mapping[str, tuple[catalog.Rejection, ...]] = field(default_factory=dict)

    @property
    def every_rejected(self) -> tuple[catalog.Rejection, ...]:
        """What is no granule of any series."""
        return tuple(one for several in self.rejected.values() for one in several)

    def near(self, parts: Sequence[Part]) -> list[Part]:
        """Return parts with the granules of series that they read.

        Those within the limit of a series around what a part reads; where there are none, the first one of the site,
        which says at least of what form the series is.
        """
        if not self.granules:
            return list(parts)
        shelves = {
            (name, site.name): Shelf([one for one in several if one.site in (site.name, EVERYWHERE)])
            for name, several in self.granules.items()
            for part in parts
            for site in part.sites
        }
        return [replace(part, series=self._of_part(part, shelves)) for part in parts]

    def _of_part(self, part: Part, shelves: Mapping[tuple[str, str], Shelf]) -> dict[str, tuple[Granule, ...]]:
        chosen = {}
        for name in self.granules:
            reach = part.margin + self.asked[name].reader.reach
            here: dict[Granule, None] = {}
            for site in part.sites:
                shelf = shelves[name, site.name]
                near = shelf.overlapping(part.axis.start - reach, part.axis.stop + reach)
                here |= dict.fromkeys(near or shelf.granules[:1])
            chosen[name] = tuple(here)
        return chosen

    def faults(self, sites: Sequence[Site]) -> list[Fault]:
        """Return the series that a step cannot do without, and of which a site has nothing at all."""
        return [
            Fault(f"{one.path} at {site.name}", *self._nothing(name))
            for name, one in self.asked.items()
            for site in sites
            if one.required and not self._of_site(name, site.name)
        ]

    def warnings(self, granules: Sequence[Granule]) -> list[Fault]:
        """Return the series that tell nothing of the time of some raw files."""
        told = []
        for name, one in self.asked.items():
            for site in sorted({each.site for each in granules}):
                shelf = Shelf(self._of_site(name, site))
                raw = [each for each in granules if each.site == site]
                reach = one.reader.reach
                bare = [each for each in raw if not shelf.overlapping(each.start - reach, each.stop + reach)]
                if bare and shelf.granules:
                    found = f"nothing of it within {one.reader.limit} of {len(bare)} of {len(raw)} raw files"
                    told.append(Fault(f"{one.path} at {site}", found, "their samples are flagged no_reference"))
        return told

    def _of_site(self, name: str, site: str) -> list[Granule]:
        return [one for one in self.granules.get(name, ()) if one.site in (site, EVERYWHERE)]

    def _nothing(self, name: str) -> tuple[str, str]:
        """Return what was found of a series in place of something, and what is allowed."""
        one, refused = self.asked[name], self.rejected.get(name, ())
        there = f"in {', '.join(one.given)}" if one.given else f"called {one.reader.files} beside the raw files"
        reasons = "; ".join(f"{each.url}: {each.reason}" for each in refused[:5])
        return f"found nothing of it {there}", reasons or f"say where it is: inputs: {{{name}: ...}}"


def find_series(asked: Mapping[str, Asked], granules: Sequence[Granule], search: Search) -> Found:
    """Look for the files and cubes of series.

    Parameters
    ----------
    granules
        Raw data, in whose folders files are looked for.

    Raises
    ------
    PlanError
        `inputs` name nothing that could be read.
    OutageError
        Something cannot be read now.
    """
    found: dict[str, tuple[Granule, ...]] = {}
    rejected: dict[str, tuple[catalog.Rejection, ...]] = {}
    folders = sorted({_folder(one) for one in granules})
    for name, one in asked.items():
        patterns = one.given or tuple(f"{folder}/{one.reader.files}" for folder in folders if one.reader.files)
        try:
            inventory = search.gathered(one.reader, patterns)
        except OSError as error:
            raise OutageError(f"the files of {name} cannot be listed: {error}") from error
        except (FormatError, ValueError) as error:
            raise PlanError([Fault(f"inputs.{name}", str(error), "expected files, or finished cubes")]) from error
        # A folder without such a file is no fault: where a site has none at all, the plan says so.
        rejected[name] = tuple(one for one in inventory.rejected if one.url not in patterns or one.outage)
        found[name] = _placed(inventory.granules, granules)
    return Found(asked, found, rejected)


def _placed(found: Sequence[Granule], granules: Sequence[Granule]) -> tuple[Granule, ...]:
    """Return granules of a series; those of no site have the one of the raw files in their folder, if that is one."""
    sites: dict[str, set[str]] = {}
    for one in granules:
        sites.setdefault(_folder(one), set()).add(one.site)
    placed = []
    for one in found:
        there = sites.get(_folder(one), set()) if one.site == EVERYWHERE else set()
        placed.append(replace(one, site=next(iter(there))) if len(there) == 1 else one)
    return tuple(sorted(placed, key=lambda one: (one.start, one.sha256, one.site)))


def _folder(granule: Granule) -> str:
    return granule.url.rpartition("/")[0]
