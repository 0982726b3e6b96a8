"""Distributed scientific data analysis for lunar observations.

An instrument says how its raw files become calibrated samples. A pipeline says which instrument, which sites, when, and
onto which time axis. A plan cuts that axis into parts. A worker fills one part alone and returns a record. The parts
make one cube: Zarr v3 in storage, `xarray.Dataset` in hand.
"""

from importlib.metadata import version

from ilrs_science.analysis import accessor as _accessor  # registers Dataset.ilrs
from ilrs_science.catalog import inventory, sites
from ilrs_science.engine.plan import plan
from ilrs_science.engine.run import run
from ilrs_science.errors import CubeBusyError, FormatError, IlrsError, OutageError, PlanError, ReplaceError
from ilrs_science.model.axis import Axis, ExposureAxis, RegularAxis
from ilrs_science.model.duration import Duration
from ilrs_science.model.granule import Granule
from ilrs_science.model.instrument import Instrument
from ilrs_science.model.product import Encoding, Product, Variable
from ilrs_science.model.quality import set_flag
from ilrs_science.model.reference import Reference
from ilrs_science.model.site import Site
from ilrs_science.model.step import step
from ilrs_science.registry import plugins
from ilrs_science.store.collection import open_cubes
from ilrs_science.store.cube import open_cube

del _accessor

__version__ = version("ilrs-science")

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
    "Site",
    "Variable",
    "inventory",
    "open_cube",
    "open_cubes",
    "plan",
    "plugins",
    "run",
    "set_flag",
    "sites",
    "step",
]
