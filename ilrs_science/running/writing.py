"""A run that holds the lease of its cube: from what is to do to a cube that says what it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass
from dataclasses import replace as replaced
from typing import Any

from ilrs_science.errors import CubeError, LeaseLostError
from ilrs_science.model.part import Part
from ilrs_science.model.record import Record
from ilrs_science.planning.diff import compare
from ilrs_science.planning.planned import Plan
from ilrs_science.running.consent import Consent, refuse_unasked
from ilrs_science.running.executing import Execute, Slow, Work
from ilrs_science.running.provenance import provenance
from ilrs_science.running.report import Done, make_report, summary
from ilrs_science.store import creating, cube, records, shards, tables
from ilrs_science.store.cube import Existing
from ilrs_science.store.lease import Lease, check_held
from ilrs_science.store.target import Target

type Progress = Callable[[Record, int, int], None]
"""Called with each new record, parts done and parts to do."""


@dataclass(frozen=True)
class Watch:
    """Who wants to know how a run goes on."""

    progress: Progress | None = None
    slower: Callable[[Slow], None] | None = None

    def ended(self, record: Record, done: int, parts: int) -> None:
        """Tell of a part that has ended."""
        if self.progress is not None:
            self.progress(record, done, parts)

    def slow(self, part: Slow) -> None:
        """Tell, about once a second while none ends, of the part that a worker has been at for the longest time."""
        if self.slower is not None:
            self.slower(part)


def stands(made: Plan, there: Existing, consent: Consent) -> bool:
    """Tell whether nothing has to be written: then no lease is taken, so that asking often leaves no trace."""
    again = made.diff.pending(redo_environment=consent.redo_environment, forget_missing=consent.forget_missing)
    grown = (there.count, len(there.sites)) != (made.axis.count, len(made.sites))
    complete = there.attributes.get("status") == cube.COMPLETE and not made.diff.unreadable
    # Parts that hold what no raw file has any more are looked at each time: nothing could make them anew.
    return complete and not again and not grown and "missing" not in made.diff.verdicts


@dataclass
class Writing:
    """A run that holds the lease of its cube."""

    made: Plan
    place: Target
    lease: Lease
    consent: Consent
    watch: Watch

    def do(self, execute: Execute) -> Done:
        """Do what is to do, and say in the cube what it is then."""
        # Between the plan and the lease another run may have done some of it, or something else.
        cube.refuse_another(self.place, self.made.declared)
        self.made = replaced(self.made, diff=compare(self.made.parts, self.made.granules, self.place))
        refuse_unasked([self.made], self.consent)
        pending = [self.made.parts[number] for number in self._again()]
        self._prepare(pending)
        stored = self.made.tables()
        work = Work(pending, stored, stored.save(self.place), self.lease.token)
        records.save_plan(self.place, self._stored_plan())
        journal = records.Journal(self.place, self.lease.token)
        regions = {(part.row, part.first) for part in pending}
        found = {region: one for region, one in self.made.diff.kept.items() if region not in regions}
        self._keep(execute, work, journal, found)
        return self._finish(found, len(self.made.parts) - len(pending), journal, work.digest)

    def _again(self) -> Sequence[int]:
        """Return the numbers of the parts to do."""
        return self.made.diff.pending(
            redo_environment=self.consent.redo_environment, forget_missing=self.consent.forget_missing
        )

    def _prepare(self, pending: Sequence[Part]) -> None:
        """Make the cube, or let it grow, and let it say that it is unfinished."""
        wanted = self.made.declared
        attributes = self._unfinished(len(pending)) if pending else {}
        if cube.existing(self.place) is None:
            attributes = provenance(self.made) | attributes
        elif pending:
            creating.refuse_another_layout(self.place, wanted)
            # Before anything else: from now on the cube is not what its last run said. What it was made of stays
            # written until all of it has been made anew.
            cube.update_attributes(self.place, attributes)
        creating.create(self.place, wanted, attributes)
        creating.remove_beyond(self.place, wanted)

    def _keep(
        self, execute: Execute, work: Work, journal: records.Journal, found: dict[tuple[int, int], Record]
    ) -> None:
        """Keep every record as it comes, whatever ends the run."""
        done, parts = 0, len(work.parts)
        try:
            with closing(execute(work)) as results:
                for result in results:
                    if isinstance(result, Record):
                        done += 1
                        found[result.region] = result
                        journal.add(result)
                        self.watch.ended(result, done, parts)
                    elif result is not None:
                        self.watch.slow(result)
                    if journal.flush_if_due():
                        self._count_down(parts - done)
        finally:
            with suppress(OSError, LeaseLostError):  # a full disk, or another run, is often why the run ends here
                journal.flush()
                if done:
                    self._count_down(parts - done)

    def _count_down(self, count: int) -> None:
        """Tell readers how many parts are to do, unless the cube is another run's by now."""
        check_held(self.place, self.lease.token)
        cube.update_attributes(self.place, self._unfinished(count))

    def _finish(
        self, found: dict[tuple[int, int], Record], skipped: int, journal: records.Journal, digest: str
    ) -> Done:
        check_held(self.place, self.lease.token)
        done = Done(self.made, found, skipped)
        report = make_report(self.made.pipeline.output, [done], 0.0)
        check_held(self.place, self.lease.token)
        if not report.failed:
            self._check_shards(found)
        # A full disk is often why parts failed; the cube then goes on saying that it is unfinished.
        with suppress(OSError) if report.failed else nullcontext():
            if not report.did_nothing:
                journal.compact((found[key] for key in sorted(found)), self.made.diff.segments)
                tables.forget(self.place, digest)
            made_of = {} if report.failed else provenance(self.made, found.values())
            cube.update_attributes(self.place, made_of | summary(report))
        return done

    def _check_shards(self, found: dict[tuple[int, int], Record]) -> None:
        """Hold one listing of the store against all records, before the cube is called complete."""
        # What workers of earlier runs were about to rename goes first: after the listing none of it can appear.
        self.place.sweep(self.lease.token)
        listing = self.place.listing()
        other = [one.part for one in found.values() if shards.state(one, listing) != "same"]
        if other:
            numbers = ", ".join(map(str, other[:10]))
            raise CubeError(
                f"{self.place.url}: the stored data of {len(other)} parts ({numbers}) are not what their records say: "
                "somebody else changed them, or they are damaged; run again, and see `ilrs verify`"
            )

    def _unfinished(self, count: int) -> dict[str, Any]:
        return {"status": f"unfinished: {count} of {len(self.made.parts)} parts to do"}

    def _stored_plan(self) -> records.StoredPlan:
        parts = self.made.parts
        return records.StoredPlan(
            [part.digest for part in parts],
            [[part.row, part.first, part.axis.count] for part in parts],
            sum(granule.count for granule in self.made.granules),
            self.made.source.model_dump(mode="json"),
        )
