"""What the conformance kit found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ilrs_science.errors import IlrsError


class ConformanceError(IlrsError):
    """A plugin breaks its contract; says what was found and what is allowed."""


@dataclass(frozen=True)
class Result:
    """The outcome of one check."""

    check: str
    """Name of the check."""
    ok: bool
    detail: str = ""
    """What was found and what is allowed, if the check failed."""


@dataclass(frozen=True)
class Report:
    """The outcomes of all checks of one instrument, in order."""

    instrument: str
    results: tuple[Result, ...]

    @property
    def ok(self) -> bool:
        """Whether every check passed."""
        return all(result.ok for result in self.results)

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the checks that failed."""
        return tuple(result.check for result in self.results if not result.ok)

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON-able values."""
        return {"instrument": self.instrument, "ok": self.ok, "results": [asdict(result) for result in self.results]}

    def __str__(self) -> str:
        passed = [result.check for result in self.results if result.ok]
        lines = [f"{self.instrument}: {len(passed)} of {len(self.results)} conformance checks passed"]
        # One fault often fails several checks: it is told once.
        details = dict.fromkeys(result.detail for result in self.results if not result.ok)
        for detail in details:
            names = ", ".join(r.check for r in self.results if not r.ok and r.detail == detail)
            lines.append(f"  {names}: " + detail.replace("\n", "\n    "))
        if passed:
            lines.append(f"  passed: {', '.join(passed)}")
        return "\n".join(lines)
