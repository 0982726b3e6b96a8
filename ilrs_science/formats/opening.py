"""Where raw files come from: this machine, an archive, a server, memory; every reader gets a local, plain file."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO, Concatenate

import fsspec

from ilrs_science import raw
from ilrs_science.errors import FormatError
from ilrs_science.formats.foreign import foreign
from ilrs_science.formats.two_times import with_both_times
from ilrs_science.raw import beside, labels_of

type Source = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO
"""A path, an fsspec URL (`s3://`, `https://`, `zip://member::archive.zip`), bytes, or an open binary file."""

_ZIP = b"PK\x03\x04"


@contextmanager
def opened(source: Source, *, sha256: str = "") -> Iterator[Path]:
    """Yield a local, uncompressed file; what is remote, packed or in memory is copied for the while, its label too.

    Parameters
    ----------
    source
        What to open. gzip is recognised by its bytes; a zip archive may hold one data file with its label, or is
        named with the member, `zip://member::archive.zip`.
    sha256
        Digest that the bytes must have, before they are unpacked; by default anyone will do.

    Raises
    ------
    FormatError
        It has another digest, or cannot be unpacked.
    OutageError
        It cannot be fetched: the server does not answer, refuses it, or has no such file.
    OSError
        A local file is not there, or may not be read.
    """
    with fetched(source) as local:
        if sha256:
            _check(local, name_of(source), sha256)
        with unpacked(local, name_of(source)) as plain:
            yield plain


@contextmanager
def fetched(source: Source) -> Iterator[Path]:
    """Yield a local file with the very bytes of a source, packed or not, with the label that lies beside it."""
    if isinstance(source, str | os.PathLike):
        with raw.fetched(os.fspath(source)) as local:
            yield local
    else:
        with TemporaryDirectory(prefix="ilrs-raw-") as folder:
            local = Path(folder) / "buffer"
            local.write_bytes(source if isinstance(source, bytes | bytearray | memoryview) else source.read())
            yield local


@contextmanager
def unpacked(local: Path, url: str) -> Iterator[Path]:
    """Yield a local file itself, or what it packs."""
    with ExitStack() as stack:
        yield _unpacked(local, url, stack)


def opens[**Parameters, Result](
    function: Callable[Concatenate[Path, Parameters], Result],
) -> Callable[Concatenate[Source, Parameters], Result]:
    """Let a reader of local files take any source and give both times; errors and granules name the source."""

    @wraps(function)
    def from_anywhere(path: Source, *args: Parameters.args, **options: Parameters.kwargs) -> Result:
        with opened(path) as local:
            made = named_as(path, local, lambda: function(local, *args, **options))
        both: Result = with_both_times(made)
        return both

    return from_anywhere  # type: ignore[return-value]  # the name of the first parameter is kept, too


def named_as[Result](source: Source, local: Path, call: Callable[[], Result]) -> Result:
    """Return what a call with a copy gives; where it raises FormatError, with the name of the source in the text."""
    try:
        return call()
    except FormatError as error:
        name = name_of(source)
        if str(local) == name:
            raise
        raise FormatError(str(error).replace(str(local), name)) from error


def name_of(source: Source) -> str:
    """Return how errors and granules name a source."""
    return os.fspath(source) if isinstance(source, str | os.PathLike) else "buffer"


def members(url: str) -> list[str]:
    """Return the files of a zip archive as URLs, sorted.

    Raises
    ------
    FormatError
        It is no archive that can be read.
    OutageError
        It cannot be fetched.
    """
    with raw.fetched(url) as local, foreign(url, "zip archive"):
        archive, _ = fsspec.url_to_fs(f"zip://::file://{local.absolute()}")
        found = sorted(str(one) for one in archive.find(""))
    for one in found:
        # A name with :: would be taken for a chain of places, and lead out of the archive.
        if "::" in one or "://" in one or one.startswith("/") or ".." in Path(one).parts:
            raise FormatError(f"{url}: a file in it is named {one!r}, which leads out of the archive")
    return [f"zip://{one}::{url}" for one in found]


def is_zip(url: str) -> bool:
    """Whether a URL names an archive, not a member of one."""
    return "::" not in url and url.lower().endswith(".zip")


def _check(local: Path, url: str, sha256: str) -> None:
    found = raw.sha256_of(local)
    if found != sha256.lower():
        raise FormatError(f"{url}: has the SHA-256 digest {found}; expected {sha256}")


def _unpacked(local: Path, url: str, stack: ExitStack) -> Path:
    """Return the file itself, or what it packs."""
    with local.open("rb") as file:
        magic = file.read(4)
    if raw.is_gzip(magic):
        return stack.enter_context(raw.unpacked(local, url))
    if magic == _ZIP and is_zip(url):
        found = members(str(local))
        inside = [one for one in found if not _is_label(one, found)]
        if len(inside) != 1:
            shown = ", ".join(one.partition("::")[0].removeprefix("zip://") for one in inside[:8])
            raise FormatError(f"{url}: an archive of {len(inside)} files ({shown}); name one: zip://NAME::{url}")
        return _unpacked(stack.enter_context(raw.fetched(inside[0])), inside[0], stack)
    return local


def _is_label(url: str, among: list[str]) -> bool:
    """Whether a member of an archive is the label of another one."""
    return any(url == beside(other, label) for other in among if other != url for label in _data_labels(other))


def _data_labels(url: str) -> list[str]:
    name = url.partition("::")[0].rpartition("/")[2]
    return [] if re.search(r"\.\d[A-Z]L$", name) else labels_of(name)
