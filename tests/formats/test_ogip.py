"""OGIP: spectra by channel, areas and matrices by energy, times in TAI; a matrix that lies is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from astropy.io import fits
from astropy.time import Time
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from ilrs_science.errors import FormatError, IlrsError
from ilrs_science.formats.fits import read_fits
from ilrs_science.formats.ogip import FORMAT, index_ogip, read_ogip
from ilrs_science.simulate import fits_files
from ilrs_science.testing.mutation import survive

ZERO = (Time("1998-01-01T00:00:00", scale="tt").tai - Time("1970-01-01T00:00:00", scale="tai")).to_value("s")


def tree(path: Path, **options: Any) -> xr.DataTree:
    found = read_ogip(path, **options)
    assert isinstance(found, xr.DataTree)
    return found


def dense(matrix: xr.Dataset) -> np.ndarray:
    """Unfold sparse rows with scipy."""
    columns = matrix.matrix_channel.to_numpy() - matrix.attrs["first_channel"]
    shape = (matrix.sizes["energy"], matrix.attrs["channels"])
    return csr_array((matrix.matrix.to_numpy(), columns, matrix.row_start.to_numpy()), shape=shape).toarray()


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("ragged", [True, False])
@pytest.mark.parametrize("name", ["MATRIX", "SPECRESP MATRIX", "RSP_MATRIX"])
def test_a_matrix_is_that_which_was_written(tmp_path: Path, first: int, ragged: bool, name: str) -> None:
    truth = fits_files.write_matrix(tmp_path / "a.rmf", first=first, ragged=ragged, name=name)
    found = tree(tmp_path / "a.rmf")
    sparse = found[name].to_dataset()
    assert sparse.matrix.dtype == np.float32
    np.testing.assert_array_equal(dense(sparse), truth["matrix"])
    np.testing.assert_array_equal(sparse.energy_lo, truth["energies"][:-1])
    np.testing.assert_array_equal(sparse.energy_hi, truth["energies"][1:])
    assert sparse.energy_lo.attrs["units"] == "keV"
    unfolded = tree(tmp_path / "a.rmf", dense=True)[name].to_dataset()
    assert (unfolded.matrix.dims, unfolded.matrix.dtype) == (("energy", "channel"), np.float32)
    np.testing.assert_array_equal(unfolded.matrix, truth["matrix"])
    assert unfolded.channel.values[[0, -1]].tolist() == [first, first + 63]
    bounds = found["EBOUNDS"].to_dataset()
    np.testing.assert_array_equal(bounds.e_min, truth["edges"][:-1])
    assert bounds.channel.values.tolist() == list(range(first, first + 64))


@settings(max_examples=40)
@given(st.integers(1, 12), st.integers(12, 40), st.integers(0, 5), st.booleans())
def test_any_size_of_matrix_is_read_as_written(
    tmp_path_factory: pytest.TempPathFactory, bins: int, channels: int, first: int, ragged: bool
) -> None:
    path = tmp_path_factory.mktemp("law") / "a.rmf"
    truth = fits_files.write_matrix(path, shape=(bins + 4, channels), first=first, ragged=ragged)
    np.testing.assert_array_equal(dense(tree(path)["MATRIX"].to_dataset()), truth["matrix"])


def changed(path: Path, hdu: int, **header: Any) -> None:
    with fits.open(path, mode="update") as file:
        for keyword, value in header.items():
            if value is None:
                del file[hdu].header[keyword]
            else:
                file[hdu].header[keyword] = value


def test_a_matrix_without_a_first_channel_takes_that_of_its_bounds_and_says_so(tmp_path: Path) -> None:
    truth = fits_files.write_matrix(tmp_path / "a.rmf", first=0)
    changed(tmp_path / "a.rmf", 1, TLMIN4=None, DETCHANS=None)
    found = tree(tmp_path / "a.rmf")["MATRIX"].to_dataset()
    assert found.attrs["repaired"] == [
        "F_CHAN without TLMIN: channels begin at 0, as in EBOUNDS",
        "no DETCHANS: 64 channels, as in EBOUNDS",
    ]
    np.testing.assert_array_equal(dense(found), truth["matrix"])


def test_groups_that_overlap_add_up(tmp_path: Path) -> None:
    columns = [
        fits.Column("ENERG_LO", "E", array=[1.0]),
        fits.Column("ENERG_HI", "E", array=[2.0]),
        fits.Column("N_GRP", "I", array=[2]),
        fits.Column("F_CHAN", "2I", array=[[1, 2]]),
        fits.Column("N_CHAN", "2I", array=[[2, 2]]),
        fits.Column("MATRIX", "4E", array=[[1, 2, 4, 8]]),
    ]
    hdu = fits.BinTableHDU.from_columns(columns, name="MATRIX")
    hdu.header["DETCHANS"], hdu.header["TLMIN4"] = 3, 1
    hdu.writeto(tmp_path / "a.rmf")
    found = read_ogip(tmp_path / "a.rmf", dense=True)
    assert found["matrix"].values.tolist() == [[1.0, 6.0, 8.0]]


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"DETCHANS": 20}, "energy .* of the matrix: channels outside 1"),
        ({"TLMIN4": 60}, "energy 0 of the matrix: channels outside 60"),
        ({"DETCHANS": -5}, "-5 channels"),
        ({"TTYPE6": "MATRICES"}, "without a column MATRIX"),
        ({"TTYPE3": "F_CHAN", "TTYPE4": "N_GRP"}, "are no columns of one value"),
    ],
)
def test_a_matrix_that_lies_is_refused_by_name(tmp_path: Path, header: dict[str, Any], reason: str) -> None:
    fits_files.write_matrix(tmp_path / "a.rmf")
    changed(tmp_path / "a.rmf", 1, **header)
    with pytest.raises(FormatError, match=f"a.rmf.*{reason}"):
        read_ogip(tmp_path / "a.rmf")


def test_groups_without_their_elements_are_refused(tmp_path: Path) -> None:
    fits_files.write_matrix(tmp_path / "a.rmf", ragged=False)
    with fits.open(tmp_path / "a.rmf") as file:
        data = file[1].data
        data["N_GRP"][5] = 9
        file.writeto(tmp_path / "b.rmf")
        data["N_GRP"][5] = 1
        data["F_CHAN"][5, 0], data["N_CHAN"][5, 0] = 1, 64
        file.writeto(tmp_path / "c.rmf")
    with pytest.raises(FormatError, match="energy 5 of the matrix: more groups than"):
        read_ogip(tmp_path / "b.rmf")
    with pytest.raises(FormatError, match="energy 5 of the matrix: fewer elements"):
        read_ogip(tmp_path / "c.rmf")


def test_a_matrix_that_would_be_huge_is_not_unfolded(tmp_path: Path) -> None:
    fits_files.write_matrix(tmp_path / "a.rmf")
    changed(tmp_path / "a.rmf", 1, DETCHANS=2**25)
    assert tree(tmp_path / "a.rmf")["MATRIX"].attrs["channels"] == 2**25
    with pytest.raises(IlrsError, match="read it with dense=False"):
        read_ogip(tmp_path / "a.rmf", dense=True)


def test_an_area_lies_along_energies(tmp_path: Path) -> None:
    truth = fits_files.write_area(tmp_path / "a.arf")
    found = read_ogip(tmp_path / "a.arf")
    assert isinstance(found, xr.Dataset)
    np.testing.assert_array_equal(found.specresp, truth["area"])
    assert (found.specresp.dims, found.specresp.attrs["units"]) == (("energy",), "cm**2")
    (granule,) = index_ogip(tmp_path / "a.arf")
    assert (granule.count, granule.instrument, granule.site, granule.stop) == (60, "XMON", "LANDER", 0)


def test_a_spectrum_and_its_background_are_kept_apart(tmp_path: Path) -> None:
    truth = fits_files.write_spectrum(tmp_path / "a.pha", first=0)
    found = tree(tmp_path / "a.pha")
    assert list(found.children) == ["SPECTRUM", "BACKGROUND"]
    for name, counts in (("SPECTRUM", truth["counts"]), ("BACKGROUND", truth["background"])):
        spectrum = found[name].to_dataset()
        np.testing.assert_array_equal(spectrum.counts, counts)
        assert spectrum.counts.dtype == np.int32
        assert spectrum.channel.values.tolist() == list(range(64))
        assert spectrum.attrs["EXPOSURE"] == 1234.5
    assert index_ogip(tmp_path / "a.pha")[0].count == 64


@pytest.mark.parametrize("spectra", [1, 5])
def test_spectra_of_type_ii_lie_along_spectrum_and_channel(tmp_path: Path, spectra: int) -> None:
    truth = fits_files.write_spectrum(tmp_path / "a.pha", spectra=spectra)
    found = read_ogip(tmp_path / "a.pha")
    assert isinstance(found, xr.Dataset)
    assert found.counts.dims == ("spectrum", "channel")
    np.testing.assert_array_equal(found.counts, truth["counts"])
    assert found.channel.values.tolist() == list(range(1, 65))
    assert found.exposure.dims == ("spectrum",)


def test_events_and_good_times_are_in_tai(tmp_path: Path) -> None:
    truth = fits_files.write_events(tmp_path / "a.evt")
    found = tree(tmp_path / "a.evt")
    events, good = found["EVENTS"].to_dataset(), found["GTI"].to_dataset()
    np.testing.assert_allclose(events.tai.values.astype("i8") / 1e9 - ZERO, truth["seconds"], rtol=0, atol=1e-6)
    np.testing.assert_array_equal(events["PI"], truth["pi"])
    np.testing.assert_allclose(np.stack([good.start, good.stop], 1) / 1e9 - ZERO, truth["good"], rtol=0, atol=1e-6)
    assert good.start.attrs["time_scale"] == "TAI"
    (granule,) = index_ogip(tmp_path / "a.evt")
    assert (granule.count, granule.instrument) == (500, "XMON")
    assert granule.stop - granule.start == 1000 * 10**9 + 1


def test_an_ogip_file_is_a_fits_file_too_and_other_fits_files_are_not_ogip(tmp_path: Path) -> None:
    fits_files.write_events(tmp_path / "a.evt")
    fits_files.write_frame(tmp_path / "frame.fits")
    fits_files.write_ecallisto(tmp_path / "e.fit")
    assert FORMAT.recognises((tmp_path / "a.evt").read_bytes()[:32768], tmp_path / "a.evt")
    for name in ("frame.fits", "e.fit"):
        assert not FORMAT.recognises((tmp_path / name).read_bytes()[:32768], tmp_path / name)
    assert FORMAT.refines == "fits"
    np.testing.assert_array_equal(
        tree(tmp_path / "a.evt")["EVENTS"]["PI"], read_fits(tmp_path / "a.evt", hdu="EVENTS")["PI"]
    )


@pytest.mark.parametrize("make", ["write_matrix", "write_spectrum", "write_events"])
def test_no_mutation_makes_anything_but_a_dataset_or_a_format_error(tmp_path: Path, make: str) -> None:
    getattr(fits_files, make)(tmp_path / "mutated.fits")
    for function in (read_ogip, index_ogip):
        outcomes = survive(function, tmp_path / "mutated.fits", 300 if function is read_ogip else 100, seed=1)
        assert set(outcomes) <= {"refused", "read"}


# The real files


def sheets(real_data: Path, family: str) -> dict[str, dict[str, Any]]:
    known = json.loads((real_data / "facts.json").read_text())[family]
    return {sheet["file"]: sheet["facts"] for sheet in known}


def agree(values: np.ndarray, facts: dict[str, Any]) -> None:
    assert list(values.shape) == facts["shape"]
    for name in ("min", "max", "mean"):
        assert getattr(values.astype(np.float64), name)() == pytest.approx(facts[name], rel=5e-10)


@pytest.mark.real
def test_the_areas_agree_with_the_data_sheet(real_data: Path) -> None:
    known = {**sheets(real_data, "xray_ogip"), **sheets(real_data, "smile_sxi")}
    areas = {name: facts for name, facts in known.items() if "specresp" in facts}
    for name, facts in areas.items():
        found = read_ogip(real_data / name)
        energies = facts.get("energy_keV")
        assert found.sizes["energy"] == facts["bins"]
        agree(found["specresp"].to_numpy(), facts["specresp"])
        assert found["specresp"].dtype == np.float32
        assert found["specresp"].attrs["units"] == facts["specresp"]["unit"]
        limits = [float(found["energy_lo"][0]), float(found["energy_hi"][-1])]
        assert limits == pytest.approx(energies, rel=1e-6)
        if "peak_energy_keV" in facts:
            middle = (found["energy_lo"].astype("f8") + found["energy_hi"]).to_numpy() / 2
            area = found["specresp"].to_numpy()
            assert middle[area.argmax()] == pytest.approx(facts["peak_energy_keV"], abs=5e-5)
            near = float(area[np.searchsorted(found["energy_hi"], 0.57, side="right")])
            assert near == pytest.approx(facts["area_at_0_57_keV"], rel=5e-3)
    assert len(areas) == 3


@pytest.mark.real
def test_the_matrices_agree_with_the_data_sheet(real_data: Path) -> None:
    known = {name: facts for name, facts in sheets(real_data, "xray_ogip").items() if "row_sum" in facts}
    for name, facts in known.items():
        found = tree(real_data / name)
        matrix, bounds = found[facts["extension"]].to_dataset(), found["EBOUNDS"].to_dataset()
        assert matrix.sizes["energy"] == facts["energy_bins"]
        assert bounds.sizes["channel"] == matrix.attrs["channels"] == facts["channels"]
        assert [matrix.attrs["first_channel"]] == facts["F_CHAN_TLMIN"]
        assert int(bounds.channel[0]) == facts["first_channel"]
        assert [float(bounds.e_min[0]), float(bounds.e_max[-1])] == pytest.approx(facts["ebounds_keV"], rel=1e-5)
        rows = zip(matrix.row_start.to_numpy(), matrix.row_start.to_numpy()[1:], strict=False)
        # The sheet has the sums as float32, to which they are equal.
        agree(np.array([matrix.matrix.to_numpy()[first:last].sum() for first, last in rows]), facts["row_sum"])
        unfolded = tree(real_data / name, dense=True)[facts["extension"]]["matrix"].to_numpy()
        np.testing.assert_array_equal(unfolded, dense(matrix))
    assert len(known) == 2


@pytest.mark.real
def test_the_spectrum_agrees_with_the_data_sheet(real_data: Path) -> None:
    ((name, facts),) = [(name, one) for name, one in sheets(real_data, "xray_ogip").items() if "source_counts" in one]
    found = tree(real_data / name)
    spectra = [found["SPECTRUM"].to_dataset(), found["BACKGROUND"].to_dataset()]
    assert [int(one.counts.sum()) for one in spectra] == [facts["source_counts"], facts["background_counts"]]
    assert [one.sizes["channel"] for one in spectra] == [facts["channels"]] * 2
    assert [one.attrs["BACKSCAL"] for one in spectra] == pytest.approx(facts["backscal"], rel=5e-9)
    assert spectra[0].attrs["EXPOSURE"] == pytest.approx(facts["exposure_s"], rel=5e-10)
    assert spectra[0].attrs["DATE-OBS"] == facts["date_obs"]
    assert found["GTI"].sizes["row"] == facts["gti_rows"]
    (granule,) = index_ogip(real_data / name)
    start = (Time(facts["date_obs"], scale="tt").tai - Time("1970-01-01T00:00:00", scale="tai")).to_value("s")
    assert 0 <= granule.start / 1e9 - start < 1
    assert (granule.count, granule.instrument, granule.site) == (facts["channels"], "ACIS", "CHANDRA")


@pytest.mark.real
def test_only_ogip_files_are_recognised(real_data: Path) -> None:
    known = {*sheets(real_data, "xray_ogip"), *sheets(real_data, "smile_sxi")}
    for path in sorted(real_data.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                found = FORMAT.recognises(file.read(32768), path)
            assert found == (str(path.relative_to(real_data)) in known), path


@pytest.mark.real
def test_no_mutation_of_a_real_file_makes_anything_else(real_data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "mutated.fits"
    copy.write_bytes((real_data / next(name for name in sheets(real_data, "xray_ogip") if "rmf" in name)).read_bytes())
    for function in (read_ogip, index_ogip):
        assert set(survive(function, copy, 300, seed=1)) <= {"refused", "read"}
