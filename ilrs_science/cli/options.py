"""Options and arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
PipelineFile = Annotated[Path, typer.Argument(help="A pipeline, YAML.")]
CubeUrl = Annotated[str, typer.Argument(help="Path or URL of a cube.")]
Raw = Annotated[list[str] | None, typer.Option("--raw", help="Raw files instead of the pipeline's; may be repeated.")]
Output = Annotated[str | None, typer.Option("--output", "-o", help="Cube to write instead of the pipeline's.")]
Strict = Annotated[bool, typer.Option("--strict", help="Take warnings for faults.")]
References = Annotated[
    list[str] | None, typer.Option("--references", help="Further folder of references; may be repeated.")
]
