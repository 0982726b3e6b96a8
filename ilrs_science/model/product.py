"""The declared cube: variables, dimensions, units, flags and encoding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ilrs_science.errors import Fault
from ilrs_science.model.quality import MISSING, QUALITY_DTYPE, flag_table

type Coordinate = int | Sequence[str] | Sequence[float] | xr.DataArray | NDArray[Any]
type Place = Literal["slot", "mean"]


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
        return any(key in self.attributes for key in ("flag_values", "flag_masks", "flag_meanings"))

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


class Product:
    """What an instrument makes: the schema of its cube, declared before any file is read.

    Parameters
    ----------
    variables
        Science variables and auxiliary coordinates. The first one is the primary variable.
    place
        How samples come onto a regular axis: `slot`, each in its own slot with its exact time kept in `time_offset`;
        `mean`, the mean of the unflagged samples of a slot with its uncertainty and `count`.
    exposures
        Whether the cube has an exposure axis (frames, each with its site) rather than a regular one.
    flags
        Meanings of the instrument's own quality flags, in the order of their bits (from bit 16 up).
    quality
        Dimensions of `quality`; by default those of the primary variable.
    about
        What the product is, for people (CF `title`).
    attributes
        Further attributes of the cube.
    coordinates
        For each dimension other than time: its size, its labels or values, or a `DataArray` of values with attributes
        such as `units`.

    Raises
    ------
    ValueError
        Everything that is wrong with the declaration.
    """

    def __init__(  # noqa: PLR0913 - one call declares one product
        self,
        *variables: Variable,
        place: Place = "slot",
        exposures: bool = False,
        flags: Sequence[str] = (),
        quality: Sequence[str] | None = None,
        about: str = "",
        attributes: Mapping[str, str | float] | None = None,
        **coordinates: Coordinate,
    ) -> None:
        if not variables:
            msg = "a product has at least one variable"
            raise ValueError(msg)
        self.declared = variables
        self.place: Place = place
        self.exposures = exposures
        self.flags = flag_table(flags)
        self.quality_dims = tuple(quality) if quality is not None else variables[0].dims
        self.about = about
        self.attributes = dict(attributes or {})
        self.coordinates: dict[str, int | list[Any]] = {}
        self.coordinate_attributes: dict[str, dict[str, Any]] = {}
        for name, labels in coordinates.items():
            self.coordinates[name] = np.asarray(labels).tolist()
            self.coordinate_attributes[name] = dict(labels.attrs) if isinstance(labels, xr.DataArray) else {}
        if faults := self._faults():
            raise ValueError("; ".join(map(str, faults)))

    @property
    def sizes(self) -> Mapping[str, int]:
        """Length of every dimension other than time."""
        return MappingProxyType(
            {name: value if isinstance(value, int) else len(value) for name, value in self.coordinates.items()}
        )

    @property
    def values(self) -> tuple[Variable, ...]:
        """What steps must deliver: the declared variables, each followed by its uncertainty."""
        return tuple(
            one for v in self.declared for one in ((v, v.uncertain()) if v.uncertainty and not v.coordinate else (v,))
        )

    def stored(self, place: Place) -> tuple[Variable, ...]:
        """Return every data variable of the cube: the values, `quality`, and what placing adds."""
        quality = Variable(
            "quality", self.quality_dims, QUALITY_DTYPE, "1", "quality flags", uncertainty=False, fill=int(MISSING)
        )
        if place == "mean" and not self.exposures:
            extra = Variable("count", ("time",), "u4", "1", "samples averaged in the slot", uncertainty=False, fill=0)
        else:
            about = "time of the sample after the time of its slot"
            extra = Variable("time_offset", ("time",), "i8", "ns", about, uncertainty=False, coordinate=True, fill=0)
        return (*self.values, quality, extra)

    def shape(self, variable: Variable, count: int) -> tuple[int, ...]:
        """Return the shape of a block of `count` samples of a variable."""
        return tuple(count if name == "time" else self.sizes[name] for name in variable.dims)

    def sample_bytes(self, place: Place) -> int:
        """Return the bytes of one sample over all stored variables."""
        return sum(
            int(np.prod(self.shape(v, 1), dtype=np.int64)) * np.dtype(v.stored_dtype).itemsize
            for v in self.stored(place)
        )

    def check(self, block: xr.Dataset) -> list[Fault]:
        """Return every way in which the samples of a block do not fit, each with path, found and expected.

        Parameters
        ----------
        block
            Calibrated samples: the declared variables with their uncertainties, and `quality`, along `time`.
        """
        faults: list[Fault] = []
        for variable in self.values:
            if variable.name not in block:
                have = ", ".join(map(str, block.variables)) or "nothing"
                faults.append(Fault(variable.name, "is missing", f"the steps must deliver it; they delivered {have}"))
                continue
            faults += self._check_array(variable, block[variable.name])
        if "quality" not in block:
            faults.append(Fault("quality", "is missing", "steps may set flags, not drop them"))
        else:
            faults += _check_quality(block["quality"], self.quality_dims)
        return faults

    def as_json(self) -> dict[str, Any]:
        """Return the schema as JSON-able values, the same for equal products."""
        return {
            "variables": [asdict(v) | {"dims": list(v.dims), "attributes": dict(v.attributes)} for v in self.declared],
            "place": self.place,
            "exposures": self.exposures,
            "flags": dict(self.flags),
            "quality": list(self.quality_dims),
            "about": self.about,
            "attributes": self.attributes,
            "coordinates": dict(self.coordinates),
            "coordinate_attributes": {k: v for k, v in self.coordinate_attributes.items() if v},
        }

    def _check_array(self, variable: Variable, array: xr.DataArray) -> list[Fault]:
        name = variable.name
        faults = []
        if set(array.dims) != set(variable.dims):
            faults.append(Fault(f"{name}.dims", f"found {array.dims}", f"expected {variable.dims}"))
        else:
            sizes = {d: array.sizes[d] for d in variable.dims if d != "time"}
            expected = {d: self.sizes[d] for d in sizes}
            if sizes != expected:
                faults.append(Fault(f"{name}.sizes", f"found {sizes}", f"expected {expected}"))
        if array.dtype.newbyteorder("=") != np.dtype(variable.dtype):
            faults.append(Fault(f"{name}.dtype", f"found {array.dtype}", f"expected {np.dtype(variable.dtype)}"))
        # The attribute `units` is not compared: xarray carries it through arithmetic, right or wrong.
        return faults

    def _faults(self) -> list[Fault]:
        """Return what is wrong with the declaration itself."""
        faults = []
        names = [n for v in self.declared for n in (v.name, f"{v.name}_uncertainty")[: 1 + v.uncertainty]]
        taken = {
            "time",
            "tai",
            "time_bounds",
            "site",
            "lon",
            "lat",
            "height",
            "records",
            "quality",
            "count",
            "time_offset",
            *self.coordinates,
        }
        for name in dict.fromkeys(names):
            if names.count(name) > 1:
                faults.append(Fault(name, "declared twice", "names are unique"))
            if name in taken or not name.isidentifier():
                allowed = f"expected one word, and none of {', '.join(sorted(taken))}"
                faults.append(Fault(repr(name), "cannot name a variable", allowed))
        for v in self.declared:
            faults += self._dims_faults(v.name, v.dims)
            if not _is_number(v.dtype):
                faults.append(Fault(f"{v.name}.dtype", f"found {v.dtype!r}", "expected a float or integer type"))
        return [*faults, *self._dims_faults("quality", self.quality_dims)]

    def _dims_faults(self, name: str, dims: Any) -> list[Fault]:
        path = f"{name}.dims"
        if not isinstance(dims, tuple) or dims[:1] != ("time",):
            return [Fault(path, f"found {dims!r}", "expected a tuple of names, time first")]
        return [
            Fault(path, f"{one!r} has no size", f"give Product({one}=...)")
            for one in dims[1:]
            if one not in self.coordinates
        ]


def _is_number(dtype: str) -> bool:
    try:
        return np.dtype(dtype).kind in "fiu"
    except TypeError:
        return False


def _check_quality(quality: xr.DataArray, dims: tuple[str, ...]) -> list[Fault]:
    faults = []
    if "time" not in quality.dims or not set(quality.dims) <= set(dims):
        faults.append(Fault("quality.dims", f"found {quality.dims}", f"expected {dims} or fewer"))
    if quality.dtype != np.dtype(QUALITY_DTYPE):
        faults.append(Fault("quality.dtype", f"found {quality.dtype}", f"expected {np.dtype(QUALITY_DTYPE)}"))
    return faults
