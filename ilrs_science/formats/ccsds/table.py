"""Tables that define packets: those of ccsdspy, and those that mission teams write by hand."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ilrs_science.errors import FormatError
from ilrs_science.formats.ccsds.fields import Decoded, Field, column, suits
from ilrs_science.formats.ccsds.stream import HEADER, rows
from ilrs_science.formats.ccsds.units import Units
from ilrs_science.formats.format import unit_attributes

_LARGEST = 2**24
"""Bytes of a definition."""
_LONGEST = 64
"""Bits of a number."""
_KINDS = {"uint": "uint", "int": "int", "float": "float", "str": "bytes", "fill": "fill"}
_LETTERS = {"U": "uint", "I": "int", "F": "float"}
_MISSION_TYPE = re.compile(r"([UIF])([1-8]{1,8})")


class Table:
    """Fields of fixed places, the same in every packet."""

    def __init__(self, path: Path) -> None:
        self.layout = path.stem
        described = read_table(path)
        self.fields = [field for field, _ in described]
        self.about = {field.name: about for field, about in described}
        self.size = -(-max(field.start + field.width for field in self.fields) // 8)
        """Bytes of a packet."""

    def decode(self, units: Units) -> list[Decoded]:
        """Return the fields of all units that are as long as the table says."""
        fitting = np.flatnonzero(units.sizes == self.size)
        units.rejected["length is not that of the definition"] += units.sizes.size - fitting.size
        data = rows(units.octets, units.starts[fitting], self.size)
        columns = {field.name: column(data, field) for field in self.fields if field.kind != "fill"}
        return [Decoded(self.layout, fitting, dict(columns))] if fitting.size else []

    def attributes(self, name: str) -> dict[str, str]:
        """Return the attributes of a field."""
        return self.about.get(name, {})


def read_table(path: Path) -> list[tuple[Field, dict[str, str]]]:
    """Return the fields of a packet from a table of them, in order of the table, each with its attributes.

    Two kinds of table are read. That of ccsdspy has the columns name, data_type (uint, int, float, str, fill) and
    bit_length, maybe bit_offset from the start of the primary header; without it, the first field follows the primary
    header. That of a mission team has Mnemonic, Type (U, I or F and the bytes in the order in which they lie: `U12`,
    `F4321`), Start Byte, Start Bit and Data Size in bits. Blanks around the names of columns do not matter.

    Raises
    ------
    FormatError
        It is no such table, or a field is not what it says; names the line.
    OSError
        There is no such table.
    """
    if path.stat().st_size > _LARGEST:
        raise FormatError(f"{path}: {path.stat().st_size} bytes of a definition; no more than {_LARGEST} are read")
    text = path.read_bytes().decode("utf-8-sig", "replace")
    try:
        lines = list(csv.reader(io.StringIO(text), strict=True))
    except csv.Error as error:
        raise FormatError(f"{path}: no table ({error})") from error
    names = [name.strip() for name in lines[0]] if lines else []
    parse = _PARSERS.get(next((name for name in names if name in _PARSERS), ""))
    if parse is None:
        raise FormatError(f"{path}: no column 'name' or 'Mnemonic', but {names[:12]}")
    fields: list[tuple[Field, dict[str, str]]] = []
    after = 8 * HEADER
    for number, line in enumerate(lines[1:], 2):
        if not any(line):
            continue
        row = dict(zip(names, (value.strip() for value in line), strict=False))
        try:
            fields.append(parse(row, after))
        except (KeyError, ValueError) as error:
            raise FormatError(f"{path}: line {number}: {type(error).__name__}: {error}") from error
        after = fields[-1][0].start + fields[-1][0].width
    _check(path, [field for field, _ in fields])
    return fields


def _check(path: Path, fields: list[Field]) -> None:
    named = [field.name for field in fields if field.kind != "fill"]
    if not named or len(set(named)) < len(named):
        repeated = next((name for name in named if named.count(name) > 1), "")
        raise FormatError(f"{path}: {f'two fields {repeated!r}' if repeated else 'no field'}")
    for field in fields:
        if field.start < 0 or not suits(field):
            order = "little-endian " * field.little_endian
            raise FormatError(
                f"{path}: {field.name!r}: {order}{field.kind} of {field.width} bits at bit {field.start} cannot be read"
            )


def _of_ccsdspy(row: dict[str, str], after: int) -> tuple[Field, dict[str, str]]:
    kind = _KINDS[row["data_type"].lower()]
    start = int(row["bit_offset"]) if row.get("bit_offset") else after
    return Field(row["name"], kind, start, int(row["bit_length"])), {}


def _of_mission(row: dict[str, str], _after: int) -> tuple[Field, dict[str, str]]:
    match = _MISSION_TYPE.fullmatch(row["Type"])
    order = match[2] if match else ""
    if match is None or order not in {"12345678"[: len(order)], "87654321"[-len(order) :]}:
        raise ValueError(f"type {row['Type']!r}")
    about = unit_attributes(row.get("Units", ""))
    if row.get("Description"):
        about = {"long_name": row["Description"], **about}
    start, width = 8 * int(row["Start Byte"]) + int(row["Start Bit"]), int(row["Data Size"])
    little = len(order) > 1 and order[0] != "1"
    kind = "bytes" if width > _LONGEST else _LETTERS[match[1]]
    return Field(row["Mnemonic"], kind, start, width, little), about


_PARSERS: dict[str, Callable[[dict[str, str], int], tuple[Field, dict[str, str]]]] = {
    "name": _of_ccsdspy,
    "Mnemonic": _of_mission,
}
