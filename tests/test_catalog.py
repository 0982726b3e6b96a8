"""Raw files become granules, or are named with the reason why not."""

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from ilrs_toys import clock
from ilrs_toys.campaign import SECOND, START, Campaign

import ilrs_science as ilrs
from ilrs_science import FormatError, Granule, catalog
from ilrs_science.catalog.files import site_in_path

pytestmark = pytest.mark.usefixtures("toys")


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    return Campaign(tmp_path)


def test_a_granule_knows_its_span_count_and_digest(campaign: Campaign) -> None:
    path = campaign.write("0.toy", "a", [5, 1, 3])
    (granule,) = ilrs.inventory([path]).granules
    assert (granule.instrument, granule.site, granule.count) == ("toy-clock", "a", 3)
    assert (granule.start, granule.stop) == (START + SECOND, START + 5 * SECOND + 1)
    assert granule.size == Path(path).stat().st_size
    assert len(granule.sha256) == 64
    assert granule.times == ()


def test_frames_know_their_instants(campaign: Campaign) -> None:
    path = campaign.write("0.frames", "a", [5, 1, 5])
    (granule,) = ilrs.inventory([path]).granules
    assert granule.times == (START + SECOND, START + 5 * SECOND)
    assert granule.count == 3


@pytest.mark.parametrize(
    ("pattern", "path", "site"),
    [
        ("/raw/{site}/*.toy", "/raw/a/0.toy", "a"),
        ("/raw/{site}/**/*.toy", "/raw/a/2031/03/0.toy", "a"),
        ("/raw/{site}-*.toy", "/raw/south-pole-0.toy", "south-pole"),
        ("/raw/{site}_{site}.toy", "/raw/a_a.toy", "a"),
        ("/raw/*.toy", "/raw/a.toy", ""),
        ("memory://raw/{site}/?.toy", "memory://raw/a/0.toy", "a"),
        ("/raw/{site}/*.toy", "/raw/a/b/0.toy", ""),
    ],
)
def test_the_path_may_name_the_site(pattern: str, path: str, site: str) -> None:
    found = site_in_path(path, pattern)
    assert found == site or (pattern.startswith("/raw/{site}-") and found == "south")


def test_a_file_of_another_site_than_its_path_says_is_rejected(campaign: Campaign) -> None:
    campaign.write("bb/0.toy", "a", [1])
    (rejection,) = ilrs.inventory([str(campaign.folder / "raw" / "{site}" / "*.toy")]).rejected
    assert "the file says site 'a', its path says 'bb'" in rejection.reason


def test_one_pattern_is_not_taken_for_many_letters(campaign: Campaign) -> None:
    campaign.write("a/0.toy", "a", [1])
    pattern = str(campaign.folder / "raw")
    assert ilrs.inventory(pattern, instruments="toy-clock") == ilrs.inventory([pattern], instruments=["toy-clock"])


def test_a_folder_is_searched_through_and_strange_files_are_named(campaign: Campaign) -> None:
    campaign.write("deep/er/0.toy", "a", [1])
    (campaign.folder / "raw" / "notes.txt").write_text("text")
    found = ilrs.inventory([str(campaign.folder / "raw")])
    assert len(found.granules) == 1
    (rejection,) = found.rejected
    assert "no reader recognises it, it begins with b'text'" in rejection.reason
    assert "no instrument takes files of this name: " in rejection.reason
    assert "toy-clock *.toy" in rejection.reason


def test_two_readers_that_both_claim_a_file_are_a_tie(campaign: Campaign, install: Callable[..., Path]) -> None:
    module = (
        "import dataclasses\nfrom ilrs_toys import clock, raw\n\ndef read(granule):\n    return raw.read(granule)\n\n"
        "instrument = dataclasses.replace(clock.instrument, name='toy-rival', read=read)\n"
    )
    points = {"ilrs_science.instruments": {"toy-rival": "toy_rival:instrument"}}
    install("toy-rival", {"toy_rival.py": module}, points)
    path = campaign.write("0.toy", "a", [1])
    found = ilrs.inventory([path])
    assert found.granules == ()
    assert found.rejected[0].reason == "ambiguous: toy-clock and toy-rival both claim it; name the instrument"
    (granule,) = ilrs.inventory([path], instruments=["toy-rival"]).granules
    assert granule.instrument == "toy-rival"


def test_an_inventory_comes_back_from_its_file_and_other_instruments_stay_out(campaign: Campaign) -> None:
    campaign.write("0.toy", "a", [1])
    campaign.write("0.frames", "a", [1])
    (campaign.folder / "raw" / "empty.toy").write_bytes(b"")
    found = ilrs.inventory([str(campaign.folder / "raw")])
    path = campaign.folder / "inventory.json"
    path.write_text(json.dumps(found.as_json()))
    assert ilrs.inventory([str(path)]) == found
    (granule,) = ilrs.inventory([str(path)], instruments=["toy-clock"]).granules
    assert granule.instrument == "toy-clock"
    path.write_text("{}")
    with pytest.raises(FormatError, match=r"inventory.json: not an inventory"):
        ilrs.inventory([str(path)])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"count": 0}, "yields no sample"),
        ({"stop": START}, "its span is empty"),
        ({"site": ""}, "no site"),
    ],
)
def test_an_index_that_says_nonsense_is_refused(campaign: Campaign, change: dict, reason: str) -> None:
    right = Granule(campaign.write("0.toy", "a", [0]), "toy-clock", "a", START, START + 1, 1)

    def index(bare: Granule) -> Iterable[Granule]:
        return [replace(right, **change)]

    with pytest.raises(FormatError, match=reason):
        catalog.index_granule(replace(clock.instrument, index=index), right)


def test_an_index_gives_one_granule_a_site(campaign: Campaign) -> None:
    right = Granule(campaign.write("0.toy", "a", [0]), "toy-clock", "a", START, START + 1, 1)
    for index, reason in (
        (lambda bare: [right, right], "a site more than once"),
        (lambda bare: [], "yields no sample"),
    ):
        with pytest.raises(FormatError, match=reason):
            catalog.index_granule(replace(clock.instrument, index=index), right)


def test_progress_counts_every_file(campaign: Campaign) -> None:
    for number in range(3):
        campaign.write(f"{number}.toy", "a", [number])
    seen: list[tuple[int, int]] = []
    ilrs.inventory([str(campaign.folder / "raw" / "*")], progress=lambda done, of: seen.append((done, of)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_the_catalogue_of_sites_has_unique_names_and_a_source_for_every_coordinate() -> None:
    assert catalog.sites()
    for site in catalog.sites().values():
        assert site.lon is None or (-180 <= site.lon <= 360 and -90 <= site.lat <= 90)
        assert site.lon is None or site.source != "unknown"


def test_raw_files_may_be_json_where_a_pattern_says_so(campaign: Campaign, install: Callable[..., Path]) -> None:
    module = (
        "import dataclasses\nfrom ilrs_toys import clock\n"
        "instrument = dataclasses.replace(clock.instrument, name='toy-json', files='*.json')\n"
    )
    install("toy-json", {"toy_json.py": module}, {"ilrs_science.instruments": {"toy-json": "toy_json:instrument"}})
    campaign.write("0.json", "a", [1])
    (granule,) = ilrs.inventory([str(campaign.folder / "raw" / "*.json")]).granules
    assert granule.instrument == "toy-json"


def test_an_instrument_takes_of_a_folder_only_what_its_tags_say(
    campaign: Campaign, install: Callable[..., Path], tmp_path: Path
) -> None:
    module = (
        "import dataclasses\nfrom ilrs_toys import clock\n\n"
        "lamp = dataclasses.replace(clock.instrument, name='toy-lamp', files='*.lit', where={'kind': 'lamp'})\n"
        "sky = dataclasses.replace(lamp, name='toy-sky', where={'kind': 'sky'})\n"
    )
    points = {"ilrs_science.instruments": {"toy-lamp": "toy_lamp:lamp", "toy-sky": "toy_lamp:sky"}}
    install("toy-lamp", {"toy_lamp.py": module}, points)
    campaign.write("0.lit", "a", [1], tags={"kind": "lamp", "filter": "R"})
    campaign.write("1.lit", "a", [2, 3], tags={"kind": "sky"})
    campaign.write("2.lit", "a", [4])
    raw = f"{campaign.folder}/raw/*.lit"
    found = ilrs.inventory([raw])
    assert {Path(one.url).name: one.instrument for one in found.granules} == {"0.lit": "toy-lamp", "1.lit": "toy-sky"}
    (neither,) = found.rejected
    assert neither.reason.endswith(
        "toy-lamp: it takes kind lamp; found none of these tags; toy-sky: it takes kind sky; found none of these tags"
    )
    alone = ilrs.inventory([raw], instruments=["toy-lamp"])
    assert [dict(one.tags) for one in alone.granules] == [{"kind": "lamp", "filter": "R"}]
    assert [(one.reason, one.is_expected) for one in alone.rejected] == [
        ("of another kind: toy-lamp: it takes kind lamp; found kind sky", True),
        ("of another kind: toy-lamp: it takes kind lamp; found none of these tags", True),
    ]
    for name in ("found.json", "found.parquet"):
        alone.save(tmp_path / name)
        assert ilrs.inventory([str(tmp_path / name)]).granules == alone.granules
    asked = campaign.pipeline(8, instrument="toy-lamp", sites=["a"], raw=raw)
    report = ilrs.run(asked, executor="serial")
    assert (report.exit_code, report.counts.placed) == (0, 1)
