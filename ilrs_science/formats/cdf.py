"""CDF files of space-physics missions, by the ISTP conventions: the variables that depend on one time variable."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ilrs_science.errors import FormatError
from ilrs_science.geometry.time import SECOND, utc_to_tai

_MILLISECOND = 10**6
_YEAR_ZERO = 62_167_219_200  # seconds from 0000-01-01 to 1970-01-01, proleptic Gregorian
_J2000 = 946_728_000 * SECOND  # 2000-01-01T12:00:00 since 1970-01-01T00:00:00 of the same scale, ns
_TT_LESS_TAI = 32_184_000_000  # ns, by definition
_1972 = 2 * 365 * 86400  # s since 1970
_LATEST = 9_000_000_000  # s since 1970 that int64 nanoseconds hold (year 2255)

_EPOCHS = ("CDF_EPOCH", "CDF_EPOCH16", "CDF_TIME_TT2000")
_INFLATION = 1100  # no deflated byte stands for more than 1032 bytes

# What cdflib raises on damaged files, as it trusts every length and offset it finds; the file itself could be opened.
_DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


def read_cdf(path: Path, *, variables: Sequence[str] | None = None, epoch: str | None = None) -> xr.Dataset:
    """Return the variables along one time variable of a CDF file.

    Parameters
    ----------
    path
        The file.
    variables
        Names to read; by default all numeric ones that depend on the time variable.
    epoch
        Name of the time variable; by default the only one that the variables depend on.

    Returns
    -------
    Variables with their own names and attributes along `time` and dimensions `<name>_1`, `<name>_2` and so on. Time is
    int64 TAI nanoseconds. FILLVAL is NaN in variables of reals; integers keep it, and say so in their attributes.
    Records whose time is filled or impossible are left out and counted in the attribute `rejected`.

    Raises
    ------
    FormatError
        The file is no CDF, is damaged, or lacks what was asked for.
    OSError
        There is no such file, or it cannot be read.
    """
    import cdflib  # noqa: PLC0415 - heavy

    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(4).hex() not in ("cdf30001", "cdf26002", "0000ffff"):
            raise FormatError(f"{path}: byte 0: no CDF file")
    try:
        cdf = cdflib.CDF(path)
        return _dataset(cdf, path, size, variables, epoch)
    except _DAMAGE as error:
        raise FormatError(f"{path}: damaged CDF ({type(error).__name__}: {error})") from error


def to_tai(values: NDArray[Any], kind: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return times of a CDF as TAI, and which of them are known.

    Parameters
    ----------
    values
        `CDF_EPOCH`: float64 ms since the year 0, UTC; `CDF_EPOCH16`: complex128, s since the year 0 and ps, UTC;
        `CDF_TIME_TT2000`: int64 ns since J2000, TT. Any shape.
    kind
        Which of these.

    Returns
    -------
    int64 TAI ns of the same shape, and false where the value is a fill value, or a UTC before 1972, from where on UTC
    is a whole number of seconds off TAI, or after 2255; such times mean nothing.
    """
    if kind == "CDF_TIME_TT2000":
        known = np.abs(values.astype("f8")) < _LATEST * SECOND - _J2000
        return np.where(known, values, 0) + _J2000 - _TT_LESS_TAI, known
    if kind == "CDF_EPOCH":
        with np.errstate(invalid="ignore"):  # infinite and no numbers: not known
            seconds, rest = np.divmod(values.astype("f8"), 1000.0)
        nanoseconds = np.rint(rest * _MILLISECOND)
    else:
        seconds, nanoseconds = values.real, np.rint(values.imag / 1000.0)
    seconds = seconds - _YEAR_ZERO
    known = (seconds >= _1972) & (seconds < _LATEST) & (nanoseconds >= 0) & (nanoseconds <= SECOND)
    utc = np.where(known, seconds, _1972).astype(np.int64) * SECOND + np.where(known, nanoseconds, 0).astype(np.int64)
    return utc_to_tai(utc), known


def _dataset(cdf: Any, path: Path, size: int, variables: Sequence[str] | None, epoch: str | None) -> xr.Dataset:
    names = [*cdf.cdf_info().zVariables, *cdf.cdf_info().rVariables]
    for name in [*(variables or ()), *([epoch] if epoch else [])]:
        if name not in names:
            raise FormatError(f"{path}: no variable {name}; it has {', '.join(names)}")
    attributes = {name: cdf.varattsget(name) for name in (names if variables is None else variables)}
    times_of = {name: str(one["DEPEND_0"]) for name, one in attributes.items() if "DEPEND_0" in one}
    if missing := [name for name in variables or () if name not in times_of]:
        raise FormatError(f"{path}: {', '.join(missing)} depend on no time (DEPEND_0)")
    epochs = sorted(set(times_of.values())) if epoch is None else [epoch]
    if len(epochs) != 1:
        raise FormatError(f"{path}: its variables depend on {', '.join(epochs) or 'no time variable'}; name one")
    times, known = _times(cdf, epochs[0], path, size)
    arrays = {}
    for name in (name for name, one in times_of.items() if one == epochs[0]):
        values = _values(cdf, name, path, size)
        if values.dtype.kind not in "fiu":
            continue
        if len(values) != len(times):
            raise FormatError(f"{path}: {name} has {len(values)} records, its time {epochs[0]} has {len(times)}")
        filled = _with_nan(values, attributes[name].get("FILLVAL"))
        dims = ("time", *(f"{name}_{number}" for number in range(1, values.ndim)))
        arrays[name] = (dims, filled[known], {key: _plain(value) for key, value in attributes[name].items()})
    rejected = {"no time": int((~known).sum())} if not known.all() else {}
    return xr.Dataset(arrays, {"time": times[known]}, {"epoch": epochs[0], "rejected": rejected})


def _values(cdf: Any, name: str, path: Path, size: int) -> NDArray[Any]:
    """Return the records of a variable, of any type, native byte order."""
    about = cdf.varinq(name)
    records = int(about.Last_Rec) + 1
    # A damaged length must not make the process ask for more memory than the file can fill.
    if records * int(np.prod([max(int(one), 1) for one in about.Dim_Sizes], dtype=object)) > _INFLATION * size:
        raise FormatError(
            f"{path}: {name} declares {records} records of {about.Dim_Sizes}, more than the file can hold"
        )
    if records <= 0 or not about.Rec_Vary:
        raise FormatError(f"{path}: {name} has no records along time")
    values = np.asarray(cdf.varget(name))
    # cdflib drops the dimension of a single record.
    values = values.reshape(records, *values.shape[1 if len(values.shape) > len(about.Dim_Sizes) else 0 :])
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _times(cdf: Any, name: str, path: Path, size: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    kind = str(cdf.varinq(name).Data_Type_Description)
    if kind not in _EPOCHS:
        raise FormatError(f"{path}: its time variable {name} is of type {kind}; expected {', '.join(_EPOCHS)}")
    values = _values(cdf, name, path, size)
    if values.ndim != 1:
        raise FormatError(f"{path}: its time variable {name} has the shape {values.shape}; expected one dimension")
    return to_tai(values, kind)


def _with_nan(values: NDArray[Any], fill: Any) -> NDArray[Any]:
    if values.dtype.kind != "f" or fill is None:
        return values
    return np.where(values == np.asarray(fill, values.dtype), values.dtype.type(np.nan), values)


def _plain(value: Any) -> Any:
    """Return an attribute as a Python value."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
