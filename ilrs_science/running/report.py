"""What a run did, from its plan and the records of every part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

from ilrs_science.errors import TRY_AGAIN
from ilrs_science.model.record import Counts, Record
from ilrs_science.planning.planned import Plan
from ilrs_science.reduction.account import BESIDE, OUTSIDE, Books, unread_granules
from ilrs_science.store.cube import COMPLETE

type Records = Mapping[tuple[int, int], Record]
"""By row and first slot of their regions."""


@dataclass(frozen=True)
class Report:
    """What a run did."""

    output: str
    parts: int
    skipped: int
    """Parts that an earlier run had done."""
    failed: tuple[Record, ...]
    counts: Counts
    """Samples over the whole cube, parts of earlier runs included."""
    flagged: int
    missing: int
    rejected: dict[str, str]
    """Files and granules that were rejected, with the reason."""
    reasons: dict[str, int]
    """Rejected samples by reason."""
    gone: tuple[str, ...]
    """Raw files whose samples the cube keeps although they are not there any more."""
    environments: int
    """How many versions of Python and of the libraries the parts were made with."""
    seconds: float

    @property
    def exit_code(self) -> int:
        """0 all good, 3 finished with rejected granules or samples in conflict, 1 failed, 75 failed by outages only."""
        if self.failed and all(record.failure in ("outage", "busy") for record in self.failed):
            return TRY_AGAIN
        return 1 if self.failed else 3 if self.rejected or self.counts.conflict else 0

    @property
    def did_nothing(self) -> bool:
        """Whether every part had been done before."""
        return self.skipped == self.parts

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON-able values."""
        failed = [{"part": r.part, "reason": r.reason} for r in self.failed]
        return asdict(self) | {"failed": failed, "exit_code": self.exit_code}


@dataclass(frozen=True)
class Done:
    """A plan of one cube with the records of its parts."""

    plan: Plan
    records: Records
    skipped: int
    """Parts that an earlier run had done."""

    @property
    def finished(self) -> list[Record]:
        """Records of parts that are done."""
        return [one for one in self.records.values() if one.status == "done"]

    @property
    def failed(self) -> list[Record]:
        """Records of failed parts, in order."""
        return sorted((one for one in self.records.values() if one.status != "done"), key=lambda one: one.part)


def make_report(output: str, several: Sequence[Done], seconds: float) -> Report:
    """Return what a run did to one cube, or to several that share their raw files.

    Raises
    ------
    CountError
        All parts of a cube are done, and samples are not accounted for: a fault of this package.
    """
    for one in several:
        _check_books(one)
    every = list(chain.from_iterable(one.records.values() for one in several))
    finished = list(chain.from_iterable(one.finished for one in several))
    failed = tuple(chain.from_iterable(one.failed for one in several))
    outside = Counter[str]() if failed else _outside(several, every)
    return Report(
        output=output,
        parts=sum(len(one.plan.parts) for one in several),
        skipped=sum(one.skipped for one in several),
        failed=failed,
        counts=_counts(several, every, outside),
        flagged=sum(record.flagged for record in finished),
        missing=sum(record.missing for record in finished),
        rejected=_rejected(several, every),
        reasons=_reasons(every, outside),
        gone=_gone(several, finished),
        environments=_environments(finished),
        seconds=seconds,
    )


def _check_books(done: Done) -> None:
    if not done.failed:
        plan, records = done.plan, done.records
        unread = unread_granules(plan.parts, records)
        Books(plan.granules, plan.axis, plan.task.margin, plan.diff.gone, unread).outside(records.values())


def _counts(several: Sequence[Done], records: Sequence[Record], outside: Counter[str]) -> Counts:
    """Return the samples of all raw files; those outside of all cubes, and those of copies, were in no part."""
    copies = {granule.url + granule.site: granule.count for one in several for granule in one.plan.duplicates}
    rejected, duplicate = outside.total(), sum(copies.values())
    apart = Counts(rejected + duplicate, rejected=rejected, duplicate=duplicate)
    return sum((record.counts for record in records), apart)


def _environments(finished: Sequence[Record]) -> int:
    """Return how many versions of Python and of the libraries parts were made with."""
    return len({tuple(sorted(record.environment.items())) for record in finished})


def _gone(several: Sequence[Done], finished: Sequence[Record]) -> tuple[str, ...]:
    """Return the files that are not there any more and have samples in the cube still."""
    held = {outcome.url for record in finished for outcome in record.outcomes if outcome.is_in or outcome.series}
    return tuple(dict.fromkeys(url for one in several for url in one.plan.diff.gone if url in held))


def _outside(several: Sequence[Done], records: Sequence[Record]) -> Counter[str]:
    """Return how many samples of the raw files are in no part of any cube, by the reason.

    Where steps failed on a file in one part and not in another, which rows its samples or those beside it belong to may
    differ between the two. All other such samples lie outside the axis.
    """
    faults = {(one.sha256, one.site): one.fault for record in records for one in record.outcomes if one.fault}
    within = {
        (one.sha256, one.site)
        for done in several
        for one in done.plan.granules
        if faults and done.plan.axis.start <= one.start and one.stop <= done.plan.axis.stop
    }
    found: Counter[str] = Counter()
    for key, rest in _unread(several, records).items():
        found[faults.get(key, BESIDE if key in within else OUTSIDE)] += rest
    return +found


def _unread(several: Sequence[Done], records: Sequence[Record]) -> dict[tuple[str, str], int]:
    """Return how many samples of each granule no part has read."""
    counts = {(one.sha256, one.site): one.count for done in several for one in done.plan.granules}
    for key in {key for done in several for key in unread_granules(done.plan.parts, done.records)}:
        counts.pop(key, None)
    for outcome in (one for record in records for one in record.outcomes):
        key = (outcome.sha256, outcome.site)
        if key in counts:
            counts[key] -= outcome.counts.read
    return {key: max(0, rest) for key, rest in counts.items()}


def _rejected(several: Sequence[Done], records: Sequence[Record]) -> dict[str, str]:
    files = {one.url: one.reason for done in several for one in done.plan.rejected if not one.is_expected}
    return files | {one.url: one.fault for record in records for one in record.outcomes if one.fault}


def _reasons(records: Sequence[Record], outside: Counter[str]) -> dict[str, int]:
    reasons = Counter(outside)
    for record in records:
        for outcome in record.outcomes:
            reasons.update(outcome.reasons)
    return dict(reasons)


def summary(report: Report) -> dict[str, Any]:
    """Return the attributes of a cube after a run; without a clock time, as two runs give the same bytes."""
    state = COMPLETE if not report.failed else f"unfinished: {len(report.failed)} of {report.parts} parts failed"
    samples = ", ".join(f"{name} {count}" for name, count in asdict(report.counts).items())
    return {"status": state, "samples": samples}
