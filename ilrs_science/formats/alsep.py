"""Tapes of the Apollo surface experiments (ALSEP): PSE and event tapes, and work tapes of normal bit rate (WTN).

Frames are taken apart by obspy. Its stream reader is not used: it gives only the first frame of a run a time, reckons
the others from a nominal rate, and drops bad frames and a truncated record without a word. Here every frame keeps the
time on the tape, so that a tape cut in two gives the same samples, and what is lost is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ilrs_science.errors import FormatError

FRAME_NS = 640 * 10**9 / 1060
"""Length of a frame, ns: 64 words of 10 bits at 1060 bits a second."""

WORDS = 65
"""Words of a frame, numbered from 1; word 0 does not exist."""

_PSE_RECORD, _HEADER, _WORK_FRAME = 19456, 16, 96
_PSE_FRAME = {0: 72, 1: 36}  # by the format in the header of a record
_SYNC = 0b11100010010
_YEARS = range(1969, 1978)
_KINDS = {1: "PSE", 2: "event", 3: "WTN", 4: "WTH"}
_MILLISECOND = 10**6
_YEAR = 366 * 86400 * 1000  # ms


@dataclass(frozen=True)
class Frames:
    """The frames of one station."""

    station: int
    """Number of the Apollo mission that set it up."""
    time: NDArray[np.int64]
    """UTC of every frame as on the tape, ns since 1970, int64 (frame)."""
    number: NDArray[np.int64]
    """Frame count, 0 to 127 (frame)."""
    words: NDArray[np.int16]
    """The 10-bit words by their ALSEP numbers, -1 where the tape does not carry one; int16 (frame, `WORDS`)."""
    rejected: dict[str, int]
    """Frames that were lost, by reason. What no station can be told of counts for the first one."""


def read_tape(data: bytes, *, name: str = "data") -> list[Frames]:
    """Return the frames of every station of a tape, in order of the stations, frames in order of the tape.

    Parameters
    ----------
    data
        The file.
    name
        What to call it in an error.

    Raises
    ------
    FormatError
        No such tape, or a tape without a good frame.
    """
    kind = int.from_bytes(data[:2], "big") if len(data) >= _HEADER else 0
    if kind == 4:  # noqa: PLR2004 - tape types are told in _KINDS
        raise FormatError(f"{name}: byte 0: a work tape of high bit rate (WTH); it carries geophones, no seismometer")
    if kind not in _KINDS:
        raise FormatError(f"{name}: byte 0: {len(data)} bytes of tape type {kind}; expected 1, 2 (PSE) or 3 (WTN)")
    lost: Counter[str] = Counter()
    by_station: dict[int, list[tuple[int, int, list[int]]]] = {}
    rejected: dict[int, Counter[str]] = {}
    for station, year, frame in _work_tape(data, lost) if kind == 3 else _pse_tape(data, name, lost):  # noqa: PLR2004
        reason, time = _problem(station, year, frame)
        if reason:
            rejected.setdefault(station, Counter())[reason] += 1
        else:
            words = [-1 if word is None else int(word) for word in frame.alsep_words]
            by_station.setdefault(station, []).append((time, int(frame.frame_count), words))
    if not by_station:
        reasons = lost + sum(rejected.values(), Counter())
        found = "; ".join(f"{count} frames: {reason}" for reason, count in reasons.items()) or "no whole frame"
        raise FormatError(f"{name}: no good frame in {len(data)} bytes of a {_KINDS[kind]} tape ({found})")
    # A station without a good frame has no samples of its own; its bad frames count with those of no station.
    for station in sorted(set(rejected) - set(by_station)):
        lost.update(rejected[station])
    first = min(by_station)
    rejected[first] = rejected.get(first, Counter()) + lost
    return [_joined(station, by_station[station], rejected.get(station, Counter())) for station in sorted(by_station)]


def _joined(station: int, found: list[tuple[int, int, list[int]]], rejected: Counter[str]) -> Frames:
    times, numbers, words = zip(*found, strict=True)
    return Frames(
        station, np.array(times, np.int64), np.array(numbers, np.int64), np.array(words, np.int16), dict(rejected)
    )


def _pse_tape(data: bytes, name: str, lost: Counter[str]) -> Iterator[tuple[int, int, Any]]:
    """Yield station, year and frame of a PSE tape: records of 19456 bytes."""
    from obspy.io.alsep.pse.record import PseRecord  # noqa: PLC0415 - heavy

    octets = np.frombuffer(data, np.uint8)
    for start in range(0, len(data), _PSE_RECORD):
        header = np.frombuffer(data[start : start + _HEADER].ljust(_HEADER, b"\0"), ">u2")
        station, year, layout = int(header[1]), int(header[4]), int(header[5])
        size = _PSE_FRAME.get(layout, _PSE_FRAME[0])
        frames = (min(len(data) - start, _PSE_RECORD) - _HEADER) // size
        if int(header[0]) not in (1, 2) or layout not in _PSE_FRAME:
            if start == 0:
                raise FormatError(
                    f"{name}: byte 0: a record of type {header[0]}, format {layout}; expected 1 or 2, 0 or 1"
                )
            lost["bad record header"] += max(frames, 0)
        elif start + _PSE_RECORD > len(data):
            lost["truncated record"] += max(frames, 0)
        else:
            for frame in PseRecord(octets[start : start + _PSE_RECORD]):
                yield station, year, frame


def _work_tape(data: bytes, lost: Counter[str]) -> Iterator[tuple[int, int, Any]]:
    """Yield station, year and frame of a work tape: a header, mostly repeated, and frames of all stations."""
    from obspy.io.alsep.define import package_id_to_apollo_station  # noqa: PLC0415 - heavy
    from obspy.io.alsep.wt.frame import WtnFrame  # noqa: PLC0415 - heavy

    octets = np.frombuffer(data, np.uint8)
    year = int.from_bytes(data[8:10], "big")
    first = _HEADER * (2 if data[:_HEADER] == data[_HEADER : 2 * _HEADER] else 1)
    for start in range(first, len(data), _WORK_FRAME):
        if start + _WORK_FRAME > len(data):
            lost["truncated frame"] += 1
            continue
        frame = WtnFrame(octets[start : start + _WORK_FRAME])
        station = package_id_to_apollo_station.get(int(frame.alsep_package_id))
        if station is None:
            lost["frame of no station"] += 1
        else:
            yield station, year, frame


def _problem(station: int, year: int, frame: Any) -> tuple[str, int]:
    """Return why a frame is bad, or an empty text, and its time, UTC ns."""
    if int(frame.barker_code) != _SYNC:
        return "bad sync code", 0
    if year not in _YEARS:
        return f"year {year}", 0
    if int(frame.msec_of_year) >= _YEAR:
        return "time beyond the end of the year", 0
    time = int(np.datetime64(f"{year}-01-01", "ns").astype(np.int64)) + int(frame.msec_of_year) * _MILLISECOND
    operating = _operating(station, time // (86400 * 10**9))
    return ("" if operating else "at a time when the station did not operate"), time


@cache
def _operating(station: int, day: int) -> bool:
    """Tell whether a station operated on a day since 1970, by obspy's table."""
    from obspy import UTCDateTime  # noqa: PLC0415 - heavy
    from obspy.io.alsep.util import check_date  # noqa: PLC0415 - heavy

    return bool(check_date(station, UTCDateTime(day * 86400.0)))
