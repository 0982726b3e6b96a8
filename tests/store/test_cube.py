"""The cube as an analyst meets it who has nothing of this package installed."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from ilrs_toys import raw
from ilrs_toys.campaign import SECOND, START, Campaign, shard_files, values

import ilrs_science as ilrs
from ilrs_science import ExposureAxis, Product, RegularAxis, Site, Variable
from ilrs_science.errors import CubeError
from ilrs_science.store import cube, records
from ilrs_science.store.encoding import Cut, cut

pytestmark = pytest.mark.usefixtures("toys")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """Return a cube of 8 slots at two sites, with an odd flag here and there and three slots that nobody reached."""
    campaign = Campaign(tmp_path)
    campaign.write("a.toy", "a", [0, 1.25, 2, 3, 4])
    campaign.write("b.toy", "bb", range(8))
    campaign.refer("gain", -100, 100, 2, source="the laboratory")
    ilrs.run(campaign.pipeline(8, steps=["by_reference", "flag_odd", "to_units"]), executor="serial")
    return tmp_path / "cube.zarr"


def test_plain_xarray_decodes_times_units_and_flags_without_a_warning(made: Path) -> None:
    # The tests turn warnings into errors.
    with xr.open_zarr(made, consolidated=True) as opened:
        ds = opened.load()
    assert ds.time.dtype == "datetime64[ns]"
    assert ds.time.to_numpy()[0] == np.datetime64(START, "ns")
    assert ds.time.attrs["time_scale"] == "TAI"
    assert "TAI" in ds.time.attrs["long_name"]
    assert ds.value.dims == ("site", "time", "axis")
    assert ds.value.attrs["units"] == ds.value_uncertainty.attrs["units"] == "V"
    assert ds.value.attrs["long_name"] == "what the clock shows, and its opposite"
    assert ds.value.attrs["ancillary_variables"] == "value_uncertainty quality"
    assert list(ds.site.to_numpy()) == ["a", "bb"]
    assert list(ds.axis.to_numpy()) == ["up", "down"]
    meanings, masks = ds.quality.attrs["flag_meanings"].split(), ds.quality.attrs["flag_masks"]
    assert dict(zip(meanings, masks, strict=True)) | {"missing": 1, "odd": 256} == dict(
        zip(meanings, masks, strict=True)
    )
    assert {"lon", "lat", "height", "time_offset"} <= set(ds.coords)
    assert ds.lon.to_numpy().tolist()[0] == 10.0
    assert np.isnan(ds.lon.to_numpy()[1])
    assert ds.lon.attrs["frame"] == "MOON_ME, unknown"


def test_types_stay_as_declared_and_cells_that_nobody_wrote_are_missing(made: Path) -> None:
    stored = xr.open_zarr(made, mask_and_scale=False)
    assert stored.number.dtype == "i4"
    assert (stored.number.sel(site="a").to_numpy()[5:] == np.iinfo("i4").max).all()
    ds = values(made).sel(site="a")
    assert (ds.value.dtype, ds.quality.dtype, ds.time_offset.dtype) == ("f4", "u2", "i8")
    assert np.isnan(ds.value.to_numpy()[5:]).all()
    assert np.isnan(ds.value_uncertainty.to_numpy()[5:]).all()
    assert np.isnan(ds.number.to_numpy()[5:]).all()
    assert (ds.quality.to_numpy()[5:] == 1).all()
    assert ds.time_offset.to_numpy().tolist() == [0, SECOND // 4, 0, 0, 0, 0, 0, 0]
    counts = raw.counts_at(START + np.array([0, 5, 8, 12, 16]) * SECOND // 4, "a")
    assert ds.quality.to_numpy()[:5].tolist() == (counts % 2 * 256).tolist()


def test_a_cube_before_its_first_part_reads_as_missing_everywhere(tmp_path: Path) -> None:
    product = Product(
        Variable("v", ("time", "x"), "f4", "m"), Variable("n", ("time",), "u1", "1", uncertainty=False), x=3
    )
    axis, sites = RegularAxis(START, SECOND, 10), (Site("a"), Site("b"))
    cube.create(str(tmp_path / "c"), product, "slot", axis, sites, Cut(2, 4), {"title": "empty"})
    ds = values(tmp_path / "c")
    assert np.isnan(ds.v).all()
    assert np.isnan(ds.n).all()
    assert (ds.quality == 1).all()
    assert not [name for name in shard_files(tmp_path / "c") if name.startswith(("v/c", "n/c", "quality/c"))]


@pytest.mark.parametrize("exposures", [False, True])
def test_data_and_coordinates_have_chunks_that_fit_together(tmp_path: Path, exposures: bool) -> None:
    product = Product(Variable("v", ("time", "x"), "f4", "m"), x=3, exposures=exposures)
    axis = (
        ExposureAxis(tuple(range(START, START + 5)), ("a", "b", "a", "b", "a"))
        if exposures
        else RegularAxis(START, SECOND, 10)
    )
    cube.create(str(tmp_path / "c"), product, "slot", axis, (Site("a", lon=5.0), Site("b")), Cut(2, 4), {})
    opened = ilrs.open_cube(str(tmp_path / "c"))
    assert opened.chunksizes["time"][0] == 2
    assert opened.map_blocks(lambda block: block).compute().identical(opened.compute())
    assert sorted(opened.lon.values[:2].tolist(), key=str) == [5.0, pytest.approx(np.nan, nan_ok=True)]


def test_provenance_says_what_it_takes_to_make_the_cube_again(made: Path) -> None:
    attributes = values(made).attrs
    assert attributes["Conventions"].startswith("CF-")
    assert attributes["samples"] == "read 13, placed 13, rejected 0, duplicate 0"
    assert attributes["status"] == "complete"
    said = json.loads(attributes["provenance"])
    assert [step["name"] for step in said["steps"]] == ["by_reference", "flag_odd", "to_units"]
    assert said["steps"][2]["parameters"] == {"factor": 2.0, "noise": 0.5}
    assert said["plugin"] == {"name": "toy-clock", "distribution": "ilrs-toys", "version": "1.0"}
    assert said["references"][0]["source"] == "the laboratory"
    assert len(said["references"][0]["sha256"]) == len(said["code"]) == 64
    inputs = {one.url: one.sha256 for record in records.load_all(str(made)).values() for one in record.outcomes}
    assert {Path(url).name for url in inputs} == {"a.toy", "b.toy"}
    assert all(len(sha256) == 64 for sha256 in inputs.values())


def test_a_cube_opens_in_a_process_that_never_imports_this_package(made: Path) -> None:
    code = (
        "import sys, warnings; warnings.simplefilter('error'); import xarray as xr;"
        "ds = xr.open_zarr(sys.argv[1]); print(float(ds.value.sel(site='bb')[0, 0]), 'ilrs_science' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code, str(made)], capture_output=True, text=True, check=True)
    assert out.stdout.split() == [str(4.0 * raw.counts_at(START, "bb")), "False"]


def test_open_cube_gives_what_xarray_gives(made: Path) -> None:
    with xr.open_zarr(made) as plain:
        assert ilrs.open_cube(str(made)).identical(plain)
    assert ilrs.open_cube(str(made), chunks=None).identical(values(made))


def test_a_cube_of_exposures_carries_the_site_of_every_frame(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path)
    campaign.write("a.frames", "a", [5, 1])
    campaign.write("b.frames", "bb", [1])
    ilrs.run(campaign.exposures(sites=["bb", {"name": "a", "lon": 3.5}]), executor="serial")
    opened = ilrs.open_cube(str(tmp_path / "frames.zarr"))
    ds = opened.load()
    assert list(ds.site.to_numpy()) == ["a", "bb", "a"]
    assert "site" in ds.coords
    assert ds.lon.to_numpy().tolist()[::2] == [3.5, 3.5]
    assert ds.frame.dims == ds.quality.dims == ("time", "y", "x")


@pytest.mark.parametrize("content", [None, "nothing", "group", "file"])
def test_what_is_no_cube_is_said_to_be_none(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "c.zarr"
    if content == "nothing":
        path.mkdir()
    elif content == "group":
        zarr.open_group(str(path), mode="w")
    elif content == "file":
        path.write_text("text")
    with pytest.raises(CubeError, match=r"no cube at .*c.zarr; give the path or URL"):
        ilrs.open_cube(str(path))


def test_a_creation_killed_before_its_first_file_was_whole_is_done_again(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "zarr.0123456789abcdef.partial").write_text("{")
    product = Product(Variable("v", ("time",), "f4", "m"))
    cube.create(str(tmp_path / "c"), product, "slot", RegularAxis(START, SECOND, 3), (Site("a"),), Cut(1, 1), {})
    assert values(tmp_path / "c").sizes == {"site": 1, "time": 3}


@pytest.mark.parametrize("place", ["slot", "mean"])
def test_coordinates_that_are_named_exist(tmp_path: Path, place: Any) -> None:
    product = Product(Variable("v", ("time",), "f4", "m"), Variable("lon_sc", ("time",), "f8", "deg", coordinate=True))
    cube.create(str(tmp_path / "c"), product, place, RegularAxis(START, SECOND, 3), (Site("a"),), Cut(1, 1), {})
    named = json.loads((tmp_path / "c" / "zarr.json").read_text())["attributes"]["coordinates"].split()
    assert set(named) <= {*values(tmp_path / "c").variables}
    assert "lon_sc" in named


@pytest.mark.parametrize(("chunk", "shard"), [(None, None), (3, None), (None, 12), (3, 12)])
def test_a_shard_is_whole_chunks_whatever_is_given(chunk: int | None, shard: int | None) -> None:
    product = Product(Variable("v", ("time", "y", "x"), "f4", "m"), y=100, x=100)
    made = cut(product, "slot", 1000, chunk, shard)
    assert made.shard % made.chunk == 0
    assert (made.chunk, made.shard) == (chunk or made.chunk, shard or made.shard)


def test_a_record_comes_back_as_it_was_saved_and_can_be_removed(made: Path) -> None:
    found = records.load_all(str(made))
    for number, record in found.items():
        assert record.part == number
        records.save(str(made), record)
    assert records.load_all(str(made)) == found
    records.discard(str(made), [0, 2])
    assert sorted(records.load_all(str(made))) == [n for n in sorted(found) if n not in (0, 2)]
