"""Durations as integer nanoseconds, written `5 s` by people."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any, Self

_NANOSECONDS = {
    "ns": 1,
    "us": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "min": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 86400 * 10**9,
}

LONGEST = 2**63 - 1
"""Nanoseconds, 292 years: what 64 bits hold."""

# Digits beyond these name no nanosecond that fits, and thousands of them would be work for nothing.
_TEXT = re.compile(r"\s*([0-9]{1,20}(?:\.[0-9]{1,40})?)\s*([a-z]{1,3})\s*")


_LARGEST_RATIO = 2**62
"""Of a length that is no whole number of ns: numerator times denominator, so that times on it fit 64 bits."""


class Duration(int):
    """A length of time in integer nanoseconds; `Duration("5 s")`, `Duration(5_000_000_000)`.

    Units: ns, us, ms, s, min, h, d. A decimal fraction is rounded to whole nanoseconds.

    Raises
    ------
    ValueError
        The text is not a number and a known unit, or the length is negative or beyond 292 years.
    """

    def __new__(cls, value: int | str) -> Self:  # noqa: D102 - the class says it
        if isinstance(value, str):
            match = _TEXT.fullmatch(value)
            if match is None or match[2] not in _NANOSECONDS:
                units = ", ".join(_NANOSECONDS)
                msg = f"{value[:40]!r} is not a duration; write a number and one of {units}, as in '5 s'"
                raise ValueError(msg)
            # Fractions throughout: a float loses nanoseconds beyond some 100 days.
            value = round(Fraction(match[1]) * _NANOSECONDS[match[2]])
        length = int(value)
        if not 0 <= length <= LONGEST:
            found = f"{length} ns" if abs(length) < 10**40 else "a number of more than 40 digits"
            raise ValueError(
                f"{found} is not a length of time; it is zero or more, and at most {LONGEST} ns (292 years)"
            )
        return super().__new__(cls, length)

    @property
    def seconds(self) -> float:
        """The length in seconds."""
        return int(self) / 1e9

    def __str__(self) -> str:
        for unit, size in reversed(_NANOSECONDS.items()):
            if self and self % size == 0:
                return f"{int(self) // size} {unit}"
        return "0 s"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """Let pydantic read a duration from text or from integer nanoseconds."""
        from pydantic_core import core_schema  # noqa: PLC0415 - the model itself does not need pydantic

        return core_schema.no_info_plain_validator_function(
            cls._validate, serialization=core_schema.to_string_ser_schema()
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        """Show editors how a duration is written."""
        return {"type": "string", "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*(ns|us|ms|s|min|h|d)\s*$", "examples": ["1 s"]}

    @classmethod
    def _validate(cls, value: Any) -> Duration:
        # A bare number in YAML would be taken for nanoseconds by us, and for seconds by who wrote it.
        if not isinstance(value, str | Duration):
            msg = f"{repr(value)[:40]} is not a duration; write a number and a unit, as in '5 s'"
            raise ValueError(msg)  # noqa: TRY004 - what pydantic turns into a fault
        return cls(value)


_RATE = re.compile(r"\s*(?:1\s*/\s*([0-9]{1,12}(?:\.[0-9]{1,9})?)\s*s|([0-9]{1,12}(?:\.[0-9]{1,9})?)\s*Hz)\s*")


def slot_length(value: Any) -> Duration | Fraction:
    """Return the length of a slot in ns, exactly: of `5 s`, or of `66.7 Hz` and `1/66.7 s`, which is no whole number.

    Raises
    ------
    ValueError
        It is neither, or a rate of more digits than 64 bits hold.
    """
    if isinstance(value, Fraction):
        return value
    match = _RATE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return Duration._validate(value)  # noqa: SLF001 - of this module
    rate = Fraction(match[1] or match[2])
    if not rate:
        raise ValueError(f"found {value}; expected a rate above 0")
    length = 10**9 / rate
    if length.numerator * length.denominator >= _LARGEST_RATIO:
        raise ValueError(f"{value} has too many digits for times that are exact; expected a rate such as 66.7 Hz")
    return Duration(length.numerator) if length.denominator == 1 else length


def slot_text(length: Duration | Fraction) -> str:
    """Return how a length of a slot is written."""
    if isinstance(length, Duration):
        return str(length)
    rate = 10**9 / length
    whole, rest = divmod(rate.numerator * 10**9 // rate.denominator, 10**9)
    return f"{whole}.{rest:09d}".rstrip("0").rstrip(".") + " Hz"
