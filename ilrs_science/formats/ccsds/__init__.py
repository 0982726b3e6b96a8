"""CCSDS space packets (133.0-B-2), by a definition in XTCE or a table of fields, or without one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ilrs_science.errors import FormatError, IlrsError
from ilrs_science.formats.ccsds.dataset import dataset, merged
from ilrs_science.formats.ccsds.fields import Columns, Decoded, Definition, Ragged
from ilrs_science.formats.ccsds.library import UNKNOWN
from ilrs_science.formats.ccsds.stream import COUNTS, HEADER, IDLE, Packets, cut, rows
from ilrs_science.formats.ccsds.table import Table
from ilrs_science.formats.ccsds.units import Units, units_of
from ilrs_science.formats.ccsds.xtce import Xtce
from ilrs_science.formats.foreign import foreign
from ilrs_science.formats.format import Format, counted, granule
from ilrs_science.formats.opening import opens
from ilrs_science.model.granule import Granule

CDS = ("DOY", "MSEC", "USEC")
"""Names that JPSS and others give to the fields of a CCSDS day segmented time."""

_ENOUGH = 3
"""Packets in a row by which a file is recognised."""
_LOOKED_AT = 64
_LATER_VERSION = 32
_LARGEST_PREFIX = 65536
_BATCH = 4096

type Definitions = Path | Mapping[int, Path]
"""Documents or tables that define packets: one, or one for each APID."""


@opens
def read_ccsds(  # noqa: PLR0913 - what a stream does not tell itself
    path: Path,
    xtce: Definitions | None = None,
    prefix: int = 0,
    root: str | None = None,
    *,
    time: Sequence[str] = CDS,
    raw: bool = False,
    secondary_header: int = 0,
) -> xr.Dataset | xr.DataTree:
    """Return the packets of a file, those of each APID apart.

    Packets are cut from the stream by their lengths. Where that leads nowhere, the next plausible packet is looked for
    (`ccsds.stream.cut`), and the bytes between are counted. Segments of a unit of user data are joined; what follows
    calls such a unit a packet, too.

    Parameters
    ----------
    path
        The file.
    xtce
        What the packets hold: a document in XTCE; a table of fields, ending in `.csv` (`ccsds.table.read_table`); or
        one of these for each APID. A table alone is that of the APID with the most packets of its length. Without a
        definition there are only headers and bytes.
    prefix
        Bytes before each packet that are no part of it; kept as `prefix`.
    root
        Container of the XTCE with which every packet begins; by default `CCSDSPacket`.
    time
        Names of the fields of a CCSDS day segmented time (301.0-B-4, 3.3): days since 1958-01-01 UTC, ms of the day,
        and, maybe, us of the ms. Packets that have all of them as integers get a `time`; nothing is taken for a time
        otherwise. Empty: no packet has one.
    raw
        Whether to give numbers as they were sent, not calibrated ones and names of an enumeration.
    secondary_header
        Bytes of the secondary header, which is dropped from segments after the first one of a unit.

    Returns
    -------
    A dataset where packets of one APID were decoded, else a tree with a child `apid_<n>` for each. Its dimension is
    `time` where a time is known, else `packet`. An APID whose packets have several layouts has a child for each below
    its own, with the name of the container.

    By XTCE, parameters have their own names, least dtypes and units: calibrated ones are float64, enumerated ones text
    (which cannot end with NUL), and binary ones uint8 (packet, <name>_byte), or, where their lengths differ, `<name>`
    uint8 (<name>_byte) with `<name>_offsets` int64 (<name>_edge) telling where each packet begins, one more than
    packets. Without XTCE there are version, type, secondary_header_flag, apid, sequence_flags, sequence_count and
    length of the primary header, as integers, and without a table the user data, `data`, uint8 likewise.

    Attributes: `apid`; `sequence_gaps` and `missing_packets`, how often and how many sequence counts are missing
    between the first and the last packet (that 0 follows 16383 is no gap); `out_of_order`, packets that do not follow
    the one before; `packets` and `skipped_bytes` between them, of the file; `rejected`, packets by reason. In a tree
    those of the whole file are at its root.

    Raises
    ------
    FormatError
        There are no packets, or none that the definition knows; or the definition is damaged.
    IlrsError
        The library that reads XTCE is not installed, or an option makes no sense.
    OSError
        There is no such file, or no such definition.
    """
    if not 0 <= prefix <= _LARGEST_PREFIX or secondary_header < 0:
        raise IlrsError(f"prefix={prefix}, secondary_header={secondary_header}; expected numbers of bytes")
    definition = _definition(xtce, root, raw=raw)
    packets, rejected = _packets(path, prefix)
    if isinstance(definition, Table):
        definition = {_most_of(packets, definition.size): definition}
    nodes: dict[str, xr.Dataset] = {}
    for apid in np.unique(packets.apids).tolist():
        if apid != IDLE:
            units = units_of(packets, apid, secondary_header)
            found = _decoded(path, units, packets, definition, tuple(time))
            if not found:
                rejected.update(units.rejected)
            nodes |= found
    if not nodes:
        raise FormatError(f"{path}: no packet could be decoded ({counted(rejected)})")
    about = {"skipped_bytes": packets.skipped, "packets": packets.starts.size}
    if len(nodes) == 1:
        (ds,) = nodes.values()
        return ds.assign_attrs(about, rejected=counted(rejected + Counter(ds.attrs["rejected"])))
    nodes["/"] = xr.Dataset(attrs={**about, "rejected": counted(rejected)})
    return xr.DataTree.from_dict(nodes)


def index_ccsds(path: Path) -> list[Granule]:
    """Return the APIDs of a file of space packets, each as the instrument `APID <n>`; their times are not known.

    Raises
    ------
    FormatError
        There are no packets but idle ones.
    OSError
        There is no such file.
    """
    packets, _ = _packets(path, 0)
    apids, counts = np.unique(packets.apids, return_counts=True)
    found = [
        granule(path, "ccsds", count=int(count), instrument=f"APID {apid}")
        for apid, count in zip(apids.tolist(), counts.tolist(), strict=True)
        if apid != IDLE
    ]
    if not found:
        raise FormatError(f"{path}: {packets.starts.size} packets, all of them idle")
    return found


def _recognises(head: bytes, path: Path) -> bool:
    """Return whether a file begins with packets that follow each other, or is nothing but packets."""
    if len(head) <= HEADER or head[0] >= _LATER_VERSION:
        return False
    size, at, headers, whole = path.stat().st_size, 0, 0, True
    last: dict[int, int] = {}
    following = 0
    with path.open("rb") as file:
        while at < size and headers < _LOOKED_AT and whole:
            file.seek(at)
            header = file.read(HEADER)
            whole = len(header) == HEADER and header[0] < _LATER_VERSION and any(header)
            word, sequence = int.from_bytes(header[:2]), int.from_bytes(header[2:4])
            following += whole and (sequence - last.get(word, sequence)) % COUNTS == 1
            last[word] = sequence
            headers += whole
            at += HEADER + 1 + int.from_bytes(header[4:])
    if whole and at == size and headers < _LOOKED_AT:
        return following > 0 or headers < _ENOUGH or len(last) < headers
    return headers >= _ENOUGH and following >= (1 if whole else _ENOUGH)


FORMAT = Format("ccsds", "CCSDS space packets", "space_packet_parser", _recognises, read_ccsds, index_ccsds)


def _packets(path: Path, prefix: int) -> tuple[Packets, Counter[str]]:
    data = path.read_bytes()
    packets = cut(data, prefix)
    if not packets.starts.size:
        raise FormatError(f"{path}: byte 0: no space packets in {len(data)} bytes")
    idle = int((packets.apids == IDLE).sum())
    return packets, Counter(
        {"truncated packet": packets.truncated, "loss of synchronisation": packets.losses, "idle packet": idle}
    )


def _definition(
    xtce: Definitions | None, root: str | None, *, raw: bool
) -> Definition | Mapping[int, Definition] | None:
    if xtce is None:
        return None
    if isinstance(xtce, Mapping):
        return {apid: _one_definition(one, root, raw=raw) for apid, one in xtce.items()}
    return _one_definition(xtce, root, raw=raw)


def _one_definition(path: Path, root: str | None, *, raw: bool) -> Definition:
    return Table(path) if path.suffix.lower() == ".csv" else Xtce(path, root, raw=raw)


def _most_of(packets: Packets, size: int) -> int:
    """Return the APID with the most packets of a length, or, where none has it, with the most; idle ones aside."""
    busy = packets.apids != IDLE
    fitting = busy & (packets.sizes == size)
    apids = packets.apids[fitting if fitting.any() else busy]
    return int(np.bincount(apids).argmax()) if apids.size else IDLE


def _decoded(
    path: Path,
    units: Units,
    packets: Packets,
    given: Definition | Mapping[int, Definition] | None,
    time: tuple[str, ...],
) -> dict[str, xr.Dataset]:
    """Return the datasets of an APID by their places in the tree."""
    if not units.starts.size:
        return {}
    definition = given.get(units.apid) if isinstance(given, Mapping) else given
    if given is None:
        parts = [Decoded("packet", np.arange(units.starts.size), {"data": _user_data(units)})]
    elif definition is None:
        units.rejected[UNKNOWN.format(units.apid)] += units.starts.size
        return {}
    else:
        with foreign(path, "stream of packets"):
            parts = merged(definition.decode(units))
    made = []
    for part in parts:
        header = {} if isinstance(definition, Xtce) else _header(packets, units, part.units)
        columns = {**header, **_more(packets, units, part.units), **part.columns}
        made.append((part.layout, dataset(columns, definition, time, units.rejected)))
    about = {"apid": units.apid, **units.sequence, "rejected": counted(units.rejected)}
    name = f"apid_{units.apid}"
    if len(made) == 1:
        return {name: made[0][1].assign_attrs(about)}
    datasets = {f"{name}/{layout}": ds.assign_attrs(rejected={}) for layout, ds in made}
    return {name: xr.Dataset(attrs=about), **datasets} if made else {}


def _user_data(units: Units) -> NDArray[np.uint8] | Ragged:
    sizes = units.sizes
    if sizes.size and (sizes == sizes[0]).all():
        return np.ascontiguousarray(rows(units.octets, units.starts, int(sizes[0]))[:, HEADER:])
    octets, values = memoryview(units.octets), bytearray()
    for first in range(0, sizes.size, _BATCH):
        starts = units.starts[first : first + _BATCH]
        stops = (starts + sizes[first : first + _BATCH]).tolist()
        values += b"".join([octets[a + HEADER : b] for a, b in zip(starts.tolist(), stops, strict=True)])
    return Ragged(np.frombuffer(values, np.uint8), np.concatenate([[0], np.cumsum(sizes - HEADER)]))


def _header(packets: Packets, units: Units, chosen: NDArray[np.int64]) -> Columns:
    """Return the fields of the primary headers (133.0-B-2, 4.1.3)."""
    identification, sequence, length = packets.headers[units.first[chosen]].T
    return {
        "version": (identification >> 13).astype(np.uint8),
        "type": (identification >> 12 & 1).astype(np.uint8),
        "secondary_header_flag": (identification >> 11 & 1).astype(np.uint8),
        "apid": identification & np.uint16(0x7FF),
        "sequence_flags": (sequence >> 14).astype(np.uint8),
        "sequence_count": sequence & np.uint16(COUNTS - 1),
        "length": length.copy(),
    }


def _more(packets: Packets, units: Units, chosen: NDArray[np.int64]) -> Columns:
    """Return what lies before the packets, and of how many segments they were joined, where there is such a thing."""
    found: Columns = {}
    if packets.prefix:
        starts = packets.starts[units.first[chosen]] - packets.prefix
        found["prefix"] = np.ascontiguousarray(rows(packets.octets, starts, packets.prefix))
    if (units.segments > 1).any():
        found["segments"] = units.segments[chosen].astype(np.uint16)
    return found
