"""The files beside a raw file that are read with it: those that its instrument declares, and those of its format."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace

from ilrs_science import formats
from ilrs_science.errors import FormatError, OutageError, is_outage
from ilrs_science.model.granule import Granule
from ilrs_science.model.reader import Reader
from ilrs_science.raw import beside, fetched, is_remote, labels_of, name_in, outages, plain_name, sha256_of


def expected(instrument: Reader, url: str) -> dict[str, list[str]]:
    """Return the names that each companion of a file may have, the likeliest first.

    Raises
    ------
    FormatError
        A declared name has a folder in it, or another word in braces.
    """
    name = name_in(url)
    stems = _stems(name, instrument.files)
    found = {}
    for role, pattern in instrument.beside.items():
        if "/" in pattern or re.search(r"\{(?!(?:stem|name)\})", pattern):
            allowed = "a name in the same folder, with {stem} or {name}"
            raise FormatError(f"{instrument.name}: beside[{role!r}] is {pattern!r}; expected {allowed}")
        found[role] = list(dict.fromkeys(pattern.replace("{name}", name).replace("{stem}", stem) for stem in stems))
    return found


def with_format(granule: Granule) -> Granule:
    """Return a granule with its format, if this package knows it, and the files that belong to it by its format.

    Raises
    ------
    OutageError, OSError
        It cannot be opened or read.
    """
    try:
        with fetched(granule.url) as path:
            name, found = formats.companions(path, granule.url)
    except FormatError as error:
        if is_outage(error):
            raise
        return granule  # an instrument may have a format of its own
    return replace(granule, format=granule.format or name, beside={**found, **granule.beside})


def with_companions(granule: Granule, instrument: Reader, stack: ExitStack) -> Granule:
    """Return a granule with the files that its instrument declares beside it; digests are still to be found.

    Parameters
    ----------
    granule
        Those of its format it has already.
    instrument
        Who reads it.
    stack
        Keeps the copies of remote files as long as it is open.

    Raises
    ------
    FormatError
        One of them is absent.
    OutageError
        One of them cannot be fetched.
    """
    found = dict(granule.beside)
    for role, names in expected(instrument, granule.url).items():
        urls = [beside(granule.url, name) for name in names]
        there = next((url for url in urls if _is_there(url, stack)), None)
        if there is None:
            raise FormatError(f"no {role} beside it: expected {' or '.join(names)}")
        found[role] = Granule(there)
    return replace(granule, beside=found)


def watched(url: str, instruments: Iterable[Reader], known: Iterable[Granule]) -> set[str]:
    """Return the files whose change, coming or going may change what the index of a file says.

    Those that instruments declare, those that granules of it are known to have, and here also what a label of it may
    be called; a server would have to be asked for each.
    """
    names = [name for one in instruments for choices in expected(one, url).values() for name in choices]
    names += [] if is_remote(url) else labels_of(plain_name(name_in(url)))
    return {beside(url, name) for name in names} | {one.url for granule in known for one in granule.beside.values()}


def digested(granule: Granule) -> Granule:
    """Return a granule with the size and digest of its file and of those beside it, where it has no digest.

    Raises
    ------
    OutageError
        One of them cannot be opened or read.
    """
    others = {role: digested(one) for role, one in granule.beside.items()}
    if granule.sha256:
        return replace(granule, beside=others)
    with outages(granule.url), fetched(granule.url) as path:
        return replace(granule, size=path.stat().st_size, sha256=sha256_of(path), beside=others)


def _stems(name: str, files: str) -> list[str]:
    """Return the name without its last suffix, and without what the glob of the instrument fixes at its end."""
    plain = plain_name(name)
    stem = plain.rpartition(".")[0] or plain
    end = re.split(r"[*?\]]", files)[-1]
    return [stem, name.removesuffix(end) or stem] if re.search(r"[*?\]]", files) and end else [stem]


def _is_there(url: str, stack: ExitStack) -> bool:
    if is_remote(url):
        try:
            stack.enter_context(fetched(url))
        except OutageError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return False
            raise
        return True
    with outages(url):
        return stack.enter_context(fetched(url)).is_file()
