"""Arrays of PDS4: images, cubes, spectra, of any number of axes."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ilrs_science.errors import FormatError
from ilrs_science.formats.pds4.field import SAMPLES, attributes
from ilrs_science.formats.pds4.file import Structure
from ilrs_science.formats.pds4.label import Label, text, whole
from ilrs_science.formats.pds4.order import Orders, told
from ilrs_science.formats.pds4.values import constants_of, native, physical

_AXES = 16


def read_array(label: Label, structure: Structure) -> tuple[tuple[str, ...], NDArray[Any], dict[str, Any]]:
    """Return the names of the axes, the values and the attributes of an array.

    Axes are in the order of their sequence numbers, whichever index is the fastest in the file.

    Raises
    ------
    FormatError
        Its axes or its type are none, or the file is too short for it.
    """
    sample, names, sizes = _shape(label, structure)
    needed, room = prod(sizes) * sample.itemsize, structure.end - structure.offset
    if needed > room:
        raise FormatError(
            f"{structure.data}: {structure.name}: {sizes} samples of {sample.itemsize} bytes from byte"
            f" {structure.offset}, where there are {room} bytes"
        )
    if needed < room and structure.last:
        label.repaired.append(f"{structure.name}: {room - needed} bytes follow the array, and are not read")
    values: NDArray[Any] = np.fromfile(structure.data, sample, prod(sizes), offset=structure.offset)
    if values.size != prod(sizes):
        raise FormatError(f"{structure.data}: {structure.name}: ends after {values.size} samples of {sizes}")
    element = structure.element.find("Element_Array")
    if sample.kind in "fc" and values.size:
        orders = Orders(values, constants_of(structure.element))
        if orders.absurd:
            values = values.view(sample.newbyteorder())
            label.repaired.append(told(structure.name, text(structure.element, "Element_Array/data_type"), orders))
    if text(structure.element, "axis_index_order").lower().startswith("first"):
        values = values.reshape(sizes[::-1]).T
    else:
        values = values.reshape(sizes)
    constants = constants_of(structure.element)
    found, named = physical(label, native(values), structure.element if element is None else element, constants)
    about = attributes(structure.element if element is None else element)
    description = text(structure.element, "description")
    return names, found, {**about, **({"description": description} if description else {}), **named}


def _shape(label: Label, structure: Structure) -> tuple[np.dtype[Any], tuple[str, ...], tuple[int, ...]]:
    """Return the type, and names and lengths of the axes."""
    kind = text(structure.element, "Element_Array/data_type")
    if kind not in SAMPLES:
        raise FormatError(f"{label.path}: {structure.name}: samples of data_type {kind[:60]!r}, none of PDS4")
    axes = structure.element.findall("Axis_Array")
    declared = whole(label, structure.element, "axes", len(axes))
    if not 1 <= len(axes) <= _AXES:
        raise FormatError(f"{label.path}: {structure.name}: {len(axes)} axes; 1 to {_AXES} are read")
    if declared != len(axes):
        label.repaired.append(f"{structure.name}: axes {declared}: there are {len(axes)}")
    axes.sort(key=lambda axis: whole(label, axis, "sequence_number", 0))
    names: list[str] = []
    for number, axis in enumerate(axes, 1):
        name = text(axis, "axis_name") or f"axis_{number}"
        names.append(f"{name}_{number}" if name in names or name == structure.name else name)
    sizes = tuple(whole(label, axis, "elements") for axis in axes)
    if len(set(names)) != len(names) or min(sizes) < 1:
        raise FormatError(f"{label.path}: {structure.name}: axes {names} of {sizes} samples")
    return SAMPLES[kind], tuple(names), sizes
