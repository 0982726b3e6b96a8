"""Fields of fixed place and size, taken from all packets of one length at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ilrs_science.errors import IlrsError
from ilrs_science.formats.ccsds.stream import Bytes, Positions
from ilrs_science.formats.ccsds.units import Units

_LONGEST = 64
"""Bits of an integer."""
_AT_ONCE = 57
"""Bits that lie within eight bytes wherever they begin."""
_REALS = (16, 32, 64)


@dataclass(frozen=True)
class Ragged:
    """Byte strings of different lengths, one after the other."""

    values: Bytes
    """uint8 (byte)."""
    offsets: Positions
    """Where each begins, and the end of the last one, int64 (string + 1)."""

    @classmethod
    def of(cls, strings: Sequence[bytes]) -> Ragged:
        """Return these byte strings."""
        values = np.frombuffer(bytearray().join(strings), np.uint8)
        return cls(values, np.cumsum([0, *map(len, strings)], dtype=np.int64))

    def strings(self) -> list[bytes]:
        """Return the byte strings."""
        whole, cuts = memoryview(self.values), self.offsets.tolist()
        return [bytes(whole[start:stop]) for start, stop in pairwise(cuts)]


type Columns = dict[str, NDArray[Any] | Ragged]
"""Values by name, (unit) or (unit, byte), or a byte string for each unit."""


@dataclass(frozen=True)
class Field:
    """A field of fixed place and size."""

    name: str
    kind: str
    """uint, int (two's complement), float (IEEE 754), bytes, or fill, which is left out."""
    start: int
    """Bits before it, from the start of the primary header; the first bit is the most significant one."""
    width: int
    """Bits."""
    little_endian: bool = False


@dataclass(frozen=True)
class Decoded:
    """What was decoded of units that have the same fields."""

    layout: str
    """Name of the fields as a whole; of the container, where there is one."""
    units: Positions
    """Their numbers, int64 (unit)."""
    columns: Columns


class Definition(Protocol):
    """What the user data of packets are."""

    def decode(self, units: Units) -> list[Decoded]:
        """Return the fields of the units of an APID, and add those that are not as defined to what is rejected."""

    def attributes(self, name: str) -> Mapping[str, Any]:
        """Return the attributes of a field."""


def unpack_bits(
    data: Bytes, start: int, widths: Sequence[int], count: int = 1, *, signed: bool | Sequence[bool] = False
) -> NDArray[np.int64]:
    """Return integers of any width, packed without a space between them, most significant bit first.

    Parameters
    ----------
    data
        uint8 (packet, byte).
    start
        The bit at which the first integer begins, in every packet.
    widths
        Bits of each integer of a group, 1 to 64; those of 64 bits are signed.
    count
        Groups that follow each other.
    signed
        Whether the integers are two's complements; for all, or for each one of a group.

    Returns
    -------
    int64 (packet, count, len(widths)).

    Raises
    ------
    IlrsError
        A width is none, or the packets are too short.
    """
    kinds = [signed] * len(widths) if isinstance(signed, bool) else list(signed)
    if not all(1 <= width <= _LONGEST - (not kind) for width, kind in zip(widths, kinds, strict=True)):
        raise IlrsError(f"widths of {list(widths)} bits; expected 1 to 63, or 64 where signed")
    if start < 0 or start + count * sum(widths) > 8 * data.shape[1]:
        raise IlrsError(f"{count} groups of {sum(widths)} bits from bit {start} do not fit into {data.shape[1]} bytes")
    groups = start + sum(widths) * np.arange(count)
    found = np.empty((data.shape[0], count, len(widths)), np.int64)
    for number, (width, kind) in enumerate(zip(widths, kinds, strict=True)):
        values = _words(data, groups + sum(widths[:number]), width)
        found[:, :, number] = _signed(values, width) if kind else values.astype(np.int64)
    return found


def column(data: Bytes, field: Field) -> NDArray[Any]:
    """Return a field of every packet: numbers of the least size that holds them, (packet); bytes as (packet, byte).

    Parameters
    ----------
    data
        uint8 (packet, byte), long enough.
    field
        Its width is one that its kind may have.
    """
    if field.kind == "bytes":
        return np.ascontiguousarray(data[:, field.start // 8 : (field.start + field.width) // 8])
    values = _unsigned(data, field.start, field.width)
    if field.little_endian:
        values = (values.astype(np.uint64).byteswap() >> np.uint64(_LONGEST - field.width)).astype(values.dtype)
    if field.kind == "int":
        return _signed(values.astype(np.uint64), field.width).astype(f"i{values.itemsize}")
    return values.view(f"f{values.itemsize}") if field.kind == "float" else values


def suits(field: Field) -> bool:
    """Return whether `column` can read a field of this kind, place, width and order of bytes."""
    if field.kind in {"bytes", "fill"}:
        return field.width >= 0 and (field.kind == "fill" or (field.start % 8 == 0 and field.width % 8 == 0))
    if field.kind == "float" and field.width not in _REALS:
        return False
    return 1 <= field.width <= _LONGEST and not (field.little_endian and field.width % 8)


def _unsigned(data: Bytes, start: int, width: int) -> NDArray[Any]:
    size = next(size for size in (8, 16, 32, 64) if width <= size)
    if start % 8 == 0 and width == size:
        aligned = np.ascontiguousarray(data[:, start // 8 : (start + width) // 8])
        return aligned.view(f">u{size // 8}")[:, 0].astype(f"u{size // 8}")
    return _words(data, np.array([start]), width)[:, 0].astype(f"u{size // 8}")


def _words(data: Bytes, positions: NDArray[np.int64], width: int) -> NDArray[np.uint64]:
    """Return the bits from each position on, uint64 (packet, position)."""
    if width > _AT_ONCE:
        high = _words(data, positions, width - 32) << np.uint64(32)
        return high | _words(data, positions + (width - 32), 32)
    span = (width + 14) // 8
    found = np.zeros((data.shape[0], positions.size), np.uint64)
    for offset in range(span):
        found <<= np.uint64(8)
        found |= data[:, np.minimum(positions // 8 + offset, data.shape[1] - 1)]
    found >>= (8 * span - positions % 8 - width).astype(np.uint64)
    found &= np.uint64(2**width - 1)
    return found


def _signed(values: NDArray[np.uint64], width: int) -> NDArray[np.int64]:
    rest = np.uint64(_LONGEST - width)
    return (values << rest).view(np.int64) >> rest.astype(np.int64)
