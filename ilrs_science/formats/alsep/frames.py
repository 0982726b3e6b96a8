"""Frames of ALSEP tapes: where they lie, when they were taken, and the words of 10 bits in them.

Layouts are those of "Apollo Lunar Surface Experiments Package: Archive Tape Description Document" as obspy has them
(obspy.io.alsep, Nunn et al. 2020, Space Sci. Rev. 216, 89): PSE and event tapes are records of 19456 bytes, work tapes
a header and frames of all stations. A frame begins with 8 bytes of its own; then there are three words in four bytes,
with a spare bit behind each of the first two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ilrs_science.errors import FormatError

KINDS = {1: "PSE", 2: "event", 3: "WTN", 4: "WTH"}
"""Tapes by their type; WTN and WTH are work tapes of normal and high bit rate."""
WORDS = 65
"""Words of a frame, numbered from 1; word 0 does not exist."""
RECORD, _HEADER = 19456, 16
_SYNC = 0b11100010010
_YEARS = range(1969, 1978)
_YEAR = 366 * 86400 * 1000  # ms
_MILLISECOND = 10**6
_CHUNK = 4096
"""Frames that are taken apart at a time."""
_STATIONS = {1: 12, 2: 15, 3: 16, 4: 14, 5: 17}  # by package
_OPERATED = {
    11: (("1969-07-21", "1969-08-03"), ("1969-08-19", "1969-08-26")),
    12: (("1969-11-19", "1977-10-01"),),
    14: (("1971-02-05", "1977-10-01"),),
    15: (("1971-07-31", "1977-10-01"),),
    16: (("1972-04-21", "1977-10-01"),),
    17: (("1976-03-01", "1977-09-30"),),
}
"""When each station worked, half-open, as obspy has it; 17 from when its gravimeter and geophones are on tapes."""


@dataclass(frozen=True)
class Layout:
    """How frames of a kind are laid out."""

    size: int
    """Bytes of a frame."""
    order: tuple[int, ...]
    """ALSEP numbers of its words in order of the tape."""


OLD = Layout(
    72,
    (
        *(1, 2, 3, 4, 6, 8, 9, 10, 11, 12, 13, 14, 16, 18, 20, 22, 24, 25, 26, 27, 28, 29, 30, 32),
        *(33, 34, 35, 36, 37, 38, 40, 41, 42, 43, 44, 45, 46, 48, 50, 52, 54, 57, 58, 59, 60, 61, 62, 64),
    ),
)
NEW = Layout(36, (1, 2, 3, 9, 11, 13, 25, 27, 29, 33, 35, 37, 41, 43, 45, 46, 57, 59, 61))
NORMAL = Layout(96, tuple(range(1, 65)))
HIGH = Layout(96, ())
"""Work tapes of high bit rate carry geophones in words of their own."""
_PSE_LAYOUTS = {0: OLD, 1: NEW}


@dataclass(frozen=True)
class Run:
    """Frames of one layout that follow one another on a tape."""

    layout: Layout
    octets: NDArray[np.uint8]
    """The tape."""
    offset: NDArray[np.int64]
    """First bytes of the frames (frame)."""
    station: NDArray[np.uint16]
    """Numbers of the missions that set up their stations, 0 for none (frame)."""
    year: NDArray[np.uint16]
    """Years on the tape (frame)."""

    def byte(self, number: int) -> NDArray[np.int16]:
        """Return a byte of every frame, int16 (frame)."""
        found: NDArray[np.int16] = self.octets[self.offset + number].astype(np.int16)
        return found

    def where(self, chosen: NDArray[np.bool_]) -> Run:
        """Return some of the frames."""
        if chosen.all():
            return self
        return Run(self.layout, self.octets, self.offset[chosen], self.station[chosen], self.year[chosen])

    def number(self) -> NDArray[np.int64]:
        """Return the frame counts, 0 to 127 (frame)."""
        return (self.byte(11) >> 1).astype(np.int64)

    def words(self, numbers: Sequence[int]) -> NDArray[np.int16]:
        """Return words by their ALSEP numbers, -1 where the tape does not carry one; int16 (frame, word)."""
        found = np.full((len(self.offset), len(numbers)), -1, np.int16)
        for place, number in enumerate(numbers):
            if number == 5 and self.layout in (OLD, NEW):  # noqa: PLR2004 - command verification, kept in the header
                found[:, place] = self._joined(6, 0x03, 8, 0)
            elif number in self.layout.order:
                group, part = divmod(self.layout.order.index(number), 3)
                mask, left, right = ((0xFF, 2, 6), (0x1F, 5, 3), (0x03, 8, 0))[part]
                found[:, place] = self._joined(8 + 4 * group + part, mask, left, right)
        return found

    def _joined(self, first: int, mask: int, left: int, right: int) -> NDArray[np.int16]:
        """Return the words in two bytes: the lower bits of the first, moved left, and the upper ones of the second."""
        return (self.byte(first) & mask) << left | (self.byte(first + 1) >> right) & ((1 << left) - 1)

    def geophones(self) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        """Return 20 samples of four geophones, int16 (frame, sample, geophone), and which third of a frame it is.

        Samples of 7 bits are moved to 8 bits; the first one has 5 bits, as the others are taken by the synchronisation.
        """
        samples = np.empty((len(self.offset), 20, 4), np.int16)
        third = np.empty(len(self.offset), np.int16)
        for at in range(0, len(self.offset), _CHUNK):
            some = slice(at, at + _CHUNK)
            raw = self.octets[self.offset[some, None] + np.arange(8, 88)].view(">u4").astype(np.uint32)
            for geophone, (first, later) in enumerate(((17, 25), (12, 18), (7, 11), (2, 4))):
                samples[some, 0, geophone] = (raw[:, 0] >> first & 31) << 3
                samples[some, 1:, geophone] = (raw[:, 1:] >> later & 127) << 1
            third[some] = np.array([-1, 2, 3, 1])[raw[:, 19] >> 2 & 3]
        return samples, third


def runs(data: bytes | NDArray[np.uint8], name: str, year: int | None = None) -> tuple[list[Run], Counter[str]]:
    """Return the frames of a tape, and how many were lost, by reason.

    Parameters
    ----------
    data
        The file.
    name
        What to call it in an error.
    year
        To be taken for that on the tape, which is wrong on some.

    Raises
    ------
    FormatError
        No such tape.
    """
    octets = np.frombuffer(data, np.uint8) if isinstance(data, bytes) else data
    kind = kind_of(octets)
    if kind not in KINDS:
        raise FormatError(
            f"{name}: byte 0: {len(octets)} bytes of tape type {kind}; expected 1, 2 (PSE), 3 (WTN) or 4 (WTH)"
        )
    lost: Counter[str] = Counter()
    found = [_work_run(octets, kind, lost)] if kind > 2 else list(_pse_runs(octets, name, lost))  # noqa: PLR2004
    if year is not None:
        found = [
            Run(run.layout, run.octets, run.offset, run.station, np.full_like(run.year, min(max(year, 0), 65535)))
            for run in found
        ]
    return found, lost


def kind_of(octets: NDArray[np.uint8]) -> int:
    """Return the type of a tape, 0 where it has no whole header."""
    return int(octets[0]) << 8 | int(octets[1]) if len(octets) >= _HEADER else 0


def _pse_runs(octets: NDArray[np.uint8], name: str, lost: Counter[str]) -> Iterator[Run]:
    """Yield the frames of a PSE tape, record after record."""
    starts = np.arange(0, len(octets), RECORD)
    whole = starts[starts + _HEADER <= len(octets)]
    header = octets[whole[:, None] + np.arange(_HEADER)].view(">u2").astype(np.uint16)
    kind, station, year, layout = header[:, 0], header[:, 1], header[:, 4], header[:, 5]
    good = np.isin(kind, (1, 2)) & np.isin(layout, tuple(_PSE_LAYOUTS))
    if not good[0]:
        raise FormatError(f"{name}: byte 0: a record of type {kind[0]}, format {layout[0]}; expected 1 or 2, 0 or 1")
    complete = whole + RECORD <= len(octets)
    for place in np.flatnonzero(~(good & complete)).tolist():
        size = _PSE_LAYOUTS.get(int(layout[place]), OLD).size
        frames = (min(len(octets) - int(whole[place]), RECORD) - _HEADER) // size
        lost["truncated record" if good[place] else "bad record header"] += frames
    chosen = np.flatnonzero(good & complete)
    breaks = np.flatnonzero(np.diff(layout[chosen])) + 1
    for part in np.split(chosen, breaks):
        if len(part):
            kept = _PSE_LAYOUTS[int(layout[part[0]])]
            count = (RECORD - _HEADER) // kept.size
            offset = (whole[part, None] + _HEADER + kept.size * np.arange(count)).ravel()
            yield Run(kept, octets, offset, np.repeat(station[part], count), np.repeat(year[part], count))


def _work_run(octets: NDArray[np.uint8], kind: int, lost: Counter[str]) -> Run:
    """Return the frames of a work tape: a header, mostly repeated, and frames of all stations."""
    layout = NORMAL if kind == 3 else HIGH  # noqa: PLR2004 - tape types are told in KINDS
    first = _HEADER * (2 if np.array_equal(octets[:_HEADER], octets[_HEADER : 2 * _HEADER]) else 1)
    count, rest = divmod(len(octets) - first, layout.size)
    lost["truncated frame"] += rest > 0
    offset = first + layout.size * np.arange(count)
    year = int(octets[8]) << 8 | int(octets[9])
    package = octets[offset + 5] >> 5
    stations = np.array([_STATIONS.get(number, 0) for number in range(8)], np.uint16)
    return Run(layout, octets, offset, stations[package], np.full(count, year, np.uint16))


def checked(run: Run) -> tuple[Run, NDArray[np.int64], dict[int, Counter[str]]]:
    """Return the good frames of a run, their UTC ns as on the tape, and how many were bad, by station and reason."""
    aged = (run.year >= _YEARS.start) & (run.year < _YEARS.stop)
    since = np.array([f"{year}-01-01" for year in _YEARS], "datetime64[ms]").astype(np.int64)
    msec = (run.byte(0) & 0x7F).astype(np.int64)
    for number in (1, 2, 3):
        msec = msec << 8 | run.byte(number)
    msec = msec << 4 | run.byte(4) >> 4
    time = (since[np.where(aged, run.year, _YEARS.start) - _YEARS.start] + msec) * _MILLISECOND
    faults: list[tuple[NDArray[np.bool_], str]] = [(run.station == 0, "frame of no station")]
    if run.layout is not HIGH:
        faults.append((run.byte(8) << 3 | run.byte(9) >> 5 != _SYNC, "bad sync code"))
    faults += [(run.year == year, f"year {year}") for year in np.unique(run.year[~aged]).tolist()]
    faults += [
        (msec >= _YEAR, "time beyond the end of the year"),
        (~_operating(run.station, time), "at a time when the station did not operate"),
    ]
    good = np.ones(len(time), bool)
    rejected: dict[int, Counter[str]] = {}
    for bad, reason in faults:
        for station, count in zip(*np.unique(run.station[good & bad], return_counts=True), strict=True):
            rejected.setdefault(int(station), Counter())[reason] += int(count)
        good &= ~bad
    return run.where(good), time[good], rejected


def _operating(station: NDArray[np.uint16], time: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell at which times, UTC ns, the stations worked."""
    found = np.zeros(len(time), bool)
    for number, spans in _OPERATED.items():
        for start, stop in spans:
            first, last = (np.datetime64(day, "ns").astype(np.int64) for day in (start, stop))
            found |= (station == number) & (time >= first) & (time < last)
    return found
