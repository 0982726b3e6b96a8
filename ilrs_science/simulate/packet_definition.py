"""The definition of the simulated space packets, in XTCE (CCSDS 660.1-G-2) and as a table."""

from __future__ import annotations

from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

HOUSEKEEPING, SCIENCE, EVENTS, IMAGES = 301, 302, 303, 304
"""APIDs. Events have lengths of their own; images come in segments."""
MODES = {0: "OFF", 1: "SAFE", 3: "NOMINAL", 6: "BURST"}
POINTS = ((0.0, -5.0), (100.0, 0.0), (600.0, 7.5), (1023.0, 30.0))
"""Of the calibration of POTENTIAL, V over counts."""
SAMPLES = 5
"""Samples in a packet of science."""
SEGMENTS, SEGMENT = 3, 40
"""Segments of an image, and bytes in one."""

_HEADER = {
    "VERSION": 3,
    "TYPE": 1,
    "SEC_HDR_FLG": 1,
    "PKT_APID": 11,
    "SEQ_FLGS": 2,
    "SRC_SEQ_CTR": 14,
    "PKT_LEN": 16,
}


@dataclass(frozen=True)
class _Parameter:
    name: str
    kind: str
    """Of the type: Integer, Float, and so on."""
    encoding: str
    unit: str = ""
    more: str = ""
    """What the type holds besides."""


def xtce() -> str:
    """Return the definition of all packets in XTCE."""
    containers = {
        "CCSDSPacket": [_Parameter(name, "Integer", _integer(bits)) for name, bits in _HEADER.items()],
        "Clock": [
            _Parameter("DOY", "Integer", _integer(16), "day"),
            _Parameter("MSEC", "Integer", _integer(32), "ms"),
            _Parameter("USEC", "Integer", _integer(16), "us"),
        ],
        "HOUSEKEEPING": _housekeeping(),
        "SCIENCE": [
            *(
                _Parameter(f"SAMPLE{n}", "Integer", _integer(13, encoding="twosComplement"), "nT")
                for n in range(SAMPLES)
            ),
            _Parameter("STATUS", "Integer", _integer(7)),
            _Parameter("SERIAL", "Integer", _integer(16, byteOrder="leastSignificantByteFirst")),
            _Parameter("GAIN", "Float", _element("FloatDataEncoding", sizeInBits=64)),
        ],
        "EVENTS": _events(),
        "IMAGES": [_Parameter("PIXELS", "Binary", _binary(_element("FixedValue", 8 * SEGMENTS * SEGMENT)))],
    }
    every = [parameter for members in containers.values() for parameter in members]
    sets = (
        _element("ParameterTypeSet", *map(_type, every)),
        _element("ParameterSet", *(_declaration(one) for one in every)),
        _element("ContainerSet", *(_container(name, members) for name, members in containers.items())),
    )
    system = {"xmlns": "http://www.omg.org/space/xtce", "name": "Simulated"}
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + _element(
        "SpaceSystem", _element("TelemetryMetaData", *sets), **system
    )


def table() -> str:
    """Return the fields of the packets of science as a table of ccsdspy, with blanks around the names of columns."""
    fields = [("DOY", "uint", 16), ("MSEC", "uint", 32), ("USEC", "uint", 16)]
    fields += [(f"SAMPLE{number}", "int", 13) for number in range(SAMPLES)]
    fields += [("STATUS", "uint", 7), ("SERIAL_BYTES", "str", 16), ("GAIN", "float", 64)]
    return "name ,data_type , bit_length\n" + "".join(f"{name},{kind},{bits}\n" for name, kind, bits in fields)


def _element(tag: str, *inside: str | int, **attributes: str | float) -> str:
    given = "".join(f" {name}={quoteattr(str(value))}" for name, value in attributes.items())
    content = "\n".join(map(str, inside))
    return f"<{tag}{given}>{content}</{tag}>"


def _integer(bits: int, *inside: str, **attributes: str) -> str:
    return _element("IntegerDataEncoding", *inside, sizeInBits=bits, **{"encoding": "unsigned", **attributes})


def _polynomial(*coefficients: float) -> str:
    terms = [_element("Term", exponent=power, coefficient=factor) for power, factor in enumerate(coefficients)]
    return _element("DefaultCalibrator", _element("PolynomialCalibrator", *terms))


def _binary(size: str) -> str:
    return _element("BinaryDataEncoding", _element("SizeInBits", size))


def _housekeeping() -> list[_Parameter]:
    points = [_element("SplinePoint", raw=raw, calibrated=value) for raw, value in POINTS]
    spline = _element("DefaultCalibrator", _element("SplineCalibrator", *points, order=1))
    labels = [_element("Enumeration", value=value, label=label) for value, label in MODES.items()]
    line = _integer(12, _polynomial(-20.5, 0.125), encoding="twosComplement")
    return [
        _Parameter("MODE", "Enumerated", _integer(3), "", _element("EnumerationList", *labels)),
        _Parameter("HEATER", "Boolean", _integer(1)),
        _Parameter("TEMPERATURE", "Float", line, "deg_C"),
        _Parameter("POTENTIAL", "Float", _integer(10, spline), "V"),
        _Parameter("PRESSURE", "Float", _integer(14, _polynomial(3.0, 0.5, 0.25)), "Pa"),
        _Parameter("COUNT", "Integer", _integer(40)),
        _Parameter("RATE", "Float", _element("FloatDataEncoding", sizeInBits=32), "1/s"),
    ]


def _events() -> list[_Parameter]:
    size = _element("SizeInBits", _element("Fixed", _element("FixedValue", 48)))
    length = _element("ParameterInstanceRef", parameterRef="LENGTH") + _element(
        "LinearAdjustment", slope=8, intercept=0
    )
    return [
        _Parameter("LABEL", "String", _element("StringDataEncoding", size)),
        _Parameter("LENGTH", "Integer", _integer(8), "byte"),
        _Parameter("BODY", "Binary", _binary(_element("DynamicValue", length))),
    ]


def _type(one: _Parameter) -> str:
    units = _element("UnitSet", *([_element("Unit", one.unit)] if one.unit else []))
    return _element(f"{one.kind}ParameterType", units, one.encoding, one.more, name=f"{one.name}_T")


def _declaration(one: _Parameter) -> str:
    about = {"name": one.name, "parameterTypeRef": f"{one.name}_T", "shortDescription": one.name.lower()}
    return _element("Parameter", **about)


def _container(name: str, members: list[_Parameter]) -> str:
    entries = [_element("ParameterRefEntry", parameterRef=one.name) for one in members]
    apid = {"HOUSEKEEPING": HOUSEKEEPING, "SCIENCE": SCIENCE, "EVENTS": EVENTS, "IMAGES": IMAGES}.get(name)
    if apid is None:
        return _element("SequenceContainer", _element("EntryList", *entries), name=name, abstract="true")
    entries.insert(0, _element("ContainerRefEntry", containerRef="Clock"))
    comparison = _element("Comparison", parameterRef="PKT_APID", value=apid, useCalibratedValue="false")
    base = _element("BaseContainer", _element("RestrictionCriteria", comparison), containerRef="CCSDSPacket")
    return _element("SequenceContainer", _element("EntryList", *entries), base, name=name)
