"""A rigorous interval of f and a hypergradient with a rigorous error, at any theta."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real

import numpy as np

from gnsopt._typing import Array, ArrayLike
from gnsopt.arguments import as_number, shown
from gnsopt.bilevel.checks import check_mu
from gnsopt.bilevel.hypergradient import Oracle
from gnsopt.bilevel.problem import BilevelProblem, as_start
from gnsopt.bilevel.run import Run
from gnsopt.point import Point

REFINE = 100.0  # by which residuals are reduced at a time (chosen)


@dataclass(frozen=True)
class Certificate:
    """What is known for certain at theta, given that the declared constants are true; rounding is allowed for.

    The allowance is 4 units in the last place of the terms of each sum, not a bound for sums of any length.

    Parameters
    ----------
    low, high : float
        They enclose ``f(theta)``.
    z : ndarray of shape (d,)
        Approximate gradient of f.
    error : float
        Bound of ``|z - grad f(theta)|``.
    x : ndarray of shape (n,)
        Approximate lower solution.
    distance : float
        Bound of its distance to the exact one (the largest of the blocks).
    """

    low: float
    high: float
    z: Array
    error: float
    x: Array
    distance: float


@np.errstate(over="ignore", invalid="ignore", divide="ignore")  # what is not finite is no certificate
def certify(
    problem: BilevelProblem,
    theta: ArrayLike | float,
    tol: float = 1e-6,
    *,
    lower_solver: object = "newton",
    linear: str = "auto",
) -> Certificate:
    """Enclose ``f(theta)`` and its gradient.

    Parameters
    ----------
    problem : BilevelProblem
        With ``mu``, ``constants`` and ``J_norm``.
    theta : array_like of shape (d,) or float
        Where, inside the problem's box; a number stands for a vector of it.
    tol : float, default=1e-6
        The error of the hypergradient, and the width of the interval relative to f, are brought below this where
        float64 allows it.
    lower_solver : str or Solver, default="newton"
        As in `MaidQN`.
    linear : str, default="auto"
        How linear systems are solved.

    Returns
    -------
    Certificate
        Interval, hypergradient, error.

    Raises
    ------
    MissingRequirement
        If a constant is missing.
    ValueError
        If theta is not finite or outside the box, or mu is too large.
    """
    if not isinstance(problem, BilevelProblem):
        raise TypeError(f"problem={type(problem).__name__} is not a BilevelProblem")
    if not (isinstance(tol, Real) and as_number(tol, "tol") >= 0):
        raise ValueError(f"tol={shown(tol)} must be a number >= 0")
    for block in problem.blocks:
        for name in ("mu", "constants", "J_norm", "cross_t"):
            block.require(name, "a certificate")
    where = as_start(theta, *problem.bounds, "theta")
    for block in problem.blocks:
        check_mu(block, where, Point(block.objective(where), block.start()))
    run = Run(problem, where, *problem.bounds, 0.0, True)
    now = Oracle(run, lower_solver, linear, 0.1).at(where)
    now.solve(1e-2 * now.start)
    while (now.error > tol or now.E > tol * abs(now.V)) and now.refine(REFINE, gradient=True):
        pass
    V, E = now.V, now.E
    return Certificate(V - E, V + E, np.array(now.z), now.error, now.x, now.eps)
