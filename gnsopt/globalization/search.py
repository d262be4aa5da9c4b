r"""Acceptance tests of the regularised step ``h = -(H + lam B)^{-1} g``, each written as a ratio that must reach 1.

============  =========================================================  ==============================================
``progress``  ``8 lam (f(x) - f(y)) / |g(y)|_*^2``                       [1], Lemma 1; valid for non-convex f
``gradient``  ``4 lam <g(y), x - y> / |g(y)|_*^2``                       [2]; convex f only; free of cancellation
``cubic``     the smaller of ``(f(x) - f(y)) / (2/3 lam |h|^2)`` and     [3]; Mishchenko's line search
              ``2 lam |h| / |g(y)|_*``
``none``      accepts every finite point                                 fixed radii, [4]
============  =========================================================  ==============================================

For positive semidefinite ``H`` and ``gamma <= gamma(x)`` the first two hold (the second in the sharper form with 2).

References
----------
[1] Semenov, Jaggi, Doikov, 2506.13710. [2] Doikov, Mishchenko, Nesterov, 2208.05888. [3] Mishchenko, 2112.02089.
[4] Doikov, 2308.14742.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from gnsopt.globalization.decrease import decrease
from gnsopt.point import Point

Test = Callable[[Point, Point, float], float]


def progress_ratio(x: Point, y: Point, lam: float) -> float:
    """Return the ratio R of the progress inequality; -inf without a decrease, for which no gradient is evaluated.

    Parameters
    ----------
    x, y : Point
        Current and trial point.
    lam : float
        Damping of the step.

    Returns
    -------
    float
        The ratio; inf when the gradient at `y` is zero, or small enough for the run to end there.
    """
    dec = decrease(x, y)
    if not dec > 0 or not math.isfinite(dec):
        return -np.inf
    G = y.dual_norm
    if not math.isfinite(G):
        return -np.inf
    return np.inf if G == 0.0 or y.vanishes else 8 * (lam / G) * (dec / G)


def gradient_ratio(x: Point, y: Point, lam: float) -> float:
    """Return ``4 lam <g(y), x - y> / |g(y)|_*^2``; no function value decides, only its finiteness.

    Parameters
    ----------
    x, y : Point
        Current and trial point.
    lam : float
        Damping of the step.

    Returns
    -------
    float
        The ratio; inf when the gradient at `y` is zero, or small enough for the run to end there.
    """
    if not math.isfinite(y.f):
        return -np.inf
    G = y.dual_norm
    if not math.isfinite(G):
        return -np.inf
    along = float(y.g @ (x.x - y.x))  # not negative: a decrease, by convexity
    return np.inf if G == 0.0 or (y.vanishes and along >= 0.0) else 4 * lam * along / G / G


def cubic_ratio(x: Point, y: Point, lam: float) -> float:
    """Return Mishchenko's test: ``f(y) <= f(x) - 2/3 lam r^2`` and ``|g(y)|_* <= 2 lam r`` with ``r = |y - x|``.

    Parameters
    ----------
    x, y : Point
        Current and trial point.
    lam : float
        Damping of the step.

    Returns
    -------
    float
        The smaller ratio of the two.
    """
    dec, r = decrease(x, y), x.metric.norm(y.x - x.x)
    if not dec > 0 or not math.isfinite(dec) or not lam * r > 0:
        return -np.inf
    G = y.dual_norm
    if not math.isfinite(G):
        return -np.inf
    return min(1.5 * dec / (lam * r * r), np.inf if G == 0.0 or y.vanishes else 2 * lam * r / G)


def no_test(x: Point, y: Point, lam: float) -> float:
    """Accept every finite point.

    Parameters
    ----------
    x, y : Point
        Current and trial point.
    lam : float
        Damping of the step.

    Returns
    -------
    float
        1, or -inf where `y` is not finite.
    """
    return 1.0 if y.finite else -np.inf


TESTS: dict[str, Test] = {
    "progress": progress_ratio,
    "gradient": gradient_ratio,
    "cubic": cubic_ratio,
    "none": no_test,
}
