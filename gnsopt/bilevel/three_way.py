"""Descent on a function that is known to lie in intervals ``V +- E``: the outer step of the penalty method.

A trial ``theta+`` is accepted where ``V+ + E+ <= V - E - m`` with ``m = lam <z, theta - theta+>``: the function falls
by m whatever the errors are; it is rejected where ``V+ - E+ > V + E - m``; else the side of the larger error is
sharpened and the step kept.
"""

from __future__ import annotations

import numpy as np

from gnsopt._typing import Array
from gnsopt.bilevel.lbfgs import LBFGS
from gnsopt.bilevel.run import Run
from gnsopt.bilevel.value_function import Quotient, ValueFunction

SHARPER = 10.0  # by which a residual is divided (chosen)
ANGLE = 0.1  # largest error of z relative to its norm before a step (chosen)
SHARE = 0.1  # E of a trial as a share of the decrease that is hoped for (chosen)
LONGEST = 4.0  # first trial in any variable, as these are logarithms in the usual problems (chosen)
TRIALS = 40  # and refinements of a step at the most


def direction(B: LBFGS, now: Quotient, run: Run) -> tuple[Array, float]:
    """Return a descent direction on the variables that may move, and its first step.

    Parameters
    ----------
    B : LBFGS
        Memory.
    now : Quotient
        Where.
    run : Run
        The box.

    Returns
    -------
    p : ndarray of shape (d,)
        Quasi-Newton direction, or ``-z``.
    alpha : float
        1, or ``sqrt(d)/|z|``: a unit for each variable; no trial moves a variable further than `LONGEST`.
    """
    free = ~((now.theta <= run.lower) & (now.z > 0) | (now.theta >= run.upper) & (now.z < 0))
    z = np.where(free, now.z, 0.0)
    p, alpha, size = -z, 1.0, float(np.linalg.norm(z))
    if len(B):
        p = B.direction(z, free)
    if not len(B) or not p @ z <= -1e-10 * size * np.linalg.norm(p):
        p, alpha = -z, float(np.sqrt(free.sum())) / size if size > 0 else 1.0
    top = float(np.abs(p).max(initial=0.0))
    return p, min(alpha, LONGEST / top) if top > 0 else alpha


def search(psi: ValueFunction, run: Run, now: Quotient, p: Array, alpha: float, lam: float) -> Quotient | None:
    """Return an accepted trial along p, or None where float64 does not tell trials from the start.

    Parameters
    ----------
    psi : ValueFunction
        What is minimised.
    run : Run
        The box.
    now : Quotient
        Where.
    p : ndarray of shape (d,)
        Direction.
    alpha : float
        First step.
    lam : float
        Fraction of the slope that is asked for.

    Returns
    -------
    Quotient or None
        At the new theta.
    """
    after: Quotient | None = None
    hoped = 0.0
    for _ in range(TRIALS):
        if after is None:
            theta = run.clip(now.theta + alpha * p)
            hoped = float(now.z @ (now.theta - theta))
            after = psi.at(theta, now)
            after.solve(now.wanted(SHARE * abs(hoped)))
        change, doubt = after.V - now.V + lam * hoped, after.E + now.E
        if change + doubt <= 0:
            return after
        if change - doubt > 0 or not np.isfinite(change):
            curve = 2 * (change + (1 - lam) * hoped)  # of the parabola through the start, its slope and the trial
            alpha *= float(np.clip(hoped / curve, 0.1, 0.5)) if curve > 0 and hoped > 0 else 0.3
            after = None
            continue
        wide, narrow = (after, now) if after.E >= now.E else (now, after)
        if not wide.refine(SHARPER) and not narrow.refine(SHARPER):
            return None
    return None


def sharpen(now: Quotient, run: Run) -> None:
    """Refine until the error of z is at most a tenth of its norm, or of the tolerance.

    Parameters
    ----------
    now : Quotient
        What to refine.
    run : Run
        Tolerance and box.
    """
    for _ in range(TRIALS):
        size = run.stationarity(now.theta, now.z)
        if now.error <= max(ANGLE * size, ANGLE * run.tol) or not now.refine(SHARPER, gradient=True):
            return
