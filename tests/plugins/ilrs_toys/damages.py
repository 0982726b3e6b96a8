"""Damages: each returns a function that breaks one thing of a cube, and leaves all else as it was."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zarr

from ilrs_toys.cubes import edit_array, edit_attributes, edit_json, edit_record, put, seal

type Damage = Callable[[Path], object]


def say(**changes: Any) -> Damage:
    return lambda cube: edit_attributes(cube, **changes)


def schema(change: Callable[[Any], object]) -> Damage:
    def edited(cube: Path) -> None:
        found = json.loads(json.loads((cube / "zarr.json").read_text())["attributes"]["ilrs_schema"])
        change(found)
        edit_attributes(cube, ilrs_schema=json.dumps(found))

    return edited


def array(name: str, *keys: Any, to: Any) -> Damage:
    """Return a damage: one entry of the metadata of an array becomes another; None takes it away."""

    def change(document: Any) -> None:
        for key in keys[:-1]:
            document = document[key]
        if to is None:
            del document[keys[-1]]
        else:
            document[keys[-1]] = to

    return lambda cube: edit_array(cube, name, change)


def record(**changes: Any) -> Damage:
    return lambda cube: edit_record(cube, lambda one: one.update(changes))


def outcome(**changes: Any) -> Damage:
    return lambda cube: edit_record(cube, lambda one: one["outcomes"][0].update(changes))


def document(name: str, **changes: Any) -> Damage:
    return lambda cube: edit_json(cube / "records" / name, lambda one: one.update(changes))


def text(name: str, content: str) -> Damage:
    return lambda cube: (cube / name).write_text(content)


def store(name: str, where: Any, value: Any) -> Damage:
    return lambda cube: put(cube, name, where, value)


def written(name: str, where: Any, value: Any) -> Damage:
    """Return a damage: a coordinate, of which no record tells, gets another value."""

    def change(cube: Path) -> None:
        zarr.open_array(str(cube / name), mode="r+", zarr_format=3)[where] = value

    return change


def remove(name: str) -> Damage:
    return lambda cube: (cube / name).unlink()


def rename(name: str, other: str) -> Damage:
    return lambda cube: (cube / name).rename(cube / other)


def copy(name: str, other: str) -> Damage:
    return lambda cube: shutil.copy2(cube / name, cube / other)


def without_its_second_part(cube: Path) -> None:
    for path in cube.rglob("c/0/1*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    seal(cube)


def junk(cube: Path) -> None:
    (cube / "value/c/0/0/0").write_bytes(b"junk" * 40)
    seal(cube)


def undeclare(cube: Path) -> None:
    edit_json(cube / "zarr.json", lambda root: root["consolidated_metadata"]["metadata"].pop("lon"))


def one_more(cube: Path) -> None:
    def change(root: Any) -> None:
        found = root["consolidated_metadata"]["metadata"]
        found["other"] = found["lon"]

    edit_json(cube / "zarr.json", change)


def of_shard(**changes: Any) -> Damage:
    return lambda cube: edit_record(cube, lambda one: one["shards"]["number/c/0/0"].update(changes))
