"""Notice when code reaches outside the memory of its process: files, sockets, other programs.

Python cannot take an audit hook away again, so there is one for the process, which does nothing until it is asked to.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from types import FrameType
from typing import Any

_WATCHED = (
    "open", "glob.", "pathlib.", "shutil.", "tempfile.", "mmap.", "sqlite3.",
    "os.listdir", "os.scandir", "os.walk", "os.fwalk", "os.mkdir", "os.rmdir", "os.remove", "os.rename",
    "os.truncate", "os.link", "os.symlink", "os.chmod", "os.chown", "os.utime",
    "socket.", "urllib.", "http.", "ftplib.", "smtplib.", "webbrowser.",
    "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.startfile", "pty.",
)  # fmt: skip
_CODE = (".py", ".pyc", ".so", ".pyd", ".dylib")

_noted: ContextVar[list[str] | None] = ContextVar("_noted", default=None)


@contextmanager
def noting_outside_access() -> Iterator[list[str]]:
    """Yield a list that grows by what the code within opens, connects to or starts; imports do not count."""
    _install()
    noted: list[str] = []
    token = _noted.set(noted)
    try:
        yield noted
    finally:
        _noted.reset(token)


@cache
def _install() -> None:
    sys.addaudithook(_hook)


# The hook outlives this module's names when the interpreter shuts down, so it holds what it needs.
def _hook(event: str, arguments: tuple[Any, ...], get: Callable[[], list[str] | None] = _noted.get) -> None:
    noted = get()
    if noted is None or not event.startswith(_WATCHED):
        return
    target = str(arguments[0]) if arguments else ""
    if event == "open" and target.endswith(_CODE):
        return
    if not _is_importing(sys._getframe(1)):  # noqa: SLF001 - the documented way to see who calls
        noted.append(f"{event} {target}".strip())


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
