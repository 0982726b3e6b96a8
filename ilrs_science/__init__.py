"""Distributed scientific data analysis for lunar observations.

An instrument says how its raw files become calibrated samples. A pipeline says which instrument, which sites, when, and
onto which time axis. A plan cuts that axis into parts. A worker fills one part alone and returns a record. The parts
make one cube: Zarr v3 in storage, `xarray.Dataset` in hand.

Each name is imported at its first use; `Dataset.ilrs` is there as soon as both this package and xarray are (ADR 0018).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ilrs_science.analysis import attaching as _attaching  # Dataset.ilrs

del _attaching

if TYPE_CHECKING:
    from ilrs_science.catalog.inventory import inventory
    from ilrs_science.catalog.sites import sites
    from ilrs_science.errors import CubeBusyError, FormatError, IlrsError, OutageError, PlanError, ReplaceError
    from ilrs_science.model.axis import Axis, ExposureAxis, RegularAxis
    from ilrs_science.model.duration import Duration
    from ilrs_science.model.good import exclude, scale_live_time
    from ilrs_science.model.granule import Granule
    from ilrs_science.model.instrument import Instrument
    from ilrs_science.model.product import Product
    from ilrs_science.model.quality import reject, set_flag
    from ilrs_science.model.reference import Reference
    from ilrs_science.model.series import Series
    from ilrs_science.model.site import Site
    from ilrs_science.model.step import step
    from ilrs_science.model.variable import Encoding, Variable
    from ilrs_science.planning.plan import plan
    from ilrs_science.registry import plugins
    from ilrs_science.running.run import run
    from ilrs_science.store.collection import open_cubes
    from ilrs_science.store.cube import open_cube
    from ilrs_science.store.parquet import open_table

    __version__: str

__all__ = [
    "Axis",
    "CubeBusyError",
    "Duration",
    "Encoding",
    "ExposureAxis",
    "FormatError",
    "Granule",
    "IlrsError",
    "Instrument",
    "OutageError",
    "PlanError",
    "Product",
    "Reference",
    "RegularAxis",
    "ReplaceError",
    "Series",
    "Site",
    "Variable",
    "exclude",
    "inventory",
    "open_cube",
    "open_cubes",
    "open_table",
    "plan",
    "plugins",
    "reject",
    "run",
    "scale_live_time",
    "set_flag",
    "sites",
    "step",
]

_NAMES_IN = {
    "catalog.inventory": ("inventory",),
    "catalog.sites": ("sites",),
    "planning.plan": ("plan",),
    "running.run": ("run",),
    "errors": ("CubeBusyError", "FormatError", "IlrsError", "OutageError", "PlanError", "ReplaceError"),
    "model.axis": ("Axis", "ExposureAxis", "RegularAxis"),
    "model.duration": ("Duration",),
    "model.good": ("exclude", "scale_live_time"),
    "model.granule": ("Granule",),
    "model.instrument": ("Instrument",),
    "model.product": ("Product",),
    "model.quality": ("reject", "set_flag"),
    "model.reference": ("Reference",),
    "model.series": ("Series",),
    "model.site": ("Site",),
    "model.step": ("step",),
    "model.variable": ("Encoding", "Variable"),
    "registry": ("plugins",),
    "store.collection": ("open_cubes",),
    "store.cube": ("open_cube",),
    "store.parquet": ("open_table",),
}
"""What is imported above for type checkers, for the first use."""
_HOME = {name: module for module, names in _NAMES_IN.items() for name in names}
_ROOMS = frozenset(
    {"analysis", "catalog", "code", "errors", "executors", "formats", "geometry", "model", "planning", "raw"}
    | {"reduction", "references", "registry", "running", "store"}
)
"""Modules that `ilrs.geometry` and the like reach without an import of their own."""


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name in _ROOMS:
            return import_module(f"{__name__}.{name}")
        if name == "__version__":
            found = import_module("importlib.metadata").version("ilrs-science")
        elif name in _HOME:
            found = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    return sorted({*(name for name in globals() if name.startswith("__")), "__version__", *__all__, *_ROOMS})
