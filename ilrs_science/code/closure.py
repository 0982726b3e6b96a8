"""The modules that some code really uses: what it imports, and what that imports, name by name."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from functools import cache
from os import path

from ilrs_science.code.kept import bytes_digest, kept
from ilrs_science.code.meaning import EVERY_MODULE, EVERYTHING, OURS, TABLE_OF_FORMATS, Module, further, module_of
from ilrs_science.code.places import Place, Survey


class Closure:
    """Modules by name, grown by following what their code uses.

    Parameters
    ----------
    enters
        Tells of the place of a module whether it is to be followed; what lies outside is no part of the closure.
    formats
        The modules of the raw formats, for which the table of them does not count.
    """

    def __init__(self, enters: Callable[[Place], bool], formats: Iterable[str] = ()) -> None:
        self.modules: dict[str, Place] = {}
        """Modules that were reached, by name."""
        self.asks_table = False
        """Whether something reads a file by whichever format recognises it."""
        self.left: dict[str, Place] = {}
        """Modules outside that were asked for by others than our own modules."""
        # Each file is looked at once in the life of a closure: that is one answer about one moment.
        self.module_at = cache(module_at)
        self._survey = Survey()
        self._enters = cache(enters)
        self._formats = tuple(formats)
        self._asked: set[tuple[str, bool]] = set()
        self._for_ours = False
        self._waiting: list[Place] = []

    def add(self, need: str) -> None:
        """Follow `package.module`, or what `package.module:name` stands for, and all that this leads to."""
        self._for_ours = False
        self._need(need)
        self._follow()

    def add_place(self, place: Place) -> None:
        """Follow a module whose place is known."""
        self._enter(place)
        self._follow()

    def _follow(self) -> None:
        while self._waiting:
            place = self._waiting.pop()
            module = self.module_at(place)
            self._for_ours = is_ours(place)
            for need in sorted(module.needs | module.unused):
                if self._counts(place, need, unused=need not in module.needs):
                    self._need(need)

    def _need(self, need: str) -> None:
        """Find the module that defines what is needed; packages that only import it pass the question on."""
        if (need, self._for_ours) in self._asked:
            return
        self._asked.add((need, self._for_ours))
        module, _, attributes = need.partition(":")
        first, *inner = module.split(".")
        if first in sys.stdlib_module_names:
            return
        place = self._reached(self._survey.place_of(first))
        for name in inner:
            place = self._reached(self._survey.place_below(place, name)) if place else None
        rest = attributes.split(".") if attributes else []
        while place is not None:
            place, rest = self._reached(self._below(place, rest)), rest[1:]

    def _reached(self, place: Place | None) -> Place | None:
        """Enter a module on the way to what is needed; None if there is none, or it lies outside."""
        if place is None:
            return None
        if not self._enters(place):
            if not self._for_ours:
                self.left[place.name] = place
            return None
        if place.name != OURS:  # its `__init__.py` hands on: it counts for those who ask for what it defines
            self._enter(place)
        return place

    def _below(self, package: Place, names: list[str]) -> Place | None:
        """Return the submodule that names of a package lead to; None where the search ends, or goes on elsewhere."""
        if not package.folders or not names:
            return None
        if names[0] == EVERY_MODULE:
            self._enter_all_below(package)
            return None
        targets = self._handed_on(package, names[0])
        for target in targets:
            self._need(further(target, ".".join(names[1:])))
        if targets and names[0] != EVERYTHING:
            return None
        below = self._survey.place_below(package, names[0])
        if below is None:
            # The package defines it itself, or is taken as a whole.
            self._enter(package)
            self.asks_table |= package.name == TABLE_OF_FORMATS
        return below

    def _handed_on(self, package: Place, name: str) -> list[str]:
        """Return what a name of a package stands for elsewhere."""
        exports = self.module_at(package).exports
        if name == EVERYTHING:
            return [target for each in exports.values() for target in each]
        return [target for target in exports.get(name, ()) if target != f"{package.name}:{name}"]

    def _enter_all_below(self, package: Place) -> None:
        for name in self._survey.submodules(package):
            below = self._survey.place_below(package, name)
            if below is not None and self._enters(below):
                self._enter(below)
                self._enter_all_below(below)

    def _enter(self, place: Place) -> None:
        if place.name not in self.modules:
            self.modules[place.name] = place
            self._waiting.append(place)

    def _counts(self, place: Place, need: str, *, unused: bool) -> bool:
        """Tell whether what a module imports counts for that module itself."""
        name = need.replace(":", ".")
        if place.name == TABLE_OF_FORMATS and any(f"{name}.".startswith(f"{one}.") for one in self._formats):
            return False
        # A package imports a module for its effect, and a name out of a module for others.
        return not (unused and place.folders) or self._survey.place_of(name) is not None


def is_ours(place: Place) -> bool:
    """Tell whether a module is of our own package."""
    return place.name.partition(".")[0] == OURS


def module_at(place: Place) -> Module:
    """Return what is known of the module at a place; of a compiled one its bytes, of a namespace nothing."""
    if not place.file:
        return Module("")
    is_package = path.basename(place.file) == "__init__.py"
    if place.file.endswith(".py") and path.isfile(place.file):
        return kept(place.file, place.name, lambda source: module_of(source, place.name, package=is_package))
    return Module(bytes_digest(_file_around(place.file)))


def _file_around(file: str) -> str:
    """Return a file, or the archive that it lies in."""
    while not path.isfile(file) and path.dirname(file) != file:
        file = path.dirname(file)
    return file
