"""Mistakes become a few lines and an exit status, results JSON; light, for each command of `ilrs` begins here."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from math import isfinite
from typing import Any

import typer

from ilrs_science.errors import TRY_AGAIN, CubeBusyError, IlrsError, OutageError, PlanError, Preempted

USAGE = 2
FAILED = 1
INTERRUPTED = 130


class UsageError(IlrsError):
    """The command line asks for what there is not."""


def print_json(value: Any) -> None:
    """Print JSON and nothing else."""
    typer.echo(json.dumps(_finite(value), indent=2, default=str, allow_nan=False))


def _finite(value: Any) -> Any:
    """Return a value without the numbers that JSON does not know; they become their names."""
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list | tuple) else value


def guarded[**P](command: Callable[P, None]) -> Callable[P, None]:
    """Turn a user's mistake into a few lines and an exit code: 2 faults of a pipeline, 75 what may pass, 1 failed."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except (IlrsError, OSError) as error:
            faults = [asdict(fault) for fault in error.faults] if isinstance(error, PlanError) else []
            _say(kwargs, str(error), {"error": str(error), "faults": faults}, title="error:")
            raise typer.Exit(_exit_code(error)) from None
        except Preempted:
            text = "stopped by the system (SIGTERM); what is done is kept, the same command goes on from there"
            _say(kwargs, text, {"error": text, "faults": []})
            raise typer.Exit(TRY_AGAIN) from None
        except KeyboardInterrupt:
            text = "interrupted; what is done is kept, the same command goes on from there"
            _say(kwargs, text, {"error": text, "faults": []})
            raise typer.Exit(INTERRUPTED) from None

    return run


def _exit_code(error: Exception) -> int:
    if isinstance(error, OutageError | CubeBusyError):
        return TRY_AGAIN
    return USAGE if isinstance(error, PlanError | UsageError) else FAILED


def _say(options: Mapping[str, Any], text: str, value: Mapping[str, Any], *, title: str = "") -> None:
    from ilrs_science.cli.terminal import complain  # noqa: PLC0415 - rich is slow to import

    if options.get("as_json"):
        print_json(value)
    complain(text, title)
