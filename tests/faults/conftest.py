"""A small campaign with every ordinary flaw, and its cube as an undisturbed run makes it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ilrs_toys.campaign import Campaign

import ilrs_science as ilrs

LAYOUT = {"chunk": 256, "shard": 256}
"""Three parts a site; small chunks would cost more than all else."""


class Small(Campaign):
    """768 slots at one site: two files that share an edge, a gap, and a duplicate."""

    def pipeline(self, count: int = 768, **changes: Any) -> dict[str, Any]:
        return super().pipeline(count, **({"sites": ["a"], "layout": LAYOUT} | changes))


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
def finished(small: Small) -> Small:
    """Return the campaign with its finished cube."""
    assert ilrs.run(small.pipeline(), executor="serial").exit_code == 0
    return small


@pytest.fixture
def straight(done_once: Path) -> Path:
    """Return the cube of an undisturbed run."""
    return done_once / "cube.zarr"


@pytest.fixture
def fresh(small: Small) -> Callable[..., Path]:
    """Return a function that makes the cube of a pipeline afresh, beside the other."""

    def made(**changes: Any) -> Path:
        number = len(list(small.folder.glob("fresh-*")))
        pipeline = small.pipeline(output=f"fresh-{number}.zarr", **changes)
        assert ilrs.run(pipeline, executor="serial").exit_code in (0, 3)
        return Path(pipeline["output"])

    return made
