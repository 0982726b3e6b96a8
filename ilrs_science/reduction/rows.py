"""The rows that a step makes of windows or groups of samples, each called for alone."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ilrs_science.catalog import sample_times, with_times
from ilrs_science.errors import StepError, is_outage
from ilrs_science.geometry.time import isot
from ilrs_science.model.axis import Axis, Times
from ilrs_science.model.duration import Duration
from ilrs_science.model.good import GOOD
from ilrs_science.model.quality import REJECTED, rejections, set_flag
from ilrs_science.reduction.calling import BoundStep, known, locked
from ilrs_science.reduction.joining import joined
from ilrs_science.reduction.lineage import Made, Mask, Positions
from ilrs_science.reduction.pieces import Groups, Piece, window_numbers, windows
from ilrs_science.reduction.samples import TAG


@dataclass(frozen=True)
class Region:
    """Where samples are as they would be if nothing had been cut off, TAI ns, half-open."""

    axis: Axis
    """Of the part."""
    site: str
    start: int
    stop: int

    def within(self, margin: int) -> Region:
        """Return where they still are so after a step that looks that far to either side."""
        return replace(self, start=self.start + margin, stop=self.stop - margin)

    def covers(self, times: Times) -> Mask:
        """Tell which times lie in it."""
        return np.asarray((times >= self.start) & (times < self.stop))

    def is_mine(self, times: Times) -> Mask:
        """Tell which times lie in the part itself, which tells what becomes of their samples."""
        return np.asarray(self.axis.slots(times, self.site) >= 0)


def rows_of(step: BoundStep, ds: xr.Dataset, region: Region) -> Made:
    """Return what a step makes of the windows or groups of samples.

    Samples that a step before has rejected are not handed on, and good intervals are not touched.

    Parameters
    ----------
    ds
        Samples in order of time.
    region
        Where these are all there.

    Raises
    ------
    StepError
        A row lies outside of its window or group, or rows have not all the same variables.
    """
    rejected = rejections(ds)
    everywhere = sample_times(ds)
    handed = np.flatnonzero(
        region.covers(everywhere) & ~np.any([np.zeros(len(everywhere)), *rejected.values()], axis=0)
    )
    samples = ds.isel(time=handed).drop_vars(REJECTED, errors="ignore").drop_attrs(deep=False)
    wanted = region.within(step.margin)
    cut = _without_references(
        _windows(step, samples, wanted) if step.declared.window else _groups(step, samples, wanted), step, samples
    )
    rows, makers = _called(step, samples, cut.pieces, events=GOOD in ds.attrs)
    heirs = _heirs(samples, cut.number, rows, makers)
    idle = np.isin(cut.number, [one.number for one in cut.pieces]) & (heirs.row < 0)
    refused = {**cut.refused, f"step {step.function.__name__} made nothing of it": idle}
    lost = rejected | {why: _spread(mask, handed, fill=False, count=len(everywhere)) for why, mask in refused.items()}
    # Of rows outside of the region nobody knows here what they would be with all their samples.
    kept = np.flatnonzero(wanted.covers(sample_times(rows)))
    place = _spread(np.arange(len(kept)), kept, fill=-1, count=rows.sizes["time"] + 1)
    row = place[heirs.row]
    rows = rows.isel(time=kept).assign_attrs({key: one for key, one in ds.attrs.items() if key == GOOD})
    own = _Own.of(cut.pieces, makers[kept])
    origin = handed[own.origins(sample_times(samples), sample_times(rows), row, heirs.carries[kept])]
    rows = rows.assign_coords({name: ("time", ds[name].values[origin]) for name in known(ds)})
    mine = region.is_mine(everywhere)
    lost = {why: mask & mine for why, mask in lost.items() if (mask & mine).any()}
    whole = bool(rows.sizes["time"]) or GOOD in ds.attrs
    return Made(rows, _spread(row, handed, fill=-1, count=len(everywhere)), origin, lost, complete=whole)


def _without_references(cut: _Cut, step: BoundStep, samples: xr.Dataset) -> _Cut:
    """Return the cut without the windows and groups at whose first sample there is no reference that the step needs."""
    if not step.required:
        return cut
    pieces, refused = [], dict(cut.refused)
    for one in cut.pieces:
        lacking = _for_piece(step, samples, one).without_reference(np.array([one.begins]))
        for why in lacking:
            refused[why] = refused.get(why, False) | (cut.number == one.number)
        pieces += [] if lacking else [one]
    return replace(cut, pieces=pieces, refused=refused)


def _for_piece(step: BoundStep, samples: xr.Dataset, piece: Piece) -> BoundStep:
    """Return a step with the references for the first sample of a piece."""
    if not step.keys:
        return step
    return step.for_tags({key: str(samples[f"{TAG}{key}"].values[piece.samples.start]) for key in step.keys})


def _spread(values: NDArray[Any], positions: Positions, *, fill: Any, count: int) -> NDArray[Any]:
    """Return an array of so many values, these at their positions and the others filled."""
    found = np.full(count, fill, values.dtype)
    found[positions] = values
    return found


@dataclass(frozen=True)
class _Cut:
    """Samples cut into windows or groups."""

    number: NDArray[np.int64]
    """Of the window or group of each sample."""
    pieces: Sequence[Piece]
    """What the step is to be called with."""
    refused: Mapping[str, Mask] = field(default_factory=dict)
    """Samples that it is not called with, by the reason, whichever part they belong to."""


def _windows(step: BoundStep, samples: xr.Dataset, wanted: Region) -> _Cut:
    times = sample_times(samples)
    pieces = windows(times, step.reach, (wanted.start, wanted.stop))
    return _Cut(window_numbers(times, step.reach), pieces)


def _groups(step: BoundStep, samples: xr.Dataset, wanted: Region) -> _Cut:
    name, label, limit = step.function.__name__, step.declared.group, step.reach.limit
    if label not in samples.variables or samples[label].dims != ("time",):
        there = ", ".join(str(one) for one in samples.variables if samples[one].dims == ("time",))
        raise StepError(f"step {name} is called for each {label}, which is no variable along time; there are {there}")
    groups = Groups.of(sample_times(samples), samples[label].values, limit)
    long = groups.longer_than(limit)
    pieces = [
        one
        for one in groups.pieces()
        if not long[one.number] and one.bounds[0] < wanted.stop and one.bounds[1] > wanted.start
    ]
    return _Cut(groups.number, pieces, {f"{label} is the same for longer than {Duration(limit)}": long[groups.number]})


def _called(
    step: BoundStep, samples: xr.Dataset, pieces: Sequence[Piece], *, events: bool
) -> tuple[xr.Dataset, NDArray[np.int64]]:
    """Return the rows that are made of pieces, in order of time, and the number of the piece of each."""
    samples = locked(samples)
    made = [_rows_of_piece(step, samples, one) for one in pieces]
    if not made:
        none = samples.isel(time=slice(0, 0))
        return (_made_of_none(step, none) if events else none), np.zeros(0, np.int64)
    lengths = [one.sizes["time"] for one in made]
    rows = with_times(joined(made))
    if "quality" not in rows:
        rows = rows.assign(quality=_all_flags(samples["quality"], pieces, lengths, rows.sizes))
    elif not rows["quality"].attrs:
        rows = rows.assign(quality=rows["quality"].assign_attrs(samples["quality"].attrs))
    return rows, np.repeat([one.number for one in pieces], lengths)


def _made_of_none(step: BoundStep, none: xr.Dataset) -> xr.Dataset:
    """Return what a step makes of no event, for the steps after it that may change the time in which there is none.

    Few can do that without one; then those after it get the variables that it was given.
    """
    try:
        rows, _ = step.call(none, None)
    except Exception as error:
        if is_outage(error):
            raise
        return none
    return with_times(rows.drop_vars("time", errors="ignore").assign(quality=none["quality"]))


def _all_flags(
    quality: xr.DataArray, pieces: Sequence[Piece], lengths: Sequence[int], sizes: Mapping[Hashable, int]
) -> xr.DataArray:
    """Return for each row all flags of the samples that it was made of, along those dimensions that rows have."""
    kept = [str(name) for name, size in quality.sizes.items() if sizes.get(name) == size and name != "time"]
    values = quality.transpose("time", *kept, ...).values
    few = np.bitwise_or.reduce(values, axis=tuple(range(1 + len(kept), values.ndim)))
    each = np.stack([np.bitwise_or.reduce(few[one.samples]) for one in pieces])
    return xr.DataArray(np.repeat(each, lengths, axis=0), dims=("time", *kept), attrs=quality.attrs)


def _rows_of_piece(step: BoundStep, samples: xr.Dataset, piece: Piece) -> xr.Dataset:
    name = step.function.__name__
    given = samples.isel(time=piece.samples)
    out, unknown = _for_piece(step, samples, piece).call(given, piece.begins)
    if "time" not in out.dims or "tai" not in out.variables or out["tai"].dims != ("time",):
        raise StepError(f"step {name} gave rows without tai along time; each has its own, as a coordinate")
    out = _as_known(out.set_coords("tai"))
    if step.series:
        out = _with_flags_of_series(out, given["quality"], unknown)
    times = sample_times(out)
    low, high = piece.bounds
    if times.size and not low <= times.min() <= times.max() < high:
        stray = isot(int(times[(times < low) | (times >= high)][0]))
        raise StepError(f"step {name} gave a row at {stray}, outside of its samples from {isot(low)} to {isot(high)}")
    low, high = piece.kept
    order = np.argsort(times, kind="stable")
    order = order[(times[order] >= low) & (times[order] < high)]
    return out if np.array_equal(order, np.arange(len(times))) else out.isel(time=order)


def _with_flags_of_series(out: xr.Dataset, quality: xr.DataArray, unknown: Mask) -> xr.Dataset:
    """Return rows that are flagged where a series told nothing of some of the samples that they were made of."""
    if "quality" not in out:
        every = slice(0, quality.sizes["time"])
        whole = Piece(every, 0, 0, (0, 0), (0, 0))
        out = out.assign(quality=_all_flags(quality, [whole], [out.sizes["time"]], out.sizes))
    return set_flag(out, "no_reference", xr.DataArray(np.full(out.sizes["time"], unknown.any()), dims="time"))


def _as_known(out: xr.Dataset) -> xr.Dataset:
    """Return rows with `tai` as samples have it, and a `sample`: their own, or a number that no sample has."""
    if "sample" not in out.variables or out["sample"].dims != ("time",) or out["sample"].dtype != np.uint64:
        none = np.zeros(out.sizes["time"], np.uint64)
        out = out.drop_vars("sample", errors="ignore").assign_coords(sample=("time", none))
    out = out.drop_vars("time", errors="ignore")
    if out["tai"].dtype.kind == "M":
        return out
    return out.assign_coords(tai=("time", sample_times(out).view("M8[ns]")))


@dataclass(frozen=True)
class _Heirs:
    """What became of samples."""

    row: Positions
    """The row that stands for each, or -1."""
    carries: Positions
    """For each row the sample whose number it carries on, or -1."""


def _heirs(samples: xr.Dataset, number: NDArray[np.int64], rows: xr.Dataset, makers: NDArray[np.int64]) -> _Heirs:
    """Return the row that stands for each sample, or -1.

    Of those that were made of its window or group it is the one that carries its `sample` number on, or else the last
    one that is no later, or the first.
    """
    times, ends = sample_times(samples), sample_times(rows)
    first, last = (np.searchsorted(makers, number, side=side) for side in ("left", "right"))
    latest = np.searchsorted(ends, times, side="right") - 1
    found = np.where(last > first, np.clip(latest, first, last - 1), -1)
    named, carries = np.full(len(number), -1, np.intp), np.full(len(makers), -1, np.intp)
    if rows.sizes["time"]:
        pairs = np.zeros(len(number) + len(makers), [("piece", "i8"), ("sample", "u8")])
        pairs["piece"] = np.concatenate([number, makers])
        pairs["sample"] = np.concatenate([samples["sample"].values, rows["sample"].values])
        _, words = np.unique(pairs, return_inverse=True)
        of_samples, of_rows = words[: len(number)], words[len(number) :]
        named = _first_with(of_rows, words)[of_samples]
        carries = _first_with(of_samples, words)[of_rows]
    return _Heirs(np.where(named >= 0, named, found).astype(np.intp), carries)


def _first_with(own: Positions, words: Positions) -> Positions:
    """Return for each word the first position that has it, or -1."""
    first = np.full(int(words.max()) + 1, -1, np.intp)
    first[own[::-1]] = np.arange(len(own))[::-1]
    return first


@dataclass(frozen=True)
class _Own:
    """Which samples the window or group of each row has."""

    first: Positions
    last: Positions

    @classmethod
    def of(cls, pieces: Sequence[Piece], makers: NDArray[np.int64]) -> _Own:
        at = np.searchsorted([one.number for one in pieces], makers)
        first = np.array([one.samples.start for one in pieces], np.intp)
        last = np.array([one.samples.stop - 1 for one in pieces], np.intp)
        return cls(first[at], last[at])

    def origins(self, times: Times, ends: Times, row: Positions, carries: Positions) -> Positions:
        """Return for each row the sample whose number it carries on, or the first one that it stands for.

        Or else the one before it in its own window or group.
        """
        found = np.clip(np.searchsorted(times, ends, side="right") - 1, self.first, self.last)
        standing = np.flatnonzero(row >= 0)[::-1]
        found[row[standing]] = standing
        return np.asarray(np.where(carries >= 0, carries, found), np.intp)
