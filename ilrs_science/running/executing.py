"""Parts in, records out, on whatever executor; what a worker did not survive is tried again at the end, alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from ilrs_science.executors.items import Limits, Pool, Underway
from ilrs_science.executors.local import local_pool
from ilrs_science.executors.window import mapped
from ilrs_science.model.part import Part
from ilrs_science.model.record import Record
from ilrs_science.reduction.worker import reduce_ticket
from ilrs_science.running.quarantine import quarantine, reduce_suspicious
from ilrs_science.store.tables import Tables

if TYPE_CHECKING:
    from distributed import Client

type ExecutorName = Literal["serial", "threads", "processes"]
type Ticket = Mapping[str, Any]
type Workers = Pool[Ticket, dict[str, Any]]
type Execute = Callable[[Work], Generator[Record | Slow | None]]


@dataclass(frozen=True)
class Work:
    """Parts to do, and what they need to travel."""

    parts: Sequence[Part]
    tables: Tables
    digest: str
    """Of the stored tables."""
    token: str
    """Of the run."""

    def tickets(self) -> Iterator[Ticket]:
        """Yield the parts as they travel."""
        return (self.tables.ticket(part, self.digest, self.token) for part in self.parts)


@dataclass(frozen=True)
class Slow:
    """A part that a worker has been at for a while."""

    part: int
    stage: str
    seconds: float

    def __str__(self) -> str:
        return f"part {self.part}, {self.stage}, {self.seconds:.0f} s"


@dataclass(frozen=True)
class Executor:
    """Where a run does its work."""

    name: ExecutorName = "threads"
    """Without a cluster."""
    workers: int | None = None
    """By default one a core."""
    client: Client | None = None
    limits: Limits = field(default_factory=Limits)
    resources: Mapping[str, float] = field(default_factory=dict)
    """What a worker of the cluster must have for a part."""

    @contextmanager
    def pool(self) -> Iterator[Workers]:
        """Yield workers that do parts."""
        made = self._make()
        try:
            yield made
        finally:
            made.close()

    def _make(self) -> Workers:
        if self.client is not None:
            from ilrs_science.executors.dask import OnDask  # noqa: PLC0415 - distributed is slow to import

            return OnDask(self.client, reduce_ticket, self.limits, self.resources)
        return local_pool(self.name, self.workers or os.cpu_count() or 1, reduce_ticket, self.limits)


def records(pool: Workers, work: Work, limits: Limits) -> Generator[Record | Slow | None]:
    """Yield the record of every part as it comes; between them what takes long, or None, so that others may act."""
    suspicious = []
    with closing(mapped(pool, work.tickets(), _is_busy)) as results:
        for ended in results:
            if ended is None:
                yield _slow(pool.longest())
            elif ended.value is None:
                suspicious.append(ended.item)
            else:
                yield Record.from_json(ended.value)
    try:
        for ticket in suspicious:
            yield Slow(ticket["number"], "tried alone, as its worker did not survive it", 0)
            asked = {"ticket": ticket, "limits": {"seconds": limits.seconds, "memory": limits.memory}}
            yield Record.from_json(pool.alone(reduce_suspicious, asked))
    finally:
        quarantine.close()


def _is_busy(record: dict[str, Any]) -> bool:
    return bool(record["failure"] == "busy")


def _slow(longest: Underway[Ticket] | None) -> Slow | None:
    return None if longest is None else Slow(longest.item["number"], longest.stage.name, longest.seconds)
