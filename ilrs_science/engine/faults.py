"""What is wrong with a pipeline beyond its keys: times, sites, layout, and raw files that are not there."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from ilrs_science import catalog
from ilrs_science.errors import Fault
from ilrs_science.geometry.time import isot
from ilrs_science.model.granule import Granule
from ilrs_science.model.instrument import Instrument
from ilrs_science.model.product import Place
from ilrs_science.pipeline import Pipeline
from ilrs_science.store.encoding import cut


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
        faults.append(Fault("time.step", f"found {time.step}", f"{instrument.name} makes a cube of exposures: no step"))
    if time.step is not None and not 0 < time.step <= max(time.stop - time.start, 1):
        faults.append(Fault("time.step", f"found {time.step}", "expected more than zero, at most stop - start"))
    if pipeline.place == "mean" and exposures:
        faults.append(Fault("place", "found 'mean'", f"{instrument.name} makes a cube of exposures: slot"))
    return faults


def site_faults(pipeline: Pipeline) -> list[Fault]:
    """Return the sites that are given twice."""
    names = site_names(pipeline)
    return [
        Fault("sites", f"{name!r} is given twice", "a cube has each site once")
        for name in sorted({n for n in names if names.count(n) > 1})
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
    try:
        cut(instrument.product, place, pipeline.layout.chunk, pipeline.layout.shard)
    except ValueError as error:
        return [Fault("layout", f"found {pipeline.layout.shard}", str(error))]
    return []


def nothing_to_read(pipeline: Pipeline, inventory: catalog.Inventory, unique: Sequence[Granule]) -> Fault:
    """Return why there is nothing to read."""
    if unique:
        first, last = min(g.start for g in unique), max(g.stop for g in unique)
        sites = ", ".join(sorted({g.site for g in unique}))
        allowed = f"the files hold {sites} from {isot(first)} to {isot(last - 1)}; look at sites and time"
        return Fault("raw", f"none of {len(unique)} granules lies in the pipeline's sites and time", allowed)
    if inventory.rejected:
        reasons = "; ".join(f"{r.url}: {r.reason}" for r in inventory.rejected[:5])
        return Fault("raw", f"none of {len(inventory.rejected)} files is a granule of {pipeline.instrument}", reasons)
    return Fault("raw", f"found no file for {', '.join(pipeline.raw)}", "expected at least one raw file")


def site_names(pipeline: Pipeline) -> list[str]:
    """Return the names of the sites that the pipeline gives."""
    return [one if isinstance(one, str) else one.name for one in pipeline.sites]
