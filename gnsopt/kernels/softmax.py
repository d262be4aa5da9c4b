"""Softmax loss on rows of scores: value, probabilities and residual in one pass, safe at scores of any size."""

from __future__ import annotations

import math

from numba import njit

from gnsopt._typing import Array, IntArray

BLOCK = 256


@njit(cache=True)  # type: ignore[misc, unused-ignore]
def loss_residual(Z: Array, top: Array, E: Array, label: IntArray, w: Array, R: Array) -> float:
    """Turn ``E = exp(Z - top)`` into probabilities in place, fill ``R = w (P - Y)`` and return the weighted loss.

    The residual of the own class is minus the sum of the others and the loss is ``log1p`` of the others' share where
    the own class leads, so that both keep their relative accuracy on separated data.

    Parameters
    ----------
    Z : ndarray of shape (n, k)
        Scores.
    top : ndarray of shape (n,)
        Largest score of each row.
    E : ndarray of shape (n, k)
        ``exp(Z - top)``; overwritten by the probabilities ``P``.
    label : ndarray of shape (n,)
        Class of each sample.
    w : ndarray of shape (n,)
        Weights.
    R : ndarray of shape (n, k)
        Written.

    Returns
    -------
    float
        The loss.
    """
    total = 0.0
    k = Z.shape[1]
    for lo in range(0, Z.shape[0], BLOCK):
        part = 0.0
        for i in range(lo, min(lo + BLOCK, Z.shape[0])):
            y = label[i]
            others = 0.0  # everything but the leading class, whose E is exactly 1 (the first of equals)
            led = False
            for c in range(k):
                if not led and E[i, c] == 1.0:
                    led = True
                else:
                    others += E[i, c]
            s = 1.0 + others
            part += w[i] * ((top[i] - Z[i, y]) + math.log1p(others))
            rest = 0.0
            for c in range(k):
                E[i, c] /= s
                R[i, c] = w[i] * E[i, c]
                if c != y:
                    rest += E[i, c]
            R[i, y] = -w[i] * rest
        total += part
    return total


@njit(cache=True)  # type: ignore[misc, unused-ignore]
def loss_difference(P: Array, label: IntArray, w: Array, delta: Array) -> float:
    """Return ``sum_i w_i [l(z) - l(z + delta)]`` by ``-log1p(sum_c p_c expm1(delta_c - delta_y))``.

    Parameters
    ----------
    P : ndarray of shape (n, k)
        Probabilities at the scores z.
    label : ndarray of shape (n,)
        Class of each sample.
    w : ndarray of shape (n,)
        Weights.
    delta : ndarray of shape (n, k)
        Change of the scores, at most 15 in absolute value.

    Returns
    -------
    float
        The decrease of the loss.
    """
    total = 0.0
    k = P.shape[1]
    for lo in range(0, P.shape[0], BLOCK):
        part = 0.0
        for i in range(lo, min(lo + BLOCK, P.shape[0])):
            own = delta[i, label[i]]
            acc = 0.0
            for c in range(k):
                acc += P[i, c] * math.expm1(delta[i, c] - own)
            if acc > -0.5:
                part -= w[i] * math.log1p(acc)
            else:  # 1 + acc as a sum of positive terms
                acc = 0.0
                for c in range(k):
                    acc += P[i, c] * math.exp(delta[i, c] - own)
                part -= w[i] * math.log(acc)
        total += part
    return total
