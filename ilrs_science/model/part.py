"""The unit of work: whole shards of a cube, with everything that their content depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from ilrs_science.model.axis import Axis
from ilrs_science.model.granule import Granule
from ilrs_science.model.product import Place
from ilrs_science.model.reference import Reference
from ilrs_science.model.site import Site

type Cause = Literal["inputs", "parameters", "references", "code", "plugin"]

CAUSES: tuple[Cause, ...] = ("inputs", "parameters", "references", "code", "plugin")
"""What a result depends on, and so why it may have to be made anew."""


def digest(value: Any) -> str:
    """Return the SHA-256 of a JSON-able value in its canonical form."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def brief(value: Any) -> str:
    """Return the first 128 bits of a digest: enough to tell results apart, and short where there are many of them."""
    return digest(value)[:32]


@dataclass(frozen=True)
class StepCall:
    """A step of a pipeline with everything it needs, resolved."""

    name: str
    """Name by which the registry finds it."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Its own parameters, JSON-able."""
    margin: int = 0
    """How far it looks to either side, ns."""
    references: Mapping[str, Mapping[str, tuple[Reference, ...]]] = field(default_factory=dict)
    """For each reference parameter and site: the references that cover the part, in order of time."""
    at: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Parameters that are others at a site, JSON-able."""
    pairs: tuple[str, ...] = ()
    """Reference parameters that take the one before and the one after."""

    def parameters_at(self, site: str) -> dict[str, Any]:
        """Return its own parameters at a site."""
        return {**self.parameters, **self.at.get(site, {})}


@dataclass(frozen=True)
class Task:
    """What every part of a plan does alike."""

    cube: str
    """URL of the cube."""
    instrument: str
    """Name of the instrument."""
    steps: tuple[StepCall, ...]
    """What to do, without references: those belong to each part."""
    place: Place
    """How samples come onto the axis."""
    conflicts: str
    """Which of two different samples of one instant is kept: `first`, `last` or `best`."""
    origin: int
    """Start of the campaign, TAI ns; it never moves."""
    product: str
    """Digest of the product's schema."""
    code: Mapping[str, str]
    """Digest of the modules of this package that make the data, by the raw format of what they read."""
    plugin: str
    """Digest of the code of the packages that provide the instrument and the steps."""

    @property
    def margin(self) -> int:
        """How much more than its region a part reads to either side, ns."""
        return sum(step.margin for step in self.steps)

    def parameters_at(self, sites: tuple[str, ...]) -> str:
        """Return the digest of the steps with their parameters at sites, and of how samples come onto the axis."""
        apart = tuple(site for site in sites if any(site in step.at for step in self.steps))
        if (apart, apart == sites) not in self._digests:
            # Where every site has parameters of its own, the common ones make nothing.
            common = [] if apart == sites else [[one.name, dict(one.parameters), one.margin] for one in self.steps]
            own = [[site, [[one.name, one.parameters_at(site), one.margin] for one in self.steps]] for site in apart]
            values = [self.instrument, common, own, self.place, self.conflicts, self.product]
            self._digests[apart, apart == sites] = brief(values)
        return self._digests[apart, apart == sites]

    @cached_property
    def _digests(self) -> dict[tuple[tuple[str, ...], bool], str]:
        return {}


@dataclass(frozen=True)
class Part:
    """One or more whole shards of a cube, to be filled by one task of a cluster."""

    task: Task
    """What it has in common with all parts of the plan."""
    number: int
    """Position in the plan."""
    row: int
    """Index of the site in a regular cube; -1 in an exposure cube."""
    first: int
    """First slot of its region in the cube."""
    axis: Axis
    """The region's own axis."""
    sites: tuple[Site, ...]
    """Sites it covers: one in a regular cube, any in an exposure cube."""
    granules: tuple[Granule, ...]
    """Raw files to read, in order of start and digest."""
    references: tuple[Mapping[str, Mapping[str, tuple[Reference, ...]]], ...] = ()
    """For each step: the references of each parameter and site that cover the part, in order of time."""

    series: Mapping[str, tuple[Granule, ...]] = field(default_factory=dict)
    """What tells of each series that its steps ask for, in order of start and digest."""

    @property
    def cube(self) -> str:
        """URL of the cube."""
        return self.task.cube

    @property
    def instrument(self) -> str:
        """Name of the instrument."""
        return self.task.instrument

    @property
    def place(self) -> Place:
        """How samples come onto the axis."""
        return self.task.place

    @property
    def margin(self) -> int:
        """How much more than the region is read to either side, ns."""
        return self.task.margin

    @property
    def formats(self) -> list[str]:
        """Raw formats of what is read; an empty text where none is known, or nothing is read."""
        return sorted({one.format for one in (*self.granules, *self.granules_of_series)} or {""})

    @property
    def granules_of_series(self) -> list[Granule]:
        """The granules of all series."""
        return [one for several in self.series.values() for one in several]

    @cached_property
    def steps(self) -> tuple[StepCall, ...]:
        """The steps with the references of this part."""
        if not self.references:
            return self.task.steps
        pairs = zip(self.task.steps, self.references, strict=True)
        return tuple(replace(step, references=chosen) for step, chosen in pairs)

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """Tags of granules by which its references differ."""
        several = (one for by_kind in self.references for by_site in by_kind.values() for one in by_site.values())
        return tuple(sorted({key for each in several for one in each for key in one.keys}))

    @cached_property
    def causes(self) -> dict[str, str]:
        """Digest of each thing that the result depends on: not where files lie, nor how long the cube is."""
        return {
            "inputs": self._inputs(),
            "parameters": self.task.parameters_at(tuple(site.name for site in self.sites)),
            "references": self._references(),
            "code": ", ".join(f"{name} {self.task.code[name][:32]}" for name in self.formats),
            "plugin": self.task.plugin[:32],
        }

    @cached_property
    def digest(self) -> str:
        """Identity of the result."""
        return brief([self.causes[cause] for cause in CAUSES])

    def _inputs(self) -> str:
        sites = [asdict(site) for site in self.sites]
        # Where the campaign begins matters to what began before it.
        origin = self.task.origin if any(one.start < self.task.origin for one in self.granules) else None
        granules = [one.identity for one in self.granules]
        series = {name: [one.identity for one in several] for name, several in self.series.items()}
        own = [self.row, self.first, self.axis.identity, sites, origin, granules]
        return brief([*own, series] if series else own)

    def _references(self) -> str:
        chosen = [
            # When a reference begins to be valid a step may ask it; when it ends shows in the one that comes after it.
            [name, site, [[one.kind, one.sha256, one.start, dict(one.keys)] for one in several]]
            for step in self.references
            for name, by_site in step.items()
            for site, several in by_site.items()
        ]
        return brief(chosen)
