"""Collections: the cubes of one pipeline, one for each span of time, in one Zarr group."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from ilrs_science.errors import CubeError
from ilrs_science.geometry.time import utc_to_tai
from ilrs_science.model.axis import regular_axis
from ilrs_science.store.cube import FORMAT, existing, open_cube, read_root
from ilrs_science.store.target import Target, target

type Limit = np.datetime64 | None

_ROOT = "zarr.json"
_SUFFIX = ".zarr"
MOST_SLOTS = 2**25
"""Times that an index may hold; plain xarray keeps 35 bytes for each."""


@dataclass(frozen=True)
class Collection:
    """The cubes of one pipeline."""

    url: str
    partition: str
    labels: tuple[str, ...]
    """Of its cubes, in order of time."""

    def member(self, label: str) -> str:
        """Return the address of a cube."""
        return member_url(self.url, label)


def member_url(url: str, label: str) -> str:
    """Return the address of a cube of a collection."""
    return f"{url.rstrip('/')}/{label}{_SUFFIX}"


def existing_collection(place: Target) -> Collection | None:
    """Return the collection that lies at a place; None where there is nothing.

    Raises
    ------
    CubeError
        Something else lies there.
    """
    root = read_root(place)
    names = place.names()
    if root is None:
        if any(not name.endswith(_SUFFIX) for name in names):
            raise CubeError(f"{place.url} exists and is not a collection of cubes; choose another output, or remove it")
        return None
    attributes = root.get("attributes", {})
    if attributes.get("ilrs_collection") != FORMAT:
        raise CubeError(f"{place.url} exists and is not a collection of cubes; choose another output, or remove it")
    labels = sorted(name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX))
    return Collection(place.url, str(attributes.get("partition", "")), tuple(labels))


def cubes_at(url: str) -> list[str]:
    """Return the addresses of the cubes of a collection, or the address itself where there is none."""
    root = read_root(target(url))
    if root is None or "ilrs_collection" not in root.get("attributes", {}):
        return [url]
    found = existing_collection(target(url))
    return [] if found is None else [found.member(label) for label in found.labels]


def refresh(place: Target, attributes: Mapping[str, Any]) -> None:
    """Write the root document of a collection anew, with the metadata of all its cubes as they are now."""
    metadata: dict[str, Any] = {}
    for name in place.names():
        stored = place.read(f"{name}/{_ROOT}") if name.endswith(_SUFFIX) else None
        if stored is None:
            continue
        root = json.loads(stored)
        inner = root.pop("consolidated_metadata", {}).get("metadata", {})
        metadata[name] = root
        metadata |= {f"{name}/{key}": value for key, value in inner.items()}
    document = {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": dict(attributes),
        "consolidated_metadata": {"kind": "inline", "must_understand": False, "metadata": metadata},
    }
    place.write(_ROOT, json.dumps(document, indent=1).encode())


def open_cubes(url: str, *, start: str | None = None, stop: str | None = None, site: str | None = None) -> xr.Dataset:
    """Open the cubes of a collection that overlap a span of time, as one lazy dataset.

    Parameters
    ----------
    url
        Path or URL of the collection.
    start, stop
        UTC in ISO 8601; None for no limit. The times returned are those from `start` up to, but without, `stop`.
    site
        Only this one.

    Raises
    ------
    CubeError
        There is no collection, no cube in the span, no such site, or more times than an index may hold.
    """
    found = existing_collection(target(url))
    if found is None:
        raise CubeError(f"no collection of cubes at {url}; give the output of a pipeline with a partition")
    pieces = _pieces(url, found, _Span(_limit(start), _limit(stop)))
    if site is not None:
        pieces = [_only(piece, site) for piece in pieces]
    joined: xr.Dataset = xr.concat(
        pieces,
        "time",
        data_vars="minimal",
        coords="minimal",
        compat="override",
        join="outer",
        combine_attrs="drop_conflicts",
    )
    return joined


def _pieces(url: str, collection: Collection, span: _Span) -> list[xr.Dataset]:
    """Return what of each cube of a collection lies in a span, in order of time."""
    most = {cube: span.most_of(cube) for cube in map(collection.member, collection.labels)}
    if (total := sum(most.values())) > MOST_SLOTS:
        raise CubeError(f"{url}: the span holds {total} times, an index at most {MOST_SLOTS}; give start and stop")
    cut = [span.cut(open_cube(cube)) for cube, count in most.items() if count]
    pieces = [piece for piece in cut if piece.sizes["time"]]
    if not pieces:
        labels = ", ".join(collection.labels) or "none"
        raise CubeError(f"{url}: no cube holds a time in this span; there are {labels}")
    return pieces


@dataclass(frozen=True)
class _Span:
    """Times from `low` up to, but without, `high`; None for no limit."""

    low: Limit
    high: Limit

    def most_of(self, url: str) -> int:
        """Return how many times of a cube may lie in it, at most, by arithmetic: nothing is opened but its root."""
        found = existing(target(url))
        if found is None:
            return 0
        axis = found.schema["axis"]
        if axis == "exposures":
            return found.count
        first = 0 if self.low is None else _slot(self.low, axis)
        last = found.count if self.high is None else _slot(self.high, axis) + 2
        return max(0, min(last, found.count) - max(first, 0))

    def cut(self, cube: xr.Dataset) -> xr.Dataset:
        """Return the part of a cube that lies in it."""
        times = cube["time"].values
        first = 0 if self.low is None else int(np.searchsorted(times, self.low))
        last = len(times) if self.high is None else int(np.searchsorted(times, self.high))
        return cube.isel(time=slice(first, max(first, last)))


def _limit(utc: str | None) -> Limit:
    return np.datetime64(utc.rstrip("Z"), "ns") if utc else None


def _slot(limit: np.datetime64, axis: Mapping[str, Any]) -> int:
    """Return the number of the slot of a regular axis that a time lies in; below 0 for one before its start."""
    return int(regular_axis(axis, 0).numbers(int(utc_to_tai(limit.astype(np.int64)))))


def _only(cube: xr.Dataset, site: str) -> xr.Dataset:
    if "site" in cube.dims:
        if site not in cube["site"].values:
            raise CubeError(f"no site {site!r}; the cubes have {', '.join(map(str, cube['site'].values))}")
        return cube.sel(site=[site])
    return cube.isel(time=np.flatnonzero(cube["site"].values == site))
