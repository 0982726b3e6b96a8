"""The terminal: JSON or text, progress on standard error, and errors without the stack of internals."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from math import isfinite
from typing import Any, Self

import rich.progress
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ilrs_science.engine.report import TRY_AGAIN
from ilrs_science.errors import CubeBusyError, IlrsError, OutageError, PlanError, Preempted
from ilrs_science.model.record import Record

# A pipe has no width: there, lines stay whole.
CONSOLE = Console(soft_wrap=True, width=None if sys.stdout.isatty() else 160)
CONSOLE_ERRORS = Console(stderr=True, soft_wrap=True)

_MARKED = ("[green]", "[red]")  # cells that come with their colour, and with their text escaped

USAGE = 2
FAILED = 1
INTERRUPTED = 130


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


def new_table(*columns: str) -> Table:
    """Return a table without lines."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def add_row(table: Table, *cells: str) -> None:
    """Add cells as they are, but those that begin with a colour."""
    table.add_row(*(cell if cell.startswith(_MARKED) else escape(cell) for cell in cells))


def guarded[**P](command: Callable[P, None]) -> Callable[P, None]:
    """Turn a user's mistake into a few lines and an exit code: 2 faults of a pipeline, 75 what may pass, 1 failed."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except (IlrsError, OSError) as error:
            faults = [asdict(fault) for fault in error.faults] if isinstance(error, PlanError) else []
            _say(kwargs, f"[bold red]error:[/] {escape(str(error))}", {"error": str(error), "faults": faults})
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


class UsageError(IlrsError):
    """The command line asks for what there is not."""


def _say(options: Mapping[str, Any], text: str, value: Mapping[str, Any]) -> None:
    if options.get("as_json"):
        print_json(value)
    CONSOLE_ERRORS.print(text, highlight=False)


class Progress:
    """A bar with rate and time left on a terminal's standard error; nothing when quiet."""

    def __init__(self, doing: str, unit: str, *, quiet: bool = False) -> None:
        self._bar = rich.progress.Progress(
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TextColumn("{task.fields[unit]}, {task.fields[rate]}"),
            rich.progress.TimeElapsedColumn(),
            rich.progress.TextColumn("left"),
            rich.progress.TimeRemainingColumn(),
            console=CONSOLE_ERRORS,
            disable=quiet,
        )
        self._task = self._bar.add_task(doing, total=None, unit=unit, rate="", visible=False)
        self._samples = 0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def files(self, done: int, total: int) -> None:
        """Show files done."""
        self._update(done, total, done, "files/s")

    def parts(self, record: Record, done: int, total: int) -> None:
        """Show a part done, and say why one failed."""
        self._samples += record.counts.read
        self._update(done, total, self._samples, "samples/s")
        if record.status != "done":
            self._bar.console.print(f"[red]part {record.part} failed:[/] {escape(record.reason)}", highlight=False)
        for outcome in record.outcomes:
            if outcome.fault and outcome.counts.rejected:
                self._bar.console.print(
                    f"[yellow]rejected[/] {escape(outcome.url)}: {escape(outcome.fault)}", highlight=False
                )

    def _update(self, done: int, total: int, amount: int, unit: str) -> None:
        elapsed = self._bar.tasks[0].elapsed or 0.0
        rate = f"{amount / elapsed:,.0f} {unit}" if elapsed > 0 else ""
        self._bar.update(self._task, completed=done, total=total, rate=rate, visible=True)
