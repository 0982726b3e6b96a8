"""YAML as people write it: safe, without surprises in times and keys, every fault named at once."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, PlainSerializer, ValidationError, WithJsonSchema

from ilrs_science.errors import Fault, FormatError, IlrsError, PlanError
from ilrs_science.geometry.time import isot, parse_utc

_FIRST = 63_072_010 * 10**9  # 1972-01-01T00:00:00 UTC, TAI ns
_LAST = 9_000_000_000 * 10**9  # in 2255, TAI ns
_DEEPEST = 32
_LONGEST = 4096
_LARGEST = 2**63 - 1
# No name, path or description needs these, and each of them breaks some file system, terminal or JSON.
_UNFIT = re.compile("[\0-\x1f\x7f-\x9f\ud800-\udfff]")


def _utc(value: object) -> object:
    if isinstance(value, str):
        try:
            return parse_utc(value)
        except IlrsError as error:
            raise ValueError(str(error)) from error
    if not isinstance(value, int) or not _FIRST <= value <= _LAST:
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
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"{path}: cannot be read ({error})") from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, path: str) -> Any:
    """Return what YAML says; `path` names it in errors.

    Raises
    ------
    FormatError
        It is not YAML; with line and column.
    """
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - derived from the safe loader
    except (yaml.YAMLError, RecursionError) as error:
        raise FormatError(f"{path}: not YAML: {error}") from error
    except (ValueError, LookupError, AttributeError, TypeError) as error:
        # PyYAML's own constructors, where a tag is put before what it cannot mean, such as `!!int ""`.
        raise FormatError(f"{path}: not YAML: a value is not what its tag says ({error})") from error


def validated[M: BaseModel](model: type[M], content: Any, where: str = "") -> M:
    """Return content as a model, or raise a PlanError with every fault: where, what was found, what is allowed."""
    made, faults = checked(model, content)
    if made is None:
        raise PlanError(within(where, faults))
    return made


def checked[M: BaseModel](model: type[M], content: Any) -> tuple[M | None, list[Fault]]:
    """Return content as a model, or None and every fault."""
    plain, faults = _plain(content, "", 0)
    known = {fault.path for fault in faults}
    try:
        made = model.model_validate(plain)
    except ValidationError as error:
        for one in error.errors(include_url=False):
            path = _path(one["loc"], plain, missing=one["type"] == "missing")
            # What is no plain value has been named, and is left out here.
            if not known & set(_upward(path)):
                faults.append(Fault(path or "the document", *_words(model, dict(one))))
    else:
        if not faults:
            return made, []
    return None, _causes(faults)


def within(where: str, faults: Iterable[Fault]) -> list[Fault]:
    """Return faults with the name of their file before the path of each."""
    prefix = f"{where}: " if where else ""
    return [Fault(prefix + one.path, one.found, one.allowed) for one in faults]


def key_of(path: str) -> str:
    """Return the outermost key of the path of a fault."""
    return re.split(r"[.\[]", path, maxsplit=1)[0]


def shown(value: object) -> str:
    """Return what was found as people read it, however long, deep or large it is."""
    return f"found {repr(_plain(value, '', 0)[0])[:80]}"


def faults_of(error: ValidationError, content: Any, path: str) -> list[Fault]:
    """Return what pydantic has against content at a path, each place once."""
    faults: dict[str, Fault] = {}
    for one in error.errors(include_url=False):
        below = _path(one["loc"], content, missing=one["type"] == "missing")
        where = path + ("" if not below or below.startswith("[") else ".") + below
        faults.setdefault(where, Fault(where, shown(one["input"]), str(one["msg"])))
    return _causes(list(faults.values()))


def plain_faults(content: Any, path: str) -> list[Fault]:
    """Return a fault for every value in content at a path that no key takes: endless, huge, deep, unprintable."""
    return _plain(content, path, 0)[1]


def _plain(value: Any, path: str, depth: int) -> tuple[Any, list[Fault]]:
    """Return a value with None in place of whatever no key takes, and a fault for each."""
    if isinstance(value, dict | list | tuple):
        return _plain_inside(value, path, depth)
    fault = _scalar_fault(value)
    return (None, [Fault(path or "the document", *fault)]) if fault else (value, [])


def _plain_inside(value: Any, path: str, depth: int) -> tuple[Any, list[Fault]]:
    if depth == _DEEPEST:
        return None, [Fault(path, f"found more than {_DEEPEST} lists or mappings in each other", "write it flat")]
    items = value.items() if isinstance(value, dict) else enumerate(value)
    cleaned: list[tuple[Any, Any]] = []
    faults: list[Fault] = []
    for key, one in items:
        below = path + _step(key, begins=not path)
        unfit = _scalar_fault(key)
        clean, wrong = (None, [Fault(below, *unfit)]) if unfit else _plain(one, below, depth + 1)
        cleaned += [] if unfit else [(key, clean)]
        faults += wrong
    if isinstance(value, dict):
        return dict(cleaned), faults
    return (tuple if isinstance(value, tuple) else list)(one for _, one in cleaned), faults


def _scalar_fault(value: object) -> tuple[str, str] | None:
    """Return what is wrong with a value wherever it stands, or None."""
    if isinstance(value, str):
        return _text_fault(value)
    if isinstance(value, bytes):
        return f"found {len(value)} bytes", "expected text"
    if isinstance(value, float) and not math.isfinite(value):
        return f"found {value}", "expected a finite number"
    if isinstance(value, int) and not -_LARGEST <= value <= _LARGEST:
        return f"found an integer of {value.bit_length()} bits", f"expected at most {_LARGEST}"
    return None


def _text_fault(text: str) -> tuple[str, str] | None:
    if len(text) > _LONGEST:
        return f"found text of {len(text)} characters, {text[:20]!r} ...", f"expected at most {_LONGEST}"
    if unfit := _UNFIT.search(text):
        allowed = "text has no control characters, such as NUL or a new line, and no half characters (surrogates)"
        return f"found {text[:80]!r} with {unfit[0]!r}", allowed
    return None


def _path(loc: Sequence[int | str], content: Any, *, missing: bool) -> str:
    """Return where an error lies in the content; pydantic names the branch of a union, too, which is in no file."""
    text = ""
    for position, item in enumerate(loc):
        inside = isinstance(content, dict | list | tuple) and item in (
            content if isinstance(content, dict) else range(len(content))
        )
        content = content[item] if inside else content
        if inside or (missing and position + 1 == len(loc)):
            text += _step(item, begins=not text)
    return text


def _step(key: Any, *, begins: bool) -> str:
    if not isinstance(key, str):
        return f"[{repr(_plain(key, '', 0)[0])[:80]}]"
    word = key if _text_fault(key) is None else repr(key[:80])
    return word if begins else f".{word}"


def _upward(path: str) -> list[str]:
    """Return a path and those of everything around it."""
    return [path, *(path[: mark.start()] for mark in re.finditer(r"[.\[]", path))]


def _causes(faults: Sequence[Fault]) -> list[Fault]:
    """Return each fault once, without those of what holds a value that is wrong itself."""
    explained = {around for fault in faults for around in _upward(fault.path)[1:]}
    return [fault for fault in dict.fromkeys(faults) if fault.path not in explained]


def _words(model: type[BaseModel], error: dict[str, Any]) -> tuple[str, str]:
    if error["type"] == "extra_forbidden":
        keys = _keys_at(model, error["loc"][:-1])
        near = get_close_matches(str(error["loc"][-1]), keys, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        return "unknown key", f"{hint}allowed are {', '.join(keys)}"
    if error["type"] == "missing":
        return "is missing", "it must be given"
    if error["type"] == "tuple_type":
        return shown(error["input"]), "expected a list, one `- item` a line, or [one, two]"
    return shown(error["input"]), str(error["msg"])


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
