"""Columns of text in PDS4 tables as numbers and text: parsed by Arrow, with each record that holds no number told."""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ilrs_science.formats.foreign import foreign
from ilrs_science.formats.pds4.field import Field

SEPARATOR = 31
"""ASCII's unit separator, which no field of text holds."""
_INTEGERS = ("ASCII_Integer", "ASCII_NonNegative_Integer")
_BASES = {"ASCII_Numeric_Base2": 2, "ASCII_Numeric_Base8": 8, "ASCII_Numeric_Base16": 16}
_DIGITS = {2: 64, 8: 21, 16: 16}
"""Of numbers in these bases that 64 bits hold."""
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
_REAL = r"^-?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?$|^-?(nan|NaN|inf|Inf|Infinity)$"
_INTEGER = r"^-?\d{1,18}$"
_NO_NUMBER = "no number"
_BLOCK = 2**24
_PIECE = 2**22
_ASCII = 128
_NEWLINE, _RETURN, _BLANK = 10, 13, 32


@dataclass
class Columns:
    """Text whose columns are told apart by one byte."""

    path: Path
    data: NDArray[np.uint8]
    fields: list[Field]
    places: list[NDArray[np.int64]]
    """Columns of the repetitions of each field."""
    width: int
    """Columns, those of fields that are not read included."""
    delimiter: str
    blanks: Sequence[int] = ()
    """Widths of fields of fixed width, which may be blank."""


@dataclass
class Rows:
    """The records of a table of text."""

    fields: list[Field]
    values: dict[str, NDArray[Any]]
    """By name of the field, shape (records, repetitions ...)."""
    records: int
    good: NDArray[np.bool_]
    """Records whose numbers are numbers."""
    rejected: Counter[str] = field(default_factory=Counter)
    """Records that are not in the values, or not good."""
    notes: list[str] = field(default_factory=list)
    """What was read otherwise than labelled."""

    @property
    def lost(self) -> int:
        """How many records are rejected."""
        return self.rejected.total()

    @property
    def found(self) -> int:
        """How many records there are, those that are rejected included."""
        return self.records + self.lost - self.rejected[_NO_NUMBER]


def kind_of(data_type: str) -> str:
    """Return whether a data type of text is `real`, `integer`, `based`, `boolean` or `text`; nothing where it is none.

    Types are those of characters in the PDS4 Information Model: ASCII_* and UTF8_*.
    """
    if data_type in _INTEGERS or data_type == "ASCII_Real":
        return "real" if data_type == "ASCII_Real" else "integer"
    if data_type in _BASES:
        return "based"
    if data_type == "ASCII_Boolean":
        return "boolean"
    return "text" if data_type.startswith(("ASCII_", "UTF8_")) else ""


def rows_of(columns: Columns) -> Rows:
    """Return the records of a text that have all of its columns."""
    table, skipped, notes = _split(columns)
    records = table.num_rows
    rows = Rows(
        columns.fields, {}, records, np.ones(records, bool), Counter({"wrong number of fields": skipped}), notes
    )
    for one, places in zip(columns.fields, columns.places, strict=True):
        values, valid, note = _values([table[str(place)] for place in places], one.kind)
        rows.good &= valid.reshape(len(places), records).all(axis=0)
        if note:
            rows.notes.append(f"{one.name}: {one.kind} {note}")
        rows.values[one.name] = np.ascontiguousarray(values.reshape(len(places), records).T).reshape(
            records, *one.shape
        )
    rows.rejected[_NO_NUMBER] += int(np.count_nonzero(~rows.good))
    return rows


def _split(columns: Columns) -> tuple[Any, int, list[str]]:
    """Return a table of Arrow, how many rows have another number of columns, and what was replaced."""
    import pyarrow as pa  # noqa: PLC0415 - heavy

    kinds = {str(n): one.kind for one, own in zip(columns.fields, columns.places, strict=True) for n in own}
    plain = dict.fromkeys(kinds, pa.string())
    types = {"real": pa.float64(), "integer": pa.int64()}
    typed = {name: types.get(kind_of(kind), pa.string()) for name, kind in kinds.items()}
    highest, data = int(columns.data.max(initial=0)), columns.data
    notes: list[str] = []
    if highest <= _RETURN:
        return pa.table({name: pa.array([], kind) for name, kind in typed.items()}), 0, []
    if highest >= _ASCII:
        data, notes = _replaced(data)
    with foreign(columns.path, "text"):
        try:
            table, skipped = _read(data, columns, typed)
        except pa.ArrowInvalid:
            table, skipped = _read(data, columns, plain)
    return table, skipped, notes


def _replaced(data: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], list[str]]:
    """Return text with a sign for what is no UTF-8, in which Arrow would stop, and whether there was any."""
    decoder, parts = getincrementaldecoder("utf-8")("replace"), []
    for start in range(0, data.size, _PIECE):
        decoded = decoder.decode(data[start : start + _PIECE].tobytes(), start + _PIECE >= data.size)
        parts.append(np.frombuffer(decoded.encode(), np.uint8))
    found = np.concatenate(parts)
    same = np.array_equal(found, data)
    return (data if same else found), ([] if same else ["text: bytes that are no UTF-8 are replaced"])


def _read(data: NDArray[np.uint8], columns: Columns, types: dict[str, Any]) -> tuple[Any, int]:
    import pyarrow as pa  # noqa: PLC0415 - heavy
    from pyarrow import csv  # noqa: PLC0415 - heavy

    skipped = Counter[str]()

    def skip(_: Any) -> str:
        skipped["rows"] += 1
        return "skip"

    table = csv.read_csv(
        pa.BufferReader(pa.py_buffer(data)),
        csv.ReadOptions(use_threads=False, block_size=_BLOCK, column_names=[str(n) for n in range(columns.width)]),
        csv.ParseOptions(
            delimiter=columns.delimiter,
            quote_char=False,
            double_quote=False,
            invalid_row_handler=skip,
        ),
        csv.ConvertOptions(
            column_types=types,
            include_columns=list(types),
            null_values=["", " ", *(" " * width for width in set(columns.blanks))],
        ),
    )
    return table, skipped["rows"]


def _values(repetitions: list[Any], data_type: str) -> tuple[NDArray[Any], NDArray[np.bool_], str]:
    """Return the columns of a field one after another, which values are of its type, and what it is read as instead."""
    import pyarrow as pa  # noqa: PLC0415 - heavy
    from pyarrow import compute  # noqa: PLC0415 - heavy

    column = pa.chunked_array([chunk for one in repetitions for chunk in one.chunks], repetitions[0].type)
    valid, kind = np.ones(len(column), bool), kind_of(data_type)
    if column.type != pa.string():
        # Integers that are blank come as NaN, and all of their column as reals.
        values = column.to_numpy()
        values = values if values.flags.writeable else values.copy()
        return values, valid, "with blanks; read as real" if kind == "integer" and column.null_count else ""
    texts = compute.utf8_trim_whitespace(column.combine_chunks())
    if kind in ("real", "integer", ""):
        return _numbers(texts, kind)
    if kind == "based":
        return _based(texts, _BASES[data_type])
    if kind == "boolean":
        said = texts.to_pylist()
        if all(one in _BOOLEANS for one in said):
            return np.array([_BOOLEANS[one] for one in said], bool), valid, ""
        return _text(texts), valid, "that is not always true or false; read as text"
    return _text(texts), valid, ""


def _text(texts: Any) -> NDArray[Any]:
    found: NDArray[Any] = texts.to_numpy(zero_copy_only=False).astype(str)
    return found


def _numbers(texts: Any, kind: str) -> tuple[NDArray[Any], NDArray[np.bool_], str]:
    """Return numbers of a column in which not all are: integers where nine tenths are, else reals where half are."""
    import pyarrow as pa  # noqa: PLC0415 - heavy
    from pyarrow import compute  # noqa: PLC0415 - heavy

    texts = compute.replace_substring_regex(compute.replace_substring_regex(texts, r"^\+", ""), "[dD]", "e")
    blank = compute.equal(texts, "").to_numpy(zero_copy_only=False)
    known = ((_INTEGER, pa.int64(), "integer", 0.9), (_REAL, pa.float64(), "real", 0.5))
    for pattern, target, read, share in known:
        if kind == "real" and read == "integer":
            continue
        fits = compute.match_substring_regex(texts, pattern)
        fine = fits.to_numpy(zero_copy_only=False)
        if not fine.any() or np.count_nonzero(fine) < share * np.count_nonzero(~blank):
            continue
        values = compute.if_else(fits, texts, "0").cast(target).to_numpy(zero_copy_only=False)
        valid, blanks = fine | blank, blank.any()
        if blanks or read == "real":
            values = np.where(fine, values, np.nan)
        said = "with blanks; read as real" if read == "integer" and blanks else f"read as {read}"
        return np.array(values), valid, "" if said == f"read as {kind}" else said
    return _text(texts), np.ones(len(blank), bool), "read as text"


def _based(texts: Any, base: int) -> tuple[NDArray[Any], NDArray[np.bool_], str]:
    """Return numbers in base 2, 8 or 16, of at most 64 bits."""
    digits = np.char.encode(np.char.upper(_text(texts)), "ascii", "replace")
    characters = digits.view(np.uint8).reshape(len(digits), digits.dtype.itemsize)
    worth = np.full(256, base, np.uint8)
    worth[[ord(digit) for digit in "0123456789ABCDEF"[:base]]] = np.arange(base)
    found, fine = np.zeros(len(digits), np.uint64), digits != b""
    for place in characters.T:
        there = place != 0
        found = np.where(there, found * np.uint64(base) + worth[place], found)
        fine &= ~there | (worth[place] < base)
    return found, fine & (np.char.str_len(digits) <= _DIGITS[base]), ""


def interleaved(
    path: Path,
    fields: list[Field],
    starts: list[NDArray[np.int64]],
    matrix: NDArray[np.uint8],
    *,
    padded: bool = False,
) -> Columns:
    """Return fields of records of fixed width, shape (records, bytes), as columns.

    Where they are `padded`, as text in binary records is, control characters become blanks.
    """
    parts, places, column = [], [], 0
    separator, end = np.full((len(matrix), 1), SEPARATOR, np.uint8), np.full((len(matrix), 1), _NEWLINE, np.uint8)
    for one, own in zip(fields, starts, strict=True):
        for start in own:
            part = matrix[:, start : start + one.length]
            parts += [np.where(part < _BLANK, np.uint8(_BLANK), part) if padded else part, separator]
        places.append(np.arange(column, column + len(own)))
        column += len(own)
    parts[-1:] = [end]
    data = np.concatenate(parts, axis=1).ravel()
    return Columns(path, data, fields, places, column, chr(SEPARATOR), blanks=[one.length for one in fields])
