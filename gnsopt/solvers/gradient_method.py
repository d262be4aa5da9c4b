r"""Gradient method with an adaptive Lipschitz constant: ``T = x - B^{-1} g / L``.

A trial is accepted when ``f(T) <= f(x) + <g, T - x> + (L/2)|T - x|^2``; then ``L <- max(L/2, L_min)``, else ``2L``.

References
----------
[1] Nesterov, "Gradient methods for minimizing composite functions", Math. Prog. 140 (2013), section 3.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gnsopt.exceptions import StepFailure
from gnsopt.globalization import decrease
from gnsopt.point import Point
from gnsopt.solver import Solver

LATE = 40  # trials after which L grows faster: f may be huge at the start (chosen; no golden run gets there)


@dataclass(frozen=True)
class GradientMethod(Solver):
    r"""Gradient method with an adaptive Lipschitz constant (method ``"gradient"``).

    Parameters
    ----------
    metric : "auto", None, float, array of shape (n,) or (n, n), or Metric, default="auto"
        ``B`` of the norms. ``"auto"`` is the problem's natural metric (for linear models the second moments of the
        columns, so that no scaling of the features matters; the identity otherwise), None the identity.
    L0 : float, default=1.0
        First Lipschitz constant.
    L_min : float, default=1e-5
        Its lower bound (that of the authors' code).
    max_trials : int, default=60
        Trials per iteration at the most.
    """

    metric: Any = "auto"
    L0: float = 1.0
    L_min: float = 1e-5
    max_trials: int = 60

    def __post_init__(self) -> None:
        """Check the hyper-parameters."""
        super().__post_init__()
        check_lipschitz(self.L0, self.L_min)

    def iterates(self, x: Point) -> Iterator[tuple[Point, dict[str, float]]]:
        """Yield the accepted points with ``L`` and ``trials``."""
        L = self.L0
        while True:
            y, L, trials = gradient_step(x, L, self.max_trials)
            x, accepted, L = y, L, max(L / 2, self.L_min)
            yield x, {"L": accepted, "trials": trials}

    def resumed(self, scalars: dict[str, float]) -> GradientMethod:
        """Return the solver with the constant that comes next: all that it remembers."""
        return replace(self, L0=max(scalars["L"] / 2, self.L_min))


def gradient_step(x: Point, L: float, max_trials: int) -> tuple[Point, float, int]:
    """Return ``(T, L, trials)`` with ``T = x - B^{-1} g / L`` accepted by the quadratic upper bound.

    Parameters
    ----------
    x : Point
        Where the gradient is taken.
    L : float
        First trial of the Lipschitz constant.
    max_trials : int
        Trials at the most.

    Returns
    -------
    tuple
        The accepted point, its constant and the number of trials.

    Raises
    ------
    StepFailure
        If no trial is accepted.
    """
    direction, squared = x.metric.solve(x.g), x.dual_norm * x.dual_norm
    promised = squared / L  # by the first trial: the last one promises nothing
    for trial in range(1, max_trials + 1):
        y = x.at(x.x - direction / L)
        # f(T) <= f(x) - |g|_*^2 / (2L): the bound with T - x = -B^{-1} g / L put in
        if decrease(x, y) >= squared / (2 * L):
            return y, L, trial
        L *= 2 if trial < LATE else 2**8
    raise StepFailure(f"{max_trials} trials rejected", promised)


def check_lipschitz(L0: float, L_min: float) -> None:
    """Raise ValueError unless ``0 < L_min <= L0 < inf``.

    Parameters
    ----------
    L0, L_min : float
        First constant and lower bound.

    Raises
    ------
    ValueError
        If they are out of order.
    """
    if not (0 < L_min <= L0 < np.inf):
        raise ValueError(f"L0={L0} and L_min={L_min} must satisfy 0 < L_min <= L0 < inf")
