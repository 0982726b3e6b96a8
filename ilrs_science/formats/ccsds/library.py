"""Packets whose layout depends on what they hold, decoded one by one by space_packet_parser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ilrs_science.errors import FormatError
from ilrs_science.formats.ccsds.fields import Decoded, Ragged
from ilrs_science.formats.ccsds.stream import Positions
from ilrs_science.formats.ccsds.units import Units
from ilrs_science.formats.foreign import foreign, library

UNKNOWN = "APID {} is not in the definition"
AMBIGUOUS = "APID {} has more than one layout in the definition"
LENGTH = "length is not that of the definition"

_BATCH = 1024
"""Packets that are decoded before they become columns."""
_WIDEST = 64
"""Characters of texts that become an array of fixed width."""
_LONGEST = 64
"""Bits of an integer of an array."""


def by_library(definition: Any, path: Path, units: Units, members: Positions, *, raw: bool) -> list[Decoded]:
    """Return the parameters of some units of an APID, those of different layouts apart; others are rejected.

    Parameters
    ----------
    definition
        The `XtcePacketDefinition`.
    path
        Its document.
    units
        Of an APID.
    members
        Which of them, int64.
    raw
        Whether to give numbers as they were sent.
    """
    found = []
    for first in range(0, members.size, _BATCH):
        layouts: dict[tuple[str, ...], tuple[list[int], list[Any]]] = {}
        for number in members[first : first + _BATCH].tolist():
            packet = _parsed(definition, units, number)
            if packet is not None:
                numbers, packets = layouts.setdefault(tuple(packet), ([], []))
                numbers.append(number)
                packets.append(packet)
        for names, (numbers, packets) in layouts.items():
            columns = {}
            for name in names:
                encoding = definition.parameters[name].parameter_type.encoding
                values = [packet[name].raw_value if raw else packet[name] for packet in packets]
                columns[name] = _column(values, encoding, f"{path}: {name}", raw=raw)
            found.append(Decoded(_layout(definition, names), np.array(numbers), columns))
    return found


def texts(values: list[str]) -> NDArray[Any]:
    """Return an array of fixed width for short texts, and of objects for others."""
    return np.array(values, object if max((len(str(value)) for value in values), default=0) > _WIDEST else str)


def _parsed(definition: Any, units: Units, number: int) -> Any:
    exceptions: Any = library("space_packet_parser.exceptions", "ccsds")
    start = int(units.starts[number])
    try:
        with foreign("packets", "packet", but=(exceptions.UnrecognizedPacketTypeError,)):
            packet = definition.parse_bytes(units.octets[start : start + int(units.sizes[number])].tobytes())
    except exceptions.UnrecognizedPacketTypeError as error:
        units.rejected[(UNKNOWN if "abstract" in str(error) else AMBIGUOUS).format(units.apid)] += 1
        return None
    except FormatError as error:
        units.rejected[f"not as the definition says ({type(error.__cause__).__name__})"] += 1
        return None
    if packet._parsing_pos != 8 * len(packet.binary_data):  # noqa: SLF001 - the library only warns
        units.rejected[LENGTH] += 1
        return None
    return packet


def _column(values: list[Any], encoding: Any, name: str, *, raw: bool) -> NDArray[Any] | Ragged:
    if isinstance(values[0], bytes):
        return Ragged.of([bytes(value) for value in values])
    if isinstance(values[0], str):
        return texts([str(value) for value in values])
    if type(values[0]).__name__ == "BoolParameter":
        return np.array([bool(value) for value in values])
    if any(isinstance(value, float) for value in values):
        calibrated = not raw and (encoding.default_calibrator or encoding.context_calibrators)
        exact = getattr(encoding, "encoding", "").startswith("IEEE") and not calibrated
        return np.array(values, f"f{encoding.size_in_bits // 8}" if exact else np.float64)
    if encoding.size_in_bits > _LONGEST:
        raise FormatError(f"{name}: integers of {encoding.size_in_bits} bits cannot be read")
    size = next(size for size in (8, 16, 32, 64) if encoding.size_in_bits <= size)
    return np.array([int(value) for value in values], f"{'u' if encoding.encoding == 'unsigned' else 'i'}{size // 8}")


def _layout(definition: Any, names: tuple[str, ...]) -> str:
    """Return the container that has these parameters, with those that it inherits."""
    for container in definition.containers.values():
        if tuple(dict.fromkeys(_names(definition, container))) == names:
            return str(container.name)
    return "packet"


def _names(definition: Any, container: Any) -> list[str]:
    base = definition.containers.get(container.base_container_name)
    names = _names(definition, base) if base else []
    for entry in container.entry_list:
        names += [entry.name] if hasattr(entry, "parameter_type") else _names(definition, entry)
    return names
