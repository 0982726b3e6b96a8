"""The commands as a scientist types them: what they print, what they exit with, what they leave behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import xarray as xr
from typer.testing import CliRunner

from ilrs_science import registry
from ilrs_science.cli import conformance
from ilrs_science.cli.app import app
from ilrs_science.simulate.magnetometer import simulate

PIPELINE = """\
name: field
instrument: fluxgate
sites: [shackleton, malapert, haworth]
time: {start: 2031-03-01T00:00:00Z, stop: 2031-03-01T01:00:00Z, step: 1 s}
raw: campaign/raw/{site}/*.fgm
references: {folders: [campaign/references]}
layout: {chunk: 300, shard: 600}
output: field.zarr
"""


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    simulate(folder / "campaign", hours=1, files_per_day=48)
    return folder


@pytest.fixture
def folder(campaign, tmp_path):
    (tmp_path / "campaign").symlink_to(campaign / "campaign")
    (tmp_path / "field.yaml").write_text(PIPELINE)
    return tmp_path


def ilrs(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments], catch_exceptions=False)


def as_json(*arguments):
    return json.loads(ilrs(*arguments, "--json").stdout)


def test_a_run_does_its_parts_once_and_says_so_the_second_time(folder):
    first = ilrs("run", folder / "field.yaml")
    assert first.exit_code == 0
    assert "18 parts done" in first.stdout
    second = ilrs("run", folder / "field.yaml")
    assert second.exit_code == 0
    assert "nothing to do: all 18 parts" in second.stdout


def test_a_plan_says_what_would_be_done_and_writes_nothing(folder):
    planned = as_json("plan", folder / "field.yaml")
    assert (planned["parts"], planned["granules"], planned["sites"]) == (18, 6, ["shackleton", "malapert", "haworth"])
    assert planned["memory_per_part"] > 0
    assert not (folder / "field.zarr").exists()


def test_every_fault_of_a_pipeline_is_listed_at_once_with_exit_code_2(folder):
    text = PIPELINE.replace("output:", "steps:\n  - to_nanotesla: {gian: 1}\n  - flag_saturatd\noutput:")
    (folder / "bad.yaml").write_text(text)
    result = ilrs("run", folder / "bad.yaml")
    assert result.exit_code == 2
    assert "to_nanotesla has no parameter 'gian'; it has noise" in result.stderr
    assert "did you mean flag_saturated?" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (folder / "field.zarr").exists()
    assert len(as_json("plan", folder / "bad.yaml")["faults"]) == 2


def test_a_rejected_file_makes_exit_code_3_and_is_named_by_run_and_status(folder):
    bad = folder / "bad.fgm"
    bad.write_bytes(b"not a packet")
    good = f"{folder}/campaign/raw/{{site}}/*.fgm"
    result = ilrs("run", folder / "field.yaml", "--raw", good, "--raw", bad)
    assert result.exit_code == 3
    assert f"rejected {bad}" in result.stdout
    assert "no packet" in result.stdout


def test_an_inventory_can_be_written_looked_at_and_run_from(folder):
    pattern = f"{folder}/campaign/raw/{{site}}/*.fgm"
    found = as_json("inventory", pattern, folder / "field.yaml", "-o", folder / "found.json")
    assert len(found["granules"]) == 6
    assert [one["url"] for one in found["rejected"]] == [str(folder / "field.yaml")]
    assert ilrs("inventory", pattern).exit_code == 0
    assert ilrs("inventory", folder / "field.yaml").exit_code == 3
    assert ilrs("run", folder / "field.yaml", "--raw", folder / "found.json").exit_code == 0
    assert as_json("status", folder / "field.zarr")["done"] == 18


def test_status_and_info_tell_what_a_cube_is(folder):
    ilrs("run", folder / "field.yaml")
    status = as_json("status", folder / "field.zarr")
    assert (status["parts"], status["done"], status["stale"], status["failed"]) == (18, 18, 0, {})
    info = as_json("info", folder / "field.zarr")
    assert info["variables"]["b"]["units"] == "nT"
    assert info["provenance"]["plugin"]["distribution"] == "ilrs-science"
    assert info["start_utc"] == "2031-03-01T00:00:00"
    shown = ilrs("info", folder / "field.zarr").stdout
    assert "step correlate_clock(counts=clock_counts, limit=2 s" in shown


def test_no_cube_is_a_sentence_and_exit_code_1(tmp_path):
    for command in ("status", "info", "quicklook"):
        result = ilrs(command, tmp_path / "none.zarr")
        assert result.exit_code == 1
        assert "no cube at" in result.stderr


def test_a_missing_pipeline_is_a_sentence(tmp_path):
    result = ilrs("plan", tmp_path / "none.yaml")
    assert result.exit_code == 2
    assert "give the path of a YAML file" in result.stderr


def test_an_unknown_executor_is_a_usage_error(folder):
    assert ilrs("run", folder / "field.yaml", "--executor", "magic").exit_code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "field.yaml", "--executor", "magic"),
        ("run", "field.yaml", "--output", "/proc/nowhere/field.zarr"),
        ("run", "none.yaml"),
        ("status", "none.zarr"),
        ("inventory", "campaign", "-o", "none/inventory.json"),
        ("simulate", "fluxgate", "/proc/nowhere"),
        ("quicklook", "none.zarr"),
        ("new-instrument", "Wrong Name"),
    ],
    ids=" ".join,
)
def test_with_json_even_a_mistake_is_json_and_no_traceback(folder, monkeypatch, arguments):
    monkeypatch.chdir(folder)
    result = ilrs(*arguments, "--json")
    assert result.exit_code in (1, 2)
    assert json.loads(result.stdout)["error"]
    assert "Traceback" not in result.stderr


def test_a_path_with_brackets_and_blanks_is_shown_as_it_is(folder):
    odd = folder / "set [bold] [!x] ü"
    odd.mkdir()
    (odd / "campaign").symlink_to(folder / "campaign")
    (odd / "field.yaml").write_text(PIPELINE)
    result = ilrs("run", odd / "field.yaml")
    assert result.exit_code == 0, result.output
    assert str(odd / "field.zarr") in result.stdout
    assert str(odd / "field.zarr") in ilrs("status", odd / "field.zarr").stdout


def test_an_unreachable_scheduler_is_a_sentence(folder):
    result = ilrs("run", folder / "field.yaml", "--cluster", "nowhere")
    assert result.exit_code == 1
    assert "give local, or an address such as tcp://host:8786" in result.stderr


def test_instruments_lists_where_each_comes_from(folder):
    listed = {one["name"]: one for one in as_json("instruments")}
    assert listed["fluxgate"]["distribution"] == "ilrs-science"
    assert listed["despike"]["kind"] == "steps"
    assert as_json("instruments", "fluxgate")["product"]["variables"][0]["units"] == "nT"
    unknown = ilrs("instruments", "fluxgat")
    assert unknown.exit_code == 1
    assert "did you mean fluxgate?" in unknown.stderr


def test_check_finds_a_good_pipeline_without_faults(folder):
    assert as_json("check", folder / "field.yaml") == {"ok": True, "faults": []}


def test_check_holds_an_installed_instrument_to_its_contract_on_simulated_files():
    report = as_json("check", "fluxgate")["fluxgate"]
    assert report["ok"], report
    assert {"pickles", "same_on_every_executor", "memory"} <= {one["check"] for one in report["results"]}


def test_check_of_an_unknown_package_names_those_there_are():
    result = ilrs("check", "nothing-of-that-name")
    assert result.exit_code == 1
    assert "instruments come from" in result.stderr


def test_the_published_schema_is_the_one_of_the_code():
    published = Path(__file__).parents[2] / "docs" / "reference" / "pipeline.schema.json"
    assert json.loads(published.read_text()) == json.loads(ilrs("schema").stdout)


def test_a_quicklook_is_a_picture(folder):
    ilrs("run", folder / "field.yaml")
    ilrs("quicklook", folder / "field.zarr", "-o", folder / "field.png")
    assert (folder / "field.png").read_bytes().startswith(b"\x89PNG")


def test_simulate_writes_raw_files_with_references_and_truth(tmp_path):
    files = as_json("simulate", "fluxgate", tmp_path / "made")["files"]
    assert len(files) == 6
    assert all(Path(one).is_file() for one in files)
    assert (tmp_path / "made" / "references" / "index.yaml").is_file()
    assert (tmp_path / "made" / "truth.npz").is_file()


def test_ctrl_c_keeps_what_is_done_and_the_same_command_goes_on(folder):
    (folder / "field.yaml").write_text(PIPELINE.replace("shard: 600", "shard: 60").replace("chunk: 300", "chunk: 60"))
    command = [sys.executable, "-m", "ilrs_science.cli", "run", "field.yaml", "--executor", "processes"]
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True, start_new_session=True)
    # Quality is the last variable that a part writes but one; the records come later, some hundred at a time.
    shards = folder / "field.zarr" / "quality" / "c"
    deadline = time.monotonic() + 60
    while sum(one.is_file() for one in shards.rglob("*")) < 12 and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on from there" in said
    assert "Traceback" not in said
    kept = as_json("status", folder / "field.zarr")["done"]
    assert 3 <= kept < 180
    report = as_json("run", folder / "field.yaml")
    assert report["skipped"] == kept
    assert report["exit_code"] == 0


def test_a_cube_opens_in_plain_xarray_in_a_process_without_this_package(folder):
    ilrs("run", folder / "field.yaml")
    program = (
        "import sys, xarray as xr; cube = xr.open_zarr('field.zarr');"
        "assert not any(name.startswith('ilrs') for name in sys.modules);"
        "print(cube.b.attrs['units'], cube.time.dtype, float(cube.b.where(cube.quality == 0).mean()))"
    )
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    said = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=environment, capture_output=True, text=True, check=True
    ).stdout.split()
    assert said[:2] == ["nT", "datetime64[ns]"]
    with xr.open_zarr(folder / "field.zarr") as cube:
        assert float(said[2]) == pytest.approx(float(cube.b.where(cube.quality == 0).mean()))


def test_parameters_of_steps_can_be_set_for_a_check():
    given = conformance.parameters_given(["despike.window=5 s", "despike.limit=3", "cal.edges=[1, 2.5]"])
    assert given == {"despike": {"window": "5 s", "limit": 3}, "cal": {"edges": [1, 2.5]}}
    evidence = conformance.Evidence([], [], {"to_nanotesla": {"noise": 0.2}})
    steps = evidence.steps_of(registry.instrument("fluxgate"))
    assert steps == [{"flag_saturated": {}}, {"correlate_clock": {}}, {"to_nanotesla": {"noise": 0.2}}]
    assert conformance.Evidence([], []).steps_of(registry.instrument("fluxgate")) is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "noise=0.2"], "expected step.parameter=value"),
        (["--set", "to_teslas.noise=0.2"], "fluxgate has no step to_teslas; it has flag_saturated"),
        (["--set", "to_nanotesla.noise=[0.2"], "not YAML"),
        (["--raw", "nowhere/*.fgm"], "nowhere/*.fgm: no file matches it"),
    ],
)
def test_a_check_that_cannot_be_made_says_why(arguments, words):
    result = ilrs("check", "fluxgate", *arguments)
    assert result.exit_code == 1
    assert words in " ".join(result.stderr.split())
