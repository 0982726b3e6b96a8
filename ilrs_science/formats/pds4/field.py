"""Fields of PDS4 tables, groups resolved: where each lies in a record, how often it is repeated, of which type."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from math import prod
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from ilrs_science.errors import FormatError
from ilrs_science.formats.format import unit_attributes
from ilrs_science.formats.pds4.label import Label, text, whole

_WIDTHS = {"Signed": ("i", (2, 4, 8)), "Unsigned": ("u", (2, 4, 8)), "Complex": ("c", (8, 16))}
SAMPLES = {
    "SignedByte": np.dtype("i1"),
    "UnsignedByte": np.dtype("u1"),
    **{
        f"{kind}{order}{width}": np.dtype(f"{mark}{letter}{width}")
        for kind, (letter, widths) in _WIDTHS.items()
        for order, mark in (("MSB", ">"), ("LSB", "<"))
        for width in widths
    },
    **{
        f"IEEE754{order}{precision}": np.dtype(f"{mark}f{width}")
        for order, mark in (("MSB", ">"), ("LSB", "<"))
        for precision, width in (("Single", 4), ("Double", 8))
    },
}
"""Binary data types of the PDS4 Information Model; the digits are bytes, of both parts of a complex number."""
BITS = ("SignedBitString", "UnsignedBitString")
_DEEPEST = 8
_WIDEST = 2**16
"""Columns of a table of text."""
_OVERLAP = 2


class Names:
    """Makes names differ: one that was given before gets a number."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self.taken = set(taken)
        self.numbers: Counter[str] = Counter()

    def __call__(self, name: str) -> str:
        """Return the name, or the first with a number from 2 that is not taken, and take it."""
        found = name
        while found in self.taken:
            self.numbers[name] += 1
            found = f"{name}_{self.numbers[name] + 1}"
        self.taken.add(found)
        return found


@dataclass(frozen=True)
class Field:
    """A field and all of its repetitions in a record."""

    name: str
    kind: str
    """Its data type, as the label says."""
    start: int
    """Bytes before it in a record; columns in a delimited table."""
    length: int
    """Bytes; one column in a delimited table."""
    element: Element
    groups: tuple[tuple[str, int], ...] = ()
    """Name and repetitions of the groups that it is in, outermost first."""
    strides: tuple[int, ...] = ()
    """Bytes, or columns, from one repetition of each group to the next."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Repetitions."""
        return tuple(size for _, size in self.groups)

    @property
    def stop(self) -> int:
        """Byte or column after the last repetition."""
        return self.start + self.length + sum((n - 1) * step for n, step in zip(self.shape, self.strides, strict=True))

    def starts(self) -> NDArray[np.int64]:
        """Return where each repetition starts, in order."""
        found = np.array([self.start], np.int64)
        for size, step in zip(self.shape, self.strides, strict=True):
            found = (found[:, None] + np.arange(size, dtype=np.int64) * step).ravel()
        return found


@dataclass(frozen=True)
class _Group:
    start: int
    groups: tuple[tuple[str, int], ...] = ()
    strides: tuple[int, ...] = ()


def fixed_fields(label: Label, record: Element, limit: int) -> list[Field]:
    """Return the fields of a record of fixed width, in the order of the label.

    Parameters
    ----------
    label
        Gets what had to be interpreted.
    record
        `Record_Binary` or `Record_Character`.
    limit
        Bytes that a record can have at most.

    Raises
    ------
    FormatError
        A field has no length, no known place, or lies outside; groups are nested too deep; fields overlap so that
        they hold more than twice the record.
    """
    fields = list(_fixed(label, record, _Group(0), limit, 0))
    if not fields:
        raise FormatError(f"{label.path}: {record.tag} without fields")
    taken = sum(prod(field.shape) * field.length for field in fields)
    if taken > _OVERLAP * max(field.stop for field in fields):
        raise FormatError(f"{label.path}: fields of {taken} bytes that overlap in a record")
    return _unlike(fields, label)


def _fixed(label: Label, parent: Element, group: _Group, limit: int, depth: int) -> Iterator[Field]:
    if depth > _DEEPEST:
        raise FormatError(f"{label.path}: groups nested more than {_DEEPEST} deep")
    after = 0
    for child in parent:
        if child.tag in ("Field_Binary", "Field_Character"):
            field = _fixed_field(label, child, group, after)
            found = [field]
            after = field.start - group.start + field.length
        elif child.tag in ("Group_Field_Binary", "Group_Field_Character"):
            inner, after = _fixed_group(label, child, group, after, limit)
            found = list(_fixed(label, child, inner, limit, depth + 1))
        else:
            continue
        for one in found:
            if one.stop > limit or prod(one.shape) * one.length > limit:
                raise FormatError(f"{label.path}: field {one.name} reaches to byte {one.stop} of {limit}")
            yield one


def _fixed_field(label: Label, element: Element, group: _Group, after: int) -> Field:
    name, kind = text(element, "name"), text(element, "data_type")
    if element.find("field_location") is None:
        label.repaired.append(f"{name}: no field_location; read after the field before it")
    place = whole(label, element, "field_location", after + 1)
    sample = SAMPLES.get(kind)
    length = whole(label, element, "field_length", sample.itemsize if sample else None)
    if place < 1 or length < 1:
        raise FormatError(f"{label.path}: field {name} of {length} bytes at location {place}; both are at least 1")
    return Field(name, kind, group.start + place - 1, length, element, group.groups, group.strides)


def _fixed_group(label: Label, element: Element, outer: _Group, after: int, limit: int) -> tuple[_Group, int]:
    """Return a group and the byte after it, both as the label says or as its fields add up to."""
    name = text(element, "name") or "group"
    times = whole(label, element, "repetitions")
    place = whole(label, element, "group_location", after + 1)
    declared = whole(label, element, "group_length", 0)
    if not 1 <= times <= limit or not 1 <= place <= limit or declared > limit:
        raise FormatError(
            f"{label.path}: group {name}: {times} repetitions in {declared} bytes at {place} of a record up to {limit}"
        )
    extent = _extent(label, element)
    step = declared // times
    if declared % times or step < extent:
        step = extent
        label.repaired.append(f"{name}: group_length {declared} for {times} repetitions; read as {times} times {step}")
    inner = _Group(outer.start + place - 1, (*outer.groups, (name, times)), (*outer.strides, step))
    return inner, place - 1 + times * step


def _extent(label: Label, group: Element) -> int:
    """Return the bytes of one repetition, by the fields and groups that are in it."""
    extent = 0
    for child in group:
        if child.tag.startswith("Field_"):
            sample = SAMPLES.get(text(child, "data_type"))
            length = whole(label, child, "field_length", sample.itemsize if sample else 1)
            extent = max(extent, whole(label, child, "field_location", extent + 1) - 1 + length)
        elif child.tag.startswith("Group_Field_"):
            length = whole(label, child, "group_length", 0) or whole(label, child, "repetitions") * _extent(
                label, child
            )
            extent = max(extent, whole(label, child, "group_location", extent + 1) - 1 + length)
    return extent


def delimited_fields(label: Label, record: Element) -> list[Field]:
    """Return the fields of a delimited record, in columns.

    Raises
    ------
    FormatError
        There are none, too many, or groups are nested too deep.
    """
    _columns(label, record, 0)
    fields = list(_delimited(label, record, _Group(0)))
    if not fields:
        raise FormatError(f"{label.path}: {record.tag} without fields")
    return _unlike(fields, label)


def _columns(label: Label, parent: Element, depth: int) -> int:
    """Return the columns of a delimited record or of one repetition of a group in it."""
    columns = 0
    for child in parent:
        if child.tag == "Field_Delimited":
            columns += 1
        elif child.tag == "Group_Field_Delimited":
            columns += whole(label, child, "repetitions") * _columns(label, child, depth + 1)
    if columns > _WIDEST or depth > _DEEPEST:
        raise FormatError(f"{label.path}: {columns} columns, {depth} groups deep; {_WIDEST} and {_DEEPEST} are read")
    return columns


def _delimited(label: Label, parent: Element, group: _Group) -> Iterator[Field]:
    column = group.start
    for child in parent:
        if child.tag == "Field_Delimited":
            name, kind = text(child, "name"), text(child, "data_type")
            yield Field(name, kind, column, 1, child, group.groups, group.strides)
            column += 1
        elif child.tag == "Group_Field_Delimited":
            name, times = text(child, "name") or "group", whole(label, child, "repetitions")
            width = _columns(label, child, 0)
            yield from _delimited(label, child, _Group(column, (*group.groups, (name, times)), (*group.strides, width)))
            column += width * times


def starts_of(label: Label, fields: list[Field]) -> list[NDArray[np.int64]]:
    """Return where the repetitions of each field of text start.

    Raises
    ------
    FormatError
        They are too many.
    """
    columns = sum(prod(field.shape) for field in fields)
    if columns > _WIDEST:
        raise FormatError(f"{label.path}: {columns} columns of text; {_WIDEST} are read")
    return [field.starts() for field in fields]


def in_columns(fields: list[Field]) -> list[Field]:
    """Return fields of fixed width as those of a table whose columns are told apart by blanks."""
    starts = np.sort(np.concatenate([field.starts() for field in fields]))
    found = []
    for field in fields:
        own = np.searchsorted(starts, field.starts()).reshape(field.shape)
        steps = tuple(int(np.diff(own, axis=axis).ravel()[0]) if n > 1 else 0 for axis, n in enumerate(own.shape))
        found.append(replace(field, start=int(own.flat[0]), length=1, strides=steps))
    return found


def _unlike(fields: list[Field], label: Label) -> list[Field]:
    """Return the fields with names that are not empty and differ."""
    unlike, found = Names(), []
    for number, field in enumerate(fields, 1):
        found.append(replace(field, name=unlike(field.name or f"field_{number}")))
        if found[-1].name != field.name:
            label.repaired.append(f"field {number} is called {field.name!r}, as others or not: {found[-1].name!r}")
    return found


def attributes(field: Element) -> dict[str, Any]:
    """Return what the label says of a field or an element of an array: units, data type, description, format."""
    given = {tag: text(field, tag) for tag in ("description", "data_type", "field_format")}
    return {**unit_attributes(text(field, "unit")), **{tag: said for tag, said in given.items() if said}}
