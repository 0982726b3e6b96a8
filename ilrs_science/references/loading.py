"""The payloads of references, as steps get them: read once, and kept within a budget of bytes."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import replace

import fsspec
import xarray as xr

from ilrs_science.errors import FormatError
from ilrs_science.model.reference import Reference
from ilrs_science.raw.kept import Kept

_payloads = Kept(64 * 2**20)


def load(reference: Reference) -> Reference:
    """Return the reference with its payload; read once for each digest, as long as a process keeps it.

    Raises
    ------
    FormatError
        The file is not what the plan saw, or cannot be decoded.
    """
    payload = _payloads.get(reference.sha256, lambda: _read(reference))
    # A shallow copy: the locked arrays are shared, the mapping of names is not.
    return replace(reference, payload=payload.copy())


def _read(reference: Reference) -> xr.Dataset:
    with fsspec.open(reference.url, "rb") as file:
        data = bytes(file.read())
    if hashlib.sha256(data).hexdigest() != reference.sha256:
        raise FormatError(f"{reference.url}: changed since it was planned with digest {reference.sha256}")
    return _frozen(_decode(reference.url, data))


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
