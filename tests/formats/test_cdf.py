"""CDF files: times of every kind, fill values, and that damaged bytes end in a FormatError and nothing else."""

from pathlib import Path

import cdflib
import numpy as np
import pytest

from ilrs_science import FormatError
from ilrs_science.formats.cdf import read_cdf, to_tai
from ilrs_science.geometry import parse_utc

NOON = "2001-06-11T12:00:00Z"
MILLISECONDS = cdflib.cdfepoch.compute_epoch([2001, 6, 11, 12, 0, 0, 250])
SPEC = {"Num_Elements": 1, "Rec_Vary": True, "Var_Type": "zVariable"}


def write(path: Path, times: np.ndarray, data_type: int = 31, *, compress: int = 0) -> Path:
    """Write a file with a time variable, a vector of reals, integers, and a text."""
    count = len(times)
    with cdflib.cdfwrite.CDF(path) as cdf:
        cdf.write_var({**SPEC, "Variable": "Epoch", "Data_Type": data_type, "Dim_Sizes": []}, {}, times)
        attributes = {"DEPEND_0": "Epoch", "FILLVAL": np.float32(-1e31), "UNITS": "nT"}
        vectors = np.arange(count * 3, dtype="f4").reshape(count, 3)
        vectors[-1, 1] = -1e31
        cdf.write_var(
            {**SPEC, "Variable": "B", "Data_Type": 44, "Dim_Sizes": [3], "Compress": compress}, attributes, vectors
        )
        whole = {"DEPEND_0": "Epoch", "FILLVAL": np.int32(-9)}
        cdf.write_var(
            {**SPEC, "Variable": "range", "Data_Type": 4, "Dim_Sizes": []}, whole, np.full(count, -9, np.int32)
        )
    return path


def test_variables_of_one_time_are_read_with_fill_values_as_nan(tmp_path: Path) -> None:
    ds = read_cdf(write(tmp_path / "a.cdf", MILLISECONDS + np.array([0.0, 4000.0])))
    np.testing.assert_array_equal(ds.time, parse_utc(NOON) + np.array([250, 4250]) * 10**6)
    np.testing.assert_array_equal(ds.B, np.array([[0, 1, 2], [3, np.nan, 5]], "f4"))
    assert ds.B.dtype == np.dtype("f4")
    assert ds.B.attrs["UNITS"] == "nT"
    assert ds["range"].dtype.kind == "i", "integers have no NaN, and keep their fill value"
    assert ds.attrs == {"epoch": "Epoch", "rejected": {}}


def test_a_file_of_one_record_keeps_its_dimensions(tmp_path: Path) -> None:
    ds = read_cdf(write(tmp_path / "a.cdf", np.array([MILLISECONDS])))
    assert ds.B.shape == (1, 3)
    assert ds["range"].shape == (1,)


def test_compressed_variables_are_read(tmp_path: Path) -> None:
    ds = read_cdf(write(tmp_path / "a.cdf", MILLISECONDS + np.arange(2000.0), compress=6))
    np.testing.assert_array_equal(ds.B[:, 0], np.arange(2000) * 3)


def test_tt2000_counts_terrestrial_time(tmp_path: Path) -> None:
    tt2000 = cdflib.cdfepoch.compute_tt2000([2001, 6, 11, 12, 0, 0, 0, 0, 1])
    ds = read_cdf(write(tmp_path / "a.cdf", np.array([tt2000], np.int64), 33))
    assert int(ds.time[0]) == parse_utc(NOON) + 1


def test_epoch16_counts_seconds_and_picoseconds() -> None:
    epoch16 = cdflib.cdfepoch.compute_epoch16([2001, 6, 11, 12, 0, 0, 250, 1, 2, 0])
    times, known = to_tai(np.array([epoch16, epoch16 + 1, -1e31 - 1e31j]), "CDF_EPOCH16")
    assert times[:2].tolist() == [parse_utc(NOON) + 250_001_002 + second * 10**9 for second in (0, 1)]
    assert known.tolist() == [True, True, False]


def test_times_before_utc_was_uniform_and_no_numbers_are_not_known() -> None:
    edge = cdflib.cdfepoch.compute_epoch([1972, 1, 1, 0, 0, 0, 0])
    times, known = to_tai(np.array([edge - 1, edge, np.nan, np.inf]), "CDF_EPOCH")
    assert known.tolist() == [False, True, False, False]
    assert times[1] == parse_utc("1972-01-01T00:00:00Z")


@pytest.mark.parametrize(("fill", "data_type"), [(-1e31, 31), (315569519999000.0, 31), (-(2**63), 33)])
def test_records_without_a_time_are_counted_and_left_out(tmp_path: Path, fill: float, data_type: int) -> None:
    good = MILLISECONDS if data_type == 31 else cdflib.cdfepoch.compute_tt2000([2001, 6, 11, 12, 0, 0, 0, 0, 0])
    times = np.array([good, fill], "f8" if data_type == 31 else "i8")
    ds = read_cdf(write(tmp_path / "a.cdf", times, data_type))
    assert ds.sizes["time"] == 1
    assert ds.attrs["rejected"] == {"no time": 1}


def test_what_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    path = write(tmp_path / "a.cdf", np.array([MILLISECONDS]))
    with pytest.raises(FormatError, match="no variable B2; it has Epoch, B, range"):
        read_cdf(path, variables=["B2"])
    with pytest.raises(FormatError, match="of type CDF_FLOAT"):
        read_cdf(path, epoch="B")
    with pytest.raises(FormatError, match="Epoch depend on no time"):
        read_cdf(path, variables=["Epoch"])


def test_a_missing_file_is_no_format_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_cdf(tmp_path / "absent.cdf")


@pytest.mark.parametrize("data", [b"", b"\xcd\xf3\x00\x01", b"PDS_VERSION_ID", b"\xcd\xf3\x00\x01" + b"\xff" * 400])
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.cdf"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=r"a\.cdf"):
        read_cdf(path)


def test_damaged_bytes_end_in_nothing_worse_than_a_format_error(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    data = write(tmp_path / "good.cdf", MILLISECONDS + np.arange(4.0)).read_bytes()
    path = tmp_path / "bad.cdf"
    refused = 0
    for number in range(200):
        damaged = bytearray(data)
        for at in rng.integers(4, len(data), 12):
            damaged[at] = rng.integers(0, 256)
        path.write_bytes(damaged if number % 2 else damaged[: rng.integers(0, len(data))])
        try:
            read_cdf(path)
        except FormatError:
            refused += 1
    assert refused > 50
