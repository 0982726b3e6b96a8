"""What netCDF files of every kind hold: groups of variables along named dimensions, with values read when asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass
class NetcdfVariable:
    """A variable as it is in the file."""

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    attributes: dict[str, Any]
    load: Callable[[], NDArray[Any]]
    """Returns its values, of `dtype` and in the byte order of this machine."""


@dataclass
class NetcdfGroup:
    """A group as it is in the file."""

    attributes: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, NetcdfVariable] = field(default_factory=dict)
    groups: dict[str, NetcdfGroup] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    """Why something in it is left out, by name."""
    above: dict[str, NetcdfVariable] = field(default_factory=dict)
    """Coordinates of the groups that it is in."""
