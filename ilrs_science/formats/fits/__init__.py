"""FITS, the Flexible Image Transport System (Standard 4.0): images, tables, and images compressed in tiles."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ilrs_science.errors import IlrsError
from ilrs_science.formats.fits.cards import Cards
from ilrs_science.formats.fits.header import Frame, Hdu, frame, unique
from ilrs_science.formats.fits.image import image, within
from ilrs_science.formats.fits.table import length, table
from ilrs_science.formats.fits.time import observed, span
from ilrs_science.formats.fits.wcs import Sections, wcs
from ilrs_science.formats.format import Format, granule
from ilrs_science.formats.opening import opens
from ilrs_science.geometry.labels import TAI
from ilrs_science.model.granule import Granule

__all__ = ["FORMAT", "index_fits", "read_fits", "wcs"]

_IMAGES = ("image", "compressed")
_START = re.compile(rb"SIMPLE  = {1,30}[TF] *(?:/|$)")
_FIRST_CARDS = 240


@opens
def read_fits(
    path: Path,
    *,
    hdu: int | str | None = None,
    section: Sections | None = None,
    columns: Sequence[str] | None = None,
) -> xr.Dataset | xr.DataTree:
    """Return the images and tables of a FITS file.

    Parameters
    ----------
    path
        The file.
    hdu
        Number (0 is the primary one) or EXTNAME of the one HDU to read; all where None.
    section
        A slice for each axis, in the order of NumPy, of the one image to read; only that part is read.
    columns
        Names of the columns to read of the one table to read.

    Returns
    -------
    A dataset where one HDU holds data or was asked for, else a tree of datasets by EXTNAME, or `hdu<number>` where
    there is none; its root has the attributes of the primary header.

    An image is the variable `image` with dimensions `x` (fastest), `y`, `z`, `axis4` and so on. Unsigned integers and
    signed bytes stay what they are; other scaled integers become float32 (8 and 16 bits) or float64, with NaN for
    BLANK. An axis that is linear and stands alone has a coordinate; `wcs` makes the rest. Where the header tells a time
    it is the coordinate `time`, int64 TAI ns, and the exposure the attribute `exposure`, s; the image takes both from
    the primary header where its own has none and the primary one holds no data.

    A table has variables along `row`, or along `time` where a column TIME has a known zero (MJDREF). Cells with several
    values have dimensions `<name>_1` and so on. Cells of any length lie one after the other along `<name>_element`, and
    `<name>_length` says how many each row has. A table in the cells of one row, all of one length, is turned upright.

    Attributes are the cards that do not concern the layout of bytes, comments joined. `rejected` counts what was left
    out, `repaired` lists what was interpreted or not understood.

    Raises
    ------
    FormatError
        The file is no FITS, is damaged, or is shorter than its headers declare; or it has what is not read: random
        groups, tiles of other codes than Rice and gzip, arrays of bits of any length.
    IlrsError
        There is no such HDU or column, or the section does not fit.
    OSError
        There is no such file.
    """
    file = frame(path)
    chosen = _chosen(file, hdu)
    if section is not None and [one.kind for one in chosen] not in ([kind] for kind in _IMAGES):
        raise IlrsError(f"{path}: a section is of one image; name it by `hdu`: {_listed(file)}")
    if columns is not None and [one.kind for one in chosen] not in ([kind] for kind in ("bintable", "table")):
        raise IlrsError(f"{path}: columns are those of one table; name it by `hdu`: {_listed(file)}")
    parts = [part(file, one, section, columns) for one in chosen]
    return parts[0] if hdu is not None else gathered(file, chosen, parts)


def index_fits(path: Path) -> list[Granule]:
    """Return what a FITS file holds, from its headers: images, or rows of its first table.

    Raises
    ------
    FormatError
        As in `read_fits`.
    OSError
        There is no such file.
    """
    file = frame(path)
    return described(file, "fits", file.held)


def _recognises(head: bytes, _path: Path) -> bool:
    return bool(_START.match(head[:80])) and b"BITPIX  =" in head[:_FIRST_CARDS]


FORMAT = Format("fits", "Flexible Image Transport System", "astropy", _recognises, read_fits, index_fits)


def part(file: Frame, hdu: Hdu, section: Sections | None = None, columns: Sequence[str] | None = None) -> xr.Dataset:
    """Return the dataset of one HDU, with the attributes of its header."""
    attributes, notes = hdu.cards.attributes()
    if hdu.kind not in _IMAGES:
        ds = table(file.path, hdu, columns) if hdu.kind in ("bintable", "table") else xr.Dataset(attrs={"rejected": {}})
        return with_attributes(ds, attributes, notes)
    if section is not None:
        section = within(hdu, section)
        attributes["section"] = [[one.start, one.stop, one.step] for one in section]
    variable, coordinates = image(file.path, hdu, section)
    times = observed(_dated(file, hdu))
    if times.start is not None:
        coordinates["time"] = xr.Variable((), np.int64(times.start), TAI)
    if times.exposure is not None:
        attributes["exposure"] = times.exposure
    return with_attributes(
        xr.Dataset({"image": variable}, coordinates, {"rejected": {}}), attributes, notes + times.notes
    )


def with_attributes(ds: xr.Dataset, attributes: dict[str, Any], notes: Iterable[str]) -> xr.Dataset:
    """Return a dataset with the attributes of a header before its own, and with what was interpreted."""
    repaired = [*ds.attrs.get("repaired", []), *dict.fromkeys(notes)]
    return ds.assign_attrs({**attributes, **ds.attrs, **({"repaired": repaired} if repaired else {})})


def gathered(
    file: Frame, hdus: list[Hdu], parts: list[xr.Dataset], *, names: Sequence[str] = ()
) -> xr.Dataset | xr.DataTree:
    """Return the datasets of a file as one, or as a tree by name, with the attributes of the primary header.

    Parameters
    ----------
    file, hdus, parts
        The file, and the HDUs that were read with what they hold.
    names
        Of the children; EXTNAME where none are given.
    """
    known = len(hdus) == 1 and not hdus[0].number
    primary, notes = ({}, []) if known else file.hdus[0].cards.attributes()
    if not all(hdu.cards.raw.isascii() for hdu in file.hdus):
        notes.append("letters in the headers that are not ASCII, read as Latin-1")
    whole = with_attributes(xr.Dataset(attrs={"rejected": file.rejected}), primary, notes)
    if len(parts) == 1:
        attributes = parts[0].attrs
        both = dict.fromkeys([*whole.attrs.get("repaired", []), *attributes.get("repaired", [])])
        more = {"rejected": file.rejected | attributes["rejected"], **({"repaired": list(both)} if both else {})}
        return parts[0].assign_attrs({**whole.attrs, **attributes, **more})
    if not parts:
        return whole
    used: set[str] = set()
    given = names or [hdu.name for hdu in hdus]
    clean = [name.replace("/", "_").strip(".") or f"hdu{hdu.number}" for name, hdu in zip(given, hdus, strict=True)]
    children = {unique(name, used): found for name, found in zip(clean, parts, strict=True)}
    return xr.DataTree.from_dict({"/": whole, **{f"/{name}": found for name, found in children.items()}})


def described(file: Frame, name: str, hdus: list[Hdu]) -> list[Granule]:
    """Return a granule for each site and instrument that these HDUs name, or else the primary header."""
    images = [hdu for hdu in hdus if hdu.kind in _IMAGES]
    counted = images or hdus[:1]
    sources: dict[tuple[str, str], list[Hdu]] = {}
    primary = file.hdus[0].cards
    for hdu in counted:
        instrument = hdu.cards.text("INSTRUME") or primary.text("INSTRUME")
        site = hdu.cards.text("TELESCOP", "OBSRVTRY") or primary.text("TELESCOP", "OBSRVTRY")
        sources.setdefault((site, instrument), []).append(hdu)
    found = []
    for (site, instrument), members in (sources or {("", ""): []}).items():
        spans = [one for one in (_span(file, hdu) for hdu in members) if one]
        limits = (min(first for first, _ in spans), max(last for _, last in spans)) if spans else None
        count = len(members) if images else sum(length(hdu) for hdu in members)
        found.append(granule(file.path, name, count=count, span=limits, instrument=instrument, site=site))
    return found


def _span(file: Frame, hdu: Hdu) -> tuple[int, int] | None:
    """Return the first and last moment of an HDU: as its header tells, or the times in its rows."""
    found = span(_dated(file, hdu))
    if found is None and hdu.kind in ("bintable", "table"):
        times = table(file.path, hdu, ()).coords.get("time")
        if times is not None and times.size:
            return int(times.min()), int(times.max())
    return found


def _dated(file: Frame, hdu: Hdu) -> Cards:
    """Return the header that tells the times of an HDU: its own, or the primary one where that holds no data."""
    primary = file.hdus[0]
    return hdu.cards if span(hdu.cards) or primary.kind != "empty" else primary.cards


def _chosen(file: Frame, wanted: int | str | None) -> list[Hdu]:
    if wanted is None:
        return file.held
    for hdu in file.hdus:
        if wanted == hdu.number or (isinstance(wanted, str) and wanted.upper() == hdu.name.upper() != ""):
            return [hdu]
    raise IlrsError(f"{file.path}: no HDU {wanted!r}; there are {_listed(file)}")


def _listed(file: Frame) -> str:
    return ", ".join(f"{hdu.number} {hdu.name or '(no name)'} ({hdu.kind})" for hdu in file.hdus)
