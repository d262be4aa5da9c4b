r"""The automatic method: Sinkhorn while it is predicted to be cheaper, then Newton.

Sinkhorn converges linearly; its rate q over the last burst predicts ``log(tol/err)/log q`` further iterations, of one
pass each. Newton is priced at what it takes on a typical problem, `STEPS` steps of one kernel and `PRODUCTS` passes.
Both are counted work with fixed weights, so that the choice is the same on every machine. Sinkhorn's rate gets worse as
it goes on; once it has cost as much as Newton, only a short remainder is still awaited (rent or buy).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gnsopt.ot.gibbs import EXPONENTIAL
from gnsopt.ot.newton import Newton
from gnsopt.ot.semidual import error, transport
from gnsopt.point import Point
from gnsopt.solver import Solver

STEPS, PRODUCTS = 8.0, 10.0  # a typical Newton run (measured: 4 to 20 steps, 5 to 20 products each)
BURST = 10
SHORT = 0.25  # share of Newton's price


@dataclass(frozen=True)
class Auto(Solver):
    r"""Sinkhorn or Newton, whichever is predicted to need less work (method ``"auto"``).

    Parameters
    ----------
    tol : float, default=1e-9
        L1 error for which the work is predicted; `gnsopt.ot.solve` sets it to its own.
    newton : Newton, optional
        The second method.
    metric : "auto", None, array or Metric, default="auto"
        As in `Newton`.
    """

    tol: float = 1e-9
    newton: Newton = field(default_factory=Newton)
    metric: Any = "auto"

    def descends(self, problem: Any) -> bool:
        """Return whether f never rises."""
        return self.newton.descends(problem)

    def iterates(self, x: Point) -> Iterator[tuple[Point, dict[str, float]]]:
        """Yield Sinkhorn's points, then Newton's; ``newton`` is 0 or 1."""
        problem = transport(x, self)
        spent, switch = 0, False
        while not switch:
            begun, err, done = x.counts.njev, error(x), 0  # the error counts the gradient
            while True:
                x = problem.sinkhorn(x, BURST - done)
                yield x, {"newton": 0.0}
                after, done = error(x), x.counts.njev - begun
                if done >= BURST or problem.bursts:  # a burst that has ended early is looked at as it is
                    break
            price = newton_price(x)
            spent += done
            switch = predicted(err, after, self.tol, done) > (SHORT if spent > price else 1.0) * price
        for x, scalars in self.newton.iterates(x):  # noqa: B020
            yield x, {**scalars, "newton": 1.0}


def predicted(before: float, after: float, tol: float, steps: int) -> float:
    """Return the number of Sinkhorn iterations still to come.

    Parameters
    ----------
    before, after : float
        L1 errors before and after the last few iterations.
    tol : float
        The error aimed at.
    steps : int
        How many these few were.

    Returns
    -------
    float
        ``log(after/tol)/log(1/q)``; inf where the error has not fallen.
    """
    if after <= tol:
        return 0.0
    return float(steps * np.log(after / tol) / np.log(before / after)) if before > after and tol > 0 else np.inf


def newton_price(x: Point) -> float:
    """Return what a typical Newton run costs, in Sinkhorn iterations.

    Parameters
    ----------
    x : Point
        A point of a `SemiDual`.

    Returns
    -------
    float
        The price.
    """
    problem: Any = x.objective
    n, m = problem.geometry.shape
    return STEPS * (EXPONENTIAL * n * m / x.hess().product_price + PRODUCTS)
