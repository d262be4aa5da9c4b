r"""Gradient methods with momentum for L-smooth, mu-strongly convex f: five choices of four numbers.

    y = xi + gamma (xi - xi_),   xi+ = xi + beta (xi - xi_) - alpha B^{-1} grad f(y),   x = xi+ + delta (xi+ - xi)

=====================  ==========================================================================================
`HeavyBall`            alpha = (2/(sqrt L + sqrt mu))^2, beta = ((sqrt k - 1)/(sqrt k + 1))^2, gamma = delta = 0;
                       for quadratics: on other functions it may cycle [1]
`Nesterov`             alpha = 1/L, beta = gamma = (sqrt k - 1)/(sqrt k + 1); for mu = 0 it is j/(j + 3) at step j
`TripleMomentum`       alpha = (1 + r)/L, beta = r^2/(2 - r), gamma = beta/(1 + r), delta = r^2/(1 - r^2) [2]
`RobustMomentum`       alpha = k (1 - q)^2 (1 + q)/L, beta = k q^3/(k - 1), gamma = q^3/((k - 1)(1 - q)^2 (1 + q)) [3]
`SpectralMomentum`     heavy ball, L and mu the extreme Ritz values of the Hessian, taken anew every few steps
=====================  ==========================================================================================

with ``k = L/mu``, ``r = 1 - 1/sqrt k`` and ``q = s (1 - 1/k) + (1 - s) r``. Bounds on ``f(x_n) - f*``:
``r^n (f_0 - f* + mu/2 |x_0 - x*|^2)`` (Nesterov, and ``2 L |x_0 - x*|^2/(n + 1)^2`` for mu = 0),
``r^{2(n+1)} (L k/2) |x_0 - x*|^2`` (triple momentum).

With L and mu given, these are the methods of the papers. Otherwise both are estimated: from the largest and the
smallest secant ratio since the last restart, where a step that would raise f is replaced by a gradient step with the
acceptance test of `GradientMethod`, and the momentum is lost. That makes f fall on every problem; it is ours.

References
----------
[1] Lessard, Recht, Packard, "Analysis and design of optimization algorithms via integral quadratic constraints",
SIAM J. Optim. 26 (2016), section 4.6.
[2] Van Scoy, Freeman, Lynch, "The fastest known globally convergent first-order method for minimizing strongly convex
functions", IEEE Control Systems Letters 2 (2018).
[3] Cyrus, Hu, Van Scoy, Lessard, "A robust accelerated optimization algorithm for strongly convex functions",
ACC 2018.
[4] Ghadimi, Feyzmahdavian, Johansson, "Global convergence of the heavy-ball method for convex optimization", ECC 2015,
theorem 4.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar

import numpy as np

from gnsopt.arguments import as_number, shown
from gnsopt.exceptions import StepFailure
from gnsopt.globalization import decrease
from gnsopt.linalg.lanczos import ritz
from gnsopt.objective import Objective
from gnsopt.point import Point
from gnsopt.solver import Solver
from gnsopt.solvers.gradient_method import gradient_step

FLATTEST = 1e-10  # mu / L at the least, where it is estimated (chosen): beta = 1 - 2e-5
Coefficients = tuple[float, float, float, float]


@dataclass(frozen=True)
class Momentum(Solver):
    r"""Base of the gradient methods with momentum: subclasses say what `coefficients` are.

    Parameters
    ----------
    L : float, optional
        Lipschitz constant of the gradient in the norm of `metric`; estimated by default.
    mu : float, optional
        Constant of strong convexity, ``0 <= mu <= L``; estimated by default. Both or neither are given.
    metric : "auto", None, float, array of shape (n,) or (n, n), or Metric, default="auto"
        ``B`` of the norms. ``"auto"`` is the problem's natural metric, None the identity.
    max_trials : int, default=60
        Trials of a gradient step at the most.
    """

    order: ClassVar[int] = 1
    takes_flat: ClassVar[bool] = False  # whether mu = 0 has a meaning

    L: Any = None
    mu: Any = None
    metric: Any = "auto"
    max_trials: int = 60

    def __post_init__(self) -> None:
        """Check the hyper-parameters."""
        super().__post_init__()
        given = [isinstance(value, Real) and not isinstance(value, bool) for value in (self.L, self.mu)]
        none = self.L is None and self.mu is None
        if not none and not (all(given) and 0 <= self.mu <= self.L and 0 < self.L < np.inf):
            both = f"L={shown(self.L)} and mu={shown(self.mu)}"
            raise ValueError(f"{both} must satisfy 0 <= mu <= L, 0 < L < inf, or both be None")
        for name in () if none else ("L", "mu"):
            object.__setattr__(self, name, as_number(getattr(self, name), name))
        if self.mu == 0 and not self.takes_flat:
            raise ValueError(f"mu=0: {type(self).__name__} needs mu > 0; Nesterov does not")

    def coefficients(self, L: float, mu: float, j: int) -> Coefficients:
        """Return ``(alpha, beta, gamma, delta)`` of step j since the last restart.

        Parameters
        ----------
        L, mu : float
            The constants of f.
        j : int
            Steps so far.

        Returns
        -------
        tuple of float
            The four numbers.
        """
        raise NotImplementedError

    def descends(self, problem: Objective) -> bool:
        """Return whether f never rises: where the constants are estimated."""
        return self.L is None

    def iterates(self, x: Point) -> Iterator[tuple[Point, dict[str, float]]]:
        """Yield the points x, with ``L``, ``mu`` and whether the step was a ``restart``."""
        if self.L is None:
            yield from self._estimated(x)
        xi, before, j = x.x, x.x, 0
        while True:
            x, xi, before = self._move(x, xi, before, self.coefficients(self.L, self.mu, j))
            if not x.finite:
                raise StepFailure("the method diverges: f is not smooth with this L, or not strongly convex with mu")
            j += 1
            yield x, {"L": self.L, "mu": self.mu, "restart": 0.0}

    def _move(self, x: Point, xi: Any, before: Any, numbers: Coefficients) -> tuple[Point, Any, Any]:
        alpha, beta, gamma, delta = numbers
        step = xi - before
        y = x if gamma == delta == 0.0 else x.at(xi + gamma * step)
        new = xi + beta * step - alpha * y.metric.solve(y.g)
        return x.at(new + delta * (new - xi)), new, xi

    def _estimated(self, x: Point) -> Iterator[tuple[Point, dict[str, float]]]:
        L = mu = 1.0
        xi, before, j = x.x, x.x, 0
        while True:
            z = x
            if j > 0:
                z, new, last = self._move(x, xi, before, self.coefficients(L, max(mu, FLATTEST * L), j))
            restart = z is x or not z.finite or not decrease(x, z) >= 0
            if restart:
                z, L, _ = gradient_step(x, L / 2, self.max_trials)
                new, last, j, mu = z.x, z.x, 0, L
            step, change = z.x - x.x, z.g - x.g
            size = x.metric.norm(step)
            if size > 0 and z.finite:
                L = max(L, x.metric.dual_norm(change) / size)
                mu = min(mu, max(float(change @ step) / size / size, 0.0) or mu)
            L, mu = self._measured(z, L, mu, j)
            x, xi, before, j = z, new, last, j + 1
            yield x, {"L": L, "mu": mu, "restart": float(restart)}

    def _measured(self, x: Point, L: float, mu: float, j: int) -> tuple[float, float]:
        """Return better constants where the method has a way to measure them."""
        return L, mu


@dataclass(frozen=True)
class HeavyBall(Momentum):
    """Polyak's heavy ball, tuned for quadratics (method ``"heavy-ball"``).

    Parameters
    ----------
    L, mu : float, optional
        Constants of smoothness and strong convexity; both or neither are given.
    metric : "auto", None, float, array of shape (n,) or (n, n), or Metric, default="auto"
        ``B`` of the norms.
    max_trials : int, default=60
        Trials of a gradient step at the most.
    safe : bool, default=False
        Take ``alpha = 1/(2 L)`` and ``beta = sqrt((1 - alpha mu)(1 - alpha L))``, which do not cycle on any smooth
        strongly convex function: ``f(x_n) - f* <= (1 - alpha mu)^n (f_0 - f*)`` [4].
    """

    safe: bool = False

    def coefficients(self, L: float, mu: float, j: int) -> Coefficients:
        """Return the optimal numbers for quadratics, or the safe ones."""
        if self.safe:
            return 0.5 / L, np.sqrt((1 - 0.5 * mu / L) * 0.5), 0.0, 0.0
        a, b = np.sqrt(L), np.sqrt(mu)
        return (2 / (a + b)) ** 2, ((a - b) / (a + b)) ** 2, 0.0, 0.0


class Nesterov(Momentum):
    """Nesterov's accelerated gradient method (method ``"nesterov"``).

    Parameters
    ----------
    L, mu : float, optional
        Constants of smoothness and strong convexity; both or neither are given.
    metric : "auto", None, float, array of shape (n,) or (n, n), or Metric, default="auto"
        ``B`` of the norms.
    max_trials : int, default=60
        Trials of a gradient step at the most.
    """

    takes_flat: ClassVar[bool] = True

    def coefficients(self, L: float, mu: float, j: int) -> Coefficients:
        """Return those of the strongly convex method; of the convex one for mu = 0."""
        root = np.sqrt(mu / L)
        beta = (1 - root) / (1 + root) if mu > 0 else j / (j + 3)
        return 1 / L, beta, beta, 0.0


class TripleMomentum(Momentum):
    """The triple momentum method, of the fastest known global rate (method ``"triple-momentum"``).

    Parameters
    ----------
    L, mu : float, optional
        Constants of smoothness and strong convexity; both or neither are given.
    metric : "auto", None, float, array of shape (n,) or (n, n), or Metric, default="auto"
        ``B`` of the norms.
    max_trials : int, default=60
        Trials of a gradient step at the most.
    """

    def coefficients(self, L: float, mu: float, j: int) -> Coefficients:
        """Return the numbers of [2]."""
        r = 1 - np.sqrt(mu / L)
        return (1 + r) / L, r * r / (2 - r), r * r / ((1 + r) * (2 - r)), r * r / (1 - r * r)


@dataclass(frozen=True)
class RobustMomentum(Momentum):
    r"""The robust momentum method, between gradient descent and triple momentum (method ``"robust-momentum"``).

    Parameters
    ----------
    L, mu : float, optional
        Constants of smoothness and strong convexity; both or neither are given.
    metric : "auto", None, float, array of shape (n,) or (n, n), or Metric, default="auto"
        ``B`` of the norms.
    max_trials : int, default=60
        Trials of a gradient step at the most.
    caution : float, default=0.5
        The paper's lambda in [0, 1]: 1 is the gradient method, 0 triple momentum without its last averaging.
    """

    caution: float = 0.5

    def __post_init__(self) -> None:
        """Check the hyper-parameters."""
        super().__post_init__()
        if not 0 <= self.caution <= 1:
            raise ValueError(f"caution={self.caution} must lie in [0, 1]")

    def coefficients(self, L: float, mu: float, j: int) -> Coefficients:
        """Return the numbers of [3], multiplied out so that nothing is divided by k - 1 or by mu."""
        t = mu / L
        r = 1 - np.sqrt(t)
        # 1 - q = s t + (1 - s) sqrt t; q = (1 - t) s + (1 - s) r, and k - 1 = (1 - t)/t
        q, rest = self.caution * (1 - t) + (1 - self.caution) * r, self.caution * t + (1 - self.caution) * (1 - r)
        if t == 1:
            return 1 / L, 0.0, 0.0, 0.0
        alpha = rest**2 * (1 + q) / t / L
        return alpha, q**3 / (1 - t), t * q**3 / ((1 - t) * rest**2 * (1 + q)), 0.0


@dataclass(frozen=True)
class SpectralMomentum(HeavyBall):
    r"""Heavy ball tuned by the extreme Ritz values of the Hessian on the way (method ``"spectral-momentum"``).

    Parameters
    ----------
    L, mu : float, optional
        Constants of smoothness and strong convexity; with them it is the heavy ball.
    metric : "auto", None, float, array of shape (n,) or (n, n), or Metric, default="auto"
        ``B`` of the norms.
    max_trials : int, default=60
        Trials of a gradient step at the most.
    safe : bool, default=False
        As in `HeavyBall`.
    refresh : int, default=50
        Steps between two measurements; each restart brings one too, ``steps`` products each.
    steps : int, default=20
        Steps of the Lanczos process, started at the gradient.
    """

    refresh: int = 50
    steps: int = 20

    def __post_init__(self) -> None:
        """Check the hyper-parameters."""
        super().__post_init__()
        if not (self.refresh >= 1 and self.steps >= 1):
            raise ValueError(f"refresh={self.refresh} and steps={self.steps} must be at least 1")

    def _measured(self, x: Point, L: float, mu: float, j: int) -> tuple[float, float]:
        """Return the extreme Ritz values of ``B^{-1/2} H B^{-1/2}`` from the gradient, where they are positive."""
        if j % self.refresh or not x.dual_norm > 0:
            return L, mu
        B = x.metric
        found = ritz(lambda v: B.to_white(x.hessp(B.from_white(v))), B.to_white(x.g), self.steps)
        if not found.values.size:  # nearby, or by its differences, f is not defined
            return L, mu
        largest, least = float(found.values[-1] + found.errors[-1]), float(found.values[0])
        if not (np.isfinite(largest) and largest > 0):
            return L, mu
        return largest, least if least > 0 else min(mu, largest)
