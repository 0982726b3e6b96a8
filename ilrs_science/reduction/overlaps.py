"""Samples of one instant in several granules: copies of each other, or a conflict that a declared rule decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ilrs_science.model.axis import Times
from ilrs_science.model.quality import set_flag
from ilrs_science.reduction.joining import joined

type Positions = NDArray[np.intp]


@dataclass(frozen=True)
class Samples:
    """Samples of one site with what the engine keeps about each of them."""

    ds: xr.Dataset
    read: xr.Dataset
    """The same samples as `read` gave them, before any step; of no more use once overlaps are settled."""
    source: Positions
    """Which granule it came from."""
    raw: Times
    """Its time as read, TAI ns."""
    units: frozenset[str]
    """Units of what `read` gave."""
    granules: frozenset[int]
    """All granules they come from, those without a sample too."""

    def pick(self, chosen: Any) -> Samples:
        """Return some of the samples."""
        read = self.read.isel(time=chosen) if self.read.sizes else self.read
        return replace(self, ds=self.ds.isel(time=chosen), read=read, source=self.source[chosen], raw=self.raw[chosen])


@dataclass(frozen=True)
class Loss:
    """Samples of a granule that another granule has too."""

    kind: Literal["duplicate", "conflict"]
    source: int
    times: Times
    """As read, TAI ns."""


def settled(found: Sequence[Samples], rule: str) -> tuple[Samples, list[Loss]]:
    """Return the samples of several granules in order of time, each instant from one granule; and what was left out.

    Within a granule a sample is a row, whatever its time: a repeated time there is neither a copy nor a conflict.

    Parameters
    ----------
    found
        In order of the granules' start and digest.
    rule
        Which granule keeps an instant of which two say different things: `first`, `last`, or `best`, that with fewest
        samples flagged there by `read`, and of equal ones the first.
    """
    every, order = _sorted(found)
    several = _contested(every, order)
    if not several.size:
        return _picked(every, order), []
    lost, disputed, losses = _decide(every, found, several, rule)
    keep = np.ones(len(order), bool)
    keep[lost] = False
    chosen = order[keep[order]]
    samples = every.pick(chosen)
    if disputed.size:
        mask = xr.DataArray(np.isin(chosen, disputed), dims="time")
        samples = replace(samples, ds=set_flag(samples.ds, "conflict", mask))
    return samples, losses


def without_copies(found: Sequence[Samples]) -> tuple[Samples, list[Loss]]:
    """Return the samples of several granules in order of time, without rows that another granule has at that time.

    Of equal rows the granule keeps its own that has most of them, and of equals the first: within a granule each is one
    of its own. Rows that differ stand beside each other.
    """
    every, order = _sorted(found)
    several = _contested(every, order)
    if not several.size:
        return _picked(every, order), []
    raw, source = every.raw[several], every.source[several]
    words = _words(joined([one.read for one in found]).isel(time=several))
    rows, of, many = np.unique(np.stack([raw, words, source]), axis=1, return_inverse=True, return_counts=True)
    # The granule with most rows comes first of each time and word.
    ranked = np.lexsort((rows[2], -many, rows[1], rows[0]))
    keeps = np.isin(np.arange(len(many)), ranked[_starts(rows[0][ranked], rows[1][ranked])])[of]
    losses = [Loss("duplicate", int(one), raw[~keeps & (source == one)]) for one in np.unique(source[~keeps])]
    keep = np.ones(len(order), bool)
    keep[several[~keeps]] = False
    return every.pick(order[keep[order]]), losses


def _contested(every: Samples, order: Positions) -> Positions:
    """Return the samples of the instants that several granules have, in order."""
    # A cluster is what one granule has at one instant; a group is all that there is at it.
    clusters = _starts(every.raw[order], every.source[order])
    groups = _starts(every.raw[order][clusters])
    several = np.diff([*groups, len(clusters)])
    counts = np.diff([*clusters, len(order)])
    return order[np.repeat(np.repeat(several > 1, several), counts)]


def merged(found: Sequence[Samples]) -> Samples:
    """Return the samples of several granules in order of time: events, of which none is a copy of another."""
    return _picked(*_sorted(found))


def _sorted(found: Sequence[Samples]) -> tuple[Samples, Positions]:
    every = _joined(found)
    return every, np.lexsort((every.source, every.raw))


def _picked(every: Samples, order: Positions) -> Samples:
    return every if (np.diff(order) > 0).all() else every.pick(order)


def _decide(
    every: Samples, found: Sequence[Samples], several: Positions, rule: str
) -> tuple[Positions, Positions, list[Loss]]:
    """Decide who keeps contested instants: returns the samples that lose, those that won a conflict, and the losses."""
    source, raw = every.source[several], every.raw[several]
    clusters = _starts(raw, source)
    sizes = np.diff([*clusters, len(several)])
    groups = _starts(raw[clusters])
    group = np.repeat(np.arange(len(groups)), np.diff([*groups, len(clusters)]))
    winner = _winners(group, source[clusters], _flags(every.ds.isel(time=several), clusters), rule)
    loses = np.repeat(~np.isin(np.arange(len(clusters)), winner), sizes)
    # A row of which the winner has a copy is one, however many rows each of them has at the instant.
    words = _words(joined([one.read for one in found]).isel(time=several))
    said = np.repeat(group, sizes) * (words.max() + 1) + words
    same = np.isin(said, said[~loses])
    disputed = np.isin(raw, raw[loses & ~same]) & ~loses
    losses = []
    for kind, rows in (("duplicate", loses & same), ("conflict", loses & ~same)):
        losses += [Loss(kind, int(one), raw[rows & (source == one)]) for one in np.unique(source[rows])]  # type: ignore[arg-type]
    return several[loses], several[disputed], losses


def _winners(group: Positions, source: Positions, flags: NDArray[np.int64], rule: str) -> Positions:
    """Return the cluster that keeps the instant of each group."""
    by_rule = {"first": source, "last": -source, "best": flags}[rule]
    order = np.lexsort((source, by_rule, group))
    return order[_starts(group[order])]


def _starts(*keys: NDArray[Any]) -> Positions:
    """Return the first position of every run of equal keys."""
    changed = np.zeros(len(keys[0]), bool)
    changed[:1] = True
    for key in keys:
        changed[1:] |= key[1:] != key[:-1]
    return np.flatnonzero(changed)


def _words(read: xr.Dataset) -> NDArray[np.int64]:
    """Return a number for each sample, equal where all bits that `read` gave of it are equal."""
    count = read.sizes["time"]
    columns = [np.zeros((count, 1), np.uint8)]
    for name in sorted(map(str, read.variables)):
        array = read[name]
        if "time" not in array.dims or name == "time":
            continue
        values = array.transpose("time", ...).values.reshape(count, -1)
        plain = np.ascontiguousarray(values.astype("U") if values.dtype.kind == "O" else values)
        columns.append(plain.view(np.uint8).reshape(count, -1))
    rows = np.ascontiguousarray(np.concatenate(columns, axis=1))
    _, words = np.unique(rows.view(f"V{rows.shape[1]}").ravel(), return_inverse=True)
    return np.asarray(words, np.int64)


def _flags(ds: xr.Dataset, clusters: Positions) -> NDArray[np.int64]:
    """Return the number of flagged values of each cluster."""
    quality = ds["quality"].transpose("time", ...).values
    flagged = np.count_nonzero(quality.reshape(len(quality), -1), axis=1)
    return np.asarray(np.add.reduceat(flagged, clusters), np.int64)


def _joined(found: Sequence[Samples]) -> Samples:
    if len(found) == 1:
        return found[0]
    return Samples(
        joined([one.ds for one in found]),
        xr.Dataset(),
        np.concatenate([one.source for one in found]),
        np.concatenate([one.raw for one in found]),
        frozenset().union(*(one.units for one in found)),
        frozenset().union(*(one.granules for one in found)),
    )
