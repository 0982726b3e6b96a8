"""Times as users have them: text, datetime64, integers, astropy times, coordinates of a cube; read into int64 ns."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ilrs_science.errors import IlrsError
from ilrs_science.geometry.time import DAY, SECOND, Nanoseconds, parse_count, parse_utc, utc_to_tai

if TYPE_CHECKING:  # importing astropy.time takes half a second, that of everyone who imports the package
    from astropy.time import Time

type Scale = Literal["utc", "tai", "tt", "tdb", "tcb", "tcg", "tcl", "tl"]
type Moments = str | Sequence[str] | datetime | np.datetime64 | NDArray[Any] | Time | xr.DataArray | int

SCALES: tuple[Scale, ...] = ("utc", "tai", "tt", "tdb", "tcb", "tcg", "tcl", "tl")
_REACH = 9_000_000_000 * SECOND
_BEYOND = "a time lies outside 1685 to 2255, the years that int64 nanoseconds reach"
_ASTROPY = ("utc", "tai", "tt", "tdb", "tcb", "tcg")


def known_scale(scale: Any) -> Scale:
    """Return the scale in lower case.

    Raises
    ------
    IlrsError
        There is no such scale here.
    """
    for known in SCALES:
        if str(scale).lower() == known:
            return known
    raise IlrsError(f"unknown time scale {scale!r}; known are {', '.join(SCALES)}")


def read_moments(time: Moments, scale: str | None = None, default: Scale | None = None) -> tuple[Nanoseconds, Scale]:
    """Return times as int64 ns since 1970-01-01T00:00:00 of their scale, and the scale.

    Parameters
    ----------
    time
        ISO 8601 text (UTC unless `scale` says otherwise), one or many; `datetime` with a time zone; datetime64 or
        int64 ns with a `scale`; astropy `Time`; or a `DataArray` of datetime64 that names its `time_scale`, as the
        coordinate `time` of a cube does.
    scale
        Scale of the times; those that say their own have to agree.
    default
        Scale of datetime64 and integers where `scale` is None.

    Raises
    ------
    IlrsError
        A time that is NaN, NaT or no time; a scale that is unknown, missing, or contradicts the times' own.
    """
    wanted = known_scale(scale) if scale is not None else None
    if _is_astropy(time):
        return _from_astropy(time, wanted)
    if isinstance(time, xr.DataArray):
        return read_moments(time.values, _labelled_scale(time, wanted), default)
    if isinstance(time, datetime):
        return _from_datetime(time, wanted)
    try:
        values = np.asarray(time)
    except ValueError as error:
        raise IlrsError(f"times that make no array: {error}") from error
    if _are_texts(values):
        return _from_text(values, wanted)
    if _are_times(values):
        return _from_each(values, scale, default)
    return _from_numbers(values, wanted or default)


def _is_astropy(time: Any) -> bool:
    """Tell whether something is an astropy `Time`, without the import of astropy."""
    return hasattr(time, "sidereal_time")


def _are_texts(values: NDArray[Any]) -> bool:
    return values.dtype.kind in "UT" or (values.dtype == object and all(isinstance(one, str) for one in values.flat))


def _are_times(values: NDArray[Any]) -> bool:
    return values.dtype == object and all(isinstance(one, datetime) or _is_astropy(one) for one in values.flat)


def _labelled_scale(time: xr.DataArray, wanted: Scale | None) -> Scale | None:
    """Return the scale that labelled times name, or the wanted one where they name none."""
    own = time.attrs.get("time_scale")
    return _agreed(known_scale(own), wanted) if own else wanted


def _agreed(own: Scale, wanted: Scale | None) -> Scale:
    if wanted not in (None, own):
        raise IlrsError(f"times in {own} were said to be in {wanted}; convert them, or leave scale out")
    return own


def _from_each(values: NDArray[Any], scale: str | None, default: Scale | None) -> tuple[Nanoseconds, Scale]:
    """Return times that are objects, read one by one; they have to be of one scale."""
    read = [read_moments(one, scale, default) for one in values.flat]
    scales = {own for _, own in read}
    if len(scales) > 1:
        raise IlrsError(f"times in several scales: {', '.join(sorted(scales))}")
    return np.array([int(ns) for ns, _ in read], np.int64).reshape(values.shape), read[0][1]


def _from_datetime(time: datetime, wanted: Scale | None) -> tuple[Nanoseconds, Scale]:
    """Return a time with its time zone as UTC; one without is in the wanted scale."""
    if time.tzinfo is None:
        if wanted is None:
            raise IlrsError(f"{time!r} has no time zone; give it one, or say scale='utc'")
        return _from_text(np.array(time.isoformat()), wanted)
    try:
        utc = time.astimezone(UTC).replace(tzinfo=None)
    except OverflowError as error:
        raise IlrsError(f"{_BEYOND}: {time!r}") from error
    return _from_text(np.array(utc.isoformat()), _agreed("utc", wanted))


def _from_text(values: NDArray[Any], wanted: Scale | None) -> tuple[Nanoseconds, Scale]:
    """Return text as UTC by way of TAI (for leap seconds), or as counts of another scale."""
    texts = [str(text) for text in values.flat]
    if wanted in (None, "utc"):
        ns, scale = [parse_utc(text) for text in texts], "tai"
    else:
        ns, scale = [], str(wanted)
        for text in texts:
            problem = IlrsError(f"{text!r} is not a time in {wanted}; write it as 2031-03-01T00:00:00, without Z")
            count, leap = parse_count(text, problem)
            if leap or text.strip().endswith("Z"):
                raise problem
            ns.append(count)
    return np.array(ns, np.int64).reshape(values.shape), known_scale(scale)


def _from_astropy(time: Time, wanted: Scale | None) -> tuple[Nanoseconds, Scale]:
    if time.scale not in _ASTROPY:
        raise IlrsError(f"astropy times in {time.scale!r}; expected one of {', '.join(_ASTROPY)}")
    own = _agreed(known_scale(time.scale), wanted)
    first, second = np.asarray(time.jd1, np.float64) - 2440587.5, np.asarray(time.jd2, np.float64)
    if np.ma.is_masked(time.jd1) or not np.isfinite(first + second).all():
        msg = "a time is NaN or masked; every time must be known"
        raise IlrsError(msg)
    fraction = (first - np.floor(first)) + second
    days = np.floor(first) + np.floor(fraction)
    if (np.abs(days) > _REACH // DAY).any():
        raise IlrsError(f"{_BEYOND}: {time.flat[int(np.argmax(np.abs(days)))] if time.shape else time}")
    midnight, fraction = days.astype(np.int64) * DAY, fraction - np.floor(fraction)
    if own != "utc":
        return midnight + np.rint(fraction * DAY).astype(np.int64), own
    # As in ERFA, the fraction of a UTC day is that of its true length; done here because ERFA warns of years to come.
    start = utc_to_tai(midnight)
    return start + np.rint(fraction * (utc_to_tai(midnight + DAY) - start)).astype(np.int64), "tai"


def _from_numbers(values: NDArray[Any], own: Scale | None) -> tuple[Nanoseconds, Scale]:
    if values.dtype.kind == "f" and np.isnan(values).any():
        msg = "a time is NaN; every time must be known"
        raise IlrsError(msg)
    if not values.size:
        return np.zeros(values.shape, np.int64), own or "tai"
    if values.dtype.kind not in "Mi":
        raise IlrsError(f"times of type {values.dtype}; expected ISO text, datetime64, int64 ns or astropy Time")
    if own is None:
        msg = f"datetime64 and integers have no time scale; say which with scale=, one of {', '.join(SCALES)}"
        raise IlrsError(msg)
    ns = _count_of(values) if values.dtype.kind == "M" else values.astype(np.int64)
    if ((ns > _REACH) | (ns < -_REACH)).any():
        raise IlrsError(f"{_BEYOND}: {ns.min()} to {ns.max()} ns since 1970")
    return ns, own


def _count_of(values: NDArray[np.datetime64]) -> Nanoseconds:
    """Return datetime64 of any unit as ns since 1970; looked at by days first, as many of them overflow in ns."""
    if values.dtype == np.dtype("datetime64"):
        raise IlrsError("datetime64 without a unit; give one, as in datetime64[ns]")
    if np.isnat(values).any():
        msg = "a time is NaT; every time must be known"
        raise IlrsError(msg)
    days = values.astype("datetime64[D]").astype(np.int64)
    if (np.abs(days) > _REACH // DAY).any():
        raise IlrsError(f"{_BEYOND}: {values.flat[int(np.argmax(np.abs(days)))]}")
    return values.astype("datetime64[ns]").astype(np.int64)
