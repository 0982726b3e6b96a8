"""NAIF text kernels of spacecraft clocks, type 1 (SCLK Required Reading, NAIF)."""

from __future__ import annotations

import re
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
    pool = _read_pool(Path(path))
    clocks = [-int(name.removeprefix("SCLK_DATA_TYPE_")) for name in pool if re.fullmatch(r"SCLK_DATA_TYPE_\d+", name)]
    chosen = clock if clock is not None else (clocks[0] if len(clocks) == 1 else None)
    if chosen not in clocks:
        raise FormatError(f"{path}: clock {clock} is not to be had; the kernel has {clocks or 'none'}")
    number = -int(chosen)

    def get(name: str, least: int = 1) -> list[Decimal]:
        texts = pool.get(f"{name}_{number}", [])
        try:
            values = [Decimal(text.upper().replace("D", "E")) for text in texts]
        except InvalidOperation as error:
            raise FormatError(f"{path}: {name}_{number} is not numbers: {' '.join(texts)[:80]}") from error
        if len(values) < least or not all(value.is_finite() and abs(value.adjusted()) < _DIGITS for value in values):
            raise FormatError(
                f"{path}: {name}_{number} has {len(values)} values; expected at least {least}, below 10^{_DIGITS}"
            )
        return values

    kind, system = (
        get("SCLK_DATA_TYPE")[0],
        get("SCLK01_TIME_SYSTEM")[0] if "SCLK01_TIME_SYSTEM_" + str(number) in pool else _TDB,
    )
    rows, moduli = get("SCLK01_COEFFICIENTS", 3), get("SCLK01_MODULI")
    starts, stops = get("SCLK_PARTITION_START"), get("SCLK_PARTITION_END")
    wrong = [
        (kind != 1, f"clock of type {kind}; expected 1"),
        (system not in (_TDB, _TT), f"time system {system}; expected 1 (TDB) or 2 (TT)"),
        (len(rows) % 3 != 0, f"{len(rows)} coefficients; expected threes"),
        (len(starts) != len(stops), f"{len(starts)} starts and {len(stops)} ends of partitions"),
        (any(m < 1 for m in moduli), "a modulus below 1"),
        (any(abs(v) >= _MOST for v in (*rows, *moduli, *starts, *stops)), "a number beyond 2^62"),
        (any(v % 1 for v in (*rows[::3], *moduli, *starts, *stops)), "ticks that are no whole numbers"),
        (any(abs(v) > _LATEST for v in rows[1::3]), "a time that int64 nanoseconds do not reach"),
    ]
    if found := [text for bad, text in wrong if bad]:
        raise FormatError(f"{path}: {'; '.join(found)}")
    per_count = prod(int(modulus) for modulus in moduli[1:])
    if per_count >= _MOST:
        raise FormatError(f"{path}: {per_count} ticks a count; expected below 2^62")
    return Sclk(
        np.array([int(v) for v in rows[::3]], np.int64),
        np.array([int((v * SECOND).to_integral_value()) for v in rows[1::3]], np.int64) + J2000,
        np.array([float(v) for v in rows[2::3]]),
        per_count,
        system == _TDB,
        np.array([[int(a), int(b)] for a, b in zip(starts, stops, strict=True)], np.int64),
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
