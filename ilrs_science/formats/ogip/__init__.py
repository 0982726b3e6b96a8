"""OGIP files of X-ray astronomy (FITS): spectra, effective areas, redistribution matrices, good times and events.

Layouts: OGIP/92-007 (PHA), CAL/GEN/92-002 and 92-002a (ARF, RMF, EBOUNDS), OGIP/94-003 (event lists).
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import xarray as xr

from ilrs_science.errors import FormatError
from ilrs_science.formats.fits import FORMAT as FITS
from ilrs_science.formats.fits import described, gathered, part, with_attributes
from ilrs_science.formats.fits.cards import CARD
from ilrs_science.formats.fits.header import Hdu, frame
from ilrs_science.formats.fits.time import elapsed, reference, seconds_of
from ilrs_science.formats.foreign import foreign
from ilrs_science.formats.format import Format
from ilrs_science.formats.ogip.matrix import response
from ilrs_science.formats.opening import opens
from ilrs_science.geometry.labels import TAI
from ilrs_science.model.granule import Granule

_BY_CLASS = {
    "SPECTRUM": "spectrum",
    "SPECRESP": "area",
    "RSP_MATRIX": "matrix",
    "EBOUNDS": "bounds",
    "EVENTS": "events",
    "GTI": "good times",
}
_BY_NAME = {
    "SPECTRUM": "spectrum",
    "SPECRESP": "area",
    "MATRIX": "matrix",
    "SPECRESP MATRIX": "matrix",
    "RSP_MATRIX": "matrix",
    "EBOUNDS": "bounds",
    "EVENTS": "events",
    "GTI": "good times",
    "STDGTI": "good times",
}
_MAIN = ("spectrum", "events", "matrix", "area", "bounds", "good times")
"""What an index counts, the first of these that is there."""
_INT32 = 2**31
_ENERGIES = {"ENERG_LO": "energy_lo", "ENERG_HI": "energy_hi"}
_EVIDENCE = re.compile(rb"HDUCLAS[12]= '(?:SPECTRUM|RESPONSE|RSP_MATRIX|SPECRESP|EBOUNDS|EVENTS|GTI) *'")


@opens
def read_ogip(path: Path, *, dense: bool = False) -> xr.Dataset | xr.DataTree:
    """Return the spectra, responses, events and good times of an OGIP file.

    Parameters
    ----------
    path
        The file.
    dense
        Whether to unfold a matrix to the variable `matrix` of shape (energy, channel), float32.

    Returns
    -------
    A dataset where the file holds one table, else a tree by EXTNAME, a background spectrum (HDUCLAS2 BKG) as
    `BACKGROUND`. Names of columns are in lower case, but for those of events and of tables that OGIP does not define:

    - spectrum: `counts`, `rate` and so on along `channel`, and along `spectrum` in a file of type II.
    - effective area: `specresp` along `energy`, between `energy_lo` and `energy_hi`.
    - matrix: `matrix` along `element`, what is stored, energy by energy; `matrix_channel`, the channel of each;
      `row_start` along `energy_edge`, where an energy begins: data, columns (from the first channel) and pointers of
      compressed sparse rows. With `dense`, `matrix` along (`energy`, `channel`).
    - channel bounds: `e_min`, `e_max` along `channel`.
    - good times: `start`, `stop` along `row`, int64 TAI ns where MJDREF gives their zero.
    - events: along `time`, as `read_fits` gives them.

    Channels have the numbers of the file, from TLMIN.

    Raises
    ------
    FormatError
        The file is no FITS or is damaged; the groups of a matrix do not fit its elements or its channels.
    IlrsError
        A dense matrix would be far larger than the file.
    OSError
        There is no such file.
    """
    file = frame(path)
    held = file.held
    bounds = next((hdu for hdu in held if kind_of(hdu) == "bounds"), None)
    parts, names = [], []
    for hdu in held:
        kind, ds = kind_of(hdu), part(file, hdu)
        if kind == "matrix":
            ds = response(hdu, ds, part(file, bounds) if bounds else None, dense=dense)
        elif kind == "good times":
            ds = _good_times(hdu, ds)
        elif kind in ("spectrum", "area", "bounds"):
            ds = _curve(hdu, ds, "energy" if kind == "area" else "channel")
        parts.append(ds)
        background = kind == "spectrum" and hdu.cards.text("HDUCLAS2").upper() == "BKG"
        names.append("BACKGROUND" if background else hdu.name)
    return gathered(file, held, parts, names=names)


def index_ogip(path: Path) -> list[Granule]:
    """Return what an OGIP file holds: channels of a spectrum, events, or energies of a response.

    Raises
    ------
    FormatError
        As in `read_ogip`.
    OSError
        There is no such file.
    """
    file = frame(path)
    ordered = sorted(
        (hdu for hdu in file.held if kind_of(hdu) in _MAIN), key=lambda hdu: (_MAIN.index(kind_of(hdu)), hdu.number)
    )
    (one,) = described(file, "ogip", ordered[:1])
    return [one]


def kind_of(hdu: Hdu) -> str:
    """Return what an HDU holds, by its classes HDUCLAS1 and HDUCLAS2 or its name; nothing where OGIP has none."""
    if hdu.kind != "bintable":
        return ""
    for keyword in ("HDUCLAS1", "HDUCLAS2"):
        kind = _BY_CLASS.get(hdu.cards.text(keyword).upper())
        if kind:
            return kind
    return _BY_NAME.get(hdu.name.upper(), "")


def _recognises(head: bytes, path: Path) -> bool:
    cards = (head[start : start + CARD] for start in range(0, len(head) - CARD + 1, CARD))
    return FITS.recognises(head, path) and any(_EVIDENCE.match(card) for card in cards)


FORMAT = Format(
    "ogip", "OGIP spectra, responses and events (FITS)", "astropy", _recognises, read_ogip, index_ogip, refines="fits"
)


def _curve(hdu: Hdu, ds: xr.Dataset, along: str) -> xr.Dataset:
    """Return a spectrum, an area or bounds along channels or energies; rows of vectors are spectra of type II."""
    names = {str(name): _ENERGIES.get(str(name), str(name).lower()) for name in ds.data_vars}
    if len(set(names.values())) < len(names):
        raise FormatError(f"{hdu.where}: columns that differ only in case: {', '.join(names)}")
    vectors = _vectors(ds)
    renamed = {}
    for name, values in ds.data_vars.items():
        dims = values.dims
        if vectors:
            dims = ("spectrum", along) if str(name) in vectors else ("spectrum", *dims[1:])
        elif dims and dims[0] == "row":
            dims = (along, *dims[1:])
        renamed[names[str(name)]] = xr.Variable(dims, values.variable.data, values.attrs)
    numbers = renamed.pop("channel", None)
    with foreign(hdu.where, "OGIP"):
        found = xr.Dataset(renamed, attrs=ds.attrs)
    return found if numbers is None else _numbered(hdu, found, numbers)


def _vectors(ds: xr.Dataset) -> set[str]:
    """Return the columns whose cells are whole spectra; none where rows are channels."""
    widths = [ds[name].shape[1] for name in ("COUNTS", "RATE") if name in ds and ds[name].ndim == 2]  # noqa: PLR2004
    return {str(name) for name, one in ds.data_vars.items() if one.ndim == 2 and one.shape[1] in widths[:1]}  # noqa: PLR2004


def _numbered(hdu: Hdu, ds: xr.Dataset, numbers: xr.Variable) -> xr.Dataset:
    """Return a spectrum with the numbers of its channels, the same for all spectra of type II, as the coordinate."""
    values = numbers.to_numpy()
    if values.ndim == 2 and len(values) and (values == values[:1]).all():  # noqa: PLR2004 - a row for each spectrum
        values = values[0]
    if values.shape != (ds.sizes.get("channel", len(values)),) or values.dtype.kind not in "iuf":
        raise FormatError(
            f"{hdu.where}: CHANNEL of shape {values.shape} and type {values.dtype} does not number channels"
        )
    if values.dtype.kind == "f" and (values == np.floor(values)).all() and (np.abs(values) < _INT32).all():
        values = values.astype(np.int32)
    return ds.assign_coords(channel=("channel", values, numbers.attrs))


def _good_times(hdu: Hdu, ds: xr.Dataset) -> xr.Dataset:
    """Return good times in TAI where their zero is known; those without a limit are left out and counted."""
    names = {str(name).upper(): str(name) for name in ds.data_vars}
    limits = {limit: ds[names[limit]] for limit in ("START", "STOP") if limit in names}
    if len(limits) < 2 or any(one.dims != ("row",) or one.dtype.kind not in "iuf" for one in limits.values()):  # noqa: PLR2004
        return with_attributes(ds, {}, ["good times without columns START and STOP"])
    ds = ds.rename_vars({one.name: limit.lower() for limit, one in limits.items()})
    units = {str(ds[limit].attrs.get("units", ds[limit].attrs.get("native_units", ""))) for limit in ("start", "stop")}
    unit = units.pop()
    if units or reference(hdu.cards) is None or seconds_of(hdu.cards, unit) is None:
        return with_attributes(ds, {}, ["good times without a known zero or unit, left as numbers"])
    good = np.ones(ds.sizes["row"], bool)
    for limit in ("start", "stop"):
        moments, known = elapsed(hdu.cards, ds[limit].to_numpy(), unit)
        ds[limit] = xr.Variable("row", moments, {**TAI, "long_name": f"{limit} of good time (time_scale: TAI)"})
        good &= known
    return ds if good.all() else ds.isel(row=good).assign_attrs(rejected={"no time": int((~good).sum())})
