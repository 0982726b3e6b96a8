"""The sites of the catalogue, and where the package's own data lie."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from ilrs_science.errors import FormatError, IlrsError
from ilrs_science.model.site import Site
from ilrs_science.yaml_text import load_yaml, validated


def data_folder(name: str) -> Path:
    """Return the folder `pipelines`, `catalogs` or `cluster`: in the wheel, or in the checkout."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "data" / name, package.parent / name):
        if folder.is_dir():
            return folder
    raise IlrsError(f"the folder {name} is not installed; reinstall ilrs-science")


class SiteEntry(BaseModel):
    """A site as YAML describes it, in the catalogue or in a pipeline."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    lon: float | None = Field(default=None, strict=True, ge=-180, le=360, description="degrees east")
    lat: float | None = Field(default=None, strict=True, ge=-90, le=90, description="degrees north")
    height: float | None = Field(
        default=None, strict=True, allow_inf_nan=False, description="metres above the sphere of 1737.4 km"
    )
    frame: str = Field(default="unknown", description="MOON_ME, MOON_PA, ...")
    kind: str = "surface"
    partner: str = "unknown"
    source: str = "unknown"
    orbit: str | None = Field(default=None, description="file.bsp#NAIF number, or a table of positions (.ecsv)")
    horizon: tuple[tuple[Annotated[float, Field(ge=-180, le=360)], Annotated[float, Field(ge=-90, le=90)]], ...] = (
        Field(default=(), description="points of the horizon: azimuth and altitude, degrees")
    )


class _Sites(BaseModel):
    model_config = ConfigDict(extra="forbid")
    sites: list[SiteEntry]


@cache
def sites() -> dict[str, Site]:
    """Return every site of the catalogue by name."""
    found: dict[str, Site] = {}
    for path in sorted((data_folder("catalogs") / "sites").glob("*.yaml")):
        for entry in validated(_Sites, load_yaml(path), str(path)).sites:
            if entry.name in found:
                raise FormatError(f"{path}: site {entry.name!r} is in the catalogue twice")
            found[entry.name] = Site(**entry.model_dump())
    return found
