"""Files in the true formats with content that a test chooses."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cdflib
import numpy as np
import pytest
from numpy.typing import ArrayLike

type Words = Mapping[int, int]

_PSE_WORDS = (1, 2, 3, 9, 11, 13, 25, 27, 29, 33, 35, 37, 41, 43, 45, 46, 57, 59, 61)
_PACKAGES = {12: 1, 15: 2, 16: 3, 14: 4, 17: 5}
_SYNC_WORD = 0b1110001001  # and one bit that is spare, 0


def _frame(order: Sequence[int], size: int, package: int, content: tuple[int, int, Words]) -> bytes:
    """Return a frame: time of the year, package, and words of 10 bits, three to four bytes with spare bits between."""
    msec, count, words = content
    given = {1: _SYNC_WORD, 3: (count & 127) << 1} | dict(words)
    values = [given.get(number, 0) for number in order]
    values += [0] * (-len(values) % 3)
    groups = [values[k] << 22 | values[k + 1] << 11 | values[k + 2] for k in range(0, len(values), 3)]
    body = (msec << 4).to_bytes(5, "big") + bytes([package << 5, 0, 0]) + np.array(groups, ">u4").tobytes()
    return body.ljust(size, b"\0")[:size]


@pytest.fixture
def work_tape() -> Callable[..., bytes]:
    """Return a function that makes a work tape (WTN) of frames (station, msec of the year, frame count, words)."""

    def tape(frames: Sequence[tuple[int, int, int, Words]], year: int = 1976, repeat_header: int = 2) -> bytes:
        header = np.array([3, 0, len({f[0] for f in frames}), 1, year, 0, 0, 0], ">u2").tobytes()
        order = range(1, 65)
        return header * repeat_header + b"".join(
            _frame(order, 96, _PACKAGES.get(station, 0), content) for station, *content in frames
        )

    return tape


@pytest.fixture
def pse_record() -> Callable[..., bytes]:
    """Return a function that makes one record of a PSE tape (new format) of up to 540 frames (msec, count, words)."""

    def record(station: int, frames: Sequence[tuple[int, int, Words]], year: int = 1976) -> bytes:
        header = np.array([1, station, 1, 1, year, 1, 1, 0], ">u2").tobytes()
        body = b"".join(_frame(_PSE_WORDS, 36, 0, content) for content in frames)
        return (header + body).ljust(19456, b"\0")

    return record


@pytest.fixture
def fgm_file() -> Callable[..., Path]:
    """Return a function that writes a CDF of one Cluster spacecraft as the science archive does."""

    def write(folder: Path, spacecraft: str, milliseconds: ArrayLike, field: ArrayLike, *, units: str = "nT") -> Path:
        position = np.tile(np.array([-16918.5, -121482.7, 13111.6]), (len(np.asarray(field)), 1))
        dataset = f"{spacecraft}_CP_FGM_SPIN"
        path = folder / f"{dataset}__20010611_200000_20010611_210000_V1.cdf"
        time = f"time_tags__{dataset}"
        names = {f"B_vec_xyz_gse__{dataset}": (field, units), f"sc_pos_xyz_gse__{dataset}": (position, "km")}
        spec = {"Num_Elements": 1, "Rec_Vary": True, "Var_Type": "zVariable"}
        with cdflib.cdfwrite.CDF(path) as cdf:
            cdf.write_var(
                {**spec, "Variable": time, "Data_Type": 31, "Dim_Sizes": []},
                {"FILLVAL": np.float64(315569519999000.0), "UNITS": "ms"},
                np.asarray(milliseconds, "f8"),
            )
            for name, (values, unit) in names.items():
                cdf.write_var(
                    {**spec, "Variable": name, "Data_Type": 44, "Dim_Sizes": [3]},
                    {"DEPEND_0": time, "FILLVAL": np.float32(-1e30), "UNITS": unit},
                    np.asarray(values, "f4"),
                )
        return path

    return write
