"""Digests of what a part depends on."""

import json

import pytest

from ilrs_science.model.part import brief, digest


def test_the_digest_of_a_value_does_not_depend_on_the_order_in_which_it_was_built() -> None:
    assert digest({"a": 1, "b": [{"c": 2, "d": 3}]}) == digest({"b": [{"d": 3, "c": 2}], "a": 1})
    assert digest({"a": [1, 2]}) != digest({"a": [2, 1]})


@pytest.mark.parametrize("value", [{}, [], "", 0, None, {"a": "Ä"}])
def test_a_digest_is_that_of_the_canonical_text_and_half_of_it_is_brief(value: object) -> None:
    assert len(digest(value)) == 64
    assert brief(value) == digest(value)[:32]
    assert digest(json.loads(json.dumps(value))) == digest(value)
