"""The raw format of the toys: a line of JSON that names the site, then records of time, counts and validity."""

import json
import zlib
from collections.abc import Iterable
from pathlib import Path

import fsspec
import numpy as np
import xarray as xr

from ilrs_science import FormatError, Granule

RECORD = np.dtype([("time", ">i8"), ("counts", ">i4"), ("word", ">u2")])
READ: list[str] = []
"""Every file that was read in this process, as often as it was."""
GOOD, BAD_RECORD, BREAKS_STEPS, NOT_A_NUMBER = 0xC0DE, 0xBAD, 0xDEAD, 0x0A0A


def counts_at(times: np.ndarray, site: str) -> np.ndarray:
    """The truth: whole numbers below 10007, so that every sum of them is exact in any order."""
    return ((np.asarray(times, np.int64) // 1_000_000 * 31 + zlib.crc32(site.encode())) % 10007).astype(np.int64)


def encode(site: str, times: Iterable[int], words: Iterable[int] | None = None, **head: object) -> bytes:
    times = np.array(list(times), np.int64)
    records = np.zeros(len(times), RECORD)
    records["time"], records["counts"] = times, counts_at(times, site)
    records["word"] = GOOD if words is None else np.array(list(words))
    return json.dumps({"toy": site, **head}).encode() + b"\n" + records.tobytes()


def write(path: Path | str, site: str, times: Iterable[int], words: Iterable[int] | None = None, **head: object) -> str:
    if "://" not in str(path):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    with fsspec.open(str(path), "wb") as file:
        file.write(encode(site, times, words, **head))
    return str(path)


def read(granule: Granule) -> xr.Dataset:
    """Decode a toy file; records with a wrong word are rejected and counted."""
    READ.append(granule.url)
    head, _, body = granule.read_bytes().partition(b"\n")
    try:
        said = json.loads(head)
        site, tags = said["toy"], said.get("tags", {})
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError("not a toy file: the first line names no site") from error
    if len(body) % RECORD.itemsize:
        raise FormatError(f"truncated: {len(body)} bytes are not whole records of {RECORD.itemsize}")
    records = np.frombuffer(body, RECORD)
    good = np.isin(records["word"], [GOOD, BREAKS_STEPS, NOT_A_NUMBER])
    kept = records[good]
    signal = np.where(kept["word"] == NOT_A_NUMBER, np.nan, kept["counts"].astype("f8"))
    return xr.Dataset(
        {
            "signal": ("time", signal),
            "counts": ("time", kept["counts"].astype("i4")),
            "breaks": ("time", kept["word"] == BREAKS_STEPS),
        },
        {"tai": ("time", kept["time"])},
        {"site": site, "tags": tags, "rejected": {"wrong word": int((~good).sum())} if not good.all() else {}},
    )
