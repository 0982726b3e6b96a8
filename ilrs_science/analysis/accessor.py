"""`cube.ilrs`: what an analyst wants to know about a cube beyond xarray; thin, and never required."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import xarray as xr

from ilrs_science.analysis import counting, frames, sky
from ilrs_science.errors import CubeError
from ilrs_science.geometry.scales import Place, Scaling, convert
from ilrs_science.geometry.sky import Target
from ilrs_science.model.duration import Duration
from ilrs_science.model.quality import flags_of
from ilrs_science.model.site import Site


class _Times:
    """What a cube and each of its variables have in common: times. `time` itself is UTC."""

    def __init__(self, cube: xr.Dataset | xr.DataArray) -> None:
        self._cube: Any = cube

    def time(self, scale: str, *, site: Place | None = None, scaling: Scaling = "tcl") -> xr.DataArray:
        """Return every exact time in a scale, datetime64[ns]; in UTC a leap second shares its count with the next.

        Parameters
        ----------
        scale
            utc, tai, tt, tdb, tcb, tcg, tcl or tl.
        site, scaling
            Where events are, and what TL is, as in `geometry.convert`.

        Raises
        ------
        IlrsError
            An unknown scale, or a time outside its tables.
        """
        moments = sky.exact_times(self._cube)
        values = convert(moments.values.astype("datetime64[ns]"), "tai", scale, site=site, scaling=scaling)
        about = {"long_name": scale.upper(), "time_scale": scale.upper()}
        along = {name: one for name, one in self._cube.coords.items() if name in ("time", "tai")}
        return xr.DataArray(values, along, moments.dims, scale.lower(), about)


class VariableAccessor(_Times):
    """Times of one variable of a cube in other scales."""


class CubeAccessor(_Times):
    """Times in other scales, sky and frames at the sites, good samples, flags by name and provenance of a cube."""

    @property
    def sites(self) -> dict[str, Site]:
        """The sites of the cube by name, with all that was known of them."""
        return sky.sites_of(self._cube)

    @property
    def sun(self) -> xr.Dataset:
        """Apparent altitude and azimuth (degrees) and distance (km) of the Sun at every site and time."""
        return self.altaz("sun")

    @property
    def earth(self) -> xr.Dataset:
        """Apparent altitude and azimuth (degrees) and distance (km) of the Earth at every site and time."""
        return self.altaz("earth")

    def altaz(self, target: Target) -> xr.Dataset:
        """Return where a target stands at every site and time; lazy where the cube is lazy.

        Parameters
        ----------
        target
            As in `geometry.altaz`.

        Raises
        ------
        IlrsError
            As in `geometry.altaz`.
        """
        return sky.above_sites(self._cube, target)

    def to_frame(
        self,
        target: str,
        *,
        variables: Sequence[str] | None = None,
        source: str | None = None,
        axis: str = "axis",
        window: Duration | str = "5 min",
    ) -> xr.Dataset:
        """Return the cube with its vectors and their uncertainties in another frame; lazy where the cube is lazy.

        Parameters
        ----------
        target
            ICRS, MOON_ME, MOON_PA, ENU, GSE, GSM, SSE, ITRS, or MFA: the frame of the mean field.
        variables
            Names of the vectors; by default all of three components along `axis` that say their `frame`.
        source
            Their frame; by default what each says.
        axis
            Dimension of the components.
        window
            Full width of the running mean that MFA takes for the mean field.

        Raises
        ------
        IlrsError
            An unknown frame, vectors without a frame, or a site without coordinates.
        """
        return frames.to_frame(self._cube, target, variables=variables, source=source, axis=axis, window=window)

    def rate(
        self,
        *,
        over: Sequence[str] = (),
        every: Duration | str | None = None,
        background: xr.Dataset | None = None,
        ratio: float = 1.0,
    ) -> xr.Dataset:
        """Return events per second of exposure with 1 sigma, summed over dimensions and over longer slots first.

        Parameters
        ----------
        over, every, background, ratio
            As in `analysis.counting.rate`.

        Raises
        ------
        CubeError
            The cube has no counts of events, no such dimension, or `every` is no multiple of its step.
        """
        return counting.rate(self._cube, over=over, every=every, background=background, ratio=ratio)

    @property
    def good(self) -> xr.Dataset:
        """The cube with NaN wherever a flag is raised."""
        quality = self._cube["quality"]
        bookkeeping = ("quality", "count", "count_left_out")
        names = [
            n for n, v in self._cube.data_vars.items() if n not in bookkeeping and set(quality.dims) <= set(v.dims)
        ]
        good: xr.Dataset = self._cube.assign({name: self._cube[name].where(quality == 0) for name in names})
        return good

    def flag(self, name: str) -> xr.DataArray:
        """Return where a quality flag is raised, by its meaning.

        Raises
        ------
        CubeError
            The cube has no such flag.
        """
        quality = self._cube["quality"]
        flags = flags_of(quality)
        if name not in flags:
            raise CubeError(f"no flag {name!r}; the cube has {', '.join(flags)}")
        raised: xr.DataArray = (quality & quality.dtype.type(flags[name])) != 0
        return raised

    @property
    def provenance(self) -> dict[str, Any]:
        """What it takes to make the cube again: pipeline, plugin, steps, references, versions."""
        provenance: dict[str, Any] = json.loads(self._cube.attrs.get("provenance", "{}"))
        return provenance
