"""The errors users meet: each says what was wrong, what was found and what is allowed."""

from __future__ import annotations

import errno
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import current_thread, main_thread

TRY_AGAIN = 75
"""Exit status, as EX_TEMPFAIL of sysexits.h: the same command may succeed later, unchanged."""

_OF_THE_BYTES = frozenset({errno.EINVAL, errno.ENAMETOOLONG, errno.EOVERFLOW})
"""What a system answers to an impossible position or name, as damaged bytes may ask for."""


class IlrsError(Exception):
    """Root of every error this package raises on purpose."""


class FormatError(IlrsError):
    """Raw bytes are not what the format says; names the file, the offset or record, and the reason."""


class OutageError(IlrsError, OSError):
    """What lies outside the bytes: the network, a permission, a file that went away or changed, a read cut short.

    It says nothing of the data: whoever meets it tries again later, and rejects nothing.
    """


class PluginError(IlrsError):
    """A plugin is missing, broken, named twice, or written for another contract."""


class StepError(IlrsError):
    """A step broke its contract: it changed the number of samples, dropped `quality`, mutated its input, and so on."""


class ProductError(IlrsError):
    """A block does not fit the declared product."""


class CubeError(IlrsError):
    """A store is not a cube, or is another cube than the pipeline describes."""


class CubeBusyError(CubeError):
    """Another run is writing the cube; says who, where and since when."""


class LeaseLostError(CubeError):
    """Another run has taken the cube over while this one was writing it."""


class ReplaceError(CubeError):
    """Parts of a finished cube would be made anew for other reasons than new data, and nobody has agreed to that."""


class SeriesError(StepError):
    """A step asks a series for what it cannot tell: another variable, or by a method that is not for its kind."""


class CountError(IlrsError):
    """The samples of a run do not add up: read is not placed + rejected + duplicate + conflict."""


class ClusterError(IlrsError):
    """A Dask cluster is unknown, or refuses us."""


class ClusterLostError(ClusterError, OutageError):
    """A Dask cluster does not answer, or has no workers; the same command may succeed later."""


class LimitError(IlrsError):
    """A worker that cannot be stopped has passed a limit, so that the run ends."""


class StoreFullError(OutageError):
    """The store of a cube has no room left; the run ends at once, as every other part would fail, too."""


class Preempted(KeyboardInterrupt):
    """The system asks the run to end (SIGTERM): what is done is kept, and the same command goes on."""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: where, what was found, and what is allowed there."""

    path: str
    """Where: `steps[1].despike.window`, `b.units`."""
    found: str
    """What was found there."""
    allowed: str
    """What is allowed or expected there."""

    def __str__(self) -> str:
        return f"{self.path}: {self.found}; {self.allowed}"


class PlanError(IlrsError):
    """A pipeline cannot be planned; carries every fault found, not only the first."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        count = len(self.faults)
        super().__init__(
            "\n".join([f"{count} fault{'s' if count != 1 else ''}:", *(f"  {fault}" for fault in self.faults)])
        )

    def __reduce__(self) -> tuple[type[PlanError], tuple[tuple[Fault, ...]]]:
        return type(self), (self.faults,)


_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_BUSY = frozenset({"429", "503", "SlowDown", "ServiceUnavailable", "TooManyRequests"})
"""Status of HTTP, and codes of S3, for a server that asks to be left alone for a while."""


def reason_of(error: Exception) -> str:
    """Return an error as users should read it: our own as they are, others with their type."""
    return str(error) if isinstance(error, IlrsError) else f"{type(error).__name__}: {error}"


def is_full(error: BaseException) -> bool:
    """Whether an error says that a disk or a quota is full."""
    return any(isinstance(one, OSError) and one.errno in _FULL for one in _chain(error))


def is_busy(error: BaseException) -> bool:
    """Whether an error says that a server wants fewer requests, which is nobody's fault and passes."""
    return any(_status(one) in _BUSY for one in _chain(error))


def _status(error: BaseException) -> str:
    """Return the status with which a server answered, as clients of HTTP and of S3 each put it."""
    answer = getattr(error, "response", None)
    if isinstance(answer, dict):
        return str(answer.get("Error", {}).get("Code", ""))
    return str(getattr(error, "status", ""))


@contextmanager
def foreign(what: str) -> Iterator[None]:
    """Let code that is not ours raise what it wants: what would end a process becomes an error that names it.

    Ctrl-C still ends a run whose main thread is in a step.
    """
    try:
        yield
    except Exception:
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and _hears_interrupts():
            raise
        raise PluginError(f"{what} raised {error!r}, which would have ended the process") from None


def _hears_interrupts() -> bool:
    return current_thread() is main_thread() and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN


def is_outage(error: BaseException) -> bool:
    """Whether an error, or one that it was raised from, lies outside the bytes and may be gone at the next try.

    Such are OutageError, MemoryError, and any OSError with the number of a system's error; decoders that find bad
    bytes raise OSError too (gzip, FITS), but without that number.
    """
    return any(map(_lies_outside, _chain(error)))


def _lies_outside(error: BaseException) -> bool:
    if isinstance(error, OutageError | MemoryError):
        return True
    return isinstance(error, OSError) and error.errno is not None and error.errno not in _OF_THE_BYTES


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it was raised from, each once."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
