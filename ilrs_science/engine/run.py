"""Run a plan: a bounded window of parts on any executor, receipts back, resume by digest."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ilrs_science.engine.plan import Plan
from ilrs_science.engine.plan import plan as make_plan
from ilrs_science.engine.provenance import provenance
from ilrs_science.engine.worker import reduce, reduce_json
from ilrs_science.errors import ClusterError, CountError, IlrsError
from ilrs_science.model.part import Counts, Part, Record
from ilrs_science.pipeline import Pipeline
from ilrs_science.store import cube, records

if TYPE_CHECKING:
    from distributed import Client

type ExecutorName = Literal["serial", "threads", "processes"]
type Progress = Callable[[Record, int, int], None]
"""Called with each new record, parts done and parts to do."""

_SILENT_SECONDS = 60.0


@dataclass(frozen=True)
class Report:
    """What a run did."""

    output: str
    parts: int
    skipped: int
    """Parts that an earlier run had done."""
    failed: tuple[Record, ...]
    counts: Counts
    """Samples over the whole cube, parts of earlier runs included."""
    flagged: int
    missing: int
    rejected: dict[str, str]
    """Files and granules that were rejected, with the reason."""
    reasons: dict[str, int]
    """Rejected samples by reason."""
    seconds: float

    @property
    def exit_code(self) -> int:
        """0 all good, 3 finished with rejected granules, 1 failed."""
        return 1 if self.failed else 3 if self.rejected else 0

    @property
    def did_nothing(self) -> bool:
        """Whether every part had been done before."""
        return self.skipped == self.parts

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON-able values."""
        failed = [{"part": r.part, "reason": r.reason} for r in self.failed]
        return asdict(self) | {"failed": failed, "exit_code": self.exit_code}


def run(
    source: str | Path | Pipeline | Plan | dict[str, Any],
    *,
    executor: ExecutorName = "threads",
    workers: int | None = None,
    cluster: str | Client | None = None,
    progress: Progress | None = None,
    **overrides: Any,
) -> Report:
    """Run a pipeline, or go on with one; what is done and unchanged is not done again.

    Parameters
    ----------
    source
        As for `plan`, or a plan.
    executor
        Without a cluster: `serial` (the reference), `threads` or `processes`.
    workers
        How many; by default one a core.
    cluster
        `local`, the address of a Dask scheduler, or a client.
    progress
        Called after each part.
    overrides
        Keys of the pipeline to replace.

    Raises
    ------
    PlanError
        Something is wrong with the pipeline or a worker; nothing was written.
    CountError
        Samples were lost: a fault of this package.
    """
    began = time.perf_counter()
    if isinstance(source, Plan) and overrides:
        raise IlrsError(f"a plan is made already; give {', '.join(overrides)} to `plan`")
    made = source if isinstance(source, Plan) else make_plan(source, **overrides)
    digests = [part.digest for part in made.parts]
    with _executing(made, executor, workers, cluster) as execute:
        cube.create(
            made.pipeline.output, made.instrument.product, made.place, made.axis, made.sites, made.cut, provenance(made)
        )
        records.save_plan(made.pipeline.output, {"digests": digests, "pipeline": made.pipeline.model_dump(mode="json")})
        earlier = records.load_all(made.pipeline.output)
        kept = {n: r for n, r in earlier.items() if _stands(r, digests)}
        # A record that no longer stands must not stand again: its shards are about to be written anew.
        records.discard(made.pipeline.output, earlier.keys() - kept.keys())
        pending = [part for part in made.parts if part.number not in kept]
        if pending:
            unfinished = {"status": f"unfinished: {len(pending)} of {len(made.parts)} parts to do"}
            cube.update_attributes(made.pipeline.output, unfinished)
        found = dict(kept)
        with closing(execute(pending)) as results:
            for done, record in enumerate(results, 1):
                found[record.part] = record
                if progress is not None:
                    progress(record, done, len(pending))
    report = _report(made, found, len(kept), time.perf_counter() - began)
    if not report.failed:
        check_counts(made, found)
    # A full disk is often why parts failed; the cube then goes on saying that it is unfinished.
    with suppress(OSError) if report.failed else nullcontext():
        cube.update_attributes(made.pipeline.output, _summary(report))
    return report


def check_counts(made: Plan, found: dict[int, Record]) -> None:
    """Raise a CountError unless every sample of every granule was placed, rejected or a duplicate: law 4.

    Where steps move samples in time and one of them failed on a granule in some part, nobody knows where its samples
    would have gone; of such a granule the parts need only be right each by itself.
    """
    moving = any(step.margin for step in made.steps)
    lost: set[tuple[str, str]] = set()
    # By content, as parts are: a file may have moved since an earlier run.
    read: Counter[tuple[str, str]] = Counter()
    for record in found.values():
        for outcome in record.outcomes:
            read[outcome.sha256, outcome.site] += outcome.counts.read
            if outcome.fault and moving:
                lost.add((outcome.sha256, outcome.site))
            if not outcome.counts.add_up:
                raise CountError(
                    f"part {record.part}, {outcome.url}: {outcome.counts} do not add up; please report this"
                )
    for granule in made.granules:
        accounted = read.pop((granule.sha256, granule.site), 0)
        if accounted != granule.count and (granule.sha256, granule.site) not in lost:
            raise CountError(
                f"{granule.url} at {granule.site}: {granule.count} samples in the file, "
                f"{accounted} accounted for; please report this"
            )
    if read:
        raise CountError(
            f"the records speak of samples of files that the plan does not have: {sorted(read)}; please report this"
        )


def _stands(record: Record, digests: Sequence[str]) -> bool:
    return record.status == "done" and record.part < len(digests) and record.digest == digests[record.part]


def _summary(report: Report) -> dict[str, Any]:
    # No clock time: two runs of one pipeline give the same bytes.
    counts = report.counts
    state = "complete" if not report.failed else f"{len(report.failed)} of {report.parts} parts failed"
    return {
        "status": state,
        "samples": ", ".join(f"{name} {count}" for name, count in asdict(counts).items()),
    }


def _report(made: Plan, found: dict[int, Record], skipped: int, seconds: float) -> Report:
    rejected = {one.url: one.reason for one in made.rejected}
    reasons: dict[str, int] = {}
    counts = Counts()
    for record in found.values():
        counts += record.counts
        for outcome in record.outcomes:
            if outcome.fault:
                rejected[outcome.url] = outcome.fault
            for reason, count in outcome.reasons.items():
                reasons[reason] = reasons.get(reason, 0) + count
    for granule in made.duplicates:
        counts += Counts(read=granule.count, duplicate=granule.count)
    failed = tuple(record for _, record in sorted(found.items()) if record.status != "done")
    done = [record for record in found.values() if record.status == "done"]
    return Report(
        made.pipeline.output,
        len(made.parts),
        skipped,
        failed,
        counts,
        sum(record.flagged for record in done),
        sum(record.missing for record in done),
        rejected,
        reasons,
        seconds,
    )


@contextmanager
def _executing(
    made: Plan, executor: ExecutorName, workers: int | None, cluster: str | Client | None
) -> Iterator[Callable[[Sequence[Part]], Generator[Record]]]:
    """Yield a function from parts to records, as they come."""
    count = workers or os.cpu_count() or 1
    if cluster is not None:
        from ilrs_science.engine.cluster import connect  # noqa: PLC0415 - distributed is slow to import
        from ilrs_science.engine.preflight import check_workers  # noqa: PLC0415

        with connect(cluster, workers) as client:
            check_workers(client, made.instrument.name, [step.name for step in made.steps])
            yield lambda parts: _on_dask(client, parts)
    elif executor == "serial":
        yield _one_by_one
    elif executor == "threads":
        with ThreadPoolExecutor(count) as pool:
            yield lambda parts: _on_pool(pool, parts, 2 * count)
    elif executor != "processes":
        raise IlrsError(f"no executor {executor!r}; it is serial, threads or processes, or give a cluster")
    else:
        with ProcessPoolExecutor(count, mp_context=_fork_server(), initializer=_ignore_interrupts) as pool:
            yield lambda parts: _on_pool(pool, parts, 2 * count)


def _fork_server() -> multiprocessing.context.BaseContext:
    """Return a context whose processes come from one that has this package imported and no threads yet.

    Imports cost seconds and are paid once, not by each worker; a plain fork would copy the locks of our threads.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ilrs_science", "dask.array"])  # xarray imports dask.array at its first use
    return context


def _ignore_interrupts() -> None:
    # A terminal sends Ctrl-C to all processes; workers finish their part, and the one that waits for them stops them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _one_by_one(parts: Sequence[Part]) -> Generator[Record]:
    yield from map(reduce, parts)


def _on_pool(pool: Executor, parts: Sequence[Part], window: int) -> Generator[Record]:
    waiting = iter(parts)
    running: set[Future[dict[str, Any]]] = set()
    try:
        while True:
            for part in waiting:
                running.add(pool.submit(reduce_json, part.as_json()))
                if len(running) >= window:
                    break
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (Record.from_json(one.result()) for one in done)
    except BrokenExecutor as error:
        raise ClusterError(f"a worker process died ({error}); run again to go on") from error
    finally:
        for future in running:  # Ctrl-C: what runs is finished and kept, what waits is not begun
            future.cancel()


def _on_dask(client: Client, parts: Sequence[Part]) -> Generator[Record]:
    """Keep two tasks a worker thread in flight; a part whose worker died too often comes back as failed."""
    from distributed import wait as wait_for  # noqa: PLC0415

    waiting = iter(parts)
    running: dict[Any, Part] = {}
    try:
        while True:
            window = 2 * max(1, sum(client.nthreads().values()))
            while len(running) < window and (part := next(waiting, None)) is not None:
                key = f"ilrs-{part.digest[:16]}-{part.number}-{time.time_ns()}"
                running[client.submit(reduce_json, part.as_json(), key=key, pure=False)] = part
            if not running:
                return
            try:
                with client.as_current():
                    finished = wait_for(list(running), timeout=_SILENT_SECONDS, return_when="FIRST_COMPLETED").done
            except TimeoutError:
                if not client.nthreads():
                    raise ClusterError("the cluster has lost all of its workers; run again to go on") from None
                continue
            for future in finished:
                part = running.pop(future)
                yield _receipt(future, part)
                future.release()
    finally:
        client.cancel(list(running))


def _receipt(future: Any, part: Part) -> Record:
    if future.status == "finished":
        return Record.from_json(future.result())
    return Record(
        part.number, part.digest, "failed", reason=f"{type(future.exception()).__name__}: {future.exception()}"
    )
