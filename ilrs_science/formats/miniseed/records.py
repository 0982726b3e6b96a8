"""Records of miniSEED: where they lie in a file and what their headers say, before anything is decoded.

Layouts are those of the SEED Reference Manual, version 2.4 (FDSN, August 2012): the fixed section of the data header
and blockettes 100, 1000 and 1001. A library that meets a damaged record gives up the rest of the file; here the next
good one is looked for, and what lies between is counted.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ilrs_science.geometry.time import DAY, SECOND, utc_to_tai

_HEADER = np.dtype(
    [
        ("sequence", "S6"),
        ("quality", "S1"),
        ("reserved", "S1"),
        ("station", "S5"),
        ("location", "S2"),
        ("channel", "S3"),
        ("network", "S2"),
        ("year", ">u2"),
        ("day", ">u2"),
        ("hour", "u1"),
        ("minute", "u1"),
        ("second", "u1"),
        ("unused", "u1"),
        ("fraction", ">u2"),
        ("samples", ">u2"),
        ("factor", ">i2"),
        ("multiplier", ">i2"),
        ("activity", "u1"),
        ("io", "u1"),
        ("flags", "u1"),
        ("blockettes", "u1"),
        ("correction", ">i4"),
        ("data", ">u2"),
        ("first", ">u2"),
    ]
)
RECORD = np.dtype(
    [
        ("offset", "i8"),
        ("length", "i8"),
        ("name", "U15"),
        ("quality", "U1"),
        ("clock", "i8"),
        ("old", "?"),
        ("leap", "?"),
        ("rate", "f8"),
        ("samples", "i8"),
        ("encoding", "u1"),
        ("order", "u1"),
        ("data", "i8"),
    ]
)
"""A record: bytes from the start of the file; network.station.location.channel; Hz; and the time of its first sample.

The clock is TAI ns; in records of before 1972 (`old`), when a second of UTC was a little longer, and the sample rate is
by that second, it is the UTC count."""
SECOND_AT = 26
"""Byte of a record that is the second of its time."""
ENCODINGS = {
    0: ("ASCII", 1),
    1: ("INT16", 2),
    3: ("INT32", 4),
    4: ("FLOAT32", 4),
    5: ("FLOAT64", 8),
    10: ("STEIM1", 0),
    11: ("STEIM2", 0),
    12: ("GEOSCOPE24", 3),
    13: ("GEOSCOPE16_3", 2),
    14: ("GEOSCOPE16_4", 2),
    16: ("CDSN", 2),
    30: ("SRO", 2),
    32: ("DWWSSN", 2),
}
"""Names of encodings, and bytes of a sample; 0 where samples have no size of their own."""
_FRAME = {10: 60, 11: 105}
"""Most samples in a Steim frame of 64 bytes: 15 words of 4 or 7."""
_CODES = np.isin(np.arange(256), list(b" -ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"))
"""Which bytes the codes of stations and channels may have."""
_STRIDE = 8192
"""Records whose bytes are gathered at once."""
_CHAIN = 16
"""Blockettes of a record that are looked at; there are seldom more than three."""
_START = re.compile(rb"(?=[0-9 \0]{6}[DRQM][ \0])")
SI_SECONDS = int(np.datetime64("1972-01-01", "ns").astype(np.int64))
"""UTC ns from which on a second of UTC is one of TAI."""
_LONGEST = 10 * 366 * 86400
"""Seconds that no record lasts."""
_YEARS = (1968, 2200)
"""From 1968-02-01 on, UTC leaves out no time."""


def find_records(data: NDArray[np.uint8]) -> tuple[NDArray[Any], Counter[str]]:
    """Return the good records of a file, dtype `RECORD`, in their order, and what else there is, by reason.

    Bytes that belong to no record are counted as bytes, records that cannot be used as records.
    """
    lost: Counter[str] = Counter()
    if len(data) < _HEADER.itemsize:
        lost["bytes that are no record"] += len(data)
        return np.zeros(0, RECORD), lost
    records, good, _ = _parse(data, np.zeros(1, np.int64))
    length = int(records["length"][0]) if good[0] else 0
    if length and len(data) % length == 0:
        records, good, reasons = _parse(data, np.arange(0, len(data), length))
        if good.all() and (records["length"] == length).all():
            return _usable(records, reasons, lost)
    return _walk(data, lost)


def begins_with_record(head: bytes) -> bool:
    """Tell whether bytes begin with the header of a record, one that states its length and encoding."""
    if len(head) < _HEADER.itemsize or _START.match(head) is None:
        return False
    _, good, reasons = _parse(np.frombuffer(head, np.uint8), np.zeros(1, np.int64))
    return bool(good[0]) and reasons[0] in {"", "record cut short by the end of the file"}


def _walk(data: NDArray[np.uint8], lost: Counter[str]) -> tuple[NDArray[Any], Counter[str]]:
    """Return records one after another, and look for the next one wherever there is none."""
    starts = np.array([match.start() for match in _START.finditer(data)], np.int64)
    starts = starts[starts + _HEADER.itemsize <= len(data)]
    records, good, reasons = _parse(data, starts)
    at, chosen = 0, []
    for place, start in enumerate(starts.tolist()):
        if start >= at and good[place]:
            lost["bytes that are no record"] += start - at
            at = start + int(records["length"][place])
            chosen.append(place)
    lost["bytes that are no record"] += max(len(data) - at, 0)
    return _usable(records[chosen], reasons[chosen], lost)


def _usable(records: NDArray[Any], reasons: NDArray[Any], lost: Counter[str]) -> tuple[NDArray[Any], Counter[str]]:
    """Return the records that can be decoded; those without samples are no loss."""
    lost.update(reason for reason in reasons.tolist() if reason)
    return records[(reasons == "") & (records["samples"] > 0)], lost


def gathered(data: NDArray[np.uint8], offsets: NDArray[np.int64], width: int) -> NDArray[np.uint8]:
    """Return some bytes from each offset on, uint8 (offset, width)."""
    found = np.empty((len(offsets), width), np.uint8)
    for at in range(0, len(offsets), _STRIDE):
        some = slice(at, at + _STRIDE)
        found[some] = data[offsets[some, None] + np.arange(width)]
    return found


def _parse(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.bool_], NDArray[Any]]:
    """Return what the headers at some offsets say, which of them are headers at all, and why a record is of no use."""
    raw = gathered(data, offsets, _HEADER.itemsize)
    header = raw.view(_HEADER)[:, 0]
    swapped = ~_valid_date(header["year"], header["day"])

    def number(name: str) -> NDArray[np.int64]:
        found: NDArray[np.int64] = np.where(swapped, header[name].byteswap(), header[name]).astype(np.int64)
        return found

    year, day = number("year"), number("day")
    good = _valid_date(year, day) & (header["hour"] < 24) & (header["minute"] < 60) & (header["second"] <= 60)  # noqa: PLR2004
    good &= (number("fraction") < 10**4) & _CODES[raw[:, 8:20]].all(axis=1)
    good &= np.isin(header["quality"], [b"D", b"R", b"Q", b"M"])
    found = _blockettes(data, offsets, number("first"), swapped)
    good &= (found["exponent"] >= 7) & (found["exponent"] <= 20)  # noqa: PLR2004 - 128 bytes to a MiB
    records = np.zeros(len(offsets), RECORD)
    records["offset"], records["samples"], records["data"] = offsets, number("samples"), number("data")
    records["length"] = 1 << np.where(good, found["exponent"], 0).astype(np.int64)
    records["encoding"], records["order"] = found["encoding"], found["order"]
    records["name"], records["quality"] = _names(raw), np.where(good, header["quality"], b"D").astype("U1")
    records["rate"] = np.where(found["rate"] > 0, found["rate"], _rate(number("factor"), number("multiplier")))
    early = (year < _YEARS[0]) | (year >= _YEARS[1]) | ((year == _YEARS[0]) & (day < 33))  # noqa: PLR2004 - 2 February
    usable = good & ~early
    correction = np.where(header["activity"] & 2, 0, number("correction"))
    more = (number("fraction") + correction) * 10**5 + found["microseconds"] * 1000
    count = _utc(np.where(usable, year, 2000), np.where(usable, day, 1), header) + more
    records["leap"] = header["second"] == 60  # noqa: PLR2004 - its count is that of the second before it
    records["old"] = count < SI_SECONDS
    records["clock"] = np.where(
        records["old"], count, utc_to_tai(np.maximum(count, SI_SECONDS)) + records["leap"] * SECOND
    )
    return records, good, np.where(good, _reasons(records, early, len(data)), "")


def _valid_date(year: NDArray[Any], day: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell which dates the headers of this byte order may have; the bounds are those of libmseed."""
    valid: NDArray[np.bool_] = (year >= 1900) & (year <= 2100) & (day >= 1) & (day <= 366)  # noqa: PLR2004
    return valid


def _utc(year: NDArray[np.int64], day: NDArray[np.int64], header: NDArray[Any]) -> NDArray[np.int64]:
    """Return the UTC ns of year, day of the year, hour, minute and whole second, 59 for second 60."""
    midnight = (year - 1970).astype("datetime64[Y]").astype("datetime64[D]").astype(np.int64) + day - 1
    hour, minute, second = (header[name].astype(np.int64) for name in ("hour", "minute", "second"))
    return midnight * DAY + (hour * 3600 + minute * 60 + np.minimum(second, 59)) * SECOND


def _rate(factor: NDArray[np.int64], multiplier: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the sample rate in Hz: negative numbers are divisors."""
    up = np.where(factor > 0, factor, 1) * np.where(multiplier > 0, multiplier, 1)
    down = np.where(factor < 0, -factor, 1) * np.where(multiplier < 0, -multiplier, 1)
    rate: NDArray[np.float64] = np.where(factor == 0, 0.0, up / down)
    return rate


def _names(raw: NDArray[np.uint8]) -> NDArray[Any]:
    """Return network.station.location.channel of raw headers."""
    codes = np.ascontiguousarray(raw[:, 8:20]).view("S12")[:, 0]
    different, places = np.unique(codes, return_inverse=True)
    parts = [code.ljust(12).decode("latin-1") for code in different.tolist()]
    names = [".".join(part.strip() for part in (p[10:12], p[:5], p[5:7], p[7:10])) for p in parts]
    return np.array(names, "U15")[places] if names else np.zeros(0, "U15")


def _blockettes(
    data: NDArray[np.uint8], offsets: NDArray[np.int64], first: NDArray[np.int64], swapped: NDArray[np.bool_]
) -> dict[str, NDArray[Any]]:
    """Return what the chains of blockettes say of encoding, byte order, length, rate and microseconds."""
    size = len(offsets)
    found: dict[str, NDArray[Any]] = {
        "encoding": np.zeros(size, np.uint8),
        "order": np.zeros(size, np.uint8),
        "exponent": np.zeros(size, np.uint8),
        "rate": np.zeros(size),
        "microseconds": np.zeros(size, np.int64),
    }
    position, rows = first, np.arange(size)
    for _ in range(_CHAIN):
        inside = (position >= _HEADER.itemsize) & (offsets[rows] + position + 8 <= len(data))
        rows, position = rows[inside], position[inside]
        if not len(rows):
            break
        raw = gathered(data, offsets[rows] + position, 8)
        words = raw[:, :4].view(">u2")
        words = np.where(swapped[rows][:, None], words.byteswap(), words).astype(np.int64)
        kind, following = words[:, 0], words[:, 1]
        at = kind == 1000  # noqa: PLR2004 - data only SEED
        for place, name in ((4, "encoding"), (5, "order"), (6, "exponent")):
            found[name][rows[at]] = raw[at, place]
        at = kind == 100  # noqa: PLR2004 - actual sample rate
        rates = np.ascontiguousarray(raw[:, 4:]).view(">f4")[:, 0]
        found["rate"][rows[at]] = np.nan_to_num(np.where(swapped[rows], rates.byteswap(), rates))[at]
        at = kind == 1001  # noqa: PLR2004 - data extension
        found["microseconds"][rows[at]] = raw[at, 5].view(np.int8)
        onwards = following > position
        rows, position = rows[onwards], following[onwards]
    return found


def _reasons(records: NDArray[Any], early: NDArray[np.bool_], size: int) -> NDArray[Any]:
    """Return why records cannot be used, empty where they can; those without samples always can."""
    width = np.full(256, -1)
    width[list(ENCODINGS)] = [size for _, size in ENCODINGS.values()]
    frames = np.zeros(256, np.int64)
    frames[list(_FRAME)] = list(_FRAME.values())
    room = records["length"] - records["data"]
    encoding, samples, rate = records["encoding"], records["samples"], records["rate"]
    fits = np.where(frames[encoding] > 0, room // 64 * frames[encoding], room // np.maximum(width[encoding], 1))
    faults = (
        ("record cut short by the end of the file", records["offset"] + records["length"] > size),
        ("record of an unknown encoding", width[encoding] < 0),
        ("record of text", encoding == 0),
        ("record without a time that UTC has", early),
        (
            "record without a sample rate",
            ~((rate > 0) & (rate <= SECOND) & (samples / np.maximum(rate, 1e-30) < _LONGEST)),
        ),
        ("record with more samples than room", (records["data"] < _HEADER.itemsize) | (samples > fits)),
    )
    reasons = np.select([bad for _, bad in faults], [reason for reason, _ in faults], "")
    cut = records["offset"] + records["length"] > size
    return np.where((samples > 0) | cut, reasons, "")
