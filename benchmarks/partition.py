"""What one more part costs: the same day cut into more and more parts, CPU seconds and ratio to one part a site."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import ilrs_science as ilrs
from ilrs_science.simulate.magnetometer import simulate


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        simulate(folder, hours=24)
        first = None
        for shard in (86400, 21600, 3600, 900):
            made = ilrs.plan(
                {
                    "name": "cut",
                    "instrument": "fluxgate",
                    "time": {"start": "2031-03-01T00:00:00Z", "stop": "2031-03-02T00:00:00Z", "step": "1 s"},
                    "raw": f"{folder}/raw/{{site}}/*.fgm",
                    "references": {"folders": [str(folder / "references")]},
                    "layout": {"shard": shard},
                    "output": str(folder / f"{shard}.zarr"),
                }
            )
            began = time.process_time()
            assert ilrs.run(made, executor="serial").exit_code == 0
            cost = time.process_time() - began
            first = first or cost
            each = 1e3 * cost / len(made.parts)
            print(
                f"{len(made.parts):4d} parts: {cost:.3f} s CPU, {cost / first:.2f} of the first, {each:.1f} ms a part"
            )


if __name__ == "__main__":
    main()
