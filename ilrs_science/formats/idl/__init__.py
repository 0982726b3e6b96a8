"""IDL save files (`SAVE`, plain or compressed).

They are taken apart here, not by `scipy.io.readsav`, which follows any pointer to the next record, backwards as well,
allocates what a file declares, and leaves files open that it cannot read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ilrs_science.errors import FormatError
from ilrs_science.formats.foreign import foreign
from ilrs_science.formats.format import Format, granule
from ilrs_science.formats.idl.records import (
    DEFLATED,
    DESCRIPTION,
    IDENTIFICATION,
    KINDS,
    PLAIN,
    POINTERS,
    STRUCTURE,
    TEXT,
    TIMESTAMP,
    VARIABLE,
    VERSION,
    Cursor,
    Kind,
    leaves,
    records,
    variable_kind,
)
from ilrs_science.formats.opening import opens
from ilrs_science.model.granule import Granule

_MOST = 4096
"""Variables that are read of a file."""
_CLOCK = 4 * 256
"""Bytes before the text of a record of time."""


@opens
def read_idl(path: Path) -> xr.Dataset:
    """Return the variables of an IDL save file.

    Parameters
    ----------
    path
        The file, plain or compressed.

    Returns
    -------
    Variables by their names in lower case, of the type that they have in IDL, with the dimensions `<name>_1`,
    `<name>_2` and so on in C order, the reverse of IDL's; those of structures are `<name>.<member>`, without a
    dimension where there is one structure. The attribute `not_read` names pointers, objects and undefined variables.
    When, by whom and with which version the file was written are attributes.

    Raises
    ------
    FormatError
        It is no such file, is damaged, or has nothing that can be read.
    OSError
        There is no such file, or it cannot be read.
    """
    data = path.read_bytes()
    content = _Content(path, len(data))
    attributes: dict[str, Any] = {}
    structures: dict[str, tuple[Kind, ...]] = {}
    for record, body, where in records(data, str(path)):
        cursor = Cursor(body, where, structures=structures)
        if record == VARIABLE:
            content.add_variable(cursor)
        else:
            attributes |= _about(record, cursor)
    attributes["rejected"] = {}
    if content.not_read:
        attributes["not_read"] = content.not_read
    if not content.variables:
        raise FormatError(f"{path}: nothing in it can be read: {content.not_read or 'it has no variables'}")
    with foreign(path, "IDL save file"):
        return xr.Dataset(content.variables, attrs=attributes)


def index_idl(path: Path) -> list[Granule]:
    """Return how many variables an IDL save file has; it tells neither time nor place.

    Raises
    ------
    FormatError
        It is no such file, or is damaged.
    """
    count = sum(1 for record, _, _ in records(path.read_bytes(), str(path), bodies=False) if record == VARIABLE)
    return [granule(path, "idl", count=count)]


def _recognises(head: bytes, _path: Path) -> bool:
    return head[:4] in (PLAIN, DEFLATED) and int.from_bytes(head[4:8], "big") in KINDS and len(head) > 20  # noqa: PLR2004


FORMAT = Format("idl", "IDL save file", "own", _recognises, read_idl, index_idl)


def _about(record: int, cursor: Cursor) -> dict[str, str]:
    """Return what a record tells of the file."""
    if record == TIMESTAMP:
        cursor.raw(_CLOCK)
        return {key: cursor.text() for key in ("date", "user", "host")}
    if record == VERSION:
        cursor.long()
        return {key: cursor.text() for key in ("architecture", "system", "release")}
    if record == IDENTIFICATION:
        return {key: cursor.text() for key in ("author", "title", "idcode")}
    return {"description": cursor.data_text()} if record == DESCRIPTION else {}


class _Content:
    """Variables as they are made of records."""

    def __init__(self, path: Path, limit: int) -> None:
        self.path, self.limit = path, limit
        self.variables: dict[str, tuple[list[str], NDArray[Any]]] = {}
        self.not_read: dict[str, str] = {}

    def add_variable(self, cursor: Cursor) -> None:
        """Add the variable of a record."""
        kind = variable_kind(cursor)
        if not kind.code:
            self.not_read[kind.name.lower()] = "undefined"
            return
        for path, (leaf, around, found) in leaves(cursor, kind).items():
            name = ".".join([path[0].lower(), *(one.partition(".")[2] for one in path[1:])])
            outer = () if all(size == 1 for size in around) else around
            block = found[0] if len(found) == 1 else np.concatenate(found)
            if leaf.code == TEXT:
                self._put(name, self._text(block.reshape((*outer, *leaf.shape))))
            else:
                self._add(leaf, name, block.reshape(outer))

    def _add(self, kind: Kind, name: str, stored: NDArray[Any]) -> None:
        """Add values as they lie in the file, shape of the structures around them."""
        value = stored["v"]
        if kind.code in POINTERS:
            self.not_read[name] = "pointer"
        elif kind.code == STRUCTURE:
            inside = value.reshape(stored.shape) if all(size == 1 for size in kind.shape) else value
            for place, member in enumerate(kind.members):
                self._add(member, f"{name}.{member.name}", inside[str(place)])
        else:
            value = value[..., 1] if kind.code in (2, 12) and kind.shape else value
            self._put(name, value.astype(value.dtype.newbyteorder("=")))

    def _text(self, texts: NDArray[Any]) -> NDArray[Any]:
        longest = max(map(len, texts.reshape(-1)), default=0)
        return texts.astype("U") if 4 * longest * texts.size <= self.limit else texts

    def _put(self, name: str, value: NDArray[Any]) -> None:
        if len(self.variables) >= _MOST:
            raise FormatError(f"{self.path}: more than {_MOST} variables")
        name, number = name.replace("/", "_"), 1
        unique = name
        while unique in self.variables:
            number += 1
            unique = f"{name}_{number}"
        self.variables[unique] = ([f"{unique}_{axis + 1}" for axis in range(value.ndim)], value)
