"""What the engine adds to samples before steps get them: flags, a number for each, and tags of their granule."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import xarray as xr

from ilrs_science.model.granule import Granule
from ilrs_science.model.part import digest
from ilrs_science.model.product import Product
from ilrs_science.model.quality import QUALITY_DTYPE, flag_attributes

TAG = "tag_"
"""How the names of coordinates begin that hold tags of granules."""


def with_quality(ds: xr.Dataset, product: Product) -> xr.Dataset:
    """Return samples with `quality`: all good where the reader gave none, and with the flags the product declares.

    It has those of its dimensions that the samples have; what a step adds to them flags may lack.
    """
    attributes = flag_attributes(product.flags)
    if "quality" in ds:
        return ds.assign(quality=ds["quality"].astype(QUALITY_DTYPE).assign_attrs(attributes))
    dims = tuple(name for name in product.sample_dims(product.quality_dims) if name in ds.dims)
    none = np.zeros([ds.sizes[name] for name in dims], QUALITY_DTYPE)
    return ds.assign(quality=xr.DataArray(none, dims=dims, attrs=attributes))


def with_sample_numbers(ds: xr.Dataset, granule: Granule) -> xr.Dataset:
    """Return samples with the coordinate `sample`: what tells each from all others, the same in every cut.

    A 64-bit counter that begins where the digest of the file says; for dithering that can be repeated, say.
    """
    numbers = np.arange(ds.sizes["time"], dtype=np.uint64) + first_sample_number(granule)
    return ds.assign_coords(sample=("time", numbers))


def first_sample_number(granule: Granule) -> np.uint64:
    """Return the number of the first sample of a granule; a number less this one is a position in its file."""
    return np.uint64(int(digest([granule.sha256, granule.site])[:16], 16))


def with_tags(ds: xr.Dataset, granule: Granule, keys: Collection[str]) -> xr.Dataset:
    """Return samples with those tags of their granule by which references are chosen, as coordinates along `time`."""
    return ds.assign_coords(
        {f"{TAG}{key}": ("time", np.full(ds.sizes["time"], granule.tags.get(key, ""))) for key in keys}
    )
