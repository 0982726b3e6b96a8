"""What the documents show is run: files as files, commands as commands."""

import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from contextlib import chdir
from pathlib import Path

import pytest
from ilrs_toys.install import write_distribution
from typer.testing import CliRunner

import ilrs_science as ilrs
from ilrs_science import formats, geometry
from ilrs_science.cli.app import app
from ilrs_science.cli.new_instrument import write_package
from ilrs_science.planning.pipeline import Pipeline

ROOT = Path(__file__).parents[2]
CONTRACT = runpy.run_path(str(ROOT / "docs" / "contract.py"))
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")])


def blocks(document: Path, mark: str) -> list[tuple[str, str]]:
    """Return the fenced blocks after a comment `<!-- mark ... -->`, each with the rest of the comment."""
    found = re.findall(rf"<!-- {mark}:? ?(.*?) ?-->\n```\w*\n(.*?)```", document.read_text(), re.DOTALL)
    return [(rest, content) for rest, content in found]


def files_of(document: Path) -> dict[str, str]:
    """Return the files that a document builds up, block by block."""
    files: dict[str, str] = {}
    for name, content in blocks(document, "file"):
        files[name] = files.get(name, "") + content
    return files


def run(command: list[str], folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONWARNINGS": "error", **more}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_tutorial_builds_the_very_package_that_new_instrument_writes(tmp_path):
    written = files_of(ROOT / "docs" / "tutorial" / "first-instrument.md")
    write_package("acme-mag", tmp_path / "acme-mag")
    for name in ("acme_mag/__init__.py", "acme_mag/simulate.py", "tests/test_acme_mag.py"):
        assert written[name].strip() == (tmp_path / "acme-mag" / name).read_text().strip(), name


def test_the_page_on_events_shows_the_very_plugin_of_the_template_and_its_lines_run(tmp_path):
    page = ROOT / "docs" / "how-to" / "count-events.md"
    ((_, commands),) = blocks(page, "run in order")
    type_in(commands, tmp_path)
    ((_, shown),) = blocks(page, "template")
    assert shown.strip() == (tmp_path / "acme-xray" / "acme_xray" / "__init__.py").read_text().strip()
    # As good as installed: on the path, with its entry point.
    entry = {"ilrs_science.instruments": {"acme-xray": "acme_xray:instrument"}}
    write_distribution(tmp_path / "acme-xray", "acme-xray", entry)
    ((_, content),) = blocks(page, "run with")
    done = run([sys.executable, "-c", content], tmp_path, PYTHONPATH=str(tmp_path / "acme-xray"))
    assert done.returncode == 0, done.stderr
    assert "'outside the good intervals'" in done.stdout


def type_in(commands: str, folder: Path) -> None:
    """Type the lines of a block; each has to end well."""
    with chdir(folder):
        for line in commands.strip().splitlines():
            name, *arguments = shlex.split(line, comments=True)
            assert name == "ilrs"
            done = CliRunner().invoke(app, arguments, catch_exceptions=False)
            assert done.exit_code == 0, f"{line}\n{done.output}"


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """A folder in which someone has typed the README from top to bottom."""
    folder = tmp_path_factory.mktemp("reader")
    readme = ROOT / "README.md"
    for name, content in files_of(readme).items():
        (folder / name).write_text(content)
    (_, commands), *_ = blocks(readme, "run in order")
    type_in(commands, folder)
    return folder


def test_the_commands_of_the_readme_run_as_written_and_leave_a_picture(reader):
    assert (reader / "quicklook.png").read_bytes().startswith(b"\x89PNG")


def test_the_page_of_the_contract_says_what_the_docstrings_say():
    assert CONTRACT["PAGE"].read_text() == CONTRACT["text"](), "write it anew: python docs/contract.py"


def test_the_examples_of_the_contract_run(tmp_path):
    content = "\n\n".join(content for _, content in blocks(CONTRACT["PAGE"], "run"))
    done = run([sys.executable, "-c", content], tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["write-a-step.md", "know-time-and-sky.md", "read-raw-files.md"])
def test_the_python_of_the_how_tos_runs(tmp_path, name):
    for _, content in [pair for pair in blocks(ROOT / "docs" / "how-to" / name, "run") if not pair[0]]:
        done = run([sys.executable, "-c", content], tmp_path)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["open-a-cube.md", "know-time-and-sky.md"])
def test_the_notebook_lines_on_cubes_run(reader, tmp_path, name):
    shutil.copytree(reader / "south-pole-field.zarr", tmp_path / "field.zarr")
    for _, content in blocks(ROOT / "docs" / "how-to" / name, "run with"):
        # The cube of the README lasts from midnight to one; the lines ask for six o'clock and get an empty hour.
        done = run([sys.executable, "-c", content], tmp_path)
        assert done.returncode == 0, done.stderr


def pipeline_of(reader: Path, folder: Path, name: str, *changes: tuple[str, str]) -> None:
    """Write the pipeline of the README with some words replaced; the raw files stay where they are."""
    text = (reader / "south-pole-field.yaml").read_text()
    for old, new in [("campaign/", f"{reader}/campaign/"), *changes]:
        assert old in text
        text = text.replace(old, new)
    (folder / name).write_text(text)


def test_the_commands_that_grow_and_verify_a_cube_run_as_written(reader, tmp_path):
    pipeline_of(reader, tmp_path, "south-pole-field.yaml")
    pipeline_of(reader, tmp_path, "first-half.yaml", ("T01:00:00Z", "T00:30:00Z"))
    ((_, commands),) = blocks(ROOT / "docs" / "how-to" / "grow-and-repair-a-cube.md", "run in order")
    type_in(commands, tmp_path)
    assert ilrs.open_cube(str(tmp_path / "south-pole-field.zarr")).sizes["time"] == 3600


def test_the_lines_on_collections_run(reader, tmp_path):
    pipeline_of(reader, tmp_path, "days.yaml", ("output: south-pole-field.zarr", "output: field\npartition: day"))
    type_in("ilrs run days.yaml", tmp_path)
    ((_, content),) = blocks(ROOT / "docs" / "how-to" / "open-a-cube.md", "collection")
    done = run([sys.executable, "-c", content], tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_between_documents_leads_somewhere(document):
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text())
    missing = [target for target in targets if not (document.parent / target).exists()]
    assert missing == []


def test_every_public_name_of_geometry_is_documented():
    text = (ROOT / "docs" / "reference" / "geometry.md").read_text()
    plain = {"Site", "isot", "parse_utc", "default_ephemeris"}
    assert [
        name
        for name in geometry.__all__
        if name not in plain and f"`{name}" not in text and f"geometry.{name}" not in text
    ] == []


def test_every_key_of_a_pipeline_is_documented():
    text = (ROOT / "docs" / "reference" / "pipeline.md").read_text()
    assert [key for key in Pipeline.model_fields if f"| `{key}` |" not in text] == []


def test_every_decision_has_context_decision_and_consequences():
    for record in (ROOT / "docs" / "adr").glob("*.md"):
        assert re.findall(r"\*\*(Context|Decision|Consequences)\.\*\*", record.read_text()) == [
            "Context",
            "Decision",
            "Consequences",
        ], record.name


def test_the_inventory_of_the_how_to_on_raw_files_runs(tmp_path):
    document = ROOT / "docs" / "how-to" / "read-raw-files.md"
    (python, *_), ((_, commands), *_) = blocks(document, "run"), blocks(document, "run with")
    assert run([sys.executable, "-c", python[1]], tmp_path).returncode == 0
    for line in commands.splitlines():
        with chdir(tmp_path):
            done = CliRunner().invoke(app, shlex.split(line)[1:])
        assert done.exit_code == 0, done.output
    assert (tmp_path / "granules.parquet").exists()


def test_the_table_of_formats_has_every_format_and_its_library():
    text = (ROOT / "docs" / "reference" / "formats.md").read_text()
    table = re.findall(r"^\| `([\w-]+)` \| [^|]+ \| ([\w.-]+) \| [\d,]+ \|", text, re.MULTILINE)
    assert table == [(one.name, one.library) for one in formats.FORMATS.values()]
