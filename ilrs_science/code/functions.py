"""Where the code of a function comes from: its module, those of what it wraps and holds, or what was typed."""

from __future__ import annotations

import hashlib
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from ilrs_science.code.meaning import meaning_of
from ilrs_science.code.places import Place, place_of

_MAIN = ("__main__", "__mp_main__")


@dataclass
class Origins:
    """Where the code of some functions comes from."""

    places: dict[str, Place] = field(default_factory=dict)
    """Modules that define them, by name."""
    needs: set[str] = field(default_factory=set)
    """Modules that typed functions name."""
    held: set[tuple[str, str]] = field(default_factory=set)
    """Module, and what a function of it holds: values of closures and defaults, or the meaning of what was typed."""


def origins_of(functions: Iterable[Callable[..., Any]]) -> Origins:
    """Return where the code of functions comes from, of those they wrap, and of those they hold, too."""
    found = Origins()
    seen: set[int] = set()
    waiting: list[Any] = list(functions)
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        waiting += _held_by(one, found) if isinstance(one, FunctionType) else _module_of(one, found)
    return found


def _held_by(function: FunctionType, found: Origins) -> Iterator[Any]:
    # functools.wraps gives the wrapper the module of what it wraps; its globals are its own.
    module = str(function.__globals__.get("__name__", ""))
    place = _place_in(module, function)
    label = "" if module in _MAIN else module
    values: list[Any] = []
    if place:
        found.places[module] = place
    else:
        found.held.add((label, _typed(function)))
        values += _globals_of(function)
    values += [*_cells(function), *(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    plain = [_plain(value) for value in values]
    found.held |= {(label, f"{function.__qualname__} holds {text}") for text in plain if text}
    if wrapped := getattr(function, "__wrapped__", None):
        yield wrapped
    for value in values:
        yield from _parts(value)


def _place_in(module: str, function: FunctionType) -> Place | None:
    """Return where the source of a function's module lies; None for what was typed, or run from a text."""
    file = function.__globals__.get("__file__")
    if not file or function.__code__.co_filename.startswith("<"):
        return None
    known = None if module in _MAIN else place_of(module)
    name = "" if module in _MAIN else module
    return known if known and known.file == file else Place(name, str(file))


def _module_of(value: Any, found: Origins) -> list[Any]:
    """Note the module that defines a class, or an object by its class."""
    module = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
    if module in _MAIN and isinstance(value, type):
        with suppress(OSError, TypeError, SyntaxError):
            found.held.add(("", meaning_of(textwrap.dedent(inspect.getsource(value)))))
    elif isinstance(module, str) and module not in _MAIN and module not in sys.builtin_module_names:
        found.needs.add(module)
    return []


def _cells(function: FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not filled yet
            continue


def _globals_of(function: FunctionType) -> list[Any]:
    names = {name for code in _codes(function.__code__) for name in code.co_names}
    return [function.__globals__[name] for name in sorted(names) if name in function.__globals__]


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _parts(value: Any) -> Iterator[Any]:
    """Give the functions, classes and modules in a value."""
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if isinstance(value, list | tuple | set | frozenset):
        for one in value:
            yield from _parts(one)
    elif not _plain(value):
        yield value if isinstance(value, FunctionType | type | ModuleType) else type(value)


def _plain(value: Any) -> str:
    """Return a text for a value that is data; an empty one for what is code."""
    if isinstance(value, np.ndarray) and value.dtype != object:
        return f"{value.dtype}{value.shape}{hashlib.sha256(value.tobytes()).hexdigest()}"
    if isinstance(value, Mapping):
        return _all_plain([text for pair in value.items() for text in pair], "{}")
    if isinstance(value, set | frozenset):
        return "".join(sorted(_plain(one) for one in value))
    if isinstance(value, list | tuple):
        return _all_plain(list(value), "()")
    return repr(value) if isinstance(value, str | bytes | int | float | complex | None) else ""


def _all_plain(values: list[Any], brackets: str) -> str:
    return f"{brackets[0]}{', '.join(_plain(one) for one in values)}{brackets[1]}"


def _typed(function: FunctionType) -> str:
    """Return the meaning of a function that lies in no file."""
    try:
        return meaning_of(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return hashlib.sha256(_meaning_of_code(function.__code__).encode()).hexdigest()


def _meaning_of_code(code: CodeType) -> str:
    constants = [_meaning_of_code(one) if isinstance(one, CodeType) else repr(one) for one in code.co_consts]
    return repr((code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars))
