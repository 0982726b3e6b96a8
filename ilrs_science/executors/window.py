"""The one loop that keeps a bounded number of items under way, on whatever executor."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field

from ilrs_science.executors.items import Ended, Pool

HEARTBEAT = 1.0
"""Seconds after which a loop that has nothing to tell says so, so that whoever listens can do something else."""
_PAUSE, _LONGEST_PAUSE = 0.5, 60.0
"""Seconds before an item that a busy store has refused is tried again: the first pause, doubled up to the longest."""
_TRIES = 10
"""Refusals of one item, one after the other, that are taken for a store that does not recover: some seven minutes."""


@dataclass
class _Window[Item]:
    """How many items may be under way, and which have to wait."""

    size: int
    waiting: Iterator[Item]
    resting: list[tuple[float, Item]] = field(default_factory=list)
    """Items that a store was too busy for, each with the time before which it is not tried again."""
    refused: dict[int, int] = field(default_factory=dict)
    """How often each of these was refused."""

    def next(self) -> Item | None:
        """Return an item that has rested long enough, or one that nobody has begun."""
        now = time.monotonic()
        for one in self.resting:
            if one[0] <= now:
                self.resting.remove(one)
                return one[1]
        return next(self.waiting, None)

    def rest(self, item: Item) -> bool:
        """Halve the window and let an item rest; False where it has rested too often."""
        tries = self.refused[id(item)] = self.refused.get(id(item), 0) + 1
        if tries > _TRIES:
            return False
        self.size = max(1, self.size // 2)
        # By chance, so that many runs do not come back at the same instant.
        pause = min(_LONGEST_PAUSE, _PAUSE * 2**tries) * random.uniform(0.5, 1)
        self.resting.append((time.monotonic() + pause, item))
        return True

    def grow(self, item: Item, largest: int) -> None:
        """Let one item more be under way, as this one has ended."""
        self.refused.pop(id(item), None)
        self.size = min(largest, self.size + 1)


def mapped[Item, Value](
    pool: Pool[Item, Value], items: Iterable[Item], busy: Callable[[Value], bool] = lambda _: False
) -> Generator[Ended[Item, Value] | None]:
    """Do every item, and yield each as it ends; None where for a while none has.

    Parameters
    ----------
    busy
        Tells of a value that the store was too busy, so that the item is tried again later, with fewer under way.
    """
    window = _Window(pool.window, iter(items))
    running = 0
    while True:
        while running < min(window.size, pool.window) and (item := window.next()) is not None:
            pool.submit(item)
            running += 1
        if not running:
            if not window.resting:
                return
            time.sleep(_PAUSE)
            yield None
            continue
        ended = pool.ended(HEARTBEAT)
        running -= len(ended)
        if not ended:
            yield None
        for one in ended:
            if one.value is None or not busy(one.value) or not window.rest(one.item):
                window.grow(one.item, pool.window)
                yield one
