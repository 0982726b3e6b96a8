"""Values between samples, held against other implementations and closed forms."""

from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation, Slerp

from ilrs_science.errors import SeriesError
from ilrs_science.model.series import Series

SECOND = 10**9


def read(granule: Any) -> xr.Dataset:
    return xr.Dataset()


def series(times: Any, values: Any, limit: str = "10 s", **attributes: Any) -> Series:
    array = np.asarray(values)
    dims = ("time", "part")[: array.ndim]
    samples = xr.Dataset({"x": (dims, array, attributes)}, {"tai": ("time", np.asarray(times, np.int64))})
    return Series(read, "*", limit, name="acme:x", samples=samples)


def at(times: Any) -> xr.Dataset:
    return xr.Dataset(coords={"tai": ("time", np.asarray(times, np.int64))})


@given(
    st.lists(st.integers(0, 100), min_size=2, max_size=10, unique=True).map(sorted),
    st.lists(st.integers(-5, 105), min_size=1, max_size=20),
)
def test_numbers_lie_on_the_line_that_numpy_draws(times: list[int], asked: list[int]) -> None:
    known = series(times, [t**2 / 8 for t in times], "200 ns")
    found = known.at(at(asked)).values
    inside = (np.array(asked) >= times[0]) & (np.array(asked) <= times[-1])
    np.testing.assert_allclose(found[inside], np.interp(np.array(asked)[inside], times, [t**2 / 8 for t in times]))
    assert np.isnan(found[~inside]).all()
    assert known.unknown(np.array(asked)).tolist() == (~inside).tolist()


def test_rotations_are_those_of_scipy() -> None:
    generator = np.random.default_rng(5)
    times = np.cumsum(generator.integers(1, 5, 40)) * SECOND
    rotations = Rotation.random(40, rng=generator)
    signs = generator.choice([-1, 1], 40)[:, None]
    known = series(times, rotations.as_quat() * signs, normalised="quaternion")
    asked = np.sort(generator.integers(times[0], times[-1], 500))
    found = Rotation.from_quat(known.at(at(asked)).values)
    wanted = Slerp((times - times[0]) / 1e9, rotations)((asked - times[0]) / 1e9)
    assert (found.inv() * wanted).magnitude().max() < 1e-7


def test_a_direction_goes_along_a_great_circle_at_an_even_pace() -> None:
    known = series([0, 8 * SECOND], [[1.0, 0, 0], [0, 1.0, 0]], normalised="vector")
    found = known.at(at(np.arange(9) * SECOND)).values
    angles = np.arange(9) * np.pi / 16
    np.testing.assert_allclose(found, np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1), atol=1e-15)


def test_between_opposite_directions_there_is_no_value() -> None:
    known = series([0, 8 * SECOND], [[1.0, 0, 0], [-1.0, 0, 0]], normalised="vector")
    assert np.isnan(known.at(at([4 * SECOND])).values).all()
    assert known.unknown(np.array([3, 4, 5]) * SECOND).tolist() == [False, True, False]


def test_a_short_arc_is_gone_along_evenly_too() -> None:
    tiny = 1e-10
    known = series([0, 8 * SECOND], [[1.0, 0, 0], [1.0, tiny, 0]], normalised="vector")
    np.testing.assert_allclose(known.at(at([2 * SECOND])).values, [[1, tiny / 4, 0]], rtol=1e-6)


@pytest.mark.parametrize(
    ("before", "after", "middle"), [(350, 10, 0), (10, 350, 0), (-170, 170, -180), (90, 100, 95), (-10, 20, 5)]
)
def test_angles_go_along_the_shorter_arc(before: float, after: float, middle: float) -> None:
    known = series([0, 2 * SECOND], [float(before), float(after)], period=360)
    assert known.at(at([SECOND])).item() == middle


def test_the_nearest_sample_is_the_earlier_one_of_two_that_are_as_near() -> None:
    known = series([0, 10 * SECOND], [1.0, 2.0], "6 s")
    times = np.array([0, 4, 5, 6, 10, 16, 17]) * SECOND
    found = known.at(at(times), method="nearest").values
    np.testing.assert_array_equal(found, [1, 1, 1, 2, 2, 2, np.nan])


def test_the_sample_before_reaches_as_far_as_the_limit_and_no_later_one_counts() -> None:
    known = series([10 * SECOND, 40 * SECOND], [1, 2], "10 s")
    found = known.at(at(np.array([9, 10, 20, 21, 39, 40]) * SECOND))
    assert found.dtype == np.int64
    assert found.values.tolist() == [0, 1, 1, 0, 0, 2]
    assert known.unknown(np.arange(8)).tolist() == [False] * 8
    assert np.flatnonzero(known.unknown(np.arange(60) * SECOND)).tolist() == [9, 21, 39]


def test_what_is_beyond_the_limit_says_nothing_even_where_a_part_knows_it() -> None:
    near, far = series([0], [5], "10 s"), series([0, 500 * SECOND], [5, 7], "10 s")
    for method in ("previous", "nearest"):
        times = at(np.array([-11, -1, 3, 11, 499]) * SECOND)
        np.testing.assert_array_equal(near.at(times, method=method)[:4], far.at(times, method=method)[:4])  # type: ignore[arg-type]


def test_words_are_those_before_and_no_word_where_nothing_is_known() -> None:
    known = series([0, 5 * SECOND], np.array(["survey", "burst"]))
    assert known.at(at(np.array([-1, 0, 5, 16]) * SECOND)).values.tolist() == ["", "survey", "burst", ""]


def test_a_value_that_is_no_number_is_gone_across() -> None:
    known = series([0, SECOND, 2 * SECOND], [1.0, np.nan, 3.0])
    assert known.at(at([SECOND])).item() == 2.0


def test_samples_that_ask_at_other_times_than_their_own_are_known_by_their_place() -> None:
    known = series([0, SECOND], [1.0, 2.0], "1 s")
    own = np.array([100, 101, 102]) * SECOND
    known.at(at(own - 100 * SECOND))
    assert known.unknown(own).tolist() == [False, False, True]


def test_a_number_that_stands_for_none_is_gone_across() -> None:
    known = series([0, SECOND, 2 * SECOND], [1, 99, 3], _FillValue=99)
    assert known.at(at([SECOND])).item() == 1


@pytest.mark.parametrize(
    ("values", "attributes", "method", "said"),
    [
        ([1.0, 2.0], {"period": 360}, "linear", "lies on a circle or a sphere"),
        ([[1.0, 0], [0, 1.0]], {"normalised": "vector"}, "linear", "lies on a circle or a sphere"),
        ([1.0, 2.0], {}, "slerp", "has no attribute period or normalised"),
        ([1, 2], {}, "linear", "is int64, of which nothing lies between two"),
        ([1.0, 2.0], {}, "cubic", "found method 'cubic'; expected one of linear, slerp, nearest, previous"),
    ],
)
def test_a_method_that_is_not_for_its_kind_is_refused(values: Any, attributes: Any, method: Any, said: str) -> None:
    with pytest.raises(SeriesError, match=said):
        series([0, SECOND], values, **attributes).at(at([0]), method=method)


def test_a_variable_that_is_not_there_is_named_with_those_that_are() -> None:
    known = series([0], [1.0])
    with pytest.raises(SeriesError, match=r"no variable 'y': at\(ds, 'y'\); it has x"):
        known.at(at([0]), "y")
    several = Series(read, "*", "1 s", name="acme:z", samples=known.samples.assign(y=known.samples.x))  # type: ignore[union-attr]
    with pytest.raises(SeriesError, match=r"several variables and none called 'z': at\(ds, 'NAME'\); it has x, y"):
        several.at(at([0]))
