"""Raw files indexed into granules, in parallel, and only those that changed."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import batched
from os import cpu_count

from ilrs_science import registry
from ilrs_science.catalog.companions import watched
from ilrs_science.catalog.completing import hashed
from ilrs_science.catalog.files import claims, folder_site, site_in_path, state_beside, states
from ilrs_science.catalog.indexing import Indexed, index_file
from ilrs_science.catalog.listing import expand
from ilrs_science.catalog.table import COMPANION, LABEL, Inventory, Rejection, file_of, names_inventory
from ilrs_science.errors import PluginError
from ilrs_science.model.granule import Granule
from ilrs_science.model.instrument import Instrument

_BATCH = 64
"""Files that a worker takes at once."""
_PROCESSES_FROM = 1000
"""Files from which on processes are worth their start; threads share one interpreter."""
_AHEAD = 4
"""Batches that wait for each worker."""


def inventory(  # noqa: PLR0913 - what one may ask for
    patterns: str | Sequence[str],
    *,
    instruments: str | Sequence[str] | None = None,
    sites: Collection[str] | None = None,
    known: Inventory | None = None,
    progress: Callable[[int, int], None] | None = None,
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
    workers
        Threads that index, or processes if there are many files; by default one for each processor, at least four
        threads.
    """
    patterns = [patterns] if isinstance(patterns, str) else patterns
    instruments = [instruments] if isinstance(instruments, str) else instruments
    candidates = [registry.instrument(name) for name in instruments] if instruments else _working_instruments()
    listed = [Inventory.from_file(pattern) for pattern in patterns if names_inventory(pattern)]
    searched = _searched([one for one in patterns if not names_inventory(one)], candidates, sites)
    states_now = {url: f"{state} {searched.sites[url]}" for url, state in states(searched.files).items()}
    readers = _readers(candidates, by_format=instruments is None)
    same = _unchanged(known, states_now, readers, candidates)
    work = {url: site for url, site in searched.sites.items() if url not in same}
    results = list(same.values())
    names = [one.name for one in candidates]
    for result in _index(work, names, instruments is None, workers):
        results.append(result)
        if progress is not None:
            progress(len(results), len(searched.sites))
    kept = {one.url: f"{states_now[one.url]} {one.beside}" for one in results if one.beside and not one.outage}
    state_of = {url: state for url, state in kept.items() if searched.files[url]}
    found = _settled(results, state_of, readers)
    # What an inventory of many instruments could not take matters only where its name says that it is ours.
    every = [g for one in listed for g in one.granules if instruments is None or g.instrument in instruments]
    wanted = [g for g in every if sites is None or g.site in sites]
    joined = hashed(Inventory(tuple(wanted), ()), candidates)
    rejected = [r for one in listed for r in one.rejected if any(claims(i, r.url) for i in candidates)]
    named = {*found.rejected, *joined.rejected, *rejected, *searched.faults}
    return _ordered({*found.granules, *joined.granules}, named, state_of, readers)


@dataclass
class _Searched:
    """What lies where patterns say, and what of it cannot be taken or listed."""

    sites: dict[str, str] = field(default_factory=dict)
    """Files, each with the site that its path names, or an empty text."""
    files: dict[str, str] = field(default_factory=dict)
    """What tells that the bytes of each are the same as before."""
    faults: list[Rejection] = field(default_factory=list)


def _searched(patterns: Sequence[str], candidates: Sequence[Instrument], sites: Collection[str] | None) -> _Searched:
    found = _Searched()
    for pattern in patterns:
        listing = expand(pattern, candidates)
        found.faults += [one for one in listing.faults if _of_sites(sites, folder_site(one.url, pattern))]
        for url, state in listing.files.items():
            site = site_in_path(url, pattern)
            if not _of_sites(sites, site):
                continue
            if not url.isprintable() and "\udc80" <= max(url) <= "\udcff":
                found.faults.append(Rejection(ascii(url), "its name is not text in UTF-8; rename it"))
                continue
            found.sites[url], found.files[url] = site or found.sites.get(url, ""), state
    return found


def _of_sites(sites: Collection[str] | None, named: str) -> bool:
    return sites is None or not named or named in sites


def _working_instruments() -> list[Instrument]:
    found = []
    for plugin in registry.plugins("instruments"):
        try:
            found.append(registry.instrument(plugin.name))
        except PluginError:
            continue  # `ilrs instruments` shows the reason; a broken plugin breaks nobody else
    return found


def _readers(candidates: Sequence[Instrument], *, by_format: bool) -> str:
    """Return what an index depends on besides the files: who reads them."""
    versions = {plugin.name: f"{plugin.distribution} {plugin.version}" for plugin in registry.plugins("instruments")}
    return "; ".join(
        [f"ilrs-science {version('ilrs-science')}{' formats' if by_format else ''}"]
        + [f"{one.name} {one.files} {versions.get(one.name, '')}" for one in candidates]
    )


def _unchanged(
    known: Inventory | None, states_now: Mapping[str, str], readers: str, candidates: Sequence[Instrument]
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


def _index(work: Mapping[str, str], names: list[str], by_format: bool, workers: int | None) -> Iterator[Indexed]:
    """Index files, with a bounded number of them under way."""
    many = len(work) >= _PROCESSES_FROM and "forkserver" in multiprocessing.get_all_start_methods()
    count = workers or max(cpu_count() or 1, 1 if many else 4)
    rest, done = list(work.items()), 0
    try:
        with _processes(count) if many else ThreadPoolExecutor(count) as pool:
            batches = batched(rest, _BATCH if many else 1)
            for result in _windowed(pool, batches, names, by_format, _AHEAD * count):
                yield result
                done += 1
    except BrokenProcessPool:  # a script without a main guard, which processes cannot import, or one that was killed
        with ThreadPoolExecutor(max(count, 4)) as pool:
            yield from _windowed(pool, batched(rest[done:], 1), names, by_format, _AHEAD * count)


def _windowed(
    pool: Executor, batches: Iterator[tuple[tuple[str, str], ...]], names: list[str], by_format: bool, ahead: int
) -> Iterator[Indexed]:
    waiting: deque[Future[list[Indexed]]] = deque()
    try:
        for batch in batches:
            waiting.append(pool.submit(_index_batch, batch, names, by_format))
            if len(waiting) > ahead:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        for one in waiting:
            one.cancel()


def _processes(count: int) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ilrs_science"])
    return ProcessPoolExecutor(count, mp_context=context, initializer=_ignore_interrupts)


def _ignore_interrupts() -> None:
    import signal  # noqa: PLC0415 - only processes need it

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops them


def _index_batch(batch: Sequence[tuple[str, str]], names: list[str], by_format: bool) -> list[Indexed]:
    candidates = [registry.instrument(name) for name in names]
    return [index_file(url, site, candidates, by_format=by_format) for url, site in batch]


def _settled(results: Sequence[Indexed], state_of: Mapping[str, str], readers: str) -> Inventory:
    """Give every granule to its own file; a label that told of others is no granule, but no fault either."""
    own = {granule.url: one.url for one in results for granule in one.granules if file_of(granule.url) == one.url}
    granules: list[Granule] = []
    reasons = {one.url: one.reason for one in results if one.reason}
    outages = {one.url for one in results if one.outage}
    for one in results:
        described = [granule for granule in one.granules if file_of(granule.url) != one.url]
        granules += [granule for granule in one.granules if file_of(granule.url) == one.url]
        granules += [granule for granule in described if granule.url not in own]
        if described:
            names = ", ".join(sorted({granule.url.rpartition("/")[2] for granule in described}))
            reasons[one.url] = LABEL + names
            for granule in described:
                reasons.pop(granule.url, None)
    for granule in granules:
        for url in (one.url for one in granule.beside.values()):
            if url in reasons and url not in outages and not reasons[url].startswith(LABEL):
                reasons[url] = COMPANION + granule.url.rpartition("/")[2]
    rejected = [Rejection(url, reason, url in outages) for url, reason in reasons.items()]
    return Inventory(tuple(dict.fromkeys(granules)), tuple(rejected), state_of, readers)


def _ordered(
    granules: Iterable[Granule], rejected: Iterable[Rejection], state_of: Mapping[str, str], readers: str
) -> Inventory:
    order = sorted(granules, key=lambda g: (g.instrument, g.site, g.start, g.sha256, g.url))
    return Inventory(tuple(order), tuple(sorted(rejected, key=lambda r: r.url)), state_of, readers)
