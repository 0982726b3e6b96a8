import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ilrs_science.errors import IlrsError
from ilrs_science.model.site import Site


@given(st.floats(-180, 180, exclude_max=True), st.sampled_from([0, 360]))
def test_longitudes_east_and_west_become_the_same_place(lon: float, turn: int) -> None:
    given = lon + turn if lon < 0 else lon
    kept = Site("s", lon=given, lat=0).lon
    assert kept is not None
    assert -180 <= kept < 180
    assert abs(kept - lon) < 1e-13


@pytest.mark.parametrize(("given", "kept"), [(270, -90), (360, 0), (180, -180), (-180, -180), (179.5, 179.5), (0, 0)])
def test_longitudes_are_kept_from_minus_180_up_to_180(given: float, kept: float) -> None:
    assert Site("s", lon=given).lon == kept


@pytest.mark.parametrize("coordinate", ["lon", "lat", "height"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_coordinate_that_is_no_number_is_refused(coordinate: str, value: float) -> None:
    with pytest.raises(IlrsError, match=f"site 's': {coordinate} is {value}; expected"):
        Site("s", **{coordinate: value})


@pytest.mark.parametrize(
    ("coordinate", "value", "allowed"),
    [
        *(("lon", value, "degrees from -180 to 360") for value in (400, 360.001, -180.001)),
        *(("lat", value, "degrees from -90 to 90") for value in (91, -90.001)),
    ],
)
def test_a_coordinate_out_of_bounds_is_refused_with_what_is_allowed(
    coordinate: str, value: float, allowed: str
) -> None:
    with pytest.raises(IlrsError, match=f"site 's': {coordinate} is {value}; expected {allowed}"):
        Site("s", **{coordinate: value})


def test_poles_and_depths_are_places() -> None:
    assert [Site("s", lat=lat).lat for lat in (-90, 90)] == [-90, 90]
    assert Site("s", height=-5935).height == -5935


def test_what_no_source_gives_stays_unknown() -> None:
    site = Site("s")
    assert (site.lon, site.lat, site.height, site.orbit) == (None, None, None, None)
    assert (site.frame, site.source, site.horizon) == ("unknown", "unknown", ())


def test_a_site_is_a_value_that_keeps_its_horizon_as_pairs_of_numbers() -> None:
    horizon: Any = [[0, 1], [180, 2.5]]
    site = Site("s", lon=350, lat=-89, horizon=horizon)
    assert site.horizon == ((0.0, 1.0), (180.0, 2.5))
    assert site == Site("s", lon=-10, lat=-89, horizon=((0, 1), (180, 2.5)))
    assert hash(site) == hash(dataclasses.replace(site))
    with pytest.raises(dataclasses.FrozenInstanceError):
        site.lon = 3  # type: ignore[misc]
