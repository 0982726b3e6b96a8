"""The time axis of a cube, and its parts: which granules each has to read, and what memory it may need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ilrs_science import catalog
from ilrs_science.errors import IlrsError
from ilrs_science.model.axis import Axis, ExposureAxis, RegularAxis
from ilrs_science.model.granule import Granule
from ilrs_science.model.instrument import Instrument
from ilrs_science.model.part import Part, Task
from ilrs_science.model.site import Site
from ilrs_science.planning.pipeline import Pipeline, TimeSpan
from ilrs_science.store.cube import Declaration

EVER = 2**62  # ns; beyond every time


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
    kept: dict[str, Granule] = {}
    duplicates = []
    for granule in granules:
        first = kept.setdefault(str(granule.identity), granule)
        if first.url != granule.url:
            duplicates.append(granule)
    return list(kept.values()), duplicates


def make_axis(
    pipeline: Pipeline, campaign: Pipeline, instrument: Instrument, sites: Sequence[str], granules: Sequence[Granule]
) -> Axis:
    """Return the axis of the cube of a pipeline, which may be one of several cubes of a campaign."""
    return _exposures(pipeline.time, sites, granules) if instrument.product.exposures else _slots(pipeline, campaign)


def _slots(pipeline: Pipeline, campaign: Pipeline) -> RegularAxis:
    time = pipeline.time
    if time is None or time.step is None or campaign.time is None:
        raise IlrsError("a regular cube needs time.start, time.stop and time.step")
    # The slots of all cubes are counted from one start. Whole ones only: one that reached beyond `stop` would take
    # samples from there.
    whole = RegularAxis(campaign.time.start, time.step, 0)
    first, last = (int(whole.numbers(edge)) for edge in (time.start, time.stop))
    return whole.region(first, last)


def _exposures(time: TimeSpan | None, sites: Sequence[str], granules: Sequence[Granule]) -> ExposureAxis:
    keys = {
        (instant, granule.site)
        for granule in granules
        if granule.site in sites
        for instant in granule.times
        if time is None or time.start <= instant < time.stop
    }
    return ExposureAxis(tuple(t for t, _ in sorted(keys)), tuple(s for _, s in sorted(keys)))


def make_parts(task: Task, declared: Declaration, shards: int, granules: Sequence[Granule]) -> list[Part]:
    """Cut an axis into parts of so many whole shards, each with the granules that it has to read."""
    shelves = {site.name: Shelf([g for g in granules if g.site == site.name]) for site in declared.sites}
    parts: list[Part] = []
    for number, stretch in enumerate(_stretches(declared, declared.cut.shard * shards)):
        here = _granules_of(stretch, shelves, task.margin)
        sites = stretch.sites_of(here)
        parts.append(Part(task, number, stretch.row, stretch.first, stretch.region, sites, tuple(here)))
    return parts


@dataclass(frozen=True)
class _Stretch:
    """A region of a cube that becomes a part."""

    row: int
    """Index of the site in a regular cube; -1 in an exposure cube, whose sites share the axis."""
    first: int
    region: Axis
    sites: tuple[Site, ...]

    def sites_of(self, granules: Sequence[Granule]) -> tuple[Site, ...]:
        """Return the sites of a part: of those of an exposure cube only the ones that it has granules of."""
        if self.row >= 0:
            return self.sites
        names = {granule.site for granule in granules}
        return tuple(site for site in self.sites if site.name in names)


def _stretches(declared: Declaration, length: int) -> Iterator[_Stretch]:
    """Yield the regions of so many slots that a cube consists of."""
    axis, sites = declared.axis, declared.sites
    for row, members in axis.rows(sites):
        for first in range(0, axis.count, length):
            yield _Stretch(row, first, axis.region(first, min(first + length, axis.count)), members)


def _granules_of(stretch: _Stretch, shelves: Mapping[str, Shelf], margin: int) -> list[Granule]:
    """Return the granules that a part has to read."""
    low, high = stretch.region.start - margin, stretch.region.stop + margin
    here = [granule for site in stretch.sites for granule in shelves[site.name].overlapping(low, high)]
    if stretch.row >= 0:
        return here
    return sorted((one for one in here if _has_exposure(one, stretch.region, margin)), key=_in_order)


def _in_order(granule: Granule) -> tuple[int, str, str]:
    """Return what puts granules in order: in each part the same, however the inventory has them."""
    return granule.start, granule.sha256, granule.site


def _has_exposure(granule: Granule, region: Axis, margin: int) -> bool:
    """Tell whether a granule has an exposure in a region, or within the margin around it; its span does not say so."""
    if not margin:
        return bool((region.slots(np.array(granule.times, np.int64), granule.site) >= 0).any())
    return any(region.start - margin <= time < region.stop + margin for time in granule.times)


def part_memory(instrument: Instrument, part: Part) -> int:
    """Return the bytes that a part may need.

    That is the declared factor times its largest granule, which is read whole, what it keeps of all granules, and its
    block with margins.
    """
    largest = max((granule.size for granule in part.granules), default=0)
    kept = sum(int(granule.size * _share(granule, part)) for granule in part.granules)
    kept += sum(granule.size for several in part.series.values() for granule in several)
    slots = part.axis.count + part.axis.slots_within(part.margin)
    return int(instrument.memory * (largest + kept + slots * instrument.product.sample_bytes(part.place)))


def _share(granule: Granule, part: Part) -> float:
    """Return how much of a granule's span lies in a part with its margins."""
    shared = min(granule.stop, part.axis.stop + part.margin) - max(granule.start, part.axis.start - part.margin)
    return max(0, shared) / max(1, granule.stop - granule.start)


class Shelf:
    """Granules of a site, found by time without looking at each."""

    def __init__(self, granules: Sequence[Granule]) -> None:
        self.granules = sorted(granules, key=_in_order)
        self.starts = np.array([g.start for g in self.granules], np.int64)
        # The furthest stop so far is sorted even where granules nest, so both bounds are binary searches.
        self.reach = np.maximum.accumulate([g.stop for g in self.granules]) if granules else self.starts

    def overlapping(self, start: int, stop: int) -> list[Granule]:
        """Return those that have a time in a span, TAI ns, half-open; in order of start and digest."""
        first = int(np.searchsorted(self.reach, start, side="right"))
        last = int(np.searchsorted(self.starts, stop, side="left"))
        return [g for g in self.granules[first:last] if g.stop > start]
