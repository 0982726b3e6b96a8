"""Events of a real detector: a run of LEXI in the laboratory, of whose photons many share a time."""

from collections.abc import Callable
from pathlib import Path

import cdflib
import numpy as np
import pytest

import ilrs_science as ilrs

PLUGIN = """
import numpy as np
import xarray as xr
from ilrs_science import Granule, Instrument, Product, formats

RA, DEC = np.arange(165.0, 226.0, 5.0), np.arange(-45.0, 21.0, 5.0)

def read(granule: Granule) -> xr.Dataset:
    with granule.local() as path:
        events = formats.read(path)[["ra_J2000_deg", "dec_J2000_deg"]]
    tai = events.tai.values.astype("i8")
    return events.assign_attrs(site="lexi", good=[[tai.min(), tai.max() + 1]], rejected={})

def to_bins(ds: xr.Dataset) -> xr.Dataset:
    ra, dec = (np.digitize(ds[f"{n}_J2000_deg"], edges) - 1 for n, edges in (("ra", RA), ("dec", DEC)))
    return ds.assign(ra_bin=("time", ra), dec_bin=("time", dec))

product = Product(place="histogram", bins={"dec": "dec_bin", "ra": "ra_bin"}, coordinates={"dec": DEC, "ra": RA})
instrument = Instrument("lexi-sky", files="*level_1c*.cdf", read=read, steps=(to_bins,), product=product)
"""


@pytest.mark.real
def test_each_of_the_3817_photons_is_counted_though_two_hundred_share_a_time_with_another(
    real_data: Path, install: Callable[..., Path], tmp_path: Path
) -> None:
    install("lexi-sky", {"lexi_sky.py": PLUGIN}, {"ilrs_science.instruments": {"lexi-sky": "lexi_sky:instrument"}})
    (path,) = (real_data / "lexi_raw").glob("*level_1c*.cdf")
    report = ilrs.run(
        {
            "name": "sky",
            "instrument": "lexi-sky",
            "time": {"start": "2025-03-02T08:10:03Z", "stop": "2025-03-02T08:15:13Z", "step": "10 s"},
            "raw": str(path),
            "output": str(tmp_path / "sky.zarr"),
        },
        executor="serial",
    )
    assert (report.counts.read, report.counts.placed) == (3817, 3817)
    cube = ilrs.open_cube(report.output)
    file = cdflib.CDF(str(path))
    ra, dec = (file.varget(f"{name}_J2000_deg") for name in ("ra", "dec"))
    expected, _, _ = np.histogram2d(dec, ra, [np.arange(-45.0, 21.0, 5.0), np.arange(165.0, 226.0, 5.0)])
    assert cube.counts.sum(["site", "time"]).values.tolist() == expected.tolist()
    total = cube.ilrs.rate(over=["ra", "dec"], every="310 s")
    assert float((total.rate_uncertainty * total.exposure).sum()) == pytest.approx(3818**0.5)
    assert float(total.exposure.sum()) == pytest.approx(299.946725, abs=1e-6)
