"""Workers of a Dask cluster, and how to reach one. Only this module and `cluster.py` know `distributed`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from types import MappingProxyType
from typing import Any
from uuid import uuid4

from distributed import Client, KilledWorker, wait

from ilrs_science.errors import ClusterLostError
from ilrs_science.executors.items import Ended, Limits, Stage, Underway

_SILENCE = 30.0
"""Seconds without an answer of the scheduler after which it is given up."""
_FETCH = 30.0
"""Seconds for a result to come from its worker."""


@dataclass
class _Sent:
    item: Any
    since: float


class OnDask[Item, Value]:
    """The workers of a cluster.

    A task whose workers died `distributed.scheduler.allowed-failures` times is lost, whoever's fault that was. One that
    takes too long is withdrawn, and its worker restarted, if it has a nanny.
    """

    def __init__(
        self,
        client: Client,
        function: Callable[[Item], Value],
        limits: Limits,
        resources: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        self.client, self.function, self.limits, self.resources = client, function, limits, dict(resources)
        self.sent: dict[Any, _Sent] = {}
        self.name, self.numbers = uuid4().hex[:12], count()
        self.seen, self.looked = time.monotonic(), 0.0
        self.threads = 1
        self._look()

    @property
    def window(self) -> int:
        """Two tasks a thread: one in hand, and one that is there when it ends."""
        return 2 * max(1, self.threads)

    def submit(self, item: Item) -> None:
        """Send an item to the cluster."""
        with _named(self.client):
            self.sent[self._task(self.function, item)] = _Sent(item, time.monotonic())

    def ended(self, timeout: float) -> list[Ended[Item, Value]]:
        """Wait for the next tasks."""
        self._look()
        try:
            with _named(self.client), self.client.as_current():
                finished = wait(list(self.sent), timeout=timeout, return_when="FIRST_COMPLETED").done
        except TimeoutError:
            return self._too_slow()
        found = [self._result(future, self.sent[future].item) for future in finished]
        for future, one in zip(finished, found, strict=True):
            if one is not None:
                del self.sent[future]
        return [one for one in found if one is not None]

    def longest(self) -> Underway[Item] | None:
        """Return the item that was sent first; which stage it is at only its worker knows."""
        first = min(self.sent.values(), key=lambda one: one.since, default=None)
        return None if first is None else Underway(first.item, Stage("its worker"), time.monotonic() - first.since)

    def alone(self, function: Callable[[Item], Value], item: Item) -> Value:
        """Call a function that guards itself, on a worker, with nothing else of ours on the cluster."""
        with _named(self.client):
            task = self._task(function, item)
        while (ended := self._result(task, item)) is None:
            self._look()
        if ended.value is None:
            raise ClusterLostError(f"{ended.reason}, which only guarded it; run again to go on")
        return ended.value

    def close(self) -> None:
        """Withdraw what is under way."""
        try:
            self.client.cancel(list(self.sent), force=True)
        except (OSError, RuntimeError):
            return  # a scheduler that is gone has nothing to withdraw

    def _task(self, function: Callable[[Item], Value], item: Item) -> Any:
        key = f"ilrs-{self.name}-{next(self.numbers)}"
        return self.client.submit(function, item, key=key, pure=False, resources=self.resources or None)

    def _result(self, future: Any, item: Item) -> Ended[Item, Value] | None:
        """Return what became of a task; nothing where it cannot be fetched now: then it is made again elsewhere."""
        try:
            with _named(self.client):
                error = future.exception(timeout=_FETCH)
                value = None if error is not None else future.result(timeout=_FETCH)
        except TimeoutError:
            return None
        future.release()
        if isinstance(error, KilledWorker):
            return Ended(item, cause="killed", reason=f"{error.allowed_failures + 1} workers died with it")
        if error is not None:
            raise error
        return Ended(item, value)

    def _look(self) -> None:
        """Ask now and then who is there; give up a silent scheduler, and a cluster that stays without workers."""
        now = time.monotonic()
        if now - self.looked < 1:
            return
        self.looked = now
        if self.client.status not in ("running", "newly-created"):
            if now - self.seen > _SILENCE or self.client.status == "closed":
                raise ClusterLostError(f"the scheduler {_address(self.client)} does not answer; run again to go on")
            return
        try:
            with _named(self.client):
                self.threads = sum(self.client.nthreads().values())
        except TimeoutError:
            return
        if self.threads or not self.sent:
            self.seen = now
        elif now - self.seen > self.limits.patience:
            raise ClusterLostError(
                f"the cluster {_address(self.client)} has had no worker for {self.limits.patience:g} s; "
                "run again to go on"
            )

    def _too_slow(self) -> list[Ended[Item, Value]]:
        """Withdraw tasks that take longer than is allowed, and restart the workers that have them."""
        now = time.monotonic()
        late = {one.key: one for one, sent in self.sent.items() if now - sent.since > self.limits.seconds}
        if not late:
            return []
        with _named(self.client):
            places = self.client.processing()
            taken = {key: worker for worker, keys in places.items() for key in keys if key in late}
            self.client.cancel([late[key] for key in taken], force=True)
            with suppress(
                ValueError
            ):  # without a nanny a worker cannot be restarted; the task is withdrawn all the same
                self.client.restart_workers(sorted(set(taken.values())), raise_for_error=False)
        reason = f"took longer than {self.limits.seconds:g} s"
        return [Ended(self.sent.pop(late[key]).item, cause="limit", reason=reason) for key in taken]


def on_every_worker(client: Client, function: Callable[[], Any], patience: float) -> dict[str, Any]:
    """Wait for the first worker, and call a function on every one that is there.

    Returns
    -------
    By address, what it returned or the exception that it raised.

    Raises
    ------
    ClusterLostError
        After `patience` seconds no worker has come, or the cluster is gone.
    """
    with _named(client):
        try:
            client.wait_for_workers(1, timeout=patience)
        except TimeoutError as error:
            raise ClusterLostError(
                f"no worker has come to {_address(client)} within {patience:g} s; run again to go on"
            ) from error
        return dict(client.run(function, on_error="return"))


def lacking(client: Client, resources: Mapping[str, float]) -> dict[str, float]:
    """Return of what is asked for the resources that no worker has enough of, each with the most that one has."""
    with _named(client):
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
    most = {name: max([one["resources"].get(name, 0) for one in workers], default=0) for name in resources}
    return {name: most[name] for name, amount in resources.items() if most[name] < amount}


def _address(client: Client) -> str:
    return str(client.scheduler.address if client.scheduler is not None else "of the cluster")


@contextmanager
def _named(client: Client) -> Iterator[None]:
    """Say in one sentence that the cluster is gone, in whatever words its client does; a timeout stays one."""
    try:
        yield
    except TimeoutError:
        raise
    except (CancelledError, OSError, RuntimeError) as error:
        said = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise ClusterLostError(f"the cluster {_address(client)} is lost ({said}); run again to go on") from error
