"""One part: read, calibrate, place, check, write; a function of the part alone, whoever calls it, however often."""

from __future__ import annotations

import resource
import socket
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from os import getpid
from time import perf_counter
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ilrs_science import references, registry
from ilrs_science.catalog import rejected_counts, sample_times
from ilrs_science.code import code_of, environment
from ilrs_science.errors import (
    FormatError,
    IlrsError,
    LeaseLostError,
    PluginError,
    StepError,
    StoreFullError,
    is_busy,
    is_full,
    is_outage,
)
from ilrs_science.executors import items
from ilrs_science.model.good import GOOD, of_granule
from ilrs_science.model.granule import Granule
from ilrs_science.model.instrument import Instrument
from ilrs_science.model.part import Part
from ilrs_science.model.product import Product
from ilrs_science.model.quality import REJECTED
from ilrs_science.model.record import Failure, Record
from ilrs_science.model.site import Site
from ilrs_science.reduction.account import Tally, is_home, is_mine
from ilrs_science.reduction.chain import check_samples, run_steps, with_quality, with_sample_numbers
from ilrs_science.reduction.counting import Histogram
from ilrs_science.reduction.overlaps import Loss, Samples, merged, settled
from ilrs_science.reduction.placing import Block
from ilrs_science.reduction.reading import samples_of
from ilrs_science.store import shards, tables
from ilrs_science.store.target import target


def reduce(part: Part, token: str, rejected: Mapping[int, str] = MappingProxyType({})) -> Record:
    """Fill one part of a cube and return the record of it.

    A failure becomes a record too, with status `failed`; then nothing of the part counts as done.

    Parameters
    ----------
    token
        Of the run.
    rejected
        Granules of the part that are known to be bad, by number, each with the reason; they are not touched.

    Raises
    ------
    LeaseLostError
        The run of the token has ended, or another one has taken the cube over.
    StoreFullError
        There is no room left.
    """
    began = perf_counter()
    try:
        block, tallies = _fill(part, rejected)
        items.enter("writing", ())
        stored = shards.write_region(target(part.cube), part.row, part.first, block.arrays, token)
        flagged, missing = block.reached()
        return _record(part, began, "done", tallies, shards=stored, flagged=flagged, missing=missing)
    except LeaseLostError:
        raise
    except Exception as error:
        # The one place where a failure becomes a record.
        if is_full(error):
            raise StoreFullError(f"{part.cube}: {_reason(error)}; make room, then the same command goes on") from error
        failure: Failure = "busy" if is_busy(error) else "outage" if is_outage(error) else "fault"
        return _record(part, began, "failed", (), reason=_reason(error), failure=failure)


def failed(part: Part, reason: str, failure: Failure) -> Record:
    """Return the record of a part that nobody came to the end of."""
    return _record(part, perf_counter(), "failed", (), reason=reason, failure=failure)


def reduce_ticket(ticket: Mapping[str, Any]) -> dict[str, Any]:
    """Do the same from JSON to JSON; what travels to and from another process."""
    rejected = {int(number): reason for number, reason in ticket.get("rejected", {}).items()}
    return reduce(tables.part_of(ticket), ticket["token"], rejected).as_json()


def try_ticket(ticket: Mapping[str, Any]) -> str:
    """Do all but writing, for what that may do to a process; return why it fails, or an empty text."""
    rejected = {int(number): reason for number, reason in ticket.get("rejected", {}).items()}
    try:
        _fill(tables.part_of(ticket), rejected)
    except Exception as error:  # noqa: BLE001 - the process has come through it, which is what was asked
        return _reason(error)
    return ""


def _fill(part: Part, rejected: Mapping[int, str] = MappingProxyType({})) -> tuple[Block | Histogram, list[Tally]]:
    instrument = registry.instrument(part.instrument)
    _check_code(part, instrument)
    block = _block(part, instrument.product)
    tallies = [Tally(granule) for granule in part.granules]
    failures: list[IlrsError] = []
    some_good = False
    for site in part.sites:
        chain = _Chain(part, instrument, site)
        found = chain.gather(tallies, rejected)
        samples = chain.calibrate(found, tallies, failures) if found else None
        if samples is not None:
            some_good = True
            _place(part, site, samples, block, tallies)
    if failures and not some_good:
        # Not one granule among many: the step itself, and the part, have failed.
        raise failures[0]
    block.finish()
    return block, tallies


def _block(part: Part, product: Product) -> Block | Histogram:
    """Return the empty cells of a part."""
    if product.counts_events:
        return Histogram(product, part.axis, [granule.url for granule in part.granules])
    return Block(product, part.place, part.axis)


def _check_code(part: Part, instrument: Instrument) -> None:
    """Hold this process to the code that the part was planned with; a worker may have joined after the preflight."""
    steps = tuple(call.name for call in part.steps)
    for name in part.formats:
        _check_once(instrument.name, steps, name, part.task.code[name], part.task.plugin)


@lru_cache(maxsize=256)
def _check_once(name: str, steps: tuple[str, ...], raw_format: str, ours: str, plugin: str) -> None:
    """Do so once in a process: what it has imported stays what it is, whatever changes on disk."""
    instrument = registry.instrument(name)
    functions = [registry.step(step, instrument) for step in steps]
    here = code_of(instrument, functions, [raw_format] if raw_format else [])
    if (ours, plugin) != (here.ours, here.plugin):
        planned, found = f"{ours[:12]} and {plugin[:12]}", f"{here.ours[:12]} and {here.plugin[:12]}"
        raise PluginError(f"{name}: planned with code {planned}, this process has {found}; plan again")


@dataclass(frozen=True)
class _Chain:
    """The way of the samples of one site through a part."""

    part: Part
    instrument: Instrument
    site: Site

    def gather(self, tallies: list[Tally], bad: Mapping[int, str]) -> list[Samples]:
        """Read the granules of the site, cut to the part with its margins; a bad one is rejected with its reason."""
        found = []
        for number, tally in enumerate(tallies):
            if tally.granule.site != self.site.name:
                continue
            at_home = is_home(self.part, tally.granule)
            try:
                ds = self._read(number, tally.granule, bad)
                samples = self._whole(ds, number)
            except Exception as error:
                # A bad granule spoils only its own samples, and its reason is named.
                if is_outage(error):
                    raise
                _reject(tally, _reason(error), tally.granule.count if at_home else 0)
                continue
            if at_home:
                rejected = rejected_counts(ds)
                tally.reasons.update(rejected)
                tally.read += sum(rejected.values())
            if samples.raw.size or GOOD in samples.ds.attrs:
                found.append(samples)
        return found

    def _read(self, number: int, granule: Granule, bad: Mapping[int, str]) -> xr.Dataset:
        if number in bad:
            raise FormatError(bad[number])
        items.enter("reading", (number,), one_by_one=True)
        return samples_of(granule, self.instrument, self.part.task)

    def calibrate(self, found: list[Samples], tallies: list[Tally], failures: list[IlrsError]) -> Samples | None:
        """Run the steps; where they fail on the data of some granules, go on without those."""
        try:
            samples = self._calibrated(found, tallies)
        except Exception as error:
            if is_outage(error):
                raise
            reasons = [_failure(self._calibrated, one) for one in found]
            good = [one for one, reason in zip(found, reasons, strict=True) if not reason]
            where = f"{_reason(error)} (in a step at {self.site.name})"
            failure = error if isinstance(error, IlrsError) else StepError(where)
            if len(good) == len(found):
                raise failure from error
            failures.append(failure)
            for one, reason in zip(found, reasons, strict=True):
                if reason:
                    count = int(is_mine(self.part, self.site.name, one.raw).sum())
                    _reject(tallies[min(one.granules)], reason, count)
            if not good:
                return None
            samples = self._calibrated(good, tallies)
        return samples

    def _whole(self, ds: xr.Dataset, number: int) -> Samples:
        """Run the steps that see whole granules, and cut what they give to the part with its margins."""
        part, raw = self.part, sample_times(ds)
        ready = with_sample_numbers(with_quality(ds, self.instrument.product), part.granules[number])
        if GOOD in ds.attrs:
            ready = ready.assign_attrs({GOOD: of_granule(ds.attrs[GOOD], number)})
        made, order = run_steps(ready, part.steps, self.instrument, self.site, part, "granule")
        times = raw[order]
        near = (times >= part.axis.start - part.margin) & (times < part.axis.stop + part.margin)
        read = ds if np.array_equal(order, np.arange(len(order))) else ds.isel(time=order)
        whole = Samples(made, read, np.full(len(times), number), times, _units(ds), frozenset({number}))
        return whole if near.all() else whole.pick(near)

    def _calibrated(self, found: Sequence[Samples], tallies: Sequence[Tally] = ()) -> Samples:
        items.enter("the steps", sorted(frozenset().union(*(one.granules for one in found))))
        samples, losses = self._joined(found)
        made, order = run_steps(samples.ds, self.part.steps, self.instrument, self.site, self.part, "block")
        check_samples(self.instrument, made, samples.units | self._units_of_references())
        for tally, loss in ((tallies[loss.source], loss) for loss in losses if tallies):
            count = int(is_mine(self.part, self.site.name, loss.times).sum())
            tally.read += count
            tally.duplicate += count if loss.kind == "duplicate" else 0
            tally.conflict += count if loss.kind == "conflict" else 0
        return replace(samples, ds=made, read=xr.Dataset(), source=samples.source[order], raw=samples.raw[order])

    def _joined(self, found: Sequence[Samples]) -> tuple[Samples, list[Loss]]:
        """Return the samples of several granules in order of time; no event is a copy of another."""
        return (
            (merged(found), []) if self.instrument.product.counts_events else settled(found, self.part.task.conflicts)
        )

    def _units_of_references(self) -> frozenset[str]:
        used = (
            several for call in self.part.steps for by_site in call.references.values() for several in by_site.values()
        )
        payloads = (references.load(one).payload for several in used for one in several)
        return frozenset().union(*(_units(payload) for payload in payloads if payload is not None))


def _units(ds: xr.Dataset) -> frozenset[str]:
    return frozenset(str(one.attrs["units"]) for one in ds.variables.values() if "units" in one.attrs)


def _reject(tally: Tally, reason: str, count: int) -> None:
    tally.fault = reason
    tally.read += count
    tally.reasons += Counter({reason: count})


def _failure(attempt: Callable[[Sequence[Samples]], object], samples: Samples) -> str:
    try:
        attempt([samples])
    except Exception as error:
        if is_outage(error):
            raise
        return _reason(error)  # why the granule is rejected
    return ""


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, IlrsError) else f"{type(error).__name__}: {error}"


def _place(part: Part, site: Site, samples: Samples, block: Block | Histogram, tallies: list[Tally]) -> None:
    """Bring samples into the block and count what became of each that is this part's."""
    times = sample_times(samples.ds)
    slots = part.axis.slots(part.axis.found_by(times, samples.raw), site.name)
    refused = _rejected_by_steps(samples.ds)
    left = slots
    for mask in refused.values():
        left = np.where(mask, -1, left)
    fates = block.put(samples.ds, left, times, samples.source)
    here = slots >= 0
    reasons = {**{reason: mask & here for reason, mask in refused.items()}, **fates.rejected}
    for number, tally in enumerate(tallies):
        own = samples.source == number
        tally.read += int((own & here).sum())
        tally.placed += int((own & fates.placed).sum())
        tally.duplicate += int((own & fates.duplicate).sum())
        tally.reasons.update({why: count for why, mask in reasons.items() if (count := int((own & mask).sum()))})
        tally.observed += block.observed(samples.ds, number)


def _rejected_by_steps(ds: xr.Dataset) -> dict[str, NDArray[np.bool_]]:
    """Return the samples that steps reject, by reason."""
    if REJECTED not in ds.coords:
        return {}
    codes = ds[REJECTED].values
    return {reason: codes == code for code, reason in ds[REJECTED].attrs["reasons"].items()}


def _record(
    part: Part, began: float, status: Literal["done", "failed"], tallies: Sequence[Tally], **more: Any
) -> Record:
    return Record(
        part=part.number,
        row=part.row,
        first=part.first,
        count=part.axis.count,
        digest=part.digest,
        causes=part.causes,
        status=status,
        outcomes=tuple(tally.outcome() for tally in tallies),
        seconds=perf_counter() - began,
        peak_memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        worker=f"{socket.gethostname()}:{getpid()}",
        environment=environment(),
        **more,
    )
