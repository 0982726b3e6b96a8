"""What stands in the sky above the sites of a cube: lazy where the cube is lazy."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ilrs_science.errors import CubeError
from ilrs_science.geometry.ephemeris import chosen
from ilrs_science.geometry.labels import degrees
from ilrs_science.geometry.scales import tai
from ilrs_science.geometry.sky import Target, altaz, target_name
from ilrs_science.geometry.surface import on_the_moon
from ilrs_science.model.site import Site


def sites_of(cube: xr.Dataset) -> dict[str, Site]:
    """Return the sites that a cube has samples of, by name, in its order.

    Raises
    ------
    CubeError
        The cube names no sites.
    """
    if "site" not in cube.coords:
        msg = "the cube has no coordinate site"
        raise CubeError(msg)
    names = [str(name) for name in np.atleast_1d(cube["site"].values)]
    described = json.loads(cube.attrs.get("ilrs_schema", "{}")).get("sites", [])
    known = {str(one["name"]): Site(**one) for one in described}
    if missing := sorted(set(names) - set(known)):
        raise CubeError(f"the cube does not describe {', '.join(missing)}; keep its attribute ilrs_schema")
    return {name: known[name] for name in dict.fromkeys(names)}


def above_sites(cube: xr.Dataset, target: Target) -> xr.Dataset:
    """Return altitude and azimuth (degrees) and distance (km) of a target at every site and time of a cube.

    Times are cut as the cube's variables are; each block is computed when it is asked for.

    Parameters
    ----------
    cube
        With `tai`, or else `time` (UTC), and `site`.
    target
        As in `geometry.altaz`.

    Raises
    ------
    IlrsError
        As in `geometry.altaz`; a site without coordinates is named, and a platform that moves has no one place.
    """
    if "lon" in cube.coords and set(cube["lon"].dims) != set(cube["site"].dims):
        raise CubeError(
            "lon is along time: the platform moves; ask geometry.altaz for one place and time after another"
        )
    name = target_name(target)
    sites = [on_the_moon(site) for site in sites_of(cube).values()]
    names = [site.name for site in sites]
    time, site, ephemeris = lazy_times(cube), cube["site"], chosen(None)
    kernels = ephemeris.name
    number = xr.DataArray(np.array([names.index(str(n)) for n in np.atleast_1d(site.values)]), dims=site.dims or "site")
    if not site.dims:
        number = number.squeeze("site")

    def look(numbers: NDArray[Any], moments: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        numbers, moments = np.broadcast_arrays(numbers, moments)
        seen = np.empty((3, *moments.shape))
        used = chosen(None, kernels)  # the kernels of the process that computes the block
        for one in np.unique(numbers):
            here = numbers == one
            found = altaz(target, sites[one], moments[here], scale="tai", ephemeris=used)
            seen[:, here] = found["alt"].values, found["az"].values, found["distance"].values
        return tuple(seen)

    parts = xr.apply_ufunc(
        look, number, time, output_core_dims=[[], [], []], dask="parallelized", output_dtypes=[np.float64] * 3
    )
    about = [
        degrees("apparent altitude"),
        degrees("apparent azimuth, north through east"),
        {"units": "km", "long_name": "distance that the light has come"},
    ]
    named = zip(("alt", "az", "distance"), parts, about, strict=True)
    coordinates = {
        name: cube.coords[name] for name in ("time", "tai", "site", "lon", "lat", "height") if name in cube.coords
    }
    arrays = {name: values.assign_attrs(attrs) for name, values, attrs in named}
    frames = {"frame": "ENU of each site", "target": name}
    return xr.Dataset(arrays, coordinates, {**frames, "ephemeris": ephemeris.name, "accuracy": ephemeris.accuracy})


def exact_times(cube: xr.Dataset | xr.DataArray) -> xr.DataArray:
    """Return the times of a cube, int64 ns of TAI: its `tai`, or, where selecting left none, those of its `time`.

    Raises
    ------
    IlrsError
        The cube has no times, or they are in other scales than they have to be.
    """
    if "tai" in cube.coords:
        time, scale = cube.coords["tai"], "tai"
    elif "time" in cube.coords:
        time = cube.coords["time"]
        scale = str(time.attrs.get("time_scale", "utc"))
    else:
        msg = "there is no coordinate tai, and no time"
        raise CubeError(msg)
    return xr.DataArray(tai(time, scale), dims=time.dims)


def lazy_times(cube: xr.Dataset) -> xr.DataArray:
    """Return the exact times of a cube in the Dask chunks of its first variable that has any.

    Raises
    ------
    IlrsError
        As in `exact_times`.
    """
    time = exact_times(cube)
    chunks = next(
        (v.variable.chunksizes["time"] for v in cube.data_vars.values() if "time" in v.variable.chunksizes), None
    )
    return time if chunks is None else time.chunk(time=chunks)
