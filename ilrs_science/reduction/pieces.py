"""Windows, groups and stretches of samples: the same ones, whichever part of an axis looks at them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ilrs_science.model.axis import Times
from ilrs_science.model.step import Reach


@dataclass(frozen=True)
class Piece:
    """Samples that a step is called with at once."""

    samples: slice
    number: int
    """Of the window or group."""
    begins: int
    """Time of its first sample, whose references it takes, TAI ns."""
    bounds: tuple[int, int]
    """Where its rows may lie, TAI ns, half-open."""
    kept: tuple[int, int]
    """Where those lie that are kept, TAI ns, half-open."""


def windows(times: Times, reach: Reach, span: tuple[int, int]) -> list[Piece]:
    """Return the windows with a sample whose kept middle reaches into a span.

    Parameters
    ----------
    times
        In order, TAI ns.
    span
        TAI ns, half-open.
    """
    hop, first_half = reach.hop, reach.overlap // 2
    low, high = ((one - first_half) // hop for one in (span[0], span[1] - 1))
    latest, over = np.unique(times // hop), -(-reach.window // hop)
    # A sample lies in as many windows as reach over it; which is less: those of the span, or those of all samples?
    every = high - low + 1 <= len(latest) * over
    numbers = np.arange(low, high + 1) if every else np.unique(latest[:, None] - np.arange(over))
    numbers = numbers[(numbers >= low) & (numbers <= high)]
    begins = numbers * hop
    edges = np.searchsorted(times, [begins, begins + reach.window])
    return [
        Piece(slice(first, last), number, int(times[first]), (begin, begin + reach.window), _kept(begin, reach))
        for number, begin, first, last in zip(numbers.tolist(), begins.tolist(), *edges.tolist(), strict=True)
        if last > first
    ]


def _kept(begin: int, reach: Reach) -> tuple[int, int]:
    middle = begin + reach.overlap // 2
    return middle, middle + reach.hop


def window_numbers(times: Times, reach: Reach) -> NDArray[np.int64]:
    """Return the number of the window in whose kept middle each time lies."""
    return (times - reach.overlap // 2) // reach.hop


@dataclass(frozen=True)
class Groups:
    """Runs of samples with equal labels, in order of time."""

    number: NDArray[np.int64]
    """Of the group of each sample."""
    opens: NDArray[np.intp]
    """Position of the first sample of each group."""
    first: Times
    last: Times
    """Times of the first and last sample of each group."""

    @classmethod
    def of(cls, times: Times, labels: NDArray[np.generic] | None, longest_gap: int) -> Groups:
        """Return the runs of equal labels, or of all samples, that no longer gap than this (ns) cuts."""
        opens = np.ones(len(times), bool)
        opens[1:] = np.diff(times) > longest_gap
        if labels is not None:
            opens[1:] |= labels[1:] != labels[:-1]
        at = np.flatnonzero(opens)
        ends = np.append(at[1:], len(times))
        return cls(np.cumsum(opens) - 1, at, times[at], times[ends - 1] if len(at) else times[:0])

    def longer_than(self, limit: int) -> NDArray[np.bool_]:
        """Tell which groups last longer than a limit, ns."""
        return np.asarray(self.last - self.first > limit)

    def pieces(self) -> Iterator[Piece]:
        """Yield the samples of each group, whose rows lie between its first and its last sample."""
        ends = [*self.opens.tolist(), len(self.number)][1:]
        spans = zip(self.first.tolist(), self.last.tolist(), strict=True)
        for number, (begin, end, (first, last)) in enumerate(zip(self.opens.tolist(), ends, spans, strict=True)):
            yield Piece(slice(begin, end), number, first, (first, last + 1), (first, last + 1))
