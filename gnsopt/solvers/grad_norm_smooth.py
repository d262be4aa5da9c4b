r"""Gradient-regularised Newton steered by gradient-normalised smoothness [1].

    lam_k = |g_k|_* / gamma_k,      x_{k+1} = x_k - (H_k + lam_k B)^{-1} g_k,      H_k >= 0,

so that the step is never longer than ``gamma_k``. A trial is accepted when the progress inequality holds,

    R = 8 lam (f(x) - f(x+)) / |g(x+)|_*^2 >= 1,                                          ([1], Lemma 1)

which ``gamma <= gamma(x)`` implies for convex and non-convex f alike.

Departures from the authors' code: a failed factorisation is a rejected trial (theirs takes the step of the trial
before); a trial without a decrease costs no gradient; after `max_trials` rejections the run ends with a status and the
best point (theirs takes the rejected step); the decrease is exact to rounding (`gnsopt.globalization.decrease`);
``lam`` has a floor at the rounding error of ``H`` in place of ``eps = 1e-8`` inside ``gamma + eps``.

References
----------
[1] Semenov, Jaggi, Doikov, "Gradient-normalized smoothness for optimization with approximate Hessians", 2506.13710.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gnsopt.curvature import resolve, start
from gnsopt.exceptions import NotPositiveDefinite, StepFailure
from gnsopt.globalization import TESTS
from gnsopt.objective import Objective
from gnsopt.point import Point
from gnsopt.solver import Solver

LEAST = 1e-300  # of a radius: one that is zero divides nothing
GROWTH = ("ratio", "paper", "fixed")
GROWS = {"cubic": 4 / 3}  # ratios from which gamma grows where that is not 2


@dataclass(frozen=True)
class GradNormSmooth(Solver):
    r"""Gradient-regularised Newton steered by gradient-normalised smoothness (method ``"gns"``).

    Parameters
    ----------
    curvature : str, CurvatureModel or callable, default="auto"
        The approximate Hessian ``H``, see `gnsopt.curvature`.
    growth : {"ratio", "paper", "fixed"}, default="ratio"
        How gamma grows after an accepted step. ``"paper"`` doubles it always. ``"ratio"`` doubles it when R >= 2 and
        once more when R >= 16: by the progress test a gamma below half of gamma(x) has R >= 8/3, so it always grows and
        every rate of the paper persists, while steps that would be rejected are not tried. The ratio of the cubic test
        tends to 3/2 for short steps: there it doubles when R >= 4/3. ``"fixed"`` keeps it.
    metric : "auto", None, float, array of shape (n,) or (n, n), or Metric, default="auto"
        ``B`` of the norms. ``"auto"`` is the problem's natural metric (for linear models the second moments of the
        columns, so that no scaling of the features matters; the identity otherwise), None the identity.
    gamma0 : float, default=1.0
        First radius.
    gamma_min : float, default=1e-9
        Lower bound of gamma after an accepted step.
    max_trials : int, default=60
        Trials per iteration at the most.
    accept : {"progress", "gradient", "cubic", "none"}, default="progress"
        The acceptance test, see `gnsopt.globalization.search`; ``"gradient"`` is for convex f only, ``"none"`` with
        ``growth="fixed"`` and ``gamma0 = 1/M`` is the rule for quasi-self-concordant functions of constant M.
    power : float, default=1.0
        ``lam = |g|_*^power / gamma``, in [0, 1]: 1 is the paper's rule, alpha with ``accept="gradient"`` and
        ``factor=4`` the super-universal one, 1/2 with ``accept="cubic"`` Mishchenko's (gamma = 1/sqrt(H)).
    factor : float, default=2.0
        What gamma is divided by after a rejected and multiplied by after an accepted trial.
    gamma_max : float, default=1e100
        Upper bound of gamma, so that neither gamma nor lam leaves the floating-point range (chosen).
    """

    curvature: Any = "auto"
    growth: str = "ratio"
    metric: Any = "auto"
    gamma0: float = 1.0
    gamma_min: float = 1e-9
    max_trials: int = 60
    accept: str = "progress"
    power: float = 1.0
    factor: float = 2.0
    gamma_max: float = 1e100

    def __post_init__(self) -> None:
        """Check the hyper-parameters."""
        super().__post_init__()
        object.__setattr__(self, "curvature", resolve(self.curvature))
        if self.growth not in GROWTH:
            raise ValueError(f"growth={self.growth!r} is unknown; choose one of {GROWTH}")
        if self.accept not in TESTS:
            raise ValueError(f"accept={self.accept!r} is unknown; choose one of {tuple(TESTS)}")
        if not (0 <= self.gamma_min <= self.gamma_max and 0 < self.gamma0 <= self.gamma_max < np.inf):
            raise ValueError(
                f"gamma0={self.gamma0}, gamma_min={self.gamma_min}, gamma_max={self.gamma_max} must satisfy "
                "0 <= gamma_min <= gamma_max, 0 < gamma0 <= gamma_max < inf"
            )
        if not (0 <= self.power <= 1 and 1 < self.factor < np.inf):
            raise ValueError(f"power={self.power} must lie in [0, 1], factor={self.factor} must be finite and above 1")

    def descends(self, problem: Objective) -> bool:
        """Return whether the acceptance test implies a decrease; the gradient test does for convex f only."""
        return self.accept in ("progress", "cubic") or (self.accept == "gradient" and problem.convex)

    def iterates(self, x: Point) -> Iterator[tuple[Point, dict[str, float]]]:
        """Yield points, with ``gamma`` (accepted), ``gamma_start`` (first tried), ``lam``, ``ratio`` R, ``trials``."""
        curvature, gamma, test = start(self.curvature, x), self.gamma0, TESTS[self.accept]
        while True:
            H, promised, first = curvature(x), np.inf, gamma
            for trial in range(1, self.max_trials + 1):  # noqa: B007
                lam = max(x.dual_norm**self.power / gamma, H.lam_noise)
                try:
                    h = -H.solve(lam, x.g)
                    y = x.at(x.x + h)
                    R = test(x, y, lam)
                    promised = promised if np.isfinite(promised) else -0.5 * float(x.g @ h)
                except NotPositiveDefinite:
                    R = -np.inf
                if R >= 1:
                    break
                gamma = max(gamma / self.factor, LEAST)
            else:
                raise StepFailure(f"{self.max_trials} trials rejected", promised)
            x, accepted, gamma = y, gamma, self._grown(gamma, R)
            yield x, {"gamma": accepted, "gamma_start": first, "lam": lam, "ratio": R, "trials": trial}

    def _grown(self, gamma: float, R: float) -> float:
        """Return the first gamma after a step that was accepted with these."""
        if self.growth == "paper" or (self.growth == "ratio" and R >= GROWS.get(self.accept, 2.0)):
            gamma *= self.factor
        if self.growth == "ratio" and R >= 16:
            gamma *= self.factor
        return min(max(gamma, self.gamma_min), self.gamma_max)

    def resumed(self, scalars: dict[str, float]) -> GradNormSmooth:
        """Return the solver with the gamma that comes next: all that it remembers but for its curvature model."""
        return replace(self, gamma0=self._grown(scalars["gamma"], scalars["ratio"]))
