"""The cube in storage: Zarr v3, declared whole before any file is read, filled shard by shard by one owner each."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from threading import Lock
from typing import Any

import google_crc32c
import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray
from zarr.errors import ContainsArrayError

from ilrs_science.errors import CubeError
from ilrs_science.model.axis import Axis, RegularAxis
from ilrs_science.model.part import digest
from ilrs_science.model.product import Place, Product
from ilrs_science.model.site import Site
from ilrs_science.store.encoding import Cut, array_layout, cf_attributes

FORMAT = 1
"""Version of the layout of a cube."""

_TIME_CHUNK = 2**20


def schema(product: Product, place: Place, axis: Axis, sites: Sequence[Site], cut: Cut) -> dict[str, Any]:
    """Return everything that makes a cube this cube and no other, as JSON-able values."""
    return {
        "format": FORMAT,
        "product": product.as_json(),
        "place": place,
        "axis": axis.as_json(),
        "sites": [asdict(site) for site in sites],
        "cut": [cut.chunk, cut.shard],
    }


def create(  # noqa: PLR0913, PLR0917 - what a cube is
    url: str,
    product: Product,
    place: Place,
    axis: Axis,
    sites: Sequence[Site],
    cut: Cut,
    attributes: Mapping[str, Any],
) -> None:
    """Write the empty cube: coordinates, attributes and arrays without a shard. An unfinished or equal cube is kept.

    Raises
    ------
    CubeError
        Something else lies at the URL.
    """
    wanted = schema(product, place, axis, sites, cut)
    problem = conflict(url, wanted)
    if problem:
        raise CubeError(problem)
    existing = _attributes(url)
    if existing is not None and "ilrs_cube" in existing:
        update_attributes(url, attributes)
        return
    regular = isinstance(axis, RegularAxis)
    with _writing():
        # Until the last line the group says that it is being created: a killed creation is done again, from nothing.
        group = zarr.open_group(
            url, mode="w", zarr_format=3, use_consolidated=False, attributes={"ilrs_creating": digest(wanted)}
        )
        _write_coordinates(group, product, place, axis, sites, cut)
        leading = (len(sites),) if regular else ()
        for variable in product.stored(place):
            group.create_array(
                variable.name,
                shape=(*leading, *product.shape(variable, axis.count)),
                dtype=np.dtype(variable.dtype),
                # Cells that nobody wrote read as missing, in the values and in the flags.
                fill_value=variable.empty,
                dimension_names=("site", *variable.dims) if regular else variable.dims,
                attributes=cf_attributes(variable, product),
                overwrite=True,
                **array_layout(product, variable, cut, regular=regular),
            )
        group.create_group(
            "records", attributes={"about": "one JSON object a part: read, placed, rejected"}, overwrite=True
        )
        group.attrs.update({**attributes, "ilrs_schema": json.dumps(wanted)})
        _consolidate(group)
        group = zarr.open_group(url, mode="r+")
        finished = {key: value for key, value in group.attrs.items() if key != "ilrs_creating"}
        group.attrs.put({**finished, "ilrs_cube": digest(wanted)})


def conflict(url: str, wanted: Mapping[str, Any]) -> str:
    """Return why a cube of this schema cannot be written to the URL, or an empty text."""
    existing = _attributes(url)
    if existing is None:
        return _foreign(url)
    if digest(wanted) == existing.get("ilrs_cube") or "ilrs_creating" in existing:
        return ""
    try:
        found = json.loads(existing["ilrs_schema"])
    except (KeyError, ValueError):
        return f"{url} exists and is not a cube of this package; choose another output, or remove it"
    keys = [key for key in wanted if found.get(key) != json.loads(json.dumps(wanted[key]))]
    return f"{url} exists and is another cube (it differs in {', '.join(keys)}); choose another output, or remove it"


def update_attributes(url: str, attributes: Mapping[str, Any]) -> None:
    """Replace attributes of the cube, where they differ."""
    with _writing():
        group = zarr.open_group(url, mode="r+")
        if any(group.attrs.get(key) != value for key, value in attributes.items()):
            group.attrs.update(dict(attributes))


def write_region(url: str, row: int, first: int, arrays: Mapping[str, NDArray[Any]]) -> dict[str, str]:
    """Write whole shards of every variable and return the CRC-32C of the bytes of each.

    Parameters
    ----------
    row
        Index of the site; -1 in an exposure cube.
    first
        Index of the first sample along time; a multiple of the shard.
    arrays
        By name, time first.
    """
    checksums = {}
    with _writing():
        group = zarr.open_group(url, mode="r+", use_consolidated=False)
        for name, values in arrays.items():
            array = group[name]
            if not isinstance(array, zarr.Array):
                raise CubeError(f"{url}: {name} is not an array")
            along_time = slice(first, first + values.shape[0])
            array[(row, along_time) if row >= 0 else (along_time,)] = values
            checksums[name] = f"{google_crc32c.value(np.ascontiguousarray(values).tobytes()):08x}"
    return checksums


def open_attributes(url: str) -> dict[str, Any]:
    """Return the attributes of a cube.

    Raises
    ------
    CubeError
        There is no cube at the URL.
    """
    attributes = _attributes(url)
    if attributes is None or "ilrs_cube" not in attributes:
        raise CubeError(f"no cube at {url}; give the path or URL of a cube that `ilrs run` wrote")
    return attributes


def open_cube(url: str, *, chunks: dict[str, int] | None = None) -> xr.Dataset:
    """Open a cube; the same as `xarray.open_zarr`, after a check that it is one.

    Parameters
    ----------
    url
        Path or fsspec URL.
    chunks
        Dask chunks by dimension; by default those of the cube.

    Raises
    ------
    CubeError
        There is no cube at the URL.
    """
    open_attributes(url)
    cube: xr.Dataset = xr.open_zarr(url, chunks=chunks or {}, consolidated=True)
    return cube


def _attributes(url: str) -> dict[str, Any] | None:
    try:
        return dict(zarr.open_group(url, mode="r", use_consolidated=False).attrs)
    except FileNotFoundError:  # zarr's GroupNotFoundError is one
        return None
    except ContainsArrayError as error:
        raise CubeError(f"{url} is a Zarr array, not a cube; choose another output, or remove it") from error


def _foreign(url: str) -> str:
    from fsspec import url_to_fs  # noqa: PLC0415

    filesystem, path = url_to_fs(url)
    if not filesystem.exists(path):
        return ""
    # A creation killed in its first moment leaves no more than an unfinished file.
    if not filesystem.isdir(path) or not all(name.endswith(".partial") for name in filesystem.ls(path, detail=False)):
        return f"{url} exists and is not a cube; choose another output, or remove it"
    return ""


def _write_coordinates(  # noqa: PLR0913, PLR0917 - what a cube is
    group: zarr.Group, product: Product, place: Place, axis: Axis, sites: Sequence[Site], cut: Cut
) -> None:
    time = {
        "units": "nanoseconds since 1970-01-01T00:00:00",
        "calendar": "proleptic_gregorian",
        "standard_name": "time",
        "axis": "T",
        "long_name": "start of slot (time_scale: TAI)" if isinstance(axis, RegularAxis) else "time (time_scale: TAI)",
        "time_scale": "TAI",
    }
    _write(group, "time", ("time",), axis.times(), time)
    if isinstance(axis, RegularAxis):
        _write(group, "site", ("site",), [site.name for site in sites], {"long_name": "place that observes"})
        _write_places(group, "site", sites, 1)
    else:
        by_name = {site.name: site for site in sites}
        _write(group, "site", ("time",), list(axis.sites), {"long_name": "place that observes"}, cut.chunk)
        _write_places(group, "time", [by_name[name] for name in axis.sites], cut.chunk)
    for name, values in product.coordinates.items():
        if not isinstance(values, int):
            _write(group, name, (name,), values, product.coordinate_attributes[name])
    names = [v.name for v in product.stored(place) if v.coordinate]
    group.attrs["coordinates"] = " ".join(
        ["lon", "lat", "height", *(["site"] * (not isinstance(axis, RegularAxis))), *names]
    )


def _write_places(group: zarr.Group, dimension: str, sites: Sequence[Site], chunk: int) -> None:
    frames = sorted({site.frame for site in sites})
    # `degree`, not CF's degrees_east: astropy knows only the one, and the standard name says the direction.
    for name, standard_name, units, about in (
        ("lon", "longitude", "degree", "longitude, east positive"),
        ("lat", "latitude", "degree", "planetocentric latitude"),
        ("height", "", "m", "height above the sphere of 1737.4 km"),
    ):
        values = [getattr(site, name) for site in sites]
        numbers = np.array([np.nan if value is None else value for value in values], "f8")
        attributes = {"units": units, "long_name": about, "frame": ", ".join(frames)}
        if standard_name:
            attributes["standard_name"] = standard_name
        _write(group, name, (dimension,), numbers, attributes, chunk)


def _write(  # noqa: PLR0913, PLR0917 - what an array is
    group: zarr.Group,
    name: str,
    dims: tuple[str, ...],
    values: Any,
    attributes: dict[str, Any],
    chunk: int = _TIME_CHUNK,
) -> None:
    """Write a coordinate as one file; a chunk that is the data's keeps the chunks of the whole cube consistent."""
    is_text = isinstance(values, list) and bool(values) and isinstance(values[0], str)
    array: NDArray[Any] = np.array(values, dtype=object) if is_text else np.asarray(values)
    stored = group.create_array(
        name,
        shape=array.shape,
        chunks=(max(1, min(len(array), chunk)),),
        shards=(-(-len(array) // chunk) * chunk,) if chunk < min(len(array), _TIME_CHUNK) else None,
        dtype=str if is_text else array.dtype,
        dimension_names=dims,
        attributes=attributes,
        overwrite=True,
    )
    stored[:] = array


def _consolidate(group: zarr.Group) -> None:
    with warnings.catch_warnings():
        # Zarr v3 has no consolidated metadata in its text yet; xarray writes and reads it, and opens ten times faster.
        warnings.filterwarnings("ignore", message="Consolidated metadata", category=UserWarning)
        zarr.consolidate_metadata(group.store)


class _Fused:
    """The fused codec pipeline, one thread for each writer: measured 1.2 times less CPU than the default.

    Zarr's settings are those of the whole process, so the first of several writers sets them and the last puts back
    what was there before.
    """

    def __init__(self) -> None:
        self.lock = Lock()
        self.writers = 0
        self.settings: Any = None

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self.lock:
            self.writers += 1
            if self.writers == 1:
                path = "zarr.core.codec_pipeline.FusedCodecPipeline"
                self.settings = zarr.config.set({"codec_pipeline.path": path, "codec_pipeline.max_workers": 1})
        try:
            yield
        finally:
            with self.lock:
                self.writers -= 1
                if self.writers == 0:
                    self.settings.__exit__(None, None, None)


_writing = _Fused()
