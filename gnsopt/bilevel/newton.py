r"""Inexact Newton with a line search: the lower solver for strongly convex h and warm starts.

    x+ = x + t s,   |H s + g| <= forcing |g|,   t = 1, 1/2, 1/4, ... until h(x) - h(x+) >= 1e-4 t |<g, s>|

A damped method pays a few short steps at each new theta before its damping has vanished; here the warm start decides,
and near a solution the full step is taken at once. The residual of s is not reduced further than the lower solve asks.

References
----------
[1] Nocedal, Wright, "Numerical optimization", 2nd ed., 2006, algorithm 7.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gnsopt.curvature import resolve, start
from gnsopt.exceptions import NotPositiveDefinite, StepFailure
from gnsopt.globalization import decrease
from gnsopt.point import Point
from gnsopt.solver import Solver

ARMIJO = 1e-4


@dataclass(frozen=True)
class InexactNewton(Solver):
    """Inexact Newton with a backtracking line search, for strongly convex problems.

    Parameters
    ----------
    curvature : str, CurvatureModel or callable, default="auto"
        The Hessian; its accuracy is the model's.
    max_trials : int, default=40
        Trials of the line search at the most.
    """

    curvature: Any = "auto"
    max_trials: int = 40

    def __post_init__(self) -> None:
        """Check the hyper-parameters."""
        super().__post_init__()
        object.__setattr__(self, "curvature", resolve(self.curvature))

    def iterates(self, x: Point) -> Iterator[tuple[Point, dict[str, float]]]:
        """Yield the points with the step ``t`` and ``trials``."""
        curvature = start(self.curvature, x)
        while True:
            H = curvature(x)
            s = -H.solve(H.lam_noise, x.g)
            slope = float(x.g @ s)
            if not slope < 0:
                raise NotPositiveDefinite("no descent direction")
            t = 1.0
            for trial in range(1, self.max_trials + 1):  # noqa: B007
                y = x.at(x.x + t * s)
                if decrease(x, y) >= -ARMIJO * t * slope:
                    break
                t /= 2
            else:
                raise StepFailure(f"{self.max_trials} trials rejected", -slope)
            x = y
            yield x, {"t": t, "trials": trial}
