"""Good intervals: when an instrument that counts events was able to see any, exact to the nanosecond.

They are a dataset along `interval`: `start` and `stop` (int64 TAI ns, half-open), `live` (the fraction of it in which
an event was counted), a column of bins for each dimension that they have, and `granule`, the file's number in its part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ilrs_science.model.axis import Times
from ilrs_science.model.quality import reject

GOOD = "good"
"""The attribute of samples that holds their good intervals."""

_EDGES = ("start", "stop")


def good_intervals(given: Any, columns: Sequence[str]) -> xr.Dataset:
    """Return good intervals in order of their columns and start, whichever way `read` gave them.

    Parameters
    ----------
    given
        An array of start and stop, shape (n, 2), int64 TAI ns or datetime64 (TAI); or columns by name, `start`, `stop`
        and the numbers of bins.
    columns
        The dimensions of bins that they have.

    Raises
    ------
    ValueError
        A column is missing or of another kind, an interval runs backwards, or two of one cell overlap.
    """
    table = _table(given)
    if table.keys() != {*_EDGES, *columns}:
        raise ValueError(
            f"good intervals have the columns {', '.join(table)}; expected {', '.join((*_EDGES, *columns))}"
        )
    lengths = {name: np.shape(one) for name, one in table.items()}
    if len(set(lengths.values())) > 1 or len(next(iter(lengths.values()))) != 1:
        raise ValueError(f"good intervals have columns of the shapes {lengths}; expected one number each an interval")
    whole = {name: _whole(name, one) for name, one in table.items()}
    order = np.lexsort((whole["start"], *(whole[name] for name in reversed(columns))))
    made = xr.Dataset({name: ("interval", one[order]) for name, one in whole.items()})
    made = made.assign(live=("interval", np.ones(len(order))), granule=("interval", np.zeros(len(order), np.int64)))
    if (made["stop"] >= made["start"]).all():
        made = made.isel(interval=(made["stop"] > made["start"]).values)  # one of no length is none
    if problem := disorder(made, columns):
        raise ValueError(problem)
    return made


def disorder(good: xr.Dataset, columns: Sequence[str]) -> str:
    """Return what is wrong with the order of intervals that are sorted by columns and start, or an empty text."""
    start, stop = good["start"].values, good["stop"].values
    if (back := stop < start).any():
        first = int(np.flatnonzero(back)[0])
        return f"{int(back.sum())} good intervals run backwards, the first from {start[first]} to {stop[first]} TAI ns"
    same = np.ones(max(0, len(start) - 1), bool)
    for name in ("granule", *columns):
        same &= np.diff(good[name].values) == 0
    if (over := same & (start[1:] < stop[:-1])).any():
        first = int(np.flatnonzero(over)[0])
        return (
            f"{int(over.sum())} good intervals overlap others of their file, the first from "
            f"{start[first + 1]} to {min(stop[first], stop[first + 1])} TAI ns"
        )
    return ""


def of_granule(good: xr.Dataset, number: int) -> xr.Dataset:
    """Return good intervals that say which granule of a part they belong to."""
    return good.assign(granule=("interval", np.full(good.sizes["interval"], number, np.int64)))


def joined_good(several: Sequence[xr.Dataset]) -> xr.Dataset:
    """Return the good intervals of several granules one after the other."""
    return xr.concat(several, "interval")


def within(good: xr.Dataset, since: int, until: int) -> xr.Dataset:
    """Return what of good intervals lies in [since, until), TAI ns."""
    start, stop = np.maximum(good["start"].values, since), np.minimum(good["stop"].values, until)
    kept = good.assign(start=("interval", start), stop=("interval", stop))
    return kept.isel(interval=stop > start)


def union(start: Times, stop: Times) -> tuple[Times, Times]:
    """Return disjoint intervals, in order, that cover what any of the given ones covers."""
    order = np.argsort(start, kind="stable")
    start, stop = start[order], stop[order]
    filled = stop > start
    start, stop = start[filled], stop[filled]
    reach = np.maximum.accumulate(stop) if len(stop) else stop
    opens = np.ones(len(start), bool)
    opens[1:] = start[1:] > reach[:-1]
    closes = np.flatnonzero(np.append(opens[1:], values=True)) if len(start) else np.zeros(0, np.intp)
    return start[opens], reach[closes]


def covered(times: Times, start: Times, stop: Times) -> NDArray[np.bool_]:
    """Tell which times lie in one of disjoint intervals that are in order."""
    if not len(start):
        return np.zeros(len(times), bool)
    last = np.searchsorted(start, times, side="right") - 1
    return np.asarray((last >= 0) & (times < stop[last]))


def split_at(good: xr.Dataset, edges: Times) -> xr.Dataset:
    """Return good intervals cut wherever an edge lies within one; `edges` are in order, each once."""
    start, stop = good["start"].values, good["stop"].values
    first = np.searchsorted(edges, start, side="right")
    inside = np.maximum(np.searchsorted(edges, stop, side="left") - first, 0)
    if not inside.any():
        return good
    number = np.repeat(np.arange(len(start)), inside + 1)
    piece = np.arange(len(number)) - np.repeat(np.cumsum(inside + 1) - inside - 1, inside + 1)
    at = first[number] + piece
    low = np.where(piece > 0, edges[np.maximum(at - 1, 0)], start[number])
    high = np.where(piece < inside[number], edges[np.minimum(at, len(edges) - 1)], stop[number])
    return good.isel(interval=number).assign(start=("interval", low), stop=("interval", high))


def without(good: xr.Dataset, start: Times, stop: Times) -> xr.Dataset:
    """Return good intervals less what disjoint intervals cover that are in order."""
    cut = split_at(good, np.unique(np.concatenate([start, stop])))
    return cut.isel(interval=~covered(cut["start"].values, start, stop))


def exclude(ds: xr.Dataset, start: Any, stop: Any, reason: str) -> xr.Dataset:
    """Return events with their good intervals shortened: a door was closed, a flare, a high voltage that was down.

    Parameters
    ----------
    ds
        Events, as the engine hands them to a step.
    start, stop
        Times between which the instrument was not good after all, half-open; TAI, int64 ns or datetime64.
    reason
        Why; the events there are rejected for it.

    Raises
    ------
    ValueError
        An interval runs backwards, or `ds` has no good intervals.
    """
    low, high = _stretches(start, stop)
    out = reject(ds, reason, xr.DataArray(covered(_times(ds), low, high), dims="time"))
    return out.assign_attrs({GOOD: without(_good_of(ds), low, high)})


def scale_live_time(ds: xr.Dataset, fraction: Any, start: Any = None, stop: Any = None) -> xr.Dataset:
    """Return events whose exposure is multiplied by a fraction, for the dead time of the detector.

    Parameters
    ----------
    ds
        Events, as the engine hands them to a step.
    fraction
        Live fraction, from 0 to 1: a number, or one for each stretch of time.
    start, stop
        The stretches, half-open, which do not overlap; TAI, int64 ns or datetime64. By default all time.

    Raises
    ------
    ValueError
        A fraction outside 0 to 1, a stretch that runs backwards or overlaps another, or no good intervals.
    """
    good = _good_of(ds)
    live = np.atleast_1d(np.asarray(fraction, np.float64))
    if not ((live >= 0) & (live <= 1)).all():
        raise ValueError(f"a live fraction of {live[~((live >= 0) & (live <= 1))][0]:g}; expected 0 to 1")
    if (start is None) != (stop is None) or (start is None and live.size != 1):
        raise ValueError("a live fraction for all time is one number; for stretches give start and stop of each")
    if start is None:
        return ds.assign_attrs({GOOD: good.assign(live=good["live"] * float(live[0]))})
    low, high = _moments("start", start), _moments("stop", stop)
    if low.shape != high.shape or live.size not in (1, low.size):
        raise ValueError(
            f"{low.size} starts, {high.size} stops and {live.size} live fractions; expected as many of each"
        )
    if (low[1:] < high[:-1]).any() or (high < low).any():
        raise ValueError("stretches of live time overlap, run backwards or are not in order")
    if not low.size:
        return ds
    cut = split_at(good, np.unique(np.concatenate([low, high])))
    at = np.searchsorted(low, cut["start"].values, side="right") - 1
    hit = covered(cut["start"].values, low, high)
    return ds.assign_attrs(
        {GOOD: cut.assign(live=cut["live"] * np.where(hit, np.broadcast_to(live, low.shape)[at], 1.0))}
    )


def _table(given: Any) -> dict[str, Any]:
    if isinstance(given, xr.Dataset):
        return {str(name): one.values for name, one in given.variables.items()}
    if isinstance(given, Mapping):
        return {str(name): np.asarray(one) for name, one in given.items()}
    pairs = np.asarray(given)
    if pairs.size == 0:
        pairs = np.zeros((0, 2), np.int64)
    if pairs.ndim != 2 or pairs.shape[1] != 2:  # noqa: PLR2004 - start and stop
        raise ValueError(f"good intervals of shape {pairs.shape}; expected (n, 2), start and stop")
    return {"start": pairs[:, 0], "stop": pairs[:, 1]}


def _whole(name: str, values: Any) -> NDArray[np.int64]:
    return _moments(name, values) if name in _EDGES else _integers(name, np.asarray(values))


def _moments(name: str, values: Any) -> Times:
    given = np.atleast_1d(np.asarray(values))
    if given.dtype.kind == "M":
        if np.isnat(given).any():
            raise ValueError(f"{name} of good intervals is not a time somewhere")
        return given.astype("datetime64[ns]").astype(np.int64)
    return _integers(name, given)


def _integers(name: str, values: NDArray[Any]) -> NDArray[np.int64]:
    if values.size and values.dtype.kind not in "iu":
        raise ValueError(f"{name} of good intervals is {values.dtype}; expected integers, of times TAI ns")
    return values.astype(np.int64)


def _stretches(start: Any, stop: Any) -> tuple[Times, Times]:
    low, high = _moments("start", start), _moments("stop", stop)
    if low.shape != high.shape or (high < low).any():
        raise ValueError("exclude: intervals run backwards, or have more starts than stops")
    return union(low, high)


def _good_of(ds: xr.Dataset) -> xr.Dataset:
    if GOOD not in ds.attrs:
        raise ValueError("these samples have no good intervals: their product is no histogram")
    good: xr.Dataset = ds.attrs[GOOD]
    return good


def _times(ds: xr.Dataset) -> Times:
    return np.asarray(ds["tai"].values.astype("datetime64[ns]").astype(np.int64))
