"""Raw formats of partners' packages: entry points of the group `ilrs_science.formats`, each named as its format is."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points

from ilrs_science.errors import FormatError
from ilrs_science.formats.format import Format

GROUP = "ilrs_science.formats"


class Formats(Mapping[str, Format]):
    """Every raw format by its name: our own, then those that installed packages add.

    A partner's that cannot be used is left out; who asks for it by name gets the reason.
    """

    def __init__(self, own: dict[str, Format]) -> None:
        self.own = own

    def __getitem__(self, name: str) -> Format:
        found = self.own.get(name) or self._partners.get(name)
        if isinstance(found, Format):
            return found
        raise KeyError(found or name)

    def __iter__(self) -> Iterator[str]:
        return iter([*self.own, *(name for name, one in self._partners.items() if isinstance(one, Format))])

    def __len__(self) -> int:
        return len(list(iter(self)))

    @property
    def problems(self) -> dict[str, str]:
        """Why formats of partners cannot be used, by their names."""
        return {name: one for name, one in self._partners.items() if isinstance(one, str)}

    def named(self, name: str) -> Format:
        """Return a format.

        Raises
        ------
        FormatError
            There is none of this name, or it cannot be used.
        """
        if name in self:
            return self[name]
        reason = self.problems.get(name, "")
        raise FormatError(f"no format {name!r}{f': {reason}' if reason else ''}; there are {', '.join(self)}")

    @property
    def _partners(self) -> dict[str, Format | str]:
        return _partners(tuple(sys.path), frozenset(self.own))


@lru_cache(maxsize=4)
def _partners(path: tuple[str, ...], taken: frozenset[str]) -> dict[str, Format | str]:  # noqa: ARG001 - what is installed depends on it
    """Return each contributed format, or why it cannot be used."""
    points: dict[str, list[EntryPoint]] = {}
    # One distribution seen twice on the path (an editable install, say) is still one.
    for point in {(one.name, one.value): one for one in entry_points(group=GROUP)}.values():
        points.setdefault(point.name, []).append(point)
    return {name: _usable(name, several, taken) for name, several in sorted(points.items()) if name}


def _usable(name: str, points: list[EntryPoint], taken: frozenset[str]) -> Format | str:
    if name in taken or len(points) > 1:
        return f"more than one has the name {name}; uninstall all but one"
    (point,) = points
    try:
        found = point.load()
    except Exception as error:  # noqa: BLE001 - whatever a partner's module raises on import is the reason
        return f"{point.value} cannot be imported: {type(error).__name__}: {error}"
    if not isinstance(found, Format):
        return f"{point.value} is a {type(found).__name__}, expected a Format"
    return (
        found if found.name == name else f"{point.value} calls itself {found.name!r}; entry point and name must agree"
    )
