r"""Sufficient decrease along a path: ``f(x) - f(x(t)) >= c t slope``, by halving t (Armijo)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gnsopt._typing import Array
from gnsopt.exceptions import StepFailure
from gnsopt.globalization.decrease import decrease
from gnsopt.point import Point

SUFFICIENT = 0.1  # of the decrease that the slope promises (chosen)
LATE = 20  # trials after which t falls by 16: the first one may be far off (chosen)


def backtrack(
    x: Point, path: Callable[[float], Array], t: float, slope: float, max_trials: int
) -> tuple[Point, float, int]:
    """Return the first point of the path with a sufficient decrease, its t and the number of trials.

    Parameters
    ----------
    x : Point
        Where the path begins.
    path : callable
        ``path(t)``, shape (n,).
    t : float
        First trial.
    slope : float
        ``-df/dt`` at 0, positive.
    max_trials : int
        Trials at the most.

    Returns
    -------
    y : Point
        The accepted point.
    t : float
        Where it lies.
    trials : int
        How many were tried.

    Raises
    ------
    StepFailure
        If no trial is accepted.
    """
    promised = t * slope
    for trial in range(1, max_trials + 1):
        y = x.at(path(t))
        if decrease(x, y) >= SUFFICIENT * t * slope and y.finite:
            return y, t, trial
        t /= 2 if trial < LATE else 2**4
    raise StepFailure(f"{max_trials} trials rejected", promised)


def line(x: Array, d: Array, t: float) -> Array:
    """Return the point ``x - t d``.

    Parameters
    ----------
    x, d : ndarray of shape (n,)
        Start and direction.
    t : float
        How far.

    Returns
    -------
    ndarray of shape (n,)
        The point.
    """
    return np.asarray(x - t * d)
