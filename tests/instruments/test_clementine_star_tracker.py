"""Clementine star tracker: steps against the sky that made the frames, and the true orbit against its publication."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import xarray as xr
from astropy.io import fits

import ilrs_science as ilrs
from ilrs_science.analysis.coadd import coadd
from ilrs_science.formats.pds3 import read_image
from ilrs_science.geometry import isot, parse_utc
from ilrs_science.geometry.labels import both_times
from ilrs_science.instruments import clementine_star_tracker as camera
from ilrs_science.model.quality import flag_attributes
from ilrs_science.simulate.frame_transfer import Quantity, pds3_file, simulate

STEPS = ["flag_saturation", "desmear", "subtract_dark", "flag_moon", "to_rate"]
SATURATED, BAD, NO_REFERENCE, TRAIL, MOON = 2, 4, 128, 1 << 16, 1 << 17


def reduce(folder: Path, output: Path, *, raw: list[str] | None = None, leave_out: str = "", **more: Any) -> xr.Dataset:
    """Return the cube of the frames below a folder."""
    description = {
        "name": "sky",
        "instrument": "clementine-star-tracker",
        "raw": raw or [str(folder / "raw" / "*")],
        "references": {"folders": [str(folder / "references")]},
        "steps": [step for step in STEPS if step != leave_out],
        "output": str(output),
        **more,
    }
    report = ilrs.run(description, executor="serial")
    assert report.exit_code == 0, report
    return ilrs.open_cube(str(output))


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of ten simulated frames."""
    folder = tmp_path_factory.mktemp("sky")
    simulate(folder, frames=10)
    return folder


@pytest.fixture(scope="module")
def cube(sky: Path) -> xr.Dataset:
    return reduce(sky, sky / "sky.zarr").load()


@pytest.fixture(scope="module")
def truth(sky: Path) -> dict[str, np.ndarray]:
    with np.load(sky / "truth.npz") as file:
        return dict(file)


def frame(tmp_path: Path, image: np.ndarray | None = None, **keywords: Any) -> ilrs.Granule:
    """Return a file with one frame whose label may be wrong."""
    given = {
        "INSTRUMENT_ID": "B-STAR",
        "START_TIME": "1994-04-06T20:00:00Z",
        "EXPOSURE_DURATION": Quantity(100.0, "ms"),
        **keywords,
    }
    path = tmp_path / "lba0001z.000"
    path.write_bytes(pds3_file(np.full((576, 384), 7, "u1") if image is None else image, given))
    return ilrs.Granule(str(path))


def block(**shape: Any) -> xr.Dataset:
    """Return samples of four by three pixels and two frames with clean flags, as a step gets them."""
    signal = xr.DataArray(np.arange(24, dtype="f4").reshape(2, 4, 3), dims=("time", "y", "x"))
    attributes = flag_attributes(camera.instrument.product.flags)
    quality = xr.DataArray(np.zeros((2, 4, 3), "u4"), dims=("time", "y", "x"), attrs=attributes)
    return xr.Dataset(
        {"signal": signal, "quality": quality, "exposure": ("time", [0.1, 0.4]), **shape},
        both_times(np.array([1000, 2000])),
    )


def limb_reference(**circles: Any) -> ilrs.Reference:
    payload = xr.Dataset({name: ("time", values) for name, values in circles.items() if name != "tai"})
    payload = payload.assign_coords(tai=("time", np.array(circles["tai"], np.int64)))
    return ilrs.Reference("clementine-star-tracker", "limb", "*", 0, 1, 0, "", "", payload=payload)


def test_a_frame_is_read_with_its_bottom_row_first(tmp_path: Path) -> None:
    image = np.zeros((576, 384), "u1")
    image[0, 5] = 200
    ds = camera.read(frame(tmp_path, image))
    assert ds.signal.dtype == np.dtype("f4")
    assert ds.signal.values[0, 575, 5] == 200
    assert ds.exposure.values.tolist() == [0.1]
    assert ds.tai.values.astype("i8").tolist() == [parse_utc("1994-04-06T20:00:00Z")]
    assert ds.attrs["site"] == "clementine"


@pytest.mark.parametrize(
    ("keywords", "reason"),
    [
        ({"INSTRUMENT_ID": "A-STAR"}, "INSTRUMENT_ID is 'A-STAR'"),
        ({"START_TIME": "N/A"}, "START_TIME: 'N/A' is not a UTC time"),
        ({"EXPOSURE_DURATION": "N/A"}, "EXPOSURE_DURATION is 'N/A'"),
        ({"EXPOSURE_DURATION": Quantity(0.0, "ms")}, "more than zero"),
        ({"EXPOSURE_DURATION": Quantity(0.1, "s")}, "expected a number of <ms>"),
    ],
)
def test_a_frame_with_an_unusable_label_is_refused(tmp_path: Path, keywords: dict[str, Any], reason: str) -> None:
    with pytest.raises(ilrs.FormatError, match=reason):
        camera.read(frame(tmp_path, **keywords))


def test_a_frame_of_another_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ilrs.FormatError, match=r"\(8, 9\) pixels"):
        camera.read(frame(tmp_path, np.zeros((8, 9), "u1")))


def test_a_changed_pixel_is_noticed_by_the_checksum(tmp_path: Path) -> None:
    granule = frame(tmp_path)
    data = bytearray(Path(granule.url).read_bytes())
    data[-1] ^= 1
    Path(granule.url).write_bytes(data)
    with pytest.raises(ilrs.FormatError, match="its label says CHECKSUM"):
        camera.read(granule)


def test_saturated_pixels_are_flagged_with_their_rows_and_columns(
    cube: xr.Dataset, truth: dict[str, np.ndarray]
) -> None:
    quality, saturated = cube.quality.values, truth["saturated"]
    assert saturated.any()
    np.testing.assert_array_equal((quality & SATURATED) > 0, saturated)
    trail = saturated.any(1, keepdims=True) | saturated.any(2, keepdims=True)
    np.testing.assert_array_equal((quality & TRAIL) > 0, trail)


def test_the_moon_is_flagged_with_a_margin_of_three_pixels(cube: xr.Dataset, truth: dict[str, np.ndarray]) -> None:
    flagged, moon = (cube.quality.values & MOON) > 0, truth["moon"]
    assert flagged[moon].all()
    row = int(np.argmax(moon[0].sum(1)))
    assert flagged[0, row].sum() - moon[0, row].sum() == 3
    assert not (cube.quality.values & NO_REFERENCE).any()


def test_desmearing_undoes_the_readout_of_the_camera() -> None:
    exposed = np.random.default_rng(1).uniform(0, 200, (2, 4, 3))
    share = (94.4e-6 / np.array([0.1, 0.4]))[:, None, None]
    smeared = (1 - share) * exposed + share * exposed.sum(1, keepdims=True)
    ds = block(signal=(("time", "y", "x"), smeared.astype("f4")))
    out = camera.desmear(ds)
    np.testing.assert_allclose(out.signal.values, exposed, rtol=1e-5)
    assert out.signal.dtype == np.dtype("f4")


def test_the_dark_is_the_median_of_the_corner() -> None:
    out = camera.subtract_dark(block(), rows=(2, 3), columns=(0, 1))
    assert out.signal.values[0, 0, 0] == -np.median([6, 7, 9, 10])
    np.testing.assert_allclose(out.noise, np.std([6, 7, 9, 10], ddof=1), rtol=1e-6)
    assert out.signal.dtype == np.dtype("f4")


def test_a_frame_without_a_limb_is_flagged_and_others_are_not() -> None:
    limb = limb_reference(tai=[2000, 3000], xc=[0.0, 9.0], yc=[0.0, 9.0], radius=[1.0, 1.0])
    quality = camera.flag_moon(block(), limb=limb, margin=0.0).quality.values
    assert (quality[0] == NO_REFERENCE).all()
    assert quality[1].tolist() == [[MOON, MOON, 0], [MOON, 0, 0], [0, 0, 0], [0, 0, 0]]


def test_without_any_limb_every_frame_is_flagged() -> None:
    assert (camera.flag_moon(block()).quality.values == NO_REFERENCE).all()


def test_a_flat_divides_and_its_dead_pixels_are_flagged() -> None:
    response = np.full((4, 3), 0.5)
    response[1, 1] = 0.0
    flat = ilrs.Reference("c", "flat", "*", 0, 1, 0, "", "", payload=xr.Dataset({"flat": (("y", "x"), response)}))
    out = camera.to_rate(block(noise=("time", [2.0, 2.0])), flat=flat)
    assert out.rate.values[0, 0, 1] == 1 / 0.1 / 0.5
    np.testing.assert_allclose(out.rate_uncertainty.values[1, 0, 1], 2.0 / 0.4 / 0.5)
    assert (out.quality.values[:, 1, 1] == BAD).all()
    assert np.isnan(out.rate.values[:, 1, 1]).all()


def test_the_uncertainty_is_at_least_quantisation_and_unknown_without_a_dark() -> None:
    quiet = camera.to_rate(block(noise=("time", [0.0, 0.0])))
    np.testing.assert_allclose(quiet.rate_uncertainty.values[0], 1 / np.sqrt(12) / 0.1, rtol=1e-6)
    assert np.isnan(camera.to_rate(block()).rate_uncertainty).all()


def test_every_step_treats_each_frame_alone() -> None:
    ds = block(noise=("time", [1.0, 2.0]))
    limb = limb_reference(tai=[1000, 2000], xc=[0.0, 2.0], yc=[0.0, 1.0], radius=[1.0, 1.5])
    for step, parameters in (
        (camera.flag_saturation, {"level": 20.0}),
        (camera.desmear, {}),
        (camera.subtract_dark, {"rows": (2, 3), "columns": (0, 1)}),
        (camera.flag_moon, {"limb": limb}),
        (camera.to_rate, {}),
    ):
        alone = [step(ds.isel(time=[number]), **parameters) for number in (0, 1)]
        xr.testing.assert_identical(step(ds, **parameters), xr.concat(alone, "time", data_vars="minimal"))


def test_the_coadd_recovers_the_sky_within_its_uncertainty(cube: xr.Dataset, truth: dict[str, np.ndarray]) -> None:
    image = coadd(cube)
    reached = image["count"].values > 0
    pulls = ((image.rate - truth["rate"]) / image.rate_uncertainty).values[reached]
    assert reached.mean() > 0.8
    # The dark level of a frame is common to its pixels, and is not part of the random uncertainty.
    assert abs(np.median(pulls)) < 1.0
    assert 0.9 < np.std(pulls) < 1.1
    assert np.isnan(image.rate.values[~reached]).all()


def test_leaving_out_a_step_spoils_the_sky(sky: Path, tmp_path: Path, truth: dict[str, np.ndarray]) -> None:
    errors = {}
    for step in ("", "desmear", "subtract_dark"):
        image = coadd(reduce(sky, tmp_path / f"{step}.zarr", leave_out=step)).compute()
        errors[step] = float(np.abs(image.rate - truth["rate"]).median())
    assert errors["desmear"] > 3 * errors[""]
    assert errors["subtract_dark"] > 50 * errors[""]


def test_the_cube_says_what_it_holds(cube: xr.Dataset, truth: dict[str, np.ndarray]) -> None:
    assert cube.rate.attrs["units"] == "count / s"
    assert cube.rate.dtype == np.dtype("f4")
    assert "exposure" in cube.coords
    np.testing.assert_allclose(cube.exposure, truth["exposure"])
    np.testing.assert_array_equal(cube.tai.values.astype("i8"), truth["time"])
    assert set(cube.site.values.tolist()) == {"clementine"}


def test_a_simulation_of_one_seed_is_one_set_of_bytes(tmp_path: Path) -> None:
    content = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        files = simulate(tmp_path / name, frames=2, shape=(48, 32), seed=seed)
        content.append([path.read_bytes() for path in files])
    assert content[0] == content[1] != content[2]
    assert read_image(content[0][0])[0].shape == (48, 32)


@pytest.fixture(scope="module")
def facts(real_data: Path) -> dict[str, Any]:
    """Return what the data sheet says of each frame."""
    entries = json.loads((real_data / "facts.json").read_text())["clementine"]
    return dict(next(entry for entry in entries if "per_frame" in entry["facts"])["facts"]["per_frame"])


@pytest.mark.real
def test_all_forty_real_frames_agree_with_the_data_sheet(real_data: Path, facts: dict[str, Any]) -> None:
    assert len(facts) == 40
    for name, fact in facts.items():
        ds = camera.read(ilrs.Granule(str(real_data / "clementine" / "raw" / name)))
        values = ds.signal.values
        assert values.mean(dtype="f8") == pytest.approx(fact["mean"], rel=1e-6)
        assert (values.min(), values.max()) == (fact["min"], fact["max"])
        assert isot(int(ds.tai[0].astype("i8"))) == fact["time"]
        assert float(ds.exposure[0]) * 1000 == pytest.approx(fact["exposure_ms"])


type Correlation = Callable[[str], float]


@pytest.fixture(scope="module")
def correlation(real_data: Path, facts: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Correlation:
    """Return a function that reduces orbit 219 without one step, and correlates the coadd with the published one."""
    folder = tmp_path_factory.mktemp("orbit219")
    names = [f"lba{number}z.219" for number in range(6183, 6220) if number not in (6187, 6192, 6217)]
    write_limb(real_data, folder / "references", [parse_utc(facts[name]["time"]) for name in names])
    raw = [str(real_data / "clementine" / "raw" / name) for name in names]
    published = np.asarray(fits.getdata(real_data / "clementine" / "products" / "orbit219.fits"), "f8")

    def correlate(leave_out: str) -> float:
        image = coadd(reduce(folder, folder / f"{leave_out or 'all'}.zarr", raw=raw, leave_out=leave_out)).compute()
        valid = (published != 0) & (image.exposure.values > 0)
        assert valid.sum() > 169_000
        return float(np.corrcoef(image.rate.values[valid], published[valid])[0, 1])

    return correlate


def write_limb(real_data: Path, folder: Path, times: list[int]) -> None:
    """Write the published limb circles of the 34 frames as a reference."""
    circles = scipy.io.readsav(real_data / "clementine" / "cal" / "orbit219_limb.dat")
    columns = {"xc": "xc", "yc": "yc", "radius": "r_moon"}
    payload = xr.Dataset(
        {name: ("time", circles[column].astype("f8")) for name, column in columns.items()}, {"tai": ("time", times)}
    )
    folder.mkdir()
    (folder / "limb.json").write_text(json.dumps(payload.to_dict()))
    entry = {
        "kind": "limb",
        "instrument": "clementine-star-tracker",
        "valid": {"start": "1994-04-06T00:00:00Z", "stop": "1994-04-07T00:00:00Z"},
        "published": "2002-01-01T00:00:00Z",
        "payload": "limb.json",
        "source": "Hahn et al. (2002), Icarus 158, 360",
    }
    (folder / "index.yaml").write_text(json.dumps({"references": [entry]}))


@pytest.mark.real
def test_orbit_219_agrees_with_the_published_coadd(correlation: Correlation) -> None:
    assert correlation("") >= 0.997


@pytest.mark.real
@pytest.mark.parametrize(("step", "below"), [("desmear", 0.80), ("subtract_dark", 0.92)])
def test_orbit_219_does_not_agree_without_a_step(correlation: Correlation, step: str, below: float) -> None:
    assert correlation(step) < below
