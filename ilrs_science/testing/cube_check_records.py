"""What lies below `records/`: leases and beats, segments, the plan; and every shard held against its record."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import google_crc32c

from ilrs_science.errors import Fault
from ilrs_science.testing.cube_check_arrays import wanted
from ilrs_science.testing.cube_check_place import Cube, differs, parsed
from ilrs_science.testing.cube_check_shapes import BEAT, COUNTS, LEASE, PLAN, RECORD, misfit
from ilrs_science.testing.cube_check_values import shard_key

type Region = tuple[int, int]
type Record = Mapping[str, Any]

_LEASE, _BEAT = re.compile(r"records/lease-([1-9][0-9]*)"), re.compile(r"records/beat-([1-9][0-9]*)")
_SEGMENT = re.compile(r"records/([0-9]{6})-([0-9]{6})\.json")
_CHECKSUM = re.compile(r"[0-9a-f]{8}")


def record_faults(cube: Cube) -> Iterator[Fault]:
    """Yield what is wrong with the records of a cube, and with its shards by its records."""
    yield from _lease_faults(cube)
    yield from _segment_faults(cube)
    records = newest(cube)
    keys = _keys_of_regions(cube)
    for region, record in sorted(records.items()):
        yield from _record_faults(cube, record, keys)
        yield from _outcome_faults(f"records.{region}", record)
    yield from _shard_faults(cube, records.values(), keys)
    yield from _plan_faults(cube, records)
    yield from _sample_faults(cube, records.values())


def newest(cube: Cube) -> dict[Region, Record]:
    """Return the newest record of every region, of those that can be read."""
    found: dict[Region, Record] = {}
    for name in _segments(cube):
        segment = parsed(cube.place.read(name))
        if misfit(segment, [RECORD]) is None:
            found |= {(one["row"], one["first"]): one for one in segment}
    return found


def sample_counts(text: object) -> dict[str, int] | None:
    """Return the counts that the attribute `samples` tells; None where it is none of its kind."""
    found = re.fullmatch(", ".join(f"{name} ([0-9]+)" for name in COUNTS), str(text))
    return None if found is None else {name: int(one) for name, one in zip(COUNTS, found.groups(), strict=True)}


def _segments(cube: Cube) -> list[str]:
    return [name for name in cube.place.below("records") if _SEGMENT.fullmatch(name)]


def _numbers(cube: Cube, pattern: re.Pattern[str]) -> list[int]:
    return sorted(int(found[1]) for name in cube.place.below("records") if (found := pattern.fullmatch(name)))


def _lease_faults(cube: Cube) -> Iterator[Fault]:
    numbers = _numbers(cube, _LEASE)
    yield from differs("records/lease-N", numbers, list(range(1, max(len(numbers), 1) + 1)))
    nonces: dict[int, object] = {}
    for number in numbers:
        lease = parsed(cube.place.read(f"records/lease-{number}"))
        if wrong := misfit(lease, LEASE):
            yield Fault(f"records/lease-{number}", wrong, f"expected {', '.join(LEASE)}")
            continue
        nonces[number] = lease["nonce"]
        yield from differs(f"records/lease-{number}.number", lease["number"], number)
    for number in _numbers(cube, _BEAT):
        name = f"records/beat-{number}"
        beat = parsed(cube.place.read(name))
        if wrong := misfit(beat, BEAT):
            yield Fault(name, wrong, "expected nonce and count")
            continue
        yield from differs(f"{name}.nonce", beat["nonce"], nonces.get(number))
        if beat["count"] < -1:
            yield Fault(f"{name}.count", f"found {beat['count']}", "expected 0 and up, or -1 when the run has ended")


def _segment_faults(cube: Cube) -> Iterator[Fault]:
    names, leases = _segments(cube), _numbers(cube, _LEASE)
    for name in names:
        if wrong := misfit(parsed(cube.place.read(name)), [RECORD]):
            yield Fault(name, wrong, "expected a list of records")
        token = int(name.removeprefix("records/")[:6])
        if token not in leases:
            yield Fault(name, f"carries the token {token}", f"the number of a lease: {leases}")
    if cube.complete and len(names) != 1:
        yield Fault("records", f"{len(names)} segments", "a finished run leaves one")


def _keys_of_regions(cube: Cube) -> dict[Region, list[str]]:
    """Return the keys of the shards of all variables by row and first slot of each shard."""
    arrays = [one for one in wanted(cube) if one.is_data]
    length = cube.schema["cut"][1]
    table = cube.schema["place"] == "table"
    return {
        (row, number * length): [
            *(shard_key(one, row, number) for one in arrays),
            *([f"table/{row}/{number}.parquet"] if table else []),
        ]
        for row in cube.rows
        for number in range(-(-cube.count // length))
    }


def _record_faults(cube: Cube, record: Record, keys: Mapping[Region, list[str]]) -> Iterator[Fault]:
    row, first, count, length = record["row"], record["first"], record["count"], cube.schema["cut"][1]
    path = f"records.{(row, first)}"
    last = first + count
    if (row, first) not in keys or not first < last <= cube.count or (last % length and last != cube.count):
        found = f"tells of slots {first} to {last} of row {row}"
        yield Fault(path, found, f"whole shards of {length} slots, within {cube.count}, rows {list(cube.rows)}")
        return
    allowed = {"done": False, "failed": True}
    yield from differs(f"{path}.status", allowed.get(record["status"]), bool(record["reason"]))
    failures = {"done": {""}, "failed": {"fault", "outage", "busy"}}.get(record["status"], set())
    if record["failure"] not in failures:
        yield Fault(f"{path}.failure", f"found {record['failure']!r}", f"expected one of {sorted(failures)}")
    if record["status"] == "done":
        mine = [key for begin in range(first, last, length) for key in keys[row, begin]]
        yield from differs(f"{path}.shards", sorted(record["shards"]), sorted(mine))
    if min(record["flagged"], record["missing"]) < 0 or record["flagged"] + record["missing"] > count:
        yield Fault(path, f"{record['flagged']} slots flagged, {record['missing']} missing", f"at most {count}")


def _outcome_faults(path: str, record: Record) -> Iterator[Fault]:
    for outcome in record["outcomes"]:
        counts, name = outcome["counts"], f"{path}.outcomes.{outcome['url']}"
        if min(counts.values()) < 0 or counts["read"] != sum(counts.values()) - counts["read"]:
            yield Fault(f"{name}.counts", f"found {counts}", "read = placed + rejected + duplicate + conflict")
        reasons = sum(outcome["reasons"].values())
        if reasons != counts["rejected"]:
            yield Fault(f"{name}.reasons", f"they tell of {reasons} samples", f"{counts['rejected']} were rejected")


def _shard_faults(cube: Cube, records: Iterable[Record], keys: Mapping[Region, list[str]]) -> Iterator[Fault]:
    told: dict[str, Any] = {}
    for record in records:
        told |= record["shards"] if record["status"] == "done" else {}
    for key, shard in told.items():
        yield from _told_faults(cube, key, shard)
    stored = set(cube.place.names)
    if cube.complete:  # in an unfinished cube the record of a shard may be on its way
        for key in sorted({key for several in keys.values() for key in several} & stored - told.keys()):
            yield Fault(key, "no record tells of it", "every shard of a finished cube has one")


def _told_faults(cube: Cube, key: str, shard: Mapping[str, Any] | None) -> Iterator[Fault]:
    """Yield whether a shard is what its record says; a time of modification alone proves nothing, its bytes do."""
    data = cube.place.read(key)
    if shard is None or data is None:
        if (shard is None) != (data is None):
            found, allowed = ("absent", "it is stored") if data is None else ("stored", "it is absent")
            yield Fault(key, f"is {found}", f"its record says that {allowed}")
        return
    yield from differs(f"{key}.size", len(data), shard["size"])
    yield from differs(f"{key}.crc32c", f"{google_crc32c.value(data):08x}", shard["crc32c"])
    if not _CHECKSUM.fullmatch(shard["crc32c"]) or not shard["mark"]:
        yield Fault(f"{key}.mark", f"found {shard}", "8 hexadecimal digits, and an ETag or a time")


def _plan_faults(cube: Cube, records: Mapping[Region, Record]) -> Iterator[Fault]:
    name = "records/plan.json"
    data = cube.place.read(name)
    if data is None and not cube.complete:
        return
    plan = parsed(data)
    if wrong := misfit(plan, PLAN):
        yield Fault(name, wrong, f"expected {', '.join(PLAN)}")
        return
    if cube.complete:
        yield from _finished_faults(cube, plan, name, records)


def _finished_faults(
    cube: Cube, plan: Mapping[str, Any], name: str, records: Mapping[Region, Record]
) -> Iterator[Fault]:
    """Yield where the plan of a finished cube does not cover it, or is not done."""
    regions = [tuple(one) for one in plan["regions"]]
    yield from differs(f"{name}.regions", _joined(sorted(regions)), [(row, 0, cube.count) for row in cube.rows])
    for (row, first, count), digest in zip(regions, plan["digests"], strict=False):
        record = records.get((row, first))
        if not _is_done(record, count, digest):
            found = "no record" if record is None else f"a record {record['status']} of {record['digest']}"
            yield Fault(f"records.{(row, first)}", f"found {found}", f"the cube is complete: done, with {digest}")
    yield from differs(f"{name}.digests", len(plan["digests"]), len(regions))


def _is_done(record: Record | None, count: int, digest: str) -> bool:
    """Tell whether a record is that of a region of so many slots, done as the plan has it."""
    return record is not None and (record["status"], record["count"], record["digest"]) == ("done", count, digest)


def _joined(regions: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Return sorted regions with those that lie edge to edge joined."""
    joined: list[tuple[int, ...]] = []
    for row, first, count in regions:
        if joined and joined[-1][0] == row and sum(joined[-1][1:]) == first:
            joined[-1] = (row, joined[-1][1], joined[-1][2] + count)
        else:
            joined.append((row, first, count))
    return joined


def _sample_faults(cube: Cube, records: Iterable[Record]) -> Iterator[Fault]:
    """Yield whether the cube tells of as many samples as its records; those outside its axis are read and rejected."""
    if not cube.complete:
        return
    total: Counter[str] = Counter()
    for record in records:
        for outcome in record["outcomes"]:
            total.update(outcome["counts"])
    said = sample_counts(cube.attributes.get("samples"))
    if said is None:
        yield Fault("samples", f"found {cube.attributes.get('samples')!r}", f"counts of {', '.join(COUNTS)}")
        return
    outside = said["rejected"] - total["rejected"]
    allowed = {name: total[name] for name in COUNTS} | {
        "read": total["read"] + max(outside, 0),
        "rejected": total["rejected"] + max(outside, 0),
    }
    yield from differs("samples", said, allowed)
