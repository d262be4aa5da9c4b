r"""Decrease of the objective between two points, exact to rounding.

Below about ``1e4 eps |f|`` a difference of two values is noise. There the problem's own ``difference`` is used where it
has one, and the trapezoid of the slopes otherwise,

    f(x) - f(y)  =  -<g(x) + g(y), y - x> / 2  +  O(|y - x|^3).
"""

from __future__ import annotations

import math

import numpy as np

from gnsopt.point import Point

NOISE = 1e4 * float(np.finfo(float).eps)  # as in SolverTools.aredpred!; measured: the plain test stalls at |g| = 4e-9
RISE = 256 * float(np.finfo(float).eps)  # what the rounding of one evaluation of f may hide (chosen)


def decrease(x: Point, y: Point) -> float:
    """Return ``f(x) - f(y)``; NaN when either is not finite.

    Parameters
    ----------
    x, y : Point
        Points of the same run.

    Returns
    -------
    float
        The decrease.
    """
    plain = x.f - y.f
    if not math.isfinite(plain):
        return np.nan
    if abs(plain) > NOISE * max(abs(x.f), abs(y.f)):
        return plain
    h = y.x - x.x
    if x.objective.offers("difference"):
        x.counts.nfev += 1
        return float(x.objective.difference(x.x, x.z, h))
    if plain < -RISE * abs(x.f):  # more than rounding: the slopes, which promise a decrease, must be wrong
        return plain
    return float(-0.5 * (x.g @ h + y.g @ h))
