from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ilrs_science import ExposureAxis, Granule, RegularAxis
from ilrs_science.model.axis import axis_from_json

whole = st.builds(RegularAxis, st.integers(-(10**18), 10**18), st.integers(1, 10**12), st.integers(1, 500))


def in_parts(start: int, length: int, parts: int, late: int, count: int) -> RegularAxis:
    """Return an axis on which so many slots last so many ns, or one of which the step is a whole number."""
    step = Fraction(length, parts)
    if step.denominator == 1:
        return RegularAxis(start, int(step), count)
    return RegularAxis(start, step, count, Fraction(late % step.denominator, step.denominator))


fractions = st.builds(
    in_parts,
    st.integers(-(10**18), 10**18),
    st.integers(10**6, 10**12),
    st.integers(1, 10**4),
    st.integers(0, 10**4),
    st.integers(1, 500),
)
axes = whole | fractions
exposures = st.lists(st.tuples(st.integers(0, 50), st.sampled_from("abc")), unique=True).map(
    lambda keys: ExposureAxis(tuple(t for t, _ in sorted(keys)), tuple(s for _, s in sorted(keys)))
)


@given(axes, st.integers(-(2**63), 2**63 - 1))
def test_a_time_belongs_to_the_slot_that_holds_it_and_to_no_other(axis: RegularAxis, time: int) -> None:
    slot = int(axis.slots(np.array([time]), "")[0])
    if slot < 0:
        assert not axis.start <= time < axis.stop
    else:
        assert axis.bounds()[slot, 0] <= time < axis.bounds()[slot, 1]


@given(axes, st.data())
def test_regions_of_a_regular_axis_tile_it(axis: RegularAxis, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, axis.count))
    left, right = axis.region(0, cut), axis.region(cut, axis.count)
    assert left.stop == right.start
    assert np.array_equal(np.concatenate([left.times(), right.times()]), axis.times())


@given(axes, st.lists(st.integers(0, 2**26), min_size=1, max_size=20), st.integers(-(10**17), 10**17))
def test_slots_begin_at_their_exact_time_rounded_down_however_far_they_are(
    axis: RegularAxis, numbers: list[int], time: int
) -> None:
    exact = [axis.start + floor(axis.phase + number * Fraction(axis.step)) for number in numbers]
    assert axis.edges(np.array(numbers)).tolist() == exact
    assert axis.numbers(np.array(exact)).tolist() == numbers
    assert axis.numbers(np.array(exact) - 1).tolist() == [number - 1 for number in numbers]
    found = int(axis.numbers(axis.start + time))
    assert int(axis.edges(np.int64(found))) <= axis.start + time < int(axis.edges(np.int64(found + 1)))


def test_an_axis_of_two_years_at_66_7_hz_drifts_by_nothing() -> None:
    seconds = 2 * 366 * 86400
    axis = RegularAxis(0, Fraction(10**10, 667), seconds * 667 // 10)
    assert axis.stop == seconds * 10**9
    assert axis.edges(np.array([667 * 10**7])).tolist() == [10**17]
    assert axis.numbers(np.array([axis.stop - 1, axis.stop])).tolist() == [axis.count - 1, axis.count]
    assert axis.region(axis.count - 1, axis.count).times().tolist() == [axis.stop - 14992504]


@given(exposures, st.integers(-2, 52), st.sampled_from("abcd"))
def test_an_exposure_is_found_by_time_and_site(axis: ExposureAxis, time: int, site: str) -> None:
    keys = list(zip(axis.instants, axis.sites, strict=True))
    expected = keys.index((time, site)) if (time, site) in keys else -1
    assert axis.slots(np.array([time]), site)[0] == expected


@given(axes | exposures)
def test_an_axis_comes_back_from_json(axis: RegularAxis | ExposureAxis) -> None:
    assert axis_from_json(axis.as_json()) == axis


@pytest.mark.parametrize("instants", [(2, 1), (1, 1)])
def test_exposures_out_of_order_or_repeated_are_refused(instants: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="sorted by time, then site, without repetition"):
        ExposureAxis(instants, ("a", "a"))


@given(st.integers(1, 50), st.integers(0, 50), st.integers(0, 20))
def test_slots_in_margins_are_those_of_a_longer_axis_on_both_sides(step: int, margins: int, count: int) -> None:
    axis, longer = RegularAxis(0, step, count), RegularAxis(-margins * step, step, count + 2 * margins)
    assert count + axis.slots_within(margins * step) == longer.count


@given(exposures, exposures, st.integers(0, 3))
def test_a_granule_overlaps_exposures_where_one_of_its_own_lies_among_them(
    axis: ExposureAxis, of_granule: ExposureAxis, margin: int
) -> None:
    granule = Granule("file:///a", "toy", "a", times=of_granule.instants)
    assert axis.overlaps(granule, margin) == any(axis.start <= time < axis.stop for time in of_granule.instants)


@given(exposures)
def test_an_exposure_begins_and_ends_at_its_instant(axis: ExposureAxis) -> None:
    assert axis.bounds().tolist() == [[time, time] for time in axis.instants]
    assert (axis.start, axis.stop) == ((axis.instants[0], axis.instants[-1] + 1) if axis.instants else (0, 0))
