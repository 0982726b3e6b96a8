"""Workers of this machine: this very thread, threads, or processes."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ilrs_science.errors import IlrsError, LimitError
from ilrs_science.executors import items
from ilrs_science.executors.child import Child, heard
from ilrs_science.executors.items import Ended, Limits, Pool, Stage, Underway

_GRACE = 10.0
"""Seconds that threads have to end what they have in hand when a run ends; one that hangs is left to itself."""


def local_pool[Item, Value](
    name: str, count: int, function: Callable[[Item], Value], limits: Limits
) -> Pool[Item, Value]:
    """Return workers of this machine.

    Parameters
    ----------
    name
        `serial`, `threads` or `processes`.
    function
        For processes one that can be imported by its name.

    Raises
    ------
    IlrsError
        There is no such executor.
    """
    if name == "serial":
        return Serial(function)
    if name == "threads":
        return Threads(count, function, limits)
    if name == "processes":
        return Processes(count, function, limits)
    raise IlrsError(f"no executor {name!r}; it is serial, threads or processes, or give a cluster")


class Serial[Item, Value]:
    """The thread that asks: the reference that every other executor is held to. It keeps no limit of time."""

    window = 1

    def __init__(self, function: Callable[[Item], Value]) -> None:
        self.function = function
        self.waiting: deque[Item] = deque()

    def submit(self, item: Item) -> None:
        """Keep an item for the next wait."""
        self.waiting.append(item)

    def ended(self, timeout: float) -> list[Ended[Item, Value]]:  # noqa: ARG002 - nobody else could look at the clock
        """Call the function on the next item."""
        item = self.waiting.popleft()
        return [Ended(item, self.function(item))]

    def longest(self) -> Underway[Item] | None:
        """Return nothing: between two items there is none."""
        return None

    def alone(self, function: Callable[[Item], Value], item: Item) -> Value:
        """Call a function."""
        return function(item)

    def close(self) -> None:
        """Do nothing."""


@dataclass
class _Running[Item]:
    item: Item
    since: float
    stage: Stage = field(default_factory=Stage)


class Threads[Item, Value]:
    """Threads of this process. They cannot be stopped: where an item passes the limit of time, the run ends by name."""

    def __init__(self, count: int, function: Callable[[Item], Value], limits: Limits) -> None:
        self.window = 2 * count
        self.function, self.limits = function, limits
        self.todo: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self.done: queue.SimpleQueue[tuple[Item, Value | None, BaseException | None]] = queue.SimpleQueue()
        self.running: dict[int, _Running[Item]] = {}
        # Not those of `concurrent.futures`: Python waits for them at its end, also for one that hangs.
        self.threads = [threading.Thread(target=self._work, args=(n,), daemon=True) for n in range(count)]
        for thread in self.threads:
            thread.start()

    def submit(self, item: Item) -> None:
        """Put an item into the queue of all threads."""
        self.todo.put(item)

    def ended(self, timeout: float) -> list[Ended[Item, Value]]:
        """Wait for the next item."""
        try:
            item, value, error = self.done.get(timeout=timeout)
        except queue.Empty:
            self._check_time()
            return []
        if error is not None:
            raise error
        return [Ended(item, value)]

    def longest(self) -> Underway[Item] | None:
        """Return the item that a thread has been at for the longest time."""
        now = time.monotonic()
        running = [Underway(one.item, one.stage, now - one.since) for one in self.running.copy().values()]
        return max(running, key=lambda one: one.seconds, default=None)

    def alone(self, function: Callable[[Item], Value], item: Item) -> Value:
        """Call a function."""
        return function(item)

    def close(self) -> None:
        """Begin no more items, and wait a while for those in hand, so that nothing of them comes after the run."""
        while True:
            try:
                self.todo.get_nowait()
            except queue.Empty:
                break
        for _ in self.threads:
            self.todo.put(None)
        until = time.monotonic() + _GRACE
        for thread in self.threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _check_time(self) -> None:
        slow = self.longest()
        if slow is not None and slow.seconds > self.limits.seconds:
            raise LimitError(
                f"a worker is at {slow.stage.name} for more than {self.limits.seconds:g} s; threads cannot be stopped, "
                "so the run ends here; run it again with --executor processes, which finds out which file does this"
            )

    def _work(self, number: int) -> None:
        def hear(stage: Stage) -> None:
            self.running[number].stage = stage

        with items.listening(hear):
            while (item := self.todo.get()) is not None:
                self.running[number] = _Running(item, time.monotonic())
                value, error = None, None
                try:
                    value = self.function(item)
                except BaseException as raised:  # noqa: BLE001 - who waits raises it again
                    error = raised
                del self.running[number]
                self.done.put((item, value, error))


class Processes[Item, Value]:
    """Processes of this machine, started when there is something to do."""

    def __init__(self, count: int, function: Callable[[Item], Value], limits: Limits) -> None:
        self.count, self.function, self.limits = count, function, limits
        self.window = 2 * count
        self.children: list[Child] = []
        self.lost: list[Ended[Any, Any]] = []

    def submit(self, item: Item) -> None:
        """Send an item to the process that has the fewest; beside the one in hand it keeps one more."""
        if len(self.children) < self.count and all(child.sent for child in self.children):
            self.children.append(Child(self.function, self.limits))
        min(self.children, key=lambda child: len(child.sent)).send(item)

    def ended(self, timeout: float) -> list[Ended[Item, Value]]:
        """Wait for the next items; what a lost process had not begun goes to another."""
        found = heard(self.children, timeout)
        for child in [one for one in self.children if one.has_ended]:
            self.children.remove(child)
            for item in child.sent:
                self.submit(item)
        return found

    def longest(self) -> Underway[Item] | None:
        """Return the item that a process has been at for the longest time."""
        running = [one for child in self.children if (one := child.underway()) is not None]
        return max(running, key=lambda one: one.seconds, default=None)

    def alone(self, function: Callable[[Item], Value], item: Item) -> Value:
        """Call a function that starts a process of its own for what is suspicious."""
        return function(item)

    def close(self) -> None:
        """Kill the processes."""
        for child in self.children:
            child.close()
