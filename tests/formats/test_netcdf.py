"""netCDF and HDF5: times as TAI, what CF says of numbers, groups, and that no file makes us open another one."""

import struct
from pathlib import Path
from typing import Any

import h5netcdf
import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import netcdf_file

from ilrs_science import FormatError
from ilrs_science.formats.netcdf import FORMAT, index_netcdf, read_netcdf
from ilrs_science.formats.netcdf.cf import NotATimeError, to_tai
from ilrs_science.geometry import parse_utc
from ilrs_science.geometry.time import SECOND, utc_to_tai
from ilrs_science.testing.mutation import survive

START = "2020-06-03T00:00:00Z"
SINCE = {"units": "seconds since 2020-06-03 00:00:00"}
RNG = np.random.default_rng(3)
FIELD = np.where(np.arange(60).reshape(20, 3) == 7, -999, RNG.normal(0, 50, (20, 3))).astype("f4")


def only(path: Path) -> xr.Dataset:
    found = read_netcdf(path)
    assert isinstance(found, xr.Dataset)
    return found


def classic(
    path: Path, *, version: int = 1, variables: tuple[str, ...] = ("time", "b", "odd", "name", "still")
) -> Path:
    """Write a netCDF-3 file with records, of some of these variables."""
    with netcdf_file(path, "w", version=version) as file:
        file.instrument = "SIM"
        file.platform = "change-4"
        file.processing_level = "L1"
        for name, size in (("time", None), ("axis", 3), ("length", 5)):
            file.createDimension(name, size)
        made = {
            "time": ("f8", ("time",), np.arange(20) * 0.5),
            "b": ("f4", ("time", "axis"), FIELD),
            "odd": ("i1", ("time",), np.arange(20)),
            "name": ("S1", ("axis", "length"), np.array([list("x    "), list("why  "), list("zebra")], "S1")),
            "still": ("i2", ("axis",), [1, 2, 3]),
        }
        for name in variables:
            kind, dims, values = made[name]
            variable = file.createVariable(name, kind, dims)
            variable[:] = values
            if name == "time":
                variable.units = SINCE["units"]
            if name == "b":
                variable.units = "nT"
                variable._FillValue = np.float32(-999)
    return path


def netcdf4(path: Path, **encoding: Any) -> xr.Dataset:
    """Write a netCDF-4 file and return what it should be read as."""
    made = xr.Dataset(
        {
            "b": (("time", "axis"), np.where(FIELD == -999, np.nan, FIELD), {"units": "nT"}),
            "mode": ("time", np.array(["burst", "slow", "überall", ""] * 5)),
            "count": ("time", np.arange(20, dtype="i4")),
        },
        {"time": ("time", np.arange(20) * 0.5, SINCE), "axis": ["x", "y", "z"]},
        {"instrument": "SIM", "numbers": [1, 2], "title": "a file"},
    )
    made.to_netcdf(path, engine="h5netcdf", encoding=encoding)
    return made


@pytest.mark.parametrize("version", [1, 2])
def test_a_classic_file_is_read_as_it_was_written(tmp_path: Path, version: int) -> None:
    path = classic(tmp_path / "a.nc", version=version)
    ds = only(path)
    np.testing.assert_array_equal(ds.tai.astype("i8"), parse_utc(START) + np.arange(20) * SECOND // 2)
    assert (ds.tai.dtype, ds.tai.attrs["time_scale"]) == (np.dtype("M8[ns]"), "TAI")
    assert ds.tai.attrs["native_units"] == SINCE["units"]
    np.testing.assert_array_equal(ds.b, np.where(FIELD == -999, np.nan, FIELD))
    assert (ds.b.dims, ds.b.dtype) == (("time", "axis"), np.dtype("f4"))
    assert (ds.b.attrs["units"], ds.b.attrs["_FillValue"]) == ("nT", -999)
    np.testing.assert_array_equal(ds.odd, np.arange(20, dtype="i1"))
    assert [text.rstrip() for text in ds.name.values] == ["x", "why", "zebra"]
    assert ds.still.values.tolist() == [1, 2, 3]
    assert ds.attrs["rejected"] == {}
    (granule,) = index_netcdf(path)
    assert (granule.instrument, granule.site, granule.level) == ("SIM", "change-4", "L1")
    assert (granule.start, granule.stop, granule.count) == (ds.tai[0].astype("i8"), ds.tai[-1].astype("i8") + 1, 20)


def test_one_variable_with_records_alone_is_not_filled_up(tmp_path: Path) -> None:
    ds = only(classic(tmp_path / "a.nc", variables=("odd", "still")))
    np.testing.assert_array_equal(ds.odd, np.arange(20, dtype="i1"))


def test_the_number_of_records_of_a_stream_is_that_of_the_file(tmp_path: Path) -> None:
    path = classic(tmp_path / "a.nc")
    data = bytearray(path.read_bytes())
    data[4:8] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    assert only(path).sizes["time"] == 20


def test_wide_numbers_of_cdf5_are_read(tmp_path: Path) -> None:
    def item(*parts: Any) -> bytes:
        """Return text with its length, and numbers of eight bytes."""
        return b"".join(
            struct.pack(">q", len(one)) + one.encode().ljust(-(-len(one) // 4) * 4, b"\0")
            if isinstance(one, str)
            else struct.pack(">q", one)
            for one in parts
        )

    def tag(number: int, count: int) -> bytes:
        return struct.pack(">iq", number, count)

    values = np.array([2**40, -1], ">i8").tobytes()
    head = b"CDF\x05" + item(0) + tag(10, 1) + item("n", 2) + tag(12, 1)[:0] + tag(0, 0) + tag(11, 1)
    head += item("wide", 1, 0) + tag(0, 0) + struct.pack(">i", 10) + item(16)
    path = tmp_path / "wide.nc"
    path.write_bytes(head + item(len(head) + 8) + values)
    assert only(path).wide.values.tolist() == [2**40, -1]


@pytest.mark.parametrize(
    "encoding",
    [{}, {"b": {"zlib": True, "chunksizes": (7, 3)}, "mode": {"chunksizes": (6,), "zlib": True, "shuffle": True}}],
    ids=["plain", "packed"],
)
def test_what_xarray_writes_is_read(tmp_path: Path, encoding: dict[str, Any]) -> None:
    path = tmp_path / "a.nc"
    made = netcdf4(path, **encoding)
    ds = only(path)
    np.testing.assert_array_equal(ds.tai.astype("i8"), parse_utc(START) + np.arange(20) * SECOND // 2)
    for name in ("b", "mode", "count", "axis"):
        np.testing.assert_array_equal(ds[name], made[name])
    assert (ds.b.dtype, ds["count"].dtype, ds.b.dims) == (np.dtype("f4"), np.dtype("i4"), ("time", "axis"))
    assert ds.attrs == {"instrument": "SIM", "numbers": [1, 2], "title": "a file", "rejected": {}}
    (granule,) = index_netcdf(path)
    assert (granule.instrument, granule.count) == ("SIM", 20)
    assert (granule.start, granule.stop) == (ds.tai[0].astype("i8"), ds.tai[-1].astype("i8") + 1)


@pytest.mark.parametrize(
    ("units", "more", "value", "truth"),
    [
        ("seconds since 2020-06-03 00:00:00", {}, 0.25, "2020-06-03T00:00:00.25Z"),
        ("days since 1970-01-01", {}, 18416.5, "2020-06-03T12:00:00Z"),
        ("hours since 2020-6-3 1:0:0.5 UTC", {}, -1, "2020-06-03T00:00:00.5Z"),
        ("minutes since 2020-06-03T02:00:00+02:00", {}, 0, "2020-06-03T00:00:00Z"),
        ("milliseconds since 2020-06-03 00:00:00 Z", {"calendar": "gregorian"}, 1, "2020-06-03T00:00:00.001Z"),
        ("nanoseconds since 2016-12-31T23:59:59Z", {}, 10**9, "2017-01-01T00:00:00Z"),
        ("seconds since 2016-12-31T23:59:59Z", {"calendar": "utc"}, 1, "2016-12-31T23:59:60Z"),
        ("seconds since 2020-01-01T00:00:37", {"calendar": "tai"}, 0, "2020-01-01T00:00:00Z"),
        ("seconds since 2000-01-01 12:00:00 TT", {}, 0, "2000-01-01T11:58:55.816Z"),
        ("seconds since 1980-01-06", {"time_scale": "GPS"}, 1e9, "2011-09-14T01:46:25Z"),
    ],
)
def test_a_count_from_a_date_is_tai(units: str, more: dict[str, str], value: float, truth: str) -> None:
    times, known = to_tai(np.array([value]), {"units": units, **more})
    assert (times.tolist(), known.tolist()) == ([parse_utc(truth)], [True])


@pytest.mark.parametrize(
    ("units", "more"),
    [
        ("seconds since 2020-01-01", {"calendar": "noleap"}),
        ("seconds since 2020-01-01", {"time_scale": "TDB"}),
        ("months since 2020-01-01", {}),
        ("seconds since 2020-13-01", {}),
        ("seconds since 1850-01-01", {}),
        ("seconds since launch", {}),
    ],
)
def test_what_cannot_be_told_as_tai_stays_a_number_and_is_named(
    tmp_path: Path, units: str, more: dict[str, str]
) -> None:
    with pytest.raises(NotATimeError):
        to_tai(np.array([0.0]), {"units": units, **more})
    path = tmp_path / "a.nc"
    made = xr.Dataset({"b": ("time", [1.0])}, {"time": ("time", [5.0], {"units": units, **more})})
    made.to_netcdf(path, engine="h5netcdf")
    ds = only(path)
    assert ds.time.values.tolist() == [5.0]
    assert "tai" not in ds
    assert ("skipped" in ds.attrs) == ("launch" not in units)


@given(st.lists(st.integers(-(2**53), 2**53), min_size=1, max_size=9), st.sampled_from(["milli", "micro", "nano", ""]))
def test_whole_numbers_are_exact(counts: list[int], prefix: str) -> None:
    unit = {"milli": 10**6, "micro": 1000, "nano": 1, "": 10**9}[prefix]
    counts = [count % min(2**53, 2 * 10**18 // unit) for count in counts]
    truth = utc_to_tai(np.array(counts, "i8") * unit)
    for kind in ("i8", "f8"):
        times, known = to_tai(np.array(counts, kind), {"units": f"{prefix}seconds since 1970-01-01"})
        assert known.all()
        assert times.tolist() == truth.tolist()


def test_records_without_a_time_are_counted_and_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.nc"
    times = ("t", np.array([0.0, np.nan, -1, 2]), {**SINCE, "_FillValue": -1.0, "standard_name": "time"})
    xr.Dataset({"when": times, "b": (("axis", "t"), np.arange(8).reshape(2, 4))}).to_netcdf(path, engine="h5netcdf")
    ds = only(path)
    assert ds.tai.values.astype("i8").tolist() == [parse_utc(START), parse_utc(START) + 2 * SECOND]
    assert ds.tai.attrs["native_name"] == "when"
    assert (ds.b.dims, ds.b.values.tolist()) == (("axis", "time"), [[0, 3], [4, 7]])
    assert ds.attrs["rejected"] == {"no time": 2}


def test_several_times_of_one_kind_stay_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.nc"
    made = xr.Dataset({"begin": ("n", [1.0], SINCE), "end": ("n", [2.0], SINCE)})
    made.to_netcdf(path, engine="h5netcdf")
    ds = only(path)
    assert (ds.begin.values.tolist(), ds.begin.attrs["units"]) == ([1.0], SINCE["units"])
    assert "time" not in ds.coords


def packed(path: Path, values: Any, **attributes: Any) -> xr.DataArray:
    with h5py.File(path, "w") as file:
        file["x"] = values
        for name, value in attributes.items():
            file["x"].attrs[name] = value
    found: xr.DataArray = only(path).x
    return found


@pytest.mark.parametrize(
    ("kind", "scale", "offset", "expected"),
    [
        ("i2", np.float32(0.5), None, "f4"),
        ("i2", 0.5, None, "f4"),
        ("i2", np.float32(0.5), np.float32(10), "f4"),
        ("i2", 0.5, 10.0, "f8"),
        ("i4", np.float32(0.5), None, "f8"),
        ("f4", 0.5, 10.0, "f4"),
        ("i1", None, 10.0, "f8"),
    ],
)
def test_packed_numbers_are_unpacked(tmp_path: Path, kind: str, scale: Any, offset: Any, expected: str) -> None:
    more = {"scale_factor": scale, "add_offset": offset, "_FillValue": np.dtype(kind).type(-1)}
    found = packed(tmp_path / "a.nc", np.array([3, -1, 4], kind), **{k: v for k, v in more.items() if v is not None})
    truth = np.array([3, np.nan, 4]) * (1 if scale is None else scale) + (0 if offset is None else offset)
    np.testing.assert_array_equal(found, truth.astype(expected))
    assert found.dtype == np.dtype(expected)
    assert (found.attrs["native_FillValue"], "scale_factor" in found.attrs) == (-1, False)


def test_integers_keep_what_is_missing_and_may_be_unsigned(tmp_path: Path) -> None:
    found = packed(tmp_path / "a.nc", np.array([1, -1], "i1"), _FillValue=np.int8(-1))
    assert (found.values.tolist(), found.attrs["_FillValue"]) == ([1, -1], -1)
    found = packed(tmp_path / "a.nc", np.array([1, -1], "i1"), _Unsigned="true")
    assert found.values.tolist() == [1, 255]


def test_groups_are_a_tree_and_see_the_dimensions_above_them(tmp_path: Path) -> None:
    path = tmp_path / "a.nc"
    with h5netcdf.File(path, "w") as file:
        file.dimensions = {"time": 4}
        time = file.create_variable("time", ("time",), "f8", data=np.arange(4.0))
        time.attrs["units"] = SINCE["units"]
        raw = file.create_group("science/raw")
        raw.create_variable("counts", ("time",), "i2", data=np.arange(4, dtype="i2"))
        raw.attrs["level"] = 0
    tree = read_netcdf(path)
    assert isinstance(tree, xr.DataTree)
    assert tree["science/raw/counts"].dims == ("time",)
    assert tree["science/raw"].attrs == {"level": 0, "rejected": {}}
    alone = read_netcdf(path, group="/science/raw")
    assert isinstance(alone, xr.Dataset)
    assert alone.tai.values.astype("i8")[0] == parse_utc(START)
    with pytest.raises(FormatError, match="no group science/none; there are raw"):
        read_netcdf(path, group="science/none")
    (granule,) = index_netcdf(path)
    assert granule.count == 4


def test_groups_with_times_of_their_own_lie_side_by_side(tmp_path: Path) -> None:
    path = tmp_path / "a.nc"
    with h5netcdf.File(path, "w") as file:
        for place, size in ((file, 2), (file.create_group("fast"), 6)):
            place.dimensions = {"time": size}
            place.create_variable("time", ("time",), "i4", data=np.arange(size)).attrs["units"] = SINCE["units"]
    tree = read_netcdf(path)
    assert {name: child.sizes["time"] for name, child in tree.children.items()} == {"root": 2, "fast": 6}


@pytest.mark.parametrize("block", [0, 512, 4096])
def test_plain_hdf5_has_dimensions_of_each_variable(tmp_path: Path, block: int) -> None:
    path = tmp_path / "a.mat"
    with h5py.File(path, "w", userblock_size=block) as file:
        file["x"] = np.arange(6, dtype=">i2").reshape(2, 3)
        file["x"].attrs["MATLAB_class"] = np.bytes_("int16")
        file["text"] = "größer"
        file["texts"] = np.array(["a", "bc"], object)
        file["state"] = np.array([0, 1], h5py.enum_dtype({"off": 0, "stand by": 1}))
        file["pair"] = np.array([(1, 2.5)], [("a", "i4"), ("b", "f8")])
        file["fixed"] = np.array([b"ab", b"c"], "S2")
        file["flag"] = np.array([True, False])
        file["complex"] = np.array([1 + 2j])
    assert FORMAT.recognises(path.read_bytes()[:32768], path)
    ds = only(path)
    assert (ds.x.dims, ds.x.dtype, ds.x.attrs["MATLAB_class"]) == (("x_1", "x_2"), np.dtype("i2"), "int16")
    assert ds.x.values.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert (ds.text.item(), ds.texts.values.tolist()) == ("größer", ["a", "bc"])
    assert (ds.state.values.tolist(), ds.state.attrs["flag_meanings"]) == ([0, 1], "off stand_by")
    assert (ds.pair_a.item(), ds.pair_b.item()) == (1, 2.5)
    assert ds.fixed.values.tolist() == ["ab", "c"]
    assert ds.flag.values.tolist() == [True, False]
    assert ds["complex"].values.tolist() == [1 + 2j]


def test_what_is_in_other_files_or_is_no_number_is_named_and_not_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["x"] = np.arange(3)
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["mine"] = [1.0]
        file["outside"] = h5py.ExternalLink("secret.h5", "/x")
        file["soft"] = h5py.SoftLink("/mine")
        file["twice"] = file["mine"]
        file["round"] = file["/"]
        layout = h5py.VirtualLayout((3,), "i8")
        layout[:] = h5py.VirtualSource(secret, "x", (3,))
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset("raw", (3,), "u1", external=[(secret, 0, 3)])
        file["reference"] = np.array([file["mine"].ref], h5py.ref_dtype)
        file["opaque"] = np.array([b"ab"], "V2")
        file.create_dataset("ragged", (1,), h5py.vlen_dtype("i4"))[0] = np.arange(2)
        file["nothing"] = h5py.Empty("f4")
    before = secret.stat().st_atime_ns
    ds = only(path)
    assert set(ds.data_vars) == {"mine"}
    skipped = dict(reason.split(": ", 1) for reason in ds.attrs["skipped"])
    assert skipped.pop("outside") == "a link to secret.h5 /x"
    assert skipped.pop("soft") == "a link to /mine"
    assert skipped.pop("twice") == "the same as /mine"
    assert "round" in skipped
    assert skipped["virtual"] == skipped["raw"] == "values in other files"
    assert set(skipped) == {"round", "virtual", "raw", "reference", "opaque", "ragged", "nothing"}
    assert secret.stat().st_atime_ns == before


def test_values_that_a_file_cannot_hold_are_refused_before_memory_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (10**9, 10**3), "f8", chunks=(100, 100), compression="gzip")
    with pytest.raises(FormatError, match="too many to be true"):
        read_netcdf(path)
    made = classic(tmp_path / "a.nc").read_bytes()
    for at, value in ((4, 2**31 - 1), (4, 10**6)):
        data = bytearray(made)
        struct.pack_into(">i", data, at, value)
        path.write_bytes(data)
        with pytest.raises(FormatError, match=r"a\.h5: .*bytes|a\.h5: .*ends at"):
            read_netcdf(path)


def test_texts_that_lie_about_their_length_are_refused_before_memory_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["texts"] = np.array(["first of them", "second"], object)
        file.attrs["note"] = "a note of some length"
    good = path.read_bytes()
    with h5py.File(path) as file:
        place = file["texts"].id.get_offset()
    for at in (place, good.index(b"note\0") - 200 + good[good.index(b"note\0") - 200 :].index(struct.pack("<I", 21))):
        data = bytearray(good)
        assert struct.unpack_from("<I", data, at)[0] in {13, 21}
        struct.pack_into("<I", data, at, 2**32 - 8)
        path.write_bytes(data)
        with pytest.raises(FormatError, match=r"4294967288 bytes|longer than the file"):
            read_netcdf(path)


@pytest.mark.parametrize("version", ["earliest", "latest"])
def test_a_fill_value_that_lies_about_its_length_is_refused(tmp_path: Path, version: str) -> None:
    path = tmp_path / "a.h5"
    kind = h5py.string_dtype()
    with h5py.File(path, "w", libver=version) as file:
        file.create_dataset("texts", (3,), kind, chunks=(2,), fillvalue="what is filled in")[0] = "text"
    assert only(path).texts.values.tolist() == ["text", "what is filled in", "what is filled in"]
    data = bytearray(path.read_bytes())
    lengths = [at for at in range(len(data) - 4) if data[at : at + 4] == struct.pack("<I", 17)]
    refused = []
    for at in lengths:
        path.write_bytes(data[:at] + struct.pack("<I", 2**31) + data[at + 4 :])
        try:
            read_netcdf(path)
        except FormatError as error:
            refused.append(str(error))
    said = "attribute _FillValue: a value of 2147483648 bytes" if version == "earliest" else "checksum"
    assert any(said in reason for reason in refused)


def test_a_heap_that_would_be_read_for_ever_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.attrs["note"] = "text"
    data = bytearray(path.read_bytes())
    heap = data.index(b"GCOL")
    struct.pack_into("<HHIQ", data, heap + 16 + 24, 0, 0, 0, 0)
    path.write_bytes(data)
    with pytest.raises(FormatError, match="heap object of 0 bytes"):
        read_netcdf(path)


def test_a_missing_file_is_no_format_error(tmp_path: Path) -> None:
    for function in (read_netcdf, index_netcdf):
        with pytest.raises(FileNotFoundError):
            function(tmp_path / "absent.nc")


@pytest.mark.parametrize(
    "data", [b"", b"CDF", b"CDF\x01", b"CDF\x05\0\0", b"CDF\x01" + b"\xff" * 90, b"\x89HDF\r\n\x1a\n"]
)
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.nc"
    path.write_bytes(data)
    for function in (read_netcdf, index_netcdf):
        with pytest.raises(FormatError, match=r"a\.nc"):
            function(path)


@pytest.mark.parametrize("kind", ["classic", "netcdf4", "old"])
def test_no_mutation_of_a_file_does_worse_than_a_format_error(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "mutant.nc"
    if kind == "classic":
        classic(path)
    elif kind == "netcdf4":
        netcdf4(path, b={"zlib": True})
    else:
        with h5py.File(path, "w", userblock_size=512) as file:
            file["texts"] = np.array(["first of them", "second"], object)
            file.create_dataset("x", data=np.arange(900).reshape(30, 30), chunks=(7, 7), compression="gzip")
            file.create_group("a/b").attrs["note"] = "text"
    for function, count in ((read_netcdf, 300), (index_netcdf, 100)):
        assert set(survive(function, path, count, seed=1, seconds=5)) == {"refused", "read"}


@pytest.mark.real
def test_no_other_file_is_recognised(real_data: Path) -> None:
    for path in real_data.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                assert not FORMAT.recognises(file.read(32768), path), path
