"""Plain PDS4 products: small pairs of data and label, as the Information Model 1.x has them, and what is in them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

_PDS4 = "http://pds.nasa.gov/pds4/pds/v1"
_WORDS = ("ASCII_Date_Time_YMD_UTC", "ASCII_Real", "ASCII_Integer", "ASCII_Integer")
_STYLES: dict[str, Any] = {
    "Binary": (
        ("ASCII_Date_Time_YMD_UTC", "IEEE754MSBDouble", "SignedLSB4", "UnsignedByte"),
        ((1, 24), (25, 8), (33, 4)),
        (37, 1),
    ),
    "Character": (_WORDS, ((1, 24), (26, 12), (39, 6)), (45, 3)),
    "Delimited": (_WORDS, ((0, 0),) * 3, (0, 0)),
}
"""Of a plain product: types of its fields, where they lie and how long they are, the same of the groups."""


@dataclass(frozen=True)
class Pair:
    """A data file, its label, and what is in it."""

    data: Path
    label: Path
    truth: dict[str, NDArray[Any]] = field(default_factory=dict)
    """By name of the field or array; times as `datetime64`, UTC."""


def tables_product(folder: Path, *, records: int = 12, seed: int = 8) -> Pair:
    """Write a correct PDS4 product of NASA's kind: a header, three tables and an array in one file.

    The tables `binary`, `character` and `delimited` hold the same fields; the array `cube` has constants.
    """
    rng = np.random.default_rng(seed)
    moment = np.datetime64("2020-02-28T23:00:00.500", "ms") + 3_600_000 * np.arange(records)
    truth: dict[str, NDArray[Any]] = {"time": moment, "real": np.round(rng.normal(0, 50, records), 3)}
    truth |= {"count": rng.integers(-9999, 9999, records), "pair": rng.integers(0, 99, (records, 3, 2))}
    cube = rng.integers(-900, 900, (2, 3, 4)).astype(">i2")
    cube[0, 1, 2], cube[1, 2, 3] = -32768, -32767
    kind = np.dtype([("stamp", "S24"), ("real", ">f8"), ("count", "<i4"), ("pair", "u1", (3, 2))])
    binary = np.zeros(records, kind)
    binary["stamp"] = [f"{one}Z" for one in moment]
    for name in ("real", "count", "pair"):
        binary[name] = truth[name]
    rows = [(f"{t}Z", r, n, *p.ravel()) for t, r, n, p in zip(*(truth[name] for name in truth), strict=True)]
    fixed = "".join(f"{t:24} {r:12.3f} {n:6d}" + "".join(f"{x:3d}" for x in p) + "\r\n" for t, r, n, *p in rows)
    comma = "".join(",".join((f'"{row[0]}"', *map(str, row[1:]))) + "\r\n" for row in rows)
    parts = [b"A HEADER OF TEXT\r\n", binary.tobytes(), fixed.encode(), comma.encode(), cube.tobytes()]
    starts = [0, *np.cumsum([len(part) for part in parts]).tolist()]
    structures: list[Header | Table | Array] = [Header(starts[1])]
    for style, start, length in zip(_STYLES, starts[1:], (kind.itemsize, len(fixed) // records, 0), strict=False):
        types, places, (place, width) = _STYLES[style]
        stamp, *numbers, item = types
        names = zip(("stamp", "real", "count"), (stamp, *numbers), places, strict=True)
        fields = [Field(one, said, *at) for one, said, at in names]
        inner = Group("inner", 2, [Field("pair", item, 1, width)], 1, 2 * width)
        outer = Group("outer", 3, [inner], place, 6 * width)
        structures.append(Table(style, [*fields, outer], records, length, start, style.lower()))
    constants = {"missing_constant": "-32768", "saturated_constant": "-32767"}
    axes = {"Band": 2, "Line": 3, "Sample": 4}
    structures.append(
        Array("Array_3D", "cube", "SignedMSB2", axes, starts[4], scaling=(0.5, 10.0), constants=constants)
    )
    pair = write_product(folder, "product.dat", b"".join(parts), structures, Label(suffix=".xml"))
    values = np.where(np.isin(cube, (-32768, -32767)), np.nan, cube * 0.5 + 10.0).astype(np.float32)
    return Pair(pair.data, pair.label, {**truth, "cube": values})


@dataclass(frozen=True)
class Field:
    """A field, as a label has it."""

    name: str
    kind: str
    """`data_type`."""
    location: int = 0
    """First byte, from 1."""
    length: int = 0
    unit: str = ""
    more: str = ""
    """Further elements."""

    def xml(self, style: str) -> str:
        """Return its element in a table of a style."""
        place = f"<field_location unit='byte'>{self.location}</field_location>" if self.location else ""
        size = f"<field_length unit='byte'>{self.length}</field_length>" if self.length else ""
        told = f"<unit>{escape(self.unit)}</unit>" if self.unit else ""
        named = f"<name>{escape(self.name)}</name>{place}<data_type>{self.kind}</data_type>{size}{told}{self.more}"
        return f"<Field_{style}>{named}</Field_{style}>"


@dataclass(frozen=True)
class Group:
    """A group of fields and groups, `length` bytes with all of its repetitions."""

    name: str
    repetitions: int
    inside: Sequence[Field | Group]
    location: int = 0
    length: int = 0

    def xml(self, style: str) -> str:
        """Return its element in a table of a style."""
        placed = self.location and self.length
        place = f"<group_location unit='byte'>{self.location}</group_location>" if placed else ""
        size = f"<group_length unit='byte'>{self.length}</group_length>" if placed else ""
        named = f"<name>{escape(self.name)}</name><repetitions>{self.repetitions}</repetitions>"
        inside = "".join(one.xml(style) for one in self.inside)
        return f"<Group_Field_{style}>{named}{_counts(self.inside)}{place}{size}{inside}</Group_Field_{style}>"


@dataclass(frozen=True)
class Header:
    """A text before the tables."""

    length: int

    def xml(self) -> str:
        """Return its element."""
        size = f"<object_length unit='byte'>{self.length}</object_length>"
        standard = "<parsing_standard_id>7-Bit ASCII Text</parsing_standard_id>"
        return f"<Header><offset unit='byte'>0</offset>{size}{standard}</Header>"


@dataclass(frozen=True)
class Table:
    """A table of records."""

    style: str
    """Binary, Character or Delimited."""
    fields: Sequence[Field | Group]
    records: int
    length: int = 0
    """Bytes of a record."""
    offset: int = 0
    name: str = ""

    def xml(self) -> str:
        """Return its element."""
        style, delimited = self.style, self.style == "Delimited"
        size = f"<record_length unit='byte'>{self.length}</record_length>" if self.length else ""
        comma = "<field_delimiter>Comma</field_delimiter>" if delimited else ""
        place = f"<offset unit='byte'>{self.offset}</offset>"
        place += "<parsing_standard_id>PDS DSV 1</parsing_standard_id>" if delimited else ""
        ends = "" if style == "Binary" else "<record_delimiter>Carriage-Return Line-Feed</record_delimiter>"
        named = f"<name>{escape(self.name)}</name>" if self.name else ""
        fields = "".join(one.xml(style) for one in self.fields)
        return (
            f"<Table_{style}>{named}{place}<records>{self.records}</records>{ends}{comma}"
            f"<Record_{style}>{_counts(self.fields)}{size}{fields}</Record_{style}></Table_{style}>"
        )


def _counts(inside: Sequence[Field | Group]) -> str:
    groups = sum(isinstance(one, Group) for one in inside)
    return f"<fields>{len(inside) - groups}</fields><groups>{groups}</groups>"


@dataclass(frozen=True)
class Array:
    """An array."""

    tag: str
    """`Array_3D_Image` and the like."""
    name: str
    kind: str
    """`data_type` of an element."""
    axes: Mapping[str, int]
    """Their sizes."""
    offset: int = 0
    order: str = "Last Index Fastest"
    scaling: tuple[float, float] | None = None
    """Factor and offset of values."""
    constants: Mapping[str, str] = field(default_factory=dict)
    """Special constants."""

    def xml(self) -> str:
        """Return its element."""
        scale = ""
        if self.scaling:
            factor, shift = self.scaling
            scale = f"<scaling_factor>{factor}</scaling_factor><value_offset>{shift}</value_offset>"
        special = "".join(f"<{key}>{value}</{key}>" for key, value in self.constants.items())
        constants = f"<Special_Constants>{special}</Special_Constants>" if special else ""
        lines = "".join(
            f"<Axis_Array><axis_name>{axis}</axis_name><elements>{size}</elements>"
            f"<sequence_number>{number}</sequence_number></Axis_Array>"
            for number, (axis, size) in enumerate(self.axes.items(), 1)
        )
        named = f"<name>{self.name}</name>" if self.name else ""
        return (
            f"<{self.tag}>{named}<offset unit='byte'>{self.offset}</offset><axes>{len(self.axes)}</axes>"
            f"<axis_index_order>{self.order}</axis_index_order><Element_Array><data_type>{self.kind}</data_type>{scale}"
            f"</Element_Array>{lines}{constants}</{self.tag}>"
        )


@dataclass(frozen=True)
class Label:
    """What a label says beside its structures, and how it is written."""

    suffix: str = ""
    """In place of that of the data; by default the label is `<name>L`."""
    size: int | None = None
    """Bytes of the data, as it says; by default the right number."""
    span: tuple[str, str] = ("", "")
    """Start and stop, UTC without a zone."""
    mission: str = ""
    """Elements of the mission area."""
    schema: str = f"{_PDS4} https://pds.nasa.gov/pds4/pds/v1/PDS4_PDS_1B00.xsd"
    """`schemaLocation`."""
    encoding: str = "utf-8"
    """What it is written in; it always says UTF-8."""


def write_product(
    folder: Path, name: str, data: bytes, structures: Sequence[Header | Table | Array], label: Label
) -> Pair:
    """Write a data file and its label; `folder` is made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    beside = path.with_suffix(label.suffix) if label.suffix else folder / f"{name}L"
    path.write_bytes(data)
    told = zip(("start_date_time", "stop_date_time"), label.span, strict=True)
    times = "".join(f"<{tag}>{one}Z</{tag}>" for tag, one in told if one)
    area = f"<Mission_Area><product_id>{name}</product_id>{label.mission}</Mission_Area>" if label.mission else ""
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    digest = "" if label.mission else f"<md5_checksum>{md5}</md5_checksum>"
    bytes_told = len(data) if label.size is None else label.size
    described = "\n".join(one.xml() for one in structures)
    text = f"""<?xml version="1.0" encoding="UTF-8"?>
<Product_Observational xmlns="{_PDS4}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
 xsi:schemaLocation="{label.schema}">
<Identification_Area><logical_identifier>{name}</logical_identifier><title>simulated</title></Identification_Area>
<Observation_Area><Time_Coordinates>{times}</Time_Coordinates>{area}
</Observation_Area>
<File_Area_Observational>
<File><file_name>{name}</file_name><file_size unit="byte">{bytes_told}</file_size>{digest}</File>
{described}
</File_Area_Observational>
</Product_Observational>
"""
    beside.write_text(text, label.encoding)
    return Pair(path, beside)
