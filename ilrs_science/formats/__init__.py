"""Raw formats: one a file, each a pure function from a path, a URL or bytes to an `xarray.Dataset`.

`read` and `index` recognise the format; `read_<format>` reads one.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import xarray as xr

from ilrs_science.errors import FormatError, is_outage
from ilrs_science.formats import (
    alsep,
    ccsds,
    cdf,
    cef,
    cpf,
    crd,
    ecallisto,
    fits,
    idl,
    lexi,
    matlab,
    miniseed,
    netcdf,
    ogip,
    pds3,
    pds4,
    table,
)
from ilrs_science.formats.alsep import read_alsep
from ilrs_science.formats.ccsds import read_ccsds
from ilrs_science.formats.cdf import read_cdf
from ilrs_science.formats.cef import read_cef
from ilrs_science.formats.contributed import Formats
from ilrs_science.formats.cpf import read_cpf
from ilrs_science.formats.crd import read_crd
from ilrs_science.formats.ecallisto import read_ecallisto
from ilrs_science.formats.fits import read_fits
from ilrs_science.formats.format import HEAD, Format
from ilrs_science.formats.idl import read_idl
from ilrs_science.formats.lexi import read_lexi
from ilrs_science.formats.matlab import read_matlab
from ilrs_science.formats.miniseed import read_miniseed
from ilrs_science.formats.netcdf import read_netcdf
from ilrs_science.formats.ogip import read_ogip
from ilrs_science.formats.opening import Source, fetched, is_zip, members, name_of, named_as, opened, unpacked
from ilrs_science.formats.pds3 import read_pds3
from ilrs_science.formats.pds4 import read_pds4
from ilrs_science.formats.table import read_csv, read_fixed_width
from ilrs_science.model.granule import Granule
from ilrs_science.raw import beside

__all__ = [
    "FORMATS",
    "Format",
    "companions",
    "index",
    "index_copy",
    "read",
    "read_alsep",
    "read_ccsds",
    "read_cdf",
    "read_cef",
    "read_cpf",
    "read_crd",
    "read_csv",
    "read_ecallisto",
    "read_fits",
    "read_fixed_width",
    "read_idl",
    "read_lexi",
    "read_matlab",
    "read_miniseed",
    "read_netcdf",
    "read_ogip",
    "read_pds3",
    "read_pds4",
    "recognise",
]

_MODULES = (fits, ogip, ecallisto, cdf, cef, pds3, pds4, ccsds, lexi, crd, cpf, miniseed, alsep, netcdf, matlab, idl)
FORMATS = Formats({one.name: one for one in (*(module.FORMAT for module in _MODULES), table.FORMAT, table.FIXED_WIDTH)})
"""Every raw format by its name, those of partners' packages too."""


def read(path: Source, *, format: str | None = None, sha256: str = "", **options: Any) -> xr.Dataset | xr.DataTree:  # noqa: A002 - the word for it
    """Read a raw file of any format.

    Parameters
    ----------
    path
        A path, an fsspec URL such as `s3://bucket/key`, `https://host/file` or `zip://member::archive.zip`, bytes, or
        an open binary file; gzip is unpacked. A detached label is looked for beside the file.
    format
        Name of the format, one of `FORMATS`; by default it is recognised by the file's content.
    sha256
        Digest that the file must have.
    **options
        Those of `read_<format>`.

    Returns
    -------
    What the file holds, under its own names, with `units` as astropy reads them, times as a coordinate `time` of int64
    TAI nanoseconds, and rejected records counted by reason in the attribute `rejected`. A tree where the file holds
    several groups.

    Raises
    ------
    FormatError
        No reader, or more than one, takes the file; it is damaged; it has another digest; there is no such format.
    OutageError
        It cannot be fetched: the server does not answer, refuses it, or has no such file.
    OSError
        A local file is not there, or may not be read.
    """
    chosen = FORMATS.named(format) if format is not None else None
    with opened(path, sha256=sha256) as local:
        found = chosen or named_as(path, local, lambda: recognise(local))
        data = named_as(path, local, lambda: found.read(local, **options))
    for one in data.subtree if isinstance(data, xr.DataTree) else [data]:
        one.encoding["source"] = name_of(path)
    return data


def index(path: Source) -> list[Granule]:
    """Return what is in a raw file, mostly without reading its samples.

    Parameters
    ----------
    path
        As in `read`; of a zip archive, every file in it.

    Returns
    -------
    A granule for each instrument and site in the file: `format`, `instrument` and `site` as the file says, `start` and
    `stop` in TAI nanoseconds, half-open, both 0 where it tells no time, and `count` of samples. What a label describes
    has the URL of the data. `beside` names the files that the reader opens too, by their roles, `label` above all.

    Raises
    ------
    FormatError
        No reader, or more than one, takes the file, or it is damaged.
    OutageError
        It cannot be fetched: the server does not answer, refuses it, or has no such file.
    OSError
        A local file is not there, or may not be read.
    """
    with fetched(path) as copy:
        return index_copy(copy, name_of(path))


def index_copy(copy: Path, url: str) -> list[Granule]:
    """Return what is in a raw file, of which there is a local copy with the same bytes; else as `index`."""
    if is_zip(url):
        return _index_archive(url)
    with unpacked(copy, url) as local:
        return named_as(url, local, lambda: _index_plain(local, copy, url))


def companions(copy: Path, url: str) -> tuple[str, dict[str, Granule]]:
    """Return the format of a raw file, of which there is a local copy, and the files beside it that its reader opens.

    Raises
    ------
    FormatError
        No reader, or more than one, takes the file, or what lies beside it is damaged.
    """
    with unpacked(copy, url) as local:
        found = named_as(url, local, lambda: recognise(local))
        return found.name, named_as(url, local, lambda: _beside(found, local, url))


def index_archive(name: str) -> tuple[list[Granule], list[str]]:
    """Return what is in the files of a zip archive, and why some of them are not taken.

    Raises
    ------
    FormatError
        It is no archive that can be read.
    """
    found: list[Granule] = []
    reasons = []
    for member in members(name):
        try:
            found += index(member)
        except (FormatError, OSError) as error:
            if is_outage(error):
                raise
            reasons.append(str(error))
    return list(dict.fromkeys(found)), reasons


def recognise(path: Path) -> Format:
    """Return the format of a local, uncompressed file.

    Raises
    ------
    FormatError
        No format recognises it, or more than one; lists what was tried, or the rivals.
    """
    with path.open("rb") as file:
        head = file.read(HEAD)
    claims = [one for one in FORMATS.values() if one.recognises(head, path)]
    refined = {one.refines for one in claims}
    claims = [one for one in claims if one.name not in refined]
    if len(claims) > 1:
        raise FormatError(f"{path}: ambiguous: the readers {' and '.join(one.name for one in claims)} both claim it")
    if not claims:
        what = f"begins with {head[:16]!r}" if head else "is empty"
        broken = "".join(f"; the format {name} cannot be used: {why}" for name, why in FORMATS.problems.items())
        raise FormatError(f"{path}: no reader recognises it, it {what}; there are {', '.join(FORMATS)}{broken}")
    return claims[0]


def _index_archive(name: str) -> list[Granule]:
    """Index every file of an archive that a reader takes; if none does, the reasons are the error."""
    found, reasons = index_archive(name)
    if not found:
        raise FormatError(f"{name}: no file in it is taken: {'; '.join(reasons[:8]) or 'it is empty'}")
    return found


def _index_plain(local: Path, copy: Path, url: str) -> list[Granule]:
    found = recognise(local)
    return [_named(one, local, copy, url, _beside(found, Path(one.url), url)) for one in found.index(local)]


def _beside(found: Format, local: Path, url: str) -> dict[str, Granule]:
    return {
        role: Granule(beside(url, path.name), size=path.stat().st_size)
        for role, path in found.companions(local).items()
    }


def _named(granule: Granule, local: Path, copy: Path, url: str, others: dict[str, Granule]) -> Granule:
    """Name a granule by where its file came from: the file itself, or the data beside its label."""
    inside = Path(granule.url)
    if inside.name == local.name:
        return replace(granule, url=url, size=copy.stat().st_size, beside=others)
    return replace(granule, url=beside(url, inside.name), size=inside.stat().st_size, beside=others)
