"""A cluster over TLS: certificates come from Dask's own configuration, and without them nobody gets in."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import trustme

from ilrs_science.simulate.magnetometer import simulate

PIPELINE = """\
name: field
instrument: fluxgate
time: {start: 2031-03-01T00:00:00Z, stop: 2031-03-01T01:00:00Z, step: 1 s}
raw: campaign/raw/{site}/*.fgm
references: {folders: [campaign/references]}
output: field.zarr
"""


def certificates(folder: Path) -> dict[str, str]:
    """Write an authority and one certificate for every role; return the environment that names them."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(folder / "all.pem")
    roles = {
        f"DASK_DISTRIBUTED__COMM__TLS__{role}__{part}": str(folder / "all.pem")
        for role in ("SCHEDULER", "WORKER", "CLIENT")
        for part in ("CERT", "KEY")
    }
    return {**os.environ, **roles, "DASK_DISTRIBUTED__COMM__TLS__CA_FILE": str(folder / "ca.pem")}


@pytest.fixture
def encrypted(tmp_path):
    """A real scheduler and worker that speak TLS only; yield its address and the environment with the certificates."""
    environment = certificates(tmp_path)
    dask = str(Path(sys.executable).parent / "dask")
    log = (tmp_path / "scheduler.log").open("w")
    listen = ["--host", "127.0.0.1", "--port", "0", "--protocol", "tls", "--no-dashboard"]
    processes = [subprocess.Popen([dask, "scheduler", *listen], env=environment, stderr=log)]
    try:
        deadline = time.monotonic() + 60
        while not (found := re.search(r"tls://127\.0\.0\.1:\d+", (tmp_path / "scheduler.log").read_text())):
            assert time.monotonic() < deadline, "no scheduler"
            time.sleep(0.05)
        worker = [dask, "worker", found[0], "--nthreads", "1", "--no-nanny", "--local-directory", str(tmp_path)]
        processes.append(subprocess.Popen(worker, env=environment, stderr=subprocess.DEVNULL))
        yield found[0], environment
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait(20)
        log.close()


def run(folder, address, environment):
    command = [sys.executable, "-m", "ilrs_science.cli", "run", "field.yaml", "--cluster", address]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_a_run_over_tls_needs_the_certificates(tmp_path, encrypted):
    address, environment = encrypted
    simulate(tmp_path / "campaign", hours=1, files_per_day=24)
    (tmp_path / "field.yaml").write_text(PIPELINE)

    refused = run(tmp_path, address, dict(os.environ))
    assert refused.returncode == 1
    assert f"{address} needs certificates; Dask's configuration lacks distributed.comm.tls.ca-file" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "field.zarr").exists()

    done = run(tmp_path, address, environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 parts done" in done.stdout
