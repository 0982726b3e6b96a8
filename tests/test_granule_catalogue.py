"""The catalogue of granules in Parquet: filtered by anyone, and brought up to date by opening only what changed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ilrs_science as ilrs
from ilrs_science import FormatError, catalog, formats
from ilrs_science.catalog import Inventory, indexing
from ilrs_science.catalog.files import states
from ilrs_science.geometry.time import parse_utc
from ilrs_science.model.granule import Granule

HEADER = """FILE_NAME = "made.cef"
FILE_FORMAT_VERSION = "CEF-2.0"
START_META = EXPERIMENT
  ENTRY = "{experiment}"
END_META = EXPERIMENT
START_META = OBSERVATORY
  ENTRY = "Cluster-{number}"
END_META = OBSERVATORY
START_VARIABLE = time_tags
  VALUE_TYPE = ISO_TIME
END_VARIABLE = time_tags
DATA_UNTIL = "END"
"""


def write(path: Path, *, number: int = 1, day: int = 1, count: int = 2, experiment: str = "EFW") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"2031-01-{day:02}T00:00:{second:02}Z\n" for second in range(count)]
    path.write_text(HEADER.format(experiment=experiment, number=number) + "".join(rows) + "END\n")
    return path


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the files that were opened so far."""
    seen: list[str] = []
    index_file = indexing.index_file

    def watched(url: str, *args, **options):
        seen.append(Path(url).name)
        return index_file(url, *args, **options)

    monkeypatch.setitem(catalog.inventory.__globals__, "index_file", watched)
    return seen


def test_a_file_that_no_instrument_takes_is_a_granule_by_its_format(tmp_path: Path) -> None:
    path = write(tmp_path / "a.cef", number=3)
    (granule,) = ilrs.inventory(str(tmp_path)).granules
    assert (granule.format, granule.instrument, granule.site, granule.count) == ("cef", "EFW", "C3", 2)
    assert granule.start == parse_utc("2031-01-01T00:00:00Z")
    assert granule.stop == parse_utc("2031-01-01T00:00:01Z") + 1
    assert granule.size == path.stat().st_size
    assert granule.read_bytes() == path.read_bytes()


def test_the_path_may_name_the_site_of_a_format_too(tmp_path: Path) -> None:
    write(tmp_path / "shackleton" / "a.cef")
    (granule,) = ilrs.inventory(str(tmp_path / "{site}" / "*.cef")).granules
    assert granule.site == "shackleton"


def test_named_instruments_leave_formats_out(tmp_path: Path) -> None:
    write(tmp_path / "a.cef")
    found = ilrs.inventory(str(tmp_path), instruments="fluxgate")
    assert found.granules == ()
    assert found.rejected[0].reason == "no instrument takes files of this name: fluxgate *.fgm"


def test_unchanged_files_are_not_opened_again(tmp_path: Path, opened: list[str]) -> None:
    raw = tmp_path / "raw"
    for name in ("a", "b", "c"):
        write(raw / f"{name}.cef")
    (raw / "notes.txt").write_text("hello")
    file = tmp_path / "granules.parquet"
    ilrs.inventory(str(raw)).save(file)
    assert sorted(opened) == ["a.cef", "b.cef", "c.cef", "notes.txt"]
    opened.clear()
    again = ilrs.inventory(str(raw), known=Inventory.from_file(str(file)))
    assert opened == []
    assert again == ilrs.inventory(str(raw))
    opened.clear()
    write(raw / "b.cef", count=5)
    write(raw / "d.cef")
    (raw / "c.cef").unlink()
    again = ilrs.inventory(str(raw), known=Inventory.from_file(str(file)))
    assert sorted(opened) == ["b.cef", "d.cef"]
    assert {Path(one.url).name: one.count for one in again.granules} == {"a.cef": 2, "b.cef": 5, "d.cef": 2}


def test_other_readers_mean_that_everything_is_opened(
    tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a.cef")
    known = ilrs.inventory(str(tmp_path))
    opened.clear()
    monkeypatch.setitem(catalog.inventory.__globals__, "version", lambda _: "99.0")
    ilrs.inventory(str(tmp_path), known=known)
    assert opened == ["a.cef"]


@settings(max_examples=25)
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(-1, 3)), min_size=1, max_size=8))
def test_an_incremental_inventory_equals_a_whole_one(tmp_path_factory, changes: list[tuple[str, int]]) -> None:
    folder = tmp_path_factory.mktemp("law")
    known = None
    for step, (name, count) in enumerate(changes):
        path = folder / f"{name}.cef"
        if count < 0:
            path.unlink(missing_ok=True)
        else:
            write(path, count=count)  # with no record it is no granule
            os.utime(path, ns=(step, step))
        known = ilrs.inventory(str(folder), known=known)
        assert known == ilrs.inventory(str(folder))


def test_a_file_depends_on_its_label_and_a_label_on_its_data() -> None:
    before = {"r/a.2B": "1", "r/a.2BL": "1", "r/b.2B": "1", "r/M3_RDN.IMG": "1", "r/M3.LBL": "1", "r/c.cef": "1"}
    told = states(before)

    def changed(files: dict[str, str]) -> set[str]:
        now = states(files)
        return {url for url in files if now[url] != told.get(url)}

    assert changed(before) == set()
    unlabelled = {"r/b.2B", "r/M3_RDN.IMG", "r/c.cef"}
    assert changed({**before, "r/a.2BL": "2"}) == {"r/a.2B", "r/a.2BL"} | unlabelled
    assert changed({**before, "r/M3.LBL": "2"}) == {"r/M3.LBL"} | unlabelled
    assert changed({**before, "r/c.cef": "2"}) == {"r/c.cef"}
    assert changed({**before, "r/d.cef": "1"}) == {"r/d.cef", "r/M3.LBL"}
    assert "r/M3.LBL" in changed({url: state for url, state in before.items() if url != "r/M3_RDN.IMG"})


def test_odd_files_are_named_and_stop_nothing(tmp_path: Path) -> None:
    raw = tmp_path / "raw [2031]"
    write(raw / "a.cef")
    os.mkfifo(raw / "pipe.fits")
    (raw / os.fsdecode(b"\xff.dat")).write_bytes(b"x")
    write(raw / "b::c.cef")
    found = ilrs.inventory(str(raw))
    assert {Path(one.url).name for one in found.granules} == {"a.cef", "b::c.cef"}
    reasons = sorted(one.reason.partition(";")[0] for one in found.rejected)
    assert reasons == ["its name is not text in UTF-8", "no regular file"]
    found.save(tmp_path / "granules.parquet")


def test_what_an_archive_holds_and_nobody_takes_is_named(tmp_path: Path) -> None:
    write(tmp_path / "x" / "a.cef")
    (tmp_path / "x" / "cut.fits").write_bytes(b"SIMPLE  =                    T")
    shutil.make_archive(str(tmp_path / "raw"), "zip", tmp_path / "x")
    found = ilrs.inventory(str(tmp_path / "raw.zip"))
    assert len(found.granules) == 1
    assert "1 of its files are not taken" in found.rejected[0].reason
    assert "cut.fits" in found.rejected[0].reason
    assert ilrs.inventory(str(tmp_path / "raw.zip"), known=found) == found


def test_a_script_without_a_main_guard_may_index_many_files(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / "raw" / f"{number}.cef")
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom ilrs_science.catalog import inventory\ninventory.__globals__['_PROCESSES_FROM'] = 1\n"
        f"print(len(inventory({str(tmp_path / 'raw')!r}).granules))\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.split()[-1:] == ["3"], done.stderr


def test_the_table_is_read_by_others_with_times_of_both_kinds(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    write(raw / "a.cef", day=2)
    (raw / "notes.txt").write_text("hello")
    file = tmp_path / "granules.parquet"
    ilrs.inventory(str(raw)).save(file)
    table = pq.read_table(file)
    granule, rejected = table.to_pylist()
    assert (granule["format"], granule["instrument"], granule["site"], granule["reason"]) == ("cef", "EFW", "C1", None)
    assert granule["start"] == parse_utc("2031-01-02T00:00:00Z")
    assert granule["start_utc"].isoformat() == "2031-01-02T00:00:00+00:00"
    assert (rejected["start"], rejected["count"]) == (None, None)
    assert "no reader recognises it" in rejected["reason"]


def test_a_granule_without_a_time_keeps_none(tmp_path: Path) -> None:
    found = Inventory((Granule("a.arf", format="ogip", count=10), Granule("b.cef", start=5, stop=9, count=1)), ())
    for name in ("a.parquet", "a.json"):
        found.save(tmp_path / name)
        assert Inventory.from_file(str(tmp_path / name)) == found
    assert pq.read_table(tmp_path / "a.parquet")["start"].to_pylist() == [None, 5]
    assert [one["start"] for one in found.as_json()["granules"]] == [None, 5]
    assert found.select(start=0).granules == found.granules[1:]
    assert found.select(stop=100).granules == found.granules[1:]


def test_a_selection_is_by_instrument_site_format_and_span(tmp_path: Path) -> None:
    for number in (1, 2):
        for day in (1, 2, 3):
            write(tmp_path / f"C{number}-{day}.cef", number=number, day=day)
    found = ilrs.inventory(str(tmp_path))
    second, third = (parse_utc(f"2031-01-0{day}T00:00:00Z") for day in (2, 3))
    assert {Path(one.url).stem for one in found.select(site="C2", start=second).granules} == {"C2-2", "C2-3"}
    assert {Path(one.url).stem for one in found.select(start=second, stop=third).granules} == {"C1-2", "C2-2"}
    assert found.select(instrument="FGM").granules == ()
    assert len(found.select(format="cef", instrument="EFW").granules) == 6


def test_an_inventory_in_parquet_stands_for_its_files(tmp_path: Path) -> None:
    write(tmp_path / "raw" / "a.cef")
    found = ilrs.inventory(str(tmp_path / "raw"))
    found.save(tmp_path / "granules.parquet")
    assert ilrs.inventory(str(tmp_path / "granules.parquet")).granules == found.granules
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and nothing else PAR1")
    with pytest.raises(FormatError, match=r"broken.parquet: not an inventory"):
        ilrs.inventory(str(tmp_path / "broken.parquet"))


def test_many_files_are_indexed_by_processes_with_the_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(70):
        write(tmp_path / f"{number}.cef", day=1 + number % 20)
    (tmp_path / "notes.txt").write_text("hello")
    by_threads = ilrs.inventory(str(tmp_path))
    monkeypatch.setitem(catalog.inventory.__globals__, "_PROCESSES_FROM", 1)
    told = []
    by_processes = ilrs.inventory(str(tmp_path), workers=2, progress=lambda done, of: told.append((done, of)))
    assert by_processes == by_threads
    assert told == [(number + 1, 71) for number in range(71)]


def test_an_archive_gives_granules_that_are_read_from_it(tmp_path: Path) -> None:
    write(tmp_path / "x" / "a.cef")
    write(tmp_path / "x" / "b.cef", number=2)
    shutil.make_archive(str(tmp_path / "raw"), "zip", tmp_path / "x")
    known = ilrs.inventory(str(tmp_path / "raw.zip"))
    assert [(one.url, one.site) for one in known.granules] == [
        (f"zip://a.cef::{tmp_path / 'raw.zip'}", "C1"),
        (f"zip://b.cef::{tmp_path / 'raw.zip'}", "C2"),
    ]
    assert known.granules[0].read_bytes() == (tmp_path / "x" / "a.cef").read_bytes()
    with known.granules[1].local() as path:
        assert np.all(np.diff(formats.read(path)["tai"].astype("i8")) == 10**9)
    assert ilrs.inventory(str(tmp_path / "raw.zip"), known=known) == known
