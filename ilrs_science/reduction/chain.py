"""The steps of a part, run over samples and each held to its contract."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import TypeAdapter

from ilrs_science import references, registry
from ilrs_science.catalog import sample_times, with_times
from ilrs_science.errors import FormatError, ProductError, StepError, foreign
from ilrs_science.executors import items
from ilrs_science.model.duration import Duration
from ilrs_science.model.good import GOOD, joined_good, within
from ilrs_science.model.granule import Granule
from ilrs_science.model.instrument import Instrument
from ilrs_science.model.part import Part, StepCall, digest
from ilrs_science.model.product import Product
from ilrs_science.model.quality import QUALITY_DTYPE, REJECTED, flag_attributes
from ilrs_science.model.reference import Reference
from ilrs_science.model.site import Site
from ilrs_science.model.step import StepFunction, declared_scope, step_parameters
from ilrs_science.model.values import value_faults

_EVER = 2**62  # ns; beyond every time


def run_steps(  # noqa: PLR0913, PLR0917 - the whole context of a chain
    ds: xr.Dataset, calls: Sequence[StepCall], instrument: Instrument, site: Site, part: Part, scope: str
) -> tuple[xr.Dataset, NDArray[np.intp]]:
    """Run the steps of one scope over the samples of a site, each held to its contract.

    Returns
    -------
    What the steps made, put back in order of time where a step moved samples past each other; and that order, as
    positions of the samples that came in.
    """
    order = np.arange(ds.sizes["time"])
    for call in calls:
        function = registry.step(call.name, instrument)
        if declared_scope(function) != scope:
            continue
        before = sample_times(ds)
        items.enter(f"step {call.name}")
        ds = _apply(function, call, ds, site, part)
        after = sample_times(ds)
        moved = np.abs(after - before)
        if (moved > call.margin).any():
            furthest = Duration(int(moved.max()))
            raise StepError(
                f"step {call.name} moved samples by {furthest}, its declared margin is {Duration(call.margin)}"
            )
        if moved.any() and (after[1:] < after[:-1]).any():
            again = np.argsort(after, kind="stable")
            ds, order = ds.isel(time=again), order[again]
    return ds, order


def joined(pieces: Sequence[xr.Dataset]) -> xr.Dataset:
    """Return pieces of one kind one after the other along time, without comparing what is not along time."""
    reasons = {code: why for one in pieces if REJECTED in one.coords for code, why in one[REJECTED].reasons.items()}
    if reasons:
        pieces = [one if REJECTED in one.coords else _none_rejected(one) for one in pieces]
    made = xr.concat(pieces, "time", data_vars="minimal", coords="minimal", compat="override", join="override")
    if reasons:
        made[REJECTED].attrs["reasons"] = reasons
    if GOOD in made.attrs:
        made.attrs[GOOD] = joined_good([one.attrs[GOOD] for one in pieces])
    return made


def _none_rejected(ds: xr.Dataset) -> xr.Dataset:
    return ds.assign_coords({REJECTED: ("time", np.zeros(ds.sizes["time"], np.uint32))})


def with_quality(ds: xr.Dataset, product: Product) -> xr.Dataset:
    """Return samples with `quality`: all good where the reader gave none, and with the flags the product declares."""
    attributes = flag_attributes(product.flags)
    if "quality" in ds:
        return ds.assign(quality=ds["quality"].astype(QUALITY_DTYPE).assign_attrs(attributes))
    dims = product.sample_dims(product.quality_dims)
    sizes = {name: ds.sizes["time"] if name == "time" else product.sizes[name] for name in dims}
    return ds.assign(
        quality=xr.DataArray(np.zeros(tuple(sizes.values()), QUALITY_DTYPE), dims=tuple(sizes), attrs=attributes)
    )


def with_sample_numbers(ds: xr.Dataset, granule: Granule) -> xr.Dataset:
    """Return samples with the coordinate `sample`: what tells each from all others, the same in every cut.

    A 64-bit counter that begins where the digest of the file says; for dithering that can be repeated, say.
    """
    begin = np.uint64(int(digest([granule.sha256, granule.site])[:16], 16))
    return ds.assign_coords(sample=("time", np.arange(ds.sizes["time"], dtype=np.uint64) + begin))


def check_samples(instrument: Instrument, ds: xr.Dataset, carried: Collection[str] = ()) -> None:
    """Raise a ProductError with every way in which calibrated samples do not fit the product.

    Parameters
    ----------
    carried
        Units of what `read` gave.
    """
    if faults := instrument.product.check(ds) or value_faults(instrument.product, ds, carried):
        raise ProductError(f"{instrument.name}: " + "; ".join(map(str, faults)))


def _call_parameters(function: StepFunction, call: StepCall, site: Site) -> dict[str, Any]:
    """Return the values of a call's own parameters at a site, as the function wants them."""
    parameters = step_parameters(function)
    given = call.parameters_at(site.name)
    return {key: TypeAdapter(parameters[key].annotation).validate_python(value) for key, value in given.items()}


@dataclass(frozen=True)
class _Bound:
    """A step with all that it is given; of each reference parameter, the several that apply one after the other."""

    function: StepFunction
    fixed: Mapping[str, Any]
    references: Mapping[str, Sequence[Reference]]

    def on(self, ds: xr.Dataset, time: int | None) -> xr.Dataset:
        """Run the step over samples, with the references valid at a time, or the first."""
        return _checked_call(self.function, ds, {**self.fixed, **_valid_at(self.references, time)})

    def changes(self) -> list[int]:
        """Return when one reference takes the place of another."""
        return sorted({one.start for several in self.references.values() for one in several[1:]})


def _bound(function: StepFunction, call: StepCall, site: Site) -> _Bound:
    roles = {name: one.role for name, one in step_parameters(function).items()}
    fixed = _call_parameters(function, call, site) | {name: site for name, role in roles.items() if role == "site"}
    references_here = {name: by_site.get(site.name, ()) for name, by_site in call.references.items()}
    loaded = {name: [references.load(one) for one in several] for name, several in references_here.items()}
    return _Bound(function, fixed, loaded)


def _apply(function: StepFunction, call: StepCall, ds: xr.Dataset, site: Site, part: Part) -> xr.Dataset:
    """Run one step, piece by piece where its references change within the samples."""
    step = _bound(function, call, site)
    times = sample_times(ds)
    if declared_scope(function) == "granule":
        # A whole granule takes the reference of when it begins on the axis.
        begins = min([int(times.min(initial=_EVER)), *_good_starts(ds)])
        return step.on(ds, max(begins, part.task.origin))
    changes = step.changes()
    if not changes or not (len(times) or _is_good_somewhere(ds, -_EVER, _EVER)):
        return step.on(ds, None)
    return _piecewise(step, ds, changes, call.margin)


def _piecewise(step: _Bound, ds: xr.Dataset, changes: Sequence[int], margin: int) -> xr.Dataset:
    """Run a step over the samples between changes, each time with those within the margin, and join what it makes."""
    times = sample_times(ds)
    pieces, positions = [], []
    for low, high in pairwise([None, *changes, None]):
        since, until = (-_EVER if low is None else low), (_EVER if high is None else high)
        inside = (times >= since) & (times < until)
        if not inside.any() and not _is_good_somewhere(ds, since, until):
            continue
        near = np.flatnonzero((times >= since - margin) & (times < until + margin))
        piece = step.on(ds.isel(time=near), low)
        if GOOD in piece.attrs:
            piece.attrs[GOOD] = within(piece.attrs[GOOD], since, until)
        pieces.append(piece.isel(time=inside[near]))
        positions.append(np.flatnonzero(inside))
    return joined(pieces).isel(time=np.argsort(np.concatenate(positions), kind="stable"))


def _good_starts(ds: xr.Dataset) -> list[int]:
    return [int(one) for one in ds.attrs[GOOD]["start"].values] if GOOD in ds.attrs else []


def _is_good_somewhere(ds: xr.Dataset, since: int, until: int) -> bool:
    """Tell whether there could have been events in a time, whether there were any or not."""
    return GOOD in ds.attrs and within(ds.attrs[GOOD], since, until).sizes["interval"] > 0


def _valid_at(chosen: Mapping[str, Sequence[Reference]], time: int | None) -> dict[str, Reference | None]:
    """Return for each parameter the reference valid at a time, or the first; None where there is none at all."""
    return {
        name: next((one for one in reversed(several) if time is not None and one.start <= time), several[0])
        if several
        else None
        for name, several in chosen.items()
    }


def _locked(ds: xr.Dataset) -> xr.Dataset:
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


def _checked_call(function: StepFunction, ds: xr.Dataset, parameters: dict[str, Any]) -> xr.Dataset:
    name = function.__name__
    try:
        with foreign(f"step {name}"):
            out = function(_locked(ds), **parameters)
    except ValueError as error:
        if "read-only" in str(error):
            raise StepError(f"step {name} mutates its input; work on a copy ({error})") from error
        raise
    if not isinstance(out, xr.Dataset):
        raise StepError(f"step {name} returned {type(out).__name__}; expected an xarray.Dataset")
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
    return _with_time_of_tai(name, ds, out)


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
