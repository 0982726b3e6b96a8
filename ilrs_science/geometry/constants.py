"""Constants of time and of the bodies, each with its source."""

SPEED_OF_LIGHT = 299792.458
"""km/s."""

L_B = 1.550519768e-8
"""1 - dTDB/dTCB, IAU 2006 Resolution B3."""
TDB0 = -6.55e-5
"""TDB less TCB at 1977-01-01T00:00:32.184 TCB, s; IAU 2006 Resolution B3."""
L_G = 6.969290134e-10
"""1 - dTT/dTCG, IAU 2000 Resolution B1.9."""
L_M = 3.13881e-11
"""Potential on the selenoid in units of c^2 (Ashby and Patla 2024, arXiv:2402.11150)."""
TREND = 6.798355238e-10
"""Mean of dTCL/dTDB - 1 (LTE440: Lu, Yang and Xie, A&A 704, A76; arXiv:2506.19213 v2)."""

GM_MOON = 4902.800118
"""km3/s2 (DE440: Park et al. 2021, AJ 161, 105)."""
MOON_RADIUS = 1737.4
"""Reference radius, km (the mean radius of the IAU working group, Archinal et al. 2018; LOLA's sphere)."""
MOON_SPIN = 2.6616995e-6
"""Mean sidereal rotation, rad/s: 2 pi in 27.321661 days."""
SUN_RADIUS = 695700.0
"""Nominal solar radius, km (IAU 2015 Resolution B3)."""
EARTH_RADIUS = 6371.0084
"""Mean radius, km (GRS80, (2a + b)/3)."""
SYNODIC_MONTH = 29.530588861
"""Mean length of the lunar day at J2000, days (Chapront, Chapront-Touze and Francou 2002, A&A 387, 700)."""
MEAN_SUBSOLAR = 180.0 - 297.850
"""Mean subsolar longitude at J2000, degrees: from the mean elongation of the Moon (same source)."""
