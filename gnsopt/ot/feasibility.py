r"""Certificates that forbidden pairs leave no plan.

By Hall's condition there is a plan on the allowed pairs exactly when ``b(J) <= a(N(J))`` for every set J of columns,
N(J) being the rows with an allowed pair in J. Where it fails the dual is unbounded: the potentials of a violating J
rise above all others. So the sets of the k largest column potentials are tried, all of them in one pass.

Linear constraints that no plan satisfies let the dual rise without bound too: above the value of any plan is proof.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gnsopt._typing import Array
from gnsopt.ot.geometry import Geometry
from gnsopt.ot.problem import Infeasible
from gnsopt.stopping import Progress, Status, StopRule

EVERY = 10  # steps between two looks


def hall_violation(geometry: Geometry, a: Array, b: Array, y: Array, slack: float) -> Infeasible | None:
    """Return the most violated of the sets ``{j : y_j >= t}``.

    Parameters
    ----------
    geometry : Geometry
        Cost of shape (n, m), +inf where a pair is forbidden.
    a, b : ndarray of shape (n,), (m,)
        Marginals.
    y : ndarray of shape (m,)
        Column potentials.
    slack : float
        Excess that counts as none, non-negative.

    Returns
    -------
    Infeasible or None
        The certificate, if one of the sets is one.
    """
    order = np.argsort(-y, kind="stable")
    first = np.empty(a.size, dtype=np.int64)  # rank of the first column that a row can reach
    for rows, C in geometry.blocks():
        allowed = np.isfinite(C[:, order])
        first[rows] = np.where(allowed.any(axis=1), np.argmax(allowed, axis=1), b.size)
    reached = np.cumsum(np.bincount(first, weights=a, minlength=b.size + 1)[: b.size])
    excess = np.cumsum(b[order]) - reached
    k = int(np.argmax(excess))
    if not excess[k] > slack:
        return None
    return Infeasible(np.sort(order[: k + 1]), np.flatnonzero(first <= k), float(excess[k]))


@dataclass(frozen=True)
class Unbounded(StopRule):
    """Stop where the dual has risen above the value of any plan.

    Parameters
    ----------
    least : float
        What the objective, minus the dual, cannot be below where there is a plan.
    """

    least: float

    def __call__(self, progress: Progress) -> Status | None:
        """Compare the value with what it can be."""
        return Status.AT_INFINITY if progress.point.f < self.least else None


@dataclass(frozen=True)
class Violated(StopRule):
    """Stop where the potentials point at a violated set.

    Parameters
    ----------
    slack : float
        As in `hall_violation`.
    """

    slack: float

    def __call__(self, progress: Progress) -> Status | None:
        """Look every few steps."""
        problem: Any = progress.point.objective
        if progress.nit % EVERY:
            return None
        y = problem.split(progress.point.x)[1]
        found = hall_violation(problem.geometry, problem.a, problem.b, y, self.slack)
        return None if found is None else Status.AT_INFINITY
