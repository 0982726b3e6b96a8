"""Values between samples in time: on a line, along the shorter arc, or of one sample near."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ilrs_science.model.axis import Times

type Method = Literal["linear", "slerp", "nearest", "previous"]
type Mask = NDArray[np.bool_]

_SHORT = 1e-9
"""Sine of an arc along which nothing but rounding tells a great circle from a line."""
METHODS: tuple[str, ...] = get_args(Method.__value__)


@dataclass(frozen=True)
class Values:
    """A variable at the times at which it is known."""

    name: str
    times: Times
    """In order, each once, TAI ns."""
    values: NDArray[Any]
    """Along time first."""
    dims: tuple[str, ...]
    """The other dimensions."""
    labels: Mapping[str, Any]
    """Coordinates along them."""
    attributes: Mapping[str, Any]

    @classmethod
    def of(cls, samples: xr.Dataset, name: str) -> Values:
        """Return a variable of samples, in order of time, without those that have no value of it."""
        array = samples[name].transpose("time", ...)
        values, dims = array.values, tuple(map(str, array.dims[1:]))
        known = _whole(values)
        if (empty := array.attrs.get("_FillValue")) is not None:
            known &= _all(values != empty)
        labels = {one: samples.coords[one] for one in dims if one in samples.coords}
        times = samples["tai"].values.astype(np.int64)
        return cls(name, times[known], values[known], dims, labels, array.attrs)

    @property
    def is_round(self) -> bool:
        """Whether it lies on a circle or a sphere."""
        return "period" in self.attributes or "normalised" in self.attributes

    @property
    def is_number(self) -> bool:
        """Whether there are numbers between two of it."""
        return self.values.dtype.kind == "f" and "flag_meanings" not in self.attributes

    @property
    def method(self) -> Method:
        """What suits its kind."""
        if not self.is_number:
            return "previous"
        return "slerp" if self.is_round else "linear"

    def problem(self, method: str) -> str:
        """Return why a method is not for its kind, or an empty text."""
        if method not in METHODS:
            return f"found method {method!r}; expected one of {', '.join(METHODS)}"
        if method == "linear" and self.is_round:
            return "lies on a circle or a sphere, where linear goes astray between 359 and 1; expected slerp"
        if method == "slerp" and not self.is_round:
            return "has no attribute period or normalised: slerp is for angles, directions and quaternions"
        if method in ("linear", "slerp") and not self.is_number:
            return f"is {self.values.dtype}, of which nothing lies between two: expected nearest or previous"
        return ""


def interpolated(variable: Values, times: Times, method: str, limit: int) -> tuple[NDArray[Any], Mask]:
    """Return the values of a variable at times, and where there are any.

    Parameters
    ----------
    limit
        The longest gap that is gone across, and the furthest that a single sample reaches, ns.

    Returns
    -------
    Values of float64, or for `nearest` and `previous` of its own type; and a mask along time. Where there is none it is
    NaN, 0, or no word: it does not depend on samples beyond the limit, of which a part of a cube may know some.
    """
    at, known = _neighbours(variable.times, times, method, limit)
    shape = (len(times), *variable.values.shape[1:])
    if method in ("linear", "slerp"):
        made = np.full(shape, np.nan)
        before, after = (variable.values[one[known]].astype(np.float64) for one in at)
        made[known] = _between(variable, before, after, _shares(variable.times, times, at, known))
        # Of two opposite directions nobody knows which way round.
        return made, known & _whole(made)
    own = np.zeros(shape, variable.values.dtype)
    if own.dtype.kind == "f":
        own.fill(np.nan)
    own[known] = variable.values[at[0][known]]
    return own, known


def _whole(values: NDArray[Any]) -> Mask:
    """Tell at which times all of a value is a number, or a word."""
    return _all(np.isfinite(values)) if values.dtype.kind == "f" else np.ones(len(values), bool)


def _all(mask: Mask) -> Mask:
    return np.asarray(mask.all(axis=tuple(range(1, mask.ndim))))


def _neighbours(
    known: Times, times: Times, method: str, limit: int
) -> tuple[tuple[NDArray[np.intp], NDArray[np.intp]], Mask]:
    """Return the positions of the samples on either side of times, or of the one that counts; and where they do."""
    before = np.searchsorted(known, times, side="right") - 1
    after = np.searchsorted(known, times, side="left")
    if not len(known):
        return (before, after), np.zeros(len(times), bool)
    has_before, has_after = before >= 0, after < len(known)
    before, after = np.maximum(before, 0), np.minimum(after, len(known) - 1)
    since, until = times - known[before], known[after] - times
    if method in ("linear", "slerp"):
        return (before, after), has_before & has_after & (since + until <= limit)
    if method == "nearest":
        later = has_after & (~has_before | (until < since))
        before, since, has_before = np.where(later, after, before), np.where(later, until, since), has_before | later
    return (before, before), has_before & (since <= limit)


def _shares(
    known: Times, times: Times, at: tuple[NDArray[np.intp], NDArray[np.intp]], where: Mask
) -> NDArray[np.float64]:
    """Return how far times lie between the samples on either side, from 0 to 1."""
    begins, ends = (known[one[where]] for one in at)
    return np.asarray((times[where] - begins) / np.maximum(ends - begins, 1))


def _between(
    variable: Values, before: NDArray[np.float64], after: NDArray[np.float64], share: NDArray[np.float64]
) -> NDArray[np.float64]:
    share = share.reshape(-1, *[1] * (before.ndim - 1))
    if "period" in variable.attributes:
        return _on_circle(before, after, share, float(variable.attributes["period"]))
    if "normalised" in variable.attributes:
        return _on_sphere(before, after, share, quaternion=variable.attributes["normalised"] == "quaternion")
    return before + (after - before) * share


def _on_circle(
    before: NDArray[np.float64], after: NDArray[np.float64], share: NDArray[np.float64], period: float
) -> NDArray[np.float64]:
    """Return angles along the shorter arc, from 0 to the period, or half of it to either side where one is negative."""
    arc = np.mod(after - before + period / 2, period) - period / 2
    low = np.where((before < 0) | (after < 0), -period / 2, 0.0)
    return np.asarray(np.mod(before + arc * share - low, period) + low)


def _on_sphere(
    before: NDArray[np.float64], after: NDArray[np.float64], share: NDArray[np.float64], *, quaternion: bool
) -> NDArray[np.float64]:
    """Return vectors of length 1 along the shorter great arc.

    Shoemake, Computer Graphics 19 (1985), 245: slerp. A quaternion and its negative are one rotation.
    """
    cosine = (before * after).sum(axis=-1, keepdims=True)
    if quaternion:
        after, cosine = np.where(cosine < 0, -after, after), np.abs(cosine)
    angle = np.arccos(np.clip(cosine, -1.0, 1.0))
    with np.errstate(invalid="ignore", divide="ignore"):
        # The weights of a short arc are linear; the formula would be 0 by 0.
        first, second = (
            np.where(np.sin(angle) < _SHORT, one, np.sin(one * angle) / np.sin(angle)) for one in (1 - share, share)
        )
        made = first * before + second * after
        return np.asarray(made / np.linalg.norm(made, axis=-1, keepdims=True))
