"""Products of Chang'e as GRAS archives them: small pairs of data and label, and what is in them.

Layouts: the radar record of 8307 bytes of level LPR-2B with its mixed byte orders; particle tables of LND that are
labelled as fixed width and told apart by blanks; PCAM rasters without header whose label has the file size in other
units; labels of VNIS-VD that say UTF-8 and are not. No value is one of a mission.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ilrs_science.simulate.pds4 import Array, Field, Group, Label, Pair, Table, write_product

_UTC0 = np.datetime64("2009-12-31T16:00:00", "ms")
"""Zero of the radar's clock: midnight of 2010-01-01 in Beijing."""
_COMMAS = "http://pds.nasa.gov/pds4/pds/v1,https://pds.nasa.gov/PDS4_PDS_1500.xsd,http://pds.nasa.gov/pds4/sp/v1"

LPR = np.dtype(
    [
        ("FRAME_IDENTIFICATION", "u1", 4),
        ("TIME", [("seconds", ">u4"), ("milliseconds", ">u2")]),
        ("VELOCITY", ">f4"),
        *((name, ">f4") for name in ("XPOSITION", "YPOSITION", "ZPOSITION")),
        *((f"ATT_{name}ING", ">f4") for name in ("PITCH", "ROLL", "YAW")),
        *((f"REFERENCE_POINT_{name}POSITION", "<f4") for name in "XYZ"),
        *((f"REFERENCE_POINT_ATT_{name}ING", "<f4") for name in ("PITCH", "ROLL", "YAW")),
        ("DataParameter1", "u1", 11),
        *((name, "u1") for name in ("RADAR_WORKING_MODE", "CHANNEL_1_GAIN_MODE", "CHANNEL_1_GAIN_VALUE")),
        *((name, "u1") for name in ("CHANNEL_2_GAIN_MODE", "CHANNEL_2_GAIN_VALUE_1", "CHANNEL_2_GAIN_VALUE_2")),
        ("DataParameter2", "u1", 28),
        *((name, "<u2") for name in ("VALID_DATA_LENGTH", "CHANNEL_1_RECORD_COUNT", "CHANNEL_2_RECORD_COUNT")),
        ("CHANNEL_AND_ANTENNA_MARK", "u1"),
        ("ECHO_DATA", "<f4", 2048),
        ("QUALITY_STATE", "u1"),
    ]
)
"""A record of LPR-2B, 8307 bytes."""
_FIELDS: tuple[str, ...] = LPR.names or ()


def lpr_pair(
    folder: Path,
    *,
    records: int = 24,
    moves: int = 4,
    reference: tuple[float, ...] = (-736.76, 598.09, 2.43, 178.1, -2.14, -0.61),
    seed: int = 4,
) -> Pair:
    """Write radar traces of a rover that mostly stands: a trace comes again until the rover moves.

    The label says that the reference point is big-endian, which it is not.

    Parameters
    ----------
    folder
        Where to.
    records
        Traces.
    moves
        Traces that differ.
    reference
        Position (m) and attitude (deg) of the reference point.
    seed
        Of the random numbers.
    """
    rng = np.random.default_rng(seed)
    table = np.zeros(records, LPR)
    step = np.cumsum(rng.integers(6100, 6700, records))
    moment = np.datetime64("2019-01-04T08:00:00", "ms") + step
    since = (moment - _UTC0).astype(np.int64)
    table["FRAME_IDENTIFICATION"] = (0x14, 0x6F, 0x22, 0x22)
    table["TIME"]["seconds"], table["TIME"]["milliseconds"] = since // 1000, since % 1000
    place = np.arange(records) * moves // records
    for name in _FIELDS[2:9]:
        table[name] = np.round(rng.uniform(-6, 6, moves), 3)[place]
    for name, value in zip(_FIELDS[9:15], reference, strict=True):
        table[name] = value
    depth = np.arange(2048, dtype=np.float32)
    echo = rng.normal(0, 900, (moves, 2048)) * np.exp(-depth / 700)
    table["ECHO_DATA"] = echo.astype(np.float32)[place]
    table["CHANNEL_1_RECORD_COUNT"] = table["CHANNEL_2_RECORD_COUNT"] = np.arange(1, records + 1)
    table["VALID_DATA_LENGTH"] = 2048
    name = "CE4_GRAS_LPR-2B_SCI_N_20190104080000_20190104090000_0001_A.2B"
    described = Table("Binary", _lpr_fields(), records, length=LPR.itemsize)
    label = Label(span=(str(moment[0]), str(moment[-1])), mission=_lander("LPR", "2B"), schema=_COMMAS)
    pair = write_product(folder, name, table.tobytes(), [described], label)
    truth = {one: np.ascontiguousarray(table[one]) for one in _FIELDS if one != "TIME"}
    return Pair(pair.data, pair.label, {**truth, "time": moment})


def _lpr_fields() -> list[Field | Group]:
    """Return what the label says of the fields of a radar record."""
    kinds = {"u1": "UnsignedByte", "u2": "UnsignedLSB2", "f4": "IEEE754MSBSingle", "V6": "UnsignedByte"}
    fields: list[Field | Group] = []
    start = 1
    for one in _FIELDS:
        kind, shape = LPR[one].base, LPR[one].shape
        length = LPR[one].itemsize
        said = kinds[kind.str[1:]]
        if one == "ECHO_DATA":
            inner = Field(one, "IEEE754LSBSingle", 1, 4, unit="none")
            fields.append(Group(one, shape[0], [inner], start, length))
        else:
            fields.append(Field(one, said, start, length, unit="m" if "POSITION" in one else "none"))
        start += length
    return fields


def lnd_pair(folder: Path, *, records: int = 40, seed: int = 5) -> Pair:
    """Write a dose table of the particle detector: columns by blanks, which the label has elsewhere."""
    rng = np.random.default_rng(seed)
    moment = np.datetime64("2019-01-05T00:00:30", "ms") + 60_000 * np.arange(records)
    truth: dict[str, NDArray[Any]] = {
        "time": moment,
        "TID": np.round(rng.uniform(9, 16, records), 4),
        "COUNTS": rng.integers(0, 10 ** rng.integers(1, 7, records)),
        "SPECTRUM": np.round(rng.exponential(3, (records, 4)), 2),
    }
    rows = zip(moment, truth["TID"], truth["COUNTS"], truth["SPECTRUM"], strict=True)
    lines = [f"{t}Z  {dose:g} {n}   {' '.join(f'{x:g}' for x in four)}\r\n" for t, dose, n, four in rows]
    fields: list[Field | Group] = [
        Field("TIME", "ASCII_Date_Time_YMD_UTC", 1, 24),
        Field("TID", "ASCII_Real", 26, 8, unit="uGy/h"),
        Field("COUNTS", "ASCII_Integer", 35, 8),
        Group("SPECTRUM", 4, [Field("SPECTRUM", "ASCII_Real", 1, 9)], 44, 36),
    ]
    described = Table("Character", fields, records, length=82)
    name = "CE4_GRAS_LND-TID_SCI_P_20190105000000_20190105010000_0002_B.2A"
    pair = write_product(folder, name, "".join(lines).encode(), [described], Label(mission=_lander("LND", "2A")))
    return Pair(pair.data, pair.label, truth)


def pcam_pair(folder: Path, *, shape: tuple[int, int] = (36, 48), seed: int = 6) -> Pair:
    """Write an image without header, little-endian, whose label gives a thousandth of the file size."""
    image = np.random.default_rng(seed).integers(0, 1024, shape).astype("<u2")
    name = "CE4_GRAS_PCAML-C-008_SCI_N_20190104041518_20190104041518_0001_B.2B"
    described = Array("Array_2D_Image", "", "UnsignedLSB2", {"Line": shape[0], "Sample": shape[1]})
    span = ("2019-01-04T04:15:18.000", "2019-01-04T04:15:18.000")
    label = Label(size=image.nbytes // 1000, span=span, mission=_lander("PCAML", "2B"))
    pair = write_product(folder, name, image.tobytes(), [described], label)
    return Pair(pair.data, pair.label, {"Array_2D_Image": image})


def vnis_pair(folder: Path, *, bands: int = 5, seed: int = 7) -> Pair:
    """Write a cube of spectral radiance; its label says UTF-8 and has Chinese text in GB18030."""
    cube = np.random.default_rng(seed).uniform(0, 60, (bands, 6, 7)).astype("<f4")
    name = "CE4_GRAS_VNIS-VD_SCI_N_20190104120000_20190104120100_0003_B.2B"
    described = Array("Array_3D_Image", "", "IEEE754LSBSingle", {"Band": bands, "Line": 6, "Sample": 7})
    about = _lander("VNIS", "2B") + "<note>可见近红外成像光谱仪</note>"
    pair = write_product(folder, name, cube.tobytes(), [described], Label(mission=about, encoding="gb18030"))
    return Pair(pair.data, pair.label, {"Array_3D_Image": cube})


def _lander(instrument: str, level: str) -> str:
    """Return what GRAS says in a mission area; `/` is its way to say that there is no value."""
    place = '<longitude unit="deg">12.5</longitude><latitude unit="deg">-3.25</latitude>'
    antenna = '<Instrument_Parm><antenna_height unit="cm">/</antenna_height></Instrument_Parm>'
    named = f"<product_level>{level}</product_level><instrument_id>{instrument}</instrument_id>"
    return f"{named}{antenna}<Lander_Location>{place}</Lander_Location>"
