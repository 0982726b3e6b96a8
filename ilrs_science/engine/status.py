"""How far a cube is: told from its records and the plan beside them, whoever made them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ilrs_science.model.record import Counts, Record
from ilrs_science.store import cube, lease, records
from ilrs_science.store.collection import cubes_at
from ilrs_science.store.target import target


@dataclass(frozen=True)
class Status:
    """Parts of a cube by state, and what became of the samples so far."""

    output: str
    parts: int
    done: int
    stale: int
    """Parts done with other inputs, parameters, references or code than the newest plan has."""
    failed: dict[str, str]
    """Failed parts, by cube and number in a collection, with the reason."""
    counts: Counts
    rejected: dict[str, str]
    """Rejected granules with the reason."""
    holder: str
    """Who is writing the cube now: user, host, process and since when; an empty text if nobody is."""
    unreadable: tuple[str, ...]
    """Records that cannot be read; what they told of will be done again."""
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
            "failed": self.failed,
            "counts": vars(self.counts),
            "rejected": self.rejected,
            "holder": self.holder,
            "unreadable_records": list(self.unreadable),
            "seconds": self.seconds,
            "peak_memory": self.peak_memory,
        }


def status(url: str) -> Status:
    """Return how far a cube is, or all cubes of a collection together.

    Raises
    ------
    CubeError
        There is no cube at the URL.
    """
    cubes = cubes_at(url)
    return _of_cube(url) if cubes == [url] else _summed(target(url).url, [_of_cube(one, alone=False) for one in cubes])


def _summed(url: str, several: Sequence[Status]) -> Status:
    failed = {f"{one.output} {part}": reason for one in several for part, reason in one.failed.items()}
    return Status(
        output=url,
        parts=sum(one.parts for one in several),
        done=sum(one.done for one in several),
        stale=sum(one.stale for one in several),
        failed=failed,
        counts=sum((one.counts for one in several), Counts()),
        rejected={file: reason for one in several for file, reason in one.rejected.items()},
        holder=", ".join(dict.fromkeys(one.holder for one in several if one.holder)),
        unreadable=tuple(f"{one.output} {name}" for one in several for name in one.unreadable),
        seconds=sum(one.seconds for one in several),
        peak_memory=max((one.peak_memory for one in several), default=0),
    )


def _of_cube(url: str, *, alone: bool = True) -> Status:
    cube.open_attributes(url)
    place = target(url)
    plan, loaded, held = records.load_plan(place), records.load(place), lease.holder(place)
    wanted = {} if plan is None else plan.wanted
    found = [record for region, record in loaded.records.items() if region in wanted]
    done = [record for record in found if record.status == "done"]
    current = [record for record in done if record.digest == wanted[record.region]]
    all_done = alone and plan is not None and len(current) == len(wanted)
    return Status(
        output=place.url,
        parts=len(wanted),
        done=len(current),
        stale=len(done) - len(current),
        failed={str(record.part): record.reason for record in found if record.status != "done"},
        counts=_counts(done, plan.samples if plan is not None and all_done else 0),
        rejected={outcome.url: outcome.fault for record in done for outcome in record.outcomes if outcome.fault},
        holder="" if held is None else held.who,
        unreadable=loaded.unreadable,
        seconds=sum(record.seconds for record in found),
        peak_memory=max((record.peak_memory for record in found), default=0),
    )


def _counts(done: Sequence[Record], samples: int) -> Counts:
    """Return the counts of records; of all `samples` of the raw files the rest lies outside the axis, in no part."""
    counts = sum((record.counts for record in done), Counts())
    beyond = max(0, samples - counts.read)
    return counts + Counts(read=beyond, rejected=beyond)
