r"""Accelerated gradient method with an adaptive Lipschitz constant, for convex f.

    L a^2 = A + a,   y = (a v + A x)/(A + a),   T = y - B^{-1} g(y)/L,   v <- T + (A/a)(T - x),   A <- A + a

with the acceptance test of the gradient method at y. ``f(x_k) - f* <= 2 L |x_0 - x*|^2 / k^2``; not monotone.

References
----------
[1] Nesterov, "Gradient methods for minimizing composite functions", Math. Prog. 140 (2013), section 4.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from gnsopt.exceptions import StepFailure
from gnsopt.globalization import decrease
from gnsopt.point import Point
from gnsopt.solver import Solver
from gnsopt.solvers.gradient_method import LATE, check_lipschitz


@dataclass(frozen=True)
class FastGradientMethod(Solver):
    r"""Accelerated gradient method with an adaptive Lipschitz constant (method ``"fast-gradient"``).

    Parameters
    ----------
    metric : "auto", None, float, array of shape (n,) or (n, n), or Metric, default="auto"
        ``B`` of the norms. ``"auto"`` is the problem's natural metric (for linear models the second moments of the
        columns, so that no scaling of the features matters; the identity otherwise), None the identity.
    L0 : float, default=1.0
        First Lipschitz constant.
    L_min : float, default=1e-5
        Its lower bound.
    max_trials : int, default=60
        Trials per iteration at the most.
    """

    monotone: ClassVar[bool] = False

    metric: Any = "auto"
    L0: float = 1.0
    L_min: float = 1e-5
    max_trials: int = 60

    def __post_init__(self) -> None:
        """Check the hyper-parameters."""
        super().__post_init__()
        check_lipschitz(self.L0, self.L_min)

    def iterates(self, x: Point) -> Iterator[tuple[Point, dict[str, float]]]:
        """Yield the points T with ``L`` and ``trials``."""
        v, A, L = x.x, 0.0, self.L0
        while True:
            promised = x.dual_norm * x.dual_norm / L
            for trial in range(1, self.max_trials + 1):
                a = (1 + np.sqrt(1 + 4 * L * A)) / (2 * L)
                y = x.at((a * v + A * x.x) / (A + a))
                T = x.at(y.x - y.metric.solve(y.g) / L)
                if decrease(y, T) >= y.dual_norm * y.dual_norm / (2 * L):
                    break
                L *= 2 if trial < LATE else 2**8
            else:
                raise StepFailure(f"{self.max_trials} trials rejected", promised)
            v, A = T.x + (A / a) * (T.x - x.x), A + a
            x, accepted, L = T, L, max(L / 2, self.L_min)
            yield x, {"L": accepted, "trials": trial}
