"""Executors: parts in, records out, a bounded number of them under way; serial, threads, processes or Dask."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
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
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ilrs_science.engine.worker import reduce, reduce_ticket
from ilrs_science.errors import ClusterError, IlrsError
from ilrs_science.model.part import Part
from ilrs_science.model.record import Record
from ilrs_science.store.lease import process_born
from ilrs_science.store.tables import Tables

if TYPE_CHECKING:
    from distributed import Client

type ExecutorName = Literal["serial", "threads", "processes"]

_SILENT_SECONDS = 60.0
_WATCH_SECONDS = 2.0
"""How often a worker process looks whether the run that it works for still lives."""


@dataclass(frozen=True)
class Work:
    """Parts to do, and what they need to travel."""

    parts: Sequence[Part]
    tables: Tables
    digest: str
    """Of the stored tables."""
    token: str
    """Of the run."""

    def ticket(self, part: Part) -> dict[str, Any]:
        """Return a part as it travels to another process."""
        return self.tables.ticket(part, self.digest, self.token)


type Execute = Callable[[Work], Generator[Record]]


@contextmanager
def executing(executor: ExecutorName, workers: int | None, client: Client | None) -> Iterator[Execute]:
    """Yield a function from work to records, as they come."""
    count = workers or os.cpu_count() or 1
    if client is not None:
        yield lambda work: _on_dask(client, work)
    elif executor == "serial":
        yield _one_by_one
    elif executor == "threads":
        with ThreadPoolExecutor(count) as pool:
            yield lambda work: _on_pool(pool, work, 2 * count, _in_thread)
    elif executor != "processes":
        raise IlrsError(f"no executor {executor!r}; it is serial, threads or processes, or give a cluster")
    else:
        here = os.getpid()
        context = fork_server()
        with ProcessPoolExecutor(
            count, mp_context=context, initializer=begin_worker, initargs=(here, process_born(here))
        ) as pool:
            yield lambda work: _on_pool(pool, work, 2 * count, _in_process)


def fork_server() -> multiprocessing.context.BaseContext:
    """Return a context whose processes come from one that has this package imported and no threads yet.

    Imports cost seconds and are paid once, not by each worker; a plain fork would copy the locks of our threads.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ilrs_science.engine.worker", "dask.array"])  # xarray imports the latter when used
    return context


def begin_worker(run: int, born: str) -> None:
    """Prepare a worker process: deaf to Ctrl-C, which a terminal sends to all, and gone when its run is.

    Workers finish their part at Ctrl-C, and the run stops them. A run that was killed cannot; what its workers would
    still write belongs to nobody.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow, args=(run, born), name="ilrs-follow", daemon=True).start()


def _follow(run: int, born: str) -> None:
    while process_born(run) == born and _exists(run):
        time.sleep(_WATCH_SECONDS)
    os._exit(1)


def _exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _one_by_one(work: Work) -> Generator[Record]:
    for part in work.parts:
        yield reduce(part, work.token)


def _in_thread(pool: Executor, work: Work, part: Part) -> Future[Record]:
    return pool.submit(reduce, part, work.token)


def _in_process(pool: Executor, work: Work, part: Part) -> Future[dict[str, Any]]:
    return pool.submit(reduce_ticket, work.ticket(part))


def _on_pool(pool: Executor, work: Work, window: int, submit: Callable[..., Future[Any]]) -> Generator[Record]:
    waiting = iter(work.parts)
    running: set[Future[Any]] = set()
    try:
        while True:
            for part in waiting:
                running.add(submit(pool, work, part))
                if len(running) >= window:
                    break
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (_as_record(one.result()) for one in done)
    except BrokenExecutor as error:
        raise ClusterError(f"a worker process died ({error}); run again to go on") from error
    finally:
        for future in running:  # Ctrl-C: what waits is not begun; what runs ends by itself, and is done again later
            future.cancel()


def _as_record(result: Any) -> Record:
    return result if isinstance(result, Record) else Record.from_json(result)


def _on_dask(client: Client, work: Work) -> Generator[Record]:
    """Keep two tasks a worker thread in flight; a part whose worker died too often comes back as failed."""
    from distributed import wait as wait_for  # noqa: PLC0415 - slow to import

    waiting = iter(work.parts)
    running: dict[Any, Part] = {}
    try:
        while True:
            window = 2 * max(1, sum(client.nthreads().values()))
            while len(running) < window and (part := next(waiting, None)) is not None:
                key = f"ilrs-{part.digest[:16]}-{part.number}-{time.time_ns()}"
                running[client.submit(reduce_ticket, work.ticket(part), key=key, pure=False)] = part
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
    reason = f"{type(future.exception()).__name__}: {future.exception()}"
    region = (part.number, part.row, part.first, part.axis.count)
    return Record(*region, part.digest, part.causes, "failed", reason=reason)
