"""YAML as people write it: safe, without surprises in times and keys, every fault named at once."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, PlainSerializer, ValidationError, WithJsonSchema

from ilrs_science.errors import Fault, FormatError, IlrsError, PlanError
from ilrs_science.geometry.time import isot, parse_utc

_FIRST = 63_072_010 * 10**9  # 1972-01-01T00:00:00 UTC, TAI ns


def _utc(value: object) -> object:
    if isinstance(value, str):
        try:
            return parse_utc(value)
        except IlrsError as error:
            raise ValueError(str(error)) from error
    if not isinstance(value, int) or value < _FIRST:
        raise ValueError("not a UTC time; write it as 2031-03-01T00:00:00Z")
    return value


UtcTime = Annotated[
    int,
    BeforeValidator(_utc),
    PlainSerializer(isot, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["2031-03-01T00:00:00Z"]}),
]
"""TAI nanoseconds, written as UTC in ISO 8601."""


class _Loader(yaml.SafeLoader):
    """The safe loader, with times left as text (leap seconds, nanoseconds); repeated keys and aliases are refused."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - how PyYAML wants it
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            # Nested aliases make a page of text grow beyond any memory.
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases (*name) are not allowed", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key in (key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is given twice", node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def load_yaml(path: Path) -> Any:
    """Return the content of a YAML file.

    Raises
    ------
    FormatError
        It cannot be read or is not YAML; with line and column.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - derived from the safe loader
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"{path}: cannot be read ({error})") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise FormatError(f"{path}: not YAML: {error}") from error


def validated[M: BaseModel](model: type[M], content: Any, where: str = "") -> M:
    """Return content as a model, or raise a PlanError with every fault: where, what was found, what is allowed."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        prefix = f"{where}: " if where else ""
        raise PlanError(
            Fault(prefix + _path(one["loc"]), *_words(model, dict(one))) for one in error.errors(include_url=False)
        ) from error


def _path(loc: tuple[int | str, ...]) -> str:
    text = ""
    for item in loc:
        text += f"[{item}]" if isinstance(item, int) else f".{item}" if text else item
    return text or "the document"


def _words(model: type[BaseModel], error: dict[str, Any]) -> tuple[str, str]:
    if error["type"] == "extra_forbidden":
        keys = _keys_at(model, error["loc"][:-1])
        near = get_close_matches(str(error["loc"][-1]), keys, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        return "unknown key", f"{hint}allowed are {', '.join(keys)}"
    if error["type"] == "missing":
        return "is missing", "it must be given"
    found = repr(error["input"])
    if error["type"] == "tuple_type":
        return f"found {found[:80]}", "expected a list, one `- item` a line, or [one, two]"
    return f"found {found[:80]}", str(error["msg"])


def _keys_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    current: Any = model
    for item in loc:
        fields = getattr(current, "model_fields", {})
        if item in fields:
            current = _inner_model(fields[item].annotation)
    return list(getattr(current, "model_fields", {}))


def _inner_model(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = [_inner_model(argument) for argument in getattr(annotation, "__args__", ())]
    return next((one for one in inner if one is not None), None)
