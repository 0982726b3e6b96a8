"""Decoded packets as datasets: what has the same fields is joined, and a day segmented time becomes a coordinate."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ilrs_science.formats.ccsds.fields import Columns, Decoded, Definition, Ragged
from ilrs_science.geometry.labels import TAI
from ilrs_science.geometry.time import DAY, utc_to_tai

_EPOCH = 4383
"""Days from 1958-01-01, the epoch of CCSDS time codes, to 1970-01-01."""
_UTC_SINCE = 730
"""Days from 1970-01-01 to 1972-01-01, since when UTC has whole seconds."""
_NOT_UNTIL = 61000
"""Days from 1958-01-01; then UTC of int64 ns is far from used up."""


def merged(parts: list[Decoded]) -> list[Decoded]:
    """Return what has the same fields as one, in order of the stream."""
    layouts: dict[tuple[str, ...], list[Decoded]] = {}
    for part in parts:
        layouts.setdefault(tuple(part.columns), []).append(part)
    merged: list[Decoded] = []
    for names, alike in layouts.items():
        taken = {part.layout for part in merged}
        layout = alike[0].layout if alike[0].layout not in taken else f"{alike[0].layout}_{len(taken)}"
        units = np.concatenate([part.units for part in alike])
        order = np.argsort(units, kind="stable")
        columns = {name: _joined([part.columns[name] for part in alike], order) for name in names}
        merged.append(Decoded(layout.replace("/", "_"), units[order], columns))
    return merged


def _joined(pieces: list[Any], order: NDArray[np.int64]) -> NDArray[Any] | Ragged:
    if len(pieces) == 1:
        (piece,) = pieces
        lengths = set(np.diff(piece.offsets).tolist()) if isinstance(piece, Ragged) else set()
        found: NDArray[Any] | Ragged = piece.values.reshape(order.size, lengths.pop()) if len(lengths) == 1 else piece
        return found
    if all(isinstance(piece, np.ndarray) for piece in pieces) and len({piece.shape[1:] for piece in pieces}) == 1:
        return np.concatenate(pieces)[order]
    every = [row for piece in pieces for row in (piece.strings() if isinstance(piece, Ragged) else map(bytes, piece))]
    return _joined([Ragged.of([every[number] for number in order.tolist()])], order)


def dataset(
    columns: Columns, definition: Definition | None, time: tuple[str, ...], rejected: Counter[str]
) -> xr.Dataset:
    """Return columns along `time`, where there is one, or `packet`; packets with an impossible time are rejected."""
    times = _times(columns, time)
    dim, coordinates = "packet", {}
    if times is not None:
        stamps, known = times
        rejected["time outside 1972 to 2124, or of no such day"] += int((~known).sum())
        columns = {name: _chosen(values, known) for name, values in columns.items()}
        dim, coordinates = "time", {"time": ("time", stamps[known], dict(TAI))}
    variables: dict[str, Any] = {}
    for name, values in columns.items():
        about = dict(definition.attributes(name)) if definition else {}
        if isinstance(values, Ragged):
            variables[name] = (f"{name}_byte", values.values, about)
            variables[f"{name}_offsets"] = (f"{name}_edge", values.offsets)
        else:
            variables[name] = ((dim, f"{name}_byte")[: values.ndim], values, about)
    return xr.Dataset(variables, coordinates)


def _chosen(values: NDArray[Any] | Ragged, known: NDArray[np.bool_]) -> NDArray[Any] | Ragged:
    if known.all():
        return values
    if isinstance(values, Ragged):
        return Ragged.of([value for value, good in zip(values.strings(), known.tolist(), strict=True) if good])
    return values[known]


def _times(columns: Columns, names: tuple[str, ...]) -> tuple[NDArray[np.int64], NDArray[np.bool_]] | None:
    """Return TAI ns of a day segmented time and where it is one; nothing where there are no such fields."""
    fields = [columns.get(name) for name in names]
    if len(names) not in {2, 3} or not all(isinstance(f, np.ndarray) and f.dtype.kind in "iu" for f in fields):
        return None
    days, milliseconds, *microseconds = (np.asarray(field) for field in fields)
    different, which = np.unique(days, return_inverse=True)
    whole = different.astype(np.int64)
    legal = (whole >= _EPOCH + _UTC_SINCE) & (whole < _NOT_UNTIL)
    midnights = (np.where(legal, whole, _EPOCH + _UTC_SINCE) - _EPOCH) * DAY
    begin = utc_to_tai(midnights)
    lengths = np.where(legal, utc_to_tai(midnights + DAY) - begin, 0)[which]
    # Nothing of 64 bits overflows below a day.
    known = (milliseconds >= 0) & (milliseconds < 2 * DAY // 10**6)
    elapsed = np.where(known, milliseconds, 0).astype(np.int64) * 10**6
    for field in microseconds:
        known &= (field >= 0) & (field < 1000)  # noqa: PLR2004 - us of a ms
        elapsed += np.where(known, field, 0).astype(np.int64) * 1000
    known &= elapsed < lengths
    elapsed += begin[which]
    return elapsed, known
