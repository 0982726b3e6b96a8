"""A campaign of toys: raw files, references and the pipeline over them."""

import hashlib
import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ilrs_science.geometry.time import isot
from ilrs_toys import raw

START = 1_930_000_037 * 10**9
"""TAI ns of the first slot, a whole second of UTC."""
SECOND = 10**9


@dataclass
class Campaign:
    """Files of toys below a folder."""

    folder: Path
    references: list[dict[str, Any]] = field(default_factory=list)

    def write(
        self, name: str, site: str, seconds: Iterable[float], words: Iterable[int] | None = None, **head: Any
    ) -> str:
        """Write a raw file with samples at these seconds after the start."""
        times = [START + round(second * SECOND) for second in seconds]
        return raw.write(self.folder / "raw" / name, site, times, words, **head)

    def refer(self, kind: str, start: float, stop: float, value: float, **more: Any) -> None:
        """Add a reference valid from one second after the start to another."""
        folder = self.folder / "references"
        folder.mkdir(parents=True, exist_ok=True)
        content = json.dumps(xr.Dataset({"offset" if kind == "clock" else "gain": ((), value)}).to_dict())
        payload = f"{kind}-{hashlib.sha256(content.encode()).hexdigest()[:12]}.json"
        (folder / payload).write_text(content)
        entry = {
            "kind": kind,
            "instrument": "toy-clock",
            "valid": {"start": isot(START + round(start * SECOND)), "stop": isot(START + round(stop * SECOND))},
            "published": isot(START - 10**6 * SECOND),
            "payload": payload,
        }
        self.references.append(entry | more)
        (folder / "index.yaml").write_text(json.dumps({"references": self.references}))

    def pipeline(self, count: int = 24, *, output: str = "cube.zarr", **changes: Any) -> dict[str, Any]:
        """Return a pipeline of so many slots of one second at sites a and bb."""
        made: dict[str, Any] = {
            "name": "toys",
            "instrument": "toy-clock",
            "sites": [{"name": "a", "lon": 10.0, "lat": -89.0, "frame": "MOON_ME"}, {"name": "bb"}],
            "time": {"start": isot(START), "stop": isot(START + count * SECOND), "step": "1 s"},
            "raw": str(self.folder / "raw" / "*.toy"),
            "steps": ["to_units"],
            "layout": {"chunk": 2, "shard": 4},
            "output": output if "://" in output else str(self.folder / output),
        }
        if self.references:
            made["references"] = {"folders": [str(self.folder / "references")]}
        return made | changes

    def exposures(self, *, output: str = "frames.zarr", **changes: Any) -> dict[str, Any]:
        """Return a pipeline of the camera over all its frames."""
        made: dict[str, Any] = {
            "name": "frames",
            "instrument": "toy-frames",
            "raw": str(self.folder / "raw" / "*.frames"),
            "layout": {"chunk": 1, "shard": 2},
            "output": output if "://" in output else str(self.folder / output),
        }
        return made | changes


LAYOUT = {"chunk": 256, "shard": 256}
"""Three parts a site; small chunks would cost more than all else."""


class Small(Campaign):
    """768 slots at one site: two files that share an edge, a gap, and a duplicate."""

    def change(self) -> None:
        """Change a raw file, so that two of the three parts change."""
        self.write("1.toy", "a", range(299, 700))

    def pipeline(self, count: int = 768, **changes: Any) -> dict[str, Any]:
        return super().pipeline(count, **({"sites": ["a"], "layout": LAYOUT} | changes))


def moved(cube: Path, folder: Path) -> Path:
    """Copy a finished cube into the folder of a like campaign, as if it had been made there: cheaper than a run."""
    copy = folder / cube.name
    shutil.copytree(cube, copy)
    for path in (*copy.glob("*.json"), *copy.glob("records/*.json")):
        path.write_text(path.read_text().replace(str(cube.parent), str(folder)))
    return copy


def shard_files(cube: str | Path) -> dict[str, bytes]:
    """Return every file of a cube that holds data or metadata, records aside."""
    root = Path(cube)
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.relative_to(root).parts[0] != "records" and not path.name.endswith(".partial")
    }


def values(cube: str | Path) -> xr.Dataset:
    """Return a cube in memory, opened as an analyst without this package does."""
    with xr.open_zarr(str(cube), chunks=None) as opened:
        return opened.load()


def assert_same_bytes(one: str | Path, other: str | Path, *, but: Sequence[str] = ("zarr.json",)) -> None:
    """Assert that two cubes are the same files; the root document names paths in its provenance, so it may differ."""
    left, right = shard_files(one), shard_files(other)
    assert left.keys() == right.keys()
    assert [name for name in left if left[name] != right[name] and name not in but] == []


def equal(one: xr.Dataset, other: xr.Dataset) -> bool:
    """Return whether all variables and coordinates agree, missing values included."""
    return one.drop_attrs().equals(other.drop_attrs()) and all(
        np.array_equal(one[name].values.view("u1"), other[name].values.view("u1"))
        for name in one.data_vars
        if one[name].ndim and one[name].dtype.kind in "fiu"
    )
