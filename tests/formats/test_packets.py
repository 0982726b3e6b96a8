"""Packets with flipped bits, lost bytes and torn ends: never a crash, never a wrong value, every packet counted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ilrs_science import FormatError
from ilrs_science.formats.packets import PRIMARY_HEADER, apids, read_packets, write_packets

PACKET = np.dtype([*PRIMARY_HEADER, ("value", ">u4"), ("crc", ">u2")])
COUNT = 6


def file_of(count: int = COUNT) -> bytes:
    records = np.zeros(count, PACKET)
    records["value"] = 1000 + np.arange(count)
    records["sequence"] = 0xC000 | np.arange(count)
    return write_packets(records, 0x123)


def test_what_is_written_is_read_back() -> None:
    records, rejected = read_packets(file_of(), PACKET)
    assert records["value"].tolist() == list(range(1000, 1000 + COUNT))
    assert set(apids(records).tolist()) == {0x123}
    assert rejected == {}


@settings(max_examples=200)
@given(st.sets(st.integers(0, COUNT * PACKET.itemsize * 8 - 1), max_size=12))
def test_flipped_bits_reject_their_packets_and_leave_the_others(bits: set[int]) -> None:
    data = bytearray(file_of())
    for bit in bits:
        data[bit // 8] ^= 1 << bit % 8
    hit = {bit // 8 // PACKET.itemsize for bit in bits}
    if len(hit) == COUNT:
        with pytest.raises(FormatError, match="hold no packet of 12 bytes"):
            read_packets(bytes(data), PACKET)
        return
    records, rejected = read_packets(bytes(data), PACKET)
    assert records["value"].tolist() == [1000 + n for n in range(COUNT) if n not in hit]
    assert rejected == ({"bad checksum": len(hit)} if hit else {})


@settings(max_examples=200)
@given(st.integers(0, COUNT * PACKET.itemsize - 1), st.integers(0, COUNT * PACKET.itemsize), st.binary(max_size=30))
def test_lost_and_inserted_bytes_never_give_a_packet_that_was_not_sent(start: int, stop: int, inserted: bytes) -> None:
    data = file_of()[:start] + inserted + file_of()[stop:]
    try:
        records, rejected = read_packets(data, PACKET)
    except FormatError:
        return
    assert set(records["value"].tolist()) <= set(range(1000, 1000 + COUNT))
    assert len(records) + rejected.get("bad checksum", 0) == len(data) // PACKET.itemsize
    assert rejected.get("truncated packet", 0) == (len(data) % PACKET.itemsize > 0)


@pytest.mark.parametrize("data", [b"", b"\0" * 11, b"\0" * 12, b"not packets at all" * 40])
def test_a_file_without_a_good_packet_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match="hold no packet"):
        read_packets(data, PACKET)
