"""What goes to an executor and what comes back; limits; and where a worker is within an item."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal, Protocol

type Cause = Literal["crash", "limit", "killed"]
"""Why a worker did not come to the end of an item: it crashed, it passed a limit, or somebody else killed it."""


@dataclass(frozen=True)
class Limits:
    """What the workers of a run are allowed, and how long a run waits for workers."""

    seconds: float = 3600.0
    """For one item. Processes are killed; a run in threads ends."""
    memory: int | None = None
    """Bytes of one worker process of this machine; by default nine tenths of what the machine has."""
    patience: float = 3600.0
    """Seconds to wait while a cluster has no worker, as in the queue of a batch system."""


@dataclass(frozen=True)
class Stage:
    """What a worker is at."""

    name: str = "the start"
    sources: tuple[int, ...] = ()
    """Which of the sources of the item it has in hand, by number."""
    one_by_one: bool = False
    """Whether the worker takes them one after the other, so that only the one in hand can be to blame."""


@dataclass(frozen=True)
class Ended[Item, Value]:
    """An item that no worker is at any more: with its value, or lost."""

    item: Item
    value: Value | None = None
    cause: Cause | None = None
    reason: str = ""
    stage: Stage = Stage()


@dataclass(frozen=True)
class Underway[Item]:
    """An item that a worker is at."""

    item: Item
    stage: Stage
    seconds: float


class Pool[Item, Value](Protocol):
    """Workers of one function."""

    @property
    def window(self) -> int:
        """How many items keep all workers busy."""

    def submit(self, item: Item) -> None:
        """Hand an item to a worker, now or as soon as one is free."""

    def ended(self, timeout: float) -> list[Ended[Item, Value]]:
        """Wait until an item has ended, but no longer than so many seconds, and return those that have.

        Raises
        ------
        Exception
            What the function raised.
        """

    def longest(self) -> Underway[Item] | None:
        """Return the item that a worker has been at for the longest time."""

    def alone(self, function: Callable[[Item], Value], item: Item) -> Value:
        """Call a function that guards itself where the workers are, and return its value."""

    def close(self) -> None:
        """Stop the workers; what they have in hand is lost."""


_here = threading.local()


def enter(name: str, sources: Sequence[int] | None = None, *, one_by_one: bool = False) -> None:
    """Say what this worker is at, by default with the sources that it had; costs nothing where nobody listens."""
    listener = getattr(_here, "listener", None)
    if listener is not None:
        before = getattr(_here, "stage", Stage())
        _here.stage = replace(before, name=name) if sources is None else Stage(name, tuple(sources), one_by_one)
        listener(_here.stage)


@contextmanager
def listening(listener: Callable[[Stage], None]) -> Iterator[None]:
    """Let a function hear what this thread is at."""
    _here.listener, _here.stage = listener, Stage()
    try:
        yield
    finally:
        del _here.listener
