"""What the checks look at: an instrument with raw files, planned, read and run once for all of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike, fspath
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import xarray as xr

from ilrs_science import catalog, registry
from ilrs_science.errors import PlanError, reason_of
from ilrs_science.model.duration import Duration
from ilrs_science.model.granule import Granule
from ilrs_science.model.instrument import Instrument
from ilrs_science.model.part import Part
from ilrs_science.model.site import Site
from ilrs_science.model.step import StepFunction, neighbours
from ilrs_science.planning.gathering import Search
from ilrs_science.planning.plan import plan as make_plan
from ilrs_science.planning.planned import CollectionPlan, Plan
from ilrs_science.reduction.chain import run_steps
from ilrs_science.reduction.lineage import Made
from ilrs_science.reduction.reading import as_read, with_good
from ilrs_science.reduction.samples import with_quality, with_sample_numbers, with_tags
from ilrs_science.running.executing import ExecutorName
from ilrs_science.running.report import Report as RunReport
from ilrs_science.running.run import run as run_pipeline
from ilrs_science.testing.report import ConformanceError

type Steps = Sequence[str | Mapping[str, Mapping[str, Any] | None]] | None
"""As a pipeline writes them: names, or a name with its parameters."""

_MOST_SITES = 3
_MOST_SLOTS = 2**20
_SLOTS_OF_EVENTS = 64


@dataclass(frozen=True)
class Reading:
    """One granule as read, with the part that would calibrate it."""

    granule: Granule
    site: Site
    part: Part
    ds: xr.Dataset
    """Samples with `quality`, as steps get them, in the order of the file."""


@dataclass(frozen=True)
class Case:
    """An instrument under test with its raw files; what follows from them is made at the first use and kept."""

    instrument: Instrument
    sources: tuple[str | Granule, ...]
    """Paths or URLs of raw files, or granules."""
    references: tuple[str, ...]
    """Folders of references."""
    steps: Steps
    """As in a pipeline; None for the instrument's own."""
    inputs: Mapping[str, str]
    """As in a pipeline."""
    folder: Path
    """A temporary folder, for cubes."""

    @cached_property
    def granules(self) -> tuple[Granule, ...]:
        """Every granule of the raw files, as the inventory would find it."""
        if self.instrument.reads:
            return self._parts_of_cubes()
        found: list[Granule] = []
        for source in self.sources:
            granule = _with_digest(source if isinstance(source, Granule) else Granule(str(source)), self.instrument)
            with blaming(f"indexing {granule.url}"):
                found += [granule] if granule.count else catalog.index_granule(self.instrument, granule)
        return tuple(found)

    def _parts_of_cubes(self) -> tuple[Granule, ...]:
        named = [one for one in self.sources if isinstance(one, str)]
        given = [one for one in self.sources if isinstance(one, Granule)]
        with blaming("looking into the cubes"):
            found = Search().gathered(self.instrument, named)
        if found.rejected:
            raise ConformanceError(f"opening {found.rejected[0].url}: {found.rejected[0].reason}")
        return (*given, *found.granules)

    @cached_property
    def first_granules(self) -> tuple[Granule, ...]:
        """The first granule of each site; enough for what is checked sample by sample."""
        by_site: dict[str, Granule] = {}
        for granule in self.granules:
            by_site.setdefault(granule.site, granule)
        return tuple(by_site.values())[:_MOST_SITES]

    @cached_property
    def datasets(self) -> tuple[xr.Dataset, ...]:
        """What `read` gives for the first granules."""
        found = []
        for granule in self.first_granules:
            with blaming(f"reading {granule.url}"):
                found.append(as_read(self.instrument, granule))
        return tuple(found)

    @cached_property
    def readings(self) -> tuple[Reading, ...]:
        """The first granules with the parts that would calibrate them."""
        found = []
        for granule, ds in zip(self.first_granules, self.datasets, strict=True):
            for part in self.plan.parts:
                site = next((one for one in part.sites if one.name == granule.site), None)
                if site is not None:
                    samples = with_quality(catalog.with_times(ds), self.instrument.product)
                    samples = with_tags(with_sample_numbers(samples, granule), granule, part.keys)
                    with blaming(f"reading {granule.url}"):
                        samples = with_good(samples, granule, self.instrument.events)
                    found.append(Reading(granule, site, part, samples))
                    break
        return tuple(found)

    @cached_property
    def plan(self) -> Plan:
        """The reduction of all raw files in one part a site.

        Raises
        ------
        ConformanceError
            It cannot be planned, for want of a reference above all.
        """
        try:
            made = make_plan(self.pipeline(1))
        except PlanError as error:
            hint = ""
            if any(fault.path.startswith("steps.") and " at " in fault.path for fault in error.faults):
                given = ", ".join(self.references) or "no folder"
                hint = f"\na step needs a reference; looked into {given}; give the right folders as references=[...]"
            raise ConformanceError(f"the reduction of these raw files cannot be planned, {error}{hint}") from error
        if isinstance(made, CollectionPlan):
            raise ConformanceError("these raw files make more than one cube; give files of a shorter time")
        return made

    @cached_property
    def whole_run(self) -> RunReport:
        """What a serial run did that fills each site in one part."""
        return self.run("serial", 1)

    def pipeline(self, parts: int, output: str = "plan") -> dict[str, Any]:
        """Return a pipeline over the raw files, in as many parts a site or fewer."""
        inventory = self.folder / "granules.json"
        if not inventory.exists():
            inventory.write_text(json.dumps(catalog.Inventory(self.granules, ()).as_json()))
        exposures = self.instrument.product.exposures
        count = sum(len(granule.times) for granule in self.granules) if exposures else self.slots[2]
        start, step, slots = (0, 0, 0) if exposures else self.slots
        return {
            "name": "conformance",
            "instrument": self.instrument.name,
            "time": None if exposures else {"start": start, "stop": start + slots * step, "step": Duration(step)},
            "raw": [str(inventory)],
            "steps": None if self.steps is None else list(self.steps),
            "inputs": dict(self.inputs),
            "references": {"folders": list(self.references)},
            "layout": {"shard": max(1, -(-count // parts))},
            "output": str(self.folder / f"{output}.zarr"),
        }

    @cached_property
    def slots(self) -> tuple[int, int, int]:
        """Start, step (ns) and number of slots of a regular axis over all granules.

        A slot a sample, if possible; of events, which may be few to many slots of many bins, a fixed number.
        """
        start, stop = min(g.start for g in self.granules), max(g.stop for g in self.granules)
        if self.instrument.product.counts_events:
            step = -(-(stop - start) // _SLOTS_OF_EVENTS)
            return start, step, -(-(stop - start) // step)
        spacing = np.diff(np.unique(catalog.sample_times(self.datasets[0])))
        step = int(np.median(spacing)) if spacing.size else stop - start
        step = max(step, 1, -(-(stop - start) // _MOST_SLOTS))
        return start, step, -(-(stop - start) // step)

    def run(self, executor: ExecutorName, parts: int) -> RunReport:
        """Run the reduction into a cube of its own.

        Raises
        ------
        ConformanceError
            A part failed.
        """
        what = f"{executor}-{parts}"
        try:
            report = run_pipeline(self.pipeline(parts, what), executor=executor, workers=2)
        except BrokenProcessPool as error:
            raise ConformanceError(
                f"worker processes cannot start ({error}); a script calls the kit below `if __name__ == '__main__':`"
            ) from error
        if report.failed:
            reasons = "; ".join(sorted({record.reason for record in report.failed}))
            raise ConformanceError(f"{len(report.failed)} of {report.parts} parts failed: {reasons}")
        return report

    def functions(self) -> list[StepFunction]:
        """Return the step functions that the reduction uses, in order."""
        return [registry.step(call.name, self.instrument) for call in self.plan.steps]

    def with_steps(self, wrap: Callable[[StepFunction], StepFunction]) -> Instrument:
        """Return the instrument with every step of the reduction wrapped."""
        return replace(self.instrument, steps=tuple(map(wrap, self.functions())))

    def block(self, reading: Reading) -> xr.Dataset:
        """Return the samples of a reading as steps get them: in order of time, of equal times as read."""
        return reading.ds.isel(time=np.argsort(catalog.sample_times(reading.ds), kind="stable"))

    def whole(self, reading: Reading) -> xr.Dataset:
        """Return the samples of a reading after all steps."""
        return self.calibrate(reading, self.block(reading), "the whole granule").ds

    def calibrate(self, reading: Reading, ds: xr.Dataset, what: str, instrument: Instrument | None = None) -> Made:
        """Run the steps over samples; `what` names them in an error."""
        with blaming(f"the steps fail on {what} of {reading.granule.url}"):
            return run_steps(ds, reading.part.steps, instrument or self.instrument, reading.site, reading.part)

    @property
    def makes_rows(self) -> bool:
        """Whether a step makes rows of its own of windows or groups."""
        return any(neighbours(function).makes_rows for function in self.functions())

    @property
    def given(self) -> dict[str, dict[str, Any]]:
        """The parameters that `steps` gives, by step."""
        named = [{one: None} if isinstance(one, str) else one for one in self.steps or ()]
        return {name: dict(parameters or {}) for one in named for name, parameters in one.items()}


@contextmanager
def prepare(
    instrument: Instrument,
    granules: Sequence[str | PathLike[str] | Granule],
    references: Sequence[str | PathLike[str]] = (),
    steps: Steps = None,
    inputs: Mapping[str, str] | None = None,
) -> Iterator[Case]:
    """Yield the case of an instrument and raw files; its cubes are removed afterwards.

    Raises
    ------
    ConformanceError
        There is no raw file.
    """
    if not granules:
        raise ConformanceError("found no raw files to check with; give at least one path, URL or Granule")
    sources = tuple(one if isinstance(one, Granule) else fspath(one) for one in granules)
    with TemporaryDirectory(prefix="ilrs-conformance-") as folder:
        folders = tuple(str(Path(one).absolute()) for one in references)
        yield Case(instrument, sources, folders, steps, dict(inputs or {}), Path(folder))


@contextmanager
def blaming(what: str) -> Iterator[None]:
    """Turn whatever a plugin raises into a ConformanceError that says where it happened."""
    try:
        yield
    except ConformanceError:
        raise
    except Exception as error:
        raise ConformanceError(f"{what}: {reason_of(error)}") from error


def region_of(part: Part, times: Any, site: str) -> Part:
    """Return the part as it would be if it held just the samples of these times."""
    slots = part.axis.slots(times, site)
    held = slots[slots >= 0]
    first, last = (int(held.min()), int(held.max()) + 1) if held.size else (0, 0)
    return replace(part, axis=part.axis.region(first, last))


def _with_digest(granule: Granule, instrument: Instrument) -> Granule:
    """Return a granule with what every inventory knows of a file, and of those beside it."""
    named = catalog.Inventory((replace(granule, instrument=instrument.name),), ())
    found = catalog.hashed(named, [instrument])
    if found.rejected:
        raise ConformanceError(f"opening {granule.url}: {found.rejected[0].reason}")
    return found.granules[0]
