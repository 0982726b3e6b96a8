"""Granules given to their own files, where labels and companions tell of the files of others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ilrs_science.catalog.indexing import Indexed
from ilrs_science.catalog.table import COMPANION, LABEL, Rejection, file_of
from ilrs_science.model.granule import Granule


def settled(results: Sequence[Indexed]) -> tuple[set[Granule], list[Rejection]]:
    """Return the granules of indexed files, and the files that are none, each with its reason.

    A label that tells of other files is no granule, but no fault either; nor is a file that a granule needs beside it.
    """
    described = {one.url: [each for each in one.granules if not _is_own(each, one)] for one in results}
    granules = _granules(results, described)
    reasons = _with_labels({one.url: one.reason for one in results if one.reason}, described)
    outages = {one.url for one in results if one.outage}
    reasons |= _companions(granules, {url: reasons[url] for url in reasons.keys() - outages})
    return granules, [Rejection(url, reason, url in outages) for url, reason in reasons.items()]


def _is_own(granule: Granule, told_by: Indexed) -> bool:
    """Tell whether a granule lies in the very file that tells of it, not in another as with a label."""
    return file_of(granule.url) == told_by.url


def _granules(results: Sequence[Indexed], described: dict[str, list[Granule]]) -> set[Granule]:
    """Return the granules that files tell of themselves; of labels only those that no file told of."""
    own = {each for one in results for each in one.granules if _is_own(each, one)}
    urls = {granule.url for granule in own}
    return own | {each for of_label in described.values() for each in of_label if each.url not in urls}


def _with_labels(reasons: dict[str, str], described: dict[str, list[Granule]]) -> dict[str, str]:
    """Return the reasons, less those of files that a label describes, with that of each label."""
    told = {each.url for granules in described.values() for each in granules}
    labels = {url: LABEL + _names(granules) for url, granules in described.items() if granules}
    return {url: reason for url, reason in reasons.items() if url not in told} | labels


def _names(granules: Iterable[Granule]) -> str:
    return ", ".join(sorted({granule.url.rpartition("/")[2] for granule in granules}))


def _companions(granules: Iterable[Granule], reasons: dict[str, str]) -> dict[str, str]:
    """Return the reason of each file that is none only because it lies beside a granule that needs it."""
    of_file: dict[str, list[Granule]] = {}
    for granule in granules:
        for beside in granule.beside.values():
            of_file.setdefault(beside.url, []).append(granule)
    needed = {url for url in of_file.keys() & reasons.keys() if not reasons[url].startswith(LABEL)}
    return {url: COMPANION + _names(of_file[url]) for url in needed}
