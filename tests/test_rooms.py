"""Rooms of the house, and who may look into which."""

import ast
import dataclasses
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
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


def catches_everything(code: str) -> bool:
    """Tell whether code catches every error somewhere: bare, by name, among others, or by `suppress`."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ExceptHandler):
            caught = [node.type] if node.type is not None else [ast.Name("BaseException")]
        elif isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "suppress":
            caught = list(node.args)
        else:
            continue
        named = {one.id for each in caught for one in ast.walk(each) if isinstance(one, ast.Name)}
        if named & {"Exception", "BaseException"}:
            return True
    return False


@pytest.mark.parametrize(
    "handler", ["except:", "except Exception:", "except (Exception, SystemExit):", "except BaseException as error:"]
)
def test_every_way_to_catch_everything_is_seen(handler: str) -> None:
    assert catches_everything(f"try:\n    go()\n{handler}\n    pass")
    assert catches_everything("with contextlib.suppress(OSError, Exception):\n    go()")
    assert not catches_everything("try:\n    go()\nexcept OSError:\n    pass")


def test_nothing_catches_everything_but_where_a_failure_becomes_a_record_or_a_reason() -> None:
    found = {path.relative_to(PACKAGE).as_posix() for path in SOURCES if catches_everything(path.read_text())}
    assert {name for name in found if not name.startswith(("cli/", "testing/"))} == {
        "catalog/files.py",  # where it is only asked whether a file changed, nothing is known
        "catalog/indexing.py",  # whatever a reader raises is the reason of its file
        "catalog/listing.py",  # where a server lists files, the pattern is an outage of the inventory
        "errors.py",  # what would end a process becomes an error that names who raised it
        "executors/child.py",  # what a child's function raises is raised again by its parent
        "executors/local.py",  # and so is what a thread's does
        "formats/contributed.py",  # whatever the module of a format raises on import is why it cannot be used
        "formats/foreign.py",  # whatever a library raises on a raw file is that file's FormatError
        "formats/format.py",  # and on a text that is no unit, so that it is none
        "planning/rehearsal.py",  # what a plugin raises at no sample tells nothing; the run names it
        "raw/fetching.py",  # whatever a server raises is tried again, and then an OutageError
        "reduction/calibration.py",  # what a reader or a step raises is why its granule is rejected
        "reduction/series.py",  # and why one of a series is
        "reduction/worker.py",  # and what fails a part is why, in its record
        "reduction/rows.py",  # what a step has against no event at all is no fault of it
        "registry.py",
        "store/bucket.py",  # a store of cubes that does not answer
    }


def test_values_are_frozen_and_what_changes_during_a_run_is_named() -> None:
    changing = {
        f"{path.relative_to(PACKAGE).as_posix()}:{made.__name__}"
        for path in SOURCES
        if path.relative_to(PACKAGE).parts[0] in ("model", "planning", "running", "reduction", "store")
        for made in vars(import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))).values()
        if dataclasses.is_dataclass(made)
        and made.__module__.endswith(path.stem)
        and not made.__dataclass_params__.frozen
    }
    assert changing == {
        "reduction/account.py:Tally",  # counts of a granule, while its part is reduced
        "running/writing.py:Writing",  # what a run has done so far
        "store/lease.py:Waiting",  # settings that tests make shorter
        "store/records.py:Journal",  # records that wait to be written
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
