r"""Arithmetic of the adaptive search in gamma [gns 1.3, 5.1].

A step with ``lam = |g|_* / gamma`` is accepted when the progress inequality (A) holds, written as a ratio,

    R = 8 lam (f(x) - f(y)) / |g(y)|_*^2  >=  1,

which is implied by ``gamma <= gamma(x)`` for positive semidefinite ``H`` (Lemma 1).
"""

from __future__ import annotations

import numpy as np

from gnsopt.globalization.decrease import decrease
from gnsopt.point import Point


def progress_ratio(x: Point, y: Point, lam: float) -> float:
    """Return R; -inf without a decrease, for which no gradient is evaluated, or with a value that is not finite.

    Parameters
    ----------
    x, y : Point
        Current and trial point.
    lam : float
        Damping of the step.

    Returns
    -------
    float
        The ratio; inf when the gradient vanishes at `y`.
    """
    dec = decrease(x, y)
    if not dec > 0 or not np.isfinite(dec):
        return -np.inf
    G = y.dual_norm
    if not np.isfinite(G):
        return -np.inf
    return 8 * lam * dec / G / G if G > 0 else np.inf
