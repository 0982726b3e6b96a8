"""Which reference is valid when, and why the others are not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from ilrs_science.errors import Fault
from ilrs_science.geometry.time import isot
from ilrs_science.model.reference import UNTIL_NEXT, Reference

_MOST_TOLD = 20


@dataclass(frozen=True)
class Sought:
    """What a step needs at a site: a reference of one kind."""

    instrument: str
    kind: str
    site: str
    keys: tuple[tuple[str, str], ...] = ()
    """What else is known of the samples, such as the filter of their file; of what references tell apart."""
    context: int | None = None
    """Only what was published until then is known, TAI ns; None knows everything."""
    pair: bool = False
    """Whether it is the one before and the one after each sample. When one was taken is the start of its validity."""

    def refusal(self, one: Reference) -> str:
        """Return why a reference of this kind is none for this, or nothing."""
        known = dict(self.keys)
        if one.instrument != self.instrument:
            return f"of the instrument {one.instrument}"
        if one.site not in ("*", self.site):
            return f"for site {one.site}"
        if other := [f"{key} {value}" for key, value in one.keys.items() if known.get(key) != value]:
            return f"for {', '.join(other)}"
        if self.context is not None and one.published > self.context:
            return f"published {isot(one.published)}, after the context {isot(self.context)}"
        return ""


@dataclass(frozen=True)
class Resolution:
    """Which references were chosen for a parameter, and why the others were not."""

    chosen: tuple[Reference, ...]
    faults: tuple[str, ...]
    """What is wrong: nothing valid, or two at once."""
    candidates: tuple[tuple[Reference, str], ...]
    """Every reference of this kind with why it was taken or not, those of this instrument first."""


def resolve(references: Iterable[Reference], sought: Sought, span: tuple[int, int]) -> Resolution:
    """Choose the references that cover a span (TAI ns, half-open): one at every instant, or one before and one after.

    One that is published again, for the same site and the same validity, takes the place of the earlier one. One for
    the site takes the place of one for all sites, as far as it is valid; and one for more keys that of one for fewer.
    """
    kind = [one for one in references if one.kind == sought.kind]
    chosen = around(usable(kind, sought), *span) if sought.pair else _within(usable(kind, sought), span)
    there = {one.sha256 for one in chosen}
    newest = {id(one) for one in _newest(one for one in kind if not sought.refusal(one))}

    def reason(one: Reference) -> str:
        if refusal := sought.refusal(one):
            return refusal
        if not sought.pair and not _within([one], span):
            return f"valid {isot(one.start)} to {until(one)}, outside {isot(span[0])} to {isot(span[1])}"
        if id(one) not in newest:
            return f"published {isot(one.published)}, and again later"
        return "taken" if one.sha256 in there else "others are nearer" if sought.pair else "another is more specific"

    candidates = sorted(((one, reason(one)) for one in kind), key=lambda pair: pair[0].instrument != sought.instrument)
    faults = (pair_faults if sought.pair else coverage_faults)(chosen, *span)
    return Resolution(tuple(chosen), tuple(faults), tuple(candidates))


def _within(references: Iterable[Reference], span: tuple[int, int]) -> list[Reference]:
    return [one for one in references if one.stop > span[0] and one.start < span[1]]


def usable(references: Iterable[Reference], sought: Sought) -> list[Reference]:
    """Return the references that may be used, in order of start; several that say the same of one time are one.

    Where one is more specific than another, this one is valid only where that one is not.
    """
    mine = _ended(_newest(one for one in references if one.kind == sought.kind and not sought.refusal(one)))
    return _taken_apart(mine) if sought.pair else _most_specific(mine)


def _taken_apart(mine: Sequence[Reference]) -> list[Reference]:
    """Return what was taken at its own instant each: those for the site and its keys, if there are any."""
    foremost = {(one.start, one.sha256): one for one in mine if _rank(one) == max(map(_rank, mine))}
    return [foremost[key] for key in sorted(foremost)]


def _most_specific(mine: Sequence[Reference]) -> list[Reference]:
    """Return references of which one is valid only where no more specific one is."""
    found: list[Reference] = []
    for rank in sorted({_rank(one) for one in mine}, reverse=True):
        more_specific = list(found)
        for one in _merged([one for one in mine if _rank(one) == rank]):
            found += [replace(one, start=start, stop=stop) for start, stop in _left(one, more_specific)]
    return sorted(found, key=lambda one: (one.start, one.sha256))


def around(found: Sequence[Reference], start: int, stop: int) -> list[Reference]:
    """Return those from the last one at or before a span (TAI ns, half-open) to the first one after its samples.

    Their starts are when they were taken; how long they are valid does not matter.
    """
    before = max([one.start for one in found if one.start <= start], default=None)
    first = 0 if before is None else min(number for number, one in enumerate(found) if one.start == before)
    after = min([one.start for one in found if one.start >= max(stop - 1, start + 1)], default=None)
    last = len(found) if after is None else max(number for number, one in enumerate(found) if one.start == after) + 1
    return list(found[max(0, min(first, len(found) - 2)) : last])


def pair_faults(found: Sequence[Reference], start: int, stop: int) -> list[str]:
    """Return what is missing for a reference before and one after each instant of a span (TAI ns, half-open)."""
    faults = []
    if not any(one.start <= start for one in found):
        faults.append(f"none was taken at {isot(start)} or before")
    if not any(one.start >= stop - 1 for one in found):
        faults.append(f"none was taken at {isot(stop - 1)} or after")
    if not faults and len(found) == 1:
        faults.append(f"one alone was taken, at {isot(found[0].start)}")
    faults += [
        f"two were taken at {isot(one.start)}: {Path(before.url).name} and {Path(one.url).name}"
        for before, one in pairwise(found)
        if before.start == one.start
    ]
    return faults


def _rank(one: Reference) -> tuple[int, bool]:
    """Return how specific a reference is."""
    return len(one.keys), one.site != "*"


def _newest(references: Iterable[Reference]) -> list[Reference]:
    """Return of several issues for the same and for one validity the one published last."""
    issues: dict[tuple[Any, ...], list[Reference]] = {}
    for one in references:
        issues.setdefault((one.site, tuple(sorted(one.keys.items())), one.start, one.stop), []).append(one)
    return [one for issue in issues.values() for one in issue if one.published == max(each.published for each in issue)]


def _ended(references: Sequence[Reference]) -> list[Reference]:
    """Return references of which those that are valid until the next one of the same site and keys end there.

    What was published after the context ends none: this comes after it was left out.
    """
    starts: dict[tuple[Any, ...], list[int]] = {}
    for one in references:
        starts.setdefault((one.site, tuple(sorted(one.keys.items()))), []).append(one.start)
    ended = []
    for one in references:
        later = [start for start in starts[one.site, tuple(sorted(one.keys.items()))] if start > one.start]
        ended.append(replace(one, stop=min(later, default=UNTIL_NEXT)) if one.stop == UNTIL_NEXT else one)
    return ended


def _merged(references: Sequence[Reference]) -> list[Reference]:
    """Return references with equal payloads as one where their validities touch."""
    found: list[Reference] = []
    for one in sorted(references, key=lambda one: (one.sha256, one.start)):
        last = found[-1] if found else None
        if last is not None and last.sha256 == one.sha256 and one.start <= last.stop:
            found[-1] = replace(last, stop=max(last.stop, one.stop))
        else:
            found.append(one)
    return found


def _left(one: Reference, others: Sequence[Reference]) -> list[tuple[int, int]]:
    """Return when a reference is valid and none of the others is."""
    found, start = [], one.start
    for other in sorted(others, key=lambda other: other.start):
        if other.start > start:
            found.append((start, min(other.start, one.stop)))
        start = max(start, other.stop)
    found.append((start, one.stop))
    return [(low, high) for low, high in found if low < high]


def explain(resolution: Resolution) -> str:
    """Return every candidate and why it was taken or not, for people."""
    if not resolution.candidates:
        return "there is no candidate in the catalogue or in references.folders"
    told = [f"{Path(one.url).name} ({reason})" for one, reason in resolution.candidates[:_MOST_TOLD]]
    more = len(resolution.candidates) - len(told)
    return "candidates: " + "; ".join(told) + (f"; and {more} more" if more else "")


def describe(reference: Reference) -> dict[str, Any]:
    """Return what identifies a reference, wherever its file lies, as JSON-able values."""
    return {
        "kind": reference.kind,
        "site": reference.site,
        "valid": [isot(reference.start), until(reference)],
        **({"keys": dict(reference.keys)} if reference.keys else {}),
        "sha256": reference.sha256,
        "source": reference.source,
    }


def until(one: Reference) -> str:
    """Return when a reference ends to be valid, for people."""
    return "the next one" if one.stop == UNTIL_NEXT else isot(one.stop)


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
