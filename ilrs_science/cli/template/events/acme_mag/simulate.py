"""A small campaign in the true raw format (OGIP event lists), with the truth known; for tests, and for `ilrs check acme-mag`."""

from pathlib import Path

import numpy as np
from astropy.io import fits

RATE = 30.0  # photons a second
SITES = ("shackleton", "malapert")
SPANS = ((0.0, 300.37), (300.37, 600.0))  # seconds; a file ends in the middle of a slot, as files do
GAP = (100.0, 110.5)  # seconds after the start of each file: the Earth is in the way


def photons(site: str) -> dict[str, np.ndarray]:
    """Return the photons of ten minutes: seconds after 2031-03-01T00:00:00 TT, channel, and pixel."""
    dice = np.random.default_rng(SITES.index(site))
    count = dice.poisson(RATE * 600)
    return {
        "TIME": np.sort(dice.uniform(0, 600, count)),
        "PI": dice.integers(35, 990, count),
        "DETX": dice.integers(0, 384, count),
        "DETY": dice.integers(0, 384, count),
    }


def good(start: float, stop: float) -> np.ndarray:
    """Return the good intervals of a file, seconds, shape (2, 2)."""
    return np.array([[start, start + GAP[0]], [start + GAP[1], stop]])


def simulate(folder: Path) -> list[Path]:
    """Write two event lists of each site below raw/."""
    files = []
    for site in SITES:
        every = photons(site)
        for part, (start, stop) in enumerate(SPANS):
            here = (every["TIME"] >= start) & (every["TIME"] < stop)
            path = folder / "raw" / site / f"{part:03d}.evt.fits"
            path.parent.mkdir(parents=True, exist_ok=True)
            kinds = {"TIME": ("D", "s"), "PI": ("J", "chan"), "DETX": ("I", "pixel"), "DETY": ("I", "pixel")}
            columns = [fits.Column(name, *kind, array=every[name][here]) for name, kind in kinds.items()]
            low, high = good(start, stop).T
            edges = [fits.Column("START", "D", "s", array=low), fits.Column("STOP", "D", "s", array=high)]
            tables = [fits.BinTableHDU.from_columns(columns, name="EVENTS"), fits.BinTableHDU.from_columns(edges, name="GTI")]
            for table in tables:
                table.header.update(TIMESYS="TT", TIMEUNIT="s", MJDREFI=62926, MJDREFF=0.0, TIMEZERO=0.0, TIMEREF="LOCAL")
                table.header.update(HDUCLASS="OGIP", HDUCLAS1=table.name, TSTART=start, TSTOP=stop)
            fits.HDUList([fits.PrimaryHDU(), *tables]).writeto(path, overwrite=True)
            files.append(path)
    return files
