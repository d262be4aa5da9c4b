r"""F2SA and F2BA: first-order bilevel methods with a multiplier, in the full-batch setting.

    z <- T steps  z - gamma grad h(z)
    y <- T steps  y - tau (grad_x g(y) + lam grad h(y))
    theta <- theta - step (grad_theta g(y) + lam [grad_theta h(y) - grad_theta h(z)])
    lam <- lam + delta

F2SA [1] lets lam grow, F2BA [2] keeps it; with ``lam = 1/sigma`` theta takes a gradient step on psi_sigma. By default
``gamma = 1/L``, ``tau = 1/(2 lam L)`` (less where g is steeper than lam h), ``step = 1/(L kappa^3)``, kappa = L/mu [2].
`momentum` is that of Nesterov in both inner loops, as in the accelerated variant of [2].

Departures: theta is projected on its box; a lam of less than ``2 L_g/mu``, for which h + g/lam is not known to be
convex, is allowed.

References
----------
[1] Kwon, Kwon, Wright, Nowak, "A fully first-order method for stochastic bilevel optimization", ICML 2023.
[2] Chen, Ma, Zhang, "Near-optimal nonconvex-strongly-convex bilevel optimization with fully first-order oracles",
    arXiv 2306.14853.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gnsopt._typing import Array
from gnsopt.bilevel.constrained import refuse_constraints
from gnsopt.bilevel.fields import check_count, check_positive
from gnsopt.bilevel.penalised import check_size, lipschitz, penalised, theta_gradient
from gnsopt.bilevel.problem import BilevelProblem
from gnsopt.bilevel.run import Iterate, Method, Run
from gnsopt.bilevel.value_function import report


@dataclass(frozen=True)
class F2BA(Method):
    r"""Fully first-order bilevel method (``"f2ba"``); with ``delta > 0`` F2SA.

    Parameters
    ----------
    lam : float, default=10.0
        Multiplier; the bias of theta is of the order of 1/lam.
    delta : float, default=0.0
        Its growth in each outer step.
    T : int, default=10
        Inner steps.
    step : float, optional
        Outer step; ``1/(L kappa^3)`` by default, which is safe and slow.
    gamma : float, optional
        Inner step on h, and on ``h + g/lam``; ``1/L`` and ``1/(2 L)`` by default.
    momentum : float, default=0.0
        Of the inner loops, in [0, 1).
    """

    name: ClassVar[str] = "f2ba"
    requires: ClassVar[tuple[str, ...]] = ("upper", "lower_theta")

    lam: float = 10.0
    delta: float = 0.0
    T: int = 10
    step: float | None = None
    gamma: float | None = None
    momentum: float = 0.0

    def __post_init__(self) -> None:
        """Check the hyper-parameters."""
        check_positive(lam=self.lam, step=self.step, gamma=self.gamma)
        check_count(T=self.T)
        if not 0 <= self.delta < np.inf:
            raise ValueError(f"delta={self.delta!r} must be a number >= 0")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum={self.momentum!r} must lie in [0, 1)")

    def iterates(self, run: Run) -> Iterator[Iterate]:
        """Yield theta with y and z after their inner steps, and ``lam``."""
        refuse_constraints(run.problem, self.name)
        problem, theta, lam = run.problem, run.theta, self.lam
        y = z = problem.start()
        while True:
            gammas = self.inner_steps(problem, theta, lam)
            z = descend(run, problem, theta, 0.0, z, gammas[0], self.T, self.momentum)
            y = descend(run, problem, theta, 1 / lam, y, gammas[1], self.T, self.momentum)
            check_size(theta, y, z)
            yield report(run, theta, 1 / lam, y, z, lam=lam)
            run.work.adjoint_products += 2
            slope = lam * (theta_gradient(problem, y, theta, 1 / lam) - theta_gradient(problem, z, theta, 0.0))
            theta = run.clip(theta - self.outer_step(problem, theta) * slope)
            lam += self.delta

    def inner_steps(self, problem: BilevelProblem, theta: Array, lam: float) -> tuple[float, float]:
        """Return the steps on h and on h + g/lam."""
        if self.gamma is not None:
            return self.gamma, self.gamma
        L = lipschitz(problem, theta, 0.0)
        return 1 / L, 1 / max(2 * L, lipschitz(problem, theta, 1 / lam))

    def outer_step(self, problem: BilevelProblem, theta: Array) -> float:
        """Return the step of theta."""
        if self.step is not None:
            return self.step
        problem.require("mu", f"the default step of {self.name!r}; or pass step=")
        L = max(lipschitz(problem, theta, 0.0), problem.constants(theta).L_g)
        return problem.mu(theta) ** 3 / L**4


def descend(
    run: Run, problem: BilevelProblem, theta: Array, s: float, x: Array, gamma: float, steps: int, momentum: float = 0.0
) -> Array:
    """Return the end of gradient steps on h_s with Nesterov's momentum.

    Parameters
    ----------
    run : Run
        Where work is counted.
    problem : BilevelProblem
        The problem.
    theta : ndarray of shape (d,)
        Upper variables.
    s : float
        Weight of the upper objective.
    x : ndarray of shape (n,)
        Start.
    gamma : float
        Step.
    steps : int
        How many.
    momentum : float, default=0.0
        Share of the last change that is added.

    Returns
    -------
    ndarray of shape (n,)
        The last point.
    """
    before = x
    for _ in range(steps):
        v = x + momentum * (x - before)
        before, x = x, v - gamma * penalised(run, problem, v, theta, s)[1]
    return x
