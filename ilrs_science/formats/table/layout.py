"""What a table of text does not say of itself: where its columns are, and what they mean, as its reader declares it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Self

from ilrs_science.errors import Fault, IlrsError
from ilrs_science.geometry.time import parse_count

TYPES = ("auto", "float64", "float32", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8", "text")
"""What the values of a column may be; `auto`: whole numbers or reals where all of it are, else text."""
STEPS = {
    "ns": 1,
    "us": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "min": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 86400 * 10**9,
}
"""Units in which time may count from an epoch, ns."""


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    name: str
    start: int = 0
    """Its first character in a line, counted from 1; only in tables of fixed width."""
    width: int = 0
    """Its characters; only in tables of fixed width."""
    dtype: str = "float64"
    """One of `TYPES`."""
    units: str = ""
    missing: tuple[str | float, ...] = ()
    """Values that are none: NaN in reals, named in the attributes otherwise."""
    flags: tuple[tuple[str, int], ...] = ()
    """Meanings of bits, and their masks; attributes `flag_meanings` and `flag_masks` of the CF conventions."""
    about: str = ""

    @classmethod
    def of(cls, given: Mapping[str, Any], where: str) -> Self:
        """Return a column as YAML has it.

        Raises
        ------
        IlrsError
            Something else than the fields of a column stands in it; with its place.
        """
        known = _known(cls, given, where)
        one = cls(
            name=_text(given.get("name"), f"{where}.name", empty=False),
            start=_whole(given.get("start", 0), f"{where}.start"),
            width=_whole(given.get("width", 0), f"{where}.width"),
            dtype=_choice(given.get("dtype", cls.dtype), TYPES, f"{where}.dtype"),
            missing=tuple(_values(known.get("missing", ()), f"{where}.missing")),
            flags=tuple(_flags(known.get("flags", {}), f"{where}.flags")),
            **{key: _text(known.get(key, ""), f"{where}.{key}") for key in ("units", "about")},
        )
        if one.flags and "int" not in one.dtype:
            raise _fault(f"{where}.dtype", one.dtype, "bits are those of an integer")
        return one


@dataclass(frozen=True)
class Time:
    """How the columns of time are to be read."""

    columns: tuple[str, ...]
    """Their names; several, as date and clock, are joined with a blank."""
    format: str = "iso"
    """`iso` (ISO 8601 in UTC), a pattern of strptime, or a unit of `STEPS` that counts from `epoch`."""
    epoch: str = "1970-01-01T00:00:00"
    scale: str = "utc"
    """`utc`: the epoch is UTC, and the count has no leap seconds, days of 86400 s; `tai`: it is TAI and counts all."""

    @classmethod
    def of(cls, given: Mapping[str, Any], where: str) -> Self:
        """Return the time as YAML has it.

        Raises
        ------
        IlrsError
            As for a column.
        """
        _known(cls, given, where)
        columns = given.get("columns")
        names = tuple(_text(one, f"{where}.columns", empty=False) for one in _list(columns, f"{where}.columns"))
        if not names:
            raise _fault(f"{where}.columns", columns, "one name or several")
        told = _text(given.get("format", cls.format), f"{where}.format", empty=False)
        if told != "iso" and "%" not in told and told not in STEPS:
            raise _fault(f"{where}.format", told, f"iso, a pattern of strptime, or one of {', '.join(STEPS)}")
        epoch = str(given.get("epoch", cls.epoch))
        parse_count(epoch, _fault(f"{where}.epoch", epoch, "a time in ISO 8601"))
        return cls(names, told, epoch, _choice(given.get("scale", cls.scale), ("utc", "tai"), f"{where}.scale"))


@dataclass(frozen=True)
class Layout:
    """The layout of a table of text; a value that YAML can hold, see `Layout.of`."""

    columns: tuple[Column, ...]
    separator: str = ","
    """One character, or `whitespace` for any run of blanks; nothing for columns of fixed width."""
    header: int = 0
    """Lines before the table, comments not counted."""
    comment: str = ""
    """What lines begin with that are left out."""
    time: Time | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any] | Layout) -> Layout:
        """Return a layout as YAML has it: a mapping with the names of the fields of this class, `Column` and `Time`.

        `missing` may be one value or a list, `flags` is a mapping from meaning to mask.

        Raises
        ------
        IlrsError
            Something else stands in it; with its place, what was found, and what is allowed.
        """
        if isinstance(given, Layout):
            return given
        _known(cls, given, "layout")
        listed = _list(given.get("columns"), "layout.columns")
        columns = tuple(Column.of(one, f"layout.columns[{number}]") for number, one in enumerate(listed))
        names = [column.name for column in columns]
        doubled = sorted({name for name in names if names.count(name) > 1}) if len(names) < 2**12 else names[:1]
        if not names or doubled:
            raise _fault("layout.columns", doubled or "none", "at least one, and each name once")
        time = Time.of(given["time"], "layout.time") if given.get("time") is not None else None
        if time and not {*time.columns} <= {*names}:
            raise _fault("layout.time.columns", list(time.columns), f"columns of the table: {', '.join(names)}")
        separator = given.get("separator", "" if any(column.width for column in columns) else cls.separator)
        return cls(
            columns,
            _separator(separator, columns),
            _whole(given.get("header", 0), "layout.header"),
            _text(given.get("comment", ""), "layout.comment"),
            time,
        )


def _separator(given: object, columns: Iterable[Column]) -> str:
    separator = given if given == "whitespace" else _text(given, "layout.separator")
    if separator != "whitespace" and (len(separator) > 1 or separator in ('"', "\n", "\r", ".", "-")):
        raise _fault("layout.separator", separator, "one character, whitespace, or nothing for fixed width")
    for number, column in enumerate(columns):
        if bool(separator) == bool(column.start or column.width) or bool(column.start) != bool(column.width):
            found = f"start {column.start}, width {column.width}"
            raise _fault(
                f"layout.columns[{number}]", found, "both, from 1 on, where there is no separator; else neither"
            )
    return str(separator)


def _fault(where: str, found: object, allowed: str) -> IlrsError:
    return IlrsError(str(Fault(where, f"found {found!r}", f"allowed: {allowed}")))


def _known(cls: type[Any], given: object, where: str) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise _fault(where, given, "a mapping")
    names = [one.name for one in fields(cls)]
    for key in given:
        if key not in names:
            raise _fault(f"{where}.{key}", given[key], f"keys {', '.join(names)}")
    for one in fields(cls):
        if one.default is MISSING and one.name not in given:
            raise _fault(f"{where}.{one.name}", None, "it has to be given")
    return given


def _text(value: object, where: str, *, empty: bool = True) -> str:
    if not isinstance(value, str) or not (value or empty):
        raise _fault(where, value, "text")
    return value


def _whole(value: object, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**31:
        raise _fault(where, value, "a whole number from 0 on")
    return value


def _choice(value: object, allowed: Iterable[str], where: str) -> str:
    if value not in tuple(allowed):
        raise _fault(where, value, ", ".join(allowed))
    return str(value)


def _list(value: object, where: str) -> list[Any]:
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list | tuple):
        raise _fault(where, value, "a list")
    return list(value)


def _values(value: object, where: str) -> list[str | float]:
    values = _list([value] if isinstance(value, int | float) else value, where)
    if not all(isinstance(one, str | int | float) for one in values):
        raise _fault(where, value, "numbers and text")
    return values


def _flags(value: object, where: str) -> list[tuple[str, int]]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) and " " not in key for key in value):
        raise _fault(where, value, "a mapping from meanings, without blanks, to masks")
    return [(str(key), _whole(mask, f"{where}.{key}")) for key, mask in value.items()]
