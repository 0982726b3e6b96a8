"""Where raw files come from: this machine, an archive, a server, memory; every reader gets a local, plain file."""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, Concatenate
from urllib.parse import unquote, urlsplit

import fsspec

from ilrs_science.errors import FormatError, IlrsError
from ilrs_science.formats.foreign import foreign
from ilrs_science.formats.two_times import with_both_times

type Source = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO
"""A path, an fsspec URL (`s3://`, `https://`, `zip://member::archive.zip`), bytes, or an open binary file."""

_GZIP, _ZIP = b"\x1f\x8b", b"PK\x03\x04"
_BLOCK = 2**20
_INFLATION = 200
"""No table or image of an instrument shrinks to less than a two-hundredth."""
_SMALL = 64 * 2**20
"""Up to this size anything may inflate, bytes."""
_LABELS = (".xml", ".XML", ".lbl", ".LBL")
_ATTEMPTS = 4
_PAUSE = 0.5
"""Before the second attempt, s; doubled before each further one."""
_REMOTE = re.compile(r"^([a-z][a-z0-9+.-]*)(://|::)")


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
    OSError
        It is not there, or cannot be fetched, after several attempts.
    """
    with fetched(source) as local:
        if sha256:
            _check(local, name_of(source), sha256)
        with unpacked(local, name_of(source)) as plain:
            yield plain


@contextmanager
def fetched(source: Source) -> Iterator[Path]:
    """Yield a local file with the very bytes of a source, packed or not, with the label that lies beside it."""
    with ExitStack() as stack:
        if not isinstance(source, str | os.PathLike):
            local = _scratch(stack) / "buffer"
            local.write_bytes(source if isinstance(source, bytes | bytearray | memoryview) else source.read())
            yield local
        elif _REMOTE.match(os.fspath(source)) and not Path(source).exists():
            yield _fetched(os.fspath(source), stack)
        else:
            yield Path(source)


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


def beside(url: str, name: str) -> str:
    """Return the URL of another file in the folder of a file."""
    first, mark, rest = url.partition("::")
    folder, slash, _ = first.rpartition("/")
    if not slash and "://" not in first:
        return name + mark + rest
    return f"{folder}/{name}{mark}{rest}"


def members(url: str) -> list[str]:
    """Return the files of a zip archive as URLs, sorted.

    Raises
    ------
    FormatError
        It is no archive that can be read.
    """
    chained = url if _REMOTE.match(url) else f"file://{Path(url).absolute()}"
    with foreign(url, "zip archive"):
        archive, _ = fsspec.url_to_fs(f"zip://::{chained}")
        found = sorted(str(one) for one in archive.find(""))
    for one in found:
        # A name with :: would be taken for a chain of places, and lead out of the archive.
        if "::" in one or "://" in one or one.startswith("/") or ".." in Path(one).parts:
            raise FormatError(f"{url}: a file in it is named {one!r}, which leads out of the archive")
    return [f"zip://{one}::{url}" for one in found]


def is_zip(url: str) -> bool:
    """Whether a URL names an archive, not a member of one."""
    return "::" not in url and url.lower().endswith(".zip")


def _scratch(stack: ExitStack) -> Path:
    return Path(stack.enter_context(TemporaryDirectory(prefix="ilrs-raw-")))


def _check(local: Path, url: str, sha256: str) -> None:
    with local.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256.lower():
        raise FormatError(f"{url}: has the SHA-256 digest {found}; expected {sha256}")


def _fetched(url: str, stack: ExitStack) -> Path:
    """Return a local copy of a remote file, with the label that lies beside it."""
    name = Path(unquote(urlsplit(url.partition("::")[0]).path) or "file").name or "file"
    if url.startswith("zip://"):
        name = Path(url.partition("::")[0].removeprefix("zip://")).name or "file"
    folder = _scratch(stack)
    _copy(url, folder / name, required=True)
    for other in _labels_of(name.removesuffix(".gz")):
        _copy(beside(url, other), folder / other, required=False)
    return folder / name


def _labels_of(name: str) -> list[str]:
    """Return the names that a detached label of this file can have, or its data; none for what describes itself."""
    stem, suffix = Path(name).stem, Path(name).suffix
    if re.fullmatch(r"\.\d[A-Z]", suffix):
        return [name + "L"]
    if suffix.lower() in (".img", ".tab", ".dat", ".csv", ".qub", ".raw", ".bin"):
        return [stem + label for label in _LABELS]
    if re.fullmatch(r"\.\d[A-Z]L", suffix):
        return [name[:-1]]
    return []


def _copy(url: str, to: Path, *, required: bool) -> None:
    """Copy a remote file whole, in blocks, with several attempts."""
    for attempt in range(_ATTEMPTS if required else 1):
        try:
            _copy_once(url, to)
        except (FileNotFoundError, IsADirectoryError, PermissionError, IlrsError):
            if required:
                raise
            to.unlink(missing_ok=True)
            return
        except Exception as error:  # every kind of server has its own exceptions for a broken connection
            to.unlink(missing_ok=True)
            if not required:
                return
            if isinstance(error, zipfile.BadZipFile | zlib.error | EOFError | RuntimeError):
                raise FormatError(f"{url}: damaged, or locked, in its archive ({error})") from error
            if attempt == _ATTEMPTS - 1:
                raise OSError(f"{url}: could not be fetched in {_ATTEMPTS} attempts ({error!r})") from error
            time.sleep(_PAUSE * 2**attempt)
        else:
            return


def _copy_once(url: str, to: Path) -> None:
    try:
        filesystem, path = fsspec.url_to_fs(url)
    except ImportError as error:
        raise IlrsError(f"{url}: {error}: pip install 'ilrs-science[remote]'") from error
    size = filesystem.info(path).get("size")
    packed = url.startswith("zip://")
    if packed and size is not None:
        _check_inflation(url, int(size), filesystem)
    copied = 0
    with filesystem.open(path, "rb") as file, to.open("wb") as local:
        while block := file.read(_BLOCK):
            local.write(block)
            copied += len(block)
            if packed and size is not None and copied > size:
                raise FormatError(f"{url}: holds more than the {size} bytes that its archive declares")
    if size is not None and copied != size:
        raise OSError(f"{copied} of {size} bytes came")


def _check_inflation(url: str, size: int, archive: Any) -> None:
    packed = archive.fo.seek(0, io.SEEK_END) if hasattr(archive.fo, "seek") else size
    if size > max(_SMALL, _INFLATION * packed):
        raise FormatError(f"{url}: declares {size} bytes in an archive of {packed}")


def _unpacked(local: Path, url: str, stack: ExitStack) -> Path:
    """Return the file itself, or what it packs."""
    with local.open("rb") as file:
        magic = file.read(4)
    if magic[:2] == _GZIP:
        name = local.name.removesuffix(".gz").removesuffix(".GZ")
        plain = _scratch(stack) / name
        _gunzip(local, plain, url)
        for other in [*_labels_of(name), *(_headers_beside(local) if name.lower().endswith(".cef") else [])]:
            if (local.parent / other).is_file():
                shutil.copyfile(local.parent / other, plain.parent / other)
        return plain
    if magic == _ZIP and is_zip(url):
        found = members(str(local))
        inside = [one for one in found if not _is_label(one, found)]
        if len(inside) != 1:
            shown = ", ".join(one.partition("::")[0].removeprefix("zip://") for one in inside[:8])
            raise FormatError(f"{url}: an archive of {len(inside)} files ({shown}); name one: zip://NAME::{url}")
        return _unpacked(_fetched(inside[0], stack), inside[0], stack)
    return local


def _headers_beside(local: Path) -> list[str]:
    """Return the headers that a CEF file may include, from its own folder."""
    return [one.name for one in local.parent.glob("*.ceh")]


def _is_label(url: str, among: list[str]) -> bool:
    """Whether a member of an archive is the label of another one."""
    return any(url == beside(other, label) for other in among if other != url for label in _data_labels(other))


def _data_labels(url: str) -> list[str]:
    name = url.partition("::")[0].rpartition("/")[2]
    return [] if re.search(r"\.\d[A-Z]L$", name) else _labels_of(name)


def _gunzip(packed: Path, plain: Path, url: str) -> None:
    """Unpack gzip in blocks, one member after the other."""
    most = max(_SMALL, _INFLATION * packed.stat().st_size)
    written = 0
    unpack = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    with packed.open("rb") as file, plain.open("wb") as out:
        block = file.read(_BLOCK)
        while block:
            try:
                data = unpack.decompress(block, _BLOCK)
            except zlib.error as error:
                raise FormatError(f"{url}: damaged gzip after {written} bytes ({error})") from error
            written += out.write(data)
            if written > most:
                raise FormatError(f"{url}: gzip that holds more than {most} bytes")
            if unpack.eof:
                rest = (unpack.unused_data or file.read(_BLOCK)).lstrip(b"\0")
                while not rest and (more := file.read(_BLOCK)):  # padding, as tapes leave it
                    rest = more.lstrip(b"\0")
                if not rest:
                    break
                unpack, block = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16), rest
            else:
                block = unpack.unconsumed_tail or file.read(_BLOCK)
        if not unpack.eof:
            raise FormatError(f"{url}: gzip that is cut short after {written} bytes")
