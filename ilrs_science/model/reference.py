"""One piece of calibration knowledge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import xarray as xr

UNTIL_NEXT = 2**62
"""The stop of a reference that is valid until the next one of its kind, instrument, site and keys begins to be."""


@dataclass(frozen=True)
class Reference:
    """A calibration valid for a span of time, as known at a date; in a step, `matrix["gain"]` is its variable `gain`.

    Times are TAI nanoseconds, the span is half-open.
    """

    instrument: str
    """Instrument it belongs to."""
    kind: str
    """What it is: the name of the step parameter that takes it."""
    site: str
    """Site it belongs to, or `*` for every site."""
    start: int
    """Valid from, TAI ns."""
    stop: int
    """Valid until (exclusive), TAI ns; `UNTIL_NEXT` for as long as there is no later one."""
    published: int
    """When it became known, TAI ns."""
    sha256: str
    """Digest of the payload file."""
    url: str
    """The payload file: `.json`, netCDF-3 as `.nc`, or what the instrument's `load` reads."""
    source: str = "unknown"
    """Where the knowledge comes from."""
    keys: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Tags that the granules must have for it to be theirs: `{"filter": "R"}`."""
    payload: xr.Dataset | None = field(default=None, compare=False, repr=False)
    """The loaded values; never part of a plan or a task."""

    def __getitem__(self, name: str) -> xr.DataArray:
        """Return one variable of the payload."""
        if self.payload is None:
            msg = f"reference {self.kind} of {self.instrument} is not loaded"
            raise LookupError(msg)
        return self.payload[name]
