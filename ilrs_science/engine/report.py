"""What a run did, from its plan and the records of every part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ilrs_science.engine.account import OUTSIDE, check_counts, totals
from ilrs_science.engine.plan import Plan
from ilrs_science.model.record import Counts, Record
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
        """0 all good, 3 finished with rejected granules or samples in conflict, 1 failed."""
        return 1 if self.failed else 3 if self.rejected or self.counts.conflict else 0

    @property
    def did_nothing(self) -> bool:
        """Whether every part had been done before."""
        return self.skipped == self.parts

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON-able values."""
        failed = [{"part": r.part, "reason": r.reason} for r in self.failed]
        return asdict(self) | {"failed": failed, "exit_code": self.exit_code}


def make_report(made: Plan, found: Records, skipped: int, seconds: float) -> Report:
    """Return what a run did.

    Raises
    ------
    CountError
        All parts are done, and samples are not accounted for: a fault of this package.
    """
    failed = tuple(sorted((r for r in found.values() if r.status != "done"), key=lambda r: r.part))
    done = [record for record in found.values() if record.status == "done"]
    outside: dict[str, int] = {}
    if not failed:
        outside = check_counts(made.granules, made.axis, made.task.margin, done, made.diff.gone)
    counts = totals(found.values(), outside)
    for granule in made.duplicates:
        counts += Counts(read=granule.count, duplicate=granule.count)
    reasons: dict[str, int] = {OUTSIDE: sum(outside.values())} if outside else {}
    rejected = {one.url: one.reason for one in made.rejected}
    for record in found.values():
        rejected |= {outcome.url: outcome.fault for outcome in record.outcomes if outcome.fault}
        for outcome in record.outcomes:
            for reason, count in outcome.reasons.items():
                reasons[reason] = reasons.get(reason, 0) + count
    return Report(
        made.pipeline.output,
        len(made.parts),
        skipped,
        failed,
        counts,
        sum(record.flagged for record in done),
        sum(record.missing for record in done),
        rejected,
        reasons,
        made.diff.gone,
        len({tuple(sorted(record.environment.items())) for record in done}),
        seconds,
    )


def summary(report: Report) -> dict[str, Any]:
    """Return the attributes that a cube has after a run; no clock time, as two runs of one pipeline give the same bytes."""
    state = COMPLETE if not report.failed else f"unfinished: {len(report.failed)} of {report.parts} parts failed"
    samples = ", ".join(f"{name} {count}" for name, count in asdict(report.counts).items())
    return {"status": state, "samples": samples}
