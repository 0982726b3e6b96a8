"""Who reads files of some kind: an instrument, or a series that one asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import xarray as xr

from ilrs_science.errors import FormatError
from ilrs_science.model.granule import Granule
from ilrs_science.model.product import Product


def read_with(reader: Reader, granule: Granule) -> xr.Dataset:
    """Return the samples of a raw file.

    Raises
    ------
    FormatError
        The reader takes cubes, not files.
    """
    if reader.read is None:
        raise FormatError(f"{reader.name} takes cubes of {reader.reads}, not files")
    return reader.read(granule)


class Reader(Protocol):
    """What an index and a reader of raw data have to know of an instrument, or of a series."""

    @property
    def name(self) -> str:
        """By which the registry finds it."""

    @property
    def files(self) -> str:
        """Glob of its file names; empty where it takes cubes."""

    @property
    def read(self) -> Callable[[Granule], xr.Dataset] | None:
        """Samples of one granule; None where it takes cubes."""

    @property
    def reads(self) -> str:
        """The instrument whose cubes it takes; empty where it takes files."""

    @property
    def index(self) -> Callable[[Granule], Iterable[Granule]] | None:
        """What is in a file; None where that is found out by reading."""

    @property
    def beside(self) -> Mapping[str, str]:
        """Names of the files beside its own, by their roles."""

    @property
    def where(self) -> Mapping[str, str]:
        """Tags that a file must have."""

    @property
    def default_site(self) -> str:
        """Site of a file that names none; empty where each has to name one."""

    @property
    def attributes(self) -> Mapping[str, Mapping[str, str | float]]:
        """What its variables have to say of themselves."""

    @property
    def flags(self) -> Mapping[str, int] | None:
        """Masks of its quality flags; None where those of a cube stay as they are."""

    @property
    def events(self) -> Product | None:
        """The product that counts its samples, where they are events."""

    @property
    def exposures(self) -> bool:
        """Whether its samples are exposures."""
