"""Passive seismic experiments of Apollo 11 to 16: long-period seismometers, and their tidal and temperature outputs.

Values are the 10-bit words on the tape. No response is applied: none is in the files. Times are the UTC on the tape.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ilrs_science import FormatError, Granule, Instrument, Product, Variable, set_flag
from ilrs_science.formats.alsep import FRAME_NS, Frames, read_tape
from ilrs_science.geometry.time import utc_to_tai

FULL_SCALE = 1023
"""Largest value of a word; it and 0 mean that the converter was at its end."""

QUANTISATION = 1 / np.sqrt(12)
"""Standard deviation of rounding to whole counts, count; the only part of the noise that is known."""

_OFFSETS = np.rint(np.arange(4) * FRAME_NS / 4).astype(np.int64)  # of the long-period samples in a frame, ns
_STATIONS = (11, 12, 14, 15, 16)  # Apollo 17 carried a gravimeter in place of the seismometer
_LONG_PERIOD = {
    "x": (9, 25, 41, 57),
    "y": (11, 27, 43, 59),
    "z": (13, 29, 45, 61),
}  # words, as in obspy.io.alsep.assign
_TIDAL = {
    "x": (35, 0),
    "y": (37, 0),
    "z": (35, 1),
    "temperature": (37, 1),
}  # word, and parity of the frames that have it


def read(granule: Granule) -> xr.Dataset:
    """Decode the long-period channels of a station: four samples a frame, evenly spaced from the time of the frame."""
    frames = _frames(granule)
    words = np.stack([frames.words[:, list(numbers)] for numbers in _LONG_PERIOD.values()], axis=-1)
    times = (utc_to_tai(frames.time)[:, None] + _OFFSETS).ravel()
    return _dataset(frames, times, words.reshape(-1, len(_LONG_PERIOD)), len(_OFFSETS))


def read_tidal(granule: Granule) -> xr.Dataset:
    """Decode the tidal channels and the temperature: one sample a frame, each channel in every other frame."""
    frames = _frames(granule)
    words = [np.where(frames.number % 2 == parity, frames.words[:, word], -1) for word, parity in _TIDAL.values()]
    return _dataset(frames, utc_to_tai(frames.time), np.stack(words, axis=-1), 1)


def index(granule: Granule) -> list[Granule]:
    """Return a granule for each station of a tape, of long-period samples."""
    return _granules(granule, _OFFSETS)


def index_tidal(granule: Granule) -> list[Granule]:
    """Return a granule for each station of a tape, of frames."""
    return _granules(granule, _OFFSETS[:1])


def flag_saturated(ds: xr.Dataset) -> xr.Dataset:
    """Flag words at either end of the converter, 0 and 1023; they also mean that a channel was off."""
    return set_flag(ds, "saturated", (ds.counts <= 0) | (ds.counts >= FULL_SCALE))


def add_uncertainty(ds: xr.Dataset, *, noise: float = float(QUANTISATION)) -> xr.Dataset:
    """State the uncertainty: quantisation alone, as nothing else is known of the noise of the instrument.

    Parameters
    ----------
    noise
        1 sigma of one sample, count.
    """
    return ds.assign(counts_uncertainty=xr.full_like(ds.counts, noise))


def _frames(granule: Granule) -> Frames:
    found = _stations(granule)
    chosen = [one for one in found if granule.site in ("", _site(one))]
    if len(chosen) != 1:
        raise FormatError(
            f"{granule.url}: holds {', '.join(map(_site, found))}; wanted {granule.site or 'one station'}"
        )
    return chosen[0]


def _stations(granule: Granule) -> list[Frames]:
    tape = read_tape(granule.read_bytes(), name=granule.url)
    found = [one for one in tape if one.station in _STATIONS]
    if not found:
        raise FormatError(f"{granule.url}: holds {', '.join(map(_site, tape))}, which has no seismometer")
    return found


def _granules(granule: Granule, offsets: NDArray[np.int64]) -> list[Granule]:
    granules = []
    for frames in _stations(granule):
        times = utc_to_tai(frames.time)
        start, stop = int(times.min()), int(times.max() + offsets[-1]) + 1
        count = (len(times) + sum(frames.rejected.values())) * len(offsets)
        granules.append(replace(granule, site=_site(frames), start=start, stop=stop, count=count))
    return granules


def _site(frames: Frames) -> str:
    return f"apollo-{frames.station}"


def _dataset(frames: Frames, times: NDArray[np.int64], words: NDArray[np.int16], samples: int) -> xr.Dataset:
    """Return words as samples along time and channel; -1, where the tape has none, as missing."""
    absent = words < 0
    counts = np.where(absent, np.float32(np.nan), words.astype("f4"))
    ds = xr.Dataset(
        {
            "counts": (("time", "channel"), counts, {"units": "count"}),
            "quality": (("time", "channel"), np.zeros(words.shape, np.uint32)),
        },
        {"tai": ("time", times)},
        {"site": _site(frames), "rejected": {reason: n * samples for reason, n in frames.rejected.items()}},
    )
    return set_flag(ds, "missing", xr.DataArray(absent, dims=("time", "channel")))


def _product(channels: Sequence[str], what: str) -> Product:
    about = f"{what}, 10-bit words on the tape (uncertainty: quantisation alone, no response is known)"
    counts = Variable("counts", ("time", "channel"), "f4", units="count", about=about)
    title = f"{what} of the Apollo passive seismic experiments; times are those on the tape"
    return Product(counts, about=title, attributes={"native_level": "tape"}, coordinates={"channel": channels})


# Matches pse.a12.10.91 and wtn.1.2, not wth.1.5, whose geophones are no seismometer.
_FILES = "[pw][st][en].*"

instrument = Instrument(
    name="apollo-pse",
    files=_FILES,
    read=read,
    index=index,
    steps=(flag_saturated, add_uncertainty),
    product=_product(tuple(_LONG_PERIOD), "long-period seismometers"),
    partners=("NASA",),
    about="long-period seismometers of Apollo 12 to 16, 6.625 Hz, raw counts",
)

tidal = Instrument(
    name="apollo-pse-tidal",
    files=_FILES,
    read=read_tidal,
    index=index_tidal,
    steps=(flag_saturated, add_uncertainty),
    product=_product(tuple(_TIDAL), "tidal outputs and temperature"),
    partners=("NASA",),
    about="tidal outputs and temperature of the Apollo seismometers, each in every other frame of 0.604 s, raw counts",
)
