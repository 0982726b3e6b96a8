"""The payloads of references, as steps get them: read once, and kept within a budget of bytes."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import replace

import fsspec
import xarray as xr

from ilrs_science.errors import FormatError, foreign
from ilrs_science.model.granule import Granule
from ilrs_science.model.reference import Reference
from ilrs_science.raw.kept import Kept

_payloads = Kept(64 * 2**20)


def load(reference: Reference, reader: Callable[[Granule], xr.Dataset] | None = None) -> Reference:
    """Return the reference with its payload; read once for each digest, as long as a process keeps it.

    Parameters
    ----------
    reader
        What the instrument reads payloads of this kind with; None for JSON and netCDF-3.

    Raises
    ------
    FormatError
        The file is not what the plan saw, or cannot be decoded.
    """
    if reader is None:
        payload = _payloads.get(reference.sha256, lambda: _read(reference))
    else:
        key = (reference.sha256, reference.kind, reader)
        payload = _payloads.get(key, lambda: _read_with(reader, reference))
    # A shallow copy: the locked arrays are shared, the mapping of names is not.
    return replace(reference, payload=payload.copy())


def _read(reference: Reference) -> xr.Dataset:
    with fsspec.open(reference.url, "rb") as file:
        data = bytes(file.read())
    if hashlib.sha256(data).hexdigest() != reference.sha256:
        raise FormatError(f"{reference.url}: changed since it was planned with digest {reference.sha256}")
    return _frozen(_decode(reference.url, data))


def _read_with(reader: Callable[[Granule], xr.Dataset], reference: Reference) -> xr.Dataset:
    with foreign(f"load of {reference.kind}"):
        made = reader(Granule(reference.url, reference.instrument, sha256=reference.sha256))
    if not isinstance(made, xr.Dataset):
        raise FormatError(f"load of {reference.kind} returned {type(made).__name__}; expected an xarray.Dataset")
    return _frozen(made.load())


def is_readable(reference: Reference) -> bool:
    """Tell whether a payload is read without a reader of the instrument."""
    return reference.url.endswith((".json", ".nc"))


def _decode(url: str, data: bytes) -> xr.Dataset:
    try:
        if url.endswith(".json"):
            return xr.Dataset.from_dict(json.loads(data))
        return xr.load_dataset(io.BytesIO(data), engine="scipy")
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise FormatError(f"{url}: not a reference payload ({error})") from error


def _frozen(ds: xr.Dataset) -> xr.Dataset:
    # One copy serves every part of the process, so no step may change it.
    for variable in ds.variables.values():
        variable.values.flags.writeable = False
    return ds
