"""Calibration knowledge: which reference is valid when, why, and what it holds."""

from ilrs_science.model.reference import UNTIL_NEXT
from ilrs_science.references.folders import read_folder
from ilrs_science.references.loading import is_readable, load
from ilrs_science.references.resolving import (
    Resolution,
    Sought,
    around,
    coverage_faults,
    describe,
    explain,
    fault,
    pair_faults,
    resolve,
    until,
    usable,
)

__all__ = [
    "UNTIL_NEXT",
    "Resolution",
    "Sought",
    "around",
    "coverage_faults",
    "describe",
    "explain",
    "fault",
    "is_readable",
    "load",
    "pair_faults",
    "read_folder",
    "resolve",
    "until",
    "usable",
]
