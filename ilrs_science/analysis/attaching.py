"""Puts `.ilrs` on xarray's objects without importing xarray: now if it is loaded, or else when it is (ADR 0018)."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import xarray as xr

    from ilrs_science.analysis.accessor import CubeAccessor, VariableAccessor


def of_cube(cube: xr.Dataset) -> CubeAccessor:
    """Return what `cube.ilrs` is: a `CubeAccessor`."""
    from ilrs_science.analysis.accessor import CubeAccessor  # noqa: PLC0415 - imports all of xarray and geometry

    return CubeAccessor(cube)


def of_variable(variable: xr.DataArray) -> VariableAccessor:
    """Return what `cube.b.ilrs` is: a `VariableAccessor`."""
    from ilrs_science.analysis.accessor import VariableAccessor  # noqa: PLC0415 - imports all of xarray and geometry

    return VariableAccessor(variable)


def _attach(xarray: ModuleType) -> None:
    if not hasattr(xarray.Dataset, "ilrs"):
        xarray.register_dataset_accessor("ilrs")(of_cube)
        xarray.register_dataarray_accessor("ilrs")(of_variable)


class _Finder:
    """Finds xarray as the other finders do, with a loader that attaches when it has loaded; finds nothing else."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != "xarray":
            return None
        others = (one for one in sys.meta_path if one is not self and hasattr(one, "find_spec"))
        spec = next((found for one in others if (found := one.find_spec(name, path, target))), None)
        if spec is not None and spec.loader is not None:
            wrapped: Any = _Loader(spec.loader)
            spec.loader = wrapped
        return spec


class _Loader:
    """Xarray's own loader, which it gives back to the module before this is run."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        _attach(module)


# It stays: taking it out while another thread looks for a module would hide the finder after it.
sys.meta_path.insert(0, _Finder())
if "xarray" in sys.modules:
    _attach(import_module("xarray"))  # waits if another thread is still loading it
