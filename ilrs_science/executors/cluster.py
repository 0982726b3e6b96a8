"""How a run gets its Dask cluster: a kind that is described, or the address of a scheduler."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dask
from distributed import Client, LocalCluster, Security

from ilrs_science.errors import ClusterError, ClusterLostError
from ilrs_science.executors import interrupts


@contextmanager
def connect(
    cluster: str | Client, kinds: Mapping[str, Mapping[str, Any]], workers: int | None = None
) -> Iterator[Client]:
    """Yield a client of a cluster, and take down what was started for it.

    Parameters
    ----------
    cluster
        `local`, the address of a scheduler (`tcp://...`, `tls://...`), or a client.
    kinds
        The settings of each kind of cluster that can be started, by name.
    workers
        Worker processes of a local cluster; by default one a core.

    Raises
    ------
    ClusterError
        The cluster is unknown, or needs certificates.
    ClusterLostError
        It cannot be reached.
    """
    if isinstance(cluster, Client):
        yield cluster
        return
    if "://" in cluster:
        try:
            client = Client(cluster, security=_security(cluster), set_as_default=False)
        except OSError as error:
            raise ClusterLostError(f"no scheduler at {cluster}: {error}; run again to go on") from error
        except (TypeError, ValueError) as error:
            raise ClusterError(f"no scheduler at {cluster}: {error}") from error
        with client:
            yield client
        return
    if cluster not in kinds:
        raise ClusterError(
            f"unknown cluster {cluster!r}; give {', '.join(kinds)}, or an address such as tcp://host:8786"
        )
    settings = kinds[cluster]
    dashboard = settings.get("dashboard_address")
    with dask.config.set(settings.get("dask", {})), interrupts.held():
        local = LocalCluster(
            n_workers=workers or os.cpu_count() or 1,
            threads_per_worker=settings.get("threads_per_worker", 1),
            # Without an address Dask would still serve its metrics to everybody, on port 8787.
            dashboard_address=dashboard or "127.0.0.1:0",
            scheduler_kwargs={"dashboard": dashboard is not None},
        )
    with local, Client(local, set_as_default=False) as client:
        yield client


def _security(address: str) -> Security | None:
    """Return what Dask's own configuration (`distributed.comm.tls`) says of certificates, for an encrypted address."""
    if not address.startswith("tls://"):
        return None
    keys = [f"distributed.comm.tls.{key}" for key in ("ca-file", "client.cert", "client.key")]
    missing = [key for key in keys if not dask.config.get(key, None)]
    if missing:
        raise ClusterError(f"{address} needs certificates; Dask's configuration lacks {', '.join(missing)}")
    return Security(require_encryption=True)
