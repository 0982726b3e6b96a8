"""Inventories in files: JSON for people and programs, Parquet for many granules and for SQL."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import fsspec

from ilrs_science.errors import FormatError
from ilrs_science.geometry.time import tai_to_utc
from ilrs_science.model.granule import Granule

_READERS = b"ilrs_readers"
_FIELDS = tuple(one.name for one in fields(Granule))
_MAPPINGS = ("beside", "tags")
"""Fields of a granule that a table has as JSON text."""


LABEL = "the label of "
"""How the reason of a label begins: it is no granule, and no fault."""
COMPANION = "belongs to "
"""How the reason of a file begins that lies beside a granule and is read with it; it is no fault either."""
OTHER = "of another kind: "
"""How the reason of a file begins that is of another kind than an instrument takes; nor is it a fault."""


@dataclass(frozen=True)
class Rejection:
    """A file that is no granule, and why."""

    url: str
    reason: str
    outage: bool = False
    """Whether the reason lies outside its bytes, and may be gone at the next try."""

    @property
    def is_expected(self) -> bool:
        """Whether nothing is wrong with it: a label, a file that is read with another, or one of another kind."""
        return self.reason.startswith((LABEL, COMPANION, OTHER))


@dataclass(frozen=True)
class Inventory:
    """Raw files as granules; every file that is none is named with its reason."""

    granules: tuple[Granule, ...]
    rejected: tuple[Rejection, ...]
    states: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    """What tells of a file that it need not be indexed again."""
    readers: str = field(default="", compare=False, repr=False)
    """What indexed them: the versions of this package and of the instruments' packages."""

    def select(
        self,
        *,
        instrument: str | None = None,
        site: str | None = None,
        format: str | None = None,  # noqa: A002 - the word for it
        start: int | None = None,
        stop: int | None = None,
    ) -> Inventory:
        """Return the granules of an instrument, a site and a format that touch a span of time, TAI ns, half-open.

        A granule without times is in no span. Files that are no granules are left out.
        """

        def chosen(one: Granule) -> bool:
            return (
                instrument in (None, one.instrument)
                and site in (None, one.site)
                and format in (None, one.format)
                and (start is None or one.stop > max(start, one.start))
                and (stop is None or one.start < min(stop, one.stop))
            )

        return Inventory(tuple(filter(chosen, self.granules)), ())

    def as_json(self) -> dict[str, Any]:
        """Return the inventory as JSON-able values; times are null where a file tells none."""
        return {
            "granules": [_row(granule) for granule in self.granules],
            "rejected": [asdict(rejection) for rejection in self.rejected],
        }

    def save(self, path: Path) -> None:
        """Write the inventory, whole or not at all: `.parquet` as a table, any other name as JSON.

        The table has a row for each granule and for each file not taken: the fields of `Granule`, times in TAI
        nanoseconds, null where the file tells none; `beside` and `tags` as JSON text; `start_utc` and `stop_utc` for
        queries; `reason` where the file was not taken, and `outage`; `file` and `state`, by which a later inventory
        knows that the file is unchanged.
        """
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            if path.suffix == ".parquet":
                _to_parquet(self, unfinished)
            else:
                unfinished.write_text(json.dumps(self.as_json(), indent=1))
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)

    @classmethod
    def from_file(cls, path: str) -> Inventory:
        """Return the inventory that `save` or `ilrs inventory -o` wrote.

        Raises
        ------
        FormatError
            The file is no inventory, or is not there.
        """
        try:
            return _from_parquet(path) if path.endswith(".parquet") else _from_json(path)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise FormatError(f"{path}: not an inventory ({error})") from error


def names_inventory(pattern: str) -> bool:
    """Whether a pattern is an inventory file, not raw files."""
    return pattern.endswith((".json", ".parquet")) and not re.search(r"[*?\[{]", pattern)


def file_of(url: str) -> str:
    """Return the file that holds a granule: itself, or its archive."""
    return url.rpartition("::")[2] if url.startswith("zip://") else url


def _row(granule: Granule) -> dict[str, Any]:
    return granule.as_json() | ({} if granule.stop else {"start": None, "stop": None})


def _granule(row: dict[str, Any]) -> Granule:
    known = {name: row[name] for name in _FIELDS if name in row}
    return Granule.from_json({**known, "start": row["start"] or 0, "stop": row["stop"] or 0})


def _unpacked(row: dict[str, Any]) -> dict[str, Any]:
    return {name: json.loads(row.get(name) or "{}") for name in _MAPPINGS}


def _from_json(path: str) -> Inventory:
    with fsspec.open(path, "rb") as file:
        values = json.loads(file.read())
    granules = tuple(_granule(row) for row in values["granules"])
    return Inventory(granules, tuple(Rejection(**rejection) for rejection in values["rejected"]))


def _schema() -> Any:
    import pyarrow as pa  # noqa: PLC0415 - heavy

    text, whole, moment = pa.string(), pa.int64(), pa.timestamp("us", tz="UTC")
    return pa.schema(
        {
            **dict.fromkeys(("file", "url", "format", "instrument", "site", "level"), text),
            **dict.fromkeys(("start", "stop", "count", "size"), whole),
            "start_utc": moment,
            "stop_utc": moment,
            "sha256": text,
            "times": pa.list_(whole),
            "beside": text,
            "tags": text,
            "reason": text,
            "outage": pa.bool_(),
            "state": text,
        }
    )


def _to_parquet(found: Inventory, path: Path) -> None:
    import pyarrow as pa  # noqa: PLC0415 - heavy
    import pyarrow.parquet as pq  # noqa: PLC0415 - heavy

    rows = []
    for granule in found.granules:
        row = _row(granule) | {"file": file_of(granule.url), "state": found.states.get(file_of(granule.url))}
        row |= {name: json.dumps(row[name]) if row[name] else None for name in _MAPPINGS}
        utc = {f"{name}_utc": int(tai_to_utc(row[name])) // 1000 for name in ("start", "stop") if granule.stop}
        rows.append(row | utc)
    rows += [asdict(one) | {"file": one.url, "state": found.states.get(one.url)} for one in found.rejected]
    schema = _schema().with_metadata({_READERS: found.readers.encode()})
    pq.write_table(pa.Table.from_pylist(rows, schema), path, compression="zstd")


def _from_parquet(path: str) -> Inventory:
    import pyarrow as pa  # noqa: PLC0415 - heavy
    import pyarrow.parquet as pq  # noqa: PLC0415 - heavy

    try:
        with fsspec.open(path, "rb") as file:
            table = pq.read_table(file)
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error
    there = [name for name in _schema().names if not name.endswith("_utc") and name in table.column_names]
    rows = table.select(there).to_pylist()
    granules = tuple(_granule(row | _unpacked(row)) for row in rows if row["reason"] is None)
    rejected = tuple(
        Rejection(row["url"], row["reason"], outage=bool(row["outage"])) for row in rows if row["reason"] is not None
    )
    states = {row["file"]: row["state"] for row in rows if row["state"]}
    return Inventory(granules, rejected, states, (table.schema.metadata or {}).get(_READERS, b"").decode())
