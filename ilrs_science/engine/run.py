"""Run a plan: one run at a time on a cube, parts on any executor, records back, resume by what stands."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from dataclasses import replace as replaced
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ilrs_science.engine.diff import VERDICTS, compare
from ilrs_science.engine.executing import Execute, Executor, ExecutorName, Slow, Work
from ilrs_science.engine.executing import records as records_of
from ilrs_science.engine.plan import plan as make_plan
from ilrs_science.engine.planned import CollectionPlan, Plan
from ilrs_science.engine.provenance import provenance
from ilrs_science.engine.report import Done, Report, make_report, summary
from ilrs_science.errors import CubeError, IlrsError, LeaseLostError, ReplaceError
from ilrs_science.executors import interrupts
from ilrs_science.executors.items import Limits
from ilrs_science.model.record import Record
from ilrs_science.pipeline import Pipeline
from ilrs_science.store import creating, cube, records, shards, tables
from ilrs_science.store.collection import refresh
from ilrs_science.store.cube import Existing
from ilrs_science.store.lease import Lease, Waiting, check_held, leased
from ilrs_science.store.target import Target, target

if TYPE_CHECKING:
    from distributed import Client

type Progress = Callable[[Record, int, int], None]
"""Called with each new record, parts done and parts to do."""


def _silent(*_: object) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Watch:
    """Who wants to know how a run goes on."""

    ended: Progress = _silent
    slow: Callable[[Slow], None] = _silent
    """Called about once a second while no part ends, with the one that a worker has been at for the longest time."""


@dataclass(frozen=True)
class Consent:
    """What a caller agrees to when a cube exists."""

    replace: bool = False
    """Good data may be replaced because parameters, references or code have changed."""
    forget_missing: bool = False
    """Samples of raw files that have gone may be dropped."""
    redo_environment: bool = False
    """Parts that were made with other versions of Python or of the libraries are made anew."""


def run(  # noqa: PLR0913 - what, where, and what may be replaced
    source: str | Path | Pipeline | Plan | CollectionPlan | dict[str, Any],
    *,
    executor: ExecutorName = "threads",
    workers: int | None = None,
    cluster: str | Client | None = None,
    progress: Progress | None = None,
    replace: bool = False,
    forget_missing: bool = False,
    redo_environment: bool = False,
    waiting: Waiting | None = None,
    limits: Limits | None = None,
    slow: Callable[[Slow], None] | None = None,
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
    replace
        Whether good data may be replaced because parameters, references or code have changed; new and changed raw files
        need no such word.
    forget_missing
        Whether samples of raw files that have gone may be dropped; otherwise their parts stay as they are.
    redo_environment
        Whether parts made with other versions of Python or of the libraries are made anew.
    waiting
        How long to watch whether a run on another machine is alive.
    limits
        Of time and memory for a part, and of the time to wait for workers of a cluster.
    slow
        Called about once a second while no part ends, with the one that a worker has been at for the longest time.
    overrides
        Keys of the pipeline to replace.

    Raises
    ------
    PlanError
        Something is wrong with the pipeline or a worker; nothing was written.
    CubeBusyError
        Another run is writing the cube.
    ReplaceError
        Good data would be replaced, and nobody has agreed to that; nothing was written.
    CountError
        Samples were lost: a fault of this package.
    """
    began = time.perf_counter()
    planned = isinstance(source, Plan | CollectionPlan)
    if planned and overrides:
        raise IlrsError(f"a plan is made already; give {', '.join(overrides)} to `plan`")
    indexer: Literal["processes"] | None = "processes" if cluster is not None or executor == "processes" else None
    made = source if isinstance(source, Plan | CollectionPlan) else make_plan(source, executor=indexer, **overrides)
    plans = cubes_of(made)
    consent = Consent(replace, forget_missing, redo_environment)
    refuse_unasked(plans, consent)
    several = []
    watch, allowed = Watch(progress or _silent, slow or _silent), limits or Limits()
    with (
        interrupts.preemptible(),
        _client(plans[0], cluster, workers, allowed) as client,
        Executor(executor, workers, client, allowed).pool() as pool,
    ):
        for one in plans:
            place = target(one.pipeline.output)
            # A plan may be old: a lease is made in its own cube or in an empty place, nowhere else.
            there = cube.refuse_another(place, one.declared)
            # For the same reason what it says of the cube is looked at again.
            fresh = replaced(one, diff=compare(one.parts, one.granules, place))
            if there is not None and _stands(fresh, there, consent):
                several.append(Done(fresh, fresh.diff.kept, len(fresh.parts)))
                continue
            with leased(place, waiting) as lease:
                several.append(_Run(fresh, place, lease, consent, watch).do(partial(records_of, pool, limits=allowed)))
            if isinstance(made, CollectionPlan):
                refresh(target(made.pipeline.output), _collection_attributes(made))
    return make_report(made.pipeline.output, several, time.perf_counter() - began)


def cubes_of(made: Plan | CollectionPlan) -> tuple[Plan, ...]:
    """Return the plans of the single cubes."""
    return made.plans if isinstance(made, CollectionPlan) else (made,)


def refuse_unasked(plans: Sequence[Plan], consent: Consent) -> None:
    """Raise a ReplaceError where a run would replace good data, and the caller has not agreed to that."""
    reasons = [f"  {one.pipeline.output}: {text}" for one in plans for text in _unasked(one, consent)]
    if reasons:
        raise ReplaceError("good data would be lost or replaced:\n" + "\n".join(reasons))


def _unasked(made: Plan, consent: Consent) -> Iterator[str]:
    if not consent.replace:
        for cause, count in made.diff.asked(forget_missing=consent.forget_missing).items():
            yield f"{count} parts: {VERDICTS[cause]}; --replace does them again"
    if made.lost and not consent.forget_missing:
        yield f"{made.lost} exposures are in no raw file any more; --forget-missing drops them"


def _stands(made: Plan, there: Existing, consent: Consent) -> bool:
    """Tell whether nothing has to be written: then no lease is taken, so that asking often leaves no trace."""
    again = made.diff.pending(redo_environment=consent.redo_environment, forget_missing=consent.forget_missing)
    grown = (there.count, len(there.sites)) != (made.axis.count, len(made.sites))
    complete = there.attributes.get("status") == cube.COMPLETE and not made.diff.unreadable
    # Parts that hold what no raw file has any more are looked at each time: nothing could make them anew.
    return complete and not again and not grown and "missing" not in made.diff.verdicts


def _collection_attributes(made: CollectionPlan) -> dict[str, Any]:
    first = made.plans[0]
    return {
        "ilrs_collection": cube.FORMAT,
        "partition": made.partition,
        "product": made.pipeline.name,
        "instrument": first.instrument.name,
        "title": first.instrument.product.about or made.pipeline.name,
    }


@dataclass
class _Run:
    """A run that holds the lease of its cube."""

    made: Plan
    place: Target
    lease: Lease
    consent: Consent
    watch: Watch

    def do(self, execute: Execute) -> Done:
        # Between the plan and the lease another run may have done some of it, or something else.
        cube.refuse_another(self.place, self.made.declared)
        self.made = replaced(self.made, diff=compare(self.made.parts, self.made.granules, self.place))
        refuse_unasked([self.made], self.consent)
        wanted, diff = self.made.declared, self.made.diff
        again = diff.pending(redo_environment=self.consent.redo_environment, forget_missing=self.consent.forget_missing)
        pending = [self.made.parts[number] for number in again]
        found = {key: one for key, one in diff.kept.items() if key not in {(p.row, p.first) for p in pending}}
        attributes = self._unfinished(len(pending)) if pending else {}
        if cube.existing(self.place) is None:
            attributes = provenance(self.made) | attributes
        elif pending:
            creating.refuse_another_layout(self.place, wanted)
            # Before anything else: from now on the cube is not what its last run said. What it was made of stays
            # written until all of it has been made anew.
            cube.update_attributes(self.place, attributes)
        creating.create(self.place, wanted, attributes)
        creating.remove_beyond(self.place, wanted)
        stored = self.made.tables()
        work = Work(pending, stored, stored.save(self.place), self.lease.token)
        records.save_plan(self.place, self._stored_plan())
        journal, done = records.Journal(self.place, self.lease.token), 0
        try:
            with closing(execute(work)) as results:
                for result in results:
                    if isinstance(result, Record):
                        done += 1
                        found[result.region] = result
                        if journal.add(result):
                            self._count_down(len(pending) - done)
                        self.watch.ended(result, done, len(pending))
                    elif result is not None:
                        self.watch.slow(result)
        finally:
            with suppress(OSError, LeaseLostError):  # a full disk, or another run, is often why the run ends here
                journal.flush()
                if done:
                    self._count_down(len(pending) - done)
        return self._finish(found, len(self.made.parts) - len(pending), journal, work.digest)

    def _count_down(self, count: int) -> None:
        """Tell readers how many parts are to do, unless the cube is another run's by now."""
        check_held(self.place, self.lease.token)
        cube.update_attributes(self.place, self._unfinished(count))

    def _finish(
        self, found: dict[tuple[int, int], Record], skipped: int, journal: records.Journal, digest: str
    ) -> Done:
        check_held(self.place, self.lease.token)
        done = Done(self.made, found, skipped)
        report = make_report(self.made.pipeline.output, [done], 0.0)
        check_held(self.place, self.lease.token)
        if not report.failed:
            self._check_shards(found)
        # A full disk is often why parts failed; the cube then goes on saying that it is unfinished.
        with suppress(OSError) if report.failed else nullcontext():
            if not report.did_nothing:
                journal.compact((found[key] for key in sorted(found)), self.made.diff.segments)
                tables.forget(self.place, digest)
            made_of = {} if report.failed else provenance(self.made, found.values())
            cube.update_attributes(self.place, made_of | summary(report))
        return done

    def _check_shards(self, found: dict[tuple[int, int], Record]) -> None:
        """Hold one listing of the store against all records, before the cube is called complete."""
        # What workers of earlier runs were about to rename goes first: after the listing none of it can appear.
        self.place.sweep(self.lease.token)
        listing = self.place.listing()
        other = [one.part for one in found.values() if shards.state(one, listing) != "same"]
        if other:
            numbers = ", ".join(map(str, other[:10]))
            raise CubeError(
                f"{self.place.url}: the stored data of {len(other)} parts ({numbers}) are not what their records say: "
                "somebody else changed them, or they are damaged; run again, and see `ilrs verify`"
            )

    def _unfinished(self, count: int) -> dict[str, Any]:
        return {"status": f"unfinished: {count} of {len(self.made.parts)} parts to do"}

    def _stored_plan(self) -> records.StoredPlan:
        parts = self.made.parts
        return records.StoredPlan(
            [part.digest for part in parts],
            [[part.row, part.first, part.axis.count] for part in parts],
            sum(granule.count for granule in self.made.granules),
            self.made.source.model_dump(mode="json"),
        )


@contextmanager
def _client(made: Plan, cluster: str | Client | None, workers: int | None, limits: Limits) -> Iterator[Client | None]:
    """Yield a client of the cluster, if one is asked for, whose workers have what the plan needs."""
    if cluster is None:
        yield None
        return
    from ilrs_science.engine.cluster import connect  # noqa: PLC0415 - distributed is slow to import
    from ilrs_science.engine.preflight import check_workers  # noqa: PLC0415

    with connect(cluster, workers) as client:
        check_workers(client, made, limits.patience)
        yield client
