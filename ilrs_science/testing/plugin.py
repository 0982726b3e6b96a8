"""The conformance kit in pytest: one named test a check.

A partner's test file, with fixtures `instrument` and `granules` of their own, and `references` where steps need some:

    def test_conformance(instrument_check, instrument, granules):
        instrument_check(instrument, granules)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from os import fspath
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ilrs_science.model.instrument import Instrument
    from ilrs_science.testing.case import Case

# Every pytest run loads this module, so the kit itself is imported only where a test asks for it.


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test that takes `instrument_check` one test for each check, named after it."""
    if "instrument_check" in metafunc.fixturenames:
        from ilrs_science.testing.checks import CHECKS  # noqa: PLC0415

        metafunc.parametrize("instrument_check", list(CHECKS), indirect=True)


@pytest.fixture(scope="session")
def conformance_cases() -> Iterator[Callable[..., Case]]:
    """Prepare each case once a session, so that its runs are shared by the checks."""
    from ilrs_science.testing.case import prepare  # noqa: PLC0415

    kept: dict[str, tuple[Instrument, Case]] = {}
    with ExitStack() as folders:

        def case_of(
            instrument: Instrument, granules: Sequence[Any], references: Sequence[Any], steps: Any, inputs: Any
        ) -> Case:
            named = ([str(one) for one in granules], [fspath(one) for one in references], steps, inputs)
            key = repr((id(instrument), *named))
            if key not in kept:
                # The instrument is kept beside its case, so that no other can take its id.
                case = prepare(instrument, granules, references, steps, inputs)
                kept[key] = (instrument, folders.enter_context(case))
            return kept[key][1]

        yield case_of


@pytest.fixture
def instrument_check(request: pytest.FixtureRequest, conformance_cases: Callable[..., Case]) -> Callable[..., None]:
    """Return one check: a function of the instrument and its raw files, which fails with a `ConformanceError`."""
    from ilrs_science.testing.checks import CHECKS  # noqa: PLC0415

    def check(
        instrument: Instrument,
        granules: Sequence[Any],
        *,
        references: Sequence[Any] = (),
        steps: Any = None,
        inputs: Any = None,
    ) -> None:
        __tracebackhide__ = True
        folders = references or _references_fixture(request)
        CHECKS[request.param](conformance_cases(instrument, granules, folders, steps, inputs))

    return check


def _references_fixture(request: pytest.FixtureRequest) -> Sequence[Any]:
    try:
        found: Sequence[Any] = request.getfixturevalue("references")
    except pytest.FixtureLookupError:
        return ()
    return found
