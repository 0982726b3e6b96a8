"""The terminal: tables and text on standard output, progress and complaints on standard error."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Self

import rich.progress
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from ilrs_science.model.record import Record
    from ilrs_science.running.executing import Slow

# A pipe has no width: there, lines stay whole.
CONSOLE = Console(soft_wrap=True, width=None if sys.stdout.isatty() else 160)
CONSOLE_ERRORS = Console(stderr=True, soft_wrap=True)

_PATIENCE = 30.0
"""Seconds that a part may take before its stage is told."""
_MARKED = ("[green]", "[red]")  # cells that come with their colour, and with their text escaped


def new_table(*columns: str) -> Table:
    """Return a table without lines."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def add_row(table: Table, *cells: str) -> None:
    """Add cells as they are, but those that begin with a colour."""
    table.add_row(*(cell if cell.startswith(_MARKED) else escape(cell) for cell in cells))


def complain(text: str, title: str = "") -> None:
    """Print what went wrong to standard error, after a title in red."""
    CONSOLE_ERRORS.print(f"[bold red]{title}[/] {escape(text)}" if title else escape(text), highlight=False)


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
        self._patience = _PATIENCE

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
        self._patience = _PATIENCE
        self._update(done, total, self._samples, "samples/s")
        if record.status != "done":
            self._bar.console.print(f"[red]part {record.part} failed:[/] {escape(record.reason)}", highlight=False)
        for outcome in record.outcomes:
            if outcome.fault and outcome.counts.rejected:
                self._bar.console.print(
                    f"[yellow]rejected[/] {escape(outcome.url)}: {escape(outcome.fault)}", highlight=False
                )

    def slow(self, part: Slow) -> None:
        """Tell what takes long: after half a minute, and each time when that has doubled."""
        if part.seconds and part.seconds < self._patience:
            return
        self._patience = max(_PATIENCE, 2 * part.seconds)
        self._bar.console.print(f"[yellow]still at[/] {escape(str(part))}", highlight=False)

    def _update(self, done: int, total: int, amount: int, unit: str) -> None:
        elapsed = self._bar.tasks[0].elapsed or 0.0
        rate = f"{amount / elapsed:,.0f} {unit}" if elapsed > 0 else ""
        self._bar.update(self._task, completed=done, total=total, rate=rate, visible=True)
