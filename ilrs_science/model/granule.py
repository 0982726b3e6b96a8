"""Raw files, as the plan sees them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import fsspec

from ilrs_science.errors import FormatError


@dataclass(frozen=True)
class Granule:
    """One raw file, or the part of one file that belongs to one site.

    Times are TAI nanoseconds since 1970-01-01T00:00:00 TAI, the span is half-open.
    """

    url: str
    """Local path or fsspec URL."""
    instrument: str = ""
    """Name of the instrument that reads it."""
    site: str = ""
    """Name of the site that observed it."""
    start: int = 0
    """Time of the first sample; 0, and `stop` too, where the file tells no time."""
    stop: int = 0
    """A time after the last sample."""
    count: int = 0
    """Samples in it, those that `read` rejects included."""
    size: int = 0
    """Bytes of the file."""
    sha256: str = ""
    """Digest of the file."""
    level: str = "raw"
    """Native level code, as the partner writes it (0B, 01, L0, EDR ...)."""
    times: tuple[int, ...] = ()
    """Instants of its exposures; empty for regularly sampled instruments."""
    format: str = ""
    """Name of its raw format, where a reader of `ilrs_science.formats` recognised it."""

    def read_bytes(self) -> bytes:
        """Return the whole file.

        Raises
        ------
        FormatError
            It has another digest than when it was indexed.
        """
        with fsspec.open(self.url, "rb") as file:
            data = bytes(file.read())
        self._check_digest(hashlib.sha256(data).hexdigest())
        return data

    @contextmanager
    def local(self) -> Iterator[Path]:
        """Yield a local path of the file, for libraries that read only paths; a remote file is copied for the while.

        Raises
        ------
        FormatError
            It has another digest than when it was indexed.
        """
        filesystem, path = fsspec.url_to_fs(self.url)
        with TemporaryDirectory(prefix="ilrs-granule-") as folder:
            here = Path(path)
            if "file" not in filesystem.protocol:
                here = Path(folder) / here.name
                filesystem.get_file(path, str(here))
            with here.open("rb") as file:
                self._check_digest(hashlib.file_digest(file, "sha256").hexdigest())
            yield here

    def _check_digest(self, found: str) -> None:
        if self.sha256 and found != self.sha256:
            raise FormatError(f"{self.url}: changed since it was indexed with digest {self.sha256}")
