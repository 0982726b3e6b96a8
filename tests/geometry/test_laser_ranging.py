"""A real pulse of light, from Grasse to the reflector of Apollo 15 and back: scales, orbits and orientation at once."""

from pathlib import Path

import numpy as np
import pytest

import ilrs_science as ilrs
from ilrs_science import geometry
from ilrs_science.formats.crd import read_crd
from ilrs_science.geometry.constants import SPEED_OF_LIGHT

GRASSE = np.array([4581692.17, 556196.07, 4389355.12]) / 1e3
"""Station 7845 in ITRF2014, km, as public laser-ranging code quotes it to the centimetre."""


def station(tai: np.int64) -> np.ndarray:
    """Return the barycentric place of the telescope, km."""
    turn = geometry.rotation("ITRS", "ICRS", tai, scale="tai")
    return turn @ GRASSE + geometry.position("earth", tai, "ICRS", "ssb", scale="tai")


def reflector(tai: np.int64) -> np.ndarray:
    """Return the barycentric place of the reflector, km."""
    return geometry.position(ilrs.sites()["apollo-15"], tai, "ICRS", "ssb", scale="tai")


def flight(start: np.int64, source, target) -> np.int64:
    """Return when light that leaves the source arrives at the target, TAI ns."""
    arrival = start
    for _ in range(4):
        way = np.linalg.norm(target(arrival) - source(start))
        arrival = start + np.int64(round(way / SPEED_OF_LIGHT * 1e9))
    return arrival


@pytest.mark.real
def test_a_laser_pulse_to_apollo_15_and_back_took_as_long_as_geometry_says(real_data: Path) -> None:
    point = read_crd(real_data / "llr_crd" / "GRSM_apollo15_20150429.npt")["normal_points"]
    assert point["epoch_event"].item() == 2  # the epoch is that of transmission
    sent, observed = point["tai"].values.astype(np.int64)[0], point["time_of_flight"].item()
    reflected = flight(sent, station, reflector)
    received = flight(reflected, reflector, station)
    # Left out are the air (some 0.02 us there and back) and the delay in the gravity of Sun and Earth (some 0.05 us).
    assert observed * 1e6 - float(received - sent) / 1e3 == pytest.approx(0.07, abs=0.06)
