"""Each built-in instrument keeps its contract, by the same kit that partners use, on synthetic files."""

from collections.abc import Callable
from pathlib import Path

import cdflib
import numpy as np

from ilrs_science import registry
from ilrs_science.simulate.frame_transfer import simulate
from ilrs_science.testing import check_instrument

JANUARY_15 = 14 * 86400 * 1000  # ms of the year
LONG_PERIOD = (9, 11, 13, 25, 27, 29, 41, 43, 45, 57, 59, 61)

type Writer = Callable[..., bytes]


def tape(folder: Path, work_tape: Writer) -> Path:
    """Write a tape of two stations with a lost frame, and saturated words."""
    path = folder / "wtn.1.1"
    times = [JANUARY_15 + round(k * 603.7736) for k in range(60) if k != 20]
    words = [dict.fromkeys(LONG_PERIOD, 500 + k) | ({9: 1023} if k == 7 else {}) for k in range(len(times))]
    frames = [
        (station, time + station, number, content)
        for number, (time, content) in enumerate(zip(times, words, strict=True))
        for station in (12, 16)
    ]
    path.write_bytes(work_tape(frames))
    return path


def test_the_star_tracker_keeps_its_contract(tmp_path: Path) -> None:
    files = simulate(tmp_path, frames=4)
    instrument = registry.instrument("clementine-star-tracker")
    assert check_instrument(instrument, files, references=[tmp_path / "references"]).ok


def test_the_long_period_seismometers_keep_their_contract(tmp_path: Path, work_tape: Writer) -> None:
    assert check_instrument(registry.instrument("apollo-pse"), [tape(tmp_path, work_tape)]).ok


def test_the_tidal_channels_keep_their_contract(tmp_path: Path, work_tape: Writer) -> None:
    assert check_instrument(registry.instrument("apollo-pse-tidal"), [tape(tmp_path, work_tape)]).ok


def test_the_magnetometers_keep_their_contract(tmp_path: Path, fgm_file: Callable[..., Path]) -> None:
    rng = np.random.default_rng(1)
    begin = cdflib.cdfepoch.compute_epoch([2001, 6, 11, 20, 0, 0, 0])
    files = []
    for spacecraft, first in (("C1", 1174.0), ("C2", 3667.0)):
        field = rng.normal(0, 5, (60, 3))
        field[30] = -1e30
        files.append(fgm_file(tmp_path, spacecraft, begin + first + 4020.0 * np.arange(60), field))
    assert check_instrument(registry.instrument("cluster-fgm"), files).ok
