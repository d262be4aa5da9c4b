r"""The safeguard: a composite trust-region step on ``f + mu |c|_2``, with least-squares multipliers.

    v: |c + G v| small in |v| <= 0.8 D,     u: the Lagrangian's model small with G u = 0, |v + u| <= D,
    accept v + u (or with a second-order correction) by the ratio of actual to predicted decrease.

It needs neither a definite reduced Hessian nor a Jacobian of full rank, and its penalty is blind to y: what the exact
augmented Lagrangian may be stuck in (flat valleys of ``|g_L|^2``) does not exist for it. See [1].

References
----------
[1] Omojokun, 1989; Byrd, Hribar, Nocedal, "An interior point algorithm for large-scale nonlinear programming", 1999.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gnsopt._typing import Array
from gnsopt.constrained.point import KKTPoint
from gnsopt.constrained.rows import RowSpace
from gnsopt.constrained.status import KKTStatus
from gnsopt.exceptions import StepFailure

NORMAL = 0.8  # share of the radius for the normal step
PREDICTED = 0.3  # share of the predicted fall of mu |c| that the whole model must promise
ACCEPT = 0.1
TRIALS = 60
ROUNDING = 1e3 * float(np.finfo(float).eps)


class Ending(ArithmeticError):
    """The run ends with a status that is not a converged one.

    Parameters
    ----------
    status : KKTStatus
        Why.
    """

    def __init__(self, status: KKTStatus) -> None:
        super().__init__(status.message)
        self.status = status


@dataclass
class TrustRegion:
    """Radius and penalty, kept from step to step.

    Parameters
    ----------
    radius : float
        D.
    mu : float
        Penalty of the norm of the constraints; it only grows.
    """

    radius: float = 1.0
    mu: float = 1.0

    def step(self, p: KKTPoint) -> tuple[KKTPoint, int]:
        """Return the next point and the number of trials; raise `Ending` where no step is acceptable."""
        rows = RowSpace.of(p)
        p = rows.least_squares_point(p)
        self.mu = max(self.mu, 1.5 * float(np.linalg.norm(p.y)))
        violation = float(np.linalg.norm(p.c))
        smallest = 10 * float(np.finfo(float).eps) * max(1.0, float(np.linalg.norm(p.x)))
        for trial in range(1, TRIALS + 1):
            v = rows.normal(p.c, NORMAL * self.radius)
            Hv = np.asarray(p.H @ v)
            left = float(np.sqrt(max(self.radius**2 - float(v @ v), 1e-300)))
            u = rows.tangent(p.H, p.g + Hv, left)
            d = v + u
            fall = violation - float(np.linalg.norm(p.c + p.G @ d))
            model = -float(p.g @ d) - 0.5 * float(d @ (p.H @ d))
            if fall > 0 and model < -(1 - PREDICTED) * self.mu * fall:
                self.mu = max(2 * self.mu, -1.1 * model / ((1 - PREDICTED) * fall))
            predicted, length = model + self.mu * fall, float(np.linalg.norm(d))
            noise = ROUNDING * max(1.0, abs(p.f), self.mu * violation)
            if length == 0.0 or not np.isfinite(predicted):
                break
            y, ratio = self._best_of(p, rows, d, predicted, noise)
            if ratio >= ACCEPT:
                if ratio > 0.75 and length > 0.5 * self.radius:
                    self.radius = max(self.radius, 2.5 * length)
                elif ratio > 0.3:
                    self.radius = max(self.radius, 1.2 * length)
                return RowSpace.of(y).least_squares_point(y), trial
            self.radius = min(self.radius, length) / (2 if y.finite else 4)
            if self.radius < smallest:
                break
        raise StepFailure("no composite step lowers f + mu |c|", promised=predicted)

    def _best_of(self, p: KKTPoint, rows: RowSpace, d: Array, predicted: float, noise: float) -> tuple[KKTPoint, float]:
        """Return the trial ``x + d`` or, where it is rejected, the corrected one if that is better; and its ratio."""
        before = p.f + self.mu * float(np.linalg.norm(p.c))

        def ratio(q: KKTPoint) -> float:
            if not q.finite:
                return -np.inf
            return (before - q.f - self.mu * float(np.linalg.norm(q.c)) + noise) / (predicted + noise)

        y = p.at(p.x + d, p.y)
        first = ratio(y)
        if first >= ACCEPT or not y.finite:
            return y, first
        corrected = p.at(p.x + d + rows.range_step(y.c), p.y)
        second = ratio(corrected)
        return (corrected, second) if second >= max(first, ACCEPT) else (y, first)
