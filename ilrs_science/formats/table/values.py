"""Columns of text tables as they are declared: numbers, flags, text, and the time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ilrs_science.errors import IlrsError
from ilrs_science.formats import text_cells, text_times
from ilrs_science.formats.format import unit_attributes
from ilrs_science.formats.table.layout import STEPS, Column, Time
from ilrs_science.geometry.time import parse_count

_WHOLE = r"^[-+]?[0-9]{1,18}$"
_FIRST, _LAST = (int(np.datetime64(year, "ns").astype(np.int64)) for year in ("1960", "2255"))
"""Where UTC and nanoseconds reach, ns since 1970."""
_REACH = 9e18


def column_values(column: Column, cells: Any, limit: int) -> tuple[NDArray[Any], NDArray[np.bool_], dict[str, Any]]:
    """Return the values of a column, which of its cells are such values, and its attributes.

    Parameters
    ----------
    column
        What is declared of it.
    cells
        An Arrow array of text.
    limit
        Bytes that an array of numpy's text may take; it is one of objects beyond.
    """
    attributes: dict[str, Any] = unit_attributes(column.units)
    if column.about:
        attributes["long_name"] = column.about
    if column.flags:
        attributes["flag_masks"] = [mask for _, mask in column.flags]
        attributes["flag_meanings"] = " ".join(meaning for meaning, _ in column.flags)
    if column.missing:
        attributes["missing_value"] = list(column.missing)
    if column.dtype == "auto":
        return _as_found(cells, limit), np.ones(len(cells), bool), attributes
    if column.dtype == "text":
        return text_cells.text_values(cells, limit), np.ones(len(cells), bool), attributes
    values, good = _declared(column, cells)
    return values, good, attributes


def moments(cells: list[Any], time: Time) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return TAI ns of columns of time, and in which rows there is one; the others are 0.

    Parameters
    ----------
    cells
        Arrow arrays of text, one for each column.
    time
        How they are to be read.
    """
    from pyarrow import compute  # noqa: PLC0415 - heavy

    joined = cells[0] if len(cells) == 1 else compute.binary_join_element_wise(*cells, " ")
    if time.format == "iso":
        return text_times.times(joined)
    if time.format in STEPS:
        return _counted(joined, time)
    return _by_pattern(joined, time.format)


def _is_in(cells: Any, texts: list[str]) -> NDArray[np.bool_]:
    import pyarrow as pa  # noqa: PLC0415 - heavy
    from pyarrow import compute  # noqa: PLC0415 - heavy

    found = compute.is_in(text_cells.trimmed(cells), value_set=pa.array(texts, pa.string()))
    return np.asarray(found.to_numpy(zero_copy_only=False), bool)


def _as_found(cells: Any, limit: int) -> NDArray[Any]:
    """Return whole numbers or reals where all cells are, else text."""
    import pyarrow as pa  # noqa: PLC0415 - heavy
    from pyarrow import compute  # noqa: PLC0415 - heavy

    if cells.type == pa.int64() and not cells.null_count:
        return text_cells.numbers(cells, whole=True)[0]
    if cells.type == pa.float64() and cells.null_count < len(cells):
        values = cells.to_numpy(zero_copy_only=False)
        if not np.isinf(values).any():
            return np.array(values)
    if len(cells) and compute.all(compute.match_substring_regex(text_cells.trimmed(cells), _WHOLE)).as_py():
        return text_cells.numbers(cells, whole=True)[0]
    values, good = text_cells.numbers(cells)
    if not good.all():
        empty = text_cells.blank(cells)
        values[empty] = np.nan
        good |= empty & ~empty.all()
    return values if good.all() and len(cells) else text_cells.text_values(cells, limit)


def _declared(column: Column, cells: Any) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    whole = column.dtype[0] in "iu"
    values, good = text_cells.numbers(cells, whole=whole)
    empty = np.zeros(len(cells), bool)
    if column.missing or not good.all():
        empty = text_cells.blank(cells) | _is_in(cells, [str(one) for one in column.missing])
    missing = [float(one) for one in column.missing if not isinstance(one, str)]
    if not whole:
        values[empty] = np.nan
        for one in missing:
            values[values == one] = np.nan
        return values.astype(column.dtype, copy=False), good | empty
    limits = np.iinfo(column.dtype)
    inside = good & (values >= max(limits.min, -(2**63))) & (values <= min(limits.max, 2**63 - 1))
    stand_in = next((int(one) for one in missing if limits.min <= one <= limits.max), None)
    if stand_in is not None:
        values[empty] = stand_in
        inside |= empty
    return np.where(inside, values, 0).astype(column.dtype), inside


def _counted(cells: Any, time: Time) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return TAI of counts from an epoch, exact in whole units, and to the ns in fractions of them."""
    step = STEPS[time.format]
    counts, good = text_cells.numbers(cells)
    exact, whole = text_cells.numbers(cells, whole=True)
    good &= np.isfinite(counts)
    counts = np.where(good, counts, 0.0)
    whole_units = np.where(whole, exact, np.clip(np.floor(counts), -_REACH, _REACH).astype(np.int64))
    epoch, _ = parse_count(time.epoch, IlrsError(f"{time.epoch} is no time"))
    reached = (whole_units >= (_FIRST - epoch) // step + 1) & (whole_units <= (_LAST - epoch) // step - 1)
    known = (good | whole) & reached
    units = np.where(known, whole_units, (_LAST // 2 - epoch) // step)
    fraction = np.where(whole, 0, np.rint((counts - np.floor(counts)) * step)).astype(np.int64)
    found = epoch + units * step + np.where(known, fraction, 0)
    if time.scale == "tai":
        return np.where(known, found, 0), known
    tai, there = text_times.tai_of(found)
    return np.where(known, tai, 0), known & there


def _by_pattern(cells: Any, pattern: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return TAI of UTC by a pattern of strptime, which has no second 60."""
    import pandas as pd  # noqa: PLC0415 - heavy

    trimmed = text_cells.trimmed(cells)
    found = pd.to_datetime(pd.Series(trimmed.to_pylist(), dtype=object), format=pattern, errors="coerce", utc=True)
    stamps = found.dt.tz_localize(None).to_numpy()
    seconds = stamps.astype("M8[s]").astype(np.int64)
    known = ~np.isnat(stamps) & (seconds > _FIRST // 10**9) & (seconds < _LAST // 10**9)
    utc = np.where(known, stamps, np.datetime64("2000-01-01")).astype("M8[ns]").astype(np.int64)
    tai, there = text_times.tai_of(utc)
    return np.where(known, tai, 0), known & there
