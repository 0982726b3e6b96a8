"""Images, cubes and histograms of PDS3 (Standards Reference 3.8, appendices A.20, A.22 and C)."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ilrs_science.errors import FormatError
from ilrs_science.formats.format import unit_attributes
from ilrs_science.formats.pds3.label import Label, attached_label, count, plain_label, text
from ilrs_science.formats.pds3.place import Described, Place, position
from ilrs_science.formats.pds3.samples import native, sample_type, scale, special_constants, without_constants

_STORAGE = {
    "BAND_SEQUENTIAL": ("band", "line", "sample"),
    "LINE_INTERLEAVED": ("line", "band", "sample"),
    "SAMPLE_INTERLEAVED": ("line", "sample", "band"),
}
_TERMS = ("BTERM", "MTERM", "XTERM")
_BRIGHTEST = 4095
"""Of the 12 bits before companding."""


@dataclass(frozen=True)
class Layout:
    """How the samples of an image lie in a file."""

    sample: str
    """Byte order, kind and bytes as numpy has it, or `vax4`, `vax8`, `vaxg8`."""
    dims: tuple[str, ...]
    """In the order of the file."""
    shape: tuple[int, ...]
    before: int
    """Bytes before each line."""
    after: int

    @property
    def rows(self) -> int:
        """Stretches of samples between the bytes before and after."""
        return self.shape[0] if self.dims[0] == "line" else prod(self.shape[:-1])

    @property
    def stride(self) -> int:
        """Bytes from one stretch to the next."""
        return self.before + prod(self.shape) // self.rows * int(self.sample[-1]) + self.after

    @property
    def nbytes(self) -> int:
        """Bytes of the whole image."""
        return self.rows * self.stride


def image_layout(image: Label, what: str, name: str) -> Layout:
    """Return how the samples of an IMAGE, QUBE or HISTOGRAM object lie.

    Raises
    ------
    FormatError
        Samples of a kind that is not read, compressed ones, or sizes that are none.
    """
    encoding = text(image, "ENCODING_TYPE")
    if encoding:
        raise FormatError(f"{name}: {what} is compressed (ENCODING_TYPE = {encoding}), which is not read")
    if what.endswith("QUBE"):
        return _qube(image, what, name)
    if what.endswith("HISTOGRAM"):
        bits = 8 * count(image, "ITEM_BYTES", what, name)
        kind = text(image, "DATA_TYPE") or "UNSIGNED_INTEGER"
        return Layout(sample_type(kind, bits, what, name), ("bin",), (count(image, "ITEMS", what, name),), 0, 0)
    sizes = {"line": count(image, "LINES", what, name), "sample": count(image, "LINE_SAMPLES", what, name)}
    before, after = (count(image, key, what, name, default=0) for key in ("LINE_PREFIX_BYTES", "LINE_SUFFIX_BYTES"))
    kind = text(image, "SAMPLE_TYPE") or "UNSIGNED_INTEGER"
    sample = sample_type(kind, image.get("SAMPLE_BITS"), what, name)
    bands = count(image, "BANDS", what, name) if "BANDS" in image else 1
    if bands == 1:
        return Layout(sample, ("line", "sample"), tuple(sizes.values()), before, after)
    storage = text(image, "BAND_STORAGE_TYPE").upper() or "BAND_SEQUENTIAL"
    if storage not in _STORAGE:
        raise FormatError(f"{name}: {what} has BAND_STORAGE_TYPE = {storage}; known are {', '.join(_STORAGE)}")
    if storage == "LINE_INTERLEAVED" and before + after:
        raise FormatError(f"{name}: {what} has bytes around its lines and interleaves bands: unclear where they lie")
    dims = _STORAGE[storage]
    return Layout(sample, dims, tuple({**sizes, "band": bands}[dim] for dim in dims), before, after)


def read_samples(path: Path, offset: int, layout: Layout, name: str) -> NDArray[Any]:
    """Return samples as stored, in the byte order of this machine, but for special constants; writable.

    Raises
    ------
    FormatError
        The file is too short.
    """
    size = path.stat().st_size
    if offset + layout.nbytes > size:
        raise FormatError(f"{path}: {name} ends at byte {offset + layout.nbytes}, the file at byte {size}")
    raw = np.fromfile(path, np.uint8, layout.nbytes, offset=offset)
    if layout.before or layout.after:
        rows = raw.reshape(layout.rows, layout.stride)
        raw = np.ascontiguousarray(rows[:, layout.before : layout.stride - layout.after]).reshape(-1)
    return native(raw, layout.sample).reshape(layout.shape)


def image_dataset(
    image: Described, where: Place, *, label: Label, scaled: bool = False
) -> tuple[xr.Dataset, list[str]]:
    """Return an image as a dataset of one variable of its name, and what was repaired.

    Parameters
    ----------
    image
        The object of the label.
    where
        Where it lies.
    label
        The whole label, for the terms of companding.
    scaled
        Whether to apply SCALING_FACTOR and OFFSET.

    Raises
    ------
    FormatError
        The bytes are not what the label says.
    """
    about, what = image.about, image.name
    layout, repaired = image_layout(about, what, str(where.path)), []
    terms = _terms(label) if what == "IMAGE" else {}
    if terms and layout.sample[1:] == "i1":
        layout = Layout("|u1", layout.dims, layout.shape, layout.before, layout.after)
        repaired.append(f"{what} is read as unsigned: its label says signed, and companding that gives 0 to 255")
    values = read_samples(where.path, where.offset, layout, what)
    constants = special_constants(about)
    values = without_constants(values, constants, layout.sample)
    if scaled:
        values = scale(values, about, constants)
    attributes = {key: plain_label(value) for key, value in about.items() if not isinstance(value, dict | list)}
    attributes |= unit_attributes(text(about, "UNIT", "CORE_UNIT")) | terms
    coordinates: dict[str, Any] = {}
    bands = about.get("BAND_NAME")
    if "band" in layout.dims and isinstance(bands, tuple) and len(bands) == layout.shape[layout.dims.index("band")]:
        coordinates["band"] = ("band", [str(one) for one in bands])
        del attributes["BAND_NAME"]
    return xr.Dataset({what: (layout.dims, values, attributes)}, coordinates), repaired


def read_image(
    data: bytes, *, label: Label | None = None, what: str = "IMAGE", name: str = "data"
) -> tuple[NDArray[Any], Label]:
    """Return an uncompressed image of one band in bytes, and the label.

    Parameters
    ----------
    data
        The file that holds the image.
    label
        Its detached label; by default the label is attached.
    what
        Name of the image object.
    name
        What to call the file in an error.

    Returns
    -------
    The samples as stored, first line first, shape (lines, samples), in the file's byte order, read-only; and the
    label.

    Raises
    ------
    FormatError
        The bytes are not what the label says.
    """
    end = 0
    if label is None:
        label, end, _ = attached_label(data, name)
    image = label.get(what)
    if not isinstance(image, dict):
        raise FormatError(f"{name}: its label describes no {what}")
    file, start = position(label.get(f"^{what}"), label, what, name)
    if file and end:
        raise FormatError(f"{name}: ^{what} says that it lies in the file {file!r}")
    if start < end:
        raise FormatError(f"{name}: ^{what} points to byte {start + 1}, but the label reaches to byte {end}")
    layout = image_layout(image, what, name)
    if layout.dims != ("line", "sample") or layout.sample.startswith("vax"):
        raise FormatError(f"{name}: {what} has dimensions {layout.dims} of {layout.sample}; one band is read here")
    if start + layout.nbytes > len(data):
        raise FormatError(f"{name}: {what} ends at byte {start + layout.nbytes}, the file at byte {len(data)}")
    rows = np.frombuffer(data, np.uint8, layout.nbytes, start).reshape(layout.rows, layout.stride)
    if layout.before or layout.after:
        rows = np.ascontiguousarray(rows[:, layout.before : layout.stride - layout.after])
    return rows.view(np.dtype(layout.sample)).reshape(layout.shape), label


def expand(ds: xr.Dataset) -> xr.Dataset:
    """Return companded images in the counts of the converter: 12 bits instead of 8.

    Counts x from XTERM[i] to XTERM[i + 1] were packed into BTERM[i] + MTERM[i] x, rounded down (LROC EDR/CDR SIS and
    LROC_SOC_SPEC, appendix B). As several x gave the same byte, the result is the middle of those that did, a whole or
    a half count, as ISIS `lronac2isis` has it.

    Parameters
    ----------
    ds
        Images of uint8 with the attributes BTERM, MTERM and XTERM, as `read_pds3` gives them; others are left alone.

    Returns
    -------
    The same in float32 and without these attributes.

    Raises
    ------
    FormatError
        The terms are no such function of 12 bits.
    """
    expanded = {}
    for name, variable in ds.data_vars.items():
        if all(term in variable.attrs for term in _TERMS):
            table = _middles(*(np.atleast_1d(variable.attrs[term]) for term in _TERMS))
            attributes = {key: value for key, value in variable.attrs.items() if key not in _TERMS}
            expanded[name] = (variable.dims, table[variable.to_numpy()], attributes)
    return ds.assign(expanded)


def _middles(offset: NDArray[Any], slope: NDArray[Any], start: NDArray[Any]) -> NDArray[np.float32]:
    """Return the middle of the counts that give each byte, NaN where none does."""
    if not len(offset) == len(slope) == len(start) or any(
        terms.dtype.kind not in "iuf" for terms in (offset, slope, start)
    ):
        raise FormatError(f"terms of companding that do not belong together: {offset}, {slope}, {start}")
    counts = np.arange(_BRIGHTEST + 1)
    segment = np.searchsorted(start, counts, side="right") - 1
    packed = np.where(segment < 0, counts, np.floor(offset[segment] + slope[segment] * counts))
    if (
        not (np.diff(start) > 0).all()
        or not (np.diff(packed) >= 0).all()
        or packed[0] < 0
        or packed[-1] > np.iinfo(np.uint8).max
    ):
        raise FormatError(f"terms of companding that do not pack 12 bits into 8: {offset}, {slope}, {start}")
    bytes_ = np.arange(256)
    first, last = (np.searchsorted(packed, bytes_, side=side) for side in ("left", "right"))
    return np.where(last > first, (first + last - 1) / 2, np.nan).astype(np.float32)


def _terms(label: Label) -> dict[str, Any]:
    """Return the terms of companding of a label, by their names without the mission's prefix."""
    found = {key.rpartition(":")[2]: value for key, value in label.items() if key.endswith(_TERMS)}
    lists = {key: [*value] for key, value in found.items() if key in _TERMS and isinstance(value, tuple)}
    numbers = all(isinstance(one, int | float) for value in lists.values() for one in value)
    return lists if len(lists) == len(_TERMS) and numbers else {}


def _qube(qube: Label, what: str, name: str) -> Layout:
    sizes, axes = qube.get("CORE_ITEMS"), qube.get("AXIS_NAME")
    suffixes = qube.get("SUFFIX_ITEMS", (0,))
    if not isinstance(sizes, tuple) or not sizes or any(not isinstance(one, int) or one < 1 for one in sizes):
        raise FormatError(f"{name}: CORE_ITEMS of {what} is {sizes!r}; expected whole numbers")
    if not isinstance(axes, tuple) or len({*map(str, axes)}) != len(sizes):
        raise FormatError(f"{name}: AXIS_NAME of {what} is {axes!r}; expected {len(sizes)} names")
    if not isinstance(suffixes, tuple) or any(suffixes):
        raise FormatError(f"{name}: {what} has SUFFIX_ITEMS = {suffixes!r}; planes beside the core are not read")
    bits = 8 * count(qube, "CORE_ITEM_BYTES", what, name)
    sample = sample_type(text(qube, "CORE_ITEM_TYPE"), bits, what, name)
    return Layout(sample, tuple(str(axis).lower() for axis in axes[::-1]), sizes[::-1], 0, 0)
