"""Whatever stands in a pipeline, a plan ends soon: with a plan, or with a fault that names the key."""

import copy
import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from ilrs_toys.campaign import Campaign

import ilrs_science as ilrs
from ilrs_science import PlanError
from ilrs_science.errors import Fault
from ilrs_science.yaml_text import load_yaml

pytestmark = pytest.mark.usefixtures("toys")

PACKAGED = sorted((Path(__file__).parents[1] / "pipelines").glob("*.yaml"))
SECONDS = 10
"""Seconds for one plan; the slowest takes far below one."""


class Endless(BaseException):
    """A plan did not end; no `except` in the package catches this."""


def nested(depth: int, kind: Callable[[Any], Any]) -> Any:
    made: Any = 1
    for _ in range(depth):
        made = kind(made)
    return made


HOPELESS = {
    "NUL": "\0",
    "NUL inside": "a\0b",
    "new line": "two\nlines",
    "half a character": "\ud800",
    "an undecoded byte": "\udcff",
    "huge": 10**30,
    "huge below zero": -(10**30),
    "beyond what Python prints": 10**5000,
    "not a number": float("nan"),
    "infinite": float("inf"),
    "infinite below zero": float("-inf"),
    "deep lists": nested(2000, lambda one: [one]),
    "deep mappings": nested(2000, lambda one: {"a": one}),
    "endless text": "a" * 10**5,
    "bytes": b"\xff\0",
    "a key of NUL": {"\0": 1},
    "a huge key": {10**5000: 1},
}
"""What no key takes."""
ODD = {
    "none": None,
    "empty": "",
    "blank": " ",
    "minus one": -1,
    "zero": 0,
    "one and a half": 1.5,
    "true": True,
    "no list": [],
    "no mapping": {},
    "lists": [[1, [2]], "a"],
    "none in a list": [None],
    "unknown key": {"colour": "red"},
    "number as key": {5: 5},
    "nobody's home": "~nosuchuser/x",
    "unknown protocol": "foo://x",
    "chain of protocols": "foo::bar://x",
    "a name of 300": "n" * 300,
    "bad pattern": "{site}[z-a]*",
    "deep folders": "a/" * 1500,
    "root": "/",
    "first year": "0001-01-01T00:00:00Z",
    "last year": "9999-12-31T23:59:59Z",
    "before UTC": "1700-01-01T00:00:00Z",
    "far": "2254-12-31T00:00:00Z",
    "no day": "2031-02-30T00:00:00Z",
    "no leap second": "2031-03-01T23:59:60Z",
    "one nanosecond": "1 ns",
    "endless digits": "9" * 400 + " s",
    "endless fraction": "0." + "9" * 400 + " s",
    "the longest": "9223372036854775807 ns",
    "2**63": 2**63,
    "2**62": 2**62,
    "10**12": 10**12,
}
"""What some key takes and others do not."""


@dataclass(frozen=True)
class Mutation:
    """A pipeline with one thing changed."""

    what: str
    key: str
    """The outermost key of the change."""
    content: dict[str, Any]


def places(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value at every depth."""
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


def changed(content: dict[str, Any], path: tuple[Any, ...], change: Callable[[Any, Any], None]) -> dict[str, Any]:
    """Return a copy, with a change made to what holds the last key of a path."""
    made = copy.deepcopy(content)
    inner: Any = made
    for key in path[:-1]:
        inner = inner[key]
    change(inner, path[-1])
    return made


def rename(holder: Any, key: Any) -> None:
    holder[key + "z"] = holder.pop(key)


def twice(holder: Any, key: Any) -> None:
    holder.insert(key, copy.deepcopy(holder[key]))


def replaced(content: dict[str, Any], values: dict[str, Any]) -> Iterator[Mutation]:
    for path in places(content):
        for name, value in values.items():
            made = changed(content, path, lambda holder, key, value=value: holder.__setitem__(key, value))
            yield Mutation(f"{path} = {name}", path[0], made)


def rearranged(content: dict[str, Any]) -> Iterator[Mutation]:
    for path in places(content):
        yield Mutation(f"{path} removed", path[0], changed(content, path, lambda holder, key: holder.pop(key)))
        change = twice if isinstance(path[-1], int) else rename
        yield Mutation(f"{path} {change.__name__}", path[0], changed(content, path, change))


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise Endless

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def outcome(source: Any) -> tuple[str, list[Fault]]:
    """Plan, and return what came of it: "plan", "faults", or how it failed to end as it must."""
    try:
        with at_most(SECONDS):
            ilrs.plan(source)
    except PlanError as error:
        return ("faults" if error.faults and len(str(error)) < 50_000 else "faults without an end"), [*error.faults]
    except Endless:
        return "does not end", []
    except Exception as error:  # noqa: BLE001 - that is what must not happen
        return f"{type(error).__name__}: {str(error)[:200]}", []
    return "plan", []


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory, toys: Path) -> dict[str, Any]:
    """A pipeline of the toys that can be planned, with something of everything in it."""
    campaign = Campaign(tmp_path_factory.mktemp("campaign"))
    campaign.write("a.toy", "a", range(8))
    campaign.write("bb.toy", "bb", range(8))
    campaign.refer("gain", -100, 100, 2)
    steps = ["by_reference", {"sum_near": {"window": "2 s"}}, {"to_units": {"factor": 2, "noise": 0.5}}]
    more = {"place": "slot", "conflicts": "first", "memory_limit": 10**9}
    made = json.loads(json.dumps(campaign.pipeline(8, steps=steps, **more)))
    made["layout"]["part"] = 1
    made["references"]["context"] = "2035-01-01T00:00:00Z"
    made["raw"] = [made["raw"]]
    return made


def packaged(path: Path, folder: Path) -> dict[str, Any]:
    made = load_yaml(path)
    return made | {"raw": str(folder / made["raw"]), "output": str(folder / made["output"])}


def test_the_pipeline_that_is_mutated_can_be_planned(toy: dict[str, Any]) -> None:
    assert outcome(toy) == ("plan", [])


def wrong(mutations: Iterator[Mutation], *, must_fail: bool, named: bool = True) -> list[str]:
    """Return every mutation that ended neither in a plan nor in a fault of its key."""
    found = []
    for one in mutations:
        ending, faults = outcome(one.content)
        if ending not in ({"faults"} if must_fail else {"plan", "faults"}):
            found.append(f"{one.what}: {ending}")
        elif ending == "faults" and named and not any(one.key in str(fault) for fault in faults):
            found.append(f"{one.what}: {'; '.join(map(str, faults))[:300]}")
    return found


def test_what_no_key_takes_is_a_fault_of_its_key(toy: dict[str, Any]) -> None:
    assert wrong(replaced(toy, HOPELESS), must_fail=True) == []


def test_what_some_key_takes_is_planned_or_a_fault_of_its_key(toy: dict[str, Any]) -> None:
    assert wrong(replaced(toy, ODD), must_fail=False) == []


def test_what_is_gone_twice_or_misspelt_is_planned_or_a_fault(toy: dict[str, Any]) -> None:
    assert wrong(rearranged(toy), must_fail=False, named=False) == []


@pytest.mark.parametrize("path", PACKAGED, ids=lambda path: path.stem)
def test_the_packaged_pipelines_end_as_well(path: Path, tmp_path: Path) -> None:
    content = packaged(path, tmp_path)
    # Steps that do not divide the numbers of values, so that neighbouring places get others of them.
    assert wrong(islice(replaced(content, HOPELESS), 0, None, 2), must_fail=True) == []
    assert wrong(islice(replaced(content, ODD), 0, None, 4), must_fail=True, named=False) == []
    assert wrong(rearranged(content), must_fail=True, named=False) == []
