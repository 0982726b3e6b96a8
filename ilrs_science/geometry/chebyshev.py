"""Piecewise Chebyshev series in time: one row of coefficients for every span of equal length."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ilrs_science.geometry.time import Nanoseconds

type Floats = NDArray[np.float64]


def locate(ns: Nanoseconds, length: int) -> tuple[Nanoseconds, Floats]:
    """Return the number of the span that holds each time, counted from time 0, and the place in it from -1 to 1.

    Parameters
    ----------
    ns
        Times, int64 ns.
    length
        Length of a span, ns.
    """
    number = ns // length
    place = np.asarray((ns - number * length) * (2.0 / length) - 1.0, np.float64)
    return number, place


def evaluate(coefficients: Floats, row: NDArray[np.integer], x: Floats) -> Floats:
    """Return the series of the given rows at x (Clenshaw's recurrence), shape of x.

    Parameters
    ----------
    coefficients
        Shape (rows, terms).
    row, x
        Row and place from -1 to 1 of each value.
    """
    later = last = np.zeros_like(x)
    for term in range(coefficients.shape[1] - 1, 0, -1):
        later, last = last, coefficients[row, term] + 2.0 * x * last - later
    result: Floats = coefficients[row, 0] + x * last - later
    return result


def nodes(terms: int) -> Floats:
    """Return the places in a span, from -1 to 1, at which `fit` wants the values."""
    result: Floats = np.polynomial.chebyshev.chebpts1(terms)
    return result


def fit(values: Floats) -> Floats:
    """Return the coefficients of the series through values at the nodes, shape (rows, terms)."""
    terms = values.shape[1]
    series = np.polynomial.chebyshev.chebvander(nodes(terms), terms - 1)
    # The discrete orthogonality of the polynomials at these nodes makes the interpolation a product.
    coefficients: Floats = values @ series * (2.0 / terms)
    coefficients[:, 0] /= 2.0
    return coefficients
