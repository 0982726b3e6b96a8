"""Quality flags: one unsigned bit mask a sample, the low bits the same in every product."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from zlib import crc32

import numpy as np
import xarray as xr
from numpy.typing import NDArray

QUALITY_DTYPE = "u4"

COMMON_FLAGS = (
    "missing",
    "saturated",
    "bad_detector",
    "cosmic_ray",
    "interpolated",
    "clock_uncertain",
    "out_of_range",
    "no_reference",
    "conflict",
    "not_applicable",
    "censored",
)
"""Meanings of bits 0 to 10, in order, the same in every product; 11 to 15 are kept free."""

FIRST_OWN_BIT = 16
"""The bit of the first flag of an instrument."""
_BITS = 32

MISSING = np.uint32(1 << COMMON_FLAGS.index("missing"))
"""The flag of a cell that no sample reached, or whose value is not a number."""
CLOCK_UNCERTAIN = np.uint32(1 << COMMON_FLAGS.index("clock_uncertain"))
"""The flag of a sample whose time may be off by more than matters."""
OUT_OF_RANGE = np.uint32(1 << COMMON_FLAGS.index("out_of_range"))
"""The flag of a value that cannot be believed."""
NO_REFERENCE = np.uint32(1 << COMMON_FLAGS.index("no_reference"))
"""The flag of a sample for which a step had no reference."""
SATURATED = np.uint32(1 << COMMON_FLAGS.index("saturated"))
"""The flag of a value beyond what the detector can tell."""
CENSORED = np.uint32(1 << COMMON_FLAGS.index("censored"))
"""The flag of a value of which samples were left out for what they said."""
CONFLICT = np.uint32(1 << COMMON_FLAGS.index("conflict"))
"""The flag of a cell for which there are several values."""
NOT_APPLICABLE = np.uint32(1 << COMMON_FLAGS.index("not_applicable"))
"""The flag of a cell for which a variable has no single value: a mode that changes within a slot."""


def flag_table(instrument_flags: Sequence[str] = ()) -> dict[str, int]:
    """Return the mask of every flag by its meaning: the common ones, then those of an instrument from bit 16 up.

    Raises
    ------
    ValueError
        Too many flags, a flag named twice, or a name that is not one word.
    """
    names = (*COMMON_FLAGS, *instrument_flags)
    most = _BITS - FIRST_OWN_BIT
    if len(instrument_flags) > most or len(set(names)) != len(names) or any(not n.isidentifier() for n in names):
        msg = f"flags {tuple(instrument_flags)}: expected at most {most} new one-word names"
        raise ValueError(msg)
    bits = (*range(len(COMMON_FLAGS)), *range(FIRST_OWN_BIT, FIRST_OWN_BIT + len(instrument_flags)))
    return {name: 1 << bit for name, bit in zip(names, bits, strict=True)}


def flag_attributes(flags: Mapping[str, int]) -> dict[str, object]:
    """Return the CF attributes that explain a mask; masks as plain integers, as JSON wants them."""
    return {"flag_masks": list(flags.values()), "flag_meanings": " ".join(flags)}


def flags_of(quality: xr.DataArray) -> dict[str, int]:
    """Return the mask of every flag by its meaning: as the attributes of `quality` have them, else the common ones."""
    meanings = str(quality.attrs.get("flag_meanings", "")).split()
    masks = np.atleast_1d(quality.attrs.get("flag_masks", []))
    return {name: int(mask) for name, mask in zip(meanings, masks, strict=True)} or flag_table()


def set_flag(ds: xr.Dataset, name: str, where: xr.DataArray) -> xr.Dataset:
    """Return the samples with one flag raised.

    Parameters
    ----------
    ds
        Samples with `quality`, as the engine hands them to a step.
    name
        Meaning of the flag: a common one, or one that the product declares.
    where
        Boolean mask; its dimensions may be any of those of `quality`.

    Raises
    ------
    ValueError
        The product declares no such flag.
    """
    quality = ds["quality"]
    flags = flags_of(quality)
    if name not in flags:
        msg = f"no flag {name!r}; the product has {', '.join(flags)}"
        raise ValueError(msg)
    raised = quality.astype(QUALITY_DTYPE, copy=False) | (where.astype(QUALITY_DTYPE) * np.uint32(flags[name]))
    return ds.assign(quality=raised.transpose(*quality.dims, ...).assign_attrs(quality.attrs))


REJECTED = "rejected"
"""The coordinate of samples that tells why a step rejects some of them: 0, or a number for which it holds a reason."""


def reject(ds: xr.Dataset, reason: str, where: xr.DataArray) -> xr.Dataset:
    """Return samples of which some shall not come into the cube, for a reason that is counted and named.

    Parameters
    ----------
    ds
        Samples, as the engine hands them to a step.
    reason
        Why, in a few words.
    where
        Boolean mask along `time`. A sample that is rejected already keeps its reason.

    Raises
    ------
    ValueError
        There is no reason, or the mask is not along `time`.
    """
    if not reason.strip() or where.dims != ("time",):
        raise ValueError(f"reject: found reason {reason!r}, mask along {where.dims}; expected a few words, along time")
    known: Mapping[int, str] = ds[REJECTED].attrs["reasons"] if REJECTED in ds.coords else {}
    before = ds[REJECTED].values if REJECTED in ds.coords else np.zeros(ds.sizes["time"], np.uint32)
    code = crc32(reason.encode()) or 1
    marked = np.where((before == 0) & where.values.astype(bool), np.uint32(code), before)
    return ds.assign_coords({REJECTED: ("time", marked, {"reasons": {**known, code: reason}})})


def rejections(ds: xr.Dataset) -> dict[str, NDArray[np.bool_]]:
    """Return the samples that steps reject, by reason."""
    if REJECTED not in ds.coords:
        return {}
    codes = ds[REJECTED].values
    return {reason: codes == code for code, reason in ds[REJECTED].attrs["reasons"].items()}
