"""XTCE: applied to all packets at once as the library applies it to each, and refused where it would harm."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from space_packet_parser import ccsds_generator, load_xtce
from space_packet_parser.xarr import create_dataset

from ilrs_science.errors import FormatError
from ilrs_science.formats.ccsds import read_ccsds
from ilrs_science.simulate.space_packets import (
    EVENTS,
    HOUSEKEEPING,
    MODES,
    SCIENCE,
    simulate_packets,
    space_packet,
)
from ilrs_science.testing.mutation import survive


def equal(found: xr.Dataset, truth: dict[str, Any]) -> None:
    for name, values in truth.items():
        told = found.tai.astype("i8") if name == "time" else found[name]
        np.testing.assert_array_equal(told, values, err_msg=name)


def container(name: str, entries: str = "", base: str = "", *criteria: tuple[str, str, str]) -> str:
    """Return a container that inherits from another one where parameters compare with values."""
    compared = "".join(
        f'<Comparison parameterRef="{parameter}" comparisonOperator="{sign}" value="{value}"/>'
        for parameter, sign, value in criteria
    )
    inherits = (
        f'<BaseContainer containerRef="{base}"><RestrictionCriteria><ComparisonList>{compared}</ComparisonList>'
        "</RestrictionCriteria></BaseContainer>"
    )
    inside = f"<EntryList>{entries}</EntryList>{inherits if base else ''}"
    return f'<SequenceContainer name="{name}">{inside}</SequenceContainer>'


def entry(parameter: str) -> str:
    return f'<ParameterRefEntry parameterRef="{parameter}"/>'


def with_containers(path: Path, text: str, *containers: str) -> None:
    path.write_text(text.replace("</ContainerSet>", "".join(containers) + "</ContainerSet>"))


KINDS = {
    "MIL": '<FloatDataEncoding sizeInBits="32" encoding="MILSTD_1750A"/>',
    "BIT": '<IntegerDataEncoding sizeInBits="1"/>',
    "HALF": '<FloatDataEncoding sizeInBits="16"/>',
    "SWAPPED": '<FloatDataEncoding sizeInBits="32" byteOrder="leastSignificantByteFirst"/>',
    "LITTLE": '<IntegerDataEncoding sizeInBits="24" encoding="signed" byteOrder="leastSignificantByteFirst"/>',
    "LONG": '<IntegerDataEncoding sizeInBits="63" encoding="twosComplement"/>',
    "STEPS": '<IntegerDataEncoding sizeInBits="8"><DefaultCalibrator><SplineCalibrator order="0" extrapolate="true">'
    '<SplinePoint raw="10" calibrated="1.5"/><SplinePoint raw="200" calibrated="-2"/></SplineCalibrator>'
    "</DefaultCalibrator></IntegerDataEncoding>",
    "CUBIC": '<IntegerDataEncoding sizeInBits="40"><DefaultCalibrator><PolynomialCalibrator>'
    '<Term exponent="3" coefficient="1e-20"/><Term exponent="1" coefficient="0.3"/></PolynomialCalibrator>'
    "</DefaultCalibrator></IntegerDataEncoding>",
}
CONTEXT = (
    '<IntegerDataEncoding sizeInBits="8"><ContextCalibratorList><ContextCalibrator><ContextMatch><Comparison '
    'parameterRef="STEPS" comparisonOperator="&gt;" value="0"/></ContextMatch><Calibrator>'
    '<PolynomialCalibrator><Term exponent="1" coefficient="2.5"/></PolynomialCalibrator></Calibrator>'
    "</ContextCalibrator></ContextCalibratorList></IntegerDataEncoding>"
)


@pytest.mark.parametrize("kinds", [KINDS, {**KINDS, "CONTEXT": CONTEXT}])
@pytest.mark.parametrize("raw", [False, True])
def test_every_kind_of_number_is_what_the_library_says(tmp_path: Path, kinds: dict[str, str], raw: bool) -> None:
    made, rng = simulate_packets(tmp_path, flaws=(), count=20), np.random.default_rng(3)
    types = "".join(
        f'<FloatParameterType name="{n}_T">{encoding}</FloatParameterType>' for n, encoding in kinds.items()
    )
    names = "".join(f'<Parameter name="{name}" parameterTypeRef="{name}_T"/>' for name in kinds)
    text = made.xtce.read_text().replace("</ParameterTypeSet>", f"{types}</ParameterTypeSet>")
    text = text.replace("</ParameterSet>", f"{names}</ParameterSet>")
    entries = "".join(map(entry, kinds))
    with_containers(made.xtce, text, container("ALL", entries, "CCSDSPacket", ("PKT_APID", "==", "99")))
    bits = sum(int(encoding.split('sizeInBits="')[1].split('"')[0]) for encoding in kinds.values())
    made.stream.write_bytes(b"".join(space_packet(99, n, rng.bytes(bits // 8)) for n in range(50)))
    found, definition = read_ccsds(made.stream, made.xtce, raw=raw), load_xtce(made.xtce)
    with made.stream.open("rb") as file:
        parsed = [definition.parse_bytes(packet) for packet in ccsds_generator(file)]
    for name in kinds:
        expected = [packet[name].raw_value if raw else packet[name] for packet in parsed]
        np.testing.assert_array_equal(found[name].astype(float), np.array(expected, float), err_msg=name)
    assert [found[name].dtype for name in ("HALF", "SWAPPED", "MIL")] == [np.float16, np.float32, np.float64]


def test_bytes_whose_number_is_sent_with_them_are_taken_whole(tmp_path: Path) -> None:
    made = simulate_packets(tmp_path, flaws=(), count=400)
    text = made.xtce.read_text()
    binary = "<BinaryDataEncoding><SizeInBits><FixedValue>48</FixedValue></SizeInBits></BinaryDataEncoding>"
    kind = f'<BinaryParameterType name="SIX_T">{binary}</BinaryParameterType></ParameterTypeSet>'
    text = text.replace("</ParameterTypeSet>", kind)
    text = text.replace("</ParameterSet>", '<Parameter name="SIX" parameterTypeRef="SIX_T"/></ParameterSet>')
    made.xtce.write_text(
        text.replace('<ParameterRefEntry parameterRef="LABEL">', '<ParameterRefEntry parameterRef="SIX">')
    )
    ds, truth = read_ccsds(made.stream, made.xtce)[f"apid_{EVENTS}"].to_dataset(), made.truth[EVENTS]
    assert [row.tobytes().decode() for row in ds.SIX.values] == truth["LABEL"]
    assert ds.BODY.values.tobytes() == b"".join(truth["BODY"])
    assert np.diff(ds.BODY_offsets).tolist() == truth["LENGTH"] == ds.LENGTH.values.tolist()


def test_values_are_those_of_the_library_raw_and_derived(tmp_path: Path) -> None:
    made = simulate_packets(tmp_path, flaws=("gap",), count=30)
    for raw in (False, True):
        tree = read_ccsds(made.stream, made.xtce, raw=raw)
        keep = {
            "packet_filter": lambda packet: packet.apid != EVENTS,
            "generator_kwargs": {"combine_segmented_packets": True},
        }
        for apid, expected in create_dataset(made.stream, made.xtce, use_raw_values=raw, **keep).items():
            found = tree[f"apid_{apid}"]
            for name in set(expected) - {"PIXELS"}:
                np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    mode = tree[f"apid_{HOUSEKEEPING}"]["MODE"].attrs
    assert dict(zip(mode["flag_values"], mode["flag_meanings"].split(), strict=True)) == MODES
    assert "units" not in tree[f"apid_{HOUSEKEEPING}"]["TEMPERATURE"].attrs


def test_packets_part_where_a_container_inherits_from_theirs(tmp_path: Path) -> None:
    made = simulate_packets(tmp_path, flaws=(), count=40)
    text, truth = made.xtce.read_text(), made.truth[HOUSEKEEPING]
    warm = (truth["MODE"] == "BURST") & (truth["TEMPERATURE"] >= 0)
    assert warm.any()
    criteria = ("MODE", "==", "BURST"), ("TEMPERATURE", "&gt;=", "0")
    with_containers(made.xtce, text, container("WARM", "", "HOUSEKEEPING", *criteria))
    equal(read_ccsds(made.stream, made.xtce)[f"apid_{HOUSEKEEPING}"].to_dataset(), truth)
    with_containers(made.xtce, text, container("WARM", entry("GAIN"), "HOUSEKEEPING", *criteria))
    found = read_ccsds(made.stream, made.xtce)[f"apid_{HOUSEKEEPING}"]
    assert found.attrs["rejected"] == {"length is not that of the definition": warm.sum()}
    equal(found.to_dataset(), {name: np.array(values)[~warm] for name, values in truth.items()})


def test_layouts_of_one_apid_lie_below_it(tmp_path: Path) -> None:
    made = simulate_packets(tmp_path, flaws=(), count=40)
    text = made.xtce.read_text().replace('<ParameterRefEntry parameterRef="GAIN"></ParameterRefEntry>', "")
    text = text.replace("</ParameterSet>", '<Parameter name="OTHER" parameterTypeRef="GAIN_T"/></ParameterSet>')
    up = container("UP", entry("GAIN"), "SCIENCE", ("SAMPLE0", "&gt;=", "0"))
    down = container("DOWN", entry("OTHER"), "SCIENCE", ("SAMPLE0", "&lt;", "0"))
    with_containers(made.xtce, text, up, down)
    apid, truth = read_ccsds(made.stream, made.xtce)[f"apid_{SCIENCE}"], made.truth[SCIENCE]
    assert set(apid.children) == {"UP", "DOWN"}
    np.testing.assert_array_equal(apid["UP/GAIN"], truth["GAIN"][truth["SAMPLE0"] >= 0])
    np.testing.assert_array_equal(apid["DOWN/OTHER"], truth["GAIN"][truth["SAMPLE0"] < 0])
    assert (apid.attrs["sequence_gaps"], apid["UP"].attrs) == (0, {"rejected": {}})
    with_containers(made.xtce, text, up, up.replace("UP", "TWICE"), down)
    rejected = read_ccsds(made.stream, made.xtce)[f"apid_{SCIENCE}"].attrs["rejected"]
    assert rejected == {f"APID {SCIENCE} has more than one layout in the definition": (truth["SAMPLE0"] >= 0).sum()}


def test_values_without_a_meaning_are_counted_and_the_last_point_of_a_spline_has_one(tmp_path: Path) -> None:
    made = simulate_packets(tmp_path, flaws=(), count=40)
    text, truth = made.xtce.read_text(), made.truth[HOUSEKEEPING]
    made.xtce.write_text(text.replace('value="6" label="BURST"', 'value="7" label="BURST"'))
    ds = read_ccsds(made.stream, made.xtce)[f"apid_{HOUSEKEEPING}"]
    lost = int((truth["MODE"] == "BURST").sum())
    assert ds.attrs["rejected"] == {"MODE has a value without a meaning": lost}
    assert ds["MODE"].values.tolist() == truth["MODE"][truth["MODE"] != "BURST"].tolist()
    top = read_ccsds(made.stream, made.xtce, raw=True)[f"apid_{HOUSEKEEPING}"]["POTENTIAL"].values.max()
    made.xtce.write_text(text.replace('raw="1023.0" calibrated="30.0"', f'raw="{top}" calibrated="30.0"'))
    found = read_ccsds(made.stream, made.xtce)[f"apid_{HOUSEKEEPING}"]
    assert found["POTENTIAL"].values.max() == 30.0
    assert found.attrs["rejected"] == {}


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("<SpaceSystem xm", '<!DOCTYPE x [<!ENTITY a "b">]><SpaceSystem xm', "DTDForbidden|EntitiesForbidden"),
        ('containerRef="Clock"', 'containerRef="HOUSEKEEPING"', "holds itself"),
        ('containerRef="CCSDSPacket"', 'containerRef="SCIENCE"', "holds itself"),
        ('exponent="2"', 'exponent="999999999"', "exponent of 999999999"),
        (
            "</ContainerSet>",
            "".join(container(f"B{n}", f'<ContainerRefEntry containerRef="B{n - 1}"/>' * 10) for n in range(1, 9))
            + container("B0", entry("DOY"))
            + "</ContainerSet>",
            "too many",
        ),
        ("</SpaceSystem>", "", "damaged XTCE"),
        ('parameterTypeRef="DOY_T"', 'parameterTypeRef="NONE"', "KeyError"),
        ("SpaceSystem", "SpaceSistem", None),
    ],
)
def test_a_definition_that_would_harm_or_is_damaged_is_refused_by_name(
    tmp_path: Path, old: str, new: str, reason: str | None
) -> None:
    made = simulate_packets(tmp_path, flaws=(), count=20)
    text = made.xtce.read_text()
    assert old in text
    made.xtce.write_text(text.replace(old, new))
    if reason is None:  # the name of the root does not matter
        assert read_ccsds(made.stream, made.xtce).children
    else:
        with pytest.raises(FormatError, match=rf"definition\.xml.*({reason})"):
            read_ccsds(made.stream, made.xtce)


@pytest.mark.parametrize("which", ["xtce", "table"])
def test_no_damage_of_a_definition_does_either(tmp_path: Path, which: str) -> None:
    made = simulate_packets(tmp_path, flaws=(), count=20)

    def read(path: Path) -> object:
        try:
            return read_ccsds(made.stream, path)
        except FormatError as error:
            if "no packet could be decoded" in str(error):  # a definition in order, of something else
                return xr.Dataset()
            raise

    outcomes = survive(read, getattr(made, which), 300, seed=1)
    assert set(outcomes) == {"refused", "read"}
