"""How a run gets its Dask cluster: a kind that `cluster/` describes, or the address of a scheduler."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from ilrs_science.catalog import data_folder
from ilrs_science.executors import cluster as clusters
from ilrs_science.yaml_text import load_yaml

if TYPE_CHECKING:
    from distributed import Client


def kinds() -> dict[str, dict[str, Any]]:
    """Return the kinds of cluster that `cluster/` describes, by name."""
    return {path.stem: load_yaml(path) for path in sorted(data_folder("cluster").glob("*.yaml"))}


def connect(cluster: str | Client, workers: int | None = None) -> AbstractContextManager[Client]:
    """Return a context with a client of a cluster: `local`, an address (`tcp://...`, `tls://...`), or a client."""
    return clusters.connect(cluster, kinds(), workers)
