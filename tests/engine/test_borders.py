"""What one run, part, plugin or caller does stays with it."""

import bz2
import importlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from ilrs_toys.campaign import SECOND, START, Campaign

import ilrs_science as ilrs
from ilrs_science import IlrsError, PlanError, Product, RegularAxis, Variable, references
from ilrs_science.geometry.time import isot
from ilrs_science.reduction.placing import Block

pytestmark = pytest.mark.usefixtures("toys")

PACKED = """
import bz2
import numpy as np
import xarray as xr
from ilrs_science import Granule, Instrument, Product, Variable
from dataclasses import replace

KEPT = np.arange(4.0, dtype="f4")


def index(granule):
    start = int(granule.url.rsplit("-", 1)[1].removesuffix(".bzt"))
    return [replace(granule, site="a", start=start, stop=start + 4, count=4)]


def read(granule):
    bz2.decompress(granule.read_bytes())
    return xr.Dataset({"v": ("time", KEPT)}, {"tai": ("time", granule.start + np.arange(4))})


def state(ds):
    return ds.assign(v_uncertainty=xr.ones_like(ds.v))


instrument = Instrument("packed", "*.bzt", read, (state,), Product(Variable("v", ("time",), "f4", "1")), index=index)
"""


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    made = Campaign(tmp_path)
    made.write("a.toy", "a", np.arange(24))
    made.write("b.toy", "bb", np.arange(24))
    return made


def test_a_step_that_changes_its_reference_changes_it_for_nobody_else(campaign: Campaign) -> None:
    campaign.refer("gain", -100, 100, 2)
    (reference,) = references.read_folder(campaign.folder / "references")
    first = references.load(reference).payload
    assert first is not None
    first["gain"] = first["gain"] * 3
    assert float(references.load(reference)["gain"]) == 2
    with pytest.raises(ValueError, match="read-only"):
        references.load(reference)["gain"].values[...] = 3


def test_a_changed_site_is_another_cube_and_not_a_cube_with_old_coordinates(campaign: Campaign) -> None:
    ilrs.run(campaign.pipeline(sites=[{"name": "a", "lat": -89.0}]), executor="serial")
    with pytest.raises(PlanError, match="it differs in sites"):
        ilrs.run(campaign.pipeline(sites=[{"name": "a", "lat": -45.0}]), executor="serial")


def test_zarr_settings_are_put_back_after_many_threads(campaign: Campaign) -> None:
    before = dict(zarr.config.get("codec_pipeline"))
    ilrs.run(campaign.pipeline(layout={"chunk": 1, "shard": 1}), executor="threads", workers=4)
    assert dict(zarr.config.get("codec_pipeline")) == before


def test_no_slot_reaches_beyond_the_stop(campaign: Campaign) -> None:
    span = {"start": isot(START), "stop": isot(START + 20 * SECOND), "step": "8 s"}
    report = ilrs.run(campaign.pipeline(time=span, place="mean"), executor="serial")
    cube = xr.open_zarr(report.output)
    assert cube["count"].sel(site="a").values.tolist() == [8, 8]
    assert report.counts.add_up


def test_a_plan_takes_no_further_keys(campaign: Campaign) -> None:
    made = ilrs.plan(campaign.pipeline())
    with pytest.raises(IlrsError, match="a plan is made already; give output"):
        ilrs.run(made, output=str(campaign.folder / "other.zarr"))


def test_a_file_named_twice_is_no_duplicate_of_itself_and_other_sites_do_not_count(campaign: Campaign) -> None:
    file = str(campaign.folder / "raw" / "a.toy")
    (campaign.folder / "raw" / "again.toy").write_bytes((campaign.folder / "raw" / "b.toy").read_bytes())
    found = campaign.folder / "found.json"
    found.write_text(json.dumps(ilrs.inventory(file, instruments="toy-clock").as_json()))
    raw = [str(found), str(campaign.folder / "raw" / "*.toy")]
    report = ilrs.run(campaign.pipeline(raw=raw, sites=["a"]), executor="serial")
    assert (report.counts.read, report.counts.duplicate) == (24, 0)
    assert ilrs.run(campaign.pipeline(raw=raw, output="both.zarr"), executor="serial").counts.duplicate == 24


def test_a_decoder_that_raises_an_os_error_on_bad_bytes_rejects_the_granule_and_arrays_of_a_reader_stay_its_own(
    tmp_path: Path, install: Callable[..., Path]
) -> None:
    install("packed", {"packed.py": PACKED}, {"ilrs_science.instruments": {"packed": "packed:instrument"}})
    (tmp_path / f"good-{START}.bzt").write_bytes(bz2.compress(b"good"))
    (tmp_path / f"bad-{START + 4}.bzt").write_bytes(b"not packed at all")
    report = ilrs.run(
        {
            "name": "packed",
            "instrument": "packed",
            "time": {"start": isot(START), "stop": isot(START + 8), "step": "1 ns"},
            "raw": str(tmp_path / "*.bzt"),
            "output": str(tmp_path / "cube.zarr"),
        },
        executor="serial",
    )
    assert report.exit_code == 3
    assert (report.counts.placed, report.counts.rejected) == (4, 4)
    (reason,) = report.rejected.values()
    assert reason == "OSError: Invalid data stream"
    assert importlib.import_module("packed").KEPT.flags.writeable


def test_integers_without_a_good_sample_have_their_fill_in_a_mean() -> None:
    product = Product(Variable("n", ("time",), "i8", "1", uncertainty=False), place="mean")
    block = Block(product, "mean", RegularAxis(0, 10, 2))
    samples = xr.Dataset({"n": ("time", np.array([5])), "quality": ("time", np.array([2], "u4"))}, {"time": [3]})
    block.put(samples, np.array([0]), np.array([3]), np.array([0]))
    assert block.arrays["n"].tolist() == [2**63 - 1024] * 2  # the largest that a float64 holds, too


def test_a_number_that_is_missing_is_flagged_even_where_flags_have_more_dimensions() -> None:
    product = Product(
        Variable("v", ("time",), "f4", "1", uncertainty=False), quality=("time", "x"), coordinates={"x": 3}
    )
    block = Block(product, "slot", RegularAxis(0, 10, 1))
    flags = (("x", "time"), np.zeros((3, 1), "u4"))
    samples = xr.Dataset({"v": ("time", np.array([np.nan], "f4")), "quality": flags}, {"time": [3]})
    block.put(samples, np.array([0]), np.array([3]), np.array([0]))
    block.finish()
    assert block.arrays["quality"].tolist() == [[1, 1, 1]]
