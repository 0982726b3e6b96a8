"""`cube.ilrs`: what an analyst wants to know about a cube beyond xarray; thin, and never required."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xarray as xr

from ilrs_science.errors import CubeError
from ilrs_science.geometry.time import parse_utc, tai_to_utc


@xr.register_dataset_accessor("ilrs")  # type: ignore[no-untyped-call]
class CubeAccessor:
    """Times in UTC, good samples, flags by name and provenance of a cube."""

    def __init__(self, cube: xr.Dataset) -> None:
        self._cube = cube

    @property
    def utc(self) -> xr.DataArray:
        """UTC of every time, datetime64[ns]; a leap second shows as the second after it."""
        time = self._cube["time"]
        utc = tai_to_utc(time.values.astype("datetime64[ns]").astype(np.int64)).astype("datetime64[ns]")
        return xr.DataArray(utc, dims=time.dims, attrs={"long_name": "UTC", "time_scale": "UTC"}, name="utc")

    def sel_utc(self, start: str, stop: str) -> xr.Dataset:
        """Return the samples from `start` up to, but without, `stop`, both UTC in ISO 8601.

        Raises
        ------
        IlrsError
            A text is no UTC time.
        """
        time = self._cube["time"].values
        low, high = (np.datetime64(parse_utc(text), "ns") for text in (start, stop))
        return self._cube.isel(time=(time >= low) & (time < high))

    @property
    def good(self) -> xr.Dataset:
        """The cube with NaN wherever a flag is raised."""
        quality = self._cube["quality"]
        bookkeeping = ("quality", "count")
        names = [
            n for n, v in self._cube.data_vars.items() if n not in bookkeeping and set(quality.dims) <= set(v.dims)
        ]
        return self._cube.assign({name: self._cube[name].where(quality == 0) for name in names})

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
