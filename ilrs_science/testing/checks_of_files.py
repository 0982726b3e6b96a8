"""Checks of what an instrument opens."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from ilrs_science.errors import reason_of
from ilrs_science.model.granule import Granule
from ilrs_science.raw import fetched, name_in
from ilrs_science.reduction.reading import as_read
from ilrs_science.testing.case import Case, blaming
from ilrs_science.testing.comparison import difference
from ilrs_science.testing.report import ConformanceError


def files_beside(case: Case) -> None:
    """Check that a granule and its declared companions, copied alone into an empty folder, read equal."""
    if case.instrument.reads:
        return  # what a cube consists of, its format says
    for granule, ds in zip(case.first_granules, case.datasets, strict=True):
        with TemporaryDirectory(prefix="ilrs-alone-") as folder:
            with blaming(f"copying {granule.url}"):
                alone = _copied(granule, Path(folder))
            try:
                words = difference(ds, as_read(case.instrument, alone))
            except Exception as error:  # noqa: BLE001 - whatever read raises is the finding
                words = reason_of(error)
        if words:
            known = ", ".join(f"{role} {name_in(one.url)}" for role, one in granule.beside.items()) or "nothing"
            raise ConformanceError(
                f"{granule.url}: copied alone into an empty folder it does not read equal ({words}); read opens a file "
                f"that is not declared beside it (declared: {known}); name it in Instrument(beside={{...}})"
            )


def _copied(granule: Granule, folder: Path) -> Granule:
    """Return a granule whose file and those beside it lie in a folder, under their own names."""
    others = {role: _copied(one, folder) for role, one in granule.beside.items()}
    there = folder / name_in(granule.url)
    with fetched(granule.url) as here:
        shutil.copyfile(here, there)
    return replace(granule, url=str(there), beside=others)
