"""Three-axis fluxgate magnetometers on the surface (simulated): packets of raw counts to nanotesla on TAI."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ilrs_science import FormatError, Granule, Instrument, Product, Reference, Variable, set_flag
from ilrs_science.formats.packets import apids, read_packets
from ilrs_science.simulate.magnetometer import CLOCK_EPOCH, PACKET, STATIONS, VECTORS, simulate
from ilrs_science.steps.correlate_clock import correlate_clock

FULL_SCALE = 32767
"""Counts at which the converter saturates."""

_SITES = {station.apid: station.name for station in STATIONS}


def read(granule: Granule) -> xr.Dataset:
    """Decode a file of packets; times are those of the station's own clock, taken for TAI."""
    records, rejected = read_packets(granule.read_bytes(), PACKET)
    sources = np.unique(apids(records))
    if len(sources) > 1 or int(sources[0]) not in _SITES:
        raise FormatError(
            f"packets of APIDs {', '.join(map(hex, sources))}; expected one of {', '.join(map(hex, _SITES))}"
        )
    start = records["seconds"].astype(np.int64) * 10**9 + records["fraction"].astype(np.int64) * 10**9 // 65536
    period = records["period_ms"].astype(np.int64) * 10**6
    clock = (start[:, None] + period[:, None] * np.arange(VECTORS)).ravel()
    counts = records["counts"].reshape(-1, 3).astype("f4")
    return xr.Dataset(
        {
            "counts": (("time", "axis"), counts, {"units": "count"}),
            "clock_counts": ("time", clock, {"units": "ns", "long_name": "station clock"}),
        },
        {"tai": ("time", CLOCK_EPOCH + clock)},
        {"site": _SITES[int(sources[0])], "rejected": {reason: n * VECTORS for reason, n in rejected.items()}},
    )


def flag_saturated(ds: xr.Dataset) -> xr.Dataset:
    """Flag vectors with a component at full scale."""
    return set_flag(ds, "saturated", (np.abs(ds.counts) >= FULL_SCALE).any("axis"))


def to_nanotesla(ds: xr.Dataset, *, matrix: Reference, noise: float = 0.05) -> xr.Dataset:
    """Apply the 3x3 calibration matrix and the offsets: B = M (counts - offset).

    Parameters
    ----------
    matrix
        `gain` (nT a count) and `offset` (counts).
    noise
        1 sigma of one component of one sample, nT.
    """
    gain = matrix["gain"].astype("f4")
    b = (
        xr.dot(gain, ds.counts - matrix["offset"].astype("f4"), dim="axis")
        .rename(axis_out="axis")
        .transpose("time", "axis")
    )
    return ds.assign(b=b, b_uncertainty=xr.full_like(b, noise))


B = Variable("b", ("time", "axis"), "f4", units="nT", about="magnetic field", attributes={"frame": "ENU"})
CLOCK = Variable(
    "time_uncertainty", ("time",), "f4", units="s", about="1 sigma of the station clock", uncertainty=False
)

instrument = Instrument(
    name="fluxgate",
    files="*.fgm",
    read=read,
    steps=(flag_saturated, correlate_clock, to_nanotesla),
    product=Product(
        B,
        CLOCK,
        quality=("time",),
        about="magnetic field at surface stations: x east, y north, z up",
        coordinates={"axis": ("x", "y", "z")},
    ),
    simulate=lambda folder: simulate(folder, hours=1, files_per_day=48),
    partners=("simulated",),
    about="three-axis fluxgate magnetometers at three surface sites (simulated)",
)
