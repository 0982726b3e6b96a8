"""A stream of bytes cut into CCSDS space packets (133.0-B-2), also across what does not belong there."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

type Bytes = NDArray[np.uint8]
type Positions = NDArray[np.int64]

HEADER = 6
"""Bytes of a primary header."""
IDLE = 0x7FF
"""APID of packets that only fill (133.0-B-2, 4.1.3.3.4.4)."""
COUNTS = 2**14
"""Sequence counts before the count starts again at 0."""

_FILL = bytes(HEADER)
"""What would be a packet of one byte with the APID and the count 0 is taken for fill."""
_LATER_VERSION = 32
"""The first byte of a packet of version 0 is less."""
_REGULAR = 64
"""Packets of one length after which more of them are looked for at once."""
_BLOCK = 2**16
_REACH = 8
"""Packets within which another one of the same APID is looked for."""
_SEARCHED = 2**22
"""Bytes after the first loss of synchronisation in which APIDs are looked for."""
_SUSPECTS = 64
"""Packets of unknown APIDs before a loss that are taken for garbage."""
_LOST = 1000
"""Packets of an APID that may be missing between two by which it is known."""


@dataclass(frozen=True)
class Packets:
    """Where the packets of a stream lie, in order of the stream."""

    data: bytes
    starts: Positions
    """Of the primary headers, int64 (packet)."""
    prefix: int
    """Bytes before each primary header that belong to the packet."""
    skipped: int
    """Bytes between packets."""
    losses: int
    """How often the synchronisation was lost."""
    truncated: int
    """1 where the last packet is cut short."""

    @cached_property
    def octets(self) -> Bytes:
        """Return the whole stream, uint8."""
        return np.frombuffer(self.data, np.uint8)

    @cached_property
    def headers(self) -> NDArray[np.uint16]:
        """Return the three words of every primary header, uint16 (packet, 3)."""
        return rows(self.octets, self.starts, HEADER).view(">u2").astype(np.uint16)

    @cached_property
    def sizes(self) -> Positions:
        """Return the length of every packet with its primary header, int64 (packet)."""
        return self.headers[:, 2].astype(np.int64) + HEADER + 1

    @cached_property
    def apids(self) -> NDArray[np.uint16]:
        """Return the application process identifiers, uint16 (packet)."""
        return self.headers[:, 0] & np.uint16(0x7FF)

    def knows(self, position: int) -> bool:
        """Return whether a header begins here, with its prefix, as one of the packets has it."""
        at = position + self.prefix
        return bool((self.headers[:, 0] == (self.data[at] << 8 | self.data[at + 1])).any())


def rows(octets: Bytes, starts: Positions, size: int) -> Bytes:
    """Return pieces of one length, uint8 (piece, size); nothing is copied where they lie evenly."""
    if not starts.size:
        return np.empty((0, size), np.uint8)
    windows = np.lib.stride_tricks.sliding_window_view(octets, size)
    steps = np.diff(starts)
    if steps.size and steps[0] > 0 and (steps == steps[0]).all():
        return windows[starts[0] : starts[-1] + 1 : steps[0]]
    return windows[starts]


def cut(data: bytes, prefix: int = 0) -> Packets:
    """Return the packets of a stream.

    Each packet says where the next one begins. Where no header of version 0 lies there, or the packet would reach
    beyond the end, synchronisation is lost. It is found again at the next header of an APID that is known from
    elsewhere in the stream, with two plausible headers or the end after it. Packets before the loss are given up where
    their APIDs are not known, or where they reach beyond that header. An APID is known where its sequence count goes up
    from a packet to a later one. Garbage that ends just where a packet begins cannot be told from a packet.

    Parameters
    ----------
    data
        The stream.
    prefix
        Bytes before each packet that are no part of it.
    """
    found: array[int] = array("q")
    octets = np.frombuffer(data, np.uint8)
    end, least = len(data), prefix + HEADER + 1
    stop = _walk(data, 0, prefix, found)
    sync = _Sync(octets, prefix, _known(octets, prefix, found, stop)) if end - stop >= least else None
    losses = 0
    while sync and end - stop >= least:
        trusted = _trusted(data, prefix, found, sync.known)
        back = sync.after(1 + (found[max(trusted - 1, 0)] if found else stop))
        if back is None:
            break
        del found[trusted:]
        while found and found[-1] + _size(data, found[-1], prefix) > back:
            found.pop()
        losses += 1
        stop = _walk(data, back, prefix, found)
    starts = np.frombuffer(found, np.int64) + prefix if found else np.empty(0, np.int64)
    packets = Packets(data, starts, prefix, 0, 0, 0)
    rest = end - int(starts[-1] + packets.sizes[-1]) if found else end
    cut_short = rest > 0 and bool(found) and (end - stop < least or packets.knows(stop))
    skipped = end - int(packets.sizes.sum()) - prefix * len(found) - rest * cut_short
    return Packets(data, starts, prefix, skipped, losses + (rest > 0 and not cut_short), int(cut_short))


def _size(data: bytes, position: int, prefix: int) -> int:
    at = position + prefix + 4
    return prefix + HEADER + 1 + (data[at] << 8) + data[at + 1]


def _walk(data: bytes, position: int, prefix: int, found: array[int]) -> int:
    """Append the starts of packets, one after the other, and return where there is none."""
    end, least = len(data), prefix + HEADER + 1
    last = regular = 0
    while position + least <= end:
        at = position + prefix
        size = least + (data[at + 4] << 8) + data[at + 5]
        if data[at] >= _LATER_VERSION or position + size > end:
            break
        if size == least and data[at : at + HEADER] == _FILL:
            break
        found.append(position)
        position += size
        if size != last:
            last, regular = size, 0
        elif size > least:
            regular += 1
            if regular == _REGULAR:
                position, regular = _stride(data, position, size, prefix, found), 0
    return position


def _stride(data: bytes, position: int, size: int, prefix: int, found: array[int]) -> int:
    """Append the starts of packets that are as long as the one before, and return where the next one begins."""
    octets = np.frombuffer(data, np.uint8)
    length = octets[position - size + prefix + 4 : position - size + prefix + 6]
    block = _REGULAR
    while count := min((len(data) - position) // size, block):
        heads = octets[position : position + count * size].reshape(count, size)[:, prefix : prefix + HEADER]
        alike = (heads[:, 0] < _LATER_VERSION) & (heads[:, 4:] == length).all(axis=1)
        same = count if alike.all() else int(alike.argmin())
        found.frombytes(np.arange(position, position + same * size, size, dtype=np.int64).tobytes())
        position += same * size
        if same < count:
            break
        block = min(block * 4, _BLOCK)
    return position


def _trusted(data: bytes, prefix: int, found: array[int], known: NDArray[np.bool_]) -> int:
    """Return how many packets are left without the last ones of unknown APIDs."""
    least = max(0, len(found) - _SUSPECTS)
    for number in range(len(found), least, -1):
        at = found[number - 1] + prefix
        if known[data[at] << 8 | data[at + 1]]:
            return number
    return least


class _Heads:
    """Headers that might begin at any byte of a stream."""

    def __init__(self, octets: Bytes, prefix: int) -> None:
        self.octets, self.prefix = octets, prefix
        self.last = octets.size - prefix - HEADER - 1
        """The last byte at which a packet may begin."""

    def word(self, positions: Positions, number: int) -> Positions:
        """Return a word of the header, int64, shaped as the positions, none of which lies after the last."""
        at = positions + (self.prefix + 2 * number)
        return self.octets[at].astype(np.int64) << 8 | self.octets[at + 1]

    def following(self, positions: Positions) -> Positions:
        """Return where the packets after those at the positions begin; -1 where there is no plausible one."""
        inside = positions <= self.last
        at = np.where(inside, positions, 0)
        length = self.word(at, 2)
        after = at + length + (self.prefix + HEADER + 1)
        fill = (length == 0) & (self.word(at, 0) == 0) & (self.word(at, 1) == 0)
        good = inside & (self.word(at, 0) < _LATER_VERSION << 8) & ~fill & (after <= self.octets.size)
        return np.where(good, after, -1)


class _Sync:
    """Looks for headers of known APIDs that others follow; asked for bytes that mostly lie later and later."""

    def __init__(self, octets: Bytes, prefix: int, known: NDArray[np.bool_]) -> None:
        self.heads, self.known = _Heads(octets, prefix), known
        self.start = self.stop = 0
        self.headers = np.empty(0, np.int64)

    def after(self, position: int) -> int | None:
        """Return the first header at or after a byte."""
        while position <= self.heads.last:
            if not self.start <= position < self.stop:
                self.start, self.stop = position, min(position + _BLOCK, self.heads.last + 1)
                self.headers = self._search()
            index = int(np.searchsorted(self.headers, position))
            if index < self.headers.size:
                return int(self.headers[index])
            position = self.stop
        return None

    def _search(self) -> Positions:
        positions = np.arange(self.start, self.stop)
        positions = positions[self.known[self.heads.word(positions, 0)]]
        after = self.heads.following(positions)
        for _ in range(2):
            positions, after = positions[after >= 0], after[after >= 0]
            ended = after > self.heads.last
            after = np.where(ended, after, self.heads.following(after))
        return positions[after >= 0]


def _known(octets: Bytes, prefix: int, found: array[int], stop: int) -> NDArray[np.bool_]:
    """Return which first words of headers are those of packets in this stream, bool (65536)."""
    heads = _Heads(octets, prefix)
    starts = np.array(found, np.int64)
    known = np.zeros(2**16, np.bool_)
    words = heads.word(starts, 0)
    order = np.argsort(words, kind="stable")
    words, counts = words[order], heads.word(starts[order], 1)
    steps = np.diff(counts) % COUNTS
    known[words[1:][(np.diff(words) == 0) & (steps > 0) & (steps <= _LOST)]] = True
    if stop < octets.size // 2 or not known.any():
        first = max(0, stop - _BLOCK)
        for start in range(first, min(heads.last + 1, first + _SEARCHED), _BLOCK):
            _mark_known(heads, np.arange(start, min(start + _BLOCK, heads.last + 1)), known)
    if not known.any():
        known[words] = True
    return known


def _mark_known(heads: _Heads, positions: Positions, known: NDArray[np.bool_]) -> None:
    """Mark the first words of headers of which a packet soon after has the same, and the next sequence count."""
    after = heads.following(positions)
    for _ in range(_REACH):
        here = (after >= 0) & (after <= heads.last)
        positions, after = positions[here], after[here]
        words = heads.word(positions, 0)
        steps = heads.word(after, 1) - heads.word(positions, 1)
        following = heads.following(after)
        known[words[(words == heads.word(after, 0)) & (steps % COUNTS == 1) & (following >= 0)]] = True
        after = following
