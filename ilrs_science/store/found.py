"""What a listing says of an object in storage, whatever kind of place it lies in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Found:
    """An object in the store, as a listing shows it."""

    size: int
    mark: str
    """Its ETag in an object store, or its time of modification in a file system, ns."""
