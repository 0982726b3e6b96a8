"""MiniSEED: seismic samples in records of their own time, of many stations and channels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ilrs_science.errors import FormatError
from ilrs_science.formats.foreign import foreign, library
from ilrs_science.formats.format import Format, counted, granule
from ilrs_science.formats.miniseed.records import (
    ENCODINGS,
    SECOND_AT,
    SI_SECONDS,
    begins_with_record,
    find_records,
    gathered,
)
from ilrs_science.formats.opening import opens
from ilrs_science.geometry.labels import TAI
from ilrs_science.geometry.time import SECOND, utc_to_tai
from ilrs_science.model.granule import Granule

_CHUNK = 2**23
"""Bytes of records that are decoded at a time."""
_STRIDE = 2**16
"""Samples that get their times at once."""
_STEIM = (10, 11)
_REFUSED = 64
"""Records that cannot be decoded, after which the file is given up."""


@opens
def read_miniseed(path: Path) -> xr.Dataset | xr.DataTree:
    """Return the samples of a miniSEED file; a tree with a branch for each channel where it holds several.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    A variable with the code of the channel along `time`, float64, float32 or int32 as decoded. Branches are called
    network.station.location.channel, with quality, rate and encoding behind where a channel comes again with others.
    Records are kept in the order of the file, and gaps as gaps.

    Time is int64 TAI nanoseconds: start plus number over rate, in integers, from the first record on for as long as
    records follow one another; where one starts more than half a sample off, its own time counts from there. `segments`
    says how many such stretches there are. Sample rate (Hz), encoding and codes are attributes. Nothing tells a unit.

    Bytes that are no record, and records that cannot be used, are left out and counted in the attribute `rejected`.

    Raises
    ------
    FormatError
        There is no good record, or too many cannot be decoded.
    OSError
        There is no such file, or it cannot be read.
    """
    data, records, lost = _open(path)
    branches: dict[str, xr.Dataset] = {}
    for members in _groups(records):
        dataset = _dataset(path, data, records[members], lost)
        name = dataset.attrs["name"]
        # Of one channel in other qualities, rates or encodings.
        if name in branches:
            name = "{name}.{quality}.{sampling_rate:g}Hz.{encoding}".format(**dataset.attrs)
        branches[name if name not in branches else f"{name}.{len(branches)}"] = dataset
    rejected = counted(lost)
    if len(branches) == 1:
        (only,) = branches.values()
        only.attrs["rejected"] = rejected
        return only
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs={"rejected": rejected}), **branches})


def index_miniseed(path: Path) -> list[Granule]:
    """Return a granule for each channel of each station, from the headers of the records alone.

    The instrument is the code of the channel. The stations of Apollo (network XA, S11 to S17) are sites by the names of
    the catalogue, others by network.station.

    Raises
    ------
    FormatError
        There is no good record.
    """
    _, records, _ = _open(path)
    found: dict[tuple[str, str], list[tuple[int, int, int]]] = {}
    for members in _groups(records):
        own = records[members]
        network, station, _, channel = str(own["name"][0]).split(".")
        ends = [
            [int(_times(own[start], n * _period(own[start]), np.zeros(1))[0]) for n in (0, count - 1)]
            for start, _, count in _segments(own)
        ]
        apollo = network == "XA" and station[:1] == "S" and station[1:].isdigit()
        site = f"apollo-{station[1:]}" if apollo else f"{network}.{station}"
        found.setdefault((site, channel), []).append(
            (min(a for a, _ in ends), max(b for _, b in ends), int(own["samples"].sum()))
        )
    return [
        granule(
            path,
            "miniseed",
            count=sum(count for _, _, count in parts),
            span=(min(start for start, _, _ in parts), max(last for _, last, _ in parts)),
            instrument=channel,
            site=site,
        )
        for (site, channel), parts in found.items()
    ]


def _recognises(head: bytes, path: Path) -> bool:  # noqa: ARG001 - the content tells
    return begins_with_record(head)


def _open(path: Path) -> tuple[NDArray[np.uint8], NDArray[Any], Counter[str]]:
    """Return the bytes of a file, as they are needed, and its good records; there is at least one."""
    size = path.stat().st_size
    data = np.memmap(path, np.uint8, "c") if size else np.zeros(0, np.uint8)
    records, lost = find_records(data)
    if not len(records):
        found = "; ".join(f"{count} {reason}" for reason, count in lost.items() if count) or "empty"
        raise FormatError(f"{path}: no good record of miniSEED ({found})")
    return data, records, lost


def _groups(records: NDArray[Any]) -> Iterator[NDArray[np.intp]]:
    """Yield the numbers of records that are alike in name, quality, rate and encoding, in order of the file."""
    alike = ["name", "quality", "rate", "encoding"]
    if (records[alike] == records[alike][0]).all():
        yield np.arange(len(records))
        return
    _, first, places = np.unique(records[alike], return_index=True, return_inverse=True)
    for number in np.argsort(first):
        yield np.flatnonzero(places == number)


def _dataset(path: Path, data: NDArray[np.uint8], records: NDArray[Any], lost: Counter[str]) -> xr.Dataset:
    """Return the samples of a channel."""
    first = records[0]
    values, records = _decoded(path, data, records, lost)
    times = np.empty(len(values), np.int64)
    segments = _segments(records)
    for start, before, count in segments:
        period = _period(records[start])
        steps = np.arange(min(_STRIDE, count), dtype=np.float64) * float(period)
        for at in range(0, count, _STRIDE):
            some = steps[: count - at]
            times[before + at : before + at + len(some)] = _times(records[start], at * period, some)
    network, station, location, channel = str(first["name"]).split(".")
    attributes = {
        "name": str(first["name"]),
        "network": network,
        "station": station,
        "location": location,
        "channel": channel,
        "quality": str(first["quality"]),
        "sampling_rate": float(first["rate"]),
        "encoding": ENCODINGS[int(first["encoding"])][0],
        "segments": len(segments),
    }
    return xr.Dataset(
        {channel or "samples": ("time", values)}, {"time": ("time", pd.Index(times, copy=False), TAI)}, attributes
    )


def _period(record: Any) -> Fraction:
    """Return the ns from a sample to the next one."""
    rate = float(record["rate"])
    return 10**9 / Fraction(rate).limit_denominator(max(1, int(10**9 / max(rate, 1.0))))


def _times(record: Any, since: Fraction, steps: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the TAI ns of samples that lie `steps` after `since` after a record, which is exact: nothing drifts."""
    whole = since.numerator // since.denominator
    clock = (steps + (float(since - whole) + 0.5)).astype(np.int64)
    clock += int(record["clock"]) + whole
    if not record["old"]:
        return clock
    if clock[-1] >= SI_SECONDS:
        return utc_to_tai(clock)
    # TAI - UTC grew evenly from 1968-02-01 until then, so that both ends tell those between, to a nanosecond.
    first, last = (utc_to_tai(clock[[0, -1]]) - clock[[0, -1]]).tolist()
    grown = (last - first) / max(int(clock[-1] - clock[0]), 1)
    return np.asarray(clock + first + np.rint((clock - clock[0]) * grown).astype(np.int64), np.int64)


def _segments(records: NDArray[Any]) -> list[tuple[int, int, int]]:
    """Return stretches of samples that go on without a gap: their first record, samples before them, and samples."""
    starts = _segment_starts(records)
    befores = np.concatenate([[0], np.add.accumulate(records["samples"])])[[*starts, len(records)]].tolist()
    return [(int(s), a, b - a) for s, a, b in zip(starts, befores, befores[1:], strict=False)]


def _segment_starts(records: NDArray[Any]) -> NDArray[np.int64]:
    """Return the numbers of the records that do not go on where the samples before them end, to half a sample."""
    if not len(records):
        return np.zeros(0, np.int64)
    rate, times, before = records["rate"][0], records["clock"], np.add.accumulate(records["samples"])
    half = SECOND / rate / 2
    off = np.diff(times) - records["samples"][:-1] / rate * SECOND
    starts = np.concatenate([[0], np.flatnonzero((np.abs(off) > half) | np.diff(records["old"])) + 1])
    origin = np.repeat(starts, np.diff([*starts, len(records)]))
    counted_from = np.concatenate([[0], before[:-1]])
    drift = times - times[origin] - (counted_from - counted_from[origin]) / rate * SECOND
    if (np.abs(drift) <= half).all():
        return starts
    # A clock that runs off slowly: no record is far from the one before, yet in the end all are from the first.
    found, start = [], 0
    for number, (time, count) in enumerate(zip(times.tolist(), counted_from.tolist(), strict=True)):
        if not number or abs(time - times[start] - (count - counted_from[start]) / rate * SECOND) > half:
            found.append(number)
            start = number
    return np.array(found, np.int64)


def _decoded(
    path: Path, data: NDArray[np.uint8], records: NDArray[Any], lost: Counter[str]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the samples of records, and those of the records that they are from."""
    parts = np.cumsum(records["length"]) // _CHUNK
    waiting = np.split(np.arange(len(records)), np.flatnonzero(np.diff(parts)) + 1)[::-1]
    blocks, kept, refused = [], [], 0
    while waiting:
        part = waiting.pop()
        values = _read(path, data, records[part])
        if values is None and len(part) > 1:  # one of them is damaged: look for it
            waiting += np.array_split(part, 2)[::-1]
        elif values is None:
            lost["record that cannot be decoded"] += 1
            refused += 1
            if refused > _REFUSED:
                raise FormatError(f"{path}: more than {_REFUSED} records of miniSEED cannot be decoded")
        else:
            fine = _whole(data, records[part], values)
            lost["record that does not end as it says (Steim)"] += int((~fine).sum())
            blocks.append(values if fine.all() else values[np.repeat(fine, records["samples"][part])])
            kept.append(part[fine])
    if not blocks:
        return np.zeros(0), records[:0]
    return (blocks[0] if len(blocks) == 1 else np.concatenate(blocks)), records[np.concatenate(kept)]


def _read(path: Path, data: NDArray[np.uint8], records: NDArray[Any]) -> NDArray[Any] | None:
    """Return the samples of records that are alike, decoded by obspy, or nothing where that fails."""
    # Unlike obspy.read, this takes an array as it is, without copies and files.
    reader = library("obspy.io.mseed.core", "miniseed")._read_mseed  # noqa: SLF001
    ends = records["offset"] + records["length"]
    if (ends[:-1] == records["offset"][1:]).all():
        raw = data[records["offset"][0] : ends[-1]]
    else:
        raw = np.concatenate([data[a:b] for a, b in zip(records["offset"].tolist(), ends.tolist(), strict=True)])
    if records["leap"].any():  # obspy knows no second 60, and only the samples are wanted of it
        raw = raw.copy()
        raw[(np.add.accumulate(records["length"]) - records["length"])[records["leap"]] + SECOND_AT] = 59
    try:
        with foreign(path, "miniSEED"):
            traces = [trace.data for trace in reader(raw.view(np.int8))]
            values: NDArray[Any] = traces[0] if len(traces) == 1 else np.concatenate(traces)
    except FormatError:
        return None
    return values if len(values) == records["samples"].sum() else None


def _whole(data: NDArray[np.uint8], records: NDArray[Any], values: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell which records end with the sample that a Steim header states as their last; others state none."""
    if records["encoding"][0] not in _STEIM:
        return np.ones(len(records), bool)
    stated = gathered(data, records["offset"] + records["data"] + 8, 4)
    last = np.where(records["order"] == 0, stated.view("<i4")[:, 0], stated.view(">i4")[:, 0])
    ends: NDArray[np.bool_] = last == values[np.add.accumulate(records["samples"]) - 1]
    return ends


FORMAT = Format(
    "miniseed",
    "seismic records (miniSEED)",
    "obspy",
    _recognises,
    read_miniseed,
    index_miniseed,
)
