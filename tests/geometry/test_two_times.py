"""UTC as samples are labelled with it: no label twice, exact but for the two seconds around an inserted one."""

from datetime import UTC, datetime

import erfa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ilrs_science.errors import IlrsError
from ilrs_science.geometry.labels import both_times
from ilrs_science.geometry.time import (
    FIRST_UTC,
    SECOND,
    parse_utc,
    refuse_left_open,
    squeezed,
    squeezed_utc,
    tai_to_utc,
    utc_to_tai,
)


def count(text: str) -> int:
    """Return the POSIX-like count of UTC text, ns."""
    return int(np.datetime64(text, "ns").astype(np.int64))


def stamp(utc: int) -> str:
    return str(np.datetime64(int(utc), "ns"))


MIDNIGHTS = [f"{row['year']}-{row['month']:02d}-01" for row in erfa.leap_seconds.get() if row["year"] > 1972] + [
    "1972-07-01"
]
"""Days that begin after a leap second."""
INSERTIONS = [*MIDNIGHTS, "1972-01-01", "1965-09-01", "1964-04-01", "1963-11-01", "1961-01-01"]
FIRST, LAST = parse_utc("1972-01-01T00:00:01"), parse_utc("2030-01-01")

around_a_leap_second = st.builds(
    lambda day, offset: int(utc_to_tai(count(day))) + offset,
    st.sampled_from(INSERTIONS),
    st.integers(-3 * SECOND, 2 * SECOND),
)
any_time = st.integers(FIRST_UTC, LAST) | around_a_leap_second


@settings(max_examples=400)
@given(any_time, st.integers(2, 3 * SECOND))
def test_later_times_have_later_labels(tai: int, later: int) -> None:
    one, other = squeezed_utc([tai, tai + later])
    assert other > one
    assert squeezed_utc(tai) == one


@settings(max_examples=400)
@given(any_time)
def test_a_label_is_utc_or_lies_in_a_squeezed_second_half_a_second_off_at_most(tai: int) -> None:
    label, utc = int(squeezed_utc(tai)), int(tai_to_utc(tai))
    if not squeezed(tai):
        assert label == utc
        return
    assert stamp(label)[11:19] == "23:59:59"
    # Clocks run on into the next second, or were put back for this one: half a second from one of them.
    second = label // SECOND * SECOND
    begin, end = int(utc_to_tai(second)), int(utc_to_tai(second + SECOND))
    shown = second + (tai - begin), second + SECOND - (end - tai)
    assert min(abs(label - one) for one in shown) <= SECOND // 2


@settings(max_examples=200)
@given(st.lists(any_time, min_size=1, max_size=20))
def test_many_times_at_once_are_labelled_as_one_by_one(times: list[int]) -> None:
    assert squeezed_utc(times).tolist() == [int(squeezed_utc(one)) for one in times]
    assert squeezed_utc([times]).shape == (1, len(times))


@given(st.integers(FIRST_UTC, parse_utc("1971-12-31T23:59:58")))
def test_before_1972_a_label_follows_the_published_rate_to_a_nanosecond(tai: int) -> None:
    if squeezed(tai):
        return
    label = int(squeezed_utc(tai))
    day = datetime.fromtimestamp(label // SECOND, UTC)
    seconds = erfa.dat(day.year, day.month, day.day, (label % (86400 * SECOND)) / (86400 * SECOND))
    assert tai - label == pytest.approx(float(seconds) * SECOND, abs=2)


@pytest.mark.parametrize("step", [SECOND, SECOND // 4])
def test_a_regular_axis_over_the_leap_second_of_2016_has_labels_that_increase(step: int) -> None:
    tai = np.arange(parse_utc("2016-12-31T23:59:50"), parse_utc("2017-01-01T00:00:10"), step)
    labels = squeezed_utc(tai)
    assert (np.diff(labels) > 0).all()
    inside = (tai >= parse_utc("2016-12-31T23:59:59")) & (tai < parse_utc("2017-01-01"))
    assert np.array_equal(squeezed(tai), inside)
    assert inside.sum() == 2 * SECOND // step
    assert np.array_equal(labels[~inside], tai_to_utc(tai[~inside]))
    assert np.diff(labels[inside]).tolist() == [step // 2] * (inside.sum() - 1)
    if step == SECOND:
        assert [stamp(one)[11:21] for one in labels[9:12]] == ["23:59:59.0", "23:59:59.5", "00:00:00.0"]


@pytest.mark.parametrize("day", INSERTIONS)
def test_at_the_borders_of_a_squeezed_second_nothing_repeats(day: str) -> None:
    midnight = count(day)
    for border in (int(utc_to_tai(midnight - SECOND)), int(utc_to_tai(midnight))):
        labels = squeezed_utc(border + np.arange(-500, 500))
        assert (labels[2:] > labels[:-2]).all()
    assert squeezed_utc(utc_to_tai(midnight)) == midnight
    assert squeezed_utc(utc_to_tai(midnight - SECOND)) == pytest.approx(midnight - SECOND, abs=1)


@given(st.integers(parse_utc("2017-01-01"), LAST), st.integers(0, 10**9))
def test_outside_the_squeezed_seconds_labels_lead_back_to_the_times(tai: int, step: int) -> None:
    times = tai + step * np.arange(50)
    assert np.array_equal(utc_to_tai(squeezed_utc(times)), times)


def test_there_is_no_utc_before_1960() -> None:
    assert squeezed_utc(FIRST_UTC) == count("1960-01-01")
    assert squeezed_utc(np.zeros(0, np.int64)).tolist() == []
    with pytest.raises(IlrsError, match="before 1960"):
        squeezed_utc(FIRST_UTC - 1)


@pytest.mark.parametrize(
    "clocks",
    [
        ("23:59:58", "23:59:59", "23:59:59", "00:00:00"),  # 23:59:60 shown as the second before it
        ("23:59:59", "00:00:00", "00:00:00", "00:00:01"),  # or as the one after it
        ("23:59:59.25", "23:59:59.75", "23:59:59.25", "23:59:59.75", "00:00:00.25"),
        ("23:59:59.75", "00:00:00.25", "00:00:00.75", "00:00:00.25"),
    ],
)
def test_labels_that_repeat_or_go_back_at_a_leap_second_are_refused(clocks: tuple[str, ...]) -> None:
    labels = [count(f"{'2016-12-31' if one > '12' else '2017-01-01'}T{one}") for one in clocks]
    with pytest.raises(IlrsError, match=r"are at (2016-12-31|2017-01-01)T.* where a second was inserted.*give tai"):
        refuse_left_open(labels)


@pytest.mark.parametrize(
    "texts",
    [
        ("2016-12-31T23:59:58", "2016-12-31T23:59:59", "2017-01-01T00:00:00", "2017-01-01T00:00:01"),
        ("2016-12-31T23:59:57", "2016-12-31T23:59:57", "2017-01-01T00:00:02", "2017-01-01T00:00:02"),
        ("2018-12-31T23:59:59", "2018-12-31T23:59:59", "2018-12-31T23:59:58"),  # no leap second there
        ("2017-01-01T00:00:05", "2016-12-31T23:59:59", "2016-12-31T23:59:00"),  # newest first, across it
        ("2016-12-31T23:59:59",),
        (),
    ],
)
def test_labels_that_leave_nothing_open_are_taken(texts: tuple[str, ...]) -> None:
    refuse_left_open([count(one) for one in texts])


def test_both_times_say_what_they_are() -> None:
    tai = np.array([parse_utc("1994-04-06T20:49:56.247Z")])
    made = both_times(tai, attributes={"native_name": "t"})
    assert made["time"].values[0] == np.datetime64("1994-04-06T20:49:56.247")
    assert np.array_equal(made["tai"].values.astype(np.int64), tai)
    assert [made[name].attrs["time_scale"] for name in ("time", "tai")] == ["UTC", "TAI"]
    assert {one.attrs["native_name"] for one in made.values()} == {"t"}
