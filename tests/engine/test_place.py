import functools
import operator

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from ilrs_science import Product, RegularAxis, Variable
from ilrs_science.engine.place import Block
from ilrs_science.model.quality import MISSING

VECTOR = Variable("b", ("time", "axis"), "f4", units="nT")
LEVEL = Variable("level", ("time",), "i2", units="1", uncertainty=False)
ONE_FLAG = Product(VECTOR, LEVEL, quality=("time",), place="mean", axis=2)
FLAG_EACH = Product(VECTOR, LEVEL, place="mean", axis=2)
AXIS = RegularAxis(1000, 10, 4)

numbers = st.sampled_from([np.nan, -1.5, 0.0, 0.1, 1e-3, 2.0, 1e6])
flags = st.sampled_from([0, 0, 0, 1, 2, 64])
samples = st.lists(
    st.tuples(
        st.integers(990, 1050), st.tuples(numbers, numbers), st.floats(0, 3, width=32), st.integers(-9, 9), flags, flags
    ),
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
            "quality": (product.quality_dims, np.array(quality, "u4").reshape(len(rows), *([2] * each))),
        },
        {"time": np.array([row[0] for row in rows], np.int64)},
    )


@settings(max_examples=150)
@given(samples, st.booleans())
def test_a_mean_is_the_one_of_a_plain_loop(rows: list, flag_each: bool) -> None:
    product = FLAG_EACH if flag_each else ONE_FLAG
    rows = sorted(rows)
    block = Block(product, "mean", AXIS)
    ds = dataset(rows, product)
    times = ds.time.to_numpy()
    placed = block.put(ds, AXIS.slots(times, ""), times)
    assert placed.tolist() == [1000 <= row[0] < 1040 for row in rows]
    for slot in range(AXIS.count):
        here = [row for row in rows if (row[0] - 1000) // 10 == slot]
        # A value that is not a number is missing, whatever the steps said; with one flag a sample the sample is.
        bad = [[row[4 + c * flag_each] | int(MISSING) * bool(np.isnan(row[1][c])) for c in (0, 1)] for row in here]
        if not flag_each:
            bad = [[one | other] * 2 for one, other in bad]
        assert block.arrays["count"][slot] == sum(not any(one) for one in bad)
        quality = np.broadcast_to(block.arrays["quality"][slot], 2)
        for c in (0, 1):
            good = [row for row, one in zip(here, bad, strict=True) if not one[c]]
            every = functools.reduce(operator.or_, (one[c] for one in bad), int(MISSING))
            assert quality[c] == (0 if good else every)
            if good:
                mean = sum(float(np.float32(row[1][c])) for row in good) / len(good)
                sigma = sum(row[2] ** 2 for row in good) ** 0.5 / len(good)
                np.testing.assert_allclose(block.arrays["b"][slot, c], mean, rtol=1e-6, atol=1e-9)
                np.testing.assert_allclose(block.arrays["b_uncertainty"][slot, c], sigma, rtol=1e-6, atol=1e-30)
            else:
                assert np.isnan(block.arrays["b"][slot, c])
                assert np.isnan(block.arrays["b_uncertainty"][slot, c])
        whole = [row[3] for row, one in zip(here, bad, strict=True) if not any(one)]
        level = block.arrays["level"][slot]
        assert level == (np.rint(sum(whole) / len(whole)) if whole else np.iinfo("i2").max)


@settings(max_examples=100)
@given(samples, st.randoms(use_true_random=False))
def test_a_block_does_not_depend_on_the_order_of_its_samples(rows: list, random: object) -> None:
    blocks = []
    for _ in range(2):
        for place in ("slot", "mean"):
            block = Block(FLAG_EACH, place, AXIS)
            ds = dataset(rows, FLAG_EACH)
            times = ds.time.to_numpy()
            block.put(ds, AXIS.slots(times, ""), times)
            blocks.append({name: array.tobytes() for name, array in block.arrays.items()})
        random.shuffle(rows)
    assert blocks[:2] == blocks[2:]


def test_a_slot_keeps_its_earliest_sample_and_how_much_later_it_was() -> None:
    rows = [(1013, (1.0, 2.0), 0.5, 7, 0, 0), (1017, (9.0, 9.0), 0.5, 9, 0, 0)]
    block = Block(ONE_FLAG, "slot", AXIS)
    ds = dataset(rows, ONE_FLAG)
    placed = block.put(ds, AXIS.slots(ds.time.to_numpy(), ""), ds.time.to_numpy())
    assert placed.tolist() == [True, False]
    assert block.arrays["b"][1].tolist() == [1.0, 2.0]
    assert block.arrays["time_offset"].tolist() == [0, 3, 0, 0]
    assert block.arrays["quality"].tolist() == [1, 0, 1, 1]
    assert block.reached() == (0, 3)


@pytest.mark.parametrize("place", ["slot", "mean"])
def test_an_empty_block_is_all_missing(place: str) -> None:
    block = Block(FLAG_EACH, place, AXIS)
    ds = dataset([], FLAG_EACH)
    assert block.put(ds, np.zeros(0, np.int64), np.zeros(0, np.int64)).tolist() == []
    assert (block.arrays["quality"] == 1).all()
    assert np.isnan(block.arrays["b"]).all()
    assert (block.arrays["level"] == np.iinfo("i2").max).all()
    assert block.reached() == (0, 4)


def test_flags_with_fewer_dimensions_count_for_every_component() -> None:
    ds = dataset([(1000, (1.0, 2.0), 0.5, 7, 0, 0)], FLAG_EACH).assign(quality=("time", np.array([64], "u4")))
    block = Block(FLAG_EACH, "slot", AXIS)
    block.put(ds, np.array([0]), np.array([1000]))
    assert block.arrays["quality"][0].tolist() == [64, 64]
