"""Dynamic spectra of the e-Callisto network of solar radio spectrometers (FITS: an image and a table of its axes)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ilrs_science.errors import FormatError
from ilrs_science.formats.fits import FORMAT as FITS
from ilrs_science.formats.fits import gathered, part
from ilrs_science.formats.fits.cards import CARD, Cards
from ilrs_science.formats.fits.header import Frame, Hdu, frame
from ilrs_science.formats.fits.time import observed
from ilrs_science.formats.format import Format, granule
from ilrs_science.formats.opening import opens
from ilrs_science.geometry.labels import TAI
from ilrs_science.geometry.time import SECOND
from ilrs_science.model.granule import Granule

_EVIDENCE = re.compile(rb"CONTENT = '[^']*CALLISTO", re.IGNORECASE)
_NAME = "e-CALLISTO"
_LONGEST_STEP = 1e5
"""s."""


@opens
def read_ecallisto(path: Path) -> xr.Dataset:
    """Return a dynamic spectrum.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    `spectrum` with dimensions (frequency, time), uint8 as measured, and its coordinates: `frequency`, MHz, in the order
    of the file, which may be irregular and repeat values; `time`, int64 TAI ns, from DATE-OBS and TIME-OBS in steps of
    CDELT1. Frequencies are those of the table that follows the image; without one, those of the header, and `repaired`
    says so. `caution` names what the header says and nothing here proves: the side of the meridian.

    Raises
    ------
    FormatError
        The file is no FITS of this kind or is damaged, its axes do not fit, or it tells no time.
    OSError
        There is no such file.
    """
    file, hdu = _opened(path)
    ds = part(file, hdu)
    notes = list(ds.attrs.get("repaired", []))
    frequencies, said = _frequencies(file, hdu)
    times = _times(hdu)
    place = " ".join(str(hdu.cards.get(key, "?")) for key in ("OBS_LON", "OBS_LOC"))
    attributes = {
        **ds.attrs,
        "caution": [f"longitude {place} as the header has it; east and west are confused in files of some stations"],
    }
    attributes.pop("repaired", None)
    if notes + said:
        attributes["repaired"] = notes + said
    values = ds["image"].variable
    found = xr.Dataset(
        {"spectrum": (("frequency", "time"), values.data, values.attrs)},
        {"frequency": ("frequency", frequencies, {"units": "MHz"}), "time": ("time", times, TAI)},
        attributes,
    )
    whole = gathered(file, [hdu], [found])
    if not isinstance(whole, xr.Dataset):
        raise FormatError(f"{path}: several spectra")
    return whole


def index_ecallisto(path: Path) -> list[Granule]:
    """Return what an e-Callisto file holds: its spectra along time, at the station that INSTRUME names.

    Raises
    ------
    FormatError
        As in `read_ecallisto`.
    OSError
        There is no such file.
    """
    _, hdu = _opened(path)
    start, step = _start(hdu)
    count = hdu.shape[1]
    span = (start, start + round((count - 1) * step * SECOND))
    return [granule(path, "ecallisto", count=count, span=span, instrument=_NAME, site=hdu.cards.text("INSTRUME"))]


def _recognises(head: bytes, path: Path) -> bool:
    cards = (head[start : start + CARD] for start in range(0, len(head) - CARD + 1, CARD))
    return FITS.recognises(head, path) and any(_EVIDENCE.match(card) for card in cards)


FORMAT = Format(
    "ecallisto", "e-Callisto dynamic spectra (FITS)", "astropy", _recognises, read_ecallisto, index_ecallisto, "fits"
)


def _opened(path: Path) -> tuple[Frame, Hdu]:
    file = frame(path)
    hdu = file.hdus[0]
    if hdu.kind != "image" or len(hdu.shape) != 2:  # noqa: PLR2004 - frequency and time
        raise FormatError(f"{path}: its first HDU is no image of two axes, frequency and time")
    return file, hdu


def _start(hdu: Hdu) -> tuple[int, float]:
    """Return the time of the first spectrum, TAI ns, and the step to the next one, s."""
    times, step = observed(hdu.cards), hdu.cards.number("CDELT1")
    if times.start is None:
        raise FormatError(f"{hdu.where}: no time of its first spectrum: {'; '.join(times.notes) or 'no DATE-OBS'}")
    if step is None or not 0 < step < _LONGEST_STEP:
        raise FormatError(f"{hdu.where}: CDELT1 is {step!r}; it must be the seconds between two spectra")
    return times.start, float(step)


def _times(hdu: Hdu) -> NDArray[np.int64]:
    start, step = _start(hdu)
    return start + np.rint(np.arange(hdu.shape[1]) * (step * SECOND)).astype(np.int64)


def _frequencies(file: Frame, hdu: Hdu) -> tuple[NDArray[Any], list[str]]:
    """Return the frequency of each channel, MHz, and a note where the table of axes is missing or does not fit."""
    count = hdu.shape[0]
    tables = [one for one in file.held if one.kind == "bintable"]
    if tables:
        axes = part(file, tables[0])
        if "FREQUENCY" in axes and axes["FREQUENCY"].size == count and axes["FREQUENCY"].dtype.kind in "iuf":
            return axes["FREQUENCY"].to_numpy().reshape(count), _agreement(hdu, axes)
        reason = f"the table of axes has no FREQUENCY of {count} values"
    else:
        reason = "no table of axes"
    first, step = hdu.cards.number("CRVAL2"), hdu.cards.number("CDELT2")
    if first is None or step is None:
        raise FormatError(f"{hdu.where}: {reason}, and no CRVAL2 and CDELT2")
    return _linear(hdu.cards, count), [f"{reason}: frequencies are CRVAL2 + n CDELT2 of the header, often untrue"]


def _linear(cards: Cards, count: int) -> NDArray[np.float64]:
    """Return the axis of the header; its reference pixel 0 is the first one, against the standard."""
    first, step = cards.number("CRVAL2") or 0.0, cards.number("CDELT2") or 0.0
    return first + step * np.arange(count, dtype=np.float64)


def _agreement(hdu: Hdu, axes: xr.Dataset) -> list[str]:
    """Return a note where the times of the table are not those of the header."""
    step = _start(hdu)[1]
    seconds = axes["TIME"].to_numpy().ravel() if "TIME" in axes else np.zeros(0)
    regular = np.arange(hdu.shape[1]) * step
    if seconds.size != len(regular) or seconds.dtype.kind not in "iuf":
        return []
    apart = np.abs(seconds - seconds[0] - regular).max()
    return (
        [] if apart <= step / 2 else [f"TIME of the table of axes is up to {apart:.3g} s from CDELT1, which is taken"]
    )
