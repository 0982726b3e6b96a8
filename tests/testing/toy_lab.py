"""A partner's package: one right instrument, and one that is wrong in each way the kit must notice.

It is not imported from here: `conftest.py` installs it into a temporary folder, as pip would.
"""

import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from ilrs_science import Duration, Granule, Instrument, Product, Reference, Variable, set_flag, step

RECORD = np.dtype([("tai_ns", ">i8"), ("counts", ">i2", 3)])
START = int(np.datetime64("2031-03-01", "ns").astype(np.int64))


def simulate(folder: Path) -> Sequence[Path]:
    """Write two files of two minutes each."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(7)
    paths = []
    for number in range(2):
        records = np.zeros(120, RECORD)
        records["tai_ns"] = START + 10**9 * (120 * number + np.arange(120))
        records["counts"] = 1000 + np.rint(rng.normal(0, 50, (120, 3)))
        paths.append(folder / f"base-{number}.toy")
        paths[-1].write_bytes(records.tobytes())
        paths[-1].with_suffix(".gain").write_text("2.0")
    return paths


def read(granule: Granule) -> xr.Dataset:
    """Decode one raw file of big-endian records."""
    raw = np.frombuffer(granule.read_bytes(), RECORD)
    counts = raw["counts"].astype("f4")
    site = Path(granule.url).name.split("-")[0]
    return xr.Dataset(
        {"counts": (("time", "axis"), counts, {"units": "count"})}, {"tai": ("time", raw["tai_ns"])}, {"site": site}
    )


def to_nanotesla(ds: xr.Dataset, *, gain: float = 0.01, noise: float = 0.05) -> xr.Dataset:
    """Apply the gain (nT a count); noise: 1 sigma of one sample, nT."""
    b = ds.counts * np.float32(gain)
    return ds.assign(b=b, b_uncertainty=xr.full_like(b, noise))


@step(margin="window")
def flag_jumps(ds: xr.Dataset, *, window: Duration = Duration("4 s")) -> xr.Dataset:  # noqa: B008 - immutable
    """Flag vectors far from the running median of the window."""
    frame = pd.DataFrame(ds.b.to_numpy(), index=pd.DatetimeIndex(ds.tai.to_numpy()))
    median = frame.rolling(pd.Timedelta(int(window), "ns"), center=True, min_periods=1).median().to_numpy()
    return set_flag(ds, "out_of_range", (abs(ds.b - median) > 1.0).any("axis"))


B = Variable("b", ("time", "axis"), "f4", units="nT", about="magnetic field")
AXES = ("x", "y", "z")
PRODUCT = Product(B, quality=("time",), coordinates={"axis": AXES})

toy = Instrument("toy", files="*.toy", read=read, steps=(to_nanotesla, flag_jumps), product=PRODUCT)


def read_frames(granule: Granule) -> xr.Dataset:
    """Decode a file as frames of 4 by 3 pixels, one every minute."""
    counts = np.frombuffer(granule.read_bytes(), ">u2")[:1440].reshape(-1, 4, 3).astype("u2")
    times = START + int(granule.url[-5]) * 10**12 + 60 * 10**9 * np.arange(len(counts))
    ds = xr.Dataset(
        {"frame": (("time", "y", "x"), counts, {"units": "count"})}, {"tai": ("time", times)}, {"site": "orbiter"}
    )
    return ds.assign(exposure=("time", np.full(len(counts), 0.1, "f4"), {"units": "s"}))


def remove_stripes(ds: xr.Dataset) -> xr.Dataset:
    """Take the median of each frame off its pixels, and flag full wells."""
    flagged = set_flag(ds, "saturated", ds.frame == np.iinfo("u2").max)
    return flagged.assign(flat=(ds.frame - ds.frame.median(("y", "x"))).astype("f4"))


def scale(ds: xr.Dataset, *, read_noise: float = 20.0) -> xr.Dataset:
    """Scale to counts a second; read_noise: counts."""
    rate = ds.flat / ds.exposure
    return ds.assign(rate=rate, rate_uncertainty=xr.full_like(rate, np.float32(read_noise)) / ds.exposure)


RATE = Variable("rate", ("time", "y", "x"), "f4", units="count / s")
camera = Instrument(
    "lab-camera",
    "*.toy",
    read_frames,
    (remove_stripes, scale),
    Product(RATE, exposures=True, coordinates={"y": 4, "x": 3}),
)


def _wrong(name, *more, **changes):
    """Return the right instrument under another name, with steps added and fields changed."""
    steps = changes.pop("steps", (to_nanotesla, *more))
    return replace(toy, name=name, steps=steps, **changes)


def _closure():
    def inner(ds: xr.Dataset) -> xr.Dataset:
        """Do nothing, from nowhere."""
        return ds.copy()

    return inner


closure = _wrong("toy-closure", _closure())


def index_too_short(granule: Granule):
    times = read(granule).tai.to_numpy()
    stop = int(times.max()) + (1 if "base-0" in granule.url else -5)
    return [replace(granule, site="base", start=int(times.min()), stop=stop, count=len(times))]


short_index = _wrong("toy-short-index", index=index_too_short)


def index_miscounting(granule: Granule):
    times = read(granule).tai.to_numpy()
    count = len(times) + ("base-1" in granule.url)
    return [replace(granule, site="base", start=int(times.min()), stop=int(times.max()) + 1, count=count)]


miscounting_index = _wrong("toy-miscounting-index", index=index_miscounting)


def read_looking_beside(granule: Granule) -> xr.Dataset:
    gain = Path(granule.url).with_suffix(".gain")
    ds, factor = read(granule), float(gain.read_text()) if gain.exists() else 1.0
    return ds.assign(counts=ds.counts.copy(data=(ds.counts.to_numpy() * factor).astype("f4")))


looking_beside = _wrong("toy-looking-beside", read=read_looking_beside)


def read_declared(granule: Granule) -> xr.Dataset:
    ds, factor = read(granule), float(granule.beside["GAIN"].read_bytes())
    return ds.assign(counts=ds.counts.copy(data=(ds.counts.to_numpy() * factor).astype("f4")))


looking_rightly = _wrong("toy-looking-rightly", read=read_declared, beside={"GAIN": "{stem}.gain"})


def misspells(ds: xr.Dataset) -> xr.Dataset:
    return ds.rename(b_uncertainty="b_uncertain")


undelivered = _wrong("toy-undelivered", misspells)


def read_without_units(granule: Granule) -> xr.Dataset:
    return read(granule).drop_attrs().assign_attrs(site="base")


no_raw_units = _wrong("toy-no-raw-units", read=read_without_units)
odd_units = _wrong(
    "toy-odd-units",
    product=Product(replace(B, units="nanoteslas, roughly"), quality=("time",), coordinates={"axis": AXES}),
)


def unannotated(ds, *, factor=2.0):
    return ds.copy()


no_annotation = _wrong("toy-no-annotation", unannotated)


def adds_in_place(ds: xr.Dataset) -> xr.Dataset:
    ds["extra"] = ds.counts * 2
    return ds


def marks_in_place(ds: xr.Dataset) -> xr.Dataset:
    ds.counts.attrs["calibrated"] = "yes"
    return ds.copy()


def writes_in_place(ds: xr.Dataset) -> xr.Dataset:
    ds.counts.to_numpy()[:] -= 3
    return ds.copy()


adding = _wrong("toy-adding", adds_in_place)
marking = _wrong("toy-marking", marks_in_place)
writing = _wrong("toy-writing", writes_in_place)


def read_with_dice(granule: Granule) -> xr.Dataset:
    ds = read(granule)
    dice = np.random.default_rng().normal(size=ds.sizes["time"])
    return ds.assign(temperature=("time", dice, {"units": "K"}))


rolling_dice = _wrong("toy-rolling-dice", read=read_with_dice)


def reads_a_table(ds: xr.Dataset) -> xr.Dataset:
    factor = float((Path(__file__).parent / "table.txt").read_text())
    return ds.assign(b=ds.b * np.float32(factor))


def asks_the_network(ds: xr.Dataset) -> xr.Dataset:
    with socket.socket() as one:
        one.settimeout(0.1)
    return ds.copy()


def starts_a_program(ds: xr.Dataset) -> xr.Dataset:
    subprocess.run([sys.executable, "--version"], check=True, capture_output=True)
    return ds.copy()


file_reader = _wrong("toy-file-reader", reads_a_table)
networker = _wrong("toy-networker", asks_the_network)
launcher = _wrong("toy-launcher", starts_a_program)


def depends_on_the_process(ds: xr.Dataset) -> xr.Dataset:
    return ds.assign(b=ds.b + np.float32("pytest" in sys.modules))


process_dependent = _wrong("toy-process-dependent", depends_on_the_process)


def remove_mean(ds: xr.Dataset) -> xr.Dataset:
    return ds.assign(b=ds.b - ds.b.mean("time"))


@step(margin="1 s")
def smooth_too_far(ds: xr.Dataset) -> xr.Dataset:
    smooth = pd.DataFrame(ds.b.to_numpy()).rolling(7, center=True, min_periods=1).median().to_numpy("f4")
    return ds.assign(b=(ds.b.dims, smooth))


whole_block_mean = _wrong("toy-whole-block-mean", remove_mean)
short_margin = _wrong("toy-short-margin", smooth_too_far)


def to_double(ds: xr.Dataset) -> xr.Dataset:
    return ds.assign(b=ds.b.astype("f8"))


def drop_half(ds: xr.Dataset) -> xr.Dataset:
    return ds.isel(time=slice(None, None, 2))


double = _wrong("toy-double", to_double)
dropping = _wrong("toy-dropping", drop_half)


def relative_to_first(ds: xr.Dataset) -> xr.Dataset:
    if not len(ds.counts.to_numpy()):
        raise IndexError("no first sample")
    return ds.copy()


def nan_to_zero(ds: xr.Dataset) -> xr.Dataset:
    return ds.assign(b=ds.b.fillna(0))


empty_block = _wrong("toy-empty-block", relative_to_first)
hiding_nan = _wrong("toy-hiding-nan", nan_to_zero)


def negative_sigma(ds: xr.Dataset) -> xr.Dataset:
    return ds.assign(b_uncertainty=-ds.b_uncertainty)


def no_sigma(ds: xr.Dataset) -> xr.Dataset:
    return ds.assign(b_uncertainty=ds.b_uncertainty * 0)


def undeclared_bit(ds: xr.Dataset) -> xr.Dataset:
    return ds.assign(quality=ds.quality | np.uint32(1 << 15))


def unknown_sigma(ds: xr.Dataset) -> xr.Dataset:
    return ds.assign(b_uncertainty=ds.b_uncertainty * np.float32(np.nan))


negative = _wrong("toy-negative", negative_sigma)
certain = _wrong("toy-certain", no_sigma)
stray_bit = _wrong("toy-stray-bit", undeclared_bit)
no_uncertainty = _wrong(
    "toy-no-uncertainty", product=Product(replace(B, uncertainty=False), quality=("time",), coordinates={"axis": AXES})
)
honest = _wrong("toy-honest", unknown_sigma)


def greedy_step(ds: xr.Dataset) -> xr.Dataset:
    scratch = np.ones(4_000_000)
    return ds.assign(b=ds.b * np.float32(scratch.mean()))


greedy = _wrong("toy-greedy", greedy_step)


@step(margin="1 h")
def shift_away(ds: xr.Dataset) -> xr.Dataset:
    return ds.assign_coords(tai=ds.tai - np.timedelta64(1, "h"))


shifted = _wrong("toy-shifted", shift_away)


def calibrate(ds: xr.Dataset, *, matrix: Reference) -> xr.Dataset:
    return ds.assign(b=ds.b * matrix["gain"].astype("f4"))


referring = _wrong("toy-referring", calibrate)
