"""Times in cells of text: UTC in ISO 8601 to TAI, by the day of the month or of the year."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ilrs_science.errors import IlrsError
from ilrs_science.formats.text_cells import trimmed
from ilrs_science.geometry.time import parse_utc, utc_to_tai

_LONGEST = 40
"""Characters of a time."""
_DAY_OF_YEAR = re.compile(r"(\d{4})-(\d{3})(?!\d)")
_YEARS = (1960, 2254)


def times(cells: Any) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return TAI ns of UTC in ISO 8601, and which cells are such times; the others are 0.

    Days may be those of the year, `2009-181T08:34:35.6`. Seconds may be 60 where they are.
    """
    tidy = trimmed(cells)
    plain = _plain(tidy)
    if plain is not None:
        return plain
    characters = _characters(tidy)
    calendar, ordinal = _plain_times(characters)
    found, known = np.zeros(len(characters), np.int64), np.zeros(len(characters), bool)
    for rows, counts in ((calendar, _calendar_counts), (ordinal, _ordinal_counts)):
        # One day that is not in the calendar makes all of them go one by one.
        with suppress(ValueError):
            if rows.any():
                found[rows], known[rows] = tai_of(counts(characters[rows]))
    for number in np.flatnonzero(~known & (characters[:, 0] != 0)):
        found[number], known[number] = one_time(bytes(characters[number]).rstrip(b"\0").decode())
    return found, known


def one_time(text: str) -> tuple[int, bool]:
    """Return the TAI ns of a time as `times` reads it, and whether it is one."""
    match = _DAY_OF_YEAR.match(text)
    try:
        if match:
            date = np.datetime64(f"{match[1]}-01-01", "D") + np.timedelta64(int(match[2]) - 1, "D")
            if str(date)[:4] != match[1]:
                return 0, False
            text = f"{date}{text[match.end() :]}"
        return parse_utc(text), True
    except (IlrsError, ValueError):
        return 0, False


def tai_of(utc: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return TAI of UTC counts, ns, and which of them there are; UTC stepped over some in the sixties."""
    try:
        return utc_to_tai(utc), np.ones(len(utc), bool)
    except IlrsError:
        found, known = np.zeros(len(utc), np.int64), np.zeros(len(utc), bool)
        for number, one in enumerate(utc):
            with suppress(IlrsError):
                found[number], known[number] = utc_to_tai(one), True
        return found, known


def _plain(tidy: Any) -> tuple[NDArray[np.int64], NDArray[np.bool_]] | None:
    """Return TAI where all cells are times that Arrow knows: to microseconds, no leap seconds, no days of the year."""
    import pyarrow as pa  # noqa: PLC0415 - heavy
    from pyarrow import compute  # noqa: PLC0415 - heavy

    try:
        counts = compute.utf8_rtrim(tidy, "Z").cast(pa.timestamp("us")).cast(pa.int64())
    except pa.ArrowInvalid:
        return None
    utc = counts.to_numpy(zero_copy_only=False)
    first, last = (int(np.datetime64(f"{year}-01-01", "us").astype(np.int64)) for year in (_YEARS[0], _YEARS[1] + 1))
    if utc.size and not first <= utc.min() <= utc.max() < last:
        return None
    return tai_of(utc * 1000)


def _characters(tidy: Any) -> NDArray[np.uint8]:
    """Return the characters of cells, shape (cell, at least 20), zero after the last; none of what is too long."""
    import pyarrow as pa  # noqa: PLC0415 - heavy
    from pyarrow import compute  # noqa: PLC0415 - heavy

    lengths = compute.binary_length(tidy)
    fits = compute.and_(compute.less_equal(lengths, _LONGEST), compute.string_is_ascii(tidy))
    short = compute.if_else(fits, tidy, "")
    extent = compute.min_max(compute.binary_length(short)).as_py()
    width = extent["max"] or 0
    characters = np.zeros((len(tidy), max(width + 1, 20)), np.uint8)
    if width and extent["min"] == width:
        block = pa.concat_arrays([short.cast(pa.binary()).cast(pa.binary(width))])
        characters[:, :width] = np.frombuffer(block.buffers()[1], np.uint8, len(block) * width).reshape(-1, width)
    elif width:
        texts = np.asarray(short.to_numpy(zero_copy_only=False), f"S{width}")
        characters[:, :width] = texts.view(np.uint8).reshape(-1, width)
    return characters


def _plain_times(characters: NDArray[np.uint8]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which times are plain ones with a day of the month, and with a day of the year; no leap seconds."""
    zulu = characters == ord("Z")
    characters[zulu & (np.roll(characters, -1, axis=1) == 0)] = 0
    digits = (characters >= ord("0")) & (characters <= ord("9"))
    years = digits[:, :4].all(axis=1) & (characters[:, 4] == ord("-"))
    year = np.where(years, (characters[:, :4].astype(np.int64) - ord("0")) @ [1000, 100, 10, 1], 0)
    years &= (year >= _YEARS[0]) & (year <= _YEARS[1])
    nothing = characters == 0
    found = []
    for day in (10, 8):
        mark = (characters[:, day] == ord("T")) | (characters[:, day] == ord(" "))
        days = digits[:, 5:7].all(axis=1) & (
            (characters[:, 7] == ord("-")) & digits[:, 8:10].all(axis=1) if day == 10 else digits[:, 7]  # noqa: PLR2004
        )
        clock = slice(day + 1, day + 9)
        written = np.where(digits[:, clock], ord("0"), characters[:, clock])
        point, rest = characters[:, day + 9], digits[:, day + 10 :] | nothing[:, day + 10 :]
        plain = (written == np.frombuffer(b"00:00:00", np.uint8)).all(axis=1) & (characters[:, day + 7] != ord("6"))
        plain &= ((point == 0) | (point == ord("."))) & rest.all(axis=1)
        found.append(years & days & mark & plain)
    return found[0], found[1]


def _calendar_counts(characters: NDArray[np.uint8]) -> NDArray[np.int64]:
    return _texts(characters).astype("M8[ns]").astype(np.int64)


def _ordinal_counts(characters: NDArray[np.uint8]) -> NDArray[np.int64]:
    day = (characters[:, 5:8].astype(np.int64) - ord("0")) @ [100, 10, 1]
    year = _texts(characters[:, :4]).astype("M8[Y]")
    date = year.astype("M8[D]") + (day - 1).astype("m8[D]")
    if (date.astype("M8[Y]") != year).any():
        raise ValueError("no day of the year")
    clock = np.char.add(b"1970-01-01T", _texts(characters[:, 9:])).astype("M8[ns]")
    return np.asarray(date.astype("M8[ns]").astype(np.int64) + clock.astype(np.int64))


def _texts(characters: NDArray[np.uint8]) -> NDArray[np.bytes_]:
    return np.ascontiguousarray(characters).view(f"S{characters.shape[1]}").reshape(-1)
