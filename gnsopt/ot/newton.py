r"""Damped Newton on the semi-dual, by conjugate gradients on the true Hessian.

    (S + lam diag(b)) d = -(P'1 - b),     S = diag(P'1) - P' diag(1/a) P,     lam = mu |P'1 - b|_1,
    y <- y + t d,   then one Sinkhorn iteration.

Preconditioners (the diagonal at first, a dense factor once products have cost as much) affect the speed, never the
direction; there is nothing to sparsify and nothing to tune. The Sinkhorn iteration costs one product and mends what
Newton is slow at: columns whose mass is wrong by a factor, where the step on ``exp(t) - b t`` gains only 1 each time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gnsopt.curvature.base import Curvature
from gnsopt.curvature.selection import Engine
from gnsopt.exceptions import NotPositiveDefinite, StepFailure
from gnsopt.globalization import decrease
from gnsopt.ot.scaling import annealed
from gnsopt.ot.semidual import error, transport
from gnsopt.point import Point
from gnsopt.solver import Solver

ARMIJO = 1e-4
SHORTEST = 0.125  # below, the damping is raised and the step computed anew (chosen)
BURST = 10  # Sinkhorn iterations where no damping gives a step (chosen)
MAX_PRODUCTS = 2000


@dataclass(frozen=True)
class Newton(Solver):
    r"""Damped semi-dual Newton (method ``"newton"``).

    Parameters
    ----------
    mu0, mu_min : float, default=0.05, 1e-6
        First damping relative to the L1 error, and its lower bound. It falls to a quarter where the model predicts the
        decrease to a quarter of itself, and grows fourfold where it does not predict a quarter of it or a full step
        fails [1, 1.6].
    polish : int, default=1
        Sinkhorn iterations after each step.
    eps_scaling : bool, default=True
        Solve at larger regularisations first where the start is far from the solution.
    linear : {"auto", "cg", "cholesky"}, default="auto"
        How the systems are solved.
    max_trials : int, default=40
        Dampings per iteration at the most; then ten Sinkhorn iterations are done instead, which mend at once a column
        whose mass is wrong by many powers of ten.
    metric : "auto", None, array or Metric, default="auto"
        What the damping multiplies; ``"auto"`` is ``diag(b)``.

    Notes
    -----
    A system is solved until its residual is ``min(0.1, 0.5 sqrt(err1))`` of the gradient, both in the norm of
    ``diag(1/b)``: the local order is then 3/2 at least.

    References
    ----------
    [1] Tang, Qiu, "Safe and sparse Newton method for entropic-regularized optimal transport", NeurIPS 2024 (the
       adaptive damping; here it multiplies ``diag(b)``, so that it does not depend on the number of places).
    """

    mu0: float = 0.05
    mu_min: float = 1e-6
    polish: int = 1
    eps_scaling: bool = True
    linear: str = "auto"
    max_trials: int = 40
    metric: Any = "auto"

    def __post_init__(self) -> None:
        """Check the hyper-parameters."""
        super().__post_init__()
        if not 0 < self.mu_min <= self.mu0 < np.inf:
            raise ValueError(f"mu0={self.mu0} and mu_min={self.mu_min} must satisfy 0 < mu_min <= mu0 < inf")
        if not (isinstance(self.polish, int | np.integer) and self.polish >= 0):
            raise ValueError(f"polish={self.polish!r} must be an integer of at least 0")
        if not (isinstance(self.max_trials, int | np.integer) and self.max_trials >= 1):
            raise ValueError(f"max_trials={self.max_trials!r} must be an integer of at least 1")
        if self.linear not in ("auto", "cg", "cholesky"):
            raise ValueError(f"linear={self.linear!r} is unknown; choose 'auto', 'cg' or 'cholesky'")

    def descends(self, problem: Any) -> bool:
        """Return whether f never rises: it may between two regularisations."""
        return not self.eps_scaling

    def iterates(self, x: Point) -> Iterator[tuple[Point, dict[str, float]]]:
        """Yield the accepted points with ``lam``, ``t`` and ``trials``; ``reg`` tells the stages."""
        transport(x, self)
        yield from annealed(x, self.steps) if self.eps_scaling else self.steps(x)

    def steps(self, x: Point) -> Iterator[tuple[Point, dict[str, float]]]:
        """Yield the accepted points at one regularisation."""
        mu, engine = self.mu0, Engine(self.linear, 0.0, 0.1, MAX_PRODUCTS)
        while True:
            err = error(x)
            engine.floor = min(0.1, 0.5 * err**0.5)
            S = Curvature(x.hess(), engine.attach(x.hess(), x, "transport Hessian"), x.counts)
            promised = np.inf
            for trial in range(1, self.max_trials + 1):  # noqa: B007
                lam = max(mu * err, S.lam_noise)
                try:
                    d = -S.solve(lam, x.g)
                except NotPositiveDefinite:
                    mu *= 4
                    continue
                y, t, ratio, promised = search(x, d, lam)
                mu = 4 * mu if ratio < 0.25 else max(mu / 4, self.mu_min) if ratio > 0.75 else mu
                if t > 0:
                    break
            else:  # at a mass 1e40 times too large the quadratic model is of no use: Sinkhorn
                y, mu, t = x.objective.sinkhorn(x, BURST), self.mu0, 0.0  # type: ignore[attr-defined]
                if not decrease(x, y) > 0:
                    raise StepFailure(f"{self.max_trials} dampings rejected", promised)
            x = x.objective.sinkhorn(y, self.polish) if self.polish else y  # type: ignore[attr-defined]
            yield x, {"lam": lam, "t": t, "trials": trial}


def search(x: Point, d: Any, lam: float) -> tuple[Point, float, float, float]:
    """Try ``t = 1, 1/2, 1/4, 1/8`` along `d`.

    Parameters
    ----------
    x : Point
        Current point.
    d : ndarray of shape (m,)
        Step of the damped system.
    lam : float
        Its damping.

    Returns
    -------
    y : Point
        The accepted point, or the last one tried.
    t : float
        Its step length; 0 where none was accepted.
    ratio : float
        Decrease over the decrease predicted for the full step; 0 for shorter ones.
    promised : float
        Decrease predicted for the full step.
    """
    slope = float(x.g @ d)
    # conjugate gradients from zero: <r, d> = 0, so <d, S d> = -<g, d> - lam |d|^2 also for an inexact d
    promised = -0.5 * slope + 0.5 * lam * x.metric.norm(d) * x.metric.norm(d)
    t = 1.0
    while t >= SHORTEST:
        y = x.at(x.x + t * d)
        fall = decrease(x, y)
        if fall >= -ARMIJO * t * slope:
            return y, t, fall / promised if t == 1 and promised > 0 else 0.0, promised
        t /= 2
    return y, 0.0, 0.0, promised
