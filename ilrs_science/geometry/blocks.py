"""Long series of times, worked through block by block, so that memory stays small."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ilrs_science.geometry.chebyshev import Floats
from ilrs_science.geometry.time import Nanoseconds

_BLOCK = 65536


def by_blocks(work: Callable[[Nanoseconds], tuple[Floats, ...]], ns: Nanoseconds) -> tuple[Floats, ...]:
    """Return what a function of times gives, for all of them.

    Parameters
    ----------
    work
        Takes times of shape (n,) and returns arrays of that shape, each value from its own time.
    ns
        Times, int64 ns, of any shape; the results have it too.
    """
    flat = ns.reshape(-1)
    if flat.size <= _BLOCK:
        return tuple(values.reshape(ns.shape) for values in work(flat))
    parts = [work(flat[start : start + _BLOCK]) for start in range(0, flat.size, _BLOCK)]
    return tuple(np.concatenate(values).reshape(ns.shape) for values in zip(*parts, strict=True))
