"""Checks by real runs of the engine over the raw files."""

from __future__ import annotations

import gc
import tracemalloc
from dataclasses import replace

from ilrs_science.model.part import Part
from ilrs_science.planning.parts import part_memory
from ilrs_science.reduction.reading import decoded
from ilrs_science.reduction.worker import reduce
from ilrs_science.running.executing import ExecutorName
from ilrs_science.store.cube import open_cube
from ilrs_science.store.lease import leased
from ilrs_science.store.target import target
from ilrs_science.testing.case import Case
from ilrs_science.testing.comparison import difference
from ilrs_science.testing.report import ConformanceError

_MANY = 5
_SLACK = 2**18  # records, JSON and other small things of a part
_SLACK_OF_CUBES = 2**20  # the metadata of the cube that is read


def same_on_every_executor(case: Case) -> None:
    """Check that serial, threads and processes, one part and many, make the same cube bit for bit."""
    expected = open_cube(case.whole_run.output).load()
    runs: tuple[tuple[ExecutorName, int], ...] = (("serial", _MANY), ("threads", _MANY), ("processes", _MANY))
    for executor, parts in runs:
        report = case.run(executor, parts)
        if words := difference(expected, open_cube(report.output).load()):
            what = f"a run in {report.parts} parts with executor {executor!r}"
            raise ConformanceError(
                f"{what} makes another cube than a serial run in {case.whole_run.parts}: {words}; "
                "expected the same bits; look for global state, and for steps that look further than their margin"
            )


def memory(case: Case) -> None:
    """Check that a part needs no more memory than the instrument declares.

    What the engine itself takes to make and write the block is measured on the same part without a granule, and taken
    off.
    """
    part = max(case.plan.parts, key=lambda one: max((granule.size for granule in one.granules), default=0))
    # A cube of its own, because a part without granules empties it.
    part = replace(part, task=replace(part.task, cube=case.run("threads", 1).output))
    with leased(target(part.cube)) as lease:
        own = _peak(replace(part, granules=()), lease.token)
        needed = _peak(part, lease.token) - own
    allowed = part_memory(case.instrument, part)
    if needed > allowed + (_SLACK_OF_CUBES if case.instrument.reads else _SLACK):
        factor = case.instrument.memory * needed / allowed
        raise ConformanceError(
            f"a part needed {needed} bytes at its peak; memory={case.instrument.memory:g} allows {allowed}; "
            f"declare memory={factor:.1f}, or let the steps work in smaller pieces"
        )


def every_sample_counted(case: Case) -> None:
    """Check that every sample of the raw files is placed, rejected with a reason, a duplicate or in conflict."""
    report = case.whole_run
    counts = report.counts
    expected = sum(granule.count for granule in {(g.sha256, g.site, g.start): g for g in case.granules}.values())
    told = ", ".join(f"{count} {reason}" for reason, count in report.reasons.items()) or "no reason given"
    if min(counts.read, counts.placed, counts.rejected, counts.duplicate) < 0 or not counts.add_up:
        raise ConformanceError(f"{counts} do not add up; expected read = placed + rejected + duplicate + conflict")
    if counts.read != expected:
        raise ConformanceError(f"the files hold {expected} samples, {counts.read} are accounted for")
    if not counts.placed:
        raise ConformanceError(f"none of {counts.read} samples was placed ({told}); expected most of them in the cube")
    if counts.rejected != sum(report.reasons.values()):
        raise ConformanceError(f"{counts.rejected} samples were rejected, {told}; expected a reason for each")


def _peak(part: Part, token: str) -> int:
    """Return the most bytes that Python and NumPy held at once while the engine filled a part."""
    reduce(part, token)  # imports and caches are not the part's
    decoded.clear()  # but what it reads is
    gc.collect()
    tracing = tracemalloc.is_tracing()
    if not tracing:
        tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        record = reduce(part, token)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        if not tracing:
            tracemalloc.stop()
    if record.status != "done":
        raise ConformanceError(f"a part failed: {record.reason}")
    return peak - before
