"""CCSDS space packets (133.0-B) of one fixed length, each ending with a CRC-16 (CCITT-FALSE)."""

from __future__ import annotations

from binascii import crc_hqx
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ilrs_science.errors import FormatError

PRIMARY_HEADER = [("identification", ">u2"), ("sequence", ">u2"), ("length", ">u2")]
"""Fields of the primary header, for a packet's dtype: version, type, flag and APID; sequence; data length less one."""

_CRC_START = 0xFFFF
_APID = 0x7FF


def read_packets(data: bytes, packet: np.dtype[Any]) -> tuple[NDArray[Any], dict[str, int]]:
    """Return the good packets of a file as records, and how many were rejected for which reason.

    Parameters
    ----------
    data
        The file: packets without anything between them.
    packet
        Structured dtype of a packet: `PRIMARY_HEADER`, the instrument's fields, and a last field `crc`, `>u2`.

    Raises
    ------
    FormatError
        No packet is good.
    """
    whole, rest = divmod(len(data), packet.itemsize)
    records = np.frombuffer(data, packet, whole)
    good = np.fromiter(
        (
            crc_hqx(data[start : start + packet.itemsize - 2], _CRC_START) == crc
            for start, crc in zip(
                range(0, whole * packet.itemsize, packet.itemsize), records["crc"].tolist(), strict=True
            )
        ),
        bool,
        whole,
    )
    good &= records["length"] == packet.itemsize - 7
    if not good.any():
        raise FormatError(
            f"{len(data)} bytes hold no packet of {packet.itemsize} bytes with a right checksum and length"
        )
    rejected = {"bad checksum": int((~good).sum()), "truncated packet": int(rest > 0)}
    return records[good], {reason: count for reason, count in rejected.items() if count}


def write_packets(records: NDArray[Any], apid: int) -> bytes:
    """Return records as packets, with their headers and checksums filled in; the sequence count is left as it is."""
    packets = records.copy()
    packets["identification"] = 0x0800 | (apid & _APID)  # a telemetry packet with a secondary header
    packets["length"] = packets.dtype.itemsize - 7
    size = packets.dtype.itemsize
    data = packets.tobytes()
    packets["crc"] = [crc_hqx(data[start : start + size - 2], _CRC_START) for start in range(0, len(data), size)]
    return packets.tobytes()


def apids(records: NDArray[Any]) -> NDArray[np.uint16]:
    """Return the application process identifier of every packet."""
    return (records["identification"] & _APID).astype(np.uint16)
