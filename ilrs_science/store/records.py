"""Records in the cube's own store: one JSON object a part, and the plan they belong to."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import uuid4

import fsspec

from ilrs_science.model.part import Record


def save(url: str, record: Record) -> None:
    """Write the record of a part, replacing an older one whole."""
    _put(url, f"{record.part:08d}.json", record.as_json())


def load_all(url: str) -> dict[int, Record]:
    """Return every record of a cube by the number of its part; a torn one counts as not there."""
    filesystem, root = fsspec.url_to_fs(f"{url}/records")
    if not filesystem.isdir(root):
        return {}
    names = [
        n for n in filesystem.ls(root, detail=False) if n.endswith(".json") and n.rsplit("/", 1)[-1][:-5].isdigit()
    ]
    found = {}
    # By ranges, because `cat` takes a bracket in a name for a wildcard.
    for content in filesystem.cat_ranges(names, [0] * len(names), [None] * len(names)):
        try:
            record = Record.from_json(json.loads(content))
        except (ValueError, TypeError, KeyError):
            continue
        found[record.part] = record
    return found


def discard(url: str, parts: Iterable[int]) -> None:
    """Remove the records of parts."""
    for part in parts:
        filesystem, path = fsspec.url_to_fs(f"{url}/records/{part:08d}.json")
        filesystem.rm_file(path)


def save_plan(url: str, plan: Mapping[str, Any]) -> None:
    """Write what the records belong to: the digest of every part."""
    _put(url, "plan.json", plan)


def load_plan(url: str) -> dict[str, Any]:
    """Return what `save_plan` wrote; empty if nothing."""
    try:
        with fsspec.open(f"{url}/records/plan.json", "rb") as file:
            plan: dict[str, Any] = json.loads(file.read())
    except (OSError, ValueError):
        return {}
    return plan


def _put(url: str, name: str, value: Mapping[str, Any]) -> None:
    filesystem, path = fsspec.url_to_fs(f"{url}/records/{name}")
    data = json.dumps(value, indent=1).encode()
    if "file" not in filesystem.protocol:
        filesystem.pipe_file(path, data)  # object stores replace an object whole
        return
    temporary = f"{path}.{uuid4().hex}.partial"
    try:
        with open(temporary, "wb") as file:  # noqa: PTH123 - fsspec gives a path in text
            file.write(data)
        os.replace(temporary, path)  # noqa: PTH105
    except OSError:
        if os.path.exists(temporary):  # noqa: PTH110
            os.unlink(temporary)  # noqa: PTH108
        raise
