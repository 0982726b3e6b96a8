"""Labels of PDS4 products: XML that is read however it is encoded and spelled, and the data files it describes.

Terms and element names are those of the PDS4 Information Model 1.x (pds.nasa.gov/pds4) and of the labels that
GRAS, the Ground Research and Application System of the Chinese lunar programme, has written since Chang'e-4.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError
from xml.parsers.expat import errors

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from ilrs_science.errors import FormatError
from ilrs_science.formats.foreign import foreign
from ilrs_science.formats.format import HEAD

LARGEST = 8 * 2**20
"""Bytes of a label, at most."""
_DEEPEST = 48
_UNBOUND = errors.codes[errors.XML_ERROR_UNBOUND_PREFIX]
_DECLARED = re.compile(rb"\s*<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([\w.-]{1,40})")
_ENCODINGS = ("utf-8", "us-ascii", "iso-8859-1", "windows-1252", "gb2312", "gbk", "gb18030")
_HIGH = re.compile(rb"[\x80-\xff]+")
_PREFIX = re.compile(r"[<\s/]([A-Za-z_][\w.-]{0,60}):[A-Za-z_]")
_BOUND = re.compile(r"\bxmlns:([A-Za-z_][\w.-]{0,60})")
_ROOT = re.compile(r"<[A-Za-z_][\w.:-]*")
_PRODUCT = re.compile(r"<(?:[\w.-]{1,60}:)?Product_[A-Z]")
_WHOLE = re.compile(r"\+?(\d{1,15})(?:\.0*)?", re.ASCII)
_LONGEST_NAME = 255
_QUOTES = "\"'` \t\r\n\u2018\u2019\u201c\u201d\u3000\xa0\ufeff\ufffd"


@dataclass
class Label:
    """A label that was parsed."""

    path: Path
    root: Element
    """Its tree, without namespaces."""
    repaired: list[str] = field(default_factory=list)
    """What did not hold in it, or had to be interpreted."""


def is_label(head: bytes) -> bool:
    """Return whether a file that starts so is a label of PDS4."""
    text = head.decode("utf-16" if head.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "latin-1", "ignore")
    text = text.removeprefix(BOM_UTF8.decode("latin-1")).lstrip()
    named = "pds.nasa.gov/pds4" in text or "Identification_Area" in text
    return text.startswith("<") and named and bool(_PRODUCT.search(text))


def pair(path: Path) -> tuple[Path, Path | None]:
    """Return the label of a file, and the file where that is the data.

    The label of `<data>` is `<data>L` (GRAS) or has the same stem and the suffix `.xml`.

    Raises
    ------
    FormatError
        The file is no label, and none lies beside it.
    OSError
        There is no such file, or it cannot be read.
    """
    with path.open("rb") as file:
        if is_label(file.read(HEAD)):
            return path, None
    candidates = labels_beside(path)
    for candidate in candidates:
        if candidate != path and candidate.is_file():
            return candidate, path
    names = ", ".join(candidate.name for candidate in candidates)
    raise FormatError(f"{path}: no PDS4 label, and none lies beside it: {names}")


def labels_beside(path: Path) -> list[Path]:
    """Return what the label of a data file may be called."""
    folder, names = path.parent, (f"{path.name}L", f"{path.name}l", f"{path.stem}.xml", f"{path.stem}.XML")
    return [folder / name for name in names]


def read_label(path: Path) -> Label:
    """Return the tree of a label.

    Raises
    ------
    FormatError
        It is too large, no XML, has a document type, entities, or no product of PDS4.
    """
    size = path.stat().st_size
    if size > LARGEST:
        raise FormatError(f"{path}: a label of {size} bytes; at most {LARGEST} are read")
    repaired: list[str] = []
    text = _decoded(path.read_bytes(), repaired)
    root = _parsed(path, text, repaired)
    _simplify(path, root)
    if not root.tag.startswith("Product_"):
        raise FormatError(f"{path}: a document {root.tag!r}, no product of PDS4")
    return Label(path, root, repaired)


def _decoded(raw: bytes, repaired: list[str]) -> str:
    """Return the text of a label; where the declared encoding does not hold, in GB18030 or Latin-1."""
    if raw.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return raw.decode("utf-16", "replace")
    raw = raw.removeprefix(BOM_UTF8).strip(b"\0 \t\r\n")
    match = _DECLARED.match(raw)
    declared = match[1].decode("ascii", "ignore").lower() if match else "utf-8"
    if declared not in _ENCODINGS:
        repaired.append(f"label: encoding {declared}; read as utf-8")
        declared = "utf-8"
    # Chinese text comes in runs of two bytes a character; single ones are accents and signs of Latin-1.
    pairs = any(len(run) > 1 for run in _HIGH.findall(raw))
    for encoding in (declared, *(["gb18030"] if pairs else []), "latin-1"):
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        if encoding != declared:
            repaired.append(f"label: the bytes are no {declared}; read as {encoding}")
        return text
    raise AssertionError  # Latin-1 decodes anything


def _parsed(path: Path, text: str, repaired: list[str]) -> Element:
    """Return the root, with a declaration of the prefixes that have none."""
    with foreign(path, "XML"):
        try:
            return _tree(text)
        except DefusedXmlException as error:
            raise FormatError(f"{path}: a document type or an entity, which is refused ({error})") from error
        except ParseError as error:
            if error.code != _UNBOUND:
                raise
        used = set(_PREFIX.findall(text)) - {"xml", "xmlns"}
        missing = sorted(used - set(_BOUND.findall(text)))
        repaired.append(f"label: no namespace is given for {', '.join(missing)[:200]}")
        declarations = "".join(f' xmlns:{prefix}="{prefix}"' for prefix in missing)
        return _tree(_ROOT.sub(lambda root: root[0] + declarations, text, count=1))


def _tree(text: str) -> Element:
    root: Element = fromstring(text, forbid_dtd=True, forbid_entities=True, forbid_external=True)
    return root


def _simplify(path: Path, root: Element) -> None:
    """Take the namespaces away, and refuse what is nested too deep."""
    level, depth = [root], 0
    while level:
        if depth > _DEEPEST:
            raise FormatError(f"{path}: elements nested more than {_DEEPEST} deep")
        for element in level:
            element.tag = element.tag.rpartition("}")[2]
        level, depth = [child for element in level for child in element], depth + 1


def text(element: Element, place: str) -> str:
    """Return the text at a place below an element, blanks made single; empty where there is none, or `None`."""
    found = " ".join((element.findtext(place) or "").split())
    return "" if found == "None" else found


def whole(label: Label, element: Element, place: str, default: int | None = None) -> int:
    """Return the whole number at a place below an element.

    Raises
    ------
    FormatError
        There is none and no default, or it is no such number.
    """
    found = text(element, place)
    if not found and default is not None:
        return default
    match = _WHOLE.fullmatch(found)
    if match is None:
        name = text(element, "name")
        raise FormatError(
            f"{label.path}: {place} of {element.tag} {name} is {found[:60]!r}; a whole number from 0 is allowed"
        )
    return int(match[1])


def tree_of(element: Element) -> dict[str, Any] | str:
    """Return an element as nested dictionaries of text; what comes several times is a list, in order.

    A text with a unit is `{"value": ..., "unit": ...}`. Fields of tables are left out: they are variables.
    """
    children: dict[str, Any] = {}
    for child in element:
        if not child.tag.startswith(("Field_", "Group_Field_", "Packed_Data_Fields")):
            children.setdefault(child.tag, []).append(tree_of(child))
    if children:
        return {tag: found[0] if len(found) == 1 else found for tag, found in children.items()}
    own = " ".join((element.text or "").split())
    return {"value": own, "unit": element.get("unit", "")} if element.get("unit") else own


def file_name(label: Label, area: Element) -> str:
    """Return the name of the data file of a file area, or nothing.

    Raises
    ------
    FormatError
        The name leads out of the folder of the label.
    """
    name = text(area, "File/file_name").strip(_QUOTES)
    if Path(name).name != name or name in (".", "..") or "\\" in name or len(name.encode()) > _LONGEST_NAME:
        raise FormatError(f"{label.path}: file_name {name[:100]!r}; a data file lies in the folder of its label")
    return name


def file_of(label: Label, area: Element) -> Path:
    """Return the data file of a file area: in the folder of the label, and nowhere else.

    Where the file that is named is absent, it is the one that the label itself is named after.

    Raises
    ------
    FormatError
        The name leads out of the folder, or there is no such file.
    """
    name = file_name(label, area)
    data = label.path.parent / name
    if not name or not data.is_file():
        data = _namesake(label, name)
        label.repaired.append(f"file_name {name!r}: absent; {data.name!r} is named like the label")
    if data.resolve().parent != label.path.parent.resolve():
        raise FormatError(f"{label.path}: {data.name} is a link out of the folder of the label")
    return data


def _namesake(label: Label, name: str) -> Path:
    """Return the only file that the label, or the file it names, is named after."""
    folder, suffix = label.path.parent, label.path.suffix.lower()
    stripped = folder / label.path.name[:-1]
    if suffix.endswith("l") and suffix not in (".xml", ".lbl", ".l") and stripped.is_file():
        return stripped
    others = [other for other in folder.iterdir() if other != label.path and other.is_file()]
    found = [other for other in others if other.name.lower() == name.lower()]
    found = found or [other for other in others if other.stem == label.path.stem and other.suffix.lower() != suffix]
    if len(found) != 1:
        raise FormatError(
            f"{label.path}: file_name {name!r} is absent, and {len(found)} files are named like the label"
        )
    return found[0]
