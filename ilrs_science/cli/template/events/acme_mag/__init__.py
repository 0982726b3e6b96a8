"""acme-mag: photons of an X-ray detector to counts by time, energy and place on the detector."""

import numpy as np
import xarray as xr

from acme_mag.simulate import simulate
from ilrs_science import Granule, Instrument, Product, formats

ENERGY = np.geomspace(0.3, 10.0, 17)  # keV, edges of the bins
PIXELS = 48  # of the detector, to a bin


def read(granule: Granule) -> xr.Dataset:
    """Read the photons of an OGIP event list, and the good time intervals beside them."""
    with granule.local() as path:
        tree = formats.read(path)
    photons, good = tree["EVENTS"].to_dataset()[["PI", "DETX", "DETY"]], tree["GTI"]
    return photons.assign_attrs(good=np.stack([good["start"], good["stop"]], axis=-1))


def to_bins(ds: xr.Dataset, *, gain: float = 0.01) -> xr.Dataset:
    """Sort photons into bins. gain: keV a channel."""
    energy = ("time", np.digitize(ds.PI * gain, ENERGY) - 1)
    return ds.assign(energy_bin=energy, y_bin=ds.DETY // PIXELS, x_bin=ds.DETX // PIXELS)


product = Product(
    place="histogram",
    bins={"energy": "energy_bin", "y": "y_bin", "x": "x_bin"},
    coordinates={"energy": xr.DataArray(ENERGY, dims="energy", attrs={"units": "keV"}), "y": 8, "x": 8},
)
instrument = Instrument("acme-mag", files="*.evt.fits", read=read, steps=(to_bins,), product=product, simulate=simulate)
