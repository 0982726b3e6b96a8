"""Which references each part uses: exactly one of a kind at every instant of the axis, or a fault."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate
from pathlib import Path

from ilrs_science import catalog, references, registry
from ilrs_science.errors import Fault, FormatError, PlanError
from ilrs_science.model.axis import Axis
from ilrs_science.model.granule import Granule
from ilrs_science.model.instrument import Instrument
from ilrs_science.model.part import Part, StepCall
from ilrs_science.model.reference import Reference
from ilrs_science.model.step import step_parameters
from ilrs_science.planning.faults import site_names
from ilrs_science.planning.pipeline import Pipeline
from ilrs_science.references import Sought, is_readable

type Span = tuple[int, int]


def known_references(pipeline: Pipeline) -> tuple[list[Reference], list[Fault]]:
    """Return the references of the catalogue and of the pipeline's folders, and what is wrong with those folders."""
    known: list[Reference] = []
    faults: list[Fault] = []
    folders = {Path(os.path.realpath(catalog.data_folder("catalogs") / "references")): "references"}
    for number, one in enumerate(pipeline.references.folders):
        folders.setdefault(Path(os.path.realpath(one)), f"references.folders[{number}]")
    for folder, key in folders.items():
        try:
            if not folder.is_dir():
                faults.append(Fault(key, f"found {str(folder)!r}", "expected an existing folder"))
                continue
            known += references.read_folder(folder)
        except PlanError as error:
            faults += error.faults
        except (FormatError, OSError) as error:
            faults.append(Fault(key, f"found {str(folder)!r}", str(error)))
    return known, faults


@dataclass(frozen=True)
class Want:
    """A reference parameter of a step at a site."""

    step: str
    kind: str
    site: str
    required: bool
    pair: bool = False
    """Whether it is the one before and the one after each sample."""
    keys: tuple[tuple[str, str], ...] = ()
    """Tags of the granules that it is for; of those that references of this kind tell apart."""

    @property
    def path(self) -> str:
        """Where faults say that it is."""
        return f"steps.{self.step}.{self.kind} at {self.site}" + "".join(f", {key} {one}" for key, one in self.keys)


@dataclass(frozen=True)
class Known:
    """The references that a plan may choose from: looked through once for each want, not for each part."""

    instrument: Instrument
    references: Sequence[Reference]
    context: int | None
    _timelines: dict[Sought, _Timeline] = field(default_factory=dict)
    _told_apart: dict[Want, tuple[str, ...]] = field(default_factory=dict)

    def wants(self, step: StepCall, site: str) -> list[Want]:
        """Return what a step needs at a site, whatever the tags of granules."""
        function = registry.step(step.name, self.instrument)
        parameters = step_parameters(function)
        return [Want(step.name, kind, site, parameters[kind].required, kind in step.pairs) for kind in step.references]

    def keys(self, want: Want) -> tuple[str, ...]:
        """Return the tags by which references that may be for a site are told apart."""
        if want not in self._told_apart:
            sought = self._sought(want)
            mine = [
                one for one in self.references if one.kind == want.kind and not sought.refusal(replace(one, keys={}))
            ]
            self._told_apart[want] = tuple(sorted({key for one in mine for key in one.keys}))
        return self._told_apart[want]

    def depends_on_granules(self, want: Want) -> bool:
        """Tell whether it depends on when granules are, or on their tags, which references are for them."""
        return want.pair or bool(self.keys(want))

    def by_tags(self, want: Want, granules: Sequence[Granule]) -> dict[Want, list[Span]]:
        """Return what is wanted for granules of different tags, each with the spans of those, TAI ns."""
        found: dict[Want, list[Span]] = {}
        for one in granules:
            keys = tuple((key, one.tags[key]) for key in self.keys(want) if one.tags.get(key))
            found.setdefault(replace(want, keys=keys), []).append((one.start, one.stop))
        return found

    def choose(self, want: Want, near: Span, needed: Sequence[Span]) -> tuple[tuple[Reference, ...], Fault | None]:
        """Return the references that overlap a span, and what is wrong with them where they are needed.

        Parameters
        ----------
        near
            The span to be calibrated, margins included, TAI ns.
        needed
            What of it lies on the axis: only there every instant must have exactly one reference.
        """
        sought = self._sought(want)
        timeline = self._timeline(sought)
        chosen = references.around(timeline.references, *near) if want.pair else timeline.overlapping(*near)
        fault = next((one for span in needed if (one := self._lacking(want, span))), None)
        fault = fault or self._unreadable(want, chosen)
        return ((), fault) if fault else (tuple(replace(one, keys=dict(want.keys)) for one in chosen), None)

    def is_absent(self, want: Want, needed: Sequence[Span]) -> bool:
        """Tell whether there is no reference for some of the time in which one that may be absent is asked for."""
        return not want.required and any(self._faults(want, span) for span in needed)

    def _sought(self, want: Want) -> Sought:
        return Sought(self.instrument.name, want.kind, want.site, want.keys, self.context, want.pair)

    def _faults(self, want: Want, span: Span) -> list[str]:
        low, high = span
        if low >= high:
            return []
        timeline = self._timeline(self._sought(want))
        if want.pair:
            return references.pair_faults(references.around(timeline.references, low, high), low, high)
        return references.coverage_faults(timeline.overlapping(low, high), low, high)

    def _lacking(self, want: Want, span: Span) -> Fault | None:
        faults = self._faults(want, span)
        if not want.required:
            # Nothing is known of some time: the step goes without. Two at once are a fault all the same.
            faults = [one for one in faults if not one.startswith("none")]
        if not faults:
            return None
        return references.fault(want.path, references.resolve(self.references, self._sought(want), span))

    def _unreadable(self, want: Want, chosen: Sequence[Reference]) -> Fault | None:
        odd = [] if want.kind in self.instrument.load else [one for one in chosen if not is_readable(one)]
        allowed = f"JSON, netCDF-3, or what Instrument(load={{{want.kind!r}: ...}}) reads"
        return Fault(want.path, f"nothing reads {Path(odd[0].url).name}", allowed) if odd else None

    def _timeline(self, sought: Sought) -> _Timeline:
        if sought not in self._timelines:
            self._timelines[sought] = _Timeline(tuple(references.usable(self.references, sought)))
        return self._timelines[sought]


@dataclass(frozen=True)
class _Timeline:
    """References of one kind at one site, in order of their start."""

    references: tuple[Reference, ...]

    @cached_property
    def starts(self) -> list[int]:
        return [one.start for one in self.references]

    @cached_property
    def reach(self) -> list[int]:
        # The furthest stop so far is sorted even where references nest, so both bounds are binary searches.
        return list(accumulate((one.stop for one in self.references), max))

    def overlapping(self, start: int, stop: int) -> tuple[Reference, ...]:
        first, last = bisect_left(self.reach, start + 1), bisect_left(self.starts, stop)
        return tuple(one for one in self.references[first:last] if one.stop > start)


def with_references(parts: Sequence[Part], known: Known, axis: Axis) -> tuple[list[Part], list[Fault], list[Want]]:
    """Return parts with their references, what is wrong with those, and which optional ones do not exist; each once."""
    sites = dict.fromkeys(site.name for part in parts for site in part.sites)
    wants = {name: [known.wants(step, name) for step in parts[0].task.steps] for name in sites}
    if not any(any(by_step) for by_step in wants.values()):
        return list(parts), [], []
    search = _Search(known, axis, wants)
    filled = [replace(part, references=search.of_part(part)) for part in parts]
    return filled, list(search.faults.values()), list(search.absent.values())


@dataclass(frozen=True)
class _Search:
    """The search for the references of many parts, with what it meets on the way, each once."""

    known: Known
    axis: Axis
    wants: Mapping[str, Sequence[Sequence[Want]]]
    """By site, for each step."""
    faults: dict[str, Fault] = field(default_factory=dict)
    absent: dict[str, Want] = field(default_factory=dict)

    def of_part(self, part: Part) -> tuple[Mapping[str, Mapping[str, tuple[Reference, ...]]], ...]:
        """Return the references of a part, for each step by parameter and site."""
        return tuple(self._of_step(part, number) for number in range(len(part.task.steps)))

    def _of_step(self, part: Part, number: int) -> Mapping[str, Mapping[str, tuple[Reference, ...]]]:
        chosen: dict[str, dict[str, tuple[Reference, ...]]] = {}
        for want in (one for site in part.sites for one in self.wants[site.name][number]):
            chosen.setdefault(want.kind, {})[want.site] = self._one(part, want)
        return chosen

    def _one(self, part: Part, want: Want) -> tuple[Reference, ...]:
        near = (part.axis.start - part.margin, part.axis.stop + part.margin)
        low, high = max(near[0], self.axis.start), min(near[1], self.axis.stop)
        if not self.known.depends_on_granules(want):
            return self._chosen(want, near, [(low, high)])
        if self.known.instrument.product.counts_events and self.known.keys(want):
            found = "its references are for granules of certain tags"
            self.faults.setdefault(want.path, Fault(want.path, found, "events take them by site and time"))
            return ()
        by_tags = self.known.by_tags(want, [one for one in part.granules if one.site == want.site])
        return _of_all_tags(
            self._chosen(keyed, near, [(max(low, start), min(high, stop)) for start, stop in spans])
            for keyed, spans in by_tags.items()
        )

    def _chosen(self, want: Want, near: Span, needed: Sequence[Span]) -> tuple[Reference, ...]:
        several, fault = self.known.choose(want, near, needed)
        if fault is not None:
            self.faults.setdefault(want.path, fault)
        elif self.known.is_absent(want, needed):
            self.absent.setdefault(want.path, want)
        return several


def _of_all_tags(several: Iterable[tuple[Reference, ...]]) -> tuple[Reference, ...]:
    """Return the references for granules of different tags; where all have the same, these do not matter."""
    found = list(several)
    if len(found) == 1:
        return tuple(replace(one, keys={}) for one in found[0])
    return tuple(sorted((one for each in found for one in each), key=lambda one: (one.start, one.sha256)))


def early_reference_faults(pipeline: Pipeline, known: Known, steps: Sequence[StepCall]) -> list[Fault]:
    """Return what is wrong with references as far as declared times and sites tell, without raw files."""
    time = pipeline.time
    if time is None or time.stop <= time.start or known.instrument.product.exposures:
        return []
    span = (time.start, time.stop)
    wants = [w for step in steps for site in dict.fromkeys(site_names(pipeline)) for w in known.wants(step, site)]
    wants = [one for one in wants if not known.depends_on_granules(one)]
    return [fault for want in wants if (fault := known.choose(want, span, [span])[1]) is not None]


def absent_reference_words(want: Want) -> Fault:
    """Return what a plan says of an optional reference that does not exist."""
    return Fault(
        want.path,
        "no reference is known for all or some of the time",
        "the step runs without it there, and the provenance says so",
    )


def described(parts: Sequence[Part]) -> Mapping[str, Reference]:
    """Return every reference that some part uses, once."""
    return {
        f"{one.kind} {one.site} {one.start} {one.stop} {one.sha256} {sorted(one.keys.items())}": one
        for part in parts
        for by_kind in part.references
        for by_site in by_kind.values()
        for several in by_site.values()
        for one in several
    }
