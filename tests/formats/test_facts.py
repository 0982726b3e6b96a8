"""Every real file is taken by one reader, and gives the numbers that a correct reading gives."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import ilrs_science as ilrs
from ilrs_science import formats
from ilrs_science.errors import IlrsError
from ilrs_science.geometry.time import parse_utc

pytestmark = pytest.mark.real

STATISTICS = ("min", "max", "mean")
FIRST = ("first_time", "start", "first")
LAST = ("last_time", "last")


def load(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what is known of each file, by its name under the folder."""
    families = json.loads((folder / "facts.json").read_text())
    return {entry["file"]: entry for family in families.values() for entry in family if "(" not in entry["file"]}


def arrays(data: xr.Dataset | xr.DataTree) -> Iterator[tuple[str, np.ndarray]]:
    """Yield every variable and coordinate of a dataset or tree."""
    for node in data.subtree if isinstance(data, xr.DataTree) else [data]:
        path = node.path if isinstance(node, xr.DataTree) else ""
        for name, values in (node.to_dataset() if isinstance(node, xr.DataTree) else node).variables.items():
            yield f"{path}/{name}", values.to_numpy()


def statistics(facts: Any, where: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every block of statistics in the facts of a file: shape, minimum, maximum, mean."""
    if isinstance(facts, dict):
        if all(isinstance(facts.get(key), int | float) for key in STATISTICS):
            yield where, facts
        for key, value in facts.items():
            if not key.startswith("wrong"):  # how a wrong reading looks
                yield from statistics(value, f"{where}.{key}")
    elif isinstance(facts, list):
        for number, value in enumerate(facts):
            yield from statistics(value, f"{where}[{number}]")


def has(values: np.ndarray, fact: dict[str, Any]) -> bool:
    """Whether an array, or one column or band of it, has these statistics to the printed digits."""
    if values.dtype.kind not in "iufb" or not values.size:
        return False
    shape = tuple(fact["shape"]) if "shape" in fact else None
    candidates = [values] if shape is None or values.shape == shape else []
    if shape is not None and values.size == int(np.prod(shape)) and not candidates:
        candidates = [values.reshape(shape)]
    if "npts" in fact and values.size > fact["npts"] and values.size % fact["npts"] == 0:
        candidates += list(values.reshape(-1, fact["npts"]))
    if values.ndim > 1 and (shape is None or not candidates):
        candidates += [
            part
            for axis in range(values.ndim)
            if values.shape[axis] <= 64
            for part in np.moveaxis(values, axis, 0)
            if shape is None or part.shape == shape
        ]
    return any(_agrees(one, fact) for one in candidates)


def _agrees(values: np.ndarray, fact: dict[str, Any]) -> bool:
    numbers = values.astype("f8")
    numbers = numbers[np.isfinite(numbers)]
    if not numbers.size or ("n_valid" in fact and numbers.size != fact["n_valid"]):
        return False
    found = {"min": numbers.min(), "max": numbers.max(), "mean": numbers.mean()}
    return all(np.isclose(found[key], fact[key], rtol=2e-6, atol=1e-12) for key in STATISTICS)


def moments(facts: Any, keys: tuple[str, ...]) -> list[tuple[str, int, int]]:
    """Return the times among the facts under these keys: the text, TAI ns, and its last printed digit in ns."""
    found = []
    if isinstance(facts, dict):
        for key, value in facts.items():
            if key in keys and isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\d[T ]\d\d:", value):
                text = value.replace(" ", "T")
                try:
                    tai = parse_utc(text)
                except IlrsError:
                    continue
                decimals = len(text.rstrip("Z").partition(".")[2])
                found.append((text, tai, 10 ** (9 - decimals)))
            else:
                found += moments(value, keys)
    elif isinstance(facts, list):
        for value in facts:
            found += moments(value, keys)
    return found


def local_copy(real_data: Path, file: str, folder: Path) -> Path:
    """Return the path of a real file, with its label beside it where the data folder keeps labels apart."""
    path = real_data / file
    label = real_data / "clementine" / "labels" / f"{path.stem}.lbl"
    if "clementine/raw" in file and label.is_file():
        shutil.copy(label, folder)
        return Path(shutil.copy(path, folder))
    return path


DERIVED = {"T_good", "AVG_TEMP", "DELTA_TEMP", "radius_m", "row_sum"}
"""What the tests of the formats work out: where flags are good, with the missing constant as a number, of a matrix."""
_JPSS = "ccsds/jpss/J01_G011_LZ_2021-04-09T00-00-00Z_V01.DAT1"
OPTIONS = {_JPSS: {"xtce": "ccsds/jpss/jpss1_geolocation_xtce_v1.xml"}}


def test_every_block_of_statistics_of_every_file_is_found_in_it(real_data: Path, tmp_path: Path) -> None:
    checked, missed = 0, []
    for file, entry in load(real_data).items():
        wanted = [one for one in statistics(entry.get("facts")) if one[0].rpartition(".")[2] not in DERIVED]
        if not wanted or "*" in file:
            continue
        options = {key: real_data / value for key, value in OPTIONS.get(file, {}).items()}
        found = list(arrays(formats.read(local_copy(real_data, file, tmp_path), **options)))
        for where, fact in wanted:
            checked += 1
            if not any(has(values, fact) for _, values in found):
                missed.append((file, where, fact, [(name, values.shape) for name, values in found]))
    assert not missed, "\n".join(map(str, missed))
    assert checked > 95


def test_every_first_and_last_time_is_that_of_the_samples(real_data: Path, tmp_path: Path) -> None:
    checked, missed = 0, []
    for file, entry in load(real_data).items():
        options = {key: real_data / value for key, value in OPTIONS.get(file, {}).items()}
        wanted = moments(entry.get("facts"), FIRST + LAST)
        if not wanted or entry["format"].endswith(("label", "CSV")):
            continue
        path = local_copy(real_data, file, tmp_path)
        spans = [end for one in formats.index(path) for end in (one.start, one.stop - 1)]
        samples = [
            values.astype("i8") for name, values in arrays(formats.read(path, **options)) if name.endswith("/tai")
        ]
        times = np.concatenate([np.ravel(one) for one in (*samples, spans)])
        for text, tai, digit in wanted:
            checked += 1
            if np.abs(times - tai).min() > digit:
                missed.append((file, text, [ilrs.geometry.isot(int(time)) for time in times[:4]]))
    assert not missed, "\n".join(map(str, missed))
    assert checked > 40


def test_every_file_is_a_granule_or_says_why_not(real_data: Path) -> None:
    found = ilrs.inventory(str(real_data))
    taken = {one.url for one in found.granules}
    reasons = {one.url: one.reason for one in found.rejected}
    unexplained = [
        file
        for file, entry in load(real_data).items()
        if "*" not in file and not entry["format"].startswith("XTCE")
        if str(real_data / file) not in taken and "the label of" not in reasons.get(str(real_data / file), "")
    ]
    assert not taken & reasons.keys()
    assert not unexplained, "\n".join(f"{file}: {reasons.get(str(real_data / file))}" for file in unexplained)
