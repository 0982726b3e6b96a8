"""Vectors of a cube in another frame, their uncertainties with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr

from ilrs_science.analysis.sky import exact_times, sites_of
from ilrs_science.errors import CubeError, IlrsError
from ilrs_science.geometry.vectors import transform
from ilrs_science.model.duration import Duration

_WINDOW = Duration("5 min")
_SAMPLES = 3
"""A mean over fewer is none."""


def to_frame(  # noqa: PLR0913 - what, from where, to where
    cube: xr.Dataset,
    target: str,
    *,
    variables: Sequence[str] | None = None,
    source: str | None = None,
    axis: str = "axis",
    window: Duration | str = _WINDOW,
) -> xr.Dataset:
    """Return the cube with its vectors turned into another frame; lazy where the cube is lazy.

    Uncertainties of the components are turned as those of independent errors: sigma_i^2 = sum (R_ij sigma_j)^2.

    Parameters
    ----------
    cube
        With `tai`, or else `time` (UTC).
    target
        As in `geometry.transform`. For MFA the mean field is the running mean over `window`.
    variables
        Names of the vectors; by default all variables of three components along `axis` that say their `frame`.
    source
        Their frame; by default what each says.
    axis
        Dimension of the components.
    window
        Full width of the running mean.

    Raises
    ------
    CubeError
        There is no vector, one does not say its frame, or the frame of a site is wanted where samples of several mix.
    IlrsError
        As in `geometry.transform`.
    """
    changed: dict[str, xr.DataArray] = {}
    for name in _vectors_of(cube, axis) if variables is None else variables:
        own = source or cube[name].attrs.get("frame")
        if not own:
            raise CubeError(f"{name} does not say its frame; give source=")
        turn = _turning(cube, name, _Way(str(own), target, axis, window))
        changed[name] = turn(cube[name])
        sigma = cube.get(f"{name}_uncertainty")
        if sigma is not None:
            changed[f"{name}_uncertainty"] = _turned_uncertainty(sigma, turn, axis)
    if not changed:
        raise CubeError(f"no variable of three components along {axis!r} says its frame; give variables= and source=")
    return _with_changed(cube, changed)


def _vectors_of(cube: xr.Dataset, axis: str) -> list[str]:
    """Return the names of all variables of three components along an axis that say their frame."""
    along = {str(name): one for name, one in cube.variables.items() if one.sizes.get(axis) == 3}  # noqa: PLR2004
    return [name for name, one in along.items() if one.attrs.get("frame")]


def _turned_uncertainty(sigma: xr.DataArray, turn: Callable[[xr.DataArray], xr.DataArray], axis: str) -> xr.DataArray:
    """Return 1 sigma of turned components: each own component is turned by itself, and what they give added squared."""
    own = xr.DataArray(np.arange(3), dims=axis)
    x, y, z = (turn(sigma.where(own == number, 0)) ** 2 for number in range(3))
    return ((x + y + z) ** 0.5).astype(sigma.dtype).assign_attrs(sigma.attrs)


def _with_changed(cube: xr.Dataset, changed: Mapping[str, xr.DataArray]) -> xr.Dataset:
    """Return a cube with other arrays under these names; what is a coordinate stays one."""
    coordinates = {name: values for name, values in changed.items() if name in cube.coords}
    values = {name: values for name, values in changed.items() if name not in cube.coords}
    return cube.assign_coords(coordinates).assign(values)


class _Way(NamedTuple):
    """From which frame to which."""

    source: str
    target: str
    axis: str
    """Dimension of the components."""
    window: Duration | str
    """Of the mean field."""


def _turning(cube: xr.Dataset, name: str, way: _Way) -> Callable[[xr.DataArray], xr.DataArray]:
    """Return what turns an array like the named vectors from its frame into the target."""
    source, target, axis, window = way
    mean = _running_mean(cube[name], window) if target == "MFA" else None
    about = {} if mean is None else {"mean_field": f"running mean over {Duration(str(window))}, centred"}
    if "ENU" not in {source, target} and mean is None:
        return lambda values: transform(values, source, target, axis=axis)
    sites = sites_of(cube)
    per_site = "site" in cube[name].dims
    if len(sites) > 1 and not per_site:
        raise CubeError(f"{name} mixes samples of {', '.join(sites)}; select one site, its frame is its own")

    def turn(values: xr.DataArray) -> xr.DataArray:
        pieces: list[xr.DataArray] = [
            transform(
                values.sel(site=key) if per_site else values,
                source,
                target,
                site=site,
                mean_field=mean.sel(site=key) if per_site and mean is not None else mean,
                axis=axis,
            )
            for key, site in sites.items()
        ]
        attributes = {**pieces[0].attrs, **about}
        if not per_site:
            return pieces[0].assign_attrs(attributes)
        attributes.pop("site", None)
        bare = [piece.drop_vars(piece.coords) for piece in pieces]
        joined: xr.DataArray = xr.concat(bare, "site", combine_attrs="drop", coords="minimal", compat="override")
        return joined.transpose(*values.dims).assign_coords(values.coords).assign_attrs(attributes)

    return turn


def _running_mean(vectors: xr.DataArray, window: Duration | str) -> xr.DataArray:
    """Return the mean over a centred window of a regular time axis; NaN where it has fewer than 3 samples."""
    steps = np.diff(exact_times(vectors).values)
    if len(steps) < _SAMPLES - 1 or (steps != steps[0]).any() or steps[0] <= 0:
        raise CubeError(f"a running mean needs {_SAMPLES} samples or more at equal steps; these are {len(steps) + 1}")
    try:
        count = max(round(int(Duration(str(window))) / int(steps[0])), _SAMPLES) | 1
    except ValueError as error:
        raise IlrsError(f"a window of {window!r}: {error}") from error
    mean: xr.DataArray = vectors.rolling(time=count, center=True, min_periods=_SAMPLES).mean()
    return mean if vectors.chunks is None else mean.chunk(vectors.variable.chunksizes)
