"""Where the bodies are and how the Moon is turned: from JPL kernels, or from series where none is installed.

Kernels come from the packages `skyfield-data` (DE421 positions) and `lunarsky` (DE421 orientation of the Moon), which
the extra `ilrs-science[ephemeris]` installs, or from the paths in the environment variables ILRS_SPK and ILRS_PCK, or
from `Ephemeris(spk=..., pck=...)`. Nothing is ever downloaded. Times are int64 ns of TDB since 1970-01-01.
"""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ilrs_science.errors import IlrsError
from ilrs_science.geometry import series
from ilrs_science.geometry.chebyshev import Floats
from ilrs_science.geometry.rotations import about_axis
from ilrs_science.geometry.time import Nanoseconds, to_jd

BODIES = {
    "sun": (10,),
    "mercury": (1,),
    "venus": (2,),
    "earth": (3, 399),
    "moon": (3, 301),
    "mars": (4,),
    "jupiter": (5,),
    "saturn": (6,),
    "uranus": (7,),
    "neptune": (8,),
    "pluto": (9,),
}
"""NAIF numbers that lead from the solar system's barycentre to each body; of the outer planets, to their system's."""

PA_TO_ME = {"DE421": (-0.30, -78.56, -67.92), "DE440": (-0.2785, -78.6944, -67.8526)}
"""Arcseconds of R1, R2, R3 from MOON_PA to MOON_ME: kernels moon_080317.tf; Park et al. 2021, AJ 161, 105."""

_PA_FRAMES = {31006: "DE421", 31008: "DE440"}
_BLOCK = 8192
"""Epochs evaluated at a time, so that the gathered coefficients stay in the processor's cache."""
_LOADING = threading.Lock()
"""Held while a kernel is opened, so that threads open it once."""


@dataclass(frozen=True)
class Ephemeris:
    """Positions and orientation; picklable, because it names files and holds none."""

    spk: str = ""
    """Path of a JPL ephemeris (SPK); empty for the series of ERFA."""
    pck: str = ""
    """Path of a binary PCK with the Moon's principal axes of DE421 or DE440; empty for the series of the WGCCRE."""

    @property
    def name(self) -> str:
        """What is used, for attributes of products."""
        return " + ".join([Path(self.spk).name or "ERFA epv00/moon98", Path(self.pck).name or "WGCCRE 2009"])

    @property
    def accuracy(self) -> str:
        """What to expect, for attributes of products."""
        positions = (
            "directions 0.001 arcsec, bending of light left out"
            if self.spk
            else "Sun 0.06 arcsec, Earth 18 arcsec and 13 km, planets 90 arcsec"
        )
        return f"{positions}; orientation of the Moon {'1 m' if self.pck else '160 m'} on the ground"

    @property
    def solution(self) -> str:
        """The lunar ephemeris, DE421 or DE440, whose principal axes are MOON_PA."""
        return _orientation(self.pck)[0] if self.pck else "DE421"

    def state(self, body: str, tdb: Nanoseconds) -> tuple[Floats, Floats]:
        """Return barycentric positions (km) and velocities (km/s) in ICRS, each of shape (..., 3).

        Raises
        ------
        IlrsError
            An unknown body, or a time outside the kernel.
        """
        if body not in BODIES:
            raise IlrsError(f"unknown body {body!r}; known are {', '.join(BODIES)}")
        source = _positions(self.spk, body) if self.spk else lambda jd, day: series.state(body, jd, day)
        result = _by_blocks(lambda jd, day: np.concatenate(source(jd, day)), tdb, 6, self.spk)
        return result[..., :3], result[..., 3:]

    def position(self, body: str, tdb: Nanoseconds) -> Floats:
        """Return barycentric positions in ICRS, km, shape (..., 3)."""
        return self.state(body, tdb)[0]

    def moon_me(self, tdb: Nanoseconds) -> Floats:
        """Return the rotation from ICRS to MOON_ME, shape (..., 3, 3).

        Raises
        ------
        IlrsError
            A time outside the kernel.
        """
        if not self.pck:
            return series.moon_me(tdb)
        solution, segment = _orientation(self.pck)
        angles = _by_blocks(lambda jd, day: segment.compute(jd, day, derivative=False), tdb, 3, self.pck)
        phi, theta, psi = np.moveaxis(angles, -1, 0)
        pa = about_axis(2, psi) @ about_axis(0, theta) @ about_axis(2, phi)
        return pa_to_me(solution) @ pa


@cache
def pa_to_me(solution: str) -> Floats:
    """Return the constant rotation from MOON_PA of DE421 or DE440 to MOON_ME, shape (3, 3)."""
    a, b, c = np.deg2rad(np.array(PA_TO_ME[solution]) / 3600.0)
    rotation: Floats = about_axis(0, a) @ about_axis(1, b) @ about_axis(2, c)
    rotation.setflags(write=False)
    return rotation


def chosen(ephemeris: Ephemeris | None, name: str | None = None) -> Ephemeris:
    """Return the given ephemeris, or the default of this process, which then has to be the one of that name.

    Raises
    ------
    IlrsError
        It is none; or a worker has other kernels than whoever asked it.
    """
    if ephemeris is not None and not isinstance(ephemeris, Ephemeris):
        raise IlrsError(f"{ephemeris!r} is no ephemeris; give geometry.Ephemeris(spk=..., pck=...)")
    used = default_ephemeris() if ephemeris is None else ephemeris
    if name is not None and used.name != name:
        raise IlrsError(f"this process has {used.name} where {name} was meant; install the same kernels everywhere")
    return used


def default_ephemeris() -> Ephemeris:
    """Return the kernels of the environment, else those of the installed packages, else the series."""
    spk = os.environ.get("ILRS_SPK") or _packaged("skyfield_data", "data/de421.bsp")
    pck = os.environ.get("ILRS_PCK") or _packaged("lunarsky", "data/pck/moon_pa_de421_1900-2050.bpc")
    return Ephemeris(spk, pck)


@cache
def _packaged(package: str, file: str) -> str:
    """Return the path of a file in an installed package, or nothing.

    The package is found by its specification and never imported: lunarsky changes astropy's frames when it is.
    """
    spec = find_spec(package) if find_spec("jplephem") else None
    folders = (spec.submodule_search_locations if spec else None) or []
    found = [path for folder in folders if (path := Path(folder) / file).is_file()]
    return str(found[0]) if found else ""


def _by_blocks(compute: Callable[[Any, Any], Any], tdb: Nanoseconds, width: int, path: str) -> Floats:
    """Evaluate a kernel, which gives (width, n) for n epochs, over blocks of them; return (..., width)."""
    flat = tdb.reshape(-1)
    result = np.empty((flat.size, width))
    for start in range(0, flat.size, _BLOCK):
        ns = flat[start : start + _BLOCK]
        try:
            result[start : start + _BLOCK] = compute(*to_jd(ns)).T
        except ValueError as error:
            outside = f"{np.datetime64(int(ns.min()), 'ns')} to {np.datetime64(int(ns.max()), 'ns')} TDB"
            raise IlrsError(f"times from {outside} are not in {Path(path).name or 'the series'}: {error}") from error
    return result.reshape(*tdb.shape, width)


def _positions(path: str, body: str) -> Callable[[Any, Any], tuple[Any, Any]]:
    segments = spk_segments(path)
    chain = list(zip((0, *BODIES[body]), BODIES[body], strict=False))
    if missing := [pair for pair in chain if pair not in segments]:
        raise IlrsError(f"{Path(path).name} has no {body} (segments {missing})")

    def compute(jd: Any, day: Any) -> tuple[Any, Any]:
        states = [segments[pair].compute_and_differentiate(jd, day) for pair in chain]
        return sum(x[:3] for x, _ in states), sum(v[:3] for _, v in states) / 86400.0

    return compute


def spk_segments(path: str) -> dict[tuple[int, int], Any]:
    """Return the segments of a kernel by (centre, target), opened once a process and mapped, not read.

    Raises
    ------
    IlrsError
        No SPK, several segments of one body, or positions in another frame than J2000.
    """
    with _LOADING:
        return _spk(path)


def _orientation(path: str) -> tuple[str, Any]:
    """Return the solution and the segment of a binary PCK, opened once a process."""
    with _LOADING:
        return _pck(path)


@cache
def _spk(path: str) -> dict[tuple[int, int], Any]:
    with _opened("spk", "SPK", path) as kernel:
        pairs = {(segment.center, segment.target): segment for segment in kernel.segments}
        found = len(kernel.segments)
        if len(pairs) < found or any(segment.frame != 1 for segment in kernel.segments):
            raise IlrsError(f"{path}: expected one segment a body, in J2000; found {found} for {len(pairs)} bodies")
        for segment in kernel.segments:
            _ = getattr(segment, "_data", None)  # maps it; a kind that jplephem does not read has none
        return pairs


@cache
def _pck(path: str) -> tuple[str, Any]:
    with _opened("pck", "PCK", path) as kernel:
        for segment in kernel.segments:
            if segment.body in _PA_FRAMES:
                segment._data = segment._load()  # noqa: SLF001 - maps it
                return _PA_FRAMES[segment.body], segment
    raise IlrsError(f"{path}: no principal axes of the Moon of {' or '.join(PA_TO_ME)}")


@contextmanager
def _opened(module: str, kind: str, path: str) -> Iterator[Any]:
    """Open a kernel; the maps of its segments outlive the file."""
    try:
        daf, kernels = import_module("jplephem.daf"), import_module(f"jplephem.{module}")
    except ImportError as error:
        raise IlrsError(f"{path}: reading a kernel needs jplephem; install ilrs-science[ephemeris]") from error
    try:
        with Path(path).open("rb") as file:
            yield getattr(kernels, kind)(daf.DAF(file))
    except (OSError, TypeError, ValueError, struct.error) as error:
        raise IlrsError(f"{path}: no kernel that can be read ({error})") from error
