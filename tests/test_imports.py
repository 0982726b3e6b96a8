"""What an import brings: nothing heavy before a name is used, and `Dataset.ilrs` in whatever order."""

import ast
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import ilrs_science as ilrs

HEAVY = {
    *("astropy", "dask", "distributed", "fsspec", "matplotlib", "numpy", "pandas", "pyarrow", "pydantic", "scipy"),
    *("xarray", "yaml", "zarr"),
}
TELL = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
CUBE = "xarray.Dataset({'b': ('x', [1.0])}, attrs={'provenance': '{\"from\": 1}'})"
USE = f"cube = {CUBE}; print(cube.ilrs.provenance['from'], type(cube.b.ilrs).__name__)"


def python(program: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", program, *arguments]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=True)


def loaded(program: str, *arguments: str, **environment: str) -> set[str]:
    """Return the names of all modules that are loaded when a program has ended, as in `ilrs_science.errors`."""
    return set(python(TELL + program, *arguments, **environment).stderr.splitlines()[-1].split())


def packages(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


def shown_to_type_checkers() -> dict[str, str]:
    """Return the names that the package imports for type checkers, each with its module."""
    blocks = [node for node in ast.parse(Path(ilrs.__file__).read_text()).body if isinstance(node, ast.If)]
    imports = [node for node in blocks[0].body if isinstance(node, ast.ImportFrom)]
    return {one.name: node.module or "" for node in imports for one in node.names}


def test_importing_the_package_loads_no_library_and_none_of_its_rooms():
    found = loaded("import ilrs_science")
    assert packages(found) & HEAVY == set()
    ours = {name for name in found if name.startswith("ilrs_science.")}
    assert ours == {"ilrs_science.analysis", "ilrs_science.analysis.attaching"}


def test_a_name_loads_its_own_room_and_not_the_engine():
    found = loaded("from ilrs_science import IlrsError")
    assert packages(found) & HEAVY == set()
    assert "ilrs_science.running" not in loaded("from ilrs_science import Instrument, Product, Variable")


def test_every_public_name_is_there_listed_and_the_one_that_type_checkers_see():
    seen = shown_to_type_checkers()
    assert set(seen) == set(ilrs.__all__)
    for name, module in seen.items():
        assert getattr(ilrs, name) is getattr(import_module(module), name), name
    assert {*ilrs.__all__, "__version__", "geometry"} <= set(dir(ilrs))


def test_names_are_listed_before_they_are_used_and_a_star_imports_them_all():
    program = "import ilrs_science; print(*dir(ilrs_science))\nfrom ilrs_science import *\nprint(*globals())"
    listed, imported = python(program).stdout.splitlines()
    assert set(ilrs.__all__) <= set(listed.split()) & set(imported.split())


def test_rooms_are_reached_as_attributes():
    program = "import ilrs_science as ilrs; print(ilrs.geometry.altaz.__name__, ilrs.formats.read.__name__)"
    assert python(program).stdout.split() == ["altaz", "read"]


def test_a_wrong_name_is_the_usual_error():
    with pytest.raises(AttributeError, match="module 'ilrs_science' has no attribute 'Instrumnt'"):
        _ = ilrs.Instrumnt
    with pytest.raises(ImportError, match="cannot import name 'Instrumnt' from 'ilrs_science'"):
        from ilrs_science import Instrumnt  # noqa: F401, PLC0415


@pytest.mark.parametrize(
    "imports",
    [
        "import xarray; import ilrs_science",
        "import ilrs_science; import xarray",
        "from ilrs_science import errors; from xarray import Dataset; import xarray",
        "import ilrs_science; import xarray.core.dataset",
        "from ilrs_science import open_cube; import xarray",
        "import ilrs_science, asyncio; asyncio.run(asyncio.to_thread(__import__, 'xarray')); import xarray",
        "import xarray; import ilrs_science; import ilrs_science.analysis.accessor",
    ],
)
def test_a_dataset_has_its_accessor_in_whatever_order_things_are_imported(imports):
    assert python(f"{imports}\n{USE}").stdout.split() == ["1", "VariableAccessor"]


def test_the_accessor_is_loaded_at_its_first_use():
    found = loaded("import ilrs_science, xarray; ilrs_science.Instrument")
    assert "xarray" in found
    assert not {name for name in found if name.startswith(("ilrs_science.analysis.acc", "ilrs_science.geometry"))}


def test_xarray_keeps_its_own_loader():
    program = "import ilrs_science, inspect, xarray, xarray.ufuncs as other; loaders = xarray.__loader__, "
    program += "xarray.__spec__.loader; assert {*map(type, loaders)} == {type(other.__loader__)}, loaders; "
    program += "print('Dataset' in inspect.getsource(xarray))"
    assert python(program).stdout.strip() == "True"


def test_an_xarray_that_fails_to_load_can_be_loaded_later(tmp_path):
    (tmp_path / "xarray.py").write_text("raise ImportError('half installed')")
    program = f"""
import ilrs_science, sys
sys.path.insert(0, {str(tmp_path)!r})
try:
    import xarray
except ImportError as error:
    print(error)
sys.path.pop(0)
import xarray
{USE}"""
    assert python(program).stdout.splitlines() == ["half installed", "1 VariableAccessor"]


def test_asking_where_xarray_is_loads_nothing():
    found = loaded("import ilrs_science, importlib.util; assert importlib.util.find_spec('xarray').loader.path")
    assert packages(found) & HEAVY == set()


def test_the_pytest_plugin_loads_no_library_in_a_run_that_does_not_use_it(tmp_path):
    (tmp_path / "test_nothing.py").write_text("def test_nothing(): pass")
    program = "import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))"
    found = loaded(
        program, "-p", "ilrs_science.testing.plugin", "-q", str(tmp_path), PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"
    )
    assert "ilrs_science.testing.plugin" in found
    assert packages(found) & HEAVY == set()
    assert not {name for name in found if name.startswith(("ilrs_science.model", "ilrs_science.running"))}


ILRS = "import sys; sys.argv[0] = 'ilrs'; from ilrs_science.cli.app import main; main()"
COMPLETING = {"_ILRS_COMPLETE": "complete_bash", "COMP_WORDS": "ilrs ", "COMP_CWORD": "1"}


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_the_command_line_tells_of_itself_without_any_library(option):
    found = loaded(ILRS, option)
    assert packages(found) & (HEAVY | {"rich"}) == set()
    assert not {name for name in found if name.startswith(("ilrs_science.running", "ilrs_science.model"))}


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [(["run", "--help"], {}), (["check", "--help"], {}), ([], COMPLETING), ([], {"_ILRS_COMPLETE": "source_bash"})],
    ids=["help on run", "help on check", "completion", "script for completion"],
)
def test_help_on_a_command_and_completion_load_no_library(arguments, environment):
    assert packages(loaded(ILRS, *arguments, **environment)) & HEAVY == set()


def test_completion_knows_the_commands():
    assert {"quickstart", "verify", "new-instrument"} <= set(python(ILRS, **COMPLETING).stdout.split())
