"""Laser ranging: files of ranges (CRD) and of predictions (CPF) in their true layout, and what is in them.

Written from the documents "Consolidated Laser Ranging Data Format (CRD)", versions 1.01 and 2.01, and "Consolidated
Laser Ranging Prediction Format", versions 1.01 and 2.00.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ilrs_science.geometry.constants import SPEED_OF_LIGHT
from ilrs_science.geometry.time import DAY, SECOND, utc_to_tai

type Truth = dict[str, dict[str, NDArray[np.generic]]]

_SYSTEMS = (("std1", 532.0), ("std2", 1064.0))
_DISTANCE = 384400.0  # km, of the Moon
_PICOSECONDS = 10**12
_SEED = 3
_FLAGS = "0 0 0 0 1 0 2 0"


@dataclass(frozen=True)
class _Session:
    """Four minutes of ranging, in a file."""

    number: int
    begin: int
    """UTC ns."""
    points: int
    """Ranges of either kind."""
    version: int
    """Of the format of the file."""


def write_crd(
    path: Path, *, version: int = 2, size: tuple[int, int] = (3, 12), upper: bool = True, mixed: bool = True
) -> Truth:
    """Write ranges to the reflector of Apollo 15 and return what they are, by kind of record.

    Sessions follow one another by 22 hours; every one lasts four minutes, and the first one passes midnight. Each has
    ranges of two colours, both as full rate and as normal points, weather, pointing and calibration.

    Parameters
    ----------
    path
        File to write.
    version
        Of the format, 1 or 2; a file of version 1 writes -1 where one of version 2 writes `na`.
    size
        How many sessions, and ranges of either kind in each.
    upper
        Whether tags are in upper case.
    mixed
        Whether the records of a session are out of order, and its configuration comes last.
    """
    rng = np.random.default_rng(_SEED)
    sessions, points = size
    truth: dict[str, dict[str, list[float]]] = {}
    lines = [f"H1 CRD {version:2d} 2031  3  5  1"]
    for number in range(sessions):
        begin = int(np.datetime64("2031-03-01T23:58:00", "ns").astype(np.int64)) + number * 22 * 3600 * SECOND
        records = _session_records(rng, truth, _Session(number, begin, points, version))
        if mixed:
            records = [records[place] for place in rng.permutation(len(records))]
        lines += _headers(version, begin, begin + 240 * SECOND)
        configuration = [f"C0 0 {wavelength:.3f} {name} las det tim" for name, wavelength in _SYSTEMS]
        lines += [*records, *configuration, "H8"] if mixed else [*configuration, *records, "H8"]
    lines.append("H9")
    cased = (line if upper else line[:2].lower() + line[2:] for line in lines)
    path.write_text("\n".join(cased) + "\n")
    return {kind: {name: np.array(values) for name, values in table.items()} for kind, table in truth.items()}


def _headers(version: int, begin: int, end: int) -> list[str]:
    network, location = (" EUROLAS", " 3") if version > 1 else ("", "")
    station = f"H2 {'GRSM':10s} {7845:4d} {78:2d} {1:2d} {4:2d}{network}"
    target = f"H3 {'apollo15':10s} {103:8d} {103:4d} {0:8d} {0:1d} {1 if version > 1 else 2:1d}{location}"
    return [station, target, f"H4  0 {_calendar(begin)} {_calendar(end)}  {_FLAGS}"]


def _calendar(utc: int) -> str:
    text = str(np.datetime64(utc // SECOND, "s"))
    year, month, day = text[:10].split("-")
    hour, minute, second = text[11:].split(":")
    return f"{int(year):4d} {int(month):2d} {int(day):2d} {int(hour):2d} {int(minute):2d} {int(second):2d}"


def _session_records(
    rng: np.random.Generator, truth: dict[str, dict[str, list[float]]], session: _Session
) -> list[str]:
    """Return the records of a session, and add what they say to the truth."""
    begin = session.begin
    absent = "na" if session.version > 1 else "-1"
    lines = []

    def keep(kind: str, text: str, clock: str, time: int, **values: float) -> None:
        lines.append(text)
        row = {"session": session.number, "time": time, "seconds_of_day": float(clock), **values}
        for name, value in row.items():
            truth.setdefault(kind, {}).setdefault(name, []).append(value)

    for kind, tag in (("full_rate", "10"), ("normal_points", "11")):
        for _ in range(session.points):
            clock, time = _epoch(rng, begin)
            flight = round(2 * _DISTANCE / SPEED_OF_LIGHT + rng.uniform(-1e-3, 1e-3), 12)
            system, wavelength = _SYSTEMS[int(rng.integers(2))]
            rms, count = round(rng.uniform(50, 400), 1), int(rng.integers(1, 99))
            tail = f"2 0 0 {count} {absent}" if tag == "10" else f"120.0 {count} {rms:.1f} {absent} {absent} 0.0 4.9 0"
            tail += f" {absent}" if session.version > 1 and tag == "11" else ""
            values = {"time_of_flight": flight, "wavelength": wavelength}
            values |= {"receive_amplitude": count} if tag == "10" else {"raw_ranges": count, "bin_rms": rms}
            keep(kind, f"{tag} {clock} {flight:.12f} {system} 2 {tail}", clock, time, **values)
    for minute in range(3):
        clock, time = _epoch(rng, begin - 1800 * SECOND)
        weather = {"pressure": round(rng.uniform(860, 880), 2), "temperature": round(rng.uniform(270, 290), 2)}
        text = "20 {0} {pressure:.2f} {temperature:.2f} {1} 0".format(clock, 50 + minute, **weather)
        keep("meteorology", text, clock, time, **weather)
        clock, time = _epoch(rng, begin)
        azimuth = round(rng.uniform(0, 360), 4)
        keep("pointing", f"30 {clock} {azimuth:.4f} 40.5 0 1 0", clock, time, azimuth=azimuth)
    (clock, time), delay = _epoch(rng, begin - 1800 * SECOND), round(rng.uniform(1e5, 2e5), 1)
    text = f"40 {clock} 0 std1 33 33 1.7 {delay:.1f} 0.0 84 0.0 0.0 0.0 3 3 0"
    keep("calibration", text, clock, time, system_delay=delay)
    return lines


def _epoch(rng: np.random.Generator, begin: int) -> tuple[str, int]:
    """Return seconds of day in text, to the picosecond, and the nearest TAI ns, of a time in the four minutes after."""
    picoseconds = begin * 1000 + int(rng.integers(240 * _PICOSECONDS))
    nanoseconds = (picoseconds + 500) // 1000
    of_day = picoseconds % (DAY * 1000)
    text = f"{of_day // _PICOSECONDS}.{of_day % _PICOSECONDS:012d}"
    return text, int(utc_to_tai(nanoseconds))


def write_cpf(path: Path, *, version: int = 2, steps: int = 20, lunar: bool = True) -> dict[str, NDArray[np.generic]]:
    """Write a prediction, a position every 300 s with its velocity and corrections, and return what it says.

    Parameters
    ----------
    path
        File to write.
    version
        Of the format, 1 or 2.
    steps
        How many times.
    lunar
        Whether there are two positions a time, outwards and back, as for targets on the Moon; or one of a satellite.
    """
    rng = np.random.default_rng(_SEED)
    begin = int(np.datetime64("2031-03-01T23:30:00", "ns").astype(np.int64))
    end = begin + (steps - 1) * 300 * SECOND
    sequence = "601  1" if version > 1 else "6011"
    location = " 3" if version > 1 else ""
    lines = [
        f"H1 CPF {version:2d}  OPA 2031  3  1 12  {sequence} {'luna17' if lunar else 'lageos1'}    DE-440",
        f"H2 {104:8d} {104:4d} {0:8d} {_calendar(begin)} {_calendar(end)} {300:5d} 1 1  0 0 0{location}",
        "H9",
    ]
    columns: dict[str, list[Any]] = {}
    for step in range(steps):
        for direction in (1, 2) if lunar else (0,):
            records, row = _position(rng, begin + step * 300 * SECOND, direction)
            lines += records
            for name, value in row.items():
                columns.setdefault(name, []).append(value)
    path.write_text("\n".join([*lines, "99"]) + "\n")
    return {name: np.array(values) for name, values in columns.items()}


def _position(rng: np.random.Generator, utc: int, direction: int) -> tuple[list[str], dict[str, Any]]:
    """Return the records of a position, and what they say."""
    day, clock = divmod(utc, DAY)
    position, velocity, shift = (np.round(rng.normal(0, size, 3), 3) for size in (4e8, 1e3, 10.0))
    relativity = round(rng.uniform(10, 60), 1)
    records = [
        f"10 {direction} {day + 40587} {clock / SECOND:13.6f}  0 {_spaced(position)}",
        f"20 {direction} {_spaced(velocity)}",
        f"30 {direction} {_spaced(shift)} {relativity:5.1f}",
    ]
    row = {
        "time": int(utc_to_tai(utc)),
        "direction": direction,
        "position": position,
        "velocity": velocity,
        "aberration": shift,
        "relativistic_correction": relativity,
    }
    return records, row


def _spaced(vector: NDArray[np.float64]) -> str:
    return " ".join(f"{value:17.3f}" for value in vector)
