"""Products of Chang'e: labels that are wrong in known ways, and data that are read as they are."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from ilrs_science import sites
from ilrs_science.formats.format import HEAD
from ilrs_science.formats.pds4 import FORMAT, index_pds4, read_pds4
from ilrs_science.geometry import parse_utc
from ilrs_science.geometry.time import utc_to_tai
from ilrs_science.simulate.gras import LPR, lnd_pair, lpr_pair, pcam_pair, vnis_pair
from ilrs_science.testing.mutation import survive

REFERENCE = [name for name in LPR.names if name.startswith("REFERENCE")]


def tai(times: np.ndarray) -> np.ndarray:
    return utc_to_tai(times.astype("datetime64[ns]").astype(np.int64))


def repaired(found: xr.Dataset) -> str:
    return " | ".join(found.attrs.get("repaired", []))


def test_a_radar_record_has_the_layout_of_the_mission() -> None:
    places = {"TIME": 4, "VELOCITY": 10, "XPOSITION": 14, "REFERENCE_POINT_XPOSITION": 38, "DataParameter1": 62}
    places |= {"RADAR_WORKING_MODE": 73, "DataParameter2": 79, "VALID_DATA_LENGTH": 107, "ECHO_DATA": 114}
    assert {name: LPR.fields[name][1] for name in places} == places
    assert LPR.itemsize == 8307


def test_radar_traces_come_with_all_fields_in_their_true_byte_orders(tmp_path: Path) -> None:
    pair = lpr_pair(tmp_path)
    found = read_pds4(pair.data)
    assert found.identical(read_pds4(pair.label))
    for name in LPR.names:
        if name != "TIME":
            np.testing.assert_array_equal(found[name], pair.truth[name], err_msg=name)
            assert found[name].dtype.isnative
    np.testing.assert_array_equal(found.tai.astype("i8"), tai(pair.truth["time"]))
    assert found.ECHO_DATA.dims == ("time", "ECHO_DATA_1")
    assert found.FRAME_IDENTIFICATION.shape == (24, 4)
    assert found.attrs["rejected"] == {}
    assert (found.attrs["antenna_height"], found.attrs["longitude"], found.attrs["latitude"]) == ("/", 12.5, -3.25)
    told = found.attrs["repaired"]
    assert [line.partition(":")[0] for line in told if "byte order" in line] == REFERENCE
    assert [line.partition(":")[0] for line in told if "times uint8" in line] == [
        "FRAME_IDENTIFICATION",
        "TIME",
        "DataParameter1",
        "DataParameter2",
    ]


@given(st.tuples(st.integers(1, 1500), st.integers(-1500, -1), *[st.integers(1, 17999)] * 4), st.integers(0, 9))
def test_any_reference_point_is_found_in_its_true_byte_order(
    tmp_path_factory: pytest.TempPathFactory, reference: tuple[int, ...], seed: int
) -> None:
    scaled = (*(one + 0.37 for one in reference[:2]), *(one / 100 for one in reference[2:]))
    pair = lpr_pair(tmp_path_factory.mktemp("lpr"), records=3, moves=2, reference=scaled, seed=seed)
    found = read_pds4(pair.data)
    for name in LPR.names[2:15]:
        np.testing.assert_array_equal(found[name], pair.truth[name], err_msg=name)


def test_a_radar_clock_that_contradicts_the_label_is_not_time(tmp_path: Path) -> None:
    pair = lpr_pair(tmp_path)
    text = pair.label.read_text()
    pair.label.write_text(text.replace("<start_date_time>2019", "<start_date_time>2018"))
    found = read_pds4(pair.data)
    assert "time" not in found.coords
    assert "TIME: counted from 2009-12-31T16:00:00" in repaired(found)
    assert index_pds4(pair.data)[0].start == 0


def test_particle_tables_are_told_apart_by_blanks_where_their_label_is_wrong(tmp_path: Path) -> None:
    pair = lnd_pair(tmp_path)
    found = read_pds4(pair.label)
    np.testing.assert_array_equal(found.tai.astype("i8"), tai(pair.truth["time"]))
    for name in ("TID", "COUNTS", "SPECTRUM"):
        np.testing.assert_array_equal(found[name], pair.truth[name])
    assert found.COUNTS.dtype == np.int64
    assert found.TID.attrs["units"] == "uGy/h"
    assert "told apart by blanks" in repaired(found)
    lines = pair.data.read_bytes().splitlines(keepends=True)
    pair.data.write_bytes(b"".join([*lines[:5], b"2019-01-05T00:07:30.000Z 1 2\r\n", *lines[5:]]))
    assert read_pds4(pair.label).attrs["rejected"] == {"wrong number of fields": 1}


def test_a_raster_without_header_is_an_image_whatever_size_its_label_says(tmp_path: Path) -> None:
    pair = pcam_pair(tmp_path)
    found = read_pds4(pair.data)
    np.testing.assert_array_equal(found.Array_2D_Image, pair.truth["Array_2D_Image"])
    assert found.Array_2D_Image.dims == ("Line", "Sample")
    assert found.Array_2D_Image.dtype == np.uint16
    assert "file_size 3: " in repaired(found)


def test_a_label_that_is_no_utf_8_is_read(tmp_path: Path) -> None:
    pair = vnis_pair(tmp_path)
    found = read_pds4(pair.data)
    np.testing.assert_array_equal(found.Array_3D_Image, pair.truth["Array_3D_Image"])
    assert found.attrs["note"] == "可见近红外成像光谱仪"
    assert "read as gb18030" in repaired(found)


@pytest.mark.parametrize(
    ("write", "instrument", "level", "count"),
    [
        (lpr_pair, "LPR-2B", "2B", 24),
        (lnd_pair, "LND-TID", "2A", 40),
        (pcam_pair, "PCAML-C", "2B", 1),
        (vnis_pair, "VNIS-VD", "2B", 1),
    ],
)
def test_an_index_tells_instrument_site_and_level_of_a_product(
    tmp_path: Path, write: object, instrument: str, level: str, count: int
) -> None:
    pair = write(tmp_path)  # type: ignore[operator]
    (one,) = index_pds4(pair.label)
    assert [one] == index_pds4(pair.data)
    assert (one.url, one.instrument, one.site, one.level) == (str(pair.data), instrument, "change-4", level)
    assert (one.count, one.format) == (count, "pds4")
    assert one.site in sites()
    assert FORMAT.recognises(pair.label.read_bytes()[:HEAD], pair.label)
    assert FORMAT.recognises(pair.data.read_bytes()[:HEAD], pair.data)
    if "time" in pair.truth:
        first, last = tai(pair.truth["time"])[[0, -1]]
        assert (one.start, one.stop) == (first, last + 1)


@pytest.mark.parametrize(
    ("name", "site", "instrument"),
    [
        ("CE3_BMYK_MUVT-F-0102_SCI_N_20140113195844_20140113195844_0008_B.2A", "change-3", "MUVT-F"),
        ("CE5-L_GRAS_PCAML-I-008_SCI_N_20201203054903_20201203054903_0004_A.2B", "change-5", "PCAML-I"),
        ("CE6-L_GRAS_LMS-S-D000_SCI_N_20240603141409_20240603142143_0023_A.2B", "change-6", "LMS-S"),
        ("CE1_GRAS_MRM-T1_SCI_N_20071127142000_20071127162000_0001_A.2B", "CE1", "MRM-T1"),
    ],
)
def test_a_mission_on_the_surface_is_a_site_and_an_orbiter_is_none(
    tmp_path: Path, name: str, site: str, instrument: str
) -> None:
    pair = pcam_pair(tmp_path)
    label = tmp_path / f"{name}L"
    label.write_text(pair.label.read_text().replace(pair.data.name, name))
    pair.data.rename(tmp_path / name)
    (one,) = index_pds4(label)
    assert (one.site, one.instrument, one.level) == (site, instrument, name.rpartition(".")[2])


@pytest.mark.parametrize("write", [lpr_pair, lnd_pair])
@pytest.mark.parametrize("what", ["data", "label"])
def test_no_mutation_makes_anything_but_a_dataset_or_a_format_error(tmp_path: Path, write: object, what: str) -> None:
    pair = write(tmp_path)  # type: ignore[operator]
    path = getattr(pair, what)
    assert set(survive(read_pds4, path, 300, seed=1)) <= {"refused", "read"}
    assert set(survive(index_pds4, path, 100, seed=2)) <= {"refused", "read"}


@pytest.mark.real
def test_the_real_radar_pair_of_change_4_agrees_with_the_data_sheet(real_data: Path) -> None:
    sheet, about = json.loads((real_data / "facts.json").read_text())["ce4_lpr"]
    facts, found = sheet["facts"], read_pds4(real_data / sheet["file"])
    assert found.identical(read_pds4(real_data / about["file"]))
    echo, expected = found.ECHO_DATA.values, facts["echo"]
    assert list(echo.shape) == expected["shape"]
    assert echo.dtype == np.float32
    exact = echo.astype(float)
    rms = np.sqrt(np.mean(exact**2))
    for value, name, digits in (
        (exact.min(), "min", 4),
        (exact.max(), "max", 4),
        (exact.mean(), "mean", 7),
        (rms, "rms", 6),
        (exact.std(), "std", 6),
        (exact.sum(), "sum", 5),
        (exact[0, 0], "first_value", 5),
        (exact[-1, -1], "last_value", 7),
    ):
        assert value == pytest.approx(expected[name], abs=0.6 * 10**-digits), name
    ends = found.tai.values.astype("i8")[[0, -1]].tolist()
    assert ends == [parse_utc(facts["time"][key] + "Z") for key in ("first", "last")]
    steps = np.diff(found.tai.values.astype("i8")) / 1e9
    assert (steps.min(), np.median(steps), steps.max()) == tuple(facts["time"]["step_s"].values())
    assert found.FRAME_IDENTIFICATION.values[0].tobytes().hex().upper() == facts["frame_id"][2:]
    path = np.stack([found[f"{axis}POSITION"] for axis in "XYZ"], axis=1)
    np.testing.assert_allclose(path[[0, -1]], [facts["position_m"]["first"], facts["position_m"]["last"]], rtol=5e-7)
    assert len(np.unique(path, axis=0)) == facts["position_m"]["distinct"]
    moved = np.hypot(*np.diff(path[:, :2].astype(float), axis=0).T).sum()
    assert moved == pytest.approx(facts["position_m"]["path_length_2d_m"], abs=5e-5)
    attitude = [float(found[f"ATT_{axis}ING"][-1]) for axis in ("PITCH", "ROLL", "YAW")]
    np.testing.assert_allclose(attitude, facts["attitude_deg_last"], rtol=3e-5)
    reference = facts["reference_point"]["position_m"] + facts["reference_point"]["attitude_deg"]
    for name, value in zip(REFERENCE, reference, strict=True):
        np.testing.assert_allclose(found[name], value, rtol=5e-7)
        assert f"{name}: labelled IEEE754MSBSingle, read in the other byte order" in repaired(found)
    for name in ("CHANNEL_1_RECORD_COUNT", "CHANNEL_2_RECORD_COUNT"):
        assert found[name].values[[0, -1]].tolist() == facts[name.lower()]
    assert np.unique(found.QUALITY_STATE).tolist() == facts["quality_values"]
    assert {"lon_e": found.attrs["longitude"], "lat": found.attrs["latitude"]} == facts["site_deg"]
    assert found.attrs["sampling_interval"] == expected["sample_interval_ns"]
    (one,) = index_pds4(real_data / about["file"])
    assert [one] == index_pds4(real_data / sheet["file"])
    assert [one.start, one.stop - 1] == [parse_utc(text) for text in about["facts"]["start_stop"]] == ends
    assert (one.instrument, one.site, one.level, one.count) == ("LPR-1", "change-4", "2B", facts["records"])
    assert found.attrs["information_model_version"] == about["facts"]["information_model"][0]


@pytest.mark.real
def test_mutations_of_the_real_radar_pair_are_read_or_refused(real_data: Path, tmp_path: Path) -> None:
    name = next((real_data / "ce4_lpr").glob("*.2B")).name
    (tmp_path / name).write_bytes((real_data / "ce4_lpr" / name).read_bytes()[: 4 * 32883])
    (tmp_path / f"{name}L").write_bytes((real_data / "ce4_lpr" / f"{name}L").read_bytes())
    for seed, path in enumerate((tmp_path / name, tmp_path / f"{name}L")):
        assert set(survive(read_pds4, path, 300, seed=seed)) <= {"refused", "read"}
        assert set(survive(index_pds4, path, 100, seed=seed)) <= {"refused", "read"}
