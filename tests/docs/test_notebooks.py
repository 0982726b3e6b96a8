"""The notebooks of the documentation run from top to bottom, say nothing on stderr, and draw their pictures."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[2] / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def test_both_notebooks_are_there() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["a-lunar-day-at-shackleton", "what-time-is-it-on-the-moon"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::RuntimeWarning")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_draws(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output["text"] for output in outputs if output.get("name") == "stderr"]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    stored = [o for cell in nbformat.read(path, as_version=4).cells for o in cell.get("outputs", [])]
    assert len(pictures) == len([o for o in stored if "image/png" in o.get("data", {})]) >= 2


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_stored_notebook_names_no_folder_of_the_machine_that_ran_it(path: Path) -> None:
    text = path.read_text()
    assert "/tmp/" not in text  # noqa: S108 - not used
    assert "site-packages" not in text
