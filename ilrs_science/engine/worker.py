"""One part: read, calibrate, place, check, write; a function of the part alone, whoever calls it, however often."""

from __future__ import annotations

import platform
import resource
import socket
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from os import getpid
from time import perf_counter
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ilrs_science import registry
from ilrs_science.catalog import rejected_counts, sample_times
from ilrs_science.code import code_of
from ilrs_science.engine.account import Tally, count_outside, is_home, is_mine
from ilrs_science.engine.chain import check_samples, joined, run_steps, with_quality
from ilrs_science.engine.place import Block
from ilrs_science.errors import FormatError, IlrsError, PluginError, StepError
from ilrs_science.model.axis import RegularAxis, Times
from ilrs_science.model.granule import Granule
from ilrs_science.model.instrument import Instrument
from ilrs_science.model.part import Part, Record, digest
from ilrs_science.model.site import Site
from ilrs_science.store import cube, records


@dataclass
class _Samples:
    """Samples of one site with what the engine keeps about each of them."""

    ds: xr.Dataset
    source: NDArray[np.intp]
    """Which granule it came from."""
    raw: Times
    """Its time as read, TAI ns."""

    def pick(self, chosen: Any) -> _Samples:
        return _Samples(self.ds.isel(time=chosen), self.source[chosen], self.raw[chosen])


def reduce(part: Part) -> Record:
    """Fill one part of a cube and return the record of it, which is also saved beside the cube.

    A failure becomes a record too, with status `failed`; then nothing of the part counts as done.
    """
    began = perf_counter()
    try:
        block, tallies = _fill(part)
        outputs = cube.write_region(part.cube, part.row, part.first, block.arrays)
        flagged, missing = block.reached()
        record = _record(part, began, "done", tallies, outputs=outputs, flagged=flagged, missing=missing)
        records.save(part.cube, record)
    except Exception as error:  # noqa: BLE001 - the one place where a failure becomes a record
        record = _record(part, began, "failed", (), reason=_reason(error))
        _save_if_possible(part, record)
    return record


def reduce_json(part: dict[str, Any]) -> dict[str, Any]:
    """Do the same from JSON to JSON; what travels to and from a cluster."""
    return reduce(Part.from_json(part)).as_json()


def _fill(part: Part) -> tuple[Block, list[Tally]]:
    instrument = registry.instrument(part.instrument)
    _check_code(part, instrument)
    block = Block(instrument.product, "mean" if part.place == "mean" else "slot", part.axis)
    tallies = [Tally(granule) for granule in part.granules]
    failures: list[IlrsError] = []
    some_good = False
    for site in part.sites:
        found = _gather(part, instrument, site, tallies)
        samples = _calibrate(part, instrument, site, found, tallies, failures) if found else None
        if samples is not None:
            some_good = True
            _place(part, site, samples, block, tallies)
    if failures and not some_good:
        # Not one granule among many: the step itself, and the part, have failed.
        raise failures[0]
    return block, tallies


def _check_code(part: Part, instrument: Instrument) -> None:
    """Hold this process to the code that the part was planned with; a worker may have joined after the preflight."""
    steps = [registry.step(call.name, instrument) for call in part.steps]
    here = digest(asdict(code_of(instrument, steps, {granule.format for granule in part.granules})))
    if part.code and part.code != here:
        raise PluginError(
            f"{part.instrument}: planned with code {part.code[:12]}, this process has {here[:12]}; plan again"
        )


def _gather(part: Part, instrument: Instrument, site: Site, tallies: list[Tally]) -> list[_Samples]:
    """Read the granules of a site, cut to the part with its margins; a bad one is rejected with its reason."""
    found: list[_Samples] = []
    for number, tally in enumerate(tallies):
        granule = tally.granule
        if granule.site != site.name:
            continue
        at_home = is_home(part, granule)
        try:
            ds = _read(instrument, granule)
            times, rejected = sample_times(ds), rejected_counts(ds)
            ds, order = run_steps(with_quality(ds, instrument.product), part.steps, instrument, site, part, "granule")
        except Exception as error:
            # A bad granule spoils only its own samples, and its reason is named.
            if _is_systems(error):
                raise
            tally.fault = _reason(error)
            tally.read, tally.reasons = (
                (granule.count, Counter({tally.fault: granule.count})) if at_home else (0, Counter())
            )
            continue
        if at_home:
            tally.reasons.update(rejected)
            tally.read += sum(rejected.values())
        times = times[order]
        near = (times >= part.axis.start - part.margin) & (times < part.axis.stop + part.margin)
        count_outside(part, tally, times, near, at_home)
        if near.any():
            kept = ds if near.all() else ds.isel(time=near)
            found.append(_Samples(kept, np.full(int(near.sum()), number), times[near]))
    return found


def _read(instrument: Instrument, granule: Granule) -> xr.Dataset:
    """Read a granule and hold it to what its index promised."""
    ds = instrument.read(granule)
    times = sample_times(ds)
    if ds["time"].dtype != np.int64:
        ds = ds.assign_coords(time=times)
    yielded = times.size + sum(rejected_counts(ds).values())
    if yielded != granule.count:
        raise FormatError(f"declared {granule.count} samples, read {yielded}")
    if times.size and (times.min() < granule.start or times.max() >= granule.stop):
        raise FormatError("has samples outside its declared span")
    if granule.times and not np.isin(times, granule.times).all():
        raise FormatError("has exposures at undeclared times")
    loose = [str(name) for name, one in ds.data_vars.items() if "time" not in one.dims]
    if loose:
        raise FormatError(f"read gave variables without time: {', '.join(loose)}; repeat them along time")
    return ds


def _joined(found: Sequence[_Samples]) -> _Samples:
    if len(found) == 1:
        return found[0]
    ds = joined([one.ds for one in found])
    return _Samples(ds, np.concatenate([one.source for one in found]), np.concatenate([one.raw for one in found]))


def _sorted_once(samples: _Samples) -> tuple[_Samples, NDArray[np.intp]]:
    """Return samples in order of time, each time once, that of the first granule; and which were left out."""
    order = np.argsort(samples.raw, kind="stable")
    raw = samples.raw[order]
    first = np.ones(len(order), bool)
    first[1:] = raw[1:] != raw[:-1]
    unchanged = first.all() and (order[1:] > order[:-1]).all()
    return (samples if unchanged else samples.pick(order[first])), order[~first]


def _calibrate(  # noqa: PLR0913, PLR0917 - the whole context of a chain
    part: Part,
    instrument: Instrument,
    site: Site,
    found: list[_Samples],
    tallies: list[Tally],
    failures: list[IlrsError],
) -> _Samples | None:
    """Run the steps; where they fail on the data of some granules, go on without those."""

    def calibrated(ones: Sequence[_Samples]) -> tuple[_Samples, NDArray[np.intp], Times]:
        every = _joined(ones)
        samples, again = _sorted_once(every)
        ds, order = run_steps(samples.ds, part.steps, instrument, site, part, "block")
        check_samples(instrument, ds)
        return _Samples(ds, samples.source[order], samples.raw[order]), every.source[again], every.raw[again]

    try:
        samples, sources, raw = calibrated(found)
    except Exception as error:
        if _is_systems(error):
            raise
        reasons = [_failure(calibrated, one) for one in found]
        good = [one for one, reason in zip(found, reasons, strict=True) if not reason]
        failure = error if isinstance(error, IlrsError) else StepError(f"{_reason(error)} (in a step at {site.name})")
        if len(good) == len(found):
            raise failure from error
        failures.append(failure)
        for one, reason in zip(found, reasons, strict=True):
            if reason:
                tally = tallies[one.source[0]]
                count = int(is_mine(part, site.name, one.raw).sum())
                tally.fault = reason
                tally.read += count
                tally.reasons[reason] += count
        if not good:
            return None
        samples, sources, raw = calibrated(good)
    mine = is_mine(part, site.name, raw)
    for number, count in zip(*np.unique(sources[mine], return_counts=True), strict=True):
        tallies[number].read += int(count)
        tallies[number].duplicate += int(count)
    return samples


def _failure(attempt: Callable[[Sequence[_Samples]], object], samples: _Samples) -> str:
    try:
        attempt([samples])
    except Exception as error:
        if _is_systems(error):
            raise
        return _reason(error)  # why the granule is rejected
    return ""


def _is_systems(error: Exception) -> bool:
    """Tell whether an error lies outside the data: such a part is done again, not written without the granule.

    Decoders that find bad bytes raise OSError too (gzip, FITS), but without the number of a system's error.
    """
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno is not None)


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, IlrsError) else f"{type(error).__name__}: {error}"


def _place(part: Part, site: Site, samples: _Samples, block: Block, tallies: list[Tally]) -> None:
    """Bring samples into the block and count what became of each that is this part's."""
    times = sample_times(samples.ds)
    regular = isinstance(part.axis, RegularAxis)
    slots = part.axis.slots(times if regular else samples.raw, site.name)
    placed = block.put(samples.ds, slots, times)
    mine = is_mine(part, site.name, times if regular else samples.raw)
    taken = (slots >= 0) & ~placed
    outside = mine & (slots < 0)
    for number in np.unique(samples.source):
        own = samples.source == number
        tally = tallies[number]
        tally.read += int((own & mine).sum())
        tally.placed += int((own & placed).sum())
        for reason, mask in (("another sample is in its slot", taken), ("outside the axis", outside)):
            if count := int((own & mask).sum()):
                tally.reasons[reason] += count


def _record(part: Part, began: float, status: str, tallies: Sequence[Tally], **more: Any) -> Record:
    return Record(
        part=part.number,
        digest=part.digest,
        status=status,
        outcomes=tuple(tally.outcome() for tally in tallies),
        seconds=perf_counter() - began,
        peak_memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        worker=f"{socket.gethostname()}:{getpid()}",
        versions=_versions(),
        **more,
    )


@cache
def _versions() -> dict[str, str]:
    packages = {name: version(name) for name in ("ilrs-science", "numpy", "xarray", "zarr")}
    return packages | {"python": platform.python_version()}


def _save_if_possible(part: Part, record: Record) -> None:
    try:
        records.save(part.cube, record)
    except OSError:
        return  # a full disk is often why the part failed; the record still travels back to the run
