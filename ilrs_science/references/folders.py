"""References as folders hold them: YAML indexes with the payload files beside them.

References
----------
- kind: matrix
instrument: acme-mag        # or several, [acme-mag, acme-mag-2]
site: shackleton            # or "*", the default
keys: {range: "3"}          # optional; tags of the granules that it is for
valid: {start: 2031-01-01T00:00:00Z, stop: 2032-01-01T00:00:00Z}   # without stop: until the next one
published: 2030-12-01T00:00:00Z
payload: matrix.json        # or netCDF-3, .nc; or what Instrument(load=...) reads
sha256: ...                 # optional; checked where given
source: who says so
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ilrs_science.errors import FormatError
from ilrs_science.model.reference import UNTIL_NEXT, Reference
from ilrs_science.yaml_text import UtcTime, load_yaml, validated


class _Valid(BaseModel):
    model_config = ConfigDict(extra="forbid")
    start: UtcTime
    stop: UtcTime | None = None

    @model_validator(mode="after")
    def _has_length(self) -> Self:
        if self.stop is not None and self.stop <= self.start:
            raise ValueError("stop must come after start")
        return self


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: str
    instrument: str | list[str]
    site: str = "*"
    keys: dict[str, Annotated[str, Field(min_length=1)]] = {}
    valid: _Valid
    published: UtcTime
    payload: str = Field(pattern=r"^[^/\\][^\\]*$")
    sha256: str = ""
    source: str = "unknown"


class _Index(BaseModel):
    model_config = ConfigDict(extra="forbid")
    references: list[_Entry]


def read_folder(folder: Path) -> list[Reference]:
    """Return every reference that the YAML indexes below a folder list.

    Raises
    ------
    PlanError
        An index has faults: all of them, each with file and path.
    FormatError
        A payload is missing, lies outside the folder, or has another digest than its index says.
    """
    found = []
    for index in sorted([*folder.rglob("*.yaml"), *folder.rglob("*.yml")]):
        for entry in validated(_Index, load_yaml(index), str(index)).references:
            payload = (index.parent / entry.payload).resolve()
            if not payload.is_relative_to(folder.resolve()) or not payload.is_file():
                raise FormatError(f"{index}: payload {entry.payload!r} is not a file below {folder}")
            sha256 = hashlib.sha256(payload.read_bytes()).hexdigest()
            if entry.sha256 not in ("", sha256):
                raise FormatError(f"{payload}: its digest is {sha256}, its index says {entry.sha256}")
            several = [entry.instrument] if isinstance(entry.instrument, str) else entry.instrument
            found += [_reference(entry, instrument, sha256, str(payload)) for instrument in several]
    return found


def _reference(entry: _Entry, instrument: str, sha256: str, url: str) -> Reference:
    stop = entry.valid.stop
    span = (entry.valid.start, UNTIL_NEXT if stop is None else stop)
    return Reference(
        instrument, entry.kind, entry.site, *span, entry.published, sha256, url, entry.source, dict(entry.keys)
    )
