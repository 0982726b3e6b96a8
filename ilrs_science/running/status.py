"""How far a cube is: told from its records and the plan beside them, whoever made them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

from ilrs_science.model.record import Counts, Record
from ilrs_science.store import cube, lease, records
from ilrs_science.store.collection import cubes_at
from ilrs_science.store.target import target

_NO_PLAN = records.StoredPlan([], [], 0, {})


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
    nothing = Status(
        output=url,
        parts=0,
        done=0,
        stale=0,
        failed={},
        counts=Counts(),
        rejected={},
        holder="",
        unreadable=(),
        seconds=0,
        peak_memory=0,
    )
    holders = dict.fromkeys(one.holder for one in several if one.holder)
    return replace(reduce(_together, map(_named, several), nothing), holder=", ".join(holders))


def _named(one: Status) -> Status:
    """Return the status of a cube with its name before each of its parts and records."""
    return replace(
        one,
        failed={f"{one.output} {part}": reason for part, reason in one.failed.items()},
        unreadable=tuple(f"{one.output} {name}" for name in one.unreadable),
    )


def _together(total: Status, one: Status) -> Status:
    """Return the total with one cube more."""
    return replace(
        total,
        parts=total.parts + one.parts,
        done=total.done + one.done,
        stale=total.stale + one.stale,
        failed=total.failed | one.failed,
        counts=total.counts + one.counts,
        rejected=total.rejected | one.rejected,
        unreadable=total.unreadable + one.unreadable,
        seconds=total.seconds + one.seconds,
        peak_memory=max(total.peak_memory, one.peak_memory),
    )


@dataclass(frozen=True)
class _Progress:
    """The records that a plan asks for, as far as they are there."""

    wanted: Mapping[tuple[int, int], str]
    """Identity of every part of the plan, by region."""
    records: Sequence[Record]

    @property
    def done(self) -> list[Record]:
        """Those of parts that are done, in whichever way."""
        return [record for record in self.records if record.status == "done"]

    @property
    def current(self) -> int:
        """How many parts are done as the plan has them."""
        return sum(record.digest == self.wanted[record.region] for record in self.done)

    @property
    def failed(self) -> dict[str, str]:
        """Failed parts by number, with the reason."""
        return {str(record.part): record.reason for record in self.records if record.status != "done"}

    @property
    def rejected(self) -> dict[str, str]:
        """Granules that were rejected in parts that are done, with the reason."""
        outcomes = [outcome for record in self.done for outcome in record.outcomes]
        return {outcome.url: outcome.fault for outcome in outcomes if outcome.fault}


def _of_cube(url: str, *, alone: bool = True) -> Status:
    cube.open_attributes(url)
    place = target(url)
    plan, loaded, held = records.load_plan(place) or _NO_PLAN, records.load(place), lease.holder(place)
    wanted = plan.wanted
    progress = _Progress(wanted, [record for region, record in loaded.records.items() if region in wanted])
    done, current = progress.done, progress.current
    # Samples outside the axis are told of once all parts are done, and for a cube of a collection not at all.
    samples = plan.samples if alone and current == len(wanted) else 0
    return Status(
        output=place.url,
        parts=len(wanted),
        done=current,
        stale=len(done) - current,
        failed=progress.failed,
        counts=_counts(done, samples),
        rejected=progress.rejected,
        holder="" if held is None else held.who,
        unreadable=loaded.unreadable,
        seconds=sum(record.seconds for record in progress.records),
        peak_memory=max((record.peak_memory for record in progress.records), default=0),
    )


def _counts(done: Sequence[Record], samples: int) -> Counts:
    """Return the counts of records; of all `samples` of the raw files the rest lies outside the axis, in no part."""
    counts = sum((record.counts for record in done), Counts())
    beyond = max(0, samples - counts.read)
    return counts + Counts(read=beyond, rejected=beyond)
