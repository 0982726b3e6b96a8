"""`ilrs check`: the conformance kit over an installed package, and a cube against the page on its format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from ilrs_science import catalog, registry
from ilrs_science.errors import Fault, IlrsError, PluginError
from ilrs_science.testing import Report, check_instrument
from ilrs_science.testing.cube_check import check_cube


def check_package(package: str, raw: Sequence[str], references: Sequence[str]) -> dict[str, Report]:
    """Run the kit over an instrument, or over all of a distribution; raw files are simulated if none are given.

    Raises
    ------
    IlrsError
        Nothing of that name is installed, or there are no raw files to check with.
    """
    known = registry.plugins("instruments")
    names = [plugin.name for plugin in known if package in (plugin.name, plugin.distribution)]
    if not names:
        packages = ", ".join(sorted({plugin.distribution for plugin in known}))
        raise PluginError(f"no instrument or package {package!r}; instruments come from {packages}")
    reports = {}
    for name in names:
        instrument = registry.instrument(name)
        with TemporaryDirectory(prefix="ilrs-check-") as folder:
            if not raw and instrument.simulate is None:
                if len(names) > 1:
                    continue
                raise IlrsError(f"{name} has no simulator; give raw files with --raw")
            if not raw and instrument.simulate is not None:
                instrument.simulate(Path(folder))
            patterns = list(raw) or [f"{folder}/raw/{{site}}/*"]
            folders = [*references, *([f"{folder}/references"] if Path(folder, "references").is_dir() else [])]
            found = catalog.inventory(patterns, instruments=[name])
            if not found.granules:
                reasons = "; ".join(f"{one.url}: {one.reason}" for one in found.rejected[:5]) or "no file found"
                raise IlrsError(f"{name}: no granule to check with: {reasons}")
            reports[name] = check_instrument(instrument, found.granules, references=folders, raise_on_failure=False)
    if not reports:
        raise IlrsError(f"no instrument of {package} has a simulator; give raw files with --raw")
    return reports


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
