"""The two times of a cube: regular in TAI, labelled in UTC, with bounds, places and labels of the other dimensions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from functools import cache
from itertools import pairwise
from typing import Any

import erfa
import numpy as np
from numpy.typing import NDArray

from ilrs_science.errors import Fault
from ilrs_science.testing.cube_check_arrays import places_of_sites
from ilrs_science.testing.cube_check_place import Cube, differs

type Nanoseconds = NDArray[np.int64]

_UNITS = {"seconds": 10**9, "milliseconds": 10**6, "microseconds": 10**3, "nanoseconds": 1}
_SINCE = " since 1970-01-01"
_PIECE = 2**20
"""Times that are looked at at once."""
_SECOND = 10**9
_DAY = 86400 * _SECOND
_WHOLE_SECONDS = 63_072_010 * _SECOND
"""1972-01-01 UTC as TAI, ns: since then whole seconds are inserted, and a label is exact."""
_EPOCH = 2440587.5
"""Julian date of 1970-01-01."""
_ROUNDED = 2
"""ns by which labels before 1972 may be off: UTC ran at another rate there."""


def time_faults(cube: Cube) -> Iterator[Fault]:
    """Yield what is wrong with the coordinates of a cube."""
    yield from _axis_attribute_faults(cube)
    yield from _site_faults(cube)
    yield from _label_faults(cube)
    units = {name: _longest_unit(cube, squeezed=name == "time") for name in ("time", "tai")}
    wrong = [name for name, unit in units.items() if _unit(cube, name) != _UNITS[unit]]
    for name in wrong:
        found = cube.documents[name]["attributes"].get("units")
        allowed = f"expected {units[name]}{_SINCE}, the coarsest that is exact"
        yield Fault(f"{name}.units", f"found {found!r}", allowed)
    if not wrong:
        yield from _first_of_each(_piece_faults(cube, _UNITS[units["time"]], _UNITS[units["tai"]]))


def labels(tai: Nanoseconds) -> Nanoseconds:
    """Return the UTC label of times since 1972, TAI ns: the two seconds that end with an inserted one share one."""
    starts, offsets = _table()
    index = np.searchsorted(starts + offsets, tai, side="right") - 1
    exact = tai - offsets[index]
    _, begins, ends, seconds = _inserted()
    which = np.maximum(np.searchsorted(begins, tai, side="right") - 1, 0)
    shared = (tai >= begins[which]) & (tai < ends[which])
    return np.where(shared, seconds[which] + (tai - begins[which]) // 2, exact)


def shares_a_second(tai: Nanoseconds) -> NDArray[np.bool_]:
    """Tell which times since 1972, TAI ns, lie in the two seconds that share one label."""
    _, begins, ends, _ = _inserted()
    which = np.maximum(np.searchsorted(begins, tai, side="right") - 1, 0)
    return np.asarray((tai >= begins[which]) & (tai < ends[which]))


@cache
def _table() -> tuple[Nanoseconds, Nanoseconds]:
    """Return when TAI - UTC changed, UTC ns, and its values from then on, ns, since 1972."""
    table = erfa.leap_seconds.get()
    table = table[table["year"] >= 1972]  # noqa: PLR2004 - whole seconds since then
    months = (table["year"] - 1970) * 12 + table["month"] - 1
    starts = months.astype("datetime64[M]").astype("datetime64[ns]").astype(np.int64)
    return starts, np.rint(table["tai_utc"]).astype(np.int64) * _SECOND


@cache
def _inserted() -> tuple[Nanoseconds, Nanoseconds, Nanoseconds, Nanoseconds]:
    """Return each insertion in UTC, the TAI where its two seconds begin and end, and the label that they share."""
    starts, offsets = (one[1:] for one in _table())
    ends = starts + offsets
    return starts, ends - 2 * _SECOND, ends, starts - _SECOND


def _unit(cube: Cube, name: str) -> int | None:
    """Return the length of a time's unit, ns; None where it is none."""
    units = str(cube.documents[name]["attributes"].get("units"))
    return _UNITS.get(units.removesuffix(_SINCE)) if units.endswith(_SINCE) else None


def _longest_unit(cube: Cube, *, squeezed: bool) -> str:
    if not cube.regular:
        return "nanoseconds"
    start, step = cube.schema["axis"]["start"], cube.schema["axis"]["step"]
    if isinstance(step, str):
        return "nanoseconds"
    if squeezed and start < _WHOLE_SECONDS:
        return "nanoseconds"
    # At half speed within an inserted second, so that half of every distance has to be whole there.
    factor = 2 if squeezed else 1
    names = ("microseconds", "nanoseconds") if squeezed else tuple(_UNITS)
    exact = (name for name in names if start % (factor * _UNITS[name]) == step % (factor * _UNITS[name]) == 0)
    return next(exact, "nanoseconds")


def slot_starts(axis: Mapping[str, Any], first: int, last: int) -> Nanoseconds:
    """Return the start of slots, TAI ns: of a step that is a fraction of ns the exact time, rounded down."""
    step, phase = Fraction(axis["step"]), Fraction(axis.get("phase", 0))
    if step.denominator == 1:
        return np.asarray(axis["start"] + int(step) * np.arange(first, last, dtype=np.int64))
    late, each, parts = int(phase * step.denominator), step.numerator, step.denominator
    return np.array([axis["start"] + (late + number * each) // parts for number in range(first, last)], np.int64)


def _piece_faults(cube: Cube, coarse: int, exact: int) -> Iterator[Fault]:
    before = np.array([], np.int64)
    for first in range(0, cube.count, _PIECE):
        here = slice(first, min(first + _PIECE, cube.count))
        time, tai = cube.values("time", here) * coarse, cube.values("tai", here) * exact
        bounds = cube.values("time_bounds", here) * coarse
        begins = ends = tai
        if cube.regular:
            edges = slot_starts(cube.schema["axis"], here.start, here.stop + 1)
            begins, ends = edges[:-1], edges[1:]
            yield from _regular_faults(tai, begins)
        else:
            yield from _sorted_faults(cube, tai, here)
        yield from _utc_faults("time", time, begins)
        yield from _utc_faults("time_bounds[0]", bounds[:, 0], begins)
        yield from _utc_faults("time_bounds[1]", bounds[:, 1], ends)
        if (np.diff(np.append(before, time)) < (1 if cube.regular else 0)).any():
            yield Fault("time", f"goes back or stands still from slot {first} on", "expected it to increase")
        before = time[-1:]


def _regular_faults(tai: Nanoseconds, allowed: Nanoseconds) -> Iterator[Fault]:
    wrong = np.flatnonzero(tai != allowed)
    if len(wrong):
        at = wrong[0]
        yield Fault("tai", f"found a slot at {tai[at]} ns", f"expected {allowed[at]}: start + slot x step")


def _sorted_faults(cube: Cube, tai: Nanoseconds, here: slice) -> Iterator[Fault]:
    rows = list(zip(tai.tolist(), map(str, cube.values("site", here)), strict=True))
    if any(after <= one for one, after in pairwise(rows)):
        yield Fault("tai", f"exposures from {here.start} on are not in order", "by time, then site, each once")


def _utc_faults(path: str, found: Nanoseconds, tai: Nanoseconds) -> Iterator[Fault]:
    recent = tai >= _WHOLE_SECONDS
    allowed = np.where(recent, labels(tai), 0)
    slack = np.where(recent, 0, _ROUNDED)
    if not recent.all():
        old = np.flatnonzero(~recent)
        allowed[old] = _early_labels(tai[old])
    wrong = np.flatnonzero(np.abs(found - allowed) > slack)
    if len(wrong):
        at = wrong[0]
        said = f"{found[at]} ns at TAI {tai[at]} ns, {len(wrong)} such"
        yield Fault(path, said, f"expected {allowed[at]}: UTC, an inserted second squeezed with the one before")


def _early_labels(tai: Nanoseconds) -> Nanoseconds:
    """Return the UTC label of times before 1972, when its second was another, TAI ns."""
    days, rest = np.divmod(tai, _DAY)
    day, part = erfa.taiutc(_EPOCH + days, rest / _DAY)
    whole, rest = (day - _EPOCH).astype(np.int64) * _DAY, np.rint(part * _DAY).astype(np.int64)
    return np.asarray(whole + rest, np.int64)


def _axis_attribute_faults(cube: Cube) -> Iterator[Fault]:
    if cube.regular:
        yield from differs("ilrs_axis", cube.attributes.get("ilrs_axis"), str(cube.count))
        return
    unit = _unit(cube, "tai")
    if unit is None:
        return
    every = slice(None)
    instants = {"instants": (cube.values("tai", every) * unit).tolist(), "sites": _texts(cube, "site")}
    yield from differs("ilrs_axis", cube.attributes.get("ilrs_axis"), digest(instants))


def _site_faults(cube: Cube) -> Iterator[Fault]:
    """Yield where the sites, and where they lie, are not those of the schema."""
    names, sites = _texts(cube, "site"), {one["name"]: one for one in cube.schema["sites"]}
    if cube.regular:
        yield from differs("site", names, list(sites))
    elif unknown := sorted(set(names) - sites.keys()):
        yield Fault("site", f"found {', '.join(unknown)}", f"the sites of the schema: {', '.join(sites)}")
    if not set(names) <= sites.keys():
        return
    for key in places_of_sites(cube):
        known = [sites[name][key] for name in names]
        allowed = np.array([np.nan if one is None else one for one in known], "f8")
        if not np.array_equal(cube.values(key, slice(None)), allowed, equal_nan=True):
            yield Fault(key, "is not where the sites of the schema are", "their values in order, NaN where not known")


def _label_faults(cube: Cube) -> Iterator[Fault]:
    for name, allowed in cube.schema["product"]["coordinates"].items():
        if isinstance(allowed, list):
            yield from differs(name, cube.values(name, slice(None)).tolist(), allowed)


def _texts(cube: Cube, name: str) -> list[str]:
    return [str(one) for one in cube.values(name, slice(None))]


def _first_of_each(faults: Iterator[Fault]) -> Iterator[Fault]:
    """Yield the first fault of each path: an axis that is wrong is wrong in every piece."""
    told: set[str] = set()
    for fault in faults:
        if fault.path not in told:
            told.add(fault.path)
            yield fault


def digest(value: Sequence[Any] | dict[str, Any]) -> str:
    """Return the SHA-256 of JSON in canonical form: sorted keys, no blanks."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
