"""The file areas of a PDS4 label: which structures lie where in which file, and what the label says of it wrongly."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element

from ilrs_science.errors import FormatError
from ilrs_science.formats.pds4.label import Label, file_name, file_of, text, whole

_READ = ("Table_Binary", "Table_Character", "Table_Delimited", "Inventory")
_PLACED = ("offset", "object_length", "parsing_standard_id")
"""Elements that every structure has, and nothing else in a file area."""
_DIGESTED = 8 * 2**20
"""Bytes: of larger files a digest would take longer than reading."""
_MANY = 4096
_AMPLIFIED = 8
"""Structures may overlap, but not so much that a small file makes a large dataset."""


@dataclass(frozen=True)
class Structure:
    """A table or an array in a data file."""

    kind: str
    """Its element: `Table_Binary`, `Array_2D_Image`."""
    name: str
    """Its name, else local identifier, else kind."""
    element: Element
    data: Path
    offset: int
    """Bytes before it."""
    end: int
    """Byte where the next structure or the end of the file stops it."""
    last: bool
    """Whether the file ends it."""


@dataclass(frozen=True)
class FileArea:
    """A data file and what is in it."""

    element: Element
    data: Path
    structures: list[Structure]
    """Those that can be read."""
    headers: list[str]
    """Where headers lie, which are not read."""
    others: list[str]
    """Structures of kinds that are not read."""


def file_areas(label: Label, data: Path | None) -> list[FileArea]:
    """Return the files of a label; only one where the data file is given.

    Raises
    ------
    FormatError
        There is no file area, none is of the given file, or a structure lies outside of its file.
    """
    areas = [element for element in label.root.iter() if element.tag.startswith("File_Area")]
    if not areas:
        raise FormatError(f"{label.path}: a label without data: no file area")
    if data is None:
        return [_file_area(label, area, file_of(label, area)) for area in areas]
    names = [file_name(label, area) for area in areas]
    named = [area for area, name in zip(areas, names, strict=True) if name == data.name]
    if not named and len(areas) == 1 and not (names[0] and (label.path.parent / names[0]).is_file()):
        named = areas
        label.repaired.append(f"file_name {names[0]!r}: absent; the data file is {data.name!r}")
    if not named:
        raise FormatError(f"{data}: not among the {len(areas)} files that its label {label.path.name} names")
    return [_file_area(label, area, data) for area in named]


def _file_area(label: Label, area: Element, data: Path) -> FileArea:
    size = data.stat().st_size
    placed = [child for child in area if any(child.find(tag) is not None for tag in _PLACED) or _readable(child)]
    if len(placed) > _MANY:
        raise FormatError(f"{label.path}: {len(placed)} structures in {data.name}; {_MANY} are read")
    offsets = [_offset(label, child, size, first=number == 0) for number, child in enumerate(placed)]
    structures, headers, others = [], [], []
    for child, offset in zip(placed, offsets, strict=True):
        end = min((other for other in offsets if other > offset), default=size)
        name = text(child, "name") or text(child, "local_identifier") or child.tag
        if _readable(child):
            structures.append(Structure(child.tag, name, child, data, offset, end, last=end == size))
        elif child.tag == "Header":
            headers.append(f"{name}: {whole(label, child, 'object_length', end - offset)} bytes from byte {offset}")
        else:
            others.append(f"{child.tag} {name} from byte {offset}")
    if sum(structure.end - structure.offset for structure in structures) > _AMPLIFIED * size + 1:
        raise FormatError(f"{label.path}: {len(structures)} structures that overlap in {data.name}")
    declared = text(area, "File/file_size")
    if declared and declared != str(size):
        label.repaired.append(f"file_size {declared[:40]}: {data.name} has {size} bytes")
    return FileArea(area, data, structures, headers, others)


def _readable(element: Element) -> bool:
    return element.tag in _READ or element.tag == "Array" or element.tag.startswith("Array_")


def _offset(label: Label, element: Element, size: int, *, first: bool) -> int:
    if element.find("offset") is None and first:
        label.repaired.append(f"{element.tag}: no offset; read from byte 0")
    offset = whole(label, element, "offset", 0 if first else None)
    if offset > size:
        raise FormatError(f"{label.path}: {element.tag} from byte {offset} of a file of {size} bytes")
    return offset


def digest(label: Label, area: FileArea) -> dict[str, str]:
    """Return the declared MD5 of a data file and whether it holds, as attributes; none where none is declared."""
    declared = text(area.element, "File/md5_checksum").lower()
    if not declared:
        return {}
    if area.data.stat().st_size > _DIGESTED:
        return {"md5_checksum": declared, "md5_verified": f"no, larger than {_DIGESTED} bytes"}
    with area.data.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != declared:
        label.repaired.append(f"md5_checksum {declared[:40]}: {area.data.name} has {found}; suspect")
    return {"md5_checksum": declared, "md5_verified": "yes" if found == declared else "no, another"}
