"""Which part accounts for a sample, so that over all parts each is counted once: law 4."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ilrs_science.errors import CountError
from ilrs_science.model.axis import Axis, Times
from ilrs_science.model.granule import Granule
from ilrs_science.model.part import Part
from ilrs_science.model.record import Counts, Outcome, Record

type Mask = NDArray[np.bool_]

OUTSIDE = "outside the axis"
"""Why a sample of a granule that reaches beyond the cube is in no part."""
BESIDE = "beside a file on which a step failed"
"""Why a sample of a granule within the cube is in no part: with and without that file it belongs to rows of others."""


@dataclass
class Tally:
    """What became of one granule so far."""

    granule: Granule
    read: int = 0
    placed: int = 0
    duplicate: int = 0
    conflict: int = 0
    observed: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    fault: str = ""

    def outcome(self) -> Outcome:
        """Return the tally as part of a record."""
        counts = Counts(self.read, self.placed, self.reasons.total(), self.duplicate, self.conflict)
        one = self.granule
        beside = {role: companion.sha256 for role, companion in dict(one.beside).items()}
        return Outcome(one.url, one.site, one.sha256, counts, dict(self.reasons), self.fault, beside, self.observed)


def is_mine(part: Part, site: str, times: Times) -> Mask:
    """Tell which samples this part accounts for: those in its region, whose parts lie edge to edge."""
    return np.asarray(part.axis.slots(times, site) >= 0)


def is_home(part: Part, granule: Granule) -> bool:
    """Tell whether this part counts what a granule loses as a whole; true in at most one part for each granule.

    That is the part in which the granule begins, or the first part where it begins before the campaign. It does not
    depend on where the axis ends, so that a cube may grow without counting anew.
    """
    return part.axis.is_home(granule, part.task.origin)


def unread_granules(parts: Iterable[Part], records: Mapping[tuple[int, int], Record]) -> set[tuple[str, str]]:
    """Return digest and site of granules in parts that stand as they are, with what they were made of before."""
    return {
        (granule.sha256, granule.site)
        for part in parts
        if (record := records.get((part.row, part.first))) is not None and record.digest != part.digest
        for granule in part.granules
    }


@dataclass(frozen=True)
class Books:
    """What the records of a cube have to account for."""

    granules: Sequence[Granule]
    axis: Axis
    margin: int
    """How far steps may move a sample in time, ns."""
    gone: Collection[str] = ()
    """Files that the plan does not have any more, and whose samples the cube keeps."""
    unread: Collection[tuple[str, str]] = ()
    """Digest and site of granules in parts that stand as they are because of those files."""

    def outside(self, records: Iterable[Record]) -> dict[str, int]:
        """Return the samples of each granule that lie outside the axis, by URL: those that no part accounts for.

        Raises
        ------
        CountError
            A record does not add up, a granule within the axis has samples that nobody counted, or one was counted
            twice.
        """
        read, lost = self._read(records)
        outside: Counter[str] = Counter()
        for granule in self.granules:
            key = (granule.sha256, granule.site)
            rest = granule.count - read.pop(key, 0)
            if key in self.unread:
                continue
            if key not in lost and (rest < 0 or (rest and self._is_within(granule))):
                raise CountError(
                    f"{granule.url} at {granule.site}: {granule.count} samples in the file, "
                    f"{granule.count - rest} accounted for; please report this"
                )
            outside[granule.url] += max(0, rest)
        if stray := sorted(key for key, count in read.items() if count):
            raise CountError(f"the records speak of files that the plan does not have: {stray}; please report this")
        return {url: count for url, count in outside.items() if count}

    def _read(self, records: Iterable[Record]) -> tuple[Counter[tuple[str, str]], set[tuple[str, str]]]:
        """Return the samples read of each granule by digest and site, and the granules of which nobody can tell."""
        read: Counter[tuple[str, str]] = Counter()
        lost: set[tuple[str, str]] = set()
        for outcome in (outcome for record in records for outcome in record.outcomes):
            if not outcome.counts.add_up:
                raise CountError(f"{outcome.url}: {outcome.counts} do not add up; please report this")
            key = (outcome.sha256, outcome.site)
            if outcome.url not in self.gone:
                read[key] += outcome.counts.read
            if outcome.fault and self.margin:
                # A step that moves samples failed in some part: nobody knows where its samples would have gone.
                lost.add(key)
        return read, lost

    def _is_within(self, granule: Granule) -> bool:
        """Tell whether every sample of a granule lies on the axis, wherever steps move it."""
        first, last = self.axis.start + self.margin, self.axis.stop - self.margin
        return first <= granule.start and granule.stop <= last
