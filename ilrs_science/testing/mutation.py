"""Damaged copies of a file: whether a reader refuses them by name, or gives a dataset and counts what it left out."""

from __future__ import annotations

import random
import re
import resource
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import xarray as xr

from ilrs_science.errors import FormatError

_DIGITS = re.compile(rb"\d+")
_HUGE = (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00\x00\x00\x00", b"\x80\x00\x00\x00")


class Hang(BaseException):
    """A reader took too long; no `except Exception` stops it."""


def mutants(data: bytes, count: int, *, seed: int = 0) -> Iterator[bytes]:
    """Yield damaged copies: bits flipped, cut short, pieces swapped, doubled, removed, zeroed, numbers made huge.

    The start of a file, where headers lie, is hit more often than the rest.
    """
    dice = random.Random(seed)
    kinds = (_flip, _flip, _flip, _cut, _swap, _double, _remove, _zero, _overwrite, _number, _number)
    for _ in range(count):
        damaged = bytearray(data)
        for _ in range(dice.choice((1, 1, 1, 2, 4))):
            dice.choice(kinds)(damaged, dice)
        yield bytes(damaged)


def survive(  # noqa: PLR0913 - what a trial needs
    read: Callable[[Path], object],
    path: Path,
    count: int,
    *,
    seed: int = 0,
    seconds: float = 20.0,
    check: Callable[[object], None] | None = None,
) -> Counter[str]:
    """Read damaged copies, and return how many were refused and how many read.

    Parameters
    ----------
    read
        The reader.
    path
        A copy of a good file that may be overwritten; what lies beside it stays as it is.
    count, seed
        How many copies, and which.
    seconds
        A read that takes longer hangs.
    check
        Called with what was read, and raises AssertionError where that is wrong.

    Raises
    ------
    AssertionError
        The reader raised anything but FormatError, took too long, or gave something else than a dataset.
    """
    good = path.read_bytes()
    outcomes: Counter[str] = Counter()
    before = signal.signal(signal.SIGALRM, _hang)
    try:
        for number, damaged in enumerate(mutants(good, count, seed=seed)):
            path.write_bytes(damaged)
            signal.setitimer(signal.ITIMER_REAL, seconds)
            try:
                found = read(path)
            except FormatError as error:
                outcomes["refused" if path.stem in str(error) else f"refused without its name: {error}"] += 1
            except BaseException as error:
                raise AssertionError(f"mutant {number} of {path.name}, seed {seed}: {error!r}") from error
            else:
                assert isinstance(found, xr.Dataset | xr.DataTree | list), f"mutant {number}: {type(found)}"  # noqa: S101
                if check is not None:
                    check(found)
                outcomes["read"] += 1
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.signal(signal.SIGALRM, before)
        path.write_bytes(good)
    return outcomes


def peak_memory() -> int:
    """Return the most memory that this process has held, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _hang(signum: int, frame: FrameType | None) -> None:
    raise Hang(f"{signum} in {frame}")


def _place(data: bytearray, dice: random.Random) -> int:
    reach = len(data) if dice.random() < 0.5 else min(len(data), 2048)  # noqa: PLR2004 - half and half
    return dice.randrange(max(reach, 1))


def _flip(data: bytearray, dice: random.Random) -> None:
    for _ in range(dice.choice((1, 1, 2, 8))):
        if data:
            data[_place(data, dice)] ^= 1 << dice.randrange(8)


def _cut(data: bytearray, dice: random.Random) -> None:
    del data[_place(data, dice) :]


def _swap(data: bytearray, dice: random.Random) -> None:
    one, other, length = _place(data, dice), _place(data, dice), dice.choice((1, 2, 4, 8, 64))
    first, second = bytes(data[one : one + length]), bytes(data[other : other + length])
    if len(first) == len(second) and abs(one - other) >= length:
        data[one : one + length], data[other : other + length] = second, first


def _double(data: bytearray, dice: random.Random) -> None:
    start, length = _place(data, dice), dice.choice((1, 8, 80, 512))
    data[start:start] = data[start : start + length]


def _remove(data: bytearray, dice: random.Random) -> None:
    start = _place(data, dice)
    del data[start : start + dice.choice((1, 2, 8, 80, 512))]


def _zero(data: bytearray, dice: random.Random) -> None:
    start, length = _place(data, dice), dice.choice((1, 4, 80))
    data[start : start + length] = bytes(len(data[start : start + length]))


def _overwrite(data: bytearray, dice: random.Random) -> None:
    start, value = _place(data, dice), dice.choice(_HUGE) * dice.choice((1, 2))
    data[start : start + len(value)] = value[: len(data) - start]


def _number(data: bytearray, dice: random.Random) -> None:
    """Make a number in text huge, negative, or nonsense."""
    match = _DIGITS.search(data, _place(data, dice))
    if match:
        data[match.start() : match.end()] = dice.choice((b"9999999999", b"999999", b"-1", b"0", b"1e999", b"NaN", b"x"))
