"""A finished cube as raw data: its parts are the granules, known by the checksums of their stored bytes.

Equal bytes are equal granules, whatever made them: where a part is made anew and comes out the same, nothing follows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray
from zarr.core.buffer import cpu
from zarr.storage import MemoryStore

from ilrs_science.catalog import with_times
from ilrs_science.errors import CubeError, FormatError, OutageError
from ilrs_science.model.axis import ExposureAxis, RegularAxis, Times, regular_axis
from ilrs_science.model.granule import Granule
from ilrs_science.model.part import digest
from ilrs_science.model.quality import FIRST_OWN_BIT, MISSING
from ilrs_science.model.reader import Reader
from ilrs_science.model.record import Record
from ilrs_science.store import records, shards
from ilrs_science.store.collection import existing_collection
from ilrs_science.store.cube import COMPLETE, ROOT, Existing, data_names, existing, read_root
from ilrs_science.store.encoding import TIME_UNITS
from ilrs_science.store.target import Target, target

LEVEL = "cube"
"""Level of a granule that is part of a cube."""
_REGION = re.compile(r"(.*)#([0-9]+)\+([0-9]+)")
_OF_STORAGE = ("ancillary_variables", "cell_methods", "flag_masks")
"""Attributes that say how a variable is stored, or what else is stored."""
_WILD = re.compile(r"[*?\[]")


def cubes(pattern: str) -> list[str]:
    """Return the addresses of the cubes that a pattern stands for; of a collection those of its cubes, in order.

    Raises
    ------
    FormatError
        Nothing matches it, or no such kind of storage is known.
    """
    wild = pattern.replace("{site}", "*")
    places = [wild]
    if _WILD.search(wild) and not ("://" not in wild and Path(wild).exists()):
        try:
            filesystem, path = fsspec.url_to_fs(wild)
            places = sorted(map(str, filesystem.glob(path)))
        except (ImportError, ValueError) as error:
            raise FormatError(f"{pattern}: {error}") from error
        if "://" in wild:
            places = [filesystem.unstrip_protocol(one) for one in places]
    if not places:
        raise FormatError(f"{pattern}: no cube matches it")
    return [url for place in places for url in _members(place)]


def place_of(url: str) -> str:
    """Return where a granule lies, as far as that stays: the last part of a cube that grows gets longer."""
    found = _REGION.fullmatch(url)
    return url if found is None else f"{found[1]}#{found[2]}"


def cube_of(granule: Granule) -> str:
    """Return the address of the cube that a granule is part of."""
    return _region(granule)[0]


def index(url: str, reader: Reader) -> list[Granule]:
    """Return the parts of a cube that hold samples, each site apart.

    Raises
    ------
    FormatError
        It is no cube, or one of another instrument than the reader reads.
    OutageError
        It is not finished.
    """
    found = _Source.open(url)
    made_by = str(found.cube.attributes.get("instrument", "unknown"))
    if made_by != reader.reads:
        raise FormatError(f"{url}: a cube of {made_by}; {reader.name} reads cubes of {reader.reads}")
    if found.cube.schema["place"] == "table":
        raise FormatError(f"{url}: has a table, not cells; there is nothing that {reader.name} could read")
    status = found.cube.attributes.get("status")
    if status != COMPLETE:
        raise OutageError(f"{url}: {status or 'unfinished'}; run its pipeline to the end first")
    loaded = records.load(found.place)
    if loaded.unreadable:
        raise FormatError(f"{url}: {', '.join(loaded.unreadable)} cannot be read; see `ilrs verify --repair`")
    standing = [one for one in loaded.records.values() if one.status == "done" and one.first < found.cube.count]
    return [granule for record in standing for granule in found.granules(record, reader.name)]


def flags_of(url: str) -> dict[str, int]:
    """Return the quality flags of a cube with their masks."""
    return _Source.open(url).flags


def attributes_of(url: str) -> dict[str, dict[str, Any]]:
    """Return what the variables of a cube say of themselves."""
    found = _Source.open(url)
    return {name: found.attributes(name) for name in found.names}


def samples(granule: Granule, flags: Mapping[str, int] | None = None) -> xr.Dataset:
    """Return the cells of a granule of a cube that are not missing, along `time`, with both times.

    All variables of the cube, of their stored types: `quality` has the flags as the taker of the samples knows them.

    Parameters
    ----------
    flags
        Masks of the flags by name, of who takes the samples; None where they stay as the cube has them.

    Raises
    ------
    OutageError
        The cube is not there, or has changed since it was indexed.
    """
    url, first, count = _region(granule)
    try:
        found = _Source.open(url)
        stored = found.stored(granule.site, first, count)
    except FormatError as error:
        raise OutageError(str(error)) from error
    if stored.sha256 != granule.sha256:
        raise OutageError(
            f"{granule.url}: its stored bytes are not those that were planned with; plan again if the cube has "
            f"changed, `ilrs verify {url}` tells if it is damaged"
        )
    return found.samples(granule.site, (first, count), stored, found.flags if flags is None else flags)


@dataclass(frozen=True)
class _Stored:
    """The bytes of a region, by the keys of their shards."""

    data: Mapping[str, bytes | None]
    sha256: str


@dataclass(frozen=True)
class _Source:
    """A cube that is read from."""

    place: Target
    cube: Existing

    @classmethod
    def open(cls, url: str) -> _Source:
        """Return the cube at a place.

        Raises
        ------
        FormatError
            There is none.
        """
        place = target(url)
        try:
            found = existing(place)
        except CubeError as error:
            raise FormatError(str(error)) from error
        if found is None:
            raise FormatError(f"{url}: there is no cube")
        return cls(place, found)

    @property
    def product(self) -> dict[str, Any]:
        """The schema of its product."""
        return dict(self.cube.schema["product"])

    @property
    def flags(self) -> dict[str, int]:
        """Its quality flags with their masks."""
        return dict(self.product["flags"])

    @cached_property
    def axis(self) -> RegularAxis | None:
        """Its axis; None where that is of exposures."""
        kind = self.cube.schema["axis"]
        return None if kind == ExposureAxis.kind else regular_axis(kind, self.cube.count)

    @cached_property
    def names(self) -> list[str]:
        """Its data variables."""
        return data_names(self.cube, read_root(self.place) or {})

    def array(self, name: str) -> zarr.Array[Any]:
        """Return one of its arrays."""
        return shards.array(self._group, name, self.place)

    def attributes(self, name: str) -> dict[str, Any]:
        """Return what a variable says of itself; whether it lies on a circle or a sphere, too."""
        declared: dict[str, Any] = next((one for one in self.product["variables"] if one["name"] == name), {})
        kind = {key: declared[key] for key in ("period", "normalised") if declared.get(key)}
        stored = {key: one for key, one in self.array(name).attrs.items() if key not in _OF_STORAGE}
        return stored | kind

    @cached_property
    def _group(self) -> zarr.Group:
        return zarr.open_group(self.place.store(), mode="r")

    def granules(self, record: Record, name: str) -> Iterator[Granule]:
        """Yield what a record tells of, site by site, without those that have no sample."""
        known = {key: None if one is None else one.crc32c for key, one in record.shards.items()}
        url = f"{self.place.url}#{record.first}+{record.count}"
        bare = Granule(url, name, sha256=self._sha256(known, record.first, record.count), level=LEVEL)
        if self.axis is None:
            yield from self._exposures(record, bare)
        elif count := record.count - record.missing:
            region = self.axis.region(record.first, record.first + record.count)
            site = self.cube.sites[record.row].name
            yield _with(bare, site, (region.start, region.stop), count, record.count * self._bytes)

    def _exposures(self, record: Record, bare: Granule) -> Iterator[Granule]:
        """Yield the exposures that a record tells of, site by site."""
        instants, sites = self._instants(record.first, record.count)
        if record.missing:
            filled = ~_missing(np.asarray(self.array("quality")[record.first : record.first + record.count]))
            instants, sites = instants[filled], sites[filled]
        for site in sorted(set(sites.tolist())):
            times = instants[sites == site].tolist()
            yield _with(bare, site, (times[0], times[-1] + 1), times, len(times) * self._bytes)

    @cached_property
    def _bytes(self) -> int:
        """Bytes of a slot of one site, decoded."""
        leading = 1 if self.axis is None else 2
        return sum(prod(one.shape[leading:]) * one.dtype.itemsize for one in map(self.array, self.names))

    def stored(self, site: str, first: int, count: int) -> _Stored:
        """Read the shards of a region."""
        row = self._row(site)
        every = ((name, self.array(name)) for name in self.names)
        keys = [key for name, array in every for key in shards.keys(array, name, row, first, count)]
        data = {key: self.place.read(key) for key in keys}
        known = {key: None if one is None else shards.checksum(one) for key, one in data.items()}
        return _Stored(data, self._sha256(known, first, count))

    def samples(self, site: str, region: tuple[int, int], stored: _Stored, flags: Mapping[str, int]) -> xr.Dataset:
        """Return the samples of a site in a region, first slot and count, whose bytes were read."""
        arrays = self._decoded(stored, self._row(site), *region)
        quality = arrays["quality"]
        here, offset = ~_missing(quality.values), arrays.pop("time_offset", None)
        if self.axis is None:
            tai, sites = self._instants(*region)
            here &= sites == site
        else:
            tai = self._times(self.axis.region(region[0], sum(region)), offset)
        arrays["quality"] = quality.copy(data=self._flags(quality.values, flags))
        every = xr.Dataset(arrays, {**self._labels, "tai": ("time", tai)})
        return with_times(every.isel(time=np.flatnonzero(here)))

    @property
    def _labels(self) -> dict[str, xr.Variable]:
        """Labels or values of dimensions other than time."""
        attributes = self.product.get("coordinate_attributes", {})
        return {
            name: xr.Variable(name, one, attributes.get(name))
            for name, one in self.product["coordinates"].items()
            if not isinstance(one, int)
        }

    def _decoded(self, stored: _Stored, row: int, first: int, count: int) -> dict[str, xr.Variable]:
        """Return the data variables in a region, from the bytes that were read and no others."""
        documents = {f"{name}/{ROOT}": self.place.read(f"{name}/{ROOT}") for name in self.names}
        held = {**documents, **stored.data}
        memory = MemoryStore({key: cpu.Buffer.from_bytes(one) for key, one in held.items() if one is not None})
        found = {}
        for name in self.names:
            array = zarr.open_array(memory, path=name, mode="r")
            dims = tuple(map(str, getattr(array.metadata, "dimension_names", ())))
            along_time = slice(first, first + count)
            values = array[(row, along_time) if row >= 0 else (along_time,)]
            found[name] = xr.Variable(dims[1:] if row >= 0 else dims, values, self.attributes(name))
        return found

    def _times(self, region: RegularAxis, offset: xr.Variable | None) -> Times:
        """Return when the cells of a region were measured: at their own time, or else at the middle of their slot."""
        bounds = region.bounds()
        return bounds[:, 0] + (offset.values if offset is not None else (bounds[:, 1] - bounds[:, 0]) // 2)

    def _flags(self, quality: NDArray[Any], flags: Mapping[str, int]) -> NDArray[Any]:
        """Return flags as who takes the samples knows them: those that every product has, and others by their name."""
        made = quality & np.uint32(2**FIRST_OWN_BIT - 1)
        for name, mask in self.flags.items():
            if mask >= 2**FIRST_OWN_BIT:
                made |= np.where(quality & np.uint32(mask), np.uint32(flags[name]), np.uint32(0))
        return made

    def _row(self, site: str) -> int:
        return [one.name for one in self.cube.sites].index(site) if self.axis is not None else -1

    def _instants(self, first: int, count: int) -> tuple[Times, NDArray[Any]]:
        """Return when and where exposures were taken, TAI ns and names."""
        tai, names = (self.array(one) for one in ("tai", "site"))
        units = str(tai.attrs["units"])
        length = next(one for one, word in TIME_UNITS.items() if units.startswith(word))
        region = slice(first, first + count)
        return np.asarray(tai[region], np.int64) * length, np.array(np.asarray(names[region]).tolist(), str)

    def _sha256(self, known: Mapping[str, str | None], first: int, count: int) -> str:
        """Return the identity of a region: when it is, and the checksums of its shards; not where the cube lies."""
        told = [[key.partition("/")[0], checksum] for key, checksum in sorted(known.items(), key=_in_order)]
        if self.axis is None:
            instants, sites = self._instants(first, count)
            when: object = [instants.tolist(), sites.tolist()]
        else:
            when = self.axis.region(first, first + count).identity
        return digest([self.cube.schema["product"], self.cube.schema["place"], when, told])


def _with(bare: Granule, site: str, span: tuple[int, int], times: Sequence[int] | int, size: int) -> Granule:
    """Return a granule with a site, its span (TAI ns), its samples or their times, and its bytes once decoded."""
    instants = () if isinstance(times, int) else tuple(times)
    count = times if isinstance(times, int) else len(times)
    return replace(bare, site=site, start=span[0], stop=span[1], count=count, times=instants, size=size)


def _in_order(item: tuple[str, object]) -> tuple[str, list[int]]:
    """Return what puts the keys of shards in order: by variable, then by place."""
    name, _, numbers = item[0].partition("/c/")
    return name, list(map(int, numbers.split("/")))


def _missing(quality: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell which slots nothing reached."""
    return np.asarray((quality & MISSING).astype(bool).all(axis=tuple(range(1, quality.ndim))))


def _region(granule: Granule) -> tuple[str, int, int]:
    found = _REGION.fullmatch(granule.url)
    if found is None:
        raise FormatError(f"{granule.url}: no part of a cube")
    return found[1], int(found[2]), int(found[3])


def _members(place: str) -> list[str]:
    """Return the cubes of a collection, or the place itself."""
    try:
        collection = existing_collection(target(place))
    except CubeError:
        return [place]
    return [collection.member(label) for label in collection.labels] if collection else [place]
