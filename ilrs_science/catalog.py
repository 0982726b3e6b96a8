"""What there is: sites, and raw files indexed into granules."""

from __future__ import annotations

import glob
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import fsspec
import numpy as np
import xarray as xr
from pydantic import BaseModel, ConfigDict, Field

from ilrs_science import registry
from ilrs_science.errors import FormatError, IlrsError, PluginError
from ilrs_science.model.granule import Granule
from ilrs_science.model.instrument import Instrument
from ilrs_science.model.site import Site
from ilrs_science.yaml_text import load_yaml, validated


@dataclass(frozen=True)
class Rejection:
    """A file that is no granule, and why."""

    url: str
    reason: str


@dataclass(frozen=True)
class Inventory:
    """Raw files as granules; every file that is none is named with its reason."""

    granules: tuple[Granule, ...]
    rejected: tuple[Rejection, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the inventory as JSON-able values."""
        return {
            "granules": [asdict(granule) for granule in self.granules],
            "rejected": [asdict(rejection) for rejection in self.rejected],
        }

    @classmethod
    def from_file(cls, path: str) -> Inventory:
        """Return the inventory that `ilrs inventory -o` wrote."""
        try:
            with fsspec.open(path, "rb") as file:
                values = json.loads(file.read())
            granules = tuple(Granule(**{**g, "times": tuple(g["times"])}) for g in values["granules"])
            return cls(granules, tuple(Rejection(**rejection) for rejection in values["rejected"]))
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise FormatError(f"{path}: not an inventory ({error})") from error


def data_folder(name: str) -> Path:
    """Return the folder `pipelines`, `catalogs` or `cluster`: in the wheel, or in the checkout."""
    package = Path(__file__).resolve().parent
    for folder in (package / "data" / name, package.parent / name):
        if folder.is_dir():
            return folder
    raise IlrsError(f"the folder {name} is not installed; reinstall ilrs-science")


class SiteEntry(BaseModel):
    """A site as YAML describes it, in the catalogue or in a pipeline."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    lon: float | None = Field(default=None, ge=-180, le=360, description="degrees east")
    lat: float | None = Field(default=None, ge=-90, le=90, description="degrees north")
    height: float | None = Field(default=None, description="metres above the sphere of 1737.4 km")
    frame: str = Field(default="unknown", description="MOON_ME, MOON_PA, ...")
    kind: str = "surface"
    partner: str = "unknown"
    source: str = "unknown"
    orbit: str | None = Field(default=None, description="file.bsp#NAIF number, or a table of positions (.ecsv)")
    horizon: tuple[tuple[Annotated[float, Field(ge=-180, le=360)], Annotated[float, Field(ge=-90, le=90)]], ...] = (
        Field(default=(), description="points of the horizon: azimuth and altitude, degrees")
    )


class _Sites(BaseModel):
    model_config = ConfigDict(extra="forbid")
    sites: list[SiteEntry]


@cache
def sites() -> dict[str, Site]:
    """Return every site of the catalogue by name."""
    found: dict[str, Site] = {}
    for path in sorted((data_folder("catalogs") / "sites").glob("*.yaml")):
        for entry in validated(_Sites, load_yaml(path), str(path)).sites:
            if entry.name in found:
                raise FormatError(f"{path}: site {entry.name!r} is in the catalogue twice")
            found[entry.name] = Site(**entry.model_dump())
    return found


def inventory(
    patterns: str | Sequence[str],
    *,
    instruments: str | Sequence[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
    workers: int = 4,
) -> Inventory:
    """Index raw files.

    Parameters
    ----------
    patterns
        Files, folders (searched through), globs and fsspec URLs; `{site}` stands for one path component or a part of
        it, which then names the site. An inventory file, `.json`, stands for what it lists.
    instruments
        Names of the instruments to consider; by default all that are installed and work.
    progress
        Called with files done and files in all.
    workers
        Threads that index.
    """
    patterns = [patterns] if isinstance(patterns, str) else patterns
    instruments = [instruments] if isinstance(instruments, str) else instruments
    candidates = [registry.instrument(name) for name in instruments] if instruments else _working_instruments()
    listed = [Inventory.from_file(pattern) for pattern in patterns if _is_inventory(pattern)]
    files = {url: pattern for pattern in patterns if not _is_inventory(pattern) for url in _expand(pattern, candidates)}
    granules = [g for one in listed for g in one.granules if instruments is None or g.instrument in instruments]
    # What an inventory of many instruments could not take matters only where its name says that it is ours.
    rejected = [r for one in listed for r in one.rejected if any(_claims(i, r.url) for i in candidates)]
    with ThreadPoolExecutor(workers) as pool:
        results = pool.map(lambda url: _index_file(url, files[url], candidates), files)
        for done, result in enumerate(results, 1):
            granules += result if isinstance(result, list) else []
            rejected += [result] if isinstance(result, Rejection) else []
            if progress is not None:
                progress(done, len(files))
    order = sorted(granules, key=lambda g: (g.instrument, g.site, g.start, g.sha256, g.url))
    return Inventory(tuple(order), tuple(sorted(rejected, key=lambda r: r.url)))


def index_granule(instrument: Instrument, bare: Granule) -> list[Granule]:
    """Return what a file holds for an instrument, by its own `index` or by reading it once.

    Raises
    ------
    FormatError
        It yields no sample, no site, or an impossible span.
    """
    found = list(instrument.index(bare)) if instrument.index else [_index_by_reading(instrument, bare)]
    if not found:
        raise FormatError("yields no sample")
    for granule in found:
        if granule.count <= 0:
            raise FormatError("yields no sample")
        if granule.stop <= granule.start:
            raise FormatError(f"its span is empty: {granule.start} to {granule.stop}")
        if not granule.site:
            raise FormatError("no site: neither the file nor its path says one; put {site} into the path of raw")
    sites = [granule.site for granule in found]
    if len(set(sites)) < len(sites):
        raise FormatError(f"index gave a site more than once: {', '.join(sites)}; it gives one granule a site")
    return found


def rejected_counts(ds: xr.Dataset) -> dict[str, int]:
    """Return the samples that `read` rejected, by reason."""
    return {str(reason): int(count) for reason, count in dict(ds.attrs.get("rejected", {})).items()}


def sample_times(ds: xr.Dataset) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the times of samples as native int64 TAI ns.

    Raises
    ------
    FormatError
        There is no `time` coordinate of integers along `time`.
    """
    if "time" not in ds.coords or ds["time"].dims != ("time",) or ds["time"].dtype.kind not in "iu":
        found = (
            f"{ds['time'].dtype} along {ds['time'].dims}" if "time" in ds.coords else f"coordinates {list(ds.coords)}"
        )
        raise FormatError(f"read must give a coordinate time of int64 TAI nanoseconds along time; found {found}")
    return np.asarray(ds["time"].values, np.int64)


def _index_by_reading(instrument: Instrument, bare: Granule) -> Granule:
    ds = instrument.read(bare)
    times = sample_times(ds)
    if not times.size:
        reasons = "; ".join(f"{count} rejected: {reason}" for reason, count in rejected_counts(ds).items())
        raise FormatError("yields no sample" + (f" ({reasons})" if reasons else ""))
    said = str(ds.attrs.get("site", ""))
    if said and bare.site and said != bare.site:
        raise FormatError(f"the file says site {said!r}, its path says {bare.site!r}")
    return replace(
        bare,
        site=said or bare.site,
        start=int(times.min()),
        stop=int(times.max()) + 1,
        count=times.size + sum(rejected_counts(ds).values()),
        times=tuple(map(int, np.unique(times))) if instrument.product.exposures else (),
    )


def _working_instruments() -> list[Instrument]:
    found = []
    for plugin in registry.plugins("instruments"):
        try:
            found.append(registry.instrument(plugin.name))
        except PluginError:
            continue  # `ilrs instruments` shows the reason; a broken plugin breaks nobody else
    return found


def _index_file(url: str, pattern: str, candidates: Iterable[Instrument]) -> list[Granule] | Rejection:
    matching = [one for one in candidates if _claims(one, url)]
    if not matching:
        return Rejection(
            url, "no instrument takes files of this name: " + ", ".join(f"{i.name} {i.files}" for i in candidates)
        )
    try:
        data = Granule(url).read_bytes()
    except OSError as error:
        return Rejection(url, f"unreadable: {error}")
    if not data:
        return Rejection(url, "empty file")
    bare = Granule(url, site=_site_in_path(url, pattern), size=len(data), sha256=hashlib.sha256(data).hexdigest())
    del data
    taken: dict[str, list[Granule]] = {}
    reasons = []
    for instrument in matching:
        try:
            granules = index_granule(instrument, replace(bare, instrument=instrument.name))
            # Small instruments that share a reader share the file; two readers that both claim it are a tie.
            taken.setdefault(instrument.read.__module__, []).extend(granules)
        except Exception as error:  # noqa: BLE001 - whatever a reader raises becomes the file's named reason
            reasons.append(f"{instrument.name}: {error if isinstance(error, IlrsError) else repr(error)}")
    if len(taken) > 1:
        names = " and ".join(sorted({g.instrument for granules in taken.values() for g in granules}))
        return Rejection(url, f"ambiguous: {names} both claim it; name the instrument")
    return next(iter(taken.values())) if taken else Rejection(url, "; ".join(reasons))


def _claims(instrument: Instrument, url: str) -> bool:
    return fnmatch(url.rsplit("/", 1)[-1], instrument.files)


def _is_inventory(pattern: str) -> bool:
    return pattern.endswith(".json") and not re.search(r"[*?\[{]", pattern)


def _expand(pattern: str, candidates: Iterable[Instrument]) -> list[str]:
    """Return the files of a pattern, sorted.

    A path without wildcards stays as it is, so that its absence is named; so does a folder that is named like a file.
    """
    wild = re.sub(r"\{site\}", "*", pattern)
    filesystem, path = fsspec.url_to_fs(wild)
    if not re.search(r"[*?\[]", wild):
        found = sorted(filesystem.find(path)) if filesystem.isdir(path) else [path]
    else:
        # Python's own glob follows links to folders, fsspec's does not.
        local = "file" in filesystem.protocol
        matching = glob.glob(path, recursive=True) if local else filesystem.glob(path)  # noqa: PTH207 - of text, as fsspec's
        found = sorted(
            one
            for one in matching
            if not filesystem.isdir(one) or any(fnmatch(Path(one).name, candidate.files) for candidate in candidates)
        )
    return [str(filesystem.unstrip_protocol(one)) if "://" in pattern else str(one) for one in found]


def _site_in_path(url: str, pattern: str) -> str:
    if "{site}" not in pattern:
        return ""
    pieces = re.split(r"(\{site\}|\*\*/?|\*|\?|\[[^\]]+\])", pattern)
    named = False
    expression = ""
    for piece in pieces:
        if piece == "{site}":
            expression += r"(?P=site)" if named else r"(?P<site>[^/]+?)"
            named = True
        elif piece.startswith("**"):
            expression += ".*"
        elif piece.startswith("["):
            inside = piece[1:-1].replace("\\", r"\\").replace("[", r"\[")
            expression += f"[^{inside[1:]}]" if inside.startswith("!") else f"[{inside}]"
        else:
            expression += {"*": "[^/]*", "?": "[^/]"}.get(piece, re.escape(piece))
    match = re.search(expression + "$", url)
    return match["site"] if match else ""
