"""Vectors turned from one frame to another, any number of samples, lazily where they are lazy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from ilrs_science.errors import IlrsError
from ilrs_science.geometry.chebyshev import Floats
from ilrs_science.geometry.earth import earth_notes
from ilrs_science.geometry.ephemeris import Ephemeris, chosen
from ilrs_science.geometry.frames import between, check_frame
from ilrs_science.geometry.moments import Moments
from ilrs_science.geometry.rotations import apply, unit
from ilrs_science.geometry.scales import tai
from ilrs_science.geometry.time import SECOND, Nanoseconds
from ilrs_science.model.site import Site

GRID = 10.0
"""Seconds between the rotations that `transform` evaluates and interpolates linearly."""
INTERPOLATION_ERROR = {"ITRS": 0.014, "GSM": 0.003}
"""Largest error of that interpolation, arcsec; in all other frames it is below 2e-5."""
_SMALL_ERROR = 2e-5
_STEP = int(GRID * SECOND)
_STRETCH, _BLOCK = 131072, 8192
"""Samples whose rotations are evaluated together, and samples that are turned at a time, in the processor's cache."""
_PARALLEL = 1e-8


@dataclass(frozen=True)
class _Way:
    """From which frame into which, and what that needs."""

    source: str
    target: str
    site: Site | None
    given: Ephemeris | None
    name: str
    """Of the ephemeris: a lazy block takes the kernels of the process that computes it, which have to be the same."""

    def check(self, mean_field: ArrayLike | None) -> None:
        """Refuse frames that are none, or that need what was not given."""
        check_frame(self.source, self.site)
        if self.target != "MFA":
            check_frame(self.target, self.site)
        elif mean_field is None:
            msg = "MFA needs mean_field=, the low-passed field in the source frame"
            raise IlrsError(msg)

    def attributes(self, moments: Nanoseconds) -> dict[str, str]:
        """Return what vectors in the target frame tell of it."""
        about = {"frame": self.target, "ephemeris": self.name, **_notes({self.source, self.target}, moments)}
        if self.site is not None and self.target == "ENU":
            about["site"] = self.site.name
        return about


def transform(  # noqa: PLR0913 - the vectors, the frames, the moments, and what they need
    vectors: Any,
    source: str,
    target: str,
    time: Moments | None = None,
    site: Site | None = None,
    *,
    scale: str | None = None,
    mean_field: ArrayLike | None = None,
    axis: str = "axis",
    ephemeris: Ephemeris | None = None,
) -> Any:
    """Turn vectors from one frame into another, sample by sample.

    Rotations are evaluated every 10 s on a grid that is the same for all calls, and interpolated linearly; that errs by
    2e-5 arcsec (0.003 in GSM, 0.014 in ITRS), and results do not depend on how samples are cut into blocks.

    Parameters
    ----------
    vectors
        Array of shape (..., 3), or a `DataArray` with a dimension of three components; lazy where that is.
    source, target
        As in `rotation`; the target may also be MFA, the frame of the mean field.
    time
        Of each vector, or one for all; by default the coordinate `time` of a `DataArray`.
    site
        The site of ENU; for MFA, whose radius fixes the second axis.
    scale
        Scale of datetime64.
    mean_field
        For MFA: the mean field in the source frame, shape of the vectors or (3,). See `mean_field_aligned`; how it was
        filtered is for the caller to record.
    axis
        Dimension of the components in a `DataArray`.
    ephemeris
        By default what is installed.

    Returns
    -------
    What came in, of the same shape and floating dtype, in the target frame. A `DataArray` says its `frame`.

    Raises
    ------
    IlrsError
        As in `rotation`; vectors without three components, or that do not fit the times.
    """
    way = _Way(source, target, site, ephemeris, chosen(ephemeris).name)
    way.check(mean_field)
    fields: list[Any] = [mean_field] if target == "MFA" else []
    turn = partial(_to_mean_field if fields else _turn, way)
    if isinstance(vectors, xr.DataArray):
        moments = _labelled_moments(vectors, time, scale)
        about = way.attributes(moments.values)
        turned = _labelled(turn, vectors, moments, fields, axis)
        turned.attrs.pop("site", None)  # of the frame that is left
        return turned.assign_attrs(about)
    if time is None:
        msg = "vectors without labels have no times; give time="
        raise IlrsError(msg)
    values, given = np.asarray(vectors), tai(time, scale)
    _check_shapes(values, given, fields)
    return turn(values, given, *fields)


def mean_field_aligned(mean_field: ArrayLike, radial: ArrayLike) -> Floats:
    """Return the rotation to the frame of the mean field: z along it, y along z cross r, x completes it.

    Parameters
    ----------
    mean_field, radial
        The low-passed field and the direction r, in one frame, shape (..., 3).

    Returns
    -------
    float64, shape (..., 3, 3); NaN where the field is parallel to r (or zero, or NaN).
    """
    field, r = np.broadcast_arrays(np.asarray(mean_field, np.float64), np.asarray(radial, np.float64))
    with np.errstate(invalid="ignore", divide="ignore"):
        z = unit(field)
        y = np.cross(z, unit(r))
        size = np.linalg.norm(y, axis=-1, keepdims=True)
        y = np.where(size > _PARALLEL, y / size, np.nan)
    return np.stack([np.cross(y, z), y, z + 0.0 * y], axis=-2)


def _notes(frames: set[str], moments: Nanoseconds) -> dict[str, str]:
    """Return how far rotations to and from frames can be trusted."""
    # From one to the other both rotations are interpolated, and the worst of each may come at one time.
    error = sum(INTERPOLATION_ERROR.get(frame, 0.0) for frame in frames) or _SMALL_ERROR
    notes = {"interpolation_error": f"{error} arcsec"}
    if moments.size and frames & set(INTERPOLATION_ERROR):
        notes |= earth_notes(int(moments.min()), int(moments.max()))
    return notes


def _labelled_moments(vectors: xr.DataArray, time: Moments | None, scale: str | None) -> xr.DataArray:
    """Return the times of labelled vectors, int64 ns of TAI."""
    if time is None and not {"time", "tai"} & set(vectors.coords):
        msg = "the vectors have no coordinate time; give time="
        raise IlrsError(msg)
    exact = time is None and "tai" in vectors.coords
    given: Any = vectors.coords["tai" if exact else "time"] if time is None else time
    ns = tai(given, "tai" if exact else scale)
    moments = xr.DataArray(ns, dims=given.dims if isinstance(given, xr.DataArray) else ("time",) * ns.ndim)
    if any(vectors.sizes.get(name) != size for name, size in moments.sizes.items()):
        raise IlrsError(f"times along {dict(moments.sizes)} do not fit vectors along {dict(vectors.sizes)}")
    return moments


def _labelled(
    turn: Callable[..., NDArray[Any]], vectors: xr.DataArray, moments: xr.DataArray, fields: list[Any], axis: str
) -> xr.DataArray:
    """Apply a rotation of arrays to labelled ones, block by block where they are lazy."""
    if vectors.sizes.get(axis) != 3:  # noqa: PLR2004
        raise IlrsError(f"no dimension {axis!r} of three components in {dict(vectors.sizes)}; say which with axis=")
    if vectors.chunks is not None:
        vectors = vectors.chunk({axis: -1})
    turned: xr.DataArray = xr.apply_ufunc(
        turn,
        vectors,
        moments,
        *(_labelled_field(field, vectors, axis) for field in fields),
        input_core_dims=[[axis], [], *([axis] for _ in fields)],
        output_core_dims=[[axis]],
        dask="parallelized",
        output_dtypes=[np.result_type(vectors.dtype, np.float32)],
        keep_attrs="override",
    )
    return turned.transpose(*vectors.dims).rename(vectors.name)


def _labelled_field(field: ArrayLike | xr.DataArray, vectors: xr.DataArray, axis: str) -> xr.DataArray:
    """Return a mean field with dimensions: those of the vectors, or the components alone."""
    if isinstance(field, xr.DataArray):
        labelled = field
    else:
        if np.ndim(field) not in {1, vectors.ndim}:
            raise IlrsError(f"a mean field of shape {np.shape(field)}; expected (3,) or {vectors.shape}")
        labelled = xr.DataArray(field, dims=(axis,) if np.ndim(field) == 1 else vectors.dims)
    if any(vectors.sizes.get(name) != size for name, size in labelled.sizes.items()) or axis not in labelled.dims:
        raise IlrsError(f"a mean field along {dict(labelled.sizes)}; expected (3,) or along {dict(vectors.sizes)}")
    return labelled


def _check_shapes(values: NDArray[Any], moments: Nanoseconds, fields: Sequence[Any]) -> None:
    """Refuse bare arrays that are no vectors, or times and mean fields that do not fit them."""
    if not values.ndim or values.shape[-1] != 3 or values.dtype.kind not in "fiu":  # noqa: PLR2004
        raise IlrsError(f"vectors of type {values.dtype} and shape {values.shape}; expected numbers, (..., 3)")
    for field in fields:
        if np.shape(field) not in ((3,), values.shape):
            raise IlrsError(f"a mean field of shape {np.shape(field)}; expected (3,) or {values.shape}")
    if moments.ndim and moments.shape != values.shape[-1 - moments.ndim : -1]:
        raise IlrsError(f"times of shape {moments.shape} do not fit vectors of shape {values.shape}")


def _to_mean_field(way: _Way, vectors: NDArray[Any], moments: Nanoseconds, mean_field: Any) -> NDArray[Any]:
    """Rotate vectors into the frame of their mean field; r is up at the site, or towards the Sun without one."""
    local, axis = ("GSE", [1.0, 0.0, 0.0]) if way.site is None else ("ENU", [0.0, 0.0, 1.0])
    reference = np.broadcast_to(np.array(axis), (*moments.shape, 3))
    radial = _turn(replace(way, source=local, target=way.source), reference, moments)
    turned = apply(mean_field_aligned(mean_field, radial), vectors)
    return turned.astype(np.result_type(vectors.dtype, np.float32), copy=False)


def _turn(way: _Way, vectors: NDArray[Any], moments: Nanoseconds) -> NDArray[Any]:
    """Rotate vectors (..., time, 3), times (time,) or of any shape that broadcasts to that of the vectors."""
    shape = vectors.shape[:-1]
    result = np.empty(vectors.shape, np.result_type(vectors.dtype, np.float32))
    if way.source == way.target:
        result[...] = vectors
        return result
    ephemeris = chosen(way.given, way.name)
    times = np.broadcast_to(moments, shape).reshape(-1)
    flat_in, flat_out = vectors.reshape(-1, 3), result.reshape(-1, 3)
    for first in range(0, times.size, _STRETCH):
        part = slice(first, first + _STRETCH)
        cells = times[part] // _STEP
        cells = np.unique(cells[np.flatnonzero(np.diff(cells, prepend=cells[0] - 1))])
        nodes = np.union1d(cells, cells + 1)
        matrices = between(way.source, way.target, nodes * _STEP, way.site, ephemeris)
        _turn_block(flat_in[part], times[part], nodes, matrices, flat_out[part])
    return result


def _turn_block(
    vectors: NDArray[Any], times: Nanoseconds, nodes: Nanoseconds, matrices: Floats, out: NDArray[Any]
) -> None:
    """Write vectors (n, 3), turned by matrices that are interpolated between their nodes, into `out`."""
    start = np.ascontiguousarray(matrices.reshape(-1, 9).T)
    change = np.diff(start, append=start[:, -1:])
    for first in range(0, len(times), _BLOCK):
        block = slice(first, first + _BLOCK)
        number = times[block] // _STEP
        row = np.searchsorted(nodes, number)
        m = start[:, row] + (times[block] - number * _STEP) / _STEP * change[:, row]
        x, y, z = vectors[block].T
        for i in range(3):
            out[block, i] = m[3 * i] * x + m[3 * i + 1] * y + m[3 * i + 2] * z
