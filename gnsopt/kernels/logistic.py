"""Pointwise logistic loss on margins: value, residual and curvature in one pass, safe at margins of any size.

``e = exp(-|z|)`` comes from the caller (NumPy's SIMD exponential), so that nothing here can overflow. Sums run over
blocks of fixed size, which makes them accurate and the same everywhere.
"""

from __future__ import annotations

import math

from numba import njit

from gnsopt._typing import Array

BLOCK = 256


@njit(cache=True)  # type: ignore[misc, unused-ignore]
def loss_residual(z: Array, e: Array, sign: Array, w: Array, r: Array) -> float:
    """Fill ``r_i = -s_i w_i sigma(-s_i z_i)`` and return ``sum_i w_i log(1 + exp(-s_i z_i))``.

    Parameters
    ----------
    z : ndarray of shape (n,)
        Scores.
    e : ndarray of shape (n,)
        ``exp(-|z|)``; overwritten by the second derivatives ``w e/(1 + e)^2``, accurate for any score.
    sign : ndarray of shape (n,)
        Labels ``s``, +1 or -1.
    w : ndarray of shape (n,)
        Weights.
    r : ndarray of shape (n,)
        Written.

    Returns
    -------
    float
        The loss.
    """
    total = 0.0
    for lo in range(0, z.shape[0], BLOCK):
        part = 0.0
        for i in range(lo, min(lo + BLOCK, z.shape[0])):
            t = sign[i] * z[i]
            s = 1.0 + e[i]
            part += w[i] * ((-t if t < 0.0 else 0.0) + math.log1p(e[i]))
            r[i] = -sign[i] * w[i] * (1.0 if t < 0.0 else e[i]) / s
            e[i] = w[i] * e[i] / (s * s)
        total += part
    return total


@njit(cache=True)  # type: ignore[misc, unused-ignore]
def loss_difference(z: Array, sign: Array, w: Array, delta: Array) -> float:
    """Return ``sum_i w_i [l(s z) - l(s (z + delta))]`` by ``-log1p(sigma(-t) expm1(-s delta))``, without cancellation.

    Parameters
    ----------
    z : ndarray of shape (n,)
        Scores; ``t = s z``.
    sign : ndarray of shape (n,)
        Labels ``s``, +1 or -1.
    w : ndarray of shape (n,)
        Weights.
    delta : ndarray of shape (n,)
        Change of the scores.

    Returns
    -------
    float
        The decrease of the loss.
    """
    total = 0.0
    for lo in range(0, z.shape[0], BLOCK):
        part = 0.0
        for i in range(lo, min(lo + BLOCK, z.shape[0])):
            t = sign[i] * z[i]
            d = sign[i] * delta[i]
            e = math.exp(-abs(t))
            if d >= -700.0:
                s = (e if t >= 0.0 else 1.0) / (1.0 + e)
                change = s * math.expm1(-d)
                if change > -0.5:
                    part -= w[i] * math.log1p(change)
                else:  # 1 + change as a sum of two positive terms
                    part -= w[i] * math.log((1.0 if t >= 0.0 else e) / (1.0 + e) + s * math.exp(-d))
            else:
                u = t + d
                old = (-t if t < 0.0 else 0.0) + math.log1p(e)
                new = (-u if u < 0.0 else 0.0) + math.log1p(math.exp(-abs(u)))
                part += w[i] * (old - new)
        total += part
    return total
