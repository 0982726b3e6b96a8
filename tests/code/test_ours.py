"""Our own code: every edit changes the identity of those instruments whose data it makes, and of no others."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ilrs_science
from ilrs_science import registry
from ilrs_science.code import ROOTS, STACK, code_of, environment
from ilrs_science.code import __name__ as code_module
from ilrs_science.code.places import place_of
from ilrs_science.errors import PluginError

PACKAGE = Path(ilrs_science.__file__).parent
EDIT = "\nEDITED = 1\n"
EVERY = ["accessor", "any", "any+pds3", "fluxgate", "fluxgate+cdf", "read_cdf", "scales"]
ANY = ["any"]
CDF = ["any", "fluxgate+cdf", "read_cdf"]
FLUXGATE = ["fluxgate", "fluxgate+cdf"]
MORE_FORMATS = "from ilrs_science.formats import idl as more\n_MODULES = (more, "
EDITS: dict[str, tuple[str, str, str, list[str]]] = {
    # file, text to replace (nothing: at the end), new text, identities that change
    "the worker": ("reduction/worker.py", "", EDIT, EVERY),
    "how samples are placed": ("reduction/placing.py", "", EDIT, EVERY),
    "indexing, which tells samples": ("catalog/indexing.py", "", EDIT, EVERY),
    "the store": ("store/shards.py", "", EDIT, EVERY),
    "a noun": ("model/axis.py", "", EDIT, EVERY),
    "how raw files are opened": ("formats/opening.py", "", EDIT, EVERY),
    "an instrument": ("instruments/fluxgate.py", "", EDIT, FLUXGATE),
    "its literal": ("instruments/fluxgate.py", "32767", "32766", FLUXGATE),
    "its step of another room": ("steps/correlate_clock.py", "", EDIT, FLUXGATE),
    "the simulator that tells its packets": ("simulate/magnetometer.py", "", EDIT, FLUXGATE),
    "its format of packets": ("formats/packets.py", "", EDIT, FLUXGATE),
    "a format": ("formats/cdf/records.py", "", EDIT, CDF),
    "another format": ("formats/pds3/image.py", "", EDIT, ["any", "any+pds3"]),
    "a format of nobody": ("formats/idl/records.py", "", EDIT, ANY),
    "a data file": ("geometry/tcl_de440.npz", "", "x", ["accessor", "any", "scales"]),
    "the accessor": ("analysis/accessor.py", "", EDIT, ["accessor"]),
    "another instrument": ("instruments/apollo_pse.py", "", EDIT, []),
    "another step": ("steps/despike.py", "", EDIT, []),
    "a simulator": ("simulate/gras.py", "", EDIT, []),
    "the command line": ("cli/app.py", "", EDIT, []),
    "the kit of tests": ("testing/case.py", "", EDIT, []),
    "the dispatch of a run": ("running/run.py", "", EDIT, []),
    "a facade": ("__init__.py", "", "\nfrom ilrs_science.geometry import Clock\n", []),
    "a facade of a room": ("geometry/__init__.py", "", "\nfrom ilrs_science.geometry.earth import dipole_axis\n", []),
    "one more format in the table": ("formats/__init__.py", "_MODULES = (", MORE_FORMATS, []),
    "a comment": ("reduction/worker.py", "", "\n# a remark\n", []),
    "a comment in indexing": ("catalog/indexing.py", "", "\n# a remark\n", []),
    "a docstring": ("model/axis.py", '"""', '"""Edited. ', []),
}


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Make every edit in a copy of the package, and tell which identities it changed."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(PACKAGE, folder / "ilrs_science", ignore=shutil.ignore_patterns("__pycache__"))
    out = subprocess.run(
        [sys.executable, "-B", str(Path(__file__).with_name("edits.py"))],
        input=json.dumps([edit[:3] for edit in EDITS.values()]),
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert out.returncode == 0, out.stderr
    return dict(zip(EDITS, json.loads(out.stdout), strict=True))


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_changes_the_identity_of_what_it_makes_and_nothing_else(
    changed: dict[str, list[str]], edit: str
) -> None:
    assert changed[edit] == EDITS[edit][3]


def test_every_root_exists() -> None:
    places = [place_of(root) for root in ROOTS]
    assert all(place and Path(place.file).is_file() for place in places)


def test_a_root_that_is_missing_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{code_module}.ROOTS", ("ilrs_science.reduction.labourer",))
    with pytest.raises(PluginError, match=r"no module ilrs_science\.reduction\.labourer"):
        code_of(registry.instrument("fluxgate"), ())


def test_a_format_that_nobody_knows_is_an_error_that_names_it() -> None:
    with pytest.raises(PluginError, match="no format 'papyrus'; there are fits, "):
        code_of(registry.instrument("fluxgate"), (), ["papyrus"])


def test_every_data_file_of_ours_is_named_by_a_module_beside_it() -> None:
    data = [
        path
        for path in PACKAGE.rglob("*")
        if path.is_file() and path.suffix not in {".py", ".pyc", ".typed"} and "template" not in path.parts
    ]
    assert data
    for path in data:
        assert any(f'"{path.name}"' in module.read_text() for module in path.parent.glob("*.py")), path


def test_an_instrument_of_ours_has_no_plugin_code() -> None:
    fluxgate = registry.instrument("fluxgate")
    assert code_of(fluxgate, fluxgate.steps).plugin == ""


def test_the_environment_is_python_and_our_stack_as_major_and_minor() -> None:
    found = environment()
    assert found["python"] == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert found.keys() <= {"python", *STACK}
    assert {"numpy", "xarray", "zarr", "dask", "scipy", "astropy", "pandas", "pyerfa"} <= found.keys()
    assert all(len(number.split(".")) == 2 and number.replace(".", "").isdigit() for number in found.values())
