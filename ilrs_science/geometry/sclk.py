"""NAIF text kernels of spacecraft clocks, type 1 (SCLK Required Reading, NAIF)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ilrs_science.errors import FormatError
from ilrs_science.geometry.chebyshev import Floats
from ilrs_science.geometry.time import J2000, SECOND, Nanoseconds

_LARGEST = 2**26
"""Bytes; kernels of decades have a few million."""
_ASSIGNMENT = re.compile(r"(?<![A-Za-z0-9_])([A-Za-z0-9_]++)\s*+(\+?=)\s*+(\([^()]*+\)|[^\s()]++)")
_VALUE = re.compile(r"'[^']*'|[^\s,()]+")
_TDB, _TT = 1, 2
_DIGITS, _MOST, _LATEST = 25, 2**62, 8_000_000_000


@dataclass(frozen=True, eq=False)
class Sclk:
    """What a kernel says of one clock."""

    ticks: Nanoseconds
    """Encoded SCLK at which segments start, shape (n,)."""
    times: Nanoseconds
    """Parallel time there, int64 ns since 1970."""
    seconds_per_count: Floats
    """Seconds a most significant count, shape (n,)."""
    ticks_per_count: int
    """Ticks of a most significant count."""
    is_tdb: bool
    """Whether the parallel time is TDB (of SPICE) and not TT."""
    partitions: NDArray[np.int64]
    """Start and stop of every partition, ticks, shape (n, 2)."""


@dataclass(frozen=True)
class _Variables:
    """The variables of one clock as the kernel has them, in exact numbers."""

    kind: Decimal
    system: Decimal
    coefficients: Sequence[Decimal]
    """Threes of encoded SCLK, parallel time in seconds since J2000, and seconds a most significant count."""
    moduli: Sequence[Decimal]
    starts: Sequence[Decimal]
    stops: Sequence[Decimal]

    def faults(self) -> Iterator[str]:
        """Yield what is wrong with them."""
        in_ticks = [*self.coefficients[::3], *self.moduli, *self.starts, *self.stops]
        if self.kind != 1:
            yield f"clock of type {self.kind}; expected 1"
        if self.system not in {_TDB, _TT}:
            yield f"time system {self.system}; expected 1 (TDB) or 2 (TT)"
        if len(self.coefficients) % 3:
            yield f"{len(self.coefficients)} coefficients; expected threes"
        if len(self.starts) != len(self.stops):
            yield f"{len(self.starts)} starts and {len(self.stops)} ends of partitions"
        if min(self.moduli) < 1:
            yield "a modulus below 1"
        if max(map(abs, (*in_ticks, *self.coefficients))) >= _MOST:
            yield "a number beyond 2^62"
        if any(value % 1 for value in in_ticks):
            yield "ticks that are no whole numbers"
        if max(map(abs, self.coefficients[1::3])) > _LATEST:
            yield "a time that int64 nanoseconds do not reach"


@dataclass(frozen=True)
class _Kernel:
    """The variables of a text kernel, values as text."""

    path: str | Path
    pool: Mapping[str, Sequence[str]]

    def number_of(self, clock: int | None) -> int:
        """Return the number by which variables name the wanted clock, or the only one: the NAIF number without sign."""
        named = [re.fullmatch(r"SCLK_DATA_TYPE_(\d+)", name) for name in self.pool]
        clocks = [-int(found[1]) for found in named if found]
        chosen = clocks[0] if clock is None and len(clocks) == 1 else clock
        if chosen not in clocks:
            raise FormatError(f"{self.path}: clock {clock} is not to be had; the kernel has {clocks or 'none'}")
        return -chosen

    def numbers(self, name: str, least: int = 1) -> list[Decimal]:
        """Return the values of a variable, so many or more."""
        texts = self.pool.get(name, [])
        try:
            values = [Decimal(text.upper().replace("D", "E")) for text in texts]
        except InvalidOperation as error:
            raise FormatError(f"{self.path}: {name} is not numbers: {' '.join(texts)[:80]}") from error
        if len(values) < least or not all(value.is_finite() and abs(value.adjusted()) < _DIGITS for value in values):
            raise FormatError(
                f"{self.path}: {name} has {len(values)} values; expected at least {least}, below 10^{_DIGITS}"
            )
        return values

    def variables(self, number: int) -> _Variables:
        """Return the variables of a clock; TDB where it names no time system."""
        system = f"SCLK01_TIME_SYSTEM_{number}"
        return _Variables(
            self.numbers(f"SCLK_DATA_TYPE_{number}")[0],
            self.numbers(system)[0] if system in self.pool else Decimal(_TDB),
            self.numbers(f"SCLK01_COEFFICIENTS_{number}", 3),
            self.numbers(f"SCLK01_MODULI_{number}"),
            self.numbers(f"SCLK_PARTITION_START_{number}"),
            self.numbers(f"SCLK_PARTITION_END_{number}"),
        )


def read_sclk(path: str | Path, clock: int | None = None) -> Sclk:
    """Read the correlation of one clock.

    Parameters
    ----------
    path
        The kernel.
    clock
        NAIF number, negative; by default the only one.

    Raises
    ------
    FormatError
        The file is no SCLK kernel of type 1, or the clock is not in it.
    """
    kernel = _Kernel(path, _read_pool(Path(path)))
    said = kernel.variables(kernel.number_of(clock))
    if faults := list(said.faults()):
        raise FormatError(f"{path}: {'; '.join(faults)}")
    ticks_per_count = prod(map(int, said.moduli[1:]))
    if ticks_per_count >= _MOST:
        raise FormatError(f"{path}: {ticks_per_count} ticks a count; expected below 2^62")
    seconds = said.coefficients[1::3]
    return Sclk(
        ticks=np.array(said.coefficients[::3], np.int64),
        times=np.array([int((second * SECOND).to_integral_value()) for second in seconds], np.int64) + J2000,
        seconds_per_count=np.array(said.coefficients[2::3], np.float64),
        ticks_per_count=ticks_per_count,
        is_tdb=said.system == _TDB,
        partitions=np.array([said.starts, said.stops], np.int64).T,
    )


def _read_pool(path: Path) -> dict[str, list[str]]:
    """Return the variables of a text kernel, values as text."""
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST + 1)
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error})") from error
    if len(raw) > _LARGEST or not raw.lstrip().startswith(b"KPL/SCLK"):
        raise FormatError(f"{path}: not a text kernel of a clock; expected KPL/SCLK at its start")
    data, inside = [], False
    for line in raw.decode("latin-1").splitlines():
        marker = line.strip().lower()
        if marker in ("\\begindata", "\\begintext"):
            inside = marker == "\\begindata"
        elif inside:
            data.append(line)
    pool: dict[str, list[str]] = {}
    for name, sign, text in _ASSIGNMENT.findall("\n".join(data)):
        if sign == "=":
            pool[name] = []
        pool.setdefault(name, []).extend(value for value in _VALUE.findall(text) if not value.startswith("'"))
    return pool
