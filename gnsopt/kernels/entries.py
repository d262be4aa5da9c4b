"""What the entries of an array are like, in one pass."""

from __future__ import annotations

import numpy as np
from numba import njit

from gnsopt._typing import Array

SIGN = np.int64(2**63 - 1)  # all bits but that of the sign


def largest(values: Array) -> float:
    """Return the largest absolute value, NaN if there is one, 0 of no values.

    Without their signs, floats are in the order of their bits, with infinity and NaN above all: a maximum of integers
    finds it in one pass of SIMD lanes.

    Parameters
    ----------
    values : ndarray
        C-ordered float64 values.

    Returns
    -------
    float
        The value.
    """
    return float(np.array(_top(values.reshape(-1).view(np.int64))).view(np.float64))


@njit(cache=True, nogil=True)  # type: ignore[misc, unused-ignore]
def _top(bits: Array) -> np.int64:
    """Return the largest of the bits without their signs."""
    top = np.int64(0)
    for i in range(bits.shape[0]):
        top = max(top, bits[i] & SIGN)
    return top
