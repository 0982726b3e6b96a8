"""Tapes of the Apollo surface experiments (ALSEP): PSE and event tapes, and work tapes (WTN, WTH).

Every frame keeps the time on the tape, so that a tape cut in two gives the same samples, and what is lost is counted.
The stream reader of obspy gives only the first frame of a run a time, reckons the others from a nominal rate, and drops
bad frames and a truncated record without a word.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ilrs_science.errors import FormatError
from ilrs_science.formats.alsep.channels import FRAME_NS, SAMPLES, Piece, branches, joined, offsets, words_of
from ilrs_science.formats.alsep.frames import KINDS, RECORD, WORDS, Run, checked, kind_of, runs
from ilrs_science.formats.format import Format, counted, granule
from ilrs_science.formats.opening import opens
from ilrs_science.geometry.time import SECOND, utc_to_tai
from ilrs_science.model.granule import Granule

__all__ = ["FORMAT", "FRAME_NS", "WORDS", "Frames", "index_alsep", "read_alsep", "read_tape"]


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


_ALL = (11, 12, 14, 15, 16, 17)
_INSTRUMENTS = {"PSE": "long_period", "LSM": "magnetometer", "LSG": "gravimeter", "LSPE": "geophones"}
"""Experiments, and the branch that they are known by."""
_LOOKED_AT = 8
"""Frames by which a tape is recognised."""


@opens
def read_alsep(path: Path, *, year: int | None = None) -> xr.DataTree:
    """Return the channels of all stations of a tape, as a tree of stations and of sample rates.

    Parameters
    ----------
    path
        A PSE or event tape, or a work tape of normal (WTN) or high bit rate (WTH).
    year
        To be taken for that on the tape, which is wrong on some.

    Returns
    -------
    Below `apollo-12` and so on there are, where the tape carries them: `long_period` (LPX, LPY, LPZ), `tidal_xy` (TDX,
    TDY) and `tidal_z` (TDZ, TMP) of alternate frames, `short_period` (SPZ), `magnetometer` (LSM), `gravimeter` (LSG)
    and `gravimeter_slow` (LGT, LGF, LGP), `geophones` (GP1 to GP4) with `subframe`, and `housekeeping` (HK_, CV_,
    LSS); the names of channels are those of obspy. Values are the words on the tape, int16, -1 where the tape has none:
    words that other outputs displace are not interpolated. There are no physical units.

    Time is int64 TAI nanoseconds: samples are spread evenly from the time of their own frame on. That gives geophones
    117.8 samples a second, as their frames follow one another every 0.17 s; obspy calls it 39.26, a third of it.

    The root counts all lost frames in `rejected`, and every station its own.

    Raises
    ------
    FormatError
        No such tape, or a tape without a good frame.
    OSError
        There is no such file, or it cannot be read.
    """
    good, lost, rejected = _frames(path, year)
    kind = KINDS[kind_of(good[0][0].octets)]
    attributes = {"format": "ALSEP", "tape": kind, "rejected": counted(lost + sum(rejected.values(), Counter()))}
    pieces = _pieces(good)
    names = sorted({name.partition("/")[0] for name in pieces})
    stations = {
        name: xr.Dataset(attrs={"rejected": counted(rejected.get(int(name.removeprefix("apollo-")), {}))})
        for name in names
    }
    found = {name: joined(name.rpartition("/")[2], pieces.pop(name)) for name in list(pieces)}
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=attributes), **stations, **found})


def index_alsep(path: Path) -> list[Granule]:
    """Return a granule for each experiment of each station, from the headers of the frames alone.

    Experiments are PSE (long-period samples), LSM and LSG of work tapes, and LSPE.

    Raises
    ------
    FormatError
        No such tape, or a tape without a good frame.
    """
    good, lost, rejected = _frames(path, None)
    found: dict[tuple[int, str], list[int]] = {}
    for run, time in good:
        for station in np.unique(run.station).tolist():
            own = time[run.station == station]
            for instrument, branch in _INSTRUMENTS.items():
                if branch in words_of(station, run.layout):
                    ends = utc_to_tai([own.min(), own.max()]) + offsets(branch)[[0, -1]]
                    found.setdefault((station, instrument), []).extend([*ends.tolist(), len(own)])
    granules = []
    first = min(station for station, _ in found)  # what no station can be told of counts for it
    for (station, instrument), parts in found.items():
        frames = sum(parts[2::3]) + sum(rejected.get(station, {}).values()) + lost.total() * (station == first)
        span = (min(parts[0::3]), max(parts[1::3]))
        count = frames * int(SAMPLES[_INSTRUMENTS[instrument]])
        granules.append(granule(path, "alsep", count=count, span=span, instrument=instrument, site=f"apollo-{station}"))
    return granules


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
    kind = kind_of(np.frombuffer(data, np.uint8))
    if kind == 4:  # noqa: PLR2004 - tape types are told in KINDS
        raise FormatError(f"{name}: byte 0: a work tape of high bit rate (WTH); it carries geophones, no seismometer")
    if kind not in KINDS:
        raise FormatError(f"{name}: byte 0: {len(data)} bytes of tape type {kind}; expected 1, 2 (PSE) or 3 (WTN)")
    good, lost, rejected = _checked(*runs(data, name), name, len(data), KINDS[kind])
    stations = sorted({station for run, _ in good for station in np.unique(run.station).tolist()})
    # A station without a good frame has no samples of its own; its bad frames count with those of no station.
    for station in sorted(set(rejected) - set(stations)):
        lost.update(rejected[station])
    rejected[stations[0]] = rejected.get(stations[0], Counter()) + lost
    found = []
    for station in stations:
        own = [(run.where(run.station == station), time[run.station == station]) for run, time in good]
        words = np.concatenate([run.words(range(WORDS)) for run, _ in own])
        numbers = np.concatenate([run.number() for run, _ in own])
        times = np.concatenate([time for _, time in own])
        found.append(Frames(station, times, numbers, words, dict(rejected.get(station, {}))))
    return found


type _Good = list[tuple[Run, NDArray[np.int64]]]


def _pieces(good: _Good) -> dict[str, list[Piece]]:
    """Return the channels of good frames, by station and branch, of each run apart; empties the list."""
    pieces: dict[str, list[Piece]] = {}
    while good:  # what only the headers needed is not kept while the tree grows
        run, time = good.pop(0)
        time = utc_to_tai(time)
        stations = np.unique(run.station).tolist()
        for station in stations:
            own = run.station == station
            for name, piece in branches(run.where(own), time[own] if len(stations) > 1 else time, station).items():
                pieces.setdefault(f"apollo-{station}/{name}", []).append(piece)
    return pieces


def _frames(path: Path, year: int | None) -> tuple[_Good, Counter[str], dict[int, Counter[str]]]:
    """Return the good frames of a file with their UTC ns; what was lost of no station, and of each."""
    size = path.stat().st_size
    octets = np.memmap(path, np.uint8, "r") if size else np.zeros(0, np.uint8)
    found, lost = runs(octets, str(path), year)
    return _checked(found, lost, str(path), size, KINDS[kind_of(octets)])


def _checked(
    found: list[Run], lost: Counter[str], name: str, size: int, kind: str
) -> tuple[_Good, Counter[str], dict[int, Counter[str]]]:
    """Return the good frames of runs, of which there is at least one, and what was lost."""
    good: _Good = []
    rejected: dict[int, Counter[str]] = {}
    for run in found:
        kept, time, bad = checked(run)
        good += [(kept, time)] if len(time) else []
        lost.update(bad.pop(0, Counter()))
        for station, reasons in bad.items():
            rejected.setdefault(station, Counter()).update(reasons)
    if not good:
        reasons = lost + sum(rejected.values(), Counter())
        why = "; ".join(f"{count} frames: {reason}" for reason, count in reasons.items()) or "no whole frame"
        raise FormatError(f"{name}: no good frame in {size} bytes of a {kind} tape ({why})")
    return good, lost, rejected


def _recognises(head: bytes, path: Path) -> bool:  # noqa: ARG001 - the content tells
    """Tell by the header, and by good frames that follow one another in time."""
    octets = np.frombuffer(head, np.uint8)
    kind = kind_of(octets)
    if kind not in KINDS or (kind < 3 and int(octets[2]) << 8 | int(octets[3]) not in _ALL):  # noqa: PLR2004 - PSE
        return False
    # The first record of a PSE tape need not be whole for that.
    padded = np.pad(octets, (0, max(0, RECORD - len(octets)))) if kind < 3 else octets  # noqa: PLR2004
    try:
        found, _ = runs(padded[:RECORD], "head")
    except FormatError:
        return False
    first = [run.where(np.arange(len(run.offset)) < _LOOKED_AT) for run in found[:1]]
    times = [checked(run)[1] for run in first if len(run.offset)]
    good = sum(len(time) for time in times)
    steady = all((np.abs(np.diff(np.sort(time))) < 60 * SECOND).all() for time in times)
    return good > 0 and steady and 2 * good >= sum(len(run.offset) for run in first)


FORMAT = Format(
    "alsep",
    "tapes of the Apollo surface experiments (PSE, event, WTN and WTH tapes)",
    "own",
    _recognises,
    read_alsep,
    index_alsep,
)
