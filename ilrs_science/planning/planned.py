"""What a run will do: to one cube, or to the cubes of a collection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from ilrs_science import catalog, references, registry
from ilrs_science.errors import Fault
from ilrs_science.geometry.time import isot
from ilrs_science.model.axis import Axis
from ilrs_science.model.granule import Granule
from ilrs_science.model.instrument import Instrument
from ilrs_science.model.part import Part, StepCall, Task
from ilrs_science.model.product import Place
from ilrs_science.model.reference import Reference
from ilrs_science.model.site import Site
from ilrs_science.model.step import resources_of
from ilrs_science.planning.diff import Diff
from ilrs_science.planning.parts import part_memory
from ilrs_science.planning.pipeline import Pipeline
from ilrs_science.planning.resolve import described
from ilrs_science.store.cube import Declaration
from ilrs_science.store.encoding import Cut
from ilrs_science.store.tables import Tables


@dataclass(frozen=True)
class Plan:
    """What a run will do to one cube; nothing has been written."""

    pipeline: Pipeline
    """With the output and the time of this cube."""
    source: Pipeline
    """As it was given; of a collection that is the pipeline of all cubes."""
    instrument: Instrument
    declared: Declaration
    task: Task
    parts: tuple[Part, ...]
    granules: tuple[Granule, ...]
    duplicates: tuple[Granule, ...]
    """Granules with the content of another; not read."""
    outside: tuple[Granule, ...]
    """Granules without a sample in the pipeline's sites and span; not read."""
    rejected: tuple[catalog.Rejection, ...]
    """Files that are no granules."""
    diff: Diff
    """What of it an existing cube holds already."""
    lost: int = 0
    """Exposures that the existing cube holds and that no raw file has any more."""
    absent: tuple[Mapping[str, str], ...] = ()
    """Optional references that do not exist: step, kind and site."""
    warnings: tuple[Fault, ...] = ()
    """What may be meant so, and may not."""

    @property
    def place(self) -> Place:
        """How samples come onto the axis."""
        return self.declared.place

    @property
    def axis(self) -> Axis:
        """The time axis of the cube."""
        return self.declared.axis

    @property
    def sites(self) -> tuple[Site, ...]:
        """The sites of the cube, in order."""
        return self.declared.sites

    @property
    def cut(self) -> Cut:
        """How the cube is cut."""
        return self.declared.cut

    @property
    def steps(self) -> tuple[StepCall, ...]:
        """The steps with their parameters."""
        return self.task.steps

    @property
    def resources(self) -> dict[str, float]:
        """What a worker of a cluster must have, and how much of it a part takes."""
        return resources_of(registry.step(call.name, self.instrument) for call in self.steps)

    @cached_property
    def memory(self) -> int:
        """Bytes that the largest part may need, as the instrument declares."""
        return max((part_memory(self.instrument, part) for part in self.parts), default=0)

    @property
    def bytes_in(self) -> int:
        """Bytes of raw files, each counted once."""
        return sum({granule.url: granule.size for granule in self.granules}.values())

    @property
    def bytes_out(self) -> int:
        """Bytes of the cube before compression."""
        return len(self.axis.rows(self.sites)) * self.axis.count * self.instrument.product.sample_bytes(self.place)

    def references(self) -> list[Reference]:
        """Return every reference that some part uses, once."""
        return sorted(described(self.parts).values(), key=lambda r: (r.kind, r.site, r.start))

    def tables(self) -> Tables:
        """Return what the parts share, to be stored beside the cube."""
        references = tuple(described(self.parts).values())
        granules = (*self.granules, *self.granules_of_series)
        return Tables(self.task, self.sites, references, granules, self.axis.exposures())

    @cached_property
    def granules_of_series(self) -> tuple[Granule, ...]:
        """What tells of the series that some part asks for, each once."""
        every = dict.fromkeys(one for part in self.parts for one in part.granules_of_series)
        return tuple(sorted(every, key=lambda one: (one.instrument, one.start, one.sha256, one.site)))

    def as_json(self) -> dict[str, Any]:
        """Return a summary as JSON-able values."""
        return {
            "name": self.pipeline.name,
            "instrument": self.instrument.name,
            "output": self.pipeline.output,
            "sites": [site.name for site in self.sites],
            "start": isot(self.axis.start) if self.axis.count else None,
            "stop": isot(self.axis.stop) if self.axis.count else None,
            "samples": self.axis.count,
            "place": self.place,
            "parts": len(self.parts),
            "verdicts": self.diff.counts(),
            "gone": list(self.diff.gone),
            "lost_exposures": self.lost,
            "unreadable_records": list(self.diff.unreadable),
            "chunk": self.cut.chunk,
            "shard": self.cut.shard,
            "granules": len(self.granules),
            "series": [{"series": one.instrument, "site": one.site, "url": one.url} for one in self.granules_of_series],
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "memory_per_part": self.memory,
            "resources": self.resources,
            "steps": [
                {"name": s.name, "parameters": dict(s.parameters), "at": dict(s.at), "margin_ns": s.margin}
                for s in self.steps
            ],
            "references": [references.describe(one) | {"url": one.url} for one in self.references()],
            "duplicates": [granule.url for granule in self.duplicates],
            "outside": [{"url": granule.url, "site": granule.site} for granule in self.outside],
            "rejected": [asdict(rejection) for rejection in self.rejected],
            "warnings": [asdict(warning) for warning in self.warnings],
        }


@dataclass(frozen=True)
class CollectionPlan:
    """What a run will do to the cubes of a collection; nothing has been written."""

    pipeline: Pipeline
    partition: str
    plans: tuple[Plan, ...]
    """Of its cubes, in order of time."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """All parts of all cubes."""
        return tuple(part for one in self.plans for part in one.parts)

    def as_json(self) -> dict[str, Any]:
        """Return a summary as JSON-able values."""
        return {
            "name": self.pipeline.name,
            "output": self.pipeline.output,
            "partition": self.partition,
            "parts": len(self.parts),
            "cubes": [one.as_json() for one in self.plans],
        }
