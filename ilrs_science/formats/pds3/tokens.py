"""The words of a PDS3 label (PDS Standards Reference 3.8, chapter 12, Object Description Language)."""

from __future__ import annotations

import re
from typing import NamedTuple

from ilrs_science.errors import FormatError

LARGEST = 2**20
"""Bytes within which a label has to end."""

# ODL is ASCII, so that quotes, marks and white space are told apart in bytes: in UTF-8 and in GB18030 none of these
# bytes is ever a part of another character, but for the braces, which are second bytes in GB18030.
_TOKEN = re.compile(
    rb"""(?P<skip>\s+)
    |(?P<comment>/\*)
    |"(?P<text>[^"]*)"
    |'(?P<symbol>[^']*)'
    |<(?P<unit>[^<>\r\n]*)>
    |(?P<mark>[=(){},])
    |(?P<word>(?:(?!/\*)[^\s=(){},<>"'\x00-\x1f\x7f])+)""",
    re.VERBOSE,
)
_COMMENT_MARK = re.compile(rb"/\*|\*/|[\r\n]")
_LINE_END = re.compile(rb"[ \t]*\r?\n?")


class Token(NamedTuple):
    """A word, a mark, text or a unit, and the offset of its first byte."""

    kind: str
    text: str
    offset: int


def tokens_of(data: bytes, name: str, *, whole: bool) -> tuple[list[Token], int, str]:
    """Return the tokens before the END statement, the offset after its line, and the encoding of the text.

    Parameters
    ----------
    data
        The label, and whatever follows it.
    name
        What to call the file in an error.
    whole
        Whether there has to be an END statement.

    Raises
    ------
    FormatError
        There is something else than words, or no END.
    """
    found: list[tuple[str, bytes, int]] = []
    at, limit = 0, min(len(data), LARGEST)
    while match := _TOKEN.match(data, at, limit):
        kind = str(match.lastgroup)
        if (
            kind == "word"
            and match[kind].upper() == b"END"
            and not (found and found[-1][1] in (b"=", b",", b"(", b"{"))
        ):
            line = _LINE_END.match(data, match.end(), limit)
            return _decoded(found, data[:at], line.end() if line else match.end())
        if kind == "comment":
            at = _after_comment(data, at, limit)
            if at < 0:
                break
            continue
        if kind != "skip":
            found.append((kind, match[kind], at))
        at = match.end()
    if at == len(data) and not whole:
        return _decoded(found, data, at)
    if 0 <= at < limit:
        reason = f"found {data[at : at + 20].decode('latin-1')!r}"
    else:
        reason = "the file ends" if limit == len(data) else f"{LARGEST} bytes are over"
    raise FormatError(f"{name}: byte {max(at, 0)}: {reason} before the END of the label")


def _decoded(found: list[tuple[str, bytes, int]], label: bytes, end: int) -> tuple[list[Token], int, str]:
    encoding = next(one for one in ("ascii", "utf-8", "gb18030", "latin-1") if _decodes(label, one))
    return [Token(kind, raw.decode(encoding, "replace"), at) for kind, raw, at in found], end, encoding


def _decodes(label: bytes, encoding: str) -> bool:
    try:
        label.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _after_comment(data: bytes, at: int, limit: int) -> int:
    """Return the offset after a comment, -1 where it has no end.

    It ends at the first `*/`; comments within it count only where all of them end on the same line, as `/*` stands in
    comments about files, too.
    """
    first = data.find(b"*/", at + 2, limit)
    if first < 0:
        return -1
    depth = 1
    for mark in _COMMENT_MARK.finditer(data, at + 2, limit):
        if mark[0] not in (b"/*", b"*/"):
            break
        depth += 1 if mark[0] == b"/*" else -1
        if depth == 0:
            return mark.end()
    return first + 2
