"""Raw files of servers and archives, copied here for the while; a copy serves everyone who asks for it meanwhile."""

from __future__ import annotations

import io
import re
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote, urlsplit

import fsspec

from ilrs_science.errors import FormatError, IlrsError, OutageError
from ilrs_science.raw.packing import INFLATION, SMALL, plain_name

_BLOCK = 2**20
_LABELS = (".xml", ".XML", ".lbl", ".LBL")
_ATTEMPTS = 4
_PAUSE = 0.5
"""Before the second attempt, s; doubled before each further one."""
_REMOTE = re.compile(r"^([a-z][a-z0-9+.-]*)(://|::)")
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)
"""What `zipfile` raises on bad bytes; RuntimeError where a member is locked."""
_REFUSED = (401, 403, 404, 410)
"""What a server answers that it would answer again at once."""

_NO_SUCH = "ilrs-science-asks-for-no-such-file"

_COPIES: ContextVar[Mapping[str, Path]] = ContextVar("_COPIES", default=MappingProxyType({}))
"""The copies that lie here just now, by URL."""


def is_remote(url: str) -> bool:
    """Whether a file has to be fetched, from a server or out of an archive."""
    return _REMOTE.match(url) is not None and not Path(url).exists()


def beside(url: str, name: str) -> str:
    """Return the URL of another file in the folder of a file."""
    first, mark, rest = url.partition("::")
    folder, slash, _ = first.rpartition("/")
    if not slash and "://" not in first:
        return name + mark + rest
    return f"{folder}/{name}{mark}{rest}"


def name_in(url: str) -> str:
    """Return the name of a file without its folder."""
    first, chained, _ = url.partition("::")
    if not is_remote(url):
        return Path(url).name
    path = first.removeprefix("zip://") if chained or first.startswith("zip://") else unquote(urlsplit(first).path)
    return Path(path).name or "file"


def labels_of(name: str) -> list[str]:
    """Return the names that a detached label of this file can have, or its data; none for what describes itself."""
    stem, suffix = Path(name).stem, Path(name).suffix
    if re.fullmatch(r"\.\d[A-Z]", suffix):
        return [name + "L"]
    if suffix.lower() in (".img", ".tab", ".dat", ".csv", ".qub", ".raw", ".bin"):
        return [stem + label for label in _LABELS]
    if re.fullmatch(r"\.\d[A-Z]L", suffix):
        return [name[:-1]]
    return []


@contextmanager
def fetched(url: str) -> Iterator[Path]:
    """Yield a local file with the very bytes of another one, packed or not, with the label that lies beside it.

    A local file is itself; whether it is there is seen when it is opened. Of a remote one that is fetched further out
    already, the same copy is given.

    Raises
    ------
    OutageError
        It is not there, may not be read, or did not come whole in several attempts.
    FormatError
        The archive that holds it is damaged.
    """
    copies = _COPIES.get()
    if url in copies or not is_remote(url):
        yield copies.get(url, Path(url))
        return
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="ilrs-raw-")))
        name = name_in(url)
        copy(url, folder / name)
        here = {url: folder / name}
        for other in labels_of(plain_name(name)):
            if copy(beside(url, other), folder / other, required=False):
                here[beside(url, other)] = folder / other
        token = _COPIES.set(MappingProxyType({**copies, **here}))
        try:
            yield folder / name
        finally:
            _COPIES.reset(token)


def copy(url: str, to: Path, *, required: bool = True) -> bool:
    """Copy a file whole, in blocks, with several attempts; returns whether it is there, which it need not be.

    Raises
    ------
    OutageError
        It may not be read, did not come whole, or, if required, is not there.
    FormatError
        The archive that holds it is damaged.
    """
    for attempt in range(_ATTEMPTS):
        try:
            _copy_once(url, to)
        except FileNotFoundError as error:
            to.unlink(missing_ok=True)
            if required:
                raise OutageError(f"{url}: is not there ({_said(error)})") from error
            return False
        except IlrsError:
            raise
        except Exception as error:  # noqa: BLE001 - every kind of server has its own exceptions for a broken connection
            to.unlink(missing_ok=True)
            if not required and _is_refusal(error) and _refuses_any(url, to):
                return False
            _raise_if_final(url, error, last=attempt == _ATTEMPTS - 1)
            time.sleep(_PAUSE * 2**attempt)
        else:
            return True
    return False


def _raise_if_final(url: str, error: Exception, *, last: bool) -> None:
    """Raise what another attempt would not change."""
    if url.startswith("zip://") and isinstance(error, _DAMAGED):
        raise FormatError(f"{url}: damaged, or locked, in its archive ({error})") from error
    if isinstance(error, IsADirectoryError) or _is_refusal(error):
        raise OutageError(f"{url}: cannot be read ({_said(error)})") from error
    if last:
        raise OutageError(f"{url}: could not be fetched in {_ATTEMPTS} attempts ({_said(error)})") from error


def _is_refusal(error: Exception) -> bool:
    return isinstance(error, PermissionError) or getattr(error, "status", 0) in _REFUSED


def _refuses_any(url: str, to: Path) -> bool:
    """Whether a server also refuses a name that it surely does not have, as buckets do that may not be listed."""
    try:
        _copy_once(beside(url, _NO_SUCH), to)
    except Exception as error:  # noqa: BLE001 - as above
        return _is_refusal(error)
    return False


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _copy_once(url: str, to: Path) -> None:
    try:
        filesystem, path = fsspec.url_to_fs(url)
    except (ImportError, ValueError) as error:
        hint = ": pip install 'ilrs-science[remote]'" if isinstance(error, ImportError) else ""
        raise IlrsError(f"{url}: {error}{hint}") from error
    if url.startswith(("http://", "https://")):
        # It would take every answer but 200 to `info` for an absent file.
        filesystem.get_file(path, str(to))
        return
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
    if size > max(SMALL, INFLATION * packed):
        raise FormatError(f"{url}: declares {size} bytes in an archive of {packed}")
