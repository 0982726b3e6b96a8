"""Clocks of spacecraft and stations: counts become TAI, with an uncertainty.

A clock counts ticks. Its correlation is piecewise linear: from each of a list of ticks on, time runs on by so many
seconds a tick. Ticks are continuous: a counter that was reset starts a new partition, whose counts go on where those of
the one before ended (NAIF's "encoded SCLK"); a counter of few bits rolls over at its modulus.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from ilrs_science.errors import FormatError, IlrsError
from ilrs_science.geometry.chebyshev import Floats
from ilrs_science.geometry.sclk import read_sclk
from ilrs_science.geometry.time import J2000, SECOND, TT_LESS_TAI, Nanoseconds
from ilrs_science.model.reference import Reference

_MOST = 2**62
_LATEST = 9_000_000_000
"""Seconds since 1970 that int64 nanoseconds reach: 2255."""


@dataclass(frozen=True, eq=False)
class Clock:
    """The correlation of a clock; arrays of one length, a row a segment."""

    ticks: Nanoseconds
    """Where segments start, continuous ticks, int64, increasing."""
    times: Nanoseconds
    """Reading of `scale` there, int64 ns since 1970."""
    rates: Floats
    """Seconds a tick in the segment; the drift is what it differs from the nominal rate by."""
    sigmas: Floats
    """1 sigma of the correlation at the start of the segment, s; NaN where unknown."""
    sigma_rates: Floats
    """1 sigma of the rate, seconds a second, by which the uncertainty grows along the segment; 0 where unknown."""
    scale: str = "tai"
    """`tai`, `tt`, or `et`: TDB in the approximation of SPICE, which SCLK kernels are made with."""
    stop: int | None = None
    """First tick after the last segment; None if that has no end."""
    partitions: NDArray[np.int64] | None = None
    """Counts at which each partition starts and stops, shape (n, 2); None for one that starts at 0."""
    modulus: int | None = None
    """Ticks after which the counter starts again from 0; None if it never does."""

    def __post_init__(self) -> None:
        lengths = {len(a) for a in (self.ticks, self.times, self.rates, self.sigmas, self.sigma_rates)}
        if len(lengths) > 1 or 0 in lengths:
            raise IlrsError(f"no clock correlation: columns of {sorted(lengths)} rows; expected one length above 0")
        if faults := [*self._segment_faults(), *self._counter_faults()]:
            raise IlrsError(f"no clock correlation: {'; '.join(faults)}")

    def _segment_faults(self) -> Iterator[str]:
        """Yield what is wrong with the rows: ticks, times and their scale, rates, uncertainties."""
        if self.ticks[0] < 0 or (np.diff(self.ticks) <= 0).any():
            yield "ticks below 0, or that do not increase"
        if (np.diff(self.times) <= 0).any():
            yield "times that do not increase"
        if not ((self.rates > 0) & np.isfinite(self.rates)).all():
            yield "a rate that is no number above 0"
        if (self.sigmas < 0).any() or not (self.sigma_rates >= 0).all():
            yield "a negative uncertainty"
        if self.scale not in {"tai", "tt", "et"}:
            yield f"scale {self.scale!r}; expected tai, tt or et"

    def _counter_faults(self) -> Iterator[str]:
        """Yield what is wrong with how the clock counts, and until when."""
        if self.modulus is not None and self.modulus <= 0:
            yield f"modulus {self.modulus}; expected above 0"
        if self.stop is not None and self.stop <= self.ticks[-1]:
            yield f"stop {self.stop}; expected after the last segment"
        bounds = [] if self.partitions is None else self.partitions.tolist()
        if any(not 0 <= start < stop for start, stop in bounds):
            yield "a partition that does not start before it stops"
        if sum(stop - start for start, stop in bounds) >= _MOST:
            yield "partitions of more than 2^62 ticks"

    @classmethod
    def from_sclk(cls, path: str | Path, clock: int | None = None) -> Clock:
        """Read a NAIF text kernel of type 1.

        Parameters
        ----------
        path
            The kernel.
        clock
            NAIF number of the clock, negative; by default the only one of the kernel.

        Raises
        ------
        FormatError
            The file is no such kernel, or has several clocks and none was chosen.
        """
        kernel = read_sclk(path, clock)
        count = len(kernel.ticks)
        try:
            return cls(
                kernel.ticks,
                kernel.times,
                kernel.seconds_per_count / kernel.ticks_per_count,
                np.full(count, np.nan),
                np.zeros(count),
                scale="et" if kernel.is_tdb else "tt",
                stop=sum(stop - start for start, stop in kernel.partitions.tolist()) + 1,
                partitions=kernel.partitions,
            )
        except IlrsError as error:
            raise FormatError(f"{path}: {error}") from error

    @classmethod
    def from_reference(cls, reference: Reference | xr.Dataset) -> Clock:
        """Take the correlation from a reference, or its payload.

        Variables along one dimension: `ticks`, `tai` (ns), `rate` (s a tick), `sigma` (s) and, if known, `sigma_rate`.
        Without that dimension and if they apply: `stop` and `modulus` (ticks); `partitions`, shape (n, 2).

        Raises
        ------
        IlrsError
            A variable is missing, or the correlation is none.
        """
        payload: Any = reference.payload if isinstance(reference, Reference) else reference
        missing = [name for name in ("ticks", "tai", "rate", "sigma") if payload is None or name not in payload]
        if missing:
            raise IlrsError(f"a clock correlation without {', '.join(missing)}")

        def column(name: str, dtype: str) -> NDArray[Any]:
            values: NDArray[Any] = np.atleast_1d(payload[name].values)
            if values.dtype.kind not in "iuf" or values.ndim != 1:
                raise IlrsError(
                    f"a clock correlation whose {name} is {values.dtype} of shape {values.shape}; see units"
                )
            if dtype == "i8" and not np.isfinite(values).all():
                raise IlrsError(f"a clock correlation whose {name} is not known everywhere")
            return values.astype(dtype)

        ticks = column("ticks", "i8")
        return cls(
            ticks,
            column("tai", "i8"),
            column("rate", "f8"),
            column("sigma", "f8"),
            column("sigma_rate", "f8") if "sigma_rate" in payload else np.zeros(len(ticks)),
            stop=int(payload["stop"]) if "stop" in payload else None,
            partitions=payload["partitions"].values.astype("i8").reshape(-1, 2) if "partitions" in payload else None,
            modulus=int(payload["modulus"]) if "modulus" in payload else None,
        )

    def to_tai(self, ticks: ArrayLike) -> Nanoseconds:
        """Return TAI, int64 ns, of continuous ticks, same shape.

        Raises
        ------
        IlrsError
            Ticks that are no integers, or before the first segment or after the last, or after 2255.
        """
        wanted, row = self._rows(ticks)
        delta = (wanted - self.ticks[row]) * self.rates[row]
        ns = self.times[row] + np.rint(delta * SECOND).astype(np.int64)
        if self.scale == "tai":
            return ns
        return ns - TT_LESS_TAI if self.scale == "tt" else ns - _et_minus_tai(ns)

    def uncertainty(self, ticks: ArrayLike) -> Floats:
        """Return 1 sigma of the time of continuous ticks, s, same shape: sigma at the start and growth, added squared.

        Raises
        ------
        IlrsError
            As in `to_tai`.
        """
        wanted, row = self._rows(ticks)
        grown = self.sigma_rates[row] * (wanted - self.ticks[row]) * self.rates[row]
        result: Floats = np.hypot(self.sigmas[row], grown)
        return result

    def to_ticks(self, tai: ArrayLike) -> Nanoseconds:
        """Return the continuous ticks nearest to TAI ns, int64, same shape.

        Between two segments that do not meet it is the first tick of the later one; beyond the last it is prolonged.
        """
        ns = np.asarray(tai, np.int64)
        own = ns if self.scale == "tai" else ns + TT_LESS_TAI
        if self.scale == "et":
            own = own + _periodic(own)
        row = np.clip(np.searchsorted(self.times, own, side="right") - 1, 0, None)
        ticks = self.ticks[row] + np.rint((own - self.times[row]) / (self.rates[row] * SECOND)).astype(np.int64)
        following: Nanoseconds = np.append(self.ticks[1:], np.iinfo(np.int64).max)
        return np.minimum(ticks, following[row], dtype=np.int64)

    def continuous(self, counts: ArrayLike, near: ArrayLike) -> Nanoseconds:
        """Return the continuous ticks of counts, whichever partition and rollover brings them nearest to a time.

        Every count is looked at by itself, so that neither the order nor the completeness of packets matters.

        Parameters
        ----------
        counts
            What the counter showed, integers.
        near
            About when, TAI ns: wrong by less than half the time between two rollovers or resets.

        Returns
        -------
        int64 ticks, same shape; -1, which no correlation covers, for a count that is no whole number, is not below the
        modulus, or is in no partition.

        Raises
        ------
        IlrsError
            The counts are no numbers.
        """
        given, expected = np.asarray(counts), self.to_ticks(near)
        if given.dtype.kind not in "iuf":
            raise IlrsError(f"counts of type {given.dtype}; expected integers")
        whole = np.isfinite(given) & (np.mod(np.where(np.isfinite(given), given, 0), 1) == 0)
        if self.modulus:
            whole &= given < self.modulus
        shown = np.where(whole, given, 0).astype(np.int64)
        bounds = self.partitions if self.partitions is not None else np.array([[0, np.iinfo(np.int64).max]])
        best = np.full(np.broadcast_shapes(shown.shape, expected.shape), -1, np.int64)
        off = np.full(best.shape, np.inf)
        before = 0
        for start, stop in bounds:
            rolled = np.zeros(best.shape, np.int64)
            if self.modulus:
                rolled = np.rint((expected - before + start - shown) / self.modulus).astype(np.int64) * self.modulus
            ticks = before + shown + rolled - start
            inside = whole & (shown + rolled >= start) & (shown + rolled <= stop)
            distance = np.where(inside, np.abs(ticks - expected), np.inf)
            best, off = np.where(distance < off, ticks, best), np.minimum(distance, off)
            before += int(stop) - int(start)
        return best

    def covers(self, ticks: ArrayLike) -> NDArray[np.bool_]:
        """Return which continuous ticks the correlation covers, same shape; none after 2255, beyond int64 ns."""
        wanted = np.asarray(ticks)
        covered: NDArray[np.bool_] = (wanted >= self.ticks[0]) & (wanted < self._end())
        return covered

    def _end(self) -> int:
        """Return the first tick that is not covered."""
        latest = int(self.ticks[-1]) + int((_LATEST - self.times[-1] / SECOND) / self.rates[-1])
        return min(latest, _MOST if self.stop is None else self.stop)

    def _rows(self, ticks: ArrayLike) -> tuple[Nanoseconds, NDArray[np.intp]]:
        wanted = np.asarray(ticks)
        if wanted.dtype.kind not in "iuf" or not np.isfinite(wanted).all() or (np.mod(wanted, 1) != 0).any():
            raise IlrsError(f"ticks of type {wanted.dtype}; expected whole numbers")
        wanted = wanted.astype(np.int64)
        if not (covered := self.covers(wanted)).all():
            found, last = int(wanted[~covered].flat[0]), "..." if self.stop is None else self.stop - 1
            raise IlrsError(f"tick {found} is outside the correlation of the clock, {self.ticks[0]} to {last}")
        return wanted, np.searchsorted(self.ticks, wanted, side="right") - 1


def _et_minus_tai(et: Nanoseconds) -> Nanoseconds:
    """Return ET - TAI, ns."""
    tt = et
    for _ in range(2):  # the second pass changes 1e-12 s
        tt = et - _periodic(tt)
    return et - tt + TT_LESS_TAI


def _periodic(tt: Nanoseconds) -> Nanoseconds:
    """Return ET - TT, ns, in SPICE's approximation: K sin(E), with the constants of naif0012.tls."""
    mean = 6.239996 + 1.99096871e-7 * ((tt - J2000) / SECOND)
    return np.rint(1.657e-3 * SECOND * np.sin(mean + 1.671e-2 * np.sin(mean))).astype(np.int64)
