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


class _Muted:
    """Mutes warnings while any thread is inside.

    `warnings.catch_warnings` alone restores what each thread found, so that of several the last one out would leave
    the warnings of the process muted.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.caught: Any = None

    def __enter__(self) -> None:
        with self.lock:
            self.inside += 1
            if self.inside == 1:
                self.caught = warnings.catch_warnings()
                self.caught.__enter__()
                warnings.simplefilter("ignore")

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                self.caught.__exit__(None, None, None)


MUTED = _Muted()
"""Inside of it no library warns."""
