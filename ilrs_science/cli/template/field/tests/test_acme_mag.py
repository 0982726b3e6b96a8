"""The contract, one named test a check; and the truth."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from acme_mag import instrument as acme_mag
from acme_mag.simulate import SITES, field, simulate

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
    return ilrs.inventory([f"{campaign}/raw/{{site}}/*.mag"], instruments=["acme-mag"]).granules


@pytest.fixture(scope="module")
def references(campaign: Path) -> list[Path]:
    return [campaign / "references"]


def test_conformance(instrument_check, instrument, granules, references):
    instrument_check(instrument, granules)


def test_the_cube_holds_the_true_field(campaign: Path):
    report = ilrs.run(
        {
            "name": "truth",
            "instrument": "acme-mag",
            "time": {"start": "2031-03-01T00:00:00Z", "stop": "2031-03-01T00:10:00Z", "step": "1 s"},
            "raw": f"{campaign}/raw/{{site}}/*.mag",
            "references": {"folders": [str(campaign / "references")]},
            "output": str(campaign / "truth.zarr"),
        }
    )
    assert report.exit_code == 0
    cube = xr.open_zarr(report.output)
    assert set(cube.site.values) == set(SITES)
    times = cube.tai.values.astype("i8") + cube.time_offset.sel(site="malapert").values
    np.testing.assert_allclose(cube.b.sel(site="malapert"), field(times), atol=0.011)
