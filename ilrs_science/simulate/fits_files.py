"""Small FITS files of the kinds that instruments write, with known truth: frames, images, events, responses, spectra.

Written with astropy from the layouts of the standards: FITS 4.0; OGIP/92-007 (PHA), CAL/GEN/92-002 (ARF, RMF),
OGIP/94-003 (events); the e-Callisto files of the radio network. Nothing in them is a mission fact.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Truth = dict[str, Any]
_MJDREF = 50814
"""1998-01-01, where the clocks of the simulated events are zero."""


def write_frame(
    path: Path, *, shape: tuple[int, int] = (48, 64), date: str = "01-Mar-31 13:07:58.713", seed: int = 1
) -> Truth:
    """Write a camera frame of 16 bits without sign (BZERO 32768), dated as IDL does, and return `image` and `exposure`.

    Parameters
    ----------
    path
        Where to write.
    shape
        Rows and columns.
    date
        Text of DATE_OBS.
    seed
        Of the random numbers.
    """
    from astropy.io import fits  # noqa: PLC0415 - heavy

    image = np.random.default_rng(seed).integers(0, 65536, shape, dtype=np.uint16)
    hdu = fits.PrimaryHDU(image)
    hdu.header["DATE_OBS"] = date
    hdu.header["EXPTIME"] = 2.5
    hdu.header["TELESCOP"], hdu.header["INSTRUME"] = "LANDER", "CAMERA"
    hdu.header["BUNIT"] = "digits"
    hdu.header["COMMENT"] = "first line"
    hdu.header["COMMENT"] = "second line"
    hdu.writeto(path, overwrite=True)
    return {"image": image, "exposure": 2.5}


def write_images(path: Path, *, seed: int = 2) -> Truth:
    """Write two images in two HDUs, linear axes in `arcsecs`, and a table; return `images`, `x`, `y` and `times`."""
    from astropy.io import fits  # noqa: PLC0415 - heavy

    rng = np.random.default_rng(seed)
    images = rng.normal(0.6, 1.0, (2, 20, 30)).astype(np.float32)
    times = ["2031-05-01T13:07:58.713", "2031-05-01T13:08:16.962"]
    axes = {"CTYPE1": "solar_x", "CTYPE2": "solar_y", "CUNIT1": "arcsecs", "CUNIT2": "arcsecs"}
    place = {"CRPIX1": -5.5, "CRPIX2": 3.5, "CRVAL1": 0, "CRVAL2": 10.0, "CDELT1": 2.0, "CDELT2": 2.0}
    hdus: list[Any] = [fits.PrimaryHDU(images[0]), fits.ImageHDU(images[1])]
    for hdu, time in zip(hdus, times, strict=True):
        hdu.header.update({**axes, **place, "DATE-OBS": time, "EXPTIME": 2.0, "UNIT": "photons cm-2 s-1"})
    hdus[0].header.update({"TELESCOP": "ORBITER", "INSTRUME": "HXI"})
    parameters = fits.BinTableHDU.from_columns(
        [fits.Column("MASK", "5I", array=np.arange(5)[None]), fits.Column("NAME", "9A", array=["CLEAN"])],
        name="PARAMETERS",
    )
    fits.HDUList([*hdus, parameters]).writeto(path, overwrite=True)
    x, y = (np.arange(1, 31) + 5.5) * 2.0, 10.0 + (np.arange(1, 21) - 3.5) * 2.0
    return {"images": images, "x": x, "y": y, "times": times}


def write_compressed(path: Path, *, code: str = "RICE_1", shape: tuple[int, int] = (40, 50), seed: int = 3) -> Truth:
    """Write an image that is compressed in tiles, and return `image`: uint16, or int16 where the code is PLIO_1."""
    from astropy.io import fits  # noqa: PLC0415 - heavy

    rng = np.random.default_rng(seed)
    image = rng.poisson(300, shape).astype(np.int16 if code == "PLIO_1" else np.uint16)
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(image, compression_type=code)]).writeto(path, overwrite=True)
    return {"image": image}


def write_events(path: Path, *, count: int = 500, seed: int = 4) -> Truth:
    """Write an event list with its good times, and return `seconds` since 1998 in TT, `pi` and `good` (start, stop)."""
    from astropy.io import fits  # noqa: PLC0415 - heavy

    rng = np.random.default_rng(seed)
    seconds = 1.0e9 + np.sort(rng.uniform(0, 1000, count))
    pi = rng.integers(0, 1024, count).astype(np.int32)
    clock = {"MJDREFI": _MJDREF, "MJDREFF": 0.0, "TIMESYS": "TT", "TIMEUNIT": "s", "TIMEZERO": 0.0}
    source = {"TELESCOP": "LANDER", "INSTRUME": "XMON", "HDUCLASS": "OGIP"}
    columns = [
        fits.Column("TIME", "D", unit="s", array=seconds),
        fits.Column("PI", "J", unit="chan", array=pi),
        fits.Column("X", "I", bzero=32768, array=rng.integers(0, 65536, count).astype(np.uint16)),
    ]
    events = fits.BinTableHDU.from_columns(columns, name="EVENTS")
    events.header.update({**clock, **source, "HDUCLAS1": "EVENTS", "TSTART": 1.0e9, "TSTOP": 1.0e9 + 1000})
    good = np.array([[1.0e9, 1.0e9 + 400.25], [1.0e9 + 500.5, 1.0e9 + 1000]])
    limits = [fits.Column(name, "D", unit="s", array=good[:, n]) for n, name in enumerate(("START", "STOP"))]
    times = fits.BinTableHDU.from_columns(limits, name="GTI")
    times.header.update({**clock, **source, "HDUCLAS1": "GTI"})
    fits.HDUList([fits.PrimaryHDU(), events, times]).writeto(path, overwrite=True)
    return {"seconds": seconds, "pi": pi, "x": columns[2].array, "good": good}


def write_area(path: Path, *, bins: int = 60) -> Truth:
    """Write an effective area (ARF), and return `energies` (edges, keV) and `area` (cm2)."""
    from astropy.io import fits  # noqa: PLC0415 - heavy

    energies = np.linspace(0.2, 10.0, bins + 1).astype(np.float32)
    area = (30.0 * np.exp(-(((energies[:-1] - 1.5) / 2.0) ** 2))).astype(np.float32)
    hdu = fits.BinTableHDU.from_columns(
        [
            fits.Column("ENERG_LO", "E", unit="keV", array=energies[:-1]),
            fits.Column("ENERG_HI", "E", unit="keV", array=energies[1:]),
            fits.Column("SPECRESP", "E", unit="cm**2", array=area),
        ],
        name="SPECRESP",
    )
    hdu.header.update({"TELESCOP": "LANDER", "INSTRUME": "XMON", "HDUCLASS": "OGIP"})
    hdu.header.update({"HDUCLAS1": "RESPONSE", "HDUCLAS2": "SPECRESP"})
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path, overwrite=True)
    return {"energies": energies, "area": area}


def write_matrix(
    path: Path, *, shape: tuple[int, int] = (40, 64), first: int = 1, ragged: bool = True, name: str = "MATRIX"
) -> Truth:
    """Write a redistribution matrix (RMF) with up to two groups a row, and return `energies` and `matrix`, dense.

    Parameters
    ----------
    path
        Where to write.
    shape
        Energies and channels.
    first
        Number of the first channel, TLMIN of F_CHAN.
    ragged
        Whether groups and elements are arrays of any length, else vectors that are filled up with zeros.
    name
        EXTNAME.
    """
    from astropy.io import fits  # noqa: PLC0415 - heavy

    bins, channels = shape
    energies = np.linspace(0.2, 10.0, bins + 1).astype(np.float32)
    peak = np.linspace(8, channels - 4, bins)[:, None]
    numbers = np.arange(channels)[None]
    matrix = np.exp(-(((numbers - peak) / 2.0) ** 2)) + 0.1 * np.exp(-(((numbers - peak / 3) / 1.5) ** 2))
    matrix = np.where(matrix > 1e-3, matrix, 0.0)  # noqa: PLR2004 - what is below is not stored
    matrix[3] = 0.0
    matrix = (matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1.0)).astype(np.float32)
    groups = [_groups(row) for row in matrix]
    starts = [np.array([first + begin for begin, _ in row], np.int16) for row in groups]
    widths = [np.array([end - begin for begin, end in row], np.int16) for row in groups]
    elements = [row[row > 0] for row in matrix]
    columns = [
        fits.Column("ENERG_LO", "E", unit="keV", array=energies[:-1]),
        fits.Column("ENERG_HI", "E", unit="keV", array=energies[1:]),
        fits.Column("N_GRP", "I", array=np.array([len(row) for row in groups], np.int16)),
        _column("F_CHAN", "I", starts, ragged),
        _column("N_CHAN", "I", widths, ragged),
        _column("MATRIX", "E", elements, ragged),
    ]
    response = fits.BinTableHDU.from_columns(columns, name=name)
    response.header.update({"HDUCLASS": "OGIP", "HDUCLAS1": "RESPONSE", "HDUCLAS2": "RSP_MATRIX"})
    response.header.update({"DETCHANS": channels, "TLMIN4": first, "TLMAX4": first + channels - 1})
    edges = np.linspace(0.1, 11.0, channels + 1).astype(np.float32)
    bounds = fits.BinTableHDU.from_columns(
        [
            fits.Column("CHANNEL", "J", array=np.arange(first, first + channels)),
            fits.Column("E_MIN", "E", unit="keV", array=edges[:-1]),
            fits.Column("E_MAX", "E", unit="keV", array=edges[1:]),
        ],
        name="EBOUNDS",
    )
    bounds.header.update({"HDUCLASS": "OGIP", "HDUCLAS1": "RESPONSE", "HDUCLAS2": "EBOUNDS", "DETCHANS": channels})
    fits.HDUList([fits.PrimaryHDU(), response, bounds]).writeto(path, overwrite=True)
    return {"energies": energies, "matrix": matrix, "edges": edges}


def write_spectrum(path: Path, *, channels: int = 64, first: int = 1, spectra: int = 0, seed: int = 5) -> Truth:
    """Write a spectrum (PHA) and its background, or several in rows (type II); return `counts` and `background`."""
    from astropy.io import fits  # noqa: PLC0415 - heavy

    rng = np.random.default_rng(seed)
    numbers = np.arange(first, first + channels)
    about = {"HDUCLASS": "OGIP", "HDUCLAS1": "SPECTRUM", "DETCHANS": channels, "EXPOSURE": 1234.5}
    if spectra:
        counts = rng.poisson(5, (spectra, channels)).astype(np.int16)
        columns = [
            fits.Column("SPEC_NUM", "I", array=np.arange(1, spectra + 1)),
            fits.Column("CHANNEL", f"{channels}I", array=np.tile(numbers, (spectra, 1))),
            fits.Column("COUNTS", f"{channels}I", unit="count", array=counts),
            fits.Column("EXPOSURE", "E", unit="s", array=rng.uniform(1, 9, spectra)),
        ]
        hdu = fits.BinTableHDU.from_columns(columns, name="SPECTRUM")
        hdu.header.update({**about, "HDUCLAS4": "TYPE:II"})
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path, overwrite=True)
        return {"counts": counts}
    hdus: list[Any] = [fits.PrimaryHDU()]
    source, background = (rng.poisson(mean, channels).astype(np.int32) for mean in (9, 2))
    for kind, values in (("TOTAL", source), ("BKG", background)):
        columns = [
            fits.Column("CHANNEL", "J", array=numbers),
            fits.Column("COUNTS", "J", unit="count", array=values),
        ]
        hdus.append(fits.BinTableHDU.from_columns(columns, name="SPECTRUM"))
        hdus[-1].header.update({**about, "HDUCLAS2": kind, "TLMIN1": first})
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return {"counts": source, "background": background}


def write_ecallisto(path: Path, *, axes: bool = True, seed: int = 6) -> Truth:
    """Write an e-Callisto dynamic spectrum of 20 channels and 240 times, and return `spectrum`, `frequency`, `start`.

    Parameters
    ----------
    path
        Where to write.
    axes
        Whether the table of axes follows, whose frequencies descend, are irregular and repeat.
    seed
        Of the random numbers.
    """
    from astropy.io import fits  # noqa: PLC0415 - heavy

    rng = np.random.default_rng(seed)
    spectrum = rng.integers(100, 200, (20, 240), dtype=np.uint8)
    frequency = 90.0 - np.round(np.cumsum(rng.choice([0.0, 0.6875, 2.0], 20)), 3)
    header = {
        "CONTENT": "2031/06/07  Radio flux density, e-CALLISTO (MOON)",
        "INSTRUME": "MOON",
        "TELESCOP": "Radio Spectrometer",
        "BUNIT": "digits",
        "DATE-OBS": "2031/06/07",
        "TIME-OBS": "06:24:00.213",
        "DATE-END": "2031/06/07",
        "TIME-END": "06:25:00",
        "CRVAL1": 23040.0,
        "CRPIX1": 0,
        "CTYPE1": "Time [UT]",
        "CDELT1": 0.25,
        "CRVAL2": 20.0,
        "CRPIX2": 0,
        "CTYPE2": "Frequency [MHz]",
        "CDELT2": -1.0,
        "OBS_LAT": 45.4,
        "OBS_LAC": "S",
        "OBS_LON": 177.6,
        "OBS_LOC": "E",
    }
    primary = fits.PrimaryHDU(spectrum)
    primary.header.update(header)
    hdus: list[Any] = [primary]
    if axes:
        columns = [
            fits.Column("TIME", "240D", array=np.arange(240)[None] * 0.25),
            fits.Column("FREQUENCY", "20D", array=frequency[None]),
        ]
        hdus.append(fits.BinTableHDU.from_columns(columns))
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return {"spectrum": spectrum, "frequency": frequency, "start": "2031-06-07T06:24:00.213Z", "step": 0.25}


def _groups(row: NDArray[np.float32]) -> list[tuple[int, int]]:
    """Return the first index of each run of values that are not zero, and the index after its last."""
    ends = np.flatnonzero(np.diff(np.concatenate([[0], row > 0, [0]]).astype(np.int8)))
    return [(int(begin), int(end)) for begin, end in ends.reshape(-1, 2)]


def _column(name: str, code: str, rows: list[NDArray[Any]], ragged: bool) -> Any:
    from astropy.io import fits  # noqa: PLC0415 - heavy

    if ragged:
        cells = np.empty(len(rows), object)
        cells[:] = rows
        return fits.Column(name, f"P{code}", array=cells)
    width = max(len(row) for row in rows)
    block = np.zeros((len(rows), width), rows[0].dtype)
    for row, values in zip(block, rows, strict=True):
        row[: len(values)] = values
    return fits.Column(name, f"{width}{code}", array=block)
