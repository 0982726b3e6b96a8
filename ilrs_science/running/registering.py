"""References from runs: the cells of a finished cube, put where pipelines look for references. Nothing is replaced."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import yaml

from ilrs_science.errors import CubeError
from ilrs_science.geometry.time import isot
from ilrs_science.model.duration import Duration
from ilrs_science.model.product import UNTIL_NEXT
from ilrs_science.store.cube import COMPLETE, open_attributes, open_cube


@dataclass(frozen=True)
class Registered:
    """What became of the cells of a cube."""

    index: str
    """The YAML file that lists the references; empty where there is none."""
    references: tuple[str, ...]
    """Payload files."""
    flagged: int
    """Cells that are no references, for they carry flags."""
    known: bool
    """Whether all of it had been there before."""

    def as_json(self) -> dict[str, Any]:
        """Return the same as JSON-able values."""
        return {
            "index": self.index,
            "references": list(self.references),
            "flagged": self.flagged,
            "known": self.known,
        }


def register(url: str, folder: Path, *, published: int, everywhere: bool = False) -> Registered:
    """Make each cell without a flag of a cube a reference of the kind that its product says.

    It is valid from the time of the cell on. The payload has all variables of the cube without time, as netCDF-3 under
    the first digits of its digest; its source is the cube, with the first digits of a digest of what
    it was made of.

    Parameters
    ----------
    url
        Of a finished cube.
    folder
        Where references lie; made if it is not there. What lies there stays as it is.
    published
        When the references are known from, TAI ns.
    everywhere
        Whether they are for all sites, and not for that of the cell alone.

    Raises
    ------
    CubeError
        The cube is unfinished, or its product is no reference.
    """
    made = _Made.of(url)
    folder.mkdir(parents=True, exist_ok=True)
    cells = list(_cells(open_cube(url).load()))
    entries = [made.entry(cell, folder, published, everywhere=everywhere) for cell in cells if not cell.quality]
    flagged = sum(bool(cell.quality) and not cell.missing for cell in cells)
    if not entries:
        return Registered("", (), flagged, known=False)
    index = folder / f"{made.kind}-{made.digest[:16]}.yaml"
    known = index.exists()
    if not known:
        index.write_text(yaml.safe_dump({"references": entries}, sort_keys=False))
    return Registered(str(index), tuple(str(one["payload"]) for one in entries), flagged, known=known)


@dataclass(frozen=True)
class _Made:
    """What a cube says of the references that it holds."""

    kind: str
    instruments: tuple[str, ...]
    valid: str
    source: str
    digest: str

    @classmethod
    def of(cls, url: str) -> _Made:
        attributes = open_attributes(url)
        product = json.loads(attributes["ilrs_schema"])["product"]
        if not product.get("reference"):
            raise CubeError(f"{url}: its product is no reference; Product(reference=..., of=[...]) says of which kind")
        if attributes.get("status") != COMPLETE:
            raise CubeError(f"{url}: {attributes.get('status', 'unfinished')}; run its pipeline to the end first")
        told = [attributes["ilrs_cube"], attributes["provenance"], attributes.get("samples")]
        digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
        source = f"cube {attributes['product']} of {attributes['instrument']}, {digest[:16]}"
        return cls(product["reference"], tuple(product["of"]), product["valid"], source, digest)

    def entry(self, cell: _Cell, folder: Path, published: int, *, everywhere: bool) -> dict[str, Any]:
        """Write the payload of a cell, and return what an index says of it."""
        payload, sha256 = _written(folder, self.kind, cell.values)
        stop = {} if self.valid == UNTIL_NEXT else {"stop": isot(cell.start + Duration(self.valid))}
        return {
            "kind": self.kind,
            "instrument": list(self.instruments),
            "site": "*" if everywhere else cell.site,
            "valid": {"start": isot(cell.start), **stop},
            "published": isot(published),
            "payload": payload,
            "sha256": sha256,
            "source": self.source,
        }


@dataclass(frozen=True)
class _Cell:
    """What a cube has of one time at one site."""

    site: str
    start: int
    values: xr.Dataset
    quality: int
    """All flags in it."""

    @property
    def missing(self) -> bool:
        """Whether nothing was measured."""
        return bool(self.quality & 1)


def _cells(cube: xr.Dataset) -> Iterator[_Cell]:
    tai = cube["tai"].values.astype(np.int64)
    data = cube.drop_vars([name for name in _OF_CELLS if name in cube.variables])
    for number in range(cube.sizes["time"]):
        for site in range(cube.sizes.get("site", 1)):
            at = {"time": number} | ({"site": site} if "site" in cube.dims else {})
            flags = int(np.bitwise_or.reduce(cube["quality"].isel(at).values, axis=None))
            values = data.isel(at)
            name = str(values["site"].item())
            yield _Cell(name, int(tai[number]), values.reset_coords(drop=True), flags)


_OF_CELLS = ("quality", "time_bounds", "time_offset", "count", "count_left_out")


def _written(folder: Path, kind: str, values: xr.Dataset) -> tuple[str, str]:
    """Write a payload, if it is not there, and return its name and digest."""
    plain = {name: _storable(one) for name, one in values.variables.items()}
    data = xr.Dataset(plain).drop_attrs(deep=False).to_netcdf(engine="scipy")
    content = bytes(data)
    sha256 = hashlib.sha256(content).hexdigest()
    name = f"{kind}-{sha256[:16]}.nc"
    if not (folder / name).exists():
        (folder / name).write_bytes(content)
    return name, sha256


def _storable(one: xr.Variable) -> xr.Variable:
    """Return a variable in a type that netCDF-3 has."""
    made = one.copy()
    made.encoding = {}
    if made.dtype.kind in "iu" and made.dtype.itemsize > 2:  # noqa: PLR2004 - bytes
        made = made.astype("f8")
    return made
