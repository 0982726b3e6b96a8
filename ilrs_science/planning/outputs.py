"""Where a cube would be written, checked without writing: it can be made there, and raw files lie elsewhere."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from itertools import accumulate

from ilrs_science.errors import Fault
from ilrs_science.model.granule import Granule
from ilrs_science.planning.pipeline import Pipeline, protocols
from ilrs_science.store.granules import LEVEL, cube_of

_READ_ONLY = frozenset({"http", "https", "data", "git", "github", "reference"})
_NOT_STORAGE = ("/proc/", "/sys/")  # they let root write, and keep nothing
_LONGEST = 3840  # bytes: PATH_MAX less what a cube adds below
_ELSEWHERE = "choose another output, or remove it"


def output_faults(pipeline: Pipeline) -> list[Fault]:
    """Return why no cube can be made at the output, as far as the place itself tells."""
    named = protocols(pipeline.output)
    if sealed := [one for one in named if one in _READ_ONLY]:
        return [Fault("output", f"found {pipeline.output!r}", f"{sealed[0]} cannot be written; give a path or s3://")]
    if not _is_local(pipeline.output):
        return []
    place = _path(pipeline.output)
    problem = _place_problem(place)
    return [Fault("output", f"{place[:200]!r} {problem[0]}", problem[1])] if problem else []


def overlap_faults(pipeline: Pipeline) -> list[Fault]:
    """Return the patterns of raw files that name something in the output, or the output itself."""
    output = _names(pipeline.output)
    allowed = "raw files and cubes are kept apart: choose another output"
    return [
        Fault("output", f"{pipeline.output!r} lies among the raw files {pattern!r}, or they in it", allowed)
        for pattern in pipeline.raw
        if _overlap(_names(pattern), output)
    ]


def raw_in_output_faults(output: str, granules: Iterable[Granule]) -> list[Fault]:
    """Return whether raw data lie in the output, links followed, whatever pattern or inventory named them."""
    cube = _names(output)
    folders = {_folder(one): one.url for one in granules}
    inside = [url for folder, url in sorted(folders.items()) if _names(folder)[: len(cube)] == cube]
    return [Fault("output", f"the raw file {one!r} lies in it", "choose another output") for one in inside[:5]]


def _folder(granule: Granule) -> str:
    return cube_of(granule) if granule.level == LEVEL else granule.url.rpartition("/")[0]


def _place_problem(place: str) -> tuple[str, str] | None:
    """Return what is wrong with a local place, and what is allowed, or None."""
    if len(os.fsencode(place)) > _LONGEST:
        return f"has {len(os.fsencode(place))} bytes", f"a path has at most {_LONGEST}"
    if place == "/" or place.startswith(_NOT_STORAGE):
        return "is no place for a cube", "choose another output"
    if os.path.lexists(place) and not os.path.isdir(place):  # noqa: PTH112 - Path.is_dir raises where a name is too long
        return "exists and is not a cube", _ELSEWHERE
    return _parent_problem(next(one for one in _upward(place) if os.path.lexists(one)))


def _parent_problem(folder: str) -> tuple[str, str] | None:
    """Return why nothing can be written in what is to hold a cube, the nearest that exists, and what is allowed."""
    if not os.path.isdir(folder):  # noqa: PTH112
        return f"cannot be made: {folder!r} is not a folder", "choose another output"
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        return f"cannot be written: {folder!r} is read-only to you", "choose another output, or ask its owner"
    return None


def _upward(place: str) -> list[str]:
    """Return a path and its parents, the nearest first."""
    parts = place.strip("/").split("/")
    return [*reversed(["/" + one for one in accumulate(parts, lambda before, name: f"{before}/{name}")]), "/"]


def _overlap(pattern: Sequence[str], output: Sequence[str]) -> bool:
    """Tell whether a pattern names something in the output, or the output, or a folder around it, without wildcards."""
    whole = not any(_is_wild(name) for name in pattern)
    if whole and list(output[: len(pattern)]) == list(pattern):
        return True
    return _reaches(tuple(pattern), tuple(output))


def _reaches(pattern: tuple[str, ...], output: tuple[str, ...]) -> bool:
    """Tell whether a pattern could match a path below the output, name by name.

    One that only matches the output itself, as `*` beside it does, does no harm: a folder is no raw file.
    """
    reached = {0}  # how many names of the pattern may stand for the names of the output so far
    for name in output:
        reached = {
            after
            for at in _with_skipped(reached, pattern)
            if at < len(pattern)
            for after in ({at, at + 1} if pattern[at] == "**" else {at + 1} if _matches(name, pattern[at]) else ())
        }
    return any(at < len(pattern) for at in reached)


def _with_skipped(reached: set[int], pattern: Sequence[str]) -> set[int]:
    """Return positions in a pattern, and those behind each `**`, which may stand for no folder at all."""
    found = set(reached)
    for at in range(len(pattern)):
        if at in found and pattern[at] == "**":
            found.add(at + 1)
    return found


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) if _is_wild(pattern) else name == pattern


def _is_wild(name: str) -> bool:
    return bool(re.search(r"[*?\[]", name))


def _names(url: str) -> tuple[str, ...]:
    """Return the protocol and the names of a path or pattern; links are followed as far as no wildcard stands."""
    url = re.sub(r"\{site\}", "*", url)
    if not _is_local(url):
        protocol, _, path = url.rpartition("::")[2].partition("://")
        return (protocol, *filter(None, path.split("/")))
    names = [name for name in _path(url).split("/") if name]
    plain = next((at for at, name in enumerate(names) if _is_wild(name)), len(names))
    # What a bracket escapes, such as [*], is a plain name again.
    start = os.path.realpath("/" + "/".join(names[:plain]))
    return ("file", *filter(None, start.split("/")), *names[plain:])


def _is_local(url: str) -> bool:
    return set(protocols(url)) <= {"file", "local"} and "::" not in url


def _path(url: str) -> str:
    return os.path.normpath("/" + re.sub(r"^(file|local)://", "", url).lstrip("/"))
