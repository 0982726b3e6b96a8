"""Lines of blank-separated fields made into columns: the text tables of the laser ranging formats."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ilrs_science.formats.crd.records import Record
from ilrs_science.geometry.time import SECOND

type Table = dict[str, NDArray[Any]]
type Finish = Callable[[str, Table, Sequence[Sequence[str]], NDArray[np.int64]], dict[str, NDArray[np.bool_]]]
"""Given a tag, its columns, their text and owners, adds columns, and returns which rows are faulty, by reason."""

LONGEST_LINE = 1000
"""Characters; the documents allow 512."""
LONGEST_TEXT = 40
"""Characters of a text in a field; the documents allow no more."""
_CHUNK = 8192
"""Lines that become arrays at a time."""
_ABSENT = frozenset({"", *(sign + word for sign in ("", "-") for word in ("na", "NA", "Na", "nan", "NaN", "NAN"))})
_PLAIN = re.compile(r"[0-9.\n]*")
_MOST_DECIMALS = 13
"""Of seconds of a day that fit an int64 without their point."""
_DECIMAL = re.compile(r"\+?(\d*)\.?(\d*)", re.ASCII)


class Tables:
    """Tables of some kinds of record, filled line by line; text becomes arrays as soon as there is enough of it."""

    def __init__(self, records: Mapping[str, Record], finish: Finish) -> None:
        self.records, self.finish = records, finish
        self.rejected: Counter[str] = Counter()
        """Rows left out, by reason."""
        self.counts: Counter[str] = Counter()
        """Lines by tag, rejected ones included."""
        self.more: Counter[str] = Counter()
        """Lines by tag that have fields beyond those of their record."""
        self.waiting: dict[str, tuple[list[str], list[int]]] = {tag: ([], []) for tag in records}
        self.chunks: dict[str, list[Table]] = {tag: [] for tag in records}

    def add(self, tag: str, line: str, owner: int) -> None:
        """Add a line, with its end, that belongs to something of this number."""
        lines, owners = self.waiting[tag]
        lines.append(line)
        owners.append(owner)
        if len(lines) >= _CHUNK:
            self.flush(tag)

    def table(self, tag: str) -> Table:
        """Return the columns of a kind of record and give them up; none where there is no good row."""
        self.flush(tag)
        chunks, self.chunks[tag] = self.chunks[tag], []
        names = list(chunks[0]) if chunks else []
        return {name: np.concatenate([chunk.pop(name) for chunk in chunks]) for name in names}

    def flush(self, tag: str) -> None:
        """Make arrays of the lines of a kind of record that wait."""
        lines, owners = self.waiting[tag]
        if not lines:
            return
        record, self.waiting[tag] = self.records[tag], ([], [])
        fields, lengths = _fields(record, lines)
        table, wrong = _columns(record, fields)
        faults = {"with too few fields": lengths < record.required, "with what is no number": wrong}
        faults |= self.finish(tag, table, fields, np.array(owners, np.int64))
        good = np.ones(len(lines), bool)
        for fault, bad in faults.items():
            self.rejected[f"record {tag} {fault}"] += int((good & bad).sum())
            good &= ~bad
        self.counts[tag] += len(lines)
        self.more[tag] += int((lengths > len(record.fields)).sum())
        if good.all():
            self.chunks[tag].append(table)
        elif good.any():
            self.chunks[tag].append({name: column[good] for name, column in table.items()})


def numbers(column: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return a column of text as float64, NaN where nothing is known, and which of its values are no numbers."""
    different = set(column)
    if len(different) <= len(column) // 4:  # codes and settings
        meanings = {text: _number(text) for text in different}
        values = np.array([meanings[text] for text in column], np.float64)
        return np.where(np.isinf(values), np.nan, values), np.isinf(values)
    try:
        if "_" not in "".join(column):  # float() takes 1_000 for a number
            values = np.array([np.nan if text in _ABSENT else float(text) for text in column], np.float64)
        else:
            values = np.array([_number(text) for text in column], np.float64)
    except ValueError:
        values = np.array([_number(text) for text in column], np.float64)
    return np.where(np.isinf(values), np.nan, values), np.isinf(values)


def _number(text: str) -> float:
    """Return a number, NaN for what is absent or did not fit its width (`****`), infinity for what is none."""
    if text in _ABSENT or not text.strip("*"):
        return np.nan
    try:
        return np.inf if "_" in text else float(text)
    except ValueError:
        return np.inf


def nanoseconds(column: Sequence[str]) -> NDArray[np.int64]:
    """Return seconds in decimal text as the nearest int64 ns, reckoned without floating point; -1 for no such text."""
    decimals = len(column[0].partition(".")[2]) if column else 0
    text = "\n".join(column)
    alike = 0 < decimals <= _MOST_DECIMALS and text.count(".") == len(column) and _PLAIN.fullmatch(text) is not None
    if not alike or not all(decimals + 1 < len(one) <= decimals + 6 and one[-decimals - 1] == "." for one in column):
        return np.array([_nanoseconds(one) for one in column], np.int64)
    units = np.array([int(one) for one in text.replace(".", "").split("\n")], np.int64)
    if decimals <= 9:  # noqa: PLR2004 - digits of a nanosecond
        units *= 10 ** (9 - decimals)
    else:
        units = (units + 5 * 10 ** (decimals - 10)) // 10 ** (decimals - 9)
    return units


def _nanoseconds(text: str) -> int:
    match = _DECIMAL.fullmatch(text)
    if match is None or not (match[1] or match[2]) or len(match[1]) > 9:  # noqa: PLR2004 - no seconds of a day
        return -1
    digits = match[2]
    rounded = len(digits) > 9 and digits[9] >= "5"  # noqa: PLR2004 - digits of a second
    return int(match[1] or 0) * SECOND + int(digits[:9].ljust(9, "0")) + rounded


def _columns(record: Record, fields: Sequence[Sequence[str]]) -> tuple[Table, NDArray[np.bool_]]:
    """Return columns of text as float64 or text, and in which rows a number is none."""
    wrong, table = np.zeros(len(fields[0]), bool), {}
    for field, column in zip(record.fields, fields, strict=True):
        if field.text:
            table[field.name] = np.array([text[:LONGEST_TEXT] for text in column], dtype=str)
            continue
        table[field.name], bad = numbers(column)
        wrong |= bad | np.isnan(table[field.name]) if field.needed else bad
    return table, wrong


def _fields(record: Record, lines: Sequence[str]) -> tuple[Sequence[Sequence[str]], NDArray[np.int64]]:
    """Return the fields of lines by column, empty where a line has none, and how many each line has."""
    width = len(record.fields)
    text = "".join(lines)
    tokens = text.replace("\n", " ; ").split()
    step = tokens.index(";") + 1
    joined = record.fields[-1].name == "components"
    # Mostly all lines have as many fields, and then every column is a slice.
    alike = len(tokens) == step * len(lines) == step * tokens[step - 1 :: step].count(";")
    if alike and not joined and ";" not in text:
        absent = [""] * len(lines)
        found = [tokens[place + 1 :: step] if place < step - 2 else absent for place in range(width)]
        return found, np.full(len(lines), step - 2, np.int64)
    rows = [line.split()[1:] for line in lines]
    if joined:
        rows = [[*row[: width - 1], " ".join(row[width - 1 :])] for row in rows]
    padded = [(*row[:width], *[""] * (width - len(row))) for row in rows]
    return list(zip(*padded, strict=True)), np.array([len(row) for row in rows], np.int64)
