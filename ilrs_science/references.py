"""Calibration knowledge: which reference is valid when, and why.

A folder of references holds YAML indexes with the payload files beside them:

References
----------
      - kind: matrix
        instrument: acme-mag
        site: shackleton            # or "*", the default
        valid: {start: 2031-01-01T00:00:00Z, stop: 2032-01-01T00:00:00Z}
        published: 2030-12-01T00:00:00Z
        payload: matrix.json        # or a netCDF-3 file, .nc
        sha256: ...                 # optional; checked where given
        source: who says so
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import fsspec
import xarray as xr
from pydantic import BaseModel, ConfigDict, Field

from ilrs_science.errors import Fault, FormatError
from ilrs_science.geometry.time import isot
from ilrs_science.model.reference import Reference
from ilrs_science.yaml_text import UtcTime, load_yaml, validated


class _Valid(BaseModel):
    model_config = ConfigDict(extra="forbid")
    start: UtcTime
    stop: UtcTime


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: str
    instrument: str
    site: str = "*"
    valid: _Valid
    published: UtcTime
    payload: str = Field(pattern=r"^[^/\\][^\\]*\.(json|nc)$")
    sha256: str = ""
    source: str = "unknown"


class _Index(BaseModel):
    model_config = ConfigDict(extra="forbid")
    references: list[_Entry]


@dataclass(frozen=True)
class Resolution:
    """Which references were chosen for a parameter, and why the others were not."""

    chosen: tuple[Reference, ...]
    faults: tuple[str, ...]
    """What is wrong: nothing valid, or two at once."""
    candidates: tuple[tuple[Reference, str], ...]
    """Every reference of this instrument and kind with why it was taken or not."""


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
            span = (entry.valid.start, entry.valid.stop)
            found.append(
                Reference(
                    entry.instrument, entry.kind, entry.site, *span, entry.published, sha256, str(payload), entry.source
                )
            )
    return found


def resolve(  # noqa: PLR0913 - what identifies a reference
    references: Iterable[Reference],
    *,
    instrument: str,
    kind: str,
    site: str,
    span: tuple[int, int],
    context: int | None,
) -> Resolution:
    """Choose the references of one kind that cover a span at a site: at every instant exactly one.

    One that is published again, for the same site and the same validity, takes the place of the earlier one.

    Parameters
    ----------
    span
        TAI ns, half-open.
    context
        Only what was published until then is known; None knows everything.
    """
    start, stop = span
    candidates, usable = [], []
    for one in references:
        if (one.instrument, one.kind) != (instrument, kind):
            continue
        if one.site not in ("*", site):
            reason = f"for site {one.site}"
        elif context is not None and one.published > context:
            reason = f"published {isot(one.published)}, after the context {isot(context)}"
        elif one.stop <= start or one.start >= stop:
            reason = f"valid {isot(one.start)} to {isot(one.stop)}, outside {isot(start)} to {isot(stop)}"
        else:
            reason = "taken"
            usable.append(one)
        candidates.append((one, reason))
    newest = _newest(usable)
    reasons = ((one, reason if reason != "taken" or one in newest else _superseded(one)) for one, reason in candidates)
    return Resolution(tuple(newest), tuple(coverage_faults(newest, start, stop)), tuple(reasons))


def usable_at(
    references: Iterable[Reference], instrument: str, kind: str, site: str, context: int | None
) -> list[Reference]:
    """Return the references of one kind that a site may use, known at a date (None: today), in order of start."""
    found = [
        one
        for one in references
        if (one.instrument, one.kind) == (instrument, kind)
        and one.site in ("*", site)
        and (context is None or one.published <= context)
    ]
    return _newest(found)


def _newest(references: Sequence[Reference]) -> list[Reference]:
    """Return of several issues for one site and validity the one published last, in order of start."""
    published: dict[tuple[str, int, int], int] = {}
    for one in references:
        key = (one.site, one.start, one.stop)
        published[key] = max(one.published, published.get(key, one.published))
    kept = [one for one in references if one.published == published[one.site, one.start, one.stop]]
    return sorted(kept, key=lambda one: (one.start, one.sha256))


def _superseded(one: Reference) -> str:
    return f"published {isot(one.published)}, and again later"


def explain(resolution: Resolution) -> str:
    """Return every candidate and why it was taken or not, for people."""
    if not resolution.candidates:
        return "there is no candidate in the catalogue or in references.folders"
    return "candidates: " + "; ".join(f"{Path(one.url).name} ({reason})" for one, reason in resolution.candidates)


def describe(reference: Reference) -> dict[str, Any]:
    """Return what identifies a reference, wherever its file lies, as JSON-able values."""
    return {
        "kind": reference.kind,
        "site": reference.site,
        "valid": [isot(reference.start), isot(reference.stop)],
        "sha256": reference.sha256,
        "source": reference.source,
    }


def fault(path: str, resolution: Resolution) -> Fault:
    """Return the fault of a plan that a failed resolution is."""
    return Fault(path, "; ".join(resolution.faults), explain(resolution))


_loaded: dict[str, xr.Dataset] = {}


def load(reference: Reference) -> Reference:
    """Return the reference with its payload; read once for each process and digest.

    Raises
    ------
    FormatError
        The file is not what the plan saw, or cannot be decoded.
    """
    if reference.sha256 not in _loaded:
        with fsspec.open(reference.url, "rb") as file:
            data = bytes(file.read())
        if hashlib.sha256(data).hexdigest() != reference.sha256:
            raise FormatError(f"{reference.url}: changed since it was planned with digest {reference.sha256}")
        _loaded[reference.sha256] = _frozen(_decode(reference.url, data))
    # A shallow copy: the locked arrays are shared, the mapping of names is not.
    return replace(reference, payload=_loaded[reference.sha256].copy())


def _decode(url: str, data: bytes) -> xr.Dataset:
    try:
        if url.endswith(".json"):
            return xr.Dataset.from_dict(json.loads(data))
        return xr.load_dataset(io.BytesIO(data), engine="scipy")
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise FormatError(f"{url}: not a reference payload ({error})") from error


def _frozen(ds: xr.Dataset) -> xr.Dataset:
    # One copy serves every part of the process, so no step may change it.
    for variable in ds.variables.values():
        variable.values.flags.writeable = False
    return ds


def coverage_faults(usable: Sequence[Reference], start: int, stop: int) -> list[str]:
    """Return where within a span (TAI ns, half-open) none is valid, or two at once."""
    faults = []
    reached = start
    for before, one in zip([None, *usable], usable, strict=False):
        if one.start > reached:
            faults.append(f"none is valid from {isot(reached)} to {isot(one.start)}")
        if before is not None and one.start < reached:
            faults.append(
                f"two are valid from {isot(max(one.start, start))}: {Path(before.url).name} and {Path(one.url).name}"
            )
        reached = max(reached, one.stop)
    if reached < stop:
        faults.append(f"none is valid from {isot(reached)} to {isot(stop)}")
    return faults
