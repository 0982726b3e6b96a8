"""`ilrs check`: the conformance kit over an installed package, and a cube against the page on its format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ilrs_science import registry
from ilrs_science.cli import show
from ilrs_science.cli.guarding import print_json
from ilrs_science.errors import Fault, IlrsError, PluginError
from ilrs_science.model.granule import Granule
from ilrs_science.model.instrument import Instrument
from ilrs_science.planning.gathering import Search
from ilrs_science.store.collection import cubes_at
from ilrs_science.testing import Report, check_instrument
from ilrs_science.testing.cube_check import check_cube
from ilrs_science.yaml_text import parse_yaml


def check(what: str, evidence: Evidence, *, as_json: bool) -> int:
    """Check a cube, or an instrument or its package; tell what was found, and return the exit status."""
    return _cube(what, as_json=as_json) if is_cube(what) else _package(what, evidence, as_json=as_json)


def _cube(what: str, *, as_json: bool) -> int:
    faults = [fault for one in cubes_at(what) for fault in faults_of_cube(one)]
    if as_json:
        print_json({"ok": not faults, "faults": [asdict(fault) for fault in faults]})
    else:
        show.faults(what, faults)
    return 1 if faults else 0


def _package(what: str, evidence: Evidence, *, as_json: bool) -> int:
    reports = check_package(what, evidence)
    if as_json:
        print_json({name: report.as_json() for name, report in reports.items()})
    else:
        for name, report in reports.items():
            show.conformance(name, report)
    return 0 if all(report.ok for report in reports.values()) else 1


@dataclass(frozen=True)
class Evidence:
    """What an instrument is checked on."""

    raw: Sequence[str]
    """Paths, globs or URLs of raw files; none if they are to be simulated."""
    references: Sequence[str]
    """Folders."""
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Of steps, by their names: those that have no default above all."""
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Where series are, as in a pipeline."""

    def serves(self, instrument: Instrument) -> bool:
        """Tell whether there are raw files for an instrument, or can be."""
        return bool(self.raw) or instrument.simulate is not None

    @contextmanager
    def of(self, instrument: Instrument) -> Iterator[Evidence]:
        """Give what there is for one instrument, simulated if no raw files are given."""
        if self.raw or instrument.simulate is None:
            yield self
            return
        with TemporaryDirectory(prefix="ilrs-check-") as folder:
            instrument.simulate(Path(folder))
            simulated = Path(folder, "references")
            folders = [str(simulated)] if simulated.is_dir() else []
            yield replace(self, raw=[f"{folder}/raw/{{site}}/*"], references=[*self.references, *folders])

    def steps_of(self, instrument: Instrument) -> list[dict[str, Mapping[str, Any]]] | None:
        """Return the steps of an instrument with their parameters, as a pipeline has them; None for its own defaults.

        Raises
        ------
        IlrsError
            It has no such step.
        """
        names = [step.__name__ for step in instrument.steps]
        if strange := sorted(self.parameters.keys() - names):
            raise IlrsError(f"--set: {instrument.name} has no step {', '.join(strange)}; it has {', '.join(names)}")
        return [{name: self.parameters.get(name, {})} for name in names] if self.parameters else None

    def granules(self, name: str) -> Sequence[Granule]:
        """Return the granules of an instrument.

        Raises
        ------
        IlrsError
            There are none.
        """
        found = Search().gathered(registry.instrument(name), self.raw)
        if not found.granules:
            reasons = "; ".join(f"{one.url}: {one.reason}" for one in found.rejected[:5])
            raise IlrsError(f"{name}: no granule to check with: {reasons}")
        return found.granules


def evidence(raw: Sequence[str], references: Sequence[str], texts: Sequence[str]) -> Evidence:
    """Return what an instrument is checked on, with what `--set` gives."""
    parameters = parameters_given(texts)
    inputs = {name: str(where) for name, where in parameters.pop("inputs", {}).items()}
    return Evidence(raw, references, parameters, inputs)


def parameters_given(texts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return parameters by step of texts such as `despike.window=5 s`; values are read as in a pipeline.

    Raises
    ------
    IlrsError
        A text has another form.
    """
    found: dict[str, dict[str, Any]] = {}
    for text in texts:
        name, _, value = text.partition("=")
        step, _, parameter = name.strip().partition(".")
        if not step or not parameter or not value:
            raise IlrsError(f"--set {text!r}: expected step.parameter=value, as in despike.window='5 s'")
        found.setdefault(step, {})[parameter] = parse_yaml(value, f"--set {text}")
    return found


def check_package(package: str, evidence: Evidence) -> dict[str, Report]:
    """Run the kit over an instrument, or over all of a distribution that there is evidence for.

    Raises
    ------
    IlrsError
        Nothing of that name is installed, or there are no raw files to check with.
    """
    names = _instruments_of(package)
    reports = {}
    for name in names:
        instrument = registry.instrument(name)
        if evidence.serves(instrument):
            with evidence.of(instrument) as own:
                granules = own.granules(name)
                steps = own.steps_of(instrument)
                reports[name] = check_instrument(
                    instrument,
                    granules,
                    references=own.references,
                    steps=steps,
                    inputs=own.inputs,
                    raise_on_failure=False,
                )
        elif len(names) == 1:
            raise IlrsError(f"{name} has no simulator; give raw files with --raw")
    if not reports:
        raise IlrsError(f"no instrument of {package} has a simulator; give raw files with --raw")
    return reports


def _instruments_of(package: str) -> list[str]:
    """Return the instruments of a distribution, or the one of that name."""
    known = registry.plugins("instruments")
    names = [plugin.name for plugin in known if package in (plugin.name, plugin.distribution)]
    if not names:
        packages = ", ".join(sorted({plugin.distribution for plugin in known}))
        raise PluginError(f"no instrument or package {package!r}; instruments come from {packages}")
    return names


def is_cube(what: str) -> bool:
    """Tell whether a text names a cube: by its ending, or a folder that holds a Zarr group."""
    return what.rstrip("/").endswith(".zarr") or Path(what, "zarr.json").is_file()


def faults_of_cube(what: str) -> list[Fault]:
    """Return what is wrong with a cube by the page on its format.

    Raises
    ------
    IlrsError
        There is nothing at the place.
    """
    if "://" not in what and not Path(what).is_dir():
        raise IlrsError(f"no cube at {what}; give the path or URL of a cube that `ilrs run` wrote")
    return check_cube(what)
