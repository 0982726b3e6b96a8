"""Every check of the conformance kit, in order; a new one is one function more in this list."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from types import MappingProxyType

from ilrs_science.errors import reason_of
from ilrs_science.model.granule import Granule
from ilrs_science.model.instrument import Instrument
from ilrs_science.testing import checks_of_declarations as declarations
from ilrs_science.testing import checks_of_files as files
from ilrs_science.testing import checks_of_runs as runs
from ilrs_science.testing import checks_of_steps as steps_alone
from ilrs_science.testing import checks_of_values as values
from ilrs_science.testing.case import Case, Steps, prepare
from ilrs_science.testing.report import ConformanceError, Report, Result

type Check = Callable[[Case], None]
"""Returns if all is well, and raises a ConformanceError that says what was found and what is allowed."""

CHECKS: Mapping[str, Check] = MappingProxyType(
    {
        check.__name__: check
        for check in (
            declarations.found,
            declarations.pickles,
            declarations.index,
            files.files_beside,
            declarations.units,
            declarations.signatures,
            steps_alone.input_untouched,
            steps_alone.repeatable,
            steps_alone.no_outside_access,
            runs.same_on_every_executor,
            steps_alone.block_boundaries,
            steps_alone.schema,
            steps_alone.edge_blocks,
            values.flags_and_uncertainty,
            runs.memory,
            runs.every_sample_counted,
        )
    }
)
"""Every check by its name, in order."""


def check_instrument(  # noqa: PLR0913 - an instrument, and what a pipeline says of it
    instrument: Instrument,
    granules: Sequence[str | PathLike[str] | Granule],
    *,
    references: Sequence[str | PathLike[str]] = (),
    steps: Steps = None,
    inputs: Mapping[str, str] | None = None,
    raise_on_failure: bool = True,
) -> Report:
    """Check that an instrument keeps its contract.

    Parameters
    ----------
    instrument
        The plugin, installed, so that its entry point finds it.
    granules
        Raw files, a few minutes of data from each of one or two sites: paths, URLs or granules. Give granules, as
        `ilrs_science.inventory` returns them, where the site comes from the path.
    references
        Folders of the references that the steps need.
    steps
        Steps with parameters, as in a pipeline; by default those of the instrument.
    inputs
        Where the series are that the steps ask for, as in a pipeline; files of them that lie beside the raw files are
        found.
    raise_on_failure
        False returns the report of a failure, too.

    Returns
    -------
    The outcome of every check.

    Raises
    ------
    ConformanceError
        Some checks failed: every one with what was found and what is allowed.
    """
    with prepare(instrument, granules, references, steps, inputs) as case:
        report = Report(instrument.name, tuple(_result(name, check, case) for name, check in CHECKS.items()))
    if raise_on_failure and not report.ok:
        raise ConformanceError(str(report))
    return report


def _result(name: str, check: Check, case: Case) -> Result:
    try:
        check(case)
    except Exception as error:  # noqa: BLE001 - whatever a plugin raises is the outcome of the check
        return Result(name, ok=False, detail=reason_of(error))
    return Result(name, ok=True)
