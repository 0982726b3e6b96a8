"""Where a cube would be written is judged without writing."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ilrs_science import Granule
from ilrs_science.planning.outputs import output_faults, overlap_faults, raw_in_output_faults
from ilrs_science.planning.pipeline import Pipeline, load_pipeline
from ilrs_science.store.granules import LEVEL


def pipeline(output: str | Path, *raw: str | Path) -> Pipeline:
    patterns = [str(one) for one in raw] or ["/nowhere/*.x"]
    return load_pipeline({"name": "x", "instrument": "x", "raw": patterns, "output": str(output)})


def faults(output: str | Path) -> str:
    found = output_faults(pipeline(output))
    assert all(fault.path == "output" for fault in found)
    return "; ".join(map(str, found))


@pytest.mark.parametrize("output", ["cube.zarr", "new/folder/cube.zarr", "odd #?;%[name] ü.zarr"])
def test_a_place_that_can_be_made_has_no_fault_and_is_not_made(tmp_path: Path, output: str) -> None:
    assert faults(tmp_path / output) == ""
    assert list(tmp_path.iterdir()) == []


def test_places_elsewhere_are_left_to_their_store() -> None:
    assert faults("memory://cube.zarr") == ""


def test_a_folder_that_exists_is_left_to_what_lies_in_it(tmp_path: Path) -> None:
    assert faults(tmp_path) == ""
    assert faults(f"file://{tmp_path}") == ""


def test_a_file_and_what_lies_below_a_file_are_faults(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    assert "exists and is not a cube; choose another output, or remove it" in faults(tmp_path / "file")
    assert "exists and is not a cube" in faults(f"file://{tmp_path}/file")
    assert "exists and is not a cube" in faults(tmp_path / "broken")
    assert f"cannot be made: '{tmp_path}/file' is not a folder" in faults(tmp_path / "file" / "deep" / "cube.zarr")


@pytest.mark.parametrize("output", ["/", "//", "/proc/cube.zarr", "/sys/kernel/cube.zarr", "/dev/null/cube.zarr"])
def test_what_is_no_storage_is_a_fault(output: str) -> None:
    assert faults(output) != ""


def test_a_path_longer_than_any_system_takes_is_a_fault(tmp_path: Path) -> None:
    assert "a path has at most" in faults(f"{tmp_path}/" + "folder/" * 560)


@pytest.mark.parametrize("output", ["https://example.org/cube.zarr", "http://example.org/cube.zarr", "data://x"])
def test_a_protocol_that_nothing_can_be_written_by_is_a_fault(output: str) -> None:
    assert "cannot be written" in faults(output)


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Path]:
    # Others may pass through what pytest has made for this user alone, with one process or several.
    for folder in (tmp_path, *tmp_path.parents):
        folder.chmod(0o755)
        if folder.name.startswith("pytest-of-"):
            break
    made = tmp_path / "locked"
    made.mkdir(mode=0o555)
    yield made
    made.chmod(0o755)


@pytest.fixture
def nobody(locked: Path) -> Iterator[None]:
    """Be a user whose permissions count, where the tests run as root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.usefixtures("nobody")
def test_a_folder_that_one_may_not_write_is_a_fault(locked: Path) -> None:
    assert f"cannot be written: '{locked}' is read-only to you" in faults(locked / "new" / "cube.zarr")
    assert "is read-only to you" in faults(locked)


@pytest.mark.parametrize(
    ("raw", "output"),
    [
        ("data", "data/cube.zarr"),
        ("data", "data"),
        ("data/cube.zarr/raw/*.x", "data/cube.zarr"),
        ("data/cube.zarr/a.x", "data/cube.zarr"),
        ("data/**/*.x", "data/cube.zarr"),
        ("**", "data/cube.zarr"),
        ("data/**/raw/*.x", "data/deep/cube.zarr"),
        ("data/*/*.x", "data/cube.zarr"),
        ("{site}/*.x", "haworth"),
        ("[cd]ube.zarr/*.x", "cube.zarr"),
        ("data/../cube.zarr/*.x", "cube.zarr"),
        ("link/*.x", "data"),
        ("data/raw/*.x", "link"),
    ],
)
def test_raw_files_in_the_output_and_the_output_in_raw_files_are_faults(tmp_path: Path, raw: str, output: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    (found,) = overlap_faults(pipeline(tmp_path / output, tmp_path / raw, tmp_path / "elsewhere" / "*.x"))
    assert found.path == "output"
    assert str(tmp_path / raw) in found.found


@pytest.mark.parametrize(
    ("raw", "output"),
    [
        ("data/*.x", "data/cube.zarr"),
        ("data/*", "data/cube.zarr"),
        ("data/raw/*.x", "data/cube.zarr"),
        ("data/raw/**/*.x", "data/cubes/cube.zarr"),
        ("data/cube.zar", "data/cube.zarr"),
        ("data/cube.zarr2/*", "data/cube.zarr"),
        ("{site}/*.x", "cubes/haworth.zarr/deep"),
        ("memory://data/*.x", "memory://cubes/x"),
    ],
)
def test_raw_files_beside_the_output_are_fine(tmp_path: Path, raw: str, output: str) -> None:
    places = [one if "://" in one else str(tmp_path / one) for one in (output, raw)]
    assert overlap_faults(pipeline(*places)) == []


def test_remote_raw_files_in_the_output_are_a_fault() -> None:
    assert overlap_faults(pipeline("memory://data/cube.zarr", "memory://data/**/*.x")) != []
    assert overlap_faults(pipeline("memory://data/cube.zarr", "file://data/**/*.x")) == []


def test_files_that_an_inventory_lists_or_a_link_leads_to_in_the_output_are_a_fault(tmp_path: Path) -> None:
    (tmp_path / "cube.zarr").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "cube.zarr")
    granules = [Granule(f"{tmp_path}/{name}") for name in ("link/a.x", "link/b.x", "raw/c.x")]
    (found,) = raw_in_output_faults(str(tmp_path / "cube.zarr"), granules)
    assert "/link/b.x" in found.found
    assert raw_in_output_faults(str(tmp_path / "other.zarr"), granules) == []


def test_a_cube_that_a_link_leads_to_is_not_its_own_raw_data(tmp_path: Path) -> None:
    (tmp_path / "cube.zarr").mkdir()
    (tmp_path / "link.zarr").symlink_to(tmp_path / "cube.zarr")
    part = Granule(f"{tmp_path}/link.zarr#0+4", level=LEVEL)
    assert len(raw_in_output_faults(str(tmp_path / "cube.zarr"), [part])) == 1
    assert raw_in_output_faults(str(tmp_path / "other.zarr"), [part]) == []
