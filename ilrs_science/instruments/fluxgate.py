"""Three-axis fluxgate magnetometers on the surface (simulated): packets of raw counts to nanotesla on TAI."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ilrs_science import Duration, FormatError, Granule, Instrument, Product, Reference, Variable, set_flag, step
from ilrs_science.formats.packets import apids, read_packets
from ilrs_science.simulate.magnetometer import CLOCK_EPOCH, PACKET, STATIONS, VECTORS, simulate

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
    times = (CLOCK_EPOCH + start)[:, None] + period[:, None] * np.arange(VECTORS)
    counts = records["counts"].reshape(-1, 3).astype("f4")
    return xr.Dataset(
        {"counts": (("time", "axis"), counts, {"units": "count"})},
        {"time": times.ravel()},
        {"site": _SITES[int(sources[0])], "rejected": {reason: n * VECTORS for reason, n in rejected.items()}},
    )


def flag_saturated(ds: xr.Dataset) -> xr.Dataset:
    """Flag vectors with a component at full scale."""
    return set_flag(ds, "saturated", (np.abs(ds.counts) >= FULL_SCALE).any("axis"))


@step(margin="limit")
def correct_clock(
    ds: xr.Dataset,
    *,
    clock: Reference,
    limit: Duration = Duration("2 s"),  # noqa: ARG001, B008 - read by the plan; immutable
    tolerance: float = 1e-3,
) -> xr.Dataset:
    """Turn station time into TAI: t = s - offset - drift (s - epoch).

    Parameters
    ----------
    clock
        `epoch` (TAI ns), `offset` (ns), `drift` (1) and `sigma` (s) of the station's clock.
    limit
        How far a clock may be off.
    tolerance
        1 sigma of the clock, s, beyond which samples are flagged `clock_uncertain`.
    """
    since = ds.time.values - int(clock["epoch"])
    shift = int(clock["offset"]) + np.rint(since * float(clock["drift"])).astype(np.int64)
    uncertain = xr.full_like(ds.time, float(clock["sigma"]) > tolerance, dtype=bool)
    return set_flag(ds, "clock_uncertain", uncertain).assign_coords(
        time=("time", ds.time.values - shift, ds.time.attrs)
    )


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


B = Variable("b", ("time", "axis"), "f4", units="nT", about="magnetic field in the sensor frame")

instrument = Instrument(
    name="fluxgate",
    files="*.fgm",
    read=read,
    steps=(flag_saturated, correct_clock, to_nanotesla),
    product=Product(B, quality=("time",), about="magnetic field at surface stations", axis=("x", "y", "z")),
    simulate=lambda folder: simulate(folder, hours=1, files_per_day=48),
    partners=("simulated",),
    about="three-axis fluxgate magnetometers at three surface sites (simulated)",
)
