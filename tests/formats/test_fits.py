"""FITS: images and tables in their own types, times and axes as written or left alone, damage refused by name."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from ilrs_science.errors import FormatError, IlrsError
from ilrs_science.formats.fits import FORMAT, index_fits, read_fits, wcs
from ilrs_science.formats.fits.time import moment
from ilrs_science.geometry import parse_utc
from ilrs_science.geometry.labels import TAI
from ilrs_science.simulate import fits_files
from ilrs_science.testing.mutation import peak_memory, survive

REAL = ("asos_hxi", "xrt", "uv_spectra", "star_catalogs", "clementine", "smile_sxi", "xray_ogip", "ecallisto")


def written(path: Path, *hdus: Any, **header: Any) -> Path:
    """Write these HDUs, the first with these cards (`_` for `-`)."""
    for keyword, value in header.items():
        hdus[0].header[keyword.replace("__", "-")] = value
    first = [] if isinstance(hdus[0], fits.PrimaryHDU) else [fits.PrimaryHDU()]
    fits.HDUList([*first, *hdus]).writeto(path, overwrite=True, output_verify="ignore")
    return path


def dataset(path: Path, **options: Any) -> xr.Dataset:
    found = read_fits(path, **options)
    assert isinstance(found, xr.Dataset)
    return found


def raw_card(path: Path, keyword: str, card: str) -> None:
    """Replace a card by text as it is."""
    data = path.read_bytes()
    place = data.index(keyword.ljust(8).encode() + b"=")
    path.write_bytes(data[:place] + card.ljust(80).encode("latin-1") + data[place + 80 :])


# Images


def test_a_frame_of_unsigned_integers_stays_one_and_takes_its_time_from_an_idl_date(tmp_path: Path) -> None:
    truth = fits_files.write_frame(tmp_path / "frame.fits")
    found = dataset(tmp_path / "frame.fits")
    assert (found.image.dtype, found.image.dims) == (np.uint16, ("y", "x"))
    np.testing.assert_array_equal(found.image, truth["image"])
    assert int(found.tai.astype("i8")) == parse_utc("2031-03-01T13:07:58.713Z")
    assert found.tai.attrs == TAI
    assert found.attrs["exposure"] == found.attrs["EXPTIME"] == 2.5
    assert found.attrs["COMMENT"].splitlines() == ["first line", "second line"]
    assert found.image.attrs["units"] == "adu"
    assert found.attrs["rejected"] == {}
    assert "1950 to 2049" in found.attrs["repaired"][0]
    assert not {"BZERO", "BITPIX", "NAXIS1"} & set(found.attrs)


@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
def test_images_of_every_type_are_read_in_that_type(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(3)
    span = np.iinfo(kind) if kind[0] in "ui" else None
    values = rng.integers(span.min, span.max, (5, 7), kind, endpoint=True) if span else rng.normal(size=(5, 7))
    path = written(tmp_path / "a.fits", fits.PrimaryHDU(values.astype(kind)))
    found = dataset(path).image
    assert found.dtype == np.dtype(kind)
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, values.astype(kind))
    np.testing.assert_array_equal(dataset(path, section=(slice(1, 5, 2), slice(3))).image, found[1:5:2, :3])


@given(arrays(st.sampled_from(["u1", "<i2", "u2", "<i4", "<f4", "<f8"]), array_shapes(max_dims=4, max_side=4)))
def test_what_was_written_is_read(tmp_path_factory: pytest.TempPathFactory, values: np.ndarray) -> None:
    path = written(tmp_path_factory.mktemp("law") / "a.fits", fits.PrimaryHDU(values))
    found = dataset(path).image
    assert found.dtype == values.dtype
    assert found.dims == ("axis4", "z", "y", "x")[-values.ndim :]
    np.testing.assert_array_equal(found, values)


def test_scaled_integers_become_reals_of_32_bits_with_nan_for_blank(tmp_path: Path) -> None:
    stored = np.array([[0, 10, -99], [4, 5, 6]], np.int16)
    path = written(tmp_path / "a.fits", fits.PrimaryHDU(stored), BLANK=-99)
    kept = dataset(path).image
    assert (kept.dtype, kept.attrs["missing_value"], int(kept[0, 2])) == (np.int16, -99, -99)
    with fits.open(path, mode="update", do_not_scale_image_data=True) as file:
        file[0].header["BSCALE"], file[0].header["BZERO"] = 0.5, 100.0
    found = dataset(path).image
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [[100.0, 105.0, np.nan], [102.0, 102.5, 103.0]])
    assert found.attrs["missing_value"] == -99
    raw_card(path, "BITPIX", "BITPIX  =                   32")
    raw_card(path, "NAXIS2", "NAXIS2  =                    1")
    assert dataset(path).image.dtype == np.float64


def test_the_missing_value_of_unsigned_integers_is_shifted_as_they_are(tmp_path: Path) -> None:
    path = written(tmp_path / "a.fits", fits.PrimaryHDU(np.array([1, 7, 9], np.uint16)))
    raw_card(path, "EXTEND", "BLANK   =               -32761")
    found = dataset(path).image
    assert (found.dtype, found.attrs["missing_value"]) == (np.uint16, 7)


@pytest.mark.parametrize("code", ["RICE_1", "GZIP_1", "GZIP_2"])
def test_images_in_tiles_are_read_whole_and_in_sections(tmp_path: Path, code: str) -> None:
    truth = fits_files.write_compressed(tmp_path / "a.fits", code=code)["image"]
    found = dataset(tmp_path / "a.fits")
    assert found.image.dtype == truth.dtype
    np.testing.assert_array_equal(found.image, truth)
    part = dataset(tmp_path / "a.fits", section=(slice(3, 20), slice(10, None, 2)))
    np.testing.assert_array_equal(part.image, truth[3:20, 10::2])
    assert part.attrs["section"] == [[3, 20, 1], [10, 50, 2]]


@pytest.mark.parametrize("code", ["HCOMPRESS_1", "PLIO_1"])
def test_tiles_whose_decoder_is_not_safe_are_refused(tmp_path: Path, code: str) -> None:
    fits_files.write_compressed(tmp_path / "a.fits", code=code)
    with pytest.raises(FormatError, match=f"a.fits, HDU 1: ZCMPTYPE '{code}'.*unpack others with funpack"):
        read_fits(tmp_path / "a.fits")


def test_reals_in_tiles_are_those_of_astropy(tmp_path: Path) -> None:
    image = np.random.default_rng(4).normal(5, 2, (30, 40)).astype(np.float32)
    image[3, 4] = np.nan
    path = written(tmp_path / "a.fits", fits.CompImageHDU(image, compression_type="RICE_1"))
    found = dataset(path).image
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, fits.getdata(path))
    np.testing.assert_allclose(found, image, atol=0.5)


def test_a_tile_that_inflates_without_end_is_refused(tmp_path: Path) -> None:
    noise = np.random.default_rng(5).integers(0, 256, (300, 400), np.uint8)
    path = written(tmp_path / "a.fits", fits.CompImageHDU(noise, compression_type="GZIP_1", tile_shape=(300, 400)))
    np.testing.assert_array_equal(dataset(path).image, noise)
    data = path.read_bytes()
    place = data.index(b"\x1f\x8b", 5760)
    bomb = gzip.compress(bytes(10**8))[:110_000]
    path.write_bytes(data[:place] + bomb + data[place + len(bomb) :])
    before = peak_memory()
    with pytest.raises(FormatError, match="a tile inflates to more than 960000 bytes"):
        read_fits(path)
    assert peak_memory() - before < 2**25


def test_several_hdus_are_a_tree_with_linear_axes_and_times(tmp_path: Path) -> None:
    truth = fits_files.write_images(tmp_path / "cube.fits")
    tree = read_fits(tmp_path / "cube.fits")
    assert isinstance(tree, xr.DataTree)
    assert list(tree.children) == ["hdu0", "hdu1", "PARAMETERS"]
    for name, image, time in zip(("hdu0", "hdu1"), truth["images"], truth["times"], strict=True):
        found = tree[name].to_dataset()
        np.testing.assert_array_equal(found.image, image)
        np.testing.assert_allclose(found.x, truth["x"])
        np.testing.assert_allclose(found.y, truth["y"])
        assert (found.x.attrs["units"], found.x.attrs["native_units"]) == ("arcsec", "arcsecs")
        assert int(found.tai.astype("i8")) == parse_utc(time)
    assert tree.attrs["INSTRUME"] == "HXI"
    assert tree["PARAMETERS"]["MASK"].dims == ("row", "MASK_1")
    assert tree["PARAMETERS"]["NAME"].item() == "CLEAN"


def test_one_hdu_is_named_by_number_or_name_and_others_are_refused(tmp_path: Path) -> None:
    fits_files.write_images(tmp_path / "cube.fits")
    assert "MASK" in dataset(tmp_path / "cube.fits", hdu="parameters")
    assert dataset(tmp_path / "cube.fits", hdu=1).image.shape == (20, 30)
    for options, reason in (
        ({"hdu": "mask"}, "no HDU 'mask'; there are 0"),
        ({"hdu": 9}, "no HDU 9"),
        ({"section": (slice(1), slice(1))}, "name it by `hdu`"),
        ({"columns": ["MASK"]}, "name it by `hdu`"),
        ({"hdu": 1, "section": (slice(1),)}, "for each axis"),
        ({"hdu": 1, "section": (slice(None, None, -1), slice(1))}, "forward slice"),
        ({"hdu": 2, "columns": ["NOTHING"]}, "no column 'NOTHING'; its columns are MASK, NAME"),
    ):
        with pytest.raises(IlrsError, match=reason):
            read_fits(tmp_path / "cube.fits", **options)


# World coordinates


def test_axes_that_are_rotated_projected_or_mixed_have_no_coordinate_but_a_wcs(tmp_path: Path) -> None:
    image = np.zeros((4, 6, 8), np.float32)
    header = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CTYPE3": "WAVE", "CUNIT3": "um", "CRVAL3": 2.0}
    header |= {"CDELT1": -0.1, "CDELT2": 0.1, "CDELT3": 0.01, "CRPIX1": 4.5, "CRPIX2": 3.5, "CRPIX3": 1.0}
    header |= {"CRVAL1": 30.0, "CRVAL2": -20.0, "CUNIT1": "deg", "CUNIT2": "deg", "PC1_1": 0.9, "PC1_2": 0.1}
    path = written(tmp_path / "a.fits", fits.PrimaryHDU(image), **header)
    found = dataset(path)
    assert set(found.coords) == {"z"}
    np.testing.assert_allclose(found.z, [2.0, 2.01, 2.02, 2.03])
    assert found.z.attrs == {"long_name": "WAVE", "units": "um"}
    bare = WCS(fits.getheader(path))
    np.testing.assert_allclose(wcs(found).pixel_to_world_values(3, 2, 1), bare.pixel_to_world_values(3, 2, 1))
    part = dataset(path, section=(slice(1, 3), slice(2, 6), slice(0, 8, 2)))
    np.testing.assert_allclose(part.z, [2.01, 2.02])
    np.testing.assert_allclose(wcs(part).pixel_to_world_values(1, 1, 0)[2], bare.pixel_to_world_values(2, 3, 1)[2])
    np.testing.assert_allclose(
        wcs(part).pixel_to_world_values(0.5, 1, 0)[:2], bare.pixel_to_world_values(1, 3, 1)[:2], rtol=1e-9
    )


def test_a_wcs_with_units_that_are_misspelt_is_that_of_the_right_ones(tmp_path: Path) -> None:
    truth = fits_files.write_images(tmp_path / "cube.fits")
    found = wcs(dataset(tmp_path / "cube.fits", hdu=0))
    x, y = found.pixel_to_world_values(np.arange(30), 4)
    np.testing.assert_allclose(x, truth["x"])
    np.testing.assert_allclose(y, truth["y"][4])
    with pytest.raises(IlrsError, match="no variable `image`"):
        wcs(xr.Dataset())


@pytest.mark.parametrize(
    "turn", [{"CROTA2": 5.0}, {"CD1_2": 0.1, "CD1_1": 1.0}, {"CTYPE1": "WAVE-LOG"}, {"CDELT1": 0.0}]
)
def test_an_axis_that_is_not_linear_alone_has_no_coordinate(tmp_path: Path, turn: dict[str, Any]) -> None:
    header = {"CTYPE1": "x", "CRVAL1": 1.0, "CRPIX1": 1.0, "CDELT1": 1.0, **turn}
    assert "x" not in dataset(written(tmp_path / "a.fits", fits.PrimaryHDU(np.zeros((3, 3))), **header)).coords


# Times


@pytest.mark.parametrize(
    ("date", "clock", "utc"),
    [
        ("2031-05-01T13:07:58.713", "", "2031-05-01T13:07:58.713Z"),
        ("2031-05-01 13:07:58", "", "2031-05-01T13:07:58Z"),
        ("2016-12-31T23:59:60.5Z", "", "2016-12-31T23:59:60.5Z"),
        ("01-May-31 13:07:58.713", "", "2031-05-01T13:07:58.713Z"),
        ("1-MAY-2031 13:07", "", "2031-05-01T13:07:00Z"),
        ("12-Jan-67 01:02:03", "", "1967-01-12T01:02:03Z"),
        ("2011/06/07", "06:24:00.213", "2011-06-07T06:24:00.213Z"),
        ("26/02/01", "1:02:03", None),
        ("26/02/91", "1:02:03", "1991-02-26T01:02:03Z"),
        ("2011-06-07", "", None),
        ("2011-06-07", "noon", None),
        ("2011-13-07T00:00:00", "", None),
        ("30-Feb-31 00:00:00", "", None),
        ("01-Foo-31 00:00:00", "", None),
        ("2015-12-31T23:59:60", "", None),
        ("2011-06-07T24:00:00", "", None),
        ("today", "", None),
    ],
)
def test_dates_are_read_by_the_standard_or_a_known_habit_or_not_at_all(date: str, clock: str, utc: str | None) -> None:
    found, note = moment(date, clock)
    assert found == (None if utc is None else parse_utc(utc))
    assert note or found is not None


@pytest.mark.parametrize("scale", ["UTC", "TAI", "TT", "TDB", "GPS", "UTC (TBR)"])
def test_time_scales_agree_with_astropy(tmp_path: Path, scale: str) -> None:
    date = "2011-05-01T13:07:58.713"
    found = dataset(written(tmp_path / "a.fits", fits.PrimaryHDU(np.zeros(3)), DATE__OBS=date, TIMESYS=scale))
    moment_ = Time(date, scale=scale[:3].lower().strip() if scale != "GPS" else "tai", precision=9)
    seconds = (moment_.tai - Time("1970-01-01T00:00:00", scale="tai")).to_value("s") + 19 * (scale == "GPS")
    assert abs(int(found.tai.astype("i8")) / 1e9 - seconds) < 2e-6
    assert ("repaired" in found.attrs) == (scale == "UTC (TBR)")


def test_a_time_that_is_not_understood_is_left_and_named(tmp_path: Path) -> None:
    for number, header in enumerate(
        ({"DATE__OBS": "2031-05-01"}, {"DATE__OBS": "soon"}, {"DATE__OBS": "x", "TIMESYS": "LMST"})
    ):
        found = dataset(written(tmp_path / f"{number}.fits", fits.PrimaryHDU(np.zeros(3)), **header))
        assert "time" not in found.coords
        assert found.attrs["DATE-OBS"] == header["DATE__OBS"]
        assert "DATE-OBS" in found.attrs["repaired"][0] or "LMST" in found.attrs["repaired"][0]


def test_the_time_may_be_a_day_number_or_stand_in_a_primary_header_without_data(tmp_path: Path) -> None:
    found = dataset(written(tmp_path / "a.fits", fits.PrimaryHDU(np.zeros(3)), MJD__OBS=51544.25))
    assert int(found.tai.astype("i8")) == parse_utc("2000-01-01T06:00:00Z")
    primary = fits.PrimaryHDU()
    path = written(tmp_path / "b.fits", primary, fits.ImageHDU(np.zeros(3)), DATE__OBS="2031-05-01T00:00:01")
    assert int(dataset(path).tai.astype("i8")) == parse_utc("2031-05-01T00:00:01Z")


# Tables


def test_columns_of_every_type_keep_it(tmp_path: Path) -> None:
    number = np.arange(3)
    columns = [
        fits.Column("B", "B", array=number.astype("u1"), null=1),
        fits.Column("I", "I", array=number.astype("i2"), unit="counts", null=-9),
        fits.Column("U", "J", bzero=2**31, array=number.astype("u4") + 2**31),
        fits.Column("K", "K", array=number),
        fits.Column("E", "E", array=number.astype("f4")),
        fits.Column("V", "3D", array=np.arange(9.0).reshape(3, 3)),
        fits.Column("G", "6I", dim="(3,2)", array=np.arange(18).reshape(3, 2, 3)),
        fits.Column("C", "M", array=number + 1j),
        fits.Column("L", "L", array=number == 1),
        fits.Column("X", "11X", array=np.eye(3, 11, dtype=bool)),
        fits.Column("A", "6A", array=["one", "  two", ""]),
        fits.Column("T", "8A", dim="(4,2)", array=[["ab", "cd"], ["e", "fghi"], ["", "z"]]),
        fits.Column("F", "E", array=number),
    ]
    path = written(tmp_path / "a.fits", fits.BinTableHDU.from_columns(columns))
    with fits.open(path, mode="update") as file:
        file[1].header["TLMIN2"] = 0
        file[1].header["TTYPE13"] = "E"
    found = dataset(path)
    kinds = {name: found[name].dtype.str[1:] for name in found}
    assert kinds == {
        "B": "u1",
        "I": "i2",
        "U": "u4",
        "K": "i8",
        "E": "f4",
        "V": "f8",
        "G": "i2",
        "C": "c16",
        "L": "b1",
        "X": "b1",
        "A": "U6",
        "T": "U4",
        "E_2": "f4",
    }
    assert found["I"].attrs == {"units": "count", "native_units": "counts", "TLMIN": 0, "missing_value": -9}
    assert found["G"].dims == ("row", "G_1", "G_2")
    np.testing.assert_array_equal(found["G"], np.arange(18).reshape(3, 2, 3))
    np.testing.assert_array_equal(found["U"], number + 2**31)
    np.testing.assert_array_equal(found["X"], np.eye(3, 11, dtype=bool))
    assert found["L"].values.tolist() == [False, True, False]
    assert found["A"].values.tolist() == ["one", "  two", ""]
    assert found["T"].values.tolist() == [["ab", "cd"], ["e", "fghi"], ["", "z"]]
    assert all(found[name].dtype.isnative for name in found)
    assert list(dataset(path, columns=["K", "A"])) == ["K", "A"]


def test_scaled_columns_are_reals_and_truths_may_be_missing(tmp_path: Path) -> None:
    columns = [
        fits.Column("S", "I", array=np.array([0, 2, 4], np.int16), null=4),
        fits.Column("L", "L", array=[True, False, True]),
    ]
    hdu = fits.BinTableHDU.from_columns(columns)
    path = written(tmp_path / "a.fits", hdu)
    raw_card(path, "TTYPE2", "TSCAL1  = 0.5")
    data = bytearray(path.read_bytes())
    assert data.endswith(b"T" + bytes(len(data) - data.rindex(b"T") - 1))
    data[data.rindex(b"T")] = 0
    path.write_bytes(data)
    found = dataset(path)
    assert found["S"].dtype == np.float32
    np.testing.assert_array_equal(found["S"], [0.0, 1.0, np.nan])
    truth = found["column_2"]
    assert (truth.values.tolist(), truth.attrs["missing_value"]) == ([1, 0, -1], -1)


def test_cells_of_any_length_lie_one_after_the_other(tmp_path: Path) -> None:
    cells = [np.arange(length, dtype=np.float32) + length for length in (3, 0, 5)]
    texts = ["a", "", "long"]
    columns = [
        fits.Column("V", "PE", array=np.array(cells, object)),
        fits.Column("Q", "QJ", array=np.array([one.astype(np.int32) for one in cells], object)),
        fits.Column("A", "PA", array=np.array(texts, object)),
    ]
    found = dataset(written(tmp_path / "a.fits", fits.BinTableHDU.from_columns(columns)))
    for name, kind in (("V", np.float32), ("Q", np.int32)):
        assert (found[name].dtype, found[name].dims) == (kind, (f"{name}_element",))
        np.testing.assert_array_equal(found[name], np.concatenate(cells))
        assert found[found[name].attrs["lengths"]].values.tolist() == [3, 0, 5]
    assert found["A"].values.tolist() == texts


def test_cells_that_point_out_of_the_heap_are_refused(tmp_path: Path) -> None:
    cells = np.array([np.arange(3, dtype=np.float32)] * 3, object)
    path = written(tmp_path / "a.fits", fits.BinTableHDU.from_columns([fits.Column("V", "PE", array=cells)]))
    good = path.read_bytes()
    for value, reason in ((b"\x7f\xff\xff\xff", "outside of the heap"), (b"\xff\xff\xff\xff", "outside of the heap")):
        place = good.index(b"\0\0\0\3\0\0\0\0")
        path.write_bytes(good[:place] + value + good[place + 4 :])
        with pytest.raises(FormatError, match=reason):
            read_fits(path)
    place = good.index(b"\0\0\0\3\0\0\0\0")
    path.write_bytes(good[:place] + b"\0\0\0\x09\0\0\0\0" * 3 + good[place + 24 :])
    with pytest.raises(FormatError, match="cells of 108 bytes in a heap of 36"):
        read_fits(path)


def test_a_table_in_the_cells_of_one_row_is_turned_upright(tmp_path: Path) -> None:
    columns = [fits.Column(name, "9D", array=np.arange(9.0)[None] + n) for n, name in enumerate(("WAVE", "FLUX"))]
    path = written(tmp_path / "a.fits", fits.BinTableHDU.from_columns(columns))
    found = dataset(path)
    assert found["FLUX"].dims == ("row",)
    assert found["FLUX"].values.tolist() == list(np.arange(9.0) + 1)
    assert index_fits(path)[0].count == 9


def test_a_table_of_text_is_read_and_blank_fields_are_missing(tmp_path: Path) -> None:
    columns = [
        fits.Column("N", "I4", array=[1, 2, 3]),
        fits.Column("F", "F8.3", array=[1.5, 2.25, -3.0], unit="m"),
        fits.Column("D", "D12.4", array=[1e10, 2e-10, 3.0]),
        fits.Column("A", "A5", array=["x", "y y", ""]),
    ]
    path = written(tmp_path / "a.fits", fits.TableHDU.from_columns(columns))
    found = dataset(path)
    assert (found["N"].dtype, found["N"].values.tolist()) == (np.int64, [1, 2, 3])
    assert (found["F"].values.tolist(), found["F"].attrs) == ([1.5, 2.25, -3.0], {"units": "m"})
    np.testing.assert_allclose(found["D"], [1e10, 2e-10, 3.0])
    assert found["A"].values.tolist() == ["x", "y y", ""]
    data = path.read_bytes()
    path.write_bytes(data[:5760] + data[5760:].replace(b"   2.250", b"        ").replace(b"   1", b" abc", 1))
    with pytest.raises(FormatError, match="column 1: a field that is no number"):
        read_fits(path)
    assert np.isnan(dataset(path, columns=["F"])["F"][1])


def test_events_lie_along_time_and_those_without_one_are_counted(tmp_path: Path) -> None:
    truth = fits_files.write_events(tmp_path / "events.fits")
    tree = read_fits(tmp_path / "events.fits")
    events = tree["EVENTS"].to_dataset()
    zero = (Time("1998-01-01T00:00:00", scale="tt").tai - Time("1970-01-01T00:00:00", scale="tai")).to_value("s")
    np.testing.assert_allclose((events.tai.values.astype("i8") / 1e9) - zero, truth["seconds"], rtol=0, atol=1e-6)
    assert events["PI"].dims == ("time",)
    np.testing.assert_array_equal(events["X"], truth["x"])
    assert events["X"].dtype == np.uint16
    data = (tmp_path / "events.fits").read_bytes()
    place = data.index(np.asarray(truth["seconds"][7], ">f8").tobytes())
    (tmp_path / "events.fits").write_bytes(data[:place] + np.array(np.nan, ">f8").tobytes() + data[place + 8 :])
    events = dataset(tmp_path / "events.fits", hdu="EVENTS")
    assert (events.sizes["time"], events.attrs["rejected"]) == (499, {"no time": 1})


def test_names_of_columns_may_be_those_of_dimensions(tmp_path: Path) -> None:
    columns = [
        fits.Column(name, form, array=np.zeros((2, 3)) if form == "3D" else [1, 2])
        for name, form in (("row", "J"), ("time", "D"), ("V", "3D"), ("V_1", "J"), ("ROW", "3D"))
    ]
    path = written(tmp_path / "a.fits", fits.BinTableHDU.from_columns(columns))
    raw_card(path, "TTYPE5", "TTYPE5  = 'row'")
    plain = dataset(path)
    assert len(plain.data_vars) == 5
    assert plain.sizes["row"] == 2
    with fits.open(path, mode="update") as file:
        file[1].header["MJDREF"] = 51544.0
    found = dataset(path)
    assert len(found.data_vars) == 5
    assert found.sizes["time"] == 2


def test_a_name_that_is_a_path_and_units_that_are_no_time_are_respelt_and_named(tmp_path: Path) -> None:
    columns = [fits.Column("counts/s", "J", array=[1, 2]), fits.Column("TIME", "D", unit="keV", array=[1.0, 2.0])]
    path = written(tmp_path / "a.fits", fits.BinTableHDU.from_columns(columns), fits.ImageHDU(np.zeros(3)))
    with fits.open(path, mode="update") as file:
        file[1].header["MJDREF"] = 51544.0
    tree = read_fits(path)
    assert tree["hdu1"]["counts_s"].attrs["TTYPE"] == "counts/s"
    assert tree["hdu1"]["TIME"].dims == ("row",)
    assert tree["hdu1"].attrs["repaired"] == ["TIME in units that are no time: no times"]


# Damage


def test_a_file_that_is_shorter_than_it_declares_is_refused(tmp_path: Path) -> None:
    fits_files.write_images(tmp_path / "cube.fits")
    data = (tmp_path / "cube.fits").read_bytes()
    for length, reason in ((2880 + 100, "declares 2400 bytes"), (1000, "HDU 0: the header"), (0, "an empty file")):
        (tmp_path / "cube.fits").write_bytes(data[:length])
        for function in (read_fits, index_fits):
            with pytest.raises(FormatError, match=f"cube.fits.*{reason}"):
                function(tmp_path / "cube.fits")


def test_bytes_after_the_last_hdu_are_counted(tmp_path: Path) -> None:
    fits_files.write_frame(tmp_path / "frame.fits")
    with (tmp_path / "frame.fits").open("ab") as file:
        file.write(b"junk" * 10)
    assert dataset(tmp_path / "frame.fits").attrs["rejected"] == {"bytes after the last HDU": 40}


def test_cards_that_are_no_values_are_kept_as_text_and_named(tmp_path: Path) -> None:
    fits_files.write_frame(tmp_path / "a.fits")
    raw_card(tmp_path / "a.fits", "TELESCOP", "TELESCOP= Not quoted at all / 1")
    raw_card(tmp_path / "a.fits", "INSTRUME", "INSTRUME= 'Caméra  '")
    found = dataset(tmp_path / "a.fits")
    assert "Not quoted at all" in found.attrs["TELESCOP"]
    assert found.attrs["INSTRUME"] == "Caméra"
    assert any("TELESCOP" in note for note in found.attrs["repaired"])
    assert any("not ASCII" in note for note in found.attrs["repaired"])


@pytest.mark.parametrize(
    ("keyword", "card", "reason"),
    [
        ("NAXIS1", "NAXIS1  =           9999999999", "declares"),
        ("NAXIS1", "NAXIS1  =                   -1", "NAXIS1 is -1"),
        ("NAXIS", "NAXIS   =              9999999", "at most 999"),
        ("NAXIS", "NAXIS   =                  'x'", "NAXIS is 'x'"),
        ("BITPIX", "BITPIX  =                   17", "BITPIX is 17"),
        ("SIMPLE", "SIMPLY  =                    T", "starts with"),
    ],
)
def test_headers_that_lie_are_refused_by_name(tmp_path: Path, keyword: str, card: str, reason: str) -> None:
    fits_files.write_frame(tmp_path / "a.fits")
    raw_card(tmp_path / "a.fits", keyword, card)
    before = peak_memory()
    for function in (read_fits, index_fits):
        with pytest.raises(FormatError, match=f"a.fits.*{reason}"):
            function(tmp_path / "a.fits")
    assert peak_memory() - before < 2**26


@pytest.mark.parametrize(
    ("keyword", "card", "reason"),
    [
        ("ZNAXIS1", "ZNAXIS1 =            999999999", "no code is as dense"),
        ("ZTILE1", "ZTILE1  =                    0", "tiles of"),
        ("ZTILE2", "ZTILE2  =                    9", "40 rows for 5 tiles"),
        ("ZCMPTYPE", "ZCMPTYPE= 'MAGIC'", "read are RICE_1"),
        ("ZVAL1", "ZVAL1   =                    7", "BLOCKSIZE is 7"),
        ("ZNAXIS", "ZNAXIS  =                  999", "at most 32 axes"),
    ],
)
def test_tiles_that_are_not_possible_are_refused(tmp_path: Path, keyword: str, card: str, reason: str) -> None:
    fits_files.write_compressed(tmp_path / "a.fits")
    raw_card(tmp_path / "a.fits", keyword, card)
    with pytest.raises(FormatError, match=f"a.fits.*{reason}"):
        read_fits(tmp_path / "a.fits")


@pytest.mark.parametrize(
    ("keyword", "card", "reason"),
    [
        ("TFORM1", "TFORM1  = '99999D'", "ends at byte"),
        ("TFORM1", "TFORM1  = '?'", "TFORM1 is '?'"),
        ("TFIELDS", "TFIELDS =              9999999", "no table"),
        ("NAXIS1", "NAXIS1  =                    0", "no table"),
        ("TTYPE1", "TDIM1   = '(99,99)'", "TDIM1 is"),
    ],
)
def test_tables_that_do_not_fit_are_refused(tmp_path: Path, keyword: str, card: str, reason: str) -> None:
    column = fits.Column("A", "3D", array=np.zeros((4, 3)))
    path = written(tmp_path / "a.fits", fits.BinTableHDU.from_columns([column]))
    data = path.read_bytes()
    place = data.index(keyword.ljust(8).encode() + b"=", 2880)
    path.write_bytes(data[:place] + card.ljust(80).encode() + data[place + 80 :])
    with pytest.raises(FormatError, match=f"a.fits.*{reason}"):
        read_fits(path)


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    for function in (read_fits, index_fits):
        with pytest.raises(FileNotFoundError):
            function(tmp_path / "none.fits")


@pytest.mark.parametrize("make", ["write_images", "write_compressed", "write_matrix"])
def test_no_mutation_makes_anything_but_a_dataset_or_a_format_error(tmp_path: Path, make: str) -> None:
    getattr(fits_files, make)(tmp_path / "mutated.fits")
    for function in (read_fits, index_fits):
        outcomes = survive(function, tmp_path / "mutated.fits", 300 if function is read_fits else 100, seed=1)
        assert set(outcomes) <= {"refused", "read"}


# The index


def test_an_index_says_what_where_and_when_without_the_data(tmp_path: Path) -> None:
    truth = fits_files.write_images(tmp_path / "cube.fits")
    (found,) = index_fits(tmp_path / "cube.fits")
    assert (found.count, found.instrument, found.site, found.format) == (2, "HXI", "ORBITER", "fits")
    assert found.start == parse_utc(truth["times"][0])
    assert found.stop == parse_utc(truth["times"][1]) + 2 * 10**9 + 1
    fits_files.write_events(tmp_path / "events.fits")
    (found,) = index_fits(tmp_path / "events.fits")
    assert (found.count, found.instrument, found.stop - found.start) == (500, "XMON", 1000 * 10**9 + 1)
    written(tmp_path / "none.fits", fits.PrimaryHDU(np.zeros(3)))
    (found,) = index_fits(tmp_path / "none.fits")
    assert (found.count, found.start, found.stop, found.instrument) == (1, 0, 0, "")


def test_the_times_of_rows_are_the_span_where_no_header_tells_it(tmp_path: Path) -> None:
    column = fits.Column("TIME", "D", array=[5.0, 3.0, 9.5], unit="s")
    path = written(tmp_path / "a.fits", fits.BinTableHDU.from_columns([column]), MJDREF=51544.0, TIMESYS="UTC")
    (found,) = index_fits(path)
    zero = parse_utc("2000-01-01T00:00:00Z")
    assert (found.start, found.stop) == (zero + 3 * 10**9, zero + 9_500_000_001)


# The real files


def unpacked(real_data: Path, name: str, folder: Path) -> Path:
    path = real_data / name
    if path.suffix != ".gz":
        return path
    (folder / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    return folder / path.stem


def agree(values: np.ndarray, facts: dict[str, Any]) -> None:
    """Compare with facts that are printed to ten digits, computed in float64."""
    reals = values.astype(np.float64)
    assert list(values.shape) == facts["shape"]
    assert values.dtype.str[1:] == facts["dtype"].lstrip("<>|") or facts["dtype"] == "<f8"
    for name in ("min", "max", "mean"):
        assert getattr(reals, name)() == pytest.approx(facts[name], rel=5e-10)


def sheets(real_data: Path, family: str) -> list[dict[str, Any]]:
    return json.loads((real_data / "facts.json").read_text())[family]


@pytest.mark.real
def test_the_image_pair_of_hxi_agrees_with_the_data_sheet(real_data: Path) -> None:
    (sheet,) = sheets(real_data, "asos_hxi")
    facts, tree = sheet["facts"], read_fits(real_data / sheet["file"])
    for fact in facts["images"]:
        found = tree[f"hdu{fact['hdu']}"].to_dataset()
        values = found.image.to_numpy()
        agree(values, fact)
        assert values.astype(np.float64).sum() == pytest.approx(fact["sum"], abs=5e-4)
        assert list(np.unravel_index(values.argmax(), values.shape)) == fact["peak_at_row_col"]
        assert int(found.tai.astype("i8")) == moment(fact["time"])[0]
        assert found.attrs["DATE_OBS"] == fact["time"]
        assert np.diff(found.x).tolist() == [facts["pixel_arcsec"]] * 100
        assert [found.attrs["CRPIX1"], found.attrs["CRPIX2"]] == facts["CRPIX"]
        assert [float(found.x[50]), float(found.y[50])] == facts["flare_centre_arcsec"]
        assert found.image.attrs["native_units"] == facts["unit"]
        assert found.x.attrs["units"] == "arcsec"
    assert len(tree["PARAMETERS"].data_vars) == facts["parameters_columns"]


@pytest.mark.real
def test_the_images_of_xrt_agree_with_the_data_sheet(real_data: Path) -> None:
    for sheet in sheets(real_data, "xrt"):
        facts, found = sheet["facts"], dataset(real_data / sheet["file"])
        agree(found.image.to_numpy(), facts)
        assert int(found.tai.astype("i8")) == parse_utc(facts["time"] + "Z")
        assert found.attrs["exposure"] == facts["exposure_s"]
        assert found.image.astype(np.float64).values.sum() == pytest.approx(facts["sum"], abs=5e-2)
        assert not {"x", "y"} & set(found.coords)  # it is rotated


@pytest.mark.real
def test_the_spectrum_of_fuse_agrees_with_the_data_sheet(real_data: Path) -> None:
    (sheet,) = sheets(real_data, "uv_spectra")
    facts, found = sheet["facts"], dataset(real_data / sheet["file"])
    assert found.sizes == {"row": facts["pixels"]}
    assert [round(float(found["WAVE"][n]), 3) for n in (0, -1)] == facts["wavelength_A"]
    agree(found["FLUX"].to_numpy(), facts["flux"])
    agree(found["ERROR"].to_numpy(), facts["error"])


@pytest.mark.real
def test_the_star_catalogues_agree_with_the_data_sheet(real_data: Path, tmp_path: Path) -> None:
    for sheet in sheets(real_data, "star_catalogs"):
        facts, found = sheet["facts"], dataset(unpacked(real_data, sheet["file"], tmp_path))
        assert found.sizes == {"row": facts["rows"]}
        assert [name.partition(" ")[0] for name in facts["columns"]] == list(found)
        for text in facts["columns"]:
            name, _, unit = text.partition(" [")
            assert found[name].attrs.get("units", "") == unit.rstrip("]")
        magnitude = found["Vmag"].to_numpy()
        agree(magnitude, facts["Vmag"])
        assert int(np.isnan(magnitude).sum()) == facts["Vmag_missing"]
        star = found.isel(row=int(np.nanargmin(magnitude)))
        for name, fact in facts["brightest"].items():
            value = star[name].item()
            if fact == "--":
                assert np.isnan(value)
            elif isinstance(fact, str):
                assert " ".join(str(value).split()) == fact
            else:
                assert value == pytest.approx(fact, rel=5e-9)


@pytest.mark.real
def test_the_calibration_of_clementine_agrees_with_the_data_sheet(real_data: Path) -> None:
    known = [sheet for sheet in sheets(real_data, "clementine") if sheet["file"].endswith(".fits")]
    for sheet in known:
        image = dataset(real_data / sheet["file"]).image.to_numpy()
        agree(image, sheet["facts"])
        assert np.count_nonzero(image) == sheet["facts"].get("pixels_not_zero", np.count_nonzero(image))
    assert len(known) == 5


def files(real_data: Path, *families: str) -> list[Path]:
    return [path for family in families for path in sorted((real_data / family).rglob("*")) if path.is_file()]


@pytest.mark.real
def test_headers_and_data_of_the_real_files_are_those_that_astropy_reads(real_data: Path, tmp_path: Path) -> None:
    known = [path for path in files(real_data, *REAL) if path.suffix in (".fits", ".fit", ".arf", ".rmf", ".gz")]
    for path in known:
        with fits.open(path) as file:
            path = unpacked(real_data, str(path.relative_to(real_data)), tmp_path)  # noqa: PLW2901
            for number, hdu in enumerate(file):
                found = dataset(path, hdu=number)
                for card in hdu.header.cards:
                    if card.keyword in found.attrs and card.keyword not in ("COMMENT", "HISTORY"):
                        value = "" if isinstance(card.value, fits.card.Undefined) else card.value
                        assert value in (found.attrs[card.keyword], *np.atleast_1d(found.attrs[card.keyword]).tolist())
                if isinstance(hdu, fits.BinTableHDU):
                    assert set(hdu.columns.names) <= set(found)
                    for column in hdu.columns:
                        bare = hdu.data[column.name]
                        flat = np.concatenate(list(bare)) if "P" in column.format else np.asarray(bare)
                        np.testing.assert_array_equal(found[column.name].to_numpy().ravel(), flat.ravel())
                elif hdu.data is not None:
                    np.testing.assert_array_equal(found["image"], hdu.data)
    assert len(known) > 15


@pytest.mark.real
def test_only_fits_files_are_recognised(real_data: Path) -> None:
    for path in files(real_data, *[one.name for one in real_data.iterdir() if one.is_dir()]):
        with path.open("rb") as file:
            found = FORMAT.recognises(file.read(32768), path)
        assert found == (path.suffix in (".fits", ".fit", ".arf", ".rmf")), path


@pytest.mark.real
def test_no_mutation_of_a_real_file_makes_anything_else(real_data: Path, tmp_path: Path) -> None:
    name = sheets(real_data, "uv_spectra")[0]["file"]
    copy = tmp_path / "mutated.fits"
    copy.write_bytes((real_data / name).read_bytes())
    for function in (read_fits, index_fits):
        assert set(survive(function, copy, 300, seed=1)) <= {"refused", "read"}
