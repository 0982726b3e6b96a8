"""YAML as people and adversaries write it."""

from pathlib import Path

import pytest

from ilrs_science import FormatError
from ilrs_science.yaml_text import load_yaml, plain_faults, shown

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: !!python/object/apply:os.system ['false']", "could not determine a constructor"),
        ("a: !!python/name:os.system ''", "could not determine a constructor"),
        ("a: 1\nb: 2\na: 3", "key 'a' is given twice"),
        ("s: {a: 1, a: 1}", "key 'a' is given twice"),
        (BOMB, "aliases"),
        ("a: &x 1\nb: *x", "aliases"),
        ("a: &x {k: 1}\nb: {<<: *x}", "aliases"),
        ("[" * 3000, "not YAML"),
        ("a: [", "not YAML"),
        ("a: 1\n---\nb: 2", "expected a single document"),
        ("? [a, b]\n: 1", "unhashable key"),
        ("a: \x00", "not YAML"),
        ("a: " + "9" * 5000, "not YAML"),
        ("a: !!int ''", "a value is not what its tag says"),
        ("a: !!bool x", "a value is not what its tag says"),
        ("a: !!timestamp x", "a value is not what its tag says"),
    ],
    ids=[
        "call",
        "name",
        "twice",
        "twice inside",
        "bomb",
        "alias",
        "merge",
        "deep",
        "open",
        "two",
        "key",
        "nul",
        "long",
        "no integer",
        "no boolean",
        "no time",
    ],
)
def test_hostile_text_is_refused_with_the_file(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(text)
    with pytest.raises(FormatError, match=words) as caught:
        load_yaml(path)
    assert str(path) in str(caught.value)


def test_unreadable_files_are_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe9")
    for path in (tmp_path / "absent.yaml", tmp_path, tmp_path / "latin.yaml"):
        with pytest.raises(FormatError, match="cannot be read"):
            load_yaml(path)


def test_times_stay_text_and_mistakes_name_line_and_column(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("t: 2031-03-01T00:00:00Z\nleap: 2016-12-31T23:59:60Z\nday: 2031-03-01")
    assert load_yaml(path) == {"t": "2031-03-01T00:00:00Z", "leap": "2016-12-31T23:59:60Z", "day": "2031-03-01"}
    path.write_text("a: 1\nb: &x 2\nc: *x\n")
    with pytest.raises(FormatError, match="line 3, column 4"):
        load_yaml(path)


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ({"a": ["x", {"b": "\0"}]}, "p.a[1].b: found '\\x00' with '\\x00'; text has no control characters"),
        (["\ud800"], "p[0]: found '\\ud800' with '\\ud800'; text has no control characters"),
        ({"two\nlines": 1}, "p.'two\\nlines': found 'two\\nlines' with '\\n'; text has no control characters"),
        ({"a": 2**63}, "p.a: found an integer of 64 bits; expected at most 9223372036854775807"),
        ({"a": (float("nan"),)}, "p.a[0]: found nan; expected a finite number"),
        ({"a": b"x"}, "p.a: found 1 bytes; expected text"),
        ("y" * 4097, "p: found text of 4097 characters, 'yyyyyyyyyyyyyyyyyyyy' ...; expected at most 4096"),
    ],
)
def test_a_value_that_no_key_takes_is_named_with_its_path(value: object, fault: str) -> None:
    (found,) = plain_faults(value, "p")
    assert str(found).startswith(fault)


def test_a_value_as_deep_as_allowed_is_plain_and_one_deeper_is_not() -> None:
    deep: list[object] = []
    for _ in range(31):
        deep = [deep]
    assert plain_faults(deep, "p") == []
    (found,) = plain_faults([deep], "p")
    assert "more than 32 lists or mappings in each other" in found.found


@pytest.mark.parametrize(
    "value", [10**5000, [10**5000], {10**5000: 1}, "x" * 10**6], ids=["int", "list", "key", "text"]
)
def test_what_was_found_is_shown_in_a_few_words(value: object) -> None:
    assert len(shown(value)) < 100
