"""What is wrong with a pipeline beyond its keys: times, sites, layout, and raw files that are not there."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

import numpy as np

from ilrs_science import catalog
from ilrs_science.catalog.files import site_in_path
from ilrs_science.errors import Fault, IlrsError
from ilrs_science.geometry.time import isot
from ilrs_science.model.axis import RegularAxis
from ilrs_science.model.duration import slot_text
from ilrs_science.model.granule import Granule
from ilrs_science.model.instrument import Instrument
from ilrs_science.model.product import Place
from ilrs_science.model.site import Site
from ilrs_science.planning.partition import spans
from ilrs_science.planning.pipeline import MOST_PARTS, MOST_SLOTS, Pipeline
from ilrs_science.store.encoding import Cut, array_layout, cut

_BLOSC = 2**31 - 64
"""Bytes that the compressor takes at once."""


def time_faults(pipeline: Pipeline, instrument: Instrument) -> list[Fault]:
    """Return what is wrong with the time axis for the kind of cube that the instrument makes."""
    time, exposures = pipeline.time, instrument.product.exposures
    if time is None:
        return (
            []
            if exposures
            else [Fault("time", "is missing", f"{instrument.name} makes a regular cube: start, stop, step")]
        )
    faults = []
    if time.stop <= time.start:
        faults.append(Fault("time", f"found {isot(time.start)} to {isot(time.stop)}", "stop must come after start"))
    if time.step is None and not exposures:
        faults.append(Fault("time.step", "is missing", f"{instrument.name} makes a regular cube: the length of a slot"))
    if time.step is not None and exposures:
        faults.append(
            Fault("time.step", f"found {slot_text(time.step)}", f"{instrument.name} makes a cube of exposures: no step")
        )
    if time.step is not None and not 0 < time.step <= max(time.stop - time.start, 1):
        faults.append(
            Fault("time.step", f"found {slot_text(time.step)}", "expected more than zero, at most stop - start")
        )
    return [*faults, *_place_faults(pipeline, instrument)]


def _place_faults(pipeline: Pipeline, instrument: Instrument) -> list[Fault]:
    """Return whether samples of the instrument cannot come onto an axis as the pipeline says."""
    place, product = pipeline.place, instrument.product
    allowed = ""
    if product.exposures:
        allowed = "" if place in (None, "slot") else "makes a cube of exposures: slot"
    elif product.counts_events or product.is_table:
        allowed = "" if place is None else f"{'makes a table' if product.is_table else 'counts events'}: leave it out"
    elif product.bins:
        allowed = "sorts samples into bins: mean or sum" if place == "slot" else ""
    return [Fault("place", f"found {place!r}", f"{instrument.name} {allowed}")] if allowed else []


def site_faults(pipeline: Pipeline) -> list[Fault]:
    """Return the sites that are given twice, and those that are described as no site can be."""
    names = site_names(pipeline)
    faults = []
    for number, one in enumerate(pipeline.sites):
        if names[number] in names[:number]:
            faults.append(Fault(f"sites[{number}]", f"{names[number]!r} is given twice", "a cube has each site once"))
        try:
            Site(one) if isinstance(one, str) else Site(**one.model_dump())
        except IlrsError as error:
            faults.append(Fault(f"sites[{number}]", f"found {names[number]!r}", str(error)))
    return faults


def site_warnings(pipeline: Pipeline, granules: Iterable[Granule]) -> list[Fault]:
    """Return the sites of a pipeline without a granule in its time: not wrong, but hardly what was meant."""
    there = {granule.site for granule in granules}
    return [
        Fault(f"sites[{number}]", f"{name!r} has no raw file in this time", "it stays empty, all of it missing")
        for number, name in enumerate(site_names(pipeline))
        if name not in there
    ]


def unknown_site_faults(pipeline: Pipeline, granules: Sequence[Granule]) -> list[Fault]:
    """Return the sites that nobody knows; one that the catalogue knows may be without data."""
    there = sorted({granule.site for granule in granules})
    known = sorted({*there, *catalog.sites()})
    faults = []
    for number, one in enumerate(pipeline.sites):
        if isinstance(one, str) and one not in known:
            near = get_close_matches(one, known, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            faults.append(
                Fault(f"sites[{number}]", f"{one!r} is unknown", f"{hint}the files hold {', '.join(there) or 'none'}")
            )
    return faults


def layout_faults(pipeline: Pipeline, instrument: Instrument, place: Place) -> list[Fault]:
    """Return what is wrong with chunks and shards."""
    product = instrument.product
    try:
        made = cut(product, place, pipeline.layout.chunk, pipeline.layout.shard)
    except ValueError as error:
        return [Fault("layout", f"found {pipeline.layout.shard}", str(error))]
    axis = RegularAxis(0, 1, 1)
    largest = max(
        math.prod(array_layout(product, v, made, axis)["chunks"]) * np.dtype(v.stored_dtype).itemsize
        for v in product.stored(place)
    )
    if largest > _BLOSC:
        found = f"{made.chunk} samples are {largest} bytes of one variable"
        return [Fault("layout.chunk", found, f"a chunk is compressed as one, at most {_BLOSC} bytes")]
    return []


def size_faults(pipeline: Pipeline, slots: int, rows: int, layout: Cut) -> list[Fault]:
    """Return whether a cube is larger than a plan can be, by arithmetic: before any list of slots or parts is made.

    Parameters
    ----------
    slots
        Samples along time.
    rows
        Sites that are parts of their own: 1 in an exposure cube.
    layout
        Chunk and shard.
    """
    parts = rows * -(-slots // (layout.shard * pipeline.layout.part))
    if slots > MOST_SLOTS:
        key, allowed = ("time.step", "a longer step or a") if pipeline.time and pipeline.time.step else ("time", "a")
        found = f"makes {slots} slots in {parts} parts"
        return [Fault(key, found, f"a cube holds at most {MOST_SLOTS} slots; give {allowed} shorter time")]
    if parts > MOST_PARTS:
        found = f"makes {parts} parts"
        return [
            Fault(
                "layout",
                found,
                f"a plan has at most {MOST_PARTS}; give a larger shard, more shards a part, or less time",
            )
        ]
    return []


def regular_size_faults(pipeline: Pipeline, instrument: Instrument, place: Place, partition: str) -> list[Fault]:
    """Return whether regular cubes are too large, as far as declared; nothing where time or layout is wrong."""
    time = pipeline.time
    if time is None or not time.step or time_faults(pipeline, instrument) or layout_faults(pipeline, instrument, place):
        return []
    slots = max((one.stop - one.start) // time.step for one in spans(partition, time))
    made = cut(instrument.product, place, pipeline.layout.chunk, pipeline.layout.shard)
    return size_faults(pipeline, slots, max(1, len(pipeline.sites)), made)


def raw_faults(pipeline: Pipeline) -> list[Fault]:
    """Return the patterns of raw files that are none."""
    faults = []
    for number, pattern in enumerate(pipeline.raw):
        try:
            site_in_path("", pattern)
        except re.error as error:
            faults.append(Fault(f"raw[{number}]", f"found {pattern[:80]!r}", f"not a pattern of files: {error}"))
    return faults


def nothing_to_read(pipeline: Pipeline, inventory: catalog.Inventory, unique: Sequence[Granule]) -> Fault:
    """Return why there is nothing to read."""
    if unique:
        first, last = min(g.start for g in unique), max(g.stop for g in unique)
        sites = ", ".join(sorted({g.site for g in unique}))
        allowed = f"the files hold {sites} from {isot(first)} to {isot(last - 1)}; look at sites and time"
        return Fault("raw", f"none of {len(unique)} granules lies in the pipeline's sites and time", allowed)
    if inventory.rejected:
        reasons = "; ".join(f"{r.url}: {r.reason}" for r in inventory.rejected[:5])
        return Fault("raw", f"found no granule of {pipeline.instrument}", reasons)
    return Fault("raw", f"found no file for {', '.join(pipeline.raw)}", "expected at least one raw file")


def site_names(pipeline: Pipeline) -> list[str]:
    """Return the names of the sites that the pipeline gives."""
    return [one if isinstance(one, str) else one.name for one in pipeline.sites]
