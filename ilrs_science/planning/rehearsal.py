"""Whether a chain of steps can deliver the product at all: rehearsed without a sample before any part is run."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import closing

from ilrs_science.errors import Fault
from ilrs_science.executors.child import Quarantine
from ilrs_science.executors.items import Limits
from ilrs_science.model.instrument import Instrument
from ilrs_science.model.part import Part
from ilrs_science.planning.pipeline import Pipeline
from ilrs_science.reduction.chain import run_steps, with_quality
from ilrs_science.reduction.reading import samples_of
from ilrs_science.registry import instrument as instrument_by_name

_LONGEST = Limits(seconds=30)
"""Of a rehearsal in a process of its own: what hangs tells nothing, and the run names it."""


def chain_faults(pipeline: Pipeline, instrument: Instrument, parts: Sequence[Part], *, guarded: bool) -> list[Fault]:
    """Return what the steps of a pipeline never deliver, where they leave out some of the instrument's own.

    One granule is read, the smallest of the first part that has any, and the steps are given its variables without a
    sample. Where that tells nothing, nothing is said: what a granule or a step has against it, the run names.

    Parameters
    ----------
    guarded
        Whether a process of its own rehearses: the granule, or the step, may crash.
    """
    chosen = pipeline.chosen_steps
    if chosen is None:
        return []
    names = [name for name, _ in chosen]
    part = next((part for part in parts if part.granules), None)
    if part is None or _own_steps(instrument) <= set(names):
        return []
    if guarded:
        with closing(Quarantine()) as quarantine:
            delivered = quarantine.call(_rehearsed, (instrument.name, part), _LONGEST).value
    else:
        delivered = _rehearsed((instrument.name, part))
    return [] if delivered is None else _lacking(instrument, names, delivered)


def _own_steps(instrument: Instrument) -> set[str]:
    return {function.__name__ for function in instrument.steps}


def _lacking(instrument: Instrument, chosen: Sequence[str], delivered: Sequence[str]) -> list[Fault]:
    """Return that the chosen steps leave out variables of the product, if so."""
    lacking = [variable.name for variable in instrument.product.values if variable.name not in delivered]
    if not lacking:
        return []
    found = f"{', '.join(chosen) or 'no step'} will never deliver {', '.join(lacking)}"
    have, own = ", ".join(delivered), ", ".join(sorted(_own_steps(instrument)))
    return [Fault("steps", found, f"read gives {have}; {instrument.name} has the steps {own}")]


def _rehearsed(asked: tuple[str, Part]) -> list[str] | None:
    """Return the variables that a chain makes of no sample, or None where that does not tell what it makes of some."""
    name, part = asked
    instrument = instrument_by_name(name)
    granule = min(part.granules, key=lambda one: one.size)
    site = next(site for site in part.sites if site.name == granule.site)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ds = with_quality(samples_of(granule, instrument, part.task), instrument.product).isel(time=slice(0, 0))
            for call in part.steps:
                before = ds
                ds = run_steps(ds, [call], instrument, site, part).ds
                if set(ds.variables) == set(before.variables):
                    # It sets flags, or changes values; or it gives back at once what has no sample.
                    return None
    except Exception:  # noqa: BLE001 - of a plugin; the run names it, granule by granule
        return None
    return [str(one) for one in ds.variables]
