"""Pointwise logistic loss on margins: value, residual and curvature in one pass, safe at margins of any size.

``e = exp(-|z|)`` comes from the caller (NumPy's SIMD exponential), so that nothing here can overflow. Sums run over
blocks of fixed size, which makes them accurate and the same everywhere.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from gnsopt._typing import Array

BLOCK = 256
LANES = 8  # sums side by side, so that the additions of a block do not wait for each other


@njit(cache=True, error_model="numpy", fastmath={"contract"})  # type: ignore[misc, unused-ignore]
def loss_residual(z: Array, e: Array, sign: Array, w: Array, r: Array) -> float:
    """Fill ``r_i = -s_i w_i sigma(-s_i z_i)`` and return ``sum_i w_i log(1 + exp(-s_i z_i))``.

    ``log(1 + e) = 2 artanh(q)`` with ``q = e/(2 + e) <= 1/3``, by its series up to ``q^35``: accurate to rounding
    relative to itself for any e in [0, 1], and without a branch or a call, so that the loop runs in SIMD lanes.

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
    terms, sums = np.empty(BLOCK), np.empty(LANES)
    for lo in range(0, z.shape[0], BLOCK):
        m = min(BLOCK, z.shape[0] - lo)
        zb, eb, sb, wb, rb = z[lo : lo + m], e[lo : lo + m], sign[lo : lo + m], w[lo : lo + m], r[lo : lo + m]
        for i in range(m):
            t, v, weight = sb[i] * zb[i], eb[i], wb[i]
            p = 1.0 / (1.0 + v)
            q = v / (2.0 + v)
            x = q * q
            a = x * (1 / 35) + 1 / 33
            a = a * x + 1 / 31
            a = a * x + 1 / 29
            a = a * x + 1 / 27
            a = a * x + 1 / 25
            a = a * x + 1 / 23
            a = a * x + 1 / 21
            a = a * x + 1 / 19
            a = a * x + 1 / 17
            a = a * x + 1 / 15
            a = a * x + 1 / 13
            a = a * x + 1 / 11
            a = a * x + 1 / 9
            a = a * x + 1 / 7
            a = a * x + 1 / 5
            a = a * x + 1 / 3
            terms[i] = weight * (max(-t, 0.0) + (2.0 * q + 2.0 * q * (x * a)))
            rb[i] = -sb[i] * weight * p * (1.0 if t < 0.0 else v)
            eb[i] = weight * p * (v * p)
        terms[m:] = 0.0
        sums[:] = 0.0
        for j in range(0, BLOCK, LANES):
            for lane in range(LANES):
                sums[lane] += terms[j + lane]
        for lane in range(LANES):
            total += sums[lane]
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
