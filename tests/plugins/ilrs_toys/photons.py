"""A counter of photons with two modules: the toy whose samples are events."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ilrs_science import (
    FormatError,
    Granule,
    Instrument,
    Product,
    Reference,
    exclude,
    reject,
    scale_live_time,
    set_flag,
    step,
)

EDGES = [0.0, 10.0, 20.0, 40.0]
"""Of the bins of energy, keV."""
MODULES = 2


def write(path: Path, site: str, good: Sequence[Sequence[int]], photons: Sequence[Sequence[float]]) -> str:
    """Write a file: intervals of start, stop, module; photons of time, energy, module. Times are TAI ns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps({"site": site, "good": [list(one) for one in good], "photons": [list(p) for p in photons]})
    )
    return str(path)


def read(granule: Granule) -> xr.Dataset:
    """Decode a file of photons."""
    try:
        found: dict[str, Any] = json.loads(granule.read_bytes())
        good, photons = np.array(found["good"], np.int64).reshape(-1, 3), found["photons"]
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(f"not a file of photons: {error}") from error
    times = np.array([one[0] for one in photons], np.int64)
    return xr.Dataset(
        {
            "energy": ("time", np.array([one[1] for one in photons], "f8"), {"units": "keV"}),
            "module": ("time", np.array([one[2] for one in photons], "i8"), {"units": "1"}),
        },
        {"tai": ("time", times)},
        {"site": found["site"], "good": {"start": good[:, 0], "stop": good[:, 1], "module": good[:, 2]}},
    )


def read_whole(granule: Granule) -> xr.Dataset:
    """Decode the same without modules: good intervals are pairs of times."""
    ds = read(granule)
    good = ds.attrs["good"]
    return ds.assign_attrs(good=np.stack([good["start"], good["stop"]], axis=-1))


def read_cells(granule: Granule) -> xr.Dataset:
    """Decode the same with good intervals for each bin of energy, too."""
    ds = read(granule)
    good = ds.attrs["good"]
    bins = len(EDGES) - 1
    each = {name: np.repeat(one, bins) for name, one in good.items()}
    return ds.assign_attrs(good=each | {"energy": np.tile(np.arange(bins), len(good["start"]))})


def to_bins(ds: xr.Dataset) -> xr.Dataset:
    """Sort photons into bins of energy."""
    return ds.assign(energy_bin=("time", np.digitize(ds.energy.values, EDGES) - 1))


def stretch(ds: xr.Dataset, *, gain: Reference) -> xr.Dataset:
    """Multiply energies by the gain that is valid at each time."""
    return ds.assign(energy=ds.energy * float(gain["gain"]))


def close_door(ds: xr.Dataset, *, start: int, stop: int) -> xr.Dataset:
    """Leave a time out."""
    return exclude(ds, [start], [stop], "the door was closed")


def dead_time(ds: xr.Dataset, *, live: float, start: int, stop: int) -> xr.Dataset:
    """Say how much of a time was live."""
    return scale_live_time(ds, live, start, stop)


def veto(ds: xr.Dataset, *, above: float) -> xr.Dataset:
    """Reject photons of too much energy, and flag those near it."""
    return set_flag(reject(ds, "vetoed", ds.energy > above), "saturated", ds.energy > above - 1)


def live_by_reference(ds: xr.Dataset, *, gain: Reference) -> xr.Dataset:
    """Take the gain for the live fraction."""
    return scale_live_time(ds, float(gain["gain"]))


@step(group="turn", limit="1 s")
def recombine(ds: xr.Dataset) -> xr.Dataset:
    """Make one photon of all that came in one turn of a second: at the first of them, with the sum of their energy."""
    return ds.isel(time=[0]).assign(energy=("time", [ds.energy.values.sum()]))


def turns(ds: xr.Dataset) -> xr.Dataset:
    """Number the turns of a second."""
    return ds.assign(turn=("time", ds.tai.values.astype(np.int64) // 10**9))


def hurts(ds: xr.Dataset) -> xr.Dataset:
    ds.attrs["good"]["live"].values[:] *= 0.5
    return ds


def flag_bare(ds: xr.Dataset) -> xr.Dataset:
    """Flag photons of more than 10 keV, as one may who knows the bits and not `set_flag`."""
    return ds.assign(quality=("time", (ds.energy.values > 10).astype("u4") << 16))


def unweighed(ds: xr.Dataset) -> xr.Dataset:
    """Take the weight of photons of less than 10 keV, and reject them for it."""
    soft = ds.energy < 10
    return reject(ds.assign(energy=ds.energy.where(~soft)), "no weight", soft)


def forgets(ds: xr.Dataset) -> xr.Dataset:
    return ds.drop_attrs()


def halves(ds: xr.Dataset) -> xr.Dataset:
    return ds.assign(energy_bin=ds.energy / 10)


def product(**changes: Any) -> Product:
    wanted: dict[str, Any] = {
        "place": "histogram",
        "bins": {"module": "module", "energy": "energy_bin"},
        "coordinates": {
            "module": MODULES,
            "energy": xr.DataArray(EDGES, dims="energy", attrs={"units": "keV"}),
        },
        "good": ("module",),
        "about": "a toy counter of photons",
    }
    return Product(**(wanted | changes))


instrument = Instrument(
    name="toy-photons",
    files="*.photons",
    read=read,
    steps=(
        to_bins,
        stretch,
        close_door,
        dead_time,
        veto,
        forgets,
        halves,
        hurts,
        live_by_reference,
        recombine,
        turns,
        flag_bare,
        unweighed,
    ),
    product=product(),
)
first = replace(instrument, name="toy-photons-first", product=product(overlap="first"))
latest = replace(instrument, name="toy-photons-latest", product=product(overlap="latest"))
whole = replace(instrument, name="toy-photons-whole", read=read_whole, product=product(good=()))
weighted = replace(instrument, name="toy-photons-weighted", product=product(weight="energy"))
odd = replace(instrument, name="toy-photons-odd", product=product(flags=("odd",)))
cells = replace(
    instrument,
    name="toy-photons-cells",
    read=read_cells,
    product=product(good=("module", "energy"), quality=("time", "energy", "module")),
)
