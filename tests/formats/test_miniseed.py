"""MiniSEED: samples of every encoding at times that do not drift, and every byte that is lost counted."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import obspy
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from ilrs_science.errors import FormatError
from ilrs_science.formats.format import HEAD
from ilrs_science.formats.miniseed import FORMAT, index_miniseed, read_miniseed
from ilrs_science.geometry import parse_utc
from ilrs_science.testing.mutation import survive

START = "1976-03-02T08:59:59.792"
ENCODINGS = {"INT16": "i2", "INT32": "i4", "FLOAT32": "f4", "FLOAT64": "f8", "STEIM1": "i4", "STEIM2": "i4"}
LENGTH = 512
"""Bytes of a record."""


def trace(values: Any, name: str = "XA.S12.00.MHZ", start: str = START, rate: float = 6.625) -> obspy.Trace:
    network, station, location, channel = name.split(".")
    codes = {"network": network, "station": station, "location": location, "channel": channel}
    header = {**codes, "starttime": obspy.UTCDateTime(start), "sampling_rate": rate}
    return obspy.Trace(np.asarray(values), header)


def made(folder: Path, *traces: obspy.Trace, **options: Any) -> Path:
    path = folder / "made.mseed"
    obspy.Stream(traces).write(str(path), format="MSEED", **{"reclen": LENGTH, **options})
    return path


def wave(count: int, dtype: str = "i4") -> np.ndarray:
    return np.round(500 * np.sin(np.arange(count) / 7)).astype(dtype)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_samples_are_those_of_every_encoding(tmp_path: Path, encoding: str, order: str) -> None:
    values = wave(1000, ENCODINGS[encoding])
    found = read_miniseed(made(tmp_path, trace(values), encoding=encoding, byteorder=order))
    np.testing.assert_array_equal(found.MHZ, values)
    assert found.MHZ.dtype == ("i4" if encoding == "INT16" else ENCODINGS[encoding])
    assert (found.attrs["encoding"], found.attrs["sampling_rate"], found.attrs["segments"]) == (encoding, 6.625, 1)
    assert found.attrs["rejected"] == {}
    assert found.tai.dtype == np.dtype("M8[ns]")
    assert found.tai.attrs["time_scale"] == "TAI"


@settings(max_examples=25)
@given(
    st.sampled_from([0.01, 0.1, 1.0, 6.6, 6.625, 39.26, 53.0, 100.0, 250.0, 1000.0]), st.integers(1, 700), st.integers()
)
def test_what_was_written_is_read(tmp_path_factory: pytest.TempPathFactory, rate: float, count: int, seed: int) -> None:
    values = np.random.default_rng(abs(seed)).integers(-(2**24), 2**24, count).astype("i4")
    path = made(tmp_path_factory.mktemp("made"), trace(values, rate=rate))
    found = read_miniseed(path)
    (expected,) = obspy.read(path)
    np.testing.assert_array_equal(found.MHZ, values)
    assert found.attrs["sampling_rate"] == expected.stats.sampling_rate
    assert found.tai.values.astype("i8")[0] == parse_utc(str(expected.stats.starttime))
    # obspy reckons in microseconds, here in nanoseconds
    assert found.tai.values.astype("i8")[-1] - found.tai.values.astype("i8")[0] == pytest.approx(
        (count - 1) / rate * 1e9, rel=1e-9, abs=1
    )


def test_times_do_not_drift_in_a_long_series(tmp_path: Path) -> None:
    found = read_miniseed(made(tmp_path, trace(np.zeros(600_000, "i4")), reclen=4096))
    numbers = np.array([0, 1, 53, 6625, 599_999])
    expected = [(2 * int(n) * 8 * 10**9 + 53) // (2 * 53) for n in numbers]  # 6.625 Hz is 53/8
    assert (found.tai.values.astype("i8")[numbers] - parse_utc(START + "Z")).tolist() == expected


def test_before_1972_the_rate_is_by_the_second_of_the_utc_of_then(tmp_path: Path) -> None:
    found = read_miniseed(made(tmp_path, trace(wave(3601), start="1971-04-13T02:00:00.000062", rate=1.0)))
    expected = [parse_utc(f"1971-04-13T{clock}.000062Z") for clock in ("02:00:00", "02:20:00", "02:59:59", "03:00:00")]
    assert np.abs(found.tai.values.astype("i8")[[0, 1200, 3599, 3600]] - expected).tolist() == [0, 0, 0, 0]
    assert (
        found.tai.values.astype("i8")[-1] - found.tai.values.astype("i8")[0] == 3600 * 10**9 + 108_000
    )  # 30 ns a second


def test_the_step_of_utc_at_the_start_of_1972_is_minded(tmp_path: Path) -> None:
    found = read_miniseed(made(tmp_path, trace(wave(7), start="1971-12-31T23:59:57", rate=1.0)))
    assert found.tai.values.astype("i8")[[2, 3]].tolist() == [
        parse_utc("1971-12-31T23:59:59Z"),
        parse_utc("1972-01-01T00:00:00Z"),
    ]


def test_a_gap_is_kept_and_an_overlap_too(tmp_path: Path) -> None:
    parts = [(wave(300), 0.0), (wave(200) + 1, 400 / 6.625), (wave(100) + 2, 500 / 6.625)]
    traces = [trace(values, start=str(obspy.UTCDateTime(START) + offset)) for values, offset in parts]
    found = read_miniseed(made(tmp_path, *traces))
    begin = parse_utc(START + "Z")
    np.testing.assert_array_equal(found.MHZ, np.concatenate([values for values, _ in parts]))
    assert found.attrs["segments"] == 3
    for at, (_, offset) in zip((0, 300, 500), parts, strict=True):
        assert found.tai.values.astype("i8")[at] - begin == pytest.approx(offset * 1e9, abs=1000)


def test_a_clock_that_runs_off_never_leads_more_than_half_a_sample(tmp_path: Path) -> None:
    path = made(tmp_path, trace(np.zeros(5000, "f8"), rate=1.0), encoding="FLOAT64")
    data = bytearray(path.read_bytes())
    per_record = 57
    starts = []
    for number in range(len(data) // LENGTH):  # every record says that it starts 0.1 s later than the one before ends
        stamp = obspy.UTCDateTime(START) + number * (per_record + 0.1)
        starts.append(parse_utc(str(stamp)))
        at = number * LENGTH + 20
        data[at + 4 : at + 7] = bytes([stamp.hour, stamp.minute, stamp.second])
        data[at + 8 : at + 10] = (stamp.microsecond // 100).to_bytes(2, "big")
    path.write_bytes(data)
    found = read_miniseed(path)
    stamped = found.tai.values.astype("i8")[::per_record]
    assert found.attrs["segments"] == 15  # obspy makes one of it, 9 s off at the end
    assert np.abs(stamped - np.array(starts)).max() <= 5e8 + 2e5
    assert found.tai.values.astype("i8")[-1] - found.tai.values.astype("i8")[0] > 5006e9


def test_channels_are_branches_each_with_its_own_rate_and_times(tmp_path: Path) -> None:
    traces = [
        trace(wave(400), "XA.S12.00.MHZ"),
        trace(wave(300, "f8"), "XA.S12..SHZ", rate=53.0),
        trace(wave(200), "XA.S14.00.MHZ", start="1976-03-03T00:00:00"),
        trace(wave(100), "IU.ANMO.10.BHZ", rate=20.0),
    ]
    path = tmp_path / "made.mseed"
    pieces = [made(tmp_path, one).read_bytes() for one in traces]
    path.write_bytes(pieces[0][:LENGTH] + pieces[1] + pieces[0][LENGTH:] + pieces[2] + pieces[3])
    found = read_miniseed(path)
    assert isinstance(found, xr.DataTree)
    assert found.attrs == {"rejected": {}}
    for one in traces:
        branch = found[one.id]
        np.testing.assert_array_equal(branch[one.stats.channel], one.data)
        assert branch["tai"].values.astype("i8")[0] == parse_utc(str(one.stats.starttime))
        assert branch.attrs["sampling_rate"] == one.stats.sampling_rate
    granules = {(g.site, g.instrument): g for g in index_miniseed(path)}
    assert set(granules) == {("apollo-12", "MHZ"), ("apollo-12", "SHZ"), ("apollo-14", "MHZ"), ("IU.ANMO", "BHZ")}
    for one in traces:
        site = f"apollo-{one.stats.station[1:]}" if one.stats.network == "XA" else "IU.ANMO"
        granule, times = granules[site, one.stats.channel], found[one.id]["tai"].values.astype("i8")
        assert (granule.count, granule.start, granule.stop) == (len(times), times[0], times[-1] + 1)


def test_one_channel_in_two_encodings_is_two_branches(tmp_path: Path) -> None:
    first, second = made(tmp_path, trace(wave(300))).read_bytes(), made(tmp_path, trace(wave(300, "f8"))).read_bytes()
    path = tmp_path / "made.mseed"
    path.write_bytes(first + second)
    found = read_miniseed(path)
    assert list(found.children) == ["XA.S12.00.MHZ", "XA.S12.00.MHZ.D.6.625Hz.FLOAT64"]
    (one,) = index_miniseed(path)
    assert one.count == 600


def test_a_leap_second_is_a_second_of_its_own(tmp_path: Path) -> None:
    path = made(tmp_path, trace(wave(10), start="2016-12-31T23:59:59", rate=4.0))
    data = bytearray(path.read_bytes())
    data[26] = 60
    path.write_bytes(data)
    expected = ["2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"]
    assert read_miniseed(path).tai.values.astype("i8")[[0, 4]].tolist() == [parse_utc(text) for text in expected]


def test_blockettes_correct_rate_and_time(tmp_path: Path) -> None:
    path = made(tmp_path, trace(wave(50), start="2016-01-01T00:00:00", rate=6.25))
    data = bytearray(path.read_bytes())
    data[39] = 3  # blockettes: 1000 at 48, 100 at 56 and 1001 at 68 behind it, before the samples at 128
    data[44:46] = (128).to_bytes(2, "big")
    data[128:] = data[64 : len(data) - 64]
    data[50:52] = (56).to_bytes(2, "big")
    data[56:60] = (100).to_bytes(2, "big") + (68).to_bytes(2, "big")
    data[60:64] = np.array([6.5], ">f4").tobytes()
    data[68:76] = (1001).to_bytes(2, "big") + b"\0\0" + bytes([100, 0x9D, 0, 1])  # -99 us
    data[40:44] = (25).to_bytes(4, "big")  # 2.5 ms, not yet applied
    path.write_bytes(data)
    found = read_miniseed(path)
    (expected,) = obspy.read(path)
    assert found.attrs["sampling_rate"] == expected.stats.sampling_rate == 6.5
    assert (
        found.tai.values.astype("i8")[0]
        == parse_utc(str(expected.stats.starttime))
        == parse_utc("2016-01-01T00:00:00.002401Z")
    )


def damaged(path: Path, *changes: tuple[int, bytes]) -> Path:
    data = bytearray(path.read_bytes())
    for at, value in changes:
        data[at : at + len(value)] = value
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("changes", "reason", "lost"),
    [
        ([(LENGTH + 52, b"\x63")], "record of an unknown encoding", 1),
        ([(LENGTH + 52, b"\x00")], "record of text", 1),
        ([(LENGTH + 30, b"\xff\xff")], "record with more samples than room", 1),
        ([(LENGTH + 44, b"\x00\x08")], "record with more samples than room", 1),
        ([(LENGTH + 32, b"\0\0")], "record without a sample rate", 1),
        ([(LENGTH + 20, b"\x07\x9e")], "record without a time that UTC has", 1),
        ([(LENGTH + 6, b"X")], "bytes that are no record", LENGTH),
        ([(LENGTH + 48, b"\x03\xe7")], "bytes that are no record", LENGTH),
        ([(LENGTH + 54, b"\x03")], "bytes that are no record", LENGTH),
        ([(LENGTH + 72, b"\x00\x00\x7f\x00")], "record that does not end as it says (Steim)", 1),
        ([(LENGTH + 64, b"\xff" * 16)], "record that cannot be decoded", 1),
    ],
)
def test_a_record_that_is_damaged_is_left_out_and_counted(
    tmp_path: Path, changes: list[tuple[int, bytes]], reason: str, lost: int
) -> None:
    path = made(
        tmp_path, trace(wave(2000), rate=6.25), encoding="STEIM2"
    )  # times without microseconds: no blockette 1001
    whole = read_miniseed(path)
    found = read_miniseed(damaged(path, *changes))
    assert found.attrs["rejected"] == {reason: lost}
    assert found.attrs["segments"] == 2
    kept = np.isin(whole.tai.values.astype("i8") // 1000, found.tai.values.astype("i8") // 1000)
    assert 0 < len(found.time) < len(whole.time)
    np.testing.assert_array_equal(found.MHZ.values[: kept.argmin()], whole.MHZ.values[: kept.argmin()])
    np.testing.assert_array_equal(found.MHZ.values[-50:], whole.MHZ.values[-50:])


def test_bytes_between_records_and_a_cut_record_are_counted(tmp_path: Path) -> None:
    values = wave(2000)
    path = made(tmp_path, trace(values), encoding="INT32")
    data = path.read_bytes()
    path.write_bytes(data[:LENGTH] + b"rubbish" + data[LENGTH:-100])
    found = read_miniseed(path)
    assert found.attrs["rejected"] == {"bytes that are no record": 7, "record cut short by the end of the file": 1}
    np.testing.assert_array_equal(found.MHZ, values[: len(found.time)])
    # obspy itself does not find the records behind them, and says so only in warnings
    with pytest.warns(UserWarning, match="SEED record"):
        assert len(obspy.read(path)[0]) < len(found.time)


@pytest.mark.parametrize("content", [b"", b"short", bytes(5000), b"000001D " + bytes(500), b"SIMPLE  =" * 900])
def test_other_files_are_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "made.mseed"
    path.write_bytes(content)
    for read in (read_miniseed, index_miniseed):
        with pytest.raises(FormatError, match=r"made.mseed: no good record of miniSEED"):
            read(path)
    assert not FORMAT.recognises(content[:HEAD], path)


def test_a_file_of_nothing_but_damage_is_given_up(tmp_path: Path) -> None:
    path = made(tmp_path, trace(wave(60_000)), encoding="STEIM2")
    records = range(path.stat().st_size // LENGTH)
    with pytest.raises(FormatError, match="more than 64 records"):
        read_miniseed(damaged(path, *((number * LENGTH + 64, b"\xff" * 32) for number in records)))


def test_a_file_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_miniseed(tmp_path / "absent.mseed")


def test_a_record_longer_than_the_head_is_recognised(tmp_path: Path) -> None:
    path = made(tmp_path, trace(wave(30_000)), reclen=65536, encoding="INT32")
    assert FORMAT.recognises(path.read_bytes()[:HEAD], path)


@pytest.mark.parametrize("read", [read_miniseed, index_miniseed])
def test_no_mutation_makes_anything_but_samples_or_a_format_error(tmp_path: Path, read: Any) -> None:
    pieces = [made(tmp_path, one).read_bytes() for one in (trace(wave(1500)), trace(wave(300, "f8"), "XA.S12.00.SHZ"))]
    path = tmp_path / "mutated.mseed"
    path.write_bytes(b"".join(pieces))
    assert set(survive(read, path, 300, seed=1)) <= {"refused", "read"}


@pytest.mark.real
def test_the_real_file_agrees_with_the_data_sheet(real_data: Path) -> None:
    sheet = json.loads((real_data / "facts.json").read_text())["apollo_s12"][0]
    facts, path = sheet["facts"], real_data / sheet["file"]
    found = read_miniseed(path)
    values = found.MHZ.values
    assert (found.attrs["name"], found.attrs["encoding"]) == (facts["id"], facts["encoding"])
    assert (found.sizes["time"], found.attrs["segments"]) == (facts["npts"], facts["n_traces"])
    assert (found.attrs["sampling_rate"], str(values.dtype)) == (facts["sampling_rate_hz"], facts["dtype"])
    assert found.tai.values.astype("i8")[0] == parse_utc(facts["start"])
    assert found.tai.values.astype("i8")[-1] == pytest.approx(parse_utc(facts["end"]), abs=1000)
    for name in ("min", "max", "mean", "std"):
        assert getattr(values, name)() == pytest.approx(facts[name], rel=1e-9)
    assert (np.isnan(values).sum(), found.attrs["rejected"]) == (facts["n_nan"], {})
    (one,) = index_miniseed(path)
    assert (one.site, one.instrument, one.count) == ("apollo-12", "MHZ", facts["npts"])
    assert (one.start, one.stop) == (found.tai.values.astype("i8")[0], found.tai.values.astype("i8")[-1] + 1)


def band_passed(values: np.ndarray, rate: float, low: float, high: float) -> np.ndarray:
    """Return a series in the band of a Butterworth filter of four corners, without its delay."""
    low, high = np.tan(np.pi * np.array([low, high]) / rate)
    omega = np.tan(np.pi * np.fft.rfftfreq(len(values), 1 / rate)[1:-1] / rate)
    gain = np.pad(1 / np.sqrt(1 + ((omega**2 - low * high) / (omega * (high - low))) ** 8), 1)
    return np.fft.irfft(np.fft.rfft(values) * gain[: len(values) // 2 + 1], len(values))


@pytest.mark.real
def test_the_event_stands_out_where_the_catalogue_has_it(real_data: Path) -> None:
    sheet = json.loads((real_data / "facts.json").read_text())["apollo_s12"][0]
    test, found = sheet["facts"]["event_test"], read_miniseed(real_data / sheet["file"])
    at = parse_utc(sheet["facts"]["event_time_utc"] + "Z")
    seconds = (found.tai.values.astype("i8") - at) / 1e9
    band = band_passed(found.MHZ.values, 6.625, 0.5, 1.5)
    after, before = (band[(seconds >= low) & (seconds < high)] for low, high in ((0, 600), (-600, 0)))
    ratio = np.sqrt((after**2).mean() / (before**2).mean())
    assert ratio == pytest.approx(test["ratio_at_time_abs"], rel=1e-2)  # the sheet's filter delays, this one does not


@pytest.mark.real
def test_a_mutated_real_file_ends_in_samples_or_a_format_error(tmp_path: Path, real_data: Path) -> None:
    (source,) = (real_data / "apollo_s12").glob("*.mseed")
    path = tmp_path / "mutated.mseed"
    path.write_bytes(source.read_bytes()[: 4096 * 20])
    assert set(survive(read_miniseed, path, 300, seed=1)) <= {"refused", "read"}


@pytest.mark.real
def test_of_the_real_files_only_this_is_recognised(real_data: Path) -> None:
    files = [path for path in real_data.rglob("*") if path.is_file()]
    found = [path.suffix for path in files if FORMAT.recognises(path.read_bytes()[:HEAD], path)]
    assert found == [".mseed"]
