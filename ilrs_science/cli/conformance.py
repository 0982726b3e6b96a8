"""`ilrs check PACKAGE`: the conformance kit over an installed package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from ilrs_science import catalog, registry
from ilrs_science.errors import IlrsError, PluginError
from ilrs_science.testing import Report, check_instrument


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
