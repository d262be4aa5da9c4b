r"""Levenberg-Marquardt, with the gain ratio as the judge of the damping [1, 2].

    h = -(H + lam B)^{-1} g,   H = J'J,      R = (f(x) - f(x + h)) / (<h, lam B h - g> / 2)

is the decrease over the one that the model promises. A step is taken when R > 0; then the factor ``mu`` of lam is
multiplied by ``max(1/3, 1 - (2 R - 1)^3)``, otherwise by ``nu = 2, 4, 8, ...``. ``lam = mu`` is the classical rule;
with ``lam = mu |g|_*`` it is gradient-regularised Gauss-Newton with another search, with ``lam = mu sqrt(2 f)``
that of the theory under a local error bound.

Any curvature will do; the default is the Gauss-Newton matrix where the problem is not convex and offers one. B takes
the place of the scaling D: give ``metric=`` where the variables have different sizes.

References
----------
[1] Marquardt, "An algorithm for least-squares estimation of nonlinear parameters", J. SIAM 11 (1963).
[2] Nielsen, "Damping parameter in Marquardt's method", IMM-REP-1999-05, TU Denmark.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gnsopt.curvature import resolve, start
from gnsopt.exceptions import NotPositiveDefinite, StepFailure
from gnsopt.globalization import decrease
from gnsopt.point import Point
from gnsopt.solver import Solver

DAMPING: dict[str, Callable[[Point], float]] = {
    "gain": lambda x: 1.0,
    "gradient": lambda x: x.dual_norm,
    "residual": lambda x: float(np.sqrt(2 * max(x.f, 0.0))),
}


@dataclass(frozen=True)
class LevenbergMarquardt(Solver):
    r"""Levenberg-Marquardt for nonlinear least squares and all else (method ``"levenberg-marquardt"``).

    Parameters
    ----------
    curvature : str, CurvatureModel or callable, default="auto"
        The matrix ``H``, see `gnsopt.curvature`.
    damping : {"gain", "gradient", "residual"}, default="gain"
        What mu multiplies: 1, the norm of the gradient, or that of the residual (``sqrt(2 f)``).
    metric : "auto", None, float, array of shape (n,) or (n, n), or Metric, default="auto"
        ``B`` of the norms, Marquardt's scaling; ``"auto"`` is the problem's natural metric.
    mu0 : float, default=1.0
        First factor, times the largest ``H_jj / B_jj`` for ``damping="gain"`` [2]. Small values trust the first
        Gauss-Newton step, which may lead to where the model is flat.
    max_trials : int, default=60
        Trials per iteration at the most.
    """

    curvature: Any = "auto"
    damping: str = "gain"
    metric: Any = "auto"
    mu0: float = 1.0
    max_trials: int = 60

    def __post_init__(self) -> None:
        """Check the hyper-parameters."""
        super().__post_init__()
        object.__setattr__(self, "curvature", resolve(self.curvature))
        if self.damping not in DAMPING:
            raise ValueError(f"damping={self.damping!r} is unknown; choose one of {tuple(DAMPING)}")
        if not 0 < self.mu0 < np.inf:
            raise ValueError(f"mu0={self.mu0} must be positive and finite")

    def iterates(self, x: Point) -> Iterator[tuple[Point, dict[str, float]]]:
        """Yield the accepted points with ``lam``, the gain ratio ``ratio`` and ``trials``."""
        curvature, unit = start(self.curvature, x), DAMPING[self.damping]
        H, mu, nu = curvature(x), self.mu0, 2.0
        if self.damping == "gain":
            d = H.form.diagonal()
            mu *= 1.0 if d is None else float(np.max(np.abs(d) / x.metric.scale)) or 1.0
        while True:
            promised = np.inf
            for trial in range(1, self.max_trials + 1):  # noqa: B007
                lam = max(mu * unit(x), H.lam_noise)
                try:
                    h = -H.solve(lam, x.g)
                    y = x.at(x.x + h)
                    with np.errstate(over="ignore", invalid="ignore"):
                        model = float(lam * x.metric.norm(h) * x.metric.norm(h) - x.g @ h) / 2
                    R = decrease(x, y) / model if model > 0 and y.finite else -np.inf
                    promised = model if not np.isfinite(promised) else promised  # by the first trial
                except NotPositiveDefinite:
                    R = -np.inf
                if R > 0:
                    break
                mu, nu = mu * nu, 2 * nu
            else:
                raise StepFailure(f"{self.max_trials} trials rejected", promised)
            x, nu = y, 2.0
            mu = min(max(mu * max(1 / 3, 1 - (2 * min(R, 1.0) - 1) ** 3), MU_MIN), 1 / MU_MIN)
            yield x, {"lam": lam, "ratio": R, "trials": trial}
            H = curvature(x)


MU_MIN = 1e-100  # so that mu stays within the floating-point range (chosen)
