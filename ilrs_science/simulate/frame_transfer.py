"""Cameras without a shutter: PDS3 frames with smear, dark level, saturation and the Moon, and the sky behind them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ilrs_science.formats.pds3 import Quantity
from ilrs_science.geometry.time import SECOND, isot, parse_utc

ROW_TIME = 94.4e-6
"""Time in which a row moves to the next one while a frame is read out, s (the value of a true camera)."""

EXPOSURES = (0.4, 0.2, 0.1, 0.05, 0.7)
"""Exposures of successive frames, s."""

SATURATED = 255
"""Counts at which the converter saturates."""

_NOISE = 0.9  # counts, 1 sigma, before quantisation
_BIAS = 36.0  # counts, added after the readout
_DARK_CURRENT = 20.0  # counts / s, collected and smeared like light
_MOON_RATE = 60.0  # counts / s of the dark side
_STARS = 12
_START = "1994-04-06T20:00:00Z"  # of the first exposure
_CADENCE = 20 * SECOND
_REFERENCE_SPAN = 86400 * SECOND

_BARE = re.compile(r"[A-Z][A-Z0-9_]*|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z?")


def simulate(
    folder: Path,
    *,
    frames: int = 16,
    shape: tuple[int, int] = (576, 384),
    seed: int = 7,
    instrument: str = "clementine-star-tracker",
) -> list[Path]:
    """Write frames of one field on the sky, along which the Moon drifts, and return the raw files.

    Below `folder` come `raw/lbaNNNNz.000`, `references/` with the circle of the Moon's limb in each frame, and
    `truth.npz` with `time` (frame) in TAI ns, `rate` (y, x) of the sky in count / s, `dark` (frame) in count as it is
    left after de-smearing, `exposure` (frame) in s, `moon` and `saturated` (frame, y, x). All arrays have the bottom
    row first, the files the top row.

    A pixel collects light for the exposure and, while the frame is shifted out, for `ROW_TIME` from every other row of
    its column: I = (1 - e) T + e sum(T) + bias, with T = (rate + dark current) exposure and e = ROW_TIME / exposure.

    Parameters
    ----------
    folder
        Made if it is not there.
    frames
        How many, at least one.
    shape
        Rows and columns.
    seed
        Of the random numbers; the same seed writes the same bytes.
    instrument
        Whose references these are.
    """
    rng = np.random.default_rng(seed)
    sky = _sky(rng, shape)
    exposure = np.resize(np.array(EXPOSURES), frames)
    times = parse_utc(_START) + _CADENCE * np.arange(frames, dtype=np.int64)
    limb = _limb(frames, shape)
    moon = np.stack([_inside(shape, *circle) for circle in limb])
    saturated = np.zeros((frames, *shape), bool)
    (folder / "raw").mkdir(parents=True, exist_ok=True)
    files = []
    for number in range(frames):
        scene = np.where(moon[number], np.float32(_MOON_RATE), sky)
        counts = _expose(rng, scene, float(exposure[number]))
        saturated[number] = counts == SATURATED
        path = folder / "raw" / f"lba{number + 1:04d}z.000"
        path.write_bytes(pds3_file(counts[::-1], _keywords(number, int(times[number]), float(exposure[number]))))
        files.append(path)
    _write_limb(folder / "references", times, limb, instrument)
    smear = shape[0] * ROW_TIME / exposure
    # What de-smearing leaves of a level that was not smeared: level / (1 - e + N e).
    dark = _DARK_CURRENT * exposure + _BIAS / (1 - ROW_TIME / exposure + smear)
    truth: dict[str, NDArray[Any]] = {"time": times, "rate": sky, "dark": dark.astype("f4"), "exposure": exposure}
    np.savez(folder / "truth.npz", allow_pickle=False, **truth, moon=moon, saturated=saturated)
    return files


def pds3_file(image: NDArray[np.uint8], keywords: Mapping[str, str | float | Quantity]) -> bytes:
    """Return a PDS3 file with an attached label, a histogram and an image of unsigned bytes.

    Parameters
    ----------
    image
        uint8, shape (lines, samples), first line first.
    keywords
        Put into the label as they are, in order.
    """
    histogram = np.bincount(image.ravel(), minlength=256).astype("<i4")
    objects = {
        "IMAGE_HISTOGRAM": {"ITEMS": 256, "DATA_TYPE": "LSB_INTEGER", "ITEM_BYTES": 4},
        "IMAGE": {
            "LINES": image.shape[0],
            "LINE_SAMPLES": image.shape[1],
            "SAMPLE_TYPE": "UNSIGNED_INTEGER",
            "SAMPLE_BITS": 8,
            "MAXIMUM": int(image.max()),
            "MINIMUM": int(image.min()),
            "MEAN": round(float(image.mean()), 3),
            "CHECKSUM": int(image.sum(dtype=np.int64)),
        },
    }
    described = "".join(f"OBJECT = {name}\r\n{_lines(one, '  ')}END_OBJECT\r\n" for name, one in objects.items())

    def label(size: int) -> str:
        # Eight digits whatever the numbers are, so that the length of the label does not depend on its own length.
        pointers = {
            "^IMAGE_HISTOGRAM": Quantity(f"{size + 1:08d}", "BYTES"),
            "^IMAGE": Quantity(f"{size + histogram.nbytes + 1:08d}", "BYTES"),
        }
        first = {"PDS_VERSION_ID": "PDS3", "RECORD_TYPE": "UNDEFINED", **pointers}
        return f"{_lines(first)}{_lines(keywords)}{described}END\r\n"

    return label(len(label(0))).encode("latin-1") + histogram.tobytes() + np.ascontiguousarray(image).tobytes()


def _lines(keywords: Mapping[str, Any], indent: str = "") -> str:
    return "".join(f"{indent}{key} = {_written(value)}\r\n" for key, value in keywords.items())


def _written(value: str | float | Quantity) -> str:
    if isinstance(value, Quantity):
        return f"{value.value} <{value.unit}>"
    return f'"{value}"' if isinstance(value, str) and not _BARE.fullmatch(value) else str(value)


def _sky(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return the rate of the sky, count / s: a glow at the lower edge, stars, and a baffle over the top left corner."""
    y, x = np.meshgrid(np.linspace(0, 1, shape[0]), np.linspace(0, 1, shape[1]), indexing="ij")
    sky = 20.0 + 150.0 * np.exp(-(((x - 0.6) / 0.35) ** 2) - y / 0.25)
    rows, columns = np.arange(shape[0])[:, None], np.arange(shape[1])[None, :]
    for size in 10.0 ** rng.uniform(2.0, 3.6, _STARS):
        row, column = rng.uniform(0.1, 0.85) * shape[0], rng.uniform(0.15, 0.95) * shape[1]
        sky += size * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 2.0)
    sky[(x < 0.12) & (y > 0.9)] = 0.0  # noqa: PLR2004 - where the dark level is taken from
    return sky.astype("f4")


def _limb(frames: int, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return column and row of the centre and radius of the Moon in every frame, pixels, shape (frames, 3)."""
    drift = np.linspace(0, 0.1, frames)
    circle = np.stack([1.05 - drift, 0.02 + 0.2 * drift, np.full(frames, 0.3)], axis=1)
    return np.round(circle * (shape[1], shape[0], min(shape)), 3)


def _inside(shape: tuple[int, int], column: float, row: float, radius: float) -> NDArray[np.bool_]:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return np.asarray((columns - column) ** 2 + (rows - row) ** 2 <= radius**2)


def _expose(rng: np.random.Generator, scene: NDArray[np.float32], exposure: float) -> NDArray[np.uint8]:
    """Return what the camera makes of a scene in count / s, as counts."""
    transfer = np.float32(ROW_TIME / exposure)
    collected = (scene + np.float32(_DARK_CURRENT)) * np.float32(exposure)
    smeared = (1 - transfer) * collected + transfer * collected.sum(axis=0, keepdims=True)
    measured = smeared + np.float32(_BIAS) + np.float32(_NOISE) * rng.standard_normal(scene.shape, dtype=np.float32)
    return np.clip(np.rint(measured), 0, SATURATED).astype(np.uint8)


def _keywords(number: int, time: int, exposure: float) -> dict[str, str | float | Quantity]:
    return {
        "MISSION_NAME": "SIMULATION",
        "INSTRUMENT_ID": "B-STAR",
        "FRAME_SEQUENCE_NUMBER": number + 1,
        "START_TIME": isot(time),
        "EXPOSURE_DURATION": Quantity(round(exposure * 1000, 4), "ms"),
    }


def _write_limb(folder: Path, times: NDArray[np.int64], limb: NDArray[np.float64], instrument: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    payload = xr.Dataset(
        {name: ("time", limb[:, number], {"units": "pixel"}) for number, name in enumerate(("xc", "yc", "radius"))},
        {"tai": ("time", times, {"about": "TAI ns"})},
    )
    (folder / "limb.json").write_text(json.dumps(payload.to_dict(), indent=1))
    entry = {
        "kind": "limb",
        "instrument": instrument,
        "valid": {"start": isot(int(times.min()) - _REFERENCE_SPAN), "stop": isot(int(times.max()) + _REFERENCE_SPAN)},
        "published": isot(int(times.max())),
        "payload": "limb.json",
        "source": "simulation",
    }
    (folder / "index.yaml").write_text(json.dumps({"references": [entry]}, indent=1))  # JSON is YAML
