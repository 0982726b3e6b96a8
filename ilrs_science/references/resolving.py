"""Which reference is valid when, and why the others are not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ilrs_science.errors import Fault
from ilrs_science.geometry.time import isot
from ilrs_science.model.reference import Reference


@dataclass(frozen=True)
class Resolution:
    """Which references were chosen for a parameter, and why the others were not."""

    chosen: tuple[Reference, ...]
    faults: tuple[str, ...]
    """What is wrong: nothing valid, or two at once."""
    candidates: tuple[tuple[Reference, str], ...]
    """Every reference of this instrument and kind with why it was taken or not."""


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
