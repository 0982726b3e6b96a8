"""Which row stands for which sample: steps may put samples into another order, or make rows of their own of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import xarray as xr
from numpy.typing import NDArray

type Positions = NDArray[np.intp]
type Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Made:
    """What steps made of samples."""

    ds: xr.Dataset
    """The rows, in order of time."""
    row: Positions
    """For each sample that came in, the row that stands for it; -1 where none does here."""
    origin: Positions
    """For each row, the sample that it is known by."""
    lost: Mapping[str, Mask] = field(default_factory=dict)
    """Samples that no row stands for anywhere, by the reason; each is told of in one part alone."""
    complete: bool = True
    """Whether all steps have run: not where one had no window or group to make rows of, and so no form of them."""

    @classmethod
    def of_each(cls, ds: xr.Dataset) -> Made:
        """Return rows of which each stands for itself."""
        each = np.arange(ds.sizes["time"])
        return cls(ds, each, each)

    @classmethod
    def of_some(cls, ds: xr.Dataset, lost: Mapping[str, Mask], mine: Mask) -> Made:
        """Return those rows that are not lost, each standing for itself; who tells of a lost one, `mine` says."""
        kept = np.flatnonzero(~np.any([np.zeros(ds.sizes["time"], bool), *lost.values()], axis=0))
        row = np.full(ds.sizes["time"], -1, np.intp)
        row[kept] = np.arange(len(kept))
        told = {why: mask & mine for why, mask in lost.items()}
        return cls(ds.isel(time=kept), row, kept, {why: mask for why, mask in told.items() if mask.any()})

    def then(self, later: Made) -> Made:
        """Return what came of the samples through both, `later` having been made of the rows of this."""
        here = self.row >= 0
        row = np.full(len(self.row), -1, np.intp)
        row[here] = later.row[self.row[here]]
        lost = dict(self.lost)
        for reason, mask in later.lost.items():
            again = np.zeros(len(self.row), bool)
            again[here] = mask[self.row[here]]
            lost[reason] = again | lost.get(reason, False)
        return Made(later.ds, row, self.origin[later.origin], lost, later.complete)

    def in_order(self, order: Positions) -> Made:
        """Return the rows in another order."""
        place = np.empty(len(order), np.intp)
        place[order] = np.arange(len(order))
        row = np.where(self.row >= 0, place[self.row], -1) if len(order) else self.row
        return Made(self.ds.isel(time=order), row, self.origin[order], self.lost, self.complete)
