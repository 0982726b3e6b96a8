"""Plain PDS4 products: small pairs of data and label, as the Information Model 1.x has them, and what is in them."""

from __future__ import annotations

import hashlib
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
    standard = "<parsing_standard_id>7-Bit ASCII Text</parsing_standard_id>"
    size = f"<object_length unit='byte'>{starts[1]}</object_length>"
    xml = [f"<Header><offset unit='byte'>0</offset>{size}{standard}</Header>"]
    for style, start, length in zip(_STYLES, starts[1:], (kind.itemsize, len(fixed) // records, 0), strict=False):
        types, places, (place, width) = _STYLES[style]
        stamp, *numbers, item = types
        names = zip(("stamp", "real", "count"), (stamp, *numbers), places, strict=True)
        fields = [field_xml(style, one, said, *at) for one, said, at in names]
        inner = group_xml(style, "inner", 2, [field_xml(style, "pair", item, 1, width)], 1, 2 * width)
        fields.append(group_xml(style, "outer", 3, [inner], place, 6 * width))
        xml.append(table_xml(style, fields, records, length=length, offset=start, name=style.lower()))
    constants = {"missing_constant": "-32768", "saturated_constant": "-32767"}
    axes = {"Band": 2, "Line": 3, "Sample": 4}
    xml.append(
        array_xml("Array_3D", "cube", "SignedMSB2", axes, offset=starts[4], scaling=(0.5, 10.0), constants=constants)
    )
    pair = write_product(folder, "product.dat", b"".join(parts), "\n".join(xml), suffix=".xml")
    values = np.where(np.isin(cube, (-32768, -32767)), np.nan, cube * 0.5 + 10.0).astype(np.float32)
    return Pair(pair.data, pair.label, {**truth, "cube": values})


def field_xml(  # noqa: PLR0913 - what a label says of a field
    style: str, name: str, kind: str, location: int = 0, length: int = 0, *, unit: str = "", more: str = ""
) -> str:
    """Return the element of a field; `style` is Binary, Character or Delimited, locations are from 1."""
    place = f"<field_location unit='byte'>{location}</field_location>" if location else ""
    size = f"<field_length unit='byte'>{length}</field_length>" if length else ""
    told = f"<unit>{escape(unit)}</unit>" if unit else ""
    named = f"<name>{escape(name)}</name>{place}<data_type>{kind}</data_type>{size}{told}{more}"
    return f"<Field_{style}>{named}</Field_{style}>"


def group_xml(  # noqa: PLR0913, PLR0917 - what a label says of a group
    style: str, name: str, repetitions: int, inside: list[str], location: int = 0, length: int = 0
) -> str:
    """Return the element of a group of fields and groups, `length` bytes with all of its repetitions."""
    place = f"<group_location unit='byte'>{location}</group_location>" if location and length else ""
    size = f"<group_length unit='byte'>{length}</group_length>" if location and length else ""
    named = f"<name>{escape(name)}</name><repetitions>{repetitions}</repetitions>{_counts(inside)}{place}{size}"
    return f"<Group_Field_{style}>{named}{''.join(inside)}</Group_Field_{style}>"


def table_xml(  # noqa: PLR0913 - what a label says of a table
    style: str, fields: list[str], records: int, *, length: int = 0, offset: int = 0, name: str = ""
) -> str:
    """Return the element of a table of records of `length` bytes."""
    size = f"<record_length unit='byte'>{length}</record_length>" if length else ""
    comma = "<field_delimiter>Comma</field_delimiter>" if style == "Delimited" else ""
    place = f"<offset unit='byte'>{offset}</offset>"
    place += "<parsing_standard_id>PDS DSV 1</parsing_standard_id>" if style == "Delimited" else ""
    ends = "" if style == "Binary" else "<record_delimiter>Carriage-Return Line-Feed</record_delimiter>"
    named = f"<name>{escape(name)}</name>" if name else ""
    return (
        f"<Table_{style}>{named}{place}<records>{records}</records>{ends}{comma}"
        f"<Record_{style}>{_counts(fields)}{size}{''.join(fields)}</Record_{style}></Table_{style}>"
    )


def _counts(inside: list[str]) -> str:
    groups = sum(one.startswith("<Group") for one in inside)
    return f"<fields>{len(inside) - groups}</fields><groups>{groups}</groups>"


def array_xml(  # noqa: PLR0913 - what a label says of an array
    tag: str,
    name: str,
    kind: str,
    axes: dict[str, int],
    *,
    offset: int = 0,
    order: str = "Last Index Fastest",
    scaling: tuple[float, float] | None = None,
    constants: dict[str, str] | None = None,
) -> str:
    """Return the element of an array in a label."""
    scale = f"<scaling_factor>{scaling[0]}</scaling_factor><value_offset>{scaling[1]}</value_offset>" if scaling else ""
    special = "".join(f"<{key}>{value}</{key}>" for key, value in (constants or {}).items())
    lines = "".join(
        f"<Axis_Array><axis_name>{axis}</axis_name><elements>{size}</elements>"
        f"<sequence_number>{number}</sequence_number></Axis_Array>"
        for number, (axis, size) in enumerate(axes.items(), 1)
    )
    return (
        f"<{tag}>{f'<name>{name}</name>' if name else ''}<offset unit='byte'>{offset}</offset><axes>{len(axes)}</axes>"
        f"<axis_index_order>{order}</axis_index_order><Element_Array><data_type>{kind}</data_type>{scale}"
        f"</Element_Array>{lines}{f'<Special_Constants>{special}</Special_Constants>' if special else ''}</{tag}>"
    )


def write_product(  # noqa: PLR0913 - what a label says of a product
    folder: Path,
    name: str,
    data: bytes,
    structures: str,
    *,
    suffix: str = "",
    size: int | None = None,
    span: tuple[str, str] = ("", ""),
    mission: str = "",
    schema: str = f"{_PDS4} https://pds.nasa.gov/pds4/pds/v1/PDS4_PDS_1B00.xsd",
    encoding: str = "utf-8",
) -> Pair:
    """Write a data file and its label.

    Parameters
    ----------
    folder, name, data
        The data file; `folder` is made if it is not there.
    structures
        Elements of its tables and arrays.
    suffix
        Of the label, in place of that of the data; by default the label is `<name>L`.
    size
        Bytes that the label says; by default the right number.
    span
        Start and stop, UTC without a zone.
    mission
        Elements of the mission area.
    schema
        `schemaLocation`.
    encoding
        Of the label, which always says UTF-8.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    label = path.with_suffix(suffix) if suffix else folder / f"{name}L"
    path.write_bytes(data)
    told = zip(("start_date_time", "stop_date_time"), span, strict=True)
    times = "".join(f"<{tag}>{one}Z</{tag}>" for tag, one in told if one)
    area = f"<Mission_Area><product_id>{name}</product_id>{mission}</Mission_Area>" if mission else ""
    digest = "" if mission else f"<md5_checksum>{hashlib.md5(data, usedforsecurity=False).hexdigest()}</md5_checksum>"
    bytes_told = len(data) if size is None else size
    text = f"""<?xml version="1.0" encoding="UTF-8"?>
<Product_Observational xmlns="{_PDS4}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
 xsi:schemaLocation="{schema}">
<Identification_Area><logical_identifier>{name}</logical_identifier><title>simulated</title></Identification_Area>
<Observation_Area><Time_Coordinates>{times}</Time_Coordinates>{area}
</Observation_Area>
<File_Area_Observational>
<File><file_name>{name}</file_name><file_size unit="byte">{bytes_told}</file_size>{digest}</File>
{structures}
</File_Area_Observational>
</Product_Observational>
"""
    label.write_text(text, encoding)
    return Pair(path, label)
