"""CDF files: times of every kind, what lies along them, old versions, and that damaged bytes end in a FormatError."""

import json
import shutil
import struct
import sys
import tracemalloc
from fractions import Fraction
from pathlib import Path
from typing import Any

import cdflib
import numpy as np
import pytest
import xarray as xr
from astropy.time import Time
from hypothesis import given
from hypothesis import strategies as st

from ilrs_science import FormatError
from ilrs_science.formats.cdf import FORMAT, index_cdf, read_cdf
from ilrs_science.formats.cdf.time import to_tai
from ilrs_science.geometry import parse_utc
from ilrs_science.geometry.time import utc_to_tai
from ilrs_science.simulate.cdf_files import START, Layout, simulate_cdf, simulate_cdf2
from ilrs_science.testing.mutation import survive

NOON = "2001-06-11T12:00:00Z"
MILLISECONDS = cdflib.cdfepoch.compute_epoch([2001, 6, 11, 12, 0, 0, 250])
SPEC = {"Num_Elements": 1, "Rec_Vary": True, "Var_Type": "zVariable", "Compress": 0}
EPOCH, TT2000, REAL4, INT4 = 31, 33, 44, 4


def write(
    path: Path, times: Any, data_type: int = EPOCH, more: dict[str, tuple[dict[str, Any], Any]] | None = None
) -> Path:
    """Write a time variable, a vector of reals, integers, and more variables of reals by name."""
    times = np.asarray(times)
    with cdflib.cdfwrite.CDF(path) as cdf:
        cdf.write_var({**SPEC, "Variable": "Epoch", "Data_Type": data_type, "Dim_Sizes": []}, {}, times)
        vectors = np.arange(len(times) * 3, dtype="f4").reshape(-1, 3)
        vectors[-1:, 1] = -1e31
        attributes = {"DEPEND_0": "Epoch", "FILLVAL": np.float32(-1e31), "UNITS": "nT"}
        cdf.write_var({**SPEC, "Variable": "B", "Data_Type": REAL4, "Dim_Sizes": [3]}, attributes, vectors)
        whole = {"DEPEND_0": "Epoch", "FILLVAL": np.int32(-9)}
        values = np.full(len(times), -9, np.int32)
        cdf.write_var({**SPEC, "Variable": "range", "Data_Type": INT4, "Dim_Sizes": []}, whole, values)
        for name, (extra, reals) in (more or {}).items():
            spec = {**SPEC, "Variable": name, "Data_Type": REAL4, "Dim_Sizes": list(np.shape(reals)[1:])}
            cdf.write_var(spec, extra, np.asarray(reals, "f4"))
    return path


def only(path: Path) -> xr.Dataset:
    found = read_cdf(path)
    assert isinstance(found, xr.Dataset)
    return found


def test_variables_of_one_time_are_read_with_fill_values_as_nan(tmp_path: Path) -> None:
    ds = only(write(tmp_path / "a.cdf", MILLISECONDS + np.array([0.0, 4000.0])))
    np.testing.assert_array_equal(ds.tai.astype("i8"), parse_utc(NOON) + np.array([250, 4250]) * 10**6)
    assert ds.tai.attrs == {
        "standard_name": "time",
        "long_name": "time (time_scale: TAI)",
        "time_scale": "TAI",
    }
    np.testing.assert_array_equal(ds.B, np.array([[0, 1, 2], [3, np.nan, 5]], "f4"))
    assert (ds.B.dtype, ds.B.dims) == (np.dtype("f4"), ("time", "B_1"))
    assert ds.B.attrs["UNITS"] == ds.B.attrs["units"] == "nT"
    assert ds.B.attrs["FILLVAL"] == np.float32(-1e31)
    assert ds["range"].values.tolist() == [-9, -9], "integers have no NaN, and keep their fill value"
    assert ds.attrs == {"epoch": "Epoch", "rejected": {}}


def test_a_file_of_one_record_keeps_its_dimensions(tmp_path: Path) -> None:
    ds = only(write(tmp_path / "a.cdf", [MILLISECONDS]))
    assert ds.B.shape == (1, 3)
    assert ds["range"].shape == (1,)


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"layout": Layout(compress=6), "records": 4000},
        {"layout": Layout(column_major=True)},
        {"layout": Layout(big_endian=True, column_major=True)},
        {"layout": Layout(whole=6), "times": ("Epoch", "Epoch_slow")},
    ],
    ids=str,
)
def test_what_was_written_is_read_in_whatever_way_it_was_written(tmp_path: Path, how: dict[str, Any]) -> None:
    path = tmp_path / "made.cdf"
    truth = simulate_cdf(path, **how)
    tree = read_cdf(path)
    assert isinstance(tree, xr.DataTree)
    times = how.get("times", ("Epoch", "Epoch_slow", "Epoch_fine"))
    assert set(tree.children) == set(times)
    for name in times:
        np.testing.assert_array_equal(tree[f"{name}/tai"].astype("i8"), truth[name])
    fast = tree["Epoch"].to_dataset()
    for name in ("B", "flux", "status", "mode", "alone"):
        np.testing.assert_array_equal(fast[name], truth[name])
    assert [fast[name].dtype for name in ("B", "flux", "status")] == [np.dtype(one) for one in ("f4", "f8", "i4")]
    assert fast.flux.dims == ("time", "flux_1", "energy")
    assert fast.B.axis.values.tolist() == ["x", "y", "z"]
    assert fast.flux.channel.values.tolist() == ["E1", "E20", "E300", "E4000"]
    np.testing.assert_array_equal(tree["energy"], truth["energy"][0])
    np.testing.assert_array_equal(tree["matrix"], truth["matrix"][0])
    assert (int(tree["start"]), tree["start"].attrs["units"]) == (truth["start"][0], "ns")
    np.testing.assert_array_equal(tree["Epoch_slow/temperature"], truth["temperature"])
    assert tree["Epoch_slow"].attrs == {"epoch": "Epoch_slow", "rejected": {}, "backward_times": 1}
    assert tree["Epoch/time"].attrs["CATDESC"] == "middle of the sample"
    if "Epoch_fine" in times:
        np.testing.assert_array_equal(tree["Epoch_fine/light"], truth["light"])
    assert tree.attrs["TEXT"] == ["first line", "second line"]
    assert tree.attrs["number"] == 2.5
    assert tree.attrs["skipped"] == [
        "never: no records",
        "ghost: virtual: software of its mission computes it from others",
    ]
    assert "alone: names no time, and is put along Epoch" in tree.attrs["repaired"][0]


def test_cdflib_reads_the_same_values(tmp_path: Path) -> None:
    path = tmp_path / "made.cdf"
    simulate_cdf(path, layout=Layout(compress=6), records=3000, times=("Epoch",))
    ds, cdf = only(path), cdflib.CDF(path)
    for name in ("flux", "status", "alone"):
        np.testing.assert_array_equal(ds[name], cdf.varget(name))
    np.testing.assert_array_equal(ds.B.fillna(np.float32(-1e31)), cdf.varget("B"))


@pytest.mark.parametrize("release", [3, 5, 7])
@pytest.mark.parametrize("packed", [False, True])
def test_version_2_is_read(tmp_path: Path, release: int, packed: bool) -> None:
    path = tmp_path / "old.cdf"
    truth = simulate_cdf2(path, release=release, packed=packed)
    np.testing.assert_array_equal(cdflib.CDF(path).varget("B"), truth["B"])
    ds = only(path)
    np.testing.assert_array_equal(ds.tai.astype("i8"), truth["Epoch"])
    np.testing.assert_array_equal(ds.B, truth["B"])
    assert ds.attrs["Source_name"] == "OLD>An old mission"
    assert FORMAT.recognises(path.read_bytes(), path)
    (granule,) = index_cdf(path)
    assert (granule.start, granule.stop, granule.count) == (ds.tai[0].astype("i8"), ds.tai[-1].astype("i8") + 1, 10)
    assert (granule.site, granule.instrument, granule.level) == ("OLD", "", "unknown")


def test_a_file_without_time_is_its_variables(tmp_path: Path) -> None:
    path = tmp_path / "a.cdf"
    with cdflib.cdfwrite.CDF(path) as cdf:
        spec = {**SPEC, "Variable": "matrix", "Data_Type": REAL4, "Rec_Vary": False, "Dim_Sizes": [2, 2]}
        cdf.write_var(spec, {}, np.arange(4, dtype="f4").reshape(1, 2, 2))
    assert only(path).matrix.values.tolist() == [[0, 1], [2, 3]]
    (granule,) = index_cdf(path)
    assert (granule.count, granule.start, granule.stop) == (1, 0, 0)


def test_no_records_are_an_empty_dataset(tmp_path: Path) -> None:
    path = write(tmp_path / "a.cdf", np.empty(0))
    ds = only(path)
    assert (ds.sizes["time"], ds.B.shape) == (0, (0, 3))
    (granule,) = index_cdf(path)
    assert (granule.count, granule.start, granule.stop) == (0, 0, 0)


def test_energies_that_change_are_a_coordinate_along_time(tmp_path: Path) -> None:
    more = {
        "energy": ({"DEPEND_0": "Epoch"}, [[1, 2], [1, 3]]),
        "flux": ({"DEPEND_0": "Epoch", "DEPEND_1": "energy"}, [[5, 6], [7, 8]]),
        "other": ({"DEPEND_0": "Epoch", "DEPEND_1": "B"}, [[5, 6], [7, 8]]),
    }
    ds = only(write(tmp_path / "a.cdf", MILLISECONDS + np.arange(2), more=more))
    assert (ds.flux.dims, ds.other.dims) == (("time", "energy_1"), ("time", "other_1"))
    assert ds.flux.energy.values.tolist() == [[1, 2], [1, 3]]


def test_records_that_were_never_written_are_as_the_file_wants_them(tmp_path: Path) -> None:
    path = tmp_path / "a.cdf"
    with cdflib.cdfwrite.CDF(path) as cdf:
        times = MILLISECONDS + np.arange(6.0)
        cdf.write_var({**SPEC, "Variable": "Epoch", "Data_Type": EPOCH, "Dim_Sizes": []}, {}, times)
        for kind in ("pad_sparse", "prev_sparse"):
            spec = {**SPEC, "Variable": kind, "Data_Type": REAL4, "Dim_Sizes": [], "Sparse": kind}
            spec["Pad"] = np.array([-7], "f4")
            cdf.write_var(spec, {"DEPEND_0": "Epoch"}, [[1, 2, 5], np.array([10, 20, 50], "f4")])
    ds = only(path)
    assert ds.pad_sparse.values.tolist() == [-7, 10, 20, -7, -7, 50]
    assert ds.prev_sparse.values.tolist() == [-7, 10, 20, 20, 20, 50]


def test_a_variable_that_does_not_fit_its_time_is_named(tmp_path: Path) -> None:
    more = {
        "short": ({"DEPEND_0": "Epoch"}, [1.0]),
        "lost": ({"DEPEND_0": "Epoch_9"}, [1.0, 2.0]),
        "time": ({"DEPEND_0": "Epoch"}, [1.0, 2.0]),
        "free": ({}, [1.0, 2.0, 3.0]),
    }
    path = write(tmp_path / "a.cdf", MILLISECONDS + np.arange(2), more=more)
    ds = only(path)
    assert ds.attrs["skipped"] == [
        "short: 1 records, and its time Epoch has 2",
        "lost: depends on Epoch_9, which is no time variable",
    ]
    assert (ds.native_time.values.tolist(), ds.native_time.attrs["native_name"]) == ([1, 2], "time")
    assert (ds.free.dims, ds.free.values.tolist()) == (("free_0",), [1, 2, 3])
    with pytest.raises(FormatError, match="short: 1 records"):
        read_cdf(path, variables=["short"])


def test_some_variables_are_read_alone(tmp_path: Path) -> None:
    path = tmp_path / "made.cdf"
    truth = simulate_cdf(path)
    ds = read_cdf(path, variables=["flux", "matrix"])
    assert set(ds.data_vars) == {"flux", "matrix"}
    assert set(ds.coords) == {"time", "tai", "energy", "channel"}
    assert set(read_cdf(path, epoch="Epoch_slow").data_vars) == {"temperature", "channel", "matrix", "start"}
    assert set(read_cdf(path, variables=["temperature"], epoch="Epoch_slow").data_vars) == {"temperature"}
    np.testing.assert_array_equal(read_cdf(path, variables=["Epoch"]).tai.astype("i8"), truth["Epoch"])
    with pytest.raises(FormatError, match="depend on Epoch, Epoch_slow; name one"):
        read_cdf(path, variables=["B", "temperature"])


def test_what_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    path = write(tmp_path / "a.cdf", [MILLISECONDS])
    with pytest.raises(FormatError, match="no variable B2; it has Epoch, B, range"):
        read_cdf(path, variables=["B2"])
    with pytest.raises(FormatError, match="of type CDF_FLOAT"):
        read_cdf(path, epoch="B")


def test_tt2000_goes_through_a_leap_second(tmp_path: Path) -> None:
    path = tmp_path / "made.cdf"
    simulate_cdf(path, times=("Epoch",))
    times = only(path).tai.values.astype("i8")
    assert times[18:23].tolist() == [
        parse_utc(f"2016-12-31T23:59:{second}Z") for second in ("59", "59.5", "60", "60.5")
    ] + [parse_utc("2017-01-01T00:00:00Z")]
    assert set(np.diff(times)) == {5 * 10**8}
    assert times[0] == parse_utc(START)


@pytest.mark.parametrize("date", [(1999, 12, 31), (2001, 6, 11), (2012, 7, 1), (2017, 1, 1), (2025, 3, 2)])
def test_times_are_those_of_cdflib_away_from_leap_seconds(date: tuple[int, int, int]) -> None:
    clock = (13, 14, 15, 987)
    truth = parse_utc("{}-{:02}-{:02}T13:14:15.987Z".format(*date))
    tt2000 = cdflib.cdfepoch.compute_tt2000([*date, *clock, 654, 321])
    assert to_tai(np.array([tt2000]), "CDF_TIME_TT2000")[0].tolist() == [truth + 654_321]
    epoch = cdflib.cdfepoch.compute_epoch([*date, *clock])
    assert to_tai(np.array([epoch]), "CDF_EPOCH")[0].tolist() == [truth]
    epoch16 = cdflib.cdfepoch.compute_epoch16([*date, *clock, 654, 321, 0])
    assert to_tai(np.array([epoch16]), "CDF_EPOCH16")[0].tolist() == [truth + 654_321]


@given(st.integers(-(10**18), 10**18))
def test_tt2000_is_terrestrial_time_by_astropy(tt2000: int) -> None:
    days, rest = divmod(tt2000, 86400 * 10**9)
    tai = Time(2451545.0 + days, rest / 86400e9, format="jd", scale="tt").tai
    exact = (Fraction(tai.jd1) + Fraction(tai.jd2) - Fraction(2440587.5)) * 86400 * 10**9
    assert abs(exact - int(to_tai(np.array([tt2000]), "CDF_TIME_TT2000")[0][0])) < 1


@given(st.lists(st.integers(63_240_000_000_000 * 128, 65_000_000_000_000 * 128), min_size=1, max_size=20))
def test_every_bit_of_an_epoch_counts_however_far_apart_the_times_are(counts: list[int]) -> None:
    utc = [round((Fraction(count, 128) - 62_167_219_200_000) * 10**6) for count in counts]
    times, known = to_tai(np.array(counts) / 128, "CDF_EPOCH")
    assert known.all()
    assert times.tolist() == utc_to_tai(np.array(utc)).tolist()


def test_times_before_utc_and_no_numbers_are_not_known() -> None:
    def epoch(*date: int) -> float:
        return float(cdflib.cdfepoch.compute_epoch([*date, 0, 0, 0, 0]))

    values = np.array([epoch(1959, 12, 31), epoch(1969, 7, 20), epoch(1972, 1, 1), np.nan, np.inf, -1e31, 0.0])
    times, known = to_tai(values, "CDF_EPOCH")
    assert known.tolist() == [False, True, True, False, False, False, False]
    assert times[1:3].tolist() == [parse_utc("1969-07-20T00:00:00Z"), parse_utc("1972-01-01T00:00:00Z")]
    stepped_over = np.array([epoch(1968, 2, 1) - 50])
    assert to_tai(stepped_over, "CDF_EPOCH")[1].tolist() == [False]
    fills = np.array([-(2**63), -(2**63) + 1, 2**63 - 1, 0])
    assert to_tai(fills, "CDF_TIME_TT2000")[1].tolist() == [False, False, False, True]
    assert to_tai(np.array([-1e31 - 1e31j]), "CDF_EPOCH16")[1].tolist() == [False]


@pytest.mark.parametrize(("fill", "data_type"), [(-1e31, EPOCH), (315569519999000.0, EPOCH), (-(2**63), TT2000)])
def test_records_without_a_time_are_counted_and_left_out(tmp_path: Path, fill: float, data_type: int) -> None:
    good = MILLISECONDS if data_type == EPOCH else cdflib.cdfepoch.compute_tt2000([2001, 6, 11, 12, 0, 0, 0, 0, 0])
    times = np.array([good, fill], "f8" if data_type == EPOCH else "i8")
    path = write(tmp_path / "a.cdf", times, data_type)
    ds = only(path)
    assert (ds.sizes["time"], ds.B.shape) == (1, (1, 3))
    assert ds.attrs["rejected"] == {"no time": 1}
    (granule,) = index_cdf(path)
    assert (granule.count, granule.stop - granule.start) == (2, 1)


def test_a_missing_file_is_no_format_error(tmp_path: Path) -> None:
    for function in (read_cdf, index_cdf):
        with pytest.raises(FileNotFoundError):
            function(tmp_path / "absent.cdf")


@pytest.mark.parametrize(
    "data",
    [b"", b"\xcd\xf3\x00\x01", b"PDS_VERSION_ID", b"\xcd\xf3\x00\x01" + b"\xff" * 400, b"\0\0\xff\xff" + bytes(99)],
)
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.cdf"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=r"a\.cdf"):
        read_cdf(path)


def place(data: bytes, name: str) -> int:
    """Return where the record of a variable begins."""
    return data.index(name.encode().ljust(256, b"\0")) - 84


def changed(path: Path, offset: int, layout: str, value: int) -> None:
    data = bytearray(path.read_bytes())
    struct.pack_into(layout, data, offset, value)
    path.write_bytes(data)


def test_lists_that_go_round_in_a_circle_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.cdf", [MILLISECONDS])
    good = path.read_bytes()
    vector = place(good, "B")
    (index,) = struct.unpack_from(">q", good, vector + 28)
    for offset, target in ((vector + 12, vector), (index + 12, index), (index + 28 + 8 * 7, index)):
        path.write_bytes(good)
        changed(path, offset, ">q", target)
        with pytest.raises(FormatError, match="linked twice"):
            read_cdf(path)


def test_sizes_that_cannot_be_are_refused_before_memory_is_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "a.cdf", MILLISECONDS + np.arange(3))
    good = path.read_bytes()
    for name, at, value in (("B", 24, 2**31 - 2), ("B", 84 + 256 + 4, 2**31 - 1), ("range", 64, 2**31 - 1)):
        path.write_bytes(good)
        changed(path, place(good, name) + at, ">i", value)
        if name == "B":
            with pytest.raises(FormatError, match=r"B: .*records"):
                read_cdf(path, variables=["B"])
        else:
            changed(path, place(good, name) + 20, ">i", 51)
            with pytest.raises(FormatError, match=r"range: records"):
                read_cdf(path)


def test_a_bomb_of_gzip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "made.cdf"
    simulate_cdf(path, layout=Layout(whole=6), times=("Epoch",))
    changed(path, 8 + 20, ">q", 10**12)
    with pytest.raises(FormatError, match="are said to hold 1000000000000"):
        read_cdf(path)


def test_several_files_and_reals_of_a_vax_are_refused_by_name(tmp_path: Path) -> None:
    path = write(tmp_path / "a.cdf", [MILLISECONDS])
    good = path.read_bytes()
    changed(path, 8 + 32, ">i", 1)
    with pytest.raises(FormatError, match="CDF of several files"):
        read_cdf(path)
    path.write_bytes(good)
    changed(path, 8 + 28, ">i", 3)
    with pytest.raises(FormatError, match="encoding 3"):
        read_cdf(path)


@pytest.mark.parametrize("how", [{}, {"layout": Layout(compress=6), "records": 900}])
def test_no_mutation_of_a_file_does_worse_than_a_format_error(tmp_path: Path, how: dict[str, Any]) -> None:
    path = tmp_path / "mutant.cdf"
    simulate_cdf(path, **how)
    for function in (read_cdf, index_cdf):
        outcomes = survive(function, path, 300, seed=1, seconds=2)
        assert set(outcomes) == {"refused", "read"}


def test_no_mutation_of_an_old_file_does_worse_than_a_format_error(tmp_path: Path) -> None:
    path = tmp_path / "mutant.cdf"
    simulate_cdf2(path)
    assert set(survive(read_cdf, path, 300, seed=2, seconds=2)) == {"refused", "read"}


def test_reading_needs_neither_cdflib_nor_much_more_memory_than_the_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.cdf", MILLISECONDS + 8.0 * np.arange(200_000))
    monkeypatch.setitem(sys.modules, "cdflib", None)
    read_cdf(path)
    tracemalloc.start()
    read_cdf(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * path.stat().st_size


def facts(real_data: Path, family: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads((real_data / "facts.json").read_text())[family]
    return [entry for entry in entries if entry["file"].endswith(".cdf")]


def agrees(values: xr.DataArray, fact: dict[str, Any]) -> None:
    """Compare with the data sheet to its printed digits."""
    reals = values.values.astype("f8")
    assert list(values.shape) == fact["shape"]
    assert int(np.isfinite(reals).sum()) == fact.get("n_valid", reals.size)
    for key, found in (("min", np.nanmin(reals)), ("max", np.nanmax(reals)), ("mean", np.nanmean(reals))):
        assert found == pytest.approx(fact[key], rel=2e-7)


@pytest.mark.real
@pytest.mark.parametrize("number", range(4))
def test_cluster_agrees_with_the_data_sheet(real_data: Path, number: int) -> None:
    entry = facts(real_data, "cluster_fgm_20010611")[number]
    path, fact = real_data / entry["file"], entry["facts"]
    ds = only(path)
    tag = f"C{number + 1}_CP_FGM_SPIN"
    field = ds[f"B_vec_xyz_gse__{tag}"]
    assert ds.sizes["time"] == fact["records"]
    assert [int(ds.tai[end].astype("i8")) for end in (0, -1)] == [
        parse_utc(fact[key]) for key in ("first_time", "last_time")
    ]
    assert field.values.astype("f8").mean(0) == pytest.approx(fact["B_gse_mean_nT"], abs=5e-5)
    agrees(field, fact["B_gse"])
    agrees(ds[f"B_mag__{tag}"], fact["B_mag"])
    assert field.attrs["units"] == fact["B_gse"]["unit"]
    position = ds[f"sc_pos_xyz_gse__{tag}"].values[0].astype("f8")
    assert position == pytest.approx(fact["first_position_gse_km"], abs=0.05)
    steps = np.diff(ds.tai.astype("i8")) / 1e9
    assert np.median(steps) == pytest.approx(fact["cadence_s"], abs=5e-4)
    assert steps[steps > 8] == pytest.approx([gap["length_s"] for gap in fact["gaps_longer_than_8_s"]], abs=5e-3)
    assert field.attrs["FILLVAL"] == pytest.approx(fact["fillval"])
    (granule,) = index_cdf(path)
    assert (granule.instrument, granule.site, granule.level) == ("FGM", f"C{number + 1}", "Calibrated")
    assert (granule.start, granule.stop, granule.count) == (
        ds.tai[0].astype("i8"),
        ds.tai[-1].astype("i8") + 1,
        fact["records"],
    )


@pytest.mark.real
@pytest.mark.parametrize("number", range(2))
def test_solar_orbiter_agrees_with_the_data_sheet(real_data: Path, number: int) -> None:
    entry = facts(real_data, "solo_epd")[number]
    path, fact = real_data / entry["file"], entry["facts"]
    tree = read_cdf(path)
    assert set(tree.children) == {"EPOCH", "EPOCH_1", "EPOCH_2", "EPOCH_3"}
    ds = tree["EPOCH"].to_dataset()
    assert ds.sizes["time"] == fact["records"]
    assert [int(ds.tai[end].astype("i8")) // 1000 for end in (0, -1)] == [
        parse_utc(fact[key]) // 1000 for key in ("first_time", "last_time")
    ]
    agrees(ds.Ion_Flux, fact["Ion_Flux"])
    assert ds.Ion_Flux.attrs["UNITS"] == fact["Ion_Flux"]["unit"]
    low = ds.Ion_Flux.Ion_Bins_Low_Energy.values.astype("f8")
    assert len(low) == fact["energy_channels"]
    assert low[[0, -1]] == pytest.approx(fact["energy_channel_low_edges_MeV"], rel=1e-6)
    assert low[-1] + tree.to_dataset().Ion_Bins_Width.values[-1] == pytest.approx(
        fact["energy_upper_end_MeV"], rel=1e-6
    )
    steps = np.diff(ds.tai.astype("i8")) / 1e9
    assert (round(np.median(steps), 3), round(steps.max())) == (fact["step_s"]["median"], fact["step_s"]["max"])
    (granule,) = index_cdf(path)
    assert (granule.site, granule.level, granule.count) == ("SOLO", "L2", fact["records"])
    assert granule.instrument == f"EPD-EPT-{('SUN', 'ASUN')[number]}-RATES"


@pytest.mark.real
@pytest.mark.parametrize(("number", "said"), [(0, ("MAG", "AC", "H0")), (1, ("MFI", "AC", "K2"))])
def test_ace_agrees_with_the_data_sheet(real_data: Path, number: int, said: tuple[str, str, str]) -> None:
    entry = facts(real_data, "ace")[number]
    path, fact = real_data / entry["file"], entry["facts"]
    ds = only(path)
    assert ds.sizes["time"] == fact["records"]
    assert [int(ds.tai[end].astype("i8")) for end in (0, -1)] == [
        parse_utc(fact[key]) for key in ("first_time", "last_time")
    ]
    agrees(ds.Magnitude, fact["Magnitude"])
    agrees(ds.BGSEc, fact["BGSEc"])
    assert ds.BGSEc.values.astype("f8").mean(0) == pytest.approx(fact["BGSEc"]["mean_vector"], abs=5e-6)
    assert ds.BGSEc.attrs["units"] == fact["BGSEc"]["unit"]
    assert ds.Magnitude.attrs["FILLVAL"] == fact["fillval"]
    assert ds.attrs["skipped"] == ["Time_PB5: no records"]
    (granule,) = index_cdf(path)
    assert (granule.instrument, granule.site, granule.level) == said
    assert granule.count == fact["records"]


@pytest.mark.real
def test_lexi_agrees_with_the_data_sheet(real_data: Path) -> None:
    (entry,) = facts(real_data, "lexi_raw")
    fact, ds = entry["facts"], only(real_data / entry["file"])
    assert ds.sizes["time"] == fact["events"]
    assert [int(ds.tai[end].astype("i8")) for end in (0, -1)] == [
        parse_utc(fact[key]) for key in ("first_time", "last_time")
    ]
    agrees(ds.ra_J2000_deg, fact["ra_deg"])
    agrees(ds.dec_J2000_deg, fact["dec_deg"])
    assert len(ds.attrs["repaired"]) == 3


@pytest.mark.real
def test_the_calibration_of_imap_agrees_with_the_data_sheet(real_data: Path) -> None:
    (entry,) = facts(real_data, "imap_mag")
    path = real_data / entry["file"]
    ds = only(path)
    for name, fact in entry["facts"].items():
        agrees(ds[name], fact)
        assert ds[name].values[:, :, 0].tolist() == [pytest.approx(row, rel=2e-6) for row in fact["matrix_of_range_0"]]
    assert int(ds.STARTVALIDITY) == parse_utc("2024-01-01T00:00:00Z")
    (granule,) = index_cdf(path)
    assert (granule.instrument, granule.site, granule.count, granule.stop) == ("MAG", "IMAP", 1, 0)


@pytest.mark.real
def test_only_cdf_files_are_recognised(real_data: Path) -> None:
    for path in real_data.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                assert FORMAT.recognises(file.read(32768), path) == (path.suffix == ".cdf")


@pytest.mark.real
def test_no_mutation_of_a_real_file_does_worse_than_a_format_error(real_data: Path, tmp_path: Path) -> None:
    path = tmp_path / "mutant.cdf"
    shutil.copyfile(real_data / facts(real_data, "ace")[1]["file"], path)
    for function in (read_cdf, index_cdf):
        assert set(survive(function, path, 300, seed=1, seconds=2)) == {"refused", "read"}
