"""What a raw format is to this package, and what every reader gives alike: granules, units, counts of rejections."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ilrs_science.formats.foreign import MUTED
from ilrs_science.model.granule import Granule

HEAD = 32768
"""Bytes from the start of a file by which its format is recognised."""


@dataclass(frozen=True)
class Format:
    """A raw format; a value made of functions."""

    name: str
    """Short name in lower case, as `read_<name>` has it."""
    about: str
    """What it is, for people."""
    library: str
    """Distribution that does the parsing, or `own`."""
    recognises: Callable[[bytes, Path], bool]
    """Whether a file is of this format, by its first `HEAD` bytes and its path; true only on good evidence."""
    read: Callable[..., xr.Dataset | xr.DataTree]
    """The whole file; a tree where it holds several groups."""
    index: Callable[[Path], list[Granule]]
    """What is in a file, without its samples where that is possible: a granule for each site and instrument in it."""
    refines: str = ""
    """Name of a format that this is a special case of; such a file is of both, and is read as this one."""
    companions: Callable[[Path], Mapping[str, Path]] = lambda _: {}
    """The files beside a file that its reader opens too, by their roles: its label, the headers that it includes."""


def numbered(role: str, paths: Iterable[Path]) -> dict[str, Path]:
    """Return several companions of one role: `header`, `header-2` and so on."""
    return {role if number == 1 else f"{role}-{number}": path for number, path in enumerate(paths, 1)}


def granule(  # noqa: PLR0913 - what an index can say
    path: Path,
    name: str,
    *,
    count: int,
    span: tuple[int, int] | None = None,
    instrument: str = "",
    site: str = "",
    level: str = "unknown",
) -> Granule:
    """Return what an index says of a file.

    Parameters
    ----------
    path
        The file.
    name
        Name of the format.
    count
        Samples along time, or rows, or images where there is no time; those that `read` rejects included.
    span
        First and last time, TAI ns, both of samples; nothing where the file tells no time.
    instrument, site, level
        As the file says; empty or `unknown` where it does not.
    """
    start, stop = (span[0], span[1] + 1) if span else (0, 0)
    return Granule(
        str(path), instrument=instrument, site=site, start=start, stop=stop, count=count, level=level, format=name
    )


def counted(reasons: Mapping[str, int]) -> dict[str, int]:
    """Return the reasons for which something was rejected, for the attribute `rejected`."""
    return {reason: int(count) for reason, count in reasons.items() if count}


# Words that files write in a unit and astropy does not read, or reads as something else (deg C: degree coulomb).
_WORDS = {
    "amps": "A",
    "asec": "arcsec",
    "arcsecs": "arcsec",
    "counts": "count",
    "degc": "deg_C",
    "deg c": "deg_C",
    "degrees": "deg",
    "digits": "adu",
    "hours": "h",
    "meters": "m",
    "metres": "m",
    "microns": "um",
    "milliseconds": "ms",
    "particles": "1",
    "photons": "photon",
    "sec": "s",
    "seconds": "s",
    "secs": "s",
    "volts": "V",
}
_WORD = re.compile(r"deg c\b|[a-z]+", re.IGNORECASE)
_LONGEST_UNIT = 80
_NONE = ("", "none", "n/a", "unknown", "unitless", "dimensionless", "null", "/")


def unit_attributes(text: str) -> dict[str, str]:
    """Return the attribute `units` of a variable, as astropy reads it, for what the file writes.

    Where the file spells it otherwise, `native_units` keeps its own text; where nobody can tell what it means, there is
    only `native_units`; where it says nothing, there is neither.
    """
    return dict(_unit_attributes(text))


@cache
def _unit_attributes(text: str) -> Mapping[str, str]:
    from astropy import units  # noqa: PLC0415 - heavy

    native = " ".join(text.split())
    if native.lower() in _NONE:
        return {}
    respelled = _WORD.sub(lambda word: _WORDS.get(word[0].lower(), word[0]), native)
    candidates = [respelled] if re.search(r"deg c\b", native, re.IGNORECASE) else [native, respelled]
    known = units.get_current_unit_registry().registry
    for spelled in candidates:
        # astropy looks long for a unit that a strange word may have meant.
        if len(spelled) > _LONGEST_UNIT or not all(word in known for word in re.findall(r"(?<!\d)[^\W\d]+", spelled)):
            continue
        # Some texts that are no units make astropy's parser raise anything.
        with MUTED, suppress(Exception):
            units.Unit(spelled)
            return {"units": spelled} if spelled == native else {"units": spelled, "native_units": native}
    return {"native_units": native}


def plain(value: Any) -> Any:
    """Return an attribute as text, a number or a list of them: what xarray can print, compare and store."""
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").rstrip("\0 ")
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    return value if isinstance(value, str | int | float) else str(value)
