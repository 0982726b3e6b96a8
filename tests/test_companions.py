"""A file beside a granule that is read with it is part of it: found, digested, watched, and stored."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pyarrow.parquet as pq
import pytest
from ilrs_toys import clock, raw
from ilrs_toys.campaign import SECOND, START

import ilrs_science as ilrs
from ilrs_science import FormatError, Granule, catalog
from ilrs_science.catalog import Inventory
from ilrs_science.catalog.companions import expected
from ilrs_science.formats.pds3 import read_pds3
from ilrs_science.simulate.gras import lpr_pair

pytestmark = pytest.mark.usefixtures("toys")

PLACED = """
import dataclasses
from ilrs_toys import clock, raw

def read(granule):
    granule.beside["LOC"].read_bytes()
    return raw.read(granule)

instrument = dataclasses.replace(
    clock.instrument, name="toy-placed", files="*_rdn.placed", read=read, beside={"LOC": "{stem}_loc.txt"}
)
"""


@pytest.fixture
def placed(install: Callable[..., Path]) -> None:
    points = {"ilrs_science.instruments": {"toy-placed": "toy_placed:instrument"}}
    install("toy-placed", {"toy_placed.py": PLACED}, points)


def write(folder: Path | str, name: str, place: bytes | None = b"here") -> str:
    """Write a granule of two samples and, unless there is none, the file beside it."""
    path = raw.write(f"{folder}/{name}_rdn.placed", "a", [START, START + SECOND])
    if place is not None:
        with fsspec.open(f"{folder}/{name}_loc.txt", "wb") as file:
            file.write(place)
    return path


@pytest.fixture
def bucket() -> Iterator[str]:
    yield "memory:///companions"
    fsspec.filesystem("memory").rm("/companions", recursive=True)


@pytest.mark.parametrize(
    ("files", "pattern", "url", "names"),
    [
        ("*.img", "{stem}_LOC.IMG", "/r/x.img", ["x_LOC.IMG"]),
        ("*.img.gz", "{stem}.lbl", "/r/x.img.gz", ["x.lbl"]),
        ("*", "{name}.aux", "s3://b/x.img", ["x.img.aux"]),
        ("*_RDN.IMG", "{stem}_LOC.IMG", "zip://f/x_RDN.IMG::/r/a.zip", ["x_RDN_LOC.IMG", "x_LOC.IMG"]),
        ("*.tar", "{stem}.Loc", "/r/a.b.tar", ["a.b.Loc"]),
        ("M*", "calibration.txt", "/r/M1", ["calibration.txt"]),
    ],
)
def test_the_name_beside_follows_from_the_name_of_the_file(
    files: str, pattern: str, url: str, names: list[str]
) -> None:
    assert expected(
        ilrs.Instrument("x", files, raw.read, (), clock.instrument.product, beside={"LOC": pattern}), url
    ) == {"LOC": names}


@pytest.mark.parametrize("pattern", ["../{stem}.loc", "{site}.loc", "{}"])
def test_a_name_that_leads_elsewhere_is_refused(pattern: str) -> None:
    instrument = ilrs.Instrument("x", "*.img", raw.read, (), clock.instrument.product, beside={"LOC": pattern})
    with pytest.raises(FormatError, match=r"x: beside\['LOC'\] is .* with \{stem\} or \{name\}"):
        expected(instrument, "/r/x.img")


@pytest.mark.usefixtures("placed")
def test_a_granule_has_what_lies_beside_it_here_and_on_a_server(tmp_path: Path, bucket: str) -> None:
    for folder in (str(tmp_path), bucket):
        url = write(folder, "x")
        (granule,) = ilrs.inventory(f"{folder}/*.placed").granules
        loc = granule.beside["LOC"]
        assert (granule.url, loc.url, loc.size) == (url, f"{folder}/x_loc.txt", 4)
        assert loc.sha256 == hashlib.sha256(b"here").hexdigest()
        assert loc.read_bytes() == b"here"
        with granule.local() as path:
            assert (path.parent / "x_loc.txt").read_bytes() == b"here"


@pytest.mark.usefixtures("placed")
def test_a_granule_without_its_companion_is_not_taken(tmp_path: Path, bucket: str) -> None:
    for folder in (str(tmp_path), bucket):
        write(folder, "x", place=None)
        write(folder, "y")
        found = ilrs.inventory(f"{folder}/*.placed")
        assert [one.url for one in found.granules] == [f"{folder}/y_rdn.placed"]
        (rejection,) = found.rejected
        assert rejection.reason == "toy-placed: no LOC beside it: expected x_rdn_loc.txt or x_loc.txt"
        assert not rejection.outage


@pytest.mark.usefixtures("placed")
def test_a_companion_that_a_pattern_covers_too_is_no_fault(tmp_path: Path) -> None:
    write(tmp_path / "raw", "x")
    (rejection,) = ilrs.inventory(str(tmp_path / "raw"), instruments="toy-placed").rejected
    assert (rejection.reason, rejection.is_expected) == ("belongs to x_rdn.placed", True)


@pytest.mark.usefixtures("placed")
def test_the_identity_is_that_of_all_bytes_and_of_no_place(tmp_path: Path) -> None:
    def identity(folder: str, place: bytes) -> dict:
        write(tmp_path / folder, "x", place)
        (granule,) = ilrs.inventory(str(tmp_path / folder / "*.placed")).granules
        return granule.identity

    first = identity("one", b"here")
    assert json.loads(json.dumps(first)) == first
    assert identity("other", b"here") == first
    changed = identity("one", b"there")
    assert changed != first
    assert changed | {"beside": first["beside"]} == first


@pytest.mark.usefixtures("placed")
def test_an_inventory_keeps_companions_in_json_and_parquet(tmp_path: Path) -> None:
    write(tmp_path / "raw", "x")
    found = ilrs.inventory(str(tmp_path / "raw" / "*.placed"))
    assert len({*found.granules, *found.granules}) == 1
    for name in ("a.json", "a.parquet"):
        found.save(tmp_path / name)
        assert Inventory.from_file(str(tmp_path / name)).granules == found.granules
        assert ilrs.inventory(str(tmp_path / name)).granules == found.granules
    (row,) = pq.read_table(tmp_path / "a.parquet").to_pylist()
    assert json.loads(row["beside"])["LOC"]["size"] == 4


@pytest.mark.usefixtures("placed")
def test_an_incremental_inventory_sees_a_companion_change_go_and_come(tmp_path: Path) -> None:
    pattern, loc = str(tmp_path / "*.placed"), tmp_path / "x_loc.txt"
    write(tmp_path, "x")
    known = ilrs.inventory(pattern)
    assert ilrs.inventory(pattern, known=known).granules == known.granules
    for change in (lambda: loc.write_bytes(b"there"), loc.unlink, lambda: loc.write_bytes(b"back")):
        change()
        again = ilrs.inventory(pattern, known=known)
        assert again == ilrs.inventory(pattern)
        assert again != known
        known = again
    (tmp_path / "x_rdn_loc.txt").write_bytes(b"a likelier name")
    (granule,) = ilrs.inventory(pattern, known=known).granules
    assert granule.beside["LOC"].read_bytes() == b"a likelier name"


def test_the_label_of_a_format_is_a_companion_that_is_watched(tmp_path: Path) -> None:
    pair = lpr_pair(tmp_path)
    pattern = str(pair.data.with_suffix(".2[B]"))
    (granule,) = (known := ilrs.inventory(pattern)).granules
    assert granule.beside["label"].url == str(pair.label)
    assert granule.beside["label"].read_bytes() == pair.label.read_bytes()
    pair.label.write_text(pair.label.read_text() + "<!-- another word -->\n")
    (again,) = ilrs.inventory(pattern, known=known).granules
    assert again.identity != granule.identity


def test_included_headers_and_structures_are_companions(tmp_path: Path) -> None:
    (tmp_path / "more.ceh").write_text(
        "START_VARIABLE = time_tags\n  VALUE_TYPE = ISO_TIME\nEND_VARIABLE = time_tags\n"
    )
    (tmp_path / "a.cef").write_text(
        'FILE_NAME = "a.cef"\nFILE_FORMAT_VERSION = "CEF-2.0"\nINCLUDE = "more.ceh"\n'
        "DATA_UNTIL = EOF\n2031-01-01T00:00:00Z\n"
    )
    (tmp_path / "b.lbl").write_text(
        'PDS_VERSION_ID = PDS3\nRECORD_TYPE = FIXED_LENGTH\nRECORD_BYTES = 4\n^TABLE = "b.tab"\nOBJECT = TABLE\n'
        '  INTERCHANGE_FORMAT = ASCII\n  ROWS = 1\n  COLUMNS = 1\n  ROW_BYTES = 4\n  ^STRUCTURE = "b.fmt"\n'
        "END_OBJECT = TABLE\nEND\n"
    )
    (tmp_path / "b.fmt").write_text(
        "OBJECT = COLUMN\n  NAME = X\n  DATA_TYPE = ASCII_INTEGER\n  START_BYTE = 1\n  BYTES = 2\nEND_OBJECT = COLUMN\n"
    )
    (tmp_path / "b.tab").write_bytes(b"12\r\n")
    assert read_pds3(tmp_path / "b.tab")["X"].item() == 12
    found = ilrs.inventory(str(tmp_path))
    roles = {Path(one.url).name: {role: Path(c.url).name for role, c in one.beside.items()} for one in found.granules}
    assert roles == {"a.cef": {"header": "more.ceh"}, "b.tab": {"label": "b.lbl", "structure": "b.fmt"}}
    assert all(one.is_expected for one in found.rejected)


@pytest.mark.usefixtures("placed")
def test_rows_without_digests_get_them_with_those_of_their_companions(tmp_path: Path) -> None:
    url = write(tmp_path / "raw", "x")
    (right,) = ilrs.inventory(str(tmp_path / "raw" / "*.placed")).granules
    rows = [json.loads(json.dumps(right.as_json())) for _ in range(3)]
    rows[0]["sha256"] = rows[0]["beside"]["LOC"]["sha256"] = ""
    rows[1] |= {"beside": {}, "sha256": ""}
    rows[2] |= {"url": str(tmp_path / "gone_rdn.placed"), "sha256": ""}
    path = tmp_path / "rows.json"
    path.write_text(json.dumps({"granules": rows, "rejected": []}))
    found = ilrs.inventory(str(path))
    assert found.granules == (right,)
    (gone,) = found.rejected
    assert gone.outage
    assert "FileNotFoundError" in gone.reason
    bare = catalog.hashed(Inventory((Granule(url),), ()))
    assert bare.granules[0].sha256 == right.sha256


@pytest.mark.usefixtures("placed")
def test_a_companion_in_an_archive_is_found_there(tmp_path: Path) -> None:
    write(tmp_path / "x", "x")
    shutil.make_archive(str(tmp_path / "raw"), "zip", tmp_path / "x")
    (granule,) = ilrs.inventory(f"zip://x_rdn.placed::{tmp_path / 'raw.zip'}", instruments="toy-placed").granules
    assert granule.beside["LOC"].read_bytes() == b"here"
