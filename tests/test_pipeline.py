"""What a scientist writes."""

from pathlib import Path
from typing import Any

import pytest

from ilrs_science import PlanError
from ilrs_science.errors import IlrsError
from ilrs_science.planning.pipeline import json_schema, load_pipeline, protocols, read_pipeline

TEXT = """
name: field
instrument: acme
sites: [a, {name: b, lon: 5.5}]
time: {start: 2031-03-01T00:00:00Z, stop: 2031-03-02T00:00:00Z, step: 1 s}
raw: raw/{site}/*.mag
steps:
  - first
  - second:
  - third: {window: 5 s}
references: {context: 2031-04-01T00:00:00Z, folders: [here, /there]}
output: cubes/field.zarr
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "p.yaml"
    path.write_text(text)
    return path


def test_relative_paths_count_from_the_folder_of_the_file(tmp_path: Path) -> None:
    made = load_pipeline(write(tmp_path, TEXT))
    assert made.raw == (f"{tmp_path}/raw/{{site}}/*.mag",)
    assert made.output == f"{tmp_path}/cubes/field.zarr"
    assert made.references.folders == (f"{tmp_path}/here", "/there")
    assert made.chosen_steps == [("first", {}), ("second", {}), ("third", {"window": "5 s"})]
    assert made.time.step == 10**9


def test_overrides_count_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, TEXT)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    made = load_pipeline(path, output="mine.zarr", raw=None)
    assert made.output == f"{tmp_path}/elsewhere/mine.zarr"
    assert made.raw == (f"{tmp_path}/raw/{{site}}/*.mag",)
    assert load_pipeline(made, output="memory://x").output == "memory://x"


def test_a_pipeline_survives_its_own_json(tmp_path: Path) -> None:
    made = load_pipeline(write(tmp_path, TEXT))
    assert load_pipeline(made.model_dump(mode="json")) == made


@pytest.mark.parametrize(
    ("change", "faults"),
    [
        (
            ("output:", "ouptut:"),
            ["ouptut: unknown key; did you mean output? allowed are name, instrument", "output: is missing"],
        ),
        (("step: 1 s", "stepp: 1 s"), ["time.stepp: unknown key; did you mean step? allowed are start, stop, step"]),
        (("lon: 5.5", "long: 5.5"), ["long: unknown key; did you mean lon? allowed are name, lon"]),
        (("lon: 5.5", "lon: 500"), ["lon: found 500; Input should be less than or equal to 360"]),
        (("name: field", "name: ../field"), ["name: found '../field'; String should match pattern"]),
        (("  - first", "  - {first: {}, other: {}}"), ["steps[0]: found "]),
        (("  - first", "  - 5"), ["steps[0]: found 5"]),
        (
            ("2031-03-01T00:00:00Z, stop", "someday, stop"),
            ["time.start: found 'someday'; Value error, 'someday' is not a UTC time"],
        ),
        (("step: 1 s", "step: 1 parsec"), ["time.step: found '1 parsec'; Value error, '1 parsec' is not a duration"]),
        (("raw: raw/{site}/*.mag", "raw: []"), ["raw: found []; Tuple should have at least 1 item"]),
        (("raw: raw/{site}/*.mag", "raw: ''"), ["raw: found ''; String should have at least 1 character"]),
        (("raw: raw/{site}/*.mag", "raw: foo://x"), ["raw: found 'foo://x'; Value error, nothing opens foo:// here"]),
        (("raw: raw/{site}/*.mag", "raw: [a, b::c]"), ["raw[1]: found 'b::c'; Value error, nothing opens b:// here"]),
        (
            ("cubes/field.zarr", "~nosuchuser/x"),
            ["output: found '~nosuchuser/x'; Value error, nobody has the home folder"],
        ),
        (
            ("cubes/field.zarr", "n" * 300),
            ["output: found 'nnn", "a name of 300 bytes; a file or folder has at most 255"],
        ),
        (("[here, /there]", "[~nosuchuser]"), ["references.folders[0]: found '~nosuchuser'"]),
        (("{name: b, lon: 5.5}", "5"), ["sites[1]: found 5; Input should be a valid dictionary"]),
        (
            ("  - third: {window: 5 s}", "  - third: 5 s"),
            ["steps[2].third: found '5 s'; Input should be a valid dictionary"],
        ),
        (
            ("instrument: acme", "conflicts: newest"),
            ["conflicts: found 'newest'; Input should be 'first', 'last' or 'best'"],
        ),
    ],
)
def test_every_fault_is_named_with_its_path_what_was_found_and_what_is_allowed(
    tmp_path: Path, change: tuple[str, str], faults: list[str]
) -> None:
    with pytest.raises(PlanError) as caught:
        load_pipeline(write(tmp_path, TEXT.replace(*change)))
    text = str(caught.value)
    for fault in faults:
        assert fault in text
    assert "p.yaml" in text


def test_all_faults_come_at_once(tmp_path: Path) -> None:
    with pytest.raises(PlanError) as caught:
        load_pipeline(write(tmp_path, "nam: x\ntime: {begin: 1}\nlayout: {chunk: 0, part: -1}"))
    paths = [fault.path.partition(": ")[2] for fault in caught.value.faults]
    assert {
        "nam",
        "name",
        "instrument",
        "raw",
        "output",
        "time.begin",
        "time.start",
        "layout.chunk",
        "layout.part",
    } <= set(paths)


@pytest.mark.parametrize("text", ["", "- a", "just text", "5"])
def test_what_is_no_mapping_is_no_pipeline(tmp_path: Path, text: str) -> None:
    with pytest.raises(PlanError, match="a pipeline is a mapping of keys to values"):
        load_pipeline(write(tmp_path, text))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(IlrsError, match=r"no pipeline .*absent.yaml"):
        load_pipeline(tmp_path / "absent.yaml")


def test_the_published_schema_accepts_and_refuses_what_the_loader_does(tmp_path: Path) -> None:
    jsonschema = pytest.importorskip(
        "jsonschema", reason="jsonschema is not installed, so the schema was not tried out"
    )
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    right: dict[str, Any] = {
        "name": "f",
        "instrument": "x",
        "raw": "*.x",
        "output": "o",
        "time": {"start": "2031-03-01", "stop": "2031-03-02", "step": "1 s"},
        "steps": ["a", {"b": None}, {"c": {"d": 1}}],
        "sites": ["a", {"name": "b"}],
    }
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(right)
    for wrong in ({"colour": 1}, {"raw": []}, {"steps": [{"a": 1, "b": 2}]}, {"place": "elsewhere"}, {"name": "a b"}):
        assert not validator.is_valid(right | wrong)
        with pytest.raises(PlanError):
            load_pipeline(right | wrong)


def test_of_two_values_at_one_instant_the_first_is_kept_unless_another_rule_is_given(tmp_path: Path) -> None:
    assert load_pipeline(write(tmp_path, TEXT)).conflicts == "first"
    assert load_pipeline(write(tmp_path, TEXT + "conflicts: best")).conflicts == "best"


def test_a_name_too_long_for_any_file_is_no_pipeline() -> None:
    with pytest.raises(IlrsError, match="no pipeline 'aaa"):
        load_pipeline("a" * 10**5)


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("/a/b", []),
        ("a#b?c;d", []),
        ("s3://bucket/x", ["s3"]),
        ("zip://*.x::s3://bucket/a.zip", ["zip", "s3"]),
        ("simplecache::https://host/x", ["simplecache", "https"]),
        ("zip://a.x::/here/a.zip", ["zip"]),
    ],
)
def test_the_protocols_of_a_url_are_those_that_fsspec_reads(url: str, named: list[str]) -> None:
    assert protocols(url) == named


def test_what_can_be_read_of_a_broken_pipeline_is_kept_to_say_more_about_it() -> None:
    content = {"name": "x", "instrument": "acme", "raw": "*.x", "time": {"start": 1}, "steps": [{"a": {"b": 1}}]}
    reading = read_pipeline(content, {})
    assert reading.broken == {"time", "output"}
    assert reading.pipeline.chosen_steps == [("a", {"b": 1})]
    assert reading.pipeline.time is None
