"""Every reader against the bare call of its library, and against damaged copies; makes the table of the documentation.

    uv run python benchmarks/formats.py                              # print the table, 200 damaged copies a format
    uv run python benchmarks/formats.py --mutations 20000 --write    # as in docs/reference/formats.md; an hour

Ratios are of CPU time within one run, medians of alternating calls. Files are simulated; real ones are damaged, too,
where they lie beside the checkout in shared/data, or where `ILRS_REAL_DATA` says.
"""

import argparse
import importlib.util
import json
import multiprocessing
import os
import shutil
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ilrs_science import formats
from ilrs_science.testing.mutation import survive

ROOT = Path(__file__).resolve().parents[1]
REAL = Path(os.environ.get("ILRS_REAL_DATA", ROOT.parent / "shared" / "data"))
DOCUMENT = ROOT / "docs" / "reference" / "formats.md"
BEGIN, END = "<!-- the table of benchmarks/formats.py -->\n", "<!-- end of the table -->"
type Made = tuple[Path, Callable[[], Any] | None, dict[str, Any]]  # file, the library alone, options of the reader
FIELD = np.random.default_rng(1).normal(0, 30, (400_000, 3)).astype("f4")
MOST = 6  # real files of a format
SMALL = 250_000  # bytes; larger real files are not damaged, as each copy is written and read


def fits(folder: Path, size: int) -> Made:
    from astropy.io import fits as library

    from ilrs_science.simulate.fits_files import write_frame

    path = folder / "frame.fits"
    write_frame(path, shape=(size, size))
    return path, lambda: np.asarray(library.getdata(path)).astype("u2"), {}


def ogip(folder: Path, size: int) -> Made:
    from astropy.io import fits as library

    from ilrs_science.simulate.fits_files import write_events

    path = folder / "events.fits"
    write_events(path, count=250 * size)

    def bare() -> list[Any]:
        table = library.getdata(path, 1)
        return [np.array(table[name], table[name].dtype.newbyteorder("=")) for name in table.names]

    return path, bare, {}


def ecallisto(folder: Path, _: int) -> Made:
    from astropy.io import fits as library

    from ilrs_science.simulate.fits_files import write_ecallisto

    path = folder / "spectrum.fit"
    write_ecallisto(path)
    return path, lambda: [np.array(library.getdata(path, 0)), np.array(library.getdata(path, 1)["FREQUENCY"])], {}


def cdf(folder: Path, size: int) -> Made:
    import cdflib

    from ilrs_science.simulate.cdf_files import simulate_cdf

    path = folder / "field.cdf"
    simulate_cdf(path, records=100 * size)

    def bare() -> None:
        file = cdflib.CDF(path)
        for name in file.cdf_info().zVariables:
            file.varattsget(name)
            if file.varinq(name).Last_Rec >= 0:
                file.varget(name)

    return path, bare, {}


def ccsds(folder: Path, size: int) -> Made:
    from space_packet_parser.xarr import create_dataset

    from ilrs_science.simulate.space_packets import SCIENCE, simulate_packets

    made = simulate_packets(folder / "definition", count=max(size, 20), flaws=())
    stream, at, kept = made.stream.read_bytes(), 0, []
    while at < len(stream):
        apid, _, length = np.frombuffer(stream, ">u2", 3, at)
        kept += [stream[at : at + int(length) + 7]] if apid & 2047 == SCIENCE else []
        at += int(length) + 7
    path = folder / "packets.tlm"  # the library alone stops at segments and at the last point of a spline
    path.write_bytes(b"".join(kept))
    return path, lambda: create_dataset([path], made.xtce), {"xtce": made.xtce}


def netcdf(folder: Path, size: int) -> Made:
    import xarray as xr

    path, field = folder / "field.nc", FIELD[: 200 * size]
    made = xr.Dataset({"b": (("sample", "axis"), field), "counts": ("sample", np.arange(len(field)))})
    made.to_netcdf(path, engine="h5netcdf")
    return path, lambda: xr.open_dataset(path, engine="h5netcdf").load().close(), {}


def matlab(folder: Path, size: int) -> Made:
    import scipy.io

    path, field = folder / "field.mat", FIELD[: 200 * size]
    scipy.io.savemat(path, {"b": field, "counts": np.arange(len(field))})
    return path, lambda: scipy.io.loadmat(path), {}


def csv(folder: Path, size: int) -> Made:
    import pandas as pd

    path = folder / "field.csv"
    pd.DataFrame(FIELD[: 200 * size], columns=["x", "y", "z"]).to_csv(path, index=False)
    return path, lambda: pd.read_csv(path, engine="pyarrow"), {}


def miniseed(folder: Path, size: int) -> Made:
    import obspy

    path = folder / "walk.mseed"
    walk = np.cumsum(np.random.default_rng(1).integers(-20, 20, 2000 * size)).astype("i4")
    header = {"network": "XA", "station": "S12", "channel": "MHZ", "sampling_rate": 6.625}
    obspy.Stream([obspy.Trace(walk, header)]).write(str(path), format="MSEED", encoding="STEIM2")
    return path, lambda: [trace.times() for trace in obspy.read(str(path), format="MSEED")], {}


def pds4(folder: Path, size: int) -> Made:
    from ilrs_science.simulate.gras import LPR, lpr_pair

    path = lpr_pair(folder, records=max(4 * size, 12)).data

    def bare() -> list[Any]:
        records = np.fromfile(path, LPR)
        return [records[name].astype(records.dtype[name].base.newbyteorder("=")) for name in LPR.names or ()]

    return path, bare, {}


def crd(folder: Path, size: int) -> Made:
    from ilrs_science.simulate.laser_ranging import write_crd

    path = folder / "ranges.npt"
    write_crd(path, size=(3, max(size, 12)))
    return path, None, {}


def cpf(folder: Path, size: int) -> Made:
    from ilrs_science.simulate.laser_ranging import write_cpf

    path = folder / "positions.cpf"
    write_cpf(path, steps=10 * size)
    return path, None, {}


def lexi(folder: Path, size: int) -> Made:
    from ilrs_science.simulate.space_packets import simulate_lexi

    path = folder / "frames.dat"
    simulate_lexi(path, count=100 * size)
    return path, None, {}


def cef(folder: Path, size: int) -> Made:
    from ilrs_science.simulate.cef import write_cef

    path = folder / "field.cef"
    write_cef(path, records=50 * size)
    return path, None, {}


def fixed_width(folder: Path, size: int) -> Made:
    import pandas as pd

    path = folder / "field.txt"
    path.write_text("".join(f"{x:12.4f}{y:12.4f}{z:12.4f}\n" for x, y, z in FIELD[: 100 * size]))
    columns = [{"name": name, "start": 1 + 12 * number, "width": 12} for number, name in enumerate("xyz")]
    return path, lambda: pd.read_fwf(path, widths=[12] * 3, header=None), {"layout": {"columns": columns}}


SIMULATED = {
    one.__name__: one
    for one in (fits, ogip, ecallisto, cdf, cef, ccsds, netcdf, matlab, csv, miniseed, pds4, crd, cpf, lexi)
} | {"fixed-width": fixed_width}


def row(name: str, mutations: int) -> dict[str, Any]:
    """Return what is measured of a format: speed with a large file, and damage with small ones."""
    found: dict[str, Any] = {"format": name, "library": formats.FORMATS[name].library, "mutations": 0}
    with tempfile.TemporaryDirectory() as place:
        large, small = Path(place) / "large", Path(place) / "small"
        large.mkdir()
        small.mkdir()
        sources = []
        if name in SIMULATED:
            path, bare, options = SIMULATED[name](large, 2048)
            found |= _speed(path, partial(formats.FORMATS[name].read, path, **options), bare)
            path, _, options = SIMULATED[name](small, 2)
            sources.append((path, options))
        sources += [(path, {}) for path in _real(name, Path(place) / "real")]
        for number, (source, options) in enumerate(sources):
            read = partial(formats.FORMATS[name].read, **options)
            outcome = survive(read, source, -(-mutations // len(sources)), seed=number)
            assert set(outcome) <= {"read", "refused"}, (name, source, outcome)
            found["mutations"] += sum(outcome.values())
    return found


def facts() -> Counter[str]:
    """Return how many numbers of the data sheet of the real files `tests/formats/test_facts.py` compares, by format."""
    place = ROOT / "tests" / "formats" / "test_facts.py"
    spec = importlib.util.spec_from_file_location("test_facts", place)
    test = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(test)
    found: Counter[str] = Counter()
    for file, entry in test.load(REAL).items() if (REAL / "facts.json").is_file() else ():
        blocks = [one for one in test.statistics(entry.get("facts")) if one[0].rpartition(".")[2] not in test.DERIVED]
        count = 3 * len(blocks) + len(test.moments(entry.get("facts"), test.FIRST + test.LAST))
        if count and (REAL / file).is_file():
            with tempfile.TemporaryDirectory() as folder:
                granules = formats.index(test.local_copy(REAL, file, Path(folder)))
            found[granules[0].format] += count
    return found


def _speed(path: Path, read: Callable[[], Any], bare: Callable[[], Any] | None) -> dict[str, Any]:
    """Return bytes a second of both, and the ratio of their times; where no library reads it, of ours alone."""
    calls = {"own": read} | ({"bare": bare} if bare else {})
    seconds: dict[str, list[float]] = {kind: [] for kind in calls}
    for _ in range(8):
        for kind, call in calls.items():
            began = time.process_time()
            call()
            seconds[kind].append(time.process_time() - began)
    median = {kind: statistics.median(one[1:]) for kind, one in seconds.items()}
    found = {f"MB/s {kind}": path.stat().st_size / one / 1e6 for kind, one in median.items()}
    return found | ({"ratio": median["own"] / median["bare"]} if bare else {})


def _real(name: str, folder: Path) -> list[Path]:
    """Return copies of small real files of a format, each in a folder of its own with all that lies beside it."""
    if not (REAL / "facts.json").is_file():
        return []
    families = json.loads((REAL / "facts.json").read_text())
    files = [entry["file"] for family in families.values() for entry in family if (REAL / entry["file"]).is_file()]
    found = []
    for number, file in enumerate(files):
        path = REAL / file
        if path.stat().st_size > SMALL or path.name.endswith(".gz") or "defs/" in file:
            continue
        try:
            recognised = formats.recognise(path).name
        except formats.FormatError:
            continue
        if recognised == name:
            home = folder / str(number)
            home.mkdir(parents=True)
            for one in path.parent.iterdir():
                if one.is_file():
                    shutil.copyfile(one, home / one.name)
            found.append(home / path.name)
    return found[:MOST]


def _table(rows: Iterable[dict[str, Any]], compared: Counter[str]) -> str:
    columns = (
        "format | what it is | parsed by | damaged copies survived | facts compared | MB/s | the library alone | ratio"
    )
    lines = [f"| {columns} |\n", "|---" * 8 + "|\n"]
    for one in rows:
        numbers = {key: f"{one[key]:,.1f}" for key in ("MB/s own", "MB/s bare") if key in one}
        numbers |= {"ratio": f"{one['ratio']:.2f}"} if "ratio" in one else {}
        speed = " | ".join(numbers.get(key, "") for key in ("MB/s own", "MB/s bare", "ratio"))
        about = formats.FORMATS[one["format"]].about
        cells = [f"`{one['format']}`", about, one["library"], f"{one['mutations']:,}", compared[one["format"]], speed]
        lines.append(f"| {' | '.join(map(str, cells))} |\n")
    return "".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(formats.FORMATS))
    parser.add_argument("--mutations", type=int, default=200)
    parser.add_argument("--write", action="store_true", help="put the table into the documentation")
    arguments = parser.parse_args()
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:  # each in a process of its own
        rows = []
        for name in arguments.names:
            rows.append(pool.apply(row, (name, arguments.mutations)))
            print(rows[-1], flush=True)
    table = _table(rows, facts())
    print(table)
    if arguments.write:
        before, _, rest = DOCUMENT.read_text().partition(BEGIN)
        DOCUMENT.write_text(before + BEGIN + table + END + rest.partition(END)[2])


if __name__ == "__main__":
    main()
