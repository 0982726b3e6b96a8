"""Telemetry of the LEXI soft X-ray imager, as its payload computer stored it: frames of 28 bytes.

A frame is `TS`, the UTC of its arrival (unix seconds, >f8), the number of bytes that follow (>u2, 16), the sync word
FE6B2840, a word (>u4), and four words (>u2). The first word has bit 31 set for housekeeping and bit 30 for a commanded
pulse; the others count milliseconds. This layout and that of the housekeeping words are those of the programs that the
team of the instrument published (Lexi-BU/lxi_gui, `lxi_read_files.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ilrs_science.errors import FormatError
from ilrs_science.formats.format import Format, counted, granule
from ilrs_science.formats.opening import opens
from ilrs_science.geometry.labels import TAI
from ilrs_science.geometry.time import SECOND, utc_to_tai
from ilrs_science.model.granule import Granule

VOLTS = 4.5126 / 65536
"""Volts of a count."""

_FRAME = np.dtype(
    [("mark", "S2"), ("utc", ">f8"), ("length", ">u2"), ("sync", ">u4"), ("word", ">u4"), ("counts", ">u2", 4)]
)
_MARK, _SYNC, _SYNC_AT = b"TS", bytes.fromhex("FE6B2840"), 12
_FIRST, _LAST = 63_072_000, 7_258_118_400
"""1972-01-01, since when UTC has whole seconds, and 2200-01-01, unix s."""
_RECOGNISED_IN = 4096
_HOUSEKEEPING = (
    "pinpuller_temperature",
    "optics_temperature",
    "base_temperature",
    "high_voltage_supply_temperature",
    "current_5.2_V",
    "current_10_V",
    "current_3.3_V",
    "anode_voltage",
    "current_28_V",
    "adc_ground",
    "command_count",
    "pinpuller_armed",
    "unused",
    "unused",
    "mcp_high_voltage_after_automatic_change",
    "mcp_high_voltage_after_manual_change",
)


@opens
def read_lexi(path: Path) -> xr.DataTree:
    """Return the frames of a LEXI telemetry file, science and housekeeping apart.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    A tree of `science` and `housekeeping`, each along its own `time` (TAI ns, from the UTC of arrival, which is known
    to 0.2 us) in order of the file, with `counter`, the clock of the instrument (uint32 ms of 30 bits), and `length`,
    bytes after it (uint16).

    Science: `counts` (uint16) and `volts` (float64 V) of the four anodes (time, channel), and `commanded`, whether the
    frame is a test pulse and no event.

    Housekeeping: `identifier` (uint8) of what `value` (uint16 counts of 12 bits) is, named in its attributes, and
    `delta_event_count`, `delta_drop_event_count` and `delta_lost_event_count` (uint16).

    Attributes of the root: `instrument`, `out_of_sync_bytes` between frames, and `rejected`, frames by reason.

    Raises
    ------
    FormatError
        There is no frame.
    OSError
        There is no such file.
    """
    frames, known, about = _frames(path)
    frames, times = frames[known], _tai(frames["utc"][known])
    housekeeping = frames["word"] >> 31 == 1
    science = ~housekeeping
    return xr.DataTree.from_dict(
        {
            "/": xr.Dataset(attrs={"instrument": "LEXI", **about}),
            "science": _science(frames[science], times[science]),
            "housekeeping": _housekeeping(frames[housekeeping], times[housekeeping]),
        }
    )


def index_lexi(path: Path) -> list[Granule]:
    """Return the frames of a LEXI telemetry file, of both kinds, as one granule.

    Raises
    ------
    FormatError
        There is no frame with a time.
    OSError
        There is no such file.
    """
    frames, known, _ = _frames(path)
    times = _tai(frames["utc"][known])
    if not times.size:
        raise FormatError(f"{path}: {frames.size} frames, none of them with a time")
    return [granule(path, "lexi", count=frames.size, span=(int(times.min()), int(times.max())), instrument="LEXI")]


def _recognises(head: bytes, _path: Path) -> bool:
    starts = _starts(np.frombuffer(head[:_RECOGNISED_IN], np.uint8))
    return bool((np.diff(starts) == _FRAME.itemsize).any()) or (starts.size == 1 and len(head) == _FRAME.itemsize)


FORMAT = Format("lexi", "LEXI payload telemetry", "own", _recognises, read_lexi, index_lexi)


def _starts(octets: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Return where frames begin; none overlaps the one before."""
    last = octets.size - _FRAME.itemsize + 1
    if last <= 0:
        return np.empty(0, np.intp)
    here = np.ones(last, np.bool_)
    for place, byte in (*enumerate(_MARK), *enumerate(_SYNC, _SYNC_AT)):
        here &= octets[place : place + last] == byte
    starts = np.flatnonzero(here)
    if (np.diff(starts) >= _FRAME.itemsize).all():
        return starts
    apart: list[int] = []
    for start in starts.tolist():
        if not apart or start >= apart[-1] + _FRAME.itemsize:
            apart.append(start)
    return np.array(apart, np.intp)


def _frames(path: Path) -> tuple[NDArray[Any], NDArray[np.bool_], dict[str, Any]]:
    """Return all whole frames, which of them have a time, and attributes."""
    data = path.read_bytes()
    octets = np.frombuffer(data, np.uint8)
    starts = _starts(octets)
    if not starts.size:
        raise FormatError(f"{path}: byte 0: no LEXI frame in {len(data)} bytes")
    size = _FRAME.itemsize
    if (np.diff(starts) == size).all():
        frames = np.frombuffer(data, _FRAME, starts.size, int(starts[0]))
    else:
        frames = np.lib.stride_tricks.sliding_window_view(octets, size)[starts].reshape(-1).view(_FRAME)
    rest = data[int(starts[-1]) + size :]
    begun = rest[:2] == _MARK[: len(rest)] and rest[_SYNC_AT : _SYNC_AT + 4] == _SYNC[: max(len(rest) - _SYNC_AT, 0)]
    truncated = 0 < len(rest) < size and begun
    with np.errstate(invalid="ignore"):
        known = (frames["utc"] >= _FIRST) & (frames["utc"] < _LAST)
    rejected = {"truncated frame": int(truncated), "time outside 1972 to 2200": int((~known).sum())}
    out_of_sync = len(data) - size * starts.size - truncated * len(rest)
    return frames, known, {"out_of_sync_bytes": out_of_sync, "rejected": counted(rejected)}


def _tai(utc: NDArray[np.float64]) -> NDArray[np.int64]:
    seconds = np.floor(utc)
    return utc_to_tai(seconds.astype(np.int64) * SECOND + np.rint((utc - seconds) * SECOND).astype(np.int64))


def _science(frames: NDArray[Any], times: NDArray[np.int64]) -> xr.Dataset:
    counts = frames["counts"].astype(np.uint16)
    commanded = (frames["word"] >> 30 & 1).astype(np.bool_)
    return _dataset(
        frames,
        times,
        {
            "counts": (("time", "channel"), counts, {"units": "count", "long_name": "anode signal as sent"}),
            "volts": (("time", "channel"), counts * VOLTS, {"units": "V", "long_name": "anode signal"}),
            "commanded": ("time", commanded, {"long_name": "a commanded test pulse, no event"}),
        },
    )


def _housekeeping(frames: NDArray[Any], times: NDArray[np.int64]) -> xr.Dataset:
    first, *deltas = frames["counts"].astype(np.uint16).T
    meanings = {"flag_values": list(range(len(_HOUSEKEEPING))), "flag_meanings": " ".join(_HOUSEKEEPING)}
    names = ("delta_event_count", "delta_drop_event_count", "delta_lost_event_count")
    return _dataset(
        frames,
        times,
        {
            "identifier": ("time", (first >> 12).astype(np.uint8), {"long_name": "what the value is", **meanings}),
            "value": ("time", first & np.uint16(0xFFF), {"units": "count"}),
            **{name: ("time", delta.copy(), {"units": "count"}) for name, delta in zip(names, deltas, strict=True)},
        },
    )


def _dataset(frames: NDArray[Any], times: NDArray[np.int64], variables: dict[str, Any]) -> xr.Dataset:
    counter = (frames["word"] & 0x3FFFFFFF).astype(np.uint32)
    more = {
        "counter": ("time", counter, {"units": "ms", "long_name": "clock of the instrument"}),
        "length": ("time", frames["length"].astype(np.uint16), {"units": "byte", "long_name": "bytes that follow it"}),
    }
    return xr.Dataset({**variables, **more}, {"time": ("time", times, dict(TAI))}, {"rejected": {}})
