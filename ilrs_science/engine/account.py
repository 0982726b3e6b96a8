"""Which part accounts for a sample, so that over all parts each is counted once: law 4."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ilrs_science.model.axis import RegularAxis, Times
from ilrs_science.model.granule import Granule
from ilrs_science.model.part import Counts, Outcome, Part

type Mask = NDArray[np.bool_]


@dataclass
class Tally:
    """What became of one granule so far."""

    granule: Granule
    read: int = 0
    placed: int = 0
    duplicate: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    fault: str = ""

    def outcome(self) -> Outcome:
        """Return the tally as part of a record."""
        counts = Counts(self.read, self.placed, self.reasons.total(), self.duplicate)
        return Outcome(self.granule.url, self.granule.site, self.granule.sha256, counts, dict(self.reasons), self.fault)


def is_mine(part: Part, site: str, times: Times) -> Mask:
    """Tell which samples this part accounts for: those in its region; the parts at the edges take what lies beyond."""
    if not isinstance(part.axis, RegularAxis):
        return np.asarray(part.axis.slots(times, site) >= 0)
    mine = np.ones(len(times), bool)
    if part.axis.start > part.span[0]:
        mine &= times >= part.axis.start
    if part.axis.stop < part.span[1]:
        mine &= times < part.axis.stop
    return mine


def is_home(part: Part, granule: Granule) -> bool:
    """Tell whether this part, holding the granule's first time in the span, accounts for what it loses as a whole."""
    if isinstance(part.axis, RegularAxis):
        first = min(max(granule.start, part.span[0]), part.span[1] - 1)
        return part.axis.start <= first < part.axis.stop
    inside = [time for time in granule.times if part.span[0] <= time < part.span[1]]
    return bool(inside) and bool(part.axis.slots(np.array(inside[:1], np.int64), granule.site)[0] >= 0)


def count_outside(part: Part, tally: Tally, times: Times, near: Mask, at_home: bool) -> None:
    """Count the samples of a granule that lie beyond the cube altogether, and so in no part's region."""
    if isinstance(part.axis, RegularAxis):
        # Those near the region are counted when they are placed: a step may still move them.
        count = int(is_mine(part, tally.granule.site, times[~near]).sum())
    else:
        count = int(((times < part.span[0]) | (times >= part.span[1])).sum()) if at_home else 0
    if count:
        tally.read += count
        tally.reasons["outside the axis"] += count
