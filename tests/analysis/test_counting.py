"""Rates are made of sums: counts, background and exposure first, the root at the end."""

import numpy as np
import pytest
import xarray as xr

from ilrs_science.analysis import attaching  # noqa: F401 - Dataset.ilrs
from ilrs_science.analysis.coadd import coadd
from ilrs_science.errors import CubeError


def cube(counts: np.ndarray, exposure: np.ndarray) -> xr.Dataset:
    """Return a cube of one site in slots of one second, with counts along time and energy."""
    times = np.datetime64("2031-03-01T00:00:00", "ns") + np.arange(len(counts)) * np.timedelta64(1, "s")
    attributes = {"units": "count", "distribution": "Poisson", "cell_methods": "time: sum"}
    return xr.Dataset(
        {
            "counts": (("site", "time", "energy"), counts[None].astype("u4"), attributes),
            "ontime": (("site", "time"), exposure[None], {"units": "s"}),
            "exposure": (("site", "time"), exposure[None], {"units": "s"}),
            "quality": (("site", "time"), np.where(exposure > 0, 0, 1)[None].astype("u4")),
        },
        {"time": times, "tai": ("time", times + np.timedelta64(37, "s")), "site": ["a"], "energy": [1.0, 2.0, 3.0]},
    )


def test_one_sigma_of_a_sum_is_that_of_its_counts_however_many_cells_they_lie_in() -> None:
    # 3817 photons in 60 x 3 cells, most of them with one or none: the sum of roots of single cells would be far off.
    counts = np.random.default_rng(1).multinomial(3817, np.full(180, 1 / 180)).reshape(60, 3)
    made = cube(counts, np.full(60, 0.5)).ilrs.rate(over=["energy"], every="1 min")
    assert made.counts.item() == 3817
    assert made.exposure.item() == 30
    assert made.rate.item() == 3817 / 30
    assert made.rate_uncertainty.item() * 30 == pytest.approx(3818**0.5)


def test_a_rate_is_unknown_without_exposure_and_uncertain_without_counts() -> None:
    made = cube(np.zeros((2, 3)), np.array([2.0, 0.0])).ilrs.rate()
    assert made.rate.sel(site="a", energy=1.0).values.tolist()[0] == 0
    assert made.rate_uncertainty.values[0, 0].tolist() == [0.5, 0.5, 0.5]
    assert np.isnan(made.rate.values[0, 1]).all()
    assert np.isnan(made.rate_uncertainty.values[0, 1]).all()


def test_longer_slots_hold_the_sums_of_the_short_ones_and_the_last_may_be_incomplete() -> None:
    dice = np.random.default_rng(2)
    counts, exposure = dice.poisson(3, (10, 3)), dice.uniform(0, 1, 10)
    made = cube(counts, exposure).ilrs.rate(every="4 s")
    assert made.counts.values[0].tolist() == [counts[k : k + 4].sum(axis=0).tolist() for k in (0, 4, 8)]
    np.testing.assert_allclose(made.exposure.values[0], [exposure[k : k + 4].sum() for k in (0, 4, 8)])
    assert made.time.values.astype("datetime64[s]").astype(str).tolist() == [
        "2031-03-01T00:00:00",
        "2031-03-01T00:00:04",
        "2031-03-01T00:00:08",
    ]


def test_a_background_is_taken_off_with_its_own_exposure_and_uncertainty() -> None:
    on, off = cube(np.full((5, 3), 9), np.full(5, 2.0)), cube(np.full((5, 3), 4), np.full(5, 10.0))
    made = on.ilrs.rate(over=["energy"], every="5 s", background=off, ratio=0.5)
    n, m = 5 * 27, 5 * 12
    assert made.rate.item() == pytest.approx(n / 10 - 0.5 * m / 50)
    assert made.rate_uncertainty.item() == pytest.approx(((n + 1) / 10**2 + 0.25 * (m + 1) / 50**2) ** 0.5)


def test_the_stated_sigma_of_a_rate_is_the_scatter_of_many_simulated_ones() -> None:
    dice = np.random.default_rng(3)
    drawn = cube(dice.poisson(40.0, (20_000, 3)), np.full(20_000, 2.0)).ilrs.rate()
    pull = (drawn.rate - 20.0) / drawn.rate_uncertainty
    assert abs(float(pull.std()) - 1) < 0.02


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"every": "1500 ms"}, "expected a multiple of the step of the cube, 1 s"),
        ({"over": ["module"]}, "no dimension module; counts have site, time, energy"),
    ],
)
def test_what_cannot_be_summed_is_refused_by_name(wrong: dict, words: str) -> None:
    with pytest.raises(CubeError, match=words):
        cube(np.ones((4, 3)), np.ones(4)).ilrs.rate(**wrong)
    with pytest.raises(CubeError, match="no counts of events"):
        cube(np.ones((4, 3)), np.ones(4)).drop_vars("counts").ilrs.rate()
    with pytest.raises(CubeError, match="not a stretch"):
        cube(np.ones((9, 3)), np.ones(9)).isel(time=[0, 1, 5]).ilrs.rate(every="2 s")


def test_no_mean_is_made_of_counts() -> None:
    with pytest.raises(CubeError, match="summed and not averaged"):
        coadd(cube(np.ones((4, 3)), np.ones(4)), "counts")


def test_a_background_of_another_time_is_summed_over_time_or_refused() -> None:
    whole = cube(np.full((4, 3), 9), np.full(4, 2.0))
    on, off = whole.isel(time=slice(0, 2)), whole.isel(time=slice(2, 4))
    with pytest.raises(CubeError, match="the background has other times or bins"):
        on.ilrs.rate(background=off)
    steady = on.ilrs.rate(over=["energy"], background=off.sum("time", keep_attrs=True))
    assert steady.rate.values.tolist() == [[0, 0]]


def test_a_cube_whose_exposure_is_spread_by_a_mask_is_refused() -> None:
    schema = {"ilrs_schema": '{"product": {"good": []}}'}
    whole = cube(np.full((4, 3), 9), np.full(4, 2.0)).assign_attrs(schema)
    with pytest.raises(CubeError, match="exposure has the dimension energy"):
        whole.where(whole.energy > 1).ilrs.rate(over=["energy"])
    assert whole.sel(energy=slice(2, None)).ilrs.rate(over="energy").rate.values.tolist() == [[9] * 4]


def test_longer_slots_are_made_of_times_that_rise_and_not_of_none() -> None:
    whole = cube(np.ones((4, 3)), np.ones(4))
    with pytest.raises(CubeError, match="not a stretch"):
        whole.isel(time=slice(None, None, -1)).ilrs.rate(every="2 s")
    with pytest.raises(CubeError, match="exclude each other"):
        whole.ilrs.rate(over=["time"], every="2 s")
