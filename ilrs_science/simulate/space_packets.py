"""Telemetry as it comes from the ground: CCSDS space packets with gaps, repeats and garbage, and LEXI frames."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ilrs_science.geometry.time import DAY, SECOND, parse_utc
from ilrs_science.simulate.packet_definition import (
    EVENTS,
    HOUSEKEEPING,
    IMAGES,
    MODES,
    POINTS,
    SAMPLES,
    SCIENCE,
    SEGMENT,
    SEGMENTS,
    table,
    xtce,
)

UNKNOWN, IDLE = 999, 2047
"""APIDs that the definition does not know."""
FLAWS = ("gap", "repeat", "garbage", "idle", "incomplete", "unknown", "truncated")
_START = "2031-03-01T00:00:00Z"
_EPOCH = 4383
"""Days from 1958-01-01 to 1970-01-01."""
_COUNTS = 2**14
_FIRST_COUNT = _COUNTS - 10
_LEXI = struct.Struct(">2sdHII4H")
_SYNC = 0xFE6B2840


@dataclass(frozen=True)
class SpacePackets:
    """Files that were written, and what is in them."""

    stream: Path
    xtce: Path
    table: Path
    """Fields of the packets of science, as ccsdspy has them."""
    truth: dict[int, dict[str, Any]]
    """By APID, for the whole packets in order of the stream: `time` (TAI ns) and the parameters."""
    flaws: dict[str, int]
    """What was put in: gaps and missing packets of housekeeping, packets repeated, and so on, and bytes of garbage."""


def space_packet(apid: int, count: int, data: bytes, *, flags: int = 3, secondary_header: bool = True) -> bytes:
    """Return a telemetry packet (CCSDS 133.0-B-2): its primary header and user data of 1 to 65536 bytes."""
    identification = int(secondary_header) << 11 | apid
    return struct.pack(">HHH", identification, flags << 14 | count % _COUNTS, len(data) - 1) + data


def simulate_packets(
    folder: Path, *, count: int = 60, prefix: int = 0, flaws: Collection[str] = FLAWS, seed: int = 7
) -> SpacePackets:
    """Write a stream of packets of four APIDs, one a second each, and their definition.

    Parameters
    ----------
    folder
        Made if it is not there.
    count
        Packets of each APID, images as a whole, before anything is lost; at least 20.
    prefix
        Bytes put before every packet.
    flaws
        Which of `FLAWS` to put in. The sequence counts start again at 0 in any case.
    seed
        The same seed writes the same bytes.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    truth: dict[int, dict[str, list[Any]]] = {apid: {"time": []} for apid in (HOUSEKEEPING, SCIENCE, EVENTS, IMAGES)}
    sent: list[tuple[int, bytes]] = []
    begin = parse_utc(_START)
    for number in range(count):
        millisecond, microsecond = int(rng.integers(1000)), int(rng.integers(1000))
        when = number * SECOND + millisecond * 10**6 + microsecond * 1000
        for apid, make in ((HOUSEKEEPING, _housekeeping), (SCIENCE, _science), (EVENTS, _event), (IMAGES, _image)):
            values, data = make(rng)
            lost = _lost(apid, number, flaws)
            if not lost:
                _note(truth[apid], {"time": begin + when, **values})
            sent += _packets(apid, number, _clock(when) + data, lost)
    stream, put = _flawed([packet for _, packet in sent], flaws, prefix, rng)
    put |= _left_out(flaws)
    paths = folder / "packets.tlm", folder / "definition.xml", folder / "science.csv"
    for path, content in zip(paths, (stream, xtce().encode(), table().encode()), strict=True):
        path.write_bytes(content)
    # Events differ in length, so that theirs stay lists.
    told = {apid: values if apid == EVENTS else _as_arrays(values) for apid, values in truth.items()}
    return SpacePackets(*paths, told, put)


def _note(truth: dict[str, list[Any]], values: Mapping[str, Any]) -> None:
    """Add the values of one packet to those of the packets before."""
    for name, value in values.items():
        truth.setdefault(name, []).append(value)


def _as_arrays(values: Mapping[str, list[Any]]) -> dict[str, NDArray[Any]]:
    return {name: np.array(of_packets) for name, of_packets in values.items()}


def simulate_lexi(
    path: Path, *, count: int = 100, garbage: bool = False, truncated: bool = False, seed: int = 7
) -> dict[str, NDArray[Any]]:
    """Write LEXI frames, every tenth one of housekeeping, and return their true values.

    Parameters
    ----------
    path
        The file.
    count
        Frames.
    garbage
        Whether to put 41 bytes before the first frame and 13 in the middle of the file.
    truncated
        Whether to add the first 17 bytes of another frame.
    seed
        The same seed writes the same bytes.
    """
    rng = np.random.default_rng(seed)
    steps = np.cumsum(rng.uniform(0.001, 0.2, count))
    utc = 1_900_000_000.25 + steps
    housekeeping = np.arange(count) % 10 == 4  # noqa: PLR2004 - any
    commanded = ~housekeeping & (np.arange(count) % 10 == 7)  # noqa: PLR2004 - any
    counter = np.rint(steps * 1000).astype(np.uint32)
    counts = rng.integers(0, 2**16, (count, 4)).astype(np.uint16)
    words = housekeeping.astype(np.uint32) << 31 | commanded.astype(np.uint32) << 30 | counter
    frames = [
        _LEXI.pack(b"TS", time, 16, _SYNC, word, *four)
        for time, word, four in zip(utc.tolist(), words.tolist(), counts.tolist(), strict=True)
    ]
    if garbage:
        frames[count // 2] = bytes(13) + frames[count // 2]
        frames[0] = b"TS" + bytes(range(39)) + frames[0]
    path.write_bytes(b"".join(frames) + (frames[-1][:17] if truncated else b""))
    return {"utc": utc, "housekeeping": housekeeping, "commanded": commanded, "counter": counter, "counts": counts}


def _clock(when: int) -> bytes:
    """Return a CCSDS day segmented time (301.0-B-4, 3.3), ns after the start."""
    days, rest = divmod(when, DAY)
    day = int((np.datetime64(_START[:10]) - np.datetime64("1970-01-01")).astype(int)) + _EPOCH + days
    return struct.pack(">HIH", day, rest // 10**6, rest // 1000 % 1000)


def _bits(values: Sequence[int], widths: Sequence[int]) -> bytes:
    """Return integers one after the other, without a space between them."""
    word = 0
    for value, width in zip(values, widths, strict=True):
        word = word << width | value % 2**width
    return word.to_bytes(sum(widths) // 8, "big")


def _housekeeping(rng: np.random.Generator) -> tuple[dict[str, Any], bytes]:
    mode, heater = int(rng.choice(list(MODES))), int(rng.integers(2))
    temperature, potential, pressure = int(rng.integers(-2048, 2048)), int(rng.integers(1024)), int(rng.integers(2**14))
    count, rate = int(rng.integers(2**40)), float(np.float32(rng.normal()))
    data = _bits((mode, heater, temperature, potential, pressure, count), (3, 1, 12, 10, 14, 40))
    values = {
        "MODE": MODES[mode],
        "HEATER": bool(heater),
        "TEMPERATURE": -20.5 + 0.125 * temperature,
        "POTENTIAL": float(np.interp(potential, [raw for raw, _ in POINTS], [value for _, value in POINTS])),
        "PRESSURE": 3.0 + 0.5 * pressure + 0.25 * pressure**2,
        "COUNT": count,
        "RATE": rate,
    }
    return values, data + struct.pack(">f", rate)


def _science(rng: np.random.Generator) -> tuple[dict[str, Any], bytes]:
    samples = rng.integers(-4096, 4096, SAMPLES).tolist()
    serial, gain, status = int(rng.integers(2**16)), float(rng.normal()), int(rng.integers(2**7))
    data = _bits((*samples, status), (*[13] * SAMPLES, 7)) + struct.pack("<H", serial) + struct.pack(">d", gain)
    values = {f"SAMPLE{number}": sample for number, sample in enumerate(samples)}
    return {**values, "STATUS": status, "SERIAL": serial, "GAIN": gain}, data


def _event(rng: np.random.Generator) -> tuple[dict[str, Any], bytes]:
    text = "".join(rng.choice(list("ABCDEFGH"), 6))
    body = rng.bytes(int(rng.integers(1, 30)))
    return {"LABEL": text, "LENGTH": len(body), "BODY": body}, text.encode() + bytes([len(body)]) + body


def _image(rng: np.random.Generator) -> tuple[dict[str, Any], bytes]:
    pixels = rng.integers(0, 256, SEGMENTS * SEGMENT).astype(np.uint8)
    return {"PIXELS": pixels}, pixels.tobytes()


def _lost(apid: int, number: int, flaws: Collection[str]) -> str:
    """Return why a packet does not arrive whole, if so."""
    if apid == HOUSEKEEPING and "gap" in flaws and number in {14, 15, 16}:
        return "gap"
    return "incomplete" if apid == IMAGES and "incomplete" in flaws and number == 5 else ""  # noqa: PLR2004 - any


def _left_out(flaws: Collection[str]) -> dict[str, int]:
    """Return how much of what was sent does not arrive, and in how many gaps: see `_lost`."""
    gaps, missing = (1, 3) if "gap" in flaws else (0, 0)
    return {"gaps": gaps, "missing": missing, "incomplete": SEGMENTS - 1 if "incomplete" in flaws else 0}


def _packets(apid: int, number: int, data: bytes, lost: str) -> Iterator[tuple[int, bytes]]:
    """Yield what arrives of a packet, or of the segments of an image."""
    if apid != IMAGES:
        if not lost:
            yield apid, space_packet(apid, _FIRST_COUNT + number, data)
        return
    cuts = [0, *(len(data) - SEGMENT * left for left in range(SEGMENTS - 1, -1, -1))]
    for segment, flags in enumerate((1, *[0] * (SEGMENTS - 2), 2)):
        if not (lost and segment == SEGMENTS - 1):
            piece = data[cuts[segment] : cuts[segment + 1]]
            yield apid, space_packet(apid, _FIRST_COUNT + SEGMENTS * number + segment, piece, flags=flags)


def _flawed(
    sent: list[bytes], flaws: Collection[str], prefix: int, rng: np.random.Generator
) -> tuple[bytes, dict[str, int]]:
    """Return the stream, and how much was put into it."""
    put = dict.fromkeys(FLAWS, 0)
    pieces = []
    for number, packet in enumerate(sent):
        pieces.append(rng.bytes(prefix) + packet)
        extra: dict[str, bytes] = {}
        if number % 50 == 30:  # noqa: PLR2004 - any
            extra["repeat"] = rng.bytes(prefix) + packet
        if number % 70 == 44:  # noqa: PLR2004 - any
            extra["idle"] = rng.bytes(prefix) + space_packet(IDLE, put["idle"], b"\x55" * 9, secondary_header=False)
        if number == 101:  # noqa: PLR2004 - any
            extra["unknown"] = rng.bytes(prefix) + space_packet(UNKNOWN, 0, b"unknown")
        if number in {60, 130}:
            extra["garbage"] = b"\xff" + rng.bytes(56)
        for flaw, content in extra.items():
            if flaw in flaws:
                pieces.append(content)
                put[flaw] += len(content) if flaw == "garbage" else 1
    if "truncated" in flaws:
        pieces.append((rng.bytes(prefix) + space_packet(SCIENCE, 0, bytes(90)))[: prefix + 50])
        put["truncated"] = 1
    return b"".join(pieces), put
