"""ALSEP tapes: damaged bytes end in a FormatError that says why, and nothing else. Good tapes: tests/instruments."""

import numpy as np
import pytest

from ilrs_science import FormatError
from ilrs_science.formats.alsep import read_tape


def header(kind: int, *fields: int) -> bytes:
    return np.array([kind, *fields, *[0] * (7 - len(fields))], ">u2").tobytes()


@pytest.mark.parametrize("data", [b"", b"\0", header(0), header(9, 12), b"PDS_VERSION_ID = PDS3"])
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match=r"^t: byte 0: .* expected 1, 2 \(PSE\) or 3 \(WTN\)"):
        read_tape(data, name="t")


def test_a_tape_of_high_bit_rate_is_refused_for_what_it_is() -> None:
    with pytest.raises(FormatError, match="high bit rate"):
        read_tape(header(4, 0x14E5) * 2 + bytes(96))


def test_a_tape_without_a_whole_frame_is_refused_with_what_was_lost() -> None:
    with pytest.raises(FormatError, match="459 frames: truncated record"):
        read_tape(header(1, 12, 1, 1, 1976, 1) + bytes(36 * 459 + 20))
    with pytest.raises(FormatError, match="1 frames: truncated frame"):
        read_tape(header(3, 0) * 2 + bytes(50))


@pytest.mark.parametrize("kind", [1, 2, 3])
def test_random_bytes_end_in_nothing_worse_than_a_format_error(kind: int) -> None:
    rng = np.random.default_rng(kind)
    for layout, year in ((0, 1976), (1, 1976), (1, 65535)):
        body = rng.integers(0, 256, 2 * 19456 + 40, dtype=np.uint8).tobytes()
        try:
            frames = read_tape(header(kind, 12, 1, 1, year, layout) + body)
        except FormatError:
            continue
        # One random frame in 2048 has the right sync code.
        assert sum(len(one.time) for one in frames) < 5
