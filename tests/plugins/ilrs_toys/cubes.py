"""Small cubes of every kind, and the hands to damage one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import zarr

import ilrs_science as ilrs
from ilrs_science.geometry.time import isot
from ilrs_toys import raw
from ilrs_toys.campaign import SECOND, START, Campaign

BEFORE_2017 = (1_483_228_800 + 36 - 5) * SECOND
"""TAI ns, five SI seconds before the end of 2016-12-31T23:59:60 begins."""


APOLLO = 34_560_000 * SECOND
"""TAI ns of a moment of 1971-02-05."""


def slots(folder: Path, **changes: Any) -> Path:
    """Make a cube of 12 slots at two sites; nobody reached the last shard of either, or site a after slot 4."""
    campaign = Campaign(folder)
    campaign.write("a.toy", "a", [0, 1.25, 2, 3, 4])
    campaign.write("b.toy", "bb", range(8))
    ilrs.run(campaign.pipeline(12, steps=["flag_odd", "to_units"], **changes), executor="serial")
    return folder / "cube.zarr"


def means(folder: Path) -> Path:
    """Make the same with the mean of each slot of two seconds."""
    time = {"start": isot(START), "stop": isot(START + 12 * SECOND), "step": "2 s"}
    return slots(folder, place="mean", time=time)


def leap(folder: Path) -> Path:
    """Make a cube whose slots 4 and 5 are the two seconds that share a label, and of which nobody reached the last."""
    return _from(folder, BEFORE_2017)


def early(folder: Path) -> Path:
    """Make a cube of 1971, when a second of UTC was 30 ns longer than one of TAI."""
    return _from(folder, APOLLO)


def _from(folder: Path, start: int) -> Path:
    raw.write(folder / "raw" / "a.toy", "a", [start + k * SECOND for k in range(5)])
    time = {"start": isot(start), "stop": isot(start + 12 * SECOND), "step": "1 s"}
    ilrs.run(Campaign(folder).pipeline(12, time=time, sites=["a"]), executor="serial")
    return folder / "cube.zarr"


def frames(folder: Path) -> Path:
    """Make a cube of three exposures, two of them at one instant."""
    campaign = Campaign(folder)
    campaign.write("a.frames", "a", [5, 1])
    campaign.write("b.frames", "bb", [1])
    ilrs.run(campaign.exposures(sites=["bb", {"name": "a", "lon": 3.5}]), executor="serial")
    return folder / "frames.zarr"


def edit_json(path: Path, change: Callable[[Any], Any]) -> None:
    """Change a document; times of modification are none of its content."""
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def edit_attributes(cube: Path, **changes: Any) -> None:
    """Replace attributes of the root; None takes one away."""

    def change(root: dict[str, Any]) -> None:
        root["attributes"] = {k: v for k, v in (root["attributes"] | changes).items() if v is not None}

    edit_json(cube / "zarr.json", change)


def edit_array(cube: Path, name: str, change: Callable[[Any], Any]) -> None:
    """Change the metadata of an array, in its own document and in the root's."""
    edit_json(cube / name / "zarr.json", change)
    edit_json(cube / "zarr.json", lambda root: change(root["consolidated_metadata"]["metadata"][name]))


def segment(cube: Path) -> Path:
    """Return the one segment of records of a finished cube."""
    (found,) = (cube / "records").glob("[0-9]*-[0-9]*.json")
    return found


def edit_record(cube: Path, change: Callable[[Any], Any]) -> None:
    """Change the record of the first part."""
    edit_json(segment(cube), lambda records: change(records[0]))


def put(cube: Path, name: str, where: Any, value: Any) -> None:
    """Write a number into an array, and let the records agree."""
    array = zarr.open_array(str(cube / name), mode="r+", zarr_format=3, config={"write_empty_chunks": True})
    array[where] = value
    seal(cube)


def seal(cube: Path) -> None:
    """Let the records tell of the shards as they are."""

    def change(records: list[dict[str, Any]]) -> None:
        for record in records:
            record["shards"] = {key: _shard(cube / key) for key in record["shards"]}

    edit_json(segment(cube), change)


def negative_nan() -> np.float32:
    """Return NaN as 0/0 gives it on some machines."""
    return np.array(0xFFC00000, "u4").view("f4")[()]


def _shard(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    data = path.read_bytes()
    return {"size": len(data), "crc32c": f"{google_crc32c.value(data):08x}", "mark": str(path.stat().st_mtime_ns)}
