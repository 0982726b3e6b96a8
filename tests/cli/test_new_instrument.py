"""A partner's package: written, installed, tested, run on a cluster, and missed where it is not."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from distributed import Client
from typer.testing import CliRunner

from ilrs_science.cli.app import app

CAMPAIGN = """\
name: acme-campaign
instrument: acme-mag
time: {start: 2031-03-01T00:00:00Z, stop: 2031-03-01T00:10:00Z, step: 1 s}
raw: campaign/raw/{site}/*.mag
references: {folders: [campaign/references]}
layout: {chunk: 60, shard: 60}
output: acme.zarr
"""


def install(package: Path, into: Path) -> dict[str, str]:
    """Lay out the package as an installer would, and return the environment that sees it."""
    name = package.name
    shutil.copytree(package / name.replace("-", "_"), into / name.replace("-", "_"))
    information = into / f"{name.replace('-', '_')}-0.1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n")
    points = re.search(r'\[project.entry-points."(.+?)"\]\n((?:.+ = .+\n)+)', (package / "pyproject.toml").read_text())
    lines = points[2].replace('"', "")
    (information / "entry_points.txt").write_text(f"[{points[1]}]\n{lines}")
    return {**os.environ, "PYTHONPATH": str(into)}


@pytest.fixture(scope="module")
def partner(tmp_path_factory):
    folder = tmp_path_factory.mktemp("partner")
    result = CliRunner().invoke(app, ["new-instrument", "acme-mag", str(folder / "acme-mag")], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    (folder / "site").mkdir()
    environment = install(folder / "acme-mag", folder / "site")
    (folder / "campaign.yaml").write_text(CAMPAIGN)
    ilrs(environment, folder, "simulate", "acme-mag", "campaign")
    return folder, environment


def ilrs(environment, folder, *arguments):
    command = [sys.executable, "-m", "ilrs_science.cli", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@contextlib.contextmanager
def scheduler_with_workers(folder, environments):
    """Start a real scheduler and one worker process for each environment; yield its address."""
    dask = str(Path(sys.executable).parent / "dask")
    file = folder / f"scheduler-{time.time_ns()}.json"
    where = ["--scheduler-file", str(file)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    processes = [
        subprocess.Popen([dask, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", *where], **quiet)
    ]
    try:
        for number, environment in enumerate(environments):
            options = [
                "--nthreads",
                "1",
                "--no-nanny",
                "--no-dashboard",
                "--name",
                f"w{number}",
                "--local-directory",
                str(folder),
            ]
            processes.append(subprocess.Popen([dask, "worker", *options, *where], env=environment, **quiet))
        yield wait_for_workers(file, len(environments))
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            process.wait(20)


def wait_for_workers(file, count):
    deadline = time.monotonic() + 60
    while not file.exists() or not file.read_text().strip():
        assert time.monotonic() < deadline, "no scheduler"
        time.sleep(0.05)
    with Client(scheduler_file=str(file), set_as_default=False) as client:
        client.wait_for_workers(count, timeout=60)
        return client.scheduler.address


def test_the_new_package_passes_its_own_tests_at_once_one_named_test_a_check(partner):
    folder, environment = partner
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:xdist"]
    done = subprocess.run(
        command, cwd=folder / "acme-mag", env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    named = re.findall(r"test_conformance\[(\w+)\] PASSED", done.stdout)
    assert {"pickles", "input_untouched", "block_boundaries", "memory"} <= set(named)


def test_ilrs_check_runs_the_same_contract_over_the_installed_package(partner):
    folder, environment = partner
    done = ilrs(environment, folder, "check", "acme-mag")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "block_boundaries" in done.stdout


def test_it_runs_on_a_cluster_of_two_processes(partner):
    folder, environment = partner
    with scheduler_with_workers(folder, [environment, environment]) as address:
        done = ilrs(environment, folder, "run", "campaign.yaml", "--cluster", address, "--output", "two.zarr")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "20 parts done" in done.stdout
    assert "read 1,200 = placed 1,200" in done.stdout


def test_a_worker_without_the_package_is_named_before_the_first_task(partner):
    folder, environment = partner
    without = {key: value for key, value in environment.items() if key != "PYTHONPATH"}
    with scheduler_with_workers(folder, [environment, without]) as address:
        done = ilrs(environment, folder, "run", "campaign.yaml", "--cluster", address, "--output", "missing.zarr")
    assert done.returncode == 2
    assert re.search(r"worker tcp://127\.0\.0\.1:\d+: no instrument 'acme-mag' is installed", done.stderr)
    assert "install acme-mag 0.1.0 there" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "missing.zarr").exists()


def test_a_worker_with_other_code_is_named_before_the_first_task(partner, tmp_path):
    folder, environment = partner
    other = tmp_path / "other"
    shutil.copytree(folder / "site", other)
    (other / "acme_mag" / "__init__.py").write_text((other / "acme_mag" / "__init__.py").read_text() + "\n# newer\n")
    with scheduler_with_workers(folder, [{**environment, "PYTHONPATH": str(other)}]) as address:
        done = ilrs(environment, folder, "run", "campaign.yaml", "--cluster", address, "--output", "other.zarr")
    assert done.returncode == 2
    assert "expected the code of acme-mag 0.1.0 with digest" in done.stderr
    assert not (folder / "other.zarr").exists()


@pytest.mark.parametrize("name", ["Acme", "acme_mag", "1acme", "class", "ilrs-science", "../acme"])
def test_a_name_that_cannot_be_a_package_is_refused(tmp_path, name):
    result = CliRunner().invoke(app, ["new-instrument", name, str(tmp_path / "made")], catch_exceptions=False)
    assert result.exit_code == 1
    assert "choose another" in result.stderr or "cannot name a package" in result.stderr
    assert not (tmp_path / "made").exists()


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    result = CliRunner().invoke(app, ["new-instrument", "acme-mag", str(tmp_path)], catch_exceptions=False)
    assert result.exit_code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
