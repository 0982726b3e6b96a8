"""A small campaign in the true raw format, with its calibration; for tests, and for `ilrs check acme-mag`."""

import json
from pathlib import Path

import numpy as np
import xarray as xr

RECORD = np.dtype([("tai_ns", ">i8"), ("counts", ">i2", 3)])
START = int(np.datetime64("2031-03-01T00:00:37", "ns").astype("i8"))  # TAI of 2031-03-01T00:00:00 UTC
GAIN = np.diag([0.01, 0.01, 0.02])  # nT a count
OFFSET = np.array([10.0, -20.0, 5.0])  # counts
SITES = ("shackleton", "malapert")


def field(times: np.ndarray) -> np.ndarray:
    """Return the true field at TAI nanoseconds, nT."""
    seconds = (times - START) / 1e9
    return np.stack([np.sin(seconds / 60), np.cos(seconds / 60), 5 + 0.001 * seconds], axis=1)


def simulate(folder: Path) -> list[Path]:
    """Write ten minutes at 1 Hz from each site below raw/, and the calibration below references/."""
    files = []
    for site in SITES:
        for part in range(2):
            records = np.zeros(300, RECORD)
            records["tai_ns"] = START + 10**9 * (300 * part + np.arange(300)) + 10**8
            records["counts"] = np.rint(field(records["tai_ns"].astype("i8")) @ np.linalg.inv(GAIN).T + OFFSET)
            path = folder / "raw" / site / f"{part:03d}.mag"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(records.tobytes())
            files.append(path)
    matrix = xr.Dataset({"gain": (("axis_out", "axis"), GAIN), "offset": ("axis", OFFSET)})
    index = """\
references:
  - kind: matrix
    instrument: acme-mag
    valid: {start: 2030-01-01T00:00:00Z, stop: 2033-01-01T00:00:00Z}
    published: 2030-01-01T00:00:00Z
    payload: matrix.json
    source: simulation
"""
    (folder / "references").mkdir(exist_ok=True)
    (folder / "references" / "matrix.json").write_text(json.dumps(matrix.to_dict()))
    (folder / "references" / "index.yaml").write_text(index)
    return files
