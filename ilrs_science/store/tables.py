"""What the parts of a plan share, stored once beside the cube: a part that travels names rows of it.

A part is then a few hundred bytes, whatever it reads, and 100,000 of them do not carry the inventory along.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from ilrs_science.errors import CubeError
from ilrs_science.model.axis import ExposureAxis, RegularAxis, regular_axis
from ilrs_science.model.granule import Granule
from ilrs_science.model.part import Part, StepCall, Task
from ilrs_science.model.reference import Reference
from ilrs_science.model.site import Site
from ilrs_science.store.target import Target, target

_ROWS = 1024
"""Granules of a row group: what a worker decodes to find those of one part."""


@dataclass(frozen=True)
class Tables:
    """The tables of a plan, in memory."""

    task: Task
    sites: tuple[Site, ...]
    references: tuple[Reference, ...]
    granules: tuple[Granule, ...]
    instants: ExposureAxis | None
    """The whole axis of an exposure cube."""

    def save(self, place: Target) -> str:
        """Write the tables beside the cube, if they are not there, and return their digest."""
        granules = _parquet({"granule": [json.dumps(one.as_json()) for one in self.granules]})
        axis = self.instants
        instants = b"" if axis is None else _parquet({"instant": list(axis.instants), "site": list(axis.sites)})
        shared = {
            "task": asdict(self.task),
            "sites": [asdict(site) for site in self.sites],
            "references": [reference_as_json(one) for one in self.references],
            "granules": hashlib.sha256(granules).hexdigest(),
            "instants": hashlib.sha256(instants).hexdigest() if instants else "",
        }
        content = json.dumps(shared, sort_keys=True).encode()
        digest = hashlib.sha256(content).hexdigest()[:32]
        for name, data in (("granules.parquet", granules), ("instants.parquet", instants), ("json", content)):
            key = f"records/tables-{digest}.{name}"
            if data and place.read(key) != data:
                place.write(key, data)
        return digest

    def ticket(self, part: Part, digest: str, token: str) -> dict[str, Any]:
        """Return a part as it travels: pure JSON that names rows of the tables."""
        return {
            "cube": self.task.cube,
            "tables": digest,
            "token": token,
            "number": part.number,
            "row": part.row,
            "first": part.first,
            "count": part.axis.count,
            "axis": part.axis.kind,
            "sites": [self._sites[site.name] for site in part.sites],
            "granules": _ranges([self._granules[_granule_key(one)] for one in part.granules]),
            "series": {
                name: _ranges([self._granules[_granule_key(one)] for one in several])
                for name, several in part.series.items()
            },
            "references": [
                [name, site, [self._references[_reference_key(one)] for one in several]]
                for name, site, several in _flat(part.references)
            ],
        }

    @cached_property
    def _sites(self) -> dict[str, int]:
        return {one.name: number for number, one in enumerate(self.sites)}

    @cached_property
    def _granules(self) -> dict[tuple[str, str, str], int]:
        return {_granule_key(one): number for number, one in enumerate(self.granules)}

    @cached_property
    def _references(self) -> dict[tuple[str, str, str, int, int, str], int]:
        return {_reference_key(one): number for number, one in enumerate(self.references)}


def part_of(ticket: Mapping[str, Any]) -> Part:
    """Return the part that a ticket names.

    Raises
    ------
    CubeError
        The tables beside the cube are gone, or are others.
    """
    stored = _stored(ticket["cube"], ticket["tables"])
    first, count = ticket["first"], ticket["count"]
    if stored.instants is None:
        axis: RegularAxis | ExposureAxis = regular_axis(ticket["axis"], count)
    else:
        axis = stored.instants.region(first, first + count)
    chosen: list[dict[str, dict[str, tuple[Reference, ...]]]] = [{} for _ in stored.task.steps]
    for path, site, several in ticket["references"]:
        step, _, name = path.partition(".")
        chosen[int(step)].setdefault(name, {})[site] = tuple(stored.references[number] for number in several)
    return Part(
        stored.task,
        ticket["number"],
        ticket["row"],
        first,
        axis,
        tuple(stored.sites[number] for number in ticket["sites"]),
        stored.granules(ticket["granules"]),
        tuple(chosen) if ticket["references"] else (),
        {name: stored.granules(ranges) for name, ranges in ticket["series"].items()},
    )


def forget(place: Target, keep: str) -> None:
    """Remove the tables of earlier plans."""
    for name in place.listing("records"):
        if name.startswith("records/tables-") and not name.startswith(f"records/tables-{keep}."):
            place.delete(name)


def reference_as_json(reference: Reference) -> dict[str, Any]:
    """Return a reference without its payload, as JSON-able values."""
    values = asdict(replace(reference, payload=None))
    del values["payload"]
    return values


class _Stored:
    """Tables as a worker has them: granules are decoded a row group at a time."""

    def __init__(self, place: Target, digest: str) -> None:
        shared = json.loads(_checked(place, f"records/tables-{digest}.json", digest))
        task = shared["task"]
        steps = tuple(StepCall(**{**one, "pairs": tuple(one["pairs"])}) for one in task["steps"])
        self.task = Task(**{**task, "steps": steps})
        self.sites = [Site(**{**one, "horizon": tuple(map(tuple, one["horizon"]))}) for one in shared["sites"]]
        self.references = [Reference(**one) for one in shared["references"]]
        self._granules = _open(_checked(place, f"records/tables-{digest}.granules.parquet", shared["granules"]))
        self._group = lru_cache(maxsize=64)(self._decoded)
        self.instants: ExposureAxis | None = None
        if shared["instants"]:
            table = _open(_checked(place, f"records/tables-{digest}.instants.parquet", shared["instants"])).read()
            self.instants = ExposureAxis(tuple(table["instant"].to_pylist()), tuple(table["site"].to_pylist()))

    def granules(self, ranges: Sequence[tuple[int, int]]) -> tuple[Granule, ...]:
        numbers = (number for begin, end in ranges for number in range(begin, end))
        return tuple(self._group(number // _ROWS)[number % _ROWS] for number in numbers)

    def _decoded(self, group: int) -> list[Granule]:
        rows = self._granules.read_row_group(group)["granule"].to_pylist()
        return [Granule.from_json(json.loads(row)) for row in rows]


@lru_cache(maxsize=4)
def _stored(cube: str, digest: str) -> _Stored:
    return _Stored(target(cube), digest)


def _checked(place: Target, name: str, digest: str) -> bytes:
    data = place.read(name)
    if data is None or not hashlib.sha256(data).hexdigest().startswith(digest):
        raise CubeError(f"{place.url}: {name} is gone or is another; plan again")
    return data


def _parquet(columns: Mapping[str, Sequence[Any]]) -> bytes:
    import pyarrow as pa  # noqa: PLC0415 - heavy
    import pyarrow.parquet as pq  # noqa: PLC0415 - heavy

    types = {"granule": pa.string(), "instant": pa.int64(), "site": pa.string()}
    table = pa.table({name: pa.array(values, types[name]) for name, values in columns.items()})
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", row_group_size=_ROWS)
    return sink.getvalue()


def _open(data: bytes) -> Any:
    import pyarrow.parquet as pq  # noqa: PLC0415 - heavy

    return pq.ParquetFile(io.BytesIO(data))


def _granule_key(granule: Granule) -> tuple[str, str, str]:
    return (granule.url, granule.site, granule.instrument)


def _reference_key(reference: Reference) -> tuple[str, str, str, int, int, str]:
    keys = json.dumps(dict(reference.keys), sort_keys=True)
    return (reference.sha256, reference.kind, reference.site, reference.start, reference.stop, keys)


def _flat(references: Any) -> list[tuple[str, str, tuple[Reference, ...]]]:
    return [
        (f"{step}.{name}", site, several)
        for step, by_name in enumerate(references)
        for name, by_site in by_name.items()
        for site, several in by_site.items()
    ]


def _ranges(numbers: Sequence[int]) -> list[list[int]]:
    """Return numbers as ranges [begin, end), in their order."""
    if not numbers:
        return []
    breaks = np.flatnonzero(np.diff(numbers) != 1) + 1
    return [[int(run[0]), int(run[-1]) + 1] for run in np.split(np.asarray(numbers), breaks)]
