"""Calibration knowledge: which reference is valid when, why, and what it holds."""

from ilrs_science.references.folders import read_folder
from ilrs_science.references.loading import load
from ilrs_science.references.resolving import (
    Resolution,
    coverage_faults,
    describe,
    explain,
    fault,
    resolve,
    usable_at,
)

__all__ = [
    "Resolution",
    "coverage_faults",
    "describe",
    "explain",
    "fault",
    "load",
    "read_folder",
    "resolve",
    "usable_at",
]
