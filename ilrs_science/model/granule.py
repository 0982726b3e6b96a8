"""Raw files, as the plan sees them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ilrs_science import raw


@dataclass(frozen=True)
class Granule:
    """One raw file, or the part of one file that belongs to one site.

    Times are TAI nanoseconds since 1970-01-01T00:00:00 TAI, the span is half-open.
    """

    url: str
    """Local path or fsspec URL."""
    instrument: str = ""
    """Name of the instrument that reads it."""
    site: str = ""
    """Name of the site that observed it."""
    start: int = 0
    """Time of the first sample; 0, and `stop` too, where the file tells no time."""
    stop: int = 0
    """A time after the last sample."""
    count: int = 0
    """Samples in it, those that `read` rejects included."""
    size: int = 0
    """Bytes of the file."""
    sha256: str = ""
    """Digest of the file."""
    level: str = "raw"
    """Native level code, as the partner writes it (0B, 01, L0, EDR ...)."""
    times: tuple[int, ...] = ()
    """Instants of its exposures; empty for regularly sampled instruments."""
    format: str = ""
    """Name of its raw format, where a reader of `ilrs_science.formats` recognised it."""

    beside: Mapping[str, Granule] = field(default_factory=dict, hash=False)
    """The files beside it that `read` opens too, by their roles; of each the place, the size and the digest."""
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)
    """What `index` says that it is: `{"kind": "flat", "filter": "R"}`. References are chosen by them, too."""

    @property
    def identity(self) -> dict[str, Any]:
        """Everything of it that a result depends on, JSON-able: not where it lies."""
        return {
            "sha256": self.sha256,
            "site": self.site,
            "start": self.start,
            "stop": self.stop,
            "count": self.count,
            "level": self.level,
            "format": self.format,
            "times": list(self.times),
            "beside": {role: one.sha256 for role, one in sorted(self.beside.items())},
            **({"tags": dict(self.tags)} if self.tags else {}),
        }

    def as_json(self) -> dict[str, Any]:
        """Return the granule as JSON-able values; of the files beside it their URL, size and digest."""
        row: dict[str, Any] = {one.name: getattr(self, one.name) for one in fields(self)}
        told = {role: {"url": one.url, "size": one.size, "sha256": one.sha256} for role, one in self.beside.items()}
        return row | {"times": list(self.times), "beside": told, "tags": dict(self.tags)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Granule:
        """Return the granule that `as_json` wrote."""
        beside = {role: cls(**one) for role, one in (values.get("beside") or {}).items()}
        tags = dict(values.get("tags") or {})
        return cls(**{**values, "times": tuple(values.get("times") or ()), "beside": beside} | {"tags": tags})

    def read_bytes(self) -> bytes:
        """Return the whole file; a `.gz` is unpacked.

        Raises
        ------
        OutageError
            It cannot be opened or read, or has another digest than when it was indexed.
        FormatError
            It is damaged gzip.
        """
        return raw.read_bytes(self.url, self.sha256)

    @contextmanager
    def local(self) -> Iterator[Path]:
        """Yield a local path of the file, for libraries that read only paths; the files beside it are beside it there.

        A remote file is copied for the while, and a `.gz` is unpacked.

        Raises
        ------
        OutageError
            One of the files cannot be opened or read, or has another digest than when it was indexed.
        FormatError
            It is damaged gzip.
        """
        companions = {one.url: one.sha256 for one in self.beside.values()}
        with raw.local(self.url, self.sha256, companions) as path:
            yield path
