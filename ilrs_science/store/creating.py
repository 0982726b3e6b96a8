"""The empty cube: declared whole before any file is read, and enlarged in place when a campaign grows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import zarr
from zarr.storage import MemoryStore

from ilrs_science.errors import CubeError
from ilrs_science.model.part import digest
from ilrs_science.store.bucket import answered
from ilrs_science.store.coordinates import coordinates, values, write
from ilrs_science.store.cube import FORMAT, ROOT, SHARD, Declaration, refuse_another, root_bytes
from ilrs_science.store.encoding import array_layout, cf_attributes
from ilrs_science.store.records import load
from ilrs_science.store.shards import thrifty
from ilrs_science.store.target import Target


def create(place: Target, wanted: Declaration, attributes: Mapping[str, Any]) -> None:
    """Write the empty cube, or enlarge the one that is there; the root document comes last and makes it visible.

    Raises
    ------
    CubeError
        Something else lies there.
    """
    found = refuse_another(place, wanted)
    documents = _documents(wanted)
    if found is None:
        _clear(place, documents)
    for name, document in documents.items():
        if place.read(f"{name}/{ROOT}") != document:
            place.write(f"{name}/{ROOT}", document)
    instants = digest(wanted.axis.as_json()) if wanted.axis.may_shrink else str(wanted.axis.count)
    same = found is not None and found.attributes.get("ilrs_axis") == instants and len(found.sites) == len(wanted.sites)
    if not same:
        first = found.count if found is not None and not wanted.axis.may_shrink else 0
        with thrifty(), answered(place.url):
            write(place.store(read_only=False), values(wanted.product, wanted.axis, wanted.sites, first))
    schema = wanted.schema()
    own = {"ilrs_format": FORMAT, "ilrs_cube": digest(schema), "ilrs_schema": json.dumps(schema), "ilrs_axis": instants}
    _write_root(place, documents, {**(found.attributes if found else {}), **attributes, **_coordinates(wanted), **own})


def remove_beyond(place: Target, wanted: Declaration) -> None:
    """Remove the shards of an exposure cube that lie beyond its end, after it has lost exposures."""
    if not wanted.axis.may_shrink:
        return
    last = -(-wanted.axis.count // wanted.cut.shard)
    for variable in wanted.product.stored(wanted.place):
        for key in place.listing(f"{variable.name}/c"):
            if SHARD.fullmatch(key) and int(key.split("/")[2]) >= last:
                place.delete(key)


def _documents(wanted: Declaration) -> dict[str, bytes]:
    """Return the metadata of every array and group by name, as zarr itself writes them."""
    memory = MemoryStore()
    group = zarr.open_group(memory, mode="w", zarr_format=3)
    for one in coordinates(wanted.product, wanted.axis, wanted.sites, wanted.cut):
        group.create_array(one.name, **one.layout())
    leading = (len(wanted.sites),) * len(wanted.axis.leading)
    for variable in wanted.product.stored(wanted.place):
        group.create_array(
            variable.name,
            shape=(*leading, *wanted.product.shape(variable, wanted.axis.count)),
            dtype=np.dtype(variable.stored_dtype),
            # Cells that nobody wrote read as missing, in the values and in the flags.
            fill_value=variable.empty,
            dimension_names=(*wanted.axis.leading, *variable.dims),
            attributes=cf_attributes(variable, wanted.product, wanted.place),
            **array_layout(wanted.product, variable, wanted.cut, wanted.axis),
        )
    group.create_group("records", attributes={"about": "what the runs of this cube did; see cube-format-2.md"})
    suffix = f"/{ROOT}"
    return {
        name.removesuffix(suffix): document.to_bytes()
        for name, document in memory._store_dict.items()  # noqa: SLF001 - zarr has no other way to list a memory's bytes
        if name.endswith(suffix)
    }


def _clear(place: Target, documents: Mapping[str, bytes]) -> None:
    """Remove what the interrupted creation of another cube left in the arrays of this one: it has another layout.

    Raises
    ------
    CubeError
        It was no creation: a finished cube has lost its root document.
    """
    there = {name: place.read(f"{name}/{ROOT}") for name in documents}
    other = [name for name, document in documents.items() if there[name] not in (None, document)]
    if other and load(place).segments:
        raise CubeError(
            f"{place.url} has records of another cube and no {ROOT}: run the pipeline that made it, "
            "or choose another output"
        )
    for key in (key for name in other for key in place.listing(name) if SHARD.fullmatch(key)):
        place.delete(key)


def refuse_another_layout(place: Target, wanted: Declaration) -> None:
    """Refuse to write where an array is stored otherwise than it would be now; only shapes grow, and words change.

    Raises
    ------
    CubeError
        The shards that are there could not be read any more.
    """
    free = ("shape", "attributes")
    for name, document in _documents(wanted).items():
        stored = place.read(f"{name}/{ROOT}")
        pair = [json.loads(one) for one in (stored or document, document)]
        old, new = ({key: value for key, value in one.items() if key not in free} for one in pair)
        if old != new:
            keys = ", ".join(key for key in new if old.get(key) != new[key])
            raise CubeError(f"{place.url}: {name} is stored otherwise than now ({keys}); choose another output")


def _write_root(place: Target, documents: Mapping[str, bytes], attributes: Mapping[str, Any]) -> None:
    # Zarr v3 has no consolidated metadata in its text yet; xarray writes and reads it, and opens ten times faster.
    metadata = {name: json.loads(document) for name, document in sorted(documents.items())}
    consolidated = {"kind": "inline", "must_understand": False, "metadata": metadata}
    root = {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": dict(attributes),
        "consolidated_metadata": consolidated,
    }
    if place.read(ROOT) != root_bytes(root):
        place.write(ROOT, root_bytes(root))


def _coordinates(wanted: Declaration) -> dict[str, str]:
    along_time = [] if wanted.axis.leading else ["site"]
    auxiliary = [v.name for v in wanted.product.stored(wanted.place) if v.coordinate]
    return {"coordinates": " ".join(dict.fromkeys(["tai", "lon", "lat", "height", *along_time, *auxiliary]))}
