"""The cube as an analyst meets it who has nothing of this package installed."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from ilrs_toys import raw
from ilrs_toys.campaign import SECOND, START, Campaign, shard_files, values
from ilrs_toys.clock import instrument

import ilrs_science as ilrs
from ilrs_science import ExposureAxis, Product, RegularAxis, Site, Variable
from ilrs_science.errors import CubeError
from ilrs_science.model.axis import Axis
from ilrs_science.store import creating, cube, records
from ilrs_science.store.cube import Declaration
from ilrs_science.store.encoding import TIME_UNITS, Cut, cut, time_unit
from ilrs_science.store.target import target
from ilrs_science.testing.cube_check import check_cube

pytestmark = pytest.mark.usefixtures("toys")


def create(  # noqa: PLR0913, PLR0917 - what is declared of a cube
    path: Path, product: Product, place: Any, axis: Axis, sites: tuple[Site, ...], cut: Cut, title: str = ""
) -> None:
    """Write an empty cube whose status says that it is complete."""
    attributes = {"title": title, "status": cube.COMPLETE}
    creating.create(target(path), Declaration(product, place, axis, sites, cut), attributes)


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
    # START is 2031-02-27T23:06:40 UTC, 37 s less than its number in TAI.
    assert ds.time.to_numpy()[0] == np.datetime64(START, "ns") - np.timedelta64(37, "s")
    assert ds.time.attrs["time_scale"] == "UTC"
    assert ds.time.attrs["long_name"] == "UTC, start of the slot"
    assert ds.tai.dtype == "datetime64[ns]"
    assert (ds.tai.to_numpy() == np.datetime64(START, "ns") + np.arange(8) * np.timedelta64(1, "s")).all()
    assert ds.tai.attrs["time_scale"] == "TAI"
    assert (ds.time_bounds.to_numpy() == np.stack([ds.time, ds.time + np.timedelta64(1, "s")], axis=-1)).all()
    assert ds.value.dims == ("site", "time", "axis")
    assert ds.value.attrs["units"] == ds.value_uncertainty.attrs["units"] == "V"
    assert ds.value.attrs["long_name"] == "what the clock shows, and its opposite"
    assert ds.value.attrs["ancillary_variables"] == "value_uncertainty quality"
    assert list(ds.site.to_numpy()) == ["a", "bb"]
    assert list(ds.axis.to_numpy()) == ["up", "down"]
    meanings, masks = ds.quality.attrs["flag_meanings"].split(), ds.quality.attrs["flag_masks"]
    assert dict(zip(meanings, masks, strict=True)) | {"missing": 1, "odd": 1 << 16} == dict(
        zip(meanings, masks, strict=True)
    )
    assert {"tai", "lon", "lat", "height", "time_offset"} <= set(ds.coords)
    assert ds.lon.to_numpy().tolist()[0] == 10.0
    assert np.isnan(ds.lon.to_numpy()[1])
    assert ds.lon.attrs["frame"] == "MOON_ME, unknown"


def test_types_stay_as_declared_and_cells_that_nobody_wrote_are_missing(made: Path) -> None:
    stored = xr.open_zarr(made, mask_and_scale=False)
    # Twice as wide as declared, so that every value of the declared type can be a measurement.
    assert stored.number.dtype == "i8"
    empty = 2**63 - 1024  # the largest that a float can say too, so that software that reads all as floats finds it
    assert (stored.number.sel(site="a").to_numpy()[5:] == empty).all()
    ds = values(made).sel(site="a")
    assert (ds.value.dtype, ds.quality.dtype, ds.time_offset.dtype) == ("f4", "u4", "i8")
    assert np.isnan(ds.value.to_numpy()[5:]).all()
    assert np.isnan(ds.value_uncertainty.to_numpy()[5:]).all()
    assert np.isnan(ds.number.to_numpy()[5:]).all()
    assert (ds.quality.to_numpy()[5:] == 1).all()
    assert ds.time_offset.to_numpy().tolist() == [0, SECOND // 4, 0, 0, 0, 0, 0, 0]
    counts = raw.counts_at(START + np.array([0, 5, 8, 12, 16]) * SECOND // 4, "a")
    assert ds.quality.to_numpy()[:5].tolist() == (counts % 2 << 16).tolist()


def test_a_cube_before_its_first_part_reads_as_missing_everywhere(tmp_path: Path) -> None:
    product = Product(
        Variable("v", ("time", "x"), "f4", "m"),
        Variable("n", ("time",), "u1", "1", uncertainty=False),
        coordinates={"x": 3},
    )
    axis, sites = RegularAxis(START, SECOND, 10), (Site("a"), Site("b"))
    create(tmp_path / "c", product, "slot", axis, sites, Cut(2, 4), title="empty")
    ds = values(tmp_path / "c")
    assert np.isnan(ds.v).all()
    assert np.isnan(ds.n).all()
    assert (ds.quality == 1).all()
    assert not [name for name in shard_files(tmp_path / "c") if name.startswith(("v/c", "n/c", "quality/c"))]


@pytest.mark.parametrize("exposures", [False, True])
def test_data_and_coordinates_have_chunks_that_fit_together(tmp_path: Path, exposures: bool) -> None:
    product = Product(Variable("v", ("time", "x"), "f4", "m"), coordinates={"x": 3}, exposures=exposures)
    axis = (
        ExposureAxis(tuple(range(START, START + 5)), ("a", "b", "a", "b", "a"))
        if exposures
        else RegularAxis(START, SECOND, 10)
    )
    create(tmp_path / "c", product, "slot", axis, (Site("a", lon=5.0), Site("b")), Cut(2, 4))
    opened = ilrs.open_cube(str(tmp_path / "c"))
    assert opened.chunksizes["time"][0] == 2
    assert opened.map_blocks(lambda block: block).compute().identical(opened.compute())
    assert sorted(opened.lon.values[:2].tolist(), key=str) == [5.0, pytest.approx(np.nan, nan_ok=True)]


def test_provenance_says_what_it_takes_to_make_the_cube_again(made: Path) -> None:
    attributes = values(made).attrs
    assert attributes["Conventions"].startswith("CF-")
    assert attributes["samples"] == "read 13, placed 13, rejected 0, duplicate 0, conflict 0"
    assert attributes["status"] == "complete"
    said = json.loads(attributes["provenance"])
    assert [step["name"] for step in said["steps"]] == ["by_reference", "flag_odd", "to_units"]
    assert said["steps"][2]["parameters"] == {"factor": 2.0, "noise": 0.5}
    assert said["plugin"] == {"name": "toy-clock", "distribution": "ilrs-toys", "version": "1.0"}
    assert said["references"][0]["source"] == "the laboratory"
    assert len(said["references"][0]["sha256"]) == len(said["plugin_code"]) == 64
    assert all(len(one) == 64 for one in said["code"].values())
    assert said["environments"][0]["python"] == f"{sys.version_info.major}.{sys.version_info.minor}"
    found = records.load(target(made)).records.values()
    inputs = {one.url: one.sha256 for record in found for one in record.outcomes}
    assert {Path(url).name for url in inputs} == {"a.toy", "b.toy"}
    assert all(len(sha256) == 64 for sha256 in inputs.values())


def test_a_cube_opens_in_a_process_that_never_imports_this_package(made: Path) -> None:
    code = (
        "import sys, warnings; warnings.simplefilter('error'); import xarray as xr;"
        "ds = xr.open_zarr(sys.argv[1]); print(float(ds.value.sel(site='bb')[0, 0]), 'ilrs_science' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code, str(made)], capture_output=True, text=True, check=True)
    assert out.stdout.split() == [str(4.0 * raw.counts_at(START, "bb")), "False"]


@pytest.mark.parametrize("selection", [slice(None), slice(2, 5)])
def test_a_lazy_cube_or_a_selection_of_one_can_be_written_elsewhere(
    made: Path, tmp_path: Path, selection: slice
) -> None:
    opened = ilrs.open_cube(str(made)).isel(time=selection)
    opened.to_zarr(tmp_path / "copy.zarr", consolidated=False)
    assert xr.open_zarr(tmp_path / "copy.zarr", consolidated=False).equals(opened)


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


@pytest.mark.parametrize("content", [None, "nothing", "group", "file", "interrupted creation", "format 1"])
def test_what_is_no_cube_is_said_to_be_none(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "c.zarr"
    if content == "nothing":
        path.mkdir()
    elif content == "group":
        zarr.open_group(str(path), mode="w")
    elif content == "file":
        path.write_text("text")
    elif content == "interrupted creation":
        (path / "records").mkdir(parents=True)
        (path / "records" / "lease-1").write_text("{}")
    elif content == "format 1":
        zarr.open_group(str(path), mode="w", attributes={"ilrs_schema": json.dumps({"format": 1})})
    said = {
        "group": "exists and is not a cube of this package",
        "file": "is a file, not a cube",
        "format 1": "is a cube of format 1; this version reads and writes format 2",
    }.get(str(content), "no cube at .*; give the path or URL of a cube")
    with pytest.raises(CubeError, match=said):
        ilrs.open_cube(str(path))


def test_a_creation_killed_before_its_first_file_was_whole_is_done_again(tmp_path: Path) -> None:
    (tmp_path / "c" / "records").mkdir(parents=True)
    (tmp_path / "c" / "records" / "lease-1").write_text("{}")
    (tmp_path / "c" / "v").mkdir()
    (tmp_path / "c" / "v" / ".0123456789ab.partial").write_text("{")
    product = Product(Variable("v", ("time",), "f4", "m"))
    create(tmp_path / "c", product, "slot", RegularAxis(START, SECOND, 3), (Site("a"),), Cut(1, 1))
    assert values(tmp_path / "c").sizes == {"site": 1, "time": 3, "bounds": 2}


@pytest.mark.parametrize("place", ["slot", "mean"])
def test_coordinates_that_are_named_exist(tmp_path: Path, place: Any) -> None:
    product = Product(Variable("v", ("time",), "f4", "m"), Variable("lon_sc", ("time",), "f8", "deg", coordinate=True))
    create(tmp_path / "c", product, place, RegularAxis(START, SECOND, 3), (Site("a"),), Cut(1, 1))
    named = json.loads((tmp_path / "c" / "zarr.json").read_text())["attributes"]["coordinates"].split()
    assert set(named) <= {*values(tmp_path / "c").variables}
    assert "lon_sc" in named


@pytest.mark.parametrize(("chunk", "shard"), [(None, None), (3, None), (None, 12), (3, 12)])
def test_a_shard_is_whole_chunks_whatever_is_given(chunk: int | None, shard: int | None) -> None:
    product = Product(Variable("v", ("time", "y", "x"), "f4", "m"), coordinates={"y": 100, "x": 100})
    made = cut(product, "slot", chunk, shard)
    assert made.shard % made.chunk == 0
    assert (made.chunk, made.shard) == (chunk or made.chunk, shard or made.shard)


@pytest.mark.parametrize(
    ("side", "shard", "chunk"), [(100, 7, 7), (100, 29, 1), (100, 60, 20), (600, 7, 1), (600, 1, 1)]
)
def test_the_chunk_of_a_given_shard_is_its_largest_divisor_that_is_small_enough(
    side: int, shard: int, chunk: int
) -> None:
    # 26 frames of 100 x 100 numbers of four bytes, or one of 600 x 600, are what an analyst reads at once.
    product = Product(Variable("v", ("time", "y", "x"), "f4", "m"), coordinates={"y": side, "x": side})
    assert cut(product, "slot", shard=shard) == Cut(chunk, shard)


def test_the_default_cut_is_within_what_a_worker_holds_at_once_whatever_the_product() -> None:
    for side in (1, 30, 512, 2000):
        product = Product(Variable("v", ("time", "y", "x"), "f4", "m"), coordinates={"y": side, "x": side})
        made = cut(product, "slot")
        assert made.chunk * min(side, 512) ** 2 * 4 <= 2**20 or made.chunk == 1
        assert made.shard <= 2**16


def test_records_come_back_as_they_were_written_and_the_later_one_of_a_region_holds(made: Path) -> None:
    place = target(made)
    found = records.load(place)
    assert [record.part for record in found.records.values()] == [0, 1, 2, 3]
    assert {region: (record.row, record.first) for region, record in found.records.items()} == {
        region: region for region in found.records
    }
    renewed = replace(found.records[0, 4], seconds=7.0)
    journal = records.Journal(place, "000002")
    journal.add(renewed)
    assert records.load(place) == found
    journal.flush()
    assert records.load(place).records == {**found.records, (0, 4): renewed}
    journal.add(renewed)
    journal.compact(records.load(place).records.values(), found.segments)
    (segment,) = records.load(place).segments
    assert records.load(place).records == {**found.records, (0, 4): renewed}
    assert sorted(path.name for path in (made / "records").glob("0*")) == [segment.removeprefix("records/")]


def test_a_cube_grows_at_its_end_and_by_sites_and_keeps_what_stands(made: Path) -> None:
    place, before = target(made), values(made)
    found = cube.existing(place)
    assert found is not None
    product, axis = instrument.product, RegularAxis(START, SECOND, 13)
    longer = Declaration(product, "slot", axis, (*found.sites, Site("new")), found.cut)
    assert cube.conflict(found, longer) == ""
    with xr.open_zarr(made) as opened:
        creating.create(place, longer, {})
        # Who has the cube open sees what it was.
        assert opened.load().identical(before)
    after = values(made)
    assert after.isel(time=slice(8), site=slice(2)).drop_attrs().equals(before.drop_attrs())
    assert dict(after.sizes) == {"site": 3, "time": 13, "axis": 2, "bounds": 2}
    assert (after.quality[:, 8:] == 1).all()
    assert (after.quality[2] == 1).all()
    assert (np.diff(after.tai.to_numpy()) == np.timedelta64(1, "s")).all()
    assert list(after.site.to_numpy()) == ["a", "bb", "new"]
    assert after.attrs["ilrs_axis"] == "13"


def test_a_cube_may_grow_by_a_site_alone(made: Path) -> None:
    place, before = target(made), values(made)
    found = cube.existing(place)
    assert found is not None
    wider = Declaration(
        instrument.product, "slot", RegularAxis(START, SECOND, 8), (*found.sites, Site("new")), found.cut
    )
    creating.create(place, wider, {})
    after = values(made)
    assert list(after.site.to_numpy()) == ["a", "bb", "new"]
    assert after.isel(site=slice(2)).drop_attrs().equals(before.drop_attrs())


def test_neither_an_earlier_start_nor_fewer_slots_nor_another_order_of_sites_is_growth(made: Path) -> None:
    found = cube.existing(target(made))
    assert found is not None
    product, sites = instrument.product, found.sites
    for axis, others, words in (
        (RegularAxis(START - SECOND, SECOND, 9), sites, "differs in axis"),
        (RegularAxis(START, SECOND, 7), sites, "may grow at its end, not shrink"),
        (RegularAxis(START, SECOND, 8), sites[::-1], "differs in sites"),
    ):
        assert words in cube.conflict(found, Declaration(product, "slot", axis, others, found.cut))


@pytest.mark.parametrize("index", ["utc", "tai"])
def test_either_time_is_the_index_that_one_selects_by(made: Path, index: str) -> None:
    opened = ilrs.open_cube(str(made), time=index, chunks=None)
    offset = np.timedelta64(37 if index == "utc" else 0, "s")
    third = opened.sel(time=np.datetime64(START + 2 * SECOND, "ns") - offset)
    assert third.identical(opened.isel(time=2))
    with pytest.raises(CubeError, match="no time 'tt'; it is utc or tai"):
        ilrs.open_cube(str(made), time="tt")


def test_an_unfinished_cube_is_opened_with_a_warning_that_says_so(made: Path) -> None:
    cube.update_attributes(target(made), {"status": "unfinished: 1 of 4 parts to do"})
    with pytest.warns(UserWarning, match="unfinished: 1 of 4 parts to do") as told:
        ilrs.open_cube(str(made))
    assert [one.filename for one in told] == [__file__]  # the line that opens it is what people see


def test_a_cube_is_opened_from_its_root_document_alone(made: Path) -> None:
    before = ilrs.open_cube(str(made), chunks=None).load()
    for document in made.glob("*/zarr.json"):
        document.unlink()
    assert ilrs.open_cube(str(made), chunks=None).identical(before)


def test_a_place_is_read_and_not_written_where_nobody_says_otherwise(made: Path, tmp_path: Path) -> None:
    for place in (target(made), target("memory://a-place")):
        assert place.store().read_only
        assert not place.store(read_only=False).read_only


@pytest.mark.parametrize(
    ("start", "step", "index", "exact"),
    [
        ("1971-12-31", SECOND, "nanoseconds", "seconds"),  # a second of UTC was longer than one of TAI
        ("1972-01-02", SECOND, "microseconds", "seconds"),
        ("1972-01-02", 10**6, "microseconds", "milliseconds"),
        ("1972-01-02", 2 * 10**3, "microseconds", "microseconds"),
        ("1972-01-02", 10**3, "nanoseconds", "microseconds"),  # half as much within a leap second
        ("1972-01-02", 3, "nanoseconds", "nanoseconds"),
    ],
)
def test_times_are_stored_in_the_coarsest_unit_that_keeps_each_of_them_whole(
    start: str, step: int, index: str, exact: str
) -> None:
    axis = RegularAxis(np.datetime64(start, "ns").astype(int) + 10 * SECOND, step, 5)
    assert TIME_UNITS[time_unit(axis, squeezed=True)] == index
    assert TIME_UNITS[time_unit(axis, squeezed=False)] == exact


def test_a_cube_follows_the_page_that_owns_its_format(made: Path) -> None:
    assert check_cube(made) == []


def test_a_cube_that_is_stored_in_another_way_is_refused_and_stays_readable(made: Path, tmp_path: Path) -> None:
    document = made / "value" / "zarr.json"
    about = json.loads(document.read_text())
    about["chunk_grid"]["configuration"]["chunk_shape"][1] *= 2
    document.write_text(json.dumps(about))
    before = (made / "zarr.json").read_bytes()
    campaign = Campaign(tmp_path)
    campaign.write("c.toy", "a", [6])
    asked = campaign.pipeline(8, steps=["by_reference", "flag_odd", "to_units"])
    asked["references"] = {"folders": [str(tmp_path / "references")]}
    with pytest.raises(CubeError, match=r"value is stored otherwise than now \(chunk_grid\); choose another output"):
        ilrs.run(asked, executor="serial")
    assert (made / "zarr.json").read_bytes() == before
