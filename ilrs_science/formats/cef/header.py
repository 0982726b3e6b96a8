"""The header of a CEF-2 file, and the headers that it includes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ilrs_science.errors import FormatError

_DEPTH = 8
_STATEMENT = re.compile(r"\s*([A-Za-z0-9_]+)\s*=\s*(.*)", re.DOTALL)
_VALUE = re.compile(r'"([^"]*)"|([^\s,"][^,"]*)')


@dataclass
class Variable:
    """A variable: its name and attributes, each a list of texts."""

    name: str
    attributes: dict[str, list[str]] = field(default_factory=dict)

    def one(self, key: str, default: str = "") -> str:
        """Return the first value of an attribute."""
        return next(iter(self.attributes.get(key, [])), default)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Return the lengths of its dimensions; none for a scalar."""
        sizes = tuple(int(size) for size in self.attributes.get("SIZES", []))
        return () if sizes in ((), (1,)) else sizes

    @property
    def kind(self) -> str:
        """Return its VALUE_TYPE, in capitals."""
        return self.one("VALUE_TYPE", "FLOAT").upper()


@dataclass
class Header:
    """What a header says."""

    path: Path
    attributes: dict[str, list[str]] = field(default_factory=dict)
    variables: list[Variable] = field(default_factory=list)
    marker: str = "\n"
    until: str | None = None
    included: list[Path] = field(default_factory=list)
    """Headers of other files that belong to it."""


def _statements(text: str) -> Iterator[tuple[str, list[str], int]]:
    """Yield keyword, values and the offset after each statement; comments and continued lines are taken care of."""
    start, pending = 0, ""
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        line, start = text[start:end], end + 1
        if not pending and line.lstrip().startswith("!"):
            continue
        line = pending + line.rstrip()
        if line.endswith("\\"):
            pending = line[:-1]
            continue
        pending = ""
        match = _STATEMENT.fullmatch(line)
        if match:
            values = [quoted or bare.strip() for quoted, bare in _VALUE.findall(match[2])]
            yield match[1], values or [""], start


def read_header(text: str, header: Header, depth: int) -> str | None:
    """Fill the header and return the data that follow it, or None where it has no end."""
    variable: Variable | None = None
    section = ""
    for keyword, values, after in _statements(text):
        key, value = keyword.upper(), values[0]
        if key == "DATA_UNTIL":
            header.until = None if value.upper() == "EOF" else value
            return text[after:]
        if key == "INCLUDE":
            _include(value, header, depth)
        elif key == "END_OF_RECORD_MARKER":
            header.marker = _marker(header.path, value)
        elif key == "START_VARIABLE":
            variable = Variable(value)
            header.variables.append(variable)
        elif key == "START_META":
            section = value
        elif key in ("END_VARIABLE", "END_META"):
            variable, section = None, ""
        else:
            _keep(header, variable, section, key, values)
    return None


def _keep(header: Header, variable: Variable | None, section: str, key: str, values: list[str]) -> None:
    """Keep an attribute of a variable, the entries of a section, or what stands outside of both."""
    if variable is not None:
        variable.attributes[key] = values
    elif not section or key == "ENTRY":
        header.attributes.setdefault(section or key, []).extend(values)


def _marker(path: Path, value: str) -> str:
    if value in {"", "!", "&", ","}:
        raise FormatError(f"{path}: END_OF_RECORD_MARKER is {value!r}; it may not be that")
    return value


def _include(name: str, header: Header, depth: int) -> None:
    """Read the header of another file, which must lie beside this one."""
    if Path(name).name != name or name in ("", ".", ".."):
        raise FormatError(f"{header.path}: includes {name!r}; an included file lies in the same folder")
    if depth >= _DEPTH:
        raise FormatError(f"{header.path}: files that include each other more than {_DEPTH} deep")
    beside = header.path.parent / name
    if not beside.is_file():
        raise FormatError(f"{header.path}: includes {name}, which is not beside it")
    header.included.append(beside)
    read_header(beside.read_text("latin-1"), header, depth + 1)
