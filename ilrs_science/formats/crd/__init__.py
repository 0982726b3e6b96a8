"""Consolidated Laser Ranging Data (CRD), versions 1 and 2: ranges to reflectors on satellites and on the Moon."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ilrs_science.formats.crd.records import CONFIGURATION, DATA, EPOCH_EVENTS, HEADERS, REFLECTORS, Field, Record
from ilrs_science.formats.crd.scan import ABSENT, RANGES, Scan, scan
from ilrs_science.formats.crd.text import Table, numbers
from ilrs_science.formats.format import Format, counted, granule, unit_attributes
from ilrs_science.formats.opening import opens
from ilrs_science.geometry.labels import TAI
from ilrs_science.model.granule import Granule

_FIRST = re.compile(r"(?:\s*\n|00[^\n]*\n)*+\s*h1\s+crd\s+\d", re.IGNORECASE)
_CODED: dict[str, dict[str, Any]] = {
    "epoch_event": {"flag_values": list(range(7)), "flag_meanings": EPOCH_EVENTS},
    "filter_flag": {"flag_values": [0, 1, 2], "flag_meanings": "unknown noise data"},
    "data_type": {"flag_values": [0, 1, 2], "flag_meanings": "full_rate normal_point sampled_engineering"},
    "range_type": {
        "flag_values": list(range(5)),
        "flag_meanings": "transmit_times_only one_way two_way receive_times_only mixed",
    },
    "time_scale": {"flag_values": [3, 4, 7], "flag_meanings": "utc_usno utc_gps utc_bipm"},
    "seconds_of_day": {"long_name": "seconds of the UTC day, as in the file"},
    "time_of_flight": {"long_name": "time of flight, two-way unless the range type of the session says otherwise"},
}


@opens
def read_crd(path: Path) -> xr.DataTree:
    """Return the sessions of a CRD file and a table of each kind of record, as the branches of a tree.

    Parameters
    ----------
    path
        The file, version 1 or 2; tags in upper or lower case, sessions and records in any order.

    Returns
    -------
    `sessions` has a row for each session (record H4): station, target, start and stop (int64 TAI ns) and all that the
    headers say; `wavelength` (nm) and `system_configuration` are those of its first record C0. The other branches are
    there where the file has such records: `normal_points` (11), `full_rate` (10), `range_supplement` (12),
    `meteorology` (20), `meteorology_supplement` (21), `pointing` (30), `calibration` (40), `calibration_details` (41),
    `calibration_shots` (42), `statistics` (50), `compatibility` (60), and the configurations `system` (C0), `laser`,
    `detector`, `timing`, `transponder`, `software`, `meteorological_sensors` and `calibration_target` (C7).

    Every row has its `session`; rows of 10 and 11 have the `wavelength` of their configuration. Numbers are float64 in
    the units of the file (time of flight s, rms ps, pressure hPa, temperature K, humidity %), NaN where the file has
    `na`, `-na`, `nan` or nothing. Version 1 writes -1 where nothing is known; that is kept. Epochs lie along `time`,
    int64 TAI nanoseconds, beside `seconds_of_day` as in the file; the day is that on which they come nearest to their
    session, so that midnight may pass in it. All time scales that the format knows are realisations of UTC.

    Attributes of the root: `records` counts the records by tag, `comments` are those of the file, `rejected` counts
    what could not be read, and `repaired` says what had to be understood against the format.

    Raises
    ------
    FormatError
        The file is no CRD, or has no session.
    OSError
        There is no such file, or it cannot be read.
    """
    found = scan(path, {**CONFIGURATION, **DATA})
    branches: dict[str, xr.Dataset] = {"sessions": _sessions(found)}
    for tag, record in {**DATA, **CONFIGURATION}.items():
        table = found.tables.table(tag)
        if table:
            branches[record.name] = _table(tag, record, table)
    repaired = [f"{what}: {count}" for what, count in found.notes.items() if count]
    attributes: dict[str, Any] = {
        "format": "CRD",
        "records": dict(sorted(found.counts.items())),
        "comments": found.comments,
        "rejected": counted(found.rejected),
        **({"repaired": repaired} if repaired else {}),
    }
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=attributes), **branches})


def index_crd(path: Path) -> list[Granule]:
    """Return a granule for each pair of station and site, of normal points and full-rate ranges together.

    The instrument is the station (`GRSM`). The site is the reflector where the target is one of those on the Moon, by
    the name of the catalogue of sites; for satellites it is the station too, where the ranges were taken.

    Raises
    ------
    FormatError
        The file is no CRD, or has no session.
    """
    epochs = {tag: Record(DATA[tag].name, 1, DATA[tag].fields[:1]) for tag in RANGES[:2]}
    found = scan(path, epochs)
    tables = [table for table in (found.tables.table(tag) for tag in epochs) if table]
    owners = np.concatenate([np.zeros(0, np.int64), *(table["session"] for table in tables)])
    times = np.concatenate([np.zeros(0, np.int64), *(table["time"] for table in tables)])
    groups: dict[tuple[str, str], int] = {}
    group, counts = np.zeros(len(found.sessions), np.int64), Counter[int]()
    for number, session in enumerate(found.sessions):
        station = session.text("H2", 0)
        key = station, REFLECTORS.get(session.text("H3", 0).lower(), station)
        group[number] = groups.setdefault(key, len(groups))
        counts[int(group[number])] += session.ranges
    first = np.full(len(groups), np.iinfo(np.int64).max)
    last = np.full(len(groups), ABSENT)
    np.minimum.at(first, group[owners], times)
    np.maximum.at(last, group[owners], times)
    return [
        granule(
            path,
            "crd",
            count=counts[number],
            span=(int(first[number]), int(last[number])) if last[number] != ABSENT else None,
            instrument=station,
            site=site,
        )
        for (station, site), number in groups.items()
    ]


def _recognises(head: bytes, path: Path) -> bool:  # noqa: ARG001 - the content tells
    return _FIRST.match(head.decode("latin-1")) is not None


def _table(tag: str, record: Record, table: Table) -> xr.Dataset:
    """Return the rows of a kind of record, along `time` where they have one."""
    dim = "time" if record.timed else "record"
    variables = {"session": (dim, table["session"], {"long_name": "row of the table of sessions"})}
    for field in record.fields:
        variables[field.name] = (dim, table[field.name], _attributes(field))
    if "epoch_event" in table:
        variables["wavelength"] = (dim, table["wavelength"], {"units": "nm"})
    coordinates = {"time": (dim, pd.Index(table["time"], copy=False), TAI)} if record.timed else {}
    return xr.Dataset(variables, coordinates, {"record": tag})


def _sessions(found: Scan) -> xr.Dataset:
    """Return what the headers say of every session."""
    variables: dict[str, tuple[Any, ...]] = {}
    for tag, header in HEADERS.items():
        for place, field in enumerate(header.fields):
            column = [session.text(tag, place) for session in found.sessions]
            if field.text:
                variables[field.name] = ("session", np.array(column, dtype=str))
                continue
            values, wrong = numbers(column)
            found.notes["header fields that are no numbers are NaN"] += int(wrong.sum())
            if not field.name.startswith(("start_", "stop_")):
                variables[field.name] = ("session", values, _attributes(field))
    scale = variables["time_scale"][1]
    found.notes["sessions of a time scale other than UTC of USNO, GPS or BIPM, taken for UTC"] += int(
        (~np.isnan(scale) & ~np.isin(scale, (3, 4, 7))).sum()
    )
    for name, moments in (
        ("start", [session.start_tai for session in found.sessions]),
        ("stop", [session.stop_tai for session in found.sessions]),
    ):
        about = {**TAI, "long_name": f"{name} of the session (time_scale: TAI)", "missing_value": ABSENT}
        variables[name] = ("session", np.array(moments, np.int64), about)
    first = [next(iter(session.wavelengths.items()), ("", np.nan)) for session in found.sessions]
    variables["system_configuration"] = ("session", np.array([name for name, _ in first], dtype=str))
    variables["wavelength"] = ("session", np.array([value for _, value in first], np.float64), {"units": "nm"})
    return xr.Dataset({name: variables[name] for name in variables if name != "format"})


def _attributes(field: Field) -> dict[str, Any]:
    return {**({} if field.text else unit_attributes(field.unit)), **_CODED.get(field.name, {})}


FORMAT = Format(
    "crd",
    "laser ranges of the ILRS (Consolidated Laser Ranging Data, versions 1 and 2)",
    "own",
    _recognises,
    read_crd,
    index_crd,
)
