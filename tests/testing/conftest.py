import importlib
import sys
from pathlib import Path

import pytest


def install(folder: Path) -> None:
    """Install the toy package as pip would: a module, and metadata with its entry points."""
    source = Path(__file__).with_name("toy_lab.py").read_text()
    (folder / "toy_lab.py").write_text(source)
    (folder / "table.txt").write_text("2.0")
    metadata = folder / "toy_lab-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-lab\nVersion: 1.0\n")
    names = [line.split(" = _wrong(")[0] for line in source.splitlines() if " = _wrong(" in line]
    points = [f"toy-{name.replace('_', '-')} = toy_lab:{name}\n" for name in names]
    points.append("lab-camera = toy_lab:camera\n")
    (metadata / "entry_points.txt").write_text("[ilrs_science.instruments]\ntoy = toy_lab:toy\n" + "".join(points))
    (metadata / "RECORD").write_text("")


@pytest.fixture(scope="session")
def site_packages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site-packages")
    install(folder)
    return folder


@pytest.fixture(scope="module")  # a session long, its instruments would claim the files of other tests
def toy_lab(site_packages):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site_packages)
        yield importlib.import_module("toy_lab")
    del sys.modules["toy_lab"]


@pytest.fixture(scope="module")
def raw_files(toy_lab, tmp_path_factory):
    return toy_lab.simulate(tmp_path_factory.mktemp("raw"))
