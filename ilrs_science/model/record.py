"""What happened to a part: plain JSON, from which the provenance of a cube is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

type Failure = Literal["", "fault", "outage", "busy"]
"""By what a part failed: a fault, what lies outside the data and may pass, or a store that asks to be left alone."""


@dataclass(frozen=True)
class Counts:
    """What became of samples; every sample read is placed, rejected, a duplicate or in conflict."""

    read: int = 0
    placed: int = 0
    rejected: int = 0
    duplicate: int = 0
    conflict: int = 0
    """Samples that lost to a different one of the same instant."""

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.read + other.read,
            self.placed + other.placed,
            self.rejected + other.rejected,
            self.duplicate + other.duplicate,
            self.conflict + other.conflict,
        )

    @property
    def add_up(self) -> bool:
        """Whether read = placed + rejected + duplicate + conflict."""
        return self.read == self.placed + self.rejected + self.duplicate + self.conflict


@dataclass(frozen=True)
class Outcome:
    """What became of one granule in one part."""

    url: str
    site: str
    sha256: str
    counts: Counts = Counts()
    reasons: Mapping[str, int] = field(default_factory=dict)
    """Rejected samples by reason."""
    fault: str = ""
    """Why the whole granule was rejected, if it was."""
    beside: Mapping[str, str] = field(default_factory=dict)
    """Digests of the files beside it, by their role."""
    observed: int = 0
    """Of events: how much of its good intervals lies in the part, ns."""
    series: str = ""
    """Where it is no raw data of the part but tells of a series: the name of that."""

    @property
    def is_in(self) -> bool:
        """Whether values of the part come from it: samples, or a time in which there were none."""
        return bool(self.counts.placed or self.observed)


@dataclass(frozen=True)
class Shard:
    """What tells a stored object from another without reading it, and by reading it."""

    size: int
    """Bytes."""
    crc32c: str
    """Checksum of the stored bytes, 8 hexadecimal digits."""
    mark: str
    """Its ETag in an object store, or its time of modification in a file system, ns."""


@dataclass(frozen=True)
class Record:
    """What happened to a part."""

    part: int
    """Its number in the plan that made it, for people."""
    row: int
    first: int
    count: int
    """Row, first slot and number of slots of its region."""
    digest: str
    """Identity of the part."""
    causes: Mapping[str, str]
    """Digest of each thing that the result depends on."""
    status: Literal["done", "failed"]
    reason: str = ""
    """Why it failed."""
    failure: Failure = ""
    outcomes: tuple[Outcome, ...] = ()
    shards: Mapping[str, Shard | None] = field(default_factory=dict)
    """By key in the store; None where every cell is empty, so that nothing is stored."""
    flagged: int = 0
    """Slots that a sample reached and whose quality is not zero."""
    missing: int = 0
    """Slots that no sample reached."""
    seconds: float = 0.0
    peak_memory: int = 0
    """High-water mark of the worker process, bytes."""
    worker: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Versions of Python and of the libraries it was made with."""

    @property
    def region(self) -> tuple[int, int]:
        """Row and first slot: what a record is found by, however long the cube has grown."""
        return (self.row, self.first)

    @property
    def counts(self) -> Counts:
        """Samples over all granules."""
        return sum((outcome.counts for outcome in self.outcomes), Counts())

    def as_json(self) -> dict[str, Any]:
        """Return the record as JSON-able values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Record:
        """Return the record that `as_json` wrote; for what comes from a worker, which is trusted."""
        outcomes = tuple(Outcome(**{**one, "counts": Counts(**one["counts"])}) for one in values["outcomes"])
        shards = {key: None if one is None else Shard(**one) for key, one in values["shards"].items()}
        return cls(**{**values, "outcomes": outcomes, "shards": shards})
