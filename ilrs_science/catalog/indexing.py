"""What is in a raw file: by the instrument that takes it, or else by its format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import xarray as xr

from ilrs_science import formats
from ilrs_science.catalog.companions import digested, watched, with_companions, with_format
from ilrs_science.catalog.events import good_of
from ilrs_science.catalog.files import claims, local_state, state_beside
from ilrs_science.catalog.table import OTHER
from ilrs_science.catalog.times import sample_times, with_times
from ilrs_science.errors import FormatError, IlrsError, OutageError, foreign, is_outage
from ilrs_science.formats.opening import is_zip
from ilrs_science.model.axis import Times
from ilrs_science.model.granule import Granule
from ilrs_science.model.product import Product
from ilrs_science.model.reader import Reader, read_with
from ilrs_science.model.series import attribute_problem
from ilrs_science.raw import fetched


@dataclass(frozen=True)
class Indexed:
    """What was found in a file: granules, or the reason why there are none; of an archive maybe both."""

    url: str
    granules: tuple[Granule, ...] = ()
    reason: str = ""
    outage: bool = False
    """Whether the reason lies outside the bytes of the file."""
    beside: str = ""
    """What tells that the files it depends on are as they were; empty if nothing does."""


def index_file(url: str, site: str, candidates: Sequence[Reader], *, by_format: bool) -> Indexed:
    """Return what is in a file; whatever a reader raises becomes the file's named reason.

    Parameters
    ----------
    url
        Where it is.
    site
        The site that its path names, or an empty text.
    candidates
        The instruments to consider.
    by_format
        Whether a file that no instrument takes by its name is a granule by its format.
    """
    matching = [one for one in candidates if claims(one, url)]
    unnamed = "no instrument takes files of this name: " + ", ".join(f"{one.name} {one.files}" for one in candidates)
    if not matching and not by_format:
        return Indexed(url, reason=unnamed)
    with ExitStack() as stack:
        try:
            local = stack.enter_context(fetched(url))
            size, before = _regular(local, url), local_state(str(local))
            if matching:
                found = _by_instrument(with_format(Granule(url, site=site, size=size)), matching, stack)
            else:
                found = _by_format(url, site, local, unnamed)
            found = _digest(found, matching)
            if local_state(str(local)) != before:
                raise OutageError("changed while it was indexed")
        except (IlrsError, OSError) as error:
            said = str(error) if isinstance(error, IlrsError) else f"unreadable: {error}"
            return Indexed(url, reason=said.removeprefix(f"{url}: "), outage=is_outage(error))
    return found


class OtherKindError(FormatError):
    """A file is sound, and of another kind than the instrument takes."""


def index_granule(instrument: Reader, bare: Granule) -> list[Granule]:
    """Return what a file holds for an instrument, by its own `index` or by reading it once.

    Raises
    ------
    FormatError
        It yields no sample, no site, or an impossible span.
    """
    found = list(instrument.index(bare)) if instrument.index else [_index_by_reading(instrument, bare)]
    if not found:
        raise FormatError("yields no sample")
    found = _of_kind([replace(one, tags=_as_text(one.tags)) for one in found], instrument.where)
    for granule in found:
        # Of events there may be none, in a time in which there could have been some.
        if granule.count < (0 if instrument.events else 1):
            raise FormatError("yields no sample")
        if granule.stop <= granule.start:
            raise FormatError(f"its span is empty: {granule.start} to {granule.stop}")
        if not granule.site:
            raise FormatError("no site: neither the file nor its path says one; put {site} into the path of raw")
    sites = [granule.site for granule in found]
    if len(set(sites)) < len(sites):
        raise FormatError(f"index gave a site more than once: {', '.join(sites)}; it gives one granule a site")
    return found


def _as_text(tags: object) -> dict[str, str]:
    if not isinstance(tags, Mapping):
        raise FormatError(f"tags are {tags!r}; expected a mapping of names to words, such as {{'filter': 'R'}}")
    return {str(key): str(one) for key, one in tags.items()}


def _of_kind(found: list[Granule], where: Mapping[str, str]) -> list[Granule]:
    """Return those with certain tags.

    Raises
    ------
    OtherKindError
        None has them.
    """
    taken = [one for one in found if where.items() <= dict(one.tags).items()]
    if not taken:
        wanted = ", ".join(f"{key} {value}" for key, value in where.items())
        said = {", ".join(f"{key} {value}" for key, value in one.tags.items() if key in where) for one in found}
        raise OtherKindError(f"it takes {wanted}; found {'; '.join(sorted(said - {''})) or 'none of these tags'}")
    return taken


def rejected_counts(ds: xr.Dataset) -> dict[str, int]:
    """Return the samples that `read` rejected, by reason."""
    return {str(reason): int(count) for reason, count in dict(ds.attrs.get("rejected", {})).items()}


def _index_by_reading(reader: Reader, bare: Granule) -> Granule:
    ds = with_times(read_with(reader, bare))
    if problem := attribute_problem(reader.attributes, {str(name): one.attrs for name, one in ds.data_vars.items()}):
        raise FormatError(problem)
    times, span = sample_times(ds), _span(ds, reader.events)
    if not span.size:
        reasons = "; ".join(f"{count} rejected: {reason}" for reason, count in rejected_counts(ds).items())
        raise FormatError("yields no sample" + (f" ({reasons})" if reasons else ""))
    said = str(ds.attrs.get("site", ""))
    if said and bare.site and said != bare.site:
        raise FormatError(f"the file says site {said!r}, its path says {bare.site!r}")
    return replace(
        bare,
        site=said or bare.site or reader.default_site,
        start=int(span.min()),
        stop=int(span.max()) + 1,
        count=times.size + sum(rejected_counts(ds).values()),
        times=tuple(map(int, np.unique(times))) if reader.exposures else (),
        tags=ds.attrs.get("tags", {}),
    )


def _span(ds: xr.Dataset, events: Product | None) -> Times:
    """Return times that are in the span of samples, TAI ns; of events also those in which there could have been one."""
    if events is None:
        return sample_times(ds)
    good = good_of(ds, events)
    return np.concatenate([sample_times(ds), good["start"].values, good["stop"].values - 1])


def _digest(found: Indexed, matching: Iterable[Reader]) -> Indexed:
    """Return what was found with its digests, and with what tells later that nothing beside it changed.

    It comes after reading: what was read as a whole was hashed then.
    """
    beside = state_beside(watched(found.url, matching, found.granules))
    return replace(found, granules=tuple(map(digested, found.granules)), beside=beside)


def _by_instrument(bare: Granule, matching: Iterable[Reader], stack: ExitStack) -> Indexed:
    taken: dict[str, list[Granule]] = {}
    reasons: list[str] = []
    others: list[str] = []
    outages = 0
    for instrument in matching:
        try:
            whole = with_companions(replace(bare, instrument=instrument.name), instrument, stack)
            with foreign(f"the reader of {instrument.name}"):
                found = index_granule(instrument, whole)
            # Small instruments that share a reader share the file; two readers that both claim it are a tie.
            taken.setdefault(getattr(instrument.read, "__module__", ""), []).extend(
                replace(one, beside=whole.beside) for one in found
            )
        except Exception as error:  # noqa: BLE001 - whatever a reader raises is the file's reason
            said = f"{instrument.name}: {error if isinstance(error, IlrsError) else repr(error)}"
            (others if isinstance(error, OtherKindError) else reasons).append(said)
            outages += is_outage(error)
    if outages:
        return Indexed(bare.url, reason="; ".join(reasons), outage=True)
    if len(taken) > 1:
        names = " and ".join(sorted({g.instrument for granules in taken.values() for g in granules}))
        return Indexed(bare.url, reason=f"ambiguous: {names} both claim it; name the instrument")
    if not taken:
        return Indexed(bare.url, reason="; ".join(reasons) or OTHER + "; ".join(others))
    return Indexed(bare.url, tuple(next(iter(taken.values()))))


def _by_format(url: str, site: str, local: Path, unnamed: str) -> Indexed:
    reasons: list[str] = []
    try:
        with foreign("the reader of its format"):
            found, reasons = formats.index_archive(url) if is_zip(url) else (formats.index_copy(local, url), [])
    except Exception as error:  # noqa: BLE001 - as above
        said = str(error) if isinstance(error, IlrsError) else repr(error)
        return Indexed(url, reason=f"{said.removeprefix(f'{url}: ')}; {unnamed}", outage=is_outage(error))
    reason = f"{len(reasons)} of its files are not taken: {'; '.join(reasons[:8])}" if reasons else ""
    if not found:
        return Indexed(url, reason=f"{reason or 'an archive without files'}; {unnamed}")
    return Indexed(url, tuple(replace(one, site=site or one.site) for one in found), reason)


def _regular(local: Path, url: str) -> int:
    """Return the bytes of a file that has some; a pipe or a device would be waited for for ever."""
    if local.exists() and not local.is_file():
        raise FormatError(f"{url}: {'a folder' if local.is_dir() else 'no regular file'}")
    size = local.stat().st_size
    if not size:
        raise FormatError(f"{url}: empty file")
    return size
