"""LEXI telemetry: science and housekeeping apart, synchronisation found again, everything counted."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ilrs_science.errors import FormatError
from ilrs_science.formats.lexi import FORMAT, VOLTS, index_lexi, read_lexi
from ilrs_science.geometry.time import isot, tai_to_utc
from ilrs_science.simulate.space_packets import simulate_lexi
from ilrs_science.testing.mutation import survive


@pytest.mark.parametrize("garbage", [False, True])
@pytest.mark.parametrize("truncated", [False, True])
def test_frames_are_those_that_were_sent(tmp_path: Path, garbage: bool, truncated: bool) -> None:
    path = tmp_path / "lexi.dat"
    truth = simulate_lexi(path, garbage=garbage, truncated=truncated)
    found, hk = read_lexi(path), truth["housekeeping"]
    for name, mask in (("science", ~hk), ("housekeeping", hk)):
        np.testing.assert_allclose(tai_to_utc(found[name].tai.values.astype("i8")) / 1e9, truth["utc"][mask], atol=3e-7)
        np.testing.assert_array_equal(found[name]["counter"], truth["counter"][mask])
        assert (found[name]["length"] == 16).all()
    science, house, counts = found["science"], found["housekeeping"], truth["counts"]
    np.testing.assert_array_equal(science["counts"], counts[~hk])
    np.testing.assert_allclose(science["volts"], counts[~hk] * VOLTS)
    assert (science["volts"].attrs["units"], science["counts"].attrs["units"]) == ("V", "count")
    np.testing.assert_array_equal(science["commanded"], truth["commanded"][~hk])
    np.testing.assert_array_equal(house["identifier"], counts[hk, 0] >> 12)
    np.testing.assert_array_equal(house["value"], counts[hk, 0] & 0xFFF)
    np.testing.assert_array_equal(house["delta_lost_event_count"], counts[hk, 3])
    assert len(house["identifier"].attrs["flag_meanings"].split()) == 16
    assert found.attrs["out_of_sync_bytes"] == (54 if garbage else 0)
    assert found.attrs["rejected"] == ({"truncated frame": 1} if truncated else {})


@pytest.mark.parametrize("left", [1, 2, 12, 14, 27])
def test_a_frame_cut_short_is_told_from_garbage(tmp_path: Path, left: int) -> None:
    path = tmp_path / "lexi.dat"
    simulate_lexi(path, count=10)
    whole = path.read_bytes()
    path.write_bytes(whole[: 9 * 28 + left])
    assert read_lexi(path).attrs == {"instrument": "LEXI", "out_of_sync_bytes": 0, "rejected": {"truncated frame": 1}}
    path.write_bytes(whole + b"x" * left)
    assert read_lexi(path).attrs == {"instrument": "LEXI", "out_of_sync_bytes": left, "rejected": {}}


@pytest.mark.parametrize("time", [float("nan"), float("inf"), -1.0, 0.0, 1e300])
def test_a_frame_without_a_time_is_left_out_and_counted(tmp_path: Path, time: float) -> None:
    path = tmp_path / "lexi.dat"
    simulate_lexi(path, count=10)
    data = bytearray(path.read_bytes())
    data[30:38] = np.array(time, ">f8").tobytes()
    path.write_bytes(data)
    found = read_lexi(path)
    assert found.attrs["rejected"] == {"time outside 1972 to 2200": 1}
    assert found["science"].sizes["time"] + found["housekeeping"].sizes["time"] == 9
    (indexed,) = index_lexi(path)
    assert indexed.count == 10


def test_a_sync_word_within_a_frame_is_no_frame(tmp_path: Path) -> None:
    path = tmp_path / "lexi.dat"
    simulate_lexi(path, count=3)
    data = bytearray(path.read_bytes())
    data[16:18], data[28:32] = b"TS", bytes.fromhex("FE6B2840")
    path.write_bytes(data)
    found = read_lexi(path)
    assert found["science"].sizes["time"] == 2
    assert found.attrs["out_of_sync_bytes"] == 28


@given(st.lists(st.tuples(st.integers(0, 10), st.binary(max_size=60)), max_size=4))
def test_every_byte_is_of_a_frame_or_counted(
    tmp_path_factory: pytest.TempPathFactory, garbage: list[tuple[int, bytes]]
) -> None:
    path = tmp_path_factory.mktemp("lexi") / "lexi.dat"
    simulate_lexi(path, count=10)
    whole = path.read_bytes()
    frames = [whole[start : start + 28] for start in range(0, 280, 28)]
    for place, content in garbage:
        frames.insert(place, content)
    path.write_bytes(b"".join(frames))
    found = read_lexi(path)
    rest = len(b"".join(frames)) - 280
    assert found["science"].sizes["time"] + found["housekeeping"].sizes["time"] == 10
    assert found.attrs["out_of_sync_bytes"] == rest or found.attrs["rejected"] == {"truncated frame": 1}


def test_the_index_has_one_granule_of_all_frames(tmp_path: Path) -> None:
    path = tmp_path / "lexi.dat"
    truth = simulate_lexi(path)
    (found,) = index_lexi(path)
    assert (found.instrument, found.site, found.count) == ("LEXI", "", 100)
    assert tai_to_utc(np.array([found.start, found.stop])) / 1e9 == pytest.approx(truth["utc"][[0, -1]], abs=3e-7)


def test_files_without_a_frame_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "lexi.dat"
    for data in (b"", b"TS", b"x" * 500):
        path.write_bytes(data)
        assert not FORMAT.recognises(data, path)
        for read in (read_lexi, index_lexi):
            with pytest.raises(FormatError, match=r"lexi\.dat: byte 0: no LEXI frame"):
                read(path)
    with pytest.raises(FileNotFoundError):
        read_lexi(tmp_path / "absent.dat")


@pytest.mark.parametrize("read", [read_lexi, index_lexi])
def test_no_damage_makes_anything_but_frames_or_a_format_error(tmp_path: Path, read: object) -> None:
    path = tmp_path / "lexi.dat"
    simulate_lexi(path, garbage=True, truncated=True)
    assert FORMAT.recognises(path.read_bytes(), path)
    assert set(survive(read, path, 300, seed=1)) <= {"refused", "read"}


@pytest.mark.real
def test_the_real_file_agrees_with_the_data_sheet(real_data: Path, tmp_path: Path) -> None:
    sheet = json.loads((real_data / "facts.json").read_text())["lexi_raw"][0]
    path, facts = real_data / sheet["file"], sheet["facts"]
    found = read_lexi(path)
    science, house = found["science"], found["housekeeping"]
    assert (science.sizes["time"], house.sizes["time"]) == (facts["science_frames"], facts["housekeeping_frames"])
    assert (found.attrs["out_of_sync_bytes"], found.attrs["rejected"]) == (facts["bytes_out_of_sync"], {})
    assert int(science["commanded"].sum()) == facts["commanded_frames_among_science"]
    np.testing.assert_allclose(science["volts"].mean("time"), facts["mean_volts"], atol=5e-5)
    (indexed,) = index_lexi(path)
    assert indexed.count == facts["frames"]
    for moment, key in ((indexed.start, "first_time"), (indexed.stop - 1, "last_time")):
        assert isot(round(moment, -3)) == f"{facts[key].rstrip('0')}Z".replace(".8898Z", ".889800Z")
    copy = tmp_path / "copy.dat"
    copy.write_bytes(path.read_bytes())
    assert set(survive(read_lexi, copy, 300, seed=1)) <= {"refused", "read"}


@pytest.mark.real
def test_no_other_real_file_is_taken_for_lexi(real_data: Path) -> None:
    for path in sorted(real_data.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                head = file.read(32768)
            assert FORMAT.recognises(head, path) == (path.name.startswith("payload_lexi")), path
