"""What a pattern stands for, what of it cannot be listed or read now, and what of it is somebody else's."""

import ctypes
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from ilrs_toys.campaign import Campaign

import ilrs_science as ilrs
from ilrs_science import FormatError, Granule
from ilrs_science.catalog import Inventory, indexing
from ilrs_science.catalog.files import folder_site
from ilrs_science.raw import digests, fetching

pytestmark = pytest.mark.usefixtures("toys")

_DAC_OVERRIDE, _DAC_READ_SEARCH = 1, 2
_CAPABILITIES = (ctypes.c_uint32 * 2)(0x20080522, 0)


def may_everything(allowed: bool) -> None:
    """Let root be stopped by permissions in this thread and those it starts, or no longer."""
    libc, sets = ctypes.CDLL(None, use_errno=True), (ctypes.c_uint32 * 6)()
    libc.capget(_CAPABILITIES, sets)
    both = 1 << _DAC_OVERRIDE | 1 << _DAC_READ_SEARCH
    sets[0] = sets[0] | (both & sets[1]) if allowed else sets[0] & ~both
    libc.capset(_CAPABILITIES, sets)


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    return Campaign(tmp_path)


@pytest.fixture
def without_permission() -> Iterator[Callable[..., None]]:
    """Return a function that takes the permissions of a folder or file away, until the end of the test."""
    lost: list[Path] = []

    def lose(path: Path, mode: int = 0) -> None:
        path.chmod(mode)
        lost.append(path)

    may_everything(allowed=False)
    yield lose
    may_everything(allowed=True)
    for path in lost:
        path.chmod(0o755)


def reasons(found: Inventory) -> dict[str, tuple[str, bool]]:
    return {one.url: (one.reason, one.outage) for one in found.rejected}


@pytest.mark.parametrize("pattern", ["*.toy", "{site}/*.toy", "none/**/*.toy", "a[bc].toy"])
def test_a_pattern_that_matches_nothing_is_named(campaign: Campaign, pattern: str) -> None:
    campaign.write("0.frames", "a", [1])
    for folder in (str(campaign.folder / "raw"), "memory:///nothing-there"):
        found = ilrs.inventory(f"{folder}/{pattern}")
        assert found.granules == ()
        assert reasons(found) == {f"{folder}/{pattern}": ("no file matches it", False)}


def test_a_pattern_that_matches_only_folders_says_what_to_write(campaign: Campaign) -> None:
    campaign.write("a/0.toy", "a", [1])
    campaign.write("bb/0.toy", "bb", [1])
    pattern = f"{campaign.folder}/raw/{{site}}"
    ((url, (reason, outage)),) = reasons(ilrs.inventory(pattern)).items()
    assert (url, outage) == (pattern, False)
    assert reason == f"no file matches it; only folders match it (a, bb): say which files, such as {pattern}/*"


def test_an_empty_folder_and_a_file_that_is_not_there_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    found = reasons(ilrs.inventory([str(tmp_path / "empty"), str(tmp_path / "gone.toy")]))
    assert found[str(tmp_path / "empty")] == ("a folder without any file", False)
    reason, outage = found[str(tmp_path / "gone.toy")]
    assert "No such file" in reason
    assert outage


def test_a_kind_of_storage_that_nobody_knows_is_an_error() -> None:
    with pytest.raises(FormatError, match=r"foo://raw/\*.toy: Protocol not known: foo"):
        ilrs.inventory("foo://raw/*.toy")


@pytest.mark.parametrize("pattern", ["", "/**/*.toy", "/*/*.toy", "/{site}/*.toy", "/bb/*.toy"])
@pytest.mark.parametrize("mode", [0, 0o400])
def test_a_folder_that_cannot_be_listed_is_an_outage_and_the_others_are_read(
    campaign: Campaign, without_permission: Callable[..., None], pattern: str, mode: int
) -> None:
    for site in ("a", "bb"):
        campaign.write(f"{site}/0.toy", site, [1])
    without_permission(campaign.folder / "raw" / "bb", mode)
    found = ilrs.inventory(f"{campaign.folder}/raw{pattern}", instruments="toy-clock")
    assert [one.site for one in found.granules] == ([] if "/bb/" in pattern else ["a"])
    assert found.rejected
    assert all(one.outage and "Permission denied" in one.reason for one in found.rejected)


def test_a_folder_of_another_site_may_be_unreadable(
    campaign: Campaign, without_permission: Callable[..., None]
) -> None:
    for site in ("a", "bb"):
        campaign.write(f"{site}/0.toy", site, [1])
    without_permission(campaign.folder / "raw" / "bb")
    found = ilrs.inventory(f"{campaign.folder}/raw/{{site}}/*.toy", sites=["a"])
    assert len(found.granules) == 1
    assert found.rejected == ()


def test_a_file_without_permission_is_an_outage_that_no_inventory_remembers(
    campaign: Campaign, without_permission: Callable[..., None]
) -> None:
    path, bad = campaign.write("0.toy", "a", [1]), campaign.folder / "raw" / "bad.toy"
    bad.write_bytes(b"nonsense")
    without_permission(Path(path))
    pattern = str(campaign.folder / "raw" / "*.toy")
    found = ilrs.inventory(pattern)
    assert {url: outage for url, (_, outage) in reasons(found).items()} == {path: True, str(bad): False}
    assert set(found.states) == {str(bad)}
    for name in ("a.json", "a.parquet"):
        found.save(campaign.folder / name)
        assert Inventory.from_file(str(campaign.folder / name)).rejected == found.rejected
    Path(path).chmod(0o644)
    known = Inventory.from_file(str(campaign.folder / "a.parquet"))
    assert len(ilrs.inventory(pattern, known=known).granules) == 1


def test_links_to_folders_are_followed_and_rings_of_them_end(campaign: Campaign) -> None:
    campaign.write("deep/0.toy", "a", [1])
    away = Path(campaign.write("0.toy", "bb", [1])).rename(campaign.folder / "0.toy").parent
    (campaign.folder / "raw" / "deep" / "ring").symlink_to(campaign.folder / "raw")
    other = away / "other"
    other.mkdir()
    (away / "0.toy").rename(other / "0.toy")
    (campaign.folder / "raw" / "linked").symlink_to(other)
    found = ilrs.inventory(str(campaign.folder / "raw"), instruments="toy-clock")
    assert not found.rejected
    assert sorted(one.url for one in found.granules) == [
        str(campaign.folder / "raw" / "deep" / "0.toy"),
        str(campaign.folder / "raw" / "linked" / "0.toy"),
    ]


class Failing(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(500)

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


def test_a_server_that_fails_is_an_outage_of_the_pattern_or_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "_PAUSE", 0.001)
    with ThreadingHTTPServer(("127.0.0.1", 0), Failing) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        base = f"http://127.0.0.1:{server.server_port}/raw"
        found = reasons(ilrs.inventory([f"{base}/*.toy", f"{base}/0.toy", f"{base}/"]))
        server.shutdown()
        thread.join()
    assert found.keys() == {f"{base}/*.toy", f"{base}/0.toy", f"{base}/"}
    assert all("500" in reason and outage for reason, outage in found.values())


def test_files_of_other_sites_are_not_opened(campaign: Campaign, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    fetched = indexing.fetched
    monkeypatch.setattr(indexing, "fetched", lambda url: seen.append(url) or fetched(url))
    for site in ("a", "bb", "ccc"):
        campaign.write(f"{site}/0.toy", site, [1])
    named, unnamed = (f"{campaign.folder}/raw/{folder}/*.toy" for folder in ("{site}", "*"))
    assert [one.site for one in ilrs.inventory(named, sites=["a", "ccc"]).granules] == ["a", "ccc"]
    assert [Path(url).parent.name for url in sorted(seen)] == ["a", "ccc"]
    seen.clear()
    assert ilrs.inventory(named, sites=["nowhere"]) == Inventory((), ())
    assert seen == []
    ilrs.inventory(unnamed, sites=["a"])
    assert len(seen) == 3  # the path does not tell


def test_the_folder_above_the_files_may_name_the_site() -> None:
    assert folder_site("/raw/a", "/raw/{site}/*.toy") == "a"
    assert folder_site(str(Path("raw/a").absolute()), "raw/{site}/*.toy") == "a"
    assert folder_site("/raw", "/raw/{site}/*.toy") == ""
    assert folder_site("/raw/{site}/*.toy", "/raw/{site}/*.toy") == ""


def test_indexing_by_reading_opens_and_hashes_a_file_once(campaign: Campaign, monkeypatch: pytest.MonkeyPatch) -> None:
    path = campaign.write("0.toy", "a", range(5))
    hashed: list[str] = []
    original = digests._remember
    monkeypatch.setattr(digests, "_TICK", -(10**18))
    monkeypatch.setattr(digests, "_COARSE_TICK", -(10**18))
    monkeypatch.setattr(digests, "_remember", lambda *given: hashed.append(given[0][0]) or original(*given))
    (granule,) = ilrs.inventory(path, instruments="toy-clock").granules
    assert granule.read_bytes() == Path(path).read_bytes()
    with granule.local():
        pass
    assert hashed == [path]


def test_a_reader_that_wraps_an_outage_does_not_make_bad_bytes_of_it(
    campaign: Campaign, install: Callable[..., Path]
) -> None:
    module = (
        "import dataclasses\nfrom ilrs_science import FormatError, Granule\nfrom ilrs_toys import clock\n\n"
        "def read(granule):\n    try:\n        return Granule(granule.url + '.gone').read_bytes()\n"
        "    except Exception as error:\n        raise FormatError('wrapped') from error\n\n"
        "instrument = dataclasses.replace(clock.instrument, name='toy-wrapping', files='*.wrap', read=read)\n"
    )
    install(
        "toy-wrapping",
        {"toy_wrapping.py": module},
        {"ilrs_science.instruments": {"toy-wrapping": "toy_wrapping:instrument"}},
    )
    path = campaign.write("0.wrap", "a", [1])
    assert reasons(ilrs.inventory(path)) == {path: ("toy-wrapping: wrapped", True)}


def test_a_granule_is_the_same_after_a_journey_as_json() -> None:
    one = Granule("a", times=(1, 2), beside={"LOC": Granule("b", size=3, sha256="00")})
    assert Granule.from_json(one.as_json()) == one
