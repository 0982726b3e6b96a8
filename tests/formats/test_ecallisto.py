"""e-Callisto: a dynamic spectrum whose frequencies stand in a table, and times in three keywords."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from astropy.io import fits

from ilrs_science.errors import FormatError
from ilrs_science.formats.ecallisto import FORMAT, index_ecallisto, read_ecallisto
from ilrs_science.formats.fits import FORMAT as FITS
from ilrs_science.geometry import parse_utc
from ilrs_science.simulate import fits_files
from ilrs_science.testing.mutation import survive


def test_a_spectrum_has_the_axes_of_its_table_and_the_time_of_its_header(tmp_path: Path) -> None:
    truth = fits_files.write_ecallisto(tmp_path / "a.fit")
    found = read_ecallisto(tmp_path / "a.fit")
    assert (found.spectrum.dims, found.spectrum.dtype) == (("frequency", "time"), np.uint8)
    np.testing.assert_array_equal(found.spectrum, truth["spectrum"])
    np.testing.assert_array_equal(found.frequency, truth["frequency"])
    assert len(np.unique(found.frequency)) < found.sizes["frequency"]
    assert found.frequency.attrs == {"units": "MHz"}
    assert int(found.tai[0].astype("i8")) == parse_utc(truth["start"])
    assert set(np.diff(found.tai.astype("i8")).tolist()) == {250_000_000}
    assert found.spectrum.attrs["units"] == "adu"
    assert found.attrs["rejected"] == {}
    assert "repaired" not in found.attrs


def test_a_spectrum_without_a_table_takes_the_axis_of_its_header_and_says_so(tmp_path: Path) -> None:
    fits_files.write_ecallisto(tmp_path / "a.fit", axes=False)
    found = read_ecallisto(tmp_path / "a.fit")
    assert found.frequency.values.tolist() == list(np.arange(20.0, 0.0, -1.0))
    assert found.attrs["repaired"] == [
        "no table of axes: frequencies are CRVAL2 + n CDELT2 of the header, often untrue"
    ]


def test_the_side_of_the_meridian_is_left_as_written_and_named(tmp_path: Path) -> None:
    fits_files.write_ecallisto(tmp_path / "a.fit")
    found = read_ecallisto(tmp_path / "a.fit")
    assert (found.attrs["OBS_LON"], found.attrs["OBS_LOC"]) == (177.6, "E")
    assert found.attrs["caution"][0].startswith("longitude 177.6 E as the header has it")


def test_a_table_that_disagrees_with_the_header_is_named(tmp_path: Path) -> None:
    fits_files.write_ecallisto(tmp_path / "a.fit")
    with fits.open(tmp_path / "a.fit", mode="update") as file:
        file[0].header["CDELT1"] = 0.5
    found = read_ecallisto(tmp_path / "a.fit")
    assert "TIME of the table of axes is up to 59.8 s from CDELT1" in found.attrs["repaired"][0]
    assert int(np.diff(found.tai.astype("i8"))[0]) == 500_000_000
    with fits.open(tmp_path / "a.fit", mode="update") as file:
        file[1].header["TTYPE2"] = "FREQUENCIES"
    assert "no FREQUENCY of 20 values" in read_ecallisto(tmp_path / "a.fit").attrs["repaired"][0]


@pytest.mark.parametrize(
    ("keyword", "value", "reason"),
    [
        ("DATE-OBS", "someday", "no time of its first spectrum: DATE-OBS 'someday': not understood"),
        ("TIME-OBS", "", "a day without a time"),
        ("CDELT1", -1.0, "CDELT1 is -1.0"),
        ("CDELT1", "x", "CDELT1 is None"),
        ("CRVAL2", "x", "no table of axes, and no CRVAL2"),
    ],
)
def test_a_spectrum_that_tells_no_time_or_axis_is_refused(
    tmp_path: Path, keyword: str, value: object, reason: str
) -> None:
    fits_files.write_ecallisto(tmp_path / "a.fit", axes=False)
    with fits.open(tmp_path / "a.fit", mode="update") as file:
        file[0].header[keyword] = value
    with pytest.raises(FormatError, match=f"a.fit.*{reason}"):
        read_ecallisto(tmp_path / "a.fit")


def test_a_file_of_another_kind_or_none_is_refused(tmp_path: Path) -> None:
    fits_files.write_spectrum(tmp_path / "a.pha")
    with pytest.raises(FormatError, match="no image of two axes"):
        read_ecallisto(tmp_path / "a.pha")
    with pytest.raises(FileNotFoundError):
        read_ecallisto(tmp_path / "none.fit")


def test_an_index_tells_station_span_and_count(tmp_path: Path) -> None:
    truth = fits_files.write_ecallisto(tmp_path / "a.fit")
    (found,) = index_ecallisto(tmp_path / "a.fit")
    assert (found.count, found.site, found.instrument) == (240, "MOON", "e-CALLISTO")
    assert (found.start, found.stop) == (parse_utc(truth["start"]), parse_utc(truth["start"]) + 239 * 250_000_000 + 1)


@pytest.mark.parametrize("axes", [True, False])
def test_no_mutation_makes_anything_but_a_dataset_or_a_format_error(tmp_path: Path, axes: bool) -> None:
    fits_files.write_ecallisto(tmp_path / "mutated.fit", axes=axes)
    for function in (read_ecallisto, index_ecallisto):
        assert set(survive(function, tmp_path / "mutated.fit", 300, seed=1)) <= {"refused", "read"}


@pytest.mark.real
def test_the_real_file_agrees_with_the_data_sheet(real_data: Path) -> None:
    (sheet,) = json.loads((real_data / "facts.json").read_text())["ecallisto"]
    facts, found = sheet["facts"], read_ecallisto(real_data / sheet["file"])
    values, frequency = found.spectrum.to_numpy(), found.frequency.to_numpy()
    assert (list(values.shape), values.dtype.str) == (facts["shape"], facts["dtype"])
    assert (values.min(), values.max()) == (facts["min"], facts["max"])
    assert values.mean(dtype=np.float64) == pytest.approx(facts["mean"], rel=5e-10)
    assert found.spectrum.attrs["native_units"] == facts["unit"]
    assert int(found.tai[0].astype("i8")) == parse_utc(facts["start"].replace("/", "-"))
    assert set(np.diff(found.tai.astype("i8")).tolist()) == {facts["step_s"] * 1e9}
    assert [round(float(frequency[0]), 3), round(float(frequency[-1]), 3)] == facts["frequency_MHz"]
    steps = np.diff(frequency)
    assert [round(float(steps.min()), 3), round(float(steps.max()), 3)] == facts["channel_step_MHz"]
    assert int((steps == 0).sum()) == facts["repeated_frequencies"]
    assert "7.92" in found.attrs["caution"][0]
    (granule,) = index_ecallisto(real_data / sheet["file"])
    assert (granule.count, granule.site) == (facts["shape"][1], "BIR")
    assert (granule.start, granule.stop) == (int(found.tai[0].astype("i8")), int(found.tai[-1].astype("i8")) + 1)


@pytest.mark.real
def test_only_spectra_of_the_network_are_recognised(real_data: Path) -> None:
    for path in sorted(real_data.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                head = file.read(32768)
            assert FORMAT.recognises(head, path) == (path.parent.name == "ecallisto"), path
            assert FITS.recognises(head, path) or not FORMAT.recognises(head, path)


@pytest.mark.real
def test_no_mutation_of_the_real_file_makes_anything_else(real_data: Path, tmp_path: Path) -> None:
    (sheet,) = json.loads((real_data / "facts.json").read_text())["ecallisto"]
    copy = tmp_path / "mutated.fit"
    copy.write_bytes((real_data / sheet["file"]).read_bytes())

    def check(found: object) -> None:
        if isinstance(found, xr.Dataset):
            assert found.spectrum.dims == ("frequency", "time")

    for function in (read_ecallisto, index_ecallisto):
        assert set(survive(function, copy, 300, seed=1, check=check)) <= {"refused", "read"}
