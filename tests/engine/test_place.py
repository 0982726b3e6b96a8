import functools
import operator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ilrs_science import Product, RegularAxis, Site, Variable
from ilrs_science.errors import ProductError
from ilrs_science.geometry.time import parse_utc
from ilrs_science.model.quality import (
    CENSORED,
    CLOCK_UNCERTAIN,
    CONFLICT,
    MISSING,
    NO_REFERENCE,
    NOT_APPLICABLE,
    OUT_OF_RANGE,
    SATURATED,
)
from ilrs_science.reduction.placing import Block
from ilrs_science.store.creating import create
from ilrs_science.store.cube import Declaration
from ilrs_science.store.encoding import cut
from ilrs_science.store.target import target

VECTOR = Variable("b", ("time", "axis"), "f4", units="nT")
LEVEL = Variable("level", ("time",), "i2", units="1", uncertainty=False)
HEAT = Variable("heat", ("time",), "f8", units="K", uncertainty=False)
ONE_FLAG = Product(VECTOR, LEVEL, HEAT, quality=("time",), place="mean", coordinates={"axis": 2})
FLAG_EACH = Product(VECTOR, LEVEL, HEAT, place="mean", coordinates={"axis": 2})
AXIS = RegularAxis(1000, 10, 4)
EMPTY_LEVEL = np.iinfo("i4").max
TOLD = int(CONFLICT)
"""What is said of a sample without speaking against its value."""
OF_VALUE = int(SATURATED | OUT_OF_RANGE | CENSORED)
"""What is said of a value that is beyond what can be told."""

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
    fates = block.put(ds, AXIS.slots(times, ""), times, np.zeros(len(times), int))
    block.finish()
    return block, fates.placed.tolist()


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
        # What a number of the vector says of itself concerns the vector alone.
        clean = [row for row in here if not (row[4] | (row[5] if flag_each else 0)) & ~TOLD]
        level = [row[3] for row in clean]
        assert block.arrays["level"][slot] == (np.rint(sum(level) / len(level)) if level else EMPTY_LEVEL)
        heat = [row[6] for row in clean if np.isfinite(row[6])]
        expected = sum(heat) / len(heat) if heat else np.nan
        np.testing.assert_allclose(block.arrays["heat"][slot], expected, rtol=1e-12)
        quality, count, left_out = (
            np.broadcast_to(block.arrays[name][slot], 2) for name in ("quality", "count", "count_left_out")
        )
        own = [[row for row in here if not row[4 + c] & ~TOLD] for c in (0, 1)] if flag_each else [clean, clean]
        use = [[row for row in own[c] if np.isfinite(row[1][c])] for c in (0, 1)]
        for c in (0, 1):
            good = [row for row, each in zip(here, said, strict=True) if not each[c] & ~TOLD]
            left = [each for each in said if each[c] & OF_VALUE]
            assert (count[c], left_out[c]) == (len(good), len(left))
            every = functools.reduce(operator.or_, (each[c] for each in said), 0)
            flag = every & TOLD if good else every
            flag |= int(CENSORED) if good and left else 0
            flag |= int(MISSING) if not all(use[c : c + 1] if flag_each else use) else 0
            # A cell without any flag is good in every variable.
            assert quality[c] == (flag or (0 if heat else int(MISSING)))
            used = use[c]
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
    block.put(ds, np.array([0]), np.array([1000]), np.array([0]))
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


def placed_means(product: Product, place: str = "mean", **variables: tuple) -> dict[str, np.ndarray]:
    """Return the arrays of a finished block; samples of 1000 ns and 1001 ns ... as many as given, three to a slot."""
    count = len(next(iter(variables.values()))[1])
    times = np.array([1000 + 10 * (n // 3) + n % 3 for n in range(count)])
    ds = xr.Dataset(variables, {"time": times})
    ds = ds if "quality" in ds else ds.assign(quality=("time", np.zeros(count, "u4")))
    assert product.check(ds) == []
    block = Block(product, place, AXIS)
    block.put(ds, AXIS.slots(times, ""), times, np.zeros(count, int))
    block.finish()
    return block.arrays


V = Variable("v", ("time",), "f4", "V", uncertainty=False)


def test_a_label_is_that_of_the_earliest_sample_without_a_flag_and_is_never_averaged() -> None:
    mode = Variable("mode", ("time",), "u1", "1", attributes={"flag_meanings": "off on burst"})
    made = placed_means(
        Product(V, mode, place="mean"),
        v=("time", np.arange(8, dtype="f4")),
        mode=("time", np.array([2, 2, 0, 0, 2, 1, 1, 0], "u1")),
        quality=("time", np.array([0, 0, 0, 16, 0, 0, 16, 16], "u4")),
    )
    assert made["mode"].tolist() == [2, 2, 1, np.iinfo("u2").max]
    assert made["quality"].tolist() == [0, 0, 16 | int(MISSING), int(MISSING)]
    assert made["v"].tolist()[:2] == [1.0, 4.5]
    with pytest.raises(ValueError, match="a label is never averaged"):
        Product(V, Variable("mode", ("time",), "u1", "1", place="mean", categories=("off", "on")))


def test_categories_are_words_or_their_numbers_and_others_are_refused_by_name() -> None:
    product = Product(V, Variable("mode", ("time",), "u1", "1", categories=("off", "survey", "burst")), place="mean")
    v = ("time", np.zeros(3, "f4"))
    for words in (np.array(["burst", "off", "off"]), np.array([2, 0, 0], "u1"), np.array(["burst"] * 3, object)):
        assert placed_means(product, v=v, mode=("time", words))["mode"][0] == 2
    (fault,) = product.check(xr.Dataset({"v": v, "quality": v, "mode": ("time", ["on", "off", "off"])}))[:1]
    assert "found ['on']; expected one of off, survey, burst" in str(fault)


def test_samples_left_out_of_a_mean_for_their_value_are_counted_and_the_cell_is_censored() -> None:
    # Of saturated samples the truth is above what they show: the mean of the others is too low, and says so.
    made = placed_means(
        Product(V, place="mean"),
        v=("time", np.array([1, 1, 9, 1, 1, 1], "f4")),
        quality=("time", np.array([0, 0, int(SATURATED), 0, 0, 16], "u4")),
    )
    assert made["v"].tolist()[:2] == [1, 1]
    assert made["count"].tolist() == [2, 2, 0, 0]
    assert made["count_left_out"].tolist() == [1, 0, 0, 0]
    assert made["quality"].tolist()[:2] == [int(CENSORED), 0]


def test_what_a_mode_does_not_have_is_not_applicable_and_not_missing() -> None:
    product = Product(Variable("v", ("time", "x"), "f4", "V", uncertainty=False), place="mean", coordinates={"x": 2})
    made = placed_means(
        product,
        v=(("time", "x"), np.array([[1, np.nan]] * 3, "f4")),
        quality=(("time", "x"), np.array([[0, int(NOT_APPLICABLE)]] * 3, "u4")),
    )
    assert made["quality"][0].tolist() == [0, int(NOT_APPLICABLE)]


def test_each_variable_has_its_own_place_and_a_sample_that_any_takes_is_placed() -> None:
    product = Product(
        V,
        Variable("energy", ("time",), "f8", "J", place="sum"),
        Variable("ticks", ("time",), "u2", "1", place="sum", uncertainty=False),
        Variable("status", ("time",), "u1", "1", place="any", uncertainty=False, fill=0),
        Variable("range", ("time",), "u1", "1", place="slot", uncertainty=False),
    )
    times, n = np.array([1000, 1001, 1010]), 3
    ds = xr.Dataset(
        {
            "v": ("time", np.array([5, 7, 9], "f4")),
            "energy": ("time", np.array([1.0, 2.0, 4.0])),
            "energy_uncertainty": ("time", np.array([3.0, 4.0, 1.0])),
            "ticks": ("time", np.array([65535, 65535, 1], "u2")),
            "status": ("time", np.array([1, 4, 2], "u1")),
            "range": ("time", np.array([8, 9, 7], "u1")),
            "quality": ("time", np.array([0, 16, 0], "u4")),
        },
        {"time": times},
    )
    block = Block(product, "slot", AXIS)
    fates = block.put(ds, AXIS.slots(times, ""), times, np.zeros(n, int))
    assert fates.placed.tolist() == [True] * n
    assert fates.rejected == {}
    assert block.arrays["v"].tolist()[:2] == [5, 9]
    assert block.arrays["energy"].tolist()[:2] == [1, 4]
    assert block.arrays["ticks"].tolist()[:2] == [65535, 1]
    assert block.arrays["status"].tolist() == [5, 2, 0, 0]
    assert block.arrays["range"].tolist()[:2] == [8, 7]


def test_a_sum_of_integers_is_exact_and_one_beyond_its_type_is_refused() -> None:
    product = Product(Variable("n", ("time",), "u4", "1", place="sum", uncertainty=False))
    largest = np.iinfo("u4").max
    assert placed_means(product, n=("time", np.full(3, largest, "u4")))["n"][0] == 3 * largest
    product = Product(Variable("n", ("time",), "u4", "1", place="sum", uncertainty=False, fill=0))
    with pytest.raises(ProductError, match="n: a sum is beyond u4; declare a wider type"):
        placed_means(product, n=("time", np.full(3, largest, "u4")))


def test_a_mean_is_weighted_by_live_time() -> None:
    product = Product(Variable("v", ("time",), "f8", "V", weight="live"), place="mean")
    live = np.array([1.0, 3.0, 0.0])
    made = placed_means(
        product,
        v=("time", np.array([10.0, 20.0, 99.0])),
        v_uncertainty=("time", np.array([1.0, 2.0, 3.0])),
        live=("time", live),
    )
    assert made["v"][0] == (10 + 3 * 20) / 4
    assert made["v_uncertainty"][0] == (1 + 36) ** 0.5 / 4
    for wrong in (np.array([1.0, -1.0, 0.0]), np.array([1.0, np.nan, 0.0])):
        ds = xr.Dataset({"v": ("time", live), "v_uncertainty": ("time", live), "live": ("time", wrong)})
        assert [fault.path for fault in product.check(ds)] == ["live", "quality"]


@pytest.mark.parametrize(
    ("angles", "mean"),
    [
        ([359.0, 1.0, 0.0], 0.0),
        ([350.0, 352.0, 354.0], 352.0),
        ([-179.0, 179.0, 180.0], -180.0),
        ([-10.0, 20.0, 20.0], 10.1035),
        ([0.0, 180.0], np.nan),
    ],
)
def test_a_mean_of_angles_goes_around_the_circle(angles: list, mean: float) -> None:
    made = placed_means(
        Product(Variable("azimuth", ("time",), "f8", "deg", uncertainty=False, period=360), place="mean"),
        azimuth=("time", np.array(angles)),
    )
    np.testing.assert_allclose(made["azimuth"][0], mean, atol=1e-3)


@settings(max_examples=100)
@given(
    st.lists(
        st.tuples(*[st.floats(-1, 1, width=32)] * 4).filter(lambda q: sum(x * x for x in q) > 0.01),
        min_size=3,
        max_size=3,
    )
)
def test_mean_directions_have_length_one_and_a_quaternion_and_its_negative_are_the_same(rows: list) -> None:
    unit = np.array([np.array(q) / np.linalg.norm(q) for q in rows])
    # Half a turn apart there is no nearer sign.
    assume((abs(unit[1:] @ unit[0]) > 1e-6).all())
    signs = np.array([[1.0], [-1.0], [-1.0]])
    q = Variable("q", ("time", "part"), "f8", "1", uncertainty=False, normalised="quaternion")
    product = Product(q, place="mean", coordinates={"part": 4})
    made, flipped = (placed_means(product, q=(("time", "part"), one))["q"][0] for one in (unit, unit * signs))
    np.testing.assert_allclose(made, flipped, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(made), 1)
    vector = Product(replace(q, normalised="vector"), place="mean", coordinates={"part": 4})
    direction = placed_means(vector, q=(("time", "part"), unit))["q"][0]
    if np.linalg.norm(unit.sum(axis=0)) > 1e-6:
        np.testing.assert_allclose(direction, unit.sum(axis=0) / np.linalg.norm(unit.sum(axis=0)), atol=1e-9)


def test_samples_with_bins_are_averaged_bin_by_bin_and_strays_are_rejected_by_dimension() -> None:
    # A spinning instrument: each sample looks into one of three sectors.
    product = Product(
        Variable("flux", ("time", "sector"), "f8", "1", uncertainty=False),
        Variable("heat", ("time",), "f8", "K", uncertainty=False),
        place="mean",
        bins={"sector": "looks"},
        coordinates={"sector": [0.0, 120.0, 240.0, 360.0]},
    )
    times = np.array([1000, 1001, 1002, 1003, 1010])
    ds = xr.Dataset(
        {
            "flux": ("time", np.array([1.0, 2.0, 4.0, 8.0, 16.0])),
            "heat": ("time", np.array([1.0, 2.0, 3.0, 4.0, 5.0])),
            "looks": ("time", np.array([0, 2, 0, 3, -1])),
            "quality": ("time", np.zeros(5, "u4")),
        },
        {"time": times},
    )
    block = Block(product, "mean", AXIS)
    fates = block.put(ds, AXIS.slots(times, ""), times, np.zeros(5, int))
    block.finish()
    assert fates.rejected["outside the bins of sector"].tolist() == [False, False, False, True, True]
    np.testing.assert_equal(block.arrays["flux"][0], [2.5, np.nan, 2.0])
    assert block.arrays["quality"][0].tolist() == [0, int(MISSING), 0]
    assert block.arrays["count"][0].tolist() == [2, 0, 1]
    assert block.arrays["heat"][0] == 2.0
    assert np.isnan(block.arrays["flux"][1:]).all()


def test_slots_whose_label_in_utc_is_squeezed_say_that_their_time_is_uncertain() -> None:
    start, second = parse_utc("2016-12-31T23:59:58Z"), 10**9
    product = Product(Variable("v", ("time",), "f4", "V", uncertainty=False))
    axis = RegularAxis(start, second, 5)
    block = Block(product, "slot", axis)
    ds = xr.Dataset({"v": ("time", np.ones(5, "f4")), "quality": ("time", np.zeros(5, "u4"))}, {"time": axis.times()})
    block.put(ds, np.arange(5), axis.times(), np.zeros(5, int))
    block.finish()
    assert (block.arrays["quality"] & CLOCK_UNCERTAIN).astype(bool).tolist() == [False, True, True, False, False]


def test_where_a_platform_moves_its_place_is_an_auxiliary_coordinate_along_time(tmp_path: Path) -> None:
    track = [
        Variable(name, ("time",), "f8", units, standard_name=standard, coordinate=True, period=period)
        for name, units, standard, period in (
            ("lon", "degrees_east", "longitude", 360.0),
            ("lat", "degrees_north", "latitude", None),
            ("height", "m", "", None),
        )
    ]
    product = Product(V, *track, place="mean")
    sites, layout = (Site("rover"), Site("orbiter")), cut(product, "mean", 2, 4)
    create(target(str(tmp_path / "c")), Declaration(product, "mean", AXIS, sites, layout), {})
    cube = xr.open_zarr(str(tmp_path / "c"))
    assert cube.lon.dims == cube.height.dims == ("site", "time")
    assert {"lon", "lat", "height"} <= set(cube.coords)
    assert cube.lon.attrs["standard_name"] == "longitude"
    made = placed_means(
        product,
        v=("time", np.zeros(3, "f4")),
        lon=("time", np.array([359.0, 1.0, 0.0])),
        lat=("time", np.array([-89.0, -89.0, -86.0])),
        height=("time", np.zeros(3)),
    )
    assert (made["lon"][0], made["lat"][0]) == (0, -88)


@pytest.mark.parametrize(
    "variable",
    [Variable("lon", ("time",), "f8", "deg"), Variable("lat", ("time", "x"), "f8", "deg", coordinate=True)],
)
def test_the_place_of_a_site_is_no_variable_of_another_kind(variable: Variable) -> None:
    with pytest.raises(ValueError, match="is where a site lies; of what moves"):
        Product(V, variable, coordinates={"x": 2})


@pytest.mark.parametrize(
    ("place", "dtype", "given", "made"),
    [
        ("any", "u8", [1 << 60, 1, 0], (1 << 60) + 1),
        ("any", "i4", [-8, 1, 0], -7),
        ("sum", "i8", [2**53, 1, 2], 2**53 + 3),
        ("sum", "u8", [2**62, 1, 0], 2**62 + 1),
        ("first", "i8", [2**53 + 1, 5, 6], 2**53 + 1),
    ],
)
def test_integers_keep_every_bit(place: str, dtype: str, given: list, made: int) -> None:
    product = Product(V, Variable("n", ("time",), dtype, "1", place=place, uncertainty=False), place="mean")
    v = ("time", np.zeros(3, "f4"))
    assert placed_means(product, v=v, n=("time", np.array(given, dtype)))["n"][0] == made


@pytest.mark.parametrize("dtype", ["i8", "u8"])
def test_a_sum_that_64_bits_do_not_hold_is_refused_and_not_wrapped(dtype: str) -> None:
    product = Product(Variable("n", ("time",), dtype, "1", place="sum", uncertainty=False))
    with pytest.raises(ProductError, match="a sum is beyond"):
        placed_means(product, n=("time", np.array([2**62, 2**62, 2**62], dtype)))


def test_the_first_value_is_one_that_is_a_number() -> None:
    product = Product(V, Variable("f", ("time",), "f8", "1", place="first", uncertainty=False), place="mean")
    made = placed_means(product, v=("time", np.zeros(6, "f4")), f=("time", np.array([np.nan, 5, 6, *[np.nan] * 3])))
    assert made["f"][0] == 5
    assert np.isnan(made["f"][1])


def test_what_belongs_to_a_mean_does_nothing_to_a_sum_and_angles_are_never_added_up() -> None:
    weighted = Variable("v", ("time",), "f8", "V", weight="live")
    angle = Variable("azimuth", ("time",), "f8", "deg", uncertainty=False, period=360)
    made = placed_means(
        Product(weighted, angle, place="mean"),
        "sum",
        v=("time", np.array([1.0, 2.0, 4.0])),
        v_uncertainty=("time", np.array([3.0, 4.0, 12.0])),
        live=("time", np.array([2.0, 0.0, 1.0])),
        azimuth=("time", np.array([350.0, 0.0, 10.0])),
    )
    assert (made["v"][0], made["v_uncertainty"][0], made["azimuth"][0]) == (7, 13, 0)


@pytest.mark.parametrize("more", [{"weight": "live"}, {"period": 360.0}])
@pytest.mark.parametrize("place", ["sum", "first", "slot"])
def test_what_belongs_to_a_mean_is_refused_at_another_place(place: str, more: dict) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(more))} belong to a mean"):
        Product(Variable("v", ("time",), "f8", "V", place=place, **more))
