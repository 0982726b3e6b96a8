"""The samples of one site in a part: read, joined and calibrated; a granule that cannot be is rejected by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from ilrs_science import references
from ilrs_science.catalog import rejected_counts, sample_times
from ilrs_science.errors import FormatError, IlrsError, StepError, is_outage, reason_of
from ilrs_science.executors import items
from ilrs_science.model.axis import Times
from ilrs_science.model.good import GOOD, of_granule
from ilrs_science.model.granule import Granule
from ilrs_science.model.instrument import Instrument
from ilrs_science.model.part import Part
from ilrs_science.model.site import Site
from ilrs_science.reduction.account import Tally, is_home, is_mine
from ilrs_science.reduction.chain import check_samples, run_steps
from ilrs_science.reduction.lineage import Made, Positions
from ilrs_science.reduction.overlaps import Loss, Samples, merged, settled, without_copies
from ilrs_science.reduction.reading import samples_of
from ilrs_science.reduction.samples import with_quality, with_sample_numbers, with_tags
from ilrs_science.reduction.series import SeriesOfPart


@dataclass(frozen=True)
class Calibrated:
    """What the steps made of the samples of a site."""

    made: Made
    source: Positions
    """Which granule each of the samples came from."""
    raw: Times
    """Their times as read, TAI ns."""


@dataclass(frozen=True)
class Calibration:
    """The samples of one site in a part: gathered from its granules, then calibrated."""

    part: Part
    instrument: Instrument
    site: Site

    def gather(self, tallies: list[Tally], bad: Mapping[int, str]) -> list[Samples]:
        """Read the granules of the site, cut to the part with its margins; a bad one is rejected with its reason."""
        found = []
        for number, tally in enumerate(tallies):
            if tally.granule.site != self.site.name:
                continue
            at_home = is_home(self.part, tally.granule)
            try:
                ds = self._read(number, tally.granule, bad)
                samples = self._near(ds, number)
            except Exception as error:
                # A bad granule spoils only its own samples, and its reason is named.
                if is_outage(error):
                    raise
                _reject(tally, reason_of(error), tally.granule.count if at_home else 0)
                continue
            if at_home:
                rejected = rejected_counts(ds)
                tally.reasons.update(rejected)
                tally.read += sum(rejected.values())
            if samples.raw.size or GOOD in samples.ds.attrs:
                found.append(samples)
        return found

    def _read(self, number: int, granule: Granule, bad: Mapping[int, str]) -> xr.Dataset:
        if number in bad:
            raise FormatError(bad[number])
        items.enter("reading", (number,), one_by_one=True)
        return samples_of(granule, self.instrument, self.part.task)

    def calibrate(self, found: list[Samples], tallies: list[Tally], failures: list[IlrsError]) -> Calibrated | None:
        """Run the steps; where they fail on the data of some granules, go on without those."""
        try:
            return self._calibrated(found, tallies)
        except Exception as error:
            if is_outage(error):
                raise
            where = f"{reason_of(error)} (in a step at {self.site.name})"
            failure = error if isinstance(error, IlrsError) else StepError(where)
            bad = self._to_blame(found, reason_of(error))
            if not bad:
                raise failure from error
            failures.append(failure)
            for number, reason in bad.items():
                count = int(is_mine(self.part, self.site.name, found[number].raw).sum())
                _reject(tallies[min(found[number].granules)], reason, count)
            good = [one for number, one in enumerate(found) if number not in bad]
        return self._calibrated(good, tallies) if good else None

    def _to_blame(self, found: Sequence[Samples], reason: str) -> dict[int, str]:
        """Return which granules the steps fail on, each with the reason; none where that cannot be told.

        Those that fail alone; or, where the others fail together still or none is left, the one without which all
        others pass: a window or a group may have samples of several files.
        """
        alone = {number: why for number, one in enumerate(found) if (why := _failure(self._calibrated, [one]))}
        good = [one for number, one in enumerate(found) if number not in alone]
        if alone and good and not _failure(self._calibrated, good):
            return alone
        for number in range(len(found)):
            others = [*found[:number], *found[number + 1 :]]
            if others and not _failure(self._calibrated, others):
                return {number: alone.get(number, reason)}
        return alone if not good else {}

    def _near(self, ds: xr.Dataset, number: int) -> Samples:
        """Return the samples of a granule as steps get them, cut to the part with its margins."""
        part, times = self.part, sample_times(ds)
        granule = part.granules[number]
        ready = with_sample_numbers(with_quality(ds, self.instrument.product), granule)
        ready = with_tags(ready, granule, part.keys)
        if GOOD in ds.attrs:
            ready = ready.assign_attrs({GOOD: of_granule(ds.attrs[GOOD], number)})
        near = (times >= part.axis.start - part.margin) & (times < part.axis.stop + part.margin)
        whole = Samples(ready, ds, np.full(len(times), number), times, _units(ds), frozenset({number}))
        return whole if near.all() else whole.pick(near)

    def _calibrated(self, found: Sequence[Samples], tallies: Sequence[Tally] = ()) -> Calibrated:
        items.enter("the steps", sorted(frozenset().union(*(one.granules for one in found))))
        samples, losses = self._joined(found)
        made = run_steps(samples.ds, self.part.steps, self.instrument, self.site, self.part)
        if made.complete:
            check_samples(
                self.instrument, made.ds, samples.units | self._units_of_references() | self._units_of_series()
            )
        for tally, loss in ((tallies[loss.source], loss) for loss in losses if tallies):
            count = int(is_mine(self.part, self.site.name, loss.times).sum())
            tally.read += count
            tally.duplicate += count if loss.kind == "duplicate" else 0
            tally.conflict += count if loss.kind == "conflict" else 0
        return Calibrated(made, samples.source, samples.raw)

    def _joined(self, found: Sequence[Samples]) -> tuple[Samples, list[Loss]]:
        """Return the samples of several granules in order of time; no event is a copy of another, a row may be."""
        if self.instrument.product.counts_events:
            return merged(found), []
        if self.instrument.product.is_table:
            return without_copies(found)
        return settled(found, self.part.task.conflicts)

    def _units_of_references(self) -> frozenset[str]:
        used = (
            several for call in self.part.steps for by_site in call.references.values() for several in by_site.values()
        )
        payloads = (
            references.load(one, self.instrument.load.get(one.kind)).payload for several in used for one in several
        )
        return frozenset().union(*(_units(payload) for payload in payloads if payload is not None))

    def _units_of_series(self) -> frozenset[str]:
        known = SeriesOfPart(self.part, self.instrument)
        several = (known.at(name, self.site) for name in self.part.series)
        return frozenset().union(*(_units(one.samples) for one in several if one and one.samples is not None))


def _units(ds: xr.Dataset) -> frozenset[str]:
    return frozenset(str(one.attrs["units"]) for one in ds.variables.values() if "units" in one.attrs)


def _reject(tally: Tally, reason: str, count: int) -> None:
    tally.fault = reason
    tally.read += count
    tally.reasons += Counter({reason: count})


def _failure(attempt: Callable[[Sequence[Samples]], object], samples: Sequence[Samples]) -> str:
    try:
        attempt(samples)
    except Exception as error:
        if is_outage(error):
            raise
        return reason_of(error)  # why the granule is rejected
    return ""
