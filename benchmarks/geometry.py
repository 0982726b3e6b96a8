"""The Sun above a station against skyfield, rotations of fast vectors against one constant matrix, time scales."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from skyfield.api import PlanetaryConstants, load, load_file

from ilrs_science import Site, geometry

EPOCHS = 100_000
SITE = Site("shackleton", lon=123.4, lat=-88.8, height=0.0, frame="MOON_ME")
START = 1_735_689_637_000_000_000


def cost(work: Callable[[], object], repeats: int = 5) -> float:
    """Return the least CPU seconds of several runs."""
    seconds = []
    for _ in range(repeats):
        began = time.process_time()
        work()
        seconds.append(time.process_time() - began)
    return min(seconds)


def sun() -> None:
    """100,000 apparent altitudes of the Sun, as users of skyfield get them."""
    moments = START + np.arange(EPOCHS) * 300 * 10**9
    folder = Path(next(iter(find_spec("lunarsky").submodule_search_locations)))
    constants = PlanetaryConstants()
    constants.read_text((folder / "data/fk/satellites/moon_080317.tf").open("rb"))
    constants.read_binary((folder / "data/pck/moon_pa_de421_1900-2050.bpc").open("rb"))
    constants.variables["BODY301_RADII"] = [1737.4] * 3
    frame = constants.build_frame_named("MOON_ME_DE421")
    planets = load_file(geometry.default_ephemeris().spk)
    place = planets["moon"] + constants.build_latlon_degrees(frame, SITE.lat, SITE.lon)
    times = load.timescale(builtin=True)

    def plain() -> object:
        when = times.tai_jd(2440587.5 + moments / 86400e9)
        return place.at(when).observe(planets["sun"]).apparent().altaz()

    ours = cost(lambda: geometry.altaz("sun", SITE, moments, scale="tai"))
    theirs = cost(plain)
    tracemalloc.start()
    geometry.altaz("sun", SITE, moments, scale="tai")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(
        f"apparent Sun, {EPOCHS} epochs: {ours:.3f} s, {ours / theirs:.2f} of skyfield; {peak / EPOCHS:.0f} bytes each"
    )


def vectors() -> None:
    """Turn a day of 128 Hz vectors from MOON_ME to GSE and GSM, against one constant matrix."""
    count = 128 * 86400
    moments = START + np.arange(count) * 7_812_500
    field = np.random.default_rng(1).normal(size=(count, 3)).astype("f4")
    matrix = geometry.rotation("MOON_ME", "GSE", moments[:1], scale="tai")[0].astype("f4")
    floor = cost(lambda: field @ matrix.T, 3)
    for target in ("GSE", "GSM"):
        ours = cost(lambda target=target: geometry.transform(field, "MOON_ME", target, moments, scale="tai"), 3)
        print(f"{count} vectors to {target}: {count / ours / 1e6:.1f} million/s, {ours / floor:.1f} of one matrix")


def scales() -> None:
    """Convert a million times to other scales, against a pass that only adds a constant."""
    moments = START + np.arange(10**6) * 10**9
    floor = cost(lambda: moments + 37_000_000_000)
    for target in ("utc", "tdb", "tcb"):
        ours = cost(lambda target=target: geometry.convert(moments, "tai", target), 3)
        print(f"TAI to {target.upper()}: {ours:.3f} s a million, {ours / floor:.0f} of adding a constant")
    tdb = geometry.convert(moments, "tai", "tdb")
    ours = cost(lambda: geometry.convert(tdb, "tdb", "tcl"), 3)
    print(f"TDB to TCL: {ours:.3f} s a million, {ours / floor:.0f} of adding a constant")


if __name__ == "__main__":
    sun()
    vectors()
    scales()
