"""From a pipeline to parts: everything that can be wrong is found here, before any task runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ilrs_science import catalog, references
from ilrs_science.engine.check import check
from ilrs_science.engine.faults import nothing_to_read, size_faults, unknown_site_faults
from ilrs_science.engine.outputs import raw_in_output_faults
from ilrs_science.engine.parts import find_sites, make_axis, make_parts, overlaps, part_memory, without_duplicates
from ilrs_science.engine.resolve import with_references
from ilrs_science.errors import CubeError, Fault, FormatError, PlanError
from ilrs_science.geometry.time import isot
from ilrs_science.model.axis import Axis, RegularAxis
from ilrs_science.model.granule import Granule
from ilrs_science.model.instrument import Instrument
from ilrs_science.model.part import Part, StepCall
from ilrs_science.model.product import Place
from ilrs_science.model.reference import Reference
from ilrs_science.model.site import Site
from ilrs_science.pipeline import Pipeline
from ilrs_science.store import cube
from ilrs_science.store.encoding import Cut, cut


@dataclass(frozen=True)
class Plan:
    """What a run will do; nothing has been written."""

    pipeline: Pipeline
    instrument: Instrument
    place: Place
    axis: Axis
    sites: tuple[Site, ...]
    cut: Cut
    steps: tuple[StepCall, ...]
    parts: tuple[Part, ...]
    granules: tuple[Granule, ...]
    duplicates: tuple[Granule, ...]
    """Granules with the content of another; not read."""
    outside: tuple[Granule, ...]
    """Granules without a sample in the pipeline's sites and span; not read."""
    rejected: tuple[catalog.Rejection, ...]
    """Files that are no granules."""

    @property
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
        rows = len(self.sites) if isinstance(self.axis, RegularAxis) else 1
        return rows * self.axis.count * self.instrument.product.sample_bytes(self.place)

    def references(self) -> list[Reference]:
        """Return every reference that some part uses, once."""
        used = {
            r.sha256 + r.site + str(r.start): r
            for part in self.parts
            for step in part.steps
            for by_site in step.references.values()
            for chosen in by_site.values()
            for r in chosen
        }
        return sorted(used.values(), key=lambda r: (r.kind, r.site, r.start))

    def schema(self) -> dict[str, Any]:
        """Return what makes the cube this cube."""
        return cube.schema(self.instrument.product, self.place, self.axis, self.sites, self.cut)

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
            "chunk": self.cut.chunk,
            "shard": self.cut.shard,
            "granules": len(self.granules),
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "memory_per_part": self.memory,
            "steps": [{"name": s.name, "parameters": dict(s.parameters), "margin_ns": s.margin} for s in self.steps],
            "references": [references.describe(one) | {"url": one.url} for one in self.references()],
            "duplicates": [granule.url for granule in self.duplicates],
            "outside": [{"url": granule.url, "site": granule.site} for granule in self.outside],
            "rejected": [asdict(rejection) for rejection in self.rejected],
        }


def plan(
    source: str | Path | Pipeline | dict[str, Any],
    *,
    progress: Callable[[int, int], None] | None = None,
    **overrides: Any,
) -> Plan:
    """Plan a pipeline; reads raw files to index them, writes nothing.

    Parameters
    ----------
    source
        As for `load_pipeline`, with its `overrides`.
    progress
        Called with files indexed and files in all.

    Raises
    ------
    PlanError
        Everything that is wrong with the pipeline, all at once.
    """
    checked = check(source, overrides)
    pipeline, instrument, place = checked.pipeline, checked.instrument, checked.place
    inventory = _indexed(pipeline, instrument, progress)
    made, faults = _cut(pipeline, instrument, place, checked.steps, inventory)
    parts, reference_faults = with_references(
        made.parts, instrument, made.axis, pipeline.references.context, checked.known
    )
    made = replace(made, parts=tuple(parts))
    faults += [*reference_faults, *unknown_site_faults(pipeline, inventory.granules), *_output_faults(made)]
    faults += raw_in_output_faults(pipeline.output, (granule.url for granule in inventory.granules))
    if faults:
        raise PlanError(faults)
    return made


def _indexed(
    pipeline: Pipeline, instrument: Instrument, progress: Callable[[int, int], None] | None
) -> catalog.Inventory:
    try:
        return catalog.inventory(pipeline.raw, instruments=[instrument.name], progress=progress)
    except (FormatError, OSError, ValueError) as error:
        raise PlanError([Fault("raw", str(error), "expected raw files, or what `ilrs inventory -o` wrote")]) from error


def _cut(
    pipeline: Pipeline, instrument: Instrument, place: Place, steps: Sequence[StepCall], inventory: catalog.Inventory
) -> tuple[Plan, list[Fault]]:
    """Lay granules on an axis and cut it into parts; references are still to be found."""
    unique, duplicates = without_duplicates(inventory.granules)
    sites = find_sites(pipeline, unique)
    axis, span = make_axis(pipeline, instrument, [site.name for site in sites], unique)
    margin = sum(step.margin for step in steps)
    names = {site.name for site in sites}
    inside = [g.site in names and overlaps(g, axis, span, margin) for g in unique]
    granules = [g for g, here in zip(unique, inside, strict=True) if here]
    layout = cut(instrument.product, place, axis.count, pipeline.layout.chunk, pipeline.layout.shard)
    if faults := size_faults(pipeline, axis.count, len(sites) if isinstance(axis, RegularAxis) else 1, layout):
        raise PlanError(faults)
    made = Plan(
        pipeline,
        instrument,
        place,
        axis,
        tuple(sites),
        layout,
        tuple(steps),
        tuple(make_parts(pipeline, instrument, place, axis, span, sites, layout, steps, granules)),
        tuple(granules),
        tuple(g for g in duplicates if g.site in names and overlaps(g, axis, span, margin)),
        tuple(g for g, here in zip(unique, inside, strict=True) if not here),
        inventory.rejected,
    )
    return made, [] if granules else [nothing_to_read(pipeline, inventory, unique)]


def _output_faults(made: Plan) -> list[Fault]:
    faults = []
    limit = made.pipeline.memory_limit
    if limit and made.memory > limit:
        allowed = "use a smaller layout.shard, smaller raw files, or a higher memory_limit"
        faults.append(Fault("memory_limit", f"a part may need {made.memory} bytes of {limit}", allowed))
    try:
        problem = cube.conflict(made.pipeline.output, made.schema()) if made.axis.count else ""
    except (CubeError, OSError, ValueError, LookupError, TypeError) as error:
        problem = str(error)
    return [*faults, *([Fault("output", problem, "a run resumes only its own cube")] if problem else [])]
