"""Streams of space packets: cut whole whatever lies between, counted, joined; bits taken from anywhere."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ilrs_science.errors import IlrsError
from ilrs_science.formats.ccsds.fields import Field, column, unpack_bits
from ilrs_science.formats.ccsds.stream import Packets, cut
from ilrs_science.formats.ccsds.units import units_of
from ilrs_science.simulate.space_packets import space_packet

PACKETS = st.lists(
    st.tuples(st.sampled_from((5, 6, 1000)), st.binary(min_size=1, max_size=40)), min_size=1, max_size=60
)


def stream(*counts: int, apid: int = 7, size: int = 20) -> list[bytes]:
    """Return packets of these sequence counts, each with bytes of its own."""
    return [
        space_packet(apid, count, bytes([count % 251, number % 251]) * (size // 2))
        for number, count in enumerate(counts)
    ]


def accounted(packets: Packets, data: bytes) -> bool:
    """Return whether every byte is of a packet, skipped, or of a packet cut short at the end."""
    ends = packets.starts + packets.sizes
    rest = len(data) - int(ends[-1]) if ends.size and packets.truncated else 0
    return int(packets.sizes.sum()) + packets.prefix * ends.size + packets.skipped + rest == len(data)


@given(PACKETS, st.integers(0, 9))
def test_packets_lie_where_they_were_written(written: list[tuple[int, bytes]], prefix: int) -> None:
    pieces = [b"\xff" * prefix + space_packet(apid, n, data) for n, (apid, data) in enumerate(written)]
    packets = cut(b"".join(pieces), prefix)
    ends = np.cumsum([len(piece) for piece in pieces])
    assert (packets.starts + packets.sizes).tolist() == ends.tolist()
    assert packets.apids.tolist() == [apid for apid, _ in written]
    assert (packets.skipped, packets.losses, packets.truncated) == (0, 0, 0)


@given(
    st.lists(st.tuples(st.integers(0, 40), st.binary(max_size=90)), max_size=4), st.integers(0, 30), st.integers(0, 4)
)
def test_every_byte_is_accounted_for(garbage: list[tuple[int, bytes]], short: int, prefix: int) -> None:
    pieces = [bytes(prefix) + one for one in stream(*range(40))]
    for place, content in garbage:
        pieces.insert(place, content)
    data = b"".join(pieces)
    data = data[: len(data) - short]
    assert accounted(cut(data, prefix), data)


@pytest.mark.parametrize("size", [7, 20, 300])
def test_many_packets_of_one_length_are_found_with_those_of_others_between(size: int) -> None:
    pieces = stream(*range(5000), size=size)
    pieces.insert(3000, space_packet(9, 0, b"another length"))
    packets = cut(b"".join(pieces))
    assert packets.starts.tolist() == np.cumsum([0, *map(len, pieces)])[:-1].tolist()


@pytest.mark.parametrize("place", [0, 1, 20, 39])
@pytest.mark.parametrize("garbage", [b"\xff" * 33, bytes(33), b"\x00\x01" * 30, bytes(range(1, 60))])
def test_garbage_between_packets_is_skipped_and_counted(garbage: bytes, place: int) -> None:
    pieces = stream(*range(40))
    pieces.insert(place, garbage)
    packets = cut(b"".join(pieces))
    assert packets.starts.size == 40
    assert (packets.skipped, packets.losses, packets.truncated) == (len(garbage), 1, 0)


def test_a_wrong_length_costs_its_packet_and_no_other() -> None:
    pieces = stream(*range(40))
    for wrong in (b"\x00\x21", b"\x01\x40", b"\xff\xff"):
        damaged = [*pieces]
        damaged[17] = pieces[17][:4] + wrong + pieces[17][6:]
        packets = cut(b"".join(damaged))
        assert (packets.headers[:, 1] & 0x3FFF).tolist() == [n for n in range(40) if n != 17]
        assert (packets.skipped, packets.losses) == (len(pieces[17]), 1)


def test_a_wrong_version_costs_its_packet_and_no_other() -> None:
    pieces = stream(*range(40))
    pieces[17] = b"\xe8" + pieces[17][1:]
    assert cut(b"".join(pieces)).starts.size == 39


@pytest.mark.parametrize("left", [1, 5, 6, 7, 19])
def test_a_packet_cut_short_at_the_end_is_told_from_garbage(left: int) -> None:
    data = b"".join([*stream(*range(9)), stream(9)[0][:left]])
    packets = cut(data)
    assert (packets.starts.size, packets.truncated, packets.skipped) == (9, 1, 0)
    packets = cut(b"".join(stream(*range(9))) + b"\xff" * 30)
    assert (packets.starts.size, packets.truncated, packets.skipped) == (9, 0, 30)


@pytest.mark.parametrize("data", [b"", b"\x08", b"\xff" * 999, bytes(999), b"no packets, but text\n" * 50])
def test_what_is_no_stream_has_no_packet(data: bytes) -> None:
    packets = cut(data)
    assert (packets.starts.size, packets.skipped) == (0, len(data))


@pytest.mark.parametrize(
    ("counts", "gaps", "missing", "back"),
    [
        ([16381, 16382, 16383, 0, 1], 0, 0, 0),
        ([10, 20, 30], 2, 18, 0),
        ([16382, 3], 1, 4, 0),
        ([5, 7, 6, 8], 0, 0, 1),
        ([4], 0, 0, 0),
    ],
)
def test_sequence_counts_tell_what_is_missing(counts: list[int], gaps: int, missing: int, back: int) -> None:
    told = units_of(cut(b"".join(stream(*counts))), 7).sequence
    assert told == {"sequence_gaps": gaps, "missing_packets": missing, "out_of_order": back}


def test_only_the_same_packet_again_is_a_repeat() -> None:
    first, second = stream(3, 4)
    other = first[:-1] + b"?"
    units = units_of(cut(b"".join([first, second, first, other, second, other])), 7)
    assert units.rejected["repeated packet"] == 3
    assert units.first.tolist() == [0, 1, 3]


def test_the_same_packet_a_whole_round_of_counts_later_is_none() -> None:
    pieces = [space_packet(7, count, b"constant") for count in range(2**14 + 3)]
    assert units_of(cut(b"".join(pieces)), 7).rejected["repeated packet"] == 0


def segment(count: int, flags: int, data: bytes, apid: int = 7) -> bytes:
    return space_packet(apid, count, data, flags=flags)


def test_segments_are_joined_across_packets_of_other_apids() -> None:
    pieces = [
        segment(0, 1, b"HHab"),
        segment(5, 3, b"x", 8),
        segment(1, 0, b"HHcd"),
        segment(2, 2, b"HHe"),
        segment(3, 3, b"HHf"),
    ]
    units = units_of(cut(b"".join(pieces)), 7, secondary_header=2)
    texts = [units.octets[s + 6 : s + n].tobytes() for s, n in zip(units.starts, units.sizes, strict=True)]
    assert texts == [b"HHabcde", b"HHf"]
    assert (units.first.tolist(), units.segments.tolist()) == ([0, 4], [3, 1])


@pytest.mark.parametrize(
    ("flags", "whole"),
    [
        ([(0, 1), (1, 0)], 0),
        ([(0, 0), (1, 2)], 0),
        ([(0, 1), (1, 1), (2, 2)], 1),
        ([(0, 1), (2, 2)], 0),
        ([(0, 1), (1, 2), (2, 2)], 1),
        ([(0, 1), (1, 3)], 1),
        ([(0, 3), (1, 0), (2, 3)], 2),
    ],
)
def test_segments_of_incomplete_units_are_left_out_and_counted(flags: Sequence[tuple[int, int]], whole: int) -> None:
    units = units_of(cut(b"".join(segment(count, flag, b"data") for count, flag in flags)), 7)
    assert units.starts.size == whole
    assert units.rejected["segment of an incomplete unit"] == len(flags) - units.segments.sum()


@given(st.data())
def test_unpacked_bits_are_those_that_were_packed(data: st.DataObject) -> None:
    widths = data.draw(st.lists(st.integers(1, 63), min_size=1, max_size=5))
    signed = data.draw(st.lists(st.booleans(), min_size=len(widths), max_size=len(widths)))
    start, count = data.draw(st.integers(0, 70)), data.draw(st.integers(1, 4))
    values = [
        [
            [
                data.draw(st.integers(-(2 ** (w - 1)), 2 ** (w - 1) - 1) if s else st.integers(0, 2**w - 1))
                for w, s in zip(widths, signed, strict=True)
            ]
            for _ in range(count)
        ]
        for _ in range(2)
    ]
    bits = start + count * sum(widths)
    rows = []
    for groups in values:
        word = 2**start - 1
        for group in groups:
            for value, width in zip(group, widths, strict=True):
                word = word << width | value % 2**width
        rows.append(list((word << -bits % 8).to_bytes(-(-bits // 8), "big")))
    assert unpack_bits(np.array(rows, np.uint8), start, widths, count, signed=signed).tolist() == values


@pytest.mark.parametrize(
    ("start", "widths", "count"), [(0, [64], 1), (0, [0], 1), (1, [8], 1), (-8, [8], 1), (0, [4], 3)]
)
def test_bits_that_are_not_there_are_refused(start: int, widths: list[int], count: int) -> None:
    with pytest.raises(IlrsError):
        unpack_bits(np.zeros((2, 1), np.uint8), start, widths, count)


@pytest.mark.parametrize(("code", "width"), [("u2", 16), ("u8", 64), ("i4", 32), ("f2", 16), ("f4", 32), ("f8", 64)])
@pytest.mark.parametrize("start", [0, 8, 3])
@pytest.mark.parametrize("order", ["<", ">"])
def test_numbers_of_both_orders_of_bytes_are_read_from_any_bit(code: str, width: int, start: int, order: str) -> None:
    value = np.array([-1.5 if code[0] == "f" else 2**width // 2 - 77]).astype(f"{order}{code}")
    word = int.from_bytes(value.tobytes()) << (72 + 8 - width - start)
    data = np.frombuffer(word.to_bytes(10), np.uint8)[None]
    kind = {"u": "uint", "i": "int", "f": "float"}[code[0]]
    found = column(data, Field("x", kind, start, width, order == "<"))
    assert (found.dtype, found.tolist()) == (np.dtype(code), value.tolist())
