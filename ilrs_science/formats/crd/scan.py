"""The lines of a CRD file sorted into sessions and tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ilrs_science.errors import FormatError, IlrsError
from ilrs_science.formats.crd.records import CONFIGURATION, DATA, Record
from ilrs_science.formats.crd.text import LONGEST_LINE, LONGEST_TEXT, Table, Tables, nanoseconds, numbers
from ilrs_science.geometry.time import DAY, SECOND, parse_count, parse_utc, utc_to_tai

RANGES = ("10", "11", "12")
"""Records that lie in their session; others may lie hours before it."""
ABSENT = int(np.iinfo(np.int64).min)
"""A time that nobody knows."""
_EARLIEST = int(np.datetime64("1968-02-02", "ns").astype(np.int64))
"""After the last step of UTC that left out a time."""
_BEFORE_SESSION = (*CONFIGURATION, "40", "41", "42")
"""Records that may stand before the header H4 of their session."""
_FIXED = {
    "H2": ((3, 13), (14, 18), (19, 21), (22, 24), (25, 27), (28, 38)),
    "H3": ((3, 13), (14, 22), (23, 27), (28, 36), (37, 38), (39, 40), (41, 42)),
}
"""Columns of headers of version 1, in which a name may hold blanks and a number be blank."""


@dataclass
class Session:
    """What belongs to one record H4."""

    headers: dict[str, list[str]]
    """Fields of the headers in force, by tag."""
    wavelengths: dict[str, float]
    """nm, by identifier of the system configuration."""
    start: int = ABSENT
    """UTC ns since 1970."""
    stop: int = ABSENT
    start_tai: int = ABSENT
    """TAI ns."""
    stop_tai: int = ABSENT
    ranges: int = 0
    """Records 10 and 11, rejected ones included."""

    def text(self, tag: str, place: int) -> str:
        """Return a field of a header, empty where there is none."""
        fields = self.headers.get(tag, [])
        return fields[place][:LONGEST_TEXT] if place < len(fields) else ""


@dataclass
class Scan:
    """What was found in a file."""

    tables: Tables = field(init=False)
    sessions: list[Session] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    """Records by tag in upper case, whatever became of them, of those that are in no table."""
    comments: list[str] = field(default_factory=list)
    rejected: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    """What was understood against the format, and how often."""
    headers: dict[str, list[str]] = field(default_factory=dict)
    """Headers in force for the next session."""
    wavelengths: dict[str, float] = field(default_factory=dict)
    inside: bool = False
    """Whether a session has begun and not ended."""

    def take(self, line: str) -> None:
        """Take in a line."""
        tag = line[:2].upper()
        if line[2:3].strip():
            self.rejected["unknown record"] += 1
        elif len(line) > LONGEST_LINE:
            self.rejected["line too long"] += 1
        elif tag in DATA or tag in CONFIGURATION:
            self._keep(tag, line)
        elif tag in ("H1", "H2", "H3", "H4", "H5", "H8", "H9"):
            self.counts[tag] += 1
            self._header(tag, line)
        elif tag == "00" or (tag[:1] == "9" and tag[1:].isdigit()):  # 9x are the station's own
            self.counts[tag] += 1
            self.comments += [line[2:].strip()] if tag == "00" else []
        elif line.strip():
            self.rejected["unknown record"] += 1

    def _keep(self, tag: str, line: str) -> None:
        if not self.inside and tag not in _BEFORE_SESSION:
            self.rejected[f"record {tag} outside a session"] += 1
            self.counts[tag] += 1
            return
        if tag == "C0":
            fields = line.split(None, 4)
            if len(fields) > 3:  # noqa: PLR2004 - tag, detail, wavelength, identifier
                known = self.sessions[-1].wavelengths if self.inside else self.wavelengths
                known[fields[3]] = float(numbers(fields[2:3])[0][0])
        if tag in self.tables.records:
            self.tables.add(tag, line, len(self.sessions) - self.inside)

    def _header(self, tag: str, line: str) -> None:
        if tag == "H5":
            if self.inside:
                self.sessions[-1].headers[tag] = line.split()[1:]
            return
        self.notes["sessions without an end (H8)"] += self.inside and tag != "H8"
        self.inside = tag == "H4"
        if tag in ("H1", "H9"):
            self.headers, self.wavelengths = {}, {}
        elif tag == "H2":
            self.wavelengths = {}
        fields = _header_fields(tag, line)
        if tag == "H4":
            self.sessions.append(_session({**self.headers, "H4": fields}, dict(self.wavelengths)))
        elif tag in ("H1", "H2", "H3"):
            self.headers[tag] = fields

    def finish(
        self, tag: str, table: Table, fields: Sequence[Sequence[str]], owners: NDArray[np.int64]
    ) -> dict[str, NDArray[np.bool_]]:
        """Add sessions, times and wavelengths to the columns of a kind of record."""
        known = owners < len(self.sessions)
        faults = {"outside a session": ~known}
        if tag in RANGES[:2]:
            for owner, count in Counter(owners.tolist()).items():
                self.sessions[owner].ranges += count
        if "epoch_event" in table:
            table["wavelength"] = self._wavelengths(table["system_configuration"], owners)
        if self.tables.records[tag].timed:
            table["time"], dated = self._times(tag, fields[0], np.where(known, owners, 0))
            faults["without a time"] = ~dated
        table["session"] = owners
        return faults

    def _wavelengths(self, names: NDArray[Any], owners: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the wavelengths of system configurations in their sessions, nm."""
        known = [session.wavelengths for session in self.sessions]
        return np.array(
            [known[o].get(n, np.nan) for n, o in zip(names.tolist(), owners.tolist(), strict=True)], np.float64
        )

    def _times(
        self, tag: str, texts: Sequence[str], owners: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return TAI ns of seconds of day, on the day nearest to their sessions, and which of them are known."""
        clock = nanoseconds(texts)
        starts = np.array([session.start for session in self.sessions] or [ABSENT], np.int64)[owners]
        stops = np.array([session.stop for session in self.sessions] or [ABSENT], np.int64)[owners]
        known = (clock >= 0) & (clock < DAY + SECOND) & (starts != ABSENT)
        starts = np.where(known, starts, 0)
        # Without an end, ranges are looked for after the start, and what goes with them up to ten hours before it.
        reach = (22 if tag in RANGES else 4) * 3600 * SECOND
        stops = np.where(known & (stops != ABSENT), stops, starts + reach)
        day = starts // DAY * DAY
        clock = np.where(known, clock, 0)
        shifts = np.array([0, DAY, -DAY], np.int64)[:, None]
        moments = day + shifts + clock
        away = np.maximum(np.maximum(starts - moments, moments - stops), 0)
        day += shifts[np.argmin(away, axis=0), 0]
        # From 86400 s on, the clock stands in a leap second, which shares its UTC count with the second after it.
        leap = clock >= DAY
        return np.where(leap, utc_to_tai(day) + clock, utc_to_tai(day + np.where(leap, 0, clock))), known


def scan(path: Path, records: Mapping[str, Record]) -> Scan:
    """Return the sessions of a CRD file and tables of some kinds of record.

    Raises
    ------
    FormatError
        The file is no CRD, or has no session.
    """
    found = Scan()
    found.tables = Tables(records, found.finish)
    known = {*DATA, *CONFIGURATION}
    ranges = {f"{tag} " for tag in RANGES if tag in records}
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            if line[:2] in {"H1", "h1"} and line.split()[1:2] not in (["CRD"], ["crd"], ["Crd"]):
                raise FormatError(f"{path}: record {sum(found.counts.values()) + 1}: H1 of something else than CRD")
            if line[-1] != "\n" and line[:2].upper() in known:
                found.rejected["record cut short by the end of the file"] += 1
            elif found.inside and line[:3] in ranges and len(line) <= LONGEST_LINE:
                found.tables.add(line[:2], line, len(found.sessions) - 1)
            else:
                found.take(line)
    if not found.counts["H1"]:
        raise FormatError(f"{path}: no header H1 CRD")
    if not found.sessions:
        raise FormatError(f"{path}: no session (header H4)")
    for tag in records:
        found.tables.flush(tag)
    found.counts += found.tables.counts
    found.rejected += found.tables.rejected
    found.notes["sessions without an end (H8)"] += found.inside
    found.notes["no end of the file (H9)"] += not found.counts["H9"]
    for tag, count in found.tables.more.items():
        found.notes[f"records {tag} with fields that the format does not have, left out"] += count
    return found


def _header_fields(tag: str, line: str) -> list[str]:
    """Return the fields of a header; by columns where blanks do not tell them apart."""
    fields = line.split()[1:]
    least = {"H2": 5, "H3": 6}.get(tag, 0)
    if len(fields) >= least and (not least or fields[1].lstrip("-").isdigit()):
        return fields
    return [line[slice(*columns)].strip() for columns in _FIXED.get(tag, ())] or fields


def _session(headers: dict[str, list[str]], wavelengths: dict[str, float]) -> Session:
    """Return a session with its start and stop, as far as the header tells them."""
    session = Session(headers, wavelengths)
    session.start, session.start_tai = _moment(headers["H4"][1:7])
    stop, stop_tai = _moment(headers["H4"][7:13])
    session.stop_tai = stop_tai
    if 0 <= stop - session.start < DAY:
        session.stop = stop
    return session


def _moment(fields: Sequence[str]) -> tuple[int, int]:
    """Return UTC and TAI ns of year, month, day, hour, minute and second."""
    text = "{:0>4}-{:0>2}-{:0>2}T{:0>2}:{:0>2}:{:0>2}".format(*fields, *[""] * 6)
    try:
        count, tai = parse_count(text, IlrsError(text))[0], parse_utc(text)
    except IlrsError:
        return ABSENT, ABSENT
    return (count, tai) if count >= _EARLIEST else (ABSENT, ABSENT)
