"""What stands of an existing cube, and what has to be done, with the cause: a plan held against the records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ilrs_science.code import environment
from ilrs_science.model.granule import Granule
from ilrs_science.model.part import CAUSES, Cause, Part
from ilrs_science.model.record import Record
from ilrs_science.store import records, shards
from ilrs_science.store.granules import place_of
from ilrs_science.store.target import Found, Target

type Verdict = Literal[
    "done", "older", "new", "failed", "inputs", "missing", "shards", "parameters", "references", "code", "plugin"
]

VERDICTS: Mapping[Verdict, str] = {
    "done": "done and unchanged",
    "older": "done with other versions of Python or of the libraries; `--redo environment` makes them anew",
    "new": "not done yet",
    "failed": "failed; tried again",
    "inputs": "raw files were added, changed or taken away",
    "missing": "a raw file that they hold has gone",
    "shards": "stored data were lost or changed since they were written",
    "parameters": "steps, their parameters or the product have changed",
    "references": "references have changed",
    "code": "this package's own code has changed",
    "plugin": "the code of the instrument or of a step has changed",
}
"""What each verdict over a part means."""

ASKED: tuple[Verdict, ...] = ("parameters", "references", "code", "plugin")
"""Causes for which good data are replaced only where somebody agrees."""

_STANDS: tuple[Verdict, ...] = ("done", "older", "missing")


@dataclass(frozen=True)
class Diff:
    """A plan held against what is there."""

    verdicts: tuple[Verdict, ...]
    """Of every part, in order."""
    changed: tuple[tuple[Cause, ...], ...]
    """For each part that was done otherwise, what differs."""
    kept: Mapping[tuple[int, int], Record]
    """The record of every part that stands, by region; with the marks that its shards have now."""
    gone: tuple[str, ...]
    """Raw files that the cube holds samples of, and that are not there any more."""
    unreadable: tuple[str, ...]
    """Segments of records that cannot be read; what they told of is done again."""
    segments: tuple[str, ...]
    """Segments that were read."""

    def counts(self) -> dict[Verdict, int]:
        """Return the number of parts by verdict, in the order of `VERDICTS`."""
        found = Counter(self.verdicts)
        return {verdict: found[verdict] for verdict in VERDICTS if found[verdict]}

    def pending(self, *, redo_environment: bool = False, forget_missing: bool = False) -> list[int]:
        """Return the numbers of the parts to do.

        Parts of other versions of Python or of the libraries stand, and so do those that hold samples of raw files that
        have gone, unless the caller says otherwise.
        """
        again = {"older"} if redo_environment else set()
        again |= {"missing"} if forget_missing else set()
        return [n for n, verdict in enumerate(self.verdicts) if verdict not in _STANDS or verdict in again]

    def asked(self, *, forget_missing: bool = False) -> dict[Verdict, int]:
        """Return the number of parts whose good data would be replaced, by cause."""
        return {
            cause: count
            for cause in ASKED
            if (count := self._having(cause, ("missing",) if not forget_missing else ()))
        }

    def _having(self, cause: Verdict, but: tuple[Verdict, ...]) -> int:
        pairs = zip(self.verdicts, self.changed, strict=True)
        return sum(cause in changed for verdict, changed in pairs if verdict not in but)


def compare(parts: Sequence[Part], granules: Sequence[Granule], place: Target) -> Diff:
    """Hold the parts of a plan against the records and the shards of a cube."""
    loaded = records.load(place)
    of_series = {one for part in parts for one in part.granules_of_series}
    judge = _judge(place, [*granules, *of_series], loaded.records)
    rulings = [judge.ruling(part, loaded.records.get((part.row, part.first))) for part in parts]
    pairs = zip(parts, rulings, strict=True)
    known = [(part, one.record, one.verdict) for part, one in pairs if one.record is not None]
    gone = dict.fromkeys(url for part, record, _ in known for url in judge.gone(record, part.margin))
    return Diff(
        verdicts=tuple(one.verdict for one in rulings),
        changed=tuple(one.changed for one in rulings),
        kept={record.region: record for _, record, verdict in known if verdict in _STANDS},
        gone=tuple(gone),
        unreadable=loaded.unreadable,
        segments=loaded.segments,
    )


@dataclass(frozen=True)
class _Ruling:
    verdict: Verdict
    record: Record | None
    """With new marks, where only those of its shards have changed."""
    changed: tuple[Cause, ...] = ()


@dataclass(frozen=True)
class _Judge:
    """What a record is held against."""

    place: Target
    listing: Mapping[str, Found]
    digests: Collection[str]
    places: Collection[str]
    environment: Mapping[str, str]

    def ruling(self, part: Part, record: Record | None) -> _Ruling:
        """Return whether a part stands, or why not."""
        if record is None:
            return _Ruling("new", None)
        if record.status != "done":
            return _Ruling("failed", None)
        if record.digest != part.digest:
            changed = self._changed(part, record)
            if not any(one.is_in for one in record.outcomes):
                # It holds no sample, so that nobody has to agree; often the first file for it has come, and with the
                # file the format that reads it.
                return _Ruling(changed[0] if changed else "inputs", record)
            if self.gone(record, part.margin):
                # Nothing can make it anew; where its stored data are damaged, too, the run says so at its end.
                return _Ruling("missing", self._stored(record).record, changed)
            asked = [cause for cause in changed if cause in ASKED]
            return _Ruling(asked[0] if asked else "inputs", record, changed)
        return self._stored(record)

    @staticmethod
    def _changed(part: Part, record: Record) -> tuple[Cause, ...]:
        changed = [cause for cause in CAUSES if record.causes.get(cause) != part.causes[cause]]
        if "code" in changed and not _differ(record.causes.get("code", ""), part.causes["code"]):
            # Only the raw formats of its files are others: that is a change of inputs, and no file is read otherwise.
            changed.remove("code")
        return tuple(changed)

    def gone(self, record: Record, margin: int) -> list[str]:
        """Return the raw files of a record that are neither there nor have another content now.

        Only those that its values come from: samples in it, or within the margin around it, and series.
        """
        return [
            one.url
            for one in record.outcomes
            if (one.is_in or ((margin or one.series) and not one.fault))
            and one.sha256 not in self.digests
            and place_of(one.url) not in self.places
        ]

    def _stored(self, record: Record) -> _Ruling:
        state = shards.state(record, self.listing)
        # Of the right size with another mark: a copy or a restored backup. Its bytes decide.
        if state == "other" or (state == "moved" and shards.damaged(self.place, record)):
            return _Ruling("shards", record)
        if state == "moved":
            record = replace(record, shards=shards.remarked(record, self.listing))
        return _Ruling("done" if record.environment == self.environment else "older", record)


def _judge(place: Target, granules: Sequence[Granule], known: Mapping[tuple[int, int], Record]) -> _Judge:
    listing = place.listing() if known else {}  # of a cube without records nothing stands
    return _Judge(
        place, listing, {one.sha256 for one in granules}, {place_of(one.url) for one in granules}, environment()
    )


def _differ(one: str, other: str) -> bool:
    """Tell whether the code of any raw format that both name is another."""
    codes = [dict(item.rsplit(" ", 1) for item in text.split(", ") if " " in item) for text in (one, other)]
    return any(codes[0][name] != codes[1][name] for name in codes[0].keys() & codes[1].keys())
