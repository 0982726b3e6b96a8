"""Put the times of a clock right."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ilrs_science.geometry.clock import Clock
from ilrs_science.model.duration import Duration
from ilrs_science.model.quality import set_flag
from ilrs_science.model.reference import Reference
from ilrs_science.model.step import step


@step(margin="limit")
def correlate_clock(
    ds: xr.Dataset,
    *,
    clock: Reference,
    counts: str = "clock_counts",
    limit: Duration = Duration("2 s"),  # noqa: B008 - immutable
    tolerance: float = 1e-3,
) -> xr.Dataset:
    """Turn the counts of a station's or spacecraft's clock into TAI; `tai` until then is the reader's best guess.

    The guess tells partitions and rollovers of the counter apart. The result has `time_uncertainty` (1 sigma, s). A
    count that the correlation does not cover, or that would move its sample by more than the limit, is not believed:
    the sample keeps its guess, its uncertainty is NaN, and it is flagged.

    Parameters
    ----------
    ds
        Samples with the counts along `time`.
    clock
        `ticks`, `tai` (ns), `rate` (s a tick) and `sigma` (s) of its segments; see `geometry.Clock.from_reference`.
    counts
        Name of the variable with the counts.
    limit
        How far a guess may be off.
    tolerance
        1 sigma of the clock, s, beyond which (or where it is unknown) samples are flagged `clock_uncertain`.
    """
    correlation = Clock.from_reference(clock)
    guess = ds["tai"].values.astype(np.int64)
    ticks = correlation.continuous(ds[counts].values, guess)
    covered = correlation.covers(ticks)
    times, sigma = guess.copy(), np.full(guess.shape, np.nan)
    times[covered] = correlation.to_tai(ticks[covered])
    sigma[covered] = correlation.uncertainty(ticks[covered])
    lost = np.abs(times - guess) > int(limit)
    times[lost], sigma[lost] = guess[lost], np.nan
    uncertain = xr.DataArray(~(sigma <= tolerance), dims="time")
    about = {"units": "s", "long_name": "1 sigma of the clock"}
    flagged = set_flag(ds, "clock_uncertain", uncertain)
    return flagged.assign_coords(tai=("time", times.view("M8[ns]"), ds["tai"].attrs)).assign(
        time_uncertainty=("time", sigma.astype("f4"), about)
    )
