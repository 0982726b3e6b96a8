"""The books of a cube: what records say of a file is held against what the file holds."""

import pytest

from ilrs_science import Granule, RegularAxis
from ilrs_science.errors import CountError
from ilrs_science.model.record import Counts, Outcome, Record
from ilrs_science.reduction.account import Books

AXIS = RegularAxis(0, 1, 10)
WITHIN = Granule("within", "toy", "a", start=2, stop=6, count=4, sha256="w")
BEYOND = Granule("beyond", "toy", "a", start=8, stop=14, count=6, sha256="b")


def record(granule: Granule, read: int, fault: str = "") -> Record:
    outcome = Outcome(granule.url, granule.site, granule.sha256, Counts(read, placed=read), fault=fault)
    return Record(0, 0, 0, 10, "", {}, "done", outcomes=(outcome,))


def test_what_no_part_read_of_a_file_that_reaches_beyond_the_axis_lies_outside() -> None:
    books = Books([WITHIN, BEYOND], AXIS, margin=0)
    assert books.outside([record(WITHIN, 4), record(BEYOND, 2)]) == {"beyond": 4}
    assert books.outside([record(WITHIN, 3), record(WITHIN, 1), record(BEYOND, 6)]) == {}


@pytest.mark.parametrize(("granule", "read"), [(WITHIN, 3), (WITHIN, 5), (WITHIN, 0), (BEYOND, 7), (BEYOND, 8)])
def test_one_sample_too_many_or_too_few_is_found_out(granule: Granule, read: int) -> None:
    with pytest.raises(CountError, match=f"{granule.count} samples in the file, {read} accounted for"):
        Books([granule], AXIS, margin=0).outside([record(granule, read)])


def test_a_file_is_within_the_axis_only_where_no_step_moves_its_samples_out_of_it() -> None:
    edge = Granule("edge", "toy", "a", start=2, stop=8, count=6, sha256="e")
    with pytest.raises(CountError):
        Books([edge], AXIS, margin=2).outside([record(edge, 5)])
    for margin in (3, 5):
        assert Books([edge], AXIS, margin=margin).outside([record(edge, 5)]) == {"edge": 1}


def test_where_a_step_that_moves_samples_failed_nobody_can_tell_what_is_missing() -> None:
    assert Books([WITHIN], AXIS, margin=1).outside([record(WITHIN, 1, fault="broke")]) == {"within": 3}
    with pytest.raises(CountError):
        Books([WITHIN], AXIS, margin=0).outside([record(WITHIN, 1, fault="broke")])


def test_of_files_that_have_gone_nothing_is_expected_and_a_stray_one_is_found_out() -> None:
    assert Books([], AXIS, 0, gone=["within"]).outside([record(WITHIN, 4)]) == {}
    with pytest.raises(CountError, match="files that the plan does not have"):
        Books([], AXIS, 0).outside([record(WITHIN, 4)])
    assert Books([WITHIN], AXIS, 0, unread=[("w", "a")]).outside([]) == {}
