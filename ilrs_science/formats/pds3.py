"""PDS3 labels, attached and detached, and images (PDS Standards Reference 3.8).

A label is a dictionary: keywords in capitals, values as int, float or str (times and `N/A` stay text), sequences and
sets as tuples, values with a unit as `Quantity`, objects and groups as dictionaries, pointers under their name with
`^`. What is given more than once is a list, in order.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ilrs_science.errors import FormatError

type Label = dict[str, Any]

_TOKEN = re.compile(
    r"""(?P<skip>\s+|/\*.*?\*/)
    |"(?P<text>[^"]*)"
    |'(?P<symbol>[^']*)'
    |<(?P<unit>[^<>\r\n]*)>
    |(?P<mark>[=(){},])
    |(?P<word>[^\s=(){},<>"']+)""",
    re.VERBOSE | re.DOTALL,
)
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_REAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eEdD][+-]?[0-9]{1,3})?")
_BASED = re.compile(r"(2|8|16)#([0-9A-Fa-f]{1,15})#")
_DEEPEST = 8

# Sample types and what numpy calls them; the size comes from SAMPLE_BITS (Standards Reference, table 3.2).
_SAMPLES = {
    **dict.fromkeys(("INTEGER", "MSB_INTEGER", "SUN_INTEGER", "MAC_INTEGER"), ">i"),
    **dict.fromkeys(("LSB_INTEGER", "PC_INTEGER", "VAX_INTEGER"), "<i"),
    **dict.fromkeys(("UNSIGNED_INTEGER", "MSB_UNSIGNED_INTEGER", "SUN_UNSIGNED_INTEGER", "MAC_UNSIGNED_INTEGER"), ">u"),
    **dict.fromkeys(("LSB_UNSIGNED_INTEGER", "PC_UNSIGNED_INTEGER", "VAX_UNSIGNED_INTEGER"), "<u"),
    **dict.fromkeys(("REAL", "FLOAT", "IEEE_REAL", "SUN_REAL", "MAC_REAL"), ">f"),
    "PC_REAL": "<f",
}
_BITS = {"i": (8, 16, 32), "u": (8, 16, 32), "f": (32, 64)}


@dataclass(frozen=True)
class Quantity:
    """A value with its unit, as the label writes it."""

    value: Any
    unit: str


class _Token(NamedTuple):
    kind: str
    text: str
    offset: int


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
    return _read_label(data, name)[0]


def read_image(
    data: bytes, *, label: Label | None = None, what: str = "IMAGE", name: str = "data"
) -> tuple[NDArray[Any], Label]:
    """Return an uncompressed image of one band, and the label.

    Parameters
    ----------
    data
        The file that holds the image.
    label
        Its detached label; by default the label is attached.
    what
        Name of the image object.
    name
        What to call the file in an error.

    Returns
    -------
    The samples as stored, first line first, shape (lines, samples), int8 to int32, uint8 to uint32, float32 or float64
    in the file's byte order, read-only; and the label.

    Raises
    ------
    FormatError
        The bytes are not what the label says.
    """
    end = 0
    if label is None:
        label, end = _read_label(data, name)
    image = label.get(what)
    if not isinstance(image, dict):
        raise FormatError(f"{name}: its label describes no {what}")
    start = _position(label, what, detached=end == 0, name=name)
    if start < end:
        raise FormatError(f"{name}: ^{what} points to byte {start + 1}, but the label reaches to byte {end}")
    lines, samples = (_count(image, key, what, name) for key in ("LINES", "LINE_SAMPLES"))
    before, after = (_count(image, key, what, name, default=0) for key in ("LINE_PREFIX_BYTES", "LINE_SUFFIX_BYTES"))
    dtype = _sample_type(image, what, name)
    stride = before + samples * dtype.itemsize + after
    if start + lines * stride > len(data):
        raise FormatError(f"{name}: {what} ends at byte {start + lines * stride}, the file at byte {len(data)}")
    rows = np.frombuffer(data, np.uint8, lines * stride, start).reshape(lines, stride)
    if before or after:
        rows = np.ascontiguousarray(rows[:, before : stride - after])
    return rows.view(dtype).reshape(lines, samples), label


def _read_label(data: bytes, name: str) -> tuple[Label, int]:
    """Return the label and the offset of the first byte after it."""
    if b"PDS_VERSION_ID" not in data[:400]:
        raise FormatError(f"{name}: byte 0: no PDS3 label, which begins with PDS_VERSION_ID")
    tokens, end = _tokens(data.decode("latin-1"), name)
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
    return root, end


def _put(label: Label, key: str, value: Any) -> None:
    if key not in label:
        label[key] = value
    elif isinstance(label[key], list):
        label[key].append(value)
    else:
        label[key] = [label[key], value]


def _tokens(text: str, name: str) -> tuple[list[_Token], int]:
    """Return the tokens before the END statement, and the offset after its line."""
    tokens: list[_Token] = []
    at = 0
    while match := _TOKEN.match(text, at):
        kind = str(match.lastgroup)
        if kind == "word" and match[kind].upper() == "END" and not (tokens and tokens[-1].text in ("=", ",", "(", "{")):
            line = re.compile(r"[ \t]*\r?\n?").match(text, match.end())
            return tokens, line.end() if line else match.end()
        if kind != "skip":
            tokens.append(_Token(kind, match[kind], at))
        at = match.end()
    reason = f"found {text[at : at + 20]!r}" if at < len(text) else "the file ends"
    raise FormatError(f"{name}: byte {at}: {reason} before the END of the label")


def _value(tokens: list[_Token], at: int, name: str, depth: int = 0) -> tuple[Any, int]:
    """Return the value that begins at a token, and the number of the token after it."""
    if at >= len(tokens):
        raise FormatError(f"{name}: byte {tokens[-1].offset}: no value after {tokens[-1].text!r}")
    kind, text, offset = tokens[at]
    value: Any
    if text in ("(", "{") and kind == "mark":
        if depth == _DEEPEST:
            raise FormatError(f"{name}: byte {offset}: sequences nested deeper than {_DEEPEST}")
        value, at = _sequence(tokens, at, name, depth)
    elif kind in ("mark", "unit"):
        raise FormatError(f"{name}: byte {offset}: found {text[:40]!r}; expected a value")
    else:
        value = _number(text) if kind == "word" else " ".join(line.strip() for line in text.splitlines())
        at += 1
    if at < len(tokens) and tokens[at].kind == "unit":
        return Quantity(value, tokens[at].text.strip()), at + 1
    return value, at


def _sequence(tokens: list[_Token], at: int, name: str, depth: int) -> tuple[tuple[Any, ...], int]:
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
        return int(based[2], int(based[1])) if based else word
    except ValueError:
        return word


def _position(label: Label, what: str, *, detached: bool, name: str) -> int:
    """Return the offset of an object: `^X = 12 <BYTES>`, `^X = 3` (records), `^X = "FILE"` or `^X = ("FILE", 3)`."""
    pointer = label.get(f"^{what}")
    parts = pointer if isinstance(pointer, tuple) else (pointer,)
    if parts and isinstance(parts[0], str):
        if not detached:
            raise FormatError(f"{name}: ^{what} says that it lies in the file {parts[0]!r}")
        parts = parts[1:] or (1,)
    place = parts[0] if len(parts) == 1 else None
    unit = 1
    if isinstance(place, Quantity) and place.unit.upper() in ("BYTES", "BYTE"):
        place = place.value
    elif isinstance(place, int) and place > 1:
        unit = _count(label, "RECORD_BYTES", what, name)
    if not isinstance(place, int) or place < 1:
        raise FormatError(f"{name}: ^{what} is {pointer!r}; expected a position from 1 on")
    return (place - 1) * unit


def _count(label: Label, key: str, what: str, name: str, default: int | None = None) -> int:
    value = label.get(key, default)
    value = value.value if isinstance(value, Quantity) else value
    if not isinstance(value, int) or value < (1 if default is None else 0):
        raise FormatError(f"{name}: {key} of {what} is {value!r}; expected a whole number")
    return value


def _sample_type(image: Label, what: str, name: str) -> np.dtype[Any]:
    bits, kind = image.get("SAMPLE_BITS"), str(image.get("SAMPLE_TYPE", "UNSIGNED_INTEGER")).upper()
    code = _SAMPLES.get(kind, "")
    if not code or bits not in _BITS[code[1]]:
        raise FormatError(
            f"{name}: samples of {what} are {kind} of {bits} bits; integers of 8 to 32 and reals are read"
        )
    if image.get("BANDS", 1) != 1 or str(image.get("ENCODING_TYPE", "N/A")).upper() not in ("N/A", "NONE"):
        raise FormatError(
            f"{name}: {what} has BANDS = {image.get('BANDS', 1)}, ENCODING_TYPE = {image.get('ENCODING_TYPE', 'N/A')}; "
            "one uncompressed band is read"
        )
    return np.dtype(f"{code}{int(bits) // 8}")
