"""Whether a chain of steps can deliver the product at all: rehearsed without a sample before any part is run."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from ilrs_science.errors import Fault, SeriesError
from ilrs_science.executors.child import Quarantine
from ilrs_science.executors.items import Limits
from ilrs_science.model.instrument import Instrument
from ilrs_science.model.part import Part
from ilrs_science.planning.pipeline import Pipeline
from ilrs_science.reduction.chain import run_steps
from ilrs_science.reduction.reading import samples_of
from ilrs_science.reduction.samples import with_quality
from ilrs_science.registry import instrument as instrument_by_name

_LONGEST = Limits(seconds=30)
"""Of a rehearsal in a process of its own: what hangs tells nothing, and the run names it."""


def chain_faults(pipeline: Pipeline, instrument: Instrument, parts: Sequence[Part], *, guarded: bool) -> list[Fault]:
    """Return what the steps of a pipeline never deliver, where they leave out some of the instrument's own.

    One granule is read, the smallest of the first part that has any, and the steps are given its variables without a
    sample. Where that tells nothing, nothing is said: what a granule or a step has against it, the run names. But what
    a step asks of a series and cannot have is told.

    Parameters
    ----------
    guarded
        Whether a process of its own rehearses: the granule, or the step, may crash.
    """
    own = [function.__name__ for function in instrument.steps]
    chosen = pipeline.chosen_steps
    names = own if chosen is None else [name for name, _ in chosen]
    part = next((part for part in parts if part.granules), None)
    whole = set(own) <= set(names)
    if part is None or (whole and not part.series):
        return []
    found = _tried((instrument.name, part), guarded=guarded)
    if found.problem:
        return [Fault(f"steps.{found.step}", found.problem, "mend the step")]
    return [] if whole or found.delivered is None else _lacking(instrument, names, found.delivered)


def _tried(asked: tuple[str, Part], *, guarded: bool) -> _Rehearsed:
    if not guarded:
        return _rehearsed(asked)
    with closing(Quarantine()) as quarantine:
        return quarantine.call(_rehearsed, asked, _LONGEST).value or _Rehearsed()


def _lacking(instrument: Instrument, chosen: Sequence[str], delivered: Sequence[str]) -> list[Fault]:
    """Return that the chosen steps leave out variables of the product, if so."""
    lacking = [variable.name for variable in instrument.product.values if variable.name not in delivered]
    if not lacking:
        return []
    found = f"{', '.join(chosen) or 'no step'} will never deliver {', '.join(lacking)}"
    have, own = ", ".join(delivered), ", ".join(sorted(function.__name__ for function in instrument.steps))
    return [Fault("steps", found, f"read gives {have}; {instrument.name} has the steps {own}")]


@dataclass(frozen=True)
class _Rehearsed:
    """What comes of a chain that is given no sample."""

    delivered: Sequence[str] | None = None
    """The variables that it makes; None where that does not tell what it makes of some."""
    step: str = ""
    problem: str = ""
    """What the step asks of a series and cannot have."""


def _rehearsed(asked: tuple[str, Part]) -> _Rehearsed:
    """Run a chain on no sample."""
    name, part = asked
    tells = True
    instrument = instrument_by_name(name)
    granule = min(part.granules, key=lambda one: one.size)
    site = next(site for site in part.sites if site.name == granule.site)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ds = with_quality(samples_of(granule, instrument, part.task), instrument.product).isel(time=slice(0, 0))
            for call in part.steps:
                before, name = ds, call.name
                ds = run_steps(ds, [call], instrument, site, part).ds
                # One that makes no variable sets flags, or changes values; or it gives back at once what has no sample.
                tells &= set(ds.variables) != set(before.variables)
    except SeriesError as error:
        return _Rehearsed(step=name, problem=str(error))
    except Exception:  # noqa: BLE001 - of a plugin; the run names it, granule by granule
        return _Rehearsed()
    return _Rehearsed([str(one) for one in ds.variables] if tells else None)
