"""Datasets kept within a budget of bytes: what many parts need is read once in a process."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from threading import Lock, RLock
from typing import Any

import xarray as xr


@dataclass
class Kept:
    """A least-recently-used store of datasets, for the threads of one process."""

    budget: int
    """Bytes; one larger dataset is used and not kept."""
    _kept: OrderedDict[Hashable, xr.Dataset] = field(default_factory=OrderedDict)
    _bytes: int = 0
    _lock: Any = field(default_factory=RLock)
    _doors: dict[Hashable, Any] = field(default_factory=dict)

    def get(self, key: Hashable, read: Callable[[], xr.Dataset]) -> xr.Dataset:
        """Return the dataset of a key, read if it is not kept; while one thread reads it, others wait for it."""
        with self._lock:
            door = self._doors.setdefault(key, Lock())
        with door:
            with self._lock:
                if key in self._kept:
                    self._kept.move_to_end(key)
                    return self._kept[key]
            try:
                ds = read()
                self._keep(key, ds)
            finally:
                with self._lock:
                    self._doors.pop(key, None)
            return ds

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept.clear()
            self._bytes = 0

    def _keep(self, key: Hashable, ds: xr.Dataset) -> None:
        if ds.nbytes > self.budget:
            return
        with self._lock:
            # Another thread may have read it too, where it was dropped meanwhile.
            if (before := self._kept.pop(key, None)) is not None:
                self._bytes -= before.nbytes
            self._kept[key] = ds
            self._bytes += ds.nbytes
            while self._bytes > self.budget:
                _, dropped = self._kept.popitem(last=False)
                self._bytes -= dropped.nbytes
