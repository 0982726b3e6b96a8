"""MATLAB files of level 5, from version 5 to 7 (MathWorks, MAT-File Format, R2019b).

Text, cells and structures are read with scipy, after they were looked through: it allocates what the dimensions of an
array declare, and inflates whatever zlib gives it. Objects (classes, function handles, strings of the type `string`)
are not documented, and are left out.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ilrs_science.errors import FormatError
from ilrs_science.formats.foreign import foreign
from ilrs_science.formats.format import Format, granule, plain
from ilrs_science.formats.matlab.elements import (
    COMPRESSED,
    MATRIX,
    Elements,
    Header,
    check_matrix,
    matrix_header,
    numbers,
)
from ilrs_science.formats.opening import opens
from ilrs_science.model.granule import Granule

_HEADER = 128
_INFLATION = 1032
"""Times that zlib can make bytes more, by its own account."""
_FIRST = 4096
"""Bytes from which zlib surely gives the first ones; the tables of Huffman codes come before."""
_LARGEST = 2**31
"""Bytes of an array."""
_MOST = 256
"""Arrays of different kinds in one cell array that become variables of their own."""


@dataclass(frozen=True)
class _Array:
    """An array of the file, looked through."""

    header: Header
    elements: Elements
    """Its element, inflated, with its tag."""
    unread: str
    """Kind of what in it cannot be read."""


@opens
def read_matlab(path: Path) -> xr.Dataset:
    """Return the arrays of a MATLAB file.

    Parameters
    ----------
    path
        The file, of version 5 to 7. Those of version 7.3 are HDF5.

    Returns
    -------
    Arrays of numbers by their names, with the dimensions `<name>_1`, `<name>_2` and so on, at least two as MATLAB has
    it, and of the type that they have there; logical ones are bool. Cell arrays of text, or of single numbers, are
    variables of their shape. Fields of structures are variables and attributes `<name>.<field>`, other cells
    `<name>_<number>`, counted from 1 along the columns. Text is an attribute. The attribute `not_read` names what
    cannot be read, and its class: sparse arrays, objects, function handles.

    Raises
    ------
    FormatError
        It is no such file, is damaged, or has nothing that can be read.
    OSError
        There is no such file, or it cannot be read.
    """
    data = path.read_bytes()
    content = _Content(path, len(data))
    for array in _arrays(data, path):
        name = array.header.name
        if array.unread or name.startswith("__"):
            content.not_read[name] = array.unread or "name of scipy"
            continue
        content.add(name, _loaded(data[:_HEADER], array, path))
    attributes = {"header": _title(data), **content.attributes, "rejected": {}}
    if content.not_read:
        attributes["not_read"] = content.not_read
    if not content.variables and not content.attributes:
        raise FormatError(f"{path}: nothing in it can be read: {content.not_read or 'it has no arrays'}")
    with foreign(path, "MATLAB"):
        return xr.Dataset(content.variables, attrs=attributes)


def index_matlab(path: Path) -> list[Granule]:
    """Return how many arrays a MATLAB file has; it tells neither time nor place.

    Raises
    ------
    FormatError
        It is no such file, or is damaged.
    """
    data = path.read_bytes()
    order = _order(data, path)
    count = sum(1 for one in _elements(data, path, order) if _name_of(one, order))
    return [granule(path, "matlab", count=count)]


def _recognises(head: bytes, _path: Path) -> bool:
    return head.startswith(b"MATLAB 5.0 MAT-file") and head[126:128] in (b"IM", b"MI")


FORMAT = Format("matlab", "MATLAB, version 5 to 7", "scipy", _recognises, read_matlab, index_matlab)


class _Content:
    """Variables and attributes as they are made of arrays."""

    def __init__(self, path: Path, limit: int) -> None:
        self.path, self.limit = path, limit
        self.variables: dict[str, tuple[list[str], NDArray[Any]]] = {}
        self.attributes: dict[str, Any] = {}
        self.not_read: dict[str, str] = {}

    def add(self, name: str, value: NDArray[Any]) -> None:
        """Add the value of an array, as scipy has it."""
        if value.dtype.names is not None:
            for field in value.dtype.names:
                inner = value[field]
                self.add(f"{name}.{field}", inner.reshape(-1)[0] if inner.size == 1 else inner)
        elif value.dtype.kind == "O" and not value.ndim:
            self.not_read[name] = "structure without fields"
        elif value.dtype.kind == "O":
            self._add_cells(name, value)
        elif value.dtype.kind in "US":
            self.attributes[name] = str(value.reshape(-1)[0]) if value.size == 1 else plain(value)
        else:
            self._put(name, value.astype(value.dtype.newbyteorder("="), copy=False))

    def _add_cells(self, name: str, value: NDArray[Any]) -> None:
        cells = [np.asarray(one) for one in value.reshape(-1, order="F")]
        if cells and all(one.dtype.kind == "U" and one.size <= 1 for one in cells):
            texts = np.array(["".join(one.reshape(-1)) for one in cells], object)
            longest = max(map(len, texts))
            texts = texts.astype("U") if 4 * longest * len(texts) <= self.limit else texts
            self._put(name, texts.reshape(value.shape, order="F"))
        elif cells and all(one.size == 1 and one.dtype.kind in "iufc" for one in cells):
            self._put(name, np.array([one.reshape(-1)[0] for one in cells]).reshape(value.shape, order="F"))
        elif len(cells) > _MOST:
            self.not_read[name] = f"cell array of {len(cells)} arrays"
        else:
            for number, one in enumerate(cells):
                self.add(f"{name}_{number + 1}", one)

    def _put(self, name: str, value: NDArray[Any]) -> None:
        name, number = name.replace("/", "_"), 1
        unique = name
        while unique in self.variables:
            number += 1
            unique = f"{name}_{number}"
        self.variables[unique] = ([f"{unique}_{axis + 1}" for axis in range(value.ndim)], value)


def _title(data: bytes) -> str:
    return data[:116].decode("latin-1").strip("\0 ")


def _order(data: bytes, path: Path) -> str:
    """Return the byte order of a file, after a look at its header."""
    if data[512:520] == b"\x89HDF\r\n\x1a\n" or data.startswith(b"MATLAB 7.3"):
        raise FormatError(f"{path}: MATLAB 7.3, which is HDF5: read it as netCDF-4/HDF5")
    order = {b"IM": "<", b"MI": ">"}.get(data[126:_HEADER], "")
    if not data.startswith(b"MATLAB") or not order:
        raise FormatError(f"{path}: byte 0: no header of MATLAB 5; found {data[:20]!r}")
    return order


class _Element(NamedTuple):
    """An array in a file, deflated or not."""

    where: str
    """Its place, as errors name it."""
    deflated: bool
    content: memoryview
    """With the eight bytes of its type and size."""


def _elements(data: bytes, path: Path, order: str) -> Iterator[_Element]:
    """Yield the elements of a file."""
    at = _HEADER
    while at < len(data):
        if at + 8 > len(data):
            raise FormatError(f"{path}: byte {at}: {len(data) - at} bytes after the last array")
        kind, size = struct.unpack_from(f"{order}II", data, at)
        if kind not in (MATRIX, COMPRESSED) or not 0 < size <= len(data) - at - 8:
            raise FormatError(f"{path}: byte {at}: an element of type {kind} and {size} bytes; expected an array")
        yield _Element(f"{path}: element at byte {at}", kind == COMPRESSED, memoryview(data)[at : at + 8 + size])
        at += 8 + size


def _arrays(data: bytes, path: Path) -> Iterator[_Array]:
    order = _order(data, path)
    for where, deflated, content in _elements(data, path, order):
        element = _inflated(content[8:], order, where) if deflated else content
        elements = Elements(element, order, where)
        header = matrix_header(elements, 8, len(element))
        # The one without a name is where MATLAB keeps what belongs to objects.
        if header.name:
            yield _Array(header, elements, check_matrix(elements, 8, len(element)))


def _inflated(deflated: memoryview, order: str, where: str) -> bytes:
    """Return an element that was deflated, after a look at how large it says to be."""
    unpack = zlib.decompressobj()
    try:
        tag = zlib.decompressobj().decompress(deflated[:_FIRST], 8)
        kind, size = struct.unpack(f"{order}II", tag.ljust(8, b"\0"))
        if kind != MATRIX or not 0 < size <= min(_INFLATION * len(deflated), _LARGEST):
            raise FormatError(
                f"{where}: {len(deflated)} bytes inflate to type {kind} of {size} bytes; expected an array"
            )
        element = unpack.decompress(deflated, size + 9)
    except zlib.error as error:
        raise FormatError(f"{where}: damaged zlib ({error})") from error
    if len(element) != size + 8 or not unpack.eof:
        raise FormatError(f"{where}: inflates to other than the {size} bytes that it says")
    return element


def _name_of(element: _Element, order: str) -> str:
    """Return the name of an array, of which only the start is inflated."""
    start: bytes | memoryview = element.content
    if element.deflated:
        try:
            start = zlib.decompressobj().decompress(start[8:], 1024)
        except zlib.error as error:
            raise FormatError(f"{element.where}: damaged zlib ({error})") from error
    return matrix_header(Elements(start, order, element.where), 8, len(start)).name


def _loaded(header: bytes, array: _Array, path: Path) -> NDArray[Any]:
    """Return the value of an array: numbers as they lie there, all else by scipy."""
    from scipy.io import loadmat  # noqa: PLC0415 - heavy

    data = array.elements.data
    if array.header.is_numbers:
        return numbers(array.elements, array.header, len(data))
    with foreign(path, "MATLAB"):
        return np.asarray(loadmat(io.BytesIO(b"".join((header, data))))[array.header.name])
