"""Raw files indexed into granules, in parallel, and only those that changed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from itertools import batched
from os import cpu_count
from typing import Literal

from ilrs_science import registry
from ilrs_science.catalog.companions import watched
from ilrs_science.catalog.completing import hashed
from ilrs_science.catalog.files import claims, folder_site, site_in_path, state_beside, states
from ilrs_science.catalog.indexing import Indexed, index_file
from ilrs_science.catalog.listing import expand
from ilrs_science.catalog.settling import settled
from ilrs_science.catalog.table import Inventory, Rejection, file_of, names_inventory
from ilrs_science.errors import PluginError
from ilrs_science.executors import items
from ilrs_science.executors.child import Quarantine
from ilrs_science.executors.items import Limits
from ilrs_science.executors.local import local_pool
from ilrs_science.executors.window import mapped
from ilrs_science.model.granule import Granule
from ilrs_science.model.reader import Reader

_BATCH = 64
"""Files that a worker takes at once."""
_PROCESSES_FROM = 1000
"""Files from which on processes are worth their start; threads share one interpreter."""


def inventory(  # noqa: PLR0913 - what one may ask for
    patterns: str | Sequence[str],
    *,
    instruments: str | Sequence[str] | None = None,
    sites: Collection[str] | None = None,
    known: Inventory | None = None,
    progress: Callable[[int, int], None] | None = None,
    executor: Literal["threads", "processes"] | None = None,
    workers: int | None = None,
) -> Inventory:
    """Index raw files; what is none, cannot be read now, or matches nothing is named with the reason.

    Parameters
    ----------
    patterns
        Files, folders (searched through), globs and fsspec URLs; `{site}` stands for one path component or a part of
        it, which then names the site. An inventory file, `.json` or `.parquet`, stands for what it lists.
    instruments
        Names of the instruments to consider; by default all that are installed and work, and for files that none of
        them takes by name, every raw format.
    sites
        Names of the sites to consider; a file whose path names another one is not opened. By default all.
    known
        An earlier inventory; files that did not change since are not opened again.
    progress
        Called with files done and files in all.
    executor
        Processes survive a file that crashes its reader, which is then named; threads start at once. By default
        processes where there are many files.
    workers
        How many; by default one for each processor, at least four threads.
    """
    asked = _asked(patterns, instruments, sites)
    searched = _searched(asked)
    readers = _readers(asked)
    states_now = {url: f"{state} {searched.sites[url]}" for url, state in states(searched.files).items()}
    results = list(_unchanged(known, states_now, readers, asked.candidates).values())
    same = {one.url for one in results}
    work = {url: site for url, site in searched.sites.items() if url not in same}
    for result in _index(work, asked, executor, workers):
        results.append(result)
        if progress is not None:
            progress(len(results), len(searched.sites))
    granules, rejected = settled(sorted(results, key=lambda one: one.url))
    listed = _listed(asked)
    state_of = {
        one.url: f"{states_now[one.url]} {one.beside}"
        for one in results
        if one.beside and not one.outage and searched.files[one.url]
    }
    return Inventory(
        tuple(sorted({*granules, *listed.granules}, key=lambda g: (g.instrument, g.site, g.start, g.sha256, g.url))),
        tuple(sorted({*rejected, *listed.rejected, *searched.faults}, key=lambda r: r.url)),
        state_of,
        readers,
    )


@dataclass(frozen=True)
class _Asked:
    """What an inventory is asked for."""

    patterns: tuple[str, ...]
    """Where raw files lie."""
    inventories: tuple[str, ...]
    """Inventory files, which stand for what they list."""
    candidates: list[Reader]
    by_format: bool
    """Whether the raw formats take what no instrument takes by name."""
    sites: Collection[str] | None

    def of_site(self, name: str) -> bool:
        """Whether a path may be wanted that names this site, or none."""
        return self.sites is None or not name or name in self.sites

    def wants(self, granule: Granule) -> bool:
        """Whether the granule that an inventory file lists is of an instrument and a site that were asked for."""
        of_instrument = self.by_format or any(one.name == granule.instrument for one in self.candidates)
        return of_instrument and (self.sites is None or granule.site in self.sites)


def _asked(
    patterns: str | Sequence[str], instruments: str | Sequence[str] | None, sites: Collection[str] | None
) -> _Asked:
    every = [patterns] if isinstance(patterns, str) else patterns
    names = [instruments] if isinstance(instruments, str) else instruments
    return _Asked(
        patterns=tuple(one for one in every if not names_inventory(one)),
        inventories=tuple(one for one in every if names_inventory(one)),
        candidates=[registry.reader(name) for name in names] if names else _working_instruments(),
        by_format=names is None,
        sites=sites,
    )


def _listed(asked: _Asked) -> Inventory:
    """Return what inventory files list of what was asked for.

    What an inventory of many instruments could not take matters only where its name says that it is ours.
    """
    listed = [Inventory.from_file(one) for one in asked.inventories]
    wanted = tuple(granule for one in listed for granule in one.granules if asked.wants(granule))
    rejected = [r for one in listed for r in one.rejected if any(claims(i, r.url) for i in asked.candidates)]
    joined = hashed(Inventory(wanted, ()), asked.candidates)
    return Inventory(joined.granules, (*joined.rejected, *rejected))


@dataclass
class _Searched:
    """What lies where patterns say, and what of it cannot be taken or listed."""

    sites: dict[str, str] = field(default_factory=dict)
    """Files, each with the site that its path names, or an empty text."""
    files: dict[str, str] = field(default_factory=dict)
    """What tells that the bytes of each are the same as before."""
    faults: list[Rejection] = field(default_factory=list)


def _searched(asked: _Asked) -> _Searched:
    found = _Searched()
    for pattern in asked.patterns:
        listing = expand(pattern, asked.candidates)
        found.faults += [one for one in listing.faults if asked.of_site(folder_site(one.url, pattern))]
        for url, state in listing.files.items():
            site = site_in_path(url, pattern)
            if not asked.of_site(site):
                continue
            if not url.isprintable() and "\udc80" <= max(url) <= "\udcff":
                found.faults.append(Rejection(ascii(url), "its name is not text in UTF-8; rename it"))
                continue
            found.sites[url], found.files[url] = site or found.sites.get(url, ""), state
    return found


def _working_instruments() -> list[Reader]:
    found: list[Reader] = []
    for plugin in registry.plugins("instruments"):
        try:
            one = registry.instrument(plugin.name)
        except PluginError:
            continue  # `ilrs instruments` shows the reason; a broken plugin breaks nobody else
        found += [] if one.reads else [one]
    return found


def _readers(asked: _Asked) -> str:
    """Return what an index depends on besides the files: who reads them."""
    versions = {plugin.name: f"{plugin.distribution} {plugin.version}" for plugin in registry.plugins("instruments")}
    return "; ".join(
        [f"ilrs-science {version('ilrs-science')}{' formats' if asked.by_format else ''}"]
        + [f"{one.name} {one.files} {versions.get(one.name, '')}" for one in asked.candidates]
    )


def _unchanged(
    known: Inventory | None, states_now: Mapping[str, str], readers: str, candidates: Sequence[Reader]
) -> dict[str, Indexed]:
    """Return what is known of the files that are as they were, and so is all that lies beside them."""
    if known is None or known.readers != readers:
        return {}
    granules: dict[str, list[Granule]] = {}
    for one in known.granules:
        granules.setdefault(file_of(one.url), []).append(one)
    reasons = {one.url: one.reason for one in known.rejected if not one.outage}
    same = {}
    for url in states_now.keys() & known.states.keys() & (granules.keys() | reasons.keys()):
        before, own = known.states[url], tuple(granules.get(url, ()))
        if before.startswith(f"{states_now[url]} "):
            beside = state_beside(watched(url, [one for one in candidates if claims(one, url)], own))
            if before == f"{states_now[url]} {beside}":
                same[url] = Indexed(url, own, reasons.get(url, ""), beside=beside)
    return same


type _Batch = tuple[tuple[str, str], ...]
"""Files, each with the site that its path names."""


def _index(work: Mapping[str, str], asked: _Asked, executor: str | None, workers: int | None) -> Iterator[Indexed]:
    """Index files, with a bounded number of them under way; one that a process does not survive is tried alone."""
    task = partial(_index_batch, names=[one.name for one in asked.candidates], by_format=asked.by_format)
    executor = executor or ("processes" if len(work) >= _PROCESSES_FROM else "threads")
    count, size = _workers_and_batch(executor, len(work), workers)
    lost: list[tuple[str, str]] = []
    with closing(local_pool(executor, count, task, Limits())) as pool:
        for ended in mapped(pool, batched(work.items(), size)):
            if ended is not None and ended.value is None:
                lost += ended.item
            elif ended is not None:
                yield from ended.value or ()
    yield from _index_alone(lost, task)


def _workers_and_batch(executor: str, files: int, workers: int | None) -> tuple[int, int]:
    """Return how many workers there are to be, and how many files each of them takes at once.

    Threads take one: a batch would keep one of them busy while the others have nothing to do.
    """
    if executor == "threads":
        return workers or max(cpu_count() or 1, 4), 1
    count = workers or cpu_count() or 1
    return count, max(1, min(_BATCH, -(-files // count)))


def _index_alone(files: Sequence[tuple[str, str]], task: Callable[[_Batch], list[Indexed]]) -> Iterator[Indexed]:
    """Index files of which one, at least, has ended a process: each by itself, so that it is named."""
    with closing(Quarantine()) as quarantine:
        for file in files:
            ended = quarantine.tried(task, (file,), Limits())
            if ended.value is None:
                yield Indexed(file[0], reason=ended.reason, outage=ended.cause == "killed")
            else:
                yield from ended.value


def _index_batch(batch: _Batch, names: list[str], by_format: bool) -> list[Indexed]:
    candidates = [registry.reader(name) for name in names]
    found = []
    for url, site in batch:
        items.enter(f"indexing {url}")
        found.append(index_file(url, site, candidates, by_format=by_format))
    return found
