"""Rows instead of cells: tables beside a cube."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ilrs_toys import raw
from ilrs_toys.campaign import SECOND, START, Campaign, assert_same_bytes, values

import ilrs_science as ilrs
from ilrs_science.errors import CubeError, PlanError
from ilrs_science.geometry.time import isot
from ilrs_science.running.verify import verify
from ilrs_science.testing import check_instrument
from ilrs_science.testing.cube_check import check_cube

pytestmark = pytest.mark.usefixtures("toys")


def pipeline(campaign: Campaign, **changes: Any) -> dict[str, Any]:
    files = str(campaign.folder / "raw" / "*.jumps")
    return campaign.pipeline(**({"instrument": "toy-table", "raw": files, "steps": ["as_rows"]} | changes))


def table(campaign: Campaign, name: str = "cube.zarr") -> pd.DataFrame:
    return ilrs.open_table(str(campaign.folder / name)).to_table().to_pandas()


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    made = Campaign(tmp_path)
    made.write("a.jumps", "a", [0, 0, 0.5, 1.25, 7, 7, 23.5, 30])
    made.write("b.jumps", "bb", [3, 12, 12.5])
    return made


def test_each_sample_is_a_row_whatever_its_time(campaign: Campaign) -> None:
    report = ilrs.run(pipeline(campaign), executor="serial")
    assert (report.counts.read, report.counts.placed, report.counts.rejected) == (11, 10, 1)
    found = table(campaign)
    assert found.site.tolist() == ["a"] * 7 + ["bb"] * 3
    seconds = (found.tai.astype("int64") - START) / SECOND
    assert seconds.tolist() == [0, 0, 0.5, 1.25, 7, 7, 23.5, 3, 12, 12.5]
    assert found.position.tolist() == [0, 1, 2, 3, 4, 5, 6, 0, 1, 2]
    times = found.tai.astype("int64").to_numpy()
    truth = np.where(found.site == "a", raw.counts_at(times, "a"), raw.counts_at(times, "bb"))
    assert found.number.tolist() == truth.tolist()
    assert found.parity.tolist() == [("even", "odd")[one % 2] for one in truth]
    assert np.stack(found.pair.tolist()).tolist() == np.stack([truth, -truth], axis=1).tolist()
    assert found.quality.tolist() == [(one % 2) << 16 for one in truth]
    assert check_cube(campaign.folder / "cube.zarr") == []


def test_the_cube_tells_how_many_rows_each_slot_has_and_the_flags_that_all_of_them_have(campaign: Campaign) -> None:
    ilrs.run(pipeline(campaign), executor="serial")
    cube, found = values(campaign.folder / "cube.zarr"), table(campaign)
    counts = found[found.site == "a"].groupby((found.tai.astype("int64") - START) // SECOND).size()
    assert {k: n for k, n in enumerate(cube["rows"].to_numpy()[0].tolist()) if n} == counts.to_dict()
    assert np.array_equal(cube.quality.to_numpy() & 1 == 1, cube["rows"].to_numpy() == 0)
    all_odd = (
        found[found.site == "a"]
        .groupby((found.tai.astype("int64") - START) // SECOND)
        .number.apply(lambda several: bool((several % 2 == 1).all()))
    )
    assert {k: bool(cube.quality.to_numpy()[0, k] >> 16) for k in all_odd.index} == all_odd.to_dict()


def test_words_and_their_numbers_make_the_same_table(campaign: Campaign) -> None:
    ilrs.run(pipeline(campaign, output="words.zarr"), executor="serial")
    ilrs.run(pipeline(campaign, steps=["as_rows", "in_numbers"]), executor="serial")
    assert set(table(campaign).parity) == {"even", "odd"}
    assert_same_bytes(campaign.folder / "words.zarr", campaign.folder / "cube.zarr")


def test_the_time_of_a_row_is_its_utc(campaign: Campaign) -> None:
    ilrs.run(pipeline(campaign), executor="serial")
    found = table(campaign)
    assert (found.tai - found.time.dt.tz_localize(None) == pd.Timedelta(seconds=37)).all()


@given(
    st.lists(st.integers(0, 47), max_size=30),
    st.integers(1, 4),
    st.sampled_from(["as_rows", "pieces"]),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_neither_the_cut_of_the_axis_nor_of_the_files_matters(
    tmp_path_factory: pytest.TempPathFactory, halves: list[int], files: int, last: str
) -> None:
    one, other = (Campaign(tmp_path_factory.mktemp("cut")) for _ in range(2))
    times = sorted([0, *halves])
    one.write("a.jumps", "a", [t / 2 for t in times])
    for number in range(files):
        # Samples of one time stay in one file: which sample of which file a row comes from is part of it.
        piece = [t / 2 for t in times if t % files == number]
        if piece:
            other.write(f"{number}.jumps", "a", piece)
    turned: list[Any] = [{"turns": {"turn": "3 s"}}, {"pieces": {"limit": "3 s"}}] if last == "pieces" else []
    wanted: dict[str, Any] = {"steps": [*turned, "as_rows"], "sites": ["a"]}
    for campaign, layout in ((one, {"chunk": 2, "shard": 24}), (other, {"chunk": 2, "shard": 2})):
        report = ilrs.run(pipeline(campaign, layout=layout, **wanted), executor="serial")
        assert report.exit_code == 0
        assert check_cube(campaign.folder / "cube.zarr") == []
    of_file = ["granule", "position"]
    found, same = (table(campaign).drop(columns=of_file) for campaign in (one, other))
    pd.testing.assert_frame_equal(found, same, check_categorical=False)
    report = ilrs.run(
        pipeline(one, layout={"chunk": 2, "shard": 4, "part": 2}, output="parts.zarr", **wanted), executor="serial"
    )
    pd.testing.assert_frame_equal(table(one), table(one, "parts.zarr"), check_categorical=False)


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_executors_make_the_same_table(campaign: Campaign, executor: Any) -> None:
    ilrs.run(pipeline(campaign, output="serial.zarr"), executor="serial")
    ilrs.run(pipeline(campaign), executor=executor, workers=2)
    assert_same_bytes(campaign.folder / "serial.zarr", campaign.folder / "cube.zarr")


def test_a_row_that_another_file_has_too_is_a_duplicate_and_a_different_one_stands_beside_it(
    campaign: Campaign,
) -> None:
    campaign.write("again.jumps", "a", [0, 7])
    campaign.write("other.jumps", "a", [7], words=[raw.NOT_A_NUMBER])
    report = ilrs.run(pipeline(campaign, sites=["a"]), executor="serial")
    assert (report.counts.duplicate, report.counts.conflict) == (2, 0)
    found = table(campaign)
    assert ((found.tai.astype("int64") - START) == 7 * SECOND).sum() == 3
    assert found.granule.nunique() == 2


def test_several_rows_of_one_sample_are_numbered(campaign: Campaign) -> None:
    steps = [{"turns": {"turn": "3 s"}}, {"pieces": {"limit": "3 s"}}, "as_rows"]
    report = ilrs.run(pipeline(campaign, steps=steps), executor="serial")
    found = table(campaign)
    assert (found["index"] > 0).any()
    assert not found.duplicated(["site", "tai", "granule", "position", "index"]).any()
    assert sum(report.reasons.values()) + report.counts.placed == 11


def test_a_part_that_is_made_anew_without_rows_leaves_none_behind(campaign: Campaign) -> None:
    ilrs.run(pipeline(campaign, sites=["a"]), executor="serial")
    campaign.write("a.jumps", "a", [0.5])
    ilrs.run(pipeline(campaign, sites=["a"]), executor="serial")
    assert len(table(campaign)) == 1
    assert [path.name for path in (campaign.folder / "cube.zarr" / "table").rglob("*.parquet")] == ["0.parquet"]
    assert check_cube(campaign.folder / "cube.zarr") == []


def test_a_table_grows_with_its_campaign(campaign: Campaign) -> None:
    ilrs.run(pipeline(campaign), executor="serial")
    report = ilrs.run(pipeline(campaign, count=32), executor="serial")
    assert report.skipped == 12
    assert len(table(campaign)) == 11
    assert check_cube(campaign.folder / "cube.zarr") == []


@pytest.mark.parametrize("damage", ["gone", "changed", "stranger"])
def test_verify_and_the_next_run_see_a_damaged_table(campaign: Campaign, damage: str) -> None:
    ilrs.run(pipeline(campaign), executor="serial")
    folder = campaign.folder / "cube.zarr" / "table"
    before = table(campaign)
    if damage == "gone":
        (folder / "0" / "1.parquet").unlink()
    elif damage == "changed":
        pq.write_table(pq.read_table(folder / "0" / "0.parquet").slice(1), folder / "0" / "1.parquet")
    else:
        (folder / "0" / "3.parquet").write_bytes(b"x")
    found = verify(str(campaign.folder / "cube.zarr"))
    assert not found.ok
    assert check_cube(campaign.folder / "cube.zarr") != []
    if damage != "stranger":
        ilrs.run(pipeline(campaign), executor="serial")
        pd.testing.assert_frame_equal(table(campaign), before)


def test_columns_say_what_they_are(campaign: Campaign) -> None:
    ilrs.run(pipeline(campaign), executor="serial")
    stored = pq.read_schema(campaign.folder / "cube.zarr" / "table" / "0" / "0.parquet")
    assert stored.field("pair").metadata == {b"units": b"V", b"about": b"a signal, and its opposite"}
    opened = ilrs.open_table(str(campaign.folder / "cube.zarr")).schema
    assert [(one.name, one.type) for one in stored] == [(one.name, one.type) for one in opened]
    assert opened.field("pair").metadata == stored.field("pair").metadata


def test_a_table_without_a_row_has_its_columns(campaign: Campaign) -> None:
    time = {"start": isot(START + 25 * SECOND), "stop": isot(START + 29 * SECOND), "step": "1 s"}
    campaign.write("c.jumps", "a", [20, 40])
    ilrs.run(pipeline(campaign, sites=["a"], time=time), executor="serial")
    found = table(campaign)
    assert len(found) == 0
    assert list(found)[-4:] == ["pair", "pair_uncertainty", "number", "parity"]


def test_the_cubes_of_a_collection_have_one_table(campaign: Campaign) -> None:
    ilrs.run(pipeline(campaign, output="whole.zarr"), executor="serial")
    ilrs.run(pipeline(campaign, output="days", partition="day"), executor="serial")
    pd.testing.assert_frame_equal(table(campaign, "days"), table(campaign, "whole.zarr"), check_categorical=False)


def test_a_table_in_a_bucket_is_opened_as_one_in_a_folder(campaign: Campaign) -> None:
    ilrs.run(pipeline(campaign), executor="serial")
    ilrs.run(pipeline(campaign, output="memory://tables/cube.zarr"), executor="serial")
    found = ilrs.open_table("memory://tables/cube.zarr").to_table().to_pandas()
    pd.testing.assert_frame_equal(found, table(campaign))


def test_a_cube_of_cells_has_no_table(campaign: Campaign) -> None:
    campaign.write("a.toy", "a", [0])
    ilrs.run(campaign.pipeline(sites=["a"]), executor="serial")
    with pytest.raises(CubeError, match="a cube without a table; open it with open_cube"):
        ilrs.open_table(str(campaign.folder / "cube.zarr"))
    with pytest.raises(CubeError, match="no cube"):
        ilrs.open_table(str(campaign.folder / "nothing.zarr"))


def test_a_pipeline_does_not_choose_another_place_for_rows(campaign: Campaign) -> None:
    with pytest.raises(PlanError, match="makes a table: leave it out"):
        ilrs.plan(pipeline(campaign, place="mean"))


def test_rows_have_no_bins_exposures_or_means() -> None:
    v = ilrs.Variable("v", ("time",), "f4", "1")
    for wrong, said in (
        ({"exposures": True}, "the rows of a table are no cells"),
        ({"bins": {"v": "b"}, "coordinates": {"v": 2}}, "the rows of a table are no cells"),
    ):
        with pytest.raises(ValueError, match=said):
            ilrs.Product(v, place="table", **wrong)  # type: ignore[arg-type]
    for odd in (
        ilrs.Variable("v", ("time",), "f4", "1", place="mean"),
        ilrs.Variable("v", ("time",), "f4", "1", period=1),
    ):
        with pytest.raises(ValueError, match="says how samples make a cell"):
            ilrs.Product(odd, place="table")
    words = ilrs.Variable("v", ("time", "axis"), "u1", "1", categories=("on", "off"))
    with pytest.raises(ValueError, match="one of words has none"):
        ilrs.Product(words, place="table", coordinates={"axis": 2})
    with pytest.raises(ValueError, match="cannot name a variable of a table"):
        ilrs.Product(ilrs.Variable("granule", ("time",), "f4", "1"), place="table")


def test_the_kit_takes_an_instrument_with_a_table(campaign: Campaign) -> None:
    from ilrs_toys.triggers import instrument  # noqa: PLC0415 - after the toys are installed

    files = [str(campaign.folder / "raw" / name) for name in ("a.jumps", "b.jumps")]
    report = check_instrument(instrument, files, steps=["as_rows"], raise_on_failure=False)
    assert [one.check for one in report.results if not one.ok] == ["units"]  # a toy's counts have none
