"""Channels of ALSEP tapes: which words they are, how often they are sampled, and when.

Words and names of channels are those of obspy (obspy.io.alsep.assign and define).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ilrs_science.formats.alsep.frames import HIGH, NEW, NORMAL, OLD, Layout, Run
from ilrs_science.geometry.labels import TAI
from ilrs_science.geometry.time import SECOND

type Piece = tuple[NDArray[np.int64], dict[str, NDArray[np.int16]]]
"""Times, TAI ns, and channels."""

FRAME_NS = 640 * 10**9 / 1060
"""Length of a frame, ns: 64 words of 10 bits at 1060 bits a second."""
_THIRD_NS = 600 * 10**9 / (10600 / 3)
"""Length of a frame of a WTH tape, ns: 20 words of 30 bits at 3533 1/3 bits a second."""
_EVEN = tuple(range(2, 65, 2))
_LONG = {name: tuple(range(first, 65, 16)) for name, first in (("LPX", 9), ("LPY", 11), ("LPZ", 13))}
_PARITY = {"tidal_xy": 0, "tidal_z": 1}
"""Which frame counts have channels that are in every other frame only."""
SAMPLES = {
    "long_period": 4,
    "tidal_xy": 0.5,
    "tidal_z": 0.5,
    "short_period": 32,
    "magnetometer": 6,
    "gravimeter": 32,
    "gravimeter_slow": 1,
    "housekeeping": 1,
    "geophones": 20,
}
"""Samples in a frame, by branch."""


def words_of(station: int, layout: Layout) -> Mapping[str, Mapping[str, tuple[int, ...]]]:
    """Return the words of the channels of each branch, 0 for samples that other outputs displace."""
    if layout is HIGH:
        return {"geophones": {f"GP{number}": () for number in range(1, 5)}}
    command: dict[str, tuple[int, ...]] = {"HK_": (33,), "CV_": (5 if station == 14 else 46,)}  # noqa: PLR2004 - Apollo 14
    if station == 17:  # noqa: PLR2004 - Apollo 17 carried a gravimeter in place of the seismometer
        fast: dict[str, dict[str, tuple[int, ...]]] = {
            "gravimeter": {"LSG": tuple(0 if number == 2 else number for number in _EVEN)},  # noqa: PLR2004
            "gravimeter_slow": {"LGT": (25,), "LGF": (27,), "LGP": (29,)},
        }
        return {name: one for name, one in fast.items() if layout is not NEW} | {"housekeeping": command}
    found: dict[str, dict[str, tuple[int, ...]]] = {
        "long_period": _LONG,
        "tidal_xy": {"TDX": (35,), "TDY": (37,)},
        "tidal_z": {"TDZ": (35,), "TMP": (37,)},
    }
    if layout is OLD:
        displaced = {2, *([24] if station == 15 else []), *([] if station == 14 else [46])}  # noqa: PLR2004
        found["short_period"] = {"SPZ": tuple(0 if number in displaced else number for number in _EVEN)}
    if layout is NORMAL and station in (12, 15, 16):
        found["magnetometer"] = {"LSM": (17, 19, 21, 49, 51, 53)}
        command["LSS"] = (5,)
    return {**found, "housekeeping": command}


def branches(run: Run, tai: NDArray[np.int64], station: int) -> dict[str, Piece]:
    """Return times and channels of the frames of a station, by branch."""
    found = {}
    for name, channels in words_of(station, run.layout).items():
        frames, times = run, tai
        if name in _PARITY:
            chosen = run.number() % 2 == _PARITY[name]
            if not chosen.any():
                continue
            frames, times = run.where(chosen), tai[chosen]
        if name == "geophones":
            samples, third = frames.geophones()
            values = {channel: samples[..., number].ravel() for number, channel in enumerate(channels)}
            values["subframe"] = np.repeat(third, samples.shape[1])
        else:
            values = {channel: frames.words(numbers).ravel() for channel, numbers in channels.items()}
        if "CV_" in values:
            values["CV_"] = np.where(values["CV_"] < 0, np.int16(-1), values["CV_"] >> 1)
        found[name] = ((times[:, None] + offsets(name)).ravel(), values)
    return found


def offsets(branch: str) -> NDArray[np.int64]:
    """Return the times of the samples in a frame, ns after that of the frame."""
    length, samples = _frame_length(branch), max(1, int(SAMPLES[branch]))
    return np.rint(np.arange(samples) * length / samples).astype(np.int64)


def _frame_length(branch: str) -> float:
    return _THIRD_NS if branch == "geophones" else FRAME_NS


def joined(branch: str, parts: list[Piece]) -> xr.Dataset:
    """Return the samples of a branch, in order of the tape."""
    times = parts[0][0] if len(parts) == 1 else np.concatenate([time for time, _ in parts])
    variables = {}
    for name in parts[0][1]:
        values = parts[0][1][name] if len(parts) == 1 else np.concatenate([piece[name] for _, piece in parts])
        about = {"missing_value": -1} if name == "subframe" else {"units": "count", "missing_value": -1}
        variables[name] = ("time", values, about)
    attributes = {"sampling_rate": SAMPLES[branch] / _frame_length(branch) * SECOND}
    return xr.Dataset(variables, {"time": ("time", pd.Index(times, copy=False), TAI)}, attributes)
