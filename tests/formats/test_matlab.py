"""MATLAB 5: arrays, text, cells and structures; objects are named, and declared sizes are looked at before scipy is."""

import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.io import loadmat, savemat

from ilrs_science import FormatError
from ilrs_science.formats.matlab import FORMAT, index_matlab, read_matlab
from ilrs_science.testing.mutation import survive

CONTENT: dict[str, Any] = {
    "double": np.arange(6.0).reshape(2, 3),
    "small": np.array([[-3, 4]], np.int8),
    "wave": np.array([[1 + 2j, 3.5]], np.complex64),
    "valid": np.array([[True, False, True]]),
    "title": "月面",
    "lines": np.array(["one", "three"]),
    "names": np.array([["a", "bc"], ["", "defg"]], object),
    "sizes": np.array([[1.5, 2.0]], object),
    "camera": {"gain": np.ones((3, 1), np.float32), "name": "CMOS", "inner": {"bits": np.uint16(7)}},
    "mixed": np.array([[np.arange(3), "text"]], object),
    "nothing": np.zeros((0, 0)),
}


def saved(folder: Path, *, compressed: bool = True, content: dict[str, Any] | None = None) -> Path:
    """Write a file with scipy."""
    path = folder / "made.mat"
    savemat(path, CONTENT if content is None else content, do_compression=compressed)
    return path


def element(kind: int, data: bytes) -> bytes:
    """Return an element with its tag and padding."""
    return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)


def matrix(kind: int, shape: tuple[int, ...], name: bytes, *parts: bytes) -> bytes:
    """Return an array with its header."""
    sizes = struct.pack(f"<{len(shape)}i", *shape)
    header = element(6, struct.pack("<II", kind, 0)) + element(5, sizes) + element(1, name)
    return element(14, header + b"".join(parts))


def file_of(folder: Path, *elements: bytes) -> Path:
    """Write a file of elements."""
    path = folder / "made.mat"
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + b"".join(elements))
    return path


@pytest.mark.parametrize("compressed", [False, True])
def test_arrays_text_cells_and_structures_are_what_they_were(tmp_path: Path, compressed: bool) -> None:
    found = read_matlab(saved(tmp_path, compressed=compressed))
    for name in ("double", "small", "wave", "valid", "nothing"):
        np.testing.assert_array_equal(found[name], CONTENT[name])
        assert found[name].dtype == CONTENT[name].dtype
    assert found["double"].dims == ("double_1", "double_2")
    assert found["names"].values.tolist() == [["a", "bc"], ["", "defg"]]
    assert found["sizes"].values.tolist() == [[1.5, 2.0]]
    assert found["camera.gain"].dtype == np.float32
    assert found["camera.inner.bits"].values.tolist() == [[7]]
    assert found["mixed_1"].values.tolist() == [[0, 1, 2]]
    assert (found.attrs["title"], found.attrs["mixed_2"], found.attrs["camera.name"]) == ("月面", "text", "CMOS")
    assert found.attrs["lines"] == ["one  ", "three"]
    assert found.attrs["header"].startswith("MATLAB 5.0 MAT-file")
    assert "not_read" not in found.attrs


@given(
    hnp.arrays(st.sampled_from(["f8", "f4", "i2", "u1", "i8"]), hnp.array_shapes(min_dims=2, max_dims=3, max_side=4))
)
@settings(max_examples=40)
def test_numbers_that_are_saved_are_read_back(tmp_path_factory: pytest.TempPathFactory, values: np.ndarray) -> None:
    path = saved(tmp_path_factory.getbasetemp(), content={"a": values})
    np.testing.assert_array_equal(read_matlab(path)["a"], values)
    np.testing.assert_array_equal(read_matlab(path)["a"], loadmat(path)["a"])


def test_an_index_counts_the_arrays(tmp_path: Path) -> None:
    (one,) = index_matlab(saved(tmp_path))
    assert (one.count, one.format, one.start, one.stop) == (len(CONTENT), "matlab", 0, 0)


def test_big_endian_numbers_come_in_the_order_of_this_machine(tmp_path: Path) -> None:
    path = tmp_path / "big.mat"
    flags, sizes = struct.pack(">II", 6, 0), struct.pack(">ii", 1, 2)
    parts = ((6, flags), (5, sizes), (1, b"a"), (9, struct.pack(">dd", 1.5, -2)))
    inner = b"".join(struct.pack(">II", kind, len(data)) + data + bytes(-len(data) % 8) for kind, data in parts)
    header = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x01\x00MI"
    path.write_bytes(header + struct.pack(">II", 14, len(inner)) + inner)
    found = read_matlab(path)["a"]
    assert (found.values.tolist(), found.dtype.isnative) == ([[1.5, -2.0]], True)


def test_objects_functions_and_sparse_arrays_are_named(tmp_path: Path) -> None:
    good = matrix(6, (1, 1), b"good", element(9, struct.pack("<d", 2.5)))
    function = matrix(16, (1, 1), b"handle", matrix(6, (0, 0), b"", element(9, b"")))
    opaque = element(14, element(6, struct.pack("<II", 17, 0)) + element(1, b"text") + element(1, b"MCOS"))
    cell = matrix(1, (1, 1), b"cell", matrix(16, (1, 1), b""))
    workspace = matrix(9, (1, 2), b"", element(2, b"ab"))
    found = read_matlab(file_of(tmp_path, good, function, opaque, cell, workspace))
    assert found["good"].values.tolist() == [[2.5]]
    assert found.attrs["not_read"] == {"handle": "function", "text": "opaque", "cell": "function"}
    assert index_matlab(tmp_path / "made.mat")[0].count == 4
    with pytest.raises(FormatError, match="nothing in it can be read"):
        read_matlab(file_of(tmp_path, function, workspace))


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (matrix(6, (2**15, 2**15), b"a", element(9, bytes(16))), "16 bytes of type 9 for 1073741824 values"),
        (matrix(6, (2**30, 2**30), b"a", element(9, bytes(16))), "dimensions"),
        (matrix(6, (-1, 2), b"a", element(9, b"")), "dimensions"),
        (matrix(1, (2**15, 2**15), b"a"), "1073741824 arrays in 0 bytes"),
        (matrix(4, (2**15, 2**15), b"a", element(16, b"abc")), "3 bytes of text"),
        (matrix(2, (1, 1), b"a", element(5, struct.pack("<i", 0)), element(1, b"x" * 32)), "names of fields"),
        (element(14, bytes(4)), "cut short"),
        (element(9, bytes(8)), "expected an array"),
        (struct.pack("<II", 14, 2**31) + bytes(64), "expected an array"),
        (matrix(6, (1, 1), b"a", struct.pack("<II", 9, 2**30)), "of which 0 are there"),
        (b"abc", "3 bytes after the last array"),
    ],
)
def test_declared_sizes_that_are_not_there_are_refused(tmp_path: Path, array: bytes, reason: str) -> None:
    with pytest.raises(FormatError, match=reason) as error:
        read_matlab(file_of(tmp_path, array))
    assert "made.mat" in str(error.value)


def test_cells_in_cells_without_an_end_are_refused(tmp_path: Path) -> None:
    inner = matrix(6, (1, 1), b"", element(9, bytes(8)))
    for _ in range(40):
        inner = matrix(1, (1, 1), b"a", inner)
    with pytest.raises(FormatError, match="nested deeper"):
        read_matlab(file_of(tmp_path, inner))


def test_bytes_that_inflate_without_measure_are_refused(tmp_path: Path) -> None:
    for declared in (2**31 - 64, 100):
        bomb = zlib.compress(struct.pack("<II", 14, declared) + bytes(10**7))
        path = file_of(tmp_path, struct.pack("<II", 15, len(bomb)) + bomb)
        with pytest.raises(FormatError, match="inflate"):
            read_matlab(path)
    path = file_of(tmp_path, struct.pack("<II", 15, 8) + b"no zlib!")
    for read in (read_matlab, index_matlab):
        with pytest.raises(FormatError, match="damaged zlib"):
            read(path)


def test_other_versions_are_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "made.mat"
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF\r\n\x1a\n")
    with pytest.raises(FormatError, match="HDF5"):
        read_matlab(path)
    assert not FORMAT.recognises(path.read_bytes(), path)
    savemat(path, {"a": 1.0}, format="4")
    with pytest.raises(FormatError, match="no header of MATLAB 5"):
        index_matlab(path)
    with pytest.raises(FileNotFoundError):
        read_matlab(tmp_path / "none.mat")


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("read", [read_matlab, index_matlab])
def test_damaged_files_are_refused_by_name_or_read(tmp_path: Path, compressed: bool, read: Any) -> None:
    assert set(survive(read, saved(tmp_path, compressed=compressed), 300, seed=1)) <= {"refused", "read"}


def _facts(real_data: Path, file: str) -> dict[str, Any]:
    (found,) = [one for one in json.loads((real_data / "facts.json").read_text())["ce4_vnis"] if one["file"] == file]
    return found["facts"]


@pytest.mark.real
def test_the_real_spectra_agree_with_the_data_sheet(real_data: Path) -> None:
    facts, found = _facts(real_data, "ce4_vnis/CE4_diff.mat"), read_matlab(real_data / "ce4_vnis" / "CE4_diff.mat")
    assert sorted([*found.data_vars, *found.attrs["not_read"]]) == sorted(facts["variables"])
    wave, about = found["WL_CE4"].values[0], facts["wavelength_um"]
    assert (len(wave), wave[0], wave[-1]) == (about["n"], about["first"], pytest.approx(about["last"]))
    assert np.diff(wave) == pytest.approx(about["step"])
    spectra, about = found["CE4_Ref"].values, facts["CE4_Ref"]
    assert (list(spectra.shape), spectra.dtype) == (about["shape"], about["dtype"])
    assert (spectra.min(), int((spectra == 0).sum())) == (about["min"], about["zero_values"])
    assert [spectra.max(), spectra.mean()] == pytest.approx([about["max"], about["mean"]], abs=5e-7)
    valid = found["CE4_valid_id"].values[:, 0].astype(int)
    assert len(valid) == facts["n_valid_spectra"]
    assert spectra[:, valid - 1].mean() == pytest.approx(facts["mean_of_valid"], abs=5e-8)
    day, about = found["CE4_D10"].values, facts["CE4_D10"]
    assert list(day.shape) == about["shape"]
    at = [int(np.abs(wave - one).argmin()) for one in (0.75, 1.5)]
    found_means = [day.mean(), day[at[0]].mean(), day[at[1]].mean()]
    assert found_means == pytest.approx([about["mean"], about["mean_at_0_75um"], about["mean_at_1_5um"]], abs=5e-8)
    assert list(found["CE4_Spec_D10_angle"].shape) == facts["angles_shape"]
    assert found["Spec_fault"].values.tolist() == facts["fault_bands_nm"]


@pytest.mark.real
def test_the_real_constants_agree_with_the_data_sheet(real_data: Path) -> None:
    path = real_data / "ce4_vnis" / "CE4_VNIS_par.mat"
    facts, found = _facts(real_data, "ce4_vnis/CE4_VNIS_par.mat"), read_matlab(path)
    for name in ("CMOS", "SWIR"):
        wave = found[f"{name}_WL"].values[0]
        assert [wave[0], wave[-1], len(wave)] == facts[f"{name}_nm"]
        assert found[f"J_Sol_{name}"].values.sum() == pytest.approx(facts[f"J_Sol_{name}_sum"], abs=5e-6)
        assert found[f"{name}_cali"].values.mean() == pytest.approx(facts[f"{name}_cali_mean"], abs=5e-6)
    inside = found["SWIR_ind_logi"].values
    assert (inside.dtype, inside.sum(), inside.size) == (bool, facts["SWIR_footprint_pixels"], facts["CMOS_pixels"])
    assert index_matlab(path)[0].count == len(found.data_vars) + len(found.attrs["not_read"])


@pytest.mark.real
def test_the_real_arrays_are_those_that_scipy_reads(real_data: Path) -> None:
    path = real_data / "ce4_vnis" / "CE4_diff.mat"
    whole = loadmat(io.BytesIO(path.read_bytes()))
    for name, values in read_matlab(path).data_vars.items():
        np.testing.assert_array_equal(values, whole[name])


@pytest.mark.real
def test_damaged_copies_of_a_real_file_are_refused_by_name_or_read(real_data: Path, tmp_path: Path) -> None:
    path = tmp_path / "constants.mat"
    path.write_bytes((real_data / "ce4_vnis" / "CE4_VNIS_par.mat").read_bytes())
    assert set(survive(read_matlab, path, 300, seed=1)) <= {"refused", "read"}
