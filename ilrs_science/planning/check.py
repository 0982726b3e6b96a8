"""Everything that can be said about a pipeline before any raw file is looked at, all at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ilrs_science import registry
from ilrs_science.errors import CubeError, Fault, PlanError, PluginError
from ilrs_science.model.instrument import Instrument
from ilrs_science.model.part import StepCall
from ilrs_science.model.product import Place
from ilrs_science.planning.calls import bind_steps
from ilrs_science.planning.faults import layout_faults, raw_faults, regular_size_faults, site_faults, time_faults
from ilrs_science.planning.gathering import circle
from ilrs_science.planning.outputs import output_faults, overlap_faults
from ilrs_science.planning.partition import chosen_partition
from ilrs_science.planning.pipeline import Pipeline, Reading, read_pipeline
from ilrs_science.planning.resolve import Known, early_reference_faults, known_references
from ilrs_science.planning.series import Asked, asked_series
from ilrs_science.store import cube
from ilrs_science.store.collection import existing_collection
from ilrs_science.store.cube import Existing
from ilrs_science.store.target import target
from ilrs_science.yaml_text import key_of, shown


@dataclass(frozen=True)
class Checked:
    """A pipeline without a fault that can be known before its raw files are."""

    pipeline: Pipeline
    instrument: Instrument
    place: Place
    steps: tuple[StepCall, ...]
    """Their references are still to be found."""
    known: Known
    """The references to choose from."""
    series: Mapping[str, Asked]
    """The series that the steps ask for, whose files are still to be found."""
    existing: Existing | None
    """The cube that lies at the output, where it is one cube."""
    partition: str
    """How the campaign is cut into cubes; `none` where it is one cube."""


def check(source: str | Path | Pipeline | dict[str, Any], overrides: Mapping[str, Any]) -> Checked:
    """Return a pipeline with what its names stand for.

    Parameters
    ----------
    source, overrides
        As for `load_pipeline`.

    Raises
    ------
    PlanError
        Every fault, those of keys first: what follows from a broken key is not told.
    FormatError
        The file is not YAML.
    """
    reading = read_pipeline(source, overrides)
    pipeline = reading.pipeline
    references, folders = known_references(pipeline)
    partition, sizes = chosen_partition(pipeline)
    existing, outputs = _existing(reading, partition)
    apart = [] if reading.broken & {"raw", "output"} else overlap_faults(pipeline)
    files = [*folders, *raw_faults(pipeline), *outputs, *apart]
    try:
        instrument = registry.instrument(pipeline.instrument)
    except PluginError as error:
        unknown = Fault("instrument", shown(pipeline.instrument), str(error))
        raise PlanError(_told(reading, [unknown, *site_faults(pipeline), *files])) from error
    place: Place = "slot" if instrument.product.exposures else pipeline.place or instrument.product.place
    known = Known(instrument, references, pipeline.references.context)
    steps, step_faults = bind_steps(pipeline, instrument)
    series, series_faults = asked_series(steps, instrument, pipeline) if not step_faults else ({}, [])
    faults = [
        *_circle_faults(instrument),
        *time_faults(pipeline, instrument),
        *(sizes or regular_size_faults(pipeline, instrument, place, partition)),
        *site_faults(pipeline),
        *step_faults,
        *series_faults,
        *layout_faults(pipeline, instrument, place),
        *files,
    ]
    if told := _told(reading, faults):
        # With raw files each part finds its references; without them, what declared times and sites tell.
        raise PlanError(told + _unbroken(reading, early_reference_faults(pipeline, known, steps)))
    return Checked(pipeline, instrument, place, tuple(steps), known, series, existing, partition)


def _circle_faults(instrument: Instrument) -> list[Fault]:
    names = circle(instrument.name)
    allowed = "raw data of one of them have to come from somewhere"
    return [Fault("instrument", f"each reads the cubes of the next: {', '.join(names)}", allowed)] if names else []


def _existing(reading: Reading, partition: str) -> tuple[Existing | None, list[Fault]]:
    """Return the cube that lies at the output, if it is to be one, and what is wrong there."""
    output = reading.pipeline.output
    faults = output_faults(reading.pipeline)
    if faults or "output" in reading.broken:
        return None, faults
    try:
        if partition == "none":
            return cube.existing(target(output)), []
        there = existing_collection(target(output))
        other = there is not None and there.partition != partition
    except (CubeError, OSError, ValueError) as error:
        return None, [Fault("output", f"found {output!r}", str(error))]
    wrong = Fault("partition", f"{output} is cut by {there and there.partition}", f"the pipeline says {partition}")
    return None, [wrong] if other else []


def _told(reading: Reading, faults: list[Fault]) -> list[Fault]:
    """Return the faults of keys, then the others."""
    return [*reading.faults, *_unbroken(reading, faults)]


def _unbroken(reading: Reading, faults: list[Fault]) -> list[Fault]:
    """Return the faults that do not follow from a broken key."""
    return [fault for fault in faults if key_of(fault.path) not in reading.broken]
