"""`ilrs plan`, and pipelines as the command line asks for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ilrs_science.cli import show
from ilrs_science.cli.guarding import print_json
from ilrs_science.cli.terminal import CONSOLE, Progress
from ilrs_science.planning.pipeline import Pipeline, load_pipeline
from ilrs_science.planning.plan import plan as make_plan
from ilrs_science.planning.planned import CollectionPlan, Plan


@dataclass(frozen=True)
class Wanted:
    """The file of a pipeline, and what the options of a command put in."""

    file: Path
    raw: Sequence[str] | None = None
    output: str | None = None
    references: Sequence[str] | None = None
    """Further folders of references; they are added, not put in the place of others."""

    def pipeline(self) -> Pipeline:
        """Load the pipeline with the options put in."""
        overrides: dict[str, Any] = {"raw": tuple(self.raw) if self.raw else None, "output": self.output}
        loaded = load_pipeline(self.file, **overrides)
        if not self.references:
            return loaded
        folders = (*loaded.references.folders, *(str(Path(one).resolve()) for one in self.references))
        return loaded.model_copy(update={"references": loaded.references.model_copy(update={"folders": folders})})

    def plan(
        self, *, strict: bool, quiet: bool, executor: Literal["threads", "processes"] | None = None
    ) -> Plan | CollectionPlan:
        """Make the plan, with a bar while files are indexed."""
        with Progress("indexing", "files", quiet=quiet) as progress:
            return make_plan(self.pipeline(), strict=strict, progress=progress.files, executor=executor)


def plan(wanted: Wanted, *, strict: bool, as_json: bool) -> None:
    """Tell what a run would do."""
    made = wanted.plan(strict=strict, quiet=as_json)
    print_json(made.as_json()) if as_json else show.plan(made)


def check(file: str, raw: Sequence[str] | None, references: Sequence[str] | None, *, as_json: bool) -> None:
    """Tell that a pipeline has no faults; those that it has are an error."""
    made = make_plan(Wanted(Path(file), raw, references=references).pipeline())
    if as_json:
        print_json({"ok": True, "faults": []})
    else:
        CONSOLE.print(f"{file}: no faults, {len(made.parts)} parts")
