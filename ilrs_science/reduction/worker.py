"""One part: read, calibrate, place, check, write; a function of the part alone, whoever calls it, however often."""

from __future__ import annotations

import resource
import socket
import sys
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from os import getpid
from time import perf_counter
from types import MappingProxyType
from typing import Any, Literal, cast

import numpy as np

from ilrs_science import registry
from ilrs_science.catalog import sample_times
from ilrs_science.code import code_of, environment
from ilrs_science.errors import (
    IlrsError,
    LeaseLostError,
    PluginError,
    StoreFullError,
    is_busy,
    is_full,
    is_outage,
    reason_of,
)
from ilrs_science.executors import items
from ilrs_science.model.axis import RegularAxis
from ilrs_science.model.instrument import Instrument
from ilrs_science.model.part import Part
from ilrs_science.model.product import Product
from ilrs_science.model.quality import rejections
from ilrs_science.model.record import Failure, Outcome, Record
from ilrs_science.model.site import Site
from ilrs_science.reduction.account import Tally
from ilrs_science.reduction.calibration import Calibrated, Calibration
from ilrs_science.reduction.counting import Histogram
from ilrs_science.reduction.placing import NOTHING_PLACED, Block
from ilrs_science.reduction.series import SeriesOfPart
from ilrs_science.reduction.table import Table
from ilrs_science.store import shards, tables
from ilrs_science.store.shards import Region
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
        series = SeriesOfPart(part, registry.instrument(part.instrument)).outcomes()
        items.enter("writing", ())
        region = Region(part.row, part.first, block.arrays, block.rows)
        stored = shards.write_region(target(part.cube), region, token)
        flagged, missing = block.reached()
        outcomes = (*(tally.outcome() for tally in tallies), *series)
        return _record(part, began, "done", outcomes, shards=stored, flagged=flagged, missing=missing)
    except LeaseLostError:
        raise
    except Exception as error:
        # The one place where a failure becomes a record.
        if is_full(error):
            raise StoreFullError(
                f"{part.cube}: {reason_of(error)}; make room, then the same command goes on"
            ) from error
        failure: Failure = "busy" if is_busy(error) else "outage" if is_outage(error) else "fault"
        return _record(part, began, "failed", (), reason=reason_of(error), failure=failure)


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
        return reason_of(error)
    return ""


def _fill(part: Part, rejected: Mapping[int, str] = MappingProxyType({})) -> tuple[_Cells, list[Tally]]:
    instrument = registry.instrument(part.instrument)
    _check_code(part, instrument)
    block = _block(part, instrument.product)
    tallies = [Tally(granule) for granule in part.granules]
    failures: list[IlrsError] = []
    some_good = False
    for site in part.sites:
        calibration = Calibration(part, instrument, site)
        found = calibration.gather(tallies, rejected)
        done = calibration.calibrate(found, tallies, failures) if found else None
        if done is not None:
            some_good = True
            _place(part, site, done, block, tallies)
    if failures and not some_good:
        # Not one granule among many: the step itself, and the part, have failed.
        raise failures[0]
    block.finish()
    return block, tallies


type _Cells = Block | Histogram | Table


def _block(part: Part, product: Product) -> _Cells:
    """Return the empty cells of a part, or a table without a row."""
    if product.is_table:
        return Table(product, cast("RegularAxis", part.axis), part.sites[0].name, part.granules)
    if product.counts_events:
        return Histogram(product, cast("RegularAxis", part.axis), [granule.url for granule in part.granules])
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


def _place(part: Part, site: Site, done: Calibrated, block: _Cells, tallies: list[Tally]) -> None:
    """Bring what the steps made into the block and count what became of each sample that is this part's."""
    made = done.made
    times = sample_times(made.ds)
    slots = part.axis.slots(part.axis.found_by(times, done.raw[made.origin]), site.name)
    refused = rejections(made.ds)
    left = slots
    for mask in refused.values():
        left = np.where(mask, -1, left)
    fates = block.put(made.ds, left, times, done.source[made.origin]) if made.complete else NOTHING_PLACED
    here = slots >= 0
    reasons = {**{reason: mask & here for reason, mask in refused.items()}, **fates.rejected}
    for number, tally in enumerate(tallies):
        own = done.source == number
        lost = {why: int((own & mask).sum()) for why, mask in made.lost.items()}
        # A sample has the fate of the row that stands for it.
        rows = made.row[own & (made.row >= 0)]
        tally.read += int(here[rows].sum()) + sum(lost.values())
        tally.placed += int(fates.placed[rows].sum())
        tally.duplicate += int(fates.duplicate[rows].sum())
        tally.reasons += Counter(lost) + Counter({why: int(mask[rows].sum()) for why, mask in reasons.items()})
        tally.observed += block.observed(made.ds, number)


def _record(
    part: Part, began: float, status: Literal["done", "failed"], outcomes: tuple[Outcome, ...], **more: Any
) -> Record:
    return Record(
        part=part.number,
        row=part.row,
        first=part.first,
        count=part.axis.count,
        digest=part.digest,
        causes=part.causes,
        status=status,
        outcomes=outcomes,
        seconds=perf_counter() - began,
        peak_memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        worker=f"{socket.gethostname()}:{getpid()}",
        environment=environment(),
        **more,
    )
