"""Which references each part uses: exactly one of a kind at every instant, or a fault."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ilrs_science import catalog, references, registry
from ilrs_science.engine.faults import site_names
from ilrs_science.errors import Fault, FormatError, PlanError
from ilrs_science.model.axis import Axis
from ilrs_science.model.instrument import Instrument
from ilrs_science.model.part import Part, StepCall
from ilrs_science.model.reference import Reference
from ilrs_science.model.step import declared_scope, step_parameters
from ilrs_science.pipeline import Pipeline


def known_references(pipeline: Pipeline) -> tuple[list[Reference], list[Fault]]:
    """Return the references of the catalogue and of the pipeline's folders, and what is wrong with those folders."""
    known: list[Reference] = []
    faults: list[Fault] = []
    folders = {Path(os.path.realpath(catalog.data_folder("catalogs") / "references")): "references"}
    for number, one in enumerate(pipeline.references.folders):
        folders.setdefault(Path(os.path.realpath(one)), f"references.folders[{number}]")
    for folder, key in folders.items():
        try:
            if not folder.is_dir():
                faults.append(Fault(key, f"found {str(folder)!r}", "expected an existing folder"))
                continue
            known += references.read_folder(folder)
        except PlanError as error:
            faults += error.faults
        except (FormatError, OSError) as error:
            faults.append(Fault(key, f"found {str(folder)!r}", str(error)))
    return known, faults


def with_references(
    parts: Sequence[Part], instrument: Instrument, axis: Axis, context: int | None, known: Sequence[Reference]
) -> tuple[list[Part], list[Fault]]:
    """Return the parts of an axis with their references filled in, and what is wrong with them, each fault once."""
    faults: dict[str, Fault] = {}
    filled = []
    for part in parts:
        calls = []
        for call in part.steps:
            found, wrong = _call_with_references(part, call, instrument, axis, context, known)
            calls.append(found)
            for fault in wrong:
                faults.setdefault(fault.path, fault)
        filled.append(replace(part, steps=tuple(calls)))
    return filled, list(faults.values())


def early_reference_faults(
    pipeline: Pipeline, instrument: Instrument, steps: Sequence[StepCall], known: Sequence[Reference]
) -> list[Fault]:
    """Return what is wrong with references as far as declared times and sites tell, without raw files."""
    if pipeline.time is None or pipeline.time.stop <= pipeline.time.start or instrument.product.exposures:
        return []
    span, context = (pipeline.time.start, pipeline.time.stop), pipeline.references.context
    faults = []
    for call in steps:
        for name in call.references:
            for site in dict.fromkeys(site_names(pipeline)):
                _, fault = _choose(instrument, call, name, site, span, context, known)
                faults += [fault] if fault else []
    return faults


def _call_with_references(  # noqa: PLR0913, PLR0917 - what identifies a reference
    part: Part, call: StepCall, instrument: Instrument, axis: Axis, context: int | None, known: Sequence[Reference]
) -> tuple[StepCall, list[Fault]]:
    whole = declared_scope(registry.step(call.name, instrument)) == "granule"
    faults = []
    chosen: dict[str, dict[str, tuple[Reference, ...]]] = {}
    for name in call.references:
        chosen[name] = {}
        for site in part.sites:
            low, high = part.axis.start - part.margin, part.axis.stop + part.margin
            if whole:
                own = [g for g in part.granules if g.site == site.name]
                low, high = min([low, *(g.start for g in own)]), max([high, *(g.stop for g in own)])
            # Samples in the margin outside the cube's span take the reference of its edge, wherever the axis is cut.
            span = (max(low, axis.start), min(high, axis.stop))
            chosen[name][site.name], fault = _choose(instrument, call, name, site.name, span, context, known)
            faults += [fault] if fault else []
    return replace(call, references=chosen), faults


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
