"""The contract, one named test a check; and the truth."""

from pathlib import Path

import numpy as np
import pytest
from acme_mag import instrument as acme_mag
from acme_mag.simulate import GAP, SITES, SPANS, photons, simulate

import ilrs_science as ilrs


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("campaign")
    simulate(folder)
    return folder


@pytest.fixture(scope="module")
def instrument() -> ilrs.Instrument:
    return acme_mag


@pytest.fixture(scope="module")
def granules(campaign: Path) -> tuple[ilrs.Granule, ...]:
    return ilrs.inventory([f"{campaign}/raw/{{site}}/*.evt.fits"], instruments=["acme-mag"]).granules


def test_conformance(instrument_check, instrument, granules):
    instrument_check(instrument, granules)


def test_the_cube_holds_every_good_photon_and_the_time_in_which_there_could_have_been_any(campaign: Path):
    report = ilrs.run(
        {
            "name": "truth",
            "instrument": "acme-mag",
            "time": {"start": "2031-02-28T23:58:50.816Z", "stop": "2031-03-01T00:08:50.816Z", "step": "10 s"},
            "raw": f"{campaign}/raw/{{site}}/*.evt.fits",
            "output": str(campaign / "truth.zarr"),
        }
    )
    assert report.exit_code == 0
    cube = ilrs.open_cube(report.output)
    blocked = [(start + GAP[0], start + GAP[1]) for start, _ in SPANS]
    for site in SITES:
        every = photons(site)
        seen = ~np.any([(every["TIME"] >= low) & (every["TIME"] < high) for low, high in blocked], axis=0)
        one = cube.sel(site=site)
        per_slot = np.bincount((every["TIME"][seen] // 10).astype(int), minlength=60)
        assert one.counts.sum(("energy", "y", "x")).values.tolist() == per_slot.tolist()
        assert float(one.exposure.sum()) == pytest.approx(600 - 2 * (GAP[1] - GAP[0]), abs=1e-6)
    total = cube.ilrs.rate(over=["energy", "y", "x"], every="10 min")
    assert (abs(total.rate - 30) < 4 * total.rate_uncertainty).all()
