import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ilrs_science import ExposureAxis, RegularAxis
from ilrs_science.model.axis import axis_from_json

axes = st.builds(RegularAxis, st.integers(-(10**18), 10**18), st.integers(1, 10**12), st.integers(1, 500))
exposures = st.lists(st.tuples(st.integers(0, 50), st.sampled_from("abc")), unique=True).map(
    lambda keys: ExposureAxis(tuple(t for t, _ in sorted(keys)), tuple(s for _, s in sorted(keys)))
)


@given(axes, st.integers(-(2**63), 2**63 - 1))
def test_a_time_belongs_to_the_slot_that_holds_it_and_to_no_other(axis: RegularAxis, time: int) -> None:
    slot = int(axis.slots(np.array([time]), "")[0])
    if slot < 0:
        assert not axis.start <= time < axis.stop
    else:
        assert axis.times()[slot] <= time < axis.times()[slot] + axis.step


@given(axes, st.data())
def test_regions_of_a_regular_axis_tile_it(axis: RegularAxis, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, axis.count))
    left, right = axis.region(0, cut), axis.region(cut, axis.count)
    assert left.stop == right.start
    assert np.array_equal(np.concatenate([left.times(), right.times()]), axis.times())


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
