"""XTCE documents (CCSDS 660.1-G-2): checked for what would harm, and read by space_packet_parser."""

from __future__ import annotations

import io
import threading
from collections import Counter
from collections.abc import Callable
from functools import lru_cache, partial
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from ilrs_science.errors import FormatError
from ilrs_science.formats.foreign import foreign, library

_LARGEST = 2**24
"""Bytes of a definition."""
_CONTAINERS, _DEEPEST, _ENTRIES = 10_000, 64, 200_000
"""Containers, how deep one may lie in another, and parameters of all of them, those of nested ones written out."""
_HIGHEST = 16
"""Exponent of a polynomial."""
# The library keeps the namespaces of the document that it reads in a class, for all threads.
_ONE_AT_A_TIME = threading.Lock()


def load_xtce(path: Path, root: str | None = None) -> Any:
    """Return the definition, an `XtcePacketDefinition` of the library.

    Parameters
    ----------
    path
        The document.
    root
        Container with which every packet begins; by default that of the library, `CCSDSPacket`.

    Raises
    ------
    FormatError
        It is no XTCE, is damaged, has a document type or entities, defines itself in circles or without measure, or has
        no such container.
    OSError
        There is no such document.
    """
    if path.stat().st_size > _LARGEST:
        raise FormatError(f"{path}: {path.stat().st_size} bytes of a definition; no more than {_LARGEST} are read")
    with foreign(path, "XTCE"):
        return _parsed(path.read_bytes(), root)


@lru_cache(maxsize=8)
def _parsed(document: bytes, root: str | None) -> Any:
    from defusedxml.ElementTree import fromstring  # noqa: PLC0415 - heavy

    definitions: Any = library("space_packet_parser.xtce.definitions", "ccsds")
    calibrators: Any = library("space_packet_parser.xtce.calibrators", "ccsds")
    _check(fromstring(document, forbid_dtd=True, forbid_entities=True, forbid_external=True))
    name = definitions.DEFAULT_ROOT_CONTAINER if root is None else root
    with _ONE_AT_A_TIME:
        definition = definitions.XtcePacketDefinition.from_xtce(io.BytesIO(document), root_container_name=name)
    if name not in definition.containers:
        raise ValueError(f"no container {name!r}, but {sorted(definition.containers)[:12]}")
    for kind in definition.parameter_types.values():
        encoding = kind.encoding
        contexts = [context.calibrator for context in getattr(encoding, "context_calibrators", None) or ()]
        for calibrator in (getattr(encoding, "default_calibrator", None), *contexts):
            if isinstance(calibrator, calibrators.SplineCalibrator):
                # The library finds no interval for the last point itself.
                calibrator.calibrate = partial(_on_spline, calibrator.points[-1], calibrator.calibrate)
    return definition


def _on_spline(last: Any, calibrate: Callable[[float], float], value: float) -> float:
    return float(last.calibrated) if value == last.raw else calibrate(value)


def _check(tree: Any) -> None:
    """Refuse what would keep the library busy for ever."""
    parts: dict[str, Counter[str]] = {}
    entries: Counter[str] = Counter()
    for element in tree.iter():
        tag = str(element.tag).rpartition("}")[2]
        if tag == "SequenceContainer":
            _note_container(element, parts, entries)
        elif tag == "Term" and not 0 <= int(element.get("exponent", "0")) <= _HIGHEST:
            raise ValueError(f"an exponent of {element.get('exponent')[:12]}; expected 0 to {_HIGHEST}")
    try:
        order = list(TopologicalSorter(parts).static_order())
    except CycleError as error:
        raise ValueError(f"container {error.args[1][0]!r} holds itself, or inherits from itself") from error
    depths: dict[str, int] = {}
    for name in order:
        depths[name] = 1 + max((depths[part] for part in parts.get(name, ())), default=0)
        entries[name] += sum(entries[part] * times for part, times in parts.get(name, {}).items())
    if len(order) > _CONTAINERS or max(depths.values(), default=0) > _DEEPEST or entries.total() > _ENTRIES:
        raise ValueError(f"{len(order)} containers, {entries.total()} parameters; too many, or nested too deep")


def _note_container(element: Any, parts: dict[str, Counter[str]], entries: Counter[str]) -> None:
    name = element.get("name", "")
    held = parts.setdefault(name, Counter())
    for one in element.iter():
        tag = str(one.tag).rpartition("}")[2]
        if tag in {"BaseContainer", "ContainerRefEntry"}:
            held[one.get("containerRef", "")] += 1
        elif tag == "ParameterRefEntry":
            entries[name] += 1
