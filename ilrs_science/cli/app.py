"""The commands of `ilrs`: what they are called and take. What they do is imported when they run (ADR 0018)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ilrs_science.cli.guarding import guarded, print_json
from ilrs_science.cli.options import AsJson, CubeUrl, Output, PipelineFile, Raw, References, Strict


class _Commands(TyperGroup):
    """The group of all commands, whose flags are off unless given.

    Those that typer adds are None, and to make of that what it is typer loads pydantic: longer than all else takes.
    """

    def get_params(self, ctx: Any) -> Any:
        params = super().get_params(ctx)
        for flag in params:
            if getattr(flag, "is_flag", False) and flag.default is None:
                flag.default = False
        return params


app = typer.Typer(
    name="ilrs",
    cls=_Commands,
    help="Reduce raw multi-point lunar observations to calibrated Zarr cubes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


references_app = typer.Typer(help="Calibration references.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(references_app, name="references")


def main() -> None:
    """Run the command line."""
    app()


@app.callback(invoke_without_command=True)
def version(*, show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Reduce raw multi-point lunar observations to calibrated Zarr cubes."""
    if show_version:
        from ilrs_science import __version__

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
    from ilrs_science.cli.quickstart import run_quickstart

    result = run_quickstart(folder, quiet=as_json)
    if as_json:
        print_json(result)


@app.command()
@guarded
def instruments(
    name: Annotated[str | None, typer.Argument(help="One instrument, in full.")] = None,
    *,
    load: Annotated[bool, typer.Option("--load", help="Try to load each, and say why one cannot be.")] = False,
    as_json: AsJson = False,
) -> None:
    """List installed instruments, steps and formats, and from which package; with --load also why one is broken."""
    from ilrs_science.cli import plugins

    if name is not None:
        plugins.instrument(name, as_json=as_json)
    else:
        plugins.installed(load=load, as_json=as_json)


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
    from ilrs_science.cli import indexing

    destination = indexing.Destination.at(output)
    selection = indexing.Selection.of(site, raw_format, start, stop)
    raise typer.Exit(indexing.inventory(paths, instrument, destination, selection, as_json=as_json))


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
    from ilrs_science.cli import planning

    planning.plan(planning.Wanted(pipeline, raw, output, references), strict=strict, as_json=as_json)


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
    part_timeout: Annotated[str, typer.Option(help="How long one part may take.")] = "1 h",
    worker_memory: Annotated[
        int | None, typer.Option(min=1, help="Bytes that a worker process of this machine may take.")
    ] = None,
    wait: Annotated[str, typer.Option(help="How long to wait for workers of a cluster, as in a batch queue.")] = "1 h",
    as_json: AsJson = False,
) -> None:
    """Run a pipeline, or go on with it.

    Exit 0 all good, 3 finished with rejected granules or conflicts, 1 failed, 2 usage, 75 try again unchanged.
    """
    from ilrs_science.cli import planning, running

    limits = running.limits(part_timeout, worker_memory, wait)
    workforce = running.Workforce(executor, workers, cluster, limits)
    given = running.consent(replace=replace, forget_missing=forget_missing, redo=redo)
    wanted = planning.Wanted(pipeline, raw, output, references)
    raise typer.Exit(running.run(wanted, workforce, given, strict=strict, as_json=as_json))


@app.command()
@guarded
def verify(
    cube: CubeUrl,
    *,
    repair: Annotated[bool, typer.Option("--repair", help="Make anew what is damaged.")] = False,
    adopt: Annotated[
        bool, typer.Option("--adopt", help="Accept shards that were copied or restored, where their bytes are right.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read every shard and hold it against its record. Exit 0 all right, 1 damaged."""
    from ilrs_science.cli import cubes

    if adopt:
        cubes.adopt(cube, as_json=as_json)
        return
    raise typer.Exit(cubes.verify(cube, repair=repair, as_json=as_json))


@app.command()
@guarded
def status(cube: CubeUrl, *, as_json: AsJson = False) -> None:
    """Show parts done, waiting, stale and failed."""
    from ilrs_science.cli import cubes

    raise typer.Exit(cubes.status(cube, as_json=as_json))


@app.command()
@guarded
def info(cube: CubeUrl, *, as_json: AsJson = False) -> None:
    """Show what a cube is and how it was made; of a collection, what each of its cubes covers."""
    from ilrs_science.cli import cubes

    cubes.info(cube, as_json=as_json)


@app.command()
@guarded
def check(
    what: Annotated[
        str, typer.Argument(metavar="PIPELINE|PACKAGE|CUBE", help="A pipeline, an instrument or its package, a cube.")
    ],
    *,
    raw: Raw = None,
    references: References = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="STEP.PARAMETER=VALUE",
            help="A parameter of a step of the instrument; or `inputs.SERIES=WHERE`, as in a pipeline.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check a pipeline for faults, an instrument package against the contract, or a cube against its format."""
    if what.endswith((".yaml", ".yml")):
        from ilrs_science.cli import planning

        planning.check(what, raw, references, as_json=as_json)
        return
    from ilrs_science.cli import conformance

    evidence = conformance.evidence(raw or [], references or [], parameters or [])
    raise typer.Exit(conformance.check(what, evidence, as_json=as_json))


@references_app.command("add")
@guarded
def add_references(
    cube: CubeUrl,
    *,
    to: Annotated[Path, typer.Option("--to", help="Folder of references; made if it is not there.")],
    published: Annotated[str | None, typer.Option(help="When they are known from, UTC; by default now.")] = None,
    everywhere: Annotated[bool, typer.Option("--everywhere", help="For all sites, not that of each cell.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make the cells of a cube references, if its product says of which kind; what is there stays as it is."""
    from ilrs_science.cli import referring

    raise typer.Exit(referring.add(cube, to, published, everywhere=everywhere, as_json=as_json))


@references_app.command("list")
@guarded
def list_references(
    folders: Annotated[list[str] | None, typer.Argument(help="Folders, besides the catalogue's.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """List references: of what, for whom, valid when."""
    from ilrs_science.cli import referring

    referring.listed(folders or [], as_json=as_json)


@app.command("new-instrument")
@guarded
def new_instrument(
    name: Annotated[str, typer.Argument(help="Its name, such as acme-mag.")],
    folder: Annotated[Path | None, typer.Argument(help="Where to write the package; by default ./NAME.")] = None,
    *,
    like: Annotated[str, typer.Option(help="The kind of instrument: field (samples) or events (photons).")] = "field",
    as_json: AsJson = False,
) -> None:
    """Write a partner's package, ready to test."""
    from ilrs_science.cli.new_instrument import new_package

    new_package(name, folder or Path(name), like, as_json=as_json)


@app.command()
@guarded
def simulate(
    instrument: Annotated[str, typer.Argument(help="An instrument that can simulate its raw files.")],
    folder: Annotated[Path, typer.Argument(help="Where to put them.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Write raw files in the true format, with the truth beside them."""
    from ilrs_science.cli import plugins

    plugins.simulate(instrument, folder, as_json=as_json)


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
    from ilrs_science.cli import cubes

    cubes.quicklook(cube, output, variable, as_json=as_json)


@app.command()
@guarded
def schema(*, as_json: AsJson = True) -> None:  # noqa: ARG001 - every command has --json; this one prints nothing else
    """Print the JSON Schema of a pipeline, for completion and checks in an editor."""
    from ilrs_science.planning.pipeline import json_schema

    print_json(json_schema())
