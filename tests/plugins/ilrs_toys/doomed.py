"""Runs in processes of their own that die, or stop and wait, at a named instant of what they write."""

import os
import re
import select
import signal
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import ilrs_science as ilrs
from ilrs_science.store.folder import Folder

type Meet = Callable[[], None]

DONE = 99
"""How a copy ends that came to its end."""


def killed(pipeline: dict[str, Any], instant: str, number: int = signal.SIGKILL, **more: Any) -> int:
    """Run a pipeline in a process of its own that gets a signal at an instant; return how it ended.

    Parameters
    ----------
    instant
        A regular expression over what is done next, such as `write zarr.json`, `create records/lease-1`,
        `delete records/000001-000001.json`; with `3rd:` before it, the third of its kind.

    Returns
    -------
    The number of the signal, negative, or the exit status: 130 where it was interrupted, `DONE` where it came to
    its end.
    """

    def die() -> None:
        os.kill(os.getpid(), number)

    return ended(forked(lambda: _run(pipeline, instant, die, more)))


@contextmanager
def waiting_at(pipeline: dict[str, Any], instant: str, **more: Any) -> Iterator[int]:
    """Run a pipeline in a process of its own that stands still at an instant; it may be killed there, or goes on.

    Yields its number; whoever kills it has to wait for it with `ended`.
    """
    arrived, arrive = os.pipe()
    go, let_go = os.pipe()

    def stop() -> None:
        os.write(arrive, b".")
        os.read(go, 1)

    process = forked(lambda: _run(pipeline, instant, stop, more))
    try:
        assert select.select([arrived], [], [], 60)[0], "the run never came to this instant"
        yield process
    finally:
        os.write(let_go, b".")
        with suppress(ChildProcessError):
            os.waitpid(process, 0)
        for one in (arrived, arrive, go, let_go):
            os.close(one)


def forked(function: Callable[[], Any]) -> int:
    """Call a function in a copy of this process, which has everything imported: a new one takes seconds for that."""
    with warnings.catch_warnings():
        # Threads of the original are not copied; those of zarr are made anew, and no other is waited for.
        warnings.simplefilter("ignore", DeprecationWarning)
        process = os.fork()
    if process:
        return process
    status = DONE
    try:
        function()
    except KeyboardInterrupt:
        status = 130
    except BaseException as error:  # noqa: BLE001 - whatever it is, this copy must not become a second test run
        os.write(2, "".join(traceback.format_exception(error)).encode())
        status = 1
    finally:
        os._exit(status)


def ended(process: int) -> int:
    """Wait for a process and return its exit status, or the number of the signal that killed it, negative."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def operations(pipeline: dict[str, Any]) -> list[str]:
    """Run a pipeline and return what it did to its cube, in order."""
    seen: list[str] = []
    with _watched(seen.append):
        ilrs.run(pipeline, executor="serial")
    return seen


def _run(pipeline: dict[str, Any], instant: str, meet: Meet, more: dict[str, Any]) -> None:
    count, pattern = re.fullmatch(r"(?:(\d+)\w\w:)?(.*)", instant, re.DOTALL).groups()
    left = [int(count or 1)]

    def see(text: str) -> None:
        if re.fullmatch(pattern, text):
            left[0] -= 1
            if left[0] == 0:
                meet()

    with _watched(see):
        ilrs.run(pipeline, **({"executor": "serial"} | more))


@contextmanager
def _watched(see: Callable[[str], None]) -> Iterator[None]:
    """Tell of everything that is written into folders, before it is."""
    before = {name: getattr(Folder, name) for name in ("write", "exchange", "create", "delete")}

    def telling(verb: str) -> Callable[..., Any]:
        def told(self: Folder, name: str, *args: Any, **more: Any) -> Any:
            see(f"{'write' if verb == 'exchange' else verb} {name}")
            return before[verb](self, name, *args, **more)

        return told

    for verb in before:
        setattr(Folder, verb, telling(verb))
    try:
        yield
    finally:
        for verb, function in before.items():
            setattr(Folder, verb, function)


def tree(folder: Path) -> dict[str, Any]:
    """Return everything in a folder: names, kinds, bytes, and times of change."""
    return {
        path.relative_to(folder).as_posix(): (
            path.readlink() if path.is_symlink() else path.is_dir() or path.read_bytes(),
            path.lstat().st_mtime_ns,
            path.lstat().st_mode,
        )
        for path in sorted(folder.rglob("*"))
    }
