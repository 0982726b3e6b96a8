"""Frames and the rotations between them.

MOON_ME and MOON_PA are body-fixed and some 800 m apart on the ground, so that each is always named. GSE, GSM and SSE
are those of space physics (Hapgood 1992; SSE as in Kaguya's SSE_080125.tf), with the pole of the mean ecliptic of date.
"""

from __future__ import annotations

import erfa
import numpy as np

from ilrs_science.errors import IlrsError
from ilrs_science.geometry.chebyshev import Floats
from ilrs_science.geometry.earth import dipole_axis, icrs_to_itrs
from ilrs_science.geometry.ephemeris import Ephemeris, chosen
from ilrs_science.geometry.moments import Moments
from ilrs_science.geometry.rotations import from_x_and_plane, transposed
from ilrs_science.geometry.scales import tai, tai_to_tdb
from ilrs_science.geometry.surface import MOON_FRAMES, frame_to_me, me_to_enu
from ilrs_science.geometry.time import Nanoseconds, to_jd
from ilrs_science.model.site import Site

FRAMES = ("ICRS", *MOON_FRAMES, "ENU", "GSE", "GSM", "SSE", "ITRS")
"""What `rotation` knows; `transform` knows MFA too."""


def rotation(  # noqa: PLR0913 - the frames, the moment, and what they need
    source: str,
    target: str,
    time: Moments,
    *,
    scale: str | None = None,
    site: Site | None = None,
    ephemeris: Ephemeris | None = None,
) -> Floats:
    """Return the matrices that turn components in one frame into those in another.

    Parameters
    ----------
    source, target
        ICRS; MOON_ME, MOON_PA (that of the ephemeris), MOON_PA_DE421, MOON_PA_DE440; GSE, GSM, SSE; ITRS; and ENU,
        the east, north and up of a site.
    time
        ISO text (UTC), datetime64 with a `scale`, astropy `Time`, or the time of a cube.
    scale
        Scale of datetime64.
    site
        The site of ENU.
    ephemeris
        By default what is installed.

    Returns
    -------
    float64, shape (..., 3, 3), where ... is the shape of `time`. GSM after 2030 rests on an extrapolated dipole, GSM
    and ITRS outside the table of the IERS on UT1 = UTC (decision 6).

    Raises
    ------
    IlrsError
        An unknown frame, ENU without a site, or a time outside the kernels.
    """
    moments = tai(time, scale)
    used = chosen(ephemeris)
    for frame in (source, target):
        check_frame(frame, site)
    if source == target:
        return np.broadcast_to(np.eye(3), (*moments.shape, 3, 3)).copy()
    return between(source, target, moments, site, used)


def check_frame(frame: str, site: Site | None) -> None:
    """Refuse what is no frame.

    Raises
    ------
    IlrsError
        An unknown frame, or that of a site without one.
    """
    if frame not in FRAMES:
        raise IlrsError(f"unknown frame {frame!r}; known are {', '.join(FRAMES)}, and MFA as a target of transform")
    if frame == "ENU" and site is None:
        msg = "ENU is the frame of a site; say which with site="
        raise IlrsError(msg)


def between(source: str, target: str, moments: Nanoseconds, site: Site | None, ephemeris: Ephemeris) -> Floats:
    """Return the rotations from source to target; those between body-fixed frames of the Moon are constant."""
    fixed = {"ENU", *MOON_FRAMES}
    if source in fixed and target in fixed:
        constant = _from_me(target, site, ephemeris) @ transposed(_from_me(source, site, ephemeris))
        return np.broadcast_to(constant, (*moments.shape, 3, 3)).copy()
    tdb = tai_to_tdb(moments)
    forward = _from_icrs(target, moments, tdb, site, ephemeris)
    return forward @ transposed(_from_icrs(source, moments, tdb, site, ephemeris))


def _from_me(frame: str, site: Site | None, ephemeris: Ephemeris) -> Floats:
    if frame == "ENU" and site is not None:
        return me_to_enu(site, ephemeris)
    return transposed(frame_to_me(frame, ephemeris))


def _from_icrs(frame: str, moments: Nanoseconds, tdb: Nanoseconds, site: Site | None, ephemeris: Ephemeris) -> Floats:
    """Return the rotations from ICRS to a frame, shape (..., 3, 3)."""
    if frame == "ICRS":
        return np.broadcast_to(np.eye(3), (*moments.shape, 3, 3))
    if frame == "ITRS":
        return icrs_to_itrs(moments, tdb)
    if frame in {"ENU", *MOON_FRAMES}:
        return _from_me(frame, site, ephemeris) @ ephemeris.moon_me(tdb)
    origin = "moon" if frame == "SSE" else "earth"
    to_sun = ephemeris.position("sun", tdb) - ephemeris.position(origin, tdb)
    pole = dipole_axis(moments, tdb) if frame == "GSM" else erfa.ecm06(*to_jd(tdb))[..., 2, :]
    return from_x_and_plane(to_sun, pole)
