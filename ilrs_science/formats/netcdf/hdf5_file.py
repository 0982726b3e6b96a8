"""HDF5 and netCDF-4 as groups of variables: what is in the file itself, and nothing that it names outside of it."""

from __future__ import annotations

import os
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ilrs_science.errors import FormatError
from ilrs_science.formats.foreign import library
from ilrs_science.formats.netcdf.hdf5_guard import GuardedFile, Heaps
from ilrs_science.formats.netcdf.hdf5_texts import identifiers
from ilrs_science.formats.netcdf.model import NetcdfGroup, NetcdfVariable

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_INFLATION = 1100
"""No deflated byte stands for more than 1032."""
_DEPTH = 32
_FILTERS = (1, 2, 3, 5, 6, 32000)
"""Deflate, shuffle, Fletcher32, n-bit, scale-offset and LZF; of texts the first two."""
_PLUMBING = {
    *("CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST", "DIMENSION_LABELS"),
    *("_Netcdf4Coordinates", "_Netcdf4Dimid", "_NCProperties", "_nc3_strict"),
}
"""Attributes that are there for the libraries (NetCDF-4 Format Specification; HDF5 Dimension Scale Specification)."""
_NO_VARIABLE = "This is a netCDF dimension but not a netCDF variable"


@dataclass
class _Dataset:
    """A dataset that can be read, and what is known of it before its dimensions are."""

    group: NetcdfGroup
    name: str
    handle: Any
    attributes: dict[str, Any] = field(default_factory=dict)
    plumbing: dict[str, Any] = field(default_factory=dict)

    @property
    def is_scale(self) -> bool:
        """Return whether it stands for a dimension."""
        return self.plumbing.get("CLASS") == "DIMENSION_SCALE"


@contextmanager
def open_hdf5(path: Path, file: BinaryIO, wanted: Container[str] | None = None) -> Iterator[NetcdfGroup]:
    """Give the root group of an HDF5 file; values are read inside.

    Soft links, external links, virtual datasets, values in other files, and types that are no numbers or text are
    skipped and named.

    Parameters
    ----------
    path
        Its name in messages.
    file
        Open.
    wanted
        Attributes to read; by default all. Dimensions are known only where DIMENSION_LIST is among them.

    Raises
    ------
    FormatError
        It is damaged, or declares more than it can hold.
    """
    h5py = library("h5py", "netcdf")
    guard = GuardedFile(path, file)
    with h5py.File(guard, "r") as h5:
        root = _Walk(h5py, h5, guard, wanted).root
        guard.remembers = False
        yield root


class _Walk:
    """What is in a file, found group by group; each object once."""

    def __init__(self, h5py: Any, h5: Any, guard: GuardedFile, wanted: Container[str] | None) -> None:
        self._h5py, self._h5, self._guard, self._wanted = h5py, h5, guard, wanted
        self._heaps = Heaps(guard, h5.userblock_size)
        self._met = {int(h5py.h5o.get_info(h5.id).addr): "/"}
        self._bytes = 0
        self._datasets: dict[int, _Dataset] = {}
        self._wide = h5.id.get_create_plist().get_sizes() == (8, 8)
        self.root = NetcdfGroup()
        self._group(self.root, h5, 0)
        numbers = {
            int(one.plumbing["_Netcdf4Dimid"]): one.name
            for one in self._datasets.values()
            if one.is_scale and isinstance(one.plumbing.get("_Netcdf4Dimid"), int | np.integer)
        }
        for one in self._datasets.values():
            if not str(one.plumbing.get("NAME", "")).startswith(_NO_VARIABLE):
                self._variable(one, numbers)

    def _group(self, found: NetcdfGroup, handle: Any, depth: int) -> None:
        found.attributes = self._attributes(found, handle, {})
        for name in handle:
            link = handle.id.links.get_info(name.encode())
            if link.type != self._h5py.h5l.TYPE_HARD:
                found.skipped[name] = f"a link to {' '.join(_target(handle.id.links.get_val(name.encode())))}"
                continue
            address = int(link.u)
            if address in self._met:
                found.skipped[name] = f"the same as {self._met[address]}"
                continue
            self._met[address] = f"{handle.name.rstrip('/')}/{name}"
            one = handle[name]
            if isinstance(one, self._h5py.Group):
                if depth == _DEPTH:
                    raise FormatError(f"{self._guard.path}: groups that are more than {_DEPTH} deep")
                found.groups[name] = NetcdfGroup()
                self._group(found.groups[name], one, depth + 1)
            elif not isinstance(one, self._h5py.Dataset):
                continue  # a named type, which is no data
            elif reason := self._unreadable(one, address):
                found.skipped[name] = reason
            else:
                self._datasets[address] = made = _Dataset(found, name, one)
                made.attributes = self._attributes(found, one, made.plumbing, f"{name}: ")

    def _unreadable(self, one: Any, address: int) -> str:
        """Return why a dataset is left out, or nothing."""
        h5d, kind = self._h5py.h5d, one.id.get_type()
        text = self._is_text(kind)
        if one.shape is None:
            return "without values"
        if not text and not self._is_plain(kind):
            return f"of type {one.dtype}"
        if text and not (self._wide and self._heaps.vet_fill(address)):
            return "text of variable length in an unusual place"
        made = one.id.get_create_plist()
        filters = [made.get_filter(number)[0] for number in range(made.get_nfilters())]
        if made.get_layout() == h5d.VIRTUAL or made.get_external_count():
            return "values in other files"
        if unknown := [number for number in filters if number not in _FILTERS or (text and number > 2)]:  # noqa: PLR2004
            return f"compressed in a way that is not read here (filter {unknown[0]})"
        return "text within a header" if text and made.get_layout() == h5d.COMPACT else ""

    def _is_text(self, kind: Any) -> bool:
        """Return whether a type is text of variable length."""
        return kind.get_class() == self._h5py.h5t.STRING and bool(kind.is_variable_str())

    def _is_plain(self, kind: Any) -> bool:
        """Return whether a type is numbers, text of fixed length, or a record of these."""
        h5t = self._h5py.h5t
        if kind.get_class() == h5t.COMPOUND:
            members = [kind.get_member_type(number) for number in range(kind.get_nmembers())]
            return all(member.get_class() != h5t.COMPOUND and self._is_plain(member) for member in members)
        if kind.get_class() == h5t.STRING:
            return not kind.is_variable_str()
        return kind.get_class() in (h5t.INTEGER, h5t.FLOAT, h5t.BITFIELD, h5t.ENUM)

    def _attributes(self, found: NetcdfGroup, one: Any, plumbing: dict[str, Any], of: str = "") -> dict[str, Any]:
        attributes: dict[str, Any] = {}
        attrs = one.attrs
        for name in attrs:
            if self._wanted is not None and name not in self._wanted:
                continue
            low = attrs.get_id(name)
            shape, kind = low.shape, low.get_type()
            if name == "REFERENCE_LIST" or shape is None:
                continue
            size = prod(shape) * kind.get_size()
            text = self._is_text(kind)
            if text or name == "DIMENSION_LIST":
                value = attrs[name] if self._wide and self._heaps.vet(name) else None
            elif self._is_plain(kind) and size <= self._guard.size:
                value = np.empty(shape, low.dtype)
                low.read(value)
                value = value[()]
            else:
                value = None
            if value is None:
                found.skipped[f"{of}attribute {name}"] = f"of type {low.dtype}, {size} bytes"
            elif name in _PLUMBING:
                plumbing[name] = _native(value)
            else:
                attributes[name] = _native(value)
        return attributes

    def _variable(self, one: _Dataset, numbers: dict[int, str]) -> None:
        """Put a dataset, or each field of its records, into its group."""
        handle = one.handle
        shape, kind = handle.shape, handle.id.get_type()
        size = prod(shape) * kind.get_size()
        self._bytes += size
        chunk = prod(handle.chunks or (0,)) * kind.get_size()
        if max(self._bytes, chunk) > _INFLATION * self._guard.size:
            raise FormatError(
                f"{self._guard.path}: {handle.name}: {size} bytes, in chunks of {chunk}; too many to be true"
            )
        dims = self._dimensions(one, numbers)
        attributes = one.attributes | self._flags(kind)
        if self._is_text(kind):
            load = partial(self._texts, handle)
            one.group.variables[one.name] = NetcdfVariable(dims, shape, np.dtype("U1"), attributes, load)
            return
        dtype = handle.dtype
        for part in dtype.names or ("",):
            plain = np.dtype((dtype[part] if part else dtype).str)
            name = f"{one.name}_{part}" if part else one.name
            load = partial(_load, handle, part, plain.newbyteorder("="))
            one.group.variables[name] = NetcdfVariable(dims, shape, plain.newbyteorder("="), attributes, load)

    def _flags(self, kind: Any) -> dict[str, Any]:
        """Return what the values of an enumeration mean."""
        if kind.get_class() != self._h5py.h5t.ENUM:
            return {}
        numbers = range(kind.get_nmembers())
        names = [kind.get_member_name(number).decode("utf-8", "replace") for number in numbers]
        return {
            "flag_values": [int(kind.get_member_value(number)) for number in numbers],
            "flag_meanings": " ".join(name.replace(" ", "_") for name in names),
        }

    def _dimensions(self, one: _Dataset, numbers: dict[int, str]) -> tuple[str, ...]:
        rank = len(one.handle.shape)
        listed = one.plumbing.get("DIMENSION_LIST", ())
        own = one.plumbing.get("_Netcdf4Coordinates", ())
        if one.is_scale and rank == 1:
            return (one.name,)
        if one.is_scale and len(own) == rank and all(int(number) in numbers for number in own):
            return tuple(numbers[int(number)] for number in own)
        names = [self._scale(listed[axis]) if axis < len(listed) else "" for axis in range(rank)]
        return tuple(name or f"{one.name}_{axis}" for axis, name in enumerate(names, start=1))

    def _scale(self, references: Any) -> str:
        """Return the name of the first dimension scale that is referred to."""
        for reference in references:
            target = self._h5py.h5r.dereference(reference, self._h5.id)
            found = self._datasets.get(int(self._h5py.h5o.get_info(target).addr)) if target is not None else None
            if found is not None:
                return found.name
        return ""

    def _texts(self, handle: Any) -> NDArray[Any]:
        """Return texts of variable length; the library would believe their lengths."""
        found, written = identifiers(self._h5py, self._guard, handle)
        texts = self._heaps.texts(found, handle.name)
        if written.all() or not handle.fillvalue:
            return texts
        return np.where(written, texts, _native(handle.fillvalue))


def _native(value: Any) -> Any:
    """Return an attribute as text, a number or an array; one value of an array is that value."""
    if isinstance(value, np.ndarray) and value.shape == (1,) and value.dtype != object:
        value = value[0]
    if isinstance(value, np.ndarray) and value.dtype.kind == "S":
        return np.strings.decode(value, "utf-8", "replace")
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _target(value: Any) -> list[str]:
    """Return file and path, or path alone, of a link."""
    return [os.fsdecode(one) for one in (value if isinstance(value, tuple) else (value,))]


def _load(handle: Any, part: str, dtype: np.dtype[Any]) -> NDArray[Any]:
    values = handle[part] if part else handle[()]
    return np.asarray(values).astype(dtype, copy=False)
