import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from ilrs_science import Duration

UNITS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "min": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9}


@given(st.integers(0, 10**19))
def test_text_of_a_duration_reads_back_exactly(length: int) -> None:
    assert Duration(str(Duration(length))) == length


@given(st.integers(0, 10**6), st.integers(0, 10**9 - 1), st.sampled_from(list(UNITS)))
def test_a_decimal_fraction_is_exact_to_the_nanosecond(whole: int, fraction: int, unit: str) -> None:
    text = f"{whole}.{fraction:09d} {unit}"
    exact = whole * UNITS[unit] * 10**9 + fraction * UNITS[unit]
    assert abs(Duration(text) * 10**9 - exact) <= 10**9 // 2


@pytest.mark.parametrize("text", ["", "5", "s", "5 parsec", "-5 s", "5 S", "1e3 s", "5.s", "5,5 s", "nan s"])
def test_what_is_no_duration_is_refused_and_units_are_named(text: str) -> None:
    with pytest.raises(ValueError, match="write a number and one of ns, us, ms, s, min, h, d"):
        Duration(text)


def test_a_negative_length_is_refused() -> None:
    with pytest.raises(ValueError, match="zero or more"):
        Duration(-1)


@pytest.mark.parametrize("value", [5, 5.0, True, None, ["5 s"]])
def test_yaml_must_say_the_unit(value: object) -> None:
    with pytest.raises(ValidationError, match="write a number and a unit"):
        TypeAdapter(Duration).validate_python(value)


def test_pydantic_stores_a_duration_as_text_with_its_unit() -> None:
    adapter = TypeAdapter(Duration)
    assert adapter.dump_python(adapter.validate_python("90 s"), mode="json") == "90 s"
    assert adapter.dump_python(adapter.validate_python("120 s"), mode="json") == "2 min"
