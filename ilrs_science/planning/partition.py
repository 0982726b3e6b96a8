"""How a long campaign is cut into cubes: one for each UTC year, month or day, or for each lunation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import floor

import numpy as np

from ilrs_science.errors import Fault
from ilrs_science.geometry.lunations import lunation_at, new_moon
from ilrs_science.geometry.time import tai_to_utc, utc_to_tai
from ilrs_science.model.granule import Granule
from ilrs_science.planning.pipeline import MOST_SLOTS, Pipeline, TimeSpan

_CALENDAR = {"year": "Y", "month": "M", "day": "D"}
COARSEST_FIRST = ("none", "year", "month", "day")
"""What a pipeline gets that does not say: the first of these whose cubes hold few enough slots."""


@dataclass(frozen=True)
class Span:
    """What one cube of a collection covers."""

    label: str
    """`2031`, `2031-03`, `2031-03-01`, `lunation-1341`; empty for a cube of its own."""
    start: int
    stop: int
    """TAI ns, half-open."""


def chosen_partition(pipeline: Pipeline) -> tuple[str, list[Fault]]:
    """Return how a pipeline is cut into cubes, and whether the cubes of a day are still too large."""
    time = pipeline.time
    if time is None or not time.step or time.stop <= time.start:
        return pipeline.partition or "none", []
    kinds = (pipeline.partition,) if pipeline.partition else COARSEST_FIRST
    for kind in kinds:
        largest = max(((one.stop - one.start) // time.step for one in spans(kind, time)), default=0)
        if largest <= MOST_SLOTS:
            return kind, []
    allowed = f"a cube holds at most {MOST_SLOTS}; give a longer step, or a finer partition"
    what = "the cube" if kinds[-1] == "none" else f"the cube of a {kinds[-1]}"
    return kinds[-1], [Fault("time.step", f"{what} would hold {largest} slots", allowed)]


def spans(kind: str, time: TimeSpan) -> list[Span]:
    """Return what each cube covers; every slot lies in the cube in which it begins.

    Parameters
    ----------
    kind
        `none`, `year`, `month`, `lunation` or `day`.
    time
        Of the whole campaign.
    """
    if kind == "none":
        return [Span("", time.start, time.stop)]
    edges = list(_edges(kind, time.start, time.stop))
    starts = [time.start, *(_slot_from(edge, time) for _, edge in edges[1:])]
    stops = [min(one, time.stop) for one in (*starts[1:], time.stop)]
    found = zip((label for label, _ in edges), starts, stops, strict=True)
    return [Span(label, start, stop) for label, start, stop in found if start < stop]


def whole_time(pipeline: Pipeline, granules: Sequence[Granule]) -> TimeSpan | None:
    """Return the time of a campaign: as the pipeline has it, or else as the exposures have it."""
    if pipeline.time is not None:
        return pipeline.time
    instants = [time for granule in granules for time in granule.times]
    return TimeSpan.model_construct(start=min(instants), stop=max(instants) + 1, step=None) if instants else None


def _slot_from(edge: int, time: TimeSpan) -> int:
    """Return the start of the first slot that begins at an instant or after it."""
    if not time.step:
        return edge
    number = -(-(edge - time.start) // time.step)
    return int(time.start + floor(number * time.step))


def _edges(kind: str, start: int, stop: int) -> Iterator[tuple[str, int]]:
    """Yield label and first instant, TAI ns, of every year, month, day or lunation that a span touches."""
    if kind == "lunation":
        for number in range(lunation_at(start), lunation_at(stop - 1) + 1):
            yield f"lunation-{number}", new_moon(number)
        return
    unit = _CALENDAR[kind]
    first, last = (np.datetime64(int(tai_to_utc(one)), "ns").astype(f"datetime64[{unit}]") for one in (start, stop - 1))
    for one in np.arange(first, last + np.timedelta64(1, unit)):  # type: ignore[call-overload]
        yield str(one), int(utc_to_tai(one.astype("datetime64[ns]").astype(np.int64)))
