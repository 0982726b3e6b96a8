"""From a pipeline to parts: everything that can be wrong is found here, before any task runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ilrs_science import catalog, references, registry
from ilrs_science.code import code_of
from ilrs_science.engine.check import check
from ilrs_science.engine.diff import Diff, compare
from ilrs_science.engine.faults import nothing_to_read, site_warnings, size_faults, unknown_site_faults
from ilrs_science.engine.outputs import raw_in_output_faults
from ilrs_science.engine.parts import find_sites, make_axis, make_parts, overlaps, part_memory, without_duplicates
from ilrs_science.engine.rehearsal import chain_faults
from ilrs_science.engine.resolve import absent_reference_words, described, with_references
from ilrs_science.errors import Fault, FormatError, OutageError, PlanError
from ilrs_science.geometry.time import isot
from ilrs_science.model.axis import Axis, ExposureAxis, RegularAxis
from ilrs_science.model.granule import Granule
from ilrs_science.model.instrument import Instrument
from ilrs_science.model.part import Part, StepCall, Task, digest
from ilrs_science.model.product import Place
from ilrs_science.model.reference import Reference
from ilrs_science.model.site import Site
from ilrs_science.pipeline import Pipeline
from ilrs_science.store import cube
from ilrs_science.store.cube import Declaration, Existing
from ilrs_science.store.encoding import Cut, cut
from ilrs_science.store.tables import Tables
from ilrs_science.store.target import target


@dataclass(frozen=True)
class Plan:
    """What a run will do; nothing has been written."""

    pipeline: Pipeline
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
        rows = len(self.sites) if isinstance(self.axis, RegularAxis) else 1
        return rows * self.axis.count * self.instrument.product.sample_bytes(self.place)

    def references(self) -> list[Reference]:
        """Return every reference that some part uses, once."""
        return sorted(described(self.parts).values(), key=lambda r: (r.kind, r.site, r.start))

    def tables(self) -> Tables:
        """Return what the parts share, to be stored beside the cube."""
        axis = self.axis if isinstance(self.axis, ExposureAxis) else None
        return Tables(self.task, self.sites, tuple(described(self.parts).values()), self.granules, axis)

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
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "memory_per_part": self.memory,
            "steps": [{"name": s.name, "parameters": dict(s.parameters), "margin_ns": s.margin} for s in self.steps],
            "references": [references.describe(one) | {"url": one.url} for one in self.references()],
            "duplicates": [granule.url for granule in self.duplicates],
            "outside": [{"url": granule.url, "site": granule.site} for granule in self.outside],
            "rejected": [asdict(rejection) for rejection in self.rejected],
            "warnings": [asdict(warning) for warning in self.warnings],
        }


def plan(
    source: str | Path | Pipeline | dict[str, Any],
    *,
    strict: bool = False,
    progress: Callable[[int, int], None] | None = None,
    **overrides: Any,
) -> Plan:
    """Plan a pipeline; reads raw files to index them, writes nothing.

    Parameters
    ----------
    source
        As for `load_pipeline`, with its `overrides`.
    strict
        Whether a warning is a fault.
    progress
        Called with files indexed and files in all.

    Raises
    ------
    PlanError
        Everything that is wrong with the pipeline, all at once.
    OutageError
        Raw files could not be read for reasons that lie outside of them; nothing is known to be wrong.
    """
    checked = check(source, overrides)
    pipeline, instrument = checked.pipeline, checked.instrument
    inventory = _inventory(pipeline, instrument, progress)
    made, faults = _cut(pipeline, instrument, checked.place, checked.steps, inventory, checked.existing)
    parts, reference_faults, absent = (
        with_references(made.parts, checked.known, made.axis) if made.parts else ([], [], [])
    )
    warnings = [*map(absent_reference_words, absent), *site_warnings(pipeline, made.granules)]
    faults += [*reference_faults, *unknown_site_faults(pipeline, inventory.granules)]
    faults += raw_in_output_faults(pipeline.output, (granule.url for granule in inventory.granules))
    faults += [*chain_faults(pipeline, instrument, parts), *_memory_faults(made), *(warnings if strict else [])]
    if faults:
        raise PlanError(faults)
    made = replace(
        made,
        parts=tuple(parts),
        diff=compare(parts, made.granules, target(pipeline.output)),
        lost=_lost(made.axis, checked.existing, pipeline.output),
        warnings=tuple(warnings),
    )
    return made


def _inventory(
    pipeline: Pipeline, instrument: Instrument, progress: Callable[[int, int], None] | None
) -> catalog.Inventory:
    """Index the raw files of a pipeline.

    Raises
    ------
    PlanError
        `raw` names no raw files.
    OutageError
        Files could not be read: what they hold is unknown, and no sample of theirs may be taken for missing.
    """
    try:
        inventory = catalog.inventory(pipeline.raw, instruments=[instrument.name], progress=progress)
    except OSError as error:
        raise OutageError(f"raw files cannot be listed: {error}") from error
    except (FormatError, ValueError) as error:
        raise PlanError([Fault("raw", str(error), "expected raw files, or what `ilrs inventory -o` wrote")]) from error
    outages = [one for one in inventory.rejected if one.outage]
    if outages:
        reasons = "\n".join(f"  {one.url}: {one.reason}" for one in outages[:20])
        raise OutageError(
            f"{len(outages)} raw files cannot be read; mend this, then the same command goes on:\n{reasons}"
        )
    return inventory


def _memory_faults(made: Plan) -> list[Fault]:
    limit = made.pipeline.memory_limit
    if limit is None or made.memory <= limit:
        return []
    allowed = "use a smaller layout.shard, smaller raw files, or a higher memory_limit"
    return [Fault("memory_limit", f"a part may need {made.memory} bytes of {limit}", allowed)]


def _cut(  # noqa: PLR0913, PLR0917 - what a plan is made of
    pipeline: Pipeline,
    instrument: Instrument,
    place: Place,
    steps: Sequence[StepCall],
    inventory: catalog.Inventory,
    found: Existing | None,
) -> tuple[Plan, list[Fault]]:
    """Lay granules on an axis and cut it into parts; references are still to be found."""
    unique, duplicates = without_duplicates(inventory.granules)
    sites = find_sites(pipeline, unique)
    axis, origin = make_axis(pipeline, instrument, [site.name for site in sites], unique)
    layout = cut(instrument.product, place, pipeline.layout.chunk, pipeline.layout.shard)
    declared = Declaration(instrument.product, place, axis, tuple(sites), layout)
    if found is not None:
        wider = cube.widened(declared, found)
        # A cut that the pipeline does not ask for is the cube's own.
        asks = pipeline.layout.chunk is not None or pipeline.layout.shard is not None
        declared = replace(wider, cut=layout) if asks else wider
    margin = sum(step.margin for step in steps)
    names = {site.name for site in declared.sites}
    inside = [g.site in names and overlaps(g, axis, margin) for g in unique]
    granules = [g for g, here in zip(unique, inside, strict=True) if here]
    if faults := size_faults(pipeline, axis.count, len(sites) if isinstance(axis, RegularAxis) else 1, declared.cut):
        raise PlanError(faults)
    task = _task(pipeline, instrument, place, steps, origin, {g.format for g in granules})
    parts = make_parts(task, declared, pipeline.layout.part, granules)
    made = Plan(
        pipeline,
        instrument,
        declared,
        task,
        tuple(parts),
        tuple(granules),
        tuple(g for g in duplicates if g.site in names and overlaps(g, axis, margin)),
        tuple(g for g, here in zip(unique, inside, strict=True) if not here),
        inventory.rejected,
        Diff((), (), {}, (), (), ()),
    )
    faults = [] if granules else [nothing_to_read(pipeline, inventory, unique)]
    if problem := cube.conflict(found, declared) if axis.count else "":
        faults.append(Fault("output", f"found {pipeline.output!r}", problem))
    return made, faults


def _task(  # noqa: PLR0913, PLR0917 - what parts have in common
    pipeline: Pipeline,
    instrument: Instrument,
    place: Place,
    steps: Sequence[StepCall],
    origin: int,
    formats: set[str],
) -> Task:
    functions = [registry.step(step.name, instrument) for step in steps]
    codes = {name: code_of(instrument, functions, [name] if name else []) for name in {"", *formats}}
    return Task(
        cube=pipeline.output,
        instrument=instrument.name,
        steps=tuple(steps),
        place=place,
        conflicts=pipeline.conflicts,
        origin=origin,
        product=digest(instrument.product.as_json()),
        code={name: one.ours for name, one in codes.items()},
        plugin=codes[""].plugin,
    )


def _lost(axis: Axis, found: Existing | None, output: str) -> int:
    """Return how many exposures of an existing cube the axis does not have."""
    if found is None or not isinstance(axis, ExposureAxis):
        return 0
    return len(cube.stored_exposures(target(output)) - set(zip(axis.instants, axis.sites, strict=True)))
