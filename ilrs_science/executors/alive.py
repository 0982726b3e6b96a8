"""Whether a process of this machine still lives, told apart from a later one of the same number."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

_WATCH = 2.0
"""Seconds between two looks of a worker process whether the run that it works for still lives."""


def process_born(process: int) -> str:
    """Return what tells a process of this machine from a later one of the same number; empty where nothing does."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        # Containers of one machine have numbers of processes of their own.
        boot += os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - what it names is no path
        # After the name in brackets, which may hold anything, come the state and, as the 20th field, the start time.
        about = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        # One that was killed and that its parent has not asked for yet is dead all the same.
        return "" if about[0] in "ZX" else f"{boot} {about[19]}"
    except (OSError, IndexError):
        return ""


def end_with(process: int, born: str) -> None:
    """Let this process end as soon as another one has: what it would still write belongs to nobody."""
    threading.Thread(target=_follow, args=(process, born), name="ilrs-follow", daemon=True).start()


def is_alive(process: int, born: str) -> bool:
    """Tell whether the process of this number that was born then lives."""
    return process_born(process) == born and _exists(process)


def _follow(process: int, born: str) -> None:
    while is_alive(process, born):
        time.sleep(_WATCH)
    os._exit(1)


def _exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
