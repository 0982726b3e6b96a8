"""The errors users meet: each says what was wrong, what was found and what is allowed."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

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


class CountError(IlrsError):
    """The samples of a run do not add up: read is not placed + rejected + duplicate + conflict."""


class ClusterError(IlrsError):
    """No Dask cluster could be reached, or it lost all of its workers."""


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
