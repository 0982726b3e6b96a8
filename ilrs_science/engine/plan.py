"""From a pipeline to parts: everything that can be wrong is found here, before any task runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from ilrs_science import catalog, references, registry
from ilrs_science.engine.calls import bind_step
from ilrs_science.errors import Fault, FormatError, IlrsError, PlanError, PluginError
from ilrs_science.geometry.time import isot
from ilrs_science.model.axis import Axis, ExposureAxis, RegularAxis
from ilrs_science.model.granule import Granule
from ilrs_science.model.instrument import Instrument
from ilrs_science.model.part import Part, StepCall, digest
from ilrs_science.model.product import Place
from ilrs_science.model.reference import Reference
from ilrs_science.model.site import Site
from ilrs_science.model.step import declared_scope, step_parameters
from ilrs_science.pipeline import Pipeline, load_pipeline
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
            "references": [
                {
                    "kind": r.kind,
                    "site": r.site,
                    "valid": [isot(r.start), isot(r.stop)],
                    "sha256": r.sha256,
                    "url": r.url,
                }
                for r in self.references()
            ],
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
    pipeline = load_pipeline(source, **overrides)
    faults: list[Fault] = []
    known = _known_references(pipeline, faults)
    try:
        instrument = registry.instrument(pipeline.instrument)
    except PluginError as error:
        raise PlanError([Fault("instrument", f"found {pipeline.instrument!r}", str(error)), *faults]) from error
    place: Place = "slot" if instrument.product.exposures else pipeline.place or instrument.product.place
    steps = _bind_steps(pipeline, instrument, faults)
    faults += [
        *_time_faults(pipeline, instrument),
        *_site_faults(pipeline),
        *_layout_faults(pipeline, instrument, place),
    ]
    if faults:
        # Indexing raw files may take an hour; what can be said without them is said at once.
        raise PlanError([*faults, *_early_reference_faults(pipeline, instrument, steps, known)])

    inventory = catalog.inventory(pipeline.raw, instruments=[instrument.name], progress=progress)
    sites = _sites(pipeline, inventory.granules)
    unique, duplicates = _without_duplicates(inventory.granules)
    axis, span = _axis(pipeline, instrument, [site.name for site in sites], unique)
    margin = sum(step.margin for step in steps)
    names = {site.name for site in sites}
    inside = [g.site in names and _overlaps(g, axis, span, margin) for g in unique]
    granules = [g for g, here in zip(unique, inside, strict=True) if here]
    faults += [] if granules else [_nothing_to_read(pipeline, inventory, unique)]
    faults += _unknown_site_faults(pipeline, inventory.granules)
    layout = cut(instrument.product, place, axis.count, pipeline.layout.chunk, pipeline.layout.shard)
    made = Plan(
        pipeline,
        instrument,
        place,
        axis,
        tuple(sites),
        layout,
        tuple(steps),
        tuple(_parts(pipeline, instrument, place, axis, span, sites, layout, steps, granules)),
        tuple(granules),
        tuple(duplicates),
        tuple(g for g, here in zip(unique, inside, strict=True) if not here),
        inventory.rejected,
    )
    made, reference_faults = _with_references(made, known)
    faults += reference_faults
    if pipeline.memory_limit and made.memory > pipeline.memory_limit:
        allowed = "use a smaller layout.shard, smaller raw files, or a higher memory_limit"
        faults.append(Fault("memory_limit", f"a part may need {made.memory} bytes of {pipeline.memory_limit}", allowed))
    if problem := cube.conflict(pipeline.output, made.schema()) if axis.count else "":
        faults.append(Fault("output", problem, "a run resumes only its own cube"))
    if faults:
        raise PlanError(faults)
    return made


def part_memory(instrument: Instrument, part: Part) -> int:
    """Return the bytes that a part may need.

    That is the declared factor times its largest granule, which is read whole, what it keeps of all granules, and its
    block with margins.
    """
    largest = max((granule.size for granule in part.granules), default=0)
    kept = sum(int(granule.size * _share(granule, part)) for granule in part.granules)
    step = part.axis.step if isinstance(part.axis, RegularAxis) else 1
    slots = part.axis.count + (2 * part.margin // step if isinstance(part.axis, RegularAxis) else 0)
    place: Place = "mean" if part.place == "mean" else "slot"
    return int(instrument.memory * (largest + kept + slots * instrument.product.sample_bytes(place)))


def _share(granule: Granule, part: Part) -> float:
    """Return how much of a granule's span lies in a part with its margins."""
    shared = min(granule.stop, part.axis.stop + part.margin) - max(granule.start, part.axis.start - part.margin)
    return max(0, shared) / max(1, granule.stop - granule.start)


def _bind_steps(pipeline: Pipeline, instrument: Instrument, faults: list[Fault]) -> list[StepCall]:
    chosen = pipeline.chosen_steps
    wanted = chosen if chosen is not None else [(function.__name__, {}) for function in instrument.steps]
    calls = []
    blocks_began = False
    for number, (name, given) in enumerate(wanted):
        where = f"steps[{number}].{name}"
        try:
            function = registry.step(name, instrument)
        except PluginError as error:
            faults.append(Fault(f"steps[{number}]", f"found {name!r}", str(error)))
            continue
        if declared_scope(function) == "granule" and blocks_began:
            faults.append(Fault(where, "needs whole granules", "such steps come before all others"))
        blocks_began |= declared_scope(function) != "granule"
        # An entry point may name a function otherwise than it names itself; the registry knows the entry point.
        calls.append(replace(bind_step(function, given, where, faults), name=name))
    return calls


def _layout_faults(pipeline: Pipeline, instrument: Instrument, place: Place) -> list[Fault]:
    try:
        cut(instrument.product, place, 1, pipeline.layout.chunk, pipeline.layout.shard)
    except ValueError as error:
        return [Fault("layout", f"found {pipeline.layout.shard}", str(error))]
    return []


def _site_faults(pipeline: Pipeline) -> list[Fault]:
    names = _site_names(pipeline)
    return [
        Fault("sites", f"{name!r} is given twice", "a cube has each site once")
        for name in sorted({n for n in names if names.count(n) > 1})
    ]


def _unknown_site_faults(pipeline: Pipeline, granules: Sequence[Granule]) -> list[Fault]:
    """Return the sites that nobody knows; one that the catalogue knows may be without data."""
    there = sorted({granule.site for granule in granules})
    known = sorted({*there, *catalog.sites()})
    faults = []
    for number, one in enumerate(pipeline.sites):
        if isinstance(one, str) and one not in known:
            near = get_close_matches(one, known, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            faults.append(
                Fault(f"sites[{number}]", f"{one!r} is unknown", f"{hint}the files hold {', '.join(there) or 'none'}")
            )
    return faults


def _site_names(pipeline: Pipeline) -> list[str]:
    return [one if isinstance(one, str) else one.name for one in pipeline.sites]


def _early_reference_faults(
    pipeline: Pipeline, instrument: Instrument, steps: Sequence[StepCall], known: Sequence[Reference]
) -> list[Fault]:
    """Return what is wrong with references as far as declared times and sites tell, without raw files."""
    if pipeline.time is None or pipeline.time.stop <= pipeline.time.start or instrument.product.exposures:
        return []
    span, context = (pipeline.time.start, pipeline.time.stop), pipeline.references.context
    faults = []
    for call in steps:
        for name in call.references:
            for site in dict.fromkeys(_site_names(pipeline)):
                _, fault = _choose(instrument, call, name, site, span, context, known)
                faults += [fault] if fault else []
    return faults


def _time_faults(pipeline: Pipeline, instrument: Instrument) -> list[Fault]:
    time, exposures = pipeline.time, instrument.product.exposures
    if time is None:
        return (
            []
            if exposures
            else [Fault("time", "is missing", f"{instrument.name} makes a regular cube: start, stop, step")]
        )
    faults = []
    if time.stop <= time.start:
        faults.append(Fault("time", f"found {isot(time.start)} to {isot(time.stop)}", "stop must come after start"))
    if time.step is None and not exposures:
        faults.append(Fault("time.step", "is missing", f"{instrument.name} makes a regular cube: the length of a slot"))
    if time.step is not None and exposures:
        faults.append(Fault("time.step", f"found {time.step}", f"{instrument.name} makes a cube of exposures: no step"))
    if time.step is not None and time.step <= 0:
        faults.append(Fault("time.step", f"found {time.step}", "expected more than zero"))
    if pipeline.place == "mean" and exposures:
        faults.append(Fault("place", "found 'mean'", f"{instrument.name} makes a cube of exposures: slot"))
    return faults


def _known_references(pipeline: Pipeline, faults: list[Fault]) -> list[Reference]:
    known = []
    for folder in (catalog.data_folder("catalogs") / "references", *map(Path, pipeline.references.folders)):
        if not folder.is_dir():
            faults.append(Fault("references.folders", f"found {str(folder)!r}", "expected an existing folder"))
            continue
        try:
            known += references.read_folder(folder)
        except PlanError as error:
            faults += error.faults
        except FormatError as error:
            faults.append(Fault("references.folders", f"found {str(folder)!r}", str(error)))
    return known


def _sites(pipeline: Pipeline, granules: Sequence[Granule]) -> list[Site]:
    catalogued = catalog.sites()
    if not pipeline.sites:
        return [catalogued.get(name, Site(name)) for name in sorted({granule.site for granule in granules})]
    return [
        catalogued.get(one, Site(one)) if isinstance(one, str) else Site(**one.model_dump()) for one in pipeline.sites
    ]


def _without_duplicates(granules: Sequence[Granule]) -> tuple[list[Granule], list[Granule]]:
    kept: dict[tuple[str, str], Granule] = {}
    duplicates = []
    for granule in granules:
        key = (granule.sha256, granule.site)
        if kept.setdefault(key, granule) is not granule:
            duplicates.append(granule)
    return list(kept.values()), duplicates


def _axis(
    pipeline: Pipeline, instrument: Instrument, sites: Sequence[str], granules: Sequence[Granule]
) -> tuple[Axis, tuple[int, int]]:
    time = pipeline.time
    if not instrument.product.exposures:
        if time is None or time.step is None:
            raise IlrsError("a regular cube needs time.start, time.stop and time.step")
        axis = RegularAxis(time.start, time.step, -(-(time.stop - time.start) // time.step))
        return axis, (axis.start, axis.stop)
    keys = {
        (instant, granule.site)
        for granule in granules
        if granule.site in sites
        for instant in granule.times
        if time is None or time.start <= instant < time.stop
    }
    exposures = ExposureAxis(tuple(t for t, _ in sorted(keys)), tuple(s for _, s in sorted(keys)))
    return exposures, (time.start, time.stop) if time else (exposures.start, exposures.stop)


def _overlaps(granule: Granule, axis: Axis, span: tuple[int, int], margin: int) -> bool:
    if isinstance(axis, ExposureAxis):
        return any(span[0] <= time < span[1] for time in granule.times)
    return granule.start < span[1] + margin and granule.stop > span[0] - margin


def _nothing_to_read(pipeline: Pipeline, inventory: catalog.Inventory, unique: Sequence[Granule]) -> Fault:
    if unique:
        first, last = min(g.start for g in unique), max(g.stop for g in unique)
        sites = ", ".join(sorted({g.site for g in unique}))
        allowed = f"the files hold {sites} from {isot(first)} to {isot(last - 1)}; look at sites and time"
        return Fault("raw", f"none of {len(unique)} granules lies in the pipeline's sites and time", allowed)
    if inventory.rejected:
        reasons = "; ".join(f"{r.url}: {r.reason}" for r in inventory.rejected[:5])
        return Fault("raw", f"none of {len(inventory.rejected)} files is a granule of {pipeline.instrument}", reasons)
    return Fault("raw", f"found no file for {', '.join(pipeline.raw)}", "expected at least one raw file")


def _parts(  # noqa: PLR0913, PLR0917 - everything a part is made of
    pipeline: Pipeline,
    instrument: Instrument,
    place: Place,
    axis: Axis,
    span: tuple[int, int],
    sites: Sequence[Site],
    layout: Cut,
    steps: Sequence[StepCall],
    granules: Sequence[Granule],
) -> list[Part]:
    functions = [registry.step(step.name, instrument) for step in steps]
    code = registry.code_digest([instrument.read, *functions])
    schema = digest([instrument.product.as_json(), asdict(layout)])
    margin = sum(step.margin for step in steps)
    by_site = {site.name: _Shelf([g for g in granules if g.site == site.name]) for site in sites}
    regular = isinstance(axis, RegularAxis)
    length = layout.shard * pipeline.layout.part
    parts: list[Part] = []
    for row, members in enumerate([(site,) for site in sites] if regular else [tuple(sites)]):
        for first in range(0, axis.count, length):
            region = axis.region(first, min(first + length, axis.count))
            here = [
                g
                for site in members
                for g in by_site[site.name].overlapping(region.start - margin, region.stop + margin)
            ]
            here.sort(key=lambda g: (g.start, g.sha256, g.site))
            parts.append(
                Part(
                    number=len(parts),
                    cube=pipeline.output,
                    instrument=instrument.name,
                    sites=tuple(site for site in members if regular or any(g.site == site.name for g in here)),
                    row=row if regular else -1,
                    first=first,
                    axis=region,
                    span=span,
                    granules=tuple(here),
                    steps=tuple(steps),
                    place=place,
                    code=code,
                    product=schema,
                )
            )
    return parts


class _Shelf:
    """Granules of a site, found by time without looking at each."""

    def __init__(self, granules: Sequence[Granule]) -> None:
        self.granules = sorted(granules, key=lambda g: g.start)
        self.starts = np.array([g.start for g in self.granules], np.int64)
        # The furthest stop so far is sorted even where granules nest, so both bounds are binary searches.
        self.reach = np.maximum.accumulate([g.stop for g in self.granules]) if granules else self.starts

    def overlapping(self, start: int, stop: int) -> list[Granule]:
        first = int(np.searchsorted(self.reach, start, side="right"))
        last = int(np.searchsorted(self.starts, stop, side="left"))
        return [g for g in self.granules[first:last] if g.stop > start]


def _with_references(made: Plan, known: Sequence[Reference]) -> tuple[Plan, list[Fault]]:
    """Return the plan with the references of every part filled in, and what is wrong with them."""
    faults: dict[str, Fault] = {}
    parts = []
    for part in made.parts:
        calls = tuple(_call_with_references(made, part, call, known, faults) for call in part.steps)
        parts.append(replace(part, steps=calls))
    return replace(made, parts=tuple(parts)), list(faults.values())


def _call_with_references(
    made: Plan, part: Part, call: StepCall, known: Sequence[Reference], faults: dict[str, Fault]
) -> StepCall:
    whole = declared_scope(registry.step(call.name, made.instrument)) == "granule"
    chosen: dict[str, dict[str, tuple[Reference, ...]]] = {}
    for name in call.references:
        chosen[name] = {}
        for site in part.sites:
            low, high = part.axis.start - part.margin, part.axis.stop + part.margin
            if whole:
                own = [g for g in part.granules if g.site == site.name]
                low, high = min([low, *(g.start for g in own)]), max([high, *(g.stop for g in own)])
            # Samples in the margin outside the cube's span take the reference of its edge, wherever the axis is cut.
            span = (max(low, made.axis.start), min(high, made.axis.stop))
            context = made.pipeline.references.context
            chosen[name][site.name], fault = _choose(made.instrument, call, name, site.name, span, context, known)
            if fault:
                faults.setdefault(f"{fault.path}{fault.allowed if len(made.parts) < 2 else ''}", fault)  # noqa: PLR2004
    return replace(call, references=chosen)


def _choose(  # noqa: PLR0913, PLR0917 - what identifies a reference
    instrument: Instrument,
    call: StepCall,
    name: str,
    site: str,
    span: tuple[int, int],
    context: int | None,
    known: Sequence[Reference],
) -> tuple[tuple[Reference, ...], Fault | None]:
    """Return the references of a parameter at a site, or what is wrong; an optional one may be absent."""
    found = references.resolve(known, instrument=instrument.name, kind=name, site=site, span=span, context=context)
    required = step_parameters(registry.step(call.name, instrument))[name].required
    if found.faults and (found.chosen or required):
        return (), references.fault(f"steps.{call.name}.{name} at {site}", found)
    return found.chosen, None
