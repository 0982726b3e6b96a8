"""Fluxgate magnetometers of the four Cluster spacecraft: CSA files of calibrated vectors, onto one time axis.

The spacecraft spin at slightly different rates, so that their vectors never share a grid. Each vector goes into the
slot of its time, which is kept exactly in `time_offset`.
"""

from __future__ import annotations

import re

import numpy as np
import xarray as xr

from ilrs_science import FormatError, Granule, Instrument, Product, Variable, set_flag
from ilrs_science.formats.cdf import read_cdf

_NAME = re.compile(r"(C[1-4])_CP_FGM_[A-Z0-9]+")


def read(granule: Granule) -> xr.Dataset:
    """Decode a file of one spacecraft: field and position in GSE at the middle of each averaging interval."""
    match = _NAME.match(granule.url.rsplit("/", 1)[-1])
    if match is None:
        raise FormatError(f"{granule.url}: its name does not begin with C1_CP_FGM_ or such; no dataset known")
    field, position = (f"{name}__{match[0]}" for name in ("B_vec_xyz_gse", "sc_pos_xyz_gse"))
    with granule.local() as path:
        found = read_cdf(path, variables=(field, position))
    for name, units in ((field, "nT"), (position, "km")):
        if found[name].ndim != 2 or found[name].shape[1] != 3 or found[name].attrs.get("UNITS") != units:  # noqa: PLR2004
            shape, given = found[name].shape, found[name].attrs.get("UNITS")
            raise FormatError(
                f"{granule.url}: {name} has shape {shape}, unit {given!r}; expected 3 components in {units}"
            )
    b = xr.DataArray(found[field].values.astype("f4"), dims=("time", "axis"), attrs={"units": "nT"})
    km = xr.DataArray(found[position].values.astype("f8"), dims=("time", "axis"), attrs={"units": "km"})
    ds = xr.Dataset(
        {"b": b, "position": km, "quality": ("time", np.zeros(len(b), np.uint32))},
        {"tai": ("time", found["tai"].values)},
        {"site": match[1], "rejected": found.attrs["rejected"]},
    )
    return set_flag(ds, "missing", b.isnull().any("axis"))


def add_uncertainty(ds: xr.Dataset, *, noise: float | None = None) -> xr.Dataset:
    """State the uncertainty of the field.

    Parameters
    ----------
    noise
        1 sigma of one component of one vector, nT. The files give none, so that by default it is not a number.
    """
    return ds.assign(b_uncertainty=xr.full_like(ds.b, np.nan if noise is None else noise))


B = Variable(
    "b",
    ("time", "axis"),
    "f4",
    units="nT",
    about="magnetic field in GSE (uncertainty: NaN unless the pipeline states it)",
    attributes={"frame": "GSE"},
)
POSITION = Variable(
    "position",
    ("time", "axis"),
    "f8",
    units="km",
    about="position in GSE, from the Earth",
    coordinate=True,
    attributes={"frame": "GSE", "origin": "earth"},
)

instrument = Instrument(
    name="cluster-fgm",
    files="C[1-4]_CP_FGM_*.cdf",
    read=read,
    steps=(add_uncertainty,),
    product=Product(
        B,
        POSITION,
        quality=("time",),
        about="magnetic field at the four Cluster spacecraft",
        attributes={"native_level": "CSA calibrated"},
        coordinates={"axis": ("x", "y", "z")},
    ),
    partners=("ESA",),
    about="fluxgate magnetometers of Cluster 1 to 4, spin resolution, GSE",
)
