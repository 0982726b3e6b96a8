"""CDF files with known truth: several times, a leap second, steps back, values that are missing; and old versions.

`simulate_cdf` writes version 3 with cdflib; `simulate_cdf2` writes version 2, which cdflib only reads, by the CDF
Internal Format Description (NASA GSFC Space Physics Data Facility).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ilrs_science.formats.foreign import library
from ilrs_science.geometry.time import SECOND, parse_utc, tai_to_utc

type Truth = dict[str, NDArray[Any]]

START = "2016-12-31T23:59:50Z"
"""Ten seconds before a leap second."""
FILL = np.float32(-1e31)
_TT2000_ZERO = 946_727_967_816_000_000  # ns of TAI: 2000-01-01T12:00:00 TT
_YEAR_ZERO = 62_167_219_200  # s from the year 0 to 1970
_EPOCH, _EPOCH16, _TT2000, _REAL4, _REAL8, _INT4, _CHAR = 31, 32, 33, 21, 22, 4, 51
_NAME_IN_VDR, _TYPE_IN_VDR, _FLAGS_IN_VDR = 84, 20, 44


@dataclass(frozen=True)
class Layout:
    """How a file of version 3 has its numbers."""

    compress: int = 0
    """Level of gzip of each variable."""
    whole: int = 0
    """Level of gzip of the file."""
    column_major: bool = False
    """Whether the first index of a value runs fastest."""
    big_endian: bool = False


_PLAIN = Layout()


def simulate_cdf(
    path: Path,
    *,
    records: int = 60,
    times: tuple[str, ...] = ("Epoch", "Epoch_slow", "Epoch_fine"),
    layout: Layout = _PLAIN,
) -> Truth:
    """Write a CDF of version 3 and return the true values by the names of the variables; times are TAI ns.

    Along `Epoch` (TT2000, every half second) lie `B` (labels `axis`), `flux` (energies `energy`, labels `channel`),
    `status` and `mode`; along `Epoch_slow` (CDF_EPOCH), which goes back once, `temperature`; along `Epoch_fine`
    (CDF_EPOCH16) `light`; along nothing `matrix` and `start` (a time). `never` has no records, `ghost` is virtual, and
    `alone` has as many records as `Epoch` and names no time.

    Parameters
    ----------
    path
        Ends in `.cdf`; is written anew.
    records
        Along `Epoch`; a third of them along `Epoch_slow`, a fifth along `Epoch_fine`.
    times
        Which times there are.
    layout
        How it has its numbers.
    """
    truth = _truth(np.random.default_rng(3), records)
    writer = library("cdflib", "cdf").cdfwrite
    spec = {
        "Majority": "column_major" if layout.column_major else "row_major",
        "Encoding": 1 if layout.big_endian else 6,
        "Compressed": layout.whole,
    }
    path.unlink(missing_ok=True)
    with writer.CDF(path, cdf_spec=spec) as cdf:
        cdf.write_globalattrs(
            {
                "Descriptor": {0: "SIM>Simulated instrument"},
                "Source_name": {0: "SITE>Simulated site"},
                "Data_type": {0: "L1>Level 1"},
                "TEXT": {0: "first line", 1: "second line"},
                "number": {0: [2.5, "cdf_double"]},
            }
        )
        for name, kind, dimensions, attributes, values in _variables(truth, times):
            width = values.dtype.itemsize // 4 if kind == _CHAR else 1
            stored = values.transpose(0, *range(values.ndim - 1, 0, -1)) if layout.column_major else values
            cdf.write_var(
                {
                    "Variable": name,
                    "Data_Type": kind,
                    "Num_Elements": width,
                    "Dim_Sizes": dimensions,
                    "Rec_Vary": name not in _STILL,
                    "Var_Type": "zVariable",
                    "Compress": layout.compress,
                },
                attributes,
                np.ascontiguousarray(stored) if len(values) else None,
            )
    if not layout.whole:
        _make_epoch16(path, "Epoch_fine")
    return truth


_STILL = ("axis", "energy", "channel", "matrix", "start")


def _truth(rng: np.random.Generator, records: int) -> Truth:
    start = parse_utc(START)
    slow = parse_utc("2017-01-01T00:00:01Z") + SECOND * 3 * np.arange(records // 3, dtype=np.int64)
    if records // 3 > 3:  # noqa: PLR2004 - so that there is something to go back to
        slow[2:] -= 5 * SECOND
    vectors = rng.normal(0, 50, (records, 3)).astype("f4")
    vectors[1, 2] = np.nan
    return {
        "Epoch": start + SECOND // 2 * np.arange(records, dtype=np.int64),
        "Epoch_slow": slow,
        "Epoch_fine": parse_utc("2020-06-03T00:00:00Z") + 1_000_001 * np.arange(records // 5, dtype=np.int64),
        "B": vectors,
        "flux": rng.uniform(0, 9, (records, 2, 4)),
        "status": rng.integers(-5, 5, records).astype("i4"),
        "mode": rng.choice(["burst", "slow"], records),
        "temperature": rng.normal(250, 9, records // 3).astype("f4"),
        "light": rng.integers(0, 99, records // 5).astype("i4"),
        "alone": np.arange(records, dtype="i4"),
        "axis": np.array([["x", "y", "z"]]),
        "energy": np.array([[1.5, 20.0, 300.0, 4000.0]]),
        "channel": np.array([["E1", "E20", "E300", "E4000"]]),
        "matrix": rng.normal(0, 1, (1, 2, 3)),
        "start": np.array([start]),
    }


def _variables(truth: Truth, times: tuple[str, ...]) -> list[tuple[str, int, list[int], dict[str, Any], NDArray[Any]]]:
    """Return name, CDF type, dimensions, attributes and values as they are in the file."""
    utc = tai_to_utc(truth["Epoch_slow"])
    fine = tai_to_utc(truth["Epoch_fine"])
    pairs = np.stack([fine // SECOND + _YEAR_ZERO, fine % SECOND * 1000], axis=1).astype("f8")
    vectors = np.where(np.isnan(truth["B"]), FILL, truth["B"])
    fast = {"DEPEND_0": "Epoch"}
    ghost = {**fast, "VIRTUAL": "true", "FUNCT": "add"}
    flux = {**fast, "DEPEND_2": "energy", "LABL_PTR_2": "channel", "UNITS": "counts"}
    found: list[tuple[str, int, list[int], dict[str, Any], NDArray[Any]]] = [
        ("Epoch", _TT2000, [], {"CATDESC": "middle of the sample"}, truth["Epoch"] - _TT2000_ZERO),
        ("Epoch_slow", _EPOCH, [], {}, utc / 1e6 + _YEAR_ZERO * 1e3),
        ("Epoch_fine", _REAL8, [2], {}, pairs),
        ("B", _REAL4, [3], {**fast, "LABL_PTR_1": "axis", "FILLVAL": FILL, "UNITS": "nT", "VALIDMIN": -500.0}, vectors),
        ("flux", _REAL8, [2, 4], flux, truth["flux"]),
        ("status", _INT4, [], {**fast, "FILLVAL": np.int32(-5)}, truth["status"]),
        ("mode", _CHAR, [], fast, truth["mode"]),
        ("temperature", _REAL4, [], {"DEPEND_0": "Epoch_slow", "UNITS": "K"}, truth["temperature"]),
        ("light", _INT4, [], {"DEPEND_0": "Epoch_fine"}, truth["light"]),
        ("alone", _INT4, [], {}, truth["alone"]),
        ("never", _REAL4, [3], fast, np.empty((0, 3), "f4")),
        ("ghost", _REAL4, [], ghost, np.empty(0, "f4")),
        ("axis", _CHAR, [3], {}, truth["axis"]),
        ("energy", _REAL8, [4], {"UNITS": "eV"}, truth["energy"]),
        ("channel", _CHAR, [4], {}, truth["channel"]),
        ("matrix", _REAL8, [2, 3], {}, truth["matrix"]),
        ("start", _TT2000, [], {}, truth["start"] - _TT2000_ZERO),
    ]
    needs = {"Epoch_slow": "temperature", "Epoch_fine": "light"}
    left_out = {one for time, variable in needs.items() if time not in times for one in (time, variable)}
    return [one for one in found if one[0] not in left_out]


def _make_epoch16(path: Path, name: str) -> None:
    """Turn pairs of reals into CDF_EPOCH16, which cdflib writes with all seconds before all picoseconds."""
    data = bytearray(path.read_bytes())
    at = data.find(name.encode().ljust(256, b"\0"))
    if at < 0:
        return
    start = at - _NAME_IN_VDR
    struct.pack_into(">i", data, start + _TYPE_IN_VDR, _EPOCH16)
    (flags,) = struct.unpack_from(">i", data, start + _FLAGS_IN_VDR)
    struct.pack_into(">i", data, start + _FLAGS_IN_VDR, flags & ~2)  # no pad value
    struct.pack_into(">i", data, at + 256, 0)  # no dimensions
    path.write_bytes(data)


def simulate_cdf2(path: Path, *, release: int = 7, packed: bool = False, records: int = 10, seed: int = 3) -> Truth:
    """Write a CDF of version 2, big-endian, with rVariables, and return the true values by name; times are TAI ns.

    `Epoch` (CDF_EPOCH) and `B` along it; `B` in two blocks of values that two levels of indices name.

    Parameters
    ----------
    path
        Is written anew.
    release
        The 7 of version 2.7; 4 or less have other variable records, 5 or less another start.
    packed
        Whether the file is compressed as a whole, by run lengths.
    records
        At least 2.
    seed
        Of the random numbers.
    """
    rng = np.random.default_rng(seed)
    times = parse_utc("1995-03-01T00:00:00Z") + 30 * SECOND * np.arange(records, dtype=np.int64)
    field = np.where(rng.random((records, 3)) < 0.5, 0, rng.normal(0, 9, (records, 3))).astype("f4")  # noqa: PLR2004
    milliseconds = tai_to_utc(times) / 1e6 + _YEAR_ZERO * 1e3
    file = _Version2(release)
    epoch = file.variable("Epoch", _EPOCH, milliseconds.astype(">f8"), varies=0, cut=records)
    vector = file.variable("B", _REAL4, field.astype(">f4"), varies=-1, cut=records // 2)
    file.link(epoch, vector)
    depend = file.attribute("DEPEND_0", 2, 1, "Epoch")
    file.link(depend, file.attribute("Source_name", 1, 0, "OLD>An old mission"))
    file.finish(path, epoch, depend, records, packed)
    return {"Epoch": times, "B": field}


class _Version2:
    """The bytes of a file of version 2, to which records are added; offsets have 4 bytes."""

    def __init__(self, release: int) -> None:
        self.release = release
        self.variables = 0
        self.data = bytearray(8 + 304 + 64)  # start, descriptor and global descriptor, which are written last

    def add(self, kind: int, body: bytes) -> int:
        offset = len(self.data)
        self.data += struct.pack(">ii", len(body) + 8, kind) + body
        return offset

    def link(self, one: int, following: int) -> None:
        struct.pack_into(">i", self.data, one + 8, following)

    def variable(self, name: str, kind: int, values: NDArray[Any], *, varies: int, cut: int) -> int:
        """Add a variable whose values are cut in two, an index for each, and an index of both."""
        index, last = [], len(values) - 1
        for first, end in ((0, min(cut, last + 1)), (cut, last + 1)):
            if first < end:
                block = self.add(7, values[first:end].tobytes())
                index.append((first, end - 1, self.add(6, struct.pack(">iiiiii", 0, 1, 1, first, end - 1, block))))
        firsts, lasts, offsets = (list(one) for one in zip(*index, strict=True))
        top = self.add(6, struct.pack(f">iii{3 * len(index)}i", 0, len(index), len(index), *firsts, *lasts, *offsets))
        reserved = bytes(128 if self.release < 5 else 0)  # noqa: PLR2004 - as the layout has it
        body = struct.pack(">iiiiiiiiii", 0, kind, last, top, top, 1, 0, 0, 0, 0) + reserved
        body += struct.pack(">iiii", 1, self.variables, 0, 0) + name.encode().ljust(64, b"\0")
        self.variables += 1
        return self.add(3, body + struct.pack(">i", varies))

    def attribute(self, name: str, scope: int, number: int, text: str) -> int:
        entry = struct.pack(">iiiiiiiiii", 0, 0, _CHAR, number, len(text), 0, 0, 0, 0, 0) + text.encode()
        at = self.add(5, entry)
        body = struct.pack(">iiiiiiiiiii", 0, at, scope, 0, 1, number, 0, 0, 0, -1, 0)
        return self.add(4, body + name.encode().ljust(64, b"\0"))

    def finish(self, path: Path, variables: int, attributes: int, records: int, packed: bool) -> None:
        descriptor = struct.pack(">ii10i", 304, 1, 312, 2, self.release, 1, 3, 0, 0, 0, 0, 0)
        self.data[8:312] = descriptor + b"simulated".ljust(256, b"\0")
        self.data[312:376] = struct.pack(
            ">16i", 64, 2, variables, 0, attributes, len(self.data), 2, 2, records - 1, 1, 0, 0, 0, 0, 0, 3
        )
        magic = b"\xcd\xf2\x60\x02" if self.release > 5 else b"\x00\x00\xff\xff"  # noqa: PLR2004 - as the layout has it
        if not packed:
            path.write_bytes(magic + b"\x00\x00\xff\xff" + self.data[8:])
            return
        body = _run_lengths(bytes(self.data[8:]))
        record = struct.pack(">iiiii", 20 + len(body), 10, 28 + len(body), len(self.data) - 8, 0)
        parameters = struct.pack(">iiiiii", 24, 11, 1, 0, 1, 0)
        path.write_bytes(magic + b"\xcc\xcc\x00\x01" + record + body + parameters)


def _run_lengths(data: bytes) -> bytes:
    """Return bytes with each run of zeros as a zero and its length less one."""
    out = bytearray()
    at = 0
    while at < len(data):
        if data[at]:
            out.append(data[at])
            at += 1
            continue
        run = min(len(data[at : at + 256]) - len(data[at : at + 256].lstrip(b"\0")), 256)
        out += bytes((0, run - 1))
        at += run
    return bytes(out)
