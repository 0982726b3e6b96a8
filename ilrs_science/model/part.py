"""The unit of work, and what happened to it; both are plain JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ilrs_science.model.axis import Axis, axis_from_json
from ilrs_science.model.granule import Granule
from ilrs_science.model.reference import Reference
from ilrs_science.model.site import Site


def digest(value: Any) -> str:
    """Return the SHA-256 of a JSON-able value in its canonical form."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


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


@dataclass(frozen=True)
class Part:
    """One or more whole shards of a cube, to be filled by one task."""

    number: int
    """Position in the plan."""
    cube: str
    """URL of the cube."""
    instrument: str
    """Name of the instrument."""
    sites: tuple[Site, ...]
    """Sites it covers: one in a regular cube, any in an exposure cube."""
    row: int
    """Index of the site in a regular cube; -1 in an exposure cube."""
    first: int
    """First slot of its region in the cube."""
    axis: Axis
    """The region's own axis."""
    span: tuple[int, int]
    """Start and stop of the whole cube, TAI ns."""
    granules: tuple[Granule, ...]
    """Raw files to read, in order of start and digest."""
    steps: tuple[StepCall, ...]
    """What to do with them."""
    place: str
    """How samples come onto the axis."""
    code: str
    """Digest of the plugin's and the engine's sources."""
    product: str
    """Digest of the product's schema."""

    @property
    def margin(self) -> int:
        """How much more than the region is read to either side, ns."""
        return sum(step.margin for step in self.steps)

    @property
    def digest(self) -> str:
        """Identity of the result: inputs by content, parameters, references, code; not where files or cube lie."""
        content = self.as_json()
        for key in ("number", "cube"):
            del content[key]
        content["granules"] = [granule.identity for granule in self.granules]
        earliest = min([self.axis.start - self.margin, *(granule.start for granule in self.granules)])
        for step in content["steps"]:
            for by_site in step["references"].values():
                for references in by_site.values():
                    for reference in references:
                        # Of its validity only what changes this part: when it begins to be the one.
                        reference["start"] = max(reference["start"], earliest)
                        for key in ("url", "stop", "published", "source"):
                            del reference[key]
        return digest(content)

    def as_json(self) -> dict[str, Any]:
        """Return the part as JSON-able values."""
        return {
            "number": self.number,
            "cube": self.cube,
            "instrument": self.instrument,
            "sites": [asdict(site) for site in self.sites],
            "row": self.row,
            "first": self.first,
            "axis": self.axis.as_json(),
            "span": list(self.span),
            "granules": [granule.as_json() for granule in self.granules],
            "steps": [_step_as_json(step) for step in self.steps],
            "place": self.place,
            "code": self.code,
            "product": self.product,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Part:
        """Return the part that `as_json` wrote."""
        return cls(
            **{
                **values,
                "sites": tuple(Site(**site) for site in values["sites"]),
                "axis": axis_from_json(values["axis"]),
                "span": tuple(values["span"]),
                "granules": tuple(map(Granule.from_json, values["granules"])),
                "steps": tuple(_step_from_json(step) for step in values["steps"]),
            }
        )


@dataclass(frozen=True)
class Counts:
    """What became of samples; every sample read is placed, rejected or a duplicate."""

    read: int = 0
    placed: int = 0
    rejected: int = 0
    duplicate: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.read + other.read,
            self.placed + other.placed,
            self.rejected + other.rejected,
            self.duplicate + other.duplicate,
        )

    @property
    def add_up(self) -> bool:
        """Whether read = placed + rejected + duplicate."""
        return self.read == self.placed + self.rejected + self.duplicate


@dataclass(frozen=True)
class Outcome:
    """What became of one granule in one part."""

    url: str
    site: str
    sha256: str
    counts: Counts = Counts()
    reasons: Mapping[str, int] = field(default_factory=dict)
    """Rejected samples by reason."""
    fault: str = ""
    """Why the whole granule was rejected, if it was."""


@dataclass(frozen=True)
class Record:
    """What happened to a part."""

    part: int
    digest: str
    status: str
    """`done` or `failed`."""
    reason: str = ""
    """Why it failed."""
    outcomes: tuple[Outcome, ...] = ()
    outputs: Mapping[str, str] = field(default_factory=dict)
    """CRC-32C of the bytes of every variable written."""
    flagged: int = 0
    """Slots that a sample reached and whose quality is not zero."""
    missing: int = 0
    """Slots that no sample reached."""
    seconds: float = 0.0
    peak_memory: int = 0
    """High-water mark of the worker process, bytes."""
    worker: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def counts(self) -> Counts:
        """Samples over all granules."""
        return sum((outcome.counts for outcome in self.outcomes), Counts())

    def as_json(self) -> dict[str, Any]:
        """Return the record as JSON-able values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Record:
        """Return the record that `as_json` wrote."""
        outcomes = tuple(Outcome(**{**o, "counts": Counts(**o["counts"])}) for o in values["outcomes"])
        return cls(**{**values, "outcomes": outcomes})


def _step_as_json(step: StepCall) -> dict[str, Any]:
    references = {
        name: {site: [_reference_as_json(r) for r in chosen] for site, chosen in by_site.items()}
        for name, by_site in step.references.items()
    }
    return {"name": step.name, "parameters": dict(step.parameters), "margin": step.margin, "references": references}


def _step_from_json(values: Mapping[str, Any]) -> StepCall:
    references = {
        name: {site: tuple(Reference(**r) for r in chosen) for site, chosen in by_site.items()}
        for name, by_site in values["references"].items()
    }
    return StepCall(values["name"], values["parameters"], values["margin"], references)


def _reference_as_json(reference: Reference) -> dict[str, Any]:
    values = asdict(replace(reference, payload=None))
    del values["payload"]
    return values
