"""From a pipeline to parts: everything that can be wrong is found here, before any task runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from ilrs_science import catalog, registry
from ilrs_science.code import code_of
from ilrs_science.errors import CubeError, Fault, FormatError, OutageError, PlanError
from ilrs_science.model.axis import Axis
from ilrs_science.model.granule import Granule
from ilrs_science.model.instrument import Instrument
from ilrs_science.model.part import Part, Task, digest
from ilrs_science.model.site import Site
from ilrs_science.planning.calls import edge_warnings, unknown_sites
from ilrs_science.planning.check import Checked, check
from ilrs_science.planning.diff import Diff, compare
from ilrs_science.planning.faults import (
    nothing_to_read,
    site_names,
    site_warnings,
    size_faults,
    unknown_site_faults,
)
from ilrs_science.planning.gathering import Search
from ilrs_science.planning.outputs import raw_in_output_faults
from ilrs_science.planning.partition import Span, spans, whole_time
from ilrs_science.planning.parts import EVER, find_sites, make_axis, make_parts, without_duplicates
from ilrs_science.planning.pipeline import Pipeline, TimeSpan
from ilrs_science.planning.planned import CollectionPlan, Plan
from ilrs_science.planning.rehearsal import chain_faults
from ilrs_science.planning.resolve import absent_reference_words, with_references
from ilrs_science.planning.series import Found, find_series
from ilrs_science.store import cube
from ilrs_science.store.collection import member_url
from ilrs_science.store.cube import Declaration, Existing
from ilrs_science.store.encoding import cut
from ilrs_science.store.target import Target, target

type Rehearse = Callable[[Pipeline, Instrument, Sequence[Part]], list[Fault]]


def plan(
    source: str | Path | Pipeline | dict[str, Any],
    *,
    strict: bool = False,
    progress: Callable[[int, int], None] | None = None,
    executor: Literal["threads", "processes"] | None = None,
    **overrides: Any,
) -> Plan | CollectionPlan:
    """Plan a pipeline; reads raw files to index them, writes nothing.

    Parameters
    ----------
    source
        As for `load_pipeline`, with its `overrides`.
    strict
        Whether a warning is a fault.
    progress
        Called with files indexed and files in all.
    executor
        Who indexes raw files, as for `inventory`.

    Raises
    ------
    PlanError
        Everything that is wrong with the pipeline, all at once.
    OutageError
        Raw files could not be read for reasons that lie outside of them; nothing is known to be wrong.
    """
    checked = check(source, overrides)
    pipeline = checked.pipeline
    search = Search(_known_sites(checked.pipeline), progress, executor)
    inventory = _inventory(checked, search)
    series = find_series(checked.series, inventory.granules, replace(search, progress=None))
    _refuse_outages(series.every_rejected)
    whole = _laid_out(checked, inventory, series)
    rehearse: Rehearse | None = partial(chain_faults, guarded=executor == "processes")
    if checked.partition == "none":
        return _one_cube(checked, whole, pipeline, rehearse, strict=strict)
    time = whole_time(pipeline, whole.granules)
    if time is None:
        raise PlanError([nothing_to_read(pipeline, inventory, whole.granules)])
    plans: list[Plan] = []
    faults: list[Fault] = []
    for span in spans(checked.partition, time):
        # A cube without a raw file is not made: what is not there is missing in the collection, too.
        if not any(one.start < span.stop and one.stop > span.start for one in whole.granules):
            continue
        try:
            plans.append(_one_cube(checked, whole, _member(pipeline, time, span), rehearse, strict=strict))
            rehearse = None  # the chain is the same for all
        except PlanError as error:
            faults += error.faults
    if not plans and not faults:
        faults.append(nothing_to_read(pipeline, inventory, whole.granules))
    if faults:
        raise PlanError(dict.fromkeys(faults))
    return CollectionPlan(pipeline, checked.partition, tuple(plans))


@dataclass(frozen=True)
class _Whole:
    """Raw files and sites of a campaign, whatever cubes it is cut into."""

    granules: tuple[Granule, ...]
    duplicates: tuple[Granule, ...]
    rejected: tuple[catalog.Rejection, ...]
    sites: tuple[Site, ...]
    """All cubes of a collection carry the same, in the same order."""
    series: Found
    faults: tuple[Fault, ...]


def _laid_out(checked: Checked, inventory: catalog.Inventory, series: Found) -> _Whole:
    unique, duplicates = without_duplicates(inventory.granules)
    sites = find_sites(checked.pipeline, unique)
    faults = unknown_site_faults(checked.pipeline, inventory.granules)
    faults += unknown_sites(checked.steps, [site.name for site in sites])
    read = [*inventory.granules, *(one for several in series.granules.values() for one in several)]
    faults += raw_in_output_faults(checked.pipeline.output, read)
    faults += series.faults(sites)
    rejected = (*inventory.rejected, *series.every_rejected)
    return _Whole(tuple(unique), tuple(duplicates), rejected, tuple(sites), series, tuple(faults))


def _member(pipeline: Pipeline, time: TimeSpan, span: Span) -> Pipeline:
    """Return the pipeline of one cube of a collection."""
    part = time.model_copy(update={"start": span.start, "stop": span.stop})
    return pipeline.model_copy(update={"time": part, "output": member_url(pipeline.output, span.label)})


def _one_cube(checked: Checked, whole: _Whole, pipeline: Pipeline, rehearse: Rehearse | None, *, strict: bool) -> Plan:
    """Plan one cube.

    Parameters
    ----------
    rehearse
        How to find out what the chain of steps never delivers; None where that is known already.

    Raises
    ------
    PlanError
        Everything that is wrong with it.
    """
    place = target(pipeline.output)
    try:
        found = checked.existing if pipeline.output == checked.pipeline.output else cube.existing(place)
    except CubeError as error:
        raise PlanError([Fault("output", f"found {pipeline.output!r}", str(error))]) from error
    made, faults = _cut(checked, whole, pipeline, found)
    parts, reference_faults, absent = (
        with_references(made.parts, checked.known, made.axis) if made.parts else ([], [], [])
    )
    warnings = [*map(absent_reference_words, absent), *site_warnings(pipeline, made.granules)]
    warnings += [*edge_warnings(checked.steps, checked.instrument, made.axis), *whole.series.warnings(made.granules)]
    faults += [*whole.faults, *reference_faults, *_memory_faults(made)]
    faults += rehearse(pipeline, made.instrument, parts) if rehearse is not None else []
    faults += warnings if strict else []
    if faults:
        raise PlanError(faults)
    return replace(
        made,
        parts=tuple(parts),
        diff=compare(parts, made.granules, place),
        lost=_lost(made.axis, found, place),
        absent=tuple({"kind": one.kind, "step": one.step, "site": one.site, "absent": "optional"} for one in absent),
        warnings=tuple(warnings),
    )


def _inventory(checked: Checked, search: Search) -> catalog.Inventory:
    """Index the raw files of a pipeline.

    Raises
    ------
    PlanError
        `raw` names no raw files.
    OutageError
        Files could not be read: what they hold is unknown, and no sample of theirs may be taken for missing.
    """
    pipeline = checked.pipeline
    try:
        inventory = search.gathered(checked.instrument, pipeline.raw)
    except OSError as error:
        raise OutageError(f"raw files cannot be listed: {error}") from error
    except (FormatError, ValueError) as error:
        raise PlanError([Fault("raw", str(error), "expected raw files, or what `ilrs inventory -o` wrote")]) from error
    _refuse_outages(inventory.rejected)
    return inventory


def _refuse_outages(rejected: Sequence[catalog.Rejection]) -> None:
    outages = [one for one in rejected if one.outage]
    if outages:
        reasons = "\n".join(f"  {one.url}: {one.reason}" for one in outages[:20])
        raise OutageError(
            f"{len(outages)} raw files cannot be read; mend this, then the same command goes on:\n{reasons}"
        )


def _known_sites(pipeline: Pipeline) -> list[str] | None:
    """Return the sites whose files are worth opening; all of them where a name is unknown, to say what there is."""
    names = site_names(pipeline)
    described = {one.name for one in pipeline.sites if not isinstance(one, str)}
    return names if names and set(names) <= {*catalog.sites(), *described} else None


def _memory_faults(made: Plan) -> list[Fault]:
    limit = made.pipeline.memory_limit
    if limit is None or made.memory <= limit:
        return []
    allowed = "use a smaller layout.shard, smaller raw files, or a higher memory_limit"
    return [Fault("memory_limit", f"a part may need {made.memory} bytes of {limit}", allowed)]


def _cut(checked: Checked, whole: _Whole, pipeline: Pipeline, found: Existing | None) -> tuple[Plan, list[Fault]]:
    """Lay granules on an axis and cut it into parts; references are still to be found."""
    declared = _declared(checked, whole, pipeline, found)
    axis = declared.axis
    if faults := size_faults(pipeline, axis.count, len(axis.rows(declared.sites)), declared.cut):
        raise PlanError(faults)
    margin = sum(step.margin for step in checked.steps)
    names = {site.name for site in declared.sites}

    def is_inside(granule: Granule) -> bool:
        return granule.site in names and axis.overlaps(granule, margin)

    granules = tuple(filter(is_inside, whole.granules))
    of_series = {one.format for several in whole.series.granules.values() for one in several}
    task = _task(checked, pipeline, {g.format for g in granules} | of_series)
    made = Plan(
        pipeline=pipeline,
        source=checked.pipeline,
        instrument=checked.instrument,
        declared=declared,
        task=task,
        parts=tuple(whole.series.near(make_parts(task, declared, pipeline.layout.part, granules))),
        granules=granules,
        duplicates=tuple(filter(is_inside, whole.duplicates)),
        outside=tuple(granule for granule in whole.granules if not is_inside(granule)),
        rejected=whole.rejected,
        diff=Diff((), (), {}, (), (), ()),
    )
    faults = [] if granules else [nothing_to_read(pipeline, catalog.Inventory((), whole.rejected), whole.granules)]
    if problem := cube.conflict(found, declared) if axis.count else "":
        faults.append(Fault("output", f"found {pipeline.output!r}", problem))
    return made, faults


def _declared(checked: Checked, whole: _Whole, pipeline: Pipeline, found: Existing | None) -> Declaration:
    """Return the cube that is asked for, in what the pipeline leaves open like the one that is there."""
    product, layout = checked.instrument.product, pipeline.layout
    axis = make_axis(
        pipeline, checked.pipeline, checked.instrument, [site.name for site in whole.sites], whole.granules
    )
    default = cut(product, checked.place, layout.chunk, layout.shard)
    asked = Declaration(product, checked.place, axis, whole.sites, default)
    if found is None:
        return asked
    wider = cube.widened(asked, found)
    return wider if layout.chunk is None and layout.shard is None else replace(wider, cut=asked.cut)


def _task(checked: Checked, pipeline: Pipeline, formats: set[str]) -> Task:
    """Return what the parts of a cube have in common."""
    instrument, time = checked.instrument, checked.pipeline.time
    functions = [registry.step(step.name, instrument) for step in checked.steps]
    codes = {name: code_of(instrument, functions, [name] if name else []) for name in {"", *formats}}
    return Task(
        cube=pipeline.output,
        instrument=instrument.name,
        steps=checked.steps,
        place=checked.place,
        conflicts=pipeline.conflicts,
        origin=time.start if time else -EVER,
        product=digest(instrument.product.as_json()),
        code={name: one.ours for name, one in codes.items()},
        plugin=codes[""].plugin,
    )


def _lost(axis: Axis, found: Existing | None, place: Target) -> int:
    """Return how many exposures of an existing cube the axis does not have."""
    table = axis.exposures()
    if found is None or table is None:
        return 0
    return len(cube.stored_exposures(place) - set(zip(table.instants, table.sites, strict=True)))
