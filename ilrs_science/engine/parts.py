"""The time axis of a cube, and its parts: which granules each has to read, and what memory it may need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import cache

import numpy as np

from ilrs_science import catalog, registry
from ilrs_science.code import code_of
from ilrs_science.errors import IlrsError
from ilrs_science.model.axis import Axis, ExposureAxis, RegularAxis
from ilrs_science.model.granule import Granule
from ilrs_science.model.instrument import Instrument
from ilrs_science.model.part import Part, StepCall, digest
from ilrs_science.model.product import Place
from ilrs_science.model.site import Site
from ilrs_science.pipeline import Pipeline
from ilrs_science.store.encoding import Cut


def find_sites(pipeline: Pipeline, granules: Sequence[Granule]) -> list[Site]:
    """Return the sites of the pipeline; by default those that have a granule in its time."""
    catalogued = catalog.sites()
    if not pipeline.sites:
        time = pipeline.time
        there = {g.site for g in granules if time is None or (g.start < time.stop and g.stop > time.start)}
        return [catalogued.get(name, Site(name)) for name in sorted(there)]
    return [
        catalogued.get(one, Site(one)) if isinstance(one, str) else Site(**one.model_dump()) for one in pipeline.sites
    ]


def without_duplicates(granules: Sequence[Granule]) -> tuple[list[Granule], list[Granule]]:
    """Return granules each content once, and those of other files whose content one of them has."""
    kept: dict[tuple[str, str], Granule] = {}
    duplicates = []
    for granule in granules:
        first = kept.setdefault((granule.sha256, granule.site), granule)
        if first.url != granule.url:
            duplicates.append(granule)
    return list(kept.values()), duplicates


def make_axis(
    pipeline: Pipeline, instrument: Instrument, sites: Sequence[str], granules: Sequence[Granule]
) -> tuple[Axis, tuple[int, int]]:
    """Return the axis of the cube, and its span: what lies outside the span is in no part."""
    time = pipeline.time
    if not instrument.product.exposures:
        if time is None or time.step is None:
            raise IlrsError("a regular cube needs time.start, time.stop and time.step")
        # Whole slots only: a slot that reached beyond `stop` would take samples from there.
        axis = RegularAxis(time.start, time.step, (time.stop - time.start) // time.step)
        return axis, (axis.start, axis.stop)
    keys = {
        (instant, granule.site)
        for granule in granules
        if granule.site in sites
        for instant in granule.times
        if time is None or time.start <= instant < time.stop
    }
    exposures = ExposureAxis(tuple(t for t, _ in sorted(keys)), tuple(s for _, s in sorted(keys)))
    return exposures, (time.start, time.stop) if time else (exposures.start, exposures.stop)


def overlaps(granule: Granule, axis: Axis, span: tuple[int, int], margin: int) -> bool:
    """Tell whether a granule may have a sample in the span with its margins."""
    if isinstance(axis, ExposureAxis):
        return any(span[0] <= time < span[1] for time in granule.times)
    return granule.start < span[1] + margin and granule.stop > span[0] - margin


def make_parts(  # noqa: PLR0913, PLR0917 - everything a part is made of
    pipeline: Pipeline,
    instrument: Instrument,
    place: Place,
    axis: Axis,
    span: tuple[int, int],
    sites: Sequence[Site],
    layout: Cut,
    steps: Sequence[StepCall],
    granules: Sequence[Granule],
) -> list[Part]:
    """Cut an axis into parts of whole shards, each with the granules that it has to read."""
    functions = [registry.step(step.name, instrument) for step in steps]
    # A part depends on the formats of its own granules alone.
    code = cache(lambda formats: digest(asdict(code_of(instrument, functions, formats))))
    schema = digest([instrument.product.as_json(), asdict(layout)])
    margin = sum(step.margin for step in steps)
    by_site = {site.name: _Shelf([g for g in granules if g.site == site.name]) for site in sites}
    regular = isinstance(axis, RegularAxis)
    length = layout.shard * pipeline.layout.part
    parts: list[Part] = []
    for row, members in enumerate([(site,) for site in sites] if regular else [tuple(sites)]):
        for first in range(0, axis.count, length):
            region = axis.region(first, min(first + length, axis.count))
            here = [
                g
                for site in members
                for g in by_site[site.name].overlapping(region.start - margin, region.stop + margin)
            ]
            here.sort(key=lambda g: (g.start, g.sha256, g.site))
            parts.append(
                Part(
                    number=len(parts),
                    cube=pipeline.output,
                    instrument=instrument.name,
                    sites=tuple(site for site in members if regular or any(g.site == site.name for g in here)),
                    row=row if regular else -1,
                    first=first,
                    axis=region,
                    span=span,
                    granules=tuple(here),
                    steps=tuple(steps),
                    place=place,
                    code=code(frozenset(granule.format for granule in here)),
                    product=schema,
                )
            )
    return parts


def part_memory(instrument: Instrument, part: Part) -> int:
    """Return the bytes that a part may need.

    That is the declared factor times its largest granule, which is read whole, what it keeps of all granules, and its
    block with margins.
    """
    largest = max((granule.size for granule in part.granules), default=0)
    kept = sum(int(granule.size * _share(granule, part)) for granule in part.granules)
    step = part.axis.step if isinstance(part.axis, RegularAxis) else 1
    slots = part.axis.count + (2 * part.margin // step if isinstance(part.axis, RegularAxis) else 0)
    place: Place = "mean" if part.place == "mean" else "slot"
    return int(instrument.memory * (largest + kept + slots * instrument.product.sample_bytes(place)))


def _share(granule: Granule, part: Part) -> float:
    """Return how much of a granule's span lies in a part with its margins."""
    shared = min(granule.stop, part.axis.stop + part.margin) - max(granule.start, part.axis.start - part.margin)
    return max(0, shared) / max(1, granule.stop - granule.start)


class _Shelf:
    """Granules of a site, found by time without looking at each."""

    def __init__(self, granules: Sequence[Granule]) -> None:
        self.granules = sorted(granules, key=lambda g: g.start)
        self.starts = np.array([g.start for g in self.granules], np.int64)
        # The furthest stop so far is sorted even where granules nest, so both bounds are binary searches.
        self.reach = np.maximum.accumulate([g.stop for g in self.granules]) if granules else self.starts

    def overlapping(self, start: int, stop: int) -> list[Granule]:
        first = int(np.searchsorted(self.reach, start, side="right"))
        last = int(np.searchsorted(self.starts, stop, side="left"))
        return [g for g in self.granules[first:last] if g.stop > start]
