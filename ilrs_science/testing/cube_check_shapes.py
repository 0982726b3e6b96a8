"""The JSON below `records/`: which fields each object has, and of which types."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

COUNTS = ("read", "placed", "rejected", "duplicate", "conflict")

type Shape = Any
"""A type; None; `[shape]` of elements; `{key: shape}` for these keys, `{"": shape}` for any; `(shape, ...)` for one."""

_TEXTS: Shape = {"": str}
_SHARD: Shape = {"size": int, "crc32c": str, "mark": str}
_OUTCOME: Shape = {
    "url": str,
    "site": str,
    "sha256": str,
    "counts": dict.fromkeys(COUNTS, int),
    "reasons": {"": int},
    "fault": str,
    "beside": _TEXTS,
    "observed": int,
    "series": str,
}
RECORD: Shape = {
    "part": int,
    "row": int,
    "first": int,
    "count": int,
    "digest": str,
    "causes": dict.fromkeys(("inputs", "parameters", "references", "code", "plugin"), str),
    "status": str,
    "reason": str,
    "failure": str,
    "outcomes": [_OUTCOME],
    "shards": {"": (_SHARD, None)},
    "flagged": int,
    "missing": int,
    "seconds": (float, int),
    "peak_memory": int,
    "worker": str,
    "environment": _TEXTS,
}
LEASE: Shape = {
    "number": int,
    "nonce": str,
    "user": str,
    "host": str,
    "process": int,
    "born": str,
    "job": str,
    "since": str,
}
BEAT: Shape = {"nonce": str, "count": int}
PLAN: Shape = {"digests": [str], "regions": [[int]], "samples": int, "pipeline": {"": object}}


def misfit(value: object, shape: Shape, path: str = "") -> str | None:
    """Return what is wrong with the first place in which JSON has another shape; None where there is none."""
    return next(_misfits(value, shape, path), None)


def _misfits(value: object, shape: Shape, path: str) -> Iterator[str]:
    if isinstance(shape, tuple):
        if all(misfit(value, one) for one in shape):
            yield f"{path or 'it'} is {value!r:.60}"
    elif isinstance(shape, list):
        yield from _elements(value, shape[0], path)
    elif isinstance(shape, dict):
        yield from _fields(value, shape, path)
    elif shape is not object and type(value) is not (shape or type(None)):
        yield f"{path or 'it'} is {value!r:.60}"


def _elements(value: object, shape: Shape, path: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{path or 'it'} is no list"
        return
    for number, one in enumerate(value):
        yield from _misfits(one, shape, f"{path}[{number}]")


def _fields(value: object, shape: dict[str, Shape], path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path or 'it'} is no mapping"
        return
    anything = "" in shape
    if not anything and value.keys() != shape.keys():
        yield f"{path or 'it'} has the fields {', '.join(value)}, not {', '.join(shape)}"
        return
    for key, one in value.items():
        yield from _misfits(one, shape[""] if anything else shape[key], f"{path}.{key}" if path else key)
