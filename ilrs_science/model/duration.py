"""Durations as integer nanoseconds, written `5 s` by people."""

from __future__ import annotations

import re
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


class Duration(int):
    """A length of time in integer nanoseconds; `Duration("5 s")`, `Duration(5_000_000_000)`.

    Units: ns, us, ms, s, min, h, d. A decimal fraction is rounded to whole nanoseconds.

    Raises
    ------
    ValueError
        The text is not a number and a known unit, or the length is negative.
    """

    def __new__(cls, value: int | str) -> Self:  # noqa: D102 - the class says it
        if isinstance(value, str):
            match = re.fullmatch(r"\s*([0-9]+)(?:\.([0-9]+))?\s*([a-z]+)\s*", value)
            if match is None or match[3] not in _NANOSECONDS:
                msg = f"{value!r} is not a duration; write a number and one of {', '.join(_NANOSECONDS)}, as in '5 s'"
                raise ValueError(msg)
            unit = _NANOSECONDS[match[3]]
            fraction = match[2] or ""
            # Integer arithmetic throughout: a float loses nanoseconds beyond some 100 days.
            value = int(match[1]) * unit + round(int(fraction or 0) * unit / 10 ** len(fraction))
        length = int(value)
        if length < 0:
            raise ValueError(f"{length} ns is not a length of time; it is zero or more")
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
            msg = f"{value!r} is not a duration; write a number and a unit, as in '5 s'"
            raise ValueError(msg)  # noqa: TRY004 - what pydantic turns into a fault
        return cls(value)
