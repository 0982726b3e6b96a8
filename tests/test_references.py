"""Calibration knowledge: at every instant exactly one reference, or an explanation."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from ilrs_science import FormatError, PlanError, Reference, references
from ilrs_science.references import Sought

BASE = 1_900_000_000 * 10**9


def reference(start: int, stop: int, published: int = 0, site: str = "*", kind: str = "gain") -> Reference:
    name = f"{kind}-{start}-{stop}-{published}-{site}"
    return Reference("x", kind, site, BASE + start, BASE + stop, BASE + published, name, f"/r/{name}.json")


spans = st.tuples(st.integers(0, 20), st.integers(1, 10)).map(lambda one: (one[0], one[0] + one[1]))


@given(st.lists(spans, max_size=5), spans)
def test_a_resolution_is_faultless_exactly_when_every_instant_has_one_reference(several: list, span: tuple) -> None:
    known = [reference(*one, published=n) for n, one in enumerate(several)]
    found = references.resolve(known, Sought("x", "gain", "a"), (BASE + span[0], BASE + span[1]))
    # Published again with the same validity, a reference takes the place of the earlier one.
    valid = [sum(start <= instant < stop for start, stop in set(several)) for instant in range(*span)]
    assert (not found.faults) == all(number == 1 for number in valid)
    assert any("none is valid" in fault for fault in found.faults) == (0 in valid)
    assert any("two are valid" in fault for fault in found.faults) == any(number > 1 for number in valid)
    assert len(found.candidates) == len(known)
    assert {one for one, reason in found.candidates if reason == "taken"} == set(found.chosen)


def test_what_was_not_known_yet_is_not_used() -> None:
    known = [reference(0, 10, published=1), reference(0, 10, published=5)]
    for context, expected in ((4, known[:1]), (5, known[1:]), (None, known[1:]), (0, [])):
        sought = Sought("x", "gain", "a", context=None if context is None else BASE + context)
        found = references.resolve(known, sought, (BASE, BASE + 5))
        assert list(found.chosen) == expected
        assert bool(found.faults) == (not expected)


def test_a_corrected_reference_takes_the_place_of_the_first_and_both_are_explained() -> None:
    known = [reference(0, 10, published=1), reference(0, 10, published=5)]
    found = references.resolve(known, Sought("x", "gain", "a"), (BASE, BASE + 5))
    assert found.faults == ()
    assert [reason.endswith("and again later") for _, reason in found.candidates] == [True, False]
    assert references.usable(known, Sought("x", "gain", "a")) == known[1:]
    assert references.usable(known, Sought("x", "gain", "a", context=BASE + 4)) == known[:1]


def test_two_references_published_at_once_with_one_validity_are_a_fault() -> None:
    known = [reference(0, 10), reference_with(reference(0, 10), sha256="other", url="/r/other.json")]
    found = references.resolve(known, Sought("x", "gain", "a"), (BASE, BASE + 5))
    assert any("two are valid" in fault for fault in found.faults)


def test_other_sites_kinds_and_instruments_are_left_out_with_a_reason() -> None:
    known = [reference(0, 10, site="a"), reference(0, 10, site="b"), reference(0, 10, kind="clock")]
    found = references.resolve(known, Sought("x", "gain", "a"), (BASE, BASE + 5))
    assert found.chosen == (known[0],)
    assert [reason for _, reason in found.candidates] == ["taken", "for site b"]
    assert references.explain(found).endswith("gain-0-10-0-b.json (for site b)")


def write_index(folder: Path, content: Any = None, **entry: Any) -> Path:
    payload = json.dumps(xr.Dataset({"gain": ((), 2.0)}).to_dict())
    (folder / "gain.json").write_text(payload)
    made = {
        "kind": "gain",
        "instrument": "x",
        "valid": {"start": "2031-01-01T00:00:00Z", "stop": "2032-01-01T00:00:00Z"},
        "published": "2030-01-01T00:00:00Z",
        "payload": "gain.json",
    }
    (folder / "index.yaml").write_text(json.dumps(content or {"references": [made | entry]}))
    return folder


def test_a_folder_of_references_is_read_with_digests_and_loaded_read_only(tmp_path: Path) -> None:
    (one,) = references.read_folder(write_index(tmp_path))
    assert one.sha256 == hashlib.sha256((tmp_path / "gain.json").read_bytes()).hexdigest()
    assert one.site == "*"
    with pytest.raises(LookupError, match="not loaded"):
        one["gain"]
    loaded = references.load(one)
    assert float(loaded["gain"]) == 2.0
    with pytest.raises(ValueError, match="read-only"):
        loaded["gain"].values[...] = 3


def test_a_netcdf_payload_is_read(tmp_path: Path) -> None:
    xr.Dataset({"gain": ("x", np.array([1.0, 2.0]))}).to_netcdf(tmp_path / "gain.nc", engine="scipy")
    (one,) = references.read_folder(write_index(tmp_path, payload="gain.nc"))
    assert references.load(one)["gain"].to_numpy().tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"payload": "../secret.json"}, "is not a file below"),
        ({"payload": "absent.json"}, "is not a file below"),
        ({"payload": "/etc/passwd.json"}, "should match pattern"),
        ({"sha256": "0" * 64}, "its index says 000"),
        ({"valid": {"stop": "2031-01-01T00:00:00Z"}}, r"valid.start: is missing"),
        ({"published": "some day"}, "is not a UTC time"),
        ({"colour": "red"}, r"colour: unknown key; allowed are kind, instrument, site"),
    ],
)
def test_a_wrong_index_is_named_with_file_and_path(tmp_path: Path, entry: dict[str, Any], words: str) -> None:
    folder = tmp_path / "references"
    folder.mkdir()
    (tmp_path / "secret.json").write_text("{}")
    with pytest.raises((FormatError, PlanError), match=words) as caught:
        references.read_folder(write_index(folder, **entry))
    assert str(folder) in str(caught.value)


def test_a_payload_that_changed_or_is_none_is_refused_by_name(tmp_path: Path) -> None:
    (one,) = references.read_folder(write_index(tmp_path, kind="changed"))
    (tmp_path / "gain.json").write_text(json.dumps(xr.Dataset({"gain": ((), 5.5)}).to_dict()))
    with pytest.raises(FormatError, match=r"gain.json: changed since it was planned"):
        references.load(reference_with(one, url=str(tmp_path / "gain.json"), sha256="f" * 64))
    (tmp_path / "gain.json").write_text("[1, 2]")
    digest = hashlib.sha256(b"[1, 2]").hexdigest()
    with pytest.raises(FormatError, match=r"gain.json: not a reference payload"):
        references.load(reference_with(one, url=str(tmp_path / "gain.json"), sha256=digest))


def reference_with(one: Reference, **changes: Any) -> Reference:
    return Reference(**{name: getattr(one, name) for name in one.__dataclass_fields__} | changes)
