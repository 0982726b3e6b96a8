"""Ctrl-C and SIGTERM: where they are heard, and what they mean."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from typing import Any

from ilrs_science.errors import Preempted


@contextmanager
def held() -> Iterator[None]:
    """Let processes start that do not hear Ctrl-C, which a terminal sends to all; they finish, and we stop them."""
    with _handled(signal.SIGINT, signal.SIG_IGN):
        yield


@contextmanager
def preemptible() -> Iterator[None]:
    """Let SIGTERM, which batch systems send before they kill, end a run as Ctrl-C does: what is done is kept."""

    def stop(number: int, frame: Any) -> None:
        del number, frame
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough; what is being saved must not be cut short
        raise Preempted

    with _handled(signal.SIGTERM, stop):
        yield


@contextmanager
def _handled(number: signal.Signals, handler: Any) -> Iterator[None]:
    """Let a handler hear a signal; only the main thread may say so, and elsewhere nothing changes."""
    if current_thread() is not main_thread():
        yield
        return
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)
