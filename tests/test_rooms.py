"""Rooms of the house, and who may look into which."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from radon.visitors import ComplexityVisitor

from ilrs_science import plugins

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "ilrs_science"
SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if "template" not in path.parts)

MOST_COMPLEX = 12
"""Cyclomatic complexity of a function that a reader can still hold in mind, as radon counts it."""


def test_imports_only_go_down_the_rooms() -> None:
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert out.returncode == 0, out.stdout + out.stderr
    assert "0 broken" in out.stdout


def test_no_module_is_a_drawer_for_everything() -> None:
    drawers = {"util", "utils", "helper", "helpers", "common", "base", "manager", "misc"}
    modules = [path for folder in ("ilrs_science", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    assert [path for path in modules if drawers & {path.stem, *path.relative_to(ROOT).parts}] == []


@pytest.mark.parametrize("name", [one.name for one in plugins("instruments") if one.distribution == "ilrs-science"])
def test_the_name_of_an_instrument_stays_in_its_plugin(name: str) -> None:
    # The quickstart demonstrates two of them, as a document would.
    own = ("instruments", "simulate", "cli/quickstart.py")
    pattern = re.compile(rf"\b{re.escape(name)}\b")
    found = [
        path.relative_to(PACKAGE).as_posix()
        for path in SOURCES
        if not path.relative_to(PACKAGE).as_posix().startswith(own) and pattern.search(path.read_text())
    ]
    assert found == []


def test_nothing_catches_everything_but_where_a_failure_becomes_a_record_or_a_reason() -> None:
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in SOURCES
        if re.search(r"except\s*(:|BaseException|Exception\b)", path.read_text())
    }
    assert found <= {
        "engine/rehearsal.py",  # what a plugin raises at no sample tells nothing; the run names it
        "engine/worker.py",
        "formats/foreign.py",  # whatever a library raises on a raw file is that file's FormatError
        "raw/fetching.py",  # whatever a server raises is tried again, and then an OutageError
        "catalog/files.py",  # and where it is only asked whether a file changed, nothing is known
        "catalog/listing.py",  # and where it lists files, the pattern is an outage of the inventory
        "store/target.py",  # and so does a store of cubes that does not answer
        "registry.py",
        *(name for name in found if name.startswith(("cli/", "testing/"))),
    }


def functions_with_complexity(code: str) -> Iterator[tuple[str, int]]:
    """Yield every function, method and closure of a module; code that cannot be parsed is an error."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            (function,) = ComplexityVisitor.from_ast(node).functions
            yield function.name, function.complexity


def test_no_function_has_more_branches_than_a_reader_holds_in_mind() -> None:
    # Raw formats have the branches of their standards.
    tangled = {
        f"{path.relative_to(PACKAGE).as_posix()}:{name}"
        for path in SOURCES
        if path.relative_to(PACKAGE).parts[0] != "formats"
        for name, complexity in functions_with_complexity(path.read_text())
        if complexity > MOST_COMPLEX
    }
    assert tangled == set(), "straighten these"


def test_branches_are_counted_in_code_of_today() -> None:
    code = """
type Rows[T] = list[T]

class Shelf[T]:
    async def first(self, rows: Rows[T]) -> T | None:
        def known[K: (int, str)](key: K) -> bool:
            return key in rows or key is None
        return next((one for one in rows if known(one)), None) if rows else None
"""
    assert dict(functions_with_complexity(code)) == {"first": 4, "known": 2}
    with pytest.raises(SyntaxError):
        list(functions_with_complexity("def torn(:"))


def test_data_folders_are_found_in_a_checkout() -> None:
    from ilrs_science.catalog import data_folder  # noqa: PLC0415

    for name in ("catalogs", "pipelines", "cluster"):
        assert any(data_folder(name).rglob("*.yaml"))
