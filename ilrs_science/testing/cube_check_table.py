"""The rows of a table: sorted, each in the shard of its slot, as many as the cube tells, with its flags."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ilrs_science.errors import Fault
from ilrs_science.testing.cube_check_place import Cube, differs

_OWN = ("site", "time", "tai", "granule", "position", "index", "quality")
_KEY = re.compile(r"table/([0-9]+)/([0-9]+)\.parquet")
_MISSING, _CLOCK_UNCERTAIN = 1, 1 << 5


def table_faults(cube: Cube) -> Iterator[Fault]:
    """Yield what is wrong with the rows of a cube that has a table."""
    if cube.schema["place"] != "table":
        return
    length = cube.schema["cut"][1]
    counted = np.zeros((len(cube.schema["sites"]), cube.count), np.int64)
    for name in cube.place.below("table"):
        found = _KEY.fullmatch(name)
        if found is None or int(found[1]) >= len(counted) or int(found[2]) * length >= cube.count:
            yield Fault(name, "is a stranger there", "the rows of shards of slots")
            continue
        row, first = int(found[1]), int(found[2]) * length
        yield from _shard_faults(cube, name, row, counted[row, first : first + length], first)
    if cube.complete:
        rows = cube.values("rows", ...)
        wrong = np.argwhere(rows != counted)
        if wrong.size:
            row, slot = wrong[0].tolist()
            yield Fault("rows", f"tells of {rows[row, slot]} rows at {row}, {slot}", f"{counted[row, slot]} are there")


def _shard_faults(cube: Cube, name: str, row: int, counted: NDArray[np.int64], first: int) -> Iterator[Fault]:
    import pyarrow.parquet as pq  # noqa: PLC0415 - heavy

    table = pq.read_table(io.BytesIO(cube.place.read(name) or b""))
    yield from differs(f"{name}.columns", table.column_names, [*_OWN, *_declared(cube)])
    if table.num_rows == 0:
        yield Fault(name, "has no row", "a shard without rows is absent")
        return
    tai = table["tai"].cast("int64").to_numpy()
    key = [tai, *(np.asarray(table[one].to_pylist()) for one in ("granule", "position", "index"))]
    if (np.lexsort(key[::-1]) != np.arange(len(tai))).any() or len({*zip(*key, strict=True)}) < len(tai):
        yield Fault(name, "is out of order, or has a row twice", "sorted by tai, granule, position and index")
    yield from differs(f"{name}.site", set(table["site"].to_pylist()), {cube.schema["sites"][row]["name"]})
    starts = cube.values("tai", slice(first, first + len(counted)))
    bounds = _nanoseconds(cube, "tai", starts)
    slots = np.searchsorted(bounds, tai, side="right") - 1
    if (slots < 0).any():
        yield Fault(name, "has a row before its first slot", "rows lie in the shard of their slot")
        return
    counted += np.bincount(slots, minlength=len(counted))
    quality = table["quality"].to_numpy()
    flags = np.where(counted > 0, np.uint32(0), np.uint32(_MISSING))
    np.bitwise_or.at(flags, slots, quality)
    flags[slots[quality == 0]] = 0
    stored = cube.values("quality", (row, slice(first, first + len(counted))))
    if ((stored ^ flags) & ~np.uint32(_CLOCK_UNCERTAIN)).any():
        allowed = "that of its rows where all have some flag, missing where there is none"
        yield Fault(f"{name}.quality", "is not that of its slots", allowed)


def _declared(cube: Cube) -> list[str]:
    names = []
    for one in cube.schema["product"]["variables"]:
        names += [one["name"], *([f"{one['name']}_uncertainty"] if one["uncertainty"] else [])]
    return names


def _nanoseconds(cube: Cube, name: str, values: NDArray[Any]) -> NDArray[np.int64]:
    units = {"seconds": 10**9, "milliseconds": 10**6, "microseconds": 10**3, "nanoseconds": 1}
    word = cube.documents[name]["attributes"]["units"].partition(" ")[0]
    return np.asarray(values, np.int64) * units[word]
