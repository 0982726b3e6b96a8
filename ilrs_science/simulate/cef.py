"""Magnetic field in the Cluster Exchange Format (CEF-2, DS-QMW-TN-0010): a table with a change of range."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ilrs_science.geometry.time import SECOND, isot, parse_utc

_FILL = -1.0e31
_MISSION = """START_META = OBSERVATORY
  ENTRY = "Cluster-{number}"
END_META = OBSERVATORY
START_META = EXPERIMENT
  ENTRY = "FGM"
END_META = EXPERIMENT
"""
_HEADER = """! made by a simulation
FILE_NAME = "{name}"
FILE_FORMAT_VERSION = "CEF-2.0"
END_OF_RECORD_MARKER = "$"
INCLUDE = "{included}"
START_VARIABLE = time_tags
  VALUE_TYPE = ISO_TIME
  DELTA_PLUS = 2.0
  DELTA_MINUS = 2.0
END_VARIABLE = time_tags
START_VARIABLE = B_vec_xyz_gse
  VALUE_TYPE = FLOAT
  SIZES = 3
  UNITS = "nT"
  FILLVAL = -1.0E+31
  LABEL_1 = "Bx", \\
            "By", "Bz"
END_VARIABLE = B_vec_xyz_gse
START_VARIABLE = range
  VALUE_TYPE = INT
  FILLVAL = -1
END_VARIABLE = range
DATA_UNTIL = "END_OF_DATA"
"""


def write_cef(path: Path, *, records: int = 30, number: int = 1, seed: int = 6) -> dict[str, NDArray[Any]]:
    """Write a file, and beside it the header that it includes, `CL_CH_MISSION.ceh`.

    Parameters
    ----------
    path
        Where to.
    records
        One every 4 s; the last third is in a wider range, and one value of a record in ten is missing.
    number
        Of the spacecraft, 1 to 4.
    seed
        Of the random numbers.

    Returns
    -------
    `time` (int64 TAI ns), `field` (nT, (record, 3), NaN where missing) and `range`, as they are in the file.
    """
    rng = np.random.default_rng(seed)
    included = path.with_name("CL_CH_MISSION.ceh")
    included.write_text(_MISSION.format(number=number))
    times = parse_utc("2031-03-01T06:00:00Z") + 4 * SECOND * np.arange(records)
    ranges = np.where(np.arange(records) < 2 * records // 3, 3, 4)
    field = np.round(rng.normal(0, 5, (records, 3)) * np.where(ranges == ranges[0], 1, 8)[:, None], 3)
    field[rng.random(records) < 0.1, 2] = np.nan  # noqa: PLR2004 - one in ten
    lines = [
        f"{isot(int(time))}, {', '.join(f'{one:.3f}' for one in np.where(np.isnan(vector), _FILL, vector))}, {wide} $\n"
        for time, vector, wide in zip(times, field, ranges, strict=True)
    ]
    path.write_text(_HEADER.format(name=path.name, included=included.name) + "".join(lines) + "END_OF_DATA\n")
    return {"time": times, "field": field, "range": ranges}
