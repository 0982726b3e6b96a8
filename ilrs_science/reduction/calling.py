"""One call of a step, with all that it is given, held to its contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import TypeAdapter

from ilrs_science import references, registry
from ilrs_science.catalog import sample_times, with_times
from ilrs_science.errors import FormatError, StepError, foreign
from ilrs_science.model.axis import Times
from ilrs_science.model.good import GOOD
from ilrs_science.model.instrument import Instrument
from ilrs_science.model.part import Part, StepCall
from ilrs_science.model.quality import REJECTED, set_flag
from ilrs_science.model.reference import Reference
from ilrs_science.model.series import Series
from ilrs_science.model.site import Site
from ilrs_science.model.step import Neighbours, Reach, StepFunction, neighbours, reach, step_parameters
from ilrs_science.reduction.samples import TAG
from ilrs_science.reduction.series import SeriesOfPart

EVER = 2**62  # ns; beyond every time


def known(ds: xr.Dataset) -> list[str]:
    """Return the coordinates along `time` by which the engine knows samples, whatever steps do with them."""
    return [str(name) for name in ds.coords if name == "sample" or str(name).startswith(TAG)]


@dataclass(frozen=True)
class Choice:
    """What is given for a reference parameter in a span of time, TAI ns, half-open."""

    since: int
    until: int
    given: Reference | tuple[Reference, Reference]


@dataclass(frozen=True)
class BoundStep:
    """A step with all that it is given; of each reference parameter, the several that apply one after the other."""

    function: StepFunction
    fixed: Mapping[str, Any]
    references: Mapping[str, Sequence[Reference]]
    margin: int
    """How far it may move samples, ns."""
    reach: Reach
    pairs: tuple[str, ...] = ()
    """Reference parameters that take the one before and the one after."""
    series: Mapping[str, Series | None] = field(default_factory=dict)

    @property
    def declared(self) -> Neighbours:
        """What it says of the samples that it has to see."""
        return neighbours(self.function)

    def same(self, ds: xr.Dataset, time: int | None) -> xr.Dataset:
        """Run it over samples, with the references valid at a time; as many come back.

        Raises
        ------
        StepError
            It does not keep its contract.
        """
        out, unknown = self.call(locked(ds), time)
        _check_kept(self.function.__name__, ds, out)
        out = _with_time_of_tai(self.function.__name__, ds, out)
        if unknown.any():
            out = set_flag(out, "no_reference", xr.DataArray(unknown, dims="time"))
        return out.assign_coords({name: ds.coords[name] for name in known(ds) if name not in out.variables})

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """By which tags of samples its references differ."""
        return tuple(sorted({key for several in self.references.values() for one in several for key in one.keys}))

    def for_tags(self, tags: Mapping[str, str]) -> BoundStep:
        """Return the step with the references for samples with these tags."""

        def own(several: Sequence[Reference]) -> list[Reference]:
            keys = {key for one in several for key in one.keys}
            here = {key: value for key, value in tags.items() if key in keys and value}
            return [one for one in several if one.keys == here]

        return replace(self, references={name: own(several) for name, several in self.references.items()})

    @cached_property
    def choices(self) -> dict[str, list[Choice]]:
        """What there is to give for each reference parameter, in order of time; nothing where there is none at all."""
        return {
            name: _pairs(several) if name in self.pairs else [Choice(one.start, one.stop, one) for one in several]
            for name, several in self.references.items()
        }

    @cached_property
    def required(self) -> tuple[str, ...]:
        """The reference parameters that cannot do without."""
        parameters = step_parameters(self.function)
        return tuple(name for name in self.references if parameters[name].required)

    def changes(self) -> list[int]:
        """Return when what is given for references changes."""
        return sorted({edge for several in self.choices.values() for one in several for edge in (one.since, one.until)})

    def without_reference(self, times: Times) -> dict[str, NDArray[np.bool_]]:
        """Return the times at which a reference that is required is not valid, by the reason why they are left out."""
        found = {}
        for name in self.required:
            covered = np.zeros(len(times), bool)
            for one in self.choices[name]:
                covered |= (times >= one.since) & (times < one.until)
            if not covered.all():
                found[f"no {name} is valid then"] = ~covered
        return found

    def _valid_at(self, time: int | None) -> dict[str, Any]:
        """Return what is given for references at a time; for no sample, which has none, the first ones."""
        return {
            name: next((one.given for one in several if time is None or one.since <= time < one.until), None)
            for name, several in self.choices.items()
        }

    def call(self, ds: xr.Dataset, time: int | None) -> tuple[xr.Dataset, NDArray[np.bool_]]:
        """Call it with locked samples, and the references valid at a time; for no sample, the first.

        Returns
        -------
        What it gives back, and for which of the samples a series that it asked had no value.

        Raises
        ------
        StepError
            It writes to its input, or gives something else back than samples.
        """
        name = self.function.__name__
        series = {key: None if one is None else one.for_call() for key, one in self.series.items()}
        try:
            with foreign(f"step {name}"):
                out = self.function(ds, **self.fixed, **series, **self._valid_at(time))
        except ValueError as error:
            if "read-only" in str(error):
                raise StepError(f"step {name} mutates its input; work on a copy ({error})") from error
            raise
        if not isinstance(out, xr.Dataset):
            raise StepError(f"step {name} returned {type(out).__name__}; expected an xarray.Dataset")
        if loose := [str(key) for key, one in out.data_vars.items() if "time" not in one.dims]:
            # It would be that of one window, or of one reference, among several; of which, the cut would say.
            raise StepError(f"step {name} gave variables without time: {', '.join(loose)}; repeat them along time")
        unknown = np.zeros(ds.sizes["time"], bool)
        for one in filter(None, series.values()):
            unknown |= one.unknown(sample_times(ds))
        return out, unknown


def _pairs(several: Sequence[Reference]) -> list[Choice]:
    """Return each reference with the one that was taken after it; the last one is valid at its own instant still."""
    found = [Choice(before.start, after.start, (before, after)) for before, after in pairwise(several)]
    return [*found[:-1], replace(found[-1], until=found[-1].until + 1)] if found else []


def bound(call: StepCall, instrument: Instrument, site: Site, part: Part) -> BoundStep:
    """Return a step with what it is given at a site of a part."""
    function = registry.step(call.name, instrument)
    roles = {name: one.role for name, one in step_parameters(function).items()}
    own = _call_parameters(function, call, site)
    fixed = own | {name: site for name, role in roles.items() if role == "site"}
    here = {name: by_site.get(site.name, ()) for name, by_site in call.references.items()}
    loaded = {
        name: [references.load(one, instrument.load.get(name)) for one in several] for name, several in here.items()
    }
    known = SeriesOfPart(part, instrument)
    series = {name: known.at(name, site) for name, role in roles.items() if role == "series"}
    return BoundStep(function, fixed, loaded, call.margin, reach(function, own), call.pairs, series)


def _call_parameters(function: StepFunction, call: StepCall, site: Site) -> dict[str, Any]:
    """Return the values of a call's own parameters at a site, as the function wants them."""
    parameters = step_parameters(function)
    given = call.parameters_at(site.name)
    return {key: TypeAdapter(parameters[key].annotation).validate_python(value) for key, value in given.items()}


def locked(ds: xr.Dataset) -> xr.Dataset:
    """Return samples whose arrays cannot be written to: a step that mutates its input fails at once, at no cost.

    The arrays are views, so that those of a reader that keeps its own stay writable for it.
    """
    views = {}
    for name, one in ds.variables.items():
        if name not in ds.indexes:
            view = one.values.view()
            view.flags.writeable = False
            views[name] = (one.dims, view, one.attrs)
    locked = ds.assign(views)
    if GOOD in ds.attrs:
        good = ds.attrs[GOOD].copy(deep=True)
        for one in good.variables.values():
            one.values.flags.writeable = False
        locked = locked.assign_attrs({GOOD: good})
    return locked


def _check_kept(name: str, ds: xr.Dataset, out: xr.Dataset) -> None:
    if out.sizes.get("time") != ds.sizes["time"]:
        raise StepError(f"step {name} returned {out.sizes.get('time')} samples along time; expected {ds.sizes['time']}")
    if gone := [one for one in ("quality", "time", "tai") if one not in out.variables]:
        raise StepError(f"step {name} dropped {' and '.join(gone)}; steps set flags and keep times")
    if GOOD in ds.attrs and not isinstance(out.attrs.get(GOOD), xr.Dataset):
        raise StepError(f"step {name} dropped the good intervals, attrs[{GOOD!r}]; give back what you get, with assign")
    if REJECTED in ds.coords and "reasons" not in getattr(out.coords.get(REJECTED), "attrs", {}):
        raise StepError(
            f"step {name} dropped why samples are rejected, the coordinate {REJECTED!r} with its attributes"
        )


def _with_time_of_tai(name: str, ds: xr.Dataset, out: xr.Dataset) -> xr.Dataset:
    """Return what a step made with `time` renewed where it moved `tai`."""
    if not _same(out["tai"].values, ds["tai"].values):
        try:
            return with_times(out.drop_vars("time"))
        except FormatError as error:
            raise StepError(f"step {name}: {error}") from error
    if not _same(out["time"].values, ds["time"].values):
        raise StepError(f"step {name} changed time without tai; a step that moves samples assigns tai, time follows")
    return out


def _same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    return one.dtype == other.dtype and np.array_equal(one, other)
