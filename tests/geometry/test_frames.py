import itertools
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ilrs_science.errors import IlrsError
from ilrs_science.geometry import Ephemeris, Site, mean_field_aligned, position, rotation, transform
from ilrs_science.geometry.frames import FRAMES
from ilrs_science.geometry.time import SECOND, parse_utc
from ilrs_science.geometry.vectors import GRID, INTERPOLATION_ERROR

ARCSEC = 3600 * 180 / np.pi
FIRST, LAST = parse_utc("1975-01-01"), parse_utc("2045-01-01")
SITE = Site("rim", lon=-137.3, lat=-89.4, height=1000, frame="MOON_ME")
moments = st.integers(FIRST, LAST)
frames = st.sampled_from(FRAMES)
numbers = hnp.arrays(np.float64, (5, 3), elements=st.floats(-1e4, 1e4, allow_subnormal=False))


def turn(source: str, target: str, time: Any) -> np.ndarray:
    return rotation(source, target, np.asarray(time), scale="tai", site=SITE)


def turned(vectors: Any, source: str, target: str, time: Any, **more: Any) -> Any:
    return transform(vectors, source, target, np.asarray(time), SITE, scale="tai", **more)


def cube(count: int = 50, *, dtype: str = "f8", lazy: int | None = None) -> xr.DataArray:
    """Return vectors a quarter of a second apart, labelled as those of a cube, in chunks of `lazy`."""
    times = parse_utc("2031-03-01") + np.arange(count) * (SECOND // 4)
    values: Any = np.random.default_rng(0).normal(size=(count, 3)).astype(dtype)
    return xr.DataArray(
        da.from_array(values, chunks=(lazy, 3)) if lazy else values,
        {"time": ("time", times.astype("M8[ns]"), {"time_scale": "TAI"}), "axis": list("xyz")},
        ("time", "axis"),
        "b",
        {"units": "nT", "frame": "MOON_ME"},
    )


@given(moments, frames, frames)
def test_every_rotation_keeps_lengths_and_handedness(time: int, source: str, target: str) -> None:
    matrix = turn(source, target, time)
    assert np.allclose(matrix @ matrix.T, np.eye(3), atol=4e-15)
    assert abs(np.linalg.det(matrix) - 1) < 1e-14


@given(moments, frames, frames)
def test_there_and_back_is_the_identity(time: int, source: str, target: str) -> None:
    assert np.allclose(turn(target, source, time) @ turn(source, target, time), np.eye(3), atol=4e-15)


@given(moments, frames, frames, frames)
def test_a_way_over_a_third_frame_is_the_direct_way(time: int, source: str, over: str, target: str) -> None:
    assert np.allclose(turn(over, target, time) @ turn(source, over, time), turn(source, target, time), atol=4e-15)


@settings(max_examples=200)
@given(st.lists(moments, min_size=5, max_size=5), frames, frames, numbers)
def test_vectors_are_turned_by_the_rotation_of_their_moment(
    times: list[int], source: str, target: str, vectors: np.ndarray
) -> None:
    expected = np.einsum("tij,tj->ti", turn(source, target, times), vectors)
    stated = (sum(INTERPOLATION_ERROR.get(frame, 0.0) for frame in {source, target}) or 2e-5) / ARCSEC
    error = np.linalg.norm(turned(vectors, source, target, times) - expected, axis=-1)
    assert (error <= (stated + 1e-14) * np.linalg.norm(vectors, axis=-1)).all()


@given(moments, frames, frames, st.lists(st.integers(0, 40), max_size=3))
def test_vectors_do_not_depend_on_how_they_are_cut(time: int, source: str, target: str, cuts: list[int]) -> None:
    times = time + np.arange(40) * (7 * SECOND)
    vectors = np.random.default_rng(0).normal(size=(40, 3))
    edges = [0, *sorted(cuts), 40]
    parts = [turned(vectors[a:b], source, target, times[a:b]) for a, b in itertools.pairwise(edges)]
    assert np.array_equal(np.concatenate(parts), turned(vectors, source, target, times))


@given(frames, frames, st.permutations(range(30)))
def test_vectors_may_come_in_any_order_of_time(source: str, target: str, order: list[int]) -> None:
    times = FIRST + np.arange(30) * (3 * SECOND)
    vectors = np.random.default_rng(0).normal(size=(30, 3))
    whole = turned(vectors, source, target, times)
    assert np.array_equal(turned(vectors[order], source, target, times[order]), whole[order])


def test_long_series_are_turned_as_short_ones() -> None:
    count = 20_000
    times, vectors = FIRST + np.arange(count) * (SECOND // 128), np.random.default_rng(0).normal(size=(count, 3))
    whole = turned(vectors, "MOON_ME", "GSM", times)
    for start in (0, 8190, 8192, 16380, count - 3):
        part = slice(start, start + 3)
        assert np.array_equal(turned(vectors[part], "MOON_ME", "GSM", times[part]), whole[part])


@pytest.mark.parametrize("frame", ["ITRS", "GSM", "GSE", "MOON_ME", "SSE"])
def test_the_stated_error_of_interpolation_is_the_true_one(frame: str) -> None:
    days = FIRST // SECOND + np.random.default_rng(2).integers(0, 70 * 365, 500) * 86400
    middle = (days // int(GRID) * int(GRID) + int(GRID) // 2) * SECOND
    exact = turn("ICRS", frame, middle)
    axes = [np.broadcast_to(axis, (500, 3)) for axis in np.eye(3)]
    error = max(np.linalg.norm(turned(v, "ICRS", frame, middle) - exact @ v[0], axis=-1).max() for v in axes)
    assert error * ARCSEC < INTERPOLATION_ERROR.get(frame, 2e-5)
    assert frame in {"GSE", "SSE"} or error * ARCSEC > 0.5 * INTERPOLATION_ERROR.get(frame, 2e-5)


@pytest.mark.parametrize(("before", "after"), [("f4", "f4"), ("f8", "f8"), ("i4", "f8"), ("i8", "f8"), ("i2", "f4")])
def test_floats_keep_their_width_and_integers_become_floats(before: str, after: str) -> None:
    times = FIRST + np.arange(4) * SECOND
    for target in ("GSE", "MOON_ME"):
        assert turned(np.ones((4, 3), before), "MOON_ME", target, times).dtype == after
    labelled = cube(4, dtype=before)
    assert transform(labelled, "MOON_ME", "GSE").dtype == after
    assert transform(labelled, "MOON_ME", "MFA", mean_field=[0, 0, 1]).dtype == after
    assert transform(labelled.chunk(time=2), "MOON_ME", "GSE").dtype == transform(labelled, "MOON_ME", "GSE").dtype


def test_one_time_serves_all_vectors_and_times_may_have_any_shape() -> None:
    vectors, time = np.random.default_rng(0).normal(size=(2, 4, 3)), FIRST + 5 * SECOND
    once = turned(vectors, "ICRS", "MOON_ME", time)
    assert np.array_equal(turned(vectors, "ICRS", "MOON_ME", np.full(4, time)), once)
    assert np.array_equal(turned(vectors, "ICRS", "MOON_ME", np.full((2, 4), time)), once)
    assert turned(vectors[0, 0], "ICRS", "MOON_ME", time).shape == (3,)
    assert rotation("ICRS", "GSM", np.full((2, 4), time), scale="tai").shape == (2, 4, 3, 3)
    for frame in FRAMES:
        assert turned(np.empty((0, 3)), "ICRS", frame, np.empty(0, int)).shape == (0, 3)
        assert turn("ICRS", frame, np.empty(0, int)).shape == (0, 3, 3)


def test_labelled_vectors_keep_their_labels_and_name_their_frame() -> None:
    given = cube()
    found = transform(given, "MOON_ME", "GSE")
    assert found.dims == given.dims
    assert set(found.coords) == {"time", "axis"}
    assert np.array_equal(found["time"], given["time"])
    assert found.attrs["units"] == "nT"
    assert found.attrs["frame"] == "GSE"
    assert found.attrs["interpolation_error"] == "2e-05 arcsec"
    assert found.attrs["ephemeris"].startswith("de421.bsp")
    assert given.attrs["frame"] == "MOON_ME"
    assert np.array_equal(found.values, transform(given.values, "MOON_ME", "GSE", given["time"]))
    assert "extrapolated after 2030" in transform(given, "MOON_ME", "GSM").attrs["dipole"]
    assert transform(given, "MOON_ME", "ENU", site=SITE).attrs["site"] == "rim"
    assert transform(given, "MOON_ME", "ITRS", ephemeris=Ephemeris()).attrs["interpolation_error"] == "0.014 arcsec"


@pytest.mark.parametrize("dims", list(itertools.permutations(("time", "axis", "sensor"))))
def test_dimensions_may_stand_in_any_order(dims: tuple[str, ...]) -> None:
    one = cube()
    many = xr.concat([one, 2 * one, -one], "sensor").transpose(*dims)
    found = transform(many, "MOON_ME", "GSM")
    assert found.dims == dims
    for number, factor in enumerate((1, 2, -1)):
        expected = transform(factor * one, "MOON_ME", "GSM").values
        assert np.array_equal(found.isel(sensor=number).transpose("time", "axis").values, expected)


def test_the_components_may_lie_along_a_dimension_of_another_name() -> None:
    given = cube().rename(axis="component")
    assert transform(given, "MOON_ME", "GSE", axis="component").dims == ("time", "component")
    with pytest.raises(IlrsError, match="no dimension 'axis' of three components"):
        transform(given, "MOON_ME", "GSE")


@pytest.mark.parametrize("target", [*FRAMES, "MFA"])
def test_lazy_vectors_stay_lazy_and_come_out_as_eager_ones(target: str) -> None:
    more = {"mean_field": cube()} if target == "MFA" else {}
    eager = transform(cube(), "MOON_ME", target, site=SITE, **more)
    lazy = transform(cube(lazy=7), "MOON_ME", target, site=SITE, **more)
    assert lazy.chunks == cube(lazy=7).chunks
    assert lazy.dtype == eager.dtype
    assert lazy.attrs == eager.attrs
    assert np.allclose(lazy.values, eager.values, rtol=1e-15, atol=1e-15)


def test_gse_and_sse_look_at_the_sun_and_lie_in_the_ecliptic() -> None:
    times = np.array([FIRST, LAST])
    for frame, origin in (("GSE", "earth"), ("SSE", "moon")):
        sun = position("sun", times, frame, origin, scale="tai")  # type: ignore[arg-type]
        assert np.allclose(sun[:, 1:], 0, atol=1e-5)
        assert (sun[:, 0] > 1.4e8).all()
        assert np.abs(turn("ICRS", frame, times)[:, 2] - [0, -0.3978, 0.9175]).max() < 0.003


def test_axes_of_a_site_point_east_north_and_up() -> None:
    for frame in ("MOON_ME", "MOON_PA", "MOON_PA_DE440"):
        site = Site("s", lon=30, lat=40, height=0, frame=frame)
        east, north, up = rotation(frame, "ENU", FIRST, scale="tai", site=site)
        assert np.allclose(up, [np.cos(np.pi / 4.5) * np.sqrt(0.75), np.cos(np.pi / 4.5) / 2, np.sin(np.pi / 4.5)])
        assert np.allclose(east, [-0.5, np.sqrt(0.75), 0])
        assert np.allclose(np.cross(up, east), north)


@given(moments, numbers, st.booleans())
def test_field_aligned_vectors_measure_along_and_across_the_field(time: int, field: np.ndarray, at_site: bool) -> None:
    site = SITE if at_site else None
    vectors = np.random.default_rng(0).normal(size=(5, 3))
    r = turn("ENU", "MOON_ME", time)[:, 2] if at_site else turn("GSE", "MOON_ME", time)[:, 0]
    found = transform(vectors, "MOON_ME", "MFA", np.asarray(time), site, scale="tai", mean_field=field)
    for v, b, seen in zip(vectors, field, found, strict=True):
        across = np.linalg.norm(np.cross(b, r))
        if np.linalg.norm(b) < 1e-3 or across < 1e-3 * np.linalg.norm(b):
            continue
        z, y = b / np.linalg.norm(b), np.cross(b, r) / across
        assert np.allclose(seen, [v @ np.cross(y, z), v @ y, v @ z], atol=1e-7)


def test_a_field_along_the_radius_has_no_second_axis() -> None:
    up = turn("ENU", "MOON_ME", FIRST)[:, 2]
    field = np.array([up, -3 * up, [0, 0, 0], [np.nan, 0, 0], [1, 2, 3]])
    aligned = mean_field_aligned(field, up)
    assert np.isnan(aligned[:4]).all()
    assert np.allclose(aligned[4] @ aligned[4].T, np.eye(3))
    times = np.full(5, FIRST // (10 * SECOND) * 10 * SECOND)
    field[:2] = turn("ENU", "MOON_ME", times[0])[:, 2]
    found = turned(np.ones((5, 3)), "MOON_ME", "MFA", times, mean_field=field)
    assert np.isnan(found[:4]).all()
    assert np.isfinite(found[4]).all()


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("'GEI'; known are ICRS, MOON_ME, .*, GSM, SSE, ITRS, and MFA", lambda: turn("GEI", "GSE", FIRST)),
        ("'moon_me'; known are", lambda: turned(np.ones(3), "ICRS", "moon_me", FIRST)),
        ("unknown frame 'MFA'", lambda: turned(np.ones(3), "MFA", "GSE", FIRST)),
        ("say which with site=", lambda: rotation("ICRS", "ENU", FIRST, scale="tai")),
        ("say which with site=", lambda: transform(cube(), "ENU", "ICRS")),
        ("needs mean_field=", lambda: turned(np.ones(3), "ICRS", "MFA", FIRST)),
        ("give time=", lambda: transform(np.ones((2, 3)), "ICRS", "GSE")),
        ("no coordinate time", lambda: transform(cube().isel(time=0, drop=True), "ICRS", "GSE")),
        (r"shape \(2, 2\); expected numbers", lambda: turned(np.ones((2, 2)), "ICRS", "GSE", [FIRST] * 2)),
        (r"shape \(\); expected", lambda: turned(1.0, "ICRS", "GSE", FIRST)),
        (r"times of shape \(3,\) do not fit", lambda: turned(np.ones((2, 3)), "ICRS", "GSE", [FIRST] * 3)),
        ("no time scale", lambda: rotation("ICRS", "GSE", np.datetime64("2031-03-01"))),
        ("NaT", lambda: rotation("ICRS", "GSE", np.datetime64("NaT", "ns"), scale="utc")),
        ("frame 'unknown'", lambda: rotation("ICRS", "ENU", FIRST, scale="tai", site=Site("x", 0, 0, 0))),
        ("known from 1900, and extrapolated up to 2050", lambda: rotation("GSE", "GSM", "2050-03-01")),
        ("said to be in utc", lambda: transform(cube(), "ICRS", "GSE", scale="utc")),
    ],
)
def test_what_cannot_be_turned_is_refused_with_what_can(message: str, call: Any) -> None:
    with pytest.raises(IlrsError, match=message):
        call()
