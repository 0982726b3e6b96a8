"""The pipelines that are shipped: each loads, and lacks nothing but raw files and references."""

from pathlib import Path

import pytest

import ilrs_science as ilrs
from ilrs_science.catalog import data_folder
from ilrs_science.planning.pipeline import load_pipeline

PIPELINES = sorted(data_folder("pipelines").glob("*.yaml"))


def test_every_built_in_mission_has_a_pipeline() -> None:
    names = {path.stem for path in PIPELINES}
    assert {"fluxgate-campaign", "clementine-orbit-219", "apollo-pse", "cluster-fgm"} <= names


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.stem)
def test_a_pipeline_loads_under_its_own_name(path: Path) -> None:
    pipeline = load_pipeline(path)
    assert pipeline.name == path.stem
    assert all(raw.startswith(str(path.parent / "raw")) for raw in pipeline.raw)


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.stem)
def test_a_pipeline_lacks_nothing_but_raw_files_and_references(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ilrs.PlanError) as error:
        ilrs.plan(path, raw=[str(tmp_path / "*")], output=str(tmp_path / "cube.zarr"))
    others = [fault for fault in error.value.faults if fault.path != "raw"]
    assert len(others) < len(error.value.faults)
    assert all("there is no candidate" in str(fault) for fault in others), error.value
