"""Space packets: by XTCE as the library reads them, by tables, by their headers alone; what is lost is counted."""

import csv
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from space_packet_parser.xarr import create_dataset

from ilrs_science.errors import FormatError, IlrsError
from ilrs_science.formats.ccsds import FORMAT, index_ccsds, read_ccsds
from ilrs_science.formats.ccsds.fields import unpack_bits
from ilrs_science.formats.ccsds.stream import cut
from ilrs_science.geometry.time import isot, parse_utc
from ilrs_science.simulate.space_packets import (
    EVENTS,
    FLAWS,
    HOUSEKEEPING,
    IMAGES,
    SCIENCE,
    simulate_packets,
    space_packet,
)
from ilrs_science.testing.mutation import survive

MAG_HEADER = {
    "SHCOARSE": 32, "PUS_SPARE1": 1, "PUS_VERSION": 3, "PUS_SPARE2": 4, "PUS_STYPE": 8, "PUS_SSUBTYPE": 8,
    "COMPRESSION": 1, "FOB_ACT": 1, "FIB_ACT": 1, "PRI_SENS": 1, "SPARE1": 4, "PRI_VECSEC": 3, "SEC_VECSEC": 3,
    "SPARE2": 2, "PRI_COARSETM": 32, "PRI_FNTM": 16, "SEC_COARSETM": 32, "SEC_FNTM": 16,
}  # fmt: skip
"""Fields of IMAP MAG's user data and their bits (imap_processing, P_MAG_SCI_NORM.xml)."""


def equal(found: xr.Dataset, truth: dict[str, Any]) -> None:
    """Assert that variables are those that were sent."""
    for name, values in truth.items():
        if name == "BODY":
            cuts = found["BODY_offsets"].values
            bodies = [found["BODY"].values[a:b].tobytes() for a, b in pairwise(cuts)]
            assert bodies == values
        else:
            told = found.tai.astype("i8") if name == "time" else found[name]
            np.testing.assert_array_equal(told, np.array(values), err_msg=name)


@pytest.mark.parametrize(("prefix", "flaws"), [(0, ()), (4, FLAWS), *[(0, (flaw,)) for flaw in FLAWS]])
def test_what_was_sent_is_read_and_what_was_lost_is_counted(
    tmp_path: Path, prefix: int, flaws: tuple[str, ...]
) -> None:
    made = simulate_packets(tmp_path, prefix=prefix, flaws=flaws, count=40)
    tree, put = read_ccsds(made.stream, made.xtce, prefix), made.flaws
    assert isinstance(tree, xr.DataTree)
    for apid, truth in made.truth.items():
        equal(tree[f"apid_{apid}"].to_dataset(), truth)
        assert ("prefix" in tree[f"apid_{apid}"]) == (prefix > 0)
    told = tree[f"apid_{HOUSEKEEPING}"].attrs
    assert (told["sequence_gaps"], told["missing_packets"]) == (put["gaps"], put["missing"])
    rejected = tree.attrs["rejected"]
    assert tree.attrs["skipped_bytes"] == put["garbage"]
    assert rejected.get("loss of synchronisation", 0) == (2 if "garbage" in flaws else 0)
    assert rejected.get("truncated packet", 0) == put["truncated"]
    assert rejected.get("idle packet", 0) == put["idle"]
    assert rejected.get("APID 999 is not in the definition", 0) == put["unknown"]
    assert tree[f"apid_{IMAGES}"].attrs["rejected"].get("segment of an incomplete unit", 0) == put["incomplete"]
    repeats = [child.attrs["rejected"].get("repeated packet", 0) for child in tree.children.values()]
    assert sum(repeats) == put["repeat"]


def test_parameters_have_units_descriptions_times_and_least_dtypes(tmp_path: Path) -> None:
    made = simulate_packets(tmp_path, flaws=())
    tree = read_ccsds(made.stream, made.xtce)
    ds = tree[f"apid_{HOUSEKEEPING}"].to_dataset()
    assert ds.tai.attrs["time_scale"] == "TAI"
    assert ds.TEMPERATURE.attrs == {"units": "deg_C", "long_name": "temperature"}
    assert {name: str(ds[name].dtype) for name in ("PKT_APID", "HEATER", "PRESSURE", "COUNT", "RATE")} == {
        "PKT_APID": "uint16", "HEATER": "bool", "PRESSURE": "float64", "COUNT": "uint64", "RATE": "float32",
    }  # fmt: skip
    assert str(tree[f"apid_{SCIENCE}"]["SAMPLE0"].dtype) == "int16"
    assert tree[f"apid_{IMAGES}"]["segments"].values.tolist() == [3] * 60


def test_without_a_definition_there_are_headers_and_bytes(tmp_path: Path) -> None:
    made = simulate_packets(tmp_path, flaws=("gap",), count=30)
    tree = read_ccsds(made.stream)
    ds = tree[f"apid_{SCIENCE}"].to_dataset()
    assert ds.data.dims == ("packet", "data_byte")
    assert ds.sequence_count.values.tolist() == [(2**14 - 10 + n) % 2**14 for n in range(30)]
    for name, value in {
        "version": 0,
        "type": 0,
        "secondary_header_flag": 1,
        "apid": SCIENCE,
        "sequence_flags": 3,
    }.items():
        assert (ds[name] == value).all()
    assert (ds.length == ds.sizes["data_byte"] - 1).all()
    ragged, events = tree[f"apid_{EVENTS}"].to_dataset(), made.truth[EVENTS]["BODY"]
    assert np.diff(ragged.data_offsets).tolist() == [len(body) + 15 for body in events]
    assert ragged.data.values[15 : ragged.data_offsets.values[1]].tobytes() == events[0]


def test_a_table_is_a_definition_and_so_is_one_for_each_apid(tmp_path: Path) -> None:
    made = simulate_packets(tmp_path, flaws=("gap",), count=30)
    truth = {name: values for name, values in made.truth[SCIENCE].items() if name != "SERIAL"}
    tree = read_ccsds(made.stream, {SCIENCE: made.table, HOUSEKEEPING: made.xtce})
    equal(tree[f"apid_{SCIENCE}"].to_dataset(), truth)
    equal(tree[f"apid_{HOUSEKEEPING}"].to_dataset(), made.truth[HOUSEKEEPING])
    assert tree.attrs["rejected"] == {
        f"APID {IMAGES} is not in the definition": 30,
        f"APID {EVENTS} is not in the definition": 30,
    }
    alone = read_ccsds(made.stream, made.table)
    assert isinstance(alone, xr.Dataset)
    equal(alone, truth)
    assert alone.attrs["rejected"] == {**tree.attrs["rejected"], f"APID {HOUSEKEEPING} is not in the definition": 27}


def clocks(folder: Path, *times: tuple[int, int, int]) -> tuple[Path, Path]:
    """Write packets with these days, ms and us, and a table of them."""
    path, table = folder / "clocks.tlm", folder / "clocks.csv"
    data = [day.to_bytes(2) + ms.to_bytes(4) + us.to_bytes(2) for day, ms, us in times]
    path.write_bytes(b"".join(space_packet(5, n, one) for n, one in enumerate(data)))
    table.write_text("name,data_type,bit_length\nDAY,uint,16\nMS,uint,32\nUS,uint,16\n")
    return path, table


def test_a_day_segmented_time_knows_leap_seconds(tmp_path: Path) -> None:
    last = 21549  # 2016-12-31, days from 1958
    path, table = clocks(tmp_path, (last, 86_399_999, 999), (last, 86_400_500, 0), (last + 1, 0, 1))
    found = read_ccsds(path, table, time=("DAY", "MS", "US"))
    assert [isot(int(time)) for time in found.tai.values.astype("i8")] == [
        "2016-12-31T23:59:59.999999Z", "2016-12-31T23:59:60.500Z", "2017-01-01T00:00:00.000001Z",
    ]  # fmt: skip


def test_times_that_cannot_be_are_counted_and_no_time_is_guessed(tmp_path: Path) -> None:
    path, table = clocks(tmp_path, (20000, 5, 6), (20000, 86_400_000, 0), (20000, 5, 1000), (0, 0, 0), (65535, 0, 0))
    found = read_ccsds(path, table, time=("DAY", "MS", "US"))
    assert found.sizes["time"] == 1
    assert found.attrs["rejected"] == {"time outside 1972 to 2124, or of no such day": 4}
    assert read_ccsds(path, table, time=("DAY", "MS")).sizes["time"] == 2
    for names in ((), ("DAY",), ("DOY", "MSEC", "USEC")):
        assert dict(read_ccsds(path, table, time=names).sizes) == {"packet": 5}


@pytest.mark.parametrize("how", ["bytes", "xtce", "table"])
def test_an_apid_of_which_no_unit_is_whole_does_not_cost_the_others(tmp_path: Path, how: str) -> None:
    made = simulate_packets(tmp_path, flaws=(), count=20)
    packets = cut(made.stream.read_bytes())
    science = packets.apids == SCIENCE
    pieces = [packets.data[s : s + n] for s, n in zip(packets.starts[science], packets.sizes[science], strict=True)]
    made.stream.write_bytes(b"".join([*pieces, space_packet(HOUSEKEEPING, 0, b"the first segment", flags=1)]))
    found = read_ccsds(made.stream, {"bytes": None, "xtce": made.xtce, "table": made.table}[how])
    assert isinstance(found, xr.Dataset)
    assert next(iter(found.sizes.values())) == 20
    assert found.attrs["rejected"] == {"segment of an incomplete unit": 1}


def test_the_index_counts_packets_of_every_apid(tmp_path: Path) -> None:
    made = simulate_packets(tmp_path, flaws=("idle",), count=25)
    found = {one.instrument: (one.count, one.start, one.stop) for one in index_ccsds(made.stream)}
    assert found == {f"APID {apid}": (75 if apid == IMAGES else 25, 0, 0) for apid in (301, 302, 303, 304)}
    made.stream.write_bytes(space_packet(2047, 0, b"idle"))
    with pytest.raises(FormatError, match="all of them idle"):
        index_ccsds(made.stream)
    with pytest.raises(FormatError, match="no packet could be decoded"):
        read_ccsds(made.stream)


def test_options_and_files_that_make_no_sense_are_refused_by_name(tmp_path: Path) -> None:
    made = simulate_packets(tmp_path, flaws=(), count=20)
    with pytest.raises(IlrsError, match="prefix=-1"):
        read_ccsds(made.stream, prefix=-1)
    with pytest.raises(FormatError, match="no container 'Nothing'"):
        read_ccsds(made.stream, made.xtce, root="Nothing")
    with pytest.raises(FileNotFoundError):
        read_ccsds(tmp_path / "absent.tlm")
    with pytest.raises(FileNotFoundError):
        read_ccsds(made.stream, tmp_path / "absent.xml")
    (tmp_path / "empty.tlm").write_bytes(b"")
    with pytest.raises(FormatError, match=r"empty\.tlm: byte 0: no space packets"):
        read_ccsds(tmp_path / "empty.tlm")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no column"),
        ("a,b\n1,2\n", "no column"),
        ("name,data_type,bit_length\n", "no field"),
        ("name,data_type,bit_length\nA,uint,8\nA,uint,8\n", "two fields 'A'"),
        ("name,data_type,bit_length\nA,uint,65\n", "uint of 65 bits"),
        ("name,data_type,bit_length\nA,float,24\n", "float of 24 bits"),
        ("name,data_type,bit_length\nA,complex,8\n", "line 2: KeyError"),
        ("name,data_type,bit_length\nA,uint,many\n", "line 2: ValueError"),
        ("name,data_type,bit_length\nA,uint,-8\n", "uint of -8 bits"),
        ("name,data_type,bit_length\nA,uint,9999999999999\n", "bits at bit 48 cannot be read"),
        ("Mnemonic,Type,Start Byte,Start Bit,Data Size\nA,U21,6,0,9\n", "little-endian uint of 9 bits"),
        ("Mnemonic,Type,Start Byte,Start Bit,Data Size\nA,U13,6,0,16\n", "type 'U13'"),
    ],
)
def test_a_table_that_lies_is_refused_by_name(tmp_path: Path, text: str, reason: str) -> None:
    made = simulate_packets(tmp_path, flaws=(), count=20)
    made.table.write_text(text)
    with pytest.raises(FormatError, match=rf"science\.csv.*{reason}"):
        read_ccsds(made.stream, made.table)


@pytest.mark.parametrize("how", ["bytes", "xtce", "table", "index"])
def test_no_damage_makes_anything_but_packets_or_a_format_error(tmp_path: Path, how: str) -> None:
    made = simulate_packets(tmp_path, prefix=4 * (how == "table"), count=20)
    reads = {
        "bytes": read_ccsds,
        "xtce": lambda path: read_ccsds(path, dict.fromkeys((HOUSEKEEPING, SCIENCE, IMAGES), made.xtce)),
        "table": lambda path: read_ccsds(path, made.table, prefix=4),
        "index": index_ccsds,
    }
    outcomes = survive(reads[how], made.stream, 300, seed=1)
    assert set(outcomes) <= {"refused", "read"}
    assert outcomes["read"] > 200


def test_files_of_packets_are_recognised_and_others_not(tmp_path: Path) -> None:
    made = simulate_packets(tmp_path, flaws=FLAWS)
    assert FORMAT.recognises(made.stream.read_bytes()[:32768], made.stream)
    path = tmp_path / "other"
    for data in (b"", b"\x08", bytes(999), b"text\n" * 99, b"\x1f\x8b\x08\x00" + bytes(99), bytes(range(256)) * 9):
        path.write_bytes(data)
        assert not FORMAT.recognises(data, path)


def facts(real_data: Path, family: str, name: str) -> tuple[Path, dict[str, Any]]:
    """Return a real file and what is known of it."""
    sheets = json.loads((real_data / "facts.json").read_text())[family]
    sheet = next(sheet for sheet in sheets if name in sheet["file"])
    return real_data / sheet["file"], sheet["facts"]


@pytest.mark.real
def test_jpss_agrees_with_the_data_sheet_with_the_library_and_with_its_table(real_data: Path) -> None:
    path, sheet = facts(real_data, "ccsds/jpss", ".DAT1")
    xtce, table = path.parent / "jpss1_geolocation_xtce_v1.xml", path.parent / "ccsdspy_jpss1_geolocation.csv"
    found = read_ccsds(path, xtce)
    assert (found.sizes["time"], found.attrs["sequence_gaps"], found.attrs["rejected"]) == (sheet["packets"], 0, {})
    assert found.SRC_SEQ_CTR.values[[0, -1]].tolist() == sheet["sequence_count"]
    assert [isot(int(time)) for time in found.tai.values.astype("i8")[[0, -1]]] == [
        f"{sheet[key]}Z".replace("5260", "5260") for key in ("first_time", "last_time")
    ]
    position = np.stack([found[f"ADGPSPOS{axis}"] for axis in "XYZ"], axis=1)
    velocity = np.stack([found[f"ADGPSVEL{axis}"] for axis in "XYZ"], axis=1)
    quaternion = np.stack([found[f"ADCFAQ{number}"] for number in "1234"], axis=1)
    assert position[0].tolist() == sheet["first_position_m"]
    assert position[-1].tolist() == sheet["last_position_m"]
    np.testing.assert_allclose(velocity[0], sheet["first_velocity_m_s"], atol=5e-5)
    np.testing.assert_allclose(quaternion[0], sheet["first_quaternion"], atol=5e-7)
    radius = np.linalg.norm(position.astype(float), axis=1)
    for key, value in (("min", radius.min()), ("max", radius.max()), ("mean", radius.mean())):
        assert value == pytest.approx(sheet["radius_m"][key], abs=5e-4)
    assert found.ADGPSPOSX.attrs["units"] == "m"
    by_table, (library,) = read_ccsds(path, table), create_dataset(path, xtce).values()
    for name, values in library.items():
        assert (found[name].dtype, found[name].values.tobytes()) == (values.dtype, values.values.tobytes()), name
        if name in by_table:
            np.testing.assert_array_equal(by_table[name], values)
    (indexed,) = index_ccsds(path)
    assert (indexed.count, indexed.instrument) == (sheet["packets"], "APID 11")


@pytest.mark.real
def test_cygnss_splits_into_the_files_of_its_apids(real_data: Path) -> None:
    path, sheet = facts(real_data, "ccsds/cygnss", "first101pkts")
    tree, packets = read_ccsds(path), cut(path.read_bytes())
    assert packets.starts.size == sheet["packets"]
    assert (tree.attrs["skipped_bytes"], tree.attrs["rejected"]) == (sheet["bytes_left"], {})
    for apid, count in sheet["packets_per_apid"].items():
        child = tree[f"apid_{apid}"]
        assert (child.sizes["packet"], child.attrs["sequence_gaps"]) == (count, sheet["sequence_gaps_per_apid"][apid])
        assert [child.sizes["data_byte"] + 6] == sheet["packet_bytes_per_apid"][apid]
        split = path.parent / f"apid{int(apid):05}.tlm"
        chosen = packets.apids == int(apid)
        pieces = [packets.data[s : s + n] for s, n in zip(packets.starts[chosen], packets.sizes[chosen], strict=True)]
        assert b"".join(pieces) == split.read_bytes()
        xr.testing.assert_identical(read_ccsds(split).drop_attrs(), child.to_dataset().drop_attrs())


@pytest.mark.real
def test_definitions_by_hand_give_positions_in_orbit(real_data: Path) -> None:
    path, _ = facts(real_data, "ccsds/cygnss", "first101pkts")
    defs = path.parent / "defs"
    tree = read_ccsds(path, {394: defs / "ENG_PVT.csv", 392: defs / "ENG_ADCS.csv", 384: defs / "ENG_LZ.csv"})
    ds = tree["apid_394"].to_dataset()
    assert (ds.ENG_PVT_HDR_APID == 394).all()
    assert (ds.ENG_PVT_HDR_YEAR == 2022).all()
    position = np.stack([ds[f"DDMI_PVT_SCPOS_{axis}"] for axis in "XYZ"]).astype(float)
    altitude = np.linalg.norm(position, axis=0) - 6_371_000
    assert ((altitude > 480_000) & (altitude < 560_000)).all()
    assert ds.DDMI_PVT_SCPOS_X.attrs == {"long_name": "Spacecraft Position X", "units": "m"}


def mag(real_data: Path, name: str) -> tuple[xr.DataTree | xr.Dataset, list[dict[str, str]], dict[str, Any]]:
    """Return packets of IMAP MAG and the table that is expected of them."""
    path, sheet = facts(real_data, "imap_mag", f"{name}_test_data.pkts")
    with (path.parent / f"mag_{name.replace('l1', 'l1a')}_test_output.csv").open() as file:
        return read_ccsds(path), list(csv.DictReader(file)), sheet


@pytest.mark.real
def test_imap_mag_headers_are_those_expected(real_data: Path) -> None:
    tree, rows, sheet = mag(real_data, "l0")
    numbers = dict.fromkeys(sheet["packets_per_apid"], 0)
    for row in rows:
        child, number = tree[f"apid_{row['PHAPID']}"], numbers[row["PHAPID"]]
        numbers[row["PHAPID"]] += 1
        fields = unpack_bits(child["data"].values[number : number + 1], 0, list(MAG_HEADER.values()))[0, 0]
        found = dict(zip(MAG_HEADER, fields.tolist(), strict=True))
        found |= {"PRI_VECSEC": 2 ** found["PRI_VECSEC"], "SEC_VECSEC": 2 ** found["SEC_VECSEC"]}
        found |= {"PHSEQCNT": int(child["sequence_count"][number]), "PHDLEN": int(child["length"][number])}
        assert {key: found[key] for key in row if key in found} == {key: int(row[key]) for key in row if key in found}
        assert row["CCSDS_HEX"].endswith(child["data"].values[number, :-1].tobytes().hex().upper())
    assert numbers == sheet["packets_per_apid"]


@pytest.mark.real
def test_imap_mag_vectors_are_those_expected(real_data: Path) -> None:
    ds, rows, sheet = mag(real_data, "l1")
    header = unpack_bits(ds.data.values, 0, list(MAG_HEADER.values()))[:, 0]
    clocks = {name: header[:, place] for place, name in enumerate(MAG_HEADER)}
    count = int((clocks["PUS_SSUBTYPE"][0] + 1) * 2 ** clocks["PRI_VECSEC"][0])
    start, group = sum(MAG_HEADER.values()), (16, 16, 16, 2)
    signed = (True, True, True, False)
    vectors = unpack_bits(ds.data.values, start, group, 2 * count, signed=signed)
    both = np.concatenate([vectors[:, :count], vectors[:, count:]], axis=2).reshape(-1, 8)
    times = np.stack([clocks[name] for name in ("PRI_COARSETM", "PRI_FNTM", "SEC_COARSETM", "SEC_FNTM")], axis=1)
    found = np.hstack([np.repeat(ds.sequence_count.values[:, None], count, 0), both, np.repeat(times, count, 0)])
    assert len(found) == 96
    assert found.tolist() == [[int(value) for value in row.values()] for row in rows]
    assert ds.sequence_count.values[[0, -1]].tolist() == sheet["sequence_count"]


@pytest.mark.real
def test_no_damage_of_a_real_file_makes_anything_else(real_data: Path, tmp_path: Path) -> None:
    path, _ = facts(real_data, "ccsds/cygnss", "first101pkts")
    copy = tmp_path / "copy.tlm"
    copy.write_bytes(path.read_bytes())
    assert set(survive(read_ccsds, copy, 300, seed=1)) <= {"refused", "read"}


@pytest.mark.real
def test_no_other_real_file_is_taken_for_packets(real_data: Path) -> None:
    for path in sorted(real_data.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                head = file.read(32768)
            assert FORMAT.recognises(head, path) == (path.suffix in {".tlm", ".DAT1", ".pkts"}), path


def test_times_are_those_that_were_sent(tmp_path: Path) -> None:
    made = simulate_packets(tmp_path, flaws=(), count=20)
    time = read_ccsds(made.stream, made.xtce)[f"apid_{SCIENCE}"].tai.values.astype("i8")
    assert time.dtype == np.int64
    assert (np.diff(time) > 0).all()
    assert 0 <= time[0] - parse_utc("2031-03-01T00:00:00Z") < 10**9
