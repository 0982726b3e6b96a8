"""Raw files as whoever reads them gets them: here, unpacked, and with the digest that they were indexed with."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from ilrs_science.errors import IlrsError, OutageError
from ilrs_science.raw.digests import bytes_and_sha256, sha256_of
from ilrs_science.raw.fetching import fetched, labels_of, name_in
from ilrs_science.raw.packing import gunzip, is_gzip, plain_name


def read_bytes(url: str, sha256: str) -> bytes:
    """Return a whole file; a `.gz` unpacked.

    Parameters
    ----------
    url
        Local path or fsspec URL.
    sha256
        Digest of its bytes, packed as they are; empty where none is known.

    Raises
    ------
    OutageError
        It cannot be opened or read, or has another digest.
    FormatError
        It cannot be unpacked.
    """
    with ExitStack() as stack, outages(url):
        path = stack.enter_context(fetched(url))
        data, found = bytes_and_sha256(path)
        _check(url, found, sha256)
        if _is_packed(url, data):
            data = stack.enter_context(unpacked(path, url)).read_bytes()
    return data


@contextmanager
def local(url: str, sha256: str, companions: Mapping[str, str]) -> Iterator[Path]:
    """Yield a local file, a `.gz` unpacked, with its companions in the same folder.

    Parameters
    ----------
    url, sha256
        As in `read_bytes`.
    companions
        Digests of the files beside it by their URLs, empty where they are not known.

    Raises
    ------
    OutageError
        One of them cannot be opened or read, or has another digest.
    FormatError
        It cannot be unpacked.
    """
    with ExitStack() as stack:
        with outages(url):
            path = stack.enter_context(fetched(url))
            _check(url, sha256_of(path), sha256)
            with path.open("rb") as file:
                packed = _is_packed(url, file.read(4))
            plain = stack.enter_context(unpacked(path, url)) if packed else path
        for companion, digest in companions.items():
            with outages(companion):
                here = stack.enter_context(fetched(companion))
                _check(companion, sha256_of(here), digest)
                if str(plain) != url:
                    _put(here, plain.parent / name_in(companion))
        yield plain


@contextmanager
def unpacked(packed: Path, url: str) -> Iterator[Path]:
    """Yield what a packed file holds, with the labels and headers that lie beside it.

    Raises
    ------
    FormatError
        It cannot be unpacked; named by its URL.
    """
    with TemporaryDirectory(prefix="ilrs-raw-") as folder:
        name = plain_name(packed.name)
        plain = Path(folder) / name
        gunzip(packed, plain, url)
        headers = [one.name for one in packed.parent.glob("*.ceh")] if name.lower().endswith(".cef") else []
        for other in [*labels_of(name), *headers]:
            if (packed.parent / other).is_file():
                _put(packed.parent / other, plain.parent / other)
        yield plain


@contextmanager
def outages(url: str) -> Iterator[None]:
    """Turn what a system or a server raises when a file is opened or read into an OutageError that names the file."""
    try:
        yield
    except IlrsError:
        raise
    except OSError as error:
        raise OutageError(f"{url}: cannot be read ({type(error).__name__}: {error})") from error


def _is_packed(url: str, head: bytes) -> bool:
    """Whether a file is to be unpacked: it says so by its name too, lest a reader is robbed of its own container."""
    return name_in(url).lower().endswith(".gz") and is_gzip(head)


def _check(url: str, found: str, expected: str) -> None:
    if expected and found != expected:
        raise OutageError(f"{url}: changed since it was indexed with digest {expected}; plan again")


def _put(here: Path, there: Path) -> None:
    """Copy a file into a folder of ours, once; a hard link would change the time by which we know the file."""
    if not there.exists():
        shutil.copyfile(here, there)
