"""What a scientist submits: YAML, checked key by key, with a JSON Schema for editors."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ilrs_science.catalog import SiteEntry
from ilrs_science.errors import Fault, IlrsError, PlanError
from ilrs_science.model.duration import Duration
from ilrs_science.yaml_text import UtcTime, load_yaml, validated


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TimeSpan(_Strict):
    """The time axis: half-open, in UTC."""

    start: UtcTime
    stop: UtcTime
    step: Duration | None = Field(default=None, description="length of a slot; not for exposures")


class ReferenceContext(_Strict):
    """Which calibration knowledge to use."""

    context: UtcTime | None = Field(default=None, description="only what was published until then")
    folders: tuple[str, ...] = Field(default=(), description="folders of references, besides the catalogue's")


class Layout(_Strict):
    """How the cube is cut; the defaults fit most."""

    chunk: int | None = Field(default=None, gt=0, description="samples of a chunk along time")
    shard: int | None = Field(default=None, gt=0, description="samples of a shard along time, a multiple of chunk")
    part: int = Field(default=1, gt=0, description="shards of a part")


class Pipeline(_Strict):
    """A reduction: which instrument, which sites, when, onto which axis, by which steps."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="name of the product")
    instrument: str = Field(description="an installed instrument; see `ilrs instruments`")
    sites: tuple[str | SiteEntry, ...] = Field(
        default=(), description="names or descriptions; by default those of the raw files"
    )
    time: TimeSpan | None = Field(default=None, description="needed for regular cubes; by default all exposures")
    raw: tuple[str, ...] = Field(min_length=1, description="files, with * and {site}; or an inventory, .json")
    steps: tuple[dict[str, dict[str, Any]], ...] | None = Field(
        default=None, description="by default those of the instrument, in its order"
    )
    place: Literal["slot", "mean"] | None = Field(default=None, description="how samples come onto the axis")
    references: ReferenceContext = ReferenceContext()
    layout: Layout = Layout()
    output: str = Field(description="path or URL of the cube")
    memory_limit: int | None = Field(default=None, gt=0, description="bytes that one part may need")

    @field_validator("raw", "sites", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("steps", mode="before")
    @classmethod
    def _bare_names(cls, value: Any) -> Any:
        """Accept `- name`, `- name:` and `- name: {parameters}`."""
        if not isinstance(value, list | tuple):
            return value
        steps = []
        for one in value:
            step = {one: {}} if isinstance(one, str) else one
            if isinstance(step, dict):
                if len(step) != 1:
                    raise ValueError("a step is one name with its parameters, `- name: {parameter: value}`")
                step = {key: {} if parameters is None else parameters for key, parameters in step.items()}
            steps.append(step)
        return tuple(steps)

    @property
    def chosen_steps(self) -> list[tuple[str, dict[str, Any]]] | None:
        """The steps by name with their parameters; None for the instrument's own."""
        return None if self.steps is None else [next(iter(step.items())) for step in self.steps]


def load_pipeline(source: str | Path | Pipeline | dict[str, Any], **overrides: Any) -> Pipeline:
    """Return a checked pipeline.

    Parameters
    ----------
    source
        Path of a YAML file, its content, or a pipeline. Relative paths count from the folder of the file.
    overrides
        Keys to replace; None leaves the key as it is. Relative paths among them count from the working folder.

    Raises
    ------
    PlanError
        Every fault: where, what was found, what is allowed.
    FormatError
        The file is not YAML.
    """
    given = {key: value for key, value in overrides.items() if value is not None}
    if isinstance(source, Pipeline):
        return _with_absolute_paths(validated(Pipeline, source.model_dump() | given), Path.cwd())
    if isinstance(source, dict):
        return _with_absolute_paths(validated(Pipeline, source | given), Path.cwd())
    path = Path(source)
    if not path.is_file():
        raise IlrsError(f"no pipeline {str(path)!r}; give the path of a YAML file")
    content = load_yaml(path)
    if not isinstance(content, dict):
        raise PlanError(
            [Fault(str(path), f"found {type(content).__name__}", "a pipeline is a mapping of keys to values")]
        )
    moved = _with_absolute_paths(validated(Pipeline, content | given, str(path)), path.resolve().parent)
    overridden = _with_absolute_paths(validated(Pipeline, content | given), Path.cwd())
    return moved.model_copy(update={key: getattr(overridden, key) for key in given})


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a pipeline, for completion and checks in an editor."""
    schema = Pipeline.model_json_schema(mode="validation")
    text_or_list = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
    schema["properties"]["raw"] |= text_or_list
    schema["properties"]["raw"].pop("type", None)
    for key in ("items", "minItems"):
        schema["properties"]["raw"].pop(key, None)
    step = {"anyOf": [{"type": "string"}, {"type": "object", "minProperties": 1, "maxProperties": 1}]}
    schema["properties"]["steps"]["anyOf"] = [{"type": "array", "items": step}, {"type": "null"}]
    return schema


def _with_absolute_paths(pipeline: Pipeline, folder: Path) -> Pipeline:
    # A worker may have another working folder, so no relative path leaves this room.
    def absolute(path: str, base: str = str(folder)) -> str:
        path = str(Path(path).expanduser()) if path.startswith("~") else path
        return path if "://" in path or Path(path).is_absolute() else f"{base}/{path}"

    def pattern(path: str) -> str:
        # Wildcards in the name of the folder itself are no wildcards.
        return absolute(path, glob.escape(str(folder)) if any(mark in path for mark in "*?[{") else str(folder))

    folders = tuple(map(absolute, pipeline.references.folders))
    return pipeline.model_copy(
        update={
            "raw": tuple(map(pattern, pipeline.raw)),
            "output": absolute(pipeline.output),
            "references": pipeline.references.model_copy(update={"folders": folders}),
        }
    )
