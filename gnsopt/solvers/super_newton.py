r"""Super-universal regularised Newton [1]: ``lam = H_k |g|_*^alpha`` with a search in ``H_k`` by gradients alone.

A trial ``y = x + h``, ``h = -(hess f + lam B)^{-1} g``, is accepted when ``<g(y), -h> >= |g(y)|_*^2 / (4 lam)``; then
``H <- max(H/4, H_min)``, otherwise ``H <- 4 H``. For convex f this implies ``f(x) - f(y) >= |g(y)|_*^2 / (4 lam)``.
``alpha = 1`` is gamma = 1/H, ``alpha = 0`` is gamma = |g|_*/H in the terms of `GradNormSmooth`.

Departures from the authors' code: a failed factorisation is a rejected trial.

References
----------
[1] Doikov, Mishchenko, Nesterov, "Super-universal regularized Newton method", 2208.05888, Algorithm 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gnsopt.curvature import resolve
from gnsopt.objective import Objective
from gnsopt.point import Point
from gnsopt.solver import Solver
from gnsopt.solvers.grad_norm_smooth import GradNormSmooth


@dataclass(frozen=True)
class SuperNewton(Solver):
    r"""Super-universal regularised Newton (method ``"super-newton"``).

    Parameters
    ----------
    curvature : str, CurvatureModel or callable, default="auto"
        The Hessian or an approximation.
    alpha : float, default=1.0
        Power of the gradient norm, in [0, 1]; 0, 1/2, 2/3 and 1 in the paper.
    metric : "auto", None, float, array of shape (n,) or (n, n), or Metric, default="auto"
        ``B`` of the norms. ``"auto"`` is the problem's natural metric (for linear models the second moments of the
        columns, so that no scaling of the features matters; the identity otherwise), None the identity.
    H0 : float, default=1.0
        First regularisation constant.
    H_min : float, default=1e-5
        Its lower bound (that of the authors' code; 1e-9 in its log-sum-exp runs).
    max_trials : int, default=60
        Trials per iteration at the most.
    """

    curvature: Any = "auto"
    alpha: float = 1.0
    metric: Any = "auto"
    H0: float = 1.0
    H_min: float = 1e-5
    max_trials: int = 60

    def __post_init__(self) -> None:
        """Check the hyper-parameters."""
        super().__post_init__()
        object.__setattr__(self, "curvature", resolve(self.curvature))
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha={self.alpha} must lie in [0, 1]")
        if not (0 < self.H_min <= self.H0 < np.inf):
            raise ValueError(f"H0={self.H0} and H_min={self.H_min} must satisfy 0 < H_min <= H0 < inf")

    def descends(self, problem: Objective) -> bool:
        """Return whether f is convex: only then does the gradient test imply a decrease."""
        return problem.convex

    def iterates(self, x: Point) -> Iterator[tuple[Point, dict[str, float]]]:
        """Yield the accepted points with ``H``, ``lam`` and ``trials``: the GNS engine with ``gamma = 1/H``."""
        engine = GradNormSmooth(
            self.curvature,
            growth="paper",
            gamma0=1 / self.H0,
            gamma_min=0.0,
            gamma_max=1 / self.H_min,
            max_trials=self.max_trials,
            accept="gradient",
            power=self.alpha,
            factor=4.0,
        )
        for y, scalars in engine.iterates(x):
            yield y, {"H": 1 / scalars["gamma"], "lam": scalars["lam"], "trials": scalars["trials"]}

    def resumed(self, scalars: dict[str, float]) -> SuperNewton:
        """Return the solver with the constant that comes next: all that it remembers but for its curvature model."""
        return replace(self, H0=max(scalars["H"] / 4, self.H_min))
