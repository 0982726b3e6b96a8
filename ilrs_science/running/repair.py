"""Damaged parts of cubes made anew from their raw files."""

from __future__ import annotations

from collections.abc import Sequence

from ilrs_science.planning.plan import plan as make_plan
from ilrs_science.running.consent import Consent, cubes_of, refuse_unasked
from ilrs_science.running.report import Report
from ilrs_science.running.run import run
from ilrs_science.running.verify import Verification, discard, refuse_lost, stored_pipeline


def repaired(damaged: Sequence[Verification]) -> Report:
    """Make the damaged parts of a cube, or of the cubes of one collection, anew.

    Nothing is dropped before it is known that it can be made anew.

    Raises
    ------
    PlanError
        The pipeline cannot be planned any more.
    ReplaceError
        Parameters, references or code have changed, so that the new parts would differ from the others.
    CubeError
        A damaged part holds samples of raw files that have gone, or another run holds a cube.
    """
    made = make_plan(stored_pipeline(damaged[0].output))
    refuse_unasked(cubes_of(made), Consent())
    gone = {url for planned in cubes_of(made) for url in planned.diff.gone}
    for one in damaged:
        refuse_lost(one, gone)
    for one in damaged:
        discard(one)
    return run(made)
