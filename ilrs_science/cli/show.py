"""How results look in a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from ilrs_science import references
from ilrs_science.catalog import Inventory
from ilrs_science.cli.terminal import CONSOLE, add_row, new_table
from ilrs_science.errors import Fault
from ilrs_science.geometry.time import isot
from ilrs_science.model.granule import Granule
from ilrs_science.model.instrument import Instrument
from ilrs_science.model.step import step_parameters
from ilrs_science.planning.diff import VERDICTS
from ilrs_science.planning.planned import CollectionPlan, Plan
from ilrs_science.running.report import Report

if TYPE_CHECKING:
    from ilrs_science.testing import Report as ConformanceReport


def plugins(found: Sequence[Mapping[str, Any]]) -> None:
    """Print plugins as a table."""
    table = new_table("", "name", "package", "version", "state")
    for one in found:
        fine = "[green]ready[/]" if one["loaded"] else "installed"
        state = f"[red]broken:[/] {escape(one['problem'])}" if one["problem"] else fine
        add_row(table, one["kind"][:-1], one["name"], one["distribution"], one["version"], state)
    CONSOLE.print(table)


def instrument_as_json(one: Instrument) -> dict[str, Any]:
    """Return what there is to know about an instrument."""
    return {
        "name": one.name,
        "about": one.about,
        "partners": list(one.partners),
        "files": one.files,
        "reads": one.reads,
        "series": {name: each.reads or each.files for name, each in one.series.items()},
        "contract": one.contract,
        "can_simulate": one.simulate is not None,
        "steps": [
            {
                "name": function.__name__,
                "about": (function.__doc__ or "").strip().partition("\n")[0],
                "parameters": {
                    name: "filled in by the engine" if p.role != "value" else None if p.required else str(p.default)
                    for name, p in step_parameters(function).items()
                },
            }
            for function in one.steps
        ],
        "product": one.product.as_json(),
        # Of events the engine declares what comes out.
        "variables": [v.as_json() for v in one.product.declared or one.product.stored(one.product.place)],
    }


def instrument(described: Mapping[str, Any]) -> None:
    """Print an instrument."""
    CONSOLE.print(f"[bold]{described['name']}[/]: {escape(described['about'] or 'no description')}")
    of = f"cubes of {described['reads']}" if described["reads"] else f"files {described['files']}"
    CONSOLE.print(f"{of}; partners {', '.join(described['partners']) or 'unknown'}", highlight=False)
    for name, where in described["series"].items():
        CONSOLE.print(f"series {name}: {escape(where)}", highlight=False)
    table = new_table("step", "parameters", "what it does")
    for one in described["steps"]:
        given = ", ".join(n if v is None else f"{n}={v}" for n, v in one["parameters"].items())
        add_row(table, one["name"], given, one["about"])
    CONSOLE.print(table)
    table = new_table("variable", "dimensions", "units", "what it is")
    for one in described["variables"]:
        add_row(table, one["name"], ", ".join(one["dims"]), one["units"], one["about"])
    CONSOLE.print(table)
    CONSOLE.print("flags: " + ", ".join(described["product"]["flags"]), highlight=False)


@dataclass(frozen=True)
class _Kind:
    """Granules of one instrument, site and format."""

    instrument: str
    site: str
    format: str
    granules: Sequence[Granule]

    @property
    def first_and_last(self) -> tuple[str, str]:
        """The first and the last moment in UTC, of the granules that have times."""
        timed = [one for one in self.granules if one.stop]
        if not timed:
            return "no time", ""
        first, last = min(one.start for one in timed), max(one.stop for one in timed) - 1
        return f"{isot(first)[:19]}Z", f"{isot(last)[:19]}Z"

    def cells(self) -> tuple[str, ...]:
        """Return the row of a table."""
        count, size = sum(one.count for one in self.granules), sum(one.size for one in self.granules)
        names = (self.instrument or "unknown", self.site or "unknown", self.format)
        return (*names, str(len(self.granules)), f"{count:,}", *self.first_and_last, f"{size:,}")


def _kinds(granules: Iterable[Granule]) -> list[_Kind]:
    """Return granules by instrument, site and format, in order."""
    groups: dict[tuple[str, str, str], list[Granule]] = {}
    for granule in granules:
        groups.setdefault((granule.instrument, granule.site, granule.format), []).append(granule)
    return [_Kind(*names, own) for names, own in sorted(groups.items())]


def inventory(found: Inventory, written: Path | None) -> None:
    """Print granules by instrument and site, and every file that is none."""
    table = new_table("instrument", "site", "format", "granules", "samples", "from", "to", "bytes")
    for kind in _kinds(found.granules):
        add_row(table, *kind.cells())
    CONSOLE.print(table)
    labels = sum(one.is_expected for one in found.rejected)
    if labels:
        CONSOLE.print(f"and {labels} labels of them", highlight=False)
    for rejection in (one for one in found.rejected if not one.is_expected):
        CONSOLE.print(f"[yellow]not taken[/] {escape(rejection.url)}: {escape(rejection.reason)}", highlight=False)
    if written is not None:
        CONSOLE.print(f"wrote {escape(str(written))}")


def plan(made: Plan | CollectionPlan) -> None:
    """Print what a run would do."""
    if isinstance(made, Plan):
        _cube_plan(made)
        return
    CONSOLE.print(
        f"{escape(made.pipeline.output)}: one cube a {made.partition}, {len(made.plans)} in all", highlight=False
    )
    for one in made.plans:
        _cube_plan(one)


def _cube_plan(made: Plan) -> None:
    values = made.as_json()
    table = new_table("plan", values["name"])
    for key in ("instrument", "output", "start", "stop"):
        add_row(table, key, str(values[key]))
    add_row(table, "slots", f"{made.axis.count:,}, in chunks of {made.cut.chunk:,} and shards of {made.cut.shard:,}")
    for key in ("place", "parts", "granules"):
        add_row(table, key, str(values[key]))
    add_row(table, "sites", ", ".join(values["sites"]))
    add_row(table, "bytes in, out", f"{made.bytes_in:,} raw, {made.bytes_out:,} before compression")
    add_row(table, "memory per part", f"{made.memory:,} bytes")
    for step in made.steps:
        add_row(table, f"step {step.name}", ", ".join(f"{k}={v}" for k, v in step.parameters.items()))
        for site, own in step.at.items():
            add_row(table, f"  at {site}", ", ".join(f"{k}={v}" for k, v in own.items()))
    for one in made.references():
        add_row(
            table,
            f"reference {one.kind}",
            f"{one.site}: {Path(one.url).name}, {isot(one.start)} to {references.until(one)}",
        )
    for name, count in Counter((one.instrument, one.site) for one in made.granules_of_series).items():
        add_row(table, f"series {name[0].rpartition(':')[2]}", f"{name[1]}: {count} granules")
    for verdict, count in made.diff.counts().items():
        add_row(table, f"parts {verdict}", f"{count}: {VERDICTS[verdict]}")
    CONSOLE.print(table)
    _cube_notes(made)


def _cube_notes(made: Plan) -> None:
    """Print what a reader of a plan should not overlook."""
    for warning in made.warnings:
        CONSOLE.print(f"[yellow]warning[/] {escape(str(warning))}", highlight=False)
    for url in made.diff.gone:
        text = "is not there any more; the cube keeps its samples, and `ilrs run --forget-missing` drops them"
        CONSOLE.print(f"[yellow]gone[/] {escape(url)} {text}", highlight=False)
    for name in made.diff.unreadable:
        CONSOLE.print(f"[yellow]unreadable[/] {name}: what it told of is done again", highlight=False)
    for granule in made.duplicates:
        CONSOLE.print(f"[yellow]duplicate[/] {escape(granule.url)}: has the content of another file", highlight=False)
    if made.outside:
        CONSOLE.print(f"{len(made.outside)} granules lie outside the pipeline's sites and time; not read")
    for rejection in (one for one in made.rejected if not one.is_expected):
        CONSOLE.print(f"[yellow]rejected[/] {escape(rejection.url)}: {escape(rejection.reason)}", highlight=False)


def report(done: Report) -> None:
    """Print what a run did."""
    if done.did_nothing:
        CONSOLE.print(f"nothing to do: all {done.parts} parts of {escape(done.output)} are done and unchanged")
    elif not done.failed:
        made = f"{done.parts - done.skipped} parts done in {done.seconds:.1f} s"
        kept = f", {done.skipped} were done before" if done.skipped else ""
        CONSOLE.print(f"{made}{kept}: {escape(done.output)}", highlight=False)
    counts = done.counts
    CONSOLE.print(
        f"samples: read {counts.read:,} = placed {counts.placed:,} + rejected {counts.rejected:,} "
        f"+ duplicate {counts.duplicate:,} + conflict {counts.conflict:,}; "
        f"slots: {done.flagged:,} flagged, {done.missing:,} missing",
        highlight=False,
    )
    for reason, number in done.reasons.items():
        hint = "; a shorter time.step, or place: mean, would use them" if "in its slot" in reason else ""
        CONSOLE.print(f"[yellow]{number:,} samples rejected:[/] {escape(reason)}{hint}", highlight=False)
    for url, reason in done.rejected.items():
        CONSOLE.print(f"[yellow]rejected[/] {escape(url)}: {escape(reason)}", highlight=False)
    for url in done.gone:
        CONSOLE.print(f"[yellow]gone[/] {escape(url)}: the cube keeps its samples", highlight=False)
    if done.environments > 1:
        CONSOLE.print(
            f"parts were made with {done.environments} versions of Python or of the libraries; "
            "`--redo environment` makes them alike",
            highlight=False,
        )
    if done.failed:
        CONSOLE.print(
            f"[bold red]{len(done.failed)} of {done.parts} parts failed[/]; the same command tries them again:"
        )
        for reason in sorted({record.reason for record in done.failed}):
            CONSOLE.print(f"  {escape(reason)}", highlight=False)


def conformance(name: str, result: ConformanceReport) -> None:
    """Print the results of the conformance kit."""
    CONSOLE.print(f"[bold]{name}[/]")
    for one in result.results:
        mark = "[green]ok[/]    " if one.ok else "[red]failed[/]"
        CONSOLE.print(f"  {mark} {one.check}" + (f": {escape(one.detail)}" if one.detail else ""), highlight=False)


def faults(what: str, found: Sequence[Fault]) -> None:
    """Print what is wrong with a cube, a line each."""
    CONSOLE.print(f"{escape(what)}: {len(found) or 'no'} fault{'' if len(found) == 1 else 's'}", highlight=False)
    for one in found:
        CONSOLE.print(f"  {escape(str(one))}", highlight=False)
