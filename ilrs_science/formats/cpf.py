"""Consolidated Prediction Format (CPF), versions 1 and 2: where the targets of laser ranging will be.

Layouts are those of "Consolidated Laser Ranging Prediction Format", versions 1.01 (17 February 2006) and 2.00
(28 February 2018), and of the sample code by R. L. Ricklefs that comes with them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ilrs_science.errors import FormatError
from ilrs_science.formats.crd.records import CPF_ATTACHED, CPF_BRANCHES, CPF_POSITION, REFLECTORS, Record
from ilrs_science.formats.crd.text import LONGEST_LINE, Table, Tables, nanoseconds, numbers
from ilrs_science.formats.format import Format, counted, granule, plain
from ilrs_science.formats.opening import opens
from ilrs_science.geometry.labels import TAI
from ilrs_science.geometry.time import DAY, SECOND, utc_to_tai
from ilrs_science.model.granule import Granule

_FIRST = re.compile(r"(?:\s*\n|00[^\n]*\n)*+\s*h1\s+cpf\s+\d", re.IGNORECASE)
_MJD_OF_1970 = 40587
_DAYS = (39888, 100000)
"""MJD of 1968-02-02, after the last step of UTC that left out a time, and of a day before int64 ns end."""
_DIRECTIONS = {
    "flag_values": [0, 1, 2],
    "flag_meanings": "common_epoch transmit receive",
    "long_name": "whether light-time is iterated: 0 no, 1 from the geocentre at transmission, 2 back at reception",
}
_FRAMES = ("geocentric, true body-fixed", "geocentric space-fixed, true of date", "geocentric space-fixed, J2000")
_H1 = "format version source year month day hour sequence_number sub_daily_sequence_number target notes"
_H2 = (
    "cospar_id sic norad_id start_year start_month start_day start_hour start_minute start_second stop_year stop_month "
    "stop_day stop_hour stop_minute stop_second step tiv_compatible target_class reference_frame rotation_angle_type "
    "centre_of_mass_applied target_location"
)
_H2_WIDTHS = (8, 4, 8, 4, 2, 2, 2, 2, 2, 4, 2, 2, 2, 2, 2, 5, 1, 1, 2, 1, 1, 2)
"""Of the columns of version 1, with a blank between, where a number may be blank."""
_H3 = " ".join(f"{track}_runoff_{hours}h" for hours in (0, 6, 24) for track in ("along_track", "cross_track", "radial"))
_H4 = "pulse_repetition_frequency transmit_delay utc_offset oscillator_drift clock_reference_time"
_TEXTS = ("format", "source", "target", "notes", "cospar_id", "sic", "norad_id")


@opens
def read_cpf(path: Path) -> xr.Dataset | xr.DataTree:
    """Return the predicted positions of a CPF file.

    Parameters
    ----------
    path
        The file, version 1 or 2; tags in upper or lower case.

    Returns
    -------
    Along `time`, int64 TAI nanoseconds of the UTC in the file: `position` (time, axis) in m, `direction`,
    `leap_second` as in the file, and where there are such records, `velocity` (20, m/s), `aberration` (30, m) with
    `relativistic_correction` (ns), and `oscillator_relativity` (40); NaN where a position has none. All are float64.
    Positions that go and come, as those of the Moon, are samples of their own, told apart by `direction`.

    A file with records of their own time gives a tree: `ephemeris` as above, `offset` from the centre of the main body
    (50), `rotation` (60) and `earth_orientation` (70).

    Attributes are the fields of the headers by name, `reference_frame` in words, `comments`, `records` (how many of
    each tag), `rejected`, and `repaired`.

    Raises
    ------
    FormatError
        The file is no CPF, or has no good position.
    OSError
        There is no such file, or it cannot be read.
    """
    found = _Scan(path, {"10": CPF_POSITION, **CPF_ATTACHED, **CPF_BRANCHES})
    ephemeris = _ephemeris(found)
    attributes = found.attributes()
    branches = {}
    for tag, kind in CPF_BRANCHES.items():
        table = found.tables.table(tag)
        if table:
            branches[kind.name] = _branch(kind, table)
    if not branches:
        return ephemeris.assign_attrs(attributes)
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=attributes), "ephemeris": ephemeris, **branches})


def index_cpf(path: Path) -> list[Granule]:
    """Return one granule, of the target: a reflector on the Moon by the name of the catalogue, else as the file has it.

    A prediction has no instrument.

    Raises
    ------
    FormatError
        The file is no CPF, or has no good position.
    """
    found = _Scan(path, {"10": Record(CPF_POSITION.name, 3, CPF_POSITION.fields[:3])})
    times = found.positions()["time"]
    target = str(found.header.get("target", ""))
    span = (int(times.min()), int(times.max()))
    site = REFLECTORS.get(target.lower(), target)
    return [granule(path, "cpf", count=found.counts["10"], span=span, site=site)]


def _recognises(head: bytes, path: Path) -> bool:  # noqa: ARG001 - the content tells
    return _FIRST.match(head.decode("latin-1")) is not None


class _Scan:
    """What was found in a file."""

    def __init__(self, path: Path, records: Mapping[str, Record]) -> None:
        self.path = path
        self.header: dict[str, Any] = {}
        self.comments: list[str] = []
        self.counts: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()
        """What was understood against the format, and how often."""
        self.tables = Tables(records, self._finish)
        self.last: dict[str, int] = {}
        """Number of the last position in each direction."""
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                self._take(line)
        if not self.counts["H1"]:
            raise FormatError(f"{path}: no header H1 CPF")
        for tag in records:
            self.tables.flush(tag)
        self.rejected += self.tables.rejected
        self.notes["no end (record 99)"] += not self.counts["99"]
        for tag, count in self.tables.more.items():
            self.notes[f"records {tag} with fields that the format does not have, left out"] += count

    def positions(self) -> Table:
        """Return the good records 10; there is at least one."""
        table = self.tables.table("10")
        if not table:
            why = "; ".join(f"{count} {reason}" for reason, count in self.rejected.items() if count) or "none at all"
            raise FormatError(f"{self.path}: no good position ({why})")
        return table

    def attributes(self) -> dict[str, Any]:
        """Return the attributes of the file."""
        repaired = [f"{what}: {count}" for what, count in self.notes.items() if count]
        return {
            **plain(self.header),
            "comments": self.comments,
            "records": dict(sorted(self.counts.items())),
            "rejected": counted(self.rejected),
            **({"repaired": repaired} if repaired else {}),
        }

    def _take(self, line: str) -> None:
        tag = line[:2].upper()
        if not line.strip():
            return
        if line[2:3].strip() or tag not in _TAGS:
            self.rejected["unknown record"] += 1
        elif len(line) > LONGEST_LINE:
            self.rejected["line too long"] += 1
        elif self.counts["99"]:
            self.rejected["record after the end (99)"] += 1
        elif line[-1] != "\n" and tag.isdigit() and tag not in ("00", "99"):
            self.rejected["record cut short by the end of the file"] += 1
        else:
            self.counts[tag] += 1
            if tag == "00":
                self.comments.append(line[2:].strip())
            elif tag in self.tables.records:
                self.tables.add(tag, *self._owned(tag, line))
            elif tag[0] == "H":
                self._header(tag, line)

    def _owned(self, tag: str, line: str) -> tuple[str, int]:
        """Return a line, and the number of the position that it belongs to, -1 for none."""
        fields = line.split(None, 8)
        if tag == "10":
            self.last[fields[1] if len(fields) > 1 else ""] = self.counts["10"] - 1
            return line, self.counts["10"] - 1
        if tag == "40":
            return line, self.counts["10"] - 1
        if tag == "50" and len(fields) == 8:  # noqa: PLR2004 - some name the target, the sample code does not
            self.header["offset_target"] = fields.pop(4)
            return " ".join(fields) + "\n", 0
        return line, self.last.get(fields[1], -1) if tag in CPF_ATTACHED and len(fields) > 1 else 0

    def _header(self, tag: str, line: str) -> None:
        fields = line.split()[1:]
        if tag == "H1":
            if fields[:1] not in (["CPF"], ["cpf"], ["Cpf"]):
                raise FormatError(f"{self.path}: record {sum(self.counts.values())}: H1 of something else than CPF")
            if fields[1:2] in (["1"], ["01"]):
                fields.insert(8, "")
        elif tag == "H2" and len(fields) < 21:  # noqa: PLR2004 - one of version 1 is blank
            ends = list(accumulate(width + 1 for width in _H2_WIDTHS))
            fields = [line[3 + end - 1 - width : 2 + end].strip() for end, width in zip(ends, _H2_WIDTHS, strict=True)]
        self.header |= _named(tag, fields)

    def _finish(
        self, tag: str, table: Table, fields: Sequence[Sequence[str]], owners: NDArray[np.int64]
    ) -> dict[str, NDArray[np.bool_]]:
        """Add owners and times to the columns of a kind of record."""
        table["owner"] = owners
        if tag in CPF_ATTACHED:
            return {"without a position": owners < 0}
        place = list(table).index("seconds_of_day")
        clock = nanoseconds(fields[place])
        whole = np.nan_to_num(table["mjd"])
        dated = (whole % 1 == 0) & (whole >= _DAYS[0]) & (whole < _DAYS[1]) & (clock >= 0) & (clock < DAY + SECOND)
        day = (np.where(dated, whole, _MJD_OF_1970).astype(np.int64) - _MJD_OF_1970) * DAY
        clock = np.where(dated, clock, 0)
        # From 86400 s on, the clock stands in a leap second, which shares its UTC count with the second after it.
        leap = clock >= DAY
        table["time"] = np.where(leap, utc_to_tai(day) + clock, utc_to_tai(day + np.where(leap, 0, clock)))
        return {"without a time": ~dated}


_TAGS = frozenset({"10", *CPF_ATTACHED, *CPF_BRANCHES, "00", "99", "H1", "H2", "H3", "H4", "H5", "H9"})


def _named(tag: str, fields: Sequence[str]) -> dict[str, Any]:
    """Return the fields of a header by name, as numbers where they are."""
    names = {"H1": _H1, "H2": _H2, "H3": _H3, "H4": _H4, "H5": "centre_of_mass_to_reflector"}.get(tag, "").split()
    found: dict[str, Any] = {}
    for name, text in zip(names, fields, strict=False):
        values, wrong = numbers([text])
        if name in _TEXTS or wrong[0]:
            found[name] = text
        elif text:
            found[name] = int(values[0]) if values[0] % 1 == 0 else float(values[0])
    if "reference_frame" in found and found["reference_frame"] in range(len(_FRAMES)):
        found["reference_frame_code"] = found["reference_frame"]
        found["reference_frame"] = _FRAMES[found["reference_frame_code"]]
    return found


def _ephemeris(found: _Scan) -> xr.Dataset:
    """Return the positions, and what belongs to them."""
    table = found.positions()
    flagged = np.nan_to_num(table["leap_second"]) != 0
    found.notes["positions with the leap second flag, taken for UTC as written"] += int(flagged.sum())
    variables: dict[str, tuple[Any, ...]] = {
        "direction": ("time", table["direction"], _DIRECTIONS),
        "leap_second": ("time", table["leap_second"]),
        "seconds_of_day": ("time", table["seconds_of_day"], {"units": "s"}),
        "position": (("time", "axis"), _vector(table), {"units": "m"}),
    }
    for tag, kind in CPF_ATTACHED.items():
        attached = found.tables.table(tag)
        if not attached:
            continue
        rows = np.searchsorted(table["owner"], attached["owner"])
        matched = table["owner"][np.minimum(rows, len(table["owner"]) - 1)] == attached["owner"]
        found.rejected[f"record {tag} of a rejected position"] += int((~matched).sum())
        found.rejected[f"record {tag} repeated"] += int(matched.sum()) - len(np.unique(rows[matched]))
        for name, values in _quantities(kind, attached).items():
            full = np.full((len(table["time"]), *values.shape[1:]), np.nan)
            full[rows[matched]] = values[matched]
            unit = next(one.unit for one in kind.fields if one.name == ("x" if name == kind.name else name))
            variables[name] = (("time", "axis")[: full.ndim], full, {"units": unit} if unit else {})
    return xr.Dataset(variables, {"time": ("time", table["time"], TAI), "axis": ["x", "y", "z"]})


def _quantities(kind: Record, table: Table) -> dict[str, NDArray[np.float64]]:
    """Return the vector of a record under its name, and what else it has."""
    others = {one.name: table[one.name] for one in kind.fields if one.name not in ("direction", "x", "y", "z")}
    return {**({kind.name: _vector(table)} if "x" in table else {}), **others}


def _vector(table: Table) -> NDArray[np.float64]:
    return np.stack([table[name] for name in ("x", "y", "z")], axis=-1)


def _branch(kind: Record, table: Table) -> xr.Dataset:
    """Return the records of a kind along their own time."""
    variables = {
        one.name: ("time", table[one.name], {"units": one.unit} if one.unit else {})
        for one in kind.fields
        if one.name != "mjd"
    }
    return xr.Dataset(variables, {"time": ("time", table["time"], TAI)})


FORMAT = Format(
    "cpf",
    "predictions for laser ranging (Consolidated Prediction Format, versions 1 and 2)",
    "own",
    _recognises,
    read_cpf,
    index_cpf,
)
