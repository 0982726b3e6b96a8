"""How a run gets its Dask cluster: a kind described in `cluster/`, or the address of a scheduler."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from typing import Any

import dask
from distributed import Client, LocalCluster, Security

from ilrs_science.catalog import data_folder
from ilrs_science.errors import ClusterError
from ilrs_science.yaml_text import load_yaml


def kinds() -> dict[str, dict[str, Any]]:
    """Return the kinds of cluster that `cluster/` describes, by name."""
    return {path.stem: load_yaml(path) for path in sorted(data_folder("cluster").glob("*.yaml"))}


@contextmanager
def connect(cluster: str | Client, workers: int | None = None) -> Iterator[Client]:
    """Yield a client of a cluster, and take down what was started for it.

    Parameters
    ----------
    cluster
        `local`, the address of a scheduler (`tcp://...`, `tls://...`), or a client.
    workers
        Worker processes of a local cluster; by default one a core.

    Raises
    ------
    ClusterError
        The cluster is unknown or cannot be reached.
    """
    if isinstance(cluster, Client):
        yield cluster
        return
    if "://" in cluster:
        try:
            client = Client(cluster, security=_security(cluster), set_as_default=False)
        except (OSError, TypeError, ValueError) as error:
            raise ClusterError(f"no scheduler at {cluster}: {error}") from error
        with client:
            yield client
        return
    described = kinds()
    if cluster not in described:
        raise ClusterError(
            f"unknown cluster {cluster!r}; give {', '.join(described)}, or an address such as tcp://host:8786"
        )
    settings = described[cluster]
    dashboard = settings.get("dashboard_address")
    with dask.config.set(settings.get("dask", {})), _interrupts_held():
        local = LocalCluster(
            n_workers=workers or os.cpu_count() or 1,
            threads_per_worker=settings.get("threads_per_worker", 1),
            # Without an address Dask would still serve its metrics to everybody, on port 8787.
            dashboard_address=dashboard or "127.0.0.1:0",
            scheduler_kwargs={"dashboard": dashboard is not None},
        )
    with local, Client(local, set_as_default=False) as client:
        yield client


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Let processes start that do not hear Ctrl-C, which a terminal sends to all; they finish, and we stop them."""
    if current_thread() is not main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _security(address: str) -> Security | None:
    """Return what Dask's own configuration (`distributed.comm.tls`) says of certificates, for an encrypted address."""
    if not address.startswith("tls://"):
        return None
    keys = [f"distributed.comm.tls.{key}" for key in ("ca-file", "client.cert", "client.key")]
    missing = [key for key in keys if not dask.config.get(key, None)]
    if missing:
        raise ClusterError(f"{address} needs certificates; Dask's configuration lacks {', '.join(missing)}")
    return Security(require_encryption=True)
