"""PDS3 files as missions write them, with their flaws: attached and detached labels, images, cubes, tables.

Labels are written from the PDS Standards Reference 3.8; what is in the files comes from a seed, and is returned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

type Truth = dict[str, NDArray[Any]]

XTERM, BTERM, MTERM = (0, 32, 136, 543, 2207), (0, 8, 25, 59, 128), (0.5, 0.25, 0.125, 0.0625, 0.03125)
"""Where the segments of a companding table begin, and its offsets and slopes there (LROC EDR/CDR SIS, table 0)."""

SPECIAL = {"MISSING_CONSTANT": "16#FF7FFFFB#", "CORE_LOW_INSTR_SATURATION": "-999.25"}
"""Special constants of reals: by the pattern of bits, and by value."""

_STORAGE = {"BAND_SEQUENTIAL": (0, 1, 2), "LINE_INTERLEAVED": (1, 0, 2), "SAMPLE_INTERLEAVED": (1, 2, 0)}


def companded_file(
    folder: Path, *, shape: tuple[int, int] = (8, 24), stale: int = 0, padding: bytes = b""
) -> tuple[Path, Truth]:
    """Write a camera's image of 12 bits that was companded to 8, with an attached label.

    Parameters
    ----------
    folder
        Where to.
    shape
        Lines and samples of the image.
    stale
        Bytes that the pointer of the label is too small, as in labels that were edited.
    padding
        Bytes between the label and the image.

    Returns
    -------
    The file; `counts` before companding and `packed`, uint16 and uint8.
    """
    counts = np.random.default_rng(3).integers(0, 4096, shape, np.uint16)
    segment = np.searchsorted(XTERM, counts, side="right") - 1
    packed = np.floor(np.take(BTERM, segment) + np.take(MTERM, segment) * counts).astype(np.uint8)
    terms = {"BTERM": BTERM, "MTERM": MTERM, "XTERM": XTERM}
    image = {"LINES": shape[0], "LINE_SAMPLES": shape[1], "SAMPLE_BITS": 8, "SAMPLE_TYPE": "LSB_INTEGER"}
    keywords: dict[str, Any] = {
        "RECORD_TYPE": "FIXED_LENGTH",
        "RECORD_BYTES": shape[1],
        **({"FILE_RECORDS": 52225} if stale else {}),
        "^IMAGE": "{at} <BYTES>",
        "DATA_SET_ID": "LRO-L-LROC-2-EDR-V1.0",
        "INSTRUMENT_HOST_NAME": '"LUNAR RECONNAISSANCE ORBITER"',
        "INSTRUMENT_ID": "LROC",
        "START_TIME": "2009-11-29T14:51:21.968000",
        "STOP_TIME": "2009-333T14:51:39.599",
        "PRODUCT_TYPE": "EDR",
        **{f"LRO:{key}": str(value) for key, value in terms.items()},
        "IMAGE": {**image, "UNIT": "RAW_INSTRUMENT_COUNT", "MD5_CHECKSUM": "4eecc98d2932a8e9d38d76446a704a49"},
    }
    path = folder / "nac.img"
    path.write_bytes(_attached(keywords, padding + packed.tobytes(), skip=len(padding) - stale))
    return path, {"counts": counts, "packed": packed}


def mapper_files(
    folder: Path, *, absent: Sequence[str] = (), line_end: str = "\r\n", seed: int = 3
) -> tuple[Path, Truth]:
    """Write what an imaging spectrometer gives: radiance, location and the time of every line, with one detached label.

    Parameters
    ----------
    folder
        Where to.
    absent
        Of `RDN`, `LOC` and `TIM`, files that are described and not written.
    line_end
        Of the table; the label says that it is a carriage return and a line feed.
    seed
        Of the random numbers.

    Returns
    -------
    The label; `RDN` and `LOC`, float32 and float64, shape (line, band, sample); `time`, UTC ns since 1970, descending.
    """
    rng = np.random.default_rng(seed)
    truth: Truth = {"RDN": rng.normal(15, 5, (5, 3, 12)).astype("<f4"), "LOC": rng.uniform(60, 80, (5, 3, 12))}
    start = np.datetime64("2009-06-30T08:34:35.653371", "us")
    times = start - np.timedelta64(50_880, "us") * np.arange(5)
    truth["time"] = times.astype("M8[ns]").astype(np.int64)
    table = "".join(f"{number + 1:6d} {time} {2009:4d}{line_end}" for number, time in enumerate(times.astype(str)))
    contents = {"RDN": truth["RDN"].tobytes(), "LOC": truth["LOC"].tobytes(), "TIM": table.encode()}
    for name, content in contents.items():
        if name not in absent:
            (folder / f"M3_V03_{name}.{'TAB' if name == 'TIM' else 'IMG'}").write_bytes(content)
    label = folder / "M3_V03_L1B.LBL"
    label.write_text(_label(_mapper_keywords(truth)), newline="")
    return label, truth


def cube_file(
    folder: Path, storage: str, sample_type: str, values: NDArray[Any], *, more: Mapping[str, Any] | None = None
) -> Path:
    """Write a cube with an attached label.

    Parameters
    ----------
    folder
        Where to.
    storage
        BAND_SEQUENTIAL, LINE_INTERLEAVED or SAMPLE_INTERLEAVED.
    sample_type
        SAMPLE_TYPE of the label.
    values
        As they are to be stored, shape (band, line, sample).
    more
        Further keywords of the image.
    """
    image = {
        **dict(zip(("BANDS", "LINES", "LINE_SAMPLES"), values.shape, strict=True)),
        "BAND_STORAGE_TYPE": storage,
        "SAMPLE_TYPE": sample_type,
        "SAMPLE_BITS": 8 * values.dtype.itemsize,
        **(more or {}),
    }
    path = folder / "cube.img"
    data = np.ascontiguousarray(values.transpose(_STORAGE[storage])).tobytes()
    path.write_bytes(_attached({"^IMAGE": "{at} <BYTES>", "IMAGE": image}, data))
    return path


def chinese_file(folder: Path, *, encoding: str = "gb18030") -> tuple[Path, Truth]:
    """Write an image whose attached label has Chinese text, so that bytes and characters are not alike."""
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    keywords = {
        "RECORD_BYTES": 4,
        "^IMAGE": "{at} <BYTES>",
        "MISSION_NAME": '"嫦娥二号{{}}"',
        "NOTE": '"月球\r\n    探测"',
        "SPACECRAFT_NAME": '"CE-3"',
        "IMAGE": {"LINES": 3, "LINE_SAMPLES": 4, "SAMPLE_TYPE": "UNSIGNED_INTEGER", "SAMPLE_BITS": 8},
    }
    path = folder / "chinese.img"
    path.write_bytes(_attached(keywords, image.tobytes(), encoding=encoding))
    return path, {"image": image}


def binary_table_file(folder: Path, *, seed: int = 3) -> tuple[Path, Truth]:
    """Write a binary table with all that its columns may have: items, a container, scales, constants, texts, times."""
    rng = np.random.default_rng(seed)
    inner = np.dtype([("GAIN", ">i2"), ("STATE", "u1")])
    row = np.dtype(
        [("TIME", "S21"), ("COUNT", ">u4"), ("FIELD", "<f8", 3), ("TEMP", ">i2"), ("NOTE", "S6"), ("BLOCK", inner, 2)]
    )
    table = np.zeros(6, row)
    table["TIME"] = [f"2016-366T23:59:{second:02d}.25Z" for second in range(55, 61)]
    table["COUNT"], table["TEMP"] = rng.integers(0, 2**32, 6), [-5, 7, -9999, 11, 300, 0]
    table["FIELD"], table["NOTE"] = rng.normal(0, 5, (6, 3)), ["a", "b c", "", "d", "e", "f"]
    table["FIELD"][2, 1] = -1e31
    table["BLOCK"]["GAIN"], table["BLOCK"]["STATE"] = rng.integers(-99, 99, (6, 2)), rng.integers(0, 255, (6, 2))
    scale = {"SCALING_FACTOR": 0.5, "OFFSET": 100.0, "MISSING_CONSTANT": -9999}
    block = {
        "NAME": "BLOCK",
        "START_BYTE": 58,
        "BYTES": 3,
        "REPETITIONS": 2,
        "COLUMN": [_column("GAIN", "MSB_INTEGER", 1, 2), _column("STATE", "MSB_UNSIGNED_INTEGER", 3, 1)],
    }
    described = {
        "INTERCHANGE_FORMAT": "BINARY",
        "ROWS": 6,
        "ROW_BYTES": row.itemsize,
        "COLUMN": [
            _column("TIME", "TIME", 1, 21),
            _column("COUNT", "MSB_UNSIGNED_INTEGER", 22, 4),
            _column("FIELD", "PC_REAL", 26, 24, ITEMS=3, ITEM_BYTES=8, UNIT="nT", MISSING_CONSTANT="-1.0E31"),
            _column("TEMP", "MSB_INTEGER", 50, 2, **scale),
            _column("NOTE", "CHARACTER", 52, 6),
        ],
        "CONTAINER": block,
    }
    (folder / "TABLE.DAT").write_bytes(table.tobytes())
    label = folder / "TABLE.LBL"
    keywords = {"RECORD_BYTES": row.itemsize, "FILE_RECORDS": 6, "^SERIES": '("TABLE.DAT", 1)', "SERIES": described}
    label.write_text(_label(keywords), newline="")
    return label, {name: table[name] for name in row.names or ()}


def spreadsheet_file(folder: Path) -> tuple[Path, Truth]:
    """Write a table of separated values with a quoted comma, an empty value, and a line that is too short."""
    lines = [
        '1,2009-06-30T00:00:00Z,"a, b",1.5,2.5',
        "2,2009-06-30T00:00:01Z,c,,3.5",
        "3,broken",
        "4,2009-06-30T00:00:03Z,d,4.5,-1",
    ]
    (folder / "SHEET.CSV").write_text("".join(f"{line}\r\n" for line in lines), newline="")
    fields = [
        {"NAME": "NUMBER", "DATA_TYPE": "ASCII_INTEGER"},
        {"NAME": "UTC", "DATA_TYPE": "TIME"},
        {"NAME": "NOTE", "DATA_TYPE": "CHARACTER"},
        {"NAME": "PAIR", "DATA_TYPE": "ASCII_REAL", "ITEMS": 2, "MISSING_CONSTANT": -1},
    ]
    label = folder / "SHEET.LBL"
    sheet = {"ROWS": 4, "FIELD_DELIMITER": '"COMMA"', "FIELD": fields}
    label.write_text(_label({"^SPREADSHEET": '"SHEET.CSV"', "SPREADSHEET": sheet}), newline="")
    return label, {"NUMBER": np.array([1, 2, 4]), "PAIR": np.array([[1.5, 2.5], [np.nan, 3.5], [4.5, np.nan]])}


def vax_bytes(values: NDArray[np.float64], kind: str) -> bytes:
    """Return reals as a VAX has them: `f` of 4 bytes, `d` and `g` of 8 (VAX Architecture Reference Manual, 1987)."""
    digits, bias, size = {"f": (24, 128, 4), "d": (56, 128, 8), "g": (53, 1024, 8)}[kind]
    found = b""
    for value in values.ravel():
        fraction, exponent = np.frexp(abs(value))
        bits = 0
        if value:
            mantissa = int(float(fraction) * 2**digits) - 2 ** (digits - 1)
            bits = (int(value < 0) << (8 * size - 1)) | ((int(exponent) + bias) << (digits - 1)) | mantissa
        words = [(bits >> shift) & 0xFFFF for shift in range(8 * size - 16, -1, -16)]
        found += b"".join(word.to_bytes(2, "little") for word in words)
    return found


def _mapper_keywords(truth: Truth) -> dict[str, Any]:
    return {
        "RECORD_TYPE": "UNDEFINED",
        "DATA_SET_ID": "CH1-ORB-L-M3-4-L1B-RADIANCE-V3.0",
        "INSTRUMENT_HOST_NAME": '"CHANDRAYAAN-1 ORBITER"',
        "INSTRUMENT_ID": "M3",
        "PRODUCT_TYPE": "CALIBRATED_IMAGE",
        "START_TIME": "2009-06-30T08:34:07",
        "STOP_TIME": "2009-06-30T08:34:36",
        "RDN_FILE": {"^RDN_IMAGE": "M3_V03_RDN.IMG", "RDN_IMAGE": _cube(truth["RDN"], 32, "W/(m^2 um sr)")},
        "HDR_FILE": {"^ENVI_HEADER": "M3_V03_RDN.HDR", "ENVI_HEADER": {"HEADER_TYPE": "ENVI"}},
        "LOC_FILE": {
            "^LOC_IMAGE": "M3_V03_LOC.IMG",
            "LOC_IMAGE": _cube(truth["LOC"], 64) | {"BAND_NAME": "(Longitude, Latitude, Radius)"},
        },
        "UTC_FILE": {
            "^UTC_TIME_TABLE": "M3_V03_TIM.TAB",
            "UTC_TIME_TABLE": {
                "INTERCHANGE_FORMAT": "ASCII",
                "ROWS": 5,
                "ROW_BYTES": 40,
                "COLUMN": [
                    _column("LINE NUMBER", "ASCII_INTEGER", 1, 6),
                    _column("UTC_TIME", "TIME", 8, 26),
                    _column("YEAR", "CHARACTER", 35, 4),
                ],
            },
        },
    }


def _cube(values: NDArray[Any], bits: int, unit: str = "") -> dict[str, Any]:
    lines, bands, samples = values.shape
    sizes = {"LINES": lines, "LINE_SAMPLES": samples, "BANDS": bands, "BAND_STORAGE_TYPE": "LINE_INTERLEAVED"}
    return {**sizes, "SAMPLE_TYPE": "PC_REAL", "SAMPLE_BITS": bits, **({"UNIT": f'"{unit}"'} if unit else {})}


def _column(name: str, kind: str, start: int, size: int, **more: Any) -> dict[str, Any]:
    return {"NAME": f'"{name}"', "DATA_TYPE": kind, "START_BYTE": start, "BYTES": size, **more}


def _attached(keywords: Mapping[str, Any], data: bytes, *, skip: int = 0, encoding: str = "ascii") -> bytes:
    """Return a file with an attached label; `{at}` in it becomes where the data begin, counted from 1, plus `skip`."""
    label = _label(keywords)
    width = 8
    size = len(label.format(at="0" * width).encode(encoding))
    return label.format(at=f"{size + 1 + skip:0{width}d}").encode(encoding) + data


def _label(keywords: Mapping[str, Any]) -> str:
    return f"PDS_VERSION_ID = PDS3\r\n{_lines(keywords, '')}END\r\n"


def _lines(keywords: Mapping[str, Any], indent: str) -> str:
    found = ""
    for key, value in keywords.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, Mapping):
                found += f"{indent}OBJECT = {key}\r\n{_lines(one, f'{indent}  ')}{indent}END_OBJECT = {key}\r\n"
            else:
                found += f"{indent}{key} = {one}\r\n"
    return found
