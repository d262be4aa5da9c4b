r"""Newton with a search along the line, under the progress inequality of gradient-normalised smoothness.

The bold step comes first: ``h = -(H + r)^{-1} g`` without damping, and ``y = x + t h`` where the slope along h has
fallen to a tenth. It is taken when the inequality of the damped method [1, Lemma 1] holds at the radius of the run,

    R = 8 (|g(x)|_* / gamma) (f(x) - f(y)) / |g(y)|_*^2 >= 1,                                                       (1)

else damped steps with ``lam = |g|_*/gamma`` and halved radii follow, as in `GradNormSmooth`, searched along their
lines, too. The rates of [1] for such a radius follow from (1) alone, however y was found.

Where the problem has a cheap `line` (linear models: ``Z + t D``) a trial costs no product with the data, and two or
three trials replace a third to a half of the Newton steps: on separated data a pure step multiplies the loss by 1/e,
however small it is, and the search makes it as long as it should be (2 to 20 times as long, measured).

Departures from [1]: the radius is `gamma0` at the most as long as bold steps are taken; it grows with damped ones. With
several outputs (softmax) the bold step is damped by ``lam = |g|_*/10^4``: the Hessian of decided samples is all but
singular, and conjugate gradients would take most products for directions in which nothing is left to gain.

Where a solve would take several products, quick steps come between: quasi-Newton directions at one product each, for as
long as they make better speed (`gnsopt.solvers.quick`). They lie outside (1): what they promise is a fall of |g|_* by a
fixed factor in any four of them, or a Newton step.

Inexact solves leave a residual of ``min(eta, sqrt(|g|_* / |g_0|_*))``, for which the order is 3/2 where they do [2];
they may end before, where the quadratic model has stopped falling (`Accuracy.stall`).

References
----------
[1] Semenov, Jaggi, Doikov, "Gradient-normalized smoothness for optimization with approximate Hessians", 2506.13710.
[2] Dembo, Eisenstat, Steihaug, "Inexact Newton methods", SIAM J. Numer. Anal. 19 (1982).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from gnsopt.curvature import resolve, start
from gnsopt.exceptions import NotPositiveDefinite, StepFailure
from gnsopt.globalization import flat_point, progress_ratio
from gnsopt.point import Point
from gnsopt.solver import Solver
from gnsopt.solvers.quick import Quick

# Shift of the undamped step at the start, in units of `lam_noise`; it falls with the gradient, down to one unit. Where
# H is singular, rounding moves a step by 1/FIRM of it along the null space, so that the minimiser is the one next to
# the start (at 1 it is off by a tenth, measured); a shift that stays holds back what decided samples leave to do.
FIRM = 1e4
SEVERAL = 1e4  # radius, in units of the metric, of the bold step for several outputs (1e3 to 1e4 do, measured)
SHORT = 1e-4  # a bold step that must be cut to less comes of a poor model: damped steps are better
LEVEL = 1e-13  # relative decrease below which the rounding of a line counts: points are evaluated anew (chosen)


@dataclass(frozen=True)
class LineNewton(Solver):
    """Newton with a search along the line (method ``"line-newton"``): the default for linear models.

    Parameters
    ----------
    curvature : str, CurvatureModel or callable, default="auto"
        The Hessian or an approximation, see `gnsopt.curvature`.
    metric : "auto", None, float, array of shape (n,) or (n, n), or Metric, default="auto"
        ``B`` of the norms, as in `GradNormSmooth`.
    gamma0 : float, default=0.1
        First radius; below it, and after a damped step, it doubles when R >= 2 and once more when R >= 16.
    flat : float, default=0.1
        Share of the slope at which a search along a line ends, in (0, 1).
    eta : float, default=0.1
        Largest relative residual of inexact solves, in (0, 1).
    max_trials : int, default=60
        Directions per iteration at the most.
    """

    quick: ClassVar[bool] = True
    curvature: Any = "auto"
    metric: Any = "auto"
    gamma0: float = 0.1
    flat: float = 0.1
    eta: float = 0.1
    max_trials: int = 60

    def __post_init__(self) -> None:
        """Check the hyper-parameters."""
        super().__post_init__()
        object.__setattr__(self, "curvature", resolve(self.curvature))
        if not 0 < self.gamma0 < np.inf:
            raise ValueError(f"gamma0={self.gamma0} must be positive and finite")
        if not (0 < self.flat < 1 and 0 < self.eta < 1):
            raise ValueError(f"flat={self.flat} and eta={self.eta} must lie in (0, 1)")

    def iterates(self, x: Point) -> Iterator[tuple[Point, dict[str, float]]]:
        """Yield points, with ``gamma``, ``lam``, ``ratio`` R, ``step`` t and ``trials``, 0 for a quick step."""
        curvature, gamma, first = start(self.curvature, x), self.gamma0, x.counts.first or x.dual_norm or 1.0
        several, quick = getattr(x.objective, "k", 1) > 1, Quick(x, first)
        while True:
            share = x.dual_norm / first
            x.forcing = min(self.eta, math.sqrt(share))
            H, promised = curvature(x), np.inf
            bold = max(H.lam_noise * max(FIRM * share, 1.0), x.dual_norm / SEVERAL if several else 0.0)
            if (found := quick.step(x, H, bold, self.flat)) is not None:
                y, t = found
                R = 8 * (x.dual_norm / gamma) * (x.f - y.f) / y.dual_norm**2 if y.dual_norm > 0 else np.inf
                x = x.at(y.x) if y.vanishes or x.objective.stale(y.z) else y
                yield x, {"gamma": gamma, "lam": bold, "ratio": R, "step": t, "trials": 0}
                continue
            before, products = x, x.counts.nhessp
            for trial in range(1, self.max_trials + 1):
                damping = x.dual_norm / max(gamma, 1e-300)
                lam = bold if trial == 1 else max(damping, H.lam_noise)
                try:
                    h = -H.solve(lam, x.g)
                    y, t = flat_point(x, h, self.flat, SHORT if trial == 1 else 0.0)
                    R = progress_ratio(x, y, damping)
                    promised = promised if np.isfinite(promised) else -0.5 * float(x.g @ h)
                    gamma = gamma if R >= 1 else min(gamma, x.metric.norm(h))  # a radius beyond the step damps nothing
                except NotPositiveDefinite:
                    R = -np.inf
                if R >= 1:
                    break
                gamma /= 2 if trial > 1 else 1
            else:
                raise StepFailure(f"{self.max_trials} trials rejected", promised)
            level = y.vanishes or x.f - y.f <= LEVEL * abs(x.f) or x.objective.stale(y.z)
            x, accepted = (x.at(y.x) if level else y), gamma  # without the rounding of the line
            if trial > 1 or gamma < self.gamma0:
                gamma *= 4 if R >= 16 else 2 if R >= 2 else 1
            quick.learn(before, x, x.counts.nhessp - products)
            yield x, {"gamma": accepted, "lam": lam, "ratio": R, "step": t, "trials": trial}

    def resumed(self, scalars: dict[str, float]) -> LineNewton | None:
        """Return the solver itself after a step at the first radius: it then remembers rounding and its curvature."""
        return self if scalars["trials"] == 1 and scalars["gamma"] == self.gamma0 else None
