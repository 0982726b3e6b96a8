import pickle
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spiceypy

from ilrs_science.errors import IlrsError
from ilrs_science.geometry import Ephemeris, Site, altaz, default_ephemeris, libration, position, rotation, subpoint

ARCSEC = 3600 * 180 / np.pi
SITE = Site("plain", lon=33.3, lat=-41.7, height=1500, frame="MOON_ME")
DAYS = np.datetime64("1970-01-01", "ns") + np.random.default_rng(5).integers(0, 60 * 365, 2000) * np.timedelta64(1, "D")
"""1970 to 2030."""
SERIES = Ephemeris()
NS = np.arange(0, 40 * 365, 777) * 86400 * 10**9 + 12_345_678_901


ALONE = """
import socket, sys
socket.socket.connect = socket.getaddrinfo = None
heavy = {"lunarsky", "skyfield", "skyfield_data", "spiceypy", "astropy.coordinates"}
import ilrs_science
from ilrs_science import geometry as g
print(heavy & set(sys.modules))
site = g.Site("s", lon=33.3, lat=-41.7, height=1500, frame="MOON_ME")
g.illumination(site, "2031-03-01"), g.rotation("MOON_ME", "GSM", ["2024-03-01", "2035-03-01"])
print(heavy - {"astropy.coordinates"} & set(sys.modules))
sys.modules["lunarsky"] = sys.modules["skyfield_data"] = sys.modules["jplephem"] = None
sys.modules["ilrs_science.geometry.ephemeris"]._packaged.cache_clear()
sun = g.altaz("sun", site, "2031-03-01")
print(sun.attrs["ephemeris"], sun.alt.item(), sep="|")
"""


@pytest.fixture(scope="module")
def alone() -> list[str]:
    """Return what a fresh interpreter prints that cannot download and then loses the packages of the kernels."""
    return subprocess.run([sys.executable, "-c", ALONE], check=True, capture_output=True, text=True).stdout.splitlines()


@pytest.mark.parametrize(
    ("body", "arcsec", "km"),
    [("sun", 0.05, 25), ("earth", 18, 13), *((planet, 90, 6e5) for planet in ("venus", "mars", "jupiter", "saturn"))],
)
def test_the_series_are_as_good_as_they_say(body: str, arcsec: float, km: float) -> None:
    kernel, series = (position(body, DAYS, scale="tdb", ephemeris=used) for used in (default_ephemeris(), SERIES))
    far, near = (np.linalg.norm(way, axis=-1, keepdims=True) for way in (kernel, series))
    assert np.linalg.norm(kernel / far - series / near, axis=-1).max() * ARCSEC < arcsec
    assert np.abs(far - near).max() < km


def test_a_place_of_the_series_is_within_160_metres_of_the_kernel() -> None:
    kernel, series = (
        rotation("MOON_ME", "ICRS", DAYS, scale="tdb", ephemeris=e) for e in (default_ephemeris(), SERIES)
    )
    apart = np.linalg.norm(kernel - series, ord=2, axis=(-2, -1)) * 1_737_400
    assert 20 < apart.max() < 160  # below 20 m it would say less than is true


@pytest.mark.parametrize(
    ("used", "name", "accuracy"),
    [
        (
            default_ephemeris(),
            "de421.bsp + moon_pa_de421_1900-2050.bpc",
            "directions 0.001 arcsec, bending of light left out.* 1 m on",
        ),
        (SERIES, "ERFA epv00/moon98 + WGCCRE 2009", "Sun 0.06 arcsec, Earth 18 arcsec.* 160 m on"),
        (
            Ephemeris(spk=default_ephemeris().spk),
            "de421.bsp + WGCCRE 2009",
            "directions 0.001 arcsec, bending of light left out.* 160 m on",
        ),
        (Ephemeris(pck=default_ephemeris().pck), "ERFA epv00/moon98 + moon_pa", "Sun 0.06 arcsec.* 1 m on"),
    ],
)
def test_results_say_what_they_were_made_with_and_how_good_it_is(used: Ephemeris, name: str, accuracy: str) -> None:
    time = "2031-03-01T00:00:00Z"
    for found in (
        altaz("sun", SITE, time, ephemeris=used),
        subpoint("earth", time, ephemeris=used),
        libration(time, ephemeris=used),
    ):
        assert found.attrs["ephemeris"].startswith(name)
        assert re.search(accuracy, found.attrs["accuracy"])


@pytest.mark.parametrize("used", [default_ephemeris(), SERIES], ids=["kernel", "series"])
@pytest.mark.parametrize("body", ["sun", "mercury", "venus", "earth", "moon", "mars", "jupiter", "neptune"])
def test_velocities_are_the_changes_of_positions(used: Ephemeris, body: str) -> None:
    velocity = used.state(body, NS)[1]
    change = (used.position(body, NS + 10**12) - used.position(body, NS - 10**12)) / 2000
    assert np.linalg.norm(change - velocity, axis=-1).max() < 0.005 * np.linalg.norm(velocity, axis=-1).max()


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 4)])
@pytest.mark.parametrize("used", [default_ephemeris(), SERIES], ids=["kernel", "series"])
def test_results_have_the_shape_of_the_times(used: Ephemeris, shape: tuple[int, ...]) -> None:
    times = np.full(shape, NS[7])
    assert used.position("earth", times).shape == (*shape, 3)
    assert used.moon_me(times).shape == (*shape, 3, 3)
    assert np.array_equal(used.moon_me(times), np.broadcast_to(used.moon_me(NS)[7], (*shape, 3, 3)))


def test_results_do_not_depend_on_how_epochs_are_cut_into_blocks() -> None:
    many, used = np.arange(20_000) * 10**12, default_ephemeris()
    parts = [slice(0, 8191), slice(8191, 8193), slice(8193, None)]
    assert np.array_equal(used.position("moon", many), np.concatenate([used.position("moon", many[p]) for p in parts]))
    assert np.array_equal(used.moon_me(many), np.concatenate([used.moon_me(many[part]) for part in parts]))


@pytest.mark.parametrize(
    ("time", "named", "call"),
    [
        ("1899-06-01", "de421.bsp", lambda t: position("sun", t, scale="tdb")),
        ("2053-12-01", "de421.bsp", lambda t: position("sun", t, scale="tdb")),
        ("1899-12-01", "moon_pa_de421_1900-2050.bpc", lambda t: rotation("ICRS", "MOON_ME", t, scale="tdb")),
        ("2051-02-01", "moon_pa_de421_1900-2050.bpc", lambda t: rotation("ICRS", "MOON_ME", t, scale="tdb")),
        ("2051-02-01", "moon_pa_de421_1900-2050.bpc", lambda t: altaz("sun", SITE, t, scale="tdb")),
        ("2051-02-01", "moon_pa_de421_1900-2050.bpc", lambda t: libration(["2031-01-01", t], scale="tdb")),
        ("1899-12-01", "1900 to 2100", lambda t: position("earth", t, scale="tdb", ephemeris=SERIES)),
        ("2100-02-01", "1900 to 2100", lambda t: altaz("earth", SITE, t, scale="tdb", ephemeris=SERIES)),
    ],
)
def test_a_time_outside_a_kernel_is_refused_by_its_name(time: str, named: str, call: Callable[[str], Any]) -> None:
    with pytest.raises(IlrsError, match=named) as refusal:
        call(time)
    assert time[:4] in str(refusal.value)


def test_a_time_at_the_ends_of_the_kernels_is_good() -> None:
    found = altaz("sun", SITE, ["1900-01-02", "2050-12-30"], scale="tdb")
    assert np.isfinite(found["alt"]).all()
    # There was no UTC in 1900.
    assert set(found.coords) == {"tai"}


@pytest.mark.parametrize("kernel", ["spk", "pck"])
def test_a_kernel_that_does_not_exist_is_refused_with_its_path(kernel: str, tmp_path: Path) -> None:
    for path in (tmp_path / "none.bsp", tmp_path):
        with pytest.raises(IlrsError, match=str(path)):
            altaz("sun", SITE, "2031-03-01", ephemeris=Ephemeris(**{kernel: str(path)}))


@pytest.mark.parametrize("kernel", ["spk", "pck"])
@pytest.mark.parametrize("content", ["empty", "noise", "damaged", "cut off", "of the other kind"])
def test_a_file_that_is_no_such_kernel_is_refused_with_its_path(kernel: str, content: str, tmp_path: Path) -> None:
    mine, other = Path(default_ephemeris().spk), Path(default_ephemeris().pck)
    if kernel == "pck":
        mine, other = other, mine
    head = mine.read_bytes()[:1024]
    noise = bytes(range(256)) * 20
    made = {"empty": b"", "noise": noise, "damaged": head[:8] + noise, "cut off": head}
    path = tmp_path / "made" if content in made else other
    if content in made:
        path.write_bytes(made[content])
    with pytest.raises(IlrsError, match=f"{path}: no kernel that can be read"):
        altaz("sun", SITE, "2031-03-01", ephemeris=Ephemeris(**{kernel: str(path)}))


@pytest.fixture
def spk(tmp_path: Path) -> Callable[..., str]:
    """Return a function that writes an SPK (type 2) of a body that moves with 3 km/s along z."""

    def written(*, body: int, frame: str = "J2000", segments: int = 1) -> str:
        path = tmp_path / "made.bsp"
        handle = spiceypy.spkopn(str(path), "made", 0)
        for number in range(segments):
            first, last = number * 1e9, (number + 1) * 1e9
            record = np.array([7.0, 0, 7, 0, 7, 1.5e9])
            spiceypy.spkw02(handle, body, 0, frame, first, last, str(number), 1e9, 1, 1, record, first)
        spiceypy.spkcls(handle)
        return str(path)

    return written


def test_any_kernel_of_chebyshev_series_may_give_the_positions(spk: Callable[..., str]) -> None:
    x, v = Ephemeris(spk=spk(body=10)).state("sun", np.array([10957 * 86400 + 43200 + 500_000_000]) * 10**9)
    assert np.allclose(x, [[7, 7, 7]])
    assert np.allclose(v, [[0, 0, 3]])


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ({"body": 3}, r"made.bsp has no sun \(segments \[\(0, 10\)\]\)"),
        ({"body": 10, "frame": "ECLIPJ2000"}, "in J2000"),
        ({"body": 10, "segments": 2}, "found 2 for 1 bodies"),
    ],
)
def test_a_kernel_that_is_not_for_this_is_refused(spk: Callable[..., str], made: Any, message: str) -> None:
    with pytest.raises(IlrsError, match=message):
        Ephemeris(spk=spk(**made)).position("sun", NS)


def test_an_unknown_body_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(IlrsError, match=r"'ceres'; known are sun, mercury, .*, pluto"):
        default_ephemeris().position("ceres", NS)
    with pytest.raises(IlrsError, match="no series for pluto; install"):
        SERIES.position("pluto", NS)


def test_an_ephemeris_travels_as_its_paths() -> None:
    used = default_ephemeris()
    used.moon_me(NS)
    used.position("earth", NS)
    carried = pickle.dumps(used)
    assert len(carried) < 1000
    assert pickle.loads(carried) == used  # noqa: S301 - made above


@pytest.fixture
def _hurried() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads take turns in the midst of everything
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_hurried")
def test_threads_that_open_the_kernels_at_once_get_identical_results(tmp_path: Path) -> None:
    used, expected = default_ephemeris(), altaz("earth", SITE, DAYS, scale="tdb")
    for attempt in range(3):
        links = [tmp_path / f"{attempt}.bsp", tmp_path / f"{attempt}.bpc"]
        for link, path in zip(links, (used.spk, used.pck), strict=True):
            link.symlink_to(path)  # a new name, so that every thread finds the kernels closed
        fresh = Ephemeris(*map(str, links))
        with ThreadPoolExecutor(16) as pool:
            found = list(pool.map(lambda _: altaz("earth", SITE, DAYS, scale="tdb", ephemeris=fresh), range(32)))  # noqa: B023
        assert all(np.array_equal(one[name], expected[name]) for one in found for name in ("alt", "az", "distance"))


def test_the_environment_names_the_kernels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = default_ephemeris()
    monkeypatch.setenv("ILRS_SPK", str(tmp_path / "mine.bsp"))
    assert default_ephemeris() == Ephemeris(str(tmp_path / "mine.bsp"), before.pck)
    monkeypatch.setenv("ILRS_PCK", str(tmp_path / "mine.bpc"))
    assert default_ephemeris().name == "mine.bsp + mine.bpc"
    with pytest.raises(IlrsError, match=r"mine.b(sp|pc): no kernel"):
        altaz("sun", SITE, "2031-03-01")
    monkeypatch.setenv("ILRS_SPK", "")
    monkeypatch.setenv("ILRS_PCK", "")
    assert default_ephemeris() == before


def test_nothing_heavy_is_imported_and_nothing_downloaded(alone: list[str]) -> None:
    assert alone[:2] == ["set()", "set()"]


def test_without_the_packages_of_the_kernels_the_series_work_and_say_so(alone: list[str]) -> None:
    name, alt = alone[2].split("|")
    assert name == SERIES.name
    assert abs(float(alt) - altaz("sun", SITE, "2031-03-01")["alt"].item()) < 0.006
