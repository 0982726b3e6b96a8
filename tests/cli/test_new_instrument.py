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
def scheduler(folder):
    """Start a real scheduler; yield its address once it has as many workers, and what adds a worker process."""
    dask = str(Path(sys.executable).parent / "dask")
    file = folder / f"scheduler-{time.time_ns()}.json"
    where = ["--scheduler-file", str(file), "--no-dashboard"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    processes = [subprocess.Popen([dask, "scheduler", "--host", "127.0.0.1", "--port", "0", *where], **quiet)]

    def add_worker(environment):
        options = ["--nthreads", "1", "--no-nanny", "--local-directory", str(folder)]
        processes.append(subprocess.Popen([dask, "worker", *options, *where], env=environment, **quiet))

    try:
        yield lambda count: address_with_workers(file, count), add_worker
    finally:
        # A worker whose scheduler is going down at the same time does not end on a polite request.
        for process in processes:
            process.kill()
        for process in processes:
            process.wait(20)


def address_with_workers(file, count):
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


def test_it_runs_on_a_cluster_of_two_processes_and_is_missed_where_it_is_not(partner, tmp_path):
    folder, environment = partner
    without = {key: value for key, value in environment.items() if key != "PYTHONPATH"}
    other = {}
    for name, line in (("same", "# a comment makes no other code"), ("newer", "NEWER = True")):
        shutil.copytree(folder / "site", tmp_path / name)
        with (tmp_path / name / "acme_mag" / "__init__.py").open("a") as module:
            module.write(f"{line}\n")
        other[name] = {**environment, "PYTHONPATH": str(tmp_path / name)}
    with scheduler(folder) as (address, add_worker):
        add_worker(environment)
        add_worker(other["same"])
        two = ilrs(environment, folder, "run", "campaign.yaml", "--cluster", address(2), "--output", "two.zarr")
        assert two.returncode == 0, two.stdout + two.stderr
        assert "20 parts done" in two.stdout
        assert "read 1,200 = placed 1,200" in two.stdout

        add_worker(without)
        add_worker(other["newer"])
        four = ilrs(environment, folder, "run", "campaign.yaml", "--cluster", address(4), "--output", "four.zarr")
    assert four.returncode == 2
    assert re.search(r"worker tcp://127\.0\.0\.1:\d+: no instrument 'acme-mag' is installed", four.stderr)
    assert "install acme-mag 0.1.0 there" in four.stderr
    assert "expected the code of acme-mag 0.1.0 with digest" in four.stderr
    assert "Traceback" not in four.stderr
    assert not (folder / "four.zarr").exists()


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
