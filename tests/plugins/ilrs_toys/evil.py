"""A toy whose files and samples do to a process whatever code can do to it."""

import ctypes
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import xarray as xr

from ilrs_science import Granule
from ilrs_toys import raw
from ilrs_toys.clock import instrument as clock
from ilrs_toys.clock import to_units


class StrangeError(Exception):
    """An error that cannot travel: it cannot be made anew from what it says."""

    def __init__(self, one: object, other: object) -> None:
        super().__init__("strange")
        self.held = lambda: (one, other)


class Harm(BaseException):
    """Nothing that `except Exception` catches."""


def _raise(error: BaseException) -> None:
    raise error


def _eat() -> None:
    held = []
    for _ in range(100):
        held.append(np.ones(2**24))
        time.sleep(0.02)


HARMS: dict[str, Callable[[], object]] = {
    "error": lambda: _raise(ValueError("an ordinary error")),
    "exit": lambda: sys.exit(3),
    "interrupt": lambda: _raise(KeyboardInterrupt()),
    "harm": lambda: _raise(Harm("no Exception")),
    "strange": lambda: _raise(StrangeError(1, 2)),
    "os-exit": lambda: os._exit(7),
    "segfault": lambda: ctypes.string_at(0),
    "abort": os.abort,
    "hang": lambda: time.sleep(3600),
    "memory": _eat,
}


def index(granule: Granule) -> Sequence[Granule]:
    """Say what is in a file without doing what it is named after."""
    ds = raw.read(granule)
    times = ds.tai.values
    return [replace(granule, site=ds.attrs["site"], start=int(times[0]), stop=int(times[-1]) + 1, count=len(times))]


def read(granule: Granule) -> xr.Dataset:
    """Do what the file is named after: `12-segfault.evil`."""
    HARMS.get(Path(granule.url).stem.partition("-")[2], lambda: None)()
    return raw.read(granule)


def harms(ds: xr.Dataset, *, how: str) -> xr.Dataset:
    """Do something where a sample asks for it."""
    if bool(ds.breaks.any()):
        HARMS[how]()
    return ds


instrument = replace(clock, name="toy-evil", files="*.evil", index=index, read=read, steps=(to_units, harms))
unindexed = replace(instrument, name="toy-evil-unindexed", index=None)
