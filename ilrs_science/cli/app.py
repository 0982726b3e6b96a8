"""The commands of `ilrs`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from ilrs_science import __version__, catalog, registry
from ilrs_science.cli import cubes, show
from ilrs_science.cli.options import AsJson, CubeUrl, Output, PipelineFile, Raw, References, Strict
from ilrs_science.cli.terminal import CONSOLE, CONSOLE_ERRORS, Progress, UsageError, guarded, print_json
from ilrs_science.engine.executing import ExecutorName
from ilrs_science.engine.plan import plan as make_plan
from ilrs_science.engine.planned import CollectionPlan, Plan
from ilrs_science.engine.run import Consent, cubes_of, refuse_unasked
from ilrs_science.engine.run import run as run_plan
from ilrs_science.errors import IlrsError, ReplaceError
from ilrs_science.geometry.time import parse_utc
from ilrs_science.pipeline import Pipeline, json_schema, load_pipeline
from ilrs_science.store.collection import cubes_at
from ilrs_science.store.cube import open_cube
from ilrs_science.store.lease import Waiting

app = typer.Typer(
    name="ilrs",
    help="Reduce raw multi-point lunar observations to calibrated Zarr cubes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> None:
    """Run the command line."""
    app()


@app.callback(invoke_without_command=True)
def version(*, show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Reduce raw multi-point lunar observations to calibrated Zarr cubes."""
    if show_version:
        typer.echo(__version__)
        raise typer.Exit


@app.command()
@guarded
def quickstart(
    folder: Annotated[Path, typer.Argument(help="Where to put everything.")] = Path("quickstart"),
    *,
    as_json: AsJson = False,
) -> None:
    """Simulate a small campaign, reduce it on a local Dask cluster, and look at it."""
    from ilrs_science.cli.quickstart import run_quickstart  # noqa: PLC0415 - pictures are slow to import

    result = run_quickstart(folder, quiet=as_json)
    if as_json:
        print_json(result)


@app.command()
@guarded
def instruments(
    name: Annotated[str | None, typer.Argument(help="One instrument, in full.")] = None, *, as_json: AsJson = False
) -> None:
    """List installed instruments and steps: from which package, and why one is broken."""
    if name is not None:
        described = show.instrument_as_json(registry.instrument(name))
        print_json(described) if as_json else show.instrument(described)
        return
    found = [
        asdict(plugin) | {"problem": plugin.problem or registry.load_problem(plugin)}
        for kind in ("instruments", "steps")
        for plugin in registry.plugins(kind)
    ]
    print_json(found) if as_json else show.plugins(found)


@app.command()
@guarded
def inventory(  # noqa: PLR0913 - the options of the command
    paths: Annotated[list[str], typer.Argument(help="Files, folders, globs or URLs; {site} names the site.")],
    *,
    instrument: Annotated[list[str] | None, typer.Option("--instrument", "-i", help="Consider only these.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Write to this file: .parquet, which also remembers unchanged files, or .json."
        ),
    ] = None,
    site: Annotated[str | None, typer.Option(help="Only granules of this site.")] = None,
    raw_format: Annotated[str | None, typer.Option("--format", help="Only granules of this raw format.")] = None,
    start: Annotated[str | None, typer.Option(help="Only granules after this time, UTC: 1976-01-15T00:00:00.")] = None,
    stop: Annotated[str | None, typer.Option(help="Only granules before this time, UTC.")] = None,
    as_json: AsJson = False,
) -> None:
    """Index raw files into granules; files that are none are listed with the reason."""
    if output is not None and not output.absolute().parent.is_dir():
        raise UsageError(f"no folder {output.absolute().parent} to write the inventory to")
    known = None
    if output is not None and output.suffix == ".parquet" and output.exists():
        known = catalog.Inventory.from_file(str(output))
    span = [None if moment is None else parse_utc(moment) for moment in (start, stop)]
    with Progress("indexing", "files", quiet=as_json) as progress:
        found = catalog.inventory(paths, instruments=instrument, known=known, progress=progress.files)
    if output is not None:
        found.save(output)
    shown = found
    if (site, raw_format, start, stop) != (None, None, None, None):
        shown = found.select(site=site, format=raw_format, start=span[0], stop=span[1])
    print_json(shown.as_json()) if as_json else show.inventory(shown, output)
    raise typer.Exit(0 if all(one.is_label for one in found.rejected) else 3)


@app.command()
@guarded
def plan(  # noqa: PLR0913 - options of a command
    pipeline: PipelineFile,
    *,
    raw: Raw = None,
    output: Output = None,
    references: References = None,
    strict: Strict = False,
    as_json: AsJson = False,
) -> None:
    """Say what a run would do, and what of it is done already, or everything that is wrong; writes nothing."""
    with Progress("indexing", "files", quiet=as_json) as progress:
        made = make_plan(_pipeline(pipeline, raw, output, references), strict=strict, progress=progress.files)
    print_json(made.as_json()) if as_json else show.plan(made)


@app.command()
@guarded
def run(  # noqa: PLR0913 - options of a command
    pipeline: PipelineFile,
    *,
    cluster: Annotated[str | None, typer.Option(help="local, or the address of a Dask scheduler.")] = None,
    executor: Annotated[str, typer.Option(help="Without a cluster: serial, threads or processes.")] = "threads",
    workers: Annotated[int | None, typer.Option(min=1, help="How many; by default one a core.")] = None,
    raw: Raw = None,
    output: Output = None,
    references: References = None,
    strict: Strict = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Do parts again whose parameters, references or code have changed.")
    ] = False,
    forget_missing: Annotated[
        bool, typer.Option("--forget-missing", help="Drop the samples of raw files that are not there any more.")
    ] = False,
    redo: Annotated[
        list[str] | None, typer.Option(help="environment: also parts made with other versions of libraries.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a pipeline, or go on with it.

    Exit 0 all good, 3 finished with rejected granules or conflicts, 1 failed, 2 usage, 75 try again unchanged.
    """
    if executor not in ("serial", "threads", "processes"):
        raise UsageError(f"no executor {executor!r}; it is serial, threads or processes")
    if unknown := set(redo or ()) - {"environment"}:
        raise UsageError(f"no cause {', '.join(sorted(unknown))} to redo; it is environment")
    chosen: ExecutorName = executor  # type: ignore[assignment]
    with Progress("indexing", "files", quiet=as_json) as progress:
        made = make_plan(_pipeline(pipeline, raw, output, references), strict=strict, progress=progress.files)
    consent = _asked(made, Consent(replace, forget_missing, redo_environment=bool(redo)))
    waiting = Waiting(tell=CONSOLE_ERRORS.print)
    with Progress("reducing", "parts", quiet=as_json) as progress:
        report = run_plan(
            made,
            executor=chosen,
            workers=workers,
            cluster=cluster,
            progress=progress.parts,
            waiting=waiting,
            **asdict(consent),
        )
    print_json(report.as_json()) if as_json else show.report(report)
    raise typer.Exit(report.exit_code)


for _command in (cubes.verify, cubes.status, cubes.info):
    app.command()(_command)


@app.command()
@guarded
def check(
    what: Annotated[
        str, typer.Argument(metavar="PIPELINE|PACKAGE|CUBE", help="A pipeline, an instrument or its package, a cube.")
    ],
    *,
    raw: Raw = None,
    references: References = None,
    as_json: AsJson = False,
) -> None:
    """Check a pipeline for faults, an instrument package against the contract, or a cube against its format."""
    if what.endswith((".yaml", ".yml")):
        made = make_plan(_pipeline(Path(what), raw, None, references))
        print_json({"ok": True, "faults": []}) if as_json else CONSOLE.print(
            f"{what}: no faults, {len(made.parts)} parts"
        )
        return
    from ilrs_science.cli.conformance import check_package, faults_of_cube, is_cube  # noqa: PLC0415 - slow to import

    if is_cube(what):
        faults = [fault for one in cubes_at(what) for fault in faults_of_cube(one)]
        if as_json:
            print_json({"ok": not faults, "faults": [asdict(fault) for fault in faults]})
        else:
            show.faults(what, faults)
        raise typer.Exit(1 if faults else 0)
    reports = check_package(what, raw or [], references or [])
    if as_json:
        print_json({name: report.as_json() for name, report in reports.items()})
    else:
        for name, report in reports.items():
            show.conformance(name, report)
    raise typer.Exit(0 if all(report.ok for report in reports.values()) else 1)


@app.command("new-instrument")
@guarded
def new_instrument(
    name: Annotated[str, typer.Argument(help="Its name, such as acme-mag.")],
    folder: Annotated[Path | None, typer.Argument(help="Where to write the package; by default ./NAME.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Write a partner's package, ready to test."""
    from ilrs_science.cli.new_instrument import write_package  # noqa: PLC0415

    target = folder or Path(name)
    files = write_package(name, target)
    if as_json:
        print_json({"folder": str(target), "files": files})
        return
    CONSOLE.print(f"wrote {len(files)} files in {target}:")
    for file in files:
        CONSOLE.print(f"  {file}", highlight=False)
    CONSOLE.print(f"next:\n  cd {target}\n  uv run pytest\n  uv run ilrs instruments {name}", highlight=False)


@app.command()
@guarded
def simulate(
    instrument: Annotated[str, typer.Argument(help="An instrument that can simulate its raw files.")],
    folder: Annotated[Path, typer.Argument(help="Where to put them.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Write raw files in the true format, with the truth beside them."""
    writer = registry.instrument(instrument).simulate
    if writer is None:
        raise IlrsError(f"{instrument} has no simulator")
    files = [str(path) for path in writer(folder)]
    print_json({"files": files}) if as_json else CONSOLE.print(f"wrote {len(files)} files below {folder}")


@app.command()
@guarded
def quicklook(
    cube: CubeUrl,
    *,
    variable: Annotated[str | None, typer.Option(help="Variable to draw.")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="PNG to write.")] = Path("quicklook.png"),
    as_json: AsJson = False,
) -> None:
    """Draw a cube as PNG."""
    from ilrs_science.analysis.quicklook import save_quicklook  # noqa: PLC0415

    path = save_quicklook(open_cube(cube), output, variable)
    print_json({"file": str(path)}) if as_json else CONSOLE.print(f"wrote {path}")


@app.command()
@guarded
def schema(*, as_json: AsJson = True) -> None:  # noqa: ARG001 - every command has --json; this one prints nothing else
    """Print the JSON Schema of a pipeline, for completion and checks in an editor."""
    print_json(json_schema())


def _asked(made: Plan | CollectionPlan, consent: Consent) -> Consent:
    """Ask on a terminal whether good data may be replaced; elsewhere the options have to say so."""
    try:
        refuse_unasked(cubes_of(made), consent)
    except ReplaceError as error:
        if not sys.stdin.isatty():
            raise
        CONSOLE_ERRORS.print(str(error), highlight=False, markup=False)
        if not typer.confirm("Go on all the same?", err=True):
            raise
        return Consent(replace=True, forget_missing=True, redo_environment=consent.redo_environment)
    return consent


def _pipeline(path: Path, raw: list[str] | None, output: str | None, references: list[str] | None) -> Pipeline:
    """Return a pipeline with the options of the command line put in; folders of references are added, not replaced."""
    overrides: dict[str, Any] = {"raw": tuple(raw) if raw else None, "output": output}
    pipeline = load_pipeline(path, **overrides)
    if not references:
        return pipeline
    folders = (*pipeline.references.folders, *(str(Path(one).resolve()) for one in references))
    return pipeline.model_copy(update={"references": pipeline.references.model_copy(update={"folders": folders})})
