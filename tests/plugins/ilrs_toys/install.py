"""Write the metadata that makes a package on the path an installed distribution."""

from collections.abc import Mapping
from pathlib import Path

TOYS = {
    "ilrs_science.instruments": {
        "toy-clock": "ilrs_toys.clock:instrument",
        "toy-frames": "ilrs_toys.camera:instrument",
        "toy-photons": "ilrs_toys.photons:instrument",
        "toy-photons-first": "ilrs_toys.photons:first",
        "toy-photons-latest": "ilrs_toys.photons:latest",
        "toy-photons-weighted": "ilrs_toys.photons:weighted",
        "toy-photons-odd": "ilrs_toys.photons:odd",
        "toy-photons-cells": "ilrs_toys.photons:cells",
        "toy-photons-whole": "ilrs_toys.photons:whole",
        "toy-again": "ilrs_toys.derived:clock",
        "toy-up": "ilrs_toys.derived:up",
        "toy-unflagged": "ilrs_toys.derived:unflagged",
        "toy-rates": "ilrs_toys.derived:rates",
        "toy-brightest": "ilrs_toys.derived:frames",
        "toy-gains": "ilrs_toys.derived:gains",
        "toy-hen": "ilrs_toys.derived:hen",
        "toy-egg": "ilrs_toys.derived:egg",
        "toy-table": "ilrs_toys.triggers:instrument",
        "toy-warm": "ilrs_toys.warm:instrument",
        "toy-evil": "ilrs_toys.evil:instrument",
        "toy-evil-unindexed": "ilrs_toys.evil:unindexed",
    },
    "ilrs_science.steps": {
        "negate": "ilrs_toys.negation:change_of_sign",
        "by_temperature": "ilrs_toys.warm:by_temperature",
        "by_any_temperature": "ilrs_toys.warm:by_any_temperature",
    },
}


def write_distribution(
    folder: Path, name: str, entry_points: Mapping[str, Mapping[str, str]], version: str = "1.0"
) -> None:
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = []
    for group, points in entry_points.items():
        lines += [f"[{group}]", *(f"{point} = {target}" for point, target in points.items()), ""]
    (info / "entry_points.txt").write_text("\n".join(lines))
