"""Rotation matrices of frames, as plain arrays of shape (..., 3, 3) that act on column vectors."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ilrs_science.geometry.chebyshev import Floats


def about_axis(axis: int, angle: ArrayLike) -> Floats:
    """Return the rotation of the frame about one of its axes (R1, R2, R3 are axes 0, 1, 2); angle in radians."""
    cosine, sine = np.cos(angle), np.sin(angle)
    second, third = (axis + 1) % 3, (axis + 2) % 3
    rotation = np.zeros((*np.shape(angle), 3, 3))
    rotation[..., axis, axis] = 1.0
    rotation[..., second, second] = rotation[..., third, third] = cosine
    rotation[..., second, third] = sine
    rotation[..., third, second] = -sine
    return rotation


def apply(rotation: Floats, vectors: Floats) -> Floats:
    """Return rotated vectors, shape (..., 3)."""
    result: Floats = np.einsum("...ij,...j->...i", rotation, vectors)
    return result


def transposed(rotation: Floats) -> Floats:
    """Return the inverse rotations."""
    result: Floats = np.swapaxes(rotation, -1, -2)
    return result


def unit(vectors: Floats) -> Floats:
    """Return the directions of vectors, shape (..., 3)."""
    result: Floats = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return result


def from_x_and_plane(x: Floats, pole: Floats) -> Floats:
    """Return the frame whose x is a direction, whose y is pole cross x, and whose z completes it (Hapgood 1992)."""
    first = unit(x)
    second = unit(np.cross(pole, first))
    return np.stack([first, second, np.cross(first, second)], axis=-2)
