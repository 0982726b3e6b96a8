"""How many small files an inventory indexes a second, in how much memory, and how long it takes when nothing changed.

uv run python benchmarks/inventory.py 5000        # files of each kind: FITS, CEF, LEXI frames, PDS4
"""

import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

from ilrs_science import inventory
from ilrs_science.catalog import Inventory
from ilrs_science.simulate.cef import write_cef
from ilrs_science.simulate.fits_files import write_frame
from ilrs_science.simulate.gras import lpr_pair
from ilrs_science.simulate.space_packets import simulate_lexi


def kinds(folder: Path) -> dict[str, list[Path]]:
    """Write one small file of each kind, with what belongs to it."""
    write_frame(folder / "frame.fits")
    write_cef(folder / "field.cef")
    simulate_lexi(folder / "frames.dat")
    pair = lpr_pair(folder)
    return {
        "FITS": [folder / "frame.fits"],
        "CEF": [folder / "field.cef", folder / "CL_CH_MISSION.ceh"],
        "LEXI": [folder / "frames.dat"],
        "PDS4": [pair.data, pair.label],
    }


def measure(name: str, files: list[Path], count: int, place: Path) -> None:
    raw = place / name
    for number in range(count):
        folder = raw / f"{number:06}"
        folder.mkdir(parents=True)
        for one in files:
            shutil.copyfile(one, folder / one.name)
    began = time.perf_counter()
    found = inventory(str(raw))
    took = time.perf_counter() - began
    found.save(place / f"{name}.parquet")
    opened = len(found.granules) + len(found.rejected)
    began = time.perf_counter()
    again = inventory(str(raw), known=Inventory.from_file(str(place / f"{name}.parquet")))
    assert again == found
    memory = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024
    print(
        f"{name}: {len(found.granules)} granules of {opened} files, {opened / took:.0f} files/s "
        f"({took:.1f} s with the start of the processes), again in {time.perf_counter() - began:.2f} s; "
        f"{memory:.0f} MiB at most in a process"
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        one = Path(place) / "one"
        one.mkdir()
        for name, files in kinds(one).items():
            measure(name, files, int(sys.argv[1]) if len(sys.argv) > 1 else 2000, Path(place))
