"""One run at a time writes a cube: a numbered lease, and a counter that shows that its holder is alive.

Lease n is the object `records/lease-n`, made exclusively and never changed; all of them are kept, as the history of who
wrote the cube. Its holder counts up in `records/beat-n` as long as it runs. Clocks of two machines are never compared:
who finds a lease watches its counter, by a clock of its own.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from uuid import uuid4

from pydantic import ConfigDict, TypeAdapter, with_config

from ilrs_science.errors import CubeBusyError, CubeError, LeaseLostError
from ilrs_science.executors.alive import process_born
from ilrs_science.store.target import Target

BEAT = 20.0
"""Seconds between two beats."""
PATIENCE = 180.0
"""Seconds for which a counter stands still before its run is taken for dead."""

_LEASE = re.compile(r"records/lease-([1-9][0-9]{0,5})")
_HELD: set[str] = set()
"""Nonces of the leases that runs of this process hold."""
_JOBS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID")


@with_config(ConfigDict(extra="forbid", strict=True))
@dataclass(frozen=True)
class Lease:
    """Who may write a cube."""

    number: int
    nonce: str
    user: str
    host: str
    process: int
    born: str
    """What tells this process from another of the same number: boot and start time, where the system says them."""
    job: str
    """Number of the batch job, or an empty text."""
    since: str
    """UTC, by the holder's clock, for people."""

    @property
    def token(self) -> str:
        """What every record of the run carries; later runs have later tokens."""
        return f"{self.number:06d}"

    @property
    def who(self) -> str:
        """The holder, for people."""
        job = f", job {self.job}" if self.job else ""
        return f"{self.user} on {self.host} (process {self.process}{job}) since {self.since}"


@with_config(ConfigDict(extra="forbid", strict=True))
@dataclass(frozen=True)
class _Beat:
    nonce: str
    count: int


_LEASE_SCHEMA: TypeAdapter[Lease] = TypeAdapter(Lease)
_BEAT_SCHEMA: TypeAdapter[_Beat] = TypeAdapter(_Beat)


@dataclass
class Waiting:
    """How long to watch a counter; tests wait less."""

    patience: float = PATIENCE
    interval: float = 1.0
    beat: float = BEAT
    tell: Callable[[str], None] | None = None
    """Called once with what is waited for."""


@contextmanager
def leased(target: Target, waiting: Waiting | None = None) -> Iterator[Lease]:
    """Hold the lease of a cube, and release it on every ending but a kill.

    Raises
    ------
    CubeBusyError
        Another run holds it.
    """
    waiting = waiting or Waiting()
    lease = acquire(target, waiting)
    done = threading.Event()
    heart = threading.Thread(target=_beat, args=(target, lease, done, waiting.beat), name="ilrs-lease", daemon=True)
    try:
        _write_beat(target, lease, 0)
        heart.start()
        yield lease
    finally:
        done.set()
        if heart.ident is not None:
            heart.join()
        _HELD.discard(lease.nonce)
        # On a full disk the next run finds that the holder has gone, or that the counter stands still.
        with suppress(OSError):
            _write_beat(target, lease, -1)


def acquire(target: Target, waiting: Waiting) -> Lease:
    """Return the next lease, once no live run holds the newest one.

    Raises
    ------
    CubeBusyError
        A live run holds it; says who, where and since when.
    """
    while True:
        newest = current(target)
        if newest is not None:
            _wait_until_free(target, newest, waiting)
        lease = _new(newest.number + 1 if newest else 1)
        if _made(target, lease):
            return lease
        if current(target) is None:
            raise CubeError(f"{target.url}: a lease cannot be made, and the store does not list the one that is there")


def _made(target: Target, lease: Lease) -> bool:
    """Make the object of a lease and return whether it is ours."""
    name, content = f"records/lease-{lease.number}", json.dumps(asdict(lease)).encode()
    won = False
    _HELD.add(lease.nonce)
    try:
        # A lost answer may be tried again by the store's client, and be refused by what the first try wrote.
        won = target.create(name, content) or target.read(name) == content
    finally:
        if not won:
            _HELD.discard(lease.nonce)
    return won


def current(target: Target) -> Lease | None:
    """Return the newest lease, held or not.

    Raises
    ------
    CubeError
        It cannot be read.
    """
    numbers = [int(match[1]) for name in target.listing("records") if (match := _LEASE.fullmatch(name))]
    if not numbers:
        return None
    name = f"records/lease-{max(numbers)}"
    try:
        lease = _LEASE_SCHEMA.validate_json(target.read(name) or b"", strict=True)
    except ValueError:
        lease = None
    if lease is None or lease.number != max(numbers):
        raise CubeError(f"{target.url}: {name} is not a lease; remove it if no run is writing the cube")
    return lease


def check_held(target: Target, token: str) -> None:
    """Raise a LeaseLostError where the run of the token has ended, or a later one has taken the cube over.

    What asks is a worker, which may outlive its run.
    """
    if target.read(f"records/lease-{int(token) + 1}") is not None:
        raise LeaseLostError(f"{target.url}: another run has taken the cube over; this one stops")
    if b'"count": -1' in (target.read(f"records/beat-{int(token)}") or b""):
        raise LeaseLostError(f"{target.url}: the run that this part belongs to has ended; it writes no more")


def holder(target: Target) -> Lease | None:
    """Return the lease that is held, as far as can be told without waiting."""
    lease = current(target)
    return None if lease is None or _counter(target, lease) == -1 or _is_dead(lease) else lease


def _wait_until_free(target: Target, lease: Lease, waiting: Waiting) -> None:
    before = _counter(target, lease)
    if before == -1 or _is_dead(lease):
        return
    busy = CubeBusyError(f"{target.url} is being written by {lease.who}; wait for it, or stop it")
    if _is_here(lease):
        raise busy
    if waiting.tell is not None:
        waiting.tell(
            f"{target.url}: watching whether the run of {lease.who} is alive, for up to {waiting.patience:.0f} s"
        )
    since = time.monotonic()
    while time.monotonic() - since < waiting.patience:
        time.sleep(waiting.interval)
        now = _counter(target, lease)
        if now == -1:
            return
        if now != before:
            raise busy


def _new(number: int) -> Lease:
    job = next((os.environ[name] for name in _JOBS if name in os.environ), "")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    here = os.getpid()
    return Lease(number, uuid4().hex, _user(), socket.gethostname(), here, process_born(here), job, now)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())  # a container without a name for its user


def _is_here(lease: Lease) -> bool:
    """Tell whether the holder is known to live on this machine."""
    return bool(lease.born) and lease.host == socket.gethostname() and process_born(lease.process) == lease.born


def _is_dead(lease: Lease) -> bool:
    """Tell whether the holder ran on this machine, since its last start, and has gone."""
    mine = process_born(os.getpid()).partition(" ")[0]
    same_boot = bool(mine) and lease.born.startswith(f"{mine} ") and lease.host == socket.gethostname()
    return same_boot and (process_born(lease.process) != lease.born or _is_left_over(lease))


def _is_left_over(lease: Lease) -> bool:
    """Tell whether a run of this very process left the lease behind: it could not say so on a full disk."""
    return lease.process == os.getpid() and lease.nonce not in _HELD


def _beat(target: Target, lease: Lease, done: threading.Event, seconds: float) -> None:
    count = 0
    while not done.wait(seconds):
        count += 1
        try:
            _write_beat(target, lease, count)
        except OSError:
            continue  # a store that does not answer for a moment; the next beat tells


def _write_beat(target: Target, lease: Lease, count: int) -> None:
    target.write(f"records/beat-{lease.number}", json.dumps({"nonce": lease.nonce, "count": count}).encode())


def _counter(target: Target, lease: Lease) -> int | None:
    """Return the holder's counter, -1 where the lease is released, None where there is none yet."""
    try:
        beat = _BEAT_SCHEMA.validate_json(target.read(f"records/beat-{lease.number}") or b"", strict=True)
    except ValueError:
        return None
    return beat.count if beat.nonce == lease.nonce else None
