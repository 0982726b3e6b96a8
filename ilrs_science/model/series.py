"""Another quantity in time that a step asks for: housekeeping, an attitude, the cube of another instrument."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import FunctionType
from typing import Any

import numpy as np
import xarray as xr

from ilrs_science.errors import SeriesError
from ilrs_science.model.axis import Times
from ilrs_science.model.duration import Duration
from ilrs_science.model.granule import Granule
from ilrs_science.model.interpolation import Mask, Method, Values, interpolated

EVERYWHERE = "*"
"""Site of a file of a series that names none: it is for all of them."""


@dataclass(frozen=True)
class Series:
    """Another quantity in time that steps ask for, `def gain(ds, *, temperature: Series)`, and get with its samples.

    An instrument declares where it comes from: files of its own, found beside the raw files, or the cube of another
    instrument. `temperature.at(ds)` is its value at the times of samples; those whose time is further from what is
    known of it than `limit` get NaN, and the flag `no_reference`. Samples of the series that are flagged are left out.
    """

    read: Callable[[Granule], xr.Dataset] | None = None
    """Samples of one of its files, as `read` of an instrument gives them. A variable with the attribute `period` (such
    as 360) is an angle, one with the attribute `normalised` a `vector` of length 1 or a `quaternion` along its last
    dimension."""
    files: str = ""
    """Glob of the names of its files. They are looked for in the folders of the raw files, or where the pipeline says
    with `inputs`. One that names no site is for the sites of the raw files in its folder; of several, for all."""
    limit: str = ""
    """The longest gap between two samples across which there is a value, and the furthest that one sample reaches."""
    reads: str = ""
    """Instead of `read` and `files`: the instrument whose cube it is; the pipeline says which cube, with `inputs`."""
    attributes: Mapping[str, Mapping[str, str | float]] = field(default_factory=dict, hash=False)
    """What its variables have to say of themselves, such as `{"plate": {"units": "degC"}}`: a file or a cube that says
    something else is rejected by name."""
    name: str = ""
    """Filled in by the engine."""
    samples: xr.Dataset | None = field(default=None, compare=False, repr=False)
    """The samples near a part of the cube, in order of time; filled in by the engine."""
    _asked: list[tuple[Times, Mask]] = field(default_factory=list, compare=False, repr=False)

    def __post_init__(self) -> None:
        if problem := self._problem():
            raise ValueError(f"Series: {problem}")

    def at(self, ds: xr.Dataset, variable: str = "", *, method: Method | None = None) -> xr.DataArray:
        """Return a variable of it at the times of samples, along `time`.

        Parameters
        ----------
        ds
            Samples with `tai`, as the engine hands them to a step.
        variable
            Its name; by default that of the series, or the only one.
        method
            `linear`; `slerp`, along the shorter arc, for angles, directions and quaternions; `nearest`, or `previous`.
            By default linear for numbers, slerp for what lies on a circle or a sphere, previous for integers, labels
            and words.

        Raises
        ------
        SeriesError
            There is no such variable, or the method is not for its kind: linear on an angle, say.
        """
        times = ds["tai"].values.astype(np.int64)
        found = self._variable(variable)
        wanted = method or found.method
        if problem := found.problem(wanted):
            raise SeriesError(f"{self.name} at samples: {variable or found.name} {problem}")
        values, known = interpolated(found, times, wanted, self.reach)
        self._asked.append((times, known))
        attributes = {key: one for key, one in found.attributes.items() if key != "_FillValue"}
        return xr.DataArray(values, dims=("time", *found.dims), coords=found.labels, attrs=attributes)

    @property
    def reach(self) -> int:
        """The limit, ns."""
        return int(Duration(self.limit))

    def unknown(self, times: Times) -> Mask:
        """Tell for which samples a value was asked for that there was not; of some of them, or at other times, too.

        Parameters
        ----------
        times
            Of all samples that the step was given, TAI ns.
        """
        found = np.zeros(len(times), bool)
        for asked, known in self._asked:
            # As many times are those of the samples, shifted perhaps; fewer are some of them.
            found |= ~known if len(asked) == len(times) else np.isin(times, asked[~known])
        return found

    def for_call(self) -> Series:
        """Return it for one call of a step, which has not asked for anything yet."""
        return replace(self, _asked=[])

    # What an index and a reader of raw data have to know of it, as of an instrument.

    @property
    def index(self) -> Callable[[Granule], Iterable[Granule]] | None:
        """Nothing: its files are read once to know what is in them."""
        return None

    @property
    def beside(self) -> Mapping[str, str]:
        """Nothing lies beside its files."""
        return {}

    @property
    def where(self) -> Mapping[str, str]:
        """It takes whatever is named like one of its files."""
        return {}

    @property
    def events(self) -> None:
        """Its samples are values, not events."""
        return

    @property
    def exposures(self) -> bool:
        """Its samples are not on the axis."""
        return False

    @property
    def flags(self) -> None:
        """The flags of a cube stay as they are: flagged samples are left out."""
        return

    @property
    def default_site(self) -> str:
        """Site of a file that names none."""
        return EVERYWHERE

    def _variable(self, name: str) -> Values:
        if self.samples is None:
            raise SeriesError(f"series {self.name} is not loaded")
        names = [str(one) for one in self.samples.data_vars if one != "quality"]
        own = self.name.rpartition(":")[2]
        chosen = name or (own if own in names or len(names) != 1 else names[0])
        if chosen not in names:
            asked = f"no variable {chosen!r}" if name else f"several variables and none called {own!r}"
            raise SeriesError(f"series {own} has {asked}: at(ds, {name or 'NAME'!r}); it has {', '.join(names)}")
        return Values.of(self.samples, chosen)

    def _problem(self) -> str:
        if self.reads and (self.read or self.files):
            return f"it is a cube of {self.reads}; read and files belong to files"
        if not self.reads and not (self.files and isinstance(self.read, FunctionType)):
            return f"found read {self.read!r} and files {self.files!r}; expected a function and a glob, or reads="
        try:
            return "" if Duration(self.limit) else "found a limit of 0 s; expected a longer one"
        except (ValueError, TypeError) as error:
            return f"limit: {error}"


def attribute_problem(expected: Mapping[str, Mapping[str, str | float]], found: Mapping[str, Mapping[str, Any]]) -> str:
    """Return what variables have to say of themselves and do not, or an empty text.

    Parameters
    ----------
    found
        Attributes of the variables that there are.
    """
    for name, attributes in expected.items():
        if name not in found:
            return f"there is no {name}; it has {', '.join(found) or 'nothing'}"
        for key, wanted in attributes.items():
            said = found[name].get(key)
            if said != wanted:
                return f"{name} says {key} {said!r}; expected {wanted!r}"
    return ""
