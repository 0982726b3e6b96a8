"""`cube.ilrs`: what an analyst wants to know about a cube beyond xarray; thin, and never required."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from ilrs_science.analysis import frames, sky
from ilrs_science.errors import CubeError
from ilrs_science.geometry.moments import Moments
from ilrs_science.geometry.scales import Place, Scaling, convert, instant
from ilrs_science.geometry.sky import Target
from ilrs_science.model.duration import Duration
from ilrs_science.model.site import Site


class _Times[T]:
    """What a cube and each of its variables have in common: times."""

    def __init__(self, cube: T) -> None:
        self._cube: Any = cube

    @property
    def utc(self) -> xr.DataArray:
        """UTC of every time, datetime64[ns]; a leap second shows as the second after it."""
        return self.time("utc")

    def time(self, scale: str, *, site: Place | None = None, scaling: Scaling = "tcl") -> xr.DataArray:
        """Return every time in another scale, datetime64[ns].

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
        time = self._times()
        values = convert(time.values.astype("datetime64[ns]"), "tai", scale, site=site, scaling=scaling)
        about = {"long_name": scale.upper(), "time_scale": scale.upper()}
        return xr.DataArray(values, {"time": time}, time.dims, scale.lower(), about)

    def sel_utc(self, start: Moments | None, stop: Moments | None) -> T:
        """Return the samples from `start` up to, but without, `stop`.

        Parameters
        ----------
        start, stop
            ISO 8601 text or datetime64, both UTC, or astropy `Time`; None for no limit.

        Raises
        ------
        IlrsError
            A limit is no such time.
        """
        time = self._times().values
        low, high = (
            open_end if limit is None else np.datetime64(instant(limit, _scale_of(limit)), "ns")
            for limit, open_end in ((start, np.datetime64(-(2**62), "ns")), (stop, np.datetime64(2**62, "ns")))
        )
        selected: T = self._cube.isel(time=(time >= low) & (time < high))
        return selected

    def _times(self) -> xr.DataArray:
        if "time" not in self._cube.coords:
            msg = "there is no coordinate time"
            raise CubeError(msg)
        time: xr.DataArray = self._cube.coords["time"]
        return time


def _scale_of(limit: Moments) -> str | None:
    """Return the scale of a limit that does not say its own: UTC."""
    return "utc" if isinstance(limit, np.datetime64) else None


@xr.register_dataarray_accessor("ilrs")  # type: ignore[no-untyped-call]
class VariableAccessor(_Times[xr.DataArray]):
    """Times of one variable of a cube in other scales."""


@xr.register_dataset_accessor("ilrs")  # type: ignore[no-untyped-call]
class CubeAccessor(_Times[xr.Dataset]):
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

    @property
    def good(self) -> xr.Dataset:
        """The cube with NaN wherever a flag is raised."""
        quality = self._cube["quality"]
        bookkeeping = ("quality", "count")
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
        meanings = str(self._cube["quality"].attrs.get("flag_meanings", "")).split()
        if name not in meanings:
            raise CubeError(f"no flag {name!r}; the cube has {', '.join(meanings)}")
        mask = np.atleast_1d(self._cube["quality"].attrs["flag_masks"])[meanings.index(name)]
        raised: xr.DataArray = (self._cube["quality"] & self._cube["quality"].dtype.type(mask)) != 0
        return raised

    @property
    def provenance(self) -> dict[str, Any]:
        """What it takes to make the cube again: pipeline, plugin, steps, references, versions."""
        provenance: dict[str, Any] = json.loads(self._cube.attrs.get("provenance", "{}"))
        return provenance
