"""Whether a cube still holds what was written: every shard against its record."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from ilrs_science.errors import CubeError
from ilrs_science.model.record import Record
from ilrs_science.store import cube, records, shards
from ilrs_science.store.lease import leased
from ilrs_science.store.target import Target, target


@dataclass(frozen=True)
class Verification:
    """What was found."""

    output: str
    parts: int
    """Parts with a record that says that they are done."""
    shards: int
    """Shards read."""
    damaged: dict[int, tuple[str, ...]]
    """Shards whose bytes are not those of the record, or that are there or absent against it, by part."""
    strangers: tuple[str, ...]
    """Shards that no record speaks of."""
    unreadable: tuple[str, ...]
    """Records that cannot be read."""

    @property
    def ok(self) -> bool:
        """Whether the cube is what its records say."""
        return not (self.damaged or self.strangers or self.unreadable)

    def as_json(self) -> dict[str, Any]:
        """Return the findings as JSON-able values."""
        return {
            "output": self.output,
            "ok": self.ok,
            "parts": self.parts,
            "shards": self.shards,
            "damaged": {str(part): list(keys) for part, keys in self.damaged.items()},
            "strangers": list(self.strangers),
            "unreadable_records": list(self.unreadable),
        }


def verify(url: str) -> Verification:
    """Read every shard of a cube and hold it against its record.

    Raises
    ------
    CubeError
        There is no cube at the URL.
    """
    cube.open_attributes(url)
    place = target(url)
    loaded = records.load(place)
    done = [record for record in loaded.records.values() if record.status == "done"]
    damaged = {record.part: tuple(wrong) for record in done if (wrong := shards.damaged(place, record))}
    known = {key for record in done for key in record.shards}
    strangers = sorted(key for key in cube.shard_keys(place) if key not in known)
    count = sum(shard is not None for record in done for shard in record.shards.values())
    return Verification(place.url, len(done), count, damaged, tuple(strangers), loaded.unreadable)


def adopt(url: str) -> int:
    """Renew the marks of shards whose bytes are right: after a copy or a restored backup. Returns the number of parts.

    Raises
    ------
    CubeError
        Bytes are not right, or another run holds the cube.
    """
    cube.open_attributes(url)
    place = target(url)
    with leased(place) as lease:
        loaded = records.load(place)
        listing = place.listing()
        moved = [
            one for one in loaded.records.values() if one.status == "done" and shards.state(one, listing) != "same"
        ]
        wrong = [record.part for record in moved if shards.damaged(place, record)]
        if wrong:
            parts = ", ".join(map(str, wrong))
            raise CubeError(
                f"{place.url}: the stored data of parts {parts} are damaged; `ilrs verify --repair` mends them"
            )
        renewed = {one.region: replace(one, shards=shards.remarked(one, listing)) for one in moved}
        _rewrite(place, lease.token, {**loaded.records, **renewed}, loaded.segments)
    return len(moved)


def stored_pipeline(url: str) -> dict[str, Any]:
    """Return the pipeline of the newest run of a cube.

    Raises
    ------
    CubeError
        Nothing tells how the cube was made.
    """
    place = target(url)
    plan = records.load_plan(place)
    if plan is None:
        raise CubeError(f"{place.url}: its plan cannot be read; run its pipeline again")
    return plan.pipeline


def refuse_lost(found: Verification, gone: Collection[str]) -> None:
    """Raise where a damaged part holds samples of raw files that have gone: nothing could make those anew.

    Parameters
    ----------
    gone
        URLs of the files.

    Raises
    ------
    CubeError
        Names the parts and the files.
    """
    held = {
        one.part: {outcome.url for outcome in one.outcomes if outcome.counts.placed} & set(gone)
        for one in records.load(target(found.output)).records.values()
        if one.part in found.damaged
    }
    lost = sorted(part for part, urls in held.items() if urls)
    if lost:
        parts, files = ", ".join(map(str, lost)), ", ".join(sorted(set().union(*held.values())))
        raise CubeError(
            f"{found.output}: damaged parts ({parts}) hold samples of raw files that are not there any more ({files}); "
            "put them back, or run the pipeline with --forget-missing"
        )


def discard(found: Verification) -> dict[str, Any]:
    """Drop what is damaged: records of such parts or unreadable ones, and shards that no record speaks of.

    A run then makes them anew.

    Returns
    -------
    The pipeline of the newest run.

    Raises
    ------
    CubeError
        Nothing tells how the cube was made, or another run holds it.
    """
    pipeline = stored_pipeline(found.output)
    place = target(found.output)
    with leased(place) as lease:
        loaded = records.load(place)
        kept = {region: one for region, one in loaded.records.items() if one.part not in found.damaged}
        cube.update_attributes(place, {"status": f"unfinished: {len(found.damaged)} parts to do"})
        _rewrite(place, lease.token, kept, loaded.segments)
        for name in (*found.strangers, *loaded.unreadable):
            place.delete(name)
    return pipeline


def _rewrite(place: Target, token: str, kept: dict[tuple[int, int], Record], older: tuple[str, ...]) -> None:
    records.Journal(place, token).compact((kept[region] for region in sorted(kept)), older)
