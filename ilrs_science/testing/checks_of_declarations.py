"""Checks of what an instrument says about itself: name, functions, index, units, parameters."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from fnmatch import fnmatch
from typing import Any

import astropy.units
import numpy as np
import xarray as xr

from ilrs_science import registry
from ilrs_science.catalog import rejected_counts, sample_times
from ilrs_science.errors import Fault, PluginError
from ilrs_science.model.granule import Granule
from ilrs_science.model.step import StepFunction, step_parameters
from ilrs_science.planning.calls import bind_step
from ilrs_science.reduction.reading import as_read
from ilrs_science.store.tables import part_of
from ilrs_science.store.target import target
from ilrs_science.testing.case import Case, blaming
from ilrs_science.testing.report import ConformanceError


def found(case: Case) -> None:
    """Check that the entry point of its name finds this very instrument."""
    try:
        installed = registry.instrument(case.instrument.name)
    except PluginError as error:
        raise ConformanceError(
            f"{error}; expected an entry point of this name in the group ilrs_science.instruments"
        ) from error
    if installed is not case.instrument:
        target = next(p.target for p in registry.plugins("instruments") if p.name == case.instrument.name)
        raise ConformanceError(
            f"the entry point {case.instrument.name} finds another object, {target}; expected the one under test"
        )


def pickles(case: Case) -> None:
    """Check that functions travel to other processes by reference, and parts as JSON."""
    functions: dict[str, Any] = {"read": case.instrument.read, "index": case.instrument.index}
    functions |= {f"step {_name(function)}": function for function in case.instrument.steps}
    faults = [f"{what}: {problem}" for what, one in functions.items() if one and (problem := _pickle_problem(one))]
    if faults:
        raise ConformanceError("; ".join(faults) + "; define each at the top level of an importable module")
    part = case.plan.parts[0]
    tables = case.plan.tables()
    ticket = tables.ticket(part, tables.save(target(part.cube)), "000001")
    if part_of(json.loads(json.dumps(ticket))) != part:
        raise ConformanceError("a part is not the same after a journey as JSON; expected JSON-able step parameters")


def index(case: Case) -> None:
    """Check that each granule holds what its index says: site, span, number of samples, exposures."""
    for granule in case.granules:
        name = granule.url.rsplit("/", 1)[-1]
        if not case.instrument.reads and not fnmatch(name, case.instrument.files):
            raise ConformanceError(
                f"the file {name} does not match files={case.instrument.files!r}; no inventory would take it"
            )
        with blaming(f"reading {granule.url}"):
            faults = _index_faults(as_read(case.instrument, granule), granule)
        if faults:
            raise ConformanceError(f"{granule.url} at {granule.site or 'no site'}: " + "; ".join(faults))


def units(case: Case) -> None:
    """Check that raw variables and products say their units, in words that astropy parses."""
    faults = []
    raw = {name: one for ds in case.datasets for name, one in ds.data_vars.items()}
    for name, one in raw.items():
        if name != "quality" and one.dtype.kind in "iufc":
            faults += _unit_faults(f"raw variable {name}", one.attrs.get("units"))
    for variable in case.instrument.product.values:
        faults += _unit_faults(f"product variable {variable.name}", variable.units)
    if faults:
        raise ConformanceError("; ".join(faults) + "; expected units such as nT, count / s, or 1 for a pure number")


def signatures(case: Case) -> None:
    """Check that the parameters of the steps are their schema: keyword-only, annotated, defaults that fit."""
    faults: list[Fault] = []
    for name in case.given:
        registry.step(name, case.instrument)
    names = [_name(function) for function in case.instrument.steps]
    faults += [
        Fault(f"step {n}", "two steps have this name", "names are unique")
        for n in sorted(set(names))
        if names.count(n) > 1
    ]
    for function in case.instrument.steps:
        if case.steps is None or _name(function) in case.given:
            faults += bind_step(function, case.given.get(_name(function), {}), f"step {_name(function)}")[1]
        else:
            step_parameters(function)
    if faults:
        raise ConformanceError("; ".join(map(str, faults)))


def _pickle_problem(function: Callable[..., Any]) -> str:
    try:
        again = pickle.loads(pickle.dumps(function))  # noqa: S301 - made a moment ago
    except (pickle.PicklingError, AttributeError, TypeError, ImportError) as error:
        return f"cannot be pickled ({error})"
    return "" if again is function else f"pickles by value ({type(function).__name__}), expected a plain function"


def _index_faults(ds: xr.Dataset, granule: Granule) -> list[str]:
    times = sample_times(ds)
    rejected = rejected_counts(ds)
    faults = [
        f"read rejects {count} samples as {reason!r}; expected 0 or more"
        for reason, count in rejected.items()
        if count < 0
    ]
    if not granule.site:
        faults.append(
            "the index gives no site; set the attribute site in read, or give granules of an inventory with {site}"
        )
    if granule.count != times.size + sum(rejected.values()):
        allowed = f"read gives {times.size} and rejects {sum(rejected.values())}"
        faults.append(f"the index declares {granule.count} samples; {allowed}")
    if times.size and (times.min() < granule.start or times.max() >= granule.stop):
        span = f"[{granule.start}, {granule.stop})"
        faults.append(f"samples from {times.min()} to {times.max()} lie outside the declared span {span} (TAI ns)")
    if granule.times and set(granule.times) != set(np.unique(times).tolist()):
        faults.append(
            f"the index declares {len(granule.times)} exposures; read gives {np.unique(times).size}, or others"
        )
    if not granule.sha256:
        faults.append("the index drops the digest of the file; return dataclasses.replace(granule, ...)")
    return faults


def _unit_faults(what: str, found_units: object) -> list[str]:
    if not isinstance(found_units, str) or not found_units.strip():
        return [f"{what} has no units"]
    try:
        astropy.units.Unit(found_units, parse_strict="raise")
    except (ValueError, TypeError) as error:
        return [f"{what} has units {found_units!r}, which astropy cannot parse ({str(error).splitlines()[0]})"]
    return []


def _name(function: StepFunction) -> str:
    return str(getattr(function, "__name__", repr(function)))
