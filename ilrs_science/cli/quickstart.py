"""`ilrs quickstart`: from nothing to two calibrated cubes, compared with the truth, in a minute."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from rich.console import Console

from ilrs_science.analysis.quicklook import save_quicklook
from ilrs_science.cli.terminal import Progress
from ilrs_science.errors import IlrsError
from ilrs_science.planning.plan import plan
from ilrs_science.running.cluster import connect
from ilrs_science.running.report import Report
from ilrs_science.running.run import run
from ilrs_science.simulate import frame_transfer, magnetometer
from ilrs_science.store.cube import open_cube

_FIELD = """\
name: south-pole-field
instrument: fluxgate
sites: [shackleton, malapert, haworth]
time: {start: 2031-03-01T00:00:00Z, stop: 2031-03-02T00:00:00Z, step: 1 s}
raw: field/raw/{site}/*.fgm           # the site comes from the path
steps:
  - flag_saturated
  - correlate_clock: {limit: 2 s}
  - to_nanotesla: {noise: 0.05}
  - despike: {window: 20 s}           # from the library; any installed package may add steps
references: {folders: [field/references]}
layout: {chunk: 3600, shard: 14400}   # a chunk an hour, a shard and a task four hours
output: field.zarr
"""

_MEDIAN_OF_NORMAL = 0.6745  # median of the absolute value of a normal deviate, in sigmas

_FRAMES = """\
name: star-tracker-frames
instrument: clementine-star-tracker
raw: frames/raw/*
references: {folders: [frames/references]}
layout: {chunk: 1, shard: 4}
output: frames.zarr
"""


def run_quickstart(folder: Path, *, quiet: bool = False) -> dict[str, Any]:
    """Simulate, reduce on a local Dask cluster, compare with the truth, draw, and say what to look at.

    Parameters
    ----------
    folder
        Where everything goes. A second run in the same folder finds its own files and has nothing to reduce.
    quiet
        Print nothing.

    Raises
    ------
    IlrsError
        The folder holds something else, or a result differs from the truth by more than its uncertainty allows.
    """
    began = time.perf_counter()
    console = Console(quiet=quiet, soft_wrap=True, highlight=False)
    say = console.print
    _prepare(folder)
    say(f"[bold]1[/] simulating a day of three magnetometers and a camera in lunar orbit, below {folder}/")
    magnetometer.simulate(folder / "field")
    frame_transfer.simulate(folder / "frames")
    (folder / "field.yaml").write_text(_FIELD)
    (folder / "frames.yaml").write_text(_FRAMES)

    say("[bold]2[/] reducing both on a local Dask cluster")
    with connect("local") as client:
        reports = {name: _reduce(folder / f"{name}.yaml", client, quiet=quiet) for name in ("field", "frames")}

    say("[bold]3[/] comparing the cubes with the truth")
    results = _compare_field(folder) | _compare_frames(folder)
    for line in results.values():
        say(f"  {line['text']}")
    pictures = [
        str(save_quicklook(open_cube(str(folder / f"{n}.zarr")), folder / f"{n}.png")) for n in ("field", "frames")
    ]
    seconds = time.perf_counter() - began
    say(f"[bold]4[/] done in {seconds:.0f} s; look at these pictures:\n  " + "\n  ".join(pictures))
    say(f"the cubes are {folder}/field.zarr and {folder}/frames.zarr, each with its pipeline in the .yaml beside it")
    say(f"next:\n  ilrs info {folder}/field.zarr\n  ilrs run {folder}/field.yaml        # finds nothing left to do")
    say("  ilrs new-instrument acme-mag     # a package for an instrument of your own")
    return {
        "seconds": seconds,
        "pictures": pictures,
        "runs": {name: report.as_json() for name, report in reports.items()},
        "truth": results,
    }


def _prepare(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()) and not (folder / "field.yaml").is_file():
        raise IlrsError(f"{folder} is not empty and no quickstart of an earlier time; choose another folder")
    folder.mkdir(parents=True, exist_ok=True)


def _reduce(pipeline: Path, client: Any, *, quiet: bool) -> Report:
    made = plan(pipeline)
    with Progress(f"  {made.pipeline.name}", "parts", quiet=quiet) as progress:
        report = run(made, cluster=client, progress=progress.parts)
    if report.exit_code:
        raise IlrsError(f"{pipeline.name} did not finish well: {[r.reason for r in report.failed] or report.rejected}")
    return report


def _compare_field(folder: Path) -> dict[str, dict[str, Any]]:
    """Compare good samples, flags and gaps of every station with what was put into the raw files."""
    truth = np.load(folder / "field" / "truth.npz", allow_pickle=False)
    cube = open_cube(str(folder / "field.zarr")).load()
    results = {}
    for site in map(str, cube["site"].values):
        one = cube.sel(site=site)
        good = (one["quality"] == 0).values
        rms = float(np.sqrt(np.mean((one["b"].values - truth[f"b_{site}"])[good] ** 2)))
        sigma = float(one["b_uncertainty"].values[good].mean())
        spikes, lost = truth[f"spike_{site}"] & ~truth[f"lost_{site}"], truth[f"lost_{site}"]
        found = one.ilrs.flag("out_of_range").values
        gaps_right = bool((one.ilrs.flag("missing").values == lost).all())
        results[site] = {
            "rms_nT": rms,
            "uncertainty_nT": sigma,
            "spikes": int(spikes.sum()),
            "spikes_found": int((spikes & found).sum()),
            "good_flagged": int((found & ~spikes).sum()),
            "gaps_right": gaps_right,
            "text": f"{site:<12} differs from the true field by {rms:.4f} nT rms ({sigma:.4f} nT stated); "
            f"{int((spikes & found).sum())} of {int(spikes.sum())} spikes flagged; "
            f"gaps {'exactly as simulated' if gaps_right else 'NOT as simulated'}",
        }
        if abs(rms / sigma - 1) > 0.1 or not gaps_right:  # noqa: PLR2004 - 250,000 samples know their rms to a permille
            raise IlrsError(f"{site} differs from the truth: {results[site]['text']}")
    return results


def _compare_frames(folder: Path) -> dict[str, dict[str, Any]]:
    """Compare good pixels of every frame with the true scene."""
    truth = np.load(folder / "frames" / "truth.npz", allow_pickle=False)
    cube = open_cube(str(folder / "frames.zarr")).load()
    difference = (cube["rate"] - xr.DataArray(truth["rate"], dims=("y", "x"))).where(cube["quality"] == 0)
    sigmas = float(abs(difference / cube["rate_uncertainty"]).median())
    good = float((cube["quality"] == 0).mean())
    frames = cube.sizes["time"]
    difference_text = f"median difference {sigmas:.2f} sigma (0.67 expected)"
    text = f"{'camera':<12} {frames} frames, {good:.0%} of pixels good; {difference_text}"
    if abs(sigmas / _MEDIAN_OF_NORMAL - 1) > 0.25:  # noqa: PLR2004 - the stated sigma leaves out shot noise
        raise IlrsError(f"the camera differs from the truth: {text}")
    return {"camera": {"frames": frames, "good": good, "median_sigmas": sigmas, "text": text}}
