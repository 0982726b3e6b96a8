"""Whether a cube is what docs/reference/cube-format-2.md says.

A second opinion: these modules are written from the page, and know nothing of the code that writes cubes.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ilrs_science.errors import Fault
from ilrs_science.testing.cube_check_arrays import array_faults, places
from ilrs_science.testing.cube_check_place import UNREADABLE, Cube, Place, differs, parsed
from ilrs_science.testing.cube_check_records import record_faults, sample_counts
from ilrs_science.testing.cube_check_table import table_faults
from ilrs_science.testing.cube_check_times import digest, time_faults
from ilrs_science.testing.cube_check_values import value_faults

FORMAT = 2

_TEXTS = ("title", "product", "instrument", "institution", "source", "history", "coordinates", "status", "provenance")
_STATUS = re.compile(r"complete|unfinished: [0-9]+ of [0-9]+ parts.*")
_SCHEMA = {"format", "product", "place", "axis", "sites", "cut"}
_PRODUCT = {"variables", "flags", "quality", "coordinates"}


def check_cube(path: str | os.PathLike[str]) -> list[Fault]:
    """Return every way in which a cube is not what the page on its format says.

    Parameters
    ----------
    path
        Folder or URL of the cube. Its times, its data and its shards are read, a piece at a time.
    """
    place = Place(path)
    root = parsed(place.read("zarr.json"))
    if not isinstance(root, dict) or root.get("node_type") != "group":
        return [Fault("zarr.json", f"there is no Zarr group at {os.fspath(path)}", "the root document of a cube")]
    attributes = root.get("attributes", {})
    if attributes.get("ilrs_format") != FORMAT:
        found = f"found {attributes.get('ilrs_format')!r}"
        return [Fault("ilrs_format", found, f"expected {FORMAT}; a cube of another format is none to this page")]
    faults = list(_attribute_faults(attributes))
    cube = _cube(place, root, attributes)
    if cube is None:
        return [*faults, Fault("ilrs_schema", "it, or the metadata in zarr.json, are torn", "what the page has")]
    faults += _coordinate_faults(cube)
    arrays = _guarded("zarr.json", array_faults(cube))
    if arrays:
        # What is read through wrong metadata tells of nothing else.
        return [*faults, *arrays, *_guarded("records", record_faults(cube))]
    checks = (
        ("time", time_faults(cube)),
        ("data", value_faults(cube)),
        ("table", table_faults(cube)),
        ("records", record_faults(cube)),
    )
    return [*faults, *(fault for name, found in checks for fault in _guarded(name, found))]


def _cube(place: Place, root: Mapping[str, Any], attributes: Mapping[str, Any]) -> Cube | None:
    """Return a cube whose schema has the fields that all else is held against; None where it has not."""
    try:
        schema = json.loads(attributes["ilrs_schema"])
        documents = root["consolidated_metadata"]["metadata"]
        count = int(documents["time"]["shape"][0])
        whole = schema.keys() >= _SCHEMA and schema["product"].keys() >= _PRODUCT and len(schema["cut"]) == 2  # noqa: PLR2004
    except UNREADABLE:
        return None
    return Cube(place, attributes, documents, schema, count) if whole else None


def _attribute_faults(attributes: Mapping[str, Any]) -> Iterator[Fault]:
    yield from differs("Conventions", attributes.get("Conventions"), "CF-1.11")
    for name in _TEXTS:
        if not isinstance(attributes.get(name), str) or not attributes[name]:
            yield Fault(name, f"found {attributes.get(name)!r}", "expected a text")
    if not _STATUS.fullmatch(str(attributes.get("status"))):
        yield Fault("status", f"found {attributes.get('status')!r}", "complete, or unfinished: N of M parts ...")
    if not isinstance(parsed(str(attributes.get("provenance"))), dict):
        yield Fault("provenance", "is no JSON", "what it takes to make the cube again")
    if "samples" in attributes and (counts := sample_counts(attributes["samples"])) is not None:
        yield from differs("samples.read", counts["read"], sum(counts.values()) - counts["read"])
    schema = parsed(str(attributes.get("ilrs_schema")))
    yield from differs("ilrs_cube", attributes.get("ilrs_cube"), digest(schema))
    yield from differs("ilrs_schema.format", schema.get("format") if isinstance(schema, dict) else None, FORMAT)


def _coordinate_faults(cube: Cube) -> Iterator[Fault]:
    named = str(cube.attributes.get("coordinates")).split()
    along_time = () if cube.regular else ("site",)
    cells = cube.schema["place"] != "table"
    auxiliary = [one["name"] for one in cube.schema["product"]["variables"] if one["coordinate"] and cells]
    offset = ("time_offset",) if "slot" in places(cube) else ()
    wanted = {"tai", "lon", "lat", "height", *along_time, *auxiliary, *offset}
    yield from differs("coordinates", sorted(named), sorted(wanted))


def _guarded(name: str, faults: Iterator[Fault]) -> list[Fault]:
    """Return faults, and whether what was read is so damaged that the check itself could not go on."""
    found: list[Fault] = []
    try:
        found.extend(faults)
    except (*UNREADABLE, OSError, RuntimeError) as error:
        found.append(Fault(name, f"cannot be read on: {type(error).__name__}: {error}", "what the page has"))
    return found
