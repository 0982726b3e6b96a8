"""Where the libraries of others read bytes that nobody vouches for."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from ilrs_science.errors import FormatError, IlrsError


@contextmanager
def foreign(path: Path | str, what: str, but: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Turn whatever a library raises on damaged bytes into a FormatError that names the file, and mute its warnings.

    Libraries trust the lengths and offsets that a file declares, so that damage shows as any exception at all. What a
    library only warns of is looked at by the reader itself, before or after.

    Parameters
    ----------
    path
        The file; that it exists has been seen before.
    what
        What it was read as: `FITS`, `CDF`.
    but
        Exceptions that mean something else, and go on.

    Raises
    ------
    FormatError
        Something was raised inside.
    """
    with MUTED:
        try:
            yield
        except IlrsError:
            raise
        except but:
            raise
        except Exception as error:
            said = " ".join(str(error).split())[:300]
            raise FormatError(f"{path}: damaged {what} ({type(error).__name__}: {said})") from error


def library(name: str, extra: str) -> Any:
    """Return an optional library.

    Raises
    ------
    IlrsError
        It is not installed; says how to install it.
    """
    try:
        return import_module(name)
    except ImportError as error:
        distribution = name.partition(".")[0]
        raise IlrsError(
            f"this format is read with {distribution}, which is not installed: pip install 'ilrs-science[{extra}]'"
        ) from error


class _Muted(threading.local):
    """Mutes the warnings of the thread that is inside, and those of no other.

    The filters of Python are those of the whole process: while `warnings.catch_warnings` mutes a reader, a step of a
    partner in another thread could not warn. So there is one filter more, for good, and it asks which thread warns.
    """

    inside = 0

    def __enter__(self) -> None:
        self.inside += 1
        if not warnings.filters or warnings.filters[0] is not _FILTER:
            with _LOCK:
                filters: Any = warnings.filters
                filters[:] = [_FILTER, *(one for one in filters if one is not _FILTER)]
                warnings._filters_mutated()  # type: ignore[attr-defined]  # noqa: SLF001 - as `filterwarnings` does

    def __exit__(self, *_: object) -> None:
        self.inside -= 1

    def match(self, _text: str) -> bool:
        """Whether a warning is to be ignored; what a filter calls of its pattern."""
        return self.inside > 0


MUTED = _Muted()
"""Inside of it no library warns."""
_LOCK = threading.Lock()
_FILTER: Any = ("ignore", MUTED, Warning, None, 0)
