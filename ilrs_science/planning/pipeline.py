"""What a scientist submits: YAML, checked key by key, with a JSON Schema for editors."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import fsspec
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    Tag,
    WithJsonSchema,
    field_validator,
)

from ilrs_science.catalog import SiteEntry
from ilrs_science.errors import Fault, PlanError
from ilrs_science.model.duration import slot_length, slot_text
from ilrs_science.yaml_text import UtcTime, checked, key_of, load_yaml, shown, validated, within

MOST_SLOTS = 2**25
"""Slots along time that a cube holds at most: a year of seconds; plain xarray keeps 35 bytes for each."""
MOST_PARTS = 1_000_000
"""Parts that a plan makes at most."""
_MOST_BYTES = 2**53
_LONGEST_NAME = 255


def protocols(url: str) -> list[str]:
    """Return the protocols that a path or URL names, as fsspec reads it; none for a plain path."""
    if "://" not in url and "::" not in url:
        return []
    links = [link.partition("://")[0] if "://" in link else link for link in url.split("::")]
    return [link for link in links if re.fullmatch(r"[A-Za-z0-9+.-]+", link)]


def _file_name(text: str) -> str:
    """Return a path or URL that may exist, with `~` written out."""
    for protocol in protocols(text):
        try:
            fsspec.get_filesystem_class(protocol)
        except (ValueError, ImportError) as error:
            raise ValueError(f"nothing opens {protocol}:// here ({error})") from error
    if text.startswith("~"):
        try:
            text = str(Path(text).expanduser())
        except RuntimeError as error:
            raise ValueError(f"nobody has the home folder {text.partition('/')[0]}") from error
    long = [name for name in text.split("/") if len(os.fsencode(name)) > _LONGEST_NAME]
    if long:
        raise ValueError(f"a name of {len(os.fsencode(long[0]))} bytes; a file or folder has at most {_LONGEST_NAME}")
    return text


def _step(value: Any) -> Any:
    """Accept `- name`, `- name:` and `- name: {parameters}`."""
    step = {value: {}} if isinstance(value, str) else value
    if not isinstance(step, dict):
        return step
    if len(step) != 1:
        raise ValueError("a step is one name with its parameters, `- name: {parameter: value}`")
    return {key: {} if parameters is None else parameters for key, parameters in step.items()}


SlotLength = Annotated[
    Any,
    BeforeValidator(slot_length),
    PlainSerializer(slot_text, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["1 s", "66.7 Hz"]}),
]
"""ns: a `Duration`, or a fraction where that is no whole number."""
_FileName = Annotated[str, Field(min_length=1), AfterValidator(_file_name)]
_FileNames = Annotated[
    tuple[_FileName, ...],
    Field(min_length=1),
    BeforeValidator(lambda value: (value,) if isinstance(value, str) else value),
]
_Step = Annotated[dict[str, dict[str, Any]], BeforeValidator(_step)]
_SiteName = Annotated[str, Field(min_length=1), Tag("name")]
_Site = Annotated[
    _SiteName | Annotated[SiteEntry, Tag("description")],
    Discriminator(lambda value: "name" if isinstance(value, str) else "description"),
]
_Samples = Annotated[int, Field(strict=True, gt=0, le=MOST_SLOTS)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TimeSpan(_Strict):
    """The time axis: half-open, in UTC."""

    start: UtcTime
    stop: UtcTime
    step: SlotLength | None = Field(default=None, description="length of a slot; not for exposures")


class ReferenceContext(_Strict):
    """Which calibration knowledge to use."""

    context: UtcTime | None = Field(default=None, description="only what was published until then")
    folders: tuple[_FileName, ...] = Field(default=(), description="folders of references, besides the catalogue's")


class Layout(_Strict):
    """How the cube is cut; the defaults fit most."""

    chunk: _Samples | None = Field(default=None, description="samples of a chunk along time")
    shard: _Samples | None = Field(default=None, description="samples of a shard along time, a multiple of chunk")
    part: _Samples = Field(default=1, description="shards of a part")


class Pipeline(_Strict):
    """A reduction: which instrument, which sites, when, onto which axis, by which steps."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=200, description="name of the product")
    instrument: str = Field(min_length=1, description="an installed instrument; see `ilrs instruments`")
    sites: tuple[_Site, ...] = Field(default=(), description="names or descriptions; by default those of the raw files")
    time: TimeSpan | None = Field(default=None, description="needed for regular cubes; by default all exposures")
    raw: tuple[_FileName, ...] = Field(
        min_length=1,
        description="files, with * and {site}; or an inventory, .json; or the cubes that the instrument reads",
    )
    inputs: dict[str, _FileNames] = Field(
        default={}, description="where the series are that steps ask for: files, as for raw, or cubes"
    )
    steps: tuple[_Step, ...] | None = Field(
        default=None, description="by default those of the instrument, in its order"
    )
    place: Literal["slot", "mean", "sum"] | None = Field(default=None, description="how samples come onto the axis")
    conflicts: Literal["first", "last", "best"] = Field(
        default="first",
        description="which of two different values at one instant is kept: of the granule that starts first, last, "
        "or with the fewest flags",
    )
    partition: Literal["none", "year", "month", "lunation", "day"] | None = Field(
        default=None,
        description="one cube, or one for each of these spans of UTC, in a group; by default the coarsest whose cubes "
        "hold few enough slots",
    )
    references: ReferenceContext = ReferenceContext()
    layout: Layout = Layout()
    output: _FileName = Field(description="path or URL of the cube")
    memory_limit: Annotated[int, Field(strict=True, gt=0, le=_MOST_BYTES)] | None = Field(
        default=None, description="bytes that one part may need"
    )

    @field_validator("raw", "sites", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @property
    def chosen_steps(self) -> list[tuple[str, dict[str, Any]]] | None:
        """The steps by name with their parameters; None for the instrument's own."""
        return None if self.steps is None else [next(iter(step.items())) for step in self.steps]


@dataclass(frozen=True)
class Reading:
    """What a pipeline says as far as it can be read."""

    pipeline: Pipeline
    """The pipeline, with stand-ins for its broken keys."""
    broken: frozenset[str]
    """Keys of the pipeline with a fault; what is said about their stand-ins means nothing."""
    faults: tuple[Fault, ...]


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
    reading = read_pipeline(source, overrides)
    if reading.faults:
        raise PlanError(reading.faults)
    return reading.pipeline


def read_pipeline(source: str | Path | Pipeline | dict[str, Any], overrides: Mapping[str, Any]) -> Reading:
    """Return a pipeline as far as it can be read, with every fault of its keys, so that more can be said about it.

    Parameters
    ----------
    source, overrides
        As for `load_pipeline`.

    Raises
    ------
    PlanError
        It is no mapping of keys to values.
    FormatError
        The file is not YAML.
    """
    given = {key: value for key, value in overrides.items() if value is not None}
    content, where, folder = _content(source)
    made, faults = checked(Pipeline, content | given)
    broken = frozenset(key_of(fault.path) for fault in faults)
    made = made or validated(
        Pipeline,
        {"name": "unnamed", "instrument": "unknown", "raw": "unknown", "output": "unknown"}
        | {key: value for key, value in (content | given).items() if key in Pipeline.model_fields.keys() - broken},
    )
    overridden = _with_absolute_paths(made, Path.cwd())
    update = {key: getattr(overridden, key) for key in given.keys() & Pipeline.model_fields.keys()}
    made = _with_absolute_paths(made, folder).model_copy(update=update)
    return Reading(made, broken, tuple(within(where, faults)))


def _content(source: object) -> tuple[dict[str, Any], str, Path]:
    """Return the keys and values of a pipeline, the name of its file, and the folder that its paths count from."""
    if isinstance(source, Pipeline):
        return source.model_dump(), "", Path.cwd()
    where, content, folder = "", source, Path.cwd()
    if isinstance(source, str | Path):
        path = Path(source)
        if not os.path.isfile(path):  # noqa: PTH113 - Path.is_file raises where a name is too long
            raise PlanError([Fault("pipeline", f"no pipeline {str(path)[:200]!r}", "give the path of a YAML file")])
        where, content, folder = str(path), load_yaml(path), path.resolve().parent
    if not isinstance(content, dict):
        raise PlanError([Fault(where or "the document", shown(content), "a pipeline is a mapping of keys to values")])
    return content, where, folder


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a pipeline, for completion and checks in an editor."""
    schema = Pipeline.model_json_schema(mode="validation")
    text_or_list = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
    schema["properties"]["raw"] |= text_or_list
    schema["properties"]["inputs"]["additionalProperties"] = text_or_list
    schema["properties"]["raw"].pop("type", None)
    for key in ("items", "minItems"):
        schema["properties"]["raw"].pop(key, None)
    step = {"anyOf": [{"type": "string"}, {"type": "object", "minProperties": 1, "maxProperties": 1}]}
    schema["properties"]["steps"]["anyOf"] = [{"type": "array", "items": step}, {"type": "null"}]
    return schema


def _with_absolute_paths(pipeline: Pipeline, folder: Path) -> Pipeline:
    # A worker may have another working folder, so no relative path leaves this room.
    def absolute(path: str, base: str = str(folder)) -> str:
        return path if "://" in path or Path(path).is_absolute() else f"{base}/{path}"

    def pattern(path: str) -> str:
        # Wildcards in the name of the folder itself are no wildcards.
        return absolute(path, glob.escape(str(folder)) if any(mark in path for mark in "*?[{") else str(folder))

    folders = tuple(map(absolute, pipeline.references.folders))
    return pipeline.model_copy(
        update={
            "raw": tuple(map(pattern, pipeline.raw)),
            "inputs": {name: tuple(map(pattern, several)) for name, several in pipeline.inputs.items()},
            "output": absolute(pipeline.output),
            "references": pipeline.references.model_copy(update={"folders": folders}),
        }
    )
