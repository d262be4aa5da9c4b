r"""Cubically regularised Newton [1]: ``h = argmin <g,h> + <hess f h,h>/2 + (M/6)|h|^3``.

The minimiser satisfies ``h = -(hess f + (M r/2) B)^{-1} g`` with ``r = |h|``: a root of the decreasing function
``|h(lam)| - 2 lam/M`` of ``lam = M r/2``, found by bracketing and Brent's method on its logarithm; all its solves share
one factorisation. A trial is accepted when ``f(x + h) <= f(x) + model(h)``; then ``M <- max(M/2, M_min)``, else ``2M``.

Departures from the authors' code: the root by Brent's method (theirs: doubling, then an unguarded Newton); a failed
factorisation moves the bracket up.

References
----------
[1] Nesterov, Polyak, "Cubic regularization of Newton method and its global performance", Math. Prog. 108 (2006), (3.2).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import brentq

from gnsopt._typing import Array
from gnsopt.curvature import Curvature, resolve, start
from gnsopt.exceptions import NotPositiveDefinite, StepFailure
from gnsopt.globalization import decrease
from gnsopt.point import Point
from gnsopt.solver import Solver

PATIENCE = 10  # rejected trials after which M grows a hundredfold by the ratio rule: M0 is far off (chosen)


@dataclass(frozen=True)
class CubicNewton(Solver):
    r"""Cubically regularised Newton with an adaptive constant (method ``"cubic-newton"``).

    Parameters
    ----------
    curvature : str, CurvatureModel or callable, default="auto"
        The Hessian or an approximation.
    metric : "auto", None, float, array of shape (n,) or (n, n), or Metric, default="auto"
        ``B`` of the norms. ``"auto"`` is the problem's natural metric (for linear models the second moments of the
        columns, so that no scaling of the features matters; the identity otherwise), None the identity.
    M0 : float, default=1.0
        First cubic constant.
    M_min : float, default=1e-16
        Its lower bound (1e-5 in the authors' code).
    growth : {"ratio", "paper"}, default="ratio"
        ``"paper"`` accepts a step whose decrease is that of the model, and halves M after it. ``"ratio"`` accepts a
        tenth of it and divides M by 100 where the model was right to 10 % (adaptive cubic regularisation), doubles it
        where it promised four times too much: fewer Hessians where M varies along the run (measured on CUTEst). It
        takes M0 and M_min times ``min(1, |g_0|_*)``, so that a small f is no other problem.
    max_trials : int, default=60
        Trials per iteration at the most.
    """

    curvature: Any = "auto"
    metric: Any = "auto"
    M0: float = 1.0
    M_min: float = 1e-16
    growth: str = "ratio"
    max_trials: int = 60

    def __post_init__(self) -> None:
        """Check the hyper-parameters."""
        super().__post_init__()
        object.__setattr__(self, "curvature", resolve(self.curvature))
        if not (0 < self.M_min <= self.M0 < np.inf):
            raise ValueError(f"M0={self.M0} and M_min={self.M_min} must satisfy 0 < M_min <= M0 < inf")
        if self.growth not in ("ratio", "paper"):
            raise ValueError(f"growth={self.growth!r} is unknown; choose 'ratio' or 'paper'")

    def iterates(self, x: Point) -> Iterator[tuple[Point, dict[str, float]]]:
        """Yield the accepted points with ``M``, ``lam`` and ``trials``."""
        curvature, least, size = start(self.curvature, x), 1.0, 1.0
        if self.growth == "ratio":
            least, size = 0.1, min(1.0, x.dual_norm)
        M = self.M0 * size
        while True:
            H, promised = curvature(x), np.inf
            for trial in range(1, self.max_trials + 1):
                lam, h = cubic_step(H, x, M)
                # model = <g,h> + <Hh,h>/2 + M r^3/6 with Hh = -g - lam B h and M r = 2 lam
                model = 0.5 * float(x.g @ h) - lam * x.metric.norm(h) * x.metric.norm(h) / 6
                promised = promised if np.isfinite(promised) else -model
                y = x.at(x.x + h)
                fall = decrease(x, y)
                if fall >= -least * model:
                    break
                off = 100 if trial > PATIENCE else 2 if fall >= model else 4 if np.isfinite(fall) else 8
                M *= 2 if self.growth == "paper" else off  # further off: further up
            else:
                raise StepFailure(f"{self.max_trials} trials rejected", promised)
            accepted = M
            if self.growth == "paper":
                M /= 2
            else:
                M = M / 100 if fall >= -0.9 * model else 2 * M if fall < -0.25 * model else M
            x, M = y, max(M, self.M_min * size)
            yield x, {"M": accepted, "lam": lam, "trials": trial}


def cubic_step(H: Curvature, x: Point, M: float) -> tuple[float, Array]:
    """Return ``(lam, h)`` with ``h = -(H + lam B)^{-1} g`` and ``|h| = 2 lam / M`` to a relative 1e-10.

    Parameters
    ----------
    H : Curvature
        Approximate Hessian at `x`.
    x : Point
        Current point, with a gradient that is not zero.
    M : float
        Cubic constant.

    Returns
    -------
    lam : float
        Damping.
    h : ndarray of shape (n,)
        Step.
    """
    steps: dict[float, Array] = {}
    values: dict[float, float] = {}

    def excess(log_lam: float) -> float:
        """``log |h| - log(2 lam/M)``: decreasing in lam; +inf stands for "not positive definite, go up"."""
        if log_lam in steps:  # a second solve may round differently: another sign, and Brent's method has no bracket
            return values[log_lam]
        lam = float(np.exp(log_lam))
        try:
            h = -H.solve(lam, x.g)
        except NotPositiveDefinite:
            return np.inf
        steps[log_lam], values[log_lam] = h, float(np.log(x.metric.norm(h) * M / (2 * lam)))
        return values[log_lam]

    # for H >= 0: |h| <= |g|_*/lam, so lam <= sqrt(M |g|_*/2) at the root
    high = 0.5 * np.log(M * x.dual_norm / 2)
    while excess(high) > 0:
        high += 2.0
        if high > 700:  # exp overflows
            raise StepFailure("no shift makes the curvature positive definite")
    low = high
    while np.isfinite(value := excess(low)) and value <= 0 and low > high - 200:
        low -= 2.0
    if not np.isfinite(value):  # the hard case: lam at the edge of positive definiteness
        while high - low > 1e-10:
            middle = 0.5 * (low + high)
            value = excess(middle)
            if np.isfinite(value) and value > 0:
                low = middle
                break
            low, high = (low, middle) if value <= 0 else (middle, high)
    if np.isfinite(value) and value > 0:
        high = float(brentq(excess, low, high, xtol=1e-10, rtol=1e-12))
    if high not in steps:
        excess(high)
    return float(np.exp(high)), steps[high]
