"""The cards of a FITS header: keywords and values (FITS Standard 4.0, section 4).

Values that are not of the plain fixed or free form are left to `astropy.io.fits.Card`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from ilrs_science.errors import FormatError
from ilrs_science.formats.foreign import foreign
from ilrs_science.formats.format import plain

CARD = 80
_COMMENTARY = ("", "COMMENT", "HISTORY")
_LAYOUT = re.compile(
    r"SIMPLE|XTENSION|BITPIX|NAXIS\d*|EXTEND|PCOUNT|GCOUNT|GROUPS|TFIELDS|THEAP|BSCALE|BZERO|BLANK|CHECKSUM|DATASUM"
    r"|T(?:TYPE|FORM|BCOL|UNIT|NULL|SCAL|ZERO|DIM)\d+"
    r"|Z(?:IMAGE|SIMPLE|TENSION|EXTEND|CMPTYPE|BITPIX|NAXIS\d*|TILE\d+|NAME\d+|VAL\d+|QUANTIZ|DITHER0|BLANK|PCOUNT|GCOUNT"
    r"|HECKSUM|DATASUM)"
)
"""Keywords that say how bytes lie in the file, and nothing of what was read."""
_DIGITS = 19
"""Of an integer, with its sign; longer ones are read as reals."""
_VALUE = re.compile(
    r"= *(?:'(?P<text>(?:[^']|'')*)'|(?P<truth>[TF])|(?P<whole>[+-]?\d+)"
    r"|(?P<real>[+-]?(?:\d+\.\d*|\.\d+|\d+(?=[ED]))(?:[ED][+-]?\d+)?)) *(?:/.*)?"
)


@dataclass
class Cards:
    """The cards of one header, parsed when asked for."""

    where: str
    """File and HDU, for messages."""
    raw: str
    places: dict[str, list[tuple[int, int]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        last: list[tuple[int, int]] = []
        for start in range(0, len(self.raw), CARD):
            keyword = self.raw[start : start + 8].rstrip()
            if keyword == "CONTINUE" and last:
                last[-1] = (last[-1][0], start + CARD)
                continue
            if keyword == "HIERARCH":
                keyword = self.raw[start + 8 : start + CARD].partition("=")[0].strip() or keyword
            last = self.places.setdefault(keyword, [])
            last.append((start, start + CARD))

    def __contains__(self, keyword: str) -> bool:
        return keyword in self.places

    def get(self, keyword: str, default: Any = None) -> Any:
        """Return the value of the first card of a keyword; text where it is no value that FITS allows."""
        places = self.places.get(keyword)
        return default if not places else self._value(*places[0])[0]

    def text(self, *keywords: str) -> str:
        """Return the value of the first of these keywords that is text and not blank, else nothing."""
        for keyword in keywords:
            value = self.get(keyword)
            if isinstance(value, str) and value.strip():
                return value.strip()
        return ""

    def number(self, *keywords: str) -> float | None:
        """Return the value of the first of these keywords that is a number, else None."""
        for keyword in keywords:
            value = self.get(keyword)
            if isinstance(value, int | float) and not isinstance(value, bool):
                return value
        return None

    def count(self, keyword: str, default: int | None = None) -> int:
        """Return a number that must be a whole one and not negative.

        Raises
        ------
        FormatError
            It is not, or is not there.
        """
        value = self.get(keyword, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            found = "is missing" if value is None else f"is {value!r}"
            raise FormatError(f"{self.where}: {keyword} {found}; it must be a whole number, 0 or more")
        return value

    def attributes(self) -> tuple[dict[str, Any], list[str]]:
        """Return the cards as attributes, without those on the layout of bytes, and what of them is no FITS value."""
        found: dict[str, Any] = {}
        odd = []
        for keyword, places in self.places.items():
            if keyword in _COMMENTARY:
                text = "\n".join(self.raw[start + 8 : stop].rstrip() for start, stop in places)
                if text.strip():
                    found[keyword or "COMMENT"] = "\n".join(filter(None, [found.get(keyword or "COMMENT"), text]))
            elif not _LAYOUT.fullmatch(keyword):
                values = [self._value(*place) for place in places]
                if not all(fine for _, fine in values):
                    odd.append(f"{keyword}: no value that FITS allows, kept as text")
                several = [plain(value) for value, _ in values]
                found[keyword] = several if len(set(map(str, several))) > 1 else several[0]
        return found, odd

    def _value(self, start: int, stop: int) -> tuple[Any, bool]:
        """Return the value of a card, and whether it is one."""
        match = _VALUE.fullmatch(self.raw, start + 8, stop)
        if match is None or self.raw.startswith("HIERARCH", start):
            return self._unusual(start, stop)
        if match["text"] is not None:
            return match["text"].replace("''", "'").rstrip(), True
        if match["truth"]:
            return match["truth"] == "T", True
        if match["whole"] and len(match["whole"]) <= _DIGITS:
            return int(match["whole"]), True
        return float((match["whole"] or match["real"]).replace("D", "E")), True

    def _unusual(self, start: int, stop: int) -> tuple[Any, bool]:
        from astropy.io import fits  # noqa: PLC0415 - heavy

        text = self.raw[start:stop]
        try:
            with foreign("header", "card"):
                value = fits.Card.fromstring(text).value
        except FormatError:
            return text[8:].lstrip("= ").rstrip(), False
        return ("" if isinstance(value, fits.card.Undefined) else value), True
