import functools
import operator

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from ilrs_science import Product, RegularAxis, Variable
from ilrs_science.geometry.time import parse_utc
from ilrs_science.model.quality import CLOCK_UNCERTAIN, CONFLICT, MISSING, NO_REFERENCE, NOT_APPLICABLE, OUT_OF_RANGE
from ilrs_science.reduction.placing import Block

VECTOR = Variable("b", ("time", "axis"), "f4", units="nT")
LEVEL = Variable("level", ("time",), "i2", units="1", uncertainty=False)
HEAT = Variable("heat", ("time",), "f8", units="K", uncertainty=False)
ONE_FLAG = Product(VECTOR, LEVEL, HEAT, quality=("time",), place="mean", axis=2)
FLAG_EACH = Product(VECTOR, LEVEL, HEAT, place="mean", axis=2)
AXIS = RegularAxis(1000, 10, 4)
EMPTY_LEVEL = np.iinfo("i4").max
TOLD = int(CONFLICT)
"""What is said of a sample without speaking against its value."""

numbers = st.sampled_from([np.nan, np.inf, -1.5, 0.0, 0.1, 1e-3, 2.0, 1e6])
flags = st.sampled_from([0, 0, 0, 1, 2, 1 << 16, int(CONFLICT), int(NO_REFERENCE)])
sigmas = st.floats(2**-20, 3, width=32) | st.just(np.nan)
samples = st.lists(
    st.tuples(st.integers(990, 1050), st.tuples(numbers, numbers), sigmas, st.integers(-9, 9), flags, flags, numbers),
    max_size=25,
    unique_by=lambda sample: sample[0],
)


def dataset(rows: list, product: Product) -> xr.Dataset:
    each = len(product.quality_dims) == 2
    quality = [[row[4], row[5]] for row in rows] if each else [row[4] for row in rows]
    return xr.Dataset(
        {
            "b": (("time", "axis"), np.array([row[1] for row in rows], "f4").reshape(-1, 2)),
            "b_uncertainty": (("time", "axis"), np.array([[row[2]] * 2 for row in rows], "f4").reshape(-1, 2)),
            "level": ("time", np.array([row[3] for row in rows], "i2")),
            "heat": ("time", np.array([row[6] for row in rows], "f8")),
            "quality": (product.quality_dims, np.array(quality, "u4").reshape(len(rows), *([2] * each))),
        },
        {"time": np.array([row[0] for row in rows], np.int64)},
    )


def filled(product: Product, place: str, rows: list) -> tuple[Block, list[bool]]:
    """Return a finished block of samples, and which of them were placed."""
    block, ds = Block(product, place, AXIS), dataset(rows, product)
    times = ds.time.to_numpy()
    placed = block.put(ds, AXIS.slots(times, ""), times)
    block.finish()
    return block, placed.tolist()


def flags_of(row: tuple, c: int, *, flag_each: bool) -> int:
    """Return the flags of a component: those of the step, and what its value says of itself."""
    said = [
        row[4 + k * flag_each]
        | int(MISSING) * bool(np.isnan(row[1][k]))
        | int(OUT_OF_RANGE) * bool(np.isinf(row[1][k]))
        for k in (0, 1)
    ]
    return said[c] if flag_each else said[0] | said[1]


@settings(max_examples=150)
@given(samples, st.booleans())
def test_a_mean_is_the_one_of_a_plain_loop(rows: list, flag_each: bool) -> None:
    rows = sorted(rows)
    block, placed = filled(FLAG_EACH if flag_each else ONE_FLAG, "mean", rows)
    assert placed == [1000 <= row[0] < 1040 for row in rows]
    for slot in range(AXIS.count):
        here = [row for row in rows if (row[0] - 1000) // 10 == slot]
        said = [[flags_of(row, c, flag_each=flag_each) for c in (0, 1)] for row in here]
        good = [[not flag & ~TOLD for flag in each] for each in said]
        whole = [row for row, each in zip(here, good, strict=True) if all(each)]
        assert block.arrays["count"][slot] == len(whole)
        level = [row[3] for row in whole]
        assert block.arrays["level"][slot] == (np.rint(sum(level) / len(level)) if level else EMPTY_LEVEL)
        # A number that is none is left out of the mean of its own variable, and of no other.
        heat = [row[6] for row in whole if np.isfinite(row[6])]
        expected = sum(heat) / len(heat) if heat else np.nan
        np.testing.assert_allclose(block.arrays["heat"][slot], expected, rtol=1e-12)
        quality = np.broadcast_to(block.arrays["quality"][slot], 2)
        for c in (0, 1):
            used = [row for row, each in zip(here, good, strict=True) if each[c]]
            every = functools.reduce(operator.or_, (each[c] for each in said), 0)
            flag = every & TOLD if used else every | int(MISSING)
            # A cell without any flag is good in every variable.
            assert quality[c] == (flag or (0 if heat else int(MISSING)))
            mean = sum(float(np.float32(row[1][c])) for row in used) / len(used) if used else np.nan
            sigma = sum(row[2] ** 2 for row in used) ** 0.5 / len(used) if used else np.nan
            np.testing.assert_allclose(block.arrays["b"][slot, c], mean, rtol=1e-6, atol=1e-9)
            np.testing.assert_allclose(block.arrays["b_uncertainty"][slot, c], sigma, rtol=1e-6, atol=1e-30)


@settings(max_examples=100)
@given(samples, st.randoms(use_true_random=False))
def test_a_block_does_not_depend_on_the_order_of_its_samples(rows: list, random: object) -> None:
    blocks = []
    for _ in range(2):
        for place in ("slot", "mean"):
            block, _ = filled(FLAG_EACH, place, rows)
            blocks.append({name: array.tobytes() for name, array in block.arrays.items()})
        random.shuffle(rows)
    assert blocks[:2] == blocks[2:]


@settings(max_examples=100)
@given(samples, st.sampled_from(["slot", "mean"]))
def test_no_cell_without_a_flag_holds_what_is_no_number_and_nan_has_one_bit_pattern(rows: list, place: str) -> None:
    block, _ = filled(FLAG_EACH, place, rows)
    good = block.arrays["quality"] == 0
    assert np.isfinite(block.arrays["b"][good]).all()
    assert np.isfinite(block.arrays["heat"][good.any(axis=1)]).all()
    for name in ("b", "b_uncertainty", "heat"):
        array = block.arrays[name]
        bits = array.view(f"u{array.itemsize}")[np.isnan(array)]
        assert set(bits.tolist()) <= set(np.array([np.nan], array.dtype).view(bits.dtype).tolist())


def test_a_slot_keeps_its_earliest_sample_and_how_much_later_it_was() -> None:
    rows = [(1013, (1.0, 2.0), 0.5, 7, 0, 0, 4.0), (1017, (9.0, 9.0), 0.5, 9, 0, 0, 5.0)]
    block, placed = filled(ONE_FLAG, "slot", rows)
    assert placed == [True, False]
    assert block.arrays["b"][1].tolist() == [1.0, 2.0]
    assert block.arrays["time_offset"].tolist() == [0, 3, 0, 0]
    assert block.arrays["quality"].tolist() == [1, 0, 1, 1]
    assert block.reached() == (0, 3)


@pytest.mark.parametrize("place", ["slot", "mean"])
def test_an_empty_block_is_all_missing(place: str) -> None:
    block, placed = filled(FLAG_EACH, place, [])
    assert placed == []
    assert (block.arrays["quality"] == 1).all()
    assert np.isnan(block.arrays["b"]).all()
    assert (block.arrays["level"] == EMPTY_LEVEL).all()
    assert block.reached() == (0, 4)


def test_flags_with_fewer_dimensions_count_for_every_component() -> None:
    rows = [(1000, (1.0, 2.0), 0.5, 7, 0, 0, 3.0)]
    ds = dataset(rows, FLAG_EACH).assign(quality=("time", np.array([1 << 16], "u4")))
    block = Block(FLAG_EACH, "slot", AXIS)
    block.put(ds, np.array([0]), np.array([1000]))
    block.finish()
    assert block.arrays["quality"][0].tolist() == [1 << 16, 1 << 16]


@pytest.mark.parametrize(
    ("number", "flag"), [(np.nan, MISSING), (np.inf, OUT_OF_RANGE), (-np.inf, OUT_OF_RANGE)], ids=["nan", "inf", "-inf"]
)
@pytest.mark.parametrize("name", ["b", "heat"])
def test_a_value_that_is_no_number_is_flagged_in_any_variable(name: str, number: float, flag: np.uint32) -> None:
    b = (number, 1.0) if name == "b" else (0.0, 1.0)
    rows = [(1000, b, 0.5, 7, 0, 0, number if name == "heat" else 3.0)]
    block, _ = filled(FLAG_EACH, "slot", rows)
    # Of a vector with flags for each component only that component is spoilt.
    assert block.arrays["quality"][0].tolist() == [int(flag), 0 if name == "b" else int(flag)]


def test_the_largest_number_of_an_integer_type_is_a_measurement_like_any_other() -> None:
    saturated = np.iinfo("i2").max
    block, _ = filled(ONE_FLAG, "slot", [(1000, (1.0, 2.0), 0.5, saturated, 0, 0, 3.0)])
    assert block.arrays["level"].tolist() == [saturated, *[EMPTY_LEVEL] * 3]


def test_a_label_is_never_averaged_and_a_slot_of_several_says_so() -> None:
    mode = Variable("mode", ("time",), "u1", "1", uncertainty=False, attributes={"flag_meanings": "off on burst"})
    product = Product(Variable("v", ("time",), "f4", "V", uncertainty=False), mode, place="mean")
    times = np.array([1000, 1001, 1010, 1011, 1012, 1020, 1021])
    ds = xr.Dataset(
        {
            "v": ("time", np.arange(7, dtype="f4")),
            "mode": ("time", np.array([2, 2, 0, 2, 2, 0, 1], "u1")),
            # The sample in mode 0 is saturated, and does not enter the second slot.
            "quality": ("time", np.array([0, 0, 2, 0, 0, 0, 0], "u4")),
        },
        {"time": times},
    )
    block = Block(product, "mean", AXIS)
    block.put(ds, AXIS.slots(times, ""), times)
    block.finish()
    assert block.arrays["mode"].tolist() == [2, 2, np.iinfo("u2").max, np.iinfo("u2").max]
    assert block.arrays["quality"].tolist() == [0, 0, int(NOT_APPLICABLE), int(MISSING)]
    assert block.arrays["v"].tolist()[:3] == [0.5, 3.5, 5.5]


def test_slots_whose_label_in_utc_is_squeezed_say_that_their_time_is_uncertain() -> None:
    start, second = parse_utc("2016-12-31T23:59:58Z"), 10**9
    product = Product(Variable("v", ("time",), "f4", "V", uncertainty=False))
    axis = RegularAxis(start, second, 5)
    block = Block(product, "slot", axis)
    ds = xr.Dataset({"v": ("time", np.ones(5, "f4")), "quality": ("time", np.zeros(5, "u4"))}, {"time": axis.times()})
    block.put(ds, np.arange(5), axis.times())
    block.finish()
    assert (block.arrays["quality"] & CLOCK_UNCERTAIN).astype(bool).tolist() == [False, True, True, False, False]
