"""YAML as people and adversaries write it."""

from pathlib import Path

import pytest

from ilrs_science import FormatError
from ilrs_science.yaml_text import load_yaml

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
