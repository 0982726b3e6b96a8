"""The simulated campaign has the flaws and the truth that it says it has."""

from pathlib import Path

import numpy as np
import pytest

import ilrs_science as ilrs
from ilrs_science.formats.packets import read_packets
from ilrs_science.simulate.magnetometer import PACKET, STATIONS, VECTORS, simulate


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("campaign")
    simulate(folder, hours=2, files_per_day=48)
    return folder


def test_the_same_seed_writes_the_same_bytes(campaign: Path, tmp_path: Path) -> None:
    again = simulate(tmp_path, hours=2, files_per_day=48)
    assert len(again) == 12
    for path in again:
        assert path.read_bytes() == (campaign / path.relative_to(tmp_path)).read_bytes()
    assert simulate(tmp_path / "other", hours=2, files_per_day=48, seed=8)[0].read_bytes() != again[0].read_bytes()


def test_without_flaws_every_packet_is_there_once_and_in_order(tmp_path: Path) -> None:
    for path in simulate(tmp_path, hours=1, flaws=False):
        records, rejected = read_packets(path.read_bytes(), PACKET)
        assert rejected == {}
        assert (np.diff(records["seconds"].astype("i8")) > 0).all()
    truth = np.load(tmp_path / "truth.npz")
    assert not any(truth[f"lost_{station.name}"].any() or truth[f"spike_{station.name}"].any() for station in STATIONS)


def test_the_reduced_cube_is_the_truth_within_its_uncertainty(campaign: Path, tmp_path: Path) -> None:
    names = [station.name for station in STATIONS]
    time = {"start": "2031-03-01T00:00:00Z", "stop": "2031-03-01T02:00:00Z", "step": "1 s"}
    pipeline = {
        "name": "field",
        "instrument": "fluxgate",
        "sites": names,
        "time": time,
        "raw": str(campaign / "raw" / "{site}" / "*.fgm"),
        "references": {"folders": [str(campaign / "references")]},
        "steps": ["flag_saturated", "correlate_clock", "to_nanotesla", {"despike": {"window": "20 s"}}],
        "layout": {"chunk": 600, "shard": 1800},
        "output": str(tmp_path / "field.zarr"),
    }
    report = ilrs.run(pipeline, executor="serial")
    assert report.failed == ()
    assert report.counts.add_up
    # What a relay repeats within a file are samples of their own, for which there is no second slot.
    assert report.counts.rejected > 0
    assert report.reasons == {"another sample is in its slot": report.counts.rejected}
    cube = ilrs.open_cube(pipeline["output"]).load()
    truth = np.load(campaign / "truth.npz")
    for name in names:
        site = cube.sel(site=name)
        quality = site.quality.to_numpy()
        lost, spike = truth[f"lost_{name}"], truth[f"spike_{name}"]
        assert (((quality & 1) > 0) == lost).mean() > 1 - 3 * VECTORS / len(lost)
        error = (site.b.to_numpy() - truth[f"b_{name}"])[quality == 0]
        assert np.sqrt((error**2).mean()) == pytest.approx(0.05, rel=0.1)
        assert ((quality[spike & ~lost] & 64) > 0).all()
        assert ((quality & 64) > 0).sum() <= spike.sum() + 2
