"""A process of our own that does one item after the other, and that can be watched, stopped and blamed.

Each has a pipe of its own and shares no lock with any other, so that one that dies at any instant harms nobody, and the
item that it had in hand is known. It is started as a program, not forked: a script needs no main guard, a worker of a
Dask cluster may start one too, and it inherits nothing that a crash could have damaged. Importing what it needs takes
it seconds, so one that is meant to meet crashes does each item in a copy of itself, and lives on.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from typing import Any

import psutil

from ilrs_science.errors import ClusterError
from ilrs_science.executors import items
from ilrs_science.executors.alive import end_with, is_alive, process_born
from ilrs_science.executors.items import Cause, Ended, Limits, Stage, Underway

_PROGRAM = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[4]); "
    "from ilrs_science.executors.child import serve; serve(*map(int, sys.argv[1:3]), sys.argv[3], sys.argv[5])"
)
_IN_COPIES = "in copies"
_LOOK = 0.5
"""Seconds between two looks at the time and memory of children."""
_TRIES = 3
"""Of an item in quarantine."""
_START = 300.0
"""Seconds that a process may take to import what it needs, from a cold disk that many share; its item has not begun."""
_CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSYS, signal.SIGTRAP}
"""Signals that a process brings upon itself; the others come from somebody else, or from a machine without memory."""


class Child:
    """A process that calls one function on the items that it is sent.

    Parameters
    ----------
    function
        One that can be imported by its name.
    limits
        Of time and memory for one item.
    in_copies
        Whether each item is done in a copy of the process, which dies in its place.
    """

    def __init__(self, function: Callable[[Any], Any], limits: Limits, *, in_copies: bool = False) -> None:
        self.limits = limits
        self.sent: deque[Any] = deque()
        """Items sent and not ended; the first is in hand."""
        self.stage, self.since = Stage(), time.monotonic()
        self.looked = self.since
        self.begun = False
        self.connection, theirs = Pipe()
        here = os.getpid()
        how = _IN_COPIES if in_copies else ""
        arguments = [str(theirs.fileno()), str(here), process_born(here), json.dumps(sys.path), how]
        with theirs:
            self.process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, *(f"-W{one}" for one in sys.warnoptions), "-c", _PROGRAM, *arguments],
                pass_fds=[theirs.fileno()],
                process_group=0,  # a terminal sends Ctrl-C to the whole group of the run, also while this one starts
                stdin=subprocess.DEVNULL,
            )
        self.worker = self.process.pid
        """The process that has the item in hand."""
        self._send(function)

    def send(self, item: Any) -> None:
        """Send an item, to be done after those that were sent before."""
        if not self.sent:
            self.since = time.monotonic()
        self.sent.append(item)
        self._send(item)

    def receive(self) -> Ended[Any, Any] | None:
        """Take what the process says next, and return the item that has ended with it, if one has.

        Raises
        ------
        Exception
            What the function raised.
        """
        try:
            kind, value = self.connection.recv()
        except (EOFError, OSError):
            return self._died()
        if kind == "begun":
            self.begun, self.since, self.worker = True, time.monotonic(), value
            return None
        if kind == "died":
            return self._lost(*_why(value))
        if kind == "stage":
            self.stage = value
            return None
        if kind == "raised":
            raise value
        return replace(self._next(), value=value)

    def over_a_limit(self) -> Ended[Any, Any] | None:
        """Look now and then, kill the process where its item has passed a limit, and return the item."""
        now = time.monotonic()
        if not self.sent or now - self.looked < _LOOK:
            return None
        self.looked = now
        seconds, memory = now - self.since, _resident(self.worker)
        allowed = self.limits.memory or _memory_of_the_machine() * 9 // 10
        if seconds > (self.limits.seconds if self.begun else max(self.limits.seconds, _START)):
            reason = f"took longer than {self.limits.seconds:g} s"
        elif memory > allowed:
            reason = f"took more than {allowed / 2**20:.0f} MiB of memory"
        else:
            return None
        self.close()
        return self._lost("limit", reason)

    def underway(self) -> Underway[Any] | None:
        """Return what the process is at."""
        return Underway(self.sent[0], self.stage, time.monotonic() - self.since) if self.sent else None

    @property
    def has_ended(self) -> bool:
        """Whether the process is no more."""
        return self.connection.closed

    def close(self) -> None:
        """Kill the process, and a copy that it has made."""
        if self.process.returncode is None:  # afterwards the number may be somebody else's
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.connection.close()

    def _send(self, value: Any) -> None:
        try:
            self.connection.send(value)
        except OSError:
            return  # it is dead, which the next receive tells

    def _next(self) -> Ended[Any, Any]:
        ended: Ended[Any, Any] = Ended(self.sent.popleft(), stage=self.stage)
        self.stage, self.since = Stage(), time.monotonic()
        return ended

    def _died(self) -> Ended[Any, Any] | None:
        has_closed_its_pipe_and_lives = not _ends(self.process.pid)
        self.close()
        if not self.sent:
            return None
        return self._lost(*_why(0 if has_closed_its_pipe_and_lives else self.process.returncode))

    def _lost(self, cause: Cause, reason: str) -> Ended[Any, Any]:
        ended = self._next()
        if not self.begun:  # whatever keeps a process from starting is no fault of the item
            return replace(ended, cause="killed", reason=f"a worker process could not start: it {reason}")
        return replace(ended, cause=cause, reason=f"{reason} in {ended.stage.name}")


def heard(children: Sequence[Child], timeout: float) -> list[Ended[Any, Any]]:
    """Wait until one of several children has something to say, and return the items that have ended."""
    by_connection = {child.connection: child for child in children if not child.has_ended}
    ready = wait(list(by_connection), timeout=min(timeout, _LOOK))
    spoken = [by_connection[one].receive() for one in ready if isinstance(one, Connection)]
    over = [child.over_a_limit() for child in by_connection.values() if not child.has_ended]
    return [one for one in (*spoken, *over) if one is not None]


class Quarantine:
    """One process at a time for what may crash, hang or eat the memory; started when it is needed, and again."""

    def __init__(self) -> None:
        self.child: Child | None = None

    def call(self, function: Callable[[Any], Any], item: Any, limits: Limits) -> Ended[Any, Any]:
        """Call a function that can be imported by its name on an item, with nothing beside it."""
        if self.child is None or self.child.has_ended or self.child.limits != limits:
            self.close()
            self.child = Child(_called, limits, in_copies=True)
        self.child.send((function, item))
        try:
            while True:
                for ended in heard([self.child], _LOOK):
                    return replace(ended, item=item)
        except BaseException:
            self.close()  # Ctrl-C; or what the function raised, after which nothing is in hand
            raise

    def tried(self, function: Callable[[Any], Any], item: Any, limits: Limits) -> Ended[Any, Any]:
        """Call it until it comes to an end, or for the second time crashes or passes a limit by itself.

        Deaths by somebody else's hand say nothing of the item; after three of them it is left to another run.
        """
        faults = 0
        for _ in range(_TRIES):
            ended = self.call(function, item, limits)
            faults += ended.cause in ("crash", "limit")
            if ended.cause is None or faults == 2:  # noqa: PLR2004 - once may be chance
                break
        return ended

    def close(self) -> None:
        """End the process."""
        if self.child is not None and not self.child.has_ended:
            self.child.close()
        self.child = None


def _called(pair: tuple[Callable[[Any], Any], Any]) -> Any:
    return pair[0](pair[1])


def serve(descriptor: int, parent: int, born: str, how: str) -> None:
    """Be a child: call the function that comes first on every item that comes after it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = Connection(descriptor)
    try:
        function = connection.recv()
        if how == _IN_COPIES:
            while True:
                _do_in_a_copy(function, connection.recv(), connection, (parent, born))
        end_with(parent, born)
        while True:
            _do(function, connection.recv(), connection)
    except (EOFError, OSError):
        os._exit(0)  # the parent has closed the pipe, or is no more


def _do(function: Callable[[Any], Any], item: Any, connection: Connection) -> None:
    """Do one item, and say how that goes on."""
    connection.send(("begun", os.getpid()))
    with items.listening(lambda stage: connection.send(("stage", stage))):
        connection.send(_answer(function, item))


def _do_in_a_copy(function: Callable[[Any], Any], item: Any, connection: Connection, parent: tuple[int, str]) -> None:
    """Let a copy do one item, pass on what it says, and say how it died, if it did.

    The copy is made by a process that has imported what is needed and has no threads, whose locks it could not copy.
    """
    ours, theirs = Pipe()
    copy = os.fork()
    if not copy:
        ours.close()
        end_with(*parent)
        _do(function, item, theirs)
        os._exit(0)
    theirs.close()
    kind = ""
    with ours, suppress(EOFError, OSError):
        while is_alive(*parent):
            while ours.poll(_LOOK):
                said = ours.recv_bytes()
                kind = pickle.loads(said)[0]  # noqa: S301 - from our own copy
                connection.send_bytes(said)
    if not is_alive(*parent):
        os.kill(copy, signal.SIGKILL)
        os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1])
    if kind not in ("value", "raised"):
        connection.send(("died", status))


def _answer(function: Callable[[Any], Any], item: Any) -> tuple[str, Any]:
    try:
        return "value", function(item)
    except Exception as error:  # noqa: BLE001 - it is raised again by the parent
        try:
            return "raised", pickle.loads(pickle.dumps(error))  # noqa: S301 - our own, to see whether it can travel
        except Exception:  # noqa: BLE001 - whatever keeps an error from travelling
            return "raised", ClusterError(f"{type(error).__name__}: {error}")


def _why(status: int) -> tuple[Cause, str]:
    """Return why a process ended that had an item in hand, from its exit status, or the signal as a negative number."""
    if status >= 0:
        return "crash", f"ended its process with status {status}"
    name = signal.Signals(-status).name if -status in set(signal.Signals) else f"signal {-status}"
    if -status in _CRASHES:
        return "crash", f"crashed ({name})"
    return "killed", f"its process was killed ({name}), by somebody or for want of memory"


def _ends(process: int) -> bool:
    """Wait a while for a child of ours to end; its number stays its own until it has been asked how it ended."""
    for _ in range(100):
        if os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return True
        time.sleep(0.1)
    return False


def _resident(process: int) -> int:
    try:
        return int(psutil.Process(process).memory_info().rss)
    except psutil.Error:
        return 0


def _memory_of_the_machine() -> int:
    """Return the bytes that this machine, or the control group that a batch system confines us to, may take."""
    found = [int(psutil.virtual_memory().total)]
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):  # it says "max" where there is none
            found.append(int(Path(limit).read_text(encoding="ascii")))
    return min(found)
