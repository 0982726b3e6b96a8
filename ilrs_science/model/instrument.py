"""The plugin: how raw files of one instrument become calibrated samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any

import xarray as xr

from ilrs_science.model.granule import Granule
from ilrs_science.model.product import Product
from ilrs_science.model.series import Series
from ilrs_science.model.step import StepFunction

CONTRACT = 2
"""Version of the contract between this package and its plugins."""


@dataclass(frozen=True)
class Instrument:
    """Everything the engine knows about an instrument; a value made of functions.

    `read` returns the samples of one granule: variables along `time`, with a coordinate `tai` (int64 or datetime64 ns)
    or `time` (datetime64, UTC). Samples it had to reject are counted by reason in the attribute `rejected`, for example
    `{"bad checksum": 60}`.
    """

    name: str
    """Unique name, as pipelines write it."""
    files: str = ""
    """Glob of its file names."""
    read: Callable[[Granule], xr.Dataset] | None = None
    """Samples of one granule."""
    steps: tuple[StepFunction, ...] = ()
    """Its reduction, in order; a pipeline may choose others."""
    product: Product = None  # type: ignore[assignment] # every instrument has one; `__post_init__` says so
    """What comes out."""
    reads: str = ""
    """Instead of `files` and `read`: the instrument whose finished cubes it takes as raw data. Its samples are the
    cells of those that are not missing, with all variables of the cube, at the middle of their slot or at their own
    time where the cube has kept it."""
    index: Callable[[Granule], Iterable[Granule]] | None = None
    """What is in a file: the same granule with site, span and count filled in, or one for each site of the file. By
    default the file is read once; then the site is `ds.attrs["site"]`, or comes from the path."""
    beside: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Names of the files that `read` opens beside its own, by their roles: `{"LOC": "{stem}_LOC.IMG"}`, to be read as
    `granule.beside["LOC"]`. `{name}` is the name of the file, `{stem}` that without its last suffix (and without .gz
    before it) or, where there is no such file, without what `files` ends with: of `x_RDN.IMG` and `*_RDN.IMG` it is x.
    A file whose companion is absent is not taken."""
    load: Mapping[str, Callable[[Granule], xr.Dataset]] = field(default_factory=dict, hash=False)
    """What reads the payloads of references of a kind that are neither JSON nor netCDF-3: `{"dark": read_dark}`, a
    function of the payload's file as `read` is of a raw one."""
    series: Mapping[str, Series] = field(default_factory=dict, hash=False)
    """Other quantities in time that its steps ask for, by the names of their parameters: `{"temperature":
    Series(read_housekeeping, files="*.hk", limit="60 s")}`."""
    where: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Tags that a file must have to be one of its: `{"kind": "lamp"}`. Where `index` gives others, it is left alone."""
    simulate: Callable[[Path], Sequence[Path]] | None = None
    """Writes a small set of raw files in the true format into a folder."""
    partners: tuple[str, ...] = ()
    """Institutions behind it."""
    about: str = ""
    """What it is, for people."""
    memory: float = 8.0
    """Peak memory of a part over the bytes of its largest granule and its block, as declared by the author."""
    contract: int = CONTRACT
    """Contract it was written for."""

    def __post_init__(self) -> None:
        steps: Any = self.steps
        product: Any = self.product
        if not isinstance(product, Product):
            raise TypeError(f"instrument {self.name}: product is {product!r}; expected a Product")
        if not isinstance(steps, tuple):
            raise TypeError(
                f"instrument {self.name}: steps is {steps!r}; expected a tuple of functions, such as (one,)"
            )
        for part, found in self._functions().items():
            if not isinstance(found, FunctionType):
                raise TypeError(f"instrument {self.name}: {part} is {_described(found)}; expected a plain function")
        names = ", ".join(one.__name__ for one in steps)
        if len({one.__name__ for one in steps}) < len(steps):
            raise ValueError(f"instrument {self.name}: its steps are called {names}; pipelines need unique names")
        if problem := self._problem():
            raise ValueError(f"instrument {self.name}: {problem}")

    @property
    def default_site(self) -> str:
        """Nothing: each of its files has a site."""
        return ""

    @property
    def attributes(self) -> Mapping[str, Mapping[str, str | float]]:
        """What `read` says of its variables is up to it."""
        return {}

    @property
    def flags(self) -> Mapping[str, int]:
        """Masks of its quality flags, by their meanings."""
        return self.product.flags

    def series_of(self, name: str) -> Series:
        """Return a series by the name of the step parameter that takes it, as a reader of its files or cubes."""
        return replace(self.series[name], name=f"{self.name}:{name}")

    @property
    def events(self) -> Product | None:
        """Its product where that counts events: a file says then when the instrument was good."""
        return self.product if self.product.counts_events else None

    @property
    def exposures(self) -> bool:
        """Whether its samples are exposures, each with an instant of its own on the axis."""
        return self.product.exposures

    def _functions(self) -> dict[str, object]:
        """Return what has to be a plain function, by what it is."""
        named: dict[str, object] = {"read": self.read, "index": self.index}
        given = {name: one for name, one in named.items() if one is not None or (name == "read" and not self.reads)}
        given |= {f"steps[{number}]": one for number, one in enumerate(self.steps)}
        return given | {f"load[{kind!r}]": one for kind, one in self.load.items()}

    def _problem(self) -> str:
        of_files = [name for name in ("files", "read", "index", "beside", "where") if getattr(self, name)]
        if self.reads and of_files:
            return f"it reads cubes of {self.reads}; {' and '.join(of_files)} belong to raw files"
        if self.reads == self.name:
            return "it reads its own cubes; an instrument reads those of another one"
        if not (self.reads or self.files):
            return "files is missing: a glob of its file names, such as '*.mag'"
        odd = {name: one for name, one in dict[str, object](self.series).items() if not isinstance(one, Series)}
        return f"found series {odd}; expected a Series for each name of a parameter" if odd else ""


def _described(found: object) -> str:
    """Return what was found in the place of a function, and how to make a function of it."""
    if isinstance(found, partial):
        return f"functools.partial of {found.func!r}, whose code and arguments nobody can compare"
    if isinstance(found, MethodType):
        return f"a method of {found.__self__!r}, whose state nobody can compare"
    return f"{found!r}, a {type(found).__name__}"
