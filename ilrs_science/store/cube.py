"""The cube in storage: Zarr v3, declared whole before any file is read, filled shard by shard by one owner each.

The page docs/reference/cube-format-2.md says what is stored; this room and the independent checker both follow it.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
import zarr

from ilrs_science.errors import CubeError
from ilrs_science.model.axis import Axis
from ilrs_science.model.product import Place, Product
from ilrs_science.model.site import Site
from ilrs_science.store.encoding import Cut
from ilrs_science.store.target import Target, target

FORMAT = 2
"""Version of the layout of a cube."""

COMPLETE = "complete"
"""The status of a cube whose every part is there."""

ROOT = "zarr.json"
ROWS = re.compile(r"table/[0-9]+/[0-9]+\.parquet")
SHARD = re.compile(r"[^/]+/c(/[0-9]+)+")


@dataclass(frozen=True)
class Declaration:
    """Everything that is known of a cube before any raw file is read."""

    product: Product
    place: Place
    axis: Axis
    sites: tuple[Site, ...]
    cut: Cut

    def schema(self) -> dict[str, Any]:
        """Return what makes the cube this cube and no other, as JSON-able values; not how long it is."""
        return {
            "format": FORMAT,
            "product": self.product.as_json(),
            "place": self.place,
            "axis": self.axis.kind,
            "sites": [asdict(site) for site in self.sites],
            "cut": [self.cut.chunk, self.cut.shard],
        }


@dataclass(frozen=True)
class Existing:
    """What an earlier run declared at a place."""

    schema: Mapping[str, Any]
    count: int
    """Slots along time."""
    attributes: Mapping[str, Any]

    @property
    def sites(self) -> tuple[Site, ...]:
        """Its sites, in order."""
        return tuple(Site(**{**one, "horizon": tuple(map(tuple, one["horizon"]))}) for one in self.schema["sites"])

    @property
    def cut(self) -> Cut:
        """How it is cut."""
        return Cut(*self.schema["cut"])


def existing(place: Target) -> Existing | None:
    """Return the cube that lies at a place; None where there is nothing, or a cube whose creation was interrupted.

    Raises
    ------
    CubeError
        Something else lies there, or a cube of another format.
    """
    root = read_root(place)
    if root is None:
        _check_empty(place)
        return None
    attributes = root.get("attributes", {})
    if "ilrs_collection" in attributes:
        raise CubeError(f"{place.url} is a collection of cubes, not a cube; open it with open_cubes, or one cube of it")
    try:
        schema = json.loads(attributes["ilrs_schema"])
        found = schema["format"]
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        text = f"{place.url} exists and is not a cube of this package; choose another output, or remove it"
        raise CubeError(text) from error
    if found != FORMAT:
        raise CubeError(
            f"{place.url} is a cube of format {found}; this version reads and writes format {FORMAT}: "
            "choose another output"
        )
    try:
        count = root["consolidated_metadata"]["metadata"]["time"]["shape"][0]
        cube = Existing(schema, int(count), attributes)
        _ = (cube.sites, cube.cut, schema["product"]["coordinates"])  # they can be read
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise CubeError(
            f"{place.url}: its metadata are damaged ({error!r}); choose another output, or remove it"
        ) from error
    return cube


def conflict(found: Existing | None, wanted: Declaration) -> str:
    """Return why an existing cube cannot become the wanted one, or an empty text; at its end and by sites it may."""
    if found is None:
        return ""
    mine, other = json.loads(json.dumps(wanted.schema())), dict(found.schema)
    known = len(other["sites"])
    if mine["sites"][:known] == other["sites"]:
        mine["sites"] = other["sites"]
    keys = [key for key in mine if other.get(key) != mine[key]]
    if keys:
        return f"it exists and is another cube (it differs in {', '.join(keys)}); choose another output, or remove it"
    if not wanted.axis.may_shrink and wanted.axis.count < found.count:
        return f"it has {found.count} slots, the pipeline {wanted.axis.count}; a cube may grow at its end, not shrink"
    return ""


def refuse_another(place: Target, wanted: Declaration) -> Existing | None:
    """Return the cube that lies at a place and can become the wanted one, or None where there is none.

    Raises
    ------
    CubeError
        Something else lies there.
    """
    found = existing(place)
    if problem := conflict(found, wanted):
        raise CubeError(f"{place.url}: {problem}")
    return found


def update_attributes(place: Target, attributes: Mapping[str, Any]) -> None:
    """Replace attributes of the cube, where they differ; one write of the root document."""
    root = read_root(place)
    if root is None:
        raise CubeError(f"no cube at {place.url}")
    if any(root["attributes"].get(key) != value for key, value in attributes.items()):
        root["attributes"] |= attributes
        place.write(ROOT, root_bytes(root))


def read_root(place: Target) -> dict[str, Any] | None:
    """Return the root document of a Zarr group; None where there is none.

    Raises
    ------
    CubeError
        There is one that cannot be read, or it is not a group's.
    """
    data = place.read(ROOT)
    if data is None:
        return None
    try:
        root = json.loads(data)
        if root["node_type"] == "group" and isinstance(root.get("attributes", {}), dict):
            return dict(root)
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    raise CubeError(f"{place.url} exists and is not a cube; choose another output, or remove it")


def open_attributes(url: str) -> dict[str, Any]:
    """Return the attributes of a cube.

    Raises
    ------
    CubeError
        There is no cube at the URL, or one of another format.
    """
    found = existing(target(url))
    if found is None:
        raise CubeError(f"no cube at {url}; give the path or URL of a cube that `ilrs run` wrote")
    return dict(found.attributes)


def open_cube(url: str, *, time: str = "utc", chunks: dict[str, int] | None = None) -> xr.Dataset:
    """Open a cube: as `xarray.open_zarr` does, after a check that it is one, and with a warning where it is unfinished.

    Parameters
    ----------
    url
        Path or fsspec URL.
    time
        Which time is the index: `utc`, or `tai`, the exact one; then `time` is TAI, and `utc` the other.
    chunks
        Dask chunks by dimension; by default those of the cube.

    Raises
    ------
    CubeError
        There is no cube at the URL.
    """
    place = target(url)
    attributes = open_attributes(url)
    if attributes.get("status") != COMPLETE:
        warnings.warn(f"{place.url}: {attributes.get('status', 'unfinished')}", UserWarning, stacklevel=2)
    cube: xr.Dataset = xr.open_zarr(place.store(), chunks=chunks or {}, consolidated=True)
    for one in cube.variables.values():
        # How a copy is cut is for its maker to say: xarray refuses to write Dask chunks into smaller or larger ones.
        for key in ("chunks", "shards", "preferred_chunks"):
            one.encoding.pop(key, None)
    if "flag_masks" in cube["quality"].attrs:
        # CF wants masks of the type of their variable, which JSON cannot say.
        cube["quality"].attrs["flag_masks"] = np.array(cube["quality"].attrs["flag_masks"], cube["quality"].dtype)
    if time == "utc":
        return cube
    if time != "tai":
        raise CubeError(f"no time {time!r}; it is utc or tai")
    return (
        cube.rename_vars(time="utc")
        .assign_coords(time=("time", cube["tai"].values, cube["tai"].attrs))
        .drop_vars("tai")
    )


def widened(wanted: Declaration, found: Existing) -> Declaration:
    """Return the wanted cube with the cut of the existing one, and with its sites first, in their order."""
    by_name = {site.name: site for site in wanted.sites}
    kept = tuple(by_name.get(site.name, site) for site in found.sites)
    names = {site.name for site in kept}
    return replace(wanted, sites=(*kept, *(one for one in wanted.sites if one.name not in names)), cut=found.cut)


def data_names(found: Existing, root: Mapping[str, Any]) -> list[str]:
    """Return the names of the data variables of a cube with this root document, in order."""
    product = found.schema["product"]
    own = {"time", "tai", "time_bounds", "site", "lon", "lat", "height", *product["coordinates"]}
    own |= {f"{name}_bounds" for name in product.get("edges", {})}
    own -= {one["name"] for one in product["variables"]}  # where a platform moves, its place is data
    declared = root["consolidated_metadata"]["metadata"]
    return sorted({name for name, one in declared.items() if one.get("node_type") == "array"} - own)


def shard_keys(place: Target) -> list[str]:
    """Return the key of every stored shard of the data variables; what else lies beside them is not ours."""
    found = existing(place)
    root = read_root(place)
    if found is None or root is None:
        return []
    keys = [key for name in data_names(found, root) for key in place.listing(name) if SHARD.fullmatch(key)]
    return [*keys, *(key for key in place.listing("table") if ROWS.fullmatch(key))]


def stored_exposures(place: Target) -> set[tuple[int, str]]:
    """Return the instants, TAI ns, and sites of an exposure cube."""
    group = zarr.open_group(place.store(), mode="r")
    instants, sites = (np.asarray(group[name][:]).tolist() for name in ("tai", "site"))  # type: ignore[index]
    return set(zip(instants, map(str, sites), strict=True))


def root_bytes(root: Mapping[str, Any]) -> bytes:
    """Return a root document as it is stored."""
    return json.dumps(root, indent=1).encode()


def _check_empty(place: Target) -> None:
    """Raise unless a place holds nothing, or no more than what an interrupted creation of ours leaves there."""
    names = place.names()
    if not names:
        return
    inside = place.listing("records") if "records" in names else {}
    # A full disk or a kill may leave no more than the folder.
    ours = any(name.startswith("records/lease-") for name in inside) or (names == ["records"] and not inside)
    if not ours:
        raise CubeError(f"{place.url} exists and is not a cube; choose another output, or remove it")
