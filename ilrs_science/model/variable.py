"""One variable of a declared cube: what it is, and how samples make the value of a cell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from ilrs_science.errors import Fault

type VariablePlace = Literal["slot", "mean", "sum", "first", "any"]
"""How the samples of a cell make its value."""


@dataclass(frozen=True)
class Encoding:
    """How the chunks of a variable are compressed (Blosc)."""

    codec: str = "lz4"
    level: int = 5
    shuffle: Literal["bitshuffle", "shuffle", "noshuffle"] = "shuffle"


# Measured on calibrated frames: values want bitshuffle, smooth or constant arrays want byte shuffle.
VALUES = Encoding(shuffle="bitshuffle")
SMOOTH = Encoding(shuffle="shuffle")

_LONGEST = 8  # bytes of the longest integer


@dataclass(frozen=True)
class Variable:
    """One variable of a product."""

    name: str
    """Name in the cube."""
    dims: tuple[str, ...]
    """Dimensions of a block, `time` first; a regular cube puts `site` before them."""
    dtype: str
    """NumPy dtype, such as `f4`."""
    units: str
    """Units that astropy and udunits both parse; `1` for a pure number."""
    about: str = ""
    """What it is, for people (CF `long_name`)."""
    standard_name: str = ""
    """CF standard name, where one exists."""
    uncertainty: bool = True
    """Whether `<name>_uncertainty` (1 sigma, random part, same units) goes with it."""
    coordinate: bool = False
    """Whether it is an auxiliary coordinate (a position, say); such a variable carries no uncertainty."""
    fill: int | None = None
    """Value of a cell that no sample reached; by default NaN, or a number that no value of the type can be."""
    encoding: Encoding | None = None
    """Compression; by default the one that suits its kind."""
    attributes: Mapping[str, str | float] = field(default_factory=dict)
    """Further CF or ISTP attributes."""
    place: VariablePlace | None = None
    """How the samples of a cell make its value: the earliest one (`slot`), their `mean` or `sum`, the earliest one
    without a flag or else the earliest (`first`), all bits that any of them has (`any`). By default as the product
    says; but labels, which nobody may average, are `first` where others are mean or sum."""
    weight: str = ""
    """Of a mean: what the steps deliver along `time` as the weight of each sample, its live time for example."""
    period: float | None = None
    """Of a mean: what full circle is, such as 360, so that the mean of 359 and 1 is 0."""
    normalised: Literal["", "vector", "quaternion"] = ""
    """Of a mean: whether the numbers along the last dimension have the length 1, as those of the mean then have;
    a quaternion and its negative are the same."""
    categories: tuple[str, ...] = ()
    """The words that it may be: steps deliver them, or their numbers from 0; the cube has the numbers, and the words
    as CF's `flag_meanings`."""

    @property
    def stored_dtype(self) -> str:
        """NumPy dtype in the cube.

        An integer of up to four bytes without a declared `fill` is stored in twice as many: each value that it can have
        may be measured (65535 is what a saturated converter of 16 bits gives), so none is free to say that nothing was.
        """
        dtype = np.dtype(self.dtype)
        wider = dtype.kind in "iu" and self.fill is None and dtype.itemsize < _LONGEST
        return f"{dtype.kind}{2 * dtype.itemsize}" if wider else self.dtype

    @property
    def empty(self) -> float | int:
        """Value of a cell that no sample reached: NaN, or the largest number of its type that float64 holds too."""
        if self.fill is not None:
            return self.fill
        dtype = np.dtype(self.stored_dtype)
        if dtype.kind == "f":
            return float("nan")
        # Analysts get floating point, with NaN for such a cell, and may write that elsewhere with this attribute: a
        # number that float64 does not hold would come out as another one.
        largest = int(np.iinfo(dtype).max)
        return largest if int(float(largest)) == largest else int(np.nextafter(float(largest), 0.0))

    @property
    def is_label(self) -> bool:
        """Whether its numbers are names (a mode, a range), by CF's attributes: nobody may average them."""
        return bool(self.categories) or any(
            key in self.attributes for key in ("flag_values", "flag_masks", "flag_meanings")
        )

    @property
    def has_uncertainty(self) -> bool:
        """Whether `<name>_uncertainty` goes with it: labels and auxiliary coordinates have none."""
        return self.uncertainty and not self.coordinate and not self.is_label

    def place_in(self, place: str) -> VariablePlace:
        """Return how its samples make the value of a cell, in a cube of this place."""
        if self.place is not None:
            return self.place
        if place == "slot":
            return "slot"
        if self.is_label:
            return "first"
        # Positions, angles and directions have no sum.
        summable = not (self.coordinate or self.period is not None or self.normalised)
        return "sum" if place == "sum" and summable else "mean"

    def uncertain(self) -> Variable:
        """Return the variable that carries the uncertainty of this one."""
        return Variable(
            f"{self.name}_uncertainty",
            self.dims,
            self.dtype if np.dtype(self.dtype).kind == "f" else "f4",
            self.units,
            about=f"1 sigma random uncertainty of {self.about or self.name}",
            uncertainty=False,
            encoding=SMOOTH,
        )

    def as_json(self) -> dict[str, Any]:
        """Return what it declares as JSON-able values, the same for equal variables."""
        values = asdict(self) | {"dims": list(self.dims), "attributes": dict(self.attributes)}
        return values | {"uncertainty": self.has_uncertainty, "categories": list(self.categories)}

    def faults(self) -> Iterator[Fault]:
        """Yield what of its declaration contradicts itself."""
        kind = np.dtype(self.dtype).kind
        if self.categories and (kind not in "iu" or len(self.categories) > np.iinfo(self.dtype).max):
            yield Fault(
                f"{self.name}.dtype", f"found {self.dtype!r}", "categories are stored as integers that count them"
            )
        if len(set(self.categories)) < len(self.categories) or not all(map(_is_word, self.categories)):
            yield Fault(f"{self.name}.categories", f"found {self.categories}", "expected words, each once")
        if self.place == "any" and kind not in "iu":
            yield Fault(f"{self.name}.place", "found 'any'", f"the bits of integers; it is {self.dtype}")
        if self.place in ("mean", "sum") and self.is_label:
            yield Fault(f"{self.name}.place", f"found {self.place!r}", "a label is never averaged: first, any or slot")
        if self.place not in (None, "mean") and (of_mean := self._of_means()):
            yield Fault(f"{self.name}.place", f"found {self.place!r}", f"{' and '.join(of_mean)} belong to a mean")
        yield from self._mean_faults(kind)

    def _of_means(self) -> list[str]:
        said = {"weight": self.weight, "period": self.period is not None, "normalised": self.normalised}
        return [name for name, given in said.items() if given]

    def _mean_faults(self, kind: str) -> Iterator[Fault]:
        if self.period is not None and (kind != "f" or not 0 < self.period < float("inf")):
            yield Fault(f"{self.name}.period", f"found {self.period}", "expected a positive number, of a floating type")
        if self.normalised and (kind != "f" or len(self.dims) < 2 or self.period is not None):  # noqa: PLR2004
            allowed = "expected components along the last dimension, of a floating type"
            yield Fault(f"{self.name}.normalised", f"found {self.normalised!r}", allowed)


def _is_word(text: str) -> bool:
    return bool(text) and not any(letter.isspace() for letter in text)
