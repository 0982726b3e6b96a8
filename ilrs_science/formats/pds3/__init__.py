"""PDS3 products: images, cubes and tables with an attached or a detached label (PDS Standards Reference 3.8).

A label is trusted where it agrees with the bytes. Where it does not, what was read against it is listed in the
attribute `repaired`, and what it says of another product, of which this one was cut, in `suspect`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import xarray as xr

from ilrs_science.errors import FormatError
from ilrs_science.formats.foreign import foreign
from ilrs_science.formats.format import Format, granule
from ilrs_science.formats.opening import opens
from ilrs_science.formats.pds3.companions import companions
from ilrs_science.formats.pds3.image import expand, image_dataset, image_layout, read_image
from ilrs_science.formats.pds3.label import Label, Quantity, count, is_label, plain_label, read_label, text
from ilrs_science.formats.pds3.place import (
    Described,
    Place,
    Source,
    described,
    included,
    is_padding,
    label_beside,
    place,
    source_of,
)
from ilrs_science.formats.pds3.table import table_dataset
from ilrs_science.formats.text_times import one_time
from ilrs_science.model.granule import Granule

__all__ = ["FORMAT", "Label", "Quantity", "expand", "index_pds3", "read_image", "read_label", "read_pds3"]

_IMAGES = ("IMAGE", "QUBE", "HISTOGRAM")
_LEVEL = re.compile(r"(?:^|[-_ ])((?:[ERCDP]|RE|RD|UD)DR|L\d[A-Z]?)(?=$|[-_ ])")
_CHANGE = re.compile(r"(?:CHANG'?E|CE)[- ]?([3-6])")


@opens
def read_pds3(path: Path, *, what: str | None = None, scaled: bool = False) -> xr.Dataset | xr.DataTree:
    """Return the images and tables that a PDS3 label describes.

    Parameters
    ----------
    path
        The file with an attached label, the detached label, or a data file with a detached label in its folder: one
        of its own name, or one that has a pointer to it. Of a data file only its own objects are read.
    what
        Name of the only object that is wanted.
    scaled
        Whether to apply SCALING_FACTOR and OFFSET, which are attributes otherwise.

    Returns
    -------
    One object as a dataset, several as a tree with a group for each. Images have dimensions in the order of the file,
    `line`, `band` and `sample`, tables `time` or `row`, histograms `bin`; see `table_dataset`. Integers and reals are
    as wide as stored; images that LROC companded are left so, see `expand`. Special constants are NaN in reals; in
    integers they stay, and are named in the attributes.

    Attributes: `label`, the whole label; `absent`, objects of files that are not there; `not_read`, described objects
    of other kinds; `repaired`; `suspect`, what the label says and the bytes do not confirm; `rejected`.

    Raises
    ------
    FormatError
        The bytes are not what the label says, or no object is left.
    OSError
        There is no such file, or it cannot be read.
    """
    with _naming(path):
        return _read(path, what, scaled=scaled)


def index_pds3(path: Path) -> list[Granule]:
    """Return a granule for every data file of a label, or for the one that is given; its url is the data file.

    A granule of a table with times spans these, any other from START_TIME to STOP_TIME of the label.

    Raises
    ------
    FormatError
        There is no label, it is damaged, or no object is left.
    """
    with _naming(path):
        return _index(path)


def _recognises(head: bytes, path: Path) -> bool:
    return is_label(head) or label_beside(path) is not None


FORMAT = Format(
    "pds3", "NASA Planetary Data System, version 3", "own", _recognises, read_pds3, index_pds3, companions=companions
)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the file that was asked for in errors, too, where they are about a file beside it."""
    try:
        yield
    except FormatError as error:
        if str(path) in str(error):
            raise
        raise FormatError(f"{path}: {error}") from error


def _read(path: Path, what: str | None, *, scaled: bool) -> xr.Dataset | xr.DataTree:
    source = source_of(path)
    things, attributes = _things(source)
    if what is not None:
        named = [thing for thing in things if thing[0].name == what.upper()]
        if not named:
            raise FormatError(f"{path}: no object {what}; there are {', '.join(one.name for one, _ in things)}")
        things = named
    found: dict[str, xr.Dataset] = {}
    for thing, where in things:
        ds, repaired = _object(source, thing, where, scaled=scaled)
        suspect = _suspect(thing, where)
        about = {key: value for key, value in (("repaired", repaired), ("suspect", suspect)) if value}
        found[_unique(thing.name, found)] = ds.assign_attrs({"rejected": {}, **about, **ds.attrs})
    if len(found) == 1:
        (ds,) = found.values()
        return ds.assign_attrs(_together(attributes, ds.attrs))
    with foreign(path, "PDS3"):
        return xr.DataTree.from_dict({"/": xr.Dataset(attrs={**attributes, "rejected": {}}), **found})


def _index(path: Path) -> list[Granule]:
    source = source_of(path)
    things, _ = _things(source)
    label = source.found.label
    files: dict[Path, list[tuple[Described, Place]]] = {}
    for thing, where in things:
        files.setdefault(where.path, []).append((thing, where))
    return [
        granule(
            file,
            "pds3",
            count=_count(file, inside),
            span=_times_of(inside) or _span(label),
            instrument=text(label, "INSTRUMENT_ID", "INSTRUMENT_NAME"),
            site=_site(label),
            level=_level(label),
        )
        for file, inside in files.items()
    ]


def _things(source: Source) -> tuple[list[tuple[Described, Place]], dict[str, Any]]:
    """Return the objects that are there and where they lie, and attributes that tell of the label and of the others."""
    label, encoding = source.found.label, source.found.encoding
    things, others = described(label)
    there: list[tuple[Described, Place]] = []
    absent = []
    for thing in things:
        where = place(source, thing)
        if where is None:
            absent.append(thing.name)
        elif source.data is None or where.path == source.data:
            there.append((thing, where))
    lost = [other.name for other in others if place(source, other) is None]
    not_read = [other.name for other in others if other.name not in lost]
    if not there:
        files = f"; the files of {', '.join(absent)} are not beside it" if absent else ""
        raise FormatError(
            f"{source.data or source.path}: no image or table that its label {source.path.name} describes{files}"
        )
    attributes: dict[str, Any] = {"label": plain_label(label)}
    if absent or lost:
        attributes["absent"] = absent + lost
    if not_read:
        attributes["not_read"] = not_read
    if encoding != "ascii":
        attributes["repaired"] = [f"text of the label, which is no ASCII, is taken for {encoding}"]
    return there, attributes


def _object(source: Source, thing: Described, where: Place, *, scaled: bool) -> tuple[xr.Dataset, list[str]]:
    whole = replace(thing, about=included(source.path, thing.about))
    if not thing.name.endswith(_IMAGES):
        if where.offset < where.after:
            raise FormatError(f"{where.path}: ^{thing.name} points to byte {where.offset + 1}, into the label")
        return table_dataset(whole, where, scaled=scaled)
    offset, moved = _offset(thing, where)
    ds, repaired = image_dataset(whole, replace(where, offset=offset), label=source.found.label, scaled=scaled)
    return ds, moved + repaired


def _offset(thing: Described, where: Place) -> tuple[int, list[str]]:
    """Return where an image begins, which is after the label, whatever a pointer into the label says."""
    if where.offset >= where.after:
        return where.offset, []
    size = where.path.stat().st_size
    start = size - image_layout(thing.about, thing.name, str(where.path)).nbytes
    says = f"^{thing.name} points to byte {where.offset + 1}, into the label that reaches to byte {where.after}"
    if start < where.after or not is_padding(where.path, where.after, start):
        raise FormatError(f"{where.path}: {says}, and the rest of the file is not the image")
    return start, [f"{says}; the image is read from byte {start + 1}, after which it fills the file"]


def _suspect(thing: Described, where: Place) -> list[str]:
    """Return what a label says of the file and the bytes of the file do not confirm."""
    size, found = where.path.stat().st_size, []
    records, each = thing.scope.get("FILE_RECORDS"), thing.scope.get("RECORD_BYTES")
    if isinstance(records, int) and isinstance(each, int) and records * each != size:
        found.append(f"FILE_RECORDS = {records} of {each} bytes are {records * each} bytes; the file has {size}")
    digest = thing.about.get("MD5_CHECKSUM")
    if found and isinstance(digest, str) and thing.name.endswith(_IMAGES):
        offset, _ = _offset(thing, where)
        with where.path.open("rb") as file:
            file.seek(offset)
            data = file.read(image_layout(thing.about, thing.name, str(where.path)).nbytes)
        own = hashlib.md5(data, usedforsecurity=False).hexdigest()
        found += [f"MD5_CHECKSUM = {digest}; {thing.name} has {own}"] if own != digest.lower() else []
    return found


def _together(attributes: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of a product and its only object as one."""
    repaired = [*attributes.get("repaired", []), *own.get("repaired", [])]
    return {**attributes, **own, **({"repaired": repaired} if repaired else {})}


def _unique(name: str, taken: Iterable[str]) -> str:
    """Return a name for a group; slashes would divide it."""
    name, number = name.replace("/", "_"), 1
    unique = name
    while unique in taken:
        number += 1
        unique = f"{name}_{number}"
    return unique


def _count(file: Path, inside: list[tuple[Described, Place]]) -> int:
    """Return the rows of the tables in a file, or else its images."""
    tables = [thing for thing, _ in inside if not thing.name.endswith(_IMAGES)]
    if tables:
        return sum(count(included(file, thing.about), "ROWS", thing.name, str(file)) for thing in tables)
    images = [thing for thing, _ in inside if not thing.name.endswith("HISTOGRAM")]
    return max(1, len(images))


def _times_of(inside: list[tuple[Described, Place]]) -> tuple[int, int] | None:
    """Return the first and the last time of the tables in a file."""
    found: list[int] = []
    for thing, where in inside:
        if not thing.name.endswith(_IMAGES):
            whole = replace(thing, about=included(where.path, thing.about))
            ds, _ = table_dataset(whole, where, only_time=True)
            if "time" in ds.coords and ds.sizes["time"]:
                found += [int(ds["time"].min()), int(ds["time"].max())]
    return (min(found), max(found)) if found else None


def _span(label: Label) -> tuple[int, int] | None:
    found = [one_time(text(label, key)) for key in ("START_TIME", "STOP_TIME")]
    known = [moment for moment, good in found if good]
    return (min(known), max(known)) if known else None


def _site(label: Label) -> str:
    """Return the name of a spacecraft, as the catalogue of sites has it where it is one of its."""
    native = text(
        label, "INSTRUMENT_HOST_NAME", "SPACECRAFT_NAME", "MISSION_NAME", "INSTRUMENT_HOST_ID", "SPACECRAFT_ID"
    )
    change = _CHANGE.fullmatch(native.upper())
    if change:
        return f"change-{change[1]}"
    return "clementine" if native.upper() in ("CLEMENTINE 1", "CLEMENTINE") else native


def _level(label: Label) -> str:
    """Return the level of processing, by whichever keyword tells it: EDR, L1B."""
    own = text(label, "PROCESSING_LEVEL_ID")
    if own:
        return own
    for key in ("PRODUCT_TYPE", "DATA_SET_ID"):
        match = _LEVEL.search(text(label, key).upper())
        if match:
            return match[1]
    return text(label, "PRODUCT_TYPE") or "unknown"
