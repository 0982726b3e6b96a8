"""The packets of one APID: repeated ones dropped, sequence counts checked, segments joined to units of user data."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ilrs_science.formats.ccsds.stream import COUNTS, HEADER, Bytes, Packets, Positions

_CONTINUATION, _FIRST, _LAST, _ALONE = range(4)
"""Sequence flags (133.0-B-2, 4.1.3.4.2.2)."""


@dataclass(frozen=True)
class Units:
    """Units of user data of one APID, each with the primary header of its first packet, in order of the stream."""

    apid: int
    octets: Bytes
    """Where they lie."""
    starts: Positions
    """Of the units, int64 (unit)."""
    sizes: Positions
    """With the primary header, int64 (unit)."""
    first: Positions
    """Which packet of the stream each begins with, int64 (unit)."""
    segments: NDArray[np.int32]
    """Of how many packets each is made, (unit)."""
    sequence: dict[str, int]
    """What the sequence counts tell."""
    rejected: Counter[str]
    """Packets left out, by reason."""


def units_of(packets: Packets, apid: int, secondary_header: int = 0) -> Units:
    """Return the units of user data of one APID.

    A packet that is byte for byte another one of the same sequence count, less than half a round of counts away, is
    dropped. Segments are joined where their flags are first, continuation and so on, last, and their counts go up by
    one; others are left out.

    Parameters
    ----------
    packets
        The stream.
    apid
        Which one.
    secondary_header
        Bytes of a secondary header to drop from segments after the first, where their headers tell of one.
    """
    members = np.flatnonzero(packets.apids == apid)
    counts = _unwrapped(packets.headers[members, 1] % COUNTS)
    kept = _unrepeated(packets, members, counts)
    rejected = Counter({"repeated packet": int((~kept).sum())})
    sequence = _sequence(counts[kept])
    members, counts = members[kept], counts[kept]
    flags = packets.headers[members, 1] >> 14
    if (flags == _ALONE).all():
        starts, sizes = packets.starts[members], packets.sizes[members]
        return Units(apid, packets.octets, starts, sizes, members, np.ones(members.size, np.int32), sequence, rejected)
    groups = _groups(flags, counts, rejected)
    octets, ends = _joined(packets, members, groups, secondary_header)
    first = members[[begin for begin, _ in groups]] if groups else members[:0]
    segments = np.array([end - begin for begin, end in groups], np.int32)
    sizes = np.diff(ends, prepend=0)
    return Units(apid, octets, ends - sizes, sizes, first, segments, sequence, rejected)


def _unwrapped(counts: NDArray[np.uint16]) -> Positions:
    """Return sequence counts that go on where they start again; a step of more than half a round leads back."""
    steps: Positions = np.mod(np.diff(counts.astype(np.int64)) + COUNTS // 2, COUNTS) - COUNTS // 2
    return int(counts[0]) + np.concatenate([[0], np.cumsum(steps)])


def _unrepeated(packets: Packets, members: Positions, counts: Positions) -> NDArray[np.bool_]:
    """Return which packets are not byte for byte an earlier one of the same count."""
    kept = np.ones(members.size, np.bool_)
    _, inverse, occurrences = np.unique(counts, return_inverse=True, return_counts=True)
    seen: set[tuple[int, bytes]] = set()
    for number in np.flatnonzero(occurrences[inverse] > 1).tolist():
        start = int(packets.starts[members[number]])
        one = (int(counts[number]), packets.data[start : start + int(packets.sizes[members[number]])])
        kept[number] = one not in seen
        seen.add(one)
    return kept


def _sequence(counts: Positions) -> dict[str, int]:
    """Return how often and how many counts are missing between the first and the last, and steps that lead back."""
    missing = np.diff(np.unique(counts)) - 1
    return {
        "sequence_gaps": int((missing > 0).sum()),
        "missing_packets": int(missing.sum()),
        "out_of_order": int((np.diff(counts) < 0).sum()),
    }


def _groups(flags: NDArray[np.uint16], counts: Positions, rejected: Counter[str]) -> list[tuple[int, int]]:
    """Return the first packet of each whole unit and the one after its last, by their numbers within the APID."""
    opens = (flags == _FIRST) | (flags == _ALONE)
    goes_on = np.zeros(flags.size, np.bool_)
    before = flags[:-1]
    goes_on[1:] = ~opens[1:] & ((before == _FIRST) | (before == _CONTINUATION)) & (np.diff(counts) == 1)
    begins = np.flatnonzero(~goes_on)
    ends = np.append(begins[1:], flags.size)
    ends_well = np.where(flags[begins] == _ALONE, ends - begins == 1, flags[ends - 1] == _LAST)
    whole = opens[begins] & ends_well
    rejected["segment of an incomplete unit"] += int((ends - begins)[~whole].sum())
    return list(zip(begins[whole].tolist(), ends[whole].tolist(), strict=True))


def _joined(
    packets: Packets, members: Positions, groups: list[tuple[int, int]], secondary_header: int
) -> tuple[Bytes, Positions]:
    """Return the bytes of units one after another, and where each ends."""
    starts, sizes = packets.starts[members].tolist(), packets.sizes[members].tolist()
    extra = np.where(packets.headers[members, 0] & 0x0800, secondary_header, 0).tolist()
    pieces: list[bytes] = []
    lengths = []
    for begin, end in groups:
        unit = [packets.data[starts[begin] : starts[begin] + sizes[begin]]]
        unit += [
            packets.data[starts[number] + HEADER + extra[number] : starts[number] + sizes[number]]
            for number in range(begin + 1, end)
        ]
        pieces += unit
        lengths.append(sum(map(len, unit)))
    return np.frombuffer(b"".join(pieces), np.uint8), np.cumsum(np.array(lengths, np.int64))
