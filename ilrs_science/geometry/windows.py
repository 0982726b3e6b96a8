"""Spans of time in which something holds: a body above the horizon, the Sun behind the Earth."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ilrs_science.errors import IlrsError
from ilrs_science.geometry.blocks import by_blocks
from ilrs_science.geometry.chebyshev import Floats
from ilrs_science.geometry.day import Discs, Horizon, horizon_altitude
from ilrs_science.geometry.ephemeris import Ephemeris, chosen
from ilrs_science.geometry.labels import TAI
from ilrs_science.geometry.moments import Moments
from ilrs_science.geometry.scales import instant
from ilrs_science.geometry.sky import Target, altaz
from ilrs_science.geometry.time import SECOND, Nanoseconds
from ilrs_science.model.duration import Duration
from ilrs_science.model.site import Site

_HALVINGS = 40
_LOOKS = 721
_MOST = 10**8
_STEP = Duration("10 min")


def visibility(  # noqa: PLR0913 - what, from where, when, above which horizon
    target: Target,
    site: Site,
    start: Moments,
    stop: Moments,
    *,
    horizon: Horizon | None = None,
    step: Duration | str = _STEP,
    scale: str | None = None,
    ephemeris: Ephemeris | None = None,
) -> xr.Dataset:
    """Return when the centre of a body stands above the horizon of a site: of the Earth, for links and background.

    Parameters
    ----------
    target
        As in `altaz`.
    site
        A place on the Moon.
    start, stop
        Span that is searched; windows are cut off at its ends.
    horizon
        As in `illumination`.
    step
        Windows and gaps shorter than this may be missed.
    scale
        Scale of datetime64.
    ephemeris
        By default what is installed.

    Returns
    -------
    start and stop (TAI, to the millisecond), duration (h) and max_alt (degrees, the highest of 721 evenly
    spaced looks), one a `window`.

    Raises
    ------
    IlrsError
        As in `altaz`; a span that ends before it starts.
    """
    used = chosen(ephemeris)

    def height(moments: Nanoseconds) -> Floats:
        seen = altaz(target, site, moments, scale="tai", ephemeris=used)
        above: Floats = seen["alt"].values - horizon_altitude(site, seen["az"].values, horizon)
        return above

    starts, stops = _spans(height, start, stop, step, scale)
    found = _table(starts, stops, site, used)
    looks = np.linspace(starts, stops, _LOOKS, axis=-1).astype(np.int64)
    alt = altaz(target, site, looks, scale="tai", ephemeris=used)["alt"].values
    about = {"units": "degree", "long_name": "highest altitude in the window"}
    found["max_alt"] = ("window", alt.max(axis=-1, initial=-90.0), about)
    return found


def eclipses(  # noqa: PLR0913 - from where, when
    start: Moments,
    stop: Moments,
    site: Site | None = None,
    *,
    step: Duration | str = _STEP,
    scale: str | None = None,
    ephemeris: Ephemeris | None = None,
) -> xr.Dataset:
    """Return when the Earth covers a part of the Sun: an eclipse of the Moon, as seen from it.

    Parameters
    ----------
    start, stop
        Span that is searched.
    site
        A place on the Moon, its horizon left aside; by default the Moon's centre.
    step, scale, ephemeris
        As in `visibility`.

    Returns
    -------
    start, stop and greatest (TAI, to the millisecond; greatest to a second), duration (h) and obscuration (greatest
    covered fraction of the Sun's disc), one a `window`.

    Raises
    ------
    IlrsError
        As in `visibility`.
    """
    used = chosen(ephemeris)

    def depth(moments: Nanoseconds) -> Floats:
        discs = Discs.seen(moments, site, used)
        return discs.sun_radius + discs.earth_radius - discs.apart

    starts, stops = _spans(lambda at: by_blocks(lambda part: (depth(part),), at)[0], start, stop, step, scale)
    found = _table(starts, stops, site, used)
    greatest = np.array([_peak(depth, a, b) for a, b in zip(starts, stops, strict=True)], np.int64)
    found["greatest"] = (
        "window",
        greatest.astype("datetime64[ns]"),
        {**TAI, "long_name": "greatest (time_scale: TAI)"},
    )
    about = {"units": "1", "long_name": "greatest covered fraction of the Sun's disc"}
    found["obscuration"] = ("window", Discs.seen(greatest, site, used).covered(), about)
    return found


def _table(starts: Nanoseconds, stops: Nanoseconds, site: Site | None, ephemeris: Ephemeris) -> xr.Dataset:
    hours = (stops - starts) / (3600 * SECOND)
    return xr.Dataset(
        {
            "start": ("window", starts.astype("datetime64[ns]"), TAI),
            "stop": ("window", stops.astype("datetime64[ns]"), TAI),
            "duration": ("window", hours, {"units": "h", "long_name": "length of the window"}),
        },
        attrs={
            "site": site.name if site else "centre of the Moon",
            "ephemeris": ephemeris.name,
            "accuracy": ephemeris.accuracy,
        },
    )


def _spans(
    value: Callable[[Nanoseconds], Floats], start: Moments, stop: Moments, step: Duration | str, scale: str | None
) -> tuple[Nanoseconds, Nanoseconds]:
    """Return the starts and stops, TAI ns, of spans in which a value is positive."""
    first, last = instant(start, scale), instant(stop, scale)
    try:
        every = int(Duration(str(step)))
    except ValueError as error:
        raise IlrsError(f"a step of {step!r}: {error}") from error
    if last <= first or not every:
        raise IlrsError(f"a span from {start} to {stop} by {every} ns; expected a stop after the start, a step above 0")
    if (last - first) // every > _MOST:
        raise IlrsError(f"a step of {step} makes {(last - first) // every} samples; expected up to {_MOST}")
    samples = np.append(np.arange(first, last, every, dtype=np.int64), last)
    positive = value(samples) > 0
    edges = np.flatnonzero(positive[1:] != positive[:-1])
    crossings = _crossings(value, samples[edges], samples[edges + 1], positive[edges])
    starts = np.concatenate([samples[:1][positive[:1]], crossings[~positive[edges]]])
    stops = np.concatenate([crossings[positive[edges]], samples[-1:][positive[-1:]]])
    return starts, stops


def _crossings(
    value: Callable[[Nanoseconds], Floats], low: Nanoseconds, high: Nanoseconds, before: NDArray[np.bool_]
) -> Nanoseconds:
    """Halve every bracket until it is shorter than a millisecond."""
    for _ in range(_HALVINGS):
        if not low.size or (high - low).max() < SECOND // 1000:
            break
        middle = low + (high - low) // 2
        same = (value(middle) > 0) == before
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    return high


def _peak(value: Callable[[Nanoseconds], Floats], start: int, stop: int) -> int:
    """Return where a value with one maximum is largest: narrowed tenfold, over and over, to a second."""
    while stop - start > SECOND:
        samples = np.linspace(start, stop, 21).astype(np.int64)
        best = int(np.argmax(value(samples)))
        start, stop = int(samples[max(best - 1, 0)]), int(samples[min(best + 1, 20)])
    return (start + stop) // 2
