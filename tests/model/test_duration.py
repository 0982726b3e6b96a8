from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from ilrs_science import Duration
from ilrs_science.model.duration import LONGEST, slot_length, slot_text


class Huge(int):
    """An integer that Python refuses to print."""

    def __repr__(self) -> str:
        return "huge"


UNITS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "min": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9}


@given(st.integers(0, LONGEST))
def test_text_of_a_duration_reads_back_exactly(length: int) -> None:
    assert Duration(str(Duration(length))) == length


@given(st.integers(0, 10**5), st.integers(0, 10**9 - 1), st.sampled_from(list(UNITS)))
def test_a_decimal_fraction_is_exact_to_the_nanosecond(whole: int, fraction: int, unit: str) -> None:
    text = f"{whole}.{fraction:09d} {unit}"
    exact = whole * UNITS[unit] * 10**9 + fraction * UNITS[unit]
    assert abs(Duration(text) * 10**9 - exact) <= 10**9 // 2


@pytest.mark.parametrize("text", ["", "5", "s", "5 parsec", "-5 s", "5 S", "1e3 s", "5.s", "5,5 s", "nan s"])
def test_what_is_no_duration_is_refused_and_units_are_named(text: str) -> None:
    with pytest.raises(ValueError, match="write a number and one of ns, us, ms, s, min, h, d"):
        Duration(text)


@pytest.mark.parametrize(
    "length", [-1, LONGEST + 1, "300000 d", "9223372036854775808 ns", *map(Huge, (10**5000, -(10**5000)))]
)
def test_a_length_below_zero_or_beyond_64_bits_is_refused(length: int | str) -> None:
    with pytest.raises(ValueError, match="zero or more, and at most 9223372036854775807 ns"):
        Duration(length)


@pytest.mark.parametrize(
    "text", ["9" * 400 + " s", "0." + "9" * 400 + " s", "9" * 5000 + " ns", "1 " + "s" * 10**5], ids=len
)
def test_endless_digits_are_no_duration_and_are_not_repeated_in_full(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration") as caught:
        Duration(text)
    assert len(str(caught.value)) < 200


def test_a_fraction_is_rounded_to_the_nearest_nanosecond() -> None:
    assert Duration("9223372036.854775807 s") == LONGEST
    assert Duration("2.5 ns") == 2
    assert Duration("3.5 ns") == 4
    assert Duration("0.0000000014999999999999999999 s") == 1


@pytest.mark.parametrize("value", [5, 5.0, True, None, ["5 s"]])
def test_yaml_must_say_the_unit(value: object) -> None:
    with pytest.raises(ValidationError, match="write a number and a unit"):
        TypeAdapter(Duration).validate_python(value)


def test_pydantic_stores_a_duration_as_text_with_its_unit() -> None:
    adapter = TypeAdapter(Duration)
    assert adapter.dump_python(adapter.validate_python("90 s"), mode="json") == "90 s"
    assert adapter.dump_python(adapter.validate_python("120 s"), mode="json") == "2 min"


@pytest.mark.parametrize(
    ("text", "length", "written"),
    [
        ("66.7 Hz", Fraction(10**10, 667), "66.7 Hz"),
        ("1/66.7 s", Fraction(10**10, 667), "66.7 Hz"),
        (" 1 / 3 s", Fraction(10**9, 3), "3 Hz"),
        ("100Hz", 10**7, "10 ms"),
        ("0.25 Hz", 4 * 10**9, "4 s"),
        ("5 s", 5 * 10**9, "5 s"),
    ],
)
def test_a_length_of_a_slot_may_be_a_rate_and_is_exact(text: str, length: int | Fraction, written: str) -> None:
    assert slot_length(text) == length
    assert slot_text(slot_length(text)) == written
    assert slot_length(written) == length


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0 Hz", "a rate above 0"),
        ("66.666666667 Hz", "too many digits"),
        ("5 MHz", "not a duration"),
        (5, "not a duration"),
    ],
)
def test_a_length_that_is_none_is_refused(text: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        slot_length(text)
