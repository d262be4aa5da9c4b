r"""Extrapolated gradient-regularised Newton with restart: **a heuristic, nothing is proved for it**.

    y = x + l/(l + 3) (x - x_prev),      x+ = the step of `GradNormSmooth` at y,      l <- l + 1,

with ``l <- 0`` whenever ``<g(x+), x+ - x> > 0`` (gradient restart), or the value has risen. A student project reports
1.3 to 2.3 times fewer iterations on Chebyshev and Rosenbrock functions and more of them on log-sum-exp with real data.
Measured here on 12 problems against `GradNormSmooth`: 1.01 to 1.27 times fewer iterations, but more linear
systems on 11 of them. Departure: an extrapolated point that is not below the current value by the progress test is
dropped and the step is taken from x, so that f never increases; l counts on from there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gnsopt.curvature import resolve, start
from gnsopt.exceptions import NotPositiveDefinite, StepFailure
from gnsopt.globalization import decrease, progress_ratio
from gnsopt.point import Point
from gnsopt.solver import Solver


@dataclass(frozen=True)
class ExtrapolatedNewton(Solver):
    r"""Extrapolation and gradient restart around the GNS step (method ``"extrapolated-newton"``); a heuristic.

    Parameters
    ----------
    curvature : str, CurvatureModel or callable, default="auto"
        The Hessian or an approximation.
    metric : "auto", None, float, array of shape (n,) or (n, n), or Metric, default="auto"
        ``B`` of the norms, as in `GradNormSmooth`.
    gamma0 : float, default=1.0
        First radius, positive.
    gamma_min : float, default=1e-9
        Lower bound of gamma after an accepted step.
    max_trials : int, default=60
        Trials per iteration at the most.
    """

    curvature: Any = "auto"
    metric: Any = "auto"
    gamma0: float = 1.0
    gamma_min: float = 1e-9
    max_trials: int = 60

    def __post_init__(self) -> None:
        """Check the hyper-parameters."""
        super().__post_init__()
        object.__setattr__(self, "curvature", resolve(self.curvature))
        if not (0 < self.gamma0 < np.inf and self.gamma_min >= 0):
            raise ValueError(f"gamma0={self.gamma0} must be positive, gamma_min={self.gamma_min} non-negative")

    def iterates(self, x: Point) -> Iterator[tuple[Point, dict[str, float]]]:
        """Yield the accepted points with ``gamma``, ``momentum`` (0 after a restart) and ``trials``."""
        curvature, gamma, previous, age = start(self.curvature, x), self.gamma0, x, 0
        while True:
            momentum = age / (age + 3)
            y = x.at(x.x + momentum * (x.x - previous.x)) if momentum else x
            if not y.finite:
                y, age, momentum = x, 0, 0.0
            H, promised = curvature(y), np.inf
            for trial in range(1, self.max_trials + 1):  # noqa: B007
                lam = max(y.dual_norm / gamma, H.lam_noise)
                try:
                    h = -H.solve(lam, y.g)
                    promised = promised if np.isfinite(promised) else -0.5 * float(y.g @ h)
                    new = y.at(y.x + h)
                    R = progress_ratio(y, new, lam)
                except NotPositiveDefinite:
                    R = -1.0
                if R >= 1 and (y is x or decrease(x, new) > 0):
                    break
                if y is not x:  # give the extrapolation up and step from x
                    y, age, momentum = x, 0, 0.0
                    H = curvature(y)
                else:
                    gamma /= 2
            else:
                raise StepFailure(f"{self.max_trials} trials rejected", promised)
            age = 0 if float(new.g @ (new.x - x.x)) > 0 else age + 1
            previous, x, accepted = x, new, gamma
            gamma = max(gamma * (2 if R >= 2 else 1), self.gamma_min)
            yield x, {"gamma": accepted, "momentum": momentum, "trials": trial}
