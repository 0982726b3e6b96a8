"""Redistribution matrices of OGIP (CAL/GEN/92-002): groups of channels for each energy, as sparse rows or unfolded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ilrs_science.errors import FormatError, IlrsError
from ilrs_science.formats.fits import with_attributes
from ilrs_science.formats.fits.header import Hdu

_DENSE = 64
"""Times that a dense matrix may be as large as what is stored of it."""
_SMALL = 2**26
_INT32 = 2**31


@dataclass(frozen=True)
class _Ragged:
    """A column whose cells differ in length: all values, and how many each row has."""

    values: NDArray[Any]
    lengths: NDArray[np.int64]

    def first(self, wanted: NDArray[np.int64]) -> NDArray[Any]:
        """Return the first so many values of each row."""
        if np.array_equal(wanted, self.lengths):
            return self.values
        starts = np.cumsum(self.lengths) - self.lengths
        return self.values[np.repeat(starts - (np.cumsum(wanted) - wanted), wanted) + np.arange(wanted.sum())]


def response(hdu: Hdu, ds: xr.Dataset, bounds: xr.Dataset | None, *, dense: bool) -> xr.Dataset:
    """Return a redistribution matrix from its table.

    Parameters
    ----------
    hdu
        Of the table.
    ds
        The table as it was read.
    bounds
        The table EBOUNDS of the file, which tells how many channels there are.
    dense
        Whether to unfold it.

    Raises
    ------
    FormatError
        A column is missing; groups do not fit the elements or the channels.
    IlrsError
        It would be far larger unfolded.
    """
    for name in ("ENERG_LO", "ENERG_HI", "N_GRP", "F_CHAN", "N_CHAN", "MATRIX"):
        if name not in ds:
            raise FormatError(f"{hdu.where}: a redistribution matrix without a column {name}")
    groups = ds["N_GRP"].to_numpy()
    if any(ds[name].dims != ("row",) for name in ("ENERG_LO", "ENERG_HI", "N_GRP")) or groups.dtype.kind not in "iu":
        raise FormatError(f"{hdu.where}: ENERG_LO, ENERG_HI and N_GRP are no columns of one value, N_GRP an integer")
    first, count, notes = _channels(hdu, ds, bounds)
    starts, widths, elements = (_ragged(hdu, ds, name) for name in ("F_CHAN", "N_CHAN", "MATRIX"))
    groups = groups.astype(np.int64)
    _refuse(hdu, (groups < 0) | (groups > starts.lengths) | (groups > widths.lengths), "more groups than F_CHAN tells")
    begin, wide = starts.first(groups).astype(np.int64), widths.first(groups).astype(np.int64)
    of_group = np.repeat(np.arange(len(groups)), groups)
    wrong = (wide < 0) | (begin < first) | (wide > first + count - begin)
    _refuse(hdu, np.bincount(of_group, wrong & (wide != 0), len(groups)) > 0, f"channels outside {first}+{count}")
    needed = np.bincount(of_group, wide, len(groups)).astype(np.int64)
    _refuse(hdu, needed > elements.lengths, "fewer elements than its groups have channels")
    values = elements.first(needed)
    ends = np.cumsum(wide)
    kind = np.int32 if len(values) < _INT32 else np.int64
    channels: NDArray[Any] = np.repeat((begin - (ends - wide)).astype(kind), wide)
    channels += np.arange(len(values), dtype=kind)
    pointers = np.concatenate([[0], np.cumsum(needed)])
    found = ds[["ENERG_LO", "ENERG_HI"]].rename_vars(ENERG_LO="energy_lo", ENERG_HI="energy_hi")
    found = found.rename_dims({"row": "energy"})
    about = {key: value for key, value in ds["MATRIX"].attrs.items() if key != "lengths"}
    if dense:
        found["matrix"] = (("energy", "channel"), _unfolded(hdu, values, channels - first, needed, count), about)
        found = found.assign_coords(channel=np.arange(first, first + count, dtype=np.int32))
    else:
        found["matrix"] = ("element", values, about)
        found["matrix_channel"] = ("element", channels, {"long_name": "channel of an element"})
        found["row_start"] = ("energy_edge", pointers, {"long_name": "first element of an energy"})
    return with_attributes(found.assign_attrs(first_channel=first, channels=count), {}, notes)


def _channels(hdu: Hdu, ds: xr.Dataset, bounds: xr.Dataset | None) -> tuple[int, int, list[str]]:
    """Return the first channel, how many there are, and what had to be taken from elsewhere than TLMIN and DETCHANS."""
    notes = []
    first: Any = ds["F_CHAN"].attrs.get("TLMIN")
    count: Any = hdu.cards.number("DETCHANS")
    numbers = bounds["CHANNEL"].to_numpy() if bounds is not None and "CHANNEL" in bounds else np.zeros(0)
    if first is None:
        known = numbers.ndim == 1 and numbers.size and numbers.dtype.kind in "iuf" and abs(numbers[0]) < _SMALL
        first = int(numbers[0]) if known else 1
        notes.append(
            f"F_CHAN without TLMIN: channels begin at {first}, {'as in EBOUNDS' if known else 'as OGIP has it'}"
        )
    if count is None and numbers.size:
        count = len(numbers)
        notes.append(f"no DETCHANS: {count} channels, as in EBOUNDS")
    if not _is_whole(first) or not _is_whole(count) or not 0 < count <= _SMALL or abs(first) > _SMALL:
        raise FormatError(f"{hdu.where}: first channel {first!r} (TLMIN of F_CHAN) and {count!r} channels (DETCHANS)")
    return int(first), int(count), notes


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1


def _ragged(hdu: Hdu, ds: xr.Dataset, name: str) -> _Ragged:
    """Return a column whatever its cells are: one value, vectors, or arrays of any length."""
    values = ds[name].to_numpy()
    if values.dtype.kind not in ("f" if name == "MATRIX" else "iu"):
        raise FormatError(f"{hdu.where}: column {name} of type {values.dtype}")
    lengths = ds[name].attrs.get("lengths")
    if lengths is not None:
        return _Ragged(values, ds[lengths].to_numpy())
    width = int(np.prod(values.shape[1:], dtype=np.int64))
    return _Ragged(values.reshape(-1), np.full(len(values), width, np.int64))


def _refuse(hdu: Hdu, wrong: NDArray[np.bool_], reason: str) -> None:
    if wrong.any():
        raise FormatError(f"{hdu.where}: energy {int(np.argmax(wrong))} of the matrix: {reason}")


def _unfolded(
    hdu: Hdu, values: NDArray[Any], columns: NDArray[Any], needed: NDArray[np.int64], count: int
) -> NDArray[np.float32]:
    """Return the matrix with its zeros, shape (energies, channels); groups that overlap add up."""
    size = 4 * len(needed) * count
    if size > max(_SMALL, _DENSE * hdu.size):
        raise IlrsError(f"{hdu.where}: {size} bytes when unfolded, stored in {hdu.size}; read it with dense=False")
    found = np.zeros((len(needed), count), np.float32)
    np.add.at(found, (np.repeat(np.arange(len(needed)), needed), columns), values)
    return found
