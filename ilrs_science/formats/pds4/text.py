"""Tables of text in PDS4: records of fixed width, delimited ones, and those that are labelled so and are neither."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ilrs_science.errors import FormatError
from ilrs_science.formats.pds4.columns import SEPARATOR, Columns, Rows, interleaved, rows_of
from ilrs_science.formats.pds4.field import Field, in_columns, starts_of
from ilrs_science.formats.pds4.file import Structure
from ilrs_science.formats.pds4.label import Label, text, whole

_DELIMITERS = {"comma": ",", "horizontal tab": "\t", "semicolon": ";", "vertical bar": "|"}
_NEWLINE, _RETURN, _BLANK, _TAB, _QUOTE = 10, 13, 32, 9, 34
_BLOCK, _CACHED = 2**22, 2**17
_BETWEEN = np.isin(np.arange(256), np.frombuffer(b" \t,;|\"'\0\r\n", np.uint8))
"""Bytes that may stand between fields."""
_SAMPLED = 2000
_FEW = 0.1
_MOST = 0.9


def read_rows(label: Label, structure: Structure, fields: list[Field], only: set[str] | None) -> Rows:
    """Return the records of a table of text, and tell the label what was read otherwise than it says."""
    room = structure.end - structure.offset
    data = np.fromfile(structure.data, np.uint8, room, offset=structure.offset)
    if structure.kind == "Table_Character":
        rows = _character(label, structure, fields, data, only)
    else:
        rows = _delimited(label, structure, fields, data, only)
    label.repaired += rows.notes
    declared = whole(label, structure.element, "records", 0)
    if declared != rows.found:
        label.repaired.append(f"{structure.name}: records {declared}: the file has {rows.found}")
    return rows


def count_lines(structure: Structure) -> int:
    """Return how many lines the text of a table has, blank ones not counted."""
    data = np.fromfile(structure.data, np.uint8, structure.end - structure.offset, offset=structure.offset)
    ends = np.flatnonzero(data == _NEWLINE)
    ends = ends if data.size and data[-1] == _NEWLINE else np.append(ends, data.size)
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1] + 1])[: ends.size]
    lengths = ends - starts
    return int(np.count_nonzero(lengths > 1) + np.count_nonzero(data[starts[lengths == 1]] > _BLANK))


def _delimited(
    label: Label, structure: Structure, fields: list[Field], data: NDArray[np.uint8], only: set[str] | None
) -> Rows:
    said = text(structure.element, "field_delimiter").lower()
    if said not in _DELIMITERS:
        raise FormatError(f"{label.path}: field_delimiter {said[:40]!r}; known are {', '.join(_DELIMITERS)}")
    starts = starts_of(label, fields)
    width = sum(len(own) for own in starts)
    kept = [number for number, one in enumerate(fields) if only is None or one.name in only]
    _check_line_ends(label, structure, data)
    plain = _unquoted(data, _DELIMITERS[said])
    delimiter = _DELIMITERS[said] if plain is data else chr(SEPARATOR)
    return rows_of(
        Columns(structure.data, plain, [fields[n] for n in kept], [starts[n] for n in kept], width, delimiter)
    )


def _unquoted(data: NDArray[np.uint8], delimiter: str) -> NDArray[np.uint8]:
    """Return delimited text without quotes, and with separators for the delimiters that stand outside of them.

    In PDS DSV 1 neither a quote nor the end of a line stands within quotes: a quote that is left open ends with its
    line, and does not take the lines after it along. Text without quotes is returned as it is.
    """
    if not any((data[start : start + _CACHED] == _QUOTE).any() for start in range(0, data.size, _CACHED)):
        return data
    parts, start = [], 0
    while start < data.size:
        ends = np.flatnonzero(data[start : start + _BLOCK] == _NEWLINE)
        stop = start + int(ends[-1]) + 1 if ends.size else min(start + _BLOCK, data.size)
        part = data[start:stop]
        quote = part == _QUOTE
        within = np.logical_xor.accumulate(quote)
        first = np.concatenate([np.zeros(1, np.int64), ends + 1])
        first = first[first < part.size]
        within ^= np.repeat(within[first] ^ quote[first], np.diff(first, append=part.size))
        parts.append(np.where((part == ord(delimiter)) & ~within, np.uint8(SEPARATOR), part)[~quote])
        start = stop
    return np.concatenate(parts)


def _check_line_ends(label: Label, structure: Structure, data: NDArray[np.uint8]) -> None:
    """Tell where lines end otherwise than labelled."""
    first = data[: 2**16].tobytes().partition(b"\n")
    declared = "carriage-return" in text(structure.element, "record_delimiter").lower()
    if first[1] and declared != first[0].endswith(b"\r"):
        found = "LF" if declared else "CR-LF"
        label.repaired.append(f"{structure.name}: record_delimiter is {found}, and not as labelled")


def _character(
    label: Label, structure: Structure, fields: list[Field], data: NDArray[np.uint8], only: set[str] | None
) -> Rows:
    starts = starts_of(label, fields)
    _check_line_ends(label, structure, data)
    matrix, rejected, notes = _records(label, structure, data, max(one.stop for one in fields))
    rows = None
    kept = [number for number, one in enumerate(fields) if only is None or one.name in only]
    if matrix is not None:
        rows = _fixed(structure, [fields[n] for n in kept], [starts[n] for n in kept], matrix)
        rows.rejected += rejected
        rows.notes += notes
        if rows.lost <= _FEW * (rows.records + rows.lost) and _misfits(fields, starts, matrix) <= _FEW:
            return rows
    split = _by_blanks(structure, fields, data, only)
    if split is not None and (rows is None or split.lost <= rows.lost):
        split.notes.append(
            f"{structure.name}: the fields do not lie where the label says; read as told apart by blanks"
        )
        return split
    if rows is None:
        raise FormatError(f"{structure.data}: records are neither of the length of the label nor told apart by blanks")
    return rows


def _records(
    label: Label, structure: Structure, data: NDArray[np.uint8], needed: int
) -> tuple[NDArray[np.uint8] | None, Counter[str], list[str]]:
    """Return records of equal length, shape (records, bytes), how many have another, and what was not as labelled.

    None where less than half of the lines have the same length, or the fields do not fit in it.
    """
    declared = whole(label, structure.element, "Record_Character/record_length", 0)
    records = whole(label, structure.element, "records", 0)
    if not structure.last and 0 < records * declared <= data.size:
        data = data[: records * declared]
    count = data.size // declared if declared >= needed else 0
    usual = data[: count * declared].reshape(count, -1) if count else data[:0].reshape(0, 1)
    found = np.count_nonzero(data == _NEWLINE)
    if count and not found:
        return usual, Counter(), [f"{structure.name}: records without delimiters"]
    if count and found == count and (usual[:, -1] == _NEWLINE).all():
        return usual, Counter({"cut short": int((data[count * declared :] > _BLANK).any())}), []
    ends = np.flatnonzero(data == _NEWLINE)
    if data.size and data[-1] != _NEWLINE:
        data, ends = np.append(data, np.uint8(_NEWLINE)), np.append(ends, data.size)
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1] + 1])[: ends.size]
    lengths, number = np.unique(ends + 1 - starts, return_counts=True)
    if not ends.size or 2 * number.max() < ends.size or lengths[number.argmax()] < needed:
        return None, Counter(), []
    length = int(lengths[number.argmax()])
    same = ends + 1 - starts == length
    filled = [(data[start:end] > _BLANK).any() for start, end in zip(starts[~same], ends[~same], strict=True)]
    notes = [f"{structure.name}: record_length {declared}: lines have {length} bytes"] if length != declared else []
    return sliding_window_view(data, length)[starts[same]], Counter({"wrong length": sum(map(int, filled))}), notes


def _fixed(
    structure: Structure, fields: list[Field], starts: list[NDArray[np.int64]], matrix: NDArray[np.uint8]
) -> Rows:
    columns = interleaved(structure.data, fields, starts, matrix)
    wide = columns.data.reshape(len(matrix), -1)
    damaged = 0
    if np.count_nonzero(columns.data < _BLANK) > len(matrix) * columns.width:  # more than those between the columns
        fine = np.count_nonzero((wide < _BLANK) & (wide != _TAB), axis=1) <= columns.width
        columns.data, damaged = np.ascontiguousarray(wide[fine]).ravel(), int(np.count_nonzero(~fine))
    rows = rows_of(columns)
    rows.rejected["control characters"] += damaged
    return rows


def _misfits(fields: list[Field], starts: list[NDArray[np.int64]], matrix: NDArray[np.uint8]) -> float:
    """Return the share of records in which text lies outside of fields, or runs over the edge of one."""
    if not len(matrix):
        return 0.0
    sample = ~_BETWEEN[matrix[:: max(1, len(matrix) // _SAMPLED)]]
    outside = np.ones(matrix.shape[1], bool)
    for one, own in zip(fields, starts, strict=True):
        for start in own:
            outside[start : start + one.length] = False
    edges = np.unique(np.concatenate([*starts, *(own + one.length for one, own in zip(fields, starts, strict=True))]))
    edges = edges[(edges > 0) & (edges < matrix.shape[1])]
    wrong = sample[:, outside].any(axis=1) | (sample[:, edges] & sample[:, edges - 1]).any(axis=1)
    return float(wrong.mean())


def _by_blanks(
    structure: Structure, fields: list[Field], data: NDArray[np.uint8], only: set[str] | None
) -> Rows | None:
    """Return the records of lines whose fields are told apart by blanks; None where most lines are not such."""
    columns = in_columns(fields)
    starts = [one.starts() for one in columns]
    width = sum(len(own) for own in starts)
    squeezed = _squeezed(data)
    lines = np.flatnonzero(squeezed == _NEWLINE)
    before = np.searchsorted(np.flatnonzero(squeezed == _BLANK), lines)
    fitting = np.count_nonzero(np.diff(before, prepend=0) == width - 1)
    if not lines.size or fitting < _MOST * lines.size:
        return None
    kept = [number for number, one in enumerate(columns) if only is None or one.name in only]
    own = [starts[number] for number in kept]
    return rows_of(Columns(structure.data, squeezed, [columns[number] for number in kept], own, width, " "))


def _squeezed(data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return text with single blanks between words, and none at the ends of lines."""
    blank = (data == _BLANK) | (data == _TAB) | (data == _RETURN)
    edge = blank | (data == _NEWLINE)
    lead = blank & np.concatenate([[True], edge[:-1]])
    words = np.where(blank, np.uint8(_BLANK), data)[~lead]
    following = np.append(words, np.uint8(_NEWLINE))[1:]
    squeezed: NDArray[np.uint8] = words[(words != _BLANK) | (following != _NEWLINE)]
    return squeezed
