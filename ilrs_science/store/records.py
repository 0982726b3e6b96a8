"""Records in the cube's own store: immutable segments, read by a strict schema."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config

from ilrs_science.model.record import Counts, Outcome, Record, Shard
from ilrs_science.store.target import Target

_SEGMENT = re.compile(r"records/([0-9]{6})-([0-9]{6})\.json")
_MOST = 256
"""Records of a segment."""
_SECONDS = 10.0
"""A record waits no longer for its segment."""

for _noun in (Counts, Outcome, Shard, Record):
    with_config(ConfigDict(extra="forbid", strict=True))(_noun)
_SEGMENT_SCHEMA: TypeAdapter[list[Record]] = TypeAdapter(list[Record])


@dataclass(frozen=True)
class Loaded:
    """What was found below `records/`."""

    records: Mapping[tuple[int, int], Record]
    """The newest of each region, by row and first slot."""
    unreadable: tuple[str, ...]
    """Segments that are torn or foreign; they count as absent."""
    segments: tuple[str, ...]
    """All that are readable, oldest first."""


def load(place: Target) -> Loaded:
    """Return the newest record of every region."""
    names = sorted(name for name in place.listing("records") if _SEGMENT.fullmatch(name))
    records: dict[tuple[int, int], Record] = {}
    unreadable, segments = [], []
    for name in names:
        try:
            found = _SEGMENT_SCHEMA.validate_json(place.read(name) or b"", strict=True)
        except (ValidationError, ValueError):
            unreadable.append(name)
            continue
        segments.append(name)
        records |= {record.region: record for record in found}
    return Loaded(records, tuple(unreadable), tuple(segments))


@dataclass
class Journal:
    """Records on their way into the store: a segment at a time."""

    place: Target
    token: str
    number: int = 0
    waiting: list[Record] = field(default_factory=list)
    since: float = field(default_factory=monotonic)

    def add(self, record: Record) -> None:
        """Keep a record until it is written with others."""
        self.waiting.append(record)

    def flush_if_due(self) -> bool:
        """Write what waits if that is much or was long ago, and return whether it was written."""
        if not self.waiting or (len(self.waiting) < _MOST and monotonic() - self.since < _SECONDS):
            return False
        self.flush()
        return True

    def flush(self) -> None:
        """Write what waits as one segment."""
        if self.waiting:
            self._write(self.waiting)
            self.waiting = []
        self.since = monotonic()

    def compact(self, records: Iterable[Record], older: Iterable[str]) -> None:
        """Write all records as one segment, and remove the older ones."""
        self.flush()
        mine = [f"records/{self.token}-{number:06d}.json" for number in range(1, self.number + 1)]
        self._write(list(records))
        for name in [*older, *mine]:
            self.place.delete(name)

    def _write(self, records: list[Record]) -> None:
        self.number += 1
        content = json.dumps([record.as_json() for record in records], separators=(",", ":")).encode()
        self.place.write(f"records/{self.token}-{self.number:06d}.json", content)


@with_config(ConfigDict(extra="ignore", strict=True))
@dataclass(frozen=True)
class StoredPlan:
    """What the newest run set out to do, as `ilrs status` needs it."""

    digests: list[str]
    """Identity of every part, in order."""
    regions: list[Annotated[list[int], Field(min_length=3, max_length=3)]]
    """Row, first slot and number of slots of every part."""
    samples: int
    """Samples in all granules."""
    pipeline: dict[str, Any]

    @property
    def wanted(self) -> dict[tuple[int, int], str]:
        """Identity of every part by its row and first slot."""
        return {(row, first): one for (row, first, _), one in zip(self.regions, self.digests, strict=False)}


_PLAN_SCHEMA: TypeAdapter[StoredPlan] = TypeAdapter(StoredPlan)


def save_plan(place: Target, plan: StoredPlan) -> None:
    """Write what the records belong to."""
    place.write("records/plan.json", _PLAN_SCHEMA.dump_json(plan))


def load_plan(place: Target) -> StoredPlan | None:
    """Return what `save_plan` wrote; None if there is nothing, or nothing that can be read."""
    try:
        return _PLAN_SCHEMA.validate_json(place.read("records/plan.json") or b"", strict=True)
    except (ValidationError, ValueError):
        return None
