"""Cluster Exchange Format 2 (CEF-2, DS-QMW-TN-0010): the text tables of the Cluster archive."""

from __future__ import annotations

import io
import re
from collections import Counter
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ilrs_science.errors import FormatError, IlrsError
from ilrs_science.formats.cef.header import Header, Variable, read_header
from ilrs_science.formats.format import Format, granule, numbered, unit_attributes
from ilrs_science.formats.opening import opens
from ilrs_science.geometry.labels import TAI
from ilrs_science.geometry.time import parse_utc, utc_to_tai
from ilrs_science.model.granule import Granule

_SITES = {f"Cluster-{number}": f"C{number}" for number in range(1, 5)}
"""What the Cluster archive calls a spacecraft, and the catalogue of sites."""
_WIDEST = 2**16
_LONGEST_HEADER = 2**22
"""Values of a record."""
_PLAIN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z?")
_NUMBERS = ("FLOAT", "DOUBLE", "INT", "BYTE")
_KINDS = (*_NUMBERS, "ISO_TIME", "ISO_TIME_RANGE", "CHAR")


@opens
def read_cef(path: Path) -> xr.Dataset:
    """Return the variables of a CEF-2 file along its time.

    Parameters
    ----------
    path
        The file. Files that it includes lie in its own folder.

    Returns
    -------
    Variables with their own names and attributes along `time` and dimensions `<name>_1`, `<name>_2` and so on; those
    with data in the header have no `time`. Time is int64 TAI nanoseconds, from the first variable of the type ISO_TIME.
    Reals are float64, and FILLVAL is NaN in them; integers are int64 and keep it, and say so in their attributes.
    Records with the wrong number of values, without a time, or with a value that is none are left out and counted in
    the attribute `rejected`. Global attributes are lists of text.

    Raises
    ------
    FormatError
        The file is no CEF-2 or is damaged.
    OSError
        There is no such file, or it cannot be read.
    """
    text = path.read_text("latin-1")
    header = Header(path)
    body = read_header(text, header, depth=0)
    if body is None:
        raise FormatError(f"{path}: the header has no end, DATA_UNTIL")
    if header.attributes.get("FILE_FORMAT_VERSION", [""])[0].upper() != "CEF-2.0":
        raise FormatError(f"{path}: FILE_FORMAT_VERSION is {header.attributes.get('FILE_FORMAT_VERSION')}, not CEF-2.0")
    doubled = [name for name, count in Counter(one.name for one in header.variables).items() if count > 1]
    if doubled:
        raise FormatError(f"{path}: declared twice: {', '.join(doubled[:8])}")
    varying = [variable for variable in header.variables if "DATA" not in variable.attributes]
    width = sum(_width(path, variable) for variable in varying)
    if width > _WIDEST:
        raise FormatError(f"{path}: declares records of {width} values; at most {_WIDEST} are read")
    records, rejected = _records(body, header, width)
    return _dataset(header, varying, records, rejected)


def index_cef(path: Path) -> list[Granule]:
    """Return what a CEF-2 file holds; its records are read, as it says nowhere how many there are.

    Raises
    ------
    FormatError
        The file is no CEF-2, is damaged, or has no record.
    """
    ds = read_cef(path)
    times = ds["tai"].to_numpy().astype(np.int64)
    if not times.size:
        raise FormatError(f"{path}: no record ({ds.attrs['rejected'] or 'none in the file'})")
    said = {key: str(ds.attrs.get(key, [""])[0]) for key in ("OBSERVATORY", "EXPERIMENT", "INSTRUMENT_NAME")}
    return [
        granule(
            path,
            "cef",
            count=times.size + sum(ds.attrs["rejected"].values()),
            span=(int(times.min()), int(times.max())),
            instrument=said["EXPERIMENT"] or said["INSTRUMENT_NAME"],
            site=_SITES.get(said["OBSERVATORY"], said["OBSERVATORY"]),
        )
    ]


def _recognises(head: bytes, _path: Path) -> bool:
    return b"FILE_FORMAT_VERSION" in head and b"CEF-2" in head.upper()


def _companions(path: Path) -> dict[str, Path]:
    header = Header(path)
    with path.open("rb") as file:
        read_header(file.read(_LONGEST_HEADER).decode("latin-1"), header, depth=0)
    return numbered("header", dict.fromkeys(header.included))


FORMAT = Format("cef", "Cluster Exchange Format 2", "own", _recognises, read_cef, index_cef, companions=_companions)


def _width(path: Path, variable: Variable) -> int:
    """Return the values of a variable in a record, after a check of its declaration."""
    try:
        width = prod(variable.sizes)
    except ValueError as error:
        raise FormatError(f"{path}: {variable.name}: SIZES {variable.attributes['SIZES']} ({error})") from error
    if variable.kind not in _KINDS or not 0 < width <= _WIDEST:
        raise FormatError(
            f"{path}: {variable.name}: {width} values of type {variable.kind}; known are {', '.join(_KINDS)}"
        )
    return width


def _records(body: str, header: Header, width: int) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return the values of whole records as text, and how many records were not."""
    lines = [line for line in body.splitlines() if not line.lstrip().startswith("!")]
    if header.until is not None:
        ends = [number for number, line in enumerate(lines) if line.strip() == header.until]
        if not ends:
            raise FormatError(f"{header.path}: cut short: the data have no end, {header.until}")
        lines = lines[: ends[0]]
    found = lines if header.marker == "\n" else "\n".join(lines).split(header.marker)
    kept = [" ".join(one.split()) for one in found if one.strip()]
    whole = [one for one in kept if one.count(",") == width - 1]
    if not whole:
        return pd.DataFrame(np.empty((0, width), object)), _counted(wrong_length=len(kept))
    try:
        table = pd.read_csv(
            io.StringIO("\n".join(whole)), header=None, dtype=str, skipinitialspace=True, na_filter=False, quotechar='"'
        )
    except (ValueError, pd.errors.ParserError) as error:
        raise FormatError(f"{header.path}: records that cannot be told apart ({error})") from error
    if table.shape != (len(whole), width):
        raise FormatError(f"{header.path}: {len(whole)} records of {width} values read as {table.shape}")
    return table, _counted(wrong_length=len(kept) - len(whole))


def _counted(**reasons: int) -> dict[str, int]:
    return {name.replace("_", " "): count for name, count in reasons.items() if count}


def _dataset(header: Header, varying: list[Variable], table: pd.DataFrame, rejected: dict[str, int]) -> xr.Dataset:
    clocks = [variable for variable in varying if variable.kind == "ISO_TIME" and not variable.sizes]
    if not clocks:
        raise FormatError(f"{header.path}: no variable of type ISO_TIME that tells the time of a record")
    columns, first = {}, 0
    for variable in varying:
        columns[variable.name] = range(first, first + prod(variable.sizes))
        first += prod(variable.sizes)
    times, known = _times(table[columns[clocks[0].name][0]].tolist())
    arrays, good = {}, known.copy()
    for variable in (one for one in varying if one is not clocks[0]):
        block, fine = _values(table[list(columns[variable.name])], variable)
        arrays[variable.name] = block
        good &= fine
    rejected |= _counted(no_time=int((~known).sum()), no_number=int((known & ~good).sum()))
    found: dict[str, Any] = {}
    for variable in header.variables:
        if variable.name in arrays:
            dims = ("time", *(f"{variable.name}_{n + 1}" for n in range(len(variable.sizes))))
            found[variable.name] = (dims, arrays[variable.name][good], _attributes(variable))
        elif "DATA" in variable.attributes:
            found[variable.name] = _constant(header.path, variable)
    attributes = {**header.attributes, "epoch": clocks[0].name, "rejected": rejected}
    return xr.Dataset(found, {"time": ("time", times[good], {**_attributes(clocks[0]), **TAI})}, attributes)


def _constant(path: Path, variable: Variable) -> tuple[tuple[str, ...], NDArray[Any], dict[str, Any]]:
    """Return a variable whose data stand in the header."""
    values = variable.attributes["DATA"]
    if _width(path, variable) != len(values):
        raise FormatError(f"{path}: {variable.name}: {len(values)} values of DATA for SIZES {variable.sizes}")
    block, fine = _values(pd.DataFrame([values]), variable)
    if not fine.all():
        raise FormatError(f"{path}: {variable.name}: DATA that are no numbers: {values[:8]}")
    dims = tuple(f"{variable.name}_{n + 1}" for n in range(len(variable.sizes)))
    attributes = {key: value for key, value in _attributes(variable).items() if key != "DATA"}
    return dims, block[0], attributes


def _values(table: pd.DataFrame, variable: Variable) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the values of a variable, shape (records, ...), and which records have all of them."""
    shape = (len(table), *variable.sizes)
    if variable.kind not in _NUMBERS:
        return table.to_numpy(dtype=object).astype(str).reshape(shape), np.ones(len(table), bool)
    flat = pd.Series(table.to_numpy(dtype=object).ravel(), dtype=str)
    numbers = pd.to_numeric(flat, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan).reshape(table.shape)
    fine = np.isfinite(numbers).all(axis=1) if numbers.size else np.ones(len(table), bool)
    if variable.kind in ("INT", "BYTE"):
        whole = fine & (np.abs(np.where(np.isfinite(numbers), numbers, 0)) < 2**53).all(axis=1)
        whole &= (np.mod(np.where(np.isfinite(numbers), numbers, 0), 1) == 0).all(axis=1)
        return np.where(whole[:, None], numbers, 0).astype(np.int64).reshape(shape), whole
    fill = pd.to_numeric(variable.one("FILLVAL"), errors="coerce")
    return np.where(numbers == fill, np.nan, numbers).reshape(shape), fine


def _times(texts: list[str]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return TAI ns of ISO times in UTC, and which of them are times."""
    if not texts or not all(_PLAIN.fullmatch(text) for text in texts):
        return _times_one_by_one(texts)
    try:
        moments = np.array([text.removesuffix("Z") for text in texts], "datetime64[us]")
    except ValueError:  # a leap second, or no day of the calendar
        return _times_one_by_one(texts)
    if moments.min() < np.datetime64("1972") or moments.max() >= np.datetime64("2255"):
        return _times_one_by_one(texts)
    return utc_to_tai(moments.astype("datetime64[ns]").astype(np.int64)), np.ones(len(texts), bool)


def _times_one_by_one(texts: list[str]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    times, known = np.zeros(len(texts), np.int64), np.zeros(len(texts), bool)
    for number, text in enumerate(texts):
        try:
            times[number], known[number] = parse_utc(text), True
        except IlrsError:
            continue
    return times, known


def _attributes(variable: Variable) -> dict[str, Any]:
    """Return the attributes of a variable: one text or a list of them, and `units` beside CEF's UNITS."""
    given = {key: values[0] if len(values) == 1 else values for key, values in variable.attributes.items()}
    return {**given, **unit_attributes(variable.one("UNITS"))}
