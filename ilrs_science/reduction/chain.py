"""The steps of a part, run over samples and each held to its contract."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import xarray as xr

from ilrs_science.catalog import sample_times
from ilrs_science.errors import ProductError, StepError
from ilrs_science.executors import items
from ilrs_science.model.duration import Duration
from ilrs_science.model.good import GOOD, joined_good, within
from ilrs_science.model.instrument import Instrument
from ilrs_science.model.part import Part, StepCall
from ilrs_science.model.site import Site
from ilrs_science.model.values import value_faults
from ilrs_science.reduction.calling import EVER, BoundStep, bound
from ilrs_science.reduction.joining import joined
from ilrs_science.reduction.lineage import Made, Mask, Positions
from ilrs_science.reduction.pieces import Groups
from ilrs_science.reduction.rows import Region, rows_of
from ilrs_science.reduction.samples import TAG


def run_steps(ds: xr.Dataset, calls: Sequence[StepCall], instrument: Instrument, site: Site, part: Part) -> Made:
    """Run steps over the samples of a site, in order of time, each held to its contract.

    Returns
    -------
    What the steps made, in order of time, and which of the samples each row of it stands for.
    """
    made = Made.of_each(ds)
    region = Region(part.axis, site.name, part.axis.start - part.margin, part.axis.stop + part.margin)
    for call in calls:
        items.enter(f"step {call.name}")
        step = bound(call, instrument, site, part)
        if step.declared.makes_rows:
            made = made.then(rows_of(step, made.ds, region))
        else:
            made = made.then(_each(step, made.ds, region))
        if not made.complete:
            return made
        region = region.within(call.margin)
    return made


def check_samples(instrument: Instrument, ds: xr.Dataset, carried: Collection[str] = ()) -> None:
    """Raise a ProductError with every way in which calibrated samples do not fit the product.

    Parameters
    ----------
    carried
        Units of what `read` gave.
    """
    if faults := instrument.product.check(ds) or value_faults(instrument.product, ds, carried):
        raise ProductError(f"{instrument.name}: " + "; ".join(map(str, faults)))


def _each(step: BoundStep, ds: xr.Dataset, region: Region) -> Made:
    """Run a step that gives back as many samples as it gets; those without a reference that it needs are lost."""
    made = Made.of_each(ds)
    if lost := _without_reference(step, ds):
        made = Made.of_some(ds, lost, region.is_mine(sample_times(ds)))
        if not made.ds.sizes["time"] and GOOD not in ds.attrs:
            return replace(made, complete=False)
    return made.then(_of_all(step, made.ds))


def _of_all(step: BoundStep, ds: xr.Dataset) -> Made:
    before = sample_times(ds)
    out = _by_tags(step, ds)
    moved = np.abs(sample_times(out) - before)
    if (moved > step.margin).any():
        raise StepError(
            f"step {step.function.__name__} moved samples by {Duration(int(moved.max()))}, "
            f"its declared margin is {Duration(step.margin)}"
        )
    made = Made.of_each(out)
    after = sample_times(out)
    return made.in_order(np.argsort(after, kind="stable")) if (after[1:] < after[:-1]).any() else made


def _without_reference(step: BoundStep, ds: xr.Dataset) -> dict[str, Mask]:
    """Return the samples that have no reference that the step needs, by the reason why they are left out."""
    times = sample_times(ds)
    found: dict[str, Mask] = {}
    for own, at in _tagged(step, ds):
        for why, mask in own.without_reference(times[at]).items():
            found.setdefault(why, np.zeros(len(times), bool))[at] = mask
    return found


def _tagged(step: BoundStep, ds: xr.Dataset) -> list[tuple[BoundStep, Positions]]:
    """Return samples by the tags that matter to the step, each with the step as it is for them."""
    if not step.keys or not ds.sizes["time"]:
        return [(step, np.arange(ds.sizes["time"]))]
    labels = np.stack([ds[f"{TAG}{key}"].values.astype("U") for key in step.keys])
    kinds, number = np.unique(labels, axis=1, return_inverse=True)
    return [
        (step.for_tags(dict(zip(step.keys, kind, strict=True))), np.flatnonzero(number == one))
        for one, kind in enumerate(kinds.T.tolist())
    ]


def _by_tags(step: BoundStep, ds: xr.Dataset) -> xr.Dataset:
    """Run a step apart for samples of other tags, where its references are told apart by them."""
    tagged = _tagged(step, ds)
    if len(tagged) == 1:
        return _by_stretches(tagged[0][0], ds)
    pieces = [_by_stretches(own, ds.isel(time=at)) for own, at in tagged]
    return joined(pieces).isel(time=np.argsort(np.concatenate([at for _, at in tagged]), kind="stable"))


def _by_stretches(step: BoundStep, ds: xr.Dataset) -> xr.Dataset:
    """Run a step that looks so many samples far over each stretch without a gap in which that might be too far."""
    if not step.reach.samples or not ds.sizes["time"]:
        return _by_times(step, ds)
    stretches = Groups.of(sample_times(ds), None, step.reach.limit // step.reach.samples)
    bare = ds.drop_attrs(deep=False)
    pieces = [_by_times(step, bare.isel(time=one.samples)) for one in stretches.pieces()]
    return joined(pieces).assign_attrs(ds.attrs)


def _by_times(step: BoundStep, ds: xr.Dataset) -> xr.Dataset:
    """Run a step piece by piece where its references change within the samples."""
    times = sample_times(ds)
    spans = [
        (low, high)
        for low, high in pairwise([-EVER, *step.changes(), EVER])
        if ((times >= low) & (times < high)).any() or _is_good_somewhere(ds, low, high)
    ]
    if len(spans) > 1:
        return _piecewise(step, ds, spans)
    return step.same(ds, spans[0][0] if spans else None)


def _piecewise(step: BoundStep, ds: xr.Dataset, spans: Sequence[tuple[int, int]]) -> xr.Dataset:
    """Run a step over the samples of each span, each time with those within the margin, and join what it makes."""
    times = sample_times(ds)
    pieces, positions, rest = [], [], []
    for since, until in spans:
        if step.without_reference(np.array([since])):
            # There is no sample in it; a time of no events stays as it is.
            rest.append(within(ds.attrs[GOOD], since, until))
            continue
        inside = (times >= since) & (times < until)
        near = np.flatnonzero((times >= since - step.margin) & (times < until + step.margin))
        piece = step.same(ds.isel(time=near), since)
        if GOOD in piece.attrs:
            piece.attrs[GOOD] = within(piece.attrs[GOOD], since, until)
        pieces.append(piece.isel(time=inside[near]))
        positions.append(np.flatnonzero(inside))
    made = joined(pieces).isel(time=np.argsort(np.concatenate(positions), kind="stable"))
    return made.assign_attrs({GOOD: joined_good([made.attrs[GOOD], *rest])}) if rest else made


def _is_good_somewhere(ds: xr.Dataset, since: int, until: int) -> bool:
    """Tell whether there could have been events in a time, whether there were any or not."""
    return GOOD in ds.attrs and within(ds.attrs[GOOD], since, until).sizes["interval"] > 0
