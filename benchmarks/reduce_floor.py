"""What the engine costs over the floor: the same shards, compressed and written from arrays that are ready.

Prints CPU seconds of both and their ratio, round by round; then the median of the ratios. The floor writes the very
arrays of the finished cube with the same codecs and layout; what the engine does more is reading, calibrating, checking
and placing. Once for a day of three magnetometers (small files, small samples), once for 64 camera frames.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import ilrs_science as ilrs
from ilrs_science.planning.planned import Plan
from ilrs_science.simulate import frame_transfer, magnetometer
from ilrs_science.store import creating
from ilrs_science.store.shards import write_region
from ilrs_science.store.target import target

ROUNDS = 5


def field(folder: Path) -> dict[str, Any]:
    magnetometer.simulate(folder, hours=24)
    return {
        "instrument": "fluxgate",
        "time": {"start": "2031-03-01T00:00:00Z", "stop": "2031-03-02T00:00:00Z", "step": "1 s"},
        "raw": f"{folder}/raw/{{site}}/*.fgm",
    }


def frames(folder: Path) -> dict[str, Any]:
    frame_transfer.simulate(folder, frames=64)
    return {"instrument": "clementine-star-tracker", "raw": f"{folder}/raw/*"}


def floor(made: Plan, arrays: list[dict[str, np.ndarray]], url: str) -> float:
    place = target(url)
    creating.create(place, made.declared, {})
    began = time.process_time()
    for part, block in zip(made.parts, arrays, strict=True):
        write_region(place, part.row, part.first, block, "000001")
    return time.process_time() - began


def engine(made: Plan, url: str) -> float:
    again = ilrs.plan(made.pipeline, output=url)
    began = time.process_time()
    report = ilrs.run(again, executor="serial")
    assert report.exit_code == 0
    return time.process_time() - began


def blocks(made: Plan) -> list[dict[str, np.ndarray]]:
    done = xr.open_zarr(made.pipeline.output, chunks=None, decode_times=False)
    names = [variable.name for variable in made.instrument.product.stored(made.place)]
    found = []
    for part in made.parts:
        along = slice(part.first, part.first + part.axis.count)
        found.append({n: done[n].values[(part.row, along) if part.row >= 0 else along] for n in names})
    return found


def compare(name: str, folder: Path, campaign: dict[str, Any]) -> None:
    references = {"folders": [str(folder / "references")]}
    made = ilrs.plan({"name": name, "references": references, "output": str(folder / "engine.zarr"), **campaign})
    ilrs.run(made, executor="serial")
    arrays = blocks(made)
    size = sum(array.nbytes for block in arrays for array in block.values())
    ratios = []
    for number in range(ROUNDS):
        low = floor(made, arrays, str(folder / f"floor-{number}.zarr"))
        cost = engine(made, str(folder / f"engine-{number}.zarr"))
        ratios.append(cost / low)
        rate = size / cost / 1e6
        print(f"{name} {number}: floor {low:.3f} s, engine {cost:.3f} s CPU, ratio {ratios[-1]:.1f}, {rate:.0f} MB/s")
    print(f"{name}: median ratio {statistics.median(ratios):.1f}")


def main() -> None:
    for make in (field, frames):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            compare(make.__name__, folder, make(folder))


if __name__ == "__main__":
    main()
