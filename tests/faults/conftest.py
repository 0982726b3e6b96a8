"""A small campaign with every ordinary flaw, and its cube as an undisturbed run makes it."""

from pathlib import Path

import pytest
from ilrs_toys.campaign import Small, moved

import ilrs_science as ilrs


def make(folder: Path) -> Small:
    made = Small(folder)
    made.write("0.toy", "a", range(300))
    made.write("1.toy", "a", [*range(299, 500), *range(600, 768)])
    return made


@pytest.fixture(scope="session")
def done_once(toys: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    assert ilrs.run(make(folder).pipeline(), executor="serial").exit_code == 0
    return folder


@pytest.fixture
def small(toys: Path, tmp_path: Path) -> Small:
    """Return the campaign, not run yet."""
    return make(tmp_path)


@pytest.fixture
def finished(small: Small, done_once: Path) -> Small:
    """Return the campaign with its finished cube."""
    moved(done_once / "cube.zarr", small.folder)
    return small


@pytest.fixture
def straight(done_once: Path) -> Path:
    """Return the cube of an undisturbed run."""
    return done_once / "cube.zarr"


@pytest.fixture(scope="session")
def changed(toys: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the cube of an undisturbed run over the changed file."""
    made = make(tmp_path_factory.mktemp("changed"))
    made.change()
    assert ilrs.run(made.pipeline(), executor="serial").exit_code == 0
    return made.folder / "cube.zarr"
