"""Surface magnetometers: packets with gaps, duplicates, spikes and clock offsets, and the field that made them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ilrs_science.formats.packets import PRIMARY_HEADER, write_packets
from ilrs_science.geometry.time import SECOND, isot, parse_utc

VECTORS = 30
"""Vectors in a packet."""

PACKET = np.dtype(
    [
        *PRIMARY_HEADER,
        ("seconds", ">u4"),
        ("fraction", ">u2"),
        ("period_ms", ">u2"),
        ("counts", ">i2", (VECTORS, 3)),
        ("crc", ">u2"),
    ]
)
"""A packet: station clock at the first vector (seconds since 2000-01-01T00:00:00 TAI and 1/65536 s), vectors."""

CLOCK_EPOCH = int(np.datetime64("2000-01-01", "ns").astype(np.int64))
"""TAI ns of zero on a station clock."""


@dataclass(frozen=True)
class Station:
    """A simulated station; nothing about it is a mission fact."""

    name: str
    apid: int
    base: tuple[float, float, float]
    """Steady field, nT."""
    clock_offset: int
    """Station clock less TAI at the start, ns."""
    clock_drift: float
    """Station seconds gained a second."""
    delay: int
    """When a disturbance of the solar wind arrives, ns after the first station."""


STATIONS = (
    Station("shackleton", 0x1A1, (5.0, -3.0, 8.0), 250_000_000, 2.0e-7, 0),
    Station("malapert", 0x1A2, (-4.0, 6.0, 2.0), -400_000_000, -1.0e-7, 400_000_000),
    Station("haworth", 0x1A3, (1.0, 2.0, -7.0), 120_000_000, 3.0e-7, 900_000_000),
)

START = "2031-03-01T00:00:00Z"
"""UTC of the first slot."""

_NOISE = 0.05  # nT, 1 sigma
_SPIKE = (20.0, 100.0)  # nT
_REFERENCE_SPAN = 400 * 86400 * SECOND


def simulate(
    folder: Path, *, hours: int = 24, files_per_day: int = 24, seed: int = 7, flaws: bool = True
) -> list[Path]:
    """Write a campaign of three stations and return its raw files.

    Samples lie in the middle of slots of a second, from `START` on. Below `folder` come `raw/<site>/<site>-NNN.fgm`,
    `references/` with gain matrices and clocks, and `truth.npz` with
    the true times and field and where gaps and spikes were put.

    Parameters
    ----------
    folder
        Made if it is not there.
    hours
        Length of the campaign.
    files_per_day
        Files a station writes in a day.
    seed
        Of the random numbers; the same seed writes the same bytes.
    flaws
        Whether to put in gaps, repeated and misordered packets, and spikes.
    """
    rng = np.random.default_rng(seed)
    begin = parse_utc(START)
    packets = -(-hours * 3600 // VECTORS)
    times = begin + SECOND // 2 + SECOND * np.arange(packets * VECTORS, dtype=np.int64)
    truth: dict[str, NDArray[Any]] = {"time": times}
    index: list[dict[str, Any]] = []
    files = []
    for station in STATIONS:
        field = _field(times - station.delay, begin, station)
        spikes = np.zeros(len(times), bool)
        if flaws:
            spikes[rng.choice(len(times), max(1, len(times) // 4000), replace=False)] = True
        matrix, offset = _calibration(rng)
        measured = field + rng.normal(0, _NOISE, field.shape)
        measured[spikes] += rng.uniform(*_SPIKE, (int(spikes.sum()), 3)) * rng.choice([-1, 1], (int(spikes.sum()), 3))
        counts = np.rint(measured @ np.linalg.inv(matrix).T + offset)
        records = _records(np.clip(counts, -32768, 32767).astype(np.int16), times, station, begin)
        lost = _lost_packets(rng, packets) if flaws else np.zeros(packets, bool)
        parts = np.array_split(np.arange(packets), max(1, round(hours * files_per_day / 24)))
        sent = [rows[~lost[rows]] for rows in parts]
        received = [_relayed(rng, rows) if flaws and len(rows) else rows for rows in sent]
        files += _write_files(folder / "raw" / station.name, station, [records[rows] for rows in received])
        truth |= {f"b_{station.name}": field.astype("f4"), f"spike_{station.name}": spikes}
        truth[f"lost_{station.name}"] = np.repeat(lost, VECTORS)
        index += _write_references(folder / "references", station, matrix, offset, begin)
    (folder / "references" / "index.yaml").write_text(json.dumps({"references": index}, indent=1))  # JSON is YAML
    np.savez_compressed(folder / "truth.npz", allow_pickle=False, **truth)
    return files


def _field(times: NDArray[np.int64], begin: int, station: Station) -> NDArray[np.float64]:
    """Return the true field, nT: a steady part, a slow swing, a Pc5-like wave and three fronts of the solar wind."""
    seconds = (times - begin) / SECOND
    swing = 3.0 * np.sin(2 * np.pi * seconds / 43200.0)
    wave = 2.0 * np.sin(2 * np.pi * seconds / 300.0) * np.exp(-(((seconds - 30000.0) / 9000.0) ** 2))
    fronts = sum(
        size * 0.5 * (1 + np.tanh((seconds - at) / 20.0)) for at, size in ((18000, 6.0), (46000, -9.0), (70000, 4.0))
    )
    components: list[NDArray[np.float64]] = [swing + wave, wave - 0.5 * swing, fronts + 0.3 * wave]
    field: NDArray[np.float64] = np.stack(components, axis=1) + np.array(station.base)
    return field


def _calibration(rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the gain matrix (nT a count) and the offsets (counts) of a sensor that is a little askew."""
    return 0.01 * (np.eye(3) + rng.normal(0, 0.01, (3, 3))), np.rint(rng.normal(0, 50, 3))


def _records(counts: NDArray[np.int16], times: NDArray[np.int64], station: Station, begin: int) -> NDArray[Any]:
    records = np.zeros(len(counts) // VECTORS, PACKET)
    first = times[::VECTORS]
    records["seconds"], rest = np.divmod(_reading(first, station, begin), SECOND)
    records["fraction"] = np.minimum(np.rint(rest * 65536 / SECOND), 65535)
    records["period_ms"] = 1000
    records["counts"] = counts.reshape(-1, VECTORS, 3)
    records["sequence"] = 0xC000 | (np.arange(len(records)) & 0x3FFF)
    return records


def _reading(times: NDArray[np.int64], station: Station, begin: int) -> NDArray[np.int64]:
    """Return what the clock of a station shows at TAI ns, ns."""
    gained = np.rint((times - begin) * station.clock_drift).astype(np.int64)
    return times - CLOCK_EPOCH + station.clock_offset + gained


def _lost_packets(rng: np.random.Generator, packets: int) -> NDArray[np.bool_]:
    lost = np.zeros(packets, bool)
    for begin in rng.choice(packets, max(1, packets // 700), replace=False):
        lost[begin : begin + rng.integers(1, 12)] = True
    return lost


def _relayed(rng: np.random.Generator, sent: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return packets as a relay delivers them that repeats some, and a pair of them in the wrong order."""
    again = rng.choice(sent, max(1, len(sent) // 60), replace=False)
    received = np.sort(np.concatenate([sent, again]), kind="stable")
    swap = int(rng.integers(0, max(1, len(received) - 1)))
    received[swap : swap + 2] = received[swap : swap + 2][::-1]
    return received


def _write_files(folder: Path, station: Station, parts: list[NDArray[Any]]) -> list[Path]:
    """Write the packets of each part into a file; where all were lost there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number, packets in enumerate(parts):
        if len(packets):
            path = folder / f"{station.name}-{number:03d}.fgm"
            path.write_bytes(write_packets(packets, station.apid))
            files.append(path)
    return files


def _write_references(
    folder: Path, station: Station, matrix: NDArray[np.float64], offset: NDArray[np.float64], begin: int
) -> list[dict[str, Any]]:
    folder.mkdir(parents=True, exist_ok=True)
    correlated = np.array([begin - _REFERENCE_SPAN])
    payloads = {
        "matrix": xr.Dataset(
            {
                "gain": (("axis_out", "axis"), matrix, {"units": "nT / count"}),
                "offset": ("axis", offset, {"units": "count"}),
            }
        ),
        "clock": xr.Dataset(
            {
                "ticks": ("segment", _reading(correlated, station, begin), {"about": "a tick is 1 ns of the station"}),
                "tai": ("segment", correlated, {"units": "ns"}),
                "rate": ("segment", [1e-9 / (1.0 + station.clock_drift)], {"units": "s"}),
                "sigma": ("segment", [1.0e-5], {"units": "s"}),
            }
        ),
    }
    entries = []
    for kind, payload in payloads.items():
        name = f"{station.name}-{kind}.json"
        (folder / name).write_text(json.dumps(payload.to_dict(), indent=1))
        entries.append(
            {
                "kind": kind,
                "instrument": "fluxgate",
                "site": station.name,
                "valid": {"start": isot(begin - _REFERENCE_SPAN), "stop": isot(begin + _REFERENCE_SPAN)},
                "published": isot(begin - 30 * 86400 * SECOND),
                "payload": name,
                "source": "simulation",
            }
        )
    return entries
