"""The declared cube: variables, dimensions, units, flags and how samples come onto its axis."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ilrs_science.errors import Fault
from ilrs_science.model.declaring import declaration_faults, dims_faults
from ilrs_science.model.quality import MISSING, QUALITY_DTYPE, REJECTED, flag_table
from ilrs_science.model.variable import Variable

type Coordinate = int | Sequence[str] | Sequence[float] | xr.DataArray | NDArray[Any]
type Place = Literal["slot", "mean", "sum", "histogram", "table"]
type Overlap = Literal["refuse", "first", "latest"]

UNTIL_NEXT = "until next"
"""How long a reference is valid that ends when the next one begins."""


_ROWS = Variable(
    "rows",
    ("time",),
    "u4",
    "1",
    "rows of the table that lie in the slot",
    uncertainty=False,
    fill=0,
    attributes={"cell_methods": "time: sum"},
)


class Product:
    """What an instrument makes: the schema of its cube, declared before any file is read.

    Parameters
    ----------
    variables
        Science variables and auxiliary coordinates. The first one is the primary variable. A histogram has none of its
        own: the engine makes `counts`, `ontime` and `exposure`.
    place
        How samples come onto a regular axis: `slot`, each in its own slot with its exact time kept in `time_offset`;
        `mean` or `sum` of the unflagged samples of a slot, with its uncertainty, `count` and `count_left_out`;
        `histogram`, the number of events in each bin, with the time in which the instrument was good. A variable may
        have a place of its own. Or `table`: what the steps deliver are rows, any number of them at any time, stored as
        Parquet beside the cube, which has the number of rows of each slot.
    bins
        For each dimension that samples are sorted into: what the steps deliver along `time` as their bin, an integer
        from 0. Such a dimension comes right after `time`; samples themselves do not have it.
    coordinates
        For each dimension other than time: its size, its labels or values, or a `DataArray` of values with attributes
        such as `units`. Numbers for a dimension of `bins` are the edges of its bins, one more than there are bins.
    exposures
        Whether the cube has an exposure axis (frames, each with its site) rather than a regular one.
    flags
        Meanings of the instrument's own quality flags, in the order of their bits (from bit 16 up).
    quality
        Dimensions of `quality`; by default those of the primary variable, and of a histogram those of `exposure`.
    good
        Of a histogram: the dimensions of `bins` that its good intervals have as columns (a module, say). `ontime`,
        `exposure` and `quality` have them too.
    overlap
        Of a histogram: what happens where good intervals of two granules overlap. `refuse` fails the part by name;
        `first` or `latest` keeps those of the granule that starts first or last, and counts the events of the other
        ones there as duplicates.
    weight
        Of a histogram: what the steps deliver along `time` as the weight of each event. `counts` is the sum of weights
        then, and `counts_variance` the sum of their squares.
    reference
        Where a cell of the cube is a reference: of which kind, the name of the step parameter that takes it. `ilrs
        references add` puts it where pipelines find it.
    of
        Of a reference: the instruments that it is for.
    valid
        Of a reference: how long it is valid from the time of its cell on, a duration, or `until next`.
    about
        What the product is, for people (CF `title`).
    attributes
        Further attributes of the cube.

    Raises
    ------
    ValueError
        Everything that is wrong with the declaration.
    """

    def __init__(  # noqa: PLR0913 - one call declares one product
        self,
        *variables: Variable,
        place: Place = "slot",
        bins: Mapping[str, str] | None = None,
        coordinates: Mapping[str, Coordinate] | None = None,
        exposures: bool = False,
        flags: Sequence[str] = (),
        quality: Sequence[str] | None = None,
        good: Sequence[str] = (),
        overlap: Overlap = "refuse",
        weight: str = "",
        reference: str = "",
        of: Sequence[str] = (),
        valid: str = UNTIL_NEXT,
        about: str = "",
        attributes: Mapping[str, str | float] | None = None,
    ) -> None:
        self.place: Place = place
        self.bins = dict(bins or {})
        self.exposures = exposures
        self.good = tuple(good)
        self.overlap: Overlap = overlap
        self.weight = weight
        self.reference = reference
        self.of = tuple(of)
        self.valid = valid
        self.flags = flag_table(flags)
        self.about = about
        self.attributes = dict(attributes or {})
        self.coordinates: dict[str, int | list[Any]] = {}
        self.coordinate_attributes: dict[str, dict[str, Any]] = {}
        self.edges: dict[str, list[float]] = {}
        for name, labels in (coordinates or {}).items():
            self._take_coordinate(name, labels)
        self.declared = variables
        if faults := list(declaration_faults(self)):
            raise ValueError("; ".join(map(str, faults)))
        default = ("time", *self.good) if self.counts_events else variables[0].dims[: 1 if self.is_table else None]
        self.quality_dims = tuple(quality) if quality is not None else default
        if faults := list(dims_faults(self, "quality", self.quality_dims)):
            raise ValueError("; ".join(map(str, faults)))

    @property
    def counts_events(self) -> bool:
        """Whether a sample is an event to be counted, and the file says when the instrument was good."""
        return self.place == "histogram"

    @property
    def is_table(self) -> bool:
        """Whether a sample is a row of a table, and not the value of a cell."""
        return self.place == "table"

    @property
    def sizes(self) -> Mapping[str, int]:
        """Length of every dimension other than time."""
        return MappingProxyType(
            {name: value if isinstance(value, int) else len(value) for name, value in self.coordinates.items()}
        )

    @property
    def values(self) -> tuple[Variable, ...]:
        """What steps must deliver: the declared variables, each followed by its uncertainty."""
        return tuple(one for v in self.declared for one in ((v, v.uncertain()) if v.has_uncertainty else (v,)))

    @property
    def columns(self) -> tuple[str, ...]:
        """What steps must deliver along `time` beside the variables: bins and weights."""
        weights = (self.weight, *(v.weight for v in self.declared))
        return tuple(dict.fromkeys((*self.bins.values(), *filter(None, weights))))

    def place_of(self, variable: Variable, place: Place) -> str:
        """Return how the samples of a cell make the value of a variable, in a cube of this place."""
        return "slot" if self.exposures else variable.place_in(place)

    def stored(self, place: Place) -> tuple[Variable, ...]:
        """Return every data variable of the cube: the values, `quality`, and what placing adds."""
        quality = Variable(
            "quality", self.quality_dims, QUALITY_DTYPE, "1", "quality flags", uncertainty=False, fill=int(MISSING)
        )
        if self.counts_events:
            return (*self._counted(), quality)
        if self.is_table:
            return (_ROWS, quality)
        places = {self.place_of(v, place) for v in self.declared}
        added: list[Variable] = []
        if places & {"mean", "sum"}:
            used, left = "samples without a flag in the cell", "samples left out of the cell for a flag of their value"
            added.append(Variable("count", self.quality_dims, "u4", "1", used, uncertainty=False, fill=0))
            added.append(Variable("count_left_out", self.quality_dims, "u4", "1", left, uncertainty=False, fill=0))
        if "slot" in places:
            about = "time of the sample after the time of its slot"
            offset = Variable("time_offset", ("time",), "i8", "ns", about, uncertainty=False, coordinate=True, fill=0)
            added.append(offset)
        return (*self.values, quality, *added)

    def shape(self, variable: Variable, count: int) -> tuple[int, ...]:
        """Return the shape of a block of `count` slots of a variable."""
        return tuple(count if name == "time" else self.sizes[name] for name in variable.dims)

    def sample_dims(self, dims: Sequence[str]) -> tuple[str, ...]:
        """Return which of the dimensions of a stored variable its samples have: bins are where they come to lie."""
        return tuple(name for name in dims if name not in self.bins)

    def sample_bytes(self, place: Place) -> int:
        """Return the bytes of one slot over all stored variables."""
        return sum(
            int(np.prod(self.shape(v, 1), dtype=np.int64)) * np.dtype(v.stored_dtype).itemsize
            for v in self.stored(place)
        )

    def check(self, block: xr.Dataset) -> list[Fault]:
        """Return every way in which the samples of a block do not fit, each with path, found and expected.

        Parameters
        ----------
        block
            Calibrated samples: the declared variables with their uncertainties, bins and weights, and `quality`, along
            `time`.
        """
        faults: list[Fault] = []
        for name in (*(one.name for one in self.values), *self.columns):
            if name not in block.variables:
                have = ", ".join(map(str, block.variables)) or "nothing"
                faults.append(Fault(name, "is missing", f"the steps must deliver it; they delivered {have}"))
        for variable in self.values:
            if variable.name in block:
                faults += self._check_array(variable, block[variable.name])
        left = block[REJECTED].values == 0 if REJECTED in block.coords else slice(None)
        for name in self.columns:
            faults += self._check_column(name, block[name], left) if name in block else []
        if "quality" not in block:
            faults.append(Fault("quality", "is missing", "steps may set flags, not drop them"))
        else:
            faults += _check_quality(block["quality"], self.sample_dims(self.quality_dims))
        return faults

    def as_json(self) -> dict[str, Any]:
        """Return the schema as JSON-able values, the same for equal products."""
        return {
            "variables": [v.as_json() for v in self.declared],
            "place": self.place,
            "bins": self.bins,
            "good": list(self.good),
            "overlap": self.overlap,
            "weight": self.weight,
            "exposures": self.exposures,
            "flags": dict(self.flags),
            "quality": list(self.quality_dims),
            "about": self.about,
            "attributes": self.attributes,
            "coordinates": dict(self.coordinates),
            "edges": self.edges,
            "coordinate_attributes": {k: v for k, v in self.coordinate_attributes.items() if v},
            **self._reference_as_json(),
        }

    def _reference_as_json(self) -> dict[str, Any]:
        return {"reference": self.reference, "of": list(self.of), "valid": self.valid} if self.reference else {}

    def _take_coordinate(self, name: str, labels: Coordinate) -> None:
        values = np.asarray(labels).tolist()
        if name in self.bins and isinstance(values, list) and not any(isinstance(one, str) for one in values):
            self.edges[name] = list(map(float, values))
            values = [(low + high) / 2 for low, high in zip(self.edges[name], self.edges[name][1:], strict=False)]
        self.coordinates[name] = values
        self.coordinate_attributes[name] = dict(labels.attrs) if isinstance(labels, xr.DataArray) else {}

    def _counted(self) -> tuple[Variable, ...]:
        """Return what the engine makes of events."""
        cells, live = ("time", *self.bins), ("time", *self.good)
        dtype, how = ("f8", "sum of the weights of") if self.weight else ("u4", "number of")
        poisson = (
            {"cell_methods": "time: sum"} if self.weight else {"cell_methods": "time: sum", "distribution": "Poisson"}
        )
        made = [
            Variable("counts", cells, dtype, "count", f"{how} events", uncertainty=False, fill=0, attributes=poisson)
        ]
        if self.weight:
            about = "variance of counts: the sum of the squares of the weights"
            made.append(Variable("counts_variance", cells, "f8", "count2", about, uncertainty=False, fill=0))
        for name, about in (("ontime", "time in good intervals"), ("exposure", "live time in good intervals")):
            made.append(
                Variable(
                    name, live, "f8", "s", about, uncertainty=False, fill=0, attributes={"cell_methods": "time: sum"}
                )
            )
        return tuple(made)

    def _check_array(self, variable: Variable, array: xr.DataArray) -> list[Fault]:
        name, dims = variable.name, self.sample_dims(variable.dims)
        faults = []
        if set(array.dims) != set(dims):
            faults.append(Fault(f"{name}.dims", f"found {array.dims}", f"expected {dims}"))
        else:
            sizes = {d: array.sizes[d] for d in dims if d != "time"}
            expected = {d: self.sizes[d] for d in sizes}
            if sizes != expected:
                faults.append(Fault(f"{name}.sizes", f"found {sizes}", f"expected {expected}"))
        if variable.categories and array.dtype.kind in "UOT":
            faults += _check_words(variable, array)
        elif array.dtype.newbyteorder("=") != np.dtype(variable.dtype):
            faults.append(Fault(f"{name}.dtype", f"found {array.dtype}", f"expected {np.dtype(variable.dtype)}"))
        # The attribute `units` is not compared: xarray carries it through arithmetic, right or wrong.
        return faults

    def _check_column(self, name: str, array: xr.DataArray, left: Any) -> Iterator[Fault]:
        """Yield what is wrong with bins or weights; of weights those of samples that no step rejects."""
        if array.dims != ("time",):
            yield Fault(f"{name}.dims", f"found {array.dims}", "expected ('time',)")
        elif name in self.bins.values():
            if array.dtype.kind not in "iu":
                yield Fault(f"{name}.dtype", f"found {array.dtype}", "a bin is an integer; -1, say, for none")
        elif array.dtype.kind not in "fiu":
            yield Fault(f"{name}.dtype", f"found {array.dtype}", "a weight is a number")
        elif not bool((np.isfinite(array.values) & (array.values >= 0))[left].all()):
            yield Fault(name, "is negative or no number somewhere", "a weight is zero or more")


def _check_words(variable: Variable, array: xr.DataArray) -> list[Fault]:
    strange = sorted({str(one) for one in np.unique(array.values.astype("U"))} - set(variable.categories))
    allowed = f"expected one of {', '.join(variable.categories)}"
    return [Fault(variable.name, f"found {strange[:5]}", allowed)] if strange else []


def _check_quality(quality: xr.DataArray, dims: tuple[str, ...]) -> list[Fault]:
    faults = []
    if "time" not in quality.dims or not set(quality.dims) <= set(dims):
        faults.append(Fault("quality.dims", f"found {quality.dims}", f"expected {dims} or fewer"))
    if quality.dtype != np.dtype(QUALITY_DTYPE):
        faults.append(Fault("quality.dtype", f"found {quality.dtype}", f"expected {np.dtype(QUALITY_DTYPE)}"))
    return faults
