"""A clock that runs by its temperature and its attitude: the toy whose steps ask for series."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ilrs_science import Duration, FormatError, Granule, Instrument, Product, Series, step
from ilrs_toys.clock import NUMBER, VALUE, to_units
from ilrs_toys.raw import read


def write(path: Path, times: Sequence[int], plate: Sequence[float], site: str = "", **more: Any) -> str:
    """Write a file of housekeeping: times, TAI ns, with temperatures; more columns, and `units`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"times": list(times), "plate": list(plate), "site": site} | more))
    return str(path)


def read_warmth(granule: Granule) -> xr.Dataset:
    """Decode a file of housekeeping."""
    try:
        found: dict[str, Any] = json.loads(granule.read_bytes())
    except ValueError as error:
        raise FormatError(f"no housekeeping: {error}") from error
    columns = {"plate": ("time", np.array(found["plate"], "f8"), {"units": found.get("units", "degC")})}
    if "angle" in found:
        columns["angle"] = ("time", np.array(found["angle"], "f8"), {"units": "deg", "period": 360})
    if "mode" in found:
        columns["mode"] = ("time", np.array(found["mode"], "i8"), {"units": "1"})
    if "quality" in found:
        columns["quality"] = ("time", np.array(found["quality"], "u4"), {})
    return xr.Dataset(columns, {"tai": ("time", np.array(found["times"], np.int64))}, {"site": found["site"]})


def by_temperature(ds: xr.Dataset, *, temperature: Series) -> xr.Dataset:
    """Multiply by the temperature of the plate."""
    return ds.assign(signal=ds.signal * temperature.at(ds, "plate"))


def by_any_temperature(ds: xr.Dataset, *, temperature: Series | None) -> xr.Dataset:
    """Multiply by the temperature of the plate, if it was measured at all."""
    return ds if temperature is None else by_temperature(ds, temperature=temperature)


def by_mode(ds: xr.Dataset, *, temperature: Series) -> xr.Dataset:
    """Multiply by the number of the mode."""
    return ds.assign(signal=ds.signal * temperature.at(ds, "mode"))


def by_angle(ds: xr.Dataset, *, temperature: Series) -> xr.Dataset:
    """Take the angle for the signal."""
    return ds.assign(signal=temperature.at(ds, "angle"))


def by_angle_on_a_line(ds: xr.Dataset, *, temperature: Series) -> xr.Dataset:
    """Do what nobody may."""
    return ds.assign(signal=temperature.at(ds, "angle", method="linear"))


@step(window="window")
def mean_by_temperature(ds: xr.Dataset, *, temperature: Series, window: Duration) -> xr.Dataset:
    """Make one row of a window: the mean of its signals, each multiplied by the temperature."""
    product = (ds.signal * temperature.at(ds, "plate")).values
    columns = {"signal": ("time", [product.mean()]), "counts": ("time", ds.counts.values[:1])}
    return xr.Dataset(columns | {"breaks": ("time", [False])}, {"tai": ("time", ds.tai.values.astype(np.int64)[:1])})


def by_clock(ds: xr.Dataset, *, clock: Series) -> xr.Dataset:
    """Add what another clock showed before."""
    return ds.assign(signal=ds.signal + clock.at(ds, "value", method="previous").sel(axis="up", drop=True))


instrument = Instrument(
    "toy-warm",
    files="*.tick",
    read=read,
    steps=(
        *(by_temperature, by_any_temperature, by_mode, by_angle, by_angle_on_a_line, mean_by_temperature, by_clock),
        to_units,
    ),
    product=Product(VALUE, NUMBER, quality=("time",), coordinates={"axis": ("up", "down")}),
    series={
        "temperature": Series(read_warmth, files="*.warm", limit="4 s", attributes={"plate": {"units": "degC"}}),
        "clock": Series(reads="toy-clock", limit="2 s"),
    },
)
