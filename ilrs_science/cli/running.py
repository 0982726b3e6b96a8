"""`ilrs run`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import typer

from ilrs_science.cli import show
from ilrs_science.cli.guarding import UsageError, print_json
from ilrs_science.cli.planning import Wanted
from ilrs_science.cli.terminal import CONSOLE_ERRORS, Progress
from ilrs_science.errors import ReplaceError
from ilrs_science.executors.items import Limits
from ilrs_science.model.duration import Duration
from ilrs_science.planning.planned import CollectionPlan, Plan
from ilrs_science.running.consent import Consent, cubes_of, refuse_unasked
from ilrs_science.running.run import run as run_plan
from ilrs_science.store.lease import Waiting


@dataclass(frozen=True)
class Workforce:
    """Who does the parts."""

    executor: str
    """Without a cluster."""
    workers: int | None
    """How many; by default one a core."""
    cluster: str | None
    limits: Limits

    def __post_init__(self) -> None:
        if self.executor not in ("serial", "threads", "processes"):
            raise UsageError(f"no executor {self.executor!r}; it is serial, threads or processes")

    def as_options(self) -> dict[str, Any]:
        """Return the options of `engine.run`."""
        return {
            "executor": self.executor,
            "workers": self.workers,
            "cluster": self.cluster,
            "limits": self.limits,
        }

    @property
    def indexer(self) -> Literal["processes"] | None:
        """Who indexes raw files: where processes do the parts, a file that crashes its reader costs only itself."""
        return "processes" if self.cluster is not None or self.executor == "processes" else None


def limits(part_timeout: str, memory: int | None, wait: str) -> Limits:
    """Return the limits that the options say.

    Raises
    ------
    UsageError
        A duration is none, or not positive.
    """
    seconds = []
    for option, text in (("--part-timeout", part_timeout), ("--wait", wait)):
        try:
            seconds.append(int(Duration(text)) / 1e9)
        except ValueError as error:
            raise UsageError(f"{option}: {error}") from error
        if seconds[-1] <= 0:
            raise UsageError(f"{option}: {text!r} is no time; give one such as '10 min'")
    return Limits(seconds[0], memory, seconds[1])


def consent(*, replace: bool, forget_missing: bool, redo: Sequence[str] | None) -> Consent:
    """Return what the options agree to."""
    if unknown := set(redo or ()) - {"environment"}:
        raise UsageError(f"no cause {', '.join(sorted(unknown))} to redo; it is environment")
    return Consent(replace, forget_missing, redo_environment=bool(redo))


def run(wanted: Wanted, workforce: Workforce, given: Consent, *, strict: bool, as_json: bool) -> int:
    """Run a pipeline, tell what was done, and return the exit status."""
    made = wanted.plan(strict=strict, quiet=as_json, executor=workforce.indexer)
    agreed = _asked(made, given)
    waiting = Waiting(tell=CONSOLE_ERRORS.print)
    with Progress("reducing", "parts", quiet=as_json) as progress:
        report = run_plan(
            made,
            progress=progress.parts,
            slow=progress.slow,
            waiting=waiting,
            **workforce.as_options(),
            **asdict(agreed),
        )
    print_json(report.as_json()) if as_json else show.report(report)
    return report.exit_code


def _asked(made: Plan | CollectionPlan, given: Consent) -> Consent:
    """Ask on a terminal whether good data may be replaced; elsewhere the options have to say so."""
    try:
        refuse_unasked(cubes_of(made), given)
    except ReplaceError as error:
        if not sys.stdin.isatty():
            raise
        CONSOLE_ERRORS.print(str(error), highlight=False, markup=False)
        if not typer.confirm("Go on all the same?", err=True):
            raise
        return Consent(replace=True, forget_missing=True, redo_environment=given.redo_environment)
    return given
