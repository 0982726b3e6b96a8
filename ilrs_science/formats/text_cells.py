"""Cells of tables of text, as columns: into numbers and text, with what is damaged told apart.

A column is an Arrow array of strings, whether it comes from separated values or from fixed places in lines, so that
nothing here loops over cells, and a cell that is long costs no more than its length.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ilrs_science.errors import FormatError
from ilrs_science.formats.foreign import foreign

MOST_COLUMNS = 4096

_BLOCK = 2**20
_LARGEST_LINE = 2**26
_BLANKS = ("", "N/A", "NA", "NULL", "UNK", "null", "n/a")
_REAL = r"^-?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,4})?$"
_WHOLE = 2.0**53


def decoded(data: bytes) -> tuple[bytes, str]:
    """Return text in UTF-8, and what its encoding was: UTF-8, or else taken for latin-1."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    if data.isascii():
        return data, "utf-8"
    try:
        data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1").encode(), "latin-1"
    return data, "utf-8"


def split_cells(
    data: bytes, separator: str, kinds: Sequence[str], path: Path, wanted: Sequence[bool] | None = None
) -> tuple[list[Any], int]:
    """Return the columns of separated values in UTF-8, and how many lines had another number of them.

    Parameters
    ----------
    data
        The lines.
    separator
        A character.
    kinds
        What every column is expected to be, `int64`, `float64` or `text`. Where they all are, numbers come as numbers,
        null where blank, else all come as text; `trimmed` makes text of both.
    path
        What to call the file in an error.
    wanted
        Which of the columns; nothing stands for each of the others.

    Raises
    ------
    FormatError
        They cannot be told apart, or there are too many columns.
    """
    import pyarrow as pa  # noqa: PLC0415 - heavy
    from pyarrow import csv  # noqa: PLC0415 - heavy

    if len(kinds) > MOST_COLUMNS:
        raise FormatError(f"{path}: {len(kinds)} columns; at most {MOST_COLUMNS} are read")
    if not data or data.isspace():
        return [pa.array([], pa.string())] * len(kinds), 0
    names = [str(number) for number in range(len(kinds))]
    included = [name for name, want in zip(names, wanted or [True] * len(kinds), strict=True) if want]
    wrong: list[int] = []

    def refuse(row: csv.InvalidRow) -> str:
        wrong.append(1 + row.text.strip("\r\n").count("\n"))
        return "skip"

    def read(types: dict[str, Any], block: int) -> Any:
        wrong.clear()
        return csv.read_csv(
            pa.BufferReader(data),
            csv.ReadOptions(use_threads=False, column_names=names, block_size=min(len(data) + 1, block)),
            csv.ParseOptions(delimiter=separator, invalid_row_handler=refuse),
            csv.ConvertOptions(column_types=types, include_columns=included, null_values=_BLANKS),
        )

    texts = dict.fromkeys(names, pa.string())
    expected = {"int64": pa.int64(), "float64": pa.float64(), "text": pa.string()}
    with foreign(path, "table of text"):
        try:
            table = read({name: expected[kind] for name, kind in zip(names, kinds, strict=True)}, _BLOCK)
        except pa.ArrowInvalid:
            table = read(texts, _LARGEST_LINE)
        found = dict(zip(included, table.columns, strict=True))
        return [found[name].combine_chunks() if name in found else None for name in names], sum(wrong)


def line_places(raw: NDArray[np.uint8]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return where the lines of a text begin, and their lengths without line ends; the last need not have one."""
    ends = np.flatnonzero(raw == ord("\n"))
    if raw.size and raw[-1] != ord("\n"):
        ends = np.append(ends, raw.size)
    starts = np.concatenate([ends[:0], [0], ends[:-1] + 1]) if ends.size else ends
    returns = (ends > starts) & (raw[np.maximum(ends - 1, 0)] == ord("\r")) if ends.size else np.zeros(0, bool)
    return starts, ends - starts - returns


def fixed_lines(
    raw: NDArray[np.uint8], starts: NDArray[np.intp], lengths: NDArray[np.intp], width: int
) -> NDArray[np.uint8]:
    """Return the first characters of lines, shape (line, width); blanks where a line is shorter."""
    lines = np.full((len(starts), width), ord(" "), np.uint8)
    step, place = max(1, _BLOCK // max(width, 1)), np.arange(width)
    for first in range(0, len(starts), step):
        part = slice(first, first + step)
        where = starts[part, None] + place
        inside = place < lengths[part, None]
        np.copyto(lines[part], raw[np.minimum(where, max(raw.size - 1, 0))], where=inside)
    return lines


def column_of(lines: NDArray[np.uint8]) -> Any:
    """Return lines of characters, shape (..., width), as a column of strings, the last index fastest."""
    import pyarrow as pa  # noqa: PLC0415 - heavy

    characters = np.ascontiguousarray(lines).reshape(-1, lines.shape[-1])
    if not lines.shape[-1]:
        return pa.array([""] * len(characters), pa.string())
    if characters.size and characters.max() >= 128:  # noqa: PLR2004 - beyond ASCII
        return pa.array([bytes(one).decode("latin-1") for one in characters], pa.string())
    buffers = [None, pa.py_buffer(characters)]
    cells = pa.FixedSizeBinaryArray.from_buffers(pa.binary(lines.shape[-1]), len(characters), buffers)
    return cells.cast(pa.binary()).cast(pa.string())


def blank(cells: Any) -> NDArray[np.bool_]:
    """Return which cells say nothing: blank, `N/A`, `UNK`, `NULL`."""
    import pyarrow as pa  # noqa: PLC0415 - heavy
    from pyarrow import compute  # noqa: PLC0415 - heavy

    return _numpy(compute.is_in(trimmed(cells), value_set=pa.array(_BLANKS))).astype(bool)


def numbers(cells: Any, *, whole: bool = False) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return float64, or int64, and which cells are such numbers; the others are NaN, or 0.

    An exponent may be written with D, a sign may be a plus. Whole numbers may be written as reals. What is beyond the
    reach of the type is no number.
    """
    import pyarrow as pa  # noqa: PLC0415 - heavy

    if cells.type in ((pa.int64(),) if whole else (pa.int64(), pa.float64())) and not cells.null_count:
        values = _numpy(cells).astype(np.int64 if whole else np.float64, copy=False)
        return values, np.ones(len(values), bool) if whole else ~np.isinf(values)
    tidy = trimmed(cells)
    try:
        values = _numpy(tidy.cast(pa.int64() if whole else pa.float64()))
    except pa.ArrowInvalid:
        return _damaged_integers(tidy) if whole else _damaged_reals(tidy)
    return values, np.ones(len(values), bool) if whole else ~np.isinf(values)


def text_values(cells: Any, limit: int) -> NDArray[Any]:
    """Return text of trimmed cells; as objects where an array of numpy's text would take more than `limit` bytes."""
    from pyarrow import compute  # noqa: PLC0415 - heavy

    tidy = trimmed(cells)
    if not len(tidy):
        return np.array([], "U1")
    longest = compute.max(compute.utf8_length(tidy)).as_py()
    values = np.asarray(tidy.to_numpy(zero_copy_only=False), object)
    return values.astype("U") if 4 * longest * len(values) <= limit else values


def trimmed(cells: Any) -> Any:
    """Return cells as text, without the blanks around them."""
    import pyarrow as pa  # noqa: PLC0415 - heavy
    from pyarrow import compute  # noqa: PLC0415 - heavy

    if cells.type != pa.string():
        return cells.cast(pa.string()).fill_null("")
    return compute.ascii_trim_whitespace(cells)


def _numpy(cells: Any) -> NDArray[Any]:
    return np.array(cells.to_numpy(zero_copy_only=False))


def _damaged_integers(tidy: Any) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    import pyarrow as pa  # noqa: PLC0415 - heavy
    from pyarrow import compute  # noqa: PLC0415 - heavy

    spelled = compute.replace_substring_regex(tidy, r"^\+", "")
    integer = compute.match_substring_regex(spelled, r"^-?([0-9]{1,18}|[1-8][0-9]{18})$")
    exact = _numpy(compute.if_else(integer, spelled, "0").cast(pa.int64()))
    values, good = _damaged_reals(tidy)
    values = np.where(good & (np.abs(values) < _WHOLE), values, 0.5)
    good = np.mod(values, 1) == 0
    matched = _numpy(integer).astype(bool)
    return np.where(matched, exact, np.where(good, values, 0).astype(np.int64)), matched | good


def _damaged_reals(tidy: Any) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    import pyarrow as pa  # noqa: PLC0415 - heavy
    from pyarrow import compute  # noqa: PLC0415 - heavy

    spelled = compute.replace_substring_regex(tidy, r"^\+", "")
    spelled = compute.replace_substring_regex(spelled, r"^([-0-9.]+)[dD]([-+]?[0-9]+)$", r"\1e\2")
    real = compute.match_substring_regex(spelled, _REAL)
    good = compute.or_(real, compute.match_substring_regex(spelled, r"(?i)^nan$"))
    values = _numpy(compute.if_else(real, spelled, "nan").cast(pa.float64()))
    return values, _numpy(good).astype(bool) & ~np.isinf(values)
