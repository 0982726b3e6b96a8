"""Rows of a table, as a part hands them to the store: columns in order, and the slot that each row lies in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

KEY = ("site", "tai", "granule", "position", "index")
"""Columns that together tell each row of a table from all others, and by which it is sorted."""
OWN = ("site", "time", "tai", "granule", "position", "index", "quality")
"""Columns that the engine makes; the variables of the product come after them."""


@dataclass(frozen=True)
class Rows:
    """Rows of one site, sorted."""

    slots: NDArray[np.int64]
    """Of each row, from the first slot of the part."""
    columns: Mapping[str, NDArray[Any]]
    """By name, of one length along their first dimension."""
    words: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Of columns of few different words: these in order, for the column has their numbers."""

    def between(self, first: int, last: int) -> Rows:
        """Return the rows of the slots [first, last)."""
        here = slice(*np.searchsorted(self.slots, [first, last]).tolist())
        return Rows(self.slots[here], {name: one[here] for name, one in self.columns.items()}, self.words)
