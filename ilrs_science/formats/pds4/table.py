"""Tables of PDS4: their records, binary or text, as columns."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from ilrs_science.errors import FormatError
from ilrs_science.formats.pds4.columns import Rows, interleaved, kind_of, rows_of
from ilrs_science.formats.pds4.field import BITS, SAMPLES, Field, delimited_fields, fixed_fields, starts_of
from ilrs_science.formats.pds4.file import Structure
from ilrs_science.formats.pds4.label import Label, text, whole
from ilrs_science.formats.pds4.order import swapped
from ilrs_science.formats.pds4.text import count_lines, read_rows

_WORD = 64


@dataclass(frozen=True)
class Column:
    """A field of all records."""

    name: str
    element: Element
    """Of its field, or its bits."""
    groups: tuple[tuple[str, int], ...]
    """Name and repetitions of the groups that it is in."""
    values: NDArray[Any]
    """Shape (records, repetitions ..., bytes of a field that is longer than its type), in native byte order."""


@dataclass
class Table:
    """The columns of a table, and which of its records can be used."""

    columns: list[Column]
    records: int
    """Those in the columns."""
    good: NDArray[np.bool_]
    rejected: Counter[str] = field(default_factory=Counter)
    """Records that are not in the columns, or not good, by reason."""


def fields_of(label: Label, structure: Structure) -> list[Field]:
    """Return the fields of a table.

    Raises
    ------
    FormatError
        There are none, or they cannot lie in a record.
    """
    record = next((child for child in structure.element if child.tag.startswith("Record_")), None)
    if record is None:
        raise FormatError(f"{label.path}: {structure.kind} {structure.name} without records")
    if structure.kind in ("Table_Binary", "Table_Character"):
        return fixed_fields(label, record, max(structure.end - structure.offset, 1))
    return delimited_fields(label, record)


def read_table(label: Label, structure: Structure, fields: list[Field], only: set[str] | None = None) -> Table:
    """Return the columns of a table; of some fields only, where their names are given.

    Raises
    ------
    FormatError
        The label and the file contradict each other so that records cannot be told apart.
    """
    if structure.kind == "Table_Binary":
        return _binary(label, structure, fields, only)
    rows = read_rows(label, structure, fields, only)
    return Table(_written(rows), rows.records, rows.good, rows.rejected)


def count_records(label: Label, structure: Structure, fields: list[Field]) -> int:
    """Return how many records there are, damaged ones included; lines, where they are text of other length than told.

    Raises
    ------
    FormatError
        As `read_table`.
    """
    if structure.kind == "Table_Binary":
        records, rest = _records(label, structure, _length(label, structure, fields))
        return records + (rest > 0)
    declared = whole(label, structure.element, "records", 0)
    length = whole(label, structure.element, "Record_Character/record_length", 0)
    return declared if length and declared * length == structure.end - structure.offset else count_lines(structure)


def _written(rows: Rows) -> list[Column]:
    return [Column(one.name, one.element, one.groups, rows.values[one.name]) for one in rows.fields]


def _binary(label: Label, structure: Structure, fields: list[Field], only: set[str] | None) -> Table:
    length = _length(label, structure, fields)
    records, rest = _records(label, structure, length)
    wanted = [one for one in fields if only is None or one.name in only]
    block = _block(structure, records, length, mapped=only is not None)
    turned = swapped(label, [(one, _view(block, one, records, length)) for one in wanted])
    found = {one.name: _column(label, one, block, (records, length), one.name in turned) for one in wanted}
    table = Table([], records, np.ones(records, bool), Counter({"cut short": int(rest > 0)}))
    texts = [one for one in wanted if _is_text(one)]
    if texts:
        matrix = block.reshape(records, length)
        rows = rows_of(interleaved(structure.data, texts, starts_of(label, texts), matrix, padded=True))
        label.repaired += rows.notes
        table.good &= rows.good
        table.rejected += rows.rejected
        found |= {column.name: [column] for column in _written(rows)}
    table.columns += [column for one in wanted for column in found[one.name]]
    return table


def _block(structure: Structure, records: int, length: int, *, mapped: bool) -> NDArray[np.uint8]:
    """Return the bytes of the records; mapped into memory where few of them will be touched."""
    size = records * length
    if mapped and size:
        return np.memmap(structure.data, np.uint8, "r", structure.offset, size).view(np.ndarray)
    block: NDArray[np.uint8] = np.fromfile(structure.data, np.uint8, size, offset=structure.offset)
    if block.size != size:
        raise FormatError(f"{structure.data}: ends within record {block.size // length}")
    return block


def _is_text(one: Field) -> bool:
    return one.kind not in SAMPLES and one.kind not in BITS and bool(kind_of(one.kind))


def _length(label: Label, structure: Structure, fields: list[Field]) -> int:
    """Return the bytes of a record of a binary table: as labelled, else as records fill the file."""
    room, needed = structure.end - structure.offset, max(one.stop for one in fields)
    declared = whole(label, structure.element, "Record_Binary/record_length", 0)
    records = whole(label, structure.element, "records", 0)
    shared = room // records if records and room % records == 0 else 0
    length = max(declared, needed)
    if structure.last and length * records != room:
        fitting = [one for one in (declared, needed) if one >= needed and room % one == 0]
        exact = [one for one in fitting if one * records == room]
        length = next(iter([*exact, *fitting, *([shared] if shared >= needed else [])]), length)
    if length != declared:
        label.repaired.append(f"{structure.name}: record_length {declared}: records have {length} bytes")
    return length


def _records(label: Label, structure: Structure, length: int) -> tuple[int, int]:
    """Return the whole records of a binary table, and the bytes of one that is cut short."""
    declared, room = whole(label, structure.element, "records", 0), structure.end - structure.offset
    found, rest = divmod(room, length)
    if found >= declared and not (structure.last and found > declared and rest == 0):
        if found > declared or rest:
            left = room - declared * length
            label.repaired.append(f"{structure.name}: {left} bytes follow the {declared} records, and are not read")
        return declared, 0
    if not found:
        raise FormatError(f"{structure.data}: no whole record of {length} bytes in {room}")
    if found != declared:
        label.repaired.append(f"{structure.name}: records {declared}: the file has {found}")
    return found, rest


def _view(block: NDArray[np.uint8], one: Field, records: int, length: int) -> NDArray[Any]:
    """Return the bytes of a field as they lie, in its type or several of them where it is longer."""
    sample = _sample(one)
    count = one.length // sample.itemsize
    shape, strides = (records, *one.shape, count), (length, *one.strides, sample.itemsize)
    view: NDArray[Any] = np.zeros(shape, sample)
    if records:
        view = np.ndarray(shape, sample, block, one.start, strides)
    return view[..., 0] if count == 1 and one.kind in SAMPLES else view


def _sample(one: Field) -> np.dtype[Any]:
    """Return the type of a field: the one labelled, else one of its kind as long as the field, else bytes."""
    sample = SAMPLES.get(one.kind, np.dtype("u1"))
    if sample.itemsize in (1, one.length):
        return sample
    kinds = {other.itemsize: other for other in SAMPLES.values() if other.kind == sample.kind}
    if one.length in kinds:
        return kinds[one.length].newbyteorder(sample.byteorder)
    return sample if one.length % sample.itemsize == 0 else np.dtype("u1")


def _column(label: Label, one: Field, block: NDArray[np.uint8], layout: tuple[int, int], turned: bool) -> list[Column]:
    """Return a field that is no text, or the fields of bits in it."""
    if _is_text(one):
        return []
    view = _view(block, one, *layout)
    if turned:
        view = view.view(view.dtype.newbyteorder())
    values = np.array(view, view.dtype.newbyteorder("="), order="C")
    packed = one.element.find("Packed_Data_Fields")
    if packed is not None:
        return _bits(label, one, packed, values)
    several = values.ndim > 1 + len(one.shape)
    if one.kind not in SAMPLES and one.kind not in BITS:
        label.repaired.append(f"{one.name}: data_type {one.kind[:60]!r} is none of PDS4; read as bytes")
    elif one.kind in SAMPLES and (several or values.dtype.itemsize != SAMPLES[one.kind].itemsize):
        what = f"{values.shape[-1]} times {values.dtype.name}" if several else values.dtype.name
        label.repaired.append(f"{one.name}: {one.kind} of {one.length} bytes; read as {what}")
    groups = (*one.groups, (one.name, values.shape[-1])) if several else one.groups
    return [Column(one.name, one.element, groups, values)]


def _bits(label: Label, one: Field, packed: Element, values: NDArray[Any]) -> list[Column]:
    """Return fields of bits, numbered from 1 at the most significant bit of the first byte, or of a number.

    They are integers of the least width that holds them.
    """
    row, bits = values.shape[: 1 + len(one.shape)], 8 * one.length
    stored = values.astype(values.dtype.newbyteorder(">"), order="C")
    stored = stored.reshape(-1, 1).view(np.uint8).reshape(*row, one.length)
    found, taken = [], 0
    for number, bit in enumerate(packed.iter("Field_Bit"), 1):
        first = whole(label, bit, "start_bit_location", 0) or whole(label, bit, "start_bit")
        last = whole(label, bit, "stop_bit_location", 0) or whole(label, bit, "stop_bit")
        taken += last - first + 1
        if not 1 <= first <= last <= bits or (last - 1) // 8 - (first - 1) // 8 >= _WORD // 8 or taken > 2 * bits:
            raise FormatError(
                f"{label.path}: bits {first} to {last} of {one.name}, which has {bits}; {taken} with others"
            )
        value = np.zeros(row, np.uint64)
        for byte in range((first - 1) // 8, (last - 1) // 8 + 1):
            value = (value << np.uint64(8)) | stored[..., byte]
        width = last - first + 1
        spare = np.uint64(_WORD - width)
        value = (value >> np.uint64(-last % 8)) << spare
        signed = text(bit, "data_type") == "SignedBitString"
        right = value.view(np.int64) >> np.int64(spare) if signed else value >> spare
        size = next(size for size in (1, 2, 4, 8) if width <= 8 * size)
        least = right.astype(f"{'i' if signed else 'u'}{size}")
        found.append(Column(text(bit, "name") or f"{one.name}_{number}", bit, one.groups, least))
    return found
