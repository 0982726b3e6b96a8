"""How far a cube is: told from its records and the plan beside them, whoever made them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ilrs_science.model.part import Counts
from ilrs_science.store import cube, records


@dataclass(frozen=True)
class Status:
    """Parts of a cube by state, and what became of the samples so far."""

    output: str
    parts: int
    done: int
    stale: int
    """Parts done with other inputs, parameters, references or code than the newest plan has."""
    failed: dict[int, str]
    """Failed parts with the reason."""
    counts: Counts
    rejected: dict[str, str]
    """Rejected granules with the reason."""
    seconds: float
    """Time spent in workers."""
    peak_memory: int
    """Largest high-water mark of a worker process, bytes."""

    @property
    def waiting(self) -> int:
        """Parts not begun, or begun and not finished."""
        return self.parts - self.done - self.stale - len(self.failed)

    def as_json(self) -> dict[str, Any]:
        """Return the status as JSON-able values."""
        return {
            "output": self.output,
            "parts": self.parts,
            "done": self.done,
            "waiting": self.waiting,
            "stale": self.stale,
            "failed": {str(number): reason for number, reason in self.failed.items()},
            "counts": vars(self.counts),
            "rejected": self.rejected,
            "seconds": self.seconds,
            "peak_memory": self.peak_memory,
        }


def status(url: str) -> Status:
    """Return how far a cube is.

    Raises
    ------
    CubeError
        There is no cube at the URL.
    """
    cube.open_attributes(url)
    digests = records.load_plan(url).get("digests", [])
    found = [record for record in records.load_all(url).values() if record.part < len(digests)]
    done = [record for record in found if record.status == "done"]
    current = [record for record in done if record.digest == digests[record.part]]
    return Status(
        url,
        len(digests),
        len(current),
        len(done) - len(current),
        {record.part: record.reason for record in found if record.status != "done"},
        sum((record.counts for record in done), Counts()),
        {outcome.url: outcome.fault for record in done for outcome in record.outcomes if outcome.fault},
        sum(record.seconds for record in found),
        max((record.peak_memory for record in found), default=0),
    )
