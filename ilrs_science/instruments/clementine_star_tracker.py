"""Clementine B star tracker in lunar orbit: PDS3 frames to sky brightness in counts a second.

The camera has no shutter: while a frame is shifted out, every pixel goes on collecting light. The method is that of
Hahn et al. (2002), Icarus 158, 360. All steps work on each frame alone, and each may be left out of a pipeline.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from ilrs_science import (
    Duration,
    FormatError,
    Granule,
    IlrsError,
    Instrument,
    Product,
    Reference,
    Variable,
    set_flag,
)
from ilrs_science.formats.pds3 import Label, Quantity, read_image
from ilrs_science.geometry import parse_utc
from ilrs_science.simulate.frame_transfer import simulate

ROWS, COLUMNS = 576, 384

QUANTISATION = 1 / np.sqrt(12)
"""Standard deviation of rounding to whole counts, count."""


def read(granule: Granule) -> xr.Dataset:
    """Decode a frame: `signal` in counts with the bottom row first, at the start of its exposure; `exposure` in s."""
    image, label = read_image(granule.read_bytes(), name=granule.url)
    camera = label.get("INSTRUMENT_ID")
    if camera != "B-STAR":
        raise FormatError(f"{granule.url}: INSTRUMENT_ID is {camera!r}; expected 'B-STAR'")
    if image.shape != (ROWS, COLUMNS) or image.dtype != np.uint8:
        raise FormatError(f"{granule.url}: {image.shape} pixels of {image.dtype}; expected {(ROWS, COLUMNS)} of uint8")
    checksum, found = label["IMAGE"].get("CHECKSUM"), int(image.sum(dtype=np.int64))
    if isinstance(checksum, int) and checksum != found:
        raise FormatError(f"{granule.url}: its pixels add up to {found}, its label says CHECKSUM = {checksum}")
    signal = image[::-1].astype("f4")[None]
    return xr.Dataset(
        {
            "signal": (("time", "y", "x"), signal, {"units": "count"}),
            "exposure": ("time", [_exposure(label, granule.url)], {"units": "s"}),
        },
        {"tai": ("time", [_start(label, granule.url)])},
        {"site": "clementine"},
    )


def flag_saturation(ds: xr.Dataset, *, level: float = 255.0) -> xr.Dataset:
    """Flag saturated pixels, and the rows and columns they lie in, where charge spills and de-smearing goes wrong.

    Parameters
    ----------
    level
        Counts at which the converter saturates.
    """
    saturated = ds.signal >= level
    ds = set_flag(ds, "saturated", saturated)
    return set_flag(ds, "saturation_trail", saturated.any("y") | saturated.any("x"))


def desmear(ds: xr.Dataset, *, row_time: Duration = Duration("94.4 us")) -> xr.Dataset:  # noqa: B008 - immutable
    """Take out the light that each pixel collected from its whole column while the frame was shifted out.

    T = (I - e S) / (1 - e) with S = sum(I) / (1 - e + N e) over the N rows of a column and e = row_time / exposure,
    which inverts I = (1 - e) T + e sum(T). A level that was added after the shift comes out as level / (1 - e + N e),
    the same in all pixels, so that the dark level has to be taken from the de-smeared frame.

    Parameters
    ----------
    row_time
        Time in which a row moves to the next one; 94.4 us reproduces the published product.
    """
    share = (row_time.seconds / ds.exposure).astype("f4")
    column = ds.signal.sum("y") / (1 - share + ds.sizes["y"] * share)
    signal = ((ds.signal - share * column) / (1 - share)).transpose(*ds.signal.dims)
    return ds.assign(signal=signal.assign_attrs(ds.signal.attrs))


def subtract_dark(
    ds: xr.Dataset, *, rows: tuple[int, int] = (546, 566), columns: tuple[int, int] = (10, 30)
) -> xr.Dataset:
    """Subtract the median of a corner that the baffle keeps dark, and keep its standard deviation as `noise`, count.

    Parameters
    ----------
    rows, columns
        First and last of the corner, counted from the bottom left from 0.
    """
    corner = ds.signal.isel(y=slice(rows[0], rows[1] + 1), x=slice(columns[0], columns[1] + 1))
    signal = (ds.signal - corner.median(("y", "x"))).astype("f4")
    return ds.assign(signal=signal.assign_attrs(ds.signal.attrs), noise=corner.std(("y", "x"), ddof=1))


def flag_moon(ds: xr.Dataset, *, limb: Reference | None = None, margin: float = 3.0) -> xr.Dataset:
    """Flag the Moon; a frame whose limb is not known is flagged `no_reference` as a whole.

    Parameters
    ----------
    limb
        `xc`, `yc` (column and row of the centre, counted from the bottom left) and `radius`, pixels, along `time`, and
        `tai` (int64 ns, start of the exposure).
    margin
        How far beyond the limb, pixels.
    """
    entries = {} if limb is None else {int(time): number for number, time in enumerate(limb["tai"].values)}
    chosen = np.array([entries.get(int(time), -1) for time in ds.tai.values.astype(np.int64)], np.intp)
    known = xr.DataArray(chosen >= 0, dims="time")
    ds = set_flag(ds, "no_reference", ~known)
    if limb is None or not known.any():
        return ds
    # Frames without an entry take some other circle, which is then not used.
    column, row, radius = (xr.DataArray(limb[name].values[chosen], dims="time") for name in ("xc", "yc", "radius"))
    y, x = (xr.DataArray(np.arange(ds.sizes[name]), dims=name) for name in ("y", "x"))
    inside = (x - column) ** 2 + (y - row) ** 2 <= (radius + margin) ** 2
    return set_flag(ds, "moon", inside & known)


def to_rate(ds: xr.Dataset, *, flat: Reference | None = None) -> xr.Dataset:
    """Divide by the exposure, and by the flat field where there is one.

    The uncertainty is that of one pixel of the dark corner, which holds read noise and quantisation (at least
    1/sqrt(12) count), and is unknown where no dark was subtracted. Shot noise is not in it: the gain of the camera is
    not known.

    Parameters
    ----------
    flat
        `flat` (y, x), relative response, bottom row first. Where it is not positive, pixels are flagged `bad_detector`.
    """
    scale = 1 / ds.exposure
    if flat is not None:
        response = flat["flat"].where(flat["flat"] > 0)
        scale = scale / response
        ds = set_flag(ds, "bad_detector", response.isnull())
    noise = np.maximum(ds["noise"], QUANTISATION) if "noise" in ds else xr.full_like(ds.exposure, np.nan)
    rate = (ds.signal * scale).transpose("time", "y", "x").astype("f4")
    uncertainty = (noise * scale).astype("f4").broadcast_like(rate).transpose("time", "y", "x")
    return ds.assign(rate=rate, rate_uncertainty=uncertainty)


def _exposure(label: Label, name: str) -> float:
    duration = label.get("EXPOSURE_DURATION")
    if (
        not isinstance(duration, Quantity)
        or duration.unit.lower() != "ms"
        or not isinstance(duration.value, int | float)
    ):
        raise FormatError(f"{name}: EXPOSURE_DURATION is {duration!r}; expected a number of <ms>")
    if not 0 < duration.value < np.inf:
        raise FormatError(f"{name}: EXPOSURE_DURATION is {duration.value} ms; expected more than zero")
    return float(duration.value) / 1000


def _start(label: Label, name: str) -> int:
    try:
        return parse_utc(str(label.get("START_TIME")))
    except IlrsError as error:
        raise FormatError(f"{name}: START_TIME: {error}") from error


RATE = Variable(
    "rate",
    ("time", "y", "x"),
    "f4",
    units="count / s",
    about="brightness of the sky (the uncertainty holds read noise and quantisation, no shot noise: gain unknown)",
)
EXPOSURE = Variable("exposure", ("time",), "f8", units="s", about="length of the exposure", coordinate=True)

instrument = Instrument(
    name="clementine-star-tracker",
    files="lba*.[0-9][0-9][0-9]",
    read=read,
    steps=(flag_saturation, desmear, subtract_dark, flag_moon, to_rate),
    product=Product(
        RATE,
        EXPOSURE,
        exposures=True,
        flags=("saturation_trail", "moon"),
        about="sky around the Moon seen by the Clementine B star tracker; time is the start of the exposure",
        attributes={"native_level": "EDR"},
        coordinates={"y": ROWS, "x": COLUMNS},
    ),
    simulate=simulate,
    partners=("NASA",),
    about="star tracker camera of Clementine in lunar orbit: horizon glow and zodiacal light (1994)",
)
