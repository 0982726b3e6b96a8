"""Quality flags: one unsigned bit mask a sample, the low bits the same in every product."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

QUALITY_DTYPE = "u2"

COMMON_FLAGS = (
    "missing",
    "saturated",
    "bad_detector",
    "cosmic_ray",
    "interpolated",
    "clock_uncertain",
    "out_of_range",
    "no_reference",
)
"""Meanings of bits 0 to 7, in order."""

MISSING = np.uint16(1)
"""The flag of a cell that no sample reached, or whose value is not a number."""

_BITS = 16


def flag_table(instrument_flags: Sequence[str] = ()) -> dict[str, int]:
    """Return the mask of every flag by its meaning.

    Raises
    ------
    ValueError
        Too many flags, a flag named twice, or a name that is not one word.
    """
    names = (*COMMON_FLAGS, *instrument_flags)
    if len(names) > _BITS or len(set(names)) != len(names) or any(not n.isidentifier() for n in names):
        msg = f"flags {tuple(instrument_flags)}: expected at most {_BITS - len(COMMON_FLAGS)} new one-word names"
        raise ValueError(msg)
    return {name: 1 << bit for bit, name in enumerate(names)}


def flag_attributes(flags: Mapping[str, int]) -> dict[str, object]:
    """Return the CF attributes that explain a mask; masks as plain integers, as JSON wants them."""
    return {"flag_masks": list(flags.values()), "flag_meanings": " ".join(flags)}


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
    meanings = str(quality.attrs.get("flag_meanings", " ".join(COMMON_FLAGS))).split()
    if name not in meanings:
        msg = f"no flag {name!r}; the product has {', '.join(meanings)}"
        raise ValueError(msg)
    bit = quality.dtype.type(1 << meanings.index(name))
    raised = quality | (where.astype(quality.dtype) * bit)
    return ds.assign(quality=raised.transpose(*quality.dims, ...).assign_attrs(quality.attrs))
