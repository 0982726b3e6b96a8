"""Rows of stored inventories that lack what a plan needs: digests, and the files beside them."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace

from ilrs_science.catalog.companions import digested, with_companions, with_format
from ilrs_science.catalog.table import Inventory, Rejection
from ilrs_science.errors import IlrsError, is_outage
from ilrs_science.model.granule import Granule
from ilrs_science.model.reader import Reader
from ilrs_science.raw import outages

_THREADS = 8


def hashed(found: Inventory, instruments: Iterable[Reader] = ()) -> Inventory:
    """Return an inventory in which every granule and every file beside it has a digest.

    Parameters
    ----------
    found
        Rows that have digests stay as they are, and their files are not opened.
    instruments
        Those of the granules; what one declares beside its files is looked for where a row does not name it.

    Returns
    -------
    The same granules in the same order. One that cannot be read is rejected, with the reason.
    """
    by_name = {one.name: one for one in instruments}
    with ThreadPoolExecutor(_THREADS) as pool:
        every = list(pool.map(lambda one: _completed(one, by_name.get(one.instrument)), found.granules))
    granules = tuple(one for one in every if isinstance(one, Granule))
    rejected = tuple(one for one in every if isinstance(one, Rejection))
    return replace(found, granules=granules, rejected=(*found.rejected, *rejected))


def _completed(granule: Granule, instrument: Reader | None) -> Granule | Rejection:
    declared = instrument.beside.keys() if instrument else set()
    hashed_all = granule.sha256 and all(one.sha256 for one in granule.beside.values())
    if hashed_all and declared <= granule.beside.keys():
        return granule
    try:
        with ExitStack() as stack, outages(granule.url):
            whole = with_format(granule)
            if instrument and not declared <= granule.beside.keys():
                found = with_companions(whole, instrument, stack).beside
                whole = replace(whole, beside={**found, **granule.beside})
            return digested(whole)
    except IlrsError as error:
        return Rejection(granule.url, str(error).removeprefix(f"{granule.url}: "), outage=is_outage(error))
