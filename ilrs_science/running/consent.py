"""What a run may replace, and whether anybody has agreed to that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ilrs_science.errors import ReplaceError
from ilrs_science.planning.diff import VERDICTS
from ilrs_science.planning.planned import CollectionPlan, Plan


@dataclass(frozen=True)
class Consent:
    """What a caller agrees to when a cube exists."""

    replace: bool = False
    """Good data may be replaced because parameters, references or code have changed."""
    forget_missing: bool = False
    """Samples of raw files that have gone may be dropped."""
    redo_environment: bool = False
    """Parts that were made with other versions of Python or of the libraries are made anew."""


def cubes_of(made: Plan | CollectionPlan) -> tuple[Plan, ...]:
    """Return the plans of the single cubes."""
    return made.plans if isinstance(made, CollectionPlan) else (made,)


def refuse_unasked(plans: Sequence[Plan], consent: Consent) -> None:
    """Raise a ReplaceError where a run would replace good data, and the caller has not agreed to that."""
    reasons = [f"  {one.pipeline.output}: {text}" for one in plans for text in _unasked(one, consent)]
    if reasons:
        raise ReplaceError("good data would be lost or replaced:\n" + "\n".join(reasons))


def _unasked(made: Plan, consent: Consent) -> Iterator[str]:
    if not consent.replace:
        for cause, count in made.diff.asked(forget_missing=consent.forget_missing).items():
            yield f"{count} parts: {VERDICTS[cause]}; --replace does them again"
    if made.lost and not consent.forget_missing:
        yield f"{made.lost} exposures are in no raw file any more; --forget-missing drops them"
