"""PDS3 labels (PDS Standards Reference 3.8, chapter 12, Object Description Language).

A label is a dictionary: keywords in capitals, values as int, float or str (times and `N/A` stay text), sequences and
sets as tuples, values with a unit as `Quantity`, objects and groups as dictionaries, pointers under their name with
`^`. What is given more than once is a list, in order.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

from ilrs_science.errors import FormatError
from ilrs_science.formats.pds3.tokens import Token, tokens_of

type Label = dict[str, Any]

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_REAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eEdD][+-]?[0-9]{1,3})?")
_BASED = re.compile(r"(2|8|16)#([0-9A-Fa-f]{1,16})#")
_VERSION = re.compile(rb"PDS_VERSION_ID\s*=\s*[\"']?PDS3")
_DEEPEST = 8
_FIRST = 400
"""Bytes within which a label says that it is one; a label of the SFDU may come before."""


@dataclass(frozen=True)
class Quantity:
    """A value with its unit, as the label writes it."""

    value: Any
    unit: str


class Based(int):
    """An integer given with its base, `16#FF7FFFFB#`; for a real number, that is the pattern of its bits."""

    __slots__ = ()


class Attached(NamedTuple):
    """A label as it lies in a file."""

    label: Label
    end: int
    """Offset of the first byte after its END statement and line."""
    encoding: str
    """Of its text: `ascii`, `utf-8`, `gb18030` or `latin-1`."""


def read_label(data: bytes, *, name: str = "data") -> Label:
    """Return the label that a file begins with.

    Parameters
    ----------
    data
        The label, or the file with an attached label; bytes after the END statement are not looked at.
    name
        What to call the file in an error.

    Raises
    ------
    FormatError
        There is no label, or it is damaged; with the offset.
    """
    return attached_label(data, name).label


def attached_label(data: bytes, name: str) -> Attached:
    """Return the label that a file begins with, and where it ends.

    Text that is no ASCII is taken for UTF-8, or else GB18030 (so in labels of the first Chang'e missions), or else
    latin-1, all of a label alike.

    Raises
    ------
    FormatError
        There is no label, or it is damaged; with the offset.
    """
    if not is_label(data):
        raise FormatError(f"{name}: byte 0: no PDS3 label, which begins with PDS_VERSION_ID")
    tokens, end, encoding = tokens_of(data, name, whole=True)
    return Attached(_label(tokens, end, name), end, encoding)


def label_fragment(data: bytes, name: str) -> Label:
    """Return what a file of definitions holds that a label refers to by `^STRUCTURE`; it need not have an END.

    Raises
    ------
    FormatError
        It is damaged; with the offset.
    """
    tokens, end, _ = tokens_of(data, name, whole=False)
    return _label(tokens, end, name)


def is_label(head: bytes) -> bool:
    """Return whether a file begins with a PDS3 label."""
    return _VERSION.search(head, 0, _FIRST) is not None


def plain_label(value: Any) -> Any:
    """Return a label, or a value of one, as dictionaries, lists, text and numbers; units become `{value, unit}`."""
    if isinstance(value, Quantity):
        return {"value": plain_label(value.value), "unit": value.unit}
    if isinstance(value, dict):
        return {key: plain_label(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain_label(one) for one in value]
    return int(value) if isinstance(value, Based) else value


def count(label: Label, key: str, what: str, name: str, default: int | None = None) -> int:
    """Return a whole number of a label: from 1 on, or from 0 on where there is a default.

    Raises
    ------
    FormatError
        It is missing or something else.
    """
    value = label.get(key, default)
    value = value.value if isinstance(value, Quantity) else value
    if not isinstance(value, int) or value < (1 if default is None else 0):
        raise FormatError(f"{name}: {key} of {what} is {value!r}; expected a whole number")
    return value


def text(label: Label, *keys: str) -> str:
    """Return the first of some keywords that says something; empty where none does."""
    for key in keys:
        value = label.get(key)
        said = " ".join(str(one) for one in value) if isinstance(value, tuple) else str(value or "")
        if said.upper() not in ("", "N/A", "UNK", "NULL", "NONE"):
            return said
    return ""


def _label(tokens: list[Token], end: int, name: str) -> Label:
    root: Label = {}
    open_objects: list[tuple[str, Label]] = [("", root)]
    at = 0
    while at < len(tokens):
        key = tokens[at]
        if key.kind != "word":
            raise FormatError(f"{name}: byte {key.offset}: found {key.text[:40]!r}; expected a keyword")
        word = key.text.upper()
        given = at + 1 < len(tokens) and tokens[at + 1] == ("mark", "=", tokens[at + 1].offset)
        value, after = _value(tokens, at + 2, name) if given else (None, at + 1)
        if word in ("OBJECT", "GROUP") and isinstance(value, str):
            if len(open_objects) > _DEEPEST:
                raise FormatError(f"{name}: byte {key.offset}: objects nested deeper than {_DEEPEST}")
            inner: Label = {}
            _put(open_objects[-1][1], value.upper(), inner)
            open_objects.append((value.upper(), inner))
        elif word in ("END_OBJECT", "END_GROUP"):
            opened, _ = open_objects.pop()
            if not open_objects or (value is not None and str(value).upper() != opened):
                raise FormatError(f"{name}: byte {key.offset}: {word} {value or ''} closes {opened or 'nothing'}")
        elif given:
            _put(open_objects[-1][1], word, value)
        else:
            raise FormatError(f"{name}: byte {key.offset}: no = after the keyword {key.text[:40]!r}")
        at = after
    if len(open_objects) > 1:
        raise FormatError(f"{name}: byte {end}: the object {open_objects[-1][0]} is not closed")
    return root


def _put(label: Label, key: str, value: Any) -> None:
    if key not in label:
        label[key] = value
    elif isinstance(label[key], list):
        label[key].append(value)
    else:
        label[key] = [label[key], value]


def _value(tokens: list[Token], at: int, name: str, depth: int = 0) -> tuple[Any, int]:
    """Return the value that begins at a token, and the number of the token after it."""
    if at >= len(tokens):
        raise FormatError(f"{name}: byte {tokens[-1].offset}: no value after {tokens[-1].text!r}")
    kind, written, offset = tokens[at]
    value: Any
    if written in ("(", "{") and kind == "mark":
        if depth == _DEEPEST:
            raise FormatError(f"{name}: byte {offset}: sequences nested deeper than {_DEEPEST}")
        value, at = _sequence(tokens, at, name, depth)
    elif kind in ("mark", "unit"):
        raise FormatError(f"{name}: byte {offset}: found {written[:40]!r}; expected a value")
    else:
        value = _number(written) if kind == "word" else " ".join(re.split(r"[ \t]*[\r\n]+[ \t]*", written)).strip(" \t")
        at += 1
    if at < len(tokens) and tokens[at].kind == "unit":
        return Quantity(value, tokens[at].text.strip()), at + 1
    return value, at


def _sequence(tokens: list[Token], at: int, name: str, depth: int) -> tuple[tuple[Any, ...], int]:
    opened = tokens[at]
    closing = ")" if opened.text == "(" else "}"
    items: list[Any] = []
    at += 1
    while at < len(tokens) and (tokens[at].kind, tokens[at].text) != ("mark", closing):
        if items:
            if (tokens[at].kind, tokens[at].text) != ("mark", ","):
                raise FormatError(
                    f"{name}: byte {tokens[at].offset}: found {tokens[at].text[:40]!r}; expected , or {closing}"
                )
            at += 1
        item, at = _value(tokens, at, name, depth + 1)
        items.append(item)
    if at >= len(tokens):
        raise FormatError(f"{name}: byte {opened.offset}: the sequence is not closed")
    return tuple(items), at + 1


def _number(word: str) -> int | float | str:
    if _INTEGER.fullmatch(word):
        return int(word)
    if _REAL.fullmatch(word):
        return float(word.lower().replace("d", "e"))
    based = _BASED.fullmatch(word)
    try:
        return Based(int(based[2], int(based[1]))) if based else word
    except ValueError:
        return word
