"""The toys are on the path of every test, and installed where a test asks for it; where the real files lie."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

PLUGINS = Path(__file__).resolve().parent / "plugins"
sys.path.insert(0, str(PLUGINS))

from ilrs_toys.install import TOYS, write_distribution  # noqa: E402 - needs the path above

PLACES = [
    *([Path(os.environ["ILRS_REAL_DATA"])] if "ILRS_REAL_DATA" in os.environ else []),
    Path(__file__).resolve().parents[1] / ".." / "shared" / "data",
]
ABSENT = (
    "the real observation files (a folder shared/data with facts.json) are absent; looked in "
    + " and ".join(str(place) for place in PLACES)
    + "; set ILRS_REAL_DATA to their folder"
)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of the real observation files, or skip."""
    for place in PLACES:
        if (place / "facts.json").is_file():
            return place.resolve()
    pytest.skip(ABSENT)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests were skipped for want of the real files, however quiet the run is."""
    skipped = sum(ABSENT in str(one.longrepr) for one in terminalreporter.getreports("skipped"))
    if skipped:
        terminalreporter.section("real observation files", sep="!", yellow=True, bold=True)
        terminalreporter.write_line(f"{skipped} tests were skipped: {ABSENT}", yellow=True)


settings.register_profile(
    "laws", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("laws")


@pytest.fixture(scope="session")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Install the toys for this process and every process it starts."""
    folder = tmp_path_factory.mktemp("installed")
    write_distribution(folder, "ilrs-toys", TOYS)
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), str(PLUGINS), *([before] if before else [])])
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Return a function that installs a distribution of modules given as text, for this test only."""

    def installed(name: str, modules: Mapping[str, str], points: Mapping[str, Mapping[str, str]], **more: Any) -> Path:
        folder = tmp_path / f"installed-{name}-{len(list(tmp_path.glob('installed-*')))}"
        for path, text in modules.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
            monkeypatch.delitem(sys.modules, path.removesuffix(".py").replace("/", "."), raising=False)
        write_distribution(folder, name, points, **more)
        monkeypatch.syspath_prepend(str(folder))
        return folder

    return installed
