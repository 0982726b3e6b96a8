"""Packet definitions in XTCE (CCSDS 660.1-G-2), parsed by space_packet_parser and applied to all packets at once.

The containers of the definition are walked once for all packets of one length: each parameter of fixed size is a
column, restrictions and calibrators are applied to whole columns, and packets part where they inherit from different
containers. What cannot be done so (strings, lengths that vary, calibrators that depend on a context, conditions that
are no plain comparison) is left to the library, packet by packet.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ilrs_science.errors import FormatError
from ilrs_science.formats.ccsds.document import load_xtce
from ilrs_science.formats.ccsds.fields import Columns, Decoded, Field, Ragged, column, suits
from ilrs_science.formats.ccsds.library import AMBIGUOUS, LENGTH, UNKNOWN, by_library, texts
from ilrs_science.formats.ccsds.stream import Bytes, Positions, rows
from ilrs_science.formats.ccsds.units import Units
from ilrs_science.formats.foreign import foreign, library
from ilrs_science.formats.format import unit_attributes

_FEW = 8
"""Packets of one length that are worth being decoded at once, where there are more lengths than this."""


class _NeedsLibraryError(Exception):
    """A layout depends on what single packets hold."""


def _chosen(columns: Columns, chosen: NDArray[np.bool_]) -> Columns:
    return {name: np.asarray(values)[chosen] for name, values in columns.items()}


@dataclass(frozen=True)
class _Rows:
    """Packets of one length that have had the same layout up to here."""

    data: Bytes
    units: Positions
    bit: int
    raw: Columns
    derived: Columns

    def only(self, chosen: NDArray[np.bool_]) -> _Rows:
        """Return some of them."""
        if chosen.all():
            return self
        raw, derived = (_chosen(one, chosen) for one in (self.raw, self.derived))
        return replace(self, data=self.data[chosen], units=self.units[chosen], raw=raw, derived=derived)


class Xtce:
    """A definition, and how to apply it."""

    def __init__(self, path: Path, root: str | None = None, *, raw: bool = False) -> None:
        self.path, self.raw = path, raw
        self.definition = load_xtce(path, root)
        self.types: Any = library("space_packet_parser.xtce.parameter_types", "ccsds")
        self.encodings: Any = library("space_packet_parser.xtce.encodings", "ccsds")
        self.comparison: Any = library("space_packet_parser.xtce.comparisons", "ccsds").Comparison
        self.polynomial: Any = library("space_packet_parser.xtce.calibrators", "ccsds").PolynomialCalibrator

    def attributes(self, name: str) -> dict[str, Any]:
        """Return units, descriptions and, of raw values, what they stand for."""
        parameter = self.definition.parameters.get(name)
        if parameter is None:
            return {}
        kind = parameter.parameter_type
        unit = kind.unit if isinstance(kind.unit, str) else " ".join(kind.unit or ())
        about: dict[str, Any] = (
            {} if self.raw and kind.encoding.__dict__.get("default_calibrator") else unit_attributes(unit)
        )
        for key, text in (("long_name", parameter.short_description), ("comment", parameter.long_description)):
            if text and text.strip():
                about[key] = " ".join(text.split())
        if self.raw and isinstance(kind, self.types.EnumeratedParameterType):
            about["flag_values"] = [value for value in kind.enumeration if not isinstance(value, bytes)]
            about["flag_meanings"] = " ".join("_".join(label.split()) for label in kind.enumeration.values())
        return about

    def decode(self, units: Units) -> list[Decoded]:
        """Return the parameters of the packets, those of different containers apart."""
        found: list[Decoded] = []
        root = self.definition.containers[self.definition.root_container_name]
        order = np.argsort(units.sizes, kind="stable")
        sizes, firsts = np.unique(units.sizes[order], return_index=True)
        groups = np.split(order, firsts[1:])
        one_by_one: list[Positions] = []
        stuck = False
        for size, members in zip(sizes.tolist(), groups, strict=True):
            if stuck or (len(groups) > _FEW and members.size < _FEW):
                one_by_one.append(members)
                continue
            rejected: Counter[str] = Counter()
            data = rows(units.octets, units.starts[members], size)
            try:
                found += self._walk(root, _Rows(data, members, 0, {}, {}), units.apid, rejected)
                units.rejected.update(rejected)
            except _NeedsLibraryError:
                stuck = True
                one_by_one.append(members)
        if one_by_one:
            members = np.sort(np.concatenate(one_by_one))
            found += by_library(self.definition, self.path, units, members, raw=self.raw)
        return found

    def _walk(self, container: Any, packets: _Rows, apid: int, rejected: Counter[str]) -> list[Decoded]:
        """Return what packets hold from the start of this container on."""
        packets = self._enter(container, packets, rejected)
        if not packets.units.size:
            return []
        chosen = [(name, self._meets(name, packets)) for name in container.inheritors]
        ways = np.zeros(packets.units.size, np.int64) + sum(mask.astype(np.int64) for _, mask in chosen)
        rejected[AMBIGUOUS.format(apid)] += int((ways > 1).sum())
        found = []
        for name, mask in chosen:
            if (mask & (ways == 1)).any():
                found += self._walk(self.definition.containers[name], packets.only(mask & (ways == 1)), apid, rejected)
        ends = packets.only(ways == 0)
        if container.abstract:
            rejected[UNKNOWN.format(apid)] += ends.units.size
        elif ends.bit != 8 * packets.data.shape[1]:
            rejected[LENGTH] += ends.units.size
        elif ends.units.size:
            found.append(Decoded(container.name, ends.units, ends.raw if self.raw else ends.derived))
        return found

    def _enter(self, container: Any, packets: _Rows, rejected: Counter[str]) -> _Rows:
        for entry in container.entry_list:
            if packets.units.size:
                enter = self._take if hasattr(entry, "parameter_type") else self._enter
                packets = enter(entry, packets, rejected)
        return packets

    def _take(self, parameter: Any, packets: _Rows, rejected: Counter[str]) -> _Rows:
        """Add the column of the parameter that comes next, and leave out packets in which it has no value."""
        field = self._field(parameter, packets)
        if field.start + field.width > 8 * packets.data.shape[1]:
            rejected[LENGTH] += packets.units.size
            return packets.only(np.zeros(packets.units.size, np.bool_))
        values = column(packets.data, field)
        kind = parameter.parameter_type
        if getattr(kind.encoding, "encoding", "") == "MILSTD_1750A":
            values = _from_mil_std(values)
        derived, good = self._derived(kind, values)
        if not good.all():
            rejected[f"{parameter.name} has a value without a meaning"] += int((~good).sum())
            packets, values, derived = packets.only(good), values[good], derived[good]
        return replace(
            packets,
            bit=field.start + field.width,
            raw={**packets.raw, parameter.name: values},
            derived={**packets.derived, parameter.name: derived},
        )

    def _field(self, parameter: Any, packets: _Rows) -> Field:
        encoding = parameter.parameter_type.encoding
        little = getattr(encoding, "byte_order", "") == "leastSignificantByteFirst"
        if isinstance(encoding, self.encodings.IntegerDataEncoding):
            kind = "uint" if encoding.encoding == "unsigned" else "int"
            field = Field(parameter.name, kind, packets.bit, encoding.size_in_bits, little)
        elif isinstance(encoding, self.encodings.FloatDataEncoding):
            kind = "uint" if encoding.encoding == "MILSTD_1750A" else "float"
            field = Field(parameter.name, kind, packets.bit, encoding.size_in_bits, little)
        elif isinstance(encoding, self.encodings.BinaryDataEncoding):
            field = Field(parameter.name, "bytes", packets.bit, _bits(encoding, packets))
        else:
            raise _NeedsLibraryError
        if getattr(encoding, "context_calibrators", None) or not suits(field):
            raise _NeedsLibraryError
        return field

    def _derived(self, kind: Any, values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return values as the definition means them, and which of them mean anything."""
        calibrator = getattr(kind.encoding, "default_calibrator", None)
        means = isinstance(kind, self.types.EnumeratedParameterType | self.types.BooleanParameterType)
        if means and (calibrator or values.ndim > 1):
            raise _NeedsLibraryError
        if isinstance(kind, self.types.EnumeratedParameterType):
            return _by_value(values, kind.enumeration.__getitem__, texts)
        good = np.ones(values.shape[0], np.bool_)
        if isinstance(kind, self.types.BooleanParameterType):
            return values.astype(np.bool_), good
        if calibrator is None:
            return values, good
        if isinstance(calibrator, self.polynomial) and all(term.exponent in {0, 1} for term in calibrator.coefficients):
            with np.errstate(all="ignore"):
                return _line(calibrator.coefficients, values.astype(np.float64)), good
        return _by_value(values, calibrator.calibrate, partial(np.array, dtype=np.float64))

    def _meets(self, name: str, packets: _Rows) -> NDArray[np.bool_]:
        """Return which packets meet the restrictions of a container."""
        met = np.ones(packets.units.size, np.bool_)
        for criterion in self.definition.containers[name].restriction_criteria:
            if not isinstance(criterion, self.comparison):
                raise _NeedsLibraryError
            columns = packets.derived if criterion.use_calibrated_value else packets.raw
            values = columns.get(criterion.referenced_parameter)
            if values is None or isinstance(values, Ragged) or values.ndim > 1:
                raise _NeedsLibraryError
            compare = getattr(operator, criterion._valid_operators[criterion.operator].strip("_"))  # noqa: SLF001
            try:
                met &= compare(*_comparable(values, criterion.required_value))
            except ValueError as error:
                raise _NeedsLibraryError from error
        return met


def _bits(encoding: Any, packets: _Rows) -> int:
    """Return the length of a binary parameter, where it is the same in all packets."""
    bits: Any = encoding.fixed_size_in_bits
    if bits is None:
        columns = packets.derived if encoding.use_calibrated_value else packets.raw
        values = columns.get(encoding.size_reference_parameter)
        if not isinstance(values, np.ndarray) or values.dtype.kind not in "iuf" or np.unique(values).size != 1:
            raise _NeedsLibraryError
        bits = values[0].item()
    if encoding.linear_adjuster is not None:
        bits = encoding.linear_adjuster(bits)
    return int(bits)


def _comparable(values: NDArray[Any], required: str) -> tuple[NDArray[Any], int | float | str]:
    if values.dtype.kind in "iub":
        return values, int(required)
    return (values.astype(np.float64), float(required)) if values.dtype.kind == "f" else (values, required)


def _line(terms: Any, values: NDArray[np.float64]) -> NDArray[np.float64]:
    total = np.zeros(values.shape)
    for term in terms:
        total += term.coefficient * values if term.exponent else term.coefficient
    return total


def _by_value(
    values: NDArray[Any], function: Callable[[Any], Any], array: Callable[[list[Any]], NDArray[Any]]
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return a function of every value, called once for each different one, and where there is one."""
    different, inverse = np.unique(values, return_inverse=True)
    results: list[Any] = []
    for value in different.tolist():
        try:
            with foreign("packets", "value"):  # calibrators raise anything outside their range
                results.append(function(value))
        except FormatError:
            results.append(None)
    known = np.array([result is not None for result in results], np.bool_)
    spare = next((result for result in results if result is not None), 0.0)
    found = array([spare if result is None else result for result in results])
    return found[inverse], known[inverse]


def _from_mil_std(words: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Return reals of MIL-STD-1750A: a mantissa of 24 bits below the point and an exponent of 8, two's complements."""
    signed = words.view(np.int32)
    reals: NDArray[np.float64] = np.ldexp((signed >> 8).astype(np.float64), (signed << 24 >> 24) - 23)
    return reals
