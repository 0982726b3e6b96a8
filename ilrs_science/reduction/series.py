"""The series that steps ask for, with the samples that a part has to know of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from ilrs_science.catalog import sample_times
from ilrs_science.errors import SeriesError, StepError, is_outage, reason_of
from ilrs_science.executors import items
from ilrs_science.model.granule import Granule
from ilrs_science.model.instrument import Instrument
from ilrs_science.model.part import Part
from ilrs_science.model.record import Outcome
from ilrs_science.model.series import EVERYWHERE, Series
from ilrs_science.model.site import Site
from ilrs_science.reduction.joining import joined
from ilrs_science.reduction.reading import decoded, samples_of


@dataclass(frozen=True)
class SeriesOfPart:
    """The series that the steps of a part ask for."""

    part: Part
    instrument: Instrument

    def at(self, name: str, site: Site) -> Series | None:
        """Return a series with its samples at a site; None where the campaign has nothing of it.

        Raises
        ------
        OutageError
            A file of it cannot be read now.
        SeriesError
            None of its files can be read, or they do not go together.
        """
        here = [one for one in self.part.series.get(name, ()) if one.site in (site.name, EVERYWHERE)]
        if not here:
            return None
        reader = self.instrument.series_of(name)
        key = (reader, self.part.task.plugin, tuple(str(one.identity) for one in here))
        samples = decoded.get(key, lambda: self._together(reader, here))
        return replace(reader, samples=samples)

    def outcomes(self) -> list[Outcome]:
        """Return what became of each granule of each series."""
        return [
            Outcome(
                one.url, one.site, one.sha256, fault=self._read(self.instrument.series_of(name), one)[1], series=name
            )
            for name, several in self.part.series.items()
            for one in several
        ]

    def _together(self, reader: Series, granules: Sequence[Granule]) -> xr.Dataset:
        """Return the samples of granules in order of time; of several at one time that of the first granule."""
        found = [ds for one in granules if (ds := self._read(reader, one)[0]) is not None]
        if not found:
            raise SeriesError(f"series {reader.name}: none of {len(granules)} files can be read")
        try:
            every = joined(found)
        except StepError as error:
            raise SeriesError(f"series {reader.name}: {error}") from error
        _, order = np.unique(sample_times(every), return_index=True)
        return _locked(every.isel(time=order))

    def _read(self, reader: Series, granule: Granule) -> tuple[xr.Dataset | None, str]:
        """Return the samples of a granule that are not flagged, or None and why it cannot be read."""
        items.enter(f"reading {granule.url}", ())
        try:
            ds = samples_of(granule, reader, self.part.task)
            return _good(ds.drop_attrs(deep=False)), ""
        except Exception as error:
            # A bad granule spoils only its own samples, and its reason is named.
            if is_outage(error):
                raise
            return None, reason_of(error)


def _good(ds: xr.Dataset) -> xr.Dataset:
    """Return the samples that are not flagged."""
    if "quality" not in ds:
        return ds
    flagged = (ds["quality"] != 0).any([name for name in ds["quality"].dims if name != "time"])
    return ds.drop_vars("quality").isel(time=np.flatnonzero(~flagged.values))


def _locked(ds: xr.Dataset) -> xr.Dataset:
    # One copy serves every part of the process, so no step may change it.
    for name, one in ds.variables.items():
        if name not in ds.indexes:
            one.values.flags.writeable = False
    return ds
