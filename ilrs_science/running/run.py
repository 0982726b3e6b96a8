"""Run a plan: one run at a time on a cube, parts on any executor, records back, resume by what stands."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace as replaced
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ilrs_science.errors import IlrsError
from ilrs_science.executors import interrupts
from ilrs_science.executors.items import Limits
from ilrs_science.planning.diff import compare
from ilrs_science.planning.pipeline import Pipeline
from ilrs_science.planning.plan import plan as make_plan
from ilrs_science.planning.planned import CollectionPlan, Plan
from ilrs_science.running.consent import Consent, cubes_of, refuse_unasked
from ilrs_science.running.executing import Executor, ExecutorName, Slow
from ilrs_science.running.executing import records as records_of
from ilrs_science.running.report import Done, Report, make_report
from ilrs_science.running.writing import Progress, Watch, Writing, stands
from ilrs_science.store import cube
from ilrs_science.store.collection import refresh
from ilrs_science.store.lease import Waiting, leased
from ilrs_science.store.target import target

if TYPE_CHECKING:
    from distributed import Client


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
    made = _planned(source, overrides, guarded=cluster is not None or executor == "processes")
    plans = cubes_of(made)
    consent = Consent(replace, forget_missing, redo_environment)
    refuse_unasked(plans, consent)
    several = []
    watch, allowed = Watch(progress, slow), limits or Limits()
    with (
        interrupts.preemptible(),
        _client(plans[0], cluster, workers, allowed) as client,
        Executor(executor, workers, client, allowed, plans[0].resources).pool() as pool,
    ):
        for one in plans:
            place = target(one.pipeline.output)
            # A plan may be old: a lease is made in its own cube or in an empty place, nowhere else.
            there = cube.refuse_another(place, one.declared)
            # For the same reason what it says of the cube is looked at again.
            fresh = replaced(one, diff=compare(one.parts, one.granules, place))
            if there is not None and stands(fresh, there, consent):
                several.append(Done(fresh, fresh.diff.kept, len(fresh.parts)))
                continue
            with leased(place, waiting) as lease:
                several.append(
                    Writing(fresh, place, lease, consent, watch).do(partial(records_of, pool, limits=allowed))
                )
            if isinstance(made, CollectionPlan):
                refresh(target(made.pipeline.output), _collection_attributes(made))
    return make_report(made.pipeline.output, several, time.perf_counter() - began)


def _planned(
    source: str | Path | Pipeline | Plan | CollectionPlan | dict[str, Any], overrides: dict[str, Any], *, guarded: bool
) -> Plan | CollectionPlan:
    """Return a plan as it is, or the plan of a pipeline; `guarded`: processes index the raw files."""
    if not isinstance(source, Plan | CollectionPlan):
        return make_plan(source, executor="processes" if guarded else None, **overrides)
    if overrides:
        raise IlrsError(f"a plan is made already; give {', '.join(overrides)} to `plan`")
    return source


def _collection_attributes(made: CollectionPlan) -> dict[str, Any]:
    first = made.plans[0]
    return {
        "ilrs_collection": cube.FORMAT,
        "partition": made.partition,
        "product": made.pipeline.name,
        "instrument": first.instrument.name,
        "title": first.instrument.product.about or made.pipeline.name,
    }


@contextmanager
def _client(made: Plan, cluster: str | Client | None, workers: int | None, limits: Limits) -> Iterator[Client | None]:
    """Yield a client of the cluster, if one is asked for, whose workers have what the plan needs."""
    if cluster is None:
        yield None
        return
    from ilrs_science.running.cluster import connect  # noqa: PLC0415 - distributed is slow to import
    from ilrs_science.running.preflight import check_workers  # noqa: PLC0415

    with connect(cluster, workers) as client:
        check_workers(client, made, limits.patience)
        yield client
