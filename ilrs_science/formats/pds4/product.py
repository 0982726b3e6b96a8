"""What the label of a PDS4 or GRAS product says of it as a whole: as attributes, and as instrument, site and level."""

from __future__ import annotations

import re
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element

from ilrs_science.formats.pds4.label import Label, text, tree_of

_GRAS = re.compile(
    r"CE(?P<number>\d)(?P<craft>-[A-Z])?_(?P<station>[A-Z0-9]{4,5})_(?P<instrument>[A-Za-z0-9]{2,9}(?:-[A-Za-z0-9]{1,9})?)[^_]{0,19}_"
    r"[A-Za-z]{2,9}_[A-Z]_\d{14}_\d{14}_\d{1,9}_[A-Z]\.(?P<level>[0-9][0-9A-C]?)"
)
"""Names of files of GRAS: CEx_st_pl_ty_dc_start_stop_orbit_version.level, with the number of a frame after pl."""
_LANDERS = {"3": ("",), "4": ("",), "5": ("-L",), "6": ("-L",)}
"""Missions whose files are of the surface, and how they mark the lander; names of the catalogue are change-<number>."""
_RELAYED = ("NCLE",)
"""Instruments on the relay satellite of a mission."""
_ALSEP = re.compile(r"APOLLO (1[1-7]) LUNAR SURFACE EXPERIMENTS", re.IGNORECASE)
_PLACES = {
    "logical_identifier": "Identification_Area/logical_identifier",
    "version_id": "Identification_Area/version_id",
    "title": "Identification_Area/title",
    "information_model_version": "Identification_Area/information_model_version",
    "product_class": "Identification_Area/product_class",
    "start_date_time": "Observation_Area/Time_Coordinates/start_date_time",
    "stop_date_time": "Observation_Area/Time_Coordinates/stop_date_time",
    "processing_level": "Observation_Area/Primary_Result_Summary/processing_level",
    "purpose": "Observation_Area/Primary_Result_Summary/purpose",
    "investigation": "Observation_Area/Investigation_Area/name",
    "target": "Observation_Area/Target_Identification/name",
}
_MISSION = "Observation_Area/Mission_Area"
_COMPONENTS = "Observation_Area/Observing_System/Observing_System_Component"
_DEEP = 3


class Product(NamedTuple):
    """Which instrument, where, and how far processed, as the label says; empty or `unknown` where it does not."""

    instrument: str
    site: str
    level: str


def product(label: Label) -> Product:
    """Return instrument, site and level of a product: by the name GRAS gave it, else by its observing system."""
    named = text(label.root, f"{_MISSION}/product_id"), text(label.root, _PLACES["logical_identifier"]), label.path.name
    match = next((found for found in map(_GRAS.search, named) if found), None)
    level = text(label.root, f"{_MISSION}/product_level") or text(label.root, _PLACES["processing_level"])
    if match:
        landed = (match["craft"] or "") in _LANDERS.get(match["number"], ()) and match["instrument"] not in _RELAYED
        site = f"change-{match['number']}" if landed else f"CE{match['number']}{match['craft'] or ''}"
        return Product(match["instrument"], site, match["level"])
    components = [(text(one, "type").lower(), text(one, "name")) for one in label.root.findall(_COMPONENTS)]
    instrument = next((name for kind, name in components if kind == "instrument"), "")
    host = next((name for kind, name in components if kind in ("spacecraft", "host", "rover", "lander")), "")
    alsep = _ALSEP.search(host)
    site = f"apollo-{alsep[1]}" if alsep else host
    return Product(instrument or text(label.root, f"{_MISSION}/instrument_id"), site, level or "unknown")


def attributes_of(label: Label) -> dict[str, Any]:
    """Return the attributes of a product: the main statements of its label flat, the site, and the label as a tree.

    Of a mission area those are its values, numbers as such, their units in `<name>_units`. Longitude and latitude are
    those of the lander, degrees.
    """
    found = {name: text(label.root, place) for name, place in _PLACES.items()}
    found["observing_system"] = ", ".join(text(one, "name") for one in label.root.findall(_COMPONENTS))
    about = product(label)
    attributes: dict[str, Any] = {name: said for name, said in found.items() if said}
    mission = label.root.find(_MISSION)
    if mission is not None:
        attributes |= {name: said for name, said in _leaves(mission, 0).items() if name not in attributes}
    attributes |= {"instrument": about.instrument, "site": about.site, "level": about.level}
    tree = tree_of(label.root)
    return {**attributes, "label": {label.root.tag: tree}}


def _leaves(element: Element, depth: int) -> dict[str, Any]:
    """Return the values below an element, by name; the first of those with the same name."""
    found: dict[str, Any] = {}
    for child in element:
        if len(child) and depth < _DEEP:
            for name, said in _leaves(child, depth + 1).items():
                found.setdefault(name, said)
        elif not len(child) and child.tag not in found:
            said = " ".join((child.text or "").split())
            unit = child.get("unit")
            found[child.tag] = _number(said) if unit else said
            if unit:
                found[f"{child.tag}_units"] = unit
    return found


def _number(said: str) -> float | str:
    """Return a value with a unit; text that is no number, as GRAS writes `/` for none, stays."""
    try:
        return float(said)
    except ValueError:
        return said
