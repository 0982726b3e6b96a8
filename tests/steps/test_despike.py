import numpy as np
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from ilrs_science import Duration
from ilrs_science.geometry.labels import both_times
from ilrs_science.model.step import neighbours
from ilrs_science.steps.despike import despike

SECOND = 10**9
series = st.lists(
    st.tuples(st.integers(0, 120), st.sampled_from([np.nan, 0.0, 0.1, -0.2, 0.3, 5.0, 100.0])),
    min_size=1,
    max_size=40,
    unique_by=lambda sample: sample[0],
).map(sorted)


def samples(rows: list, sigma: float) -> xr.Dataset:
    b = np.array([value for _, value in rows], "f4")
    return xr.Dataset(
        {
            "b": ("time", b),
            "b_uncertainty": ("time", np.full(len(b), sigma, "f4")),
            "quality": ("time", np.zeros(len(b), "u4")),
        },
        both_times(np.array([quarter * SECOND // 4 for quarter, _ in rows])),
    )


def median(values: list[float]) -> float:
    kept = [value for value in values if not np.isnan(value)]
    return float(np.median(kept)) if kept else np.nan


@settings(max_examples=150)
@given(series, st.integers(1, 40), st.sampled_from([0.0, 0.05, 1.0]))
def test_a_spike_is_what_the_definition_says(rows: list, quarters: int, sigma: float) -> None:
    flagged = despike(samples(rows, sigma), window=Duration(quarters * SECOND // 4), threshold=3.0).quality.to_numpy()
    values = [float(np.float32(value)) for _, value in rows]

    def near(at: int) -> list[int]:
        # The window is half-open on its early side, as pandas has it.
        return [i for i, (other, _) in enumerate(rows) if -quarters / 2 < other - rows[at][0] <= quarters / 2]

    deviation = [abs(values[i] - median([values[j] for j in near(i)])) for i in range(len(rows))]
    for i, (_, value) in enumerate(rows):
        spread = np.fmax(1.4826 * median([deviation[j] for j in near(i)]), np.float32(sigma))
        expected = deviation[i] > 3.0 * spread
        assert flagged[i] == (64 if expected and not np.isnan(value) else 0)


def test_values_and_input_stay_as_they_are() -> None:
    before = samples([(0, 0.0), (4, 0.1), (8, 100.0), (12, 0.1), (16, 0.0)], 0.05)
    kept = before.copy(deep=True)
    after = despike(before, window=Duration("4 s"))
    assert after.quality.to_numpy().tolist() == [0, 0, 64, 0, 0]
    assert after.drop_vars("quality").identical(before.drop_vars("quality"))
    assert before.identical(kept)


def test_it_declares_that_it_needs_its_window_to_either_side() -> None:
    assert neighbours(despike).margin == "window"


def test_any_component_flags_the_sample() -> None:
    b = np.zeros((5, 3), "f4")
    b[2, 1] = 50
    ds = xr.Dataset(
        {"b": (("time", "axis"), b), "quality": ("time", np.zeros(5, "u4"))}, both_times(np.arange(5) * SECOND)
    )
    assert despike(ds, window=Duration("10 s"), flag="cosmic_ray").quality.to_numpy().tolist() == [0, 0, 8, 0, 0]
