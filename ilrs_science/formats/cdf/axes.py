"""What the dimensions of CDF variables are called, by the attributes of ISTP and of the Cluster archive."""

from __future__ import annotations

from collections.abc import Mapping

from ilrs_science.formats.cdf.file import CdfVariable

_LABELS = ("LABL_PTR", "REPRESENTATION", "LABEL")


class Axes:
    """Names of dimensions, and the variables that lie along them.

    A variable of one dimension and no records that others name in DEPEND_1, DEPEND_2 and so on, and is as long as they
    are there, is a dimension. So is one with labels (LABL_PTR_1, and REPRESENTATION_1 or LABEL_1 of the Cluster
    archive) where nothing else is; else the labels lie along what is.
    """

    def __init__(self, variables: Mapping[str, CdfVariable]) -> None:
        self._variables = variables
        steps = [(one, axis) for one in variables.values() for axis in range(1, len(one.sizes) + 1)]
        self._dimensions = {names[0] for one, axis in steps if (names := self._named(one, axis, ("DEPEND",)))}
        depending = set(self._dimensions)
        self._dimensions |= {
            names[0]
            for one, axis in steps
            if one.name not in depending
            and not self._named(one, axis, ("DEPEND",))
            and (names := self._named(one, axis, _LABELS))
        }
        self._along: dict[str, str] = {}
        for one, axis in steps:
            for name in self._named(one, axis, ("DEPEND", *_LABELS)):
                self._along.setdefault(name, self._called(one, axis))

    def of(self, variable: CdfVariable) -> tuple[str, ...]:
        """Return the names of the dimensions of a record."""
        names: list[str] = []
        for axis in range(1, len(variable.sizes) + 1):
            name = self._called(variable, axis)
            names.append(called(name if name not in names else self._own(variable, axis)))
        return tuple(names)

    def beside(self, variable: CdfVariable) -> set[str]:
        """Return the names of the variables that are coordinates of it."""
        axes = range(1, len(variable.sizes) + 1)
        found = {name for axis in axes for name in self._named(variable, axis, ("DEPEND", *_LABELS))}
        tables = {table.name for axis in axes if (table := self._table(variable, axis))}
        return found | tables | {label for name in found for label in self._named(self._variables[name], 1, _LABELS)}

    def _named(self, variable: CdfVariable, axis: int, kinds: tuple[str, ...]) -> list[str]:
        """Return the variables that its attributes name for an axis and that fit."""
        names = [str(variable.attributes.get(f"{kind}_{axis}", "")).strip() for kind in kinds]
        others = [self._variables[name] for name in names if name in self._variables and name != variable.name]
        size = variable.sizes[axis - 1 : axis]
        return [one.name for one in others if one.sizes == size and not one.varies and one.records]

    def _table(self, variable: CdfVariable, axis: int) -> CdfVariable | None:
        """Return what holds the values along an axis for each time."""
        table = self._variables.get(str(variable.attributes.get(f"DEPEND_{axis}", "")).strip())
        fits = table is not None and table.varies and table.sizes == variable.sizes[axis - 1 : axis]
        return table if fits and table is not variable else None

    def _called(self, variable: CdfVariable, axis: int) -> str:
        if variable.name in self._dimensions:
            return variable.name
        if names := self._named(variable, axis, ("DEPEND", *_LABELS)):
            return names[0]
        if variable.name in self._along:
            return self._along[variable.name]
        table = self._table(variable, axis)
        return self._own(table, 1) if table else self._own(variable, axis)

    def _own(self, variable: CdfVariable, axis: int) -> str:
        name = f"{variable.name}_{axis}"
        while name in self._variables:
            name += "_"
        return name


def called(name: str) -> str:
    """Return what a variable is called in a dataset: as it is, where xarray has no other use for such a name."""
    return "native_time" if name == "time" else name.replace("/", "_")
