"""The data of a cube, read shard by shard: numbers that can be what they claim, and flags that are declared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ilrs_science.errors import Fault
from ilrs_science.testing.cube_check_arrays import COMMON_FLAGS, Wanted, places_of_sites, wanted
from ilrs_science.testing.cube_check_place import Cube
from ilrs_science.testing.cube_check_times import shares_a_second, slot_starts

type Values = NDArray[Any]

_CLOCK_UNCERTAIN = 1 << COMMON_FLAGS.index("clock_uncertain")
_UNDECODABLE = (ValueError, RuntimeError, OSError, TypeError, KeyError)
"""What codecs raise over bytes that they did not write."""


@dataclass(frozen=True)
class _Region:
    """Slots of a row that share a shard of every variable."""

    row: int
    number: int
    first: int
    last: int

    @property
    def selection(self) -> tuple[int | slice, ...]:
        """What selects its cells in an array."""
        slots = slice(self.first, self.last)
        return (self.row, slots) if self.row >= 0 else (slots,)


def value_faults(cube: Cube) -> Iterator[Fault]:
    """Yield what is wrong with the data variables."""
    arrays = {one.name: one for one in wanted(cube) if one.is_data}
    length = cube.schema["cut"][1]
    stored = set(cube.place.names)
    for row in cube.rows:
        for number in range(-(-cube.count // length)):
            region = _Region(row, number, number * length, min((number + 1) * length, cube.count))
            yield from _region_faults(cube, arrays, stored, region)
    for name in places_of_sites(cube):
        yield from _pattern_faults(name, cube.values(name, slice(None)))


def shard_key(want: Wanted, row: int, number: int) -> str:
    """Return the key of a shard by its row and its number along time."""
    lead = f"{row}/" if row >= 0 else ""
    return f"{want.name}/c/{lead}{number}" + "/0" * (len(want.dims) - (2 if row >= 0 else 1))


def _region_faults(cube: Cube, arrays: Mapping[str, Wanted], stored: set[str], region: _Region) -> Iterator[Fault]:
    keys = {name: shard_key(one, region.row, region.number) for name, one in arrays.items()}
    if stored.isdisjoint(keys.values()):
        yield from _empty_faults(cube, keys["quality"], region.first, region.last)
        return
    values: dict[str, Values] = {}
    for name, key in keys.items():
        try:
            values[name] = cube.values(name, region.selection)
        except _UNDECODABLE as error:
            yield Fault(key, f"cannot be decoded: {error}", "a shard as the metadata of its array have it")
    for name, found in values.items():
        if keys[name] in stored and _is_empty(found, arrays[name]):
            yield Fault(keys[name], "is stored and every cell is empty", "an empty shard is not stored")
        yield from _pattern_faults(keys[name], found)
    yield from _sense_faults(cube, keys, values, region.first)


def _sense_faults(cube: Cube, keys: Mapping[str, str], values: Mapping[str, Values], first: int) -> Iterator[Fault]:
    """Yield where flags, values and offsets of a region do not go together; of those that could be decoded."""
    if "quality" in values:
        yield from _flag_faults(cube, keys["quality"], values["quality"], first)
        for variable in cube.schema["product"]["variables"]:
            yield from _good_value_faults(cube, variable, keys, values)
    if "time_offset" in values and cube.regular:
        yield from _offset_faults(cube, keys["time_offset"], values["time_offset"])


def _empty_faults(cube: Cube, key: str, first: int, last: int) -> Iterator[Fault]:
    """Yield whether a region in which nothing is stored has slots that have to carry a flag."""
    if cube.regular and shares_a_second(_slots(cube, first, last)).any():
        yield Fault(key, "is absent", "slots in an inserted second carry the flag clock_uncertain")


def _flag_faults(cube: Cube, key: str, quality: Values, first: int) -> Iterator[Fault]:
    declared = sum(cube.schema["product"]["flags"].values())
    stray = int(np.bitwise_or.reduce(quality, axis=None)) & ~declared
    if stray:
        bits = ", ".join(str(bit) for bit in range(32) if stray >> bit & 1)
        yield Fault(key, f"bits {bits} are set", "only flags that the schema declares")
    if cube.regular:
        squeezed = shares_a_second(_slots(cube, first, first + len(quality)))
        if not (quality[squeezed] & _CLOCK_UNCERTAIN).all():
            yield Fault(key, "a slot in an inserted second is not flagged", "clock_uncertain: its label is not exact")


def _good_value_faults(
    cube: Cube, variable: Mapping[str, Any], keys: Mapping[str, str], values: Mapping[str, Values]
) -> Iterator[Fault]:
    name = variable["name"]
    found, sigma = values.get(name), values.get(f"{name}_uncertainty")
    good = _over(values["quality"] == 0, cube.schema["product"]["quality"], variable["dims"])
    if found is not None and found.dtype.kind == "f":
        if count := int((np.isinf(found) & good).sum()):
            yield Fault(keys[name], f"{count} good values are infinite", "quality 0 is for finite numbers")
        if not variable["coordinate"] and (count := int((np.isnan(found) & good).sum())):
            yield Fault(keys[name], f"{count} good values are NaN", "a value that is not known carries a flag")
    if sigma is not None and variable["uncertainty"]:
        wrong = ((sigma <= 0) | np.isinf(sigma)) & good
        if count := int(wrong.sum()):
            key = keys[f"{name}_uncertainty"]
            yield Fault(key, f"{count} good values have a 1 sigma of zero, below or infinite", "above 0, or NaN")


def _offset_faults(cube: Cube, key: str, offset: Values) -> Iterator[Fault]:
    longest = ceil(Fraction(cube.schema["axis"]["step"])) - 1
    wrong = offset[(offset < 0) | (offset > longest)]
    if wrong.size:
        yield Fault(key, f"a sample lies {wrong.flat[0]} ns after the start of its slot", f"0 to {longest}")


def _pattern_faults(key: str, found: Values) -> Iterator[Fault]:
    """Yield whether NaN has another bit pattern than the one: the quiet one, positive, without payload."""
    if found.dtype.kind != "f":
        return
    unsigned = np.dtype(f"u{found.dtype.itemsize}")
    bits = np.ascontiguousarray(found).view(unsigned)
    quiet = np.array(np.nan, found.dtype).view(unsigned) & np.array(np.iinfo(unsigned).max >> 1, unsigned)
    if (np.isnan(found) & (bits != quiet)).any():
        yield Fault(key, "NaN is stored in another bit pattern", f"0x{int(quiet):x}")


def _is_empty(found: Values, want: Wanted) -> bool:
    return bool(np.isnan(found).all() if np.isnan(want.empty or 0) else (found == want.empty).all())


def _over(mask: Values, dims: list[str], others: list[str]) -> Values:
    """Return a mask over `dims` as one over `others`: any of what is not there, one of what is new."""
    gone = tuple(number for number, name in enumerate(dims) if name not in others)
    kept = [name for name in dims if name in others]
    reduced = mask.any(axis=gone) if gone else mask
    sizes = dict(zip(kept, reduced.shape, strict=True))
    ordered = reduced.transpose([kept.index(name) for name in others if name in kept])
    return np.asarray(ordered.reshape([sizes.get(name, 1) for name in others]))


def _slots(cube: Cube, first: int, last: int) -> NDArray[np.int64]:
    """Return the start of slots, TAI ns."""
    return slot_starts(cube.schema["axis"], first, last)
