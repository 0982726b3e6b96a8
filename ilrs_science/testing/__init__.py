"""The conformance kit: whether an instrument plugin keeps its contract.

`check_instrument(instrument, granules)` runs every check; a test that takes the fixture `instrument_check` runs each of
them as a named test of its own (`ilrs_science.testing.plugin`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ilrs_science.testing.case import Case
    from ilrs_science.testing.checks import CHECKS, check_instrument
    from ilrs_science.testing.report import ConformanceError, Report, Result

__all__ = ["CHECKS", "Case", "ConformanceError", "Report", "Result", "check_instrument"]


def __getattr__(name: str) -> Any:
    # Imported at the first use, because every pytest run imports this package to find the plugin.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ilrs_science.testing import case, checks, report  # noqa: PLC0415

    room = checks if name in ("CHECKS", "check_instrument") else case if name == "Case" else report
    return getattr(room, name)
